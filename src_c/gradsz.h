/* gradsz: error-bounded compression of gradients, model updates and numeric arrays.
 *
 * The only public header.  A message holds tensors; each tensor is coded so that every finite value x
 * comes back as x' with |x - x'| <= eb in exact arithmetic, or bit for bit (bound 0, integers, bools).
 * The bytes are defined by docs/format.md.
 *
 * Threads: there is no writable global state.  A gsz_message may be read from several threads at once
 * with gsz_decode; everything else belongs to one call.
 *
 * Every function that returns int returns a gsz_status: 0, or a positive code that never changes meaning.
 */
#ifndef GRADSZ_H
#define GRADSZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GSZ_MAX_DIMS 32

typedef enum {
    GSZ_OK = 0,
    /* not ours, or newer than this library */
    GSZ_E_MAGIC = 10,          /* does not begin with a gradsz magic number */
    GSZ_E_VERSION = 11,        /* a format version this library does not know */
    GSZ_E_RESERVED = 12,       /* a reserved value: damage, or a newer writer */
    /* the bytes stop too early */
    GSZ_E_TRUNCATED = 20,
    /* the bytes are wrong */
    GSZ_E_HEADER_CHECKSUM = 30,
    GSZ_E_SECTION_CHECKSUM = 31,
    GSZ_E_HEADER = 32,         /* a malformed header field */
    GSZ_E_TABLE = 33,          /* a Huffman table that is not a complete prefix code */
    GSZ_E_STREAM = 34,         /* coded symbols that do not end where they must */
    GSZ_E_SECTION = 35,        /* a malformed section field */
    GSZ_E_TRAILING = 36,       /* bytes after the end of the message */
    /* the caller's mistake */
    GSZ_E_PARAMETER = 50,
    GSZ_E_DTYPE = 51,
    GSZ_E_OUTPUT_SIZE = 52,
    /* a limit */
    GSZ_E_MEMORY = 60,         /* allocator failed or the memory budget is spent */
    GSZ_E_OUTPUT_LIMIT = 61,   /* decoded size above max_output */
    GSZ_E_TOO_LARGE = 62,      /* a size above what the format or this platform can address */
    /* the two ends are not in the same state */
    GSZ_E_STATE = 70,          /* decoding needs a reference or earlier rounds that were not given, or others */
    /* this build computes floats differently (contraction, rounding mode) */
    GSZ_E_SELFTEST = 80
} gsz_status;

/* Short English text of a status; the family decides how bindings report it. */
const char *gsz_status_text(int status);

typedef enum {
    GSZ_FLOAT16 = 0, GSZ_BFLOAT16 = 1, GSZ_FLOAT32 = 2, GSZ_FLOAT64 = 3,
    GSZ_INT8 = 8, GSZ_INT16 = 9, GSZ_INT32 = 10, GSZ_INT64 = 11,
    GSZ_UINT8 = 12, GSZ_UINT16 = 13, GSZ_UINT32 = 14, GSZ_UINT64 = 15,
    GSZ_BOOL = 16
} gsz_dtype;

/* Bytes an element, 0 for an unknown dtype. */
size_t gsz_itemsize(int dtype);

/* How the error bound is meant; each resolves to one absolute bound, stored in the message. */
typedef enum {
    GSZ_ABS = 0,   /* eb = bound */
    GSZ_REL = 1,   /* eb = bound * (max - min) of the finite values */
    GSZ_RMS = 2,   /* eb = bound * root mean square of the finite values */
    GSZ_L2 = 3,    /* largest eb found with ||x - x'|| <= bound * ||x||, measured on the data */
    GSZ_PSNR = 4,  /* largest eb found with PSNR >= bound (dB, peak = range), measured on the data */
    /* of messages only: a quantiser was used in place of a bound, and eb says nothing about errors */
    GSZ_MODE_DITHERING = 5, /* Sparse Dithering: values are multiples of 2 eb */
    GSZ_MODE_LEVELS = 6     /* M22: values are labels of levels */
} gsz_mode;

