"""The encoder's side of gradient-aware prediction: which tensors are predicted, and how, found by coding a sample of each."""
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradsz import _arrays, _core, _note, _params, _prior
from gradsz._prediction import KERNELS, ONE, OPPOSITE, SAME, Rule, Told, forecast, kernel_size
from gradsz._state import Kept
from gradsz.gradient_aware import GradientAware

SAMPLE = 1 << 16            # elements of a tensor that are coded to choose
BLOCKS = 8                  # that the rows of a sample come from
GAIN = 0.995                # of the direct bytes: what a prediction must stay below
ALIKE = 0.6                 # part of the signs that must persist, or flip, for a trial
AUTO, ALIGNED, CENTRED = (_params.GRIDS[name] for name in ("auto", "aligned", "centred"))
FAST = _params.LEVELS["fast"]            # the gradient model, which would use predictions, is not
ABS = _params.MODES["abs"]
MEASURED = (_params.MODES["l2"], _params.MODES["psnr"])         # on the data, on the aligned grid


class Foreseer:
    """Chooses for a message, given the round before."""

    def __init__(self, settings: GradientAware, before: Mapping[str, Kept]):
        self.settings, self.before = settings, before
        self.rule = Rule(max(1, round(settings.beta * ONE)), settings.bias_corrected)

    def encode(self, items: list[tuple], priors: list[Any], over: bool, encode: Callable[[list[tuple], list[Any], bytes], bytes]) -> bytes:
        """The message that `encode` makes of items, priors and a note: with predictions, if it is smaller so."""
        scale = _joint_scale(items) if over else None
        told = [self._choice(item, prior[0] if prior else None, scale) for item, prior in zip(items, priors, strict=True)]
        message = encode(items, priors, _note.write(self.rule, [Told()] * len(items)))
        if any(of_tensor.mode for of_tensor in told):
            predicted = encode(*self._with_predictions(items, priors, told), _note.write(self.rule, told))
            message = min(message, predicted, key=len)
        return message

    def _with_predictions(self, items: list[tuple], priors: list[Any], told: list[Told]) -> tuple[list[tuple], list[Any]]:
        items, priors = items.copy(), priors.copy()
        for i, (item, of_tensor) in enumerate(zip(items, told, strict=True)):
            kept = self._kept(item)
            if of_tensor.mode and kept is not None:
                prediction, _, _ = forecast(self.rule, of_tensor, kept)
                reference = priors[i][0] if priors[i] else None
                assert prediction is not None
                items[i] = _predicted_item(item, reference is None)
                priors[i] = (_prior.predicted(reference, prediction, item[1]), [])
        return items, priors

    def _kept(self, item: tuple) -> Kept | None:
        kept = self.before.get(item[0].decode())
        return kept if kept is not None and kept.fits(item[1], item[2]) else None

    def _choice(self, item: tuple, reference: np.ndarray | None, scale: float | None) -> Told:
        kept = self._kept(item)
        eb = 0.0 if kept is None or item[7] == FAST else _absolute(item, scale)
        if kept is None or not 0 < eb < math.inf:
            return Told()
        x = _arrays.widened(item[3].reshape(item[2]), item[1])
        with np.errstate(invalid="ignore", over="ignore"):
            g = x if reference is None else x - _arrays.widened(reference.reshape(item[2]), item[1])
        candidates = self._candidates(np.where(np.isfinite(g), g, 0.0), np.isfinite(g), kept.integers)
        if not candidates:
            return Told()
        trial = _Trial(item, eb, reference)
        best, least = Told(), GAIN * trial.bits(None)
        for told in candidates:
            prediction, _, _ = forecast(self.rule, told, kept)
            bits = trial.bits(prediction) + trial.part * _side_bits(told)
            if bits < least:
                best, least = told, bits
        return best

    def _candidates(self, g: np.ndarray, finite: np.ndarray, before: np.ndarray) -> list[Told]:
        """What is worth a trial, for values g (0 where they are not finite) after those of the round before."""
        size = np.abs(g[finite])
        if size.size == 0:
            return []
        with np.errstate(over="ignore", invalid="ignore"):
            stats = float(np.float32(size.mean())), float(np.float32(size.std()))
        if not np.isfinite(stats).all():
            return []
        signs, found = np.sign(g).astype(np.int8), []
        products = signs * np.sign(before)
        same, opposite = np.count_nonzero(products > 0), np.count_nonzero(products < 0)
        if max(same, opposite) > ALIKE * (same + opposite):
            found.append(Told(SAME if same > opposite else OPPOSITE, *stats))
        if kernel_size(g.shape) and (kernels := kernel_signs(signs, self.settings.tau)).any():
            found.append(Told(KERNELS, *stats, kernels))
        return found


