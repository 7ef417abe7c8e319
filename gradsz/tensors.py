"""Named tensors to one message and back."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradsz import _arrays, _core, _params
from gradsz.api import encode_quantised, message_bytes
from gradsz.errors import ParameterError
from gradsz.quantisers import Quantiser

if TYPE_CHECKING:
    from gradsz._params import Bytes, Grid, Level, Mode, Predictor

__all__ = ["compress_tensors", "decompress_tensors"]

LOSSY_ABOVE = 1024      # elements: smaller tensors stay bit-exact, as in FedSZ (arXiv 2312.13461)


def default_lossy(name: str, array: np.ndarray) -> bool:
    """Which tensors lose: floating and more than 1,024 elements."""
    return array.size > LOSSY_ABOVE and _arrays.code_of(array.dtype) in _arrays.FLOATING


def compress_tensors(mapping: Mapping[str, ArrayLike], error_bound: float | Quantiser, *, mode: Mode = "rel", level: Level = "balanced",
                     predictor: Predictor = "auto", lossy: Callable[[str, NDArray[Any]], bool] | None = None, grid: Grid = "auto",
                     seed: int | None = None, slot: tuple[int, int] | None = None, nthreads: int = 1) -> bytes:
    """Compress named tensors, such as a model update, to one message.

    Parameters
    ----------
    mapping : mapping of str to array_like
        Names (UTF-8, at most 1,023 bytes) and tensors; names, dtypes, shapes and order travel.
    error_bound, mode, level, predictor, grid, seed, slot, nthreads
        As in `compress`; every lossy tensor resolves the bound on its own values.  A quantiser in place of the bound works on
        the lossy tensors; the Top-K of M22 on all of them together.
    lossy : callable(name, array) -> bool, optional
        Which tensors may lose.  By default floating ones of more than 1,024 elements; the rest is bit-exact.
        Integers and bools always are.

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
    """
    if not isinstance(mapping, Mapping):
        raise ParameterError(f"compress_tensors takes a mapping of names to arrays, not {type(mapping).__name__}")
    choices = (_params.mode(mode), _params.predictor(predictor), _params.level(level), _params.grid(grid))
    quantiser = _params.quantiser(error_bound, mode == "rel", predictor, grid, seed, slot)
    bound = 0.0 if quantiser else _params.error_bound(error_bound)
    choose = default_lossy if lossy is None else lossy
    if not callable(choose):
        raise ParameterError(f"lossy must be a function of name and array, or None, not {lossy!r}")
    items, arrays, lossy_ones = [], [], []
    for name, value in mapping.items():
        array = _arrays.as_array(value)
        dtype = _arrays.code_of(array.dtype)
        loses = choose(name, array)
        if loses and dtype in _arrays.FLOATING:
            lossy_ones.append(len(items))
        arrays.append(array)
        items.append((_encoded_name(name), dtype, array.shape, _arrays.contiguous(array, dtype), bound if loses else 0.0, *choices))
    threads = _params.nthreads(nthreads)
    if quantiser is not None:
        return encode_quantised(quantiser, items, arrays, lossy_ones, True, threads)
    return _core.encode(items, True, threads, _params.seed(seed), _params.slot(slot))


def decompress_tensors(buf: Bytes, *, names: Iterable[str] | None = None, nthreads: int = 1,
                       max_output: int | None = None) -> dict[str, NDArray[Any]]:
    """Decompress a message of named tensors.

    Parameters
    ----------
    buf : buffer
        What `compress_tensors` returned.  A message of one unnamed array gives the name "".
    names : iterable of str, optional
        Decode these only.  Each must be in the message.
    nthreads, max_output
        As in `decompress`; `max_output` bounds the sum of all tensors of the message.

    Returns
    -------
    dict
        In the order of the message.

    Raises
    ------
    CorruptError, TruncatedError, UnsupportedError, LimitError, ParameterError
    """
    message = _core.Message(message_bytes(buf), _params.nthreads(nthreads), _params.max_output(max_output))
    wanted = None if names is None else _wanted(names)
    result: dict[str, NDArray[Any]] = {}
    outs: list[Any] = []
    for i in range(len(message)):
        name, code, shape = message.entry(i)[:3]
        name = name or ""
        if wanted is not None and name not in wanted:
            outs.append(None)
            continue
        result[name] = _arrays.empty(shape, code)
        outs.append(_arrays.buffer(result[name], code))
    if wanted is not None and (missing := wanted - result.keys()):
        raise ParameterError(f"the message has no tensor named {', '.join(map(repr, sorted(missing)))}")
    message.decode_into(outs)
    return result


def _wanted(names) -> set[str]:
    if isinstance(names, (str, bytes)):
        raise ParameterError(f"names must be an iterable of names, not the single name {names!r}: write [{names!r}]")
    try:
        wanted = list(names)
    except TypeError:
        raise ParameterError(f"names must be an iterable of names, not {names!r}") from None
    if not all(isinstance(name, str) for name in wanted):
        raise ParameterError(f"names must be str: {wanted!r}")
    return set(wanted)


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