typedef enum {
    GSZ_PREDICT_NONE = 0, GSZ_PREDICT_LORENZO1 = 1, GSZ_PREDICT_LORENZO2 = 2, GSZ_PREDICT_LORENZO3 = 3,
    GSZ_PREDICT_STRUCTURE = 4,      /* rows, columns and taps, without low rank */
    GSZ_PREDICT_LOW_RANK = 5,       /* and a low-rank part where it pays */
    GSZ_PREDICT_AUTO = 255
} gsz_predictor;

typedef enum {
    GSZ_CODEC_EMPTY = 0,     /* no elements */
    GSZ_CODEC_CONSTANT = 1,  /* all elements have the same bits */
    GSZ_CODEC_RAW = 2,       /* stored */
    GSZ_CODEC_EXACT = 3,     /* bit-exact: byte planes, entropy coded */
    GSZ_CODEC_UNIFORM = 4,   /* absolute error bound: uniform quantiser, Huffman */
    GSZ_CODEC_MODEL = 5,     /* absolute error bound: the gradient model, rANS */
    GSZ_CODEC_SPHERICAL = 6, /* blocks by random directions; no pointwise bound */
    GSZ_CODEC_GATHERED = 7   /* bit-exact: small tensors of a dtype in one section */
} gsz_codec;

/* Where the bins lie. */
typedef enum {
    GSZ_GRID_ALIGNED = 0,    /* on multiples of their width */
    GSZ_GRID_CENTRED = 1,    /* centred on what is predicted */
    GSZ_GRID_DITHERED = 2,   /* at random: errors are uniform and zero on average (subtractive dither) */
    GSZ_GRID_SHRUNK = 3,     /* at random, half as wide: zero on average, of least squared error at coarse bounds */
    GSZ_GRID_AUTO = 255
} gsz_grid;
typedef enum { GSZ_CODER_HUFFMAN = 0, GSZ_CODER_RANS = 1 } gsz_coder;

/* How much work to spend.  Any decoder decodes any level. */
typedef enum {
    GSZ_LEVEL_BALANCED = 0,  /* the gradient model; for smooth arrays, what GSZ_LEVEL_FAST does */
    GSZ_LEVEL_FAST = 1,      /* uniform quantiser, Lorenzo prediction, Huffman */
    GSZ_LEVEL_BEST = 2       /* the gradient model, its choices tried instead of predicted */
} gsz_level;

/* What GSZ_REL and GSZ_RMS measure: the range or the root mean square of each tensor's values, or of the finite values of all
 * tensors of a message that have a bound, which then gives tensors of one `bound` one eb. */
typedef enum { GSZ_OVER_TENSOR = 0, GSZ_OVER_MESSAGE = 1 } gsz_bound_over;

/* CPU features that hot loops may use; every mask gives the same bytes. */
#define GSZ_CPU_AVX2 1u
#define GSZ_CPU_SSE42 2u
#define GSZ_CPU_VNNI 4u            /* AVX-512 VNNI, besides AVX2 */
#define GSZ_CPU_ALL 0xffffffffu
unsigned gsz_cpu_features(void);

typedef struct {
    void *(*allocate)(void *opaque, size_t size);
    void (*release)(void *opaque, void *pointer);
    void *opaque;
} gsz_allocator;

/* What both ends have of a tensor before it is sent: arrays of its dtype and shape, or NULL.  The gradient model uses them;
 * the message holds their checksum, and decoding needs the very same. */
#define GSZ_MAX_PAST 2u
typedef struct {
    const void *reference;          /* values near those to be sent, such as the global weights */
    const void *past[GSZ_MAX_PAST]; /* what was decoded in earlier rounds, less their references; the latest first */
} gsz_prior;

