#include "turn.h"

#define NORM_BITS 14u       /* columns are scaled to norms below 2^14: their reflections' are below 2^15, and sums of products below 2^30 */

/* ---- a column and its reflection */

static uint64_t energy_of(const int16_t *z, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint64_t)((int32_t)z[i] * (int32_t)z[i]);
    return sum;
}

/* How far a column is scaled up. */
static unsigned room_of(uint64_t energy) {
    unsigned room = 0;
    while (room < NORM_BITS && energy << 2 * (room + 1) < (uint64_t)1 << 2 * NORM_BITS) room++;
    return room;
}

static uint32_t whole_root(uint64_t v) {
    uint32_t root = 0;
    for (uint32_t bit = (uint32_t)1 << NORM_BITS; bit > 0; bit >>= 1)
        if ((uint64_t)(root + bit) * (root + bit) <= v) root += bit;
    return root;
}

/* What turns y, of n lanes, onto the last of them: 1 - 2 v v^T / v^T v, with v = y but for that lane. */
static int16_t pivot_of(const int16_t *y, size_t n, uint64_t energy) {
    const int32_t norm = (int32_t)whole_root(energy);
    return (int16_t)(y[n - 1] >= 0 ? y[n - 1] + norm : y[n - 1] - norm);
}

/* ---- both ends */

typedef struct {
    const int16_t *v;
    size_t n;                   /* lanes, in whole vectors: zeros beyond */
    uint32_t square;            /* v^T v; 0: no reflection */
} reflection;

static int16_t cut(int64_t v) { return (int16_t)(v > 32767 ? 32767 : v < -32767 ? -32767 : v); }

static size_t wide(size_t n) { return (n + GSZ_TURN_WIDE - 1) / GSZ_TURN_WIDE * GSZ_TURN_WIDE; }

static void reflect(const gsz_kernels *kernels, const reflection *r, int16_t *y) {
    const int64_t twice = (int64_t)(int32_t)kernels->turn_dot(r->v, y, r->n) * (1 << (GSZ_TURN_RATIO + 1)), half = (int64_t)(r->square / 2);
    kernels->turn_subtract(r->v, r->n, cut((twice < 0 ? twice - half : twice + half) / (int64_t)r->square), y);
}

/* Columns scaled up, and their reflections; both are `stride` apart, and zeros. */
static int set_columns(const int16_t *z, unsigned rank, size_t lanes, size_t stride, int16_t *y, int16_t *v, reflection *r, unsigned *room) {
    for (unsigned k = 0; k < rank; k++, z += lanes, y += stride, v += stride) {
        const size_t n = lanes - k;
        const uint64_t energy = energy_of(z, n);
        GSZ_CHECK(energy <= GSZ_TURN_ENERGY, GSZ_E_SECTION);
        room[k] = room_of(energy);
        for (size_t i = 0; i < n; i++) y[i] = v[i] = (int16_t)(z[i] * (1 << room[k]));
        v[n - 1] = pivot_of(y, n, energy << 2 * room[k]);
        r[k] = (reflection){v, wide(n), (uint32_t)energy_of(v, n)};
    }
    return GSZ_OK;
}

/* In units that all columns share. */
static void scale_column(const int16_t *y, size_t n, int down, int16_t *a) {
    for (size_t i = 0; i < n; i++) a[i] = cut(down > 0 ? (y[i] + (1 << (down - 1))) >> down : (int64_t)y[i] * ((int64_t)1 << -down));
}

int gsz_turn(gsz_work *work, const int16_t *z, unsigned rank, size_t lanes, const uint8_t *up, unsigned fraction, int16_t *a) {
    const size_t stride = wide(lanes), n = rank * stride;
    GSZ_TRY(gsz_scratch_reserve(work->heap, &work->turn, rank * (sizeof(reflection) + sizeof(unsigned)) + 2 * n * sizeof *z));
    reflection *r = (reflection *)work->turn.data;
    unsigned *room = (unsigned *)(r + rank);
    int16_t *y = (int16_t *)(room + rank), *v = y + n;
    memset(y, 0, 2 * n * sizeof *y);
    GSZ_TRY(set_columns(z, rank, lanes, stride, y, v, r, room));
    for (unsigned j = rank; j-- > 0;)
        for (unsigned k = j + 1; r[j].square > 0 && k < rank; k++) reflect(work->kernels, &r[j], y + k * stride);
    for (unsigned k = 0; k < rank; k++) scale_column(y + k * stride, lanes, (int)room[k] - (int)fraction - (int)up[k], a + k * lanes);
    gsz_scratch_release(work->heap, &work->turn);       /* most of what a decoder has by then */
    return GSZ_OK;
}

/* ---- the encoder */

void gsz_turn_away(const gsz_kernels *kernels, const int16_t *z, size_t n, float *v, float *x, unsigned columns, size_t lanes) {
    const uint64_t energy = energy_of(z, n);
    const unsigned room = room_of(energy);
    const float norm = (float)whole_root(energy << 2 * room) / (float)(1 << room), last = (float)z[n - 1], change = last >= 0 ? norm : -norm;
    const float scale = (float)(1 / ((double)energy + (double)change * (double)last));          /* 2 / v^T v */
    for (size_t i = 0; i < n; i++) v[i] = (float)z[i];
    for (unsigned j = 0; energy > 0 && j < columns; j++) kernels->turn_away(v, n - 1, last + change, scale, x + j * lanes);
}
