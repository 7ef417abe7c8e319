/* The loops of lowrank.c in floats, one text for every feature set; included by kernels_impl.h.
 *
 * A tile is a few rows and columns of a product in registers.  Every element of a tile is summed alone and in the
 * order of the terms, so that neither the length of a vector nor the shape of a tile changes a bit. */
#define PANEL_FLOATS 4096u          /* of the right operand: stays in the first-level cache */
#define PANEL_DEPTH 256u
#define PANEL_COLUMNS 64u
#define PANEL_MOST_COLUMNS 80u      /* not cut into panels */
#define GRAM_ROWS 16u
#define TILE_ROWS 4u
#define TILE_SUMS 8u                /* vectors of sums in registers, half of the 16 that there are: 8 rows of one or 4 of two */
#if defined(__clang__)
#define TILE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define TILE_UNROLL _Pragma("GCC unroll 8")
#endif

#ifdef OWN_TWINS
#define TILE_BYTES 32u              /* of a vector */
#else
#define TILE_BYTES 16u
#endif

/* `rows` rows of c, `vectors` vectors wide, += a * b over `depth` terms. */
#if defined(__GNUC__)
#define DEFINE_TILE(NAME_, T) \
typedef T PASTE(NAME_, vector, SUFFIX) __attribute__((vector_size(TILE_BYTES))); \
GSZ_INLINE void NAME(NAME_)(const T *const *a, size_t a_col, const T *b, size_t b_row, size_t depth, \
                            T *const *c, const unsigned rows, const unsigned vectors) { \
    const size_t lanes = TILE_BYTES / sizeof(T); \
    PASTE(NAME_, vector, SUFFIX) sum[TILE_SUMS][2], right[2]; \
    TILE_UNROLL for (unsigned r = 0; r < rows; r++) \
        TILE_UNROLL for (unsigned v = 0; v < vectors; v++) memcpy(&sum[r][v], c[r] + v * lanes, TILE_BYTES); \
    for (size_t k = 0; k < depth; k++) { \
        TILE_UNROLL for (unsigned v = 0; v < vectors; v++) memcpy(&right[v], b + k * b_row + v * lanes, TILE_BYTES); \
        TILE_UNROLL for (unsigned r = 0; r < rows; r++) \
            TILE_UNROLL for (unsigned v = 0; v < vectors; v++) sum[r][v] += a[r][k * a_col] * right[v]; \
    } \
    TILE_UNROLL for (unsigned r = 0; r < rows; r++) \
        TILE_UNROLL for (unsigned v = 0; v < vectors; v++) memcpy(c[r] + v * lanes, &sum[r][v], TILE_BYTES); \
}
#else
#define DEFINE_TILE(NAME_, T) \
GSZ_INLINE void NAME(NAME_)(const T *const *a, size_t a_col, const T *b, size_t b_row, size_t depth, \
                            T *const *c, const unsigned rows, const unsigned vectors) { \
    for (size_t k = 0; k < depth; k++) \
        for (unsigned r = 0; r < rows; r++) \
            for (unsigned j = 0; j < vectors * (TILE_BYTES / sizeof(T)); j++) c[r][j] += a[r][k * a_col] * b[k * b_row + j]; \
}
#endif
DEFINE_TILE(tile_float, float)
DEFINE_TILE(tile_double, double)

/* Columns [j, j + width) of c += a * b.  Rows that a tile has too many repeat the last one, for nobody. */
GSZ_INLINE void NAME(lowrank_strip)(const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row,
                                    size_t rows, size_t depth, float *c, size_t c_row, const unsigned vectors) {
    const unsigned tile = TILE_SUMS / vectors;
    float nowhere[2 * TILE_BYTES / sizeof(float)] = {0};
    for (size_t i = 0; i < rows; i += tile) {
        const float *from[TILE_SUMS];
        float *to[TILE_SUMS];
        for (size_t r = 0; r < tile; r++) {
            from[r] = a + GSZ_MIN(i + r, rows - 1) * a_row;
            to[r] = i + r < rows ? c + (i + r) * c_row : nowhere;
        }
        NAME(tile_float)(from, a_col, b, b_row, depth, to, tile, vectors);
    }
}

