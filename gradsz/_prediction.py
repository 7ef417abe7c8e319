"""Gradient-aware prediction as both ends compute it (docs/format.md 3.8): integers, then a product and a sum in binary64."""
from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from gradsz._state import MOST as LARGEST
from gradsz._state import Kept

DIRECT, SAME, OPPOSITE, KERNELS = range(4)          # modes: not at all; signs of the round before, or their opposites; of kernels

FRACTION = 16               # bits after the point
ONE = 1 << FRACTION
MOST = 1024 * ONE           # of standardised magnitudes


@dataclass(frozen=True)
class Rule:
    """Of a message."""

    beta: int = ONE         # from 1 to ONE
    bias_corrected: bool = False


@dataclass(frozen=True)
class Told:
    """What a message tells of a tensor."""

    mode: int = DIRECT
    mean: float = 0.0       # of magnitudes, in binary32
    deviation: float = 0.0
    kernels: np.ndarray | None = None       # int8: the sign of each kernel, 0 for one that is not predicted


@dataclass
class Foresight:
    """Predictions (float64) of the tensors of a message that have one; momentum and weight of each after it."""

    predictions: dict[str, np.ndarray] = field(default_factory=dict)
    momenta: dict[str, tuple[np.ndarray | None, int]] = field(default_factory=dict)

    def remember(self, name: str, kept: Kept) -> Kept:
        """What is kept of a tensor, with its momentum."""
        momentum, weight = self.momenta.get(name, (None, 0))
        return Kept(kept.integers, kept.step, kept.code, momentum, weight)


def foresee(rule: Rule, told: Mapping[str, Told], before: Mapping[str, Kept]) -> Foresight:
    """From what the message tells of tensors that were kept in the round before."""
    result = Foresight()
    for name, of_tensor in told.items():
        prediction, momentum, weight = forecast(rule, of_tensor, before[name])
        result.momenta[name] = momentum, weight
        if prediction is not None:
            result.predictions[name] = prediction
    return result


def forecast(rule: Rule, told: Told, kept: Kept) -> tuple[np.ndarray | None, np.ndarray | None, int]:
    """The prediction of a tensor, or None; its momentum and weight after this round."""
    if told.mode == DIRECT and not rule.bias_corrected:
        return None, kept.momentum, kept.weight
    old = np.zeros(kept.integers.shape, np.int64) if kept.momentum is None else kept.momentum.astype(np.int64)
    momentum, weight = _towards(old, _standardised(kept.integers), rule), kept.weight
    signs = None if told.mode == DIRECT else _signs(told, kept.integers)
    if rule.bias_corrected:
        weight = int(_towards(weight, ONE, rule))
    elif told.mode == KERNELS:
        momentum = np.where(signs != 0, momentum, old)
    prediction = None
    if signs is not None:
        relative = ((momentum << FRACTION) // weight if rule.bias_corrected else momentum) * 2.0**-FRACTION
        size = relative * told.deviation
        size += told.mean
        size = np.maximum(size, 0.0) if rule.bias_corrected else np.abs(size)
        prediction = signs * size + 0.0             # no -0.0
    return prediction, momentum.astype(np.int32), weight


def kernel_size(shape: tuple[int, ...]) -> int:
    """Elements of a kernel, the slice of a tensor at two indices; 0 where there are none worth a bit."""
    size = math.prod(shape[2:])
    return size if len(shape) > 2 and size >= 4 else 0


def _towards(old, new, rule: Rule):
    return old + ((rule.beta * (new - old) + ONE // 2) >> FRACTION)


def _standardised(integers: np.ndarray) -> np.ndarray:
    """Magnitudes less their mean, over their deviation."""
    size = np.abs(integers.astype(np.int64))
    n, total, squares = size.size, int(size.sum()), int((size * size).sum())
    mean = (total << FRACTION) // n
    deviation = math.isqrt((n * squares - total * total) << 2 * FRACTION) // n
    if deviation == 0:
        return np.zeros(size.shape, np.int64)

    def standardised(x: np.ndarray) -> np.ndarray:
        return np.clip((((x << FRACTION) - mean) << FRACTION) // deviation, -MOST, MOST)
    return standardised(size) if n <= LARGEST else standardised(np.arange(LARGEST + 1))[size]       # divisions take time


def _signs(told: Told, integers: np.ndarray) -> np.ndarray:
    if told.mode == KERNELS:
        assert told.kernels is not None
        return np.repeat(told.kernels, kernel_size(integers.shape)).reshape(integers.shape)
    return np.sign(integers) if told.mode == SAME else -np.sign(integers)
