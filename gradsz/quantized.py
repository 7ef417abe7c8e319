"""The codec's bins without its entropy coder: integers that can be summed, for secure aggregation."""
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gradsz import _arrays, _core, _params
from gradsz.errors import ParameterError, UnsupportedDtypeError

if TYPE_CHECKING:
    from gradsz._params import Mode

__all__ = ["quantize", "dequantize", "Quantized"]

SummableGrid = Literal["aligned", "dithered"]
UNIT_BITS = 12          # offsets are multiples of step / 2^12, as fine as the codec's get
ROW = 512               # elements a row, for the offsets' counter


@dataclass(frozen=True, eq=False)
class Quantized:
    """What `quantize` returns: ``values`` (int32, the shape of the input) in multiples of ``step``.

    ``eb`` is the absolute bound.  `grid`, `seed` and `slot` are those that were given.
    """

    values: NDArray[np.int32]
    step: float
    eb: float
    grid: SummableGrid
    seed: int | None = None
    slot: tuple[int, int] | None = None


def quantize(x: ArrayLike, error_bound: float, *, mode: Mode = "abs", grid: SummableGrid = "aligned", seed: int | None = None,
             slot: tuple[int, int] | None = None, clients: int | None = None, bits: int = 32) -> Quantized:
    """Integers whose sums over clients decode to the sum of the inputs, within the sum of the bounds.

    Parameters
    ----------
    x : array_like
        float16, bfloat16, float32 or float64, any shape.  All values must be finite: integers have no room for others.
    error_bound, mode
        As in `compress`.  Clients whose integers are added must have the same absolute bound: agree on one with mode
        ``abs`` (the other modes measure `x`).
    grid : {"aligned", "dithered"}
        Bins on multiples of their width; or shifted by offsets that `seed` repeats, so that errors are uniform in
        [-eb, eb] and zero on average.  There is no prediction to centre bins on: ``centred`` would be ``aligned``.
    seed : int
        Of the offsets of ``dithered``.  The same for all clients of a sum; another for each tensor and round.
    slot : (int, int), optional
        Client and number of clients: spreads the offsets of a shared seed evenly over them.
    clients : int
        How many clients' integers are to be added; by default those of `slot`, else 1.
    bits : int
        Sums are taken modulo ``2**bits``, 2 to 32.  A value of which `clients` do not fit is refused.

    Returns
    -------
    Quantized
        ``|x - step * values| <= eb`` (for ``dithered``, with the offset added), as real numbers.

    Raises
    ------
    ParameterError
        Values that are not finite, or so large that `bits` do not hold them: the message says how many would.
        A bound that leaves no bins (0, or a range of 0).
    UnsupportedDtypeError
        Integers and bools need no quantiser.

    Notes
    -----
    Bins and offsets are those of the codec (docs/format.md 5.1 and 7.8): the step is the largest number of the working
    type not above 2 eb; the value is the nearest integer.  See docs/secure-aggregation.md.

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> x, y = np.linspace(-1, 1, 5), np.linspace(0, 3, 5)
    >>> a, b = (gradsz.quantize(v, 1e-3, clients=2, bits=16) for v in (x, y))
    >>> total = (a.values + b.values) % 2**16
    >>> bool(np.abs(gradsz.dequantize(total, a.step, bits=16) - (x + y)).max() <= 2e-3)
    True
    """
    array, code = _arrays.take(x)
    if code not in _arrays.FLOATING:
        raise UnsupportedDtypeError(f"quantize takes floats, not {array.dtype}: integers can be added as they are")
    _check_grid(grid, seed)
    spread = _params.slot(slot)
    clients = _params.integer("clients", spread[1] if clients is None and spread else 1 if clients is None else clients, 1)
    limit = ((1 << _params.integer("bits", bits, 2, 32) - 1) - 1) // clients         # of which `clients` fit into `bits`
    source = _arrays.contiguous(array, code)
    eb = _core.absolute_bound((b"", code, array.shape, source, _params.error_bound(error_bound), _params.mode(mode), 0, 1, 0))
    exact = _arrays.widened(array, code).reshape(-1)
    _check_finite(exact)
    if not eb > 0 and exact.any():
        raise ParameterError(f"the bound {error_bound!r} ({mode}) leaves no bins: it must be above 0 for these values")
    step = _step(eb, code)
    offsets = _offsets(exact.size, _params.seed(seed), spread) if grid == "dithered" else np.zeros(1, np.int64)
    values = _nearest(exact, step, offsets)
    _check_range(values, limit, clients, bits)
    return Quantized(values.astype(np.int32).reshape(array.shape), step, eb, grid, seed, slot)


