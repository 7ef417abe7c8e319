"""Guarantee 13, honest side effects: verify tells the bias and the mean squared error beside the largest error."""
import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOATS, LEVELS, as_dtype, cases, examples, ids, sample

import gradsz


def close(measured: float, exact: Fraction, scale: Fraction) -> bool:
    return abs(Fraction(measured) - exact) <= scale / 10**12


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
class TestFigures:
    @pytest.mark.parametrize("kind", ["normal", "sparse", "smooth", "offset", "zeros"])
    def test_all_figures_against_exact_arithmetic(self, dtype, kind):
        rng = np.random.default_rng(0)
        a = sample(dtype, kind, 1500, rng)
        b = as_dtype(a.astype(np.float64) + rng.uniform(-0.3, 0.4, a.size), dtype)
        a[::40] = b[::40] = np.nan
        r, e, n = gradsz.verify(a, b, 0.2), oracle.errors(a, b), int(oracle.finite(a).sum())
        largest = max(map(abs, e))
        assert close(r.max_error, largest, largest)
        assert close(r.mean_error, sum(e) / n, largest)
        assert close(r.mean_abs_error, sum(map(abs, e)) / n, largest)
        assert close(r.mse, sum(x * x for x in e) / n, largest**2)
        assert math.isclose(r.rms_error**2, r.mse, rel_tol=1e-12)
        width = oracle.value_range(a)
        if width:
            assert math.isclose(r.nrmse, r.rms_error / float(width), rel_tol=1e-12)
            assert math.isclose(r.psnr, -20 * math.log10(r.nrmse), rel_tol=1e-12)
        assert r.violations == sum(abs(x) > Fraction(0.2) for x in e) and r.elements == a.size

    def test_the_bias_has_a_sign(self, dtype):
        a = sample(dtype, "normal", 2000, np.random.default_rng(1))
        up, down = (as_dtype(a.astype(np.float64) + s, dtype) for s in (0.25, -0.25))
        assert gradsz.verify(a, up).mean_error == pytest.approx(0.25, rel=0.02)
        assert gradsz.verify(a, down).mean_error == pytest.approx(-0.25, rel=0.02)

    @examples(60)
    @given(data=st.data())
    def test_nothing_surprises_it(self, dtype, data):
        """No warning, no exception, no nonsense, whatever the values."""
        case = data.draw(cases(dtype))
        b = data.draw(st.sampled_from([case.array, -case.array, np.zeros_like(case.array), case.array.reshape(-1)[::-1].reshape(case.array.shape)]))
        r = gradsz.verify(case.array, b, case.bound, case.mode)
        assert r.violations >= 0 and r.max_error >= 0 and str(r)


def test_a_perfect_copy():
    a = np.array([1.0, np.nan, -np.inf, 3.0])
    r = gradsz.verify(a, a.copy(), 1e-3)
    assert r.ok and (r.max_error, r.mean_error, r.mse, r.nrmse, r.psnr) == (0, 0, 0, 0, math.inf)


@pytest.mark.parametrize("level", LEVELS)
def test_info_tells_the_bound_that_holds_for_every_value(level):
    a = sample(np.dtype("float32"), "normal", 5000, np.random.default_rng(2))
    for mode, bound in (("abs", 1e-2), ("rel", 1e-3), ("rms", 1e-1), ("l2", 1e-2), ("psnr", 50)):
        message = gradsz.compress(a, bound, mode=mode, level=level)
        t = gradsz.info(message).tensors[0]
        assert t.mode == mode and oracle.within(a, gradsz.decompress(message), t.eb).all()
        assert f"{t.eb:.4g} ({mode})" in str(gradsz.info(message))


@pytest.mark.parametrize("level", LEVELS)
def test_the_bias_on_symmetric_data_is_far_below_the_bound(level):
    a = sample(np.dtype("float64"), "normal", 200_000, np.random.default_rng(3))
    r = gradsz.verify(a, gradsz.decompress(gradsz.compress(a, 0.5, level=level)), 0.5)
    assert r.ok and abs(r.mean_error) < 0.5 / 20
