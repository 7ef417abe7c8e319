"""FedSZ as a preset: its partition of a state dict and its bound, in messages of gradsz."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from gradsz import _params
from gradsz.errors import ParameterError
from gradsz.tensors import compress_tensors

if TYPE_CHECKING:
    from gradsz._params import Grid, Level

__all__ = ["FedSZ"]


@dataclass(frozen=True)
class FedSZ:
    """The preset of FedSZ (Wilkins et al., ICDCS 2024, arXiv 2312.13461) for whole model states, the last step before the upload.

    A tensor is lossy if its name contains "weight" and it has more than `cutoff` elements, with an error of at most `rel` of
    its own value range; all others are bit-exact.  The bytes are a message of gradsz, which `decompress_tensors` and
    `open` read without a template; they are not those of FedSZ.  What differs is measured in docs/fedsz.md.

    Parameters
    ----------
    rel : float
        Bound relative to the range of each tensor.  The paper's recommendation is 1e-2.
    cutoff : int
        Elements up to which a tensor stays bit-exact.
    level, grid
        As for `compress`.  The aligned grid, as whole weights want it: values depend on the input and the bound alone.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> fedsz = gradsz.FedSZ(rel=1e-2)
    >>> state = {"fc.weight": np.random.default_rng(0).normal(size=(40, 50)), "fc.bias": np.ones(40), "steps": np.int64(3)}
    >>> message = fedsz.compress(state)
    >>> [(t.name, t.eb > 0) for t in gradsz.info(message).tensors]
    [('fc.weight', True), ('fc.bias', False), ('steps', False)]
    """

    rel: float = 1e-2
    cutoff: int = 1024
    level: Level = "balanced"
    grid: Grid = "aligned"

    def __post_init__(self) -> None:
        _params.error_bound(self.rel)
        _params.level(self.level)
        _params.grid(self.grid)
        if isinstance(self.cutoff, bool) or not isinstance(self.cutoff, (int, np.integer)) or self.cutoff < 0:
            raise ParameterError(f"cutoff is {self.cutoff!r}; it must be a number of elements, 0 or more")

    def lossy(self, name: str, array: np.ndarray) -> bool:
        """FedSZ's rule; integers and bools are bit-exact in any case."""
        return self._is_lossy(name, array.size)

    def compress(self, state: Mapping[str, ArrayLike], *, nthreads: int = 1) -> bytes:
        """A state dict, of arrays or tensors, as a message: `compress_tensors` with this preset."""
        return compress_tensors(state, self.rel, mode="rel", level=self.level, grid=self.grid, lossy=self.lossy, nthreads=nthreads)

    def lossy_part(self, state: Mapping[str, Any]) -> float:
        """The part of the elements that is lossy, 0 to 1: the paper's "percent lossy"."""
        sizes = {name: math.prod(np.shape(value)) for name, value in state.items()}
        lossy = sum(n for name, n in sizes.items() if self._is_lossy(name, n))
        return lossy / max(sum(sizes.values()), 1)

    def _is_lossy(self, name: str, size: int) -> bool:
        return "weight" in name and size > self.cutoff
