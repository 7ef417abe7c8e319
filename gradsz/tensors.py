"""Named tensors to one message and back."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from numpy.typing import ArrayLike, NDArray

from gradsz import _arrays, _core, _params, _partition, _prior, _torch
from gradsz.api import encode_quantised, message_bytes
from gradsz.errors import ParameterError
from gradsz.quantisers import Quantiser, in_place_of_bound

if TYPE_CHECKING:
    from gradsz._foresight import Foreseer
    from gradsz._params import Bytes, Framework, Grid, Level, Mode, Over, Predictor

__all__ = ["compress_tensors", "decompress_tensors"]

# A function of name and array; patterns of names; or a mapping of those to bounds.
Lossy = Callable[[str, NDArray[Any]], bool] | Iterable[str] | Mapping[str, float]


def compress_tensors(mapping: Mapping[str, ArrayLike], error_bound: float | Quantiser, *, mode: Mode = "rel", level: Level = "balanced",
                     predictor: Predictor = "auto", lossy: Lossy | None = None, bound_over: Over = "tensor", grid: Grid = "auto",
                     seed: int | None = None, slot: tuple[int, int] | None = None, reference: Mapping[str, ArrayLike] | None = None,
                     nthreads: int = 1) -> bytes:
    """Compress named tensors, such as a model update, to one message.

    Parameters
    ----------
    mapping : mapping of str to array_like or tensor
        Names (UTF-8, at most 1,023 bytes) and tensors, such as the ``state_dict()`` of a torch module, of any device; names,
        dtypes, shapes and order travel.
    error_bound, mode, level, predictor, grid, seed, slot, nthreads
        As in `compress`.  A quantiser in place of the bound works on the lossy tensors; the Top-K of M22 on all of them together.
    lossy : callable, iterable of str, or mapping of str to float or bool; optional
        Which tensors may lose.  By default floating ones of more than 1,024 elements; the rest is bit-exact.
        Integers and bools always are.

        - ``lossy(name, array)`` returns true or false.
        - Glob patterns (``["*.weight", "head.*"]``): tensors whose names match one lose, whatever their size, the others
          do not.  ``*`` matches any characters, dots too; a tensor's name stands for itself.
        - A mapping of patterns to bounds in the units of `mode` (``{"head.*": 1e-4, "*norm*": False}``): the first that
          matches decides; 0 or False is bit-exact, True means `error_bound`.  Names that none matches go by the default.
    bound_over : {"tensor", "message"}
        What ``rel`` and ``rms`` are relative to: the range or root mean square of each tensor's values, or of the finite
        values of all tensors that may lose, which gives all of them one absolute bound.  No difference for ``abs``; ``l2`` and
        ``psnr`` are measured for each tensor only.
    reference : mapping of str to array_like or tensor, optional
        What the receiver has too, by the same names, dtypes and shapes, such as the global weights of the round: whole
        weights near it take a fraction of the bytes, and come back with the same values as without it (``grid="auto"``
        is then ``"aligned"``).  Names that it lacks go without.  Used by the gradient model (levels ``balanced``, ``best``).

    Returns
    -------
    bytes

    Raises
    ------
    ParameterError, UnsupportedDtypeError, LimitError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> update = {"w": np.random.default_rng(0).normal(size=(64, 64)).astype("float32"), "steps": np.int64(7)}
    >>> message = gradsz.compress_tensors(update, 1e-2)
    >>> list(gradsz.decompress_tensors(message))
    ['w', 'steps']
    >>> message = gradsz.compress_tensors(update, 1e-2, lossy={"w": 1e-4}, bound_over="message")
    """
    return compress_items(mapping, error_bound, mode=mode, level=level, predictor=predictor, lossy=lossy, bound_over=bound_over, grid=grid,
                          seed=seed, slot=slot, reference=reference, nthreads=nthreads)


def compress_items(mapping: Mapping[str, ArrayLike], error_bound: float | Quantiser, *, mode: Mode = "rel", level: Level = "balanced",
                   predictor: Predictor = "auto", lossy: Lossy | None = None, bound_over: Over = "tensor", grid: Grid = "auto",
                   seed: int | None = None, slot: tuple[int, int] | None = None, reference: Mapping[str, ArrayLike] | None = None,
                   past: Sequence[Mapping[str, Any]] = (), foreseer: Foreseer | None = None,
                   stream: tuple[int, int, bool, int, int] | None = None, nthreads: int = 1) -> bytes:
    """The same, of a stream: with earlier rounds, the latest first, or predictions from them; and the message's place."""
    if not isinstance(mapping, Mapping):
        raise ParameterError(f"compress_tensors takes a mapping of names to arrays, not {type(mapping).__name__}")
    choices = (_params.mode(mode), _params.predictor(predictor), _params.level(level), _params.grid(grid))
    quantiser = in_place_of_bound(error_bound, mode == "rel", predictor, grid, seed, slot)
    bound = 1.0 if quantiser else _params.error_bound(error_bound)
    over = _params.bound_over(bound_over, mode)
    rule = _partition.rule_of(lossy, bound, mapping.keys())
    items: list[tuple] = []
    arrays, lossy_ones, priors = [], [], []
    for name, value in mapping.items():
        array, dtype = _arrays.take(value)
        own = rule(name, array, dtype)
        if own > 0 and dtype in _arrays.FLOATING:
            lossy_ones.append(len(items))
        arrays.append(array)
        priors.append(_prior.of_input(name, array, dtype, reference, past))
        items.append((_encoded_name(name), dtype, array.shape, _arrays.contiguous(array, dtype), 0.0 if quantiser else own, *choices))
    threads = _params.nthreads(nthreads)
    if quantiser is not None:
        if reference is not None:
            raise ParameterError("a quantiser takes no reference: quantise the difference to it")
        return encode_quantised(quantiser, items, arrays, lossy_ones, True, threads, None if stream is None else (*stream, b""))
    seed, slot = _params.seed(seed), _params.slot(slot)

    def encode(items: list[tuple], priors: list, note: bytes = b"") -> bytes:
        return _core.encode(items, True, threads, seed, slot, over, priors=priors if any(priors) else None,
                            stream=None if stream is None else (*stream, note))
    return encode(items, priors) if foreseer is None else foreseer.encode(items, priors, over, encode)


