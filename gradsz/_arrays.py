"""Numpy arrays as the core sees them: dtype codes, contiguous bytes, shapes.  The only module that knows dtypes."""
from __future__ import annotations

import math

import numpy as np

from gradsz import _torch
from gradsz.errors import LimitError, ParameterError, UnsupportedDtypeError

# Codes of the format (docs/format.md 3.1).
_NAMES = {0: "float16", 1: "bfloat16", 2: "float32", 3: "float64",
          8: "int8", 9: "int16", 10: "int32", 11: "int64",
          12: "uint8", 13: "uint16", 14: "uint32", 15: "uint64", 16: "bool"}
_CODES = {name: code for code, name in _NAMES.items()}
_CODE_OF_DTYPE = {np.dtype(name): code for name, code in _CODES.items() if name != "bfloat16"}
BFLOAT16 = 1
FLOATING = frozenset({0, BFLOAT16, 2, 3})
MAX_DIMS = 32


def dtype_name(code: int) -> str:
    return _NAMES[code]


_DTYPE_OF_CODE = {code: dtype for dtype, code in _CODE_OF_DTYPE.items()}


def dtype_of(code: int) -> np.dtype:
    """numpy dtype of a code; bfloat16 needs ml_dtypes."""
    dtype = _DTYPE_OF_CODE.get(code)
    if dtype is not None:
        return dtype
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedDtypeError("the tensor is bfloat16, which numpy lacks: pip install ml_dtypes, or ask for torch's: "
                                    "decompress_tensors(message, to='torch')") from None
    return np.dtype(ml_dtypes.bfloat16)


def code_of(dtype: np.dtype) -> int:
    """Code of a dtype of either byte order."""
    code = _CODE_OF_DTYPE.get(dtype)
    if code is not None:
        return code
    if dtype.kind in "fiub" and (code := _CODES.get(dtype.newbyteorder("=").name)) is not None:
        return code
    if dtype.name == "bfloat16":
        return BFLOAT16
    raise UnsupportedDtypeError(f"dtype {dtype} has no place in a message; allowed are {', '.join(_CODES)} "
                                "(split complex arrays into real and imaginary parts)")


def take(a: object) -> tuple[np.ndarray, int]:
    """Any array-like, buffer or tensor as an array and its dtype's code: no copy where none is needed.

    A bfloat16 tensor of torch gives its bits in uint16, with the code of bfloat16."""
    if type(a) is not np.ndarray and _torch.is_tensor(a):
        array, bits = _torch.to_numpy(a)
        array = as_array(array)
        return array, BFLOAT16 if bits else code_of(array.dtype)
    array = as_array(a)
    return array, code_of(array.dtype)


def widened(a: np.ndarray, code: int) -> np.ndarray:
    """Floats as float64, exactly."""
    if code == BFLOAT16:
        return (a.view(np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)
    return a.astype(np.float64)


def narrowed(a: np.ndarray, like: np.ndarray, code: int) -> object:
    """Float32 or float64 as the nearest numbers of a tensor's dtype, as an array or tensor of the kind that it was `take`n from."""
    if code != BFLOAT16:
        with np.errstate(over="ignore"):
            return a.astype(like.dtype)
    bits = a.astype(np.float32).view(np.uint32)
    bits = np.where(np.isnan(a), bits | np.uint32(1 << 22), bits + np.uint32(0x7fff) + (bits >> np.uint32(16) & np.uint32(1)))
    halves = (bits >> np.uint32(16)).astype(np.uint16)
    return halves.view(like.dtype) if like.dtype != np.uint16 else _torch.from_numpy(halves, True)


def as_float(wide: np.ndarray, code: int) -> np.ndarray:
    """float64 as another float, everywhere alike: rounded to nearest, cut off for bfloat16, whose bits it gives."""
    with np.errstate(over="ignore", invalid="ignore"):
        if code == BFLOAT16:
            return (wide.astype(np.float32).view(np.uint32) >> np.uint32(16)).astype(np.uint16)
        return wide.astype(dtype_of(code))


def values_of(data: bytes, code: int) -> tuple[float, ...]:
    """Floats of any dtype from their little-endian bytes."""
    dtype = np.dtype(np.uint16) if code == BFLOAT16 else dtype_of(code)
    return tuple(widened(np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype), code).tolist())


def as_array(a: object) -> np.ndarray:
    """Any array-like or buffer as an array."""
    if type(a) is np.ndarray:
        array = a
    elif isinstance(a, np.ma.MaskedArray):
        raise ParameterError("masked arrays have no place in a message: fill them first, a.filled(value)")
    else:
        try:
            array = np.from_dlpack(a) if _only_dlpack(a) else np.asarray(a)     # type: ignore[arg-type]
        except (ValueError, BufferError, RuntimeError) as error:
            raise ParameterError(f"{type(a).__name__} is no array: {error}") from None
    if array.ndim > MAX_DIMS:
        raise ParameterError(f"the array has {array.ndim} dimensions, at most {MAX_DIMS} are allowed")
    return array


def _only_dlpack(a: object) -> bool:
    return hasattr(a, "__dlpack__") and not hasattr(a, "__array__")


def contiguous(a: np.ndarray, code: int) -> np.ndarray:
    """The elements in C order and native byte order, as something with a buffer; no copy where none is needed."""
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    if not (a.flags.c_contiguous and a.flags.aligned):
        a = np.array(a, order="C")
    return buffer(a, code)


def buffer(a: np.ndarray, code: int) -> np.ndarray:
    """A C-contiguous array as the core takes it: numpy exports no buffer of bfloat16, but of its bits."""
    return a.view(np.uint16) if code == BFLOAT16 else a


def empty(shape: tuple[int, ...], code: int, bits: bool = False) -> np.ndarray:
    """An array to decode into, with `bits` uint16 for bfloat16; LimitError where memory does not reach."""
    try:
        return np.empty(shape, np.uint16 if bits and code == BFLOAT16 else dtype_of(code))
    except (MemoryError, ValueError) as error:
        size = math.prod(shape)
        raise LimitError(f"the message holds an array of {size:,} elements, which this machine cannot "
                         f"allocate ({error}); give max_output= to refuse such messages early") from None
