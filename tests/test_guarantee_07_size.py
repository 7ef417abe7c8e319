"""Guarantee 7, size: never above compress_bound; data that cannot be compressed costs 0.1 % + 64 bytes at most."""
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ALL, FLOATS, LEVELS, MODELS, MODES, PREDICTORS, cases, examples, ids, noise, sample

import gradsz

SIZES = [1, 2, 3, 10, 100, 1000, 5000, 300_000]


every_level = pytest.mark.parametrize("level", LEVELS)


def incompressible(raw: int) -> float:
    return raw * 1.001 + 64


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
class TestNoise:
    @pytest.mark.parametrize("n", SIZES)
    @pytest.mark.parametrize("bound", [0, 1e-300, 1e-9, 1e-3, 1.0, 1e30])
    @every_level
    def test_random_bits(self, dtype, n, bound, level):
        a = noise(dtype, n, np.random.default_rng(n))
        assert len(gradsz.compress(a, bound, level=level)) <= incompressible(a.nbytes)

    @pytest.mark.parametrize("n", SIZES)
    @pytest.mark.parametrize("predictor", PREDICTORS + MODELS)
    def test_white_noise_under_a_bound_too_tight_to_help(self, dtype, n, predictor):
        a = sample(dtype, "normal", n, np.random.default_rng(n))
        for bound in (1e-2, 1e-5, 1e-8, 1e-15):
            assert len(gradsz.compress(a, bound, predictor=predictor)) <= incompressible(a.nbytes)

    @pytest.mark.parametrize("n", SIZES)
    @every_level
    def test_nans_of_random_payloads(self, dtype, n, level):
        a = noise(dtype, n, np.random.default_rng(n))
        a.view(f"u{a.itemsize}")[:] |= np.full(1, np.inf).astype(dtype).view(f"u{a.itemsize}")
        assert not oracle.finite(a).any()
        for bound in (0, 1e-3):
            assert len(gradsz.compress(a, bound, level=level)) <= incompressible(a.nbytes)

    def test_every_second_value_an_escape(self, dtype):
        a = np.zeros(10_000, dtype)
        a[::2] = noise(dtype, 5000, np.random.default_rng(0))
        for predictor in PREDICTORS + MODELS:
            assert len(gradsz.compress(a, 1e-30, predictor=predictor)) <= incompressible(a.nbytes)


@pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
class TestBound:
    @examples(40)
    @given(data=st.data())
    def test_compress_bound_holds_for_bit_exact_noise_of_any_shape(self, dtype, data):
        shape = tuple(data.draw(st.lists(st.integers(0, 9), max_size=4)) + [1] * data.draw(st.sampled_from([0, 5, 28])))
        a = noise(dtype, int(np.prod(shape)), np.random.default_rng(data.draw(st.integers(0, 99)))).reshape(shape)
        assert len(gradsz.compress(a, 0)) <= gradsz.compress_bound(a) == gradsz.compress_bound(shape, dtype)

    def test_the_bound_itself_is_near_the_raw_size(self, dtype):
        for n in SIZES:
            assert n * dtype.itemsize <= gradsz.compress_bound(n, dtype) <= n * dtype.itemsize + 200


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
@every_level
@examples(60)
@given(data=st.data())
def test_compress_bound_holds_for_any_lossy_case(dtype, level, data):
    case = data.draw(cases(dtype))
    message = gradsz.compress(case.array, case.bound, **case.options, level=level)
    assert len(message) <= gradsz.compress_bound(case.array)
    assert len(message) <= incompressible(case.array.nbytes) + 10 * case.array.ndim


@pytest.mark.parametrize("mode", MODES)
@every_level
def test_smooth_sparse_and_constant_data_become_small(mode, level):
    bound = {"psnr": 60.0}.get(mode, 1e-3)
    x = np.linspace(0, 6, 100_000)
    assert len(gradsz.compress(np.sin(x), bound, mode=mode, level=level)) < x.nbytes / 20
    assert len(gradsz.compress(np.where(np.arange(100_000) % 1000, 0, x), bound, mode=mode, level=level)) < x.nbytes / 100
    assert len(gradsz.compress(np.full(10**6, 1 / 3), bound, mode=mode, level=level)) < 64


@every_level
def test_many_small_tensors_cost_little_each(level):
    update = {f"layer{i}.bias": noise(np.dtype("float32"), 4, np.random.default_rng(i)) for i in range(1000)}
    raw = sum(a.nbytes + len(name) for name, a in update.items())
    assert len(gradsz.compress_tensors(update, 1e-3, level=level)) <= raw + 12 * len(update) + 64
