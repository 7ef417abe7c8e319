"""Exact arithmetic on floating-point arrays: the judge of the error bound.  Shares no code with gradsz.

Every value of a format is an integer number of *units*, the format's smallest subnormal.  So an array becomes
an array of Python integers, and differences, sums and squares are exact.
"""
from __future__ import annotations

import decimal
import math
from fractions import Fraction

import numpy as np

# exponent bits, mantissa bits
FORMATS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}
LOSSY = ("uniform", "model")                    # codecs
LARGEST = Fraction(np.finfo(np.float64).max)    # an eb never passes it


def bits(a: np.ndarray) -> np.ndarray:
    """The elements' bits in C order, as unsigned integers."""
    a = np.ascontiguousarray(a).reshape(-1)
    return a.view(f"u{a.itemsize}")


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(bits(a), bits(b))


def _fields(a: np.ndarray):
    exponent_bits, mantissa_bits = FORMATS[a.dtype.name]
    b = bits(a).astype(np.uint64)
    exponent = (b >> np.uint64(mantissa_bits)) & np.uint64(2**exponent_bits - 1)
    return b >> np.uint64(exponent_bits + mantissa_bits), exponent, b & np.uint64(2**mantissa_bits - 1)


def finite(a: np.ndarray) -> np.ndarray:
    """Flat mask of the finite values."""
    return _fields(a)[1] != 2 ** FORMATS[a.dtype.name][0] - 1


def unit(dtype: np.dtype) -> Fraction:
    exponent_bits, mantissa_bits = FORMATS[dtype.name]
    return Fraction(1, 2 ** (2 ** (exponent_bits - 1) - 2 + mantissa_bits))


def units(a: np.ndarray) -> np.ndarray:
    """The values in units, flat; non-finite ones count as 0.  int64 where that holds all of them, else Python's."""
    exponent_bits, mantissa_bits = FORMATS[a.dtype.name]
    sign, exponent, mantissa = _fields(a)
    integer = np.int64 if exponent_bits == 5 else object
    mantissa += (exponent > 0).astype(np.uint64) << np.uint64(mantissa_bits)
    shift = np.where(exponent > 0, exponent - (exponent > 0), 0)
    mantissa[exponent == 2**exponent_bits - 1] = 0
    shift[exponent == 2**exponent_bits - 1] = 0
    magnitude = mantissa.astype(integer) << shift.astype(integer)
    return np.where(sign == 1, -magnitude, magnitude)


def within(a: np.ndarray, b: np.ndarray, eb) -> np.ndarray:
    """Flat mask: |a - b| <= eb exactly, for values finite in both; False elsewhere."""
    limit = math.floor(Fraction(eb) / unit(a.dtype))
    if a.dtype == np.float16:
        limit = min(limit, 2**62)
    close = np.abs(units(a) - units(b)) <= limit
    return close.astype(bool) & finite(a) & finite(b)


def _finite_units(a: np.ndarray) -> list[int]:
    return [int(v) for v in units(a)[finite(a)]]


def value_range(a: np.ndarray) -> Fraction:
    """max - min of the finite values, 0 without any."""
    v = _finite_units(a)
    return (max(v) - min(v)) * unit(a.dtype) if v else Fraction(0)


def sum_of_squares(a: np.ndarray) -> Fraction:
    return sum(v * v for v in _finite_units(a)) * unit(a.dtype) ** 2


def root_mean_square(a: np.ndarray) -> Fraction:
    """Of the finite values, 0 without any; to within 2**-1200."""
    n = int(finite(a).sum())
    return Fraction(math.isqrt(math.floor(sum_of_squares(a) / n * 4**1200)), 2**1200) if n else Fraction(0)


def errors(a: np.ndarray, b: np.ndarray) -> list[Fraction]:
    """b - a where a is finite."""
    where, u = finite(a), unit(a.dtype)
    return [int(d) * u for d in (units(b) - units(a))[where]]


def sum_of_squared_errors(a: np.ndarray, b: np.ndarray) -> Fraction:
    d = (units(b) - units(a))[finite(a)]
    return sum(int(v) ** 2 for v in d) * unit(a.dtype) ** 2


def power_of_decibels(db: float) -> Fraction:
    """10**(-db/10) to 50 digits; 0 below 10**-999999."""
    with decimal.localcontext(decimal.Context(prec=60)):
        return Fraction(decimal.Decimal(10) ** (-decimal.Decimal(db) / 10))


def check_decoded(a: np.ndarray, b: np.ndarray, codec: str, eb: float) -> None:
    """Guarantees 1 to 3: finite values within eb, everything else bit for bit."""
    assert b.dtype == a.dtype and b.shape == a.shape
    assert 0 <= eb < math.inf
    if codec not in LOSSY:
        assert eb == 0 and same_bits(a, b)
        return
    keep = ~finite(a)
    assert np.array_equal(bits(a)[keep], bits(b)[keep])
    wrong = np.flatnonzero(~(within(a, b, eb) | keep))
    assert wrong.size == 0, [(a.reshape(-1)[i], b.reshape(-1)[i], eb) for i in wrong[:3]]


def check_resolved(a: np.ndarray, b: np.ndarray, eb: float, bound: float, mode: str, given_away: float = 0) -> None:
    """What the bound of a lossy tensor means: eb is never more than asked for, nor needlessly less.

    `given_away`: the share of the bounds of rel and rms that may be given away, for a shorter number."""
    exact, kept = Fraction(eb), 1 - Fraction(given_away)
    if mode == "abs":
        assert eb == bound
    elif mode == "rel":
        limit = min(Fraction(bound) * min(value_range(a), LARGEST), LARGEST)    # a range that overflows counts as the largest float
        assert limit * kept * (1 - Fraction(1, 2**50)) - Fraction(1, 2**1073) <= exact <= limit
    elif mode == "rms":     # the root mean square is itself a float64: 1e-12, and a unit where that is subnormal
        rms, tiny = root_mean_square(a), Fraction(1, 2**1073)
        slack = Fraction(bound) * (rms / 10**12 + tiny) + tiny
        limit = Fraction(bound) * rms
        assert min(limit, LARGEST) * kept - slack <= exact <= limit + slack
    elif mode == "l2":
        assert sum_of_squared_errors(a, b) <= Fraction(bound) ** 2 * sum_of_squares(a)
    else:
        n = int(finite(a).sum())
        assert sum_of_squared_errors(a, b) <= power_of_decibels(bound) * value_range(a) ** 2 * n
