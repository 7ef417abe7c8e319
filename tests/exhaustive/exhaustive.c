/* Guarantee 1 for float32: bit patterns through the public encoder and decoder at four bounds, judged by exact
 * arithmetic that shares nothing with the core (tests/c/judge.h).
 *   exhaustive                2^26 patterns, one of each 64
 *   exhaustive --stride N     one of each N, a power of two
 *   exhaustive --full         all 2^32
 * and --threads N, 2 unless told. */
#include <pthread.h>

#include "check.h"
#include "judge.h"

#define BLOCK ((size_t)1 << 20)     /* patterns a message */

/* Steps among the subnormals, common ones, and one that only the largest numbers notice. */
static const double bounds[] = {1e-41, 1e-3, 1.0, 1e30};
#define BOUNDS (sizeof bounds / sizeof bounds[0])

static uint64_t stride = 64;
static uint64_t next_block;
/* Bins on multiples of their width, and under the gradient model, where it takes a block: aligned and centred ones in turn. */
enum { MULTIPLES, MODEL, WAYS };
static const char *const ways[WAYS] = {"multiples", "model"};
static uint64_t checked[WAYS][BOUNDS], violations[WAYS][BOUNDS], approximate[WAYS][BOUNDS], modelled[WAYS][BOUNDS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t patterns(void) { return ((uint64_t)1 << 32) / stride; }

/* A block has neighbouring exponents, so that it is not stored for the sake of those that escape; the odd factor
 * mixes them, so that runs of one kind are short. */
static uint32_t pattern_at(uint64_t i) {
    uint64_t j = (i & ~(uint64_t)(BLOCK - 1)) | ((i * 0x9e3779b1u) & (BLOCK - 1) & (patterns() - 1));
    return (uint32_t)(j * stride + (j * 0x2545f491u >> 7) % stride);
}

static int is_finite(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

static double value_of(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return (double)f;
}

static void report(uint32_t x, uint32_t y, double eb) {
    fprintf(stderr, "violation: %08x (%a) became %08x (%a) at bound %g\n", x, value_of(x), y, value_of(y), eb);
}

/* Within the bound by more than the rounding of a difference of doubles, 2^-53 of it, can hide; all that is nearer
 * goes to the judge. */
static int surely_within(uint32_t x, uint32_t y, double eb) {
    double d = value_of(x) - value_of(y);
    return is_finite(x) && is_finite(y) && d <= eb * (1 - 0x1p-50) && -d <= eb * (1 - 0x1p-50);
}

/* One block at one bound, in one way. */
static void run(const uint32_t *x, uint32_t *y, size_t n, size_t b, int way, int grid) {
    uint64_t shape = n, bad = 0, changed = 0;
    gsz_input in;
    gsz_options options;
    gsz_message *m;
    gsz_info info;
    uint8_t *data;
    size_t size;
    gsz_input_init(&in);
    in.dtype = GSZ_FLOAT32;
    in.ndim = 1;
    in.shape = &shape;
    in.data = x;
    in.bound = bounds[b];
    in.predictor = way == MODEL ? GSZ_PREDICT_STRUCTURE : GSZ_PREDICT_NONE;
    in.grid = grid;
    gsz_options_init(&options);
    if (gsz_encode(&in, 1, 0, &options, &data, &size) != GSZ_OK || gsz_open(data, size, &options, &m) != GSZ_OK
        || gsz_message_info(m, 0, &info) != GSZ_OK || gsz_decode(m, 0, y, n * 4) != GSZ_OK) {
        fprintf(stderr, "exhaustive: a call failed\n");
        exit(2);
    }
    gsz_close(m);
    gsz_free(&options, data);
    for (size_t i = 0; i < n; i++) {
        if (x[i] == y[i]) continue;
        changed++;
        if (surely_within(x[i], y[i], bounds[b])) continue;
        if (is_finite(x[i]) && exact_within(value_of(x[i]), value_of(y[i]), bounds[b])) continue;
        if (bad++ < 3) report(x[i], y[i], bounds[b]);
    }
    pthread_mutex_lock(&lock);
    checked[way][b] += n;
    violations[way][b] += bad;
    approximate[way][b] += changed;
    modelled[way][b] += info.codec == GSZ_CODEC_MODEL ? n : 0;
    pthread_mutex_unlock(&lock);
}

static void *worker(void *arg) {
    size_t n = patterns() < BLOCK ? (size_t)patterns() : BLOCK;
    uint32_t *x = (uint32_t *)malloc(n * 4), *y = (uint32_t *)malloc(n * 4);
    if (x == NULL || y == NULL) abort();
    for (;;) {
        pthread_mutex_lock(&lock);
        uint64_t block = next_block++;
        pthread_mutex_unlock(&lock);
        if (block * n >= patterns()) break;
        for (size_t i = 0; i < n; i++) x[i] = pattern_at(block * n + i);
        for (size_t b = 0; b < BOUNDS; b++)
            for (int way = 0; way < WAYS; way++) run(x, y, n, b, way, block & 1 ? GSZ_GRID_CENTRED : GSZ_GRID_ALIGNED);
    }
    free(x);
    free(y);
    return arg;
}

int main(int argc, char **argv) {
    pthread_t id[64];
    unsigned threads = 2;
    uint64_t bad = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--full") == 0) stride = 1;
        else if (strcmp(argv[i], "--stride") == 0 && i + 1 < argc) stride = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc) threads = (unsigned)strtoul(argv[++i], NULL, 10);
        else stride = 0;
    }
    if (stride == 0 || (stride & (stride - 1)) != 0 || stride > (uint64_t)1 << 32 || threads < 1 || threads > 64) {
        fprintf(stderr, "usage: exhaustive [--full | --stride POWER_OF_TWO] [--threads 1..64]\n");
        return 2;
    }
    for (unsigned t = 0; t < threads; t++)
        if (pthread_create(&id[t], NULL, worker, NULL) != 0) return 2;
    for (unsigned t = 0; t < threads; t++) (void)pthread_join(id[t], NULL);
    for (int way = 0; way < WAYS; way++)
        for (size_t b = 0; b < BOUNDS; b++) {
            printf("float32, %s, bound %-6g: %llu patterns checked, %llu under the model, %llu not exact, %llu violations\n", ways[way], bounds[b],
                   (unsigned long long)checked[way][b], (unsigned long long)modelled[way][b], (unsigned long long)approximate[way][b],
                   (unsigned long long)violations[way][b]);
            bad += violations[way][b] + (checked[way][b] != patterns());
        }
    return bad != 0;
}
