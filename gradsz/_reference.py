"""A slow decoder written from docs/format.md alone; section numbers in the comments are its.

It shares no code with the core: the tests compare the two, and it shows what a decoder has to do.
Not part of the public interface.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gradsz.errors import CorruptError, LimitError, TruncatedError, UnsupportedError

VERSION = 0
LARGEST = 2**62                 # bytes of a tensor, a table, a section or a segment (2)

# Code: name and bytes of an element (3.1).
DTYPES = {0: ("float16", 2), 1: ("bfloat16", 2), 2: ("float32", 4), 3: ("float64", 8),
          8: ("int8", 1), 9: ("int16", 2), 10: ("int32", 4), 11: ("int64", 8),
          12: ("uint8", 1), 13: ("uint16", 2), 14: ("uint32", 4), 15: ("uint64", 8), 16: ("bool", 1)}
FLOATS = range(0, 4)
EMPTY, CONSTANT, RAW, EXACT, UNIFORM, MODEL = range(6)      # codecs (3.2)


def decode(buf, *, max_output: int | None = None) -> dict[str, np.ndarray]:
    """All tensors of a message by name; one unnamed tensor has the name "".  bfloat16 needs ml_dtypes."""
    message = bytes(buf)
    parts = read_message(message, max_output)
    try:
        modelled = decode_segments(parts)
        return {entry.name: as_array(entry, modelled[i] if entry.codec == MODEL else decode_section(entry, section))
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
        self.data, self.at, self.short = data, 0, short

    @property
    def left(self) -> int:
        return len(self.data) - self.at

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


def crc32c(data: bytes) -> int:
    crc = 0xffffffff
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
    segments: list[bytes]       # with their checksums


def read_message(message: bytes, max_output: int | None) -> Message:
    corrupt_unless(message[:3] == b"GSZ"[:len(message)], "not a gradsz message")
    cursor = Bytes(message, TruncatedError)
    cursor.take(3)
    if (version := cursor.integer(1)) != VERSION:
        raise UnsupportedError(f"format version {version}")
    flags = cursor.integer(1)
    known(flags < 2, "flags")
    size = cursor.varint()
    corrupt_unless(size <= LARGEST, "table length")
    data = cursor.take(size)
    covered = message[:cursor.at]
    corrupt_unless(cursor.integer(4) == crc32c(covered), "checksum of the header")
    table = read_table(Bytes(data), named=flags == 1)
    check_output(sum(entry.nbytes for entry in table.entries), max_output)
    sections = [cursor.take(entry.section_size + 4) if has_section(entry) else b"" for entry in table.entries]
    segments = [cursor.take(size + 4) for size in table.segment_sizes]
    cursor.end()
    return Message(table, sections, segments)


def check_output(nbytes: int, max_output: int | None) -> None:
    if nbytes >= 2**64 or max_output is not None and nbytes > max_output:
        raise LimitError(f"the message decodes to {nbytes} bytes")


def has_section(entry: Entry) -> bool:
    return RAW <= entry.codec <= UNIFORM


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
    aligned: bool = True
    predictor: int = 0
    section_size: int = 0

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
    frequencies: list[Frequencies]      # of all contexts
    segments: list[list[Part]]
    segment_sizes: list[int]


def read_table(table: Bytes, named: bool) -> Table:
    count = table.varint() if named else 1
    entries: list[Entry] = []
    name, eb = b"", 0.0             # of the entry before, and the last bound before
    for _ in range(count):          # every entry takes bytes, so a false count ends soon
        name = read_name(table, name) if named else b""
        entries.append(read_entry(table, name, eb))
        eb = entries[-1].eb or eb
    frequencies, segments, sizes = [], [], []
    if any(entry.codec == MODEL for entry in entries):
        frequencies = read_frequencies(table)
        for segment in cut(entries):        # every length takes bytes, too
            segments.append(segment)
            sizes.append(table.varint())
            corrupt_unless(sizes[-1] <= LARGEST, "segment length")
    table.end()
    corrupt_unless(len({entry.name for entry in entries}) == len(entries), "a name stands twice")
    return Table(entries, frequencies, segments, sizes)


def read_name(table: Bytes, before: bytes) -> bytes:
    front, back = table.integer(1), table.integer(1)
    corrupt_unless(front + back <= len(before), "a name of more bytes than the one before has")
    name = before[:front] + table.take(table.varint()) + before[len(before) - back:]
    corrupt_unless(len(name) <= 1023, "name too long")
    return name


def read_entry(table: Bytes, name: bytes, eb: float) -> Entry:
    """An entry behind its name; `eb` is the last bound before it (3.1)."""
    try:
        entry = Entry(name.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise CorruptError("a name that is not UTF-8") from None
    kind = table.integer(1)
    entry.dtype, entry.codec = kind & 31, kind >> 5
    known(entry.dtype in DTYPES, "dtype")
    known(entry.codec <= MODEL, "codec")
    dimensions = table.integer(1)
    corrupt_unless(dimensions <= 32, "more than 32 dimensions")
    entry.shape = tuple(table.varint() for _ in range(dimensions))
    if math.prod(max(n, 1) for n in entry.shape) * entry.itemsize > LARGEST:
        raise LimitError(f"a tensor of shape {entry.shape}")
    corrupt_unless((entry.codec == EMPTY) == (entry.elements == 0), "codec empty is for empty tensors")
    if entry.codec == CONSTANT:
        entry.constant = table.take(entry.itemsize)
    if entry.codec >= UNIFORM:
        read_bound(table, entry, eb)
    if entry.codec == UNIFORM:
        read_predictor(table, entry)
    if has_section(entry):
        entry.section_size = table.varint()
        corrupt_unless(entry.section_size <= LARGEST, "section length")
    if entry.codec == RAW:
        corrupt_unless(entry.section_size == entry.nbytes, "section length of a raw tensor")
    return entry


def read_bound(table: Bytes, entry: Entry, eb: float) -> None:
    kind = table.integer(1)
    mode, grid, size = kind & 7, kind >> 3 & 3, kind >> 5
    known(mode <= 4, "mode")
    known(grid <= 1 and (grid == 0 or entry.codec == MODEL), "grid")
    entry.aligned = grid == 0
    entry.eb = float(np.frombuffer(table.take(size + 1).ljust(8, b"\0"), ">f8")[0]) if size > 0 else eb
    corrupt_unless(entry.dtype in FLOATS, "a bound is for floats")
    corrupt_unless(0 < entry.eb < math.inf and step(entry.dtype, entry.eb) > 0, "error bound")


def read_predictor(table: Bytes, entry: Entry) -> None:
    kind = table.integer(1)
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


def bfloat16_bits(x: np.ndarray) -> np.ndarray:
    """binary32 rounded to its upper half, ties to even; x is never a NaN."""
    bits = x.view(np.uint32).astype(np.uint64)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def lattice(entry: Entry) -> tuple[int, int]:
    """Columns and rows (5.2)."""
    last = [n for n in reversed(entry.shape) if n != 1] + [1, 1]
    return last[0], last[1]


def unit(entry: Entry) -> int:
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

SCALES = 20                 # the context of scales
FACTORS = 21                # the first context of low-rank factors
TABLES = 2 * FACTORS
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
        if gathered and (several or elements >= 2**18):
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
        known(states <= 2, "number of states")
        low_size, side_size = cursor.varint(), cursor.varint()
        corrupt_unless(low_size + side_size <= cursor.left, "more low bits and side bits than bytes")
        self.words = Bytes(cursor.take(cursor.left - low_size - side_size))
        self.low, self.side = Bits(cursor.take(low_size)), Bits(cursor.rest())
        self.states = [self.words.integer(4) for _ in range(4**states)]
        corrupt_unless(all(2**15 <= x < 2**31 for x in self.states), "a state out of range")
        self.slots = slots

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


def decode_segments(message: Message) -> dict[int, bytes]:
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
                tensors[part.tensor] = read_head(segment, entry)
            decode_rows(segment, tensors[part.tensor], part.first, part.last, elements[part.tensor])
        segment.end()
    return {i: x.astype(x.dtype.newbyteorder("<")).tobytes() for i, x in elements.items()}


# 7.2 coding tables

def read_frequencies(table: Bytes) -> list[Frequencies]:
    bits = Bits(table.data[table.at:])
    frequencies = [read_context(bits) for _ in range(TABLES)]
    table.take(bits.fill())
    return frequencies


def read_context(bits: Bits) -> Frequencies:
    kind = bits.take(2)
    known(kind < 3, "kind of coding table")
    f = [0] * 128
    if kind == 0:
        f[0] = SLOTS
    elif kind == 1:
        level, ratio = bits.take(7), bits.take(6)
        corrupt_unless(level <= 65, "level of a coding table")
        geometric(f, level, 4 * ratio + 2)
    else:
        first, last, before = bits.take(7), bits.take(7), 0
        corrupt_unless(first <= 64 <= last, "first or last symbol of a coding table")
        for symbol in range(first, last + 1):
            if symbol != 64:
                before = f[symbol] = bits.number(0 if before < 2 else before.bit_length() - 2)
        f[64] = SLOTS - sum(f)
        corrupt_unless(f[64] >= 0, "frequencies of more than all slots")
    return f


def geometric(f: Frequencies, level: int, q: int) -> None:
    slots = max(1, ((64, 72, 81, 91, 102, 114)[level % 6] << level // 6) // 64)
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

    @property
    def lanes(self) -> int:
        return -(-self.row_length // self.taps)

    def step(self, row: int, tap: int) -> np.ndarray:
        """Where the elements of a step stand, in C order."""
        length = min(self.row_length, self.elements - row * self.row_length)    # the last row may be shorter
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
    aligned: bool = False
    unit_bits: int = 0
    first_context: int = 0
    widths: tuple[int, int, int] = (16, 0, 60)              # w0, w1, w2
    means: dict[str, int] = field(default_factory=dict)     # weights of the families
    scales: list[int] = field(default_factory=list)
    base: Callable[[int], np.ndarray] | None = None         # of a row, tap by tap


class Sums:
    """What the rows of a part so far tell of the next one."""

    def __init__(self, view: View):
        self.each = np.zeros((view.taps if view.matrix else 1, view.lanes), np.int64)
        self.total = self.count = 0

    def add(self, d: list[np.ndarray]) -> None:
        for tap, step in enumerate(d):
            sums = self.each[tap % len(self.each)]
            sums[:len(step)] = wrap(sums[:len(step)] + abs(step))
            self.total += int(abs(step).sum())
        self.count += 1

    def contexts(self, m: Modelled, scale: int) -> tuple[np.ndarray, np.ndarray]:
        """Context and number of raw bits for each sum: steps 1 and 2 of 7.5."""
        f = m.unit_bits
        w0, w1, w2 = m.widths
        s = ((256, 323, 406)[(scale - 1) % 3] << (scale - 1) // 3) // 256
        base = (w0 << f) + w1 * s
        cell = np.zeros_like(self.each)
        if self.count == 0:
            base += w2 * s
        else:
            steps = self.count * (1 if m.view.matrix else m.view.taps)
            mean = self.total // self.each.size + (steps << f) // 16 + 1
            down = max(mean.bit_length() - 8, 0)
            ratio = 256 * s // (mean >> down)
            up = max(ratio.bit_length() - 16, 0)
            cell = (np.minimum(self.each >> down, 32767) * (ratio >> up) & 0xffffffff) // 256 << up
        width = np.clip(wrap(base + w2 * wrap(cell)) >> 6, 1, 2**24 - 1)
        mantissa, exponent = np.frexp(width)                # 0.75 and more: the bit below the highest is set
        half = np.maximum(2 * (exponent.astype(np.int64) - 1) + (mantissa >= 0.75) - (2 * (f + 4) - 14), 0)
        raw = np.where(half < 18, 0, (half - 18) // 2)
        return half - 2 * raw + m.first_context, raw


def decode_rows(segment: Segment, m: Modelled, first: int, last: int, out: np.ndarray) -> None:
    """Elements of some rows, as bits, to their places in `out`, which is 0."""
    sums = Sums(m.view)
    for row in range(first, last):
        if m.scales[row] == 0:
            continue
        contexts, raw = sums.contexts(m, m.scales[row])
        base = np.zeros(m.view.row_length, np.int64) if m.base is None else m.base(row)
        d: list[np.ndarray] = []
        for tap in range(m.view.taps):
            places, group = m.view.step(row, tap), tap % len(contexts)
            n = len(places)
            mean = wrap(means(m, d, tap, n) + base[:n])
            y, escapes = decode_step(segment, m, mean, contexts[group][:n], raw[group][:n])
            out[places] = values(y, m.dtype, m.unit).view(out.dtype)
            for lane, bits in escapes:
                out[places[lane]] = bits
            d.append(np.clip(wrap(y - base[:n]), -32767, 32767))
            base = base[n:]
        sums.add(d)


def means(m: Modelled, d: list[np.ndarray], tap: int, n: int) -> np.ndarray:
    """What the features say of the n lanes of a step, less the base."""
    total = np.full(n, 32, np.int64)
    for family, weight in m.means.items():
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


def decode_step(segment: Segment, m: Modelled, mean: np.ndarray, contexts: np.ndarray,
                raw: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """y of each lane, and lane and bits of the escaped elements: step 3 of 7.5."""
    f = m.unit_bits
    symbols = segment.step(contexts.tolist())
    low = [segment.low.take(n) if n else 0 for n in raw.tolist()]
    q, escapes = np.array(symbols, np.int64) - 64, []
    for lane in (lane for lane, symbol in enumerate(symbols) if symbol == 0):
        v = segment.side.number(4)
        if v == 0:
            escapes.append((lane, segment.side.take(8 * DTYPES[m.dtype][1])))
        u = v - 1
        q[lane] = (u - 1) // 2 if u % 2 else -(u // 2)
    r = (q << raw) + np.array(low, np.int64)
    r = wrap(np.where(mean < 0, -r, r))
    centre = wrap(mean + (1 << f) // 2) & -(1 << f) if m.aligned else mean
    y = wrap(centre + (r << f))
    for lane, _ in escapes:
        y[lane] = centre[lane]
    return y, escapes


# 7.6 head

def read_head(segment: Segment, entry: Entry) -> Modelled:
    view, f = view_of(entry.shape), segment.side.take(4)
    corrupt_unless(f <= 12, "unit bits")
    width = step(entry.dtype, entry.eb)
    corrupt_unless(width >= 2.0**((-1022 if DTYPES[entry.dtype][0] == "float64" else -126) + f), "a unit that is not normal")
    m = Modelled(view, entry.dtype, width / 2**f, entry.aligned, f)
    read_weights(segment, m)
    read_scales(segment, m)
    rank = segment.side.number(2)
    if rank > 0:
        read_low_rank(segment, m, rank)
    return m


def read_weights(segment: Segment, m: Modelled) -> None:
    fitted, side = segment.side.take(1), segment.side
    families = [name for name, (in_matrices, from_tap, _) in FAMILIES.items()
                if in_matrices == m.view.matrix and m.view.taps > from_tap(m.view)]
    if fitted:
        m.widths = side.signed(5), side.signed(5), side.signed(5)
        m.means = {name: side.signed(5) for name in families}
    elif "earlier taps" in families:
        m.means = {"earlier taps": 40}


def read_scales(segment: Segment, m: Modelled) -> None:
    before = 1
    for symbol in segment.step([SCALES + m.first_context] * m.view.rows):
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
    corrupt_unless(rank <= min(63, view.rows, view.row_length), "rank")
    shift = segment.side.take(5)
    up = [segment.side.take(4) for _ in range(rank)]
    corrupt_unless(1 <= shift <= 30 and max(up) <= 14, "shift or up of a factor")
    a = np.zeros((rank, view.rows), np.int64)
    a[:, live] = read_factor(segment, View(False, rank * len(live), rank, len(live), 1, 1, (len(live), 1, 0)))
    a <<= np.array(up)[:, None]
    b = read_factor(segment, View(view.matrix, rank * view.row_length, rank, view.row_length, view.taps, view.side,
                                  (view.row_length, 1, view.lanes)))
    corrupt_unless(abs(a).max() <= 32767 and abs(b).max() <= 32767, "a factor too large")
    m.base = lambda row: wrap((a[:, row, None] * b).sum(axis=0) + (1 << shift - 1)) >> shift


def read_factor(segment: Segment, view: View) -> np.ndarray:
    """Integers of a factor, a row a component, tap by tap."""
    m = Modelled(view, 2, 1.0, first_context=FACTORS)
    read_weights(segment, m)
    read_scales(segment, m)
    out = np.zeros(view.elements, np.uint32)
    decode_rows(segment, m, 0, view.rows, out)
    x = out.view(np.float32)
    corrupt_unless(bool((abs(x) <= 32767).all() and (x == np.rint(x)).all()), "a factor of other than small integers")
    return x.astype(np.int64).reshape(view.rows, view.row_length)
