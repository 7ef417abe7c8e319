"""Messages drawn by hand, field by field, with right checksums: for streams that no encoder writes.

Numbers of sections are those of docs/format.md.  Nothing here checks anything: bad messages are drawn too.
"""
from __future__ import annotations

import contextlib
import random
import struct
from dataclasses import dataclass

import numpy as np

from gradsz import _reference
from gradsz._reference import crc32c
from gradsz.errors import CorruptError, GradszError

FLOAT16, BFLOAT16, FLOAT32, FLOAT64 = 0, 1, 2, 3
INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64, BOOL = range(8, 17)
EMPTY, CONSTANT, RAW, EXACT, UNIFORM, MODEL, RESERVED, GATHERED = range(8)


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

    def number(self, order: int, v: int) -> Bits:
        w = v + (1 << order)
        b = w.bit_length() - 1
        return self.put((1 << b - order) - 1, b - order + 1).put(w, b)

    def signed(self, order: int, v: int) -> Bits:
        return self.number(order, 2 * v if v >= 0 else -2 * v - 1)

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

def entry(dtype: int, shape, codec: int, parameters: bytes = b"", name: bytes | None = None, front: int = 0, back: int = 0) -> bytes:
    """`name`: the bytes between `front` and `back` others of the name before."""
    start = b"" if name is None else bytes([front, back]) + varint(len(name)) + name
    return start + bytes([dtype | codec << 5, len(shape)]) + b"".join(map(varint, shape)) + parameters


def bound(eb: float | None, mode: int = 0, grid: int = 0, size: int | None = None) -> bytes:
    """`eb` in size + 1 bytes, without `size` in as few as do; None: that of an entry before."""
    data = b"" if eb is None else struct.pack(">d", eb)
    size = max(len(data.rstrip(b"\0")), min(len(data), 2)) - 1 if size is None else size
    return bytes([mode | grid << 3 | max(size, 0) << 5]) + data[:size + 1]


def constant(dtype: int, shape, element: bytes, name: bytes | None = None):
    return entry(dtype, shape, CONSTANT, element, name), None


def raw(dtype: int, shape, payload: bytes, name: bytes | None = None):
    return entry(dtype, shape, RAW, varint(len(payload)), name), payload


def exact(dtype: int, shape, payload: bytes, name: bytes | None = None):
    return entry(dtype, shape, EXACT, varint(len(payload)), name), payload


def uniform(dtype: int, shape, payload: bytes, eb: float | None = 0.5, predictor: int = 0, *, mode: int = 0, grid: int = 0,
            size: int | None = None, coder: int = 0, name: bytes | None = None):
    fields = bound(eb, mode, grid, size) + bytes([predictor | coder << 4])
    return entry(dtype, shape, UNIFORM, fields + varint(len(payload)), name), payload


def gathered(entries: list[bytes], *payloads: bytes, lengths: bytes | None = None, flags: int = 1) -> bytes:
    """Entries of gathered tensors, and the payloads of their runs."""
    ends = b"".join(varint(len(payload)) for payload in payloads) if lengths is None else lengths
    count = varint(len(entries)) if flags & 1 else b""
    return header(count + b"".join(entries) + ends, flags=flags) + b"".join(map(sealed, payloads))


class Packer:
    """Arithmetic coding of the bits that a model of packed entries asks for."""

    def __init__(self, length: int):
        self.model, self.low, self.high, self.out = _reference.BitModel(length), 0, 2**32 - 1, bytearray()

    def byte(self, field: int, byte: int) -> None:
        bits = iter(format(byte, "08b"))
        self.model.byte(field, lambda chance: self.bit(chance, int(next(bits))))

    def bit(self, chance: int, bit: int) -> int:
        cut = self.low + ((self.high - self.low) * chance >> 16)
        self.low, self.high = (self.low, cut) if bit else (cut + 1, self.high)
        while self.low >> 24 == self.high >> 24:
            self.out.append(self.low >> 24)
            self.low, self.high = self.low << 8 & 2**32 - 1, (self.high << 8 & 2**32 - 1) + 255
        return bit

    def end(self) -> bytes:
        return (bytes(self.out) + bytes([-(-self.low >> 24)])).rstrip(b"\0")


