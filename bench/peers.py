"""gradsz and its peers behind one interface.

`available()` gives the codecs whose packages are installed, as {name: Codec}. A codec's stream is
what it wrote, as any buffer with a length in bytes; nothing is subtracted. All use one thread.

The `*-quantised` codecs are lossless coders behind a numpy quantiser, whose time counts; a header of
9 bytes holds eb and the width of the integers, which such a stream needs to be read back.
"""
import ctypes
import os
import struct
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "BLOSC_NTHREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np


@dataclass(frozen=True)
class Codec:
    compress: Callable              # (array, absolute eb) -> buffer
    decompress: Callable            # (buffer, shape, dtype) -> array
    active: Callable[[], AbstractContextManager] = nullcontext      # entered around both, untimed


# ---- gradsz ----------------------------------------------------------------------------------


@contextmanager
def portable_kernels():
    """Only gradsz's portable C kernels inside this block."""
    from gradsz import _core
    _core.set_cpu_mask(0)
    try:
        yield
    finally:
        _core.set_cpu_mask(None)


def gradsz_codecs():
    from gradsz import compress, decompress

    def encode(x, eb):
        return compress(x, eb, level="fast")

    def decode(buffer, shape, dtype):
        return decompress(buffer)

    return {"gradsz": Codec(encode, decode),
            "gradsz-portable": Codec(encode, decode, portable_kernels)}


# ---- SZ3 and SZ2 -----------------------------------------------------------------------------


def sz3_codecs():
    from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode

    def codec(algorithm=None, flat=False):
        def compress(x, eb):
            config = szConfig()
            config.errorBoundMode = szErrorBoundMode.ABS
            config.absErrorBound = eb
            if algorithm is not None:
                config.cmprAlgo = algorithm
            return sz.compress(x.reshape(-1) if flat else x, config)[0]

        def decompress(buffer, shape, dtype):
            dims = (int(np.prod(shape)),) if flat else shape
            return sz.decompress(buffer, dtype, dims)[0].reshape(shape)
        return Codec(compress, decompress)

    return {"sz3": codec(), "sz3-nopred": codec(szAlgorithm.NOPRED), "sz3-1d": codec(flat=True)}


def load_sz2():
    """The SZ 2 library that hdf5plugin carries, called directly: no HDF5 in between."""
    import hdf5plugin
    path = Path(hdf5plugin.__file__).parent / "plugins" / "libh5sz.so"
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as reason:
        raise ImportError(f"{path}: {reason}") from None
    c = ctypes
    lib.SZ_Init.argtypes = [c.c_char_p]
    lib.SZ_compress_args.restype = lib.SZ_decompress.restype = c.c_void_p
    lib.SZ_compress_args.argtypes = [c.c_int, c.c_void_p, c.POINTER(c.c_size_t), c.c_int,
                                     *[c.c_double] * 3, *[c.c_size_t] * 5]
    lib.SZ_decompress.argtypes = [c.c_int, c.c_void_p, c.c_size_t, *[c.c_size_t] * 5]
    if lib.SZ_Init(None) != 0:
        raise ImportError("SZ_Init failed")
    return lib


def sz2_codecs():
    lib = load_sz2()
    libc = ctypes.CDLL(None)
    libc.free.argtypes = [ctypes.c_void_p]
    float32, absolute = 0, 0                    # SZ_FLOAT, ABS

    def codec(flat):
        def dims(shape):
            sides = [int(np.prod(shape))] if flat else list(shape)
            return [0] * (5 - len(sides)) + sides

        def compress(x, eb):
            length = ctypes.c_size_t()
            stream = lib.SZ_compress_args(float32, x.ctypes.data, ctypes.byref(length), absolute,
                                          eb, 0.0, 0.0, *dims(x.shape))
            if not stream:
                raise RuntimeError("SZ_compress_args gave no stream")
            buffer = ctypes.string_at(stream, length.value)
            libc.free(stream)
            return buffer

        def decompress(buffer, shape, dtype):
            y = np.empty(shape, np.float32)
            values = lib.SZ_decompress(float32, buffer, len(buffer), *dims(shape))
            if not values:
                raise RuntimeError("SZ_decompress gave no values")
            ctypes.memmove(y.ctypes.data, values, y.nbytes)
            libc.free(values)
            return y
        return Codec(compress, decompress)

    return {"sz2": codec(False), "sz2-1d": codec(True)}


