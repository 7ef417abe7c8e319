"""Arrays in files: .npy, .npz, .safetensors and raw bytes, read and written for the command line.

Every reader takes the whole file as bytes and returns `{name: array}` in the file's order; a format
that holds one array (npy, raw) uses the name "".  The arrays are views of the bytes where the layout
allows it.  Whatever the bytes, a reader returns arrays or raises an error of `gradsz.errors`; sizes are
checked before anything is allocated from them.
"""

import contextlib
import io
import json
import math
import os
import secrets
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np

from gradsz.errors import (
    CorruptError,
    GradszError,
    ParameterError,
    TruncatedError,
    UnsupportedDtypeError,
    UnsupportedError,
)

FORMATS = ("npy", "npz", "safetensors", "raw")
SUFFIXES = {".npy": "npy", ".npz": "npz", ".safetensors": "safetensors", ".raw": "raw", ".bin": "raw"}
UNNAMED = "arr_0"  # what numpy.savez calls an array without a name; used when one must go into a file of names

SAFETENSORS_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip
SAFETENSORS_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}


def format_of(path, given=None):
    """The format of a file: the one given, else the one its extension tells."""
    found = given or SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise ParameterError(
            f"{path}: the extension does not tell the format; give --format with one of {', '.join(FORMATS)}"
        )
    return found


def read(data, format, *, dtype=None, shape=None, note=lambda text: None):
    """Arrays in the bytes of a file of that format.

    `dtype` and `shape` describe raw bytes (shape None: one dimension, all of them).  `note` is called
    with a line of text for what is left out.
    """
    if format == "npy":
        return {"": _read_npy(data, "npy")}
    if format == "npz":
        return _read_npz(data)
    if format == "safetensors":
        return _read_safetensors(data, note)
    return {"": _read_raw(data, dtype, shape)}


def write(file, tensors, format):
    """Write `{name: array}` to a binary file, which need not be seekable."""
    if format in ("npy", "raw"):
        if len(tensors) != 1:
            raise ParameterError(
                f"{len(tensors)} tensors do not fit in a file of one array ({format}): "
                "write npz or safetensors, or choose one with --name"
            )
        (array,) = tensors.values()
        _write_npy(file, array) if format == "npy" else file.write(_little_endian(array))
        return
    if list(tensors) == [""]:
        tensors = {UNNAMED: tensors[""]}
    _write_npz(file, tensors) if format == "npz" else _write_safetensors(file, tensors)


# --- whole files -------------------------------------------------------------------------------------


def read_bytes(path):
    """Contents of a file; "-" is standard input."""
    return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()


