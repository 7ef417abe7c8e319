"""What the bench measures on: tensors of traces, absolute bounds, error and entropy.

A trace is an .npz as `record.py` writes it; only its `r<round>/<tensor>` arrays are read.
"""
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

BOUNDS = ("rel1e-3", "rel1e-2", "rel3e-2", "rel1e-1", "rms1", "rms2")
MIN_ELEMENTS = 1024         # smaller tensors travel bit-exact and are left out
_UPDATE = re.compile(r"r(\d+)/(.+)")


@dataclass(frozen=True)
class Tensor:
    trace: str
    round: int
    name: str
    values: np.ndarray      # float32, contiguous


def trace_files(folder):
    files = sorted(Path(folder).glob("*.npz"))
    if not files:
        raise SystemExit(f"no .npz trace in {folder}; `python bench/record.py {folder}` records some")
    return files


def load(path, rounds):
    """The float32 tensors of more than MIN_ELEMENTS in the last rounds of one trace."""
    with np.load(path) as archive:
        keys = [(int(m[1]), m[2], m[0]) for m in map(_UPDATE.fullmatch, archive.files) if m]
        kept = sorted({r for r, _, _ in keys})[-rounds:]
        tensors = [Tensor(path.stem, r, name, np.ascontiguousarray(archive[key]))
                   for r, name, key in keys if r in kept]
    return [t for t in tensors if t.values.dtype == np.float32 and t.values.size > MIN_ELEMENTS]


def absolute_bound(x, bound):
    """`rel<k>`: k x value range, `rms<k>`: k x root mean square, of the finite values; 0.0 if there is none."""
    finite = x[np.isfinite(x)].astype(np.float64)
    if not finite.size:
        return 0.0
    kind, factor = bound[:3], float(bound[3:])
    if kind == "rel":
        return factor * float(finite.max() - finite.min())
    if kind == "rms":
        return factor * math.sqrt(float(np.mean(finite * finite)))
    raise ValueError(f"bound {bound!r}: expected rel<factor> or rms<factor>, such as rel1e-2")


@dataclass(frozen=True)
class Error:
    """Errors of one tensor in units of eb, measured in float64 on what came back."""
    worst: float            # largest |x' - x| / eb
    mean: float             # mean (x' - x) / eb: the bias, which averaging adds up
    square: float           # mean (x' - x)^2 / eb^2
    over: int               # how many values are farther than eb from their original


def error(x, y, eb):
    difference = y.astype(np.float64) - x.astype(np.float64)
    size = np.abs(difference)
    return Error(float(size.max() / eb), float(difference.mean() / eb),
                 float(np.mean(np.square(difference)) / eb ** 2), int(np.count_nonzero(~(size <= eb))))


def entropy_bytes(x, eb):
    """Order-0 entropy of rint(x / 2 eb) in bytes: no table, no header."""
    codes = np.rint(x.astype(np.float64).ravel() / (2 * eb))
    _, counts = np.unique(codes, return_counts=True)
    p = counts / codes.size
    return float(-(p * np.log2(p)).sum()) * codes.size / 8
