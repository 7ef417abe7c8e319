"""Guarantee 1, the bound: |x - x'| <= eb for every finite value, in exact arithmetic, whatever the data."""
import math
from fractions import Fraction

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import (FIELDS, FLOATS, GRIDS, LEVELS, MODELS, MODES, PREDICTORS, as_dtype, bin_edges, cases, every_pattern, examples,
                        ids, neighbours, of_bits, sample, special_bits)

import gradsz
from gradsz import _core


every_level = pytest.mark.parametrize("level", LEVELS)


def check(a, bound, mode="abs", predictor="auto", level="fast", grid="auto"):
    """Compress, decompress, judge.  The tensor's info and what was decoded."""
    message = gradsz.compress(a, bound, mode=mode, predictor=predictor, level=level, grid=grid)
    b, t = gradsz.decompress(message), gradsz.info(message).tensors[0]
    oracle.check_decoded(a, b, t.codec, t.eb)
    if t.codec in oracle.LOSSY:
        assert t.mode == mode
        modelled = level != "fast" or predictor in MODELS or grid in ("dithered", "shrunk")      # or could have been
        oracle.check_resolved(a, b, t.eb, bound, mode, 2**-12 if modelled else 0)
    return t, b


@every_level
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
class TestAnything:
    """Any dtype, mode, bound, shape, predictor and values."""

    @examples(60)
    @given(data=st.data())
    def test_every_finite_value_is_within_the_bound(self, dtype, mode, level, data):
        case = data.draw(cases(dtype, mode))
        check(case.array, case.bound, mode, case.predictor, level, case.grid)


class TestEveryPattern:
    """All 65,536 values of the 16-bit dtypes."""

    BOUNDS = ([2.0**e for e in range(-26, 18, 3)] + [10.0**e for e in (-45, -41, -9, -7, -5, -4, -3, -2, -1, 0, 2, 3, 4, 9, 38)]
              + [0.1, 1 / 3, 0.5 - 2**-12, 0.5 + 2**-12, 65504.0, 5e-324, 1e300])

    @pytest.mark.parametrize("dtype", [d for d in FLOATS if d.itemsize == 2], ids=str)
    @pytest.mark.parametrize("predictor", ["none", "lorenzo1", "structure"])
    def test_all_patterns_in_order(self, dtype, predictor):
        for eb in self.BOUNDS:
            check(every_pattern(dtype), eb, predictor=predictor)

    @pytest.mark.parametrize("dtype", [d for d in FLOATS if d.itemsize == 2], ids=str)
    @pytest.mark.parametrize("mode", ["rel", "rms", "l2", "psnr"])
    @every_level
    def test_all_patterns_shuffled_with_zeros_between(self, dtype, mode, level):
        a = np.zeros((2, 65536), dtype)
        a[0] = np.random.default_rng(1).permutation(every_pattern(dtype))
        for bound in (20.0, 60.0) if mode == "psnr" else (1e-6, 1e-2, 0.5):
            check(a.T, bound, mode, level=level)

    @pytest.mark.parametrize("dtype", [d for d in FLOATS if d.itemsize == 2], ids=str)
    @every_level
    def test_all_patterns_among_zeros_stay_quantised(self, dtype, level):
        a = np.zeros(16 * 65536, dtype)
        a[:65536] = every_pattern(dtype)
        for eb in (2.0**-20, 1e-3, 0.3, 100.0):
            assert check(a, eb, level=level)[0].codec in oracle.LOSSY


