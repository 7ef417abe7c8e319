"""Long runs of zeros among values with the longest codes: the most bits that a lookup of the decoder can take.

A round of the fast loop once read a run's extra bits after three 12-bit codes from bits that were used up.
"""
import numpy as np
import pytest

import gradsz
from gradsz import _core


def lanes(seed: int) -> np.ndarray:
    """65,536 values in four parts, each: ones, noise over all classes (so that codes are long), one run, noise."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(4):
        run = int(rng.integers(1000, 12000))
        noise = rng.integers(1, 1023, 800) * rng.choice([-1, 1], 800)
        before = int(rng.integers(360, 440))
        ones = np.ones(16384 - run - 800)
        parts += [ones, noise[:before], np.zeros(run), noise[before:]]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.parametrize("mask", [None, 0])
def test_long_runs_between_long_codes(mask):
    before = _core.set_cpu_mask(mask)
    try:
        for seed in range(60):
            x = lanes(seed)
            y = gradsz.decompress(gradsz.compress(x, 0.5, predictor="none"))
            assert np.abs(x - y).max() <= 0.5, seed
    finally:
        _core.set_cpu_mask(before)
