"""gradsz.quantize: sums of the codec's integers decode to the sums of the inputs, in exact arithmetic."""
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOATS, examples, ids, sample

import gradsz
from gradsz import ParameterError

KINDS = ["normal", "sparse", "smooth", "offset"]


def check_exactly(inputs, total, step, eb, units=0):
    """|sum of inputs - step (total + units / 4096)| <= n eb for every element, with rational numbers."""
    step, most = Fraction(step), len(inputs) * Fraction(eb)
    columns = np.stack([np.asarray(x, np.float64).reshape(-1) for x in inputs]).T.tolist()
    offsets = np.broadcast_to(units, total.size).tolist()
    for values, k, u in zip(columns, total.reshape(-1).tolist(), offsets, strict=True):
        assert abs(sum(map(Fraction, values)) - step * (k + Fraction(u, 4096))) <= most


class TestBound:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    def test_one_client(self, dtype, kind):
        x = sample(dtype, kind, 700, np.random.default_rng(1)).reshape(35, 20)
        for bound in (1e-3, 0.1, 3.0):
            q = gradsz.quantize(x, bound)
            assert q.values.dtype == np.int32 and q.values.shape == x.shape and q.eb == bound
            assert Fraction(q.step) <= 2 * Fraction(bound)
            check_exactly([x], q.values, q.step, bound)

    @examples(150)
    @given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(1e-3, 1e3), st.sampled_from(["aligned", "dithered"]))
    def test_any_values(self, values, bound, grid):
        x = np.array(values)
        q = gradsz.quantize(x, bound, grid=grid, seed=3)
        u = gradsz.quantized._offsets(x.size, 3, None) if grid == "dithered" else 0
        check_exactly([x], q.values, q.step, bound, u)

    def test_edges_of_bins_and_their_neighbours(self):
        for dtype in (np.float32, np.float64):
            for bound in (0.1, 0.125, 1 / 3):
                step = gradsz.quantize(np.zeros(1, dtype), bound).step
                edges = (np.arange(-200, 200) + 0.5).astype(dtype) * dtype(step)
                x = np.concatenate([edges, np.nextafter(edges, dtype(np.inf)), np.nextafter(edges, dtype(-np.inf))])
                check_exactly([x], gradsz.quantize(x, bound).values, step, bound)

    @pytest.mark.parametrize("mode", ["rel", "rms", "l2"])
    def test_other_modes_measure_the_values(self, mode):
        x = sample(np.dtype("float32"), "normal", 3000, np.random.default_rng(2))
        q = gradsz.quantize(x, 1e-2, mode=mode)
        assert q.eb == gradsz.info(gradsz.compress(x, 1e-2, mode=mode, level="fast")).tensors[0].eb
        check_exactly([x], q.values, q.step, q.eb)

    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    def test_bins_are_those_of_the_codec(self, dtype):
        """Rounded to the dtype, what does not escape there is what the codec decodes."""
        x = sample(dtype, "normal", 5000, np.random.default_rng(3))
        bound = 2.0**-6
        q = gradsz.quantize(x, bound)
        decoded = gradsz.decompress(gradsz.compress(x, bound, level="fast", predictor="none"))
        ours = gradsz.dequantize(q).astype(np.float32 if dtype.name != "float64" else dtype).astype(dtype)
        assert np.mean(ours == decoded) > 0.95 and (ours == decoded)[decoded != x].all()