def counting(n):
    return np.concatenate([np.arange(-n, n), [2**20, -2**20, 2**29, 2**31 - 1, -2**31, 2**51]])


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
class TestEdges:
    """Where a rounding decides."""

    @pytest.mark.parametrize("eb", [1.0, 2.0**-10, 0.1, 1e-3, 1 / 3, 7e-5, 1e-30, 1e30, 2.0**-1022, 2.0**-149, 2.0**-140, 1e300])
    @pytest.mark.parametrize("predictor", ["none", "lorenzo1"])
    def test_bin_edges_and_their_neighbours(self, dtype, eb, predictor):
        check(bin_edges(eb, dtype, counting(600)), eb, predictor=predictor)

    @pytest.mark.parametrize("eb", [1.0, 2.0**-10, 0.1, 1 / 3, 1e-30, 1e30, 2.0**-1022, 2.0**-140])
    @pytest.mark.parametrize("grid", GRIDS[1:])
    def test_bin_edges_under_the_model(self, dtype, eb, grid):
        """Small integers of steps only: others have no place in the model."""
        a = bin_edges(eb, dtype, np.random.default_rng(0).integers(-40, 40, 200))
        for shape in ((-1,), (20, -1), (5, 12, -1)):
            check(a.reshape(shape), eb, predictor="structure", grid=grid)

    @every_level
    def test_bound_below_the_spacing_of_the_values(self, dtype, level):
        a = sample(dtype, "offset", 600, np.random.default_rng(2))
        spacing = float(np.spacing(np.float32(1e4))) if dtype == np.float32 else 1.0
        for eb in (spacing / 2, spacing / 2.0001, spacing / 64, 1e-9, 1e-13):
            t, b = check(np.concatenate([a, np.zeros(3000, dtype)]), eb, level=level)
            if t.codec in oracle.LOSSY and eb < spacing / 2 and dtype == np.float32:
                assert np.array_equal(a, b[:600])

    @every_level
    def test_subnormals(self, dtype, level):
        smallest = float(oracle.unit(dtype))
        a = of_bits(np.arange(3000), dtype) * as_dtype(np.resize([1.0, -1.0], 3000), dtype)
        for factor in (0.5, 0.75, 1, 1.5, 2, 3, 1000):
            check(a, max(smallest * factor, 5e-324), level=level)

    def test_huge_and_tiny_side_by_side(self, dtype):
        rng = np.random.default_rng(3)
        for eb in (1e-300, 1e-6, 1.0, 1e30, 1e305):
            for predictor in PREDICTORS + MODELS:
                check(sample(dtype, "mixed", 1200, rng).reshape(10, 10, 12), eb, predictor=predictor)

    @every_level
    def test_integers_too_far_for_the_quantiser(self, dtype, level):
        """Values whose bin number leaves every integer type."""
        for eb in (2.0**-40, 1e-12, 1e-200):
            a = neighbours(eb * 2.0 ** np.arange(0, 70), dtype)
            check(np.concatenate([a, np.zeros(2000, dtype)]), eb, level=level)

    def test_lorenzo_residuals_that_overflow(self, dtype):
        """Alternating extremes: sums of eight neighbours as large as they get."""
        eb = 1.0
        for magnitude in (2.0**15, 2.0**23, 2.0**24, 2.0**28, 2.0**31):
            corner = as_dtype(np.resize([magnitude, -magnitude], 2**12), dtype)
            for predictor in PREDICTORS + MODELS:
                check(corner.reshape(64, 64), eb, predictor=predictor)
                check(np.where(np.indices((16, 16, 16)).sum(0) % 2, corner[0], corner[1]), eb, predictor=predictor)
                check(np.concatenate([corner, np.zeros(2**12, dtype), [as_dtype(np.array(np.nan), dtype)]]), eb, predictor=predictor)


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
@pytest.mark.parametrize("mode", MODES)
@every_level
class TestDegenerate:
    """No range, no energy, no values, too much of them: defined, and never an infinite or NaN eb."""

    def bounds(self, mode):
        return (1e-3, 40.0, 1e308) if mode == "psnr" else (5e-324, 1e-2, 1.0, 1e300)

    @pytest.mark.parametrize("fill", ["zero", "one", "nan", "inf", "largest", "smallest", "negative zero"])
    def test_all_equal(self, dtype, mode, level, fill):
        top = of_bits([special_bits(dtype)[10]], dtype)[0]
        value = {"zero": 0.0, "one": 1.0, "nan": np.nan, "inf": np.inf, "largest": top,
                 "smallest": of_bits([1], dtype)[0], "negative zero": -0.0}[fill]
        for bound in self.bounds(mode):
            for n in (1, 2, 700):
                a = np.full(n, value, dtype)
                t, b = check(a, bound, mode, level=level)
                assert t.codec == "constant" and oracle.same_bits(a, b)

    def test_zero_range_with_specials(self, dtype, mode, level):
        a = np.ones(900, dtype)
        a[::7], a[3::11] = np.nan, -np.inf
        for bound in self.bounds(mode):
            t, b = check(a, bound, mode, level=level)
            if mode in ("rel", "psnr"):     # an error of 0 is allowed, so bit for bit
                assert t.eb == 0

    def test_only_nans_and_infinities(self, dtype, mode, level):
        specials = of_bits(special_bits(dtype), dtype)
        a = np.resize(specials[~oracle.finite(specials)], 1000)
        for bound in self.bounds(mode):
            check(a, bound, mode, level=level)

    def test_range_that_overflows(self, dtype, mode, level):
        top = of_bits([special_bits(dtype)[10]], dtype)[0]
        a = np.zeros(1500, dtype)
        a[::100], a[50::100], a[7::100] = top, -top, of_bits([1], dtype)[0]
        for bound in self.bounds(mode):
            check(a, bound, mode, level=level)

    def test_largest_magnitudes_among_small_values(self, dtype, mode, level):
        """Sums of squares must neither overflow nor vanish."""
        top = of_bits([special_bits(dtype)[10]], dtype)[0]
        for value in (top, top / 2, top / 4, top / 16):
            a = np.zeros(1500, dtype)
            a[:3] = value, 1.0, -value / 2
            for bound in self.bounds(mode):
                check(a, bound, mode, level=level)

    def test_subnormals_only(self, dtype, mode, level):
        a = np.zeros(1500, dtype)
        a[::3] = of_bits(np.arange(500) % 9, dtype)
        for bound in self.bounds(mode):
            check(a, bound, mode, level=level)

    def test_bounds_that_are_subnormal(self, dtype, mode, level):
        a = of_bits(np.random.default_rng(10).integers(0, 2 ** min(44, FIELDS[dtype.name][1] - 1), 1500), dtype)
        for bound in (20.0, 60.0) if mode == "psnr" else (0.37, 0.11, 1 / 3):
            check(a, bound * float(a.max()) if mode == "abs" else bound, mode, level=level)

    def test_empty(self, dtype, mode, level):
        for shape in ((0,), (4, 0), (0, 0, 0)):
            t, b = check(np.zeros(shape, dtype), self.bounds(mode)[0], mode, level=level)
            assert t.codec == "empty" and b.shape == shape


