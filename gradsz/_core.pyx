# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""Binding of the C core: arguments in, bytes or arrays out, statuses to exceptions.

Nothing here knows numpy beyond the buffer protocol.  Policy (dtypes, modes, layouts) lives in the plain modules.
"""
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from gradsz.errors import raise_status


cdef extern from "gradsz.h" nogil:
    ctypedef struct gsz_prior:
        const void *reference
        const void *past[2]     # MOST_PAST
    ctypedef struct gsz_stream:
        uint64_t id
        uint64_t sequence
        int key
        unsigned history
        uint64_t digest
        const uint8_t *note
        size_t note_size
    ctypedef struct gsz_options:
        unsigned cpu_mask
        unsigned nthreads
        uint64_t max_memory
        uint64_t max_output
        int seeded
        uint64_t seed
        uint32_t slot
        uint32_t slots
        int bound_over
        const gsz_stream *stream
    ctypedef struct gsz_quantiser:
        int scheme
        double target
        int unbiased
        unsigned block
        unsigned bits
        int power
        int family
        double keep
        double threshold
        double shape
        double scale
    ctypedef struct gsz_input:
        const char *name
        size_t name_length
        int dtype
        unsigned ndim
        const uint64_t *shape
        const void *data
        double bound
        int mode
        int predictor
        int level
        int grid
        const gsz_quantiser *quantiser
        gsz_prior prior
    ctypedef struct gsz_info:
        const char *name
        size_t name_length
        int dtype
        unsigned ndim
        const uint64_t *shape
        uint64_t elements
        uint64_t nbytes
        uint64_t compressed
        int codec
        int mode
        int grid
        int predictor
        int coder
        double eb
        double scale
        const uint8_t *levels
        unsigned nlevels
        unsigned block
        int referenced
        unsigned rounds
    ctypedef struct gsz_bits:
        unsigned unit_bits
        unsigned rank
        double weights
        double scales
        double factors
        double symbols
        double low
        double others
    ctypedef struct gsz_message:
        pass
    void gsz_options_init(gsz_options *options)
    const char *gsz_status_text(int status)
    unsigned gsz_cpu_features()
    int gsz_selftest()
    uint32_t gsz_crc32c_of(uint32_t crc, const void *data, size_t size)
    int gsz_within(double x, double decoded, double eb)
    int gsz_error_bound(const gsz_input *tensor, const gsz_options *options, double *eb)
    uint64_t gsz_compress_bound(const gsz_input *tensors, size_t count, int named)
    int gsz_encode(const gsz_input *tensors, size_t count, int named, const gsz_options *options,
                   uint8_t **data, size_t *size)
    int gsz_open(const void *data, size_t size, const gsz_options *options, gsz_message **message)
    void gsz_close(gsz_message *message)
    size_t gsz_message_count(const gsz_message *message)
    int gsz_message_named(const gsz_message *message)
    unsigned gsz_message_version(const gsz_message *message)
    int gsz_message_info(const gsz_message *message, size_t index, gsz_info *info)
    int gsz_message_bits(const gsz_message *message, size_t index, gsz_bits *bits)
    int gsz_decode_with(const gsz_message *message, const gsz_prior *priors, void *const *out, const size_t *size)
    int gsz_message_stream(const gsz_message *message, gsz_stream *stream)

cdef extern from "quantisers/m22_design.h" nogil:
    ctypedef struct gsz_density:
        int family
        double shape
        double scale
    double gsz_density_variance(const gsz_density *d)
    void gsz_m22_design(const gsz_density *d, unsigned bits, int power, double *levels)
    gsz_density gsz_density_fit(int family, double mean, double square)

cdef extern from *:
    """
    #if defined(__clang__)
    #define GSZ_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define GSZ_COMPILER "gcc " __VERSION__
    #else
    #define GSZ_COMPILER "unknown compiler"
    #endif
    """
    const char *GSZ_COMPILER

cdef enum:
    RELEASE_GIL = 4096          # bytes: below, switching costs more than the work
    TAKEN = 1 << 22             # bytes of a message at once
    MOST_PAST = 2               # GSZ_MAX_PAST: room in a gsz_prior

_cpu_mask = 0xffffffff      # read by every call; written by set_cpu_mask only


def set_cpu_mask(mask):
    """Features the hot loops may use, for tests: 0 = portable C, None = all.  Returns the mask before."""
    global _cpu_mask
    before = _cpu_mask
    _cpu_mask = 0xffffffff if mask is None else int(mask) & 0xffffffff
    return before


def cpu_features():
    """Bits of the features that this machine has and the core can use."""
    return gsz_cpu_features()


def build_info():
    """Compiler of the core and the kernels chosen on this machine."""
    features = gsz_cpu_features() & _cpu_mask
    kernels = "portable C" if features & 3 != 3 else "AVX2 and AVX-512 VNNI" if features & 4 else "AVX2"
    return f"{(<bytes>GSZ_COMPILER).decode()}, {kernels} kernels"


def status_text(int status):
    return (<bytes>gsz_status_text(status)).decode()


def selftest():
    """Status of the core's check of this build's floating point; 0 is good."""
    return gsz_selftest()


def m22_levels(int family, double shape, unsigned bits, int power):
    """Levels above 0 of M22 for a density of variance 1 (family codes: gradsz.h)."""
    cdef gsz_density d
    cdef double[32] levels
    cdef unsigned i
    d.family, d.shape, d.scale = family, shape, 1
    d.scale = gsz_density_variance(&d) ** -0.5
    gsz_m22_design(&d, bits, power, levels)
    return [levels[i] for i in range(1 << (bits - 1))]


def m22_fit(int family, double mean, double square):
    """(shape, scale) of the density with these means of |x| and x^2."""
    cdef gsz_density d = gsz_density_fit(family, mean, square)
    return d.shape, d.scale


def crc32c(crc, const unsigned char[::1] data not None):
    """CRC-32C of bytes, going on from `crc`."""
    return gsz_crc32c_of(crc, &data[0] if data.shape[0] else NULL, data.shape[0])


def within(double x, double decoded, double eb):
    """Whether |x - decoded| <= eb in exact arithmetic."""
    return bool(gsz_within(x, decoded, eb))


cdef void set_options(gsz_options *options, nthreads, max_memory, max_output):
    gsz_options_init(options)
    options.cpu_mask = _cpu_mask
    options.nthreads = nthreads
    options.max_memory = max_memory
    options.max_output = max_output


cdef class _View:
    """The memory of a contiguous buffer, as long as this lives."""
    cdef Py_buffer buffer

    def __cinit__(self, array):
        PyObject_GetBuffer(array, &self.buffer, PyBUF_C_CONTIGUOUS)

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)


cdef class _Priors:
    """What both ends have, one a tensor: None, or a reference (or None) and a list of earlier rounds; holds the buffers."""
    cdef gsz_prior *priors
    cdef list views

    def __cinit__(self, list priors, list nbytes):
        cdef Py_ssize_t i, k
        self.views = []
        self.priors = <gsz_prior *>calloc(len(nbytes) + 1, sizeof(gsz_prior))
        if self.priors == NULL:
            raise MemoryError
        for i in range(len(nbytes) if priors is not None else 0):
            if priors[i] is None:
                continue
            reference, past = priors[i]
            if len(past) > MOST_PAST:
                raise ValueError(f"{len(past)} earlier rounds of a tensor, at most {MOST_PAST}")
            self.priors[i].reference = self.take(reference, nbytes[i])
            for k in range(len(past)):
                self.priors[i].past[k] = self.take(past[k], nbytes[i])

    cdef const void *take(self, array, nbytes) except? NULL:
        cdef _View view
        if array is None:
            return NULL
        view = _View(array)
        if view.buffer.len != nbytes:
            raise ValueError(f"{view.buffer.len} bytes of what both ends have for a tensor of {nbytes}")
        self.views.append(view)
        return view.buffer.buf

    def __dealloc__(self):
        free(self.priors)


cdef class _Inputs:
    """Tensors as the core takes them; holds their buffers while the core reads them."""
    cdef gsz_input *tensors
    cdef Py_buffer *views
    cdef uint64_t *shapes
    cdef size_t count, held
    cdef uint64_t nbytes
    cdef list items
    cdef gsz_quantiser *quantisers
    cdef _Priors priors

    def __cinit__(self, list items, list quantisers=None, list priors=None):
        cdef size_t dims = 0, i, d
        self.items = items
        self.count = len(items)
        for item in items:
            dims += len(item[2])
        self.tensors = <gsz_input *>calloc(self.count + 1, sizeof(gsz_input))
        self.views = <Py_buffer *>calloc(self.count + 1, sizeof(Py_buffer))
        self.shapes = <uint64_t *>calloc(dims + 1, sizeof(uint64_t))
        self.quantisers = <gsz_quantiser *>calloc(self.count + 1, sizeof(gsz_quantiser))
        if self.tensors == NULL or self.views == NULL or self.shapes == NULL or self.quantisers == NULL:
            raise MemoryError
        dims = 0
        for i in range(self.count):
            name, dtype, shape, data, bound, mode, predictor, level, grid = items[i]
            t = &self.tensors[i]
            t.name = <const char *><bytes>name
            t.name_length = len(<bytes>name)
            t.dtype = dtype
            t.ndim = len(shape)
            t.shape = self.shapes + dims
            for extent in shape:
                self.shapes[dims] = extent
                dims += 1
            t.bound = bound
            t.mode = mode
            t.predictor = predictor
            t.level = level
            t.grid = grid
            if data is not None:
                PyObject_GetBuffer(data, &self.views[i], PyBUF_C_CONTIGUOUS)
                self.held = i + 1
                t.data = self.views[i].buf
                self.nbytes += self.views[i].len
        if quantisers is not None:
            self.set_quantisers(quantisers)
        if priors is not None:
            self.priors = _Priors(priors, [self.views[i].len for i in range(self.count)])
            for i in range(self.count):
                self.tensors[i].prior = self.priors.priors[i]

    cdef set_quantisers(self, list quantisers):
        cdef size_t i, to
        places = {}         # tensors with one and the same tuple share a quantiser
        for i in range(self.count):
            if quantisers[i] is None:
                continue
            to = places.setdefault(id(quantisers[i]), i)
            q = &self.quantisers[to]
            (q.scheme, q.target, q.unbiased, q.block, q.bits, q.power, q.family,
             q.keep, q.threshold, q.shape, q.scale) = quantisers[i]
            self.tensors[i].quantiser = q

    def __dealloc__(self):
        cdef size_t i
        if self.views != NULL:
            for i in range(self.held):
                PyBuffer_Release(&self.views[i])    # does nothing where no buffer was taken
        free(self.views)
        free(self.tensors)
        free(self.shapes)
        free(self.quantisers)


def encode(list items, bint named, nthreads, seed=None, slot=None, bint bound_over=False, list quantisers=None,
           list priors=None, stream=None):
    """Message bytes of items: (name bytes, dtype code, shape, contiguous buffer, bound, mode, predictor, level, grid).

    seed (None = a hash of the items) and slot (None, or client and clients) are those of random offsets.
    bound_over: whether bounds are relative to the values of all items together.
    quantisers, one an item: None, or the members of a gsz_quantiser.
    priors, one an item: None, or what both ends have: a buffer or None, and a list of up to two of earlier rounds.
    stream: None, or (id, sequence, key, history, digest, note).
    """
    cdef _Inputs inputs = _Inputs(items, quantisers, priors)
    cdef gsz_options options
    cdef gsz_stream place
    cdef const unsigned char[::1] note
    cdef uint8_t *data = NULL
    cdef size_t size = 0
    cdef int status
    set_options(&options, nthreads, 0, 0)
    if seed is not None:
        options.seeded = 1
        options.seed = seed
    if slot is not None:
        options.slot, options.slots = slot
    options.bound_over = bound_over
    if stream is not None:
        place.id, place.sequence, place.key, place.history, place.digest, note = stream
        place.note_size = note.shape[0]
        place.note = &note[0] if place.note_size else NULL
        options.stream = &place
    if inputs.nbytes > RELEASE_GIL:
        with nogil:
            status = gsz_encode(inputs.tensors, inputs.count, named, &options, &data, &size)
    else:
        status = gsz_encode(inputs.tensors, inputs.count, named, &options, &data, &size)
    if status:
        raise_status(status)
    return taken(data, size)


cdef bytes taken(uint8_t *data, size_t size):
    """The core's memory as bytes: from its end, giving back what was copied, so that a large message is not twice in memory."""
    cdef uint8_t *smaller
    cdef size_t left = size, part
    try:
        result = PyBytes_FromStringAndSize(NULL, size)
        while left > 0:
            part = min(left, <size_t>TAKEN)
            left -= part
            memcpy(PyBytes_AsString(result) + left, data + left, part)
            smaller = <uint8_t *>realloc(data, left) if left > 0 else NULL
            if smaller != NULL:
                data = smaller
        return result
    finally:
        free(data)


