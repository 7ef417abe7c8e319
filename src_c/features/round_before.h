/* The same element two rounds ago. */
static void NAME(add_round_before)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    const int32_t *restrict past = row->past[1];
    (void)tap;
    for (size_t j = 0; j < n; j++) acc[j] = gsz_wrap_add(acc[j], gsz_wrap_mul(weight, past[j]));
}
