/* The same element two rounds ago. */
static void NAME(add_round_before)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    (void)tap;
    NAME(add_round)(row->past[1], n, weight, acc);
}
