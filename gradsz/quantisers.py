"""Quantisers of papers, to put where an error bound goes: ``compress(a, M22(bits=2))``.

None of them bounds the error of single values.  Each is a frozen value that can be printed, pickled and written as JSON.
"""
from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal

import numpy as np

from gradsz import _params
from gradsz.errors import ParameterError

__all__ = ["Quantiser", "SparseDithering", "Spherical", "M22", "quantiser_from_json"]

Family = Literal["auto", "gennorm", "dweibull"]
FAMILIES = {"auto": 0, "gennorm": 1, "dweibull": 2}
Settings = tuple[int, float, bool, int, int, int, int, float, float, float, float]     # the members of a gsz_quantiser
Coded = tuple[np.ndarray, int]      # an array and its dtype's code, as _arrays.take gives them


class Quantiser:
    """What SparseDithering, Spherical and M22 have in common."""

    seed: ClassVar[int | None]

    def __repr__(self) -> str:
        members = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))    # type: ignore[arg-type]
        return f"{type(self).__name__}({members})  # no pointwise bound"

    def to_json(self) -> str:
        """JSON that `quantiser_from_json` reads."""
        return json.dumps({"quantiser": type(self).__name__, **asdict(self)})      # type: ignore[call-overload]

    def settings(self, arrays: list[Coded]) -> list[Settings]:
        """What the core takes, one for each of the arrays of a message."""
        raise NotImplementedError


def quantiser_from_json(text: str) -> Quantiser:
    """The quantiser that `to_json` wrote.

    Raises
    ------
    ParameterError
        The text is no JSON of a quantiser.

    Examples
    --------
    >>> import gradsz
    >>> q = gradsz.Spherical(0.5)
    >>> gradsz.quantiser_from_json(q.to_json()) == q
    True
    """
    kinds = {kind.__name__: kind for kind in (SparseDithering, Spherical, M22)}
    return _params.from_json(text, "a quantiser", lambda members: kinds[members.pop("quantiser")](**members))


def _set(q: object, **members: Any) -> None:
    for name, value in members.items():
        object.__setattr__(q, name, value)


@dataclass(frozen=True, repr=False)
class SparseDithering(Quantiser):
    """Sparse Dithering: rounding to multiples of ``2 sqrt(nu / d)`` norms.  **No pointwise bound.**

    For d finite values of norm N, ``||x - x'||^2 <= nu ||x||^2`` (before the rounding to a tensor's dtype): each value is
    rounded to the nearest multiple of ``2 N sqrt(nu / d)``, and the scale that is sent is the one of least squares.  With
    ``unbiased`` values are rounded up or down at random, so that x' is x on average, and the mean of the squared error is
    at most ``min(nu, 2 sqrt(nu)) ||x||^2``.  The multiples are coded as any values are, by the gradient model.

    Albasyoni, Safaryan, Condat, Richtarik, arXiv 2010.03246; the constants are derived in docs/quantisers.md.

    Parameters
    ----------
    nu : float
        Target, from 2**-40 to 2**40; useful from 1e-4 to 1.  Smaller is finer.
    unbiased : bool
        Round at random.
    seed : int, optional
        Of the rounding, 0 to 2**64 - 1.  By default a hash of the values.

    Notes
    -----
    Non-finite values come back bit for bit and count neither for N nor for d.  A tensor whose values are all the same, or so
    small that the scale would not be a normal number, is bit-exact.  A result beyond the largest finite number is that number.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> x = np.random.default_rng(0).normal(size=10000).astype("float32")
    >>> y = gradsz.decompress(gradsz.compress(x, gradsz.SparseDithering(0.25)))
    >>> bool(np.sum((x - y)**2) <= 0.25 * np.sum(x**2))
    True
    """

    nu: float
    unbiased: bool = False
    seed: int | None = None     # type: ignore[misc]

    def __post_init__(self) -> None:
        if not isinstance(self.unbiased, bool):
            raise ParameterError(f"unbiased must be True or False, not {self.unbiased!r}")
        _set(self, nu=_params.number("nu", self.nu, 2.0**-40, 2.0**40, "[]"), seed=_params.seed(self.seed))

    def settings(self, arrays: list[Coded]) -> list[Settings]:
        return [(1, self.nu, self.unbiased, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)] * len(arrays)

    def worst_case_bits(self, d: int) -> float:
        """Bits of the paper-style code at worst, for d values: a scale of 32 bits, the number of nonzeros, their positions,
        signs and unary levels.  With `unbiased`, a bound on the mean."""
        p = np.linspace(1e-6, 1, 100_001)
        entropy = -p * np.log2(p) - (1 - p) * np.log2(np.maximum(1 - p, 1e-300))
        root = math.sqrt(self.nu)
        rate = math.log2(3) + 1 / (2 * root) if self.unbiased else float(np.max(entropy + 1.5 * p + np.sqrt(p) / (2 * root)))
        return 32 + math.ceil(math.log2(d + 1)) + d * rate