def kernel_signs(signs: np.ndarray, tau: float) -> np.ndarray:
    """The dominant sign of each kernel, 0 where it is not consistent.  Elements that are 0 count for it."""
    n = kernel_size(signs.shape)
    by_kernel = signs.reshape(-1, n)
    positive, negative = (by_kernel > 0).sum(axis=1), (by_kernel < 0).sum(axis=1)
    majority = np.where(positive >= negative, n - negative, n - positive)
    return np.where(2 * majority - n >= tau * n, np.where(positive >= negative, 1, -1), 0).astype(np.int8)


class _Trial:
    """Some rows of a tensor, coded with and without a prediction."""

    def __init__(self, item: tuple, eb: float, reference: np.ndarray | None):
        _, self.code, self.shape, self.data, _, self.mode, *_ = item
        self.item, self.eb, self.reference = item, eb, reference
        self.rows = _rows(self.shape)
        self.part = 1.0 if self.rows is None else len(self.rows) / self.shape[0]

    def bits(self, prediction: np.ndarray | None) -> float:
        reference = None if self.reference is None else self._sampled(self.reference)
        item = self.item if prediction is None else _predicted_item(self.item, reference is None)
        if prediction is not None:
            reference = _prior.predicted(reference, self._sampled(prediction), self.code)
        data = self._sampled(self.data)
        *_, predictor, level, grid = item
        if grid == AUTO:
            grid = ALIGNED if self.mode in MEASURED or reference is not None else CENTRED
        sample = (b"", self.code, data.shape, data, self.eb, ABS, predictor, level, grid)
        return 8.0 * len(_core.encode([sample], False, 1, 0, None, priors=None if reference is None else [(reference, [])]))

    def _sampled(self, array: np.ndarray) -> np.ndarray:
        array = array.reshape(self.shape)
        return array if self.rows is None else np.ascontiguousarray(array[self.rows])


def _rows(shape: tuple[int, ...]) -> np.ndarray | None:
    """Indices of evenly spaced blocks of rows of a tensor; None for all."""
    n = math.prod(shape)
    if n <= SAMPLE:
        return None
    count = max(1, SAMPLE // (n // shape[0]))
    blocks = min(BLOCKS, count)
    starts = np.linspace(0, shape[0] - count // blocks, blocks).astype(np.int64)
    return (starts[:, None] + np.arange(count // blocks)).reshape(-1)


def _predicted_item(item: tuple, centred: bool) -> tuple:
    """Without a reference of the caller's there are no values to keep the same: the bins need not be aligned."""
    *rest, mode, predictor, level, grid = item
    return (*rest, mode, predictor, level, CENTRED if centred and grid == AUTO and mode not in MEASURED else grid)


def _side_bits(told: Told) -> float:
    """Mean, deviation, mode; the two levels of a bitmap at their entropy."""
    bits = 8.0 * 9
    if told.kernels is not None:
        predicted = told.kernels[told.kernels != 0]
        bits += told.kernels.size * _entropy(predicted.size / told.kernels.size)
        bits += predicted.size * _entropy(np.count_nonzero(predicted > 0) / max(predicted.size, 1))
    return bits


def _entropy(p: float) -> float:
    return 0.0 if p in (0.0, 1.0) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def _absolute(item: tuple, scale: float | None) -> float:
    bound, mode = item[4], item[5]
    if bound == 0 or scale is None or mode == ABS:
        return _core.absolute_bound(item)
    return bound * scale


def _joint_scale(items: list[tuple]) -> float:
    """What a bound is relative to where all tensors share it, near enough for a trial: their range or root mean square."""
    count, squares, low, high, mode = 0, 0.0, math.inf, -math.inf, ABS
    for _, code, _, data, bound, mode, *_ in items:
        if bound > 0 and code in _arrays.FLOATING:
            x = _arrays.widened(data, code).reshape(-1)
            x = x[np.isfinite(x)]
            count, low, high = count + x.size, min(low, float(x.min(initial=math.inf))), max(high, float(x.max(initial=-math.inf)))
            with np.errstate(over="ignore"):
                squares += float(x @ x)
    return 0.0 if not count else high - low if mode == _params.MODES["rel"] else math.sqrt(squares / count)