/* c (rows x n) += a (rows x depth) * b (depth x n). */
GSZ_INLINE void NAME(lowrank_block)(const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row,
                                    size_t rows, size_t depth, size_t n, float *c, size_t c_row) {
    const size_t lanes = TILE_BYTES / sizeof(float);
    size_t j = 0;
    for (; j + 2 * lanes <= n; j += 2 * lanes) NAME(lowrank_strip)(a, a_row, a_col, b + j, b_row, rows, depth, c + j, c_row, 2);
    for (; j + lanes <= n; j += lanes) NAME(lowrank_strip)(a, a_row, a_col, b + j, b_row, rows, depth, c + j, c_row, 1);
    for (size_t r = 0; j < n && r < rows; r++)
        for (size_t k = 0; k < depth; k++)
            for (size_t l = j; l < n; l++) c[r * c_row + l] += a[r * a_row + k * a_col] * b[k * b_row + l];
}

/* c (rows x n) = a (rows x depth, any strides) * b (depth x n).  Panels of b are copied where they are scattered:
 * rows a power of two apart would share a few lines of the cache. */
static void NAME(lowrank_product)(const float *a, size_t a_row, size_t a_col, const float *b, size_t b_row,
                                  size_t rows, size_t depth, size_t n, float *c, size_t c_row) {
    float packed[PANEL_FLOATS];
    for (size_t i = 0; i < rows; i++) memset(c + i * c_row, 0, n * sizeof *c);
    for (size_t j = 0, width; j < n; j += width) {
        width = n <= PANEL_MOST_COLUMNS ? n : GSZ_MIN(PANEL_COLUMNS, n - j);
        const size_t step = GSZ_MIN((size_t)PANEL_DEPTH, PANEL_FLOATS / width);
        for (size_t k = 0; k < depth; k += step) {
            const size_t here = GSZ_MIN(step, depth - k);
            const float *panel = b + k * b_row + j;
            size_t panel_row = b_row;
            if (b_row != width) {
                for (size_t l = 0; l < here; l++) memcpy(packed + l * width, panel + l * b_row, width * sizeof *packed);
                panel = packed, panel_row = width;
            }
            NAME(lowrank_block)(a + k * a_col, a_row, a_col, panel, panel_row, rows, here, width, c + j, c_row);
        }
    }
}

/* g (p x p) = y^T y for y of rows x p, p a multiple of 8 up to 136, in double.  Only the upper triangle and what
 * shares a tile with it is made. */
static void NAME(lowrank_gram)(const float *y, size_t rows, size_t p, double *g) {
    double d[GRAM_ROWS * GSZ_MOST_DENSE];
    memset(g, 0, p * p * sizeof *g);
    for (size_t i = 0; i < rows; i += GRAM_ROWS) {
        const size_t here = GSZ_MIN((size_t)GRAM_ROWS, rows - i);
        for (size_t l = 0; l < here * p; l++) d[l] = (double)y[i * p + l];
        for (size_t k = 0; k < p; k += TILE_ROWS)
            for (size_t j = k & ~(size_t)7; j < p; j += 2 * TILE_BYTES / sizeof(double)) {
                const double *const from[TILE_ROWS] = {d + k, d + k + 1, d + k + 2, d + k + 3};
                double *const to[TILE_ROWS] = {g + k * p + j, g + (k + 1) * p + j, g + (k + 2) * p + j, g + (k + 3) * p + j};
                NAME(tile_double)(from, p, d + j, p, here, to, TILE_ROWS, 2);
            }
    }
}

#undef PANEL_FLOATS
#undef PANEL_DEPTH
#undef PANEL_COLUMNS
#undef PANEL_MOST_COLUMNS
#undef GRAM_ROWS
#undef TILE_ROWS
#undef TILE_BYTES
#undef TILE_SUMS
#undef TILE_UNROLL
#undef DEFINE_TILE