@dataclass(frozen=True, repr=False)
class Spherical(Quantiser):
    """Spherical Compression: blocks become the first random direction that is close enough.  **No pointwise bound.**

    For each block ``||x - x'||^2 <= alpha ||x||^2`` (before the rounding to the tensor's dtype), and so for the tensor.
    Sent are the number of the direction, about ``log2(1 / P) + 1.5`` bits where a direction suits with probability P, and
    a scale of 4 bits of fraction.  Both ends make the same directions from integers.

    Albasyoni, Safaryan, Condat, Richtarik, arXiv 2010.03246; docs/quantisers.md.

    Parameters
    ----------
    alpha : float
        Squared error allowed, between 0 and 1, in squared norms.
    block : int
        Values a block, 2 to 256.  `expected_trials` must not be above 4,096: the time is proportional to it.
    seed : int
        Of the directions, 0 to 2**64 - 1.

    Notes
    -----
    A block that holds NaN or infinity, or that none of 65,536 directions suits, is kept bit for bit; one of zeros stays zero.
    The last block of a tensor is filled with zeros.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> x = np.random.default_rng(0).normal(size=1000)
    >>> y = gradsz.decompress(gradsz.compress(x, gradsz.Spherical(0.5)))
    >>> bool(np.sum((x - y)**2) <= 0.5 * np.sum(x**2))
    True
    """

    MOST_TRIALS: ClassVar[int] = 4096

    alpha: float
    block: int = 8
    seed: int = 0       # type: ignore[misc]

    def __post_init__(self) -> None:
        seed = _params.seed(self.seed)
        if seed is None:
            raise ParameterError("seed is None; Spherical needs an integer between 0 and 2**64 - 1")
        _set(self, alpha=_params.number("alpha", self.alpha, 0, 1, "()"), block=_params.integer("block", self.block, 2, 256), seed=seed)
        if self.expected_trials > self.MOST_TRIALS:
            raise ParameterError(f"alpha {self.alpha:g} takes {self.expected_trials:.3g} directions for a block of {self.block}, "
                                 f"more than {self.MOST_TRIALS:,}: choose a larger alpha or smaller blocks")

    @property
    def expected_trials(self) -> float:
        """Mean number of directions until one suits: 1 / P, with P the part of the sphere in a cap of sine sqrt(alpha)."""
        angles = np.linspace(0, math.asin(math.sqrt(self.alpha)), 4001)
        inner = np.sin(angles) ** (self.block - 2)
        step = angles[1] / 3        # Simpson's rule
        part = step * (inner[0] + 4 * inner[1:-1:2].sum() + 2 * inner[2:-1:2].sum() + inner[-1])
        whole = math.sqrt(math.pi) * math.exp(math.lgamma((self.block - 1) / 2) - math.lgamma(self.block / 2))
        return whole / part if part > 0 else math.inf

    def settings(self, arrays: list[Coded]) -> list[Settings]:
        return [(2, self.alpha, False, self.block, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)] * len(arrays)


