"""Sparse Dithering by the code of its paper, beside the bytes really used."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gradsz._info import info
from gradsz.tensors import decompress_tensors

if TYPE_CHECKING:
    from gradsz._params import Bytes

__all__ = ["CodeLength", "code_length"]


@dataclass(frozen=True)
class CodeLength:
    """Bits of one tensor.  `unary` and `enumerative`: a scale of 32 bits, the number of nonzeros, their positions as one of so
    many combinations, signs, and the levels in unary or as one of so many compositions.  `used`: what it takes in the message."""

    nonzeros: int
    unary: int
    enumerative: int
    used: int


def code_length(buf: Bytes) -> dict[str, CodeLength]:
    """Code lengths of the Sparse Dithering tensors of a message, by name ("" for an array).

    The code of arXiv 2010.03246 as docs/quantisers.md states it.  Non-finite values count as zeros.

    Raises
    ------
    CorruptError, TruncatedError, UnsupportedError, ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> x = np.random.default_rng(0).laplace(size=(300, 300)).astype("float32")
    >>> lengths = gradsz.code_length(gradsz.compress(x, gradsz.SparseDithering(1.0)))[""]
    >>> lengths.used < lengths.unary
    True
    """
    scales = {t.name or "": (t.scale, t.compressed_nbytes) for t in info(buf).tensors if t.scale is not None}
    values = decompress_tensors(buf, names=list(scales)) if scales else {}
    return {name: _code_length(values[name].astype(np.float64), scale, nbytes) for name, (scale, nbytes) in scales.items()}


def _code_length(x: np.ndarray, scale: float, nbytes: int) -> CodeLength:
    k = np.abs(np.round(np.where(np.isfinite(x), x, 0) / scale))
    d, n, total = k.size, int(np.count_nonzero(k)), int(k.sum())
    start = 32 + math.ceil(math.log2(d + 1)) + _log2_choose(d, n) + n
    levels = math.ceil(math.log2(total + 1)) + _log2_choose(total - 1, n - 1) if n else 0
    return CodeLength(n, start + total, start + levels, 8 * nbytes)


def _log2_choose(n: int, k: int) -> int:
    """Bits that tell one of the combinations of k out of n."""
    if k <= 0 or k >= n:
        return 0
    return math.ceil((math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2) * (1 - 1e-12))
