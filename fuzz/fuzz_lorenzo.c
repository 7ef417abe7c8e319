/* Lorenzo prediction over any integers and any lattice: the inverse undoes it, and it is what its definition says. */
#include "fuzz.h"
#include "lorenzo.h"

/* Integer at (plane, row, column), 0 outside. */
static uint32_t at(const gsz_lattice *l, const int32_t *k, size_t i, unsigned corner) {
    size_t columns = l->columns, rows = l->rows, column = i, row = 0, plane = 0;
    if (l->dims > 1) column = i % columns, row = i / columns;
    if (l->dims > 2) plane = row / rows, row %= rows;
    if ((corner & 1 && column == 0) || (corner & 2 && row == 0) || (corner & 4 && plane == 0)) return 0;
    return (uint32_t)k[i - (corner & 1) - (corner >> 1 & 1) * columns - (corner >> 2 & 1) * columns * rows];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {data, size};
    gsz_lattice l = {1 + fuzz_take(&in) % 3, 1, 1};
    unsigned columns = 1 + fuzz_take(&in) % 64, rows = 1 + fuzz_take(&in) % 16, narrow = fuzz_take(&in) & 1;
    if (l.dims > 1) l.columns = columns;
    if (l.dims > 2) l.rows = rows;
    size_t n = in.size / (narrow ? 1 : 4);
    if (n == 0) return 0;
    int32_t *k = (int32_t *)fuzz_zeros(n * sizeof(int32_t)), *r = (int32_t *)fuzz_zeros(n * sizeof(int32_t));
    for (size_t i = 0; i < n; i++) {
        if (narrow) k[i] = (int8_t)in.data[i];
        else memcpy(&k[i], in.data + 4 * i, 4);
    }
    gsz_lorenzo_forward(&l, k, n, r);
    for (size_t i = 0; i < n; i++) {
        uint32_t sum = 0;
        for (unsigned corner = 0; corner < 1u << l.dims; corner++) {
            unsigned odd = (corner ^ corner >> 1 ^ corner >> 2) & 1;
            sum += odd ? 0u - at(&l, k, i, corner) : at(&l, k, i, corner);
        }
        REQUIRE((uint32_t)r[i] == sum);
        REQUIRE((uint32_t)gsz_lorenzo_predict(&l, k, i) == (uint32_t)k[i] - sum);
    }
    gsz_lorenzo_inverse(gsz_kernels_for(n & 1 ? gsz_cpu_features() : 0), &l, r, n);
    REQUIRE(memcmp(r, k, n * sizeof(int32_t)) == 0);
    free(k);
    free(r);
    return 0;
}
