"""What both ends have before a message is sent, as the core takes it: references and earlier rounds."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gradsz import _arrays
from gradsz.errors import ParameterError, StateMismatchError

if TYPE_CHECKING:
    from gradsz._core import _Prior


def of_input(name: str, array: np.ndarray, code: int, reference: Mapping[str, Any] | None,
             past: Sequence[Mapping[str, np.ndarray]] = ()) -> _Prior | None:
    """For a tensor to be encoded: what of `reference` and of `past` (rounds, the latest first) has its name."""
    if reference is not None and not isinstance(reference, Mapping):
        raise ParameterError(f"reference must be a mapping of names to arrays, not {type(reference).__name__}")
    given = None
    if reference is not None and name in reference and code in _arrays.FLOATING:
        given = _matching(name, reference[name], array.shape, code)
    rounds: list[Any] = []
    for earlier in past:
        if name not in earlier:         # a round that it came bit for bit
            break
        rounds.append(_arrays.buffer(earlier[name], code))
    return (given, rounds) if given is not None or rounds else None


def of_entry(entry: tuple, reference: Mapping[str, Any] | None, past: Sequence[Mapping[str, np.ndarray]] = (),
             predictions: Mapping[str, np.ndarray] = {}) -> _Prior | None:
    """For a tensor of a message: what it was encoded with."""
    name, code, shape, nbytes, *_, referenced, rounds = entry
    name = name or ""
    if not referenced and not rounds:
        return None
    if referenced and name not in predictions and (reference is None or name not in reference):
        raise StateMismatchError(f"the message was made with a reference for {name!r}: give the one that the sender had, reference={{...}}")
    if rounds > len(past) or any(name not in earlier for earlier in past[:rounds]):
        raise StateMismatchError(f"{name!r} was made with {rounds} earlier round(s): decode it by the Decoder of its stream")
    if any(earlier[name].shape != shape or earlier[name].nbytes != nbytes for earlier in past[:rounds]):
        raise StateMismatchError(f"{name!r} is of another shape or dtype than in the earlier rounds that it was made with")
    given = _matching(name, reference[name], shape, code) if referenced and reference is not None and name in reference else None
    if referenced and name in predictions:
        given = predicted(given, predictions[name], code)
    kept: list[Any] = [_arrays.buffer(earlier[name], code) for earlier in past[:rounds]]
    return given, kept


def predicted(reference: Any, prediction: np.ndarray, code: int) -> np.ndarray:
    """A prediction (float64) of what is sent less the reference, if there is one: what the core takes as a reference."""
    if reference is not None:
        prediction = _arrays.widened(reference, code) + prediction
    return _arrays.buffer(_arrays.as_float(prediction, code), code)


def _matching(name: str, value: object, shape: tuple[int, ...], code: int) -> Any:
    array, given = _arrays.take(value)
    if given != code or array.shape != shape:
        raise ParameterError(f"the reference for {name!r} is {array.dtype} of shape {array.shape}; the tensor is "
                             f"{_arrays.dtype_of(code)} of shape {shape}")
    return _arrays.contiguous(array, code)
