"""Guarantee 2, specials: NaN keeps its payload, infinities are exact, -0.0 is the number 0."""
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FIELDS, FLOATS, LEVELS, MODELS, MODES, PREDICTORS, examples, ids, of_bits, sample

import gradsz

pytestmark = pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
every_level = pytest.mark.parametrize("level", LEVELS)
BOUND = {"abs": 1e-2, "rel": 1e-3, "rms": 1e-2, "l2": 1e-2, "psnr": 50.0}


def top_bits(dtype):
    """Infinity's bits, the sign's bit."""
    e, m = FIELDS[dtype.name]
    return (2**e - 1) << m, 1 << (e + m)


def lossy(a, **options):
    """Through a lossy message."""
    options = {"mode": "abs", "error_bound": 1e-2, **options}
    message = gradsz.compress(a, **options)
    assert gradsz.info(message).tensors[0].codec in oracle.LOSSY
    return gradsz.decompress(message)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("predictor", PREDICTORS + MODELS)
def test_specials_between_ordinary_values_come_back_bit_for_bit(dtype, mode, predictor):
    infinity, sign = top_bits(dtype)
    a = sample(dtype, "normal", 3000, np.random.default_rng(0)).reshape(5, 20, 30)
    flat = a.reshape(-1)
    flat[::17] = of_bits(np.resize([infinity, infinity | sign, infinity + 1, infinity | sign + 1, infinity | sign | 5], flat[::17].size), dtype)
    b = lossy(a, error_bound=BOUND[mode], mode=mode, predictor=predictor)
    special = ~oracle.finite(a)
    assert np.array_equal(oracle.bits(a)[special], oracle.bits(b)[special])
    assert np.array_equal(special, ~oracle.finite(b))       # and nothing else became one


@every_level
@examples(40)
@given(data=st.data())
def test_any_nan_payload_anywhere(dtype, level, data):
    infinity, sign = top_bits(dtype)
    a = np.zeros(2000, dtype)
    a[::3] = of_bits([2 ** FIELDS[dtype.name][1]], dtype)
    payloads = data.draw(st.lists(st.integers(infinity + 1, sign - 1), min_size=1, max_size=8))
    at = data.draw(st.lists(st.integers(0, 1999), min_size=1, max_size=8, unique=True))
    signs = data.draw(st.sampled_from([0, sign]))
    a[at] = np.resize(of_bits([p | signs for p in payloads], dtype), len(at))
    b = gradsz.decompress(gradsz.compress(a, 1e-3, level=level))
    assert np.array_equal(oracle.bits(a)[at], oracle.bits(b)[at])


@pytest.mark.parametrize("predictor", PREDICTORS + MODELS)
def test_zeros_of_both_signs_come_back_as_zero_and_cost_next_to_nothing(dtype, predictor):
    a = sample(dtype, "zeros", 4096, np.random.default_rng(1))
    assert np.signbit(a.astype(np.float64)).any() and not np.signbit(a.astype(np.float64)).all()
    message = gradsz.compress(a, 1e-3, predictor=predictor)
    assert len(message) < 64
    assert (gradsz.decompress(message) == 0).all()


def test_bit_exact_mode_keeps_the_sign_of_zero(dtype):
    a = sample(dtype, "zeros", 4096, np.random.default_rng(2))
    assert oracle.same_bits(a, gradsz.decompress(gradsz.compress(a, 0)))


@every_level
def test_every_payload_or_a_stride_of_them(dtype, level):
    infinity, sign = top_bits(dtype)
    patterns = np.arange(infinity, sign, max(1, (sign - infinity) // 2000), dtype=np.uint64)
    a = np.concatenate([of_bits(patterns, dtype), of_bits(patterns | np.uint64(sign), dtype), np.zeros(2**16, dtype)])
    assert oracle.same_bits(a[:2 * patterns.size], lossy(a, level=level)[:2 * patterns.size])


def test_a_constant_negative_zero_keeps_its_sign(dtype):
    a = np.full(100, -0.0, dtype)
    assert oracle.same_bits(a, gradsz.decompress(gradsz.compress(a, 0)))