# ---- zfp -------------------------------------------------------------------------------------


def zfp_codecs():
    import zfpy

    def codec(view):
        def compress(x, eb):
            return zfpy.compress_numpy(view(x), tolerance=eb)

        def decompress(buffer, shape, dtype):
            return zfpy.decompress_numpy(buffer).reshape(shape)
        return Codec(compress, decompress)

    return {"zfp": codec(lambda x: x),
            "zfp-2d": codec(lambda x: x.reshape(len(x), -1) if x.ndim > 2 else x)}      # kernels are too short for 4-D


# ---- lossless coders on quantised integers ---------------------------------------------------

HEADER = struct.Struct("<dB")


def quantise(x, eb):
    """rint(x / 2 eb) as int32; refuses what an int32 does not hold."""
    codes = np.rint(np.multiply(x.reshape(-1), 0.5 / eb, dtype=np.float64))
    if not np.abs(codes).max() < 2.0 ** 31 - 1:         # also false for NaN
        raise ValueError("not finite, or more than an int32 holds")
    return codes.astype(np.int32)


def narrow(codes):
    """The narrowest of int8, int16, int32 that holds the codes."""
    low, high = codes.min(), codes.max()
    for dtype in (np.int8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return codes.astype(dtype)
    return codes


def quantised(encode, decode, narrowed=True):
    """A codec from a lossless coder: encode(integers) -> bytes, decode(bytes, dtype) -> integers."""
    def compress(x, eb):
        codes = quantise(x, eb)
        if narrowed:
            codes = narrow(codes)
        return HEADER.pack(eb, codes.itemsize) + encode(codes)

    def decompress(buffer, shape, dtype):
        eb, width = HEADER.unpack_from(buffer)
        codes = decode(buffer[HEADER.size:], np.dtype(f"i{width}"))
        return np.multiply(codes, 2.0 * eb, dtype=np.float64).astype(dtype).reshape(shape)
    return Codec(compress, decompress)


def pcodec_codecs():
    from pcodec import ChunkConfig, standalone
    config = ChunkConfig()
    return {"pco-quantised": quantised(lambda codes: standalone.simple_compress(codes, config),
                                       lambda data, dtype: standalone.simple_decompress(data), narrowed=False)}


def blosc2_codecs():
    import blosc2
    blosc2.set_nthreads(1)
    options = dict(nthreads=1, codec=blosc2.Codec.ZSTD, clevel=5, filters=[blosc2.Filter.SHUFFLE], filters_meta=[0])
    return {"blosc2-quantised": quantised(
        lambda codes: blosc2.compress2(codes, typesize=codes.itemsize, **options),
        lambda data, dtype: np.frombuffer(blosc2.decompress2(data, nthreads=1), dtype))}


def zstd_codecs():
    import zstandard
    encoder, decoder = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()

    def encode(codes):
        planes = codes.view(np.uint8).reshape(-1, codes.itemsize).T
        return encoder.compress(np.ascontiguousarray(planes))

    def decode(data, dtype):
        planes = np.frombuffer(decoder.decompress(data), np.uint8).reshape(dtype.itemsize, -1)
        return np.ascontiguousarray(planes.T).reshape(-1).view(dtype)
    return {"zstd-quantised": quantised(encode, decode)}


# ---- what is installed -----------------------------------------------------------------------

FAMILIES = {                        # package on the index: its codecs
    "gradsz": gradsz_codecs,
    "pysz": sz3_codecs,
    "hdf5plugin": sz2_codecs,
    "zfpy": zfp_codecs,
    "pcodec": pcodec_codecs,
    "blosc2": blosc2_codecs,
    "zstandard": zstd_codecs,
}


def available():
    """{name: Codec} of the installed packages; says on stderr which are missing."""
    codecs = {}
    for package, family in FAMILIES.items():
        try:
            codecs |= family()
        except ImportError as reason:
            print(f"skipped {package}: {reason}", file=sys.stderr)
    return codecs


def versions():
    """{package: version} of numpy and the codecs' packages, for the record."""
    found = {}
    for package in ("numpy", *FAMILIES):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found