def pack(plain: bytes, named: bool) -> bytes:
    """Packed entries, without the lengths before them (3.5).  Bytes behind a mistake are of no field that matters."""
    packer = Packer(len(plain))
    walk = _reference.Walk(plain, packer.byte)
    with contextlib.suppress(GradszError):
        _reference.read_entries(walk, named)
    walk.of(_reference.OTHER).rest()
    return packer.end()


def packed(plain: bytes, rest: bytes = b"", *, length: int | None = None, data: bytes | None = None, flags: int = 2) -> bytes:
    """A header with packed entries."""
    data = pack(plain, named=flags & 1 > 0) if data is None else data
    return header(varint(len(plain) if length is None else length) + varint(len(data)) + data + rest, flags=flags)


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


# ---- 7. the gradient model

def listed(frequencies: dict[int, int], first: int | None = None, last: int | None = None) -> Bits:
    """A table of the frequencies of symbols other than 64, which has the rest."""
    first = min([64, *frequencies]) if first is None else first
    last = max([64, *frequencies]) if last is None else last
    bits, before = Bits().put(2, 2).put(first, 7).put(last, 7), 0
    for symbol in range(first, last + 1):
        if symbol != 64:
            bits.number(0 if before < 2 else before.bit_length() - 2, frequencies.get(symbol, 0))
            before = frequencies.get(symbol, 0)
    return bits


def geometric(level: int, ratio: int) -> Bits:
    return Bits().put(1, 2).put(level, 7).put(ratio, 6)


def binary(level: int) -> Bits:
    return Bits().put(3, 2).put(level, 7)


EVERY = geometric(65, 63)       # has room for every symbol


def tables(chosen: dict[int, Bits], filler: int = 0) -> bytes:
    """Coding tables of all contexts; those that are not chosen have zeros only."""
    bits = Bits()
    for contexts in (_reference.VALUES, _reference.FACTORS, _reference.RANDOM):
        present = any(context in chosen for context in contexts)
        bits.put(present, 1)
        if not present:
            continue
        sent = max((i + 1 for i, context in enumerate(contexts[:-1]) if context in chosen), default=0)
        bits.number(4, sent)
        for context in (*contexts[:sent], contexts[-1]):
            bits.bits += chosen.get(context, Bits().put(0, 2)).bits
    return bits.bytes(filler)


WEIGHTS = (1024, 0, 0)          # widths: the same everywhere,
CONTEXT, WIDE = 14, 18          # so that every element has this context where f = 0; that of 2^14, with two raw bits
USUAL = dict.fromkeys((CONTEXT, WIDE, 20, CONTEXT + 21, 41), EVERY)
ALL = dict.fromkeys(range(98), EVERY)


