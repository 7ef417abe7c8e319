"""Messages drawn by hand, field by field, with right checksums: for streams that no encoder writes.

Numbers of sections are those of docs/format.md.  Nothing here checks anything: bad messages are drawn too.
"""
from __future__ import annotations

import struct
from dataclasses import dataclass

from gradsz._reference import crc32c

FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = 0, 1, 2, 3
INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, BOOL = range(8, 17)
EMPTY, CONSTANT, RAW, EXACT, UNIFORM = range(5)


# ---- 1. conventions

def varint(v: int) -> bytes:
    out = bytearray()
    while v >= 0x80:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes([*out, v])


class Bits:
    """Bits in the order of reading."""

    def __init__(self):
        self.bits: list[int] = []

    def put(self, value: int, n: int) -> Bits:
        self.bits += [value >> i & 1 for i in range(n)]
        return self

    def text(self, text: str) -> Bits:
        self.bits += [int(c) for c in text if c != " "]
        return self

    def bytes(self, filler: int = 0) -> bytes:
        bits = self.bits + [filler] * (-len(self.bits) % 8)
        return bytes(sum(bit << i for i, bit in enumerate(bits[at:at + 8])) for at in range(0, len(bits), 8))


# ---- 2. message

def sealed(data: bytes) -> bytes:
    return data + crc32c(data).to_bytes(4, "little")


def header(table: bytes, version: int = 0, flags: int = 0, length: bytes | None = None) -> bytes:
    return sealed(b"GSZ" + bytes([version, flags]) + (varint(len(table)) if length is None else length) + table)


def message(*tensors: tuple[bytes, bytes | None], **fields) -> bytes:
    """Tensors without names: (entry, payload of the section or None)."""
    return header(b"".join(entry for entry, _ in tensors), **fields) + sections(tensors)


def named(*tensors: tuple[bytes, bytes | None], count: int | None = None) -> bytes:
    table = varint(len(tensors) if count is None else count) + b"".join(entry for entry, _ in tensors)
    return header(table, flags=1) + sections(tensors)


def sections(tensors) -> bytes:
    return b"".join(sealed(payload) for _, payload in tensors if payload is not None)


# ---- 3. tensor table

def entry(dtype: int, shape, codec: int, parameters: bytes = b"", name: bytes | None = None) -> bytes:
    start = b"" if name is None else varint(len(name)) + name
    return start + bytes([dtype, len(shape)]) + b"".join(map(varint, shape)) + bytes([codec]) + parameters


def constant(dtype: int, shape, element: bytes, name: bytes | None = None):
    return entry(dtype, shape, CONSTANT, element, name), None


def raw(dtype: int, shape, payload: bytes, name: bytes | None = None):
    return entry(dtype, shape, RAW, varint(len(payload)), name), payload


def exact(dtype: int, shape, payload: bytes, name: bytes | None = None):
    return entry(dtype, shape, EXACT, varint(len(payload)), name), payload


def uniform(dtype: int, shape, payload: bytes, eb: float = 0.5, predictor: int = 0, *, mode: int = 0, grid: int = 0,
            coder: int = 0, name: bytes | None = None):
    fields = bytes([mode | grid << 4, predictor | coder << 4]) + struct.pack("<d", eb)
    return entry(dtype, shape, UNIFORM, fields + varint(len(payload)), name), payload


def chunks(*parts: bytes) -> bytes:
    return b"".join(varint(len(part)) for part in parts) + b"".join(parts)


# ---- 4. symbol streams

@dataclass(frozen=True)
class Token:
    number: int
    extra: int = 0              # after the code word,
    extra_bits: int = 0         # in so many bits
    field: int | None = None    # low bits; None where there are none
    far: int | None = None      # entry of the list of far classes


RUN, VALUE = 2, 39              # the first tokens of their kinds

ESCAPE = Token(0, field=0)


def run(zeros: int) -> Token:
    if zeros <= 15:
        return Token(RUN - 1 + zeros)
    e = zeros.bit_length() - 1
    return Token(RUN + 15 + 2 * (e - 4) + (zeros >> (e - 1) & 1), zeros & (1 << (e - 1)) - 1, e - 1)


