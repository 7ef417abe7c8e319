"""How far a decoded array is from the original.  Written in numpy, apart from the core: it checks the core."""
from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gradsz import _arrays, _params
from gradsz.errors import ParameterError
from gradsz.quantisers import M22, Quantiser, SparseDithering, Spherical

if TYPE_CHECKING:
    from gradsz._params import Mode

__all__ = ["VerifyResult", "verify"]


@dataclass(frozen=True)
class VerifyResult:
    """Errors of a decoded array over the finite values of the original, in its units.

    `mean_error` is signed: averaging over clients or rounds adds it up.  `violations` counts values beyond `eb`,
    and non-finite ones that did not come back bit for bit.  bool() is `ok`.  `alpha` is ``||a - b||^2 / ||a||^2``, `distortion` the
    means of ``|a|^m (a - b)^2`` for m = 0, 1, 2, 4.
    """

    elements: int
    max_error: float
    mean_error: float
    mean_abs_error: float
    rms_error: float
    mse: float
    psnr: float
    nrmse: float
    alpha: float
    distortion: dict[int, float]
    eb: float | None
    violations: int

    @property
    def ok(self) -> bool:
        return self.violations == 0

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        bound = "no bound given" if self.eb is None else f"{self.eb:.6g}"
        lines = [("elements", f"{self.elements:,}"), ("error bound", bound), ("violations", f"{self.violations:,}"),
                 ("max error", f"{self.max_error:.6g}"), ("mean error", f"{self.mean_error:.6g}"),
                 ("mean |error|", f"{self.mean_abs_error:.6g}"), ("rms error", f"{self.rms_error:.6g}"),
                 ("PSNR", f"{self.psnr:.4g} dB"), ("NRMSE", f"{self.nrmse:.6g}")]
        return "\n".join(f"{name:<13}{value}" for name, value in lines)


def verify(a: ArrayLike, b: ArrayLike, error_bound: float | Quantiser | None = None, mode: Mode = "abs") -> VerifyResult:
    """Compare a decoded array with its original.

    Parameters
    ----------
    a, b : array_like
        Original and decoded: the same shape and dtype.
    error_bound : float or quantiser, optional
        Count values beyond it.  The test is exact: no rounding can hide or invent a violation.  A quantiser has no pointwise
        bound: the violations are the non-finite values that changed, and one more where the array misses the `alpha` that
        `Spherical` promises, or `SparseDithering` without randomness (of float16 and bfloat16 with their rounding allowed for).
    mode : {"abs", "rel", "rms", "l2", "psnr"}
        As in `compress`; "l2" and "psnr" count one violation if the whole array misses its target.

    Returns
    -------
    VerifyResult

    Raises
    ------
    ParameterError, UnsupportedDtypeError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> a = np.random.default_rng(0).normal(size=10000)
    >>> bool(gradsz.verify(a, gradsz.decompress(gradsz.compress(a, 1e-2)), 1e-2))
    True
    """
    (a, code), (b, other) = _arrays.take(a), _arrays.take(b)
    if a.shape != b.shape or code != other:
        raise ParameterError(f"the arrays differ: {_arrays.dtype_name(code)} of shape {a.shape}, {_arrays.dtype_name(other)} of shape {b.shape}")
    _params.mode(mode)
    quantiser = error_bound if isinstance(error_bound, Quantiser) else None
    bound = None if error_bound is None or quantiser else _params.error_bound(error_bound)
    if code not in _arrays.FLOATING:
        return _integers(a, b, bound)
    with np.errstate(invalid="ignore"):     # signalling NaNs
        x, y = _arrays.widened(a, code).ravel(), _arrays.widened(b, code).ravel()
    finite = np.isfinite(x)
    differs = _bits(a, code) != _bits(b, code)
    changed, specials = int(np.count_nonzero(differs)), int(np.count_nonzero(differs & ~finite))
    x, y = x[finite], y[finite]
    stats = _statistics(x, y)
    if quantiser is not None:
        specials += _misses_alpha(stats["alpha"], quantiser, _arrays.dtype_name(code))
    if bound is None:
        return VerifyResult(a.size, **stats, eb=None, violations=specials)
    if bound == 0:
        return VerifyResult(a.size, **stats, eb=0.0, violations=changed)
    if mode in ("l2", "psnr"):
        return VerifyResult(a.size, **stats, eb=None, violations=specials + _misses_target(x, y, bound, mode))
    eb = resolved_bound(x, bound, mode)
    return VerifyResult(a.size, **stats, eb=eb, violations=specials + _beyond(x, y, eb))