@pytest.mark.parametrize("dtype", [np.dtype("float32"), np.dtype("float64")], ids=str)
@every_level
class TestMeasuredModes:
    """l2 and psnr resolve to the largest eb that meets the target, not to a worst case."""

    DATA = ["normal", "sparse", "smooth"]

    @pytest.mark.parametrize("kind", DATA)
    @pytest.mark.parametrize("bound", [1e-4, 1e-2, 0.3])
    def test_l2_is_met_and_a_slightly_larger_eb_misses_it(self, dtype, level, kind, bound):
        a = sample(dtype, kind, 8000, np.random.default_rng(4))
        t, _ = check(a, bound, "l2", level=level)
        if t.codec not in oracle.LOSSY:
            return
        larger = gradsz.decompress(gradsz.compress(a, t.eb * 1.03, level=level, grid="aligned"))
        assert oracle.sum_of_squared_errors(a, larger) > Fraction(bound) ** 2 * oracle.sum_of_squares(a)

    @pytest.mark.parametrize("kind", DATA)
    @pytest.mark.parametrize("bound", [30.0, 60.0, 84.5])
    def test_psnr_is_met_and_a_slightly_larger_eb_misses_it(self, dtype, level, kind, bound):
        a = sample(dtype, kind, 8000, np.random.default_rng(5))
        t, _ = check(a, bound, "psnr", level=level)
        if t.codec not in oracle.LOSSY:
            return
        larger = gradsz.decompress(gradsz.compress(a, t.eb * 1.03, level=level, grid="aligned"))
        target = oracle.power_of_decibels(bound) * oracle.value_range(a) ** 2 * a.size
        assert oracle.sum_of_squared_errors(a, larger) > target

    @pytest.mark.parametrize("eb", [2.0**-9, 2.0**-6 * 1.25, 2.0**-3 * 1.75, 0.5])
    def test_a_target_missed_by_a_hair_is_missed(self, dtype, level, eb):
        """Targets just below the error that an eb makes: that eb must not be chosen."""
        a = sample(dtype, "normal", 3000, np.random.default_rng(9))
        error = oracle.sum_of_squared_errors(a, gradsz.decompress(gradsz.compress(a, eb, level=level, grid="aligned")))
        for hair in (1e-15, 1e-12, 1e-9, 1e-7):
            check(a, math.sqrt(error / oracle.sum_of_squares(a)) * (1 - hair), "l2", level=level)
            check(a, -10 * math.log10(error / a.size / oracle.value_range(a) ** 2) + 5 * hair, "psnr", level=level)

    @pytest.mark.parametrize("grid", GRIDS)
    def test_targets_are_met_on_every_grid(self, dtype, level, grid):
        """Sparse rows of many sizes: where the bins lie makes a difference."""
        rng = np.random.default_rng(11)
        for _ in range(6):
            a = as_dtype(rng.normal(size=(40, 50)) * np.exp(2 * rng.normal(size=(40, 1))) * (rng.random((40, 50)) < 0.3), dtype)
            for mode, bound in (("l2", 0.1), ("l2", 0.5), ("l2", 0.9), ("psnr", 20.0), ("psnr", 40.0)):
                check(a, bound, mode, "structure", level, grid)

    def test_specials_do_not_count(self, dtype, level):
        a = sample(dtype, "normal", 8000, np.random.default_rng(6))
        a[::50], a[1::50] = np.nan, np.inf
        for mode, bound in (("l2", 1e-2), ("psnr", 50.0), ("rms", 1e-2), ("rel", 1e-3)):
            assert check(a, bound, mode, level=level)[0].codec in oracle.LOSSY