def value(v: int, low: int = 0, far: bool = False) -> Token:
    m, field = divmod(abs(v) - 1, 1 << low)
    if far:
        return Token(1, field=field, far=2 * m + (v > 0))
    return Token(VALUE + 2 * m + (v > 0), field=field)


def lengths_of(tokens) -> dict[int, int]:
    """A complete code for some tokens (up to 2^12), all lengths alike or nearly so; a lone token gets length 1."""
    used = sorted({token.number for token in tokens})
    short = max(1, (len(used) - 1).bit_length())
    spare = (1 << short) - len(used)            # words of the longer length that are free: as many shorter ones
    if len(used) == 1:
        return {used[0]: 1}
    return {number: short - (i < spare) for i, number in enumerate(used)}


def codes_of(lengths: dict[int, int]) -> dict[int, str]:
    """Canonical words in the order of reading; a lone token has none."""
    if len(lengths) == 1:
        return {token: "" for token in lengths}
    words, word, before = {}, 0, 0
    for token in sorted(lengths, key=lambda t: (lengths[t], t)):
        word <<= lengths[token] - before
        before = lengths[token]
        words[token] = f"{word:0{before}b}"
        word += 1
    return words


def put_table(bits: Bits, lengths: dict[int, int]) -> None:
    longest = max(lengths.values())
    runs = max([t - RUN + 1 for t in lengths if RUN <= t < VALUE], default=0)
    values = max([t - VALUE + 1 for t in lengths if t >= VALUE], default=0)
    bits.put(longest, 4).put(runs, 6).put(values, 11).put(lengths.get(0, 0), 4).put(lengths.get(1, 0), 4)
    for first, count in ((RUN, runs), (VALUE, values)):
        before = 4
        for token in range(first, first + count):
            listed = lengths.get(token, longest + 1)
            difference = listed - before
            if difference == 0:
                bits.text("0")
            elif abs(difference) <= 2:
                bits.text("10" if abs(difference) == 1 else "110").put(difference < 0, 1)
            else:
                bits.text("111").put(listed, 4)
            before = listed


def stream(tokens, words_a: dict[int, str], words_b: dict[int, str]) -> bytes:
    bits, words = Bits(), words_a
    for token in tokens:
        bits.text(words[token.number]).put(token.extra, token.extra_bits)
        words = words_b if RUN <= token.number < VALUE else words_a
    return bits.bytes()


def symbols(*streams, low: int = 0, a: dict[int, int] | None = None, b: dict[int, int] | None = None, flags: int = 0,
            far: bytes | None = None, fields: bytes | None = None) -> bytes:
    """One or four streams of tokens.  `a` and `b`: lengths of the codes; without b there is one code.  `far` and
    `fields`: the list of far classes and the low bits, where they are not to be those of the tokens."""
    tokens = [token for tokens in streams for token in tokens]
    a = lengths_of(tokens) if a is None else a
    table = Bits()
    put_table(table, a)
    if b is not None:
        put_table(table, b)
    if far is None and 1 in {**a, **(b or {})}:
        far = b"".join(varint(token.far) for token in tokens if token.far is not None)
    if fields is None and low:
        bits = Bits()
        for token in tokens:
            if token.field is not None:
                bits.put(token.field, low)
        fields = bits.bytes()
    parts = [stream(tokens, codes_of(a), codes_of(a if b is None else b)) for tokens in streams]
    head = [(len(streams) == 4) | (b is not None) << 1 | (low > 0) << 2 | (far is not None) << 3 | flags]
    sizes = bytes([low]) + varint(len(fields)) if low else b""
    sizes += varint(len(far)) if far is not None else b""
    return (bytes(head) + sizes + table.bytes() + b"".join(varint(len(part)) for part in parts[:-1]) + b"".join(parts)
            + (far or b"") + (fields or b""))


# ---- 5. and 6. chunks

def chunk(symbol_string: bytes, escaped: bytes = b"") -> bytes:
    return varint(len(escaped)) + escaped + symbol_string


def coded_plane(symbol_string: bytes, base: int = 0) -> bytes:
    return bytes([1, base]) + varint(len(symbol_string)) + symbol_string


def stored_plane(data: bytes) -> bytes:
    return b"\0" + data