def _bits(a: np.ndarray, code: int) -> np.ndarray:
    return _arrays.contiguous(a, code).reshape(-1).view(f"u{a.itemsize}")


def resolved_bound(x: np.ndarray, bound: float, mode: str) -> float:
    """Absolute bound of finite float64 values."""
    if mode == "abs" or x.size == 0:
        return bound
    with np.errstate(over="ignore"):
        if mode == "rel":
            return min(bound * min(float(x.max() - x.min()), np.finfo(np.float64).max), np.finfo(np.float64).max)
        scale = float(np.abs(x).max()) or 1.0
        return min(bound * scale * math.sqrt(float(np.mean((x / scale) ** 2))), np.finfo(np.float64).max)


def _beyond(x: np.ndarray, y: np.ndarray, eb: float) -> int:
    """Values with |x - y| > eb, exactly: float64 differences decide all but those next to eb."""
    with np.errstate(over="ignore", invalid="ignore"):
        d = np.abs(x - y)
        sure = d < eb * (1 - 1e-15)
    exact = Fraction(eb)
    return sum(1 for i in np.flatnonzero(~sure)
               if not math.isfinite(y[i]) or abs(Fraction(float(x[i])) - Fraction(float(y[i]))) > exact)


def _misses_alpha(alpha: float, quantiser: Quantiser, dtype: str) -> int:
    if isinstance(quantiser, M22) or isinstance(quantiser, SparseDithering) and quantiser.unbiased:
        return 0
    promised = quantiser.alpha if isinstance(quantiser, Spherical) else quantiser.nu       # type: ignore[attr-defined]
    rounding = {"float16": 2.0**-11, "bfloat16": 2.0**-8}.get(dtype, 2.0**-22)
    return int(not math.sqrt(alpha) <= math.sqrt(promised) * (1 + rounding) + rounding)


POWERS = 0, 1, 2, 4


def _statistics(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    scale = float(np.abs(x).max()) if x.size else 0.0
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        weights = np.abs(x) / scale if scale else np.zeros_like(x)
        errors = ((y - x) / scale) ** 2 if scale else (y - x) ** 2
        norm, error = float(np.sum(weights**2)), float(np.sum(errors))
        alpha = error / norm if norm else (0.0 if error == 0 else math.inf)
        distortion = {m: float(np.mean(weights**m * errors) * np.float64(scale or 1.0) ** (m + 2)) if x.size else 0.0 for m in POWERS}
    return _plain_statistics(x, y) | {"alpha": alpha, "distortion": distortion}


def _plain_statistics(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    if x.size == 0:
        return dict(max_error=0.0, mean_error=0.0, mean_abs_error=0.0, rms_error=0.0, mse=0.0, psnr=math.inf, nrmse=0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        e = y - x
        scale = float(np.abs(e).max())
        if not math.isfinite(scale):
            return dict(max_error=math.inf, mean_error=math.nan, mean_abs_error=math.inf, rms_error=math.inf,
                        mse=math.inf, psnr=-math.inf, nrmse=math.inf)
        rms = scale * math.sqrt(float(np.mean((e / scale) ** 2))) if scale else 0.0
        half = float(x.max() / 2 - x.min() / 2)     # the range itself may overflow
        nrmse = rms / 2 / half if half else (0.0 if rms == 0 else math.inf)
        return dict(max_error=scale, mean_error=float(np.mean(e)), mean_abs_error=float(np.mean(np.abs(e))),
                    rms_error=rms, mse=rms * rms, psnr=-20 * math.log10(nrmse) if nrmse else math.inf, nrmse=nrmse)


def _misses_target(x: np.ndarray, y: np.ndarray, bound: float, mode: str) -> int:
    scale = float(np.abs(x).max()) if x.size else 0.0
    if scale == 0:
        return int(bool(np.any(y != 0)))
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.sum(((y - x) / scale) ** 2))
    if mode == "l2":
        return int(not error <= bound * bound * float(np.sum((x / scale) ** 2)))    # a NaN fails
    width = float(x.max() / scale - x.min() / scale)
    return int(not error <= 10 ** (-bound / 10) * width * width * x.size)


def _integers(a: np.ndarray, b: np.ndarray, bound: float | None) -> VerifyResult:
    wrong = int(np.count_nonzero(a != b))
    stats = _statistics(a.astype(np.float64).ravel(), b.astype(np.float64).ravel())
    return VerifyResult(a.size, **stats, eb=bound, violations=wrong)