class Segment:
    """Heads and rows, drawn step by step.  Widths are constant (WEIGHTS), so contexts are known."""

    def __init__(self, chosen: dict[int, Bits] | None = None):
        self.tables = tables(USUAL if chosen is None else chosen)
        self.steps: list[list[tuple[int, int]]] = []    # (context, symbol) of each lane
        self.low, self.side = Bits(), Bits()
        self.first: dict[int, int] = {}                 # first scale of the last head, by the first context of its set

    def step(self, symbols, context: int = CONTEXT) -> Segment:
        self.steps.append([(context, symbol) for symbol in symbols])
        return self

    def weights(self, weights=WEIGHTS, taps=None) -> Segment:
        """Widths and then those of the families that the view has; None: the usual ones.  taps: widths of those of kernels, [] for none told."""
        self.side.put(weights is not None, 1)
        for weight in weights or ():
            self.side.signed(5, weight)
        if taps is not None:
            self.side.put(len(taps) > 0, 1)
        for tap in taps or ():
            self.side.signed(2, tap)
        return self

    def scales(self, scales, first_context: int = 0) -> Segment:
        symbols, before = [], 1
        self.side.signed(1, before - self.first.get(first_context, 32))
        self.first[first_context] = before
        for scale in scales:
            symbols.append(64 + scale - before if scale else 127)
            before = scale or before
        return self.step(symbols, first_context + 20)

    def head(self, scales, f: int = 0, weights=(*WEIGHTS, 0), rank: int = 0, usual: int = 4, taps=None) -> Segment:
        """As a rule that of a matrix, which has one family."""
        self.side.signed(0, f - usual)
        self.weights(weights, taps).scales(scales)
        self.side.number(0, rank)
        return self

    def low_rank(self, shift: int, up) -> Segment:
        self.side.put(shift, 5)
        for bits in up:
            self.side.put(bits, 4)
        return self

    def turn(self, turn: int, rows: int, rank: int) -> Segment:
        if rank <= rows <= 8 * rank:
            self.side.put(turn, 4)
        return self

    def factor(self, rows, families: int) -> Segment:
        """Rows of small integers, each as its steps; weights of 0 for so many families."""
        self.weights((*WEIGHTS, *[0] * families), [] if families > 1 else None).scales([1] * len(rows), 21)
        for row in rows:
            for step in row:
                self.step([64 + v for v in step], CONTEXT + 21)
        return self

    def payload(self, states: int = 0, **parts) -> bytes:
        """`parts`: words, low, side where they are not to be those drawn."""
        start, words = self.coded(2 ** min(states, 5))
        words = parts.get("words", words)
        low, side = parts.get("low", self.low.bytes()), parts.get("side", self.side.bytes())
        return bytes([states]) + varint(len(low)) + varint(len(side)) + parts.get("start", start) + words + low + side

    def coded(self, states: int) -> tuple[bytes, bytes]:
        """States and words, by coding the symbols from the last to the first (7.3)."""
        frequencies = _reference.read_frequencies(_reference.Bytes(self.tables))
        x, words = [2**15] * states, []
        for step in reversed(self.steps):
            for i, (context, symbol) in reversed(list(enumerate(step))):
                f, start, j = frequencies[context][symbol], sum(frequencies[context][:symbol]), i % states
                if x[j] >= f << 20:
                    words.append(x[j] & 0xffff)
                    x[j] >>= 16
                x[j] = x[j] // f * 2048 + x[j] % f + start
        start = Bits()
        for state in x:
            highest = state.bit_length() - 1
            start.put(highest - 15, 4).put(state - 2**highest, highest)
        return start.bytes(), struct.pack(f"<{len(words)}H", *reversed(words))


def model(dtype: int, shape, eb: float | None = 0.5, *, mode: int = 0, grid: int = 1, size: int | None = None,
          name: bytes | None = None) -> bytes:
    return entry(dtype, shape, MODEL, bound(eb, mode, grid, size), name)


def modelled(entries, coding_tables: bytes, payloads, lengths: bytes | None = None, named: bool = False, other=(),
             origin: bytes = b"", flags: int = 0) -> bytes:
    """A message of entries of codec 5, perhaps among others with their sections; payloads of the segments; `origin`: what stands
    before the coding tables, such as seed and slot."""
    table = (varint(len(entries)) if named else b"") + b"".join(entries) + origin + coding_tables
    table += b"".join(varint(len(payload)) for payload in payloads) if lengths is None else lengths
    return header(table, flags=int(named) | flags) + b"".join(map(sealed, [*other, *payloads]))


