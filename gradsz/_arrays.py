"""Numpy arrays as the core sees them: dtype codes, contiguous bytes, shapes.  The only module that knows dtypes."""
from __future__ import annotations

import math

import numpy as np

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
        raise UnsupportedDtypeError("the tensor is bfloat16, which numpy lacks: pip install ml_dtypes") from None
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


def values_of(data: bytes, code: int) -> tuple[float, ...]:
    """Floats of any dtype from their little-endian bytes."""
    if code == BFLOAT16:
        return tuple((np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).astype(float).tolist())
    return tuple(np.frombuffer(data, dtype_of(code).newbyteorder("<")).astype(float).tolist())


def as_array(a: object) -> np.ndarray:
    """Any array-like or buffer as an array: no copy where it is one already."""
    if type(a) is np.ndarray:
        array = a
    elif isinstance(a, np.ma.MaskedArray):
        raise ParameterError("masked arrays have no place in a message: fill them first, a.filled(value)")
    else:
        try:
            array = np.asarray(a)
        except ValueError as error:
            raise ParameterError(f"{type(a).__name__} is no array: {error}") from None
    if array.ndim > MAX_DIMS:
        raise ParameterError(f"the array has {array.ndim} dimensions, at most {MAX_DIMS} are allowed")
    return array


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


def empty(shape: tuple[int, ...], code: int) -> np.ndarray:
    """An array to decode into; LimitError where memory does not reach."""
    try:
        return np.empty(shape, dtype_of(code))
    except (MemoryError, ValueError) as error:
        size = math.prod(shape)
        raise LimitError(f"the message holds an array of {size:,} elements, which this machine cannot "
                         f"allocate ({error}); give max_output= to refuse such messages early") from None
