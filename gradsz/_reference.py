"""A slow decoder written from docs/format.md alone; section numbers in the comments are its.

It shares no code with the core: the tests compare the two, and it shows what a decoder has to do.
Not part of the public interface.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gradsz.errors import CorruptError, LimitError, StateMismatchError, TruncatedError, UnsupportedError

VERSION = 0
LARGEST = 2**62                 # bytes of a tensor, a table, a section or a segment (2)

# Code: name and bytes of an element (3.1).
DTYPES = {0: ("float16", 2), 1: ("bfloat16", 2), 2: ("float32", 4), 3: ("float64", 8),
          8: ("int8", 1), 9: ("int16", 2), 10: ("int32", 4), 11: ("int64", 8),
          12: ("uint8", 1), 13: ("uint16", 2), 14: ("uint32", 4), 15: ("uint64", 8), 16: ("bool", 1)}
FLOATS = range(0, 4)
ALIGNED, CENTRED, DITHERED, SHRUNK = range(4)               # grids (3.2)
EMPTY, CONSTANT, RAW, EXACT, UNIFORM, MODEL, SPHERICAL, GATHERED = range(8)     # codecs (3.2)
LABELS = 6                                                  # a mode (3.2)


def decode(buf, *, max_output: int | None = None, reference=None, past=()) -> dict[str, np.ndarray]:
    """All tensors of a message by name; one unnamed tensor has the name "".  bfloat16 needs ml_dtypes.

    `reference` and `past` (rounds, the latest first): arrays by name, that both ends have."""
    message = bytes(buf)
    parts = read_message(message, max_output)
    try:
        known_before = prior_of(parts.table, reference or {}, past)
        together = decode_segments(parts, known_before) | decode_runs(parts)
        return {entry.name: as_array(entry, with_levels(entry, together[i] if i in together else decode_section(entry, section)))
                for i, (entry, section) in enumerate(zip(parts.table.entries, parts.sections, strict=True))}
    except MemoryError:
        raise LimitError("out of memory") from None


# ---- 1. conventions

def corrupt_unless(good: bool, what: str) -> None:
    if not good:
        raise CorruptError(what)


def known(good: bool, what: str) -> None:
    if not good:
        raise UnsupportedError(f"reserved {what}")


class Bytes:
    """A cursor over some bytes.  `short` is raised where they do not suffice."""

    def __init__(self, data: bytes, short: type[CorruptError] = CorruptError):
        self.data, self.at, self.short, self.field = data, 0, short, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def of(self, field: int) -> Bytes:
        """Itself: what is taken next is this field of an entry (3.5)."""
        self.field = field
        return self

    def take(self, n: int) -> bytes:
        if n > self.left:
            raise self.short(f"{n} bytes are needed, {self.left} are left")
        self.at += n
        return self.data[self.at - n:self.at]

    def integer(self, n: int) -> int:
        return int.from_bytes(self.take(n), "little")

    def varint(self) -> int:
        value = 0
        for i in range(10):
            byte = self.integer(1)
            value |= (byte & 0x7f) << (7 * i)
            if byte < 0x80:
                corrupt_unless(value < 2**64 and (byte > 0 or i == 0), "varint: not the shortest form, or too large")
                return value
        raise CorruptError("varint of more than ten bytes")

    def rest(self) -> bytes:
        return self.take(self.left)

    def end(self) -> None:
        corrupt_unless(self.left == 0, f"{self.left} bytes left over")


class Bits:
    """A cursor over the bits of some bytes, the lowest first (1.3)."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, n: int) -> int:
        corrupt_unless(self.at + n <= 8 * len(self.data), "bits missing")
        word = int.from_bytes(self.data[self.at // 8:(self.at + n + 7) // 8], "little")
        value = word >> self.at % 8 & (1 << n) - 1
        self.at += n
        return value

    def fill(self) -> int:
        """Skip the filler of the last byte; returns the bytes used."""
        corrupt_unless(self.take(-self.at % 8) == 0, "filler bits that are not 0")
        return self.at // 8

    def end(self) -> None:
        corrupt_unless(self.fill() == len(self.data), "bytes left over in a stream")

    def number(self, order: int) -> int:
        """An Exp-Golomb code (1.5)."""
        b = order
        while self.take(1):
            b += 1
            corrupt_unless(b <= 28, "a number too long")
        return (1 << b) + self.take(b) - (1 << order)

    def signed(self, order: int) -> int:
        v = self.number(order)
        return v // 2 if v % 2 == 0 else -(v + 1) // 2


def crc32c(data: bytes, before: int = 0) -> int:
    crc = before ^ 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def _crc_of_byte(v: int) -> int:
    for _ in range(8):
        v = v >> 1 ^ (0x82f63b78 if v & 1 else 0)
    return v


CRC_TABLE = [_crc_of_byte(byte) for byte in range(256)]


# ---- 2. message

@dataclass
class Message:
    table: Table
    sections: list[bytes]       # one an entry, with its checksum; empty where it has none
    runs: list[bytes]           # sections of the runs, likewise
    segments: list[bytes]       # with their checksums


def read_message(message: bytes, max_output: int | None) -> Message:
    corrupt_unless(message[:3] == b"GSZ"[:len(message)], "not a gradsz message")
    cursor = Bytes(message, TruncatedError)
    cursor.take(3)
    if (version := cursor.integer(1)) != VERSION:
        raise UnsupportedError(f"format version {version}")
    flags = cursor.integer(1)
    known(flags < 16, "flags")
    size = cursor.varint()
    corrupt_unless(size <= LARGEST, "table length")
    data = cursor.take(size)
    covered = message[:cursor.at]
    corrupt_unless(cursor.integer(4) == crc32c(covered), "checksum of the header")
    table = read_table(Bytes(data), flags)
    check_output(sum(entry.nbytes for entry in table.entries), max_output)
    sections = [cursor.take(entry.section_size + 4) if has_section(entry) else b"" for entry in table.entries]
    runs = [cursor.take(run.section_size + 4) for run in table.runs]
    segments = [cursor.take(size + 4) for size in table.segment_sizes]
    cursor.end()
    return Message(table, sections, runs, segments)


def check_output(nbytes: int, max_output: int | None) -> None:
    if nbytes >= 2**64 or max_output is not None and nbytes > max_output:
        raise LimitError(f"the message decodes to {nbytes} bytes")


def has_section(entry: Entry) -> bool:
    return RAW <= entry.codec <= UNIFORM or entry.codec == SPHERICAL


def unsealed(data: bytes) -> bytes:
    """The payload of a section or segment; its checksum stands behind it."""
    payload, stored = data[:-4], data[-4:]
    corrupt_unless(int.from_bytes(stored, "little") == crc32c(payload), "checksum of a section or segment")
    return payload


# ---- 3. tensor table

@dataclass
class Entry:
    name: str = ""
    dtype: int = 0
    shape: tuple[int, ...] = ()
    codec: int = EMPTY
    constant: bytes = b""
    eb: float = 0.0
    grid: int = 0
    predictor: int = 0
    section_size: int = 0
    levels: bytes | None = None         # of labels
    block: int = 0                      # spherical
    key: int = 0
    referenced: bool = False            # what both ends have (3.7)
    rounds: int = 0

    @property
    def itemsize(self) -> int:
        return DTYPES[self.dtype][1]

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.elements * self.itemsize


@dataclass
class Table:
    entries: list[Entry]
    runs: list[Entry]                   # of gathered tensors, as tensors of their own
    stream: Stream | None
    checksum: int                       # of what both ends have
    seed: int
    slot: int
    frequencies: list[Frequencies]      # of all contexts
    segments: list[list[Part]]
    segment_sizes: list[int]


@dataclass
class Stream:
    key: bool
    history: int
    id: int
    sequence: int
    digest: int
    note: bytes


def read_table(table: Bytes, flags: int) -> Table:
    named = flags & 1 > 0
    entries = read_packed(table, named) if flags & 2 else read_entries(table, named)
    runs = read_runs(table, entries)
    stream = read_stream(table) if flags & 8 else None
    checksum = read_prior(table, entries) if flags & 4 else 0
    frequencies, segments, sizes, seed, slot = [], [], [], 0, 0
    if any(entry.grid >= DITHERED for entry in entries):
        seed, slots = table.varint(), table.varint()
        corrupt_unless(slots < 2**32, "slots")
        slot = table.varint() if slots > 0 else 0
        corrupt_unless(slot < max(slots, 1), "slot")
        slot = (slot << 32) // max(slots, 1)
    if any(entry.codec == MODEL for entry in entries):
        frequencies = read_frequencies(table)
        for segment in cut(entries):        # every length takes bytes, too
            segments.append(segment)
            sizes.append(table.varint())
            corrupt_unless(sizes[-1] <= LARGEST, "segment length")
    table.end()
    corrupt_unless(len({entry.name for entry in entries}) == len(entries), "a name stands twice")
    return Table(entries, runs, stream, checksum, seed, slot, frequencies, segments, sizes)


def read_stream(table: Bytes) -> Stream:
    """3.6"""
    kind = table.integer(1)
    key, history, noted = kind & 1 > 0, kind >> 1 & 63, kind >> 7 > 0
    known(history <= 2, "kind of a message of a stream")
    stream = Stream(key, history, table.integer(8), table.varint(), 0 if key else table.integer(8), b"")
    if noted:
        corrupt_unless(not key, "a key with a note")
        stream.note = table.take(table.varint())
        corrupt_unless(len(stream.note) > 0, "a note without bytes")
    return stream


def read_prior(table: Bytes, entries: list[Entry]) -> int:
    """3.7: the checksum; what entries use is noted there."""
    checksum = table.integer(4)
    modelled = [entry for entry in entries if entry.codec == MODEL]
    bits = Bits(table.take((3 * len(modelled) + 7) // 8))
    for entry in modelled:
        entry.referenced, entry.rounds = bits.take(1) > 0, bits.take(2)
        known(entry.rounds <= 2, "rounds")
    bits.end()
    corrupt_unless(any(entry.referenced or entry.rounds for entry in modelled), "nothing that both ends have is used")
    return checksum


@dataclass
class Prior:
    """What both ends have of a tensor, in C order."""
    reference: np.ndarray | None
    past: list[np.ndarray]


def prior_of(table: Table, reference, past) -> dict[int, Prior]:
    """3.7, by the places of tensors."""
    found, checksum = {}, 0
    for i, entry in enumerate(table.entries):
        if not entry.referenced and not entry.rounds:
            continue
        arrays = [reference] * entry.referenced + list(past[:entry.rounds])
        if len(arrays) < entry.referenced + entry.rounds or any(entry.name not in known_by for known_by in arrays):
            raise StateMismatchError("what both ends have is missing")
        values_of = [np.ascontiguousarray(known_by[entry.name]).reshape(-1) for known_by in arrays]
        for x in values_of:
            checksum = crc32c(x.view(f"u{entry.itemsize}").astype(f"<u{entry.itemsize}").tobytes(), checksum)
        found[i] = Prior(values_of[0] if entry.referenced else None, values_of[int(entry.referenced):])
    if checksum != table.checksum:
        raise StateMismatchError("what both ends have differs")
    return found


# ---- 3.8 gradient-aware prediction

@dataclass
class Kept:
    """Of a tensor after a message, in C order."""
    dtype: int
    shape: tuple[int, ...]
    integers: list[int]
    momentum: list[int]
    weight: int = 0
    prediction: list[float] | None = None       # of the message; without the caller's reference, not yet rounded to the dtype


def foresee(note: bytes, entries: list[Entry], before: dict[str, Kept]) -> dict[str, Kept]:
    """Predictions, momenta and weights of the known tensors of a message; `integers` are still those before it."""
    cursor = Bytes(note or b"\0\0\0")
    flags, beta = cursor.integer(1), cursor.integer(2) + 1
    known(flags < 2, "flags of a note")
    corrected = flags == 1
    is_known = [entry.elements > 0 and entry.name in before and
                (before[entry.name].dtype, before[entry.name].shape) == (entry.dtype, entry.shape) for entry in entries]
    arrays = decode(cursor.rest(), max_output=9 * len(entries) + sum(entry.elements for entry in entries)) if cursor.left else {}
    corrupt_unless(not arrays or {"m", "s"} <= set(arrays) <= {"m", "s", "1", "2"}, "arrays of a note")
    for name, array in arrays.items():
        corrupt_unless(array.ndim == 1 and array.dtype == ("float32" if name == "s" else "uint8"), "an array of a note")
    modes = arrays["m"].tolist() if arrays else [0] * len(entries)
    corrupt_unless(len(modes) == len(entries) and any(modes) == bool(arrays), "modes")
    stats, level1, level2 = [Bytes(arrays[name].tobytes() if name in arrays else b"") for name in "s12"]
    first, second = Bits(level1.rest()), Bits(level2.rest())
    result = {}
    for entry, mode, here in zip(entries, modes, is_known, strict=True):
        corrupt_unless(mode <= 3 and (here or mode == 0), "mode")
        if here:
            mean, deviation = (read_stat(stats), read_stat(stats)) if mode else (0.0, 0.0)
            kernels = read_kernels(entry, first, second) if mode == 3 else []
            result[entry.name] = advance(before[entry.name], mode, mean, deviation, kernels, beta, corrected)
    stats.end()
    first.end()
    second.end()
    corrupt_unless(("1" in arrays) == ("2" in arrays) == (3 in modes), "bitmaps")
    return result


def read_stat(stats: Bytes) -> float:
    value = float(np.frombuffer(stats.take(4), "<f4")[0])
    corrupt_unless(math.isfinite(value) and value >= 0, "mean or deviation")
    return value


def read_kernels(entry: Entry, first: Bits, second: Bits) -> list[int]:
    """The sign of each element: 0 in kernels that are not predicted."""
    size = math.prod(entry.shape[2:])
    corrupt_unless(len(entry.shape) >= 3 and size >= 4, "a tensor without kernels")
    signs = [(1 if second.take(1) else -1) if first.take(1) else 0 for _ in range(entry.elements // size)]
    return [sign for sign in signs for _ in range(size)]


def advance(kept: Kept, mode: int, mean: float, deviation: float, kernels: list[int], beta: int, corrected: bool) -> Kept:
    signs = kernels if mode == 3 else [((k > 0) - (k < 0)) * (0, 1, -1)[mode] for k in kept.integers]
    counted = [corrected or mode in (1, 2) or mode == 3 and sign != 0 for sign in signs]
    momentum = [toward(m, z, beta) if here else m for m, z, here in zip(kept.momentum, standardised(kept.integers), counted, strict=True)]
    weight = toward(kept.weight, 2**16, beta) if corrected else kept.weight
    prediction = []
    for m, sign in zip(momentum, signs, strict=True):
        a = float((m << 16) // weight if corrected else m) * 2.0**-16 * deviation
        a = a + mean
        prediction.append(sign * (max(a, 0.0) if corrected else abs(a)) if sign else 0.0)
    return Kept(kept.dtype, kept.shape, kept.integers, momentum, weight, [p or 0.0 for p in prediction] if mode else None)


def toward(x: int, y: int, beta: int) -> int:
    return x + (beta * (y - x) + 2**15 >> 16)


def standardised(integers: list[int]) -> list[int]:
    sizes = [abs(k) for k in integers]
    n, total = len(sizes), sum(sizes)
    mean = (total << 16) // n
    deviation = math.isqrt((n * sum(size * size for size in sizes) - total * total) << 32) // n
    return [max(-2**26, min(2**26, ((size << 16) - mean << 16) // deviation)) if deviation else 0 for size in sizes]


def read_entries(table: Bytes, named: bool) -> list[Entry]:
    count = table.of(COUNT).varint() if named else 1
    entries: list[Entry] = []
    name, eb = b"", 0.0             # of the entry before, and the last bound before
    for _ in range(count):          # every entry takes bytes, so a false count ends soon
        name = read_name(table, name) if named else b""
        entries.append(read_entry(table, name, eb))
        eb = entries[-1].eb or eb
    return entries


def read_name(table: Bytes, before: bytes) -> bytes:
    front, back = table.of(FRONT).integer(1), table.of(BACK).integer(1)
    corrupt_unless(front + back <= len(before), "a name of more bytes than the one before has")
    middle = table.of(NAME_LENGTH).varint()
    name = before[:front] + table.of(NAME).take(middle) + before[len(before) - back:]
    corrupt_unless(len(name) <= 1023, "name too long")
    return name


def read_entry(table: Bytes, name: bytes, eb: float) -> Entry:
    """An entry behind its name; `eb` is the last bound before it (3.1)."""
    try:
        entry = Entry(name.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise CorruptError("a name that is not UTF-8") from None
    kind = table.of(KIND).integer(1)
    entry.dtype, entry.codec = kind & 31, kind >> 5
    known(entry.dtype in DTYPES, "dtype")
    dimensions = table.of(NDIM).integer(1)
    corrupt_unless(dimensions <= 32, "more than 32 dimensions")
    entry.shape = tuple(table.of(SHAPE + min(d, 3)).varint() for d in range(dimensions))
    if math.prod(max(n, 1) for n in entry.shape) * entry.itemsize > LARGEST:
        raise LimitError(f"a tensor of shape {entry.shape}")
    corrupt_unless((entry.codec == EMPTY) == (entry.elements == 0), "codec empty is for empty tensors")
    if entry.codec == CONSTANT:
        entry.constant = table.of(OTHER).take(entry.itemsize)
    if entry.codec in (UNIFORM, MODEL):
        read_bound(table, entry, eb)
    if entry.codec == SPHERICAL:
        known(table.of(OTHER).integer(1) == 0, "scheme")
        entry.block, entry.key = table.integer(1) + 1, table.integer(8)
        corrupt_unless(entry.block > 1 and entry.dtype in FLOATS, "spherical")
    if entry.codec == UNIFORM:
        read_predictor(table, entry)
    if has_section(entry):
        entry.section_size = table.of(SECTION).varint()
        corrupt_unless(entry.section_size <= LARGEST, "section length")
    if entry.codec == RAW:
        corrupt_unless(entry.section_size == entry.nbytes, "section length of a raw tensor")
    return entry


def read_bound(table: Bytes, entry: Entry, eb: float) -> None:
    kind = table.of(MODE).integer(1)
    mode, grid, size = kind & 7, kind >> 3 & 3, kind >> 5
    known(mode <= LABELS, "mode")
    known(grid == ALIGNED or entry.codec == MODEL, "grid")
    entry.grid = grid
    if size > 0:
        first = table.of(BOUND).take(1) + table.of(BOUND_2).take(1) + table.of(OTHER).take(size - 1)
        eb = float(np.frombuffer(first.ljust(8, b"\0"), ">f8")[0])
    entry.eb = eb
    corrupt_unless(entry.dtype in FLOATS, "a bound is for floats")
    corrupt_unless(0 < entry.eb < math.inf and step(entry.dtype, entry.eb) > 0, "error bound")
    if mode == LABELS:
        count = table.of(OTHER).integer(1)
        corrupt_unless(count <= 32, "levels")
        entry.levels = table.take(count * entry.itemsize)
        levels = as_floats(entry.levels, entry.dtype)
        corrupt_unless(bool(np.isfinite(levels).all()) and not np.signbit(levels).any(), "levels")


def read_predictor(table: Bytes, entry: Entry) -> None:
    kind = table.of(PREDICTOR).integer(1)
    entry.predictor = kind & 15
    known(kind <= 3, "predictor or coder")
    used = sum(n != 1 for n in entry.shape)
    corrupt_unless(entry.predictor < 2 or used >= entry.predictor, "more predicted dimensions than there are")
    corrupt_unless(unit(entry) <= 2**18, "rows or planes too large for a chunk")


def decode_section(entry: Entry, section: bytes) -> bytes:
    """Elements of a tensor, little-endian."""
    if entry.codec < RAW:
        return entry.constant * entry.elements
    section = unsealed(section)
    if entry.codec == RAW:
        return section
    size = chunk_size(entry)
    corrupt_unless(len(section) >= -(-entry.elements // size), "more chunks than bytes")
    counts = [min(size, entry.elements - start) for start in range(0, entry.elements, size)]
    cursor = Bytes(section)
    lengths = [cursor.varint() for _ in counts] if len(counts) > 1 else [len(section)]
    chunks = [cursor.take(length) for length in lengths]
    cursor.end()
    if entry.codec == EXACT:
        return b"".join(decode_exact(chunk, n, entry.itemsize) for chunk, n in zip(chunks, counts, strict=True))
    if entry.codec == SPHERICAL:
        return b"".join(decode_directions(chunk, n, entry, i * size // entry.block)
                        for i, (chunk, n) in enumerate(zip(chunks, counts, strict=True)))
    return b"".join(decode_uniform(chunk, n, entry) for chunk, n in zip(chunks, counts, strict=True))


def as_array(entry: Entry, elements: bytes) -> np.ndarray:
    name = DTYPES[entry.dtype][0]
    if name == "bfloat16":
        import ml_dtypes
        flat = np.frombuffer(elements, "<u2").astype(np.uint16).view(ml_dtypes.bfloat16)
    else:
        dtype = np.dtype(name)
        flat = np.frombuffer(elements, dtype.newbyteorder("<")).astype(dtype)
    return flat.reshape(entry.shape)


# 3.4 gathered tensors

def read_runs(table: Bytes, entries: list[Entry]) -> list[Entry]:
    runs = []
    for dtype in DTYPES:
        if (elements := sum(entry.elements for entry in entries if entry.codec == GATHERED and entry.dtype == dtype)) == 0:
            continue
        run = Entry(dtype=dtype, shape=(elements,), codec=EXACT, section_size=table.varint())
        if run.nbytes > LARGEST:
            raise LimitError(f"gathered tensors of {run.nbytes} bytes")
        corrupt_unless(run.section_size <= LARGEST, "section length")
        if run.section_size == run.nbytes:
            run.codec = RAW
        runs.append(run)
    return runs


def decode_runs(message: Message) -> dict[int, bytes]:
    """Elements of the gathered tensors, by their places in the table."""
    decoded = {}
    for run, section in zip(message.table.runs, message.runs, strict=True):
        elements = Bytes(decode_section(run, section))
        for i, entry in enumerate(message.table.entries):
            if entry.codec == GATHERED and entry.dtype == run.dtype:
                decoded[i] = elements.take(entry.nbytes)
    return decoded


# 3.5 packed entries

COUNT, FRONT, BACK, NAME_LENGTH, NAME, KIND, NDIM, SHAPE = range(8)          # fields; SHAPE has four
MODE, BOUND, BOUND_2, PREDICTOR, SECTION, OTHER = range(11, 17)

PRIMER = bytes.fromhex("""
    0a00000c656d6265642e776569676874a202800240523fb2e5
    000705636f6e7631a204400303034a3fb43a
    000c096c61796572312e302ea204404003034a3fb491
    0d070132a20440400303523fb25c
    050710322e302e646f776e73616d706c652e30a2048001400101523fb2c2
    050616732e302e73656c665f6174746e2e696e5f70726f6a5fa202c00140493fa217
    07060a312e6c696e656172312ea202800240523fb27f
    000010726e6e2e7765696768745f69685f6c30a20280048001523fb2a8
    00000966632e776569676874a2020a8004523fb246
    03000462696173e2010a""")


def read_packed(table: Bytes, named: bool) -> list[Entry]:
    plain, size = table.varint(), table.varint()
    corrupt_unless(plain <= 2**17 and plain <= 64 * size, "plain length")
    unpacked = Packed(table.take(size), plain)
    entries = read_entries(unpacked, named)
    unpacked.end()
    return entries


class Packed(Bytes):
    """A cursor over `length` bytes that are unpacked as they are taken."""

    def __init__(self, packed: bytes, length: int):
        super().__init__(bytes(length))
        self.plain = bytearray(length)
        self.model = BitModel(length)
        self.packed = Bytes(packed)
        self.whole = packed[-1:] != b"\0"
        self.low, self.high, self.value = 0, 2**32 - 1, 0
        for _ in range(4):
            self.shift()

    def take(self, n: int) -> bytes:
        at = self.at
        super().take(n)
        self.plain[at:self.at] = bytes(self.model.byte(self.field, self.bit) for _ in range(n))
        return bytes(self.plain[at:self.at])

    def shift(self) -> None:
        self.value = self.value << 8 & 2**32 - 1 | (self.packed.integer(1) if self.packed.left else 0)

    def bit(self, chance: int) -> int:
        cut = self.low + ((self.high - self.low) * chance >> 16)
        bit = int(self.value <= cut)
        self.low, self.high = (self.low, cut) if bit else (cut + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.low, self.high = self.low << 8 & 2**32 - 1, (self.high << 8 & 2**32 - 1) + 255
            self.shift()
        return bit

    def end(self) -> None:
        super().end()
        self.packed.end()
        corrupt_unless(self.value == -(-self.low >> 24) << 24 and self.whole, "the end of the packed entries")


class Walk(Bytes):
    """A cursor over plain entries that tells `see` each byte and its field."""

    def __init__(self, plain: bytes, see: Callable[[int, int], None]):
        super().__init__(plain)
        self.see = see

    def take(self, n: int) -> bytes:
        taken = super().take(n)
        for byte in taken:
            self.see(self.field, byte)
        return taken


class BitModel:
    """What predicts the bits of packed entries."""

    def __init__(self, length: int):
        self.bits = next((b for b in range(10, 22) if 2**b >= 64 * (length + len(PRIMER))), 22)
        self.lines = [[0] * 16 for _ in range(2**self.bits // 16)]  # of each a check, then the states
        self.same = {(order, half): 65536 - (32768 if half & 1 else 8192) // (half >> 1) for order in range(3) for half in range(2, 16)}
        self.above, self.before = [0] * 17, 0
        read_entries(Walk(PRIMER, self.learn), named=True)

    def learn(self, field: int, byte: int) -> None:
        bits = iter(format(byte, "08b"))
        self.byte(field, lambda chance: int(next(bits)))

    def byte(self, field: int, bit: Callable[[int], int]) -> int:
        """The next byte: `bit` gives each of its bits, told the chance of a 1 in 2^-16."""
        all_bytes = field << 24 | self.above[field] << 16 | self.before
        contexts = [all_bytes & mask for mask in (0xff000000, 0xff0000ff, 0xffffffff)]
        node = 1
        while node < 256:
            if node in (1, *range(16, 32)):
                lines, place = [self.line(order, context, node) for order, context in enumerate(contexts)], 1
            b = self.one_bit([line[place] for line in lines], bit)
            for line in lines:
                line[place] = after(line[place], b)
            node, place = 2 * node + b, 2 * place + b
        self.above[field], self.before = node - 256, self.before << 8 & 0xff00 | node - 256
        return node - 256

    def line(self, order: int, context: int, node: int) -> list[int]:
        """The states of a context for half a byte, by its bits so far after a 1."""
        hashed = (((context ^ (order + 1) << 30) * 0x9e3779b1 ^ node) * 0x7feb352d) % 2**32
        at, check = hashed >> 36 - self.bits, hashed >> 28 - self.bits & 255
        if self.lines[at][0] != check:
            self.lines[at][:] = [check] + [0] * 15      # in place: two orders may share it
        return self.lines[at]

    def one_bit(self, states: list[int], bit: Callable[[int], int]) -> int:
        order = next((order for order in (2, 1, 0) if states[order] > 0), None)
        if order is None:
            return bit(32768)
        last, used = states[order] & 1, (order, states[order] >> 1)
        c = self.same[used]
        b = bit(c if last else 65536 - c)
        self.same[used] = c + ((65535 - c) // 64 if b == last else -(c // 64))
        return b


def after(state: int, bit: int) -> int:
    if state == 0:
        return 4 + bit
    if state & 1 != bit:
        return 4 + 2 + bit
    return min(state + 4, 28 + state % 4)


# ---- 4. symbol streams

Symbol = int | None                     # None is an escape
Code = dict[tuple[int, int], int]       # (length, word) to token

ESCAPE, FAR, RUN, VALUE = 0, 1, 2, 39   # first tokens of each kind (4.2)


def decode_symbols(data: bytes, n: int) -> tuple[list[Symbol], bool]:
    """n symbols, and whether a code has the escape token."""
    cursor = Bytes(data)
    header = cursor.integer(1)
    if header == 0x80:
        cursor.end()
        return [0] * n, False
    known(header < 0x10, "symbol header")
    low = low_size = far_size = 0
    if header & 4:
        low, low_size = cursor.integer(1), cursor.varint()
        known(1 <= low <= 21, "number of low bits")
    if header & 8:
        far_size = cursor.varint()
    corrupt_unless(low_size + far_size <= cursor.left, "more low bits and far classes than bytes")
    bits = Bits(cursor.take(cursor.left - low_size - far_size))
    far, fields = Bytes(cursor.take(far_size)), Bits(cursor.take(low_size))
    a = read_code(bits)
    b = read_code(bits) if header & 2 else a
    tokens = {*a.values(), *b.values()}
    corrupt_unless((FAR in tokens) == (header & 8 > 0), "the far token and the list of far classes")
    streams = Bytes(bits.data[bits.fill():])
    symbols = [with_low_bits(symbol, far, fields, low) for symbol in decode_streams(streams, n, header & 1, a, b)]
    far.end()
    fields.end()
    return symbols, ESCAPE in tokens


def with_low_bits(symbol: tuple[int, int], far: Bytes, fields: Bits, low: int) -> Symbol:
    """The symbol of a token and a signed class: 4.5 and 4.6."""
    token, signed = symbol
    if token == RUN:
        return 0
    field = fields.take(low)
    if token == ESCAPE:
        return None
    if token == FAR:
        number = far.varint()
        signed = number // 2 + 1 if number % 2 else -(number // 2 + 1)
    magnitude = ((abs(signed) - 1) << low) + field + 1
    corrupt_unless(magnitude < 2**31, "a value of more than 31 bits")
    return magnitude if signed > 0 else -magnitude


def decode_streams(cursor: Bytes, n: int, four: int, a: Code, b: Code) -> list[tuple[int, int]]:
    count = 4 if four else 1
    lengths = [cursor.varint() for _ in range(count - 1)]
    parts = [cursor.take(length) for length in lengths] + [cursor.rest()]
    return [symbol for j, part in enumerate(parts)
            for symbol in decode_stream(part, n * (j + 1) // count - n * j // count, a, b)]


def decode_stream(data: bytes, n: int, a: Code, b: Code) -> list[tuple[int, int]]:
    """n symbols of one stream (4.4): each the kind of its token and, for a value, its class with the sign."""
    bits, code = Bits(data), a
    symbols: list[tuple[int, int]] = []
    while len(symbols) < n:
        token = read_token(bits, code)
        if RUN <= token < VALUE:
            symbols += [(RUN, 0)] * zeros_of_run(token, bits)
            code = b
        else:
            magnitude = (token - VALUE) // 2 + 1
            symbols.append((min(token, VALUE), magnitude if (token - VALUE) % 2 else -magnitude))
            code = a
    corrupt_unless(len(symbols) == n, "a run beyond the end of its stream")
    bits.end()
    return symbols


def zeros_of_run(token: int, bits: Bits) -> int:
    if token <= 16:
        return token - 1
    e, h = 4 + (token - 17) // 2, (token - 17) % 2
    return ((2 + h) << (e - 1)) + bits.take(e - 1)


def read_token(bits: Bits, code: Code) -> int:
    length = word = 0
    while (length, word) not in code:       # ends: a code is complete
        length, word = length + 1, word << 1 | bits.take(1)
    return code[length, word]


def read_code(bits: Bits) -> Code:
    """A code from its table (4.3)."""
    longest, runs, values, escape, far = (bits.take(n) for n in (4, 6, 11, 4, 4))
    corrupt_unless(1 <= longest <= 12, "longest code")
    corrupt_unless(runs <= 37 and values <= 2046, "more lengths than tokens")
    corrupt_unless(escape <= longest and far <= longest, "length of the escape or far token")
    lengths = {token: length for token, length in ((ESCAPE, escape), (FAR, far)) if length > 0}
    for first, count in ((RUN, runs), (VALUE, values)):
        listed = list(read_lengths(bits, longest + 1, count))
        corrupt_unless(not listed or listed[-1] <= longest, "an unused token at the end of a list")
        lengths |= {first + i: length for i, length in enumerate(listed) if length <= longest}
    corrupt_unless(bool(lengths) and max(lengths.values()) == longest, "longest code")
    if len(lengths) == 1:
        corrupt_unless(longest == 1, "a lone token has length 1")
        return {(0, 0): token for token in lengths}
    corrupt_unless(sum(2**(12 - length) for length in lengths.values()) == 2**12, "a code that is not complete")
    return canonical(lengths)


def read_lengths(bits: Bits, unused: int, count: int) -> Iterator[int]:
    length = 4
    for _ in range(count):
        before = length
        if bits.take(1):
            if not bits.take(1):
                length += -1 if bits.take(1) else 1
            elif not bits.take(1):
                length += -2 if bits.take(1) else 2
            else:
                length = bits.take(4)
                corrupt_unless(abs(length - before) > 2, "a long form where a short one would do")
        corrupt_unless(1 <= length <= unused, "code length")
        yield length


def canonical(lengths: dict[int, int]) -> Code:
    code: Code = {}
    word = before = 0
    for token in sorted(lengths, key=lambda token: (lengths[token], token)):
        word <<= lengths[token] - before
        before = lengths[token]
        code[before, word] = token
        word += 1
    return code


# ---- 5. uniform quantiser

def step(dtype: int, eb: float) -> float:
    """The largest number of the working format that is not above 2 eb (5.1)."""
    bin_ = min(2 * eb, float(np.finfo(np.float64).max))
    if DTYPES[dtype][0] == "float64":
        return bin_
    bin_ = min(bin_, float(np.finfo(np.float32).max))
    nearest = np.float32(bin_)
    return float(np.nextafter(nearest, np.float32(0)) if float(nearest) > bin_ else nearest)


def values(k: np.ndarray, dtype: int, step: float) -> np.ndarray:
    """Elements of the integers k, as arrays of the dtype or, for bfloat16, of its bits (5.1)."""
    name = DTYPES[dtype][0]
    work = np.dtype("float64" if name == "float64" else "float32")
    with np.errstate(over="ignore", under="ignore"):
        product = k.astype(work) * np.asarray(step, work)
        return bfloat16_bits(product) if name == "bfloat16" else product.astype(name)


def floats_of(x: np.ndarray, dtype: int) -> np.ndarray:
    """Elements, or for bfloat16 also their bits, in binary64."""
    if DTYPES[dtype][0] == "bfloat16":
        return (x.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return x.astype(np.float64)


def bfloat16_bits(x: np.ndarray) -> np.ndarray:
    """binary32 rounded to its upper half, ties to even; x is never a NaN."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def lattice(entry: Entry) -> tuple[int, int]:
    """Columns and rows (5.2)."""
    last = [n for n in reversed(entry.shape) if n != 1] + [1, 1]
    return last[0], last[1]


def unit(entry: Entry) -> int:
    if entry.codec == SPHERICAL:
        return entry.block
    columns, rows = lattice(entry)
    return {2: columns, 3: columns * rows}.get(entry.predictor, 1)


def chunk_size(entry: Entry) -> int:
    return unit(entry) * max(2**16 // unit(entry), 8)


def decode_uniform(chunk: bytes, n: int, entry: Entry) -> bytes:
    cursor = Bytes(chunk)
    escaped = cursor.take(cursor.varint())
    symbols, _ = decode_symbols(cursor.rest(), n)
    k = undo_prediction(np.array([0 if s is None else s for s in symbols], np.int32), entry)
    x = values(k, entry.dtype, step(entry.dtype, entry.eb))
    elements = x.astype(x.dtype.newbyteorder("<")).view(np.uint8).reshape(n, entry.itemsize)
    at = [i for i, s in enumerate(symbols) if s is None]
    if at:
        exact = decode_exact(escaped, len(at), entry.itemsize)
        elements[at] = np.frombuffer(exact, np.uint8).reshape(len(at), entry.itemsize)
    else:
        corrupt_unless(not escaped, "escaped elements without escapes")
    return elements.tobytes()


def undo_prediction(residuals: np.ndarray, entry: Entry) -> np.ndarray:
    """Running sums modulo 2^32 (5.3)."""
    columns, rows = lattice(entry)
    shape = {0: (-1,), 1: (-1,), 2: (-1, columns), 3: (-1, rows, columns)}[entry.predictor]
    k = residuals.view(np.uint32).reshape(shape)
    for axis in reversed(range(k.ndim)) if entry.predictor else ():
        k = np.cumsum(k, axis=axis, dtype=np.uint32)
    return k.reshape(-1).view(np.int32)


# ---- 6. bit-exact chunks

def decode_exact(chunk: bytes, n: int, itemsize: int) -> bytes:
    cursor = Bytes(chunk)
    transform = cursor.integer(1)
    known(transform <= 4, "transform")
    if transform == 0:
        elements = cursor.take(n * itemsize)
        cursor.end()
        return elements
    planes = [decode_plane(cursor, n) for _ in range(itemsize)]
    cursor.end()
    t = [int.from_bytes(column, "little") for column in zip(*planes, strict=True)]
    return b"".join(v.to_bytes(itemsize, "little") for v in restore(t, transform, 8 * itemsize))


def decode_plane(cursor: Bytes, n: int) -> bytes:
    kind = cursor.integer(1)
    known(kind <= 1, "plane kind")
    if kind == 0:
        return cursor.take(n)
    base = cursor.integer(1)
    symbols, may_escape = decode_symbols(cursor.take(cursor.varint()), n)
    corrupt_unless(not may_escape, "escapes in a plane")
    corrupt_unless(all(-128 <= s <= 127 for s in symbols), "symbol of a plane")     # type: ignore[operator]
    return bytes((base + s) % 256 for s in symbols)                                 # type: ignore[operator]


def restore(t: list[int], transform: int, width: int) -> Iterator[int]:
    """The transforms of 6.1 undone."""
    before = 0
    for v in t:
        if transform == 2:
            v = v >> 1 | (v & 1) << (width - 1)
        elif transform >= 3:
            v = v // 2 if v % 2 == 0 else -(v + 1) // 2
            v = (v + (before if transform == 4 else 0)) % 2**width
        before = v
        yield v


# ---- 7. the gradient model

VALUES, FACTORS, RANDOM = range(0, 21), range(21, 42), range(42, 98)    # contexts of the sets (7.2); the last is that of scales
SLOTS = 2048

Frequencies = list[int]     # of 128 symbols


def wrap(x: np.ndarray) -> np.ndarray:
    """Modulo 2^32, read as two's complement; all arrays are int64."""
    return (x + 2**31 & 0xffffffff) - 2**31


# 7.1 segments

@dataclass
class Part:
    """Rows [first, last) of a tensor; with the first ones, its head."""
    tensor: int
    first: int
    last: int


def cut(entries: list[Entry]) -> Iterator[list[Part]]:
    """The parts of each segment."""
    gathered: list[Part] = []
    elements = 0
    for i, entry in enumerate(entries):
        if entry.codec != MODEL:
            continue
        view = view_of(entry.shape)
        rows = max(2**20 // view.row_length, 1)
        several = view.rows > rows
        if gathered and (several or elements >= 2**19):
            yield gathered
            gathered, elements = [], 0
        if several:
            for first in range(0, view.rows, rows):
                yield [Part(i, first, min(first + rows, view.rows))]
        else:
            gathered.append(Part(i, 0, view.rows))
            elements += entry.elements
    if gathered:
        yield gathered


class Segment:
    """What a segment holds, read symbol by symbol."""

    def __init__(self, payload: bytes, slots: list[list[tuple[int, int, int]]]):
        cursor = Bytes(payload)
        states = cursor.integer(1)
        known(states <= 5, "number of states")
        low_size, side_size = cursor.varint(), cursor.varint()
        corrupt_unless(low_size + side_size <= cursor.left, "more low bits and side bits than bytes")
        self.words = Bytes(cursor.take(cursor.left - low_size - side_size))
        self.low, self.side = Bits(cursor.take(low_size)), Bits(cursor.rest())
        self.states = self.read_states(2**states)
        self.slots = slots
        self.scales = dict.fromkeys((VALUES, FACTORS, RANDOM), 32)      # the first of the last head of each set

    def read_states(self, count: int) -> list[int]:
        bits, states = Bits(self.words.data), []
        for _ in range(count):
            highest = 15 + bits.take(4)
            states.append(2**highest + bits.take(highest))
        self.words.at = bits.fill()
        return states

    def step(self, contexts: Iterable[int]) -> list[int]:
        """A symbol a lane (7.3)."""
        symbols, states = [], self.states
        for i, context in enumerate(contexts):
            x = states[i % len(states)]
            symbol, frequency, place = self.slots[context][x % SLOTS]
            x = frequency * (x // SLOTS) + place
            if x < 2**15:
                x = x << 16 | self.words.integer(2)
            states[i % len(states)] = x
            symbols.append(symbol)
        return symbols

    def end(self) -> None:
        self.words.end()
        corrupt_unless(all(x == 2**15 for x in self.states), "a state that does not end where it began")
        self.low.end()
        self.side.end()


def decode_segments(message: Message, priors: dict[int, Prior]) -> dict[int, bytes]:
    """Elements of the tensors of codec model, by their place in the table."""
    table = message.table
    slots = [slots_of(f) for f in table.frequencies]
    tensors: dict[int, Modelled] = {}
    elements: dict[int, np.ndarray] = {}
    for parts, data in zip(table.segments, message.segments, strict=True):
        segment = Segment(unsealed(data), slots)
        for part in parts:
            entry = table.entries[part.tensor]
            if part.first == 0:
                elements[part.tensor] = np.zeros(entry.elements, f"u{entry.itemsize}")
                tensors[part.tensor] = read_head(segment, entry, (table.seed, part.tensor, table.slot), priors.get(part.tensor))
            decode_rows(segment, tensors[part.tensor], part.first, part.last, elements[part.tensor])
        segment.end()
    return {i: x.astype(x.dtype.newbyteorder("<")).tobytes() for i, x in elements.items()}


# 7.2 coding tables

def read_frequencies(table: Bytes) -> list[Frequencies]:
    bits = Bits(table.data[table.at:])
    frequencies = []
    for contexts in (VALUES, FACTORS, RANDOM):
        present = bits.take(1)
        sent = bits.number(4) if present else 0
        corrupt_unless(sent < len(contexts), "more coding tables than contexts")
        tables = [read_context(bits) for _ in range(sent)]
        tables += [zero_only() for _ in range(len(contexts) - 1 - sent)]
        frequencies += [*tables, read_context(bits) if present else zero_only()]
    table.take(bits.fill())
    return frequencies


def read_context(bits: Bits) -> Frequencies:
    kind = bits.take(2)
    f = [0] * 128
    if kind == 0:
        f = zero_only()
    elif kind == 1:
        slots = slots_of_level(bits.take(7))
        geometric(f, slots, 4 * bits.take(6) + 2)
    elif kind == 3:
        f[65] = slots_of_level(bits.take(7))
        f[64] = SLOTS - f[65]
    else:
        first, last, before = bits.take(7), bits.take(7), 0
        corrupt_unless(first <= 64 <= last, "first or last symbol of a coding table")
        for symbol in range(first, last + 1):
            if symbol != 64:
                before = f[symbol] = bits.number(0 if before < 2 else before.bit_length() - 2)
        f[64] = SLOTS - sum(f)
        corrupt_unless(f[64] >= 0, "frequencies of more than all slots")
    return f


def zero_only() -> Frequencies:
    return [0] * 64 + [SLOTS] + [0] * 63


def slots_of_level(level: int) -> int:
    corrupt_unless(level <= 65, "level of a coding table")
    return max(1, ((64, 72, 81, 91, 102, 114)[level % 6] << level // 6) // 64)


def geometric(f: Frequencies, slots: int, q: int) -> None:
    f[0] = 1 if slots >= 3 else 0
    left = (slots - f[0]) // 2
    share = left * (256 - q)
    for k in range(1, 64):
        f[64 + k] = f[64 - k] = min(left, max(1, (share + 128) // 256))
        left -= f[64 + k]
        share = share * q // 256
    f[64] = SLOTS - sum(f)


def slots_of(f: Frequencies) -> list[tuple[int, int, int]]:
    """Symbol, its frequency and the slot's place among its own, for each slot (7.3)."""
    return [(symbol, frequency, place) for symbol, frequency in enumerate(f) for place in range(frequency)]


# 7.4 views

@dataclass
class View:
    matrix: bool
    elements: int
    rows: int
    row_length: int
    taps: int
    side: int
    strides: tuple[int, int, int]       # from row to row, from lane to lane, from tap to tap
    shorter: int = 0                    # each row by so many than the one before: of turned factors

    @property
    def lanes(self) -> int:
        return -(-self.row_length // self.taps)

    def step(self, row: int, tap: int) -> np.ndarray:
        """Where the elements of a step stand, in C order."""
        length = min(self.row_length, self.elements - row * self.row_length) - self.shorter * row   # the last row may be shorter
        lanes = (length + self.taps - 1 - tap) // self.taps
        return row * self.strides[0] + np.arange(lanes) * self.strides[1] + tap * self.strides[2]


def view_of(shape: tuple[int, ...]) -> View:
    shape = shape + (1,) * (2 - len(shape))
    elements = math.prod(shape)
    r, c = shape[:2]
    t = math.prod(shape[2:])
    if t > 128:
        r, c, t = elements // shape[-1], shape[-1], 1
    transposed = c < 16 and r > c
    if t == 1:
        if r == 1 or c == 1 or max(r, c) > 2**16:
            return folded(elements)
        return matrix(c, r, (1, c)) if transposed else matrix(r, c, (c, 1))
    rows, lanes, strides = (c, r, (t, c * t, 1)) if transposed else (r, c, (c * t, t, 1))
    if lanes * t > 2**16:
        return folded(elements)
    return View(False, elements, rows, lanes * t, t, side_of(t), strides)


def matrix(rows: int, columns: int, strides: tuple[int, int], elements: int | None = None) -> View:
    """Strides from row to row and from column to column."""
    taps = 2 if columns > 1 else 1
    return View(True, rows * columns if elements is None else elements, rows, columns, taps, 0,
                (strides[0], taps * strides[1], strides[1]))


def folded(elements: int) -> View:
    columns = min(elements, 512)
    return matrix(-(-elements // columns), columns, (columns, 1), elements)


def side_of(taps: int) -> int:
    return math.isqrt(taps) if math.isqrt(taps)**2 == taps else taps


# 7.5 rows

@dataclass
class Modelled:
    """A tensor, or a low-rank factor, as its head describes it."""
    view: View
    dtype: int
    unit: float
    grid: int
    unit_bits: int
    set: range
    origin: tuple[int, int, int] = (0, 0, 0)                # of random offsets: seed, tensor, slot
    widths: tuple[int, int, int] = (16, 0, 60)              # w0, w1, w2
    taps: list[int] = field(default_factory=list)           # how much wider they are, in 1/16 octave; none: all alike
    means: dict[str, int] = field(default_factory=dict)     # weights of the families
    scales: list[int] = field(default_factory=list)
    base: Callable[[int], np.ndarray] | None = None         # of a row, tap by tap: of low rank
    prior: Prior | None = None
    past_widths: tuple[int, ...] = ()                       # w3, w4

    @property
    def phased(self) -> bool:
        return self.set == RANDOM

    def known(self, x: np.ndarray, row: int, most: int) -> np.ndarray:
        """Elements of a row that both ends have, tap by tap, in units."""
        places = np.concatenate([self.view.step(row, tap) for tap in range(self.view.taps)])
        with np.errstate(over="ignore"):
            q = floats_of(x[places], self.dtype) / self.unit
        return np.rint(np.clip(np.nan_to_num(q, nan=0.0, posinf=np.inf, neginf=-np.inf), -most, most)).astype(np.int64)


class Sums:
    """What the rows of a part so far tell of the next one."""

    def __init__(self, m: Modelled):
        view = m.view
        self.each: np.ndarray = np.zeros((view.taps if view.matrix else 1, view.lanes), np.int64)
        self.total = self.count = 0
        self.relative = m.set is FACTORS

    def add(self, d: list[np.ndarray], scale: int) -> None:
        if self.relative:
            self.each -= self.each >> 4
            for tap, step in enumerate(d):
                parts: np.ndarray = abs(step) * (2**22 // width_of(scale))
                self.each[tap % len(self.each), :len(step)] += np.minimum(parts >> 10, 65536)
            self.total = int(self.each.sum())
            self.count += 1
            return
        for tap, step in enumerate(d):
            sums = self.each[tap % len(self.each)]
            sums[:len(step)] = wrap(sums[:len(step)] + abs(step))
            self.total += int(abs(step).sum())
        self.count += 1

    def classes(self, m: Modelled, scale: int, past: list[np.ndarray], tap: int) -> tuple[np.ndarray, np.ndarray]:
        """Width class, of a phased tensor in quarters of it, and number of raw bits for each lane of a group of sums: steps 1 and 2 of 7.5; `past`, of its lanes."""
        f = m.unit_bits
        w0, w1, w2 = m.widths
        s = width_of(scale)
        base = (w0 << f) + w1 * s
        cell = np.zeros_like(self.each)
        if self.count == 0:
            base += w2 * s
        else:
            steps = self.count * (1 if m.view.matrix else m.view.taps)
            mean = self.total // self.each.size + (0 if self.relative else (steps << f) // 16) + 1
            down = max(mean.bit_length() - 8, 0)
            ratio = 256 * s // (mean >> down)
            up = max(ratio.bit_length() - 16, 0)
            cell = (np.minimum(self.each >> down, 32767) * (ratio >> up) & 0xffffffff) // 256 << up
        widths = wrap(base + w2 * wrap(cell[tap % len(self.each)]))
        for weight, h in zip(m.past_widths, past, strict=True):
            widths[:len(h)] = wrap(widths[:len(h)] + weight * 16 * abs(h))
        width = np.clip(widths >> 6, 1, 2**24 - 1)
        parts, least, most = (8, 24, 28) if m.phased else (2, 14, 18)
        size = np.minimum(octaves(width, 16) + (m.taps[tap] if m.taps else 0), 383) * parts // 16
        size = np.maximum(size - (2 * (f + 4) - least) * parts // 2, 0)
        half = 2 * size // parts
        raw = np.where(half < most, 0, (half - most) // 2)
        return size - parts * raw, raw


def width_of(scale: int) -> int:
    return ((256, 323, 406)[(scale - 1) % 3] << (scale - 1) // 3) // 256


def octaves(x: np.ndarray, parts: int) -> np.ndarray:
    """parts floor(log2 x), and by the bits below the highest how far it is, in parts, to the next power of two."""
    mantissa, exponent = np.frexp(x)
    return parts * (exponent.astype(np.int64) - 1) + ((2 * mantissa - 1) * parts).astype(np.int64)


def decode_rows(segment: Segment, m: Modelled, first: int, last: int, out: np.ndarray) -> None:
    """Elements of some rows, as bits, to their places in `out`, which is 0."""
    sums = Sums(m)
    for row in range(first, last):
        if m.scales[row] == 0:
            continue
        base = np.zeros(m.view.row_length, np.int64) if m.base is None else m.base(row)
        past = []
        if m.prior is not None:
            past = [m.known(x, row, 32767) for x in m.prior.past]
            if m.prior.reference is not None:
                reference = m.known(m.prior.reference, row, 2**29)
                base = wrap(base[:len(reference)] + reference)
        u = offsets(m, row)
        d: list[np.ndarray] = []
        for tap in range(m.view.taps):
            places = m.view.step(row, tap)
            n = len(places)
            now = [h[:n] for h in past]
            classes, raw = sums.classes(m, m.scales[row], now, tap)
            mean = wrap(means(m, d, tap, n, now) + base[:n])
            y, escapes = decode_step(segment, m, mean, u[:n], classes[:n], raw[:n])
            out[places] = values(y, m.dtype, m.unit).view(out.dtype)
            for lane, bits in escapes:
                out[places[lane]] = bits
            d.append(np.clip(wrap(y - base[:n]), -32767, 32767))
            base, u, past = base[n:], u[n:], [h[n:] for h in past]
        sums.add(d, m.scales[row])


def means(m: Modelled, d: list[np.ndarray], tap: int, n: int, past: list[np.ndarray]) -> np.ndarray:
    """What the features say of the n lanes of a step, less the base."""
    total = np.full(n, 32, np.int64)
    for family, weight in m.means.items():
        if family in ROUNDS:
            total = wrap(total + weight * past[ROUNDS.index(family)])
            continue
        from_tap, feature = FAMILIES[family][1:]
        if tap >= from_tap(m.view):
            total = wrap(total + weight * feature(d, tap, m.view)[:n])
    return total >> 6


def neighbours(d: list[np.ndarray], tap: int, view: View) -> np.ndarray:
    return d[tap - 1] + np.append(d[tap - 1][1:], 0) >> 1


def earlier_taps(d: list[np.ndarray], tap: int, view: View) -> np.ndarray:
    return np.clip(sum(d), 1 - 2**19, 2**19 - 1) * ((2048 + tap // 2) // tap) >> 11


def previous_tap(d: list[np.ndarray], tap: int, view: View) -> np.ndarray:
    return d[tap - 1]


def tap_above(d: list[np.ndarray], tap: int, view: View) -> np.ndarray:
    return d[tap - view.side]


# Name: whether in matrices, the first tap that has it, and what it is.
FAMILIES = {"neighbours": (True, lambda view: 1, neighbours),
            "earlier taps": (False, lambda view: 1, earlier_taps),
            "previous tap": (False, lambda view: 1, previous_tap),
            "tap above": (False, lambda view: view.side, tap_above)}
ROUNDS = ["last round", "round before"]         # everywhere, from tap 0


def decode_step(segment: Segment, m: Modelled, mean: np.ndarray, u: np.ndarray, classes: np.ndarray,
                raw: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """y of each lane, and lane and bits of the escaped elements: step 3 of 7.5."""
    f, random = m.unit_bits, m.grid >= DITHERED
    centre = wrap(mean + (1 << f) // 2) & -(1 << f) if m.grid == ALIGNED else mean + u
    if m.phased and not random:
        u = wrap(mean - centre)
    contexts = random_contexts(u, classes, f) if m.phased else classes
    symbols = segment.step((contexts + m.set[0]).tolist())
    low = [segment.low.take(n) if n else 0 for n in raw.tolist()]
    q, escapes = np.array(symbols, np.int64) - 64, []
    for lane in (lane for lane, symbol in enumerate(symbols) if symbol == 0):
        v = segment.side.number(4)
        if v == 0:
            escapes.append((lane, segment.side.take(8 * DTYPES[m.dtype][1])))
        q[lane] = v // 2 - 1 if v % 2 == 0 else -((v - 1) // 2)         # v is u + 1
    r = (q << raw) + np.array(low, np.int64)
    r = wrap(np.where(u >= 0 if random else u < 0 if m.phased else mean < 0, -r, r))
    r[[lane for lane, _ in escapes]] = 0
    y = centre + (r << f)
    return wrap(y + shrunk(u, classes, f) - u if m.grid == SHRUNK else y), escapes


# 7.6 head

def read_head(segment: Segment, entry: Entry, origin: tuple[int, int, int], prior: Prior | None = None) -> Modelled:
    phased = entry.grid >= DITHERED or (entry.grid == ALIGNED and entry.referenced)
    view, f = view_of(entry.shape), segment.side.signed(0) + (12 if phased else 4)
    corrupt_unless((4 if phased else 0) <= f <= 12, "unit bits")
    width = step(entry.dtype, entry.eb / 2 if entry.grid == SHRUNK else entry.eb)
    corrupt_unless(width >= 2.0**((-1022 if DTYPES[entry.dtype][0] == "float64" else -126) + f), "a unit that is not normal")
    m = Modelled(view, entry.dtype, width / 2**f, entry.grid, f, RANDOM if phased else VALUES, origin, prior=prior)
    read_weights(segment, m)
    read_scales(segment, m)
    rank = segment.side.number(0)
    if rank > 0:
        read_low_rank(segment, m, rank)
    return m


def read_weights(segment: Segment, m: Modelled) -> None:
    fitted, side = segment.side.take(1), segment.side
    families = [name for name, (in_matrices, from_tap, _) in FAMILIES.items()
                if in_matrices == m.view.matrix and m.view.taps > from_tap(m.view)]
    rounds = len(m.prior.past) if m.prior else 0
    families += ROUNDS[:rounds]
    m.past_widths = (0,) * rounds
    if fitted:
        m.widths = side.signed(5), side.signed(5), side.signed(5)
        m.past_widths = tuple(side.signed(5) for _ in range(rounds))
        m.means = {name: side.signed(5) for name in families}
        if not m.view.matrix and m.view.taps > 1 and side.take(1):
            m.taps = [side.signed(2) for _ in range(m.view.taps)]
            corrupt_unless(max(map(abs, m.taps)) <= 64, "a width of a tap out of range")
    elif m.set == RANDOM:
        m.widths = 0, 64, 0
    elif "earlier taps" in families:
        m.means = {"earlier taps": 40}


def read_scales(segment: Segment, m: Modelled) -> None:
    before = segment.scales[m.set] + segment.side.signed(1)
    corrupt_unless(0 <= before <= 63, "a first scale out of range")
    segment.scales[m.set] = before
    for symbol in segment.step([m.set[-1]] * m.view.rows):
        if symbol == 127:
            m.scales.append(0)
            continue
        before += symbol - 64
        corrupt_unless(1 <= before <= 63, "a scale out of range")
        m.scales.append(before)


# 7.7 low rank

def read_low_rank(segment: Segment, m: Modelled, rank: int) -> None:
    view = m.view
    live = [row for row, scale in enumerate(m.scales) if scale > 0]
    corrupt_unless(view.elements == view.rows * view.row_length and 8 <= view.rows <= 2**20 and view.row_length >= 8
                   and len(live) > 0, "low rank where there is none")
    planes = replace(view, strides=(view.row_length, 1, view.lanes))
    sums = read_pair(segment, rank, view.rows, live, row_view(len(live), 1, 1), planes,
                     not view.matrix and view.taps > 1, m if m.prior and m.prior.past else None)
    m.base = lambda row: sums(np.array([row]))[0]


def row_view(lanes: int, taps: int, side: int) -> View:
    return View(False, lanes * taps, 1, lanes * taps, taps, side, (lanes * taps, taps, 1))


def read_pair(segment: Segment, rank: int, rows: int, live: list[int], left: View, right: View,
              splits: bool = False, kept: Modelled | None = None) -> Callable[[np.ndarray], np.ndarray]:
    """Two factors: a function of row numbers that gives those rows of their product.  splits: B may be a pair itself; kept: whose
    last round it may be near."""
    corrupt_unless(0 < rank <= min(127, rows, right.row_length), "rank")
    shift, up = read_shifts(segment, rank)
    turn = segment.side.take(4) if len(live) == rows and rank <= rows <= 8 * rank else 0
    split = splits and segment.side.take(1)
    near = kept is not None and not split and segment.side.take(1)
    a = read_left(segment, up, rows, live, left, turn)
    if split:
        inner = read_pair(segment, segment.side.number(0), right.lanes, list(range(right.lanes)),
                          row_view(right.lanes, 1, 1), row_view(rank, right.taps, right.side))
        b = np.clip(inner(np.arange(right.lanes)), -32767, 32767).T.reshape(rank, right.row_length)
    else:
        b = read_factor(segment, right, rank, read_basis(segment, rank, kept) if kept is not None and near else None)
    corrupt_unless(abs(b).max() <= 32767, "a factor too large")
    return product(a, b, shift)


def read_shifts(segment: Segment, rank: int) -> tuple[int, list[int]]:
    shift = segment.side.take(5)
    up = [segment.side.take(4) for _ in range(rank)]
    corrupt_unless(1 <= shift <= 30 and max(up) <= 14, "shift or up of a factor")
    return shift, up


def read_left(segment: Segment, up: list[int], rows: int, live: list[int], view: View, turn: int = 0) -> np.ndarray:
    a = np.zeros((len(up), rows), np.int64)
    a[:, live] = read_factor(segment, replace(view, shorter=1 if turn else 0), len(up))
    shifted = a << np.array(up)[:, None]
    corrupt_unless(abs(shifted).max() <= 32767, "a factor too large")
    return turned(a, up, turn - 1) if turn else shifted


def turned(z: np.ndarray, up: list[int], fraction: int) -> np.ndarray:
    """Columns that are orthogonal, of what is left of them when those before turn onto the last lanes."""
    energy = (z * z).sum(axis=1)
    corrupt_unless(energy.max() < 2**28, "a factor too long to turn")
    room = [next(r for r in range(14, -1, -1) if r == 0 or int(e) << 2 * r < 2**28) for e in energy]
    y = z << np.array(room)[:, None]
    reflections = []
    for k in range(len(up)):
        v = y[k, :z.shape[1] - k].copy()
        norm = math.isqrt(int(energy[k]) << 2 * room[k])
        v[-1] += norm if v[-1] >= 0 else -norm
        reflections.append(v)
    for j in reversed(range(len(up))):
        v = reflections[j]
        square = int((v * v).sum())
        for k in range(j + 1, len(up) if square > 0 else 0):
            part = y[k, :len(v)]
            twice = int(wrap(part @ v)) << 14
            ratio = (abs(twice) + square // 2) // square * (1 if twice >= 0 else -1)
            ratio = max(-32767, min(32767, ratio))
            y[k, :len(v)] = np.clip(part - np.clip(v * ratio + 2**12 >> 13, -32767, 32767), -32767, 32767)
    out = np.zeros_like(y)
    for k, column in enumerate(y):
        down = room[k] - fraction - up[k]
        out[k] = column + (1 << down - 1) >> down if down > 0 else np.clip(column << -down, -32767, 32767)
    return out


def product(a: np.ndarray, b: np.ndarray, shift: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda which: wrap(a[:, which].T @ b + (1 << shift - 1)) >> shift


def read_basis(segment: Segment, rank: int, kept: Modelled) -> Callable[[int], np.ndarray]:
    """What a component of B is near to: a sum of rows of the last round."""
    count = segment.side.number(0)
    corrupt_unless(0 < count <= min(127, kept.view.rows), "rows of a basis")
    shift, up = read_shifts(segment, count)
    which = np.cumsum([segment.side.number(2) + 1 for _ in up]) - 1
    corrupt_unless(bool(which[-1] < kept.view.rows), "a row of a basis")
    a = read_left(segment, up, rank, list(range(rank)), row_view(rank, 1, 1))
    assert kept.prior is not None
    rows = [kept.known(kept.prior.past[0], int(row), 32767) for row in which]
    sums = product(a, np.array(rows), shift)
    return lambda component: sums(np.array([component]))[0]


def read_factor(segment: Segment, like: View, rank: int, base: Callable[[int], np.ndarray] | None = None) -> np.ndarray:
    """Integers of a factor, a row a component with lanes and taps as in a view, in its order of elements."""
    view = replace(like, elements=rank * like.row_length, rows=rank)
    m = Modelled(view, 2, 1.0, CENTRED, 0, FACTORS, base=base)
    read_weights(segment, m)
    read_scales(segment, m)
    out = np.zeros(view.elements, np.uint32)
    decode_rows(segment, m, 0, view.rows, out)
    x = out.view(np.float32)
    corrupt_unless(bool((abs(x) <= 32767).all() and (x == np.rint(x)).all()), "a factor of other than small integers")
    return x.astype(np.int64).reshape(view.rows, view.row_length)


# 7.8 random offsets

def mix(v: int) -> int:
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9 % 2**64
    v = (v ^ v >> 27) * 0x94d049bb133111eb % 2**64
    return v ^ v >> 31


def offsets(m: Modelled, row: int) -> np.ndarray:
    """u of the lanes of a row, tap by tap; 0 on other grids."""
    if m.grid < DITHERED:
        return np.zeros(m.view.row_length, np.int64)
    c, f, (seed, tensor, slot) = 0x9e3779b97f4a7c15, m.unit_bits, m.origin
    key = mix((mix((seed + c * (tensor + 1)) % 2**64) + c * (row + 1)) % 2**64)
    x = np.arange(m.view.row_length, dtype=np.uint32) * np.uint32(0x9e3779b9) + np.uint32(key % 2**32)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7feb352d)
    x = (x ^ x >> np.uint32(15) ^ np.uint32(key >> 32)) * np.uint32(0x846ca68b)
    x = (x ^ x >> np.uint32(16)) + np.uint32(slot)
    return (x >> np.uint32(32 - f)).astype(np.int64) - 2 ** (f - 1)


def random_contexts(u: np.ndarray, classes: np.ndarray, f: int) -> np.ndarray:
    a = np.maximum(u, -1 - u)
    ratio = octaves(16 * (2 ** (f - 1) - a) - 8, 8) - 4 * (2 * (f + 4) - 24) - classes
    half = classes // 4
    return np.where(half >= 20, 15 + 4 * (half - 20) + 4 * a // 2 ** (f - 1), np.clip((ratio + 2) // 4 + 4, 0, 14))


def shrunk(u: np.ndarray, classes: np.ndarray, f: int) -> np.ndarray:
    """What stands for u in y: G."""
    a = np.maximum(u, -1 - u)
    t = (2 * a + 1) << (15 - f)
    classes = classes // 4
    narrow, wide = np.minimum(classes, 19), np.maximum(classes - 20, 0)
    g = np.where(classes < 20, TAIL[np.minimum(127, (2**15 - t) * STEEPNESS[narrow] // 2**15)], CURVES[wide, t // 2**10])
    g = (g * 2 ** (f - 1) + 2**14) // 2**15
    return np.where(u < 0, -g, g)


STEEPNESS = np.array([27554, 19484, 13777, 9742, 6889, 4871, 3444, 2435, 1722, 1218, 861, 609, 431, 304, 215, 152, 108, 76, 54, 38])
TAIL = np.array([
    31760, 29836, 28028, 26330, 24735, 23236, 21828, 20506, 19263, 18096, 17000, 15970, 15002, 14093, 13239,
    12437, 11684, 10976, 10311, 9686, 9099, 8548, 8030, 7544, 7087, 6657, 6254, 5875, 5519, 5185, 4871, 4575,
    4298, 4038, 3793, 3563, 3347, 3145, 2954, 2775, 2607, 2449, 2301, 2161, 2030, 1907, 1792, 1683, 1581, 1485,
    1395, 1311, 1231, 1157, 1087, 1021, 959, 901, 846, 795, 747, 702, 659, 619, 582, 546, 513, 482, 453, 426,
    400, 376, 353, 331, 311, 292, 275, 258, 242, 228, 214, 201, 189, 177, 167, 157, 147, 138, 130, 122, 115,
    108, 101, 95, 89, 84, 79, 74, 69, 65, 61, 58, 54, 51, 48, 45, 42, 40, 37, 35, 33, 31, 29, 27, 26, 24, 23,
    21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 0,
])
CURVES = np.array([
    (332, 997, 1664, 2336, 3015, 3702, 4399, 5108, 5831, 6571, 7329, 8106, 8907, 9732, 10583, 11464, 12377,
     13324, 14308, 15331, 16396, 17507, 18667, 19877, 21143, 22467, 23854, 25306, 26828, 28424, 30099, 31856),
    (409, 1227, 2046, 2869, 3695, 4526, 5364, 6209, 7063, 7926, 8801, 9687, 10587, 11502, 12432, 13380,
     14346, 15332, 16339, 17369, 18423, 19502, 20608, 21742, 22907, 24103, 25332, 26597, 27898, 29238, 30618,
     32040),
    (456, 1369, 2283, 3199, 4116, 5037, 5961, 6889, 7822, 8760, 9704, 10655, 11614, 12580, 13555, 14539,
     15534, 16539, 17556, 18584, 19626, 20681, 21751, 22835, 23935, 25052, 26186, 27338, 28509, 29700, 30911,
     32143),
    (483, 1449, 2416, 3384, 4352, 5323, 6295, 7269, 8246, 9225, 10208, 11194, 12185, 13179, 14178, 15182,
     16191, 17206, 18226, 19253, 20287, 21327, 22375, 23431, 24495, 25567, 26648, 27738, 28838, 29948, 31068,
     32198),
    (497, 1492, 2487, 3482, 4478, 5474, 6472, 7470, 8470, 9472, 10475, 11480, 12486, 13495, 14507, 15521,
     16537, 17556, 18579, 19604, 20633, 21666, 22702, 23742, 24787, 25835, 26888, 27946, 29009, 30076, 31149,
     32227),
    (505, 1514, 2523, 3532, 4542, 5552, 6563, 7574, 8586, 9599, 10612, 11626, 12642, 13658, 14676, 15695,
     16715, 17737, 18760, 19785, 20811, 21840, 22870, 23902, 24936, 25973, 27011, 28052, 29096, 30142, 31190,
     32241),
    (508, 1525, 2541, 3558, 4575, 5592, 6609, 7627, 8645, 9663, 10682, 11701, 12720, 13741, 14761, 15783,
     16805, 17828, 18852, 19876, 20901, 21927, 22955, 23983, 25012, 26042, 27073, 28106, 29140, 30175, 31211,
     32249),
    (510, 1530, 2551, 3571, 4591, 5612, 6633, 7653, 8674, 9695, 10717, 11738, 12760, 13782, 14805, 15827,
     16850, 17874, 18898, 19922, 20947, 21972, 22997, 24023, 25050, 26077, 27105, 28133, 29162, 30191, 31221,
     32252),
    (511, 1533, 2555, 3577, 4600, 5622, 6644, 7667, 8689, 9712, 10734, 11757, 12780, 13803, 14826, 15850,
     16873, 17897, 18921, 19945, 20969, 21994, 23019, 24044, 25069, 26094, 27120, 28146, 29173, 30200, 31227,
     32254),
    (512, 1535, 2558, 3581, 4604, 5627, 6650, 7673, 8697, 9720, 10743, 11767, 12790, 13814, 14837, 15861,
     16885, 17908, 18932, 19956, 20981, 22005, 23029, 24054, 25078, 26103, 27128, 28153, 29178, 30204, 31229,
     32255),
])


# ---- 10. quantisers

def as_floats(elements: bytes, dtype: int) -> np.ndarray:
    if DTYPES[dtype][0] == "bfloat16":
        return (np.frombuffer(elements, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(elements, np.dtype(DTYPES[dtype][0]).newbyteorder("<"))


def with_levels(entry: Entry, elements: bytes) -> bytes:
    """Labels replaced by their levels (10.1)."""
    if entry.levels is None:
        return elements
    unsigned = np.dtype(f"<u{entry.itemsize}")
    with np.errstate(invalid="ignore"):     # signalling NaNs
        labels = as_floats(elements, entry.dtype).astype(np.float64)
    levels = np.append(np.zeros(1, unsigned), np.frombuffer(entry.levels, unsigned))
    bits = np.frombuffer(elements, unsigned).copy()
    finite = np.isfinite(labels)
    k = labels[finite]
    corrupt_unless(bool(((k == np.floor(k)) & (np.abs(k) < len(levels))).all()), "labels")
    sign = (k < 0).astype(unsigned) << unsigned.type(8 * entry.itemsize - 1)
    bits[finite] = levels[np.abs(k).astype(int)] | sign
    return bits.tobytes()


def direction(key: int, block: int, index: int, size: int, n: int) -> list[int]:
    """The first n of `size` coordinates of direction `index` of a block."""
    c, mask = 0x9e3779b97f4a7c15, 2**64 - 1
    start = mix(key + c * (block + 1) & mask)
    words = [mix(start + c * (index * size + i + 1) & mask) for i in range(n)]
    return [sum(word >> shift & 0xffff for shift in (0, 16, 32, 48)) - 131070 for word in words]


def decode_directions(chunk: bytes, n: int, entry: Entry, first: int) -> bytes:
    """Elements of a chunk whose first block has the number `first` (10.2)."""
    cursor = Bytes(chunk)
    escaped, scales = cursor.take(cursor.varint()), cursor.take(cursor.varint())
    low = cursor.integer(1)
    corrupt_unless(low <= 16, "low bits of indices")
    sizes = [min(entry.block, n - start) for start in range(0, n, entry.block)]
    symbols, _ = decode_symbols(scales, len(sizes))
    count = sum(size for size, symbol in zip(sizes, symbols, strict=True) if symbol is None)
    corrupt_unless(count > 0 or not escaped, "escaped elements without escapes")
    exact = Bytes(decode_exact(escaped, count, entry.itemsize) if count else b"")
    bits, code, parts = Bits(cursor.rest()), 0, []
    for i, (size, symbol) in enumerate(zip(sizes, symbols, strict=True)):
        if symbol is None:
            parts.append(exact.take(size * entry.itemsize))
            continue
        code += symbol
        corrupt_unless(0 <= code <= 0x7fef, "scale")
        s = direction(entry.key, first + i, read_index(bits, low), entry.block, size) if code else [0] * size
        scale = np.array(code << 48, np.uint64).view(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            parts.append(rounded(scale * (np.array(s) * 2.0**-16), entry.dtype))
    bits.end()
    return b"".join(parts)


def read_index(bits: Bits, low: int) -> int:
    high = 0
    while bits.take(1):
        high += 1
    index = high << low | bits.take(low)
    corrupt_unless(index < 2**16, "index")
    return index


def rounded(v: np.ndarray, dtype: int) -> bytes:
    """Elements of binary64 numbers, cut to the largest finite one."""
    name = DTYPES[dtype][0]
    largest = {"float16": 65504.0, "bfloat16": float.fromhex("0x1.fep127")}.get(name) or float(np.finfo(name).max)
    v = np.clip(v, -largest, largest)
    if name == "bfloat16":
        return bfloat16_bits(v.astype(np.float32)).astype("<u2").tobytes()
    return v.astype(np.float64 if name == "float64" else np.float32).astype(np.dtype(name).newbyteorder("<")).tobytes()
