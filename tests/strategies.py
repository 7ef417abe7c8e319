"""What the tests are tried on: dtypes, shapes, layouts, bounds, and values that hurt."""
from __future__ import annotations

import base64
import os
import zlib
from dataclasses import dataclass

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

try:
    import ml_dtypes
    BFLOAT16 = [np.dtype(ml_dtypes.bfloat16)]
except ImportError:
    BFLOAT16 = []

FLOATS = [np.dtype(t) for t in ("float16", "float32", "float64")] + BFLOAT16
INTEGERS = [np.dtype(f"{kind}{width}") for kind in ("int", "uint") for width in (8, 16, 32, 64)]
EXACT = INTEGERS + [np.dtype(bool)]
ALL = FLOATS + EXACT
MODES = ["abs", "rel", "rms", "l2", "psnr"]
LEVELS = ["balanced", "fast"]
GRIDS = ["auto", "aligned", "centred", "dithered", "shrunk"]
PREDICTORS = ["auto", "none", "lorenzo", "lorenzo1", "lorenzo2", "lorenzo3"]    # without the model, but for auto
MODELS = ["structure", "low-rank"]
SHAPES = [(), (1,), (2,), (17,), (257,), (600,), (1100,), (8, 50), (50, 8), (1, 300), (300, 1), (7, 9, 11),
          (20, 3, 5, 2), (40, 30), (30, 2, 3, 3), (8, 16, 9), (2,) * 9, (1,) * 31 + (500,), (0,), (3, 0, 5)]

# exponent bits, mantissa bits
FIELDS = {"float16": (5, 10), "bfloat16": (8, 7), "float32": (8, 23), "float64": (11, 52)}


def examples(n: int) -> settings:
    """n examples, 20 n with the full profile."""
    return settings(max_examples=20 * n if os.environ.get("GRADSZ_TEST_PROFILE") == "full" else n)


def ids(values) -> list[str]:
    return [str(v) for v in values]


def of_bits(patterns, dtype: np.dtype) -> np.ndarray:
    return np.asarray(patterns, f"u{dtype.itemsize}").view(dtype)


def every_pattern(dtype: np.dtype) -> np.ndarray:
    """All 65,536 values of a 16-bit dtype."""
    return of_bits(np.arange(65536, dtype=np.uint16), dtype)


def special_bits(dtype: np.dtype) -> list[int]:
    """Zeros, ones, extremes of the normal and subnormal range, infinities, quiet and signalling NaNs; both signs."""
    e, m = FIELDS[dtype.name]
    top = (2**e - 1) << m
    one = (2 ** (e - 1) - 1) << m
    positive = [0, 1, 2, 2**m - 1, 2**m, 2**m + 1, one - 1, one, one + 1, one + 2**m, top - 1, top - 2**m, top,
                top + 1, top + 2 ** (m - 1), top + 2 ** (m - 1) + 1, top + 2**m - 1]
    return positive + [p | 1 << (e + m) for p in positive]