class TestScale:
    """More than one chunk: every element of a large array, not only of the first block."""

    @pytest.mark.parametrize("predictor", PREDICTORS + MODELS)
    def test_several_chunks(self, predictor):
        a = sample(np.dtype("float32"), "smooth", 600 * 1000, np.random.default_rng(7)).reshape(60, 100, 100)
        a[1::7, 3::13, ::3] = 1e9
        eb = 1e-3
        message = gradsz.compress(a, eb, predictor=predictor)
        b = gradsz.decompress(message)
        d = a.astype(np.float64) - b.astype(np.float64)     # exact: 24-bit values within 2^53 of each other
        assert gradsz.info(message).tensors[0].eb == eb and np.abs(d).max() <= eb


@st.composite
def close_pairs(draw):
    """x, x' and eb such that |x - x'| is at, just below or just above eb."""
    number = st.floats(allow_nan=False, allow_infinity=False)
    x = draw(st.one_of(number, st.floats(-8, 8)))
    y = draw(st.one_of(number, st.just(x), st.builds(lambda d: x + d, st.floats(-2, 2))))
    difference = abs(Fraction(x) - Fraction(y)) if math.isfinite(y) else Fraction(1)
    eb = float(min(difference, oracle.LARGEST))
    for _ in range(draw(st.integers(0, 2))):
        eb = math.nextafter(eb, draw(st.sampled_from([0.0, math.inf])))
    return x, y, min(abs(eb), float(oracle.LARGEST))


class TestTheJudges:
    """gradsz's own judges against exact arithmetic."""

    @examples(1500)
    @given(close_pairs())
    def test_within_is_exact(self, pair):
        x, y, eb = pair
        expected = math.isfinite(y) and abs(Fraction(x) - Fraction(y)) <= Fraction(eb)
        assert _core.within(x, y, eb) == expected

    @pytest.mark.parametrize("x, y", [(math.nan, 0.0), (0.0, math.nan), (math.inf, 0.0), (0.0, -math.inf), (math.inf, math.inf)])
    def test_within_fails_on_what_is_not_finite(self, x, y):
        assert not _core.within(x, y, float(oracle.LARGEST))

    def test_selftest_passes(self):
        assert _core.selftest() == 0

    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    @examples(60)
    @given(data=st.data())
    def test_verify_accepts_what_compress_made(self, dtype, data):
        case = data.draw(cases(dtype))
        b = gradsz.decompress(gradsz.compress(case.array, case.bound, **case.options))
        assert gradsz.verify(case.array, b, case.bound, case.mode).ok

    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    @examples(60)
    @given(data=st.data())
    def test_verify_counts_exactly_the_violations(self, dtype, data):
        case = data.draw(cases(dtype, "abs"))
        a = case.array
        b = gradsz.decompress(gradsz.compress(a, case.bound))
        b = b.reshape(-1).copy()
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        at = rng.integers(0, max(b.size, 1), 20 if b.size else 0)
        patterns = b.view(f"u{b.itemsize}")
        patterns[at] ^= (1 << rng.integers(0, 8 * b.itemsize, at.size).astype(np.uint64)).astype(patterns.dtype)
        b = b.reshape(a.shape)
        keep = ~oracle.finite(a)
        expected = int((~oracle.within(a, b, case.bound) & ~keep).sum()) + int((oracle.bits(a)[keep] != oracle.bits(b)[keep]).sum())
        result = gradsz.verify(a, b, case.bound)
        assert result.violations == expected and result.ok == (expected == 0)
