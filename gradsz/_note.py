"""What a message tells of gradient-aware prediction, as bytes (docs/format.md 3.8)."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gradsz import _core
from gradsz._prediction import DIRECT, KERNELS, ONE, Rule, Told, kernel_size
from gradsz._state import Kept
from gradsz.errors import CorruptError, GradszError, UnsupportedError
from gradsz.tensors import compress_tensors, decode_tensors

MODES, STATS, LEVEL1, LEVEL2 = "m", "s", "1", "2"       # the arrays of a note
KINDS: dict[str | None, tuple[int, int]] = {MODES: (12, 1), STATS: (2, 1), LEVEL1: (12, 1), LEVEL2: (12, 1)}     # dtype codes, dimensions


def write(rule: Rule, told: list[Told]) -> bytes:
    """No bytes where nothing is told and nothing changes."""
    head = bytes([rule.bias_corrected]) + (rule.beta - 1).to_bytes(2, "little")
    predicted = [of_tensor for of_tensor in told if of_tensor.mode != DIRECT]
    if not predicted:
        return head if rule.bias_corrected else b""
    stats = [(of_tensor.mean, of_tensor.deviation) for of_tensor in predicted]
    arrays: dict[str, np.ndarray] = {MODES: np.array([of_tensor.mode for of_tensor in told], np.uint8), STATS: np.array(stats, np.float32).reshape(-1)}
    kernels = [of_tensor.kernels for of_tensor in predicted if of_tensor.kernels is not None]
    if kernels:
        signs = np.concatenate(kernels)
        arrays |= {LEVEL1: np.packbits(signs != 0, bitorder="little"), LEVEL2: np.packbits(signs[signs != 0] > 0, bitorder="little")}
    return head + compress_tensors(arrays, 0.0)


def read(note: bytes, entries: list[tuple], before: Mapping[str, Kept]) -> tuple[Rule, dict[str, Told]]:
    """Of the tensors of a message, given its entries, that were kept in the round before and are still what they were.

    No bytes: none is predicted.

    Raises
    ------
    CorruptError, UnsupportedError
    """
    rule = _rule(note) if note else Rule()
    names = [entry[0] or "" for entry in entries]
    kept = [name in before and before[name].fits(entry[1], tuple(entry[2])) for name, entry in zip(names, entries, strict=True)]
    told = _told(note[3:], [tuple(entry[2]) for entry in entries], kept) if len(note) > 3 else [Told()] * len(entries)
    return rule, {name: of_tensor for name, of_tensor, fits in zip(names, told, kept, strict=True) if fits}


def _rule(note: bytes) -> Rule:
    _check(len(note) >= 3, "is cut off")
    if note[0] > 1:
        raise UnsupportedError("the note on prediction has reserved flags: it was written by a newer version")
    return Rule(int.from_bytes(note[1:3], "little") + 1, note[0] == 1)


def _told(data: bytes, shapes: list[tuple[int, ...]], kept: list[bool]) -> list[Told]:
    kernels = [shape[0] * shape[1] if fits and kernel_size(shape) else 0 for shape, fits in zip(shapes, kept, strict=True)]
    arrays = _arrays_of(data, 9 * len(shapes) + 2 * (sum(kernels) // 8 + 1))
    modes = arrays[MODES].tolist()
    _check(len(modes) == len(shapes) and any(modes), "does not tell the modes")
    for mode, fits, n in zip(modes, kept, kernels, strict=True):
        _check(mode <= KERNELS and (mode == DIRECT or fits) and (mode != KERNELS or n > 0), "has a mode that the tensor does not admit")
    stats = arrays[STATS]
    _check(stats.size == 2 * sum(mode != DIRECT for mode in modes) and bool(np.all(np.isfinite(stats) & (stats >= 0))), "has wrong statistics")
    signs = _signs(arrays, sum(n for n, mode in zip(kernels, modes, strict=True) if mode == KERNELS))
    numbers, told, at = iter(stats.astype(np.float64).tolist()), [], 0
    for mode, n in zip(modes, kernels, strict=True):
        here = signs[at:at + n] if mode == KERNELS else None
        at += n if mode == KERNELS else 0
        told.append(Told(mode, next(numbers), next(numbers), here) if mode != DIRECT else Told())
    return told


def _signs(arrays: dict[str, np.ndarray], count: int) -> np.ndarray:
    """Of all kernels: 0 where level 1 has no bit, else by level 2."""
    _check((LEVEL1 in arrays) == (LEVEL2 in arrays) == (count > 0), "has bitmaps too many or too few")
    signs = np.zeros(count, np.int8)
    if count:
        predicted = _bits(arrays[LEVEL1], count)
        signs[predicted] = 2 * _bits(arrays[LEVEL2], int(predicted.sum())).astype(np.int8) - 1
    return signs


def _bits(packed: np.ndarray, count: int) -> np.ndarray:
    bits = np.unpackbits(packed, bitorder="little").astype(bool)
    _check(packed.size == (count + 7) // 8 and not bits[count:].any(), "has a bitmap of another size")
    return bits[:count]


def _arrays_of(data: bytes, max_output: int) -> dict[str, np.ndarray]:
    """The message in a note: none of its arrays is larger than it may be."""
    try:
        message = _core.Message(data, 1, max_output)
        kinds = {name: (code, len(shape)) for name, code, shape, *_ in map(message.entry, range(len(message)))}
        arrays = decode_tensors(message) if kinds.items() <= KINDS.items() else {}
    except GradszError as error:
        raise CorruptError(f"the note on prediction does not decode: {error}") from None
    _check(MODES in arrays and STATS in arrays, "has other arrays")
    return arrays


def _check(good: bool, what: str) -> None:
    if not good:
        raise CorruptError(f"the note on prediction {what}")