class Made:
    """Stands for a decoder's bits: what it asks for is made up, and written to `bits`."""

    def __init__(self, noise: random.Random, bits: Bits, wild: bool):
        self.noise, self.bits, self.wild = noise, bits, wild

    def take(self, n: int) -> int:
        v = self.noise.randint(1, 12) if n in (4, 5) else self.noise.getrandbits(n) if n else 0     # up, shift
        self.bits.put(v, n)
        return v

    def number(self, order: int) -> int:
        v = self.noise.choice([0, 1, 2, 3, 5, self.noise.getrandbits(6), self.noise.getrandbits(27 if self.wild else 6)])
        v = 0 if order == 0 and self.noise.random() < 0.5 else v        # a rank is often not possible
        self.bits.number(order, v)
        return v

    def signed(self, order: int) -> int:
        v = self.noise.randint(-60, 60) if not self.wild or self.noise.random() < 0.5 else self.noise.randint(-2**26, 2**26)
        v = self.noise.randint(-4, 0) if order == 0 else self.noise.randint(-9, 9) if order == 1 else v     # unit bits, a first scale: from others
        self.bits.signed(order, v)
        return v


class Invention:
    """Stands for a decoder's segment (_reference.Segment): whatever the decoder asks for is made up, and drawn."""

    def __init__(self, noise: random.Random, wild: bool):
        self.noise, self.wild = noise, wild
        self.drawn = Segment(ALL)
        self.low, self.side = Made(noise, self.drawn.low, wild), Made(noise, self.drawn.side, wild)
        self.scales = dict.fromkeys((_reference.VALUES, _reference.FACTORS, _reference.RANDOM), 32)

    def step(self, contexts) -> list[int]:
        contexts = list(contexts)
        symbols = [self.symbol(context) for context in contexts]
        if contexts and contexts[0] in (20, 41, 97):
            symbols = [127 if self.noise.random() < 0.2 else 64 + scale for scale in self.differences(len(contexts))]
        self.drawn.steps.append(list(zip(contexts, symbols, strict=True)))
        return symbols

    def differences(self, n: int) -> list[int]:
        """Of n scales, of which some may be left out."""
        return [0 if self.noise.random() < 0.7 else self.noise.randint(0, 62 // n) for _ in range(n)]

    def symbol(self, context: int) -> int:
        if context in _reference.FACTORS or self.noise.random() < 0.7:
            return self.noise.randint(61, 67)
        return self.noise.choice([0, 1, 127, self.noise.randint(0, 127)])


def invented(seed: int, tensors, wild: bool = False, states: int = 0) -> bytes:
    """A message of tensors (dtype, shape, eb, grid) whose heads and rows are anything that a decoder takes."""
    entries = [_reference.Entry(str(i), dtype, tuple(shape), MODEL, eb=eb, grid=grid)
               for i, (dtype, shape, eb, grid) in enumerate(tensors)]
    noise, payloads, models = random.Random(seed), [], {}
    offsets, shared = any(entry.grid > 1 for entry in entries), (noise.getrandbits(64), noise.getrandbits(31), 2**32 - 1)
    origin = (shared[0], (shared[1] << 32) // shared[2]) if offsets else (0, 0)
    for parts in _reference.cut(entries):
        for _ in range(1000):
            segment = Invention(noise, wild)
            try:
                for part in parts:
                    entry = entries[part.tensor]
                    if part.first == 0:
                        models[part.tensor] = _reference.read_head(segment, entry, (origin[0], part.tensor, origin[1]))
                    out = np.zeros(entry.elements, f"u{entry.itemsize}")
                    _reference.decode_rows(segment, models[part.tensor], part.first, part.last, out)
                break
            except CorruptError:        # a rank or a factor that does not go: another try
                pass
        else:
            raise AssertionError("nothing that a decoder takes")
        payloads.append(segment.drawn.payload(states))
    return modelled([model(entry.dtype, entry.shape, entry.eb, grid=entry.grid, name=entry.name.encode()) for entry in entries],
                    segment.drawn.tables, payloads, named=True, origin=varint(shared[0]) + varint(shared[2]) + varint(shared[1]) if offsets else b"")
