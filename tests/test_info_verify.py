"""info and verify: what they tell, how it prints, what they refuse."""
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from strategies import ALL, EXACT, FLOATS, MODES, cases, examples, ids, noise, sample

import gradsz
from gradsz import ParameterError

RNG = np.random.default_rng(0)
A = sample(np.dtype("float32"), "normal", 3000, RNG).reshape(30, 100)


def one(message):
    return gradsz.info(message).tensors[0]


class TestInfo:
    @examples(150)
    @given(cases())
    def test_tells_what_was_compressed(self, case):
        a = case.array
        message = gradsz.compress(a, case.bound, **case.options)
        m, t = gradsz.info(message), one(message)
        assert (t.name, t.dtype, t.shape, t.nbytes) == (None, a.dtype.name, a.shape, a.nbytes)
        assert (m.nbytes, m.raw_nbytes, m.named, len(m.tensors)) == (len(message), a.nbytes, False, 1)
        assert 0 < t.compressed_nbytes < m.nbytes
        assert m.ratio == a.nbytes / len(message)
        assert t.codec in ("uniform", "model", "exact", "constant", "empty", "raw") and (t.codec == "empty") == (a.size == 0)
        if t.codec == "uniform":
            assert t.mode == case.mode and t.grid == "aligned" and t.coder == "huffman" and 0 < t.eb < math.inf
            assert t.predictor in ("none", "lorenzo1", "lorenzo2", "lorenzo3")
        elif t.codec == "model":
            grids = ("aligned",) if case.mode in ("l2", "psnr") else ("aligned", "centred") if case.grid == "auto" else (case.grid,)
            assert t.mode == case.mode and t.grid in grids and t.coder == "rans" and 0 < t.eb < math.inf
            assert t.predictor == "structure"
        else:
            assert (t.mode, t.grid, t.predictor, t.coder, t.eb) == (None, None, None, None, 0.0)

    @pytest.mark.parametrize("codec, array, bound", [("empty", np.zeros((0, 3)), 0), ("constant", np.full(99, 2.5), 0), ("raw", noise(np.dtype("i4"), 12, RNG), 0),
                                                     ("exact", np.arange(2000), 0), ("uniform", A, 0.1), ("model", A, 0.1)])
    def test_every_codec(self, codec, array, bound):
        assert one(gradsz.compress(array, bound, predictor="structure" if codec == "model" else "none")).codec == codec

    def test_sizes_of_the_tensors_and_the_header_make_the_message(self):
        message = gradsz.compress_tensors({"a": A, "b": np.arange(100), "c": np.zeros(3)}, 1e-2)
        m = gradsz.info(message)
        assert m.named and m.nbytes == len(message) and m.raw_nbytes == sum(t.nbytes for t in m.tensors)
        assert 0 <= m.nbytes - sum(t.compressed_nbytes for t in m.tensors) <= 16

    def test_prints_a_table_with_a_line_a_tensor(self):
        text = str(gradsz.info(gradsz.compress_tensors({"layer.weight": A, "größe": np.arange(3), "s": np.float32(1)}, 1e-2)))
        lines = text.splitlines()
        assert len(lines) == 2 + 3 and "3 tensors" in lines[0] and "12,020" not in lines[0]
        assert "layer.weight" in lines[2] and "30x100" in lines[2] and "float32" in lines[2] and "(rel)" in lines[2]
        assert "größe" in lines[3] and "exact" in lines[3] and "scalar" in lines[4]
        assert len({line.index("float32") for line in lines if "float32" in line}) == 1     # columns line up
        assert all(line == line.rstrip() for line in lines)

    def test_counts_in_the_singular(self):
        assert "1 tensor," in str(gradsz.info(gradsz.compress(A, 0.1)))
        assert "0 tensors," in str(gradsz.info(gradsz.compress_tensors({}, 0.1)))

    def test_results_are_frozen_and_comparable(self):
        m = gradsz.info(gradsz.compress(A, 0.1))
        assert m == gradsz.info(gradsz.compress(A, 0.1)) != gradsz.info(gradsz.compress(A, 0.2))
        with pytest.raises(dataclasses.FrozenInstanceError):
            m.tensors[0].eb = 1.0

    def test_the_version_is_that_of_the_format(self):
        assert gradsz.info(gradsz.compress(A, 0.1)).version == gradsz.compress(A, 0.1)[3]

    def test_a_name_cannot_forge_lines_of_the_table(self):
        text = str(gradsz.info(gradsz.compress_tensors({"a\nforged\x1b[31m": np.zeros(3)}, 0)))
        assert len(text.splitlines()) == 3 and "\x1b" not in text


