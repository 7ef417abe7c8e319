/* Kernels: mean of the taps of this column so far; the sum is cut to 20 bits, the division is by a multiplication. */
static void NAME(add_earlier_taps)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    const int32_t *restrict sum = row->earlier;
    const int32_t inverse = (int32_t)((2048 + tap / 2) / tap), most = (1 << 19) - 1;
    for (size_t j = 0; j < n; j++) {
        int32_t v = GSZ_MAX(-most, GSZ_MIN(most, sum[j]));
        acc[j] = gsz_wrap_add(acc[j], gsz_wrap_mul(weight, (v * inverse) >> 11));
    }
}
