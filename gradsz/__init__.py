"""gradsz: error-bounded compression of gradients, model updates and numpy arrays.

    buf = gradsz.compress(a, 1e-3)                    every finite value within 1e-3
    a = gradsz.decompress(buf)
    msg = gradsz.compress_tensors(update, 1e-2)       a mapping of names to arrays, bound relative to each range
    update = gradsz.decompress_tensors(msg)
"""
from gradsz._code_length import CodeLength, code_length
from gradsz._info import MessageInfo, TensorInfo, info
from gradsz._verify import VerifyResult, verify
from gradsz.advice import breakeven
from gradsz.api import compress, compress_bound, decompress
from gradsz.errors import (CorruptError, GradszError, LimitError, ParameterError, StateMismatchError, TruncatedError,
                           UnsupportedDtypeError, UnsupportedError)
from gradsz.fedsz import FedSZ
from gradsz.gradient_aware import GradientAware
from gradsz.quantized import Quantized, dequantize, quantize
from gradsz.quantisers import M22, Quantiser, SparseDithering, Spherical, quantiser_from_json
from gradsz.reader import Reader, open
from gradsz.streams import Broadcaster, Decoder, DecoderPool, Encoder, Receiver, StreamMessage
from gradsz.tensors import compress_tensors, decompress_tensors

__version__ = "0.1.0.dev0"

__all__ = ["compress", "decompress", "compress_bound", "compress_tensors", "decompress_tensors", "open", "Reader",
           "Encoder", "Decoder", "DecoderPool", "StreamMessage", "GradientAware", "Broadcaster", "Receiver",
           "quantize", "dequantize", "Quantized", "FedSZ",
           "SparseDithering", "Spherical", "M22", "Quantiser", "quantiser_from_json",
           "CodeLength", "code_length",
           "breakeven", "info", "MessageInfo", "TensorInfo", "verify", "VerifyResult",
           "GradszError", "ParameterError", "UnsupportedDtypeError", "CorruptError", "TruncatedError",
           "UnsupportedError", "LimitError", "StateMismatchError", "__version__"]