class TestVerify:
    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    def test_a_copy_has_no_violations(self, dtype):
        a = noise(dtype, 500, np.random.default_rng(1))
        for bound in (None, 0, 1e-3):
            r = gradsz.verify(a, a.copy(), bound)
            assert r and r.ok and r.violations == 0 and r.max_error == 0

    def test_without_a_bound_only_specials_can_be_violations(self):
        a = np.array([1.0, 2.0, np.nan, np.inf])
        assert gradsz.verify(a, a + 5).violations == 0 and gradsz.verify(a, a + 5).eb is None
        assert gradsz.verify(a, np.array([1.0, 2.0, 0.0, np.inf])).violations == 1
        assert gradsz.verify(a, np.array([1.0, 2.0, np.nan, -np.inf])).violations == 1

    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    def test_a_bound_of_zero_compares_bits(self, dtype):
        a = np.array([0.0, 1.0, np.nan, -0.0], dtype)
        assert gradsz.verify(a, a.copy(), 0)
        assert gradsz.verify(a, np.array([-0.0, 1.0, np.nan, -0.0], dtype), 0).violations == 1

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_a_finite_value_that_became_special_is_a_violation(self, mode, bad):
        a = np.linspace(1, 2, 50)
        b = a.copy()
        b[7] = bad
        r = gradsz.verify(a, b, 50.0 if mode == "psnr" else 0.1, mode)
        assert not r.ok and r.violations >= 1

    @pytest.mark.parametrize("mode", MODES)
    def test_each_mode_is_counted_as_it_is_compressed(self, mode):
        bound = 60.0 if mode == "psnr" else 1e-2
        b = gradsz.decompress(gradsz.compress(A, bound, mode=mode))
        assert gradsz.verify(A, b, bound, mode)
        assert not gradsz.verify(A, A + 8 * (b - A), bound, mode)

    def test_rel_and_rms_tell_the_eb_they_resolve_to(self):
        a = np.array([0.0, 3.0, 4.0, 5.0])
        assert gradsz.verify(a, a, 0.1, "rel").eb == pytest.approx(0.5, rel=1e-15)
        assert gradsz.verify(a, a, 0.1, "rms").eb == pytest.approx(0.1 * math.sqrt(12.5), rel=1e-12)

    @pytest.mark.parametrize("dtype", EXACT, ids=ids(EXACT))
    def test_integers_are_compared_exactly(self, dtype):
        a = noise(dtype, 100, np.random.default_rng(2))
        b = a.copy()
        b.view(np.uint8)[::b.itemsize] ^= 1
        assert gradsz.verify(a, b, 1e9).violations == 100

    def test_int64_differences_below_float64s_spacing_count(self):
        a = np.array([2**62, -2**62])
        assert gradsz.verify(a, a + 1).violations == 2

    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    def test_empty_and_zero_dimensional(self, dtype):
        for a in (np.zeros(0, dtype), np.zeros((3, 0), dtype), np.ones((), dtype)):
            assert gradsz.verify(a, a, 1e-3).ok and gradsz.verify(a, a, 1e-3, "psnr").ok

    def test_layouts_do_not_matter(self):
        b = A + np.float32(0.25)
        assert gradsz.verify(np.asfortranarray(A), b, 0.1) == gradsz.verify(A, b, 0.1) == gradsz.verify(A, b[::-1].copy()[::-1], 0.1)

    def test_prints_a_line_a_figure(self):
        text = str(gradsz.verify(A, A + np.float32(0.5), 0.1))
        for word in ("elements", "violations", "max error", "mean error", "rms error", "PSNR", "dB", "NRMSE", "3,000"):
            assert word in text
        assert len({line[:13].rstrip() for line in text.splitlines()}) == len(text.splitlines()) == 9

    def test_shapes_or_dtypes_that_differ_are_told(self):
        for b in (A.T, A.astype("f8"), A[:-1], A.reshape(-1)):
            with pytest.raises(ParameterError, match="the arrays differ: float32 of shape \\(30, 100\\)"):
                gradsz.verify(A, b)

    def test_dtypes_out_of_range(self):
        with pytest.raises(gradsz.UnsupportedDtypeError):
            gradsz.verify(np.zeros(3, complex), np.zeros(3, complex))

    @pytest.mark.parametrize("bound", [-1, np.nan, np.inf, "x"])
    def test_bounds_out_of_range(self, bound):
        with pytest.raises(ParameterError, match="error_bound"):
            gradsz.verify(A, A, bound)

    def test_unknown_mode(self):
        for bound in (None, 1e-3):
            with pytest.raises(ParameterError, match="mode is 'x'; allowed are 'abs'"):
                gradsz.verify(A, A, bound, "x")

    def test_a_range_that_overflows_has_finite_or_infinite_figures_never_nonsense(self):
        a = np.array([1.7e308, -1.7e308, 1.0] * 50)
        r = gradsz.verify(a, a * (1 - 2**-30), 1e290)
        assert not r.ok and r.psnr == pytest.approx(-20 * math.log10(r.rms_error / 2 / 1.7e308), rel=0.2)
        assert gradsz.verify(a, -a, 1e-3, "l2").violations