@contextlib.contextmanager
def new_file(path, *, overwrite=False):
    """A binary file to write, which appears under `path` only if the block ends without an exception.

    The bytes go to a hidden file in the same folder, are synced, and are renamed.  "-" is standard
    output; a device or a pipe is written directly.  ParameterError: the file exists and may not be
    overwritten.
    """
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(os.path.realpath(path))  # replace what a symbolic link points to, not the link
    if path.exists() and not path.is_file():
        with open(path, "wb") as file:  # a folder: IsADirectoryError
            yield file
        return
    _refuse_overwrite(path, overwrite)
    part = path.with_name(f".gradsz-{secrets.token_hex(8)}.part")
    try:
        with open(part, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _refuse_overwrite(path, overwrite)  # again: it may have appeared meanwhile
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    except BaseException:  # KeyboardInterrupt too
        part.unlink(missing_ok=True)
        raise


def _refuse_overwrite(path, overwrite):
    if path.exists() and not overwrite:
        raise ParameterError(f"{path} exists: choose another name with -o or overwrite it with -f")


# --- arrays and bytes --------------------------------------------------------------------------------


def dtype_named(name):
    """numpy dtype of that name, little-endian; bfloat16 comes from the ml_dtypes package."""
    if name != "bfloat16":
        return np.dtype(name).newbyteorder("<")
    try:
        import ml_dtypes
    except ImportError:
        raise UnsupportedDtypeError("bfloat16 needs a package: pip install ml_dtypes") from None
    return np.dtype(ml_dtypes.bfloat16)


def _array(data, dtype, shape, what, order="C"):
    """View of exactly the bytes `data` as an array."""
    if dtype.kind not in "fiub" and dtype.name != "bfloat16":
        raise UnsupportedDtypeError(
            f"{what}: dtype {dtype} is not supported; floating numbers, integers and bool are"
            + (" (numpy writes bfloat16 as V2: keep it in safetensors or raw)" if dtype.str == "|V2" else "")
        )
    if len(shape) > 64:
        raise UnsupportedError(f"{what}: {len(shape)} dimensions; a numpy array has at most 64")
    if any(n < 0 for n in shape):
        raise CorruptError(f"{what}: negative length in shape {shape}")
    need = math.prod(shape) * dtype.itemsize
    if len(data) != need:
        error = TruncatedError if len(data) < need else CorruptError
        raise error(f"{what}: {dtype} of shape {shape} is {need} bytes, the file has {len(data)}")
    try:
        array = np.frombuffer(data, dtype).reshape(shape, order=order)
    except (ValueError, OverflowError) as error:  # a huge length beside a zero
        raise CorruptError(f"{what}: shape {shape}: {error}") from None
    return array if array.flags.aligned else array.copy()


def _little_endian(array):
    """Bytes of an array in C order, little-endian, without a copy where they already are."""
    array = np.asarray(array, order="C")
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.byteswap()
    return memoryview(array.reshape(-1).view(np.uint8))


# --- raw ---------------------------------------------------------------------------------------------


def _read_raw(data, dtype, shape):
    dtype = dtype_named(dtype)
    if shape is None:
        if len(data) % dtype.itemsize:
            raise TruncatedError(f"raw: {len(data)} bytes are not a multiple of {dtype.itemsize}, the size of {dtype}")
        shape = (len(data) // dtype.itemsize,)
    return _array(data, dtype, shape, "raw")


# --- npy, npz ----------------------------------------------------------------------------------------


def _read_npy(data, what):
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise UnsupportedError(f"{what}: npy version {version}; 1.0 and 2.0 can be read")
    except (GradszError, MemoryError):
        raise
    except Exception as error:  # numpy evaluates the header as a Python literal: many kinds of error
        raise CorruptError(f"{what}: {str(error) or type(error).__name__}".splitlines()[0]) from None
    return _array(memoryview(data)[file.tell() :], dtype, shape, what, "F" if fortran else "C")


def _write_npy(file, array):
    if array.dtype.name == "bfloat16":
        raise ParameterError("npy and npz cannot hold bfloat16: write safetensors or raw")
    array = np.asarray(array, order="C")
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(memoryview(array.reshape(-1).view(np.uint8)))


def _read_npz(data):
    tensors = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name == member.filename:
                    raise UnsupportedError(f"npz: member {name!r} is not a .npy file")
                if name in tensors:
                    raise CorruptError(f"npz: two members are named {name!r}")
                tensors[name] = _read_npy(archive.read(member), f"npz member {name!r}")
    except (GradszError, MemoryError):
        raise
    except (NotImplementedError, RuntimeError) as error:  # unknown compression; encrypted
        raise UnsupportedError(f"npz: {error}") from None
    except Exception as error:  # zipfile and its decompressors: many kinds of error
        raise CorruptError(f"npz: {error}") from None
    return tensors


def _write_npz(file, tensors):
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in tensors.items():
            if "\0" in name:
                raise ParameterError(f"npz cannot hold the name {name!r}: write safetensors")
            member = zipfile.ZipInfo(name + ".npy")  # a fixed date: the same tensors give the same bytes
            with archive.open(member, "w", force_zip64=True) as out:
                _write_npy(out, array)


# --- safetensors: u64 header length (little-endian), header in JSON, tensors ------------------------


def _read_safetensors(data, note):
    data = memoryview(data)
    if len(data) < 8:
        raise TruncatedError(f"safetensors: {len(data)} bytes, at least 8 are needed")
    header_end = 8 + int.from_bytes(data[:8], "little")
    if header_end > len(data):
        raise TruncatedError(f"safetensors: the header ends at byte {header_end}, the file at {len(data)}")
    header = _json_object(bytes(data[8:header_end]))
    if header.pop("__metadata__", None):
        note("__metadata__ of the safetensors file is not kept")
    entries = {name: _safetensors_entry(name, entry) for name, entry in header.items()}
    body = data[header_end:]
    _check_tiling([(begin, end) for _, _, begin, end in entries.values()], len(body))
    return {
        name: _array(body[begin:end], dtype_named(dtype), shape, f"safetensors {name!r}")
        for name, (dtype, shape, begin, end) in entries.items()
    }


def _json_object(text):
    def unique(pairs):
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a name occurs twice")
        return found

    try:
        header = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"safetensors: the header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise CorruptError("safetensors: the header is not a JSON object")
    return header


def _safetensors_entry(name, entry):
    """(dtype name, shape, begin, end) of one header entry, types and signs checked."""
    try:
        name.encode()
        dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise CorruptError(f"safetensors: entry {name!r} lacks a proper name, dtype, shape or data_offsets") from None
    if not all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end)) or begin > end:
        raise CorruptError(f"safetensors: entry {name!r} has shape {shape}, data_offsets [{begin}, {end}]")
    if not isinstance(dtype, str) or dtype not in SAFETENSORS_DTYPES:
        raise UnsupportedDtypeError(
            f"safetensors: {name!r} has dtype {dtype!r}; supported are {', '.join(SAFETENSORS_DTYPES)}"
        )
    return SAFETENSORS_DTYPES[dtype], shape, begin, end


def _check_tiling(spans, size):
    """The tensors must fill the bytes from first to last: no gap, no overlap, nothing beyond."""
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise CorruptError(f"safetensors: a tensor begins at byte {begin} of the data, {position} was expected")
        position = end
    if position != size:
        error = TruncatedError if position > size else CorruptError
        raise error(f"safetensors: the tensors take {position} bytes, the file has {size}")


def _write_safetensors(file, tensors):
    """The header keeps the order of the names; the data go widest dtype first, so all are aligned."""
    if "__metadata__" in tensors:
        raise ParameterError("safetensors cannot hold a tensor named '__metadata__': write npz")
    offsets, position = {}, 0
    by_width = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    for name in by_width:
        offsets[name] = [position, position + tensors[name].nbytes]
        position += tensors[name].nbytes
    header = {
        name: {
            "dtype": SAFETENSORS_NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": offsets[name],
        }
        for name, array in tensors.items()
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in by_width:
        file.write(_little_endian(tensors[name]))
