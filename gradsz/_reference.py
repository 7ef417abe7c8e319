"""A slow decoder written from docs/format.md alone; section numbers in the comments are its.

It shares no code with the core: the tests compare the two, and it shows what a decoder has to do.
Not part of the public interface.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradsz.errors import CorruptError, LimitError, TruncatedError, UnsupportedError

VERSION = 0
LARGEST = 2**62                 # bytes of a tensor, a table or a section (2)

# Code: name and bytes of an element (3.1).
DTYPES = {0: ("float16", 2), 1: ("bfloat16", 2), 2: ("float32", 4), 3: ("float64", 8),
          8: ("int8", 1), 9: ("int16", 2), 10: ("int32", 4), 11: ("int64", 8),
          12: ("uint8", 1), 13: ("uint16", 2), 14: ("uint32", 4), 15: ("uint64", 8), 16: ("bool", 1)}
FLOATS = range(0, 4)
EMPTY, CONSTANT, RAW, EXACT, UNIFORM = range(5)     # codecs (3.2)


def decode(buf, *, max_output: int | None = None) -> dict[str, np.ndarray]:
    """All tensors of a message by name; one unnamed tensor has the name "".  bfloat16 needs ml_dtypes."""
    message = bytes(buf)
    entries, sections = read_message(message, max_output)
    try:
        return {entry.name: as_array(entry, decode_section(entry, section))
                for entry, section in zip(entries, sections, strict=True)}
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

def read_message(message: bytes, max_output: int | None) -> tuple[list[Entry], list[bytes]]:
    corrupt_unless(message[:3] == b"GSZ"[:len(message)], "not a gradsz message")
    cursor = Bytes(message, TruncatedError)
    cursor.take(3)
    if (version := cursor.integer(1)) != VERSION:
        raise UnsupportedError(f"format version {version}")
    flags = cursor.integer(1)
    known(flags < 2, "flags")
    size = cursor.varint()
    corrupt_unless(size <= LARGEST, "table length")
    table = cursor.take(size)
    covered = message[:cursor.at]
    corrupt_unless(cursor.integer(4) == crc32c(covered), "checksum of the header")
    entries = read_table(Bytes(table), named=flags == 1)
    check_output(sum(entry.nbytes for entry in entries), max_output)
    sections = [read_section(cursor, entry) for entry in entries]
    cursor.end()
    return entries, sections


def check_output(nbytes: int, max_output: int | None) -> None:
    if nbytes >= 2**64 or max_output is not None and nbytes > max_output:
        raise LimitError(f"the message decodes to {nbytes} bytes")


def read_section(cursor: Bytes, entry: Entry) -> bytes:
    """Payload and checksum of a tensor, empty where it has none (3.3)."""
    return cursor.take(entry.section_size + 4) if entry.codec >= RAW else b""


# ---- 3. tensor table

@dataclass
class Entry:
    name: str = ""
    dtype: int = 0
    shape: tuple[int, ...] = ()
    codec: int = EMPTY
    constant: bytes = b""
    predictor: int = 0
    eb: float = 0.0
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


def read_table(table: Bytes, named: bool) -> list[Entry]:
    count = table.varint() if named else 1
    entries = []
    for _ in range(count):          # every entry takes bytes, so a false count ends soon
        entries.append(read_entry(table, named))
    table.end()
    corrupt_unless(len({entry.name for entry in entries}) == len(entries), "a name stands twice")
    return entries


def read_entry(table: Bytes, named: bool) -> Entry:
    entry = Entry()
    if named:
        entry.name = read_name(table)
    entry.dtype = table.integer(1)
    known(entry.dtype in DTYPES, "dtype")
    dimensions = table.integer(1)
    corrupt_unless(dimensions <= 32, "more than 32 dimensions")
    entry.shape = tuple(table.varint() for _ in range(dimensions))
    if math.prod(max(n, 1) for n in entry.shape) * entry.itemsize > LARGEST:
        raise LimitError(f"a tensor of shape {entry.shape}")
    entry.codec = table.integer(1)
    known(entry.codec <= UNIFORM, "codec")
    corrupt_unless((entry.codec == EMPTY) == (entry.elements == 0), "codec empty is for empty tensors")
    if entry.codec == CONSTANT:
        entry.constant = table.take(entry.itemsize)
    if entry.codec == UNIFORM:
        read_uniform(table, entry)
    if entry.codec >= RAW:
        entry.section_size = table.varint()
        corrupt_unless(entry.section_size <= LARGEST, "section length")
    if entry.codec == RAW:
        corrupt_unless(entry.section_size == entry.nbytes, "section length of a raw tensor")
    return entry


def read_name(table: Bytes) -> str:
    length = table.varint()
    corrupt_unless(length <= 1023, "name too long")
    try:
        return table.take(length).decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise CorruptError("a name that is not UTF-8") from None


def read_uniform(table: Bytes, entry: Entry) -> None:
    mode_grid, predictor_coder = table.integer(1), table.integer(1)
    entry.eb = float(np.frombuffer(table.take(8), "<f8")[0])
    entry.predictor = predictor_coder & 15
    known(mode_grid <= 4, "mode or grid")
    known(predictor_coder <= 3, "predictor or coder")
    corrupt_unless(entry.dtype in FLOATS, "uniform is for floats")
    corrupt_unless(0 < entry.eb < math.inf and step(entry.dtype, entry.eb) > 0, "error bound")
    used = sum(n != 1 for n in entry.shape)
    corrupt_unless(entry.predictor < 2 or used >= entry.predictor, "more predicted dimensions than there are")
    corrupt_unless(unit(entry) <= 2**18, "rows or planes too large for a chunk")


def decode_section(entry: Entry, section: bytes) -> bytes:
    """Elements of a tensor, little-endian."""
    if entry.codec < RAW:
        return entry.constant * entry.elements
    section, stored = section[:-4], section[-4:]
    corrupt_unless(int.from_bytes(stored, "little") == crc32c(section), "checksum of a section")
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


def values(k: np.ndarray, entry: Entry) -> np.ndarray:
    """Elements of the integers k, as arrays of the dtype or, for bfloat16, of its bits (5.1)."""
    name = DTYPES[entry.dtype][0]
    work = np.dtype("float64" if name == "float64" else "float32")
    with np.errstate(over="ignore", under="ignore"):
        product = k.astype(work) * np.asarray(step(entry.dtype, entry.eb), work)
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
    x = values(k, entry)
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
