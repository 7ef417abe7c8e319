/* Matrices, odd columns: mean of the two even neighbours; nothing stands beyond the end. */
static void NAME(add_neighbours)(const gsz_model_row *row, unsigned tap, size_t n, int32_t weight, int32_t *restrict acc) {
    const int32_t *restrict even = row->d + (tap - 1) * row->stride;
    for (size_t j = 0; j < n; j++) acc[j] = gsz_wrap_add(acc[j], gsz_wrap_mul(weight, (even[j] + even[j + 1]) >> 1));
}