@overload
def decompress_tensors(buf: Bytes, *, names: Iterable[str] | None = None, to: Literal["numpy"] = "numpy",
                       reference: Mapping[str, ArrayLike] | None = None, nthreads: int = 1,
                       max_output: int | None = None) -> dict[str, NDArray[Any]]: ...


@overload
def decompress_tensors(buf: Bytes, *, names: Iterable[str] | None = None, to: Literal["torch"],
                       reference: Mapping[str, ArrayLike] | None = None, nthreads: int = 1,
                       max_output: int | None = None) -> dict[str, Any]: ...


def decompress_tensors(buf: Bytes, *, names: Iterable[str] | None = None, to: Framework = "numpy",
                       reference: Mapping[str, ArrayLike] | None = None, nthreads: int = 1,
                       max_output: int | None = None) -> dict[str, Any]:
    """Decompress a message of named tensors.

    Parameters
    ----------
    buf : buffer
        What `compress_tensors` returned.  A message of one unnamed array gives the name "".
    names : iterable of str, optional
        Decode these only.  Each must be in the message.
    to : {"numpy", "torch"}
        Arrays, or tensors of torch on the CPU, which ``load_state_dict`` takes to where the model is.
    reference : mapping, optional
        The very reference that the message was made with.
    nthreads, max_output
        As in `decompress`; `max_output` bounds the sum of all tensors of the message.

    Returns
    -------
    dict
        In the order of the message.

    Raises
    ------
    CorruptError, TruncatedError, UnsupportedError, LimitError, ParameterError
    StateMismatchError
        The message was made with a reference that is not this one, or belongs to a stream.
    """
    message = _core.Message(message_bytes(buf), _params.nthreads(nthreads), _params.max_output(max_output))
    return decode_tensors(message, None if names is None else places_of(message, names), _params.to_torch(to), reference)


def places_of(message: _core.Message, names: Iterable[str]) -> set[int]:
    """Places of the tensors with these names, each of which must be there."""
    wanted = _params.names(names)
    places = {name: i for i in range(len(message)) if (name := message.entry(i)[0] or "") in wanted}
    if missing := wanted - places.keys():
        raise ParameterError(f"the message has no tensor named {', '.join(map(repr, sorted(missing)))}")
    return set(places.values())


def decode_tensors(message: _core.Message, places: set[int] | None = None, to_torch: bool = False,
                   reference: Mapping[str, Any] | None = None, past: Sequence[Mapping[str, Any]] = (),
                   predictions: Mapping[str, NDArray[Any]] = {}) -> dict[str, Any]:
    """The tensors at these places of a message, or all, in its order."""
    result: dict[str, Any] = {}
    outs: list[Any] = []
    entries = [message.entry(i) for i in range(len(message))]
    priors = [_prior.of_entry(entry, reference, past, predictions) for entry in entries]
    for i, (name, code, shape, *_) in enumerate(entries):
        if places is not None and i not in places:
            outs.append(None)
            continue
        array = _arrays.empty(shape, code, bits=to_torch)
        outs.append(_arrays.buffer(array, code))
        result[name or ""] = _torch.from_numpy(array, code == _arrays.BFLOAT16) if to_torch else array
    message.decode_into(outs, priors if any(priors) else None)
    return result


def _encoded_name(name: object) -> bytes:
    if not isinstance(name, str):
        raise ParameterError(f"tensor names must be str, not {type(name).__name__} ({name!r})")
    try:
        encoded = name.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"the tensor name {name!r} has no UTF-8 form (a lone surrogate)") from None
    if len(encoded) > 1023:
        raise ParameterError(f"a tensor name has {len(encoded)} bytes of UTF-8, at most 1,023 are allowed: {name[:40]!r}...")
    return encoded