/* A message of a stream tells where it belongs. */
typedef struct {
    uint64_t id, sequence;
    int key;                        /* decodes without a state */
    unsigned history;               /* earlier rounds that both ends keep, up to GSZ_MAX_PAST */
    uint64_t digest;                /* of the state that both ends must have; 0 of a key */
    const uint8_t *note;            /* what else the ends tell each other, as it is; none of a key.  Read: bytes of the message */
    size_t note_size;               /* 0 = none */
} gsz_stream;

/* Options of a call.  Start from gsz_options_init. */
typedef struct {
    unsigned cpu_mask;          /* features allowed; GSZ_CPU_ALL by default, 0 = portable C */
    unsigned nthreads;          /* 1 by default */
    uint64_t max_memory;        /* bytes the call may hold at once, its result included; 0 = no limit */
    uint64_t max_output;        /* decoded bytes allowed by gsz_open; 0 = no limit */
    const gsz_allocator *allocator; /* NULL = malloc and free; on Linux, mmap for large scratch */
    /* Random offsets of the dithered and shrunk grids.  seeded = 0: the seed is a hash of the tensors. */
    int seeded;
    uint64_t seed;
    uint32_t slot, slots;       /* client `slot` of `slots` shifts the offsets of a shared seed by slot / slots bin; 0, 0 = not */
    int bound_over;             /* gsz_bound_over; GSZ_OVER_MESSAGE is for GSZ_ABS, GSZ_REL and GSZ_RMS */
    const gsz_stream *stream;   /* NULL: the message is of none */
} gsz_options;

void gsz_options_init(gsz_options *options);

/* Quantisers of papers, in place of an error bound.  None bounds the error of single values (docs/quantisers.md). */
typedef enum { GSZ_SPARSE_DITHERING = 1, GSZ_SPHERICAL = 2, GSZ_M22 = 3 } gsz_scheme;
typedef enum { GSZ_FAMILY_AUTO = 0, GSZ_GENNORM = 1, GSZ_DWEIBULL = 2 } gsz_family;

typedef struct {
    int scheme;                 /* gsz_scheme: which of the members below count */
    double target;              /* Sparse Dithering nu, from 2^-40 to 2^40; Spherical alpha, between 0 and 1 */
    int unbiased;               /* Sparse Dithering: round at random, by the seed of the options */
    unsigned block;             /* Spherical: values a block, 2 to 256 */
    unsigned bits;              /* M22: 2^bits levels, 1 to 6 */
    int power;                  /* M22: M, 0 to 8 */
    int family;                 /* M22: gsz_family */
    double keep;                /* M22: the part of the entries that is kept, above 0 and at most 1, the largest of all the
                                 * inputs that point to this quantiser; */
    double threshold;           /* M22: or, above 0, the least magnitude that is kept */
    double shape, scale;        /* M22: of the density; shape 0 = fitted by moments */
} gsz_quantiser;

/* One tensor to encode: C order, native byte order, aligned, no padding between elements. */
typedef struct {
    const char *name;           /* UTF-8, not terminated; ignored in an unnamed message */
    size_t name_length;         /* at most 1,023 bytes */
    int dtype;                  /* gsz_dtype */
    unsigned ndim;              /* at most 32 */
    const uint64_t *shape;
    const void *data;           /* may be NULL when there are no elements */
    double bound;               /* >= 0 and finite; 0 = bit-exact; ignored for integers and bools */
    int mode;                   /* gsz_mode */
    int predictor;              /* gsz_predictor */
    int level;                  /* gsz_level */
    int grid;                   /* gsz_grid */
    const gsz_quantiser *quantiser; /* in place of the bound, for floats; NULL = none */
    gsz_prior prior;
} gsz_input;

/* Zeros, and the choices left to the library: GSZ_PREDICT_AUTO, GSZ_LEVEL_BALANCED, GSZ_GRID_AUTO. */
void gsz_input_init(gsz_input *input);

/* The absolute bound that a tensor's bound and mode mean for its values; 0 = bit-exact.  Under GSZ_GRID_AUTO and the gradient
 * model the eb of a message is at most so much. */
int gsz_error_bound(const gsz_input *tensor, const gsz_options *options, double *eb);

