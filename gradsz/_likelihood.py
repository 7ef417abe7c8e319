"""Maximum likelihood fits of M22's densities.  The only module that needs scipy."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from gradsz import _arrays
from gradsz.errors import ParameterError

if TYPE_CHECKING:
    from gradsz.quantisers import M22, Coded

GENNORM, DWEIBULL = 1, 2
SHAPES = 0.2, 8.0

Fit = tuple[int, float, float, float]       # family, threshold, shape, scale; shape 0: by moments


def fits(q: M22, arrays: list[Coded]) -> Iterator[Fit]:
    """One fit for each array, to what Top-K keeps of all of them."""
    try:
        import scipy.optimize
    except ImportError:
        raise ParameterError('fit="ml" needs scipy: pip install gradsz[m22], or use fit="moments"') from None
    del scipy
    with np.errstate(invalid="ignore"):     # signalling NaNs
        sizes = [np.abs(_arrays.widened(a, code)).ravel() for a, code in arrays]
    sizes = [s[np.isfinite(s)] for s in sizes]
    threshold = top_k(sizes, q.kept, sum(a.size for a, _ in arrays))
    families = {"gennorm": [GENNORM], "dweibull": [DWEIBULL], "auto": [GENNORM, DWEIBULL]}[q.family]
    for s in sizes:
        kept = s[(s >= threshold) & (s > 0)]
        if len(np.unique(kept)) < 2:        # nothing to be fitted
            yield families[0], threshold, 0.0, 0.0
            continue
        unit = float(kept.max())
        found = [fit(family, kept / unit) for family in families]
        best = max(range(len(families)), key=lambda i: found[i][2])
        yield families[best], threshold, found[best][0], found[best][1] * unit


def top_k(sizes: list[np.ndarray], keep: float, entries: int) -> float:
    """The least magnitude that is kept; 0 for all."""
    joined = np.concatenate(sizes) if sizes else np.empty(0)
    k = max(int(keep * entries), 1)
    if keep == 1 or k > len(joined):
        return 0.0
    return float(np.partition(joined, len(joined) - k)[len(joined) - k])


def fit(family: int, a: np.ndarray) -> tuple[float, float, float]:
    """Shape, scale and log-likelihood an entry, of magnitudes."""
    from scipy.special import digamma, gammaln
    logs = np.log(a)

    def gennorm(b: float) -> float:
        p = a**b
        return float(1 + digamma(1 / b) / b - p @ logs / p.sum() + math.log(b * p.mean()) / b)

    def dweibull(k: float) -> float:
        p = a**k
        return float(p @ logs / p.sum() - 1 / k - logs.mean())

    if family == GENNORM:
        shape = root(gennorm)
        scale = (shape * np.mean(a**shape)) ** (1 / shape)
        constant = math.log(shape / (2 * scale)) - float(gammaln(1 / shape))
        return shape, float(scale), constant - float(np.mean((a / scale) ** shape))
    shape = root(dweibull)
    scale = np.mean(a**shape) ** (1 / shape)
    power = (shape - 1) * float(np.mean(logs) - math.log(scale))
    return shape, float(scale), math.log(shape / (2 * scale)) + power - float(np.mean((a / scale) ** shape))


def root(rising: Callable[[float], float]) -> float:
    """Where an equation of the shape changes its sign, cut to the shapes that are allowed."""
    from scipy.optimize import brentq
    low, high = rising(SHAPES[0]), rising(SHAPES[1])
    if low * high > 0:
        return SHAPES[0] if abs(low) < abs(high) else SHAPES[1]
    return float(brentq(rising, *SHAPES, xtol=1e-10))
