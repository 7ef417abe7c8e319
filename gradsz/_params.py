"""Checks of the arguments that several calls share: what came, what is allowed, what to do."""
from __future__ import annotations

import json
import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from gradsz import _torch
from gradsz.errors import ParameterError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    Bytes = Buffer | NDArray[Any]       # numpy's stubs call an array a Buffer from Python 3.12 on only

T = TypeVar("T")

Mode = Literal["abs", "rel", "rms", "l2", "psnr"]
Predictor = Literal["auto", "none", "lorenzo", "lorenzo1", "lorenzo2", "lorenzo3", "structure", "low-rank"]
Level = Literal["fast", "balanced", "best"]
Over = Literal["tensor", "message"]
Framework = Literal["numpy", "torch"]
Grid = Literal["auto", "aligned", "centred", "dithered", "shrunk"]

MODES = {"abs": 0, "rel": 1, "rms": 2, "l2": 3, "psnr": 4}
MODE_NAMES = {code: name for name, code in MODES.items()} | {5: "sparse-dithering", 6: "m22"}
PREDICTORS = {"auto": 255, "none": 0, "lorenzo1": 1, "lorenzo2": 2, "lorenzo3": 3, "lorenzo": 3, "structure": 4, "low-rank": 5}
PREDICTOR_NAMES = {0: "none", 1: "lorenzo1", 2: "lorenzo2", 3: "lorenzo3", 4: "structure", 5: "low-rank"}
LEVELS = {"balanced": 0, "fast": 1, "best": 2}
GRIDS = {"auto": 255, "aligned": 0, "centred": 1, "dithered": 2, "shrunk": 3}
GRID_NAMES = {code: name for name, code in GRIDS.items()}


def error_bound(value: object) -> float:
    if isinstance(value, (str, bytes)):     # float() would take them
        raise ParameterError(f"error_bound must be a number, not {value!r}")
    try:
        bound = float(value)    # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ParameterError(f"error_bound must be a number, not {value!r}") from None
    except OverflowError:
        bound = math.inf
    if not 0 <= bound < math.inf:
        raise ParameterError(f"error_bound is {bound!r}; it must be finite and not negative (0 = bit-exact)")
    return bound


def _choice(what: str, value: object, allowed: dict[str, int]) -> int:
    if isinstance(value, str) and value in allowed:
        return allowed[value]
    raise ParameterError(f"{what} is {value!r}; allowed are {', '.join(map(repr, allowed))}")


def mode(value: object) -> int:
    return _choice("mode", value, MODES)


def predictor(value: object) -> int:
    named = getattr(value, "predictor", value)
    if isinstance(named, str) and named == "gradient-aware":
        raise ParameterError("gradient-aware prediction needs the rounds before: use gradsz.Encoder(..., predictor='gradient-aware')")
    return _choice("predictor", value, PREDICTORS)


def level(value: object) -> int:
    return _choice("level", value, LEVELS)


def grid(value: object) -> int:
    return _choice("grid", value, GRIDS)


def bound_over(value: object, mode: str) -> bool:
    """Whether a bound is relative to the whole message."""
    over = _choice("bound_over", value, {"tensor": 0, "message": 1}) == 1
    if over and mode in ("l2", "psnr"):
        raise ParameterError(f"bound_over='message' is for the modes 'abs', 'rel' and 'rms'; {mode!r} is measured for each tensor: "
                             "leave bound_over='tensor', or take 'rms'")
    return over


def seed(value: object) -> int | None:
    if value is None:
        return None
    try:
        n = operator.index(value)   # type: ignore[arg-type]
    except TypeError:
        raise ParameterError(f"seed must be an integer or None, not {value!r}") from None
    if not 0 <= n < 2**64:
        raise ParameterError(f"seed is {n}; it must be between 0 and 2**64 - 1")
    return n


def slot(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    try:
        client, clients = (operator.index(v) for v in value)    # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ParameterError(f"slot must be (client, clients) or None, not {value!r}") from None
    if not 0 <= client < clients < 2**32:
        raise ParameterError(f"slot is {(client, clients)}; it must be 0 <= client < clients < 2**32")
    return client, clients


def integer(name: str, value: object, least: int, most: int | None = None) -> int:
    try:
        n = operator.index(value)   # type: ignore[arg-type]
    except TypeError:
        raise ParameterError(f"{name} must be an integer, not {value!r}") from None
    if n < least or (most is not None and n > most):
        raise ParameterError(f"{name} is {n}; it must be " + (f"at least {least}" if most is None else f"between {least} and {most}"))
    return n


def number(what: str, value: object, low: float, high: float, bounds: str) -> float:
    """A float between two ends, each of which `bounds`, such as "(]", lets in or not."""
    if isinstance(value, (bool, str, bytes)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise ParameterError(f"{what} must be a number, not {value!r}")
    n = float(value)
    ends = (low < n if bounds[0] == "(" else low <= n) and (n < high if bounds[1] == ")" else n <= high)
    if not ends:
        raise ParameterError(f"{what} is {value!r}; allowed is {bounds[0]}{low:g}, {high:g}{bounds[1]}")
    return n


def nthreads(value: object) -> int:
    return integer("nthreads", value, 1, 1024)


def to_torch(value: object) -> bool:
    """Whether torch's tensors are wanted, which must be installed then."""
    wanted = _choice("to", value, {"numpy": 0, "torch": 1}) == 1
    if wanted:
        _torch.check_installed()
    return wanted


def names(value: object) -> set[str]:
    if isinstance(value, (str, bytes)):
        raise ParameterError(f"names must be an iterable of names, not the single name {value!r}: write [{value!r}]")
    try:
        wanted = list(value)    # type: ignore[call-overload]
    except TypeError:
        raise ParameterError(f"names must be an iterable of names, not {value!r}") from None
    if not all(isinstance(name, str) for name in wanted):
        raise ParameterError(f"names must be str: {wanted!r}")
    return set(wanted)


def max_output(value: object) -> int:
    """Bytes for the core, where 0 means no limit."""
    if value is None:
        return 0
    try:
        n = operator.index(value)   # type: ignore[arg-type]
    except TypeError:
        raise ParameterError(f"max_output must be a number of bytes or None, not {value!r}") from None
    if n < 1:
        raise ParameterError(f"max_output is {n}; it must be at least 1 byte (None = no limit)")
    return min(n, 2**63)


def from_json(text: str, what: str, make: Callable[[dict[str, Any]], T]) -> T:
    """What `make` makes of the members in JSON.

    Raises
    ------
    ParameterError
        The text is no JSON, or not of such a thing.
    """
    try:
        return make(json.loads(text))
    except ParameterError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ParameterError(f"not the JSON of {what} ({type(error).__name__}: {error}): {str(text)[:80]!r}") from None