def absolute_bound(tuple item not None):
    """The absolute bound of an item as encode takes them; 0.0 = bit-exact."""
    cdef _Inputs inputs = _Inputs([item])
    cdef gsz_options options
    cdef double eb = 0
    set_options(&options, 1, 0, 0)
    with nogil:
        status = gsz_error_bound(inputs.tensors, &options, &eb)
    if status:
        raise_status(status)
    return eb


def compress_bound(list items, bint named):
    """Largest message of items as encode takes them; their buffers may be None."""
    cdef _Inputs inputs = _Inputs(items)
    return gsz_compress_bound(inputs.tensors, inputs.count, named)


cdef class Message:
    """An open message: its table, and its tensors one by one.  May be read from several threads at once."""
    cdef gsz_message *message
    cdef const unsigned char[::1] data
    cdef readonly Py_ssize_t nbytes

    def __cinit__(self, const unsigned char[::1] data not None, nthreads=1, max_output=0):
        cdef gsz_options options
        set_options(&options, nthreads, 0, max_output)
        self.data = data
        self.nbytes = data.shape[0]
        status = gsz_open(&data[0] if self.nbytes else NULL, self.nbytes, &options, &self.message)
        if status:
            raise_status(status)

    def __dealloc__(self):
        gsz_close(self.message)

    def __len__(self):
        return gsz_message_count(self.message)

    @property
    def named(self):
        return bool(gsz_message_named(self.message))

    @property
    def version(self):
        return gsz_message_version(self.message)

    def entry(self, size_t index):
        """(name, dtype code, shape, nbytes, compressed, codec, mode, eb, grid, predictor, coder, scale, bytes of levels, block,
        referenced, rounds)."""
        cdef gsz_info info
        cdef unsigned i
        status = gsz_message_info(self.message, index, &info)
        if status:
            raise_status(status)
        name = info.name[:info.name_length].decode() if gsz_message_named(self.message) else None
        shape = tuple([info.shape[i] for i in range(info.ndim)])
        levels = bytes([info.levels[i] for i in range(info.nlevels * (info.nbytes // info.elements))]) if info.nlevels else b""
        return (name, info.dtype, shape, info.nbytes, info.compressed, info.codec, info.mode, info.eb,
                info.grid, info.predictor, info.coder, info.scale, levels, info.block, bool(info.referenced), info.rounds)

    def bits(self, size_t index):
        """(rank, unit bits, bits of weights, scales, factors, symbols, low bits, others) of a tensor under the model."""
        cdef gsz_bits bits
        status = gsz_message_bits(self.message, index, &bits)
        if status:
            raise_status(status)
        return (bits.rank, bits.unit_bits, bits.weights, bits.scales, bits.factors, bits.symbols, bits.low, bits.others)

    @property
    def stream(self):
        """(id, sequence, key, history, digest, note) of a message of a stream, else None."""
        cdef gsz_stream place
        if not gsz_message_stream(self.message, &place):
            return None
        note = PyBytes_FromStringAndSize(<char *>place.note, place.note_size) if place.note_size else b""
        return (place.id, place.sequence, bool(place.key), place.history, place.digest, note)

    def decode_into(self, list outs not None, list priors=None):
        """Decode tensors into writeable contiguous buffers of exactly their nbytes: one a tensor, None = not wanted.

        priors: as in encode.
        """
        cdef _Priors known
        cdef gsz_info entry
        cdef gsz_prior *given = NULL
        cdef size_t count = gsz_message_count(self.message), held = 0, nbytes = 0
        cdef Py_buffer *views = <Py_buffer *>calloc(count + 1, sizeof(Py_buffer))
        cdef void **out = <void **>calloc(count + 1, sizeof(void *))
        cdef size_t *size = <size_t *>calloc(count + 1, sizeof(size_t))
        cdef int status
        try:
            if views == NULL or out == NULL or size == NULL or <size_t>len(outs) != count:
                raise MemoryError
            for held in range(count):
                if outs[held] is not None:
                    PyObject_GetBuffer(outs[held], &views[held], PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
                    out[held] = views[held].buf
                    size[held] = views[held].len
                    nbytes += size[held]
            if priors is not None:
                sizes = []
                for held in range(count):
                    gsz_message_info(self.message, held, &entry)
                    sizes.append(entry.nbytes)
                known = _Priors(priors, sizes)
                given = known.priors
            if nbytes > RELEASE_GIL:
                with nogil:
                    status = gsz_decode_with(self.message, given, out, size)
            else:
                status = gsz_decode_with(self.message, given, out, size)
        finally:
            for held in range(count if views != NULL else 0):
                PyBuffer_Release(&views[held])      # does nothing where no buffer was taken
            free(views)
            free(out)
            free(size)
        if status:
            raise_status(status)


if gsz_selftest():
    raise ImportError("gradsz: " + status_text(gsz_selftest()) + "; rebuild without fast-math and contraction")
