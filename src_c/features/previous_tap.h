/* Kernels: the tap before this one. */
static void NAME(add_previous_tap)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    const int32_t *restrict d = row->d + (tap - 1) * row->stride;
    for (size_t j = 0; j < n; j++) acc[j] = gsz_wrap_add(acc[j], gsz_wrap_mul(weight, d[j]));
}