def as_dtype(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rounded, quietly."""
    with np.errstate(all="ignore"):
        return a.astype(dtype)


def neighbours(a: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values of a dtype at, below and above some float64 values."""
    e, m = FIELDS[dtype.name]
    b = as_dtype(a, dtype).view(f"u{dtype.itemsize}").astype(np.uint64)
    near = np.concatenate([b, b + np.uint64(1), b - np.uint64(1)]) & np.uint64(2 ** (e + m + 1) - 1)
    return of_bits(near.astype(f"u{dtype.itemsize}"), dtype)


def bin_edges(eb: float, dtype: np.dtype, k: np.ndarray) -> np.ndarray:
    """Values half way between the multiples of 2 eb, and those multiples, each +- 1 ulp."""
    with np.errstate(all="ignore"):
        k = k.astype(np.float64)
        return neighbours(np.concatenate([(2 * k + 1) * eb, 2 * k * eb]), dtype)


def noise(dtype: np.dtype, n: int, rng: np.random.Generator) -> np.ndarray:
    """Random bit patterns."""
    if dtype == bool:
        return rng.integers(0, 2, n).astype(bool)
    return np.frombuffer(rng.bytes(n * dtype.itemsize), dtype).copy()


def sample(dtype: np.dtype, kind: str, n: int, rng: np.random.Generator, eb: float = 1e-2) -> np.ndarray:
    """n values of a kind of data."""
    if kind == "noise":
        return noise(dtype, n, rng)
    if kind == "edges":
        return rng.permutation(bin_edges(eb, dtype, rng.integers(-2**rng.integers(1, 30), 2**20, n // 6 + 1)))[:n]
    with np.errstate(all="ignore"):
        values = {"normal": lambda: rng.normal(size=n),
                  "sparse": lambda: rng.normal(size=n) * (rng.random(n) < 0.05),
                  "smooth": lambda: np.cumsum(rng.normal(size=n)) / 10,
                  "mixed": lambda: rng.normal(size=n) * 10.0 ** rng.uniform(-320, 308, n),
                  "offset": lambda: 1e4 + rng.normal(size=n),
                  "zeros": lambda: np.where(rng.random(n) < 0.5, 0.0, -0.0)}[kind]()
    return as_dtype(values, dtype)


KINDS = ["noise", "edges", "normal", "sparse", "smooth", "mixed", "offset", "zeros"]


def bounds(mode: str) -> st.SearchStrategy[float]:
    """Positive bounds: the usual, the odd, and the extremes."""
    if mode == "psnr":
        return st.one_of(st.floats(1, 120), st.sampled_from([1e-300, 1e-3, 300.0, 3000.0, 1e5, 1e308]))
    usual = st.builds(lambda m, e: m * 10.0**e, st.floats(1, 9.99), st.integers(-6, 0))
    odd = st.builds(lambda e: 2.0**e, st.integers(-40, 20))
    extreme = st.sampled_from([5e-324, 1e-310, 2.0**-1022, 2.0**-149, 2.0**-150, 1e-40, 2.0**-24, 2.0**-25, 1e-30,
                               1e30, 3.5e38, 1e300, 1.7976931348623157e308])
    return st.one_of(usual, usual, odd, extreme, st.floats(0, exclude_min=True, allow_nan=False, allow_infinity=False))


@dataclass
class Case:
    array: np.ndarray
    bound: float
    mode: str
    predictor: str
    grid: str

    @property
    def options(self) -> dict[str, str]:
        return {"mode": self.mode, "predictor": self.predictor, "grid": self.grid}

    def __repr__(self) -> str:
        """Short, and enough to run it again: the bytes, compressed."""
        a = self.array
        code = base64.b85encode(zlib.compress(a.tobytes()))
        return (f"Case(np.frombuffer(zlib.decompress(base64.b85decode({code!r})), {a.dtype.name!r}).reshape({a.shape}), "
                f"{self.bound!r}, {self.mode!r}, {self.predictor!r}, {self.grid!r})")

    def _repr_pretty_(self, printer, cycle) -> None:
        printer.text(repr(self))


@st.composite
def values(draw, dtype: np.dtype, n: int, eb: float) -> np.ndarray:
    """n values: a sample of some kind, with hand-picked values strewn in; or hand-picked ones over and over."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    base = sample(dtype, draw(st.sampled_from(KINDS)), n, rng, eb)
    e, m = FIELDS[dtype.name]
    picked = draw(st.lists(st.one_of(st.sampled_from(special_bits(dtype)), st.integers(0, 2 ** (1 + e + m) - 1)), max_size=6))
    if picked and n:
        at = rng.integers(0, n, max(1, n // 50)) if draw(st.booleans()) else np.arange(n)
        base[at] = np.resize(of_bits(picked, dtype), at.size)
    if draw(st.booleans()):
        base[n // 4:] = 0               # compressible: the quantiser stays in use however bad the rest
    return base


@st.composite
def cases(draw, dtype=None, mode=None) -> Case:
    dtype = draw(st.sampled_from(FLOATS)) if dtype is None else dtype
    mode = draw(st.sampled_from(MODES)) if mode is None else mode
    bound = draw(bounds(mode))
    shape = draw(st.sampled_from(SHAPES))
    array = draw(values(dtype, int(np.prod(shape)), bound if mode == "abs" else 1e-2)).reshape(shape)
    predictor = draw(st.sampled_from(["auto"] * 3 + MODELS + PREDICTORS))
    grid = draw(st.sampled_from(["auto"] * 2 + GRIDS)) if mode not in ("l2", "psnr") else "auto"
    return Case(array, bound, mode, predictor, grid)


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    """The same values, laid out in memory in every way that numpy has."""
    twos, back = ((*[slice(None, None, step)] * a.ndim, ...) for step in (2, -1))
    spread = np.zeros(tuple(2 * n for n in a.shape), a.dtype)[twos]
    spread[...] = a
    backwards = a[back].copy()[back]
    frozen = a.copy()
    frozen.flags.writeable = False
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape) if a.size else a.copy()
    raw[...] = a
    result = {"C": a.copy(order="C"), "Fortran": np.asfortranarray(a).reshape(a.shape, order="A"), "strided": spread,
              "reversed": backwards, "read-only": frozen, "unaligned": raw}
    if a.dtype.kind in "fiu" and a.dtype.name != "bfloat16":
        result["swapped"] = a.astype(a.dtype.newbyteorder("S"))
    return result
