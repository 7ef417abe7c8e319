"""One array to bytes and back."""
from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gradsz import _arrays, _core, _params
from gradsz.errors import LimitError, ParameterError, UnsupportedDtypeError
from gradsz.quantisers import Quantiser, in_place_of_bound

if TYPE_CHECKING:
    from gradsz._core import _Stream
    from gradsz._params import Bytes, Grid, Level, Mode, Predictor

__all__ = ["compress", "decompress", "compress_bound"]


def compress(a: ArrayLike, error_bound: float | Quantiser, *, mode: Mode = "abs", level: Level = "balanced",
             predictor: Predictor = "auto", grid: Grid = "auto", seed: int | None = None,
             slot: tuple[int, int] | None = None, nthreads: int = 1) -> bytes:
    """Compress an array so that every finite value comes back within an error bound.

    Parameters
    ----------
    a : array_like, buffer or tensor
        float16, bfloat16 (ml_dtypes or torch), float32 or float64: within the bound.  Integers and bools: bit for
        bit.  Any shape up to 32 dimensions, any strides and byte order; never written to.
    error_bound : float or quantiser
        Finite and >= 0, in the units of `mode`.  0 = bit-exact.  A quantiser (`SparseDithering`, `Spherical`, `M22`) takes the
        place of a bound: what holds then stands there, `level` and `nthreads` apply, and the other options must be left out.
    mode : {"abs", "rel", "rms", "l2", "psnr"}
        What the bound means; each resolves to one absolute bound `eb` that the message carries:

        - ``abs``: ``|x - x'| <= error_bound``
        - ``rel``: ``eb = error_bound * (max - min)`` of the finite values (as in SZ and FedSZ)
        - ``rms``: ``eb = error_bound * sqrt(mean(x**2))`` of the finite values
        - ``l2``: the largest eb found with ``||x - x'|| <= error_bound * ||x||``, measured on the data
        - ``psnr``: the largest eb found with a PSNR of at least `error_bound` dB, peak = value range
    level : {"balanced", "fast"}
        How much work to spend.  ``balanced``: the gradient model (docs/model.md), or what ``fast`` does where that is
        better: for smooth data and for values of few levels.  ``fast``: quantiser, Lorenzo prediction, Huffman.
    predictor : {"auto", "none", "lorenzo", "lorenzo1", "lorenzo2", "lorenzo3", "structure", "low-rank"}
        "auto" looks at a sample.  "lorenzo": integer Lorenzo prediction along up to 3 axes, for smooth data.
        "structure": the gradient model without its low-rank part.  "low-rank": with it where it pays.
    grid : {"auto", "aligned", "centred", "dithered", "shrunk"}
        Where the gradient model puts its bins.  "aligned": on multiples of their width, so that equal values come back
        equal.  "centred": centred on what it predicts, which takes fewest bytes.  "auto": centred, but aligned for
        ``l2`` and ``psnr``.  "dithered": at random, so that errors are uniform in [-eb, eb] and zero on average.
        "shrunk": at random, zero on average, of least squared error where bins are much wider than the values.  The
        last two let coarse bounds be averaged over clients or rounds; rows of zeros stay exactly zero.
    seed : int, optional
        Of the random offsets, 0 to 2**64 - 1.  By default a hash of the values, so that bytes are deterministic.
    slot : (int, int), optional
        Client and number of clients of a round that share a `seed`: offsets are spread evenly over the clients, and
        the error of the average is smaller.
    nthreads : int
        Threads for large arrays.  The bytes do not depend on it.

    Returns
    -------
    bytes
        A message of one unnamed tensor (docs/format.md), at most ``compress_bound(a)`` long.

    Raises
    ------
    ParameterError, UnsupportedDtypeError, LimitError

    Notes
    -----
    NaN and infinities come back bit for bit.  -0.0 may come back as 0.0, except in bit-exact mode.

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> a = np.linspace(0, 1, 1000, dtype=np.float32)
    >>> b = gradsz.decompress(gradsz.compress(a, 1e-3))
    >>> bool(np.abs(a - b).max() <= 1e-3)
    True
    """
    array, code = _arrays.take(a)
    choices = (_params.mode(mode), _params.predictor(predictor), _params.level(level), _params.grid(grid))
    quantiser = in_place_of_bound(error_bound, mode == "abs", predictor, grid, seed, slot)
    bound = 0.0 if quantiser else _params.error_bound(error_bound)
    item = (b"", code, array.shape, _arrays.contiguous(array, code), bound, *choices)
    if quantiser is not None:
        lossy = [0] if code in _arrays.FLOATING else []
        return encode_quantised(quantiser, [item], [array], lossy, False, _params.nthreads(nthreads))
    return _core.encode([item], False, _params.nthreads(nthreads), _params.seed(seed), _params.slot(slot))