class TestDithered:
    def test_offsets_are_those_of_the_format(self):
        """docs/format.md 7.8 with tensor 0, rows of 512 elements and 12 unit bits."""
        c, m64, m32 = 0x9e3779b97f4a7c15, 2**64 - 1, 2**32 - 1

        def mix(v):
            v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9 & m64
            v = (v ^ v >> 27) * 0x94d049bb133111eb & m64
            return v ^ v >> 31

        for seed, slot in ((0, None), (2**64 - 1, (3, 7)), (12345, (6, 7))):
            got = gradsz.quantized._offsets(1300, seed, slot).tolist()
            for i in range(1300):
                key = mix(mix(seed + c & m64) + c * (i // 512 + 1) & m64)
                x = (i % 512 * 0x9e3779b9 + key) & m32
                x = (x ^ x >> 16) * 0x7feb352d & m32
                x = (x ^ x >> 15 ^ key >> 32) * 0x846ca68b & m32
                x = (x ^ x >> 16) + (0 if slot is None else slot[0] * 2**32 // slot[1]) & m32
                assert got[i] == (x >> 20) - 2048

    def test_errors_are_zero_on_average(self):
        """Over 4,000 seeds: the mean error of each of 64 values is within five standard deviations of 0."""
        x = np.linspace(-1.3, 1.7, 64)
        errors = np.array([gradsz.dequantize(gradsz.quantize(x, 0.5, grid="dithered", seed=s)) - x for s in range(4000)])
        assert np.abs(errors).max() <= 0.5
        assert np.abs(errors.mean(axis=0)).max() < 5 * 0.5 / 3**0.5 / 4000**0.5 + 0.5 / 4096

    def test_slots_spread_the_offsets(self):
        offsets = np.array([gradsz.quantized._offsets(1000, 9, (i, 64)) for i in range(64)])
        assert (np.diff(np.sort(offsets, axis=0), axis=0) == 64).all()

    def test_a_seed_is_needed(self):
        for call in (lambda: gradsz.quantize(np.ones(3), 0.1, grid="dithered"), lambda: gradsz.dequantize(np.ones(3, int), 0.1, grid="dithered")):
            with pytest.raises(ParameterError, match="seed"):
                call()


class TestSecureAggregation:
    N, BITS = 100, 24

    def masked(self, values):
        """Each pair of clients shares a mask that one adds and the other subtracts, modulo 2^bits."""
        sums = [v.astype(np.uint32) for v in values]
        for i in range(self.N):
            for j in range(i):
                mask = np.random.default_rng((i, j)).integers(0, 2**32, values[0].size, dtype=np.uint32)
                sums[i] += mask
                sums[j] -= mask
        return [s % 2**self.BITS for s in sums]

    @pytest.mark.parametrize("grid", ["aligned", "dithered"])
    def test_the_sum_of_a_hundred_masked_clients(self, grid):
        rng, bound = np.random.default_rng(4), 1e-3
        inputs = [sample(np.dtype("float32"), "normal", 200, rng) for _ in range(self.N)]
        slots = [(i, self.N) for i in range(self.N)]
        quantized = [gradsz.quantize(x, bound, grid=grid, seed=11, slot=slot, bits=self.BITS) for x, slot in zip(inputs, slots, strict=True)]
        step = quantized[0].step
        assert {q.step for q in quantized} == {step}
        sent = self.masked([q.values for q in quantized])
        assert all((s != q.values % 2**self.BITS).mean() > 0.99 for s, q in zip(sent, quantized, strict=True))
        received = sum(s.astype(np.int64) for s in sent) % 2**self.BITS
        total = sum(q.values.astype(np.int64) for q in quantized)
        units = sum(gradsz.quantized._offsets(200, 11, slot) for slot in slots) if grid == "dithered" else np.zeros(200, int)
        check_exactly(inputs, total, step, bound, units)
        decoded = gradsz.dequantize(received, step, bits=self.BITS, grid=grid, seed=11 if grid == "dithered" else None,
                                    slots=slots if grid == "dithered" else None)
        nearest = [float(Fraction(step) * (k + Fraction(u, 4096))) for k, u in zip(total.tolist(), units.tolist(), strict=True)]
        assert decoded.tolist() == nearest          # rounded once

    def test_sums_around_the_modulus(self):
        for total in (-128, -127, -1, 0, 1, 127):
            for residue in (total, total % 256, total + 256, np.uint8(total % 256)):
                assert gradsz.dequantize(np.asarray(residue), 0.5, bits=8) == total / 2

    def test_as_many_clients_as_fit(self):
        x = np.array([127.0, -127.0]) * 2
        q = gradsz.quantize(x, 1.0, clients=1, bits=8)
        assert q.values.tolist() == [127, -127]
        with pytest.raises(ParameterError, match="bits=9 would do"):
            gradsz.quantize(x, 1.0, clients=2, bits=8)
        with pytest.raises(ParameterError, match="bits=9 would do"):
            gradsz.quantize(x, 1.0, slot=(0, 2), bits=8)
        assert gradsz.quantize(x, 1.0, clients=2, bits=9).values.tolist() == [127, -127]

    @examples(100)
    @given(st.integers(1, 2**20), st.integers(1, 500), st.integers(2, 32))
    def test_the_bits_that_are_advised_do_and_one_less_does_not(self, largest, clients, bits):
        x = np.array([largest, -largest], float) * 2
        try:
            gradsz.quantize(x, 1.0, clients=clients, bits=bits)
            assert largest * clients < 2**(bits - 1)
        except ParameterError as error:
            assert largest * clients >= 2**(bits - 1)
            if "would do" not in str(error):
                assert largest * clients >= 2**31
                return
            needed = int(str(error).split("bits=")[1].split()[0])
            assert gradsz.quantize(x, 1.0, clients=clients, bits=needed).values[0] == largest
            assert largest * clients >= 2**(needed - 2)


class TestRefused:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_what_is_not_finite(self, value):
        with pytest.raises(ParameterError, match="1 of 6 values are not finite, the first is .* index 4"):
            gradsz.quantize(np.array([[1, 2, 3], [4, value, 6]], "f4"), 0.1)

    @pytest.mark.parametrize("x", [1e300, -1e300, 3e9])
    def test_what_is_too_large(self, x):
        with pytest.raises(ParameterError, match="raise error_bound"):
            gradsz.quantize(np.array([x]), 1e-10 if abs(x) > 1e10 else 0.5)

    @pytest.mark.parametrize("x", [np.arange(3), np.array([True])], ids=repr)
    def test_integers(self, x):
        with pytest.raises(gradsz.UnsupportedDtypeError, match="integers can be added"):
            gradsz.quantize(x, 0.1)

    @pytest.mark.parametrize("options, match", [
        ({"error_bound": 0}, "leaves no bins"), ({"error_bound": -1}, "error_bound"), ({"grid": "centred"}, "aligned"), ({"grid": "shrunk"}, "aligned"),
        ({"bits": 33}, "bits"), ({"bits": 1}, "bits"), ({"bits": 8.0}, "bits"), ({"clients": 0}, "clients"), ({"clients": "2"}, "clients"),
        ({"mode": "x"}, "mode"), ({"slot": (2, 2)}, "slot"), ({"seed": -1, "grid": "dithered"}, "seed")], ids=repr)
    def test_parameters(self, options, match):
        with pytest.raises(ParameterError, match=match):
            gradsz.quantize(np.ones(3), **{"error_bound": 0.1, **options})

    @pytest.mark.parametrize("arguments, match", [(([1.5], 1.0), "integers"), (([1], None), "step"), (([1], -1.0), "step"), (([1], np.nan), "step"),
                                                  ((gradsz.quantize(np.ones(1), 1.0), 1.0), "leave it out")], ids=repr)
    def test_dequantize(self, arguments, match):
        with pytest.raises(ParameterError, match=match):
            gradsz.dequantize(*arguments)


def test_empty_scalars_and_zeros():
    assert gradsz.quantize(np.zeros((0, 3)), 0.1).values.shape == (0, 3)
    assert gradsz.dequantize(gradsz.quantize(np.zeros((0, 3)), 0.1, grid="dithered", seed=1)).shape == (0, 3)
    assert gradsz.dequantize(gradsz.quantize(np.float32(0.7), 0.25)).shape == ()
    zeros = gradsz.quantize(np.zeros(5), 1e-2, mode="rel")
    assert zeros.step == 0 and (gradsz.dequantize(zeros) == 0).all()


def test_the_input_is_left_alone_and_types_come_out_as_asked():
    x = np.linspace(0, 1, 50).astype(ml_dtypes.bfloat16)
    before = x.tobytes()
    q = gradsz.quantize(x[::2], 0.01)
    assert x.tobytes() == before and gradsz.dequantize(q, dtype=np.float32).dtype == np.float32
