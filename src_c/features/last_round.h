/* The same element a round ago, and two rounds ago (round_before.h). */
GSZ_INLINE void NAME(add_round)(const int32_t *restrict past, size_t n, int32_t weight, int32_t *restrict acc) {
    for (size_t j = 0; j < n; j++) acc[j] = gsz_wrap_add(acc[j], gsz_wrap_mul(weight, past[j]));
}

static void NAME(add_last_round)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    (void)tap;
    NAME(add_round)(row->past[0], n, weight, acc);
}