def decompress(buf: Bytes, *, out: NDArray[Any] | None = None, nthreads: int = 1,
               max_output: int | None = None) -> NDArray[Any]:
    """Decompress a message of one tensor.

    Parameters
    ----------
    buf : buffer
        What `compress` returned (or `compress_tensors` of one tensor).
    out : ndarray, optional
        Decode into this array: the message's dtype and shape, C-contiguous, writeable, not overlapping `buf`.
        After an error its contents are undefined.
    nthreads : int
        Threads for large arrays.
    max_output : int, optional
        Refuse messages that would decode to more bytes than this, before anything is allocated.
        Always give it for messages from strangers.

    Returns
    -------
    ndarray
        C-contiguous, native byte order; `out` if that was given.

    Raises
    ------
    CorruptError, TruncatedError
        Not a message, damaged, or cut off.  Checksums are checked before any value is returned.
    UnsupportedError
        Written by a newer version.
    LimitError
        Larger than `max_output` or than memory.
    ParameterError
        `out` does not fit, or the message holds several tensors.

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> gradsz.decompress(gradsz.compress(np.arange(3), 0))
    array([0, 1, 2])
    """
    data = message_bytes(buf)
    message = _core.Message(data, _params.nthreads(nthreads), _params.max_output(max_output))
    if len(message) != 1:
        raise ParameterError(f"the message holds {len(message)} tensors; use decompress_tensors")
    code, shape = message.entry(0)[1:3]
    if out is None:
        out = _arrays.empty(shape, code)
    else:
        _check_out(out, code, shape, data)
    message.decode_into([_arrays.buffer(out, code)])
    return out


def compress_bound(a: ArrayLike, dtype: DTypeLike | None = None) -> int:
    """Largest number of bytes that `compress` can return for an array, or for a shape and a dtype.

    Parameters
    ----------
    a : array_like, or a shape (an int or a tuple of ints) when `dtype` is given
    dtype : dtype_like, optional

    Examples
    --------
    >>> import gradsz
    >>> gradsz.compress_bound((100, 10), "float32") <= 100 * 10 * 4 + 256
    True
    """
    if dtype is None:
        array, code = _arrays.take(a)
        shape = array.shape
    else:
        try:
            shape = tuple(map(operator.index, (a,) if isinstance(a, (int, np.integer)) else a))   # type: ignore[arg-type]
        except TypeError:
            raise ParameterError(f"the shape must be an integer or a tuple of integers, not {a!r}") from None
        try:
            code = _arrays.code_of(np.dtype(dtype))
        except TypeError as error:
            raise UnsupportedDtypeError(str(error)) from None
        if len(shape) > _arrays.MAX_DIMS or any(not 0 <= n < 2**62 for n in shape):
            raise ParameterError(f"shape is {shape}; at most 32 dimensions of 0 to 2**62 - 1 elements are allowed")
    bound = _core.compress_bound([(b"", code, shape, None, 0.0, 0, 0, 0, 0)], False)
    if bound == 0:
        raise LimitError(f"an array of shape {shape} is larger than a message can hold")
    return bound


def encode_quantised(quantiser: Quantiser, items: list, arrays: list[np.ndarray], lossy: list[int], named: bool, nthreads: int,
                     stream: _Stream | None = None) -> bytes:
    """A message of items, of which those at `lossy` go through a quantiser."""
    settings: list[Any] = [None] * len(items)
    for i, setting in zip(lossy, quantiser.settings([(arrays[i], items[i][1]) for i in lossy]), strict=True):
        settings[i] = setting
    return _core.encode(items, named, nthreads, quantiser.seed, None, False, settings, stream=stream)


def message_bytes(buf):
    """A message as contiguous bytes; ParameterError for what is no buffer."""
    if isinstance(buf, bytes):
        return buf
    try:
        view = memoryview(buf)
    except TypeError:
        raise ParameterError(f"a message must be bytes or another buffer, not {type(buf).__name__}") from None
    if not view.contiguous:
        raise ParameterError("a message must be a contiguous buffer; this one has gaps: make a copy first")
    return view.cast("B") if view.nbytes else b""


def _check_out(out, code: int, shape: tuple[int, ...], data) -> None:
    if not isinstance(out, np.ndarray):
        raise ParameterError(f"out must be a numpy array, not {type(out).__name__}")
    dtype = _arrays.dtype_of(code)
    if out.dtype != dtype or not out.dtype.isnative or out.shape != shape:
        raise ParameterError(f"out is {out.dtype} of shape {out.shape}; the message holds {dtype} of shape {shape}")
    if not out.flags.carray:
        raise ParameterError("out must be C-contiguous, aligned and writeable; this one has c_contiguous="
                             f"{out.flags.c_contiguous}, aligned={out.flags.aligned}, writeable={out.flags.writeable}")
    if np.shares_memory(out, np.frombuffer(data, np.uint8)):
        raise ParameterError("out overlaps the message it is decoded from; give memory of its own")