@dataclass(frozen=True, repr=False)
class M22(Quantiser):
    """M22: the largest magnitudes, by the best quantiser under ``|x|^m (x - x')^2``.  **No error bound of any kind.**

    Of all entries of a message's quantised tensors, the largest magnitudes are kept (Top-K), the others become 0.  To those
    of each tensor a density is fitted, and each is sent as the nearest of ``2**bits`` levels, half of them of each sign, that
    satisfy Lloyd's conditions for it.  The levels travel in the dtype of the tensor.

    Liu, Rini, Salehkalaibar, Chen, arXiv 2301.09269, sections on the distortion and the quantiser; docs/quantisers.md.

    Parameters
    ----------
    bits : int
        1 to 6: 2**bits levels.
    m : int
        0 to 8.  0 is the mean squared error; the larger m, the more the large entries count.
    family : {"auto", "gennorm", "dweibull"}
        Generalised normal or double Weibull.  "auto": the one whose levels distort less, or with fit="ml" the likelier.
    keep : float, optional
        The part of the entries that is kept, above 0, at most 1.
    budget : float, optional
        Or bits an entry for labels alone, as the paper counts: ``keep = min(1, budget / bits)``.  0.6 by default.
    fit : {"moments", "ml"}
        Moments, in the core, or maximum likelihood, which needs scipy: ``pip install gradsz[m22]``.

    Notes
    -----
    Non-finite values come back bit for bit and take no part in anything.  -0.0 may become 0.0.  Tensors whose values are all
    the same are bit-exact.  `bits` is no rate: positions cost more than labels.  ``info(message).tensors[i].bits_per_entry``
    tells the bits really used, ``verify(a, b).distortion`` the distortions for m = 0, 1, 2, 4.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> x = np.random.default_rng(0).laplace(size=10000).astype("float32")
    >>> y = gradsz.decompress(gradsz.compress(x, gradsz.M22(bits=1, keep=0.1)))
    >>> int(np.count_nonzero(y)), len(np.unique(np.abs(y)))
    (1000, 2)
    """

    seed: ClassVar[None] = None

    bits: int = 1
    m: int = 0
    family: Family = "auto"
    keep: float | None = None
    budget: float | None = None
    fit: Literal["moments", "ml"] = "moments"

    def __post_init__(self) -> None:
        _set(self, bits=_params.integer("bits", self.bits, 1, 6), m=_params.integer("m", self.m, 0, 8))
        for what, value, allowed in (("family", self.family, tuple(FAMILIES)), ("fit", self.fit, ("moments", "ml"))):
            if value not in allowed:
                raise ParameterError(f"{what} is {value!r}; allowed are {', '.join(map(repr, allowed))}")
        if self.keep is not None and self.budget is not None:
            raise ParameterError(f"keep={self.keep!r} and budget={self.budget!r} both say how much is kept: give one of them")
        if self.keep is not None:
            _set(self, keep=_params.number("keep", self.keep, 0, 1, "(]"))
        if self.budget is not None:
            _set(self, budget=_params.number("budget", self.budget, 0, 64, "(]"))

    @property
    def kept(self) -> float:
        """The part of the entries that is kept."""
        if self.keep is not None:
            return self.keep
        return min(1.0, (0.6 if self.budget is None else self.budget) / self.bits)

    def settings(self, arrays: list[Coded]) -> list[Settings]:
        if self.fit == "ml":
            from gradsz._likelihood import fits
            return [self._settings(*fit) for fit in fits(self, arrays)]
        return [self._settings(FAMILIES[self.family], 0.0, 0.0, 0.0)] * len(arrays)

    def _settings(self, family: int, threshold: float, shape: float, scale: float) -> Settings:
        return (3, 0.0, False, 0, self.bits, self.m, family, self.kept, threshold, shape, scale)


def in_place_of_bound(value: object, mode_default: bool, predictor: object, grid: object, seed: object, slot: object) -> Quantiser | None:
    """The quantiser where one stands in place of an error bound, with options that only a bound has left out."""
    if not isinstance(value, Quantiser):
        return None
    if not mode_default or (predictor, grid, seed, slot) != ("auto", "auto", None, None):
        raise ParameterError(f"mode, predictor, grid, seed and slot belong to error bounds: leave them out with {type(value).__name__} "
                             "(it has a seed of its own where it needs one)")
    return value
