"""Does compression pay?  Bandwidths, and times measured on one's own tensors and machine."""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gradsz.errors import ParameterError
from gradsz.tensors import compress_tensors, decompress_tensors

if TYPE_CHECKING:
    from gradsz._params import Level, Mode
    from gradsz.tensors import Lossy

__all__ = ["breakeven"]


def breakeven(raw_nbytes: float, nbytes: float, compress_seconds: float, decompress_seconds: float = 0.0) -> float:
    """The bandwidth below which compressing is faster than sending what is.

    Sending S bytes over B bit/s takes 8 S / B seconds, and compressed to S' bytes t_c + 8 S' / B + t_d.  They are equal at
    ``8 (S - S') / (t_c + t_d)``: FedSZ's criterion (arXiv 2312.13461).

    Parameters
    ----------
    raw_nbytes, nbytes : float
        Bytes before and after.
    compress_seconds, decompress_seconds : float
        Time for both, on the machines that do it.

    Returns
    -------
    float
        In bit/s.  0.0 where nothing gets smaller: it never pays; inf where it takes no time.

    Raises
    ------
    ParameterError
        Negative, infinite or NaN.

    Examples
    --------
    >>> import gradsz
    >>> round(gradsz.breakeven(228e6, 228e6 / 13, 3.9) / 1e6)      # AlexNet in 3.9 s: below 432 Mbit/s
    432
    """
    for name, value in (("raw_nbytes", raw_nbytes), ("nbytes", nbytes), ("compress_seconds", compress_seconds),
                        ("decompress_seconds", decompress_seconds)):
        if not 0 <= value < math.inf:
            raise ParameterError(f"{name} is {value!r}; it must be finite and not negative")
    seconds = compress_seconds + decompress_seconds
    if nbytes >= raw_nbytes:
        return 0.0
    return 8 * (raw_nbytes - nbytes) / seconds if seconds > 0 else math.inf


@dataclass(frozen=True)
class Trial:
    """What one way of sending took: bytes, and the seconds before and after."""

    way: str
    raw_nbytes: int
    nbytes: int
    compress_seconds: float = 0.0
    decompress_seconds: float = 0.0

    def round_seconds(self, bandwidth: float) -> float:
        """Compress, send over `bandwidth` bit/s, decompress."""
        return self.compress_seconds + 8 * self.nbytes / bandwidth + self.decompress_seconds

    @property
    def breakeven(self) -> float:
        return breakeven(self.raw_nbytes, self.nbytes, self.compress_seconds, self.decompress_seconds)


def trials(tensors: Mapping[str, NDArray[Any]], error_bound: float, *, mode: Mode, lossy: Lossy | None = None,
           levels: Iterable[Level] = ("fast", "balanced", "best"), nthreads: int = 1, repeat: int = 3) -> list[Trial]:
    """No compression, and each level: the best of `repeat` times."""
    raw = sum(a.nbytes for a in tensors.values())
    result = [Trial("none", raw, raw)]
    for level in levels:
        forth, message = _best(repeat, lambda: compress_tensors(tensors, error_bound, mode=mode, level=level, lossy=lossy, nthreads=nthreads))
        back, _ = _best(repeat, lambda: decompress_tensors(message, nthreads=nthreads))
        result.append(Trial(level, raw, len(message), forth, back))
    return result


def _best(repeat: int, call: Callable[[], Any]) -> tuple[float, Any]:
    seconds = math.inf
    for _ in range(repeat):
        start = time.perf_counter()
        value = call()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds, value
