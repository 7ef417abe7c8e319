"""Tensors of torch as arrays and back.  torch is imported only where tensors of it are asked for."""
from __future__ import annotations

from typing import Any

import numpy as np

from gradsz.errors import ParameterError, UnsupportedDtypeError


def is_tensor(value: object) -> bool:
    """Whether this looks like a torch tensor: torch is not imported to find out."""
    return all(hasattr(value, name) for name in ("detach", "cpu", "numpy"))


def to_numpy(tensor: Any) -> tuple[np.ndarray, bool]:
    """A tensor of any device, layout of strides and gradient as an array, without a copy where it is on the CPU.

    bfloat16, which numpy lacks, comes as its bits in uint16; the second result tells that it did."""
    tensor = tensor.detach().cpu()
    for resolve in ("resolve_conj", "resolve_neg"):         # views that numpy cannot express
        if hasattr(tensor, resolve):
            tensor = getattr(tensor, resolve)()
    bits = str(tensor.dtype) == "torch.bfloat16"
    try:
        if bits:
            import torch    # type: ignore[import-not-found, unused-ignore]    # is there, or there would be no such tensor
            return tensor.view(torch.int16).numpy().view(np.uint16), True
        return tensor.numpy(), False
    except (TypeError, RuntimeError) as error:
        raise UnsupportedDtypeError(f"a tensor of {tensor.dtype}, {getattr(tensor, 'layout', 'unknown layout')}, is no array: {error}; "
                                    "convert it, for instance with .float() or .to_dense()") from None


def from_numpy(array: np.ndarray, is_bfloat16: bool) -> Any:
    """A CPU tensor that shares the array's memory; bfloat16 comes as its bits in uint16."""
    import torch    # type: ignore[import-not-found, unused-ignore]
    if is_bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def check_installed() -> None:
    try:
        import torch    # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except ImportError:
        raise ParameterError("to='torch' needs torch: pip install torch, or leave to='numpy'") from None
