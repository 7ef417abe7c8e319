"""What a message says of itself, without decoding."""
from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gradsz import _arrays, _core, _params
from gradsz.api import message_bytes

if TYPE_CHECKING:
    from gradsz._params import Bytes

__all__ = ["MessageInfo", "TensorInfo", "info"]

_CODECS = ("empty", "constant", "raw", "exact", "uniform", "model", "spherical", "gathered")


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of a message.  Sizes are bytes; `eb` is the absolute error bound, 0.0 for bit-exact ones.

    Where a quantiser took the place of a bound, `mode` is "sparse-dithering", "m22" or "spherical", no error of a single
    value is bounded, and `eb` is infinite.  `scale`: what Sparse Dithering's values are multiples of.  `levels`: of M22,
    those above 0.  `block`: values a block of Spherical.

    With ``info(buf, bits=True)``, of tensors under the gradient model: the `rank` of the low-rank part, and where the
    `bits` went: weights, scales (of rows), factors (of low rank), symbols (of residuals), low (raw low bits), others
    (residuals without a symbol, escapes).
    """

    name: str | None
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    compressed_nbytes: int
    codec: str
    mode: str | None
    eb: float
    grid: str | None
    predictor: str | None
    coder: str | None
    rank: int | None = None
    bits: dict[str, float] | None = None
    referenced: bool = False
    rounds: int = 0
    scale: float | None = None
    levels: tuple[float, ...] | None = None
    block: int | None = None

    @property
    def bits_per_entry(self) -> float:
        """Compressed bits over elements, everything counted."""
        return 8 * self.compressed_nbytes / max(math.prod(self.shape), 1)

    @property
    def ratio(self) -> float:
        """Raw bytes over compressed bytes."""
        return self.nbytes / self.compressed_nbytes


@dataclass(frozen=True)
class MessageInfo:
    """A message: format version, sizes in bytes, tensors in order.  str() gives a table."""

    version: int
    named: bool
    nbytes: int
    raw_nbytes: int
    tensors: list[TensorInfo] = field(repr=False)

    @property
    def ratio(self) -> float:
        """Raw bytes over message bytes."""
        return self.raw_nbytes / self.nbytes

    def __str__(self) -> str:
        head = (f"gradsz message, format {self.version}: {len(self.tensors):,} tensor{'s' * (len(self.tensors) != 1)}, "
                f"{self.raw_nbytes:,} -> {self.nbytes:,} bytes, ratio {self.ratio:.2f}")
        rows = [("name", "dtype", "shape", "bytes", "ratio", "codec", "bound", "predictor")]
        rows += [(_printable(t.name) if t.name is not None else "-", t.dtype, "x".join(map(str, t.shape)) or "scalar",
                  f"{t.compressed_nbytes:,}", f"{t.ratio:.2f}", t.codec,
                  _bound(t), t.predictor or "-") for t in self.tensors]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        right = {3, 4}
        lines = ["  ".join(cell.rjust(w) if i in right else cell.ljust(w)
                           for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
        return "\n".join([head, *lines])


def _bound(t: TensorInfo) -> str:
    if t.mode is None:
        return "exact"
    return f"none ({t.mode})" if math.isinf(t.eb) else f"{t.eb:.4g} ({t.mode})"


def _printable(name: str) -> str:
    """A name from a stranger must not move the cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def info(buf: Bytes, *, bits: bool = False) -> MessageInfo:
    """Read the header of a message: tensors, bounds, sizes.  Decodes nothing unless `bits` are asked for.

    Parameters
    ----------
    buf : buffer
        A whole message.  The header's checksum and all lengths are checked; those of the sections are not.
    bits : bool
        Also decode the tensors under the gradient model, to tell the rank of each and where its bits went.

    Raises
    ------
    CorruptError, TruncatedError, UnsupportedError, ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> m = gradsz.info(gradsz.compress(np.linspace(0, 1, 5000), 1e-3))
    >>> m.tensors[0].eb, m.tensors[0].shape
    (0.001, (5000,))
    """
    return of(_core.Message(message_bytes(buf)), bits)


def of(message: _core.Message, bits: bool = False) -> MessageInfo:
    """The same of an open message."""
    tensors = [_tensor(entry, message.bits(i) if bits and not (entry[-2] or entry[-1]) else None)
               for i, entry in enumerate(map(message.entry, range(len(message))))]
    return MessageInfo(message.version, message.named, message.nbytes, sum(t.nbytes for t in tensors), tensors)


def _tensor(entry, bits) -> TensorInfo:
    name, dtype, shape, nbytes, compressed, codec, mode, eb, grid, predictor, coder, scale, levels, block, referenced, rounds = entry
    bounded = _CODECS[codec] in ("uniform", "model")
    details: dict[str, Any] = {"referenced": referenced, "rounds": rounds}
    if scale:
        details["scale"] = scale
    if levels:
        details["levels"] = _arrays.values_of(levels, dtype)
    if block:
        details["block"] = block
    if bits is not None and _CODECS[codec] == "model":
        names = ("weights", "scales", "factors", "symbols", "low", "others")
        details |= {"rank": bits[0], "bits": dict(zip(names, bits[2:], strict=True))}
        predictor = _params.PREDICTORS["low-rank" if bits[0] else "structure"]
    return TensorInfo(name, _arrays.dtype_name(dtype), shape, nbytes, compressed, _CODECS[codec],
                      _params.MODE_NAMES[mode] if bounded else "spherical" if block else None, eb,
                      _params.GRID_NAMES[grid] if bounded else None,
                      _params.PREDICTOR_NAMES[predictor] if bounded else None,
                      ("huffman", "rans")[coder] if bounded else None, **details)