/* Largest size of a message holding these tensors (data may be NULL), 0 if not representable. */
uint64_t gsz_compress_bound(const gsz_input *tensors, size_t count, int named);

/* Encode a message.  named = 0: exactly one tensor, no name.  *data comes from the allocator of the
 * options and goes back through gsz_free with the same options. */
int gsz_encode(const gsz_input *tensors, size_t count, int named, const gsz_options *options,
               uint8_t **data, size_t *size);
void gsz_free(const gsz_options *options, void *data);

/* What the table of a message says of one tensor.  Pointers live as long as the message. */
typedef struct {
    const char *name;
    size_t name_length;
    int dtype;
    unsigned ndim;
    const uint64_t *shape;
    uint64_t elements;
    uint64_t nbytes;            /* decoded */
    uint64_t compressed;        /* bytes of its table entry and its section; its share where several tensors have one */
    int codec;                  /* gsz_codec */
    int mode, grid, predictor, coder;   /* meaningful for GSZ_CODEC_UNIFORM and GSZ_CODEC_MODEL */
    double eb;                  /* absolute bound; 0 for the bit-exact codecs; infinite where there is none */
    double scale;               /* Sparse Dithering: what values are multiples of */
    const uint8_t *levels;      /* M22: `nlevels` numbers of the dtype, little-endian, not aligned */
    unsigned nlevels;
    unsigned block;             /* Spherical */
    int referenced;             /* whether decoding needs a reference, and of how many earlier rounds */
    unsigned rounds;
} gsz_info;

typedef struct gsz_message gsz_message;

/* Open a message: checks the header and that the sections fill the rest exactly.  The bytes are not
 * copied and must outlive the message. */
int gsz_open(const void *data, size_t size, const gsz_options *options, gsz_message **message);
void gsz_close(gsz_message *message);
size_t gsz_message_count(const gsz_message *message);
int gsz_message_named(const gsz_message *message);
unsigned gsz_message_version(const gsz_message *message);
int gsz_message_info(const gsz_message *message, size_t index, gsz_info *info);

/* Decode one tensor into out (C order, native byte order); size must be its nbytes exactly.
 * `out` must be aligned for its dtype.  The section's checksum is checked before anything is decoded.  On an error,
 * out holds nothing useful. */
int gsz_decode(const gsz_message *message, size_t index, void *out, size_t size);

/* Decode several tensors at once: out[i] and size[i] are those of tensor i, out[i] = NULL for one that is not wanted.
 * Faster than one by one: small tensors share segments, and threads share the work. */
int gsz_decode_tensors(const gsz_message *message, void *const *out, const size_t *size);

/* The same with what both ends have, one a tensor; GSZ_E_STATE where it is not what the message was encoded with. */
int gsz_decode_with(const gsz_message *message, const gsz_prior *priors, void *const *out, const size_t *size);

/* 1 and where the message belongs, for one of a stream; else 0. */
int gsz_message_stream(const gsz_message *message, gsz_stream *stream);

/* Where the bits of a tensor of GSZ_CODEC_MODEL went; coding tables and the table entry are not counted. */
typedef struct {
    unsigned unit_bits, rank;
    double weights, scales, factors, symbols, low, others;  /* bits: of residuals symbols, raw low bits, and those without a symbol */
} gsz_bits;

/* Decodes the tensor's segments to find out.  Zeros for other codecs. */
int gsz_message_bits(const gsz_message *message, size_t index, gsz_bits *bits);

/* 0 when this build and the current CPU settings compute floats as the format needs. */
int gsz_selftest(void);

/* CRC-32C of bytes, going on from `crc`; 0 at first. */
uint32_t gsz_crc32c_of(uint32_t crc, const void *data, size_t size);

/* The error that a decode of x' for x makes, against eb, in exact arithmetic: 1 within, 0 not. */
int gsz_within(double x, double decoded, double eb);

#ifdef __cplusplus
}
#endif

#endif