def dequantize(values: Quantized | ArrayLike, step: float | None = None, *, bits: int = 32, grid: SummableGrid = "aligned",
               seed: int | None = None, slots: Iterable[tuple[int, int]] | None = None, dtype: DTypeLike = "float64") -> NDArray:
    """The values of integers that `quantize` made, or of a sum of them.

    Parameters
    ----------
    values : Quantized or array_like of integers
        What one client made; or the sum over clients, taken modulo ``2**bits`` or not.
    step : float
        That of the clients; not for a `Quantized`.
    bits : int
        Of the modulus, 2 to 32: the sum is the residue nearest to 0.
    grid, seed : as for `quantize`
    slots : iterable of (int, int), optional
        For ``dithered``: the slot of each client in the sum.  By default one client without a slot.
    dtype : dtype
        float64, or what it is to be rounded to.

    Returns
    -------
    ndarray
        ``step`` times the integers (and offsets), rounded once to float64.  As a real number it is within n eb
        of the sum of the n inputs.

    Raises
    ------
    ParameterError
    """
    if isinstance(values, Quantized):
        quantized, values = values, values.values
        if step is not None:
            raise ParameterError("step is that of the Quantized: leave it out")
        step, grid, seed, slots = quantized.step, quantized.grid, quantized.seed, None if quantized.slot is None else [quantized.slot]
    if step is None or not 0 <= step < np.inf:
        raise ParameterError(f"step is {step!r}; it must be the step that quantize gave")
    integers = np.asarray(values)
    if integers.dtype.kind not in "iu":
        raise ParameterError(f"values must be integers, not {integers.dtype}")
    _check_grid(grid, seed)
    half = 1 << _params.integer("bits", bits, 2, 32) - 1
    total = ((integers.astype(np.uint64) + np.uint64(half)) & np.uint64(2 * half - 1)).astype(np.int64) - half
    if grid == "dithered":
        clients = [None] if slots is None else [_params.slot(slot) for slot in slots]
        units = sum(_offsets(total.size, _params.seed(seed), slot) for slot in clients) + (total.reshape(-1) << UNIT_BITS)
        total, step = np.asarray(units).reshape(integers.shape), step / (1 << UNIT_BITS)
    return (total * np.float64(step)).astype(dtype)


# ---- checks

def _check_grid(grid: str, seed: int | None) -> None:
    if grid not in ("aligned", "dithered"):
        raise ParameterError(f"grid is {grid!r}; integers that can be added are on 'aligned' or 'dithered' grids "
                             "(without prediction a centred grid is the aligned one)")
    if grid == "dithered" and seed is None:
        raise ParameterError("grid='dithered' needs a seed, which both ends know")


def _check_finite(x: np.ndarray) -> None:
    bad = ~np.isfinite(x)
    if bad.any():
        i = int(bad.argmax())
        raise ParameterError(f"{int(bad.sum()):,} of {x.size:,} values are not finite, the first is {x[i]} at flat index {i}: integers cannot "
                             "hold them; replace them first")


def _check_range(values: np.ndarray, limit: int, clients: int, bits: int) -> None:
    largest = float(max(values.max(initial=0), -values.min(initial=0)))
    if largest <= limit:
        return
    needed = (int(largest) * clients).bit_length() + 1
    advice = f"bits={needed} would do" if needed <= 32 else "no 32 bits hold that: raise error_bound, or clip the values"
    raise ParameterError(f"values reach {largest:,.6g} steps, and {clients:,} clients at most {limit:,} each in {bits} bits: {advice}")


# ---- bins (docs/format.md 5.1)

def _step(eb: float, code: int) -> float:
    """The largest number of the working type not above 2 eb."""
    bin_width = min(2 * eb, float(np.finfo(np.float64).max))
    if _arrays.dtype_name(code) == "float64":
        return bin_width
    with np.errstate(over="ignore"):
        step = np.float32(bin_width)
    return float(step if float(step) <= bin_width else np.nextafter(step, np.float32(0)))


def _nearest(x: np.ndarray, step: float, offsets: np.ndarray) -> np.ndarray:
    """Integers k with (k + offset) step nearest to x, as float64.  Where rounding might tell wrong, in exact arithmetic."""
    if step == 0:       # all zeros under a relative bound
        return np.zeros(x.size)
    with np.errstate(over="ignore"):
        q = np.clip(x / step, -2.0**60, 2.0**60)        # what is so large is refused anyway
    q -= offsets / (1 << UNIT_BITS)
    k = np.rint(q)
    doubtful = np.abs(q - k) > 0.5 - (np.abs(q) + 1) * 2.0**-50
    doubtful &= np.abs(q) < 2.0**40
    if doubtful.any():
        pairs, back = np.unique(np.stack([x[doubtful], np.broadcast_to(offsets, x.shape)[doubtful]]), axis=1, return_inverse=True)
        careful = [round(Fraction(a) / Fraction(step) - Fraction(int(u), 1 << UNIT_BITS)) for a, u in pairs.T.tolist()]
        k[doubtful] = np.array(careful, np.float64)[back.reshape(-1)]
    return k


# ---- offsets (docs/format.md 7.8): tensor 0, rows of ROW elements, places in order

_GAMMA = 0x9e3779b97f4a7c15
_MASK = 2**64 - 1


def _mix(v: np.ndarray) -> np.ndarray:
    v = (v ^ v >> np.uint64(30)) * np.uint64(0xbf58476d1ce4e5b9)
    v = (v ^ v >> np.uint64(27)) * np.uint64(0x94d049bb133111eb)
    return v ^ v >> np.uint64(31)


def _offsets(n: int, seed: int | None, slot: tuple[int, int] | None) -> np.ndarray:
    """In units of step / 2^12, from -2^11 to 2^11 - 1."""
    rows = np.arange(1, -(-n // ROW) + 1, dtype=np.uint64)
    start = _mix(np.array([((seed or 0) + _GAMMA) & _MASK], np.uint64))
    key = np.repeat(_mix(start + rows * np.uint64(_GAMMA)), ROW)[:n]
    place = np.resize(np.arange(ROW, dtype=np.uint32), n)
    x = place * np.uint32(0x9e3779b9) + key.astype(np.uint32)
    x = (x ^ x >> np.uint32(16)) * np.uint32(0x7feb352d)
    x = (x ^ x >> np.uint32(15) ^ (key >> np.uint64(32)).astype(np.uint32)) * np.uint32(0x846ca68b)
    shift = 0 if slot is None else (slot[0] << 32) // slot[1]
    x = (x ^ x >> np.uint32(16)) + np.uint32(shift)
    return (x >> np.uint32(32 - UNIT_BITS)).astype(np.int64) - (1 << UNIT_BITS - 1)
