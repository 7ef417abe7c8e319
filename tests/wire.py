"""The frame of a message, apart from gradsz: cut into parts, put together again, checksums recomputed.

Written from docs/format.md, so that tests can damage what stands behind the checksums.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

POLYNOMIAL = 0x82F63B78     # CRC-32C, reflected


def _table() -> np.ndarray:
    c = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        c = np.where(c & 1, (c >> np.uint32(1)) ^ np.uint32(POLYNOMIAL), c >> np.uint32(1))
    return c


TABLE = _table()
_LIST = TABLE.tolist()


def crc32c(data: bytes) -> int:
    c = 0xFFFFFFFF
    for byte in data:
        c = _LIST[(c ^ byte) & 255] ^ (c >> 8)
    return c ^ 0xFFFFFFFF


def influence(length: int) -> np.ndarray:
    """[position, d]: how the CRC-32C of `length` bytes changes when the byte at `position` is xored with d."""
    result = np.empty((length, 256), np.uint32)
    c = TABLE
    for position in range(length - 1, -1, -1):
        result[position] = c
        c = TABLE[c & 255] ^ (c >> np.uint32(8))
    return result


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Value and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


EMPTY, CONSTANT, RAW, EXACT, UNIFORM, MODEL, _, GATHERED = range(8)     # codecs


def start(dtype: int, codec: int, shape) -> bytes:
    """An entry without a name, up to its parameters."""
    return bytes([dtype | codec << 5, len(shape)]) + b"".join(map(varint, shape))


@dataclass
class Frame:
    """A message of one unnamed tensor: table without the length of its section or segment, and that (None: it has none).

    A tensor of several segments is none of these."""

    table: bytes
    section: bytes | None

    @classmethod
    def of(cls, message: bytes) -> Frame:
        size, start = read_varint(message, 5)
        table, rest = message[start:start + size], message[start + size + 4:]
        if not rest:
            return cls(table, None)
        section = rest[:-4]
        length = varint(len(section))
        assert table.endswith(length)
        return cls(table[:len(table) - len(length)], section)

    def bytes(self) -> bytes:
        table = self.table if self.section is None else self.table + varint(len(self.section))
        return frame(table, [] if self.section is None else [self.section])


def frame(table: bytes, sections=(), version=0, flags=0) -> bytes:
    """A message with good checksums around any table and sections."""
    head = b"GSZ" + bytes([version, flags]) + varint(len(table)) + table
    parts = [head, crc32c(head).to_bytes(4, "little")]
    for section in sections:
        parts += [section, crc32c(section).to_bytes(4, "little")]
    return b"".join(parts)


def layout(message: bytes) -> list[tuple[int, int]]:
    """Spans that a checksum covers (it stands behind each): the header, and the section or segment of a one-tensor message."""
    size, start = read_varint(message, 5)
    spans = [(0, start + size)]
    if len(message) > start + size + 4:
        spans.append((start + size + 4, len(message) - 4))
    return spans
