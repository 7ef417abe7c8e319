"""Guarantee 4, determinism: kernels, threads and memory layout leave no trace in the bytes or in the values."""
import itertools

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ALL, FLOATS, KINDS, LEVELS, MODELS, MODES, PREDICTORS, as_dtype, cases, examples, ids, layouts, noise, sample

import gradsz
from gradsz import _core

FEATURES = [1 << i for i in range(32) if _core.cpu_features() >> i & 1]
every_level = pytest.mark.parametrize("level", LEVELS)
MASKS = [sum(subset) for n in range(len(FEATURES) + 1) for subset in itertools.combinations(FEATURES, n)]


@pytest.fixture(scope="module")
def large():
    """Several chunks, every kind of data, specials, three dimensions."""
    rng = np.random.default_rng(0)
    parts = [sample(np.dtype("float32"), kind, 100_000, rng) for kind in KINDS]
    return np.concatenate(parts).reshape(80, 100, 100)


class TestKernels:
    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    @every_level
    @examples(60)
    @given(data=st.data())
    def test_every_kernel_gives_the_same_bytes_and_values(self, dtype, level, data):
        case = data.draw(cases(dtype))
        results = set()
        for mask in MASKS:
            before = _core.set_cpu_mask(mask)
            try:
                message = gradsz.compress(case.array, case.bound, **case.options, level=level)
                results.add((message, gradsz.decompress(message).tobytes()))
            finally:
                _core.set_cpu_mask(before)
        assert len(results) == 1

    @pytest.mark.parametrize("mode, bound", [("abs", 1e-3), ("abs", 0), ("rel", 1e-5), ("rms", 1e-3), ("l2", 1e-2), ("psnr", 70)])
    @every_level
    def test_several_chunks(self, large, mode, bound, level, cpu_mask):
        results = set()
        for mask in MASKS:
            cpu_mask(mask)
            message = gradsz.compress(large, bound, mode=mode, level=level)
            results.add((message, gradsz.decompress(message).tobytes()))
        assert len(results) == 1

    @pytest.mark.parametrize("predictor", PREDICTORS + MODELS)
    def test_messages_cross_from_kernel_to_kernel(self, large, predictor, cpu_mask):
        for write, read in itertools.permutations(MASKS, 2):
            cpu_mask(write)
            message = gradsz.compress(large[:8], 1e-3, predictor=predictor)
            values = gradsz.decompress(message)
            cpu_mask(read)
            assert oracle.same_bits(values, gradsz.decompress(message))

    def test_a_mask_cannot_add_what_the_machine_lacks(self, cpu_mask):
        a = np.linspace(0, 1, 5000)
        expected = gradsz.compress(a, 1e-3)
        cpu_mask(0xffffffff)
        assert gradsz.compress(a, 1e-3) == expected

    def test_the_mask_before_is_returned(self, cpu_mask):
        assert cpu_mask(0) == 0xffffffff
        assert cpu_mask(None) == 0
        assert "portable C" in (cpu_mask(0), _core.build_info())[1]


class TestThreads:
    @pytest.mark.parametrize("mode, bound", [("abs", 1e-3), ("abs", 0), ("rel", 1e-5), ("rms", 1e-3), ("l2", 1e-2)])
    @pytest.mark.parametrize("predictor", ["auto", "lorenzo", "structure"])
    def test_threads_leave_no_trace(self, large, mode, bound, predictor):
        expected = gradsz.compress(large, bound, mode=mode, predictor=predictor)
        values = gradsz.decompress(expected)
        for n in (2, 3, 5, 8, 1024):
            assert gradsz.compress(large, bound, mode=mode, predictor=predictor, nthreads=n) == expected
            assert oracle.same_bits(gradsz.decompress(expected, nthreads=n), values)

    @every_level
    def test_threads_leave_no_trace_in_many_tensors(self, large, level):
        rng = np.random.default_rng(1)
        update = {f"t{i}": as_dtype(large.reshape(-1)[:n], np.dtype(d)) for i, (n, d) in enumerate(itertools.product(
            (0, 1, 1024, 1025, 30_000), ("float16", "float32", "float64")))}
        update |= {str(d): noise(d, 3000, rng) for d in ALL}
        update |= {f"kernels{i}": large.reshape(-1)[i:i + 90_000].reshape(100, 100, 3, 3) for i in range(5)}
        expected = gradsz.compress_tensors(update, 1e-2, level=level)
        values = gradsz.decompress_tensors(expected)
        for n in range(2, 9):
            assert gradsz.compress_tensors(update, 1e-2, level=level, nthreads=n) == expected
            decoded = gradsz.decompress_tensors(expected, nthreads=n)
            assert list(decoded) == list(update)
            assert all(oracle.same_bits(decoded[k], values[k]) for k in update)


class TestLayouts:
    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    @pytest.mark.parametrize("shape", [(), (0,), (700,), (25, 40), (3, 0), (5, 6, 40), (2, 3, 4, 5, 6)], ids=str)
    def test_the_memory_layout_leaves_no_trace(self, dtype, shape):
        n = int(np.prod(shape))
        rng = np.random.default_rng(2)
        a = (sample(dtype, "smooth", n, rng) if dtype in FLOATS else noise(dtype, n, rng)).reshape(shape)
        for bound, predictor in ((1e-2, "auto"), (1e-2, "lorenzo"), (1e-2, "structure"), (0, "auto")):
            messages = {name: gradsz.compress(b, bound, predictor=predictor) for name, b in layouts(a).items()}
            assert len(set(messages.values())) == 1, messages.keys()
        assert oracle.same_bits(a, gradsz.decompress(messages["C"]))

    def test_broadcast_arrays(self):
        row = np.random.default_rng(3).normal(size=300)
        assert gradsz.compress(np.broadcast_to(row, (20, 300)), 1e-3) == gradsz.compress(np.tile(row, (20, 1)), 1e-3)


class TestRepetition:
    @pytest.mark.parametrize("mode", MODES)
    @every_level
    def test_the_same_call_gives_the_same_bytes_whatever_came_before(self, mode, level):
        rng = np.random.default_rng(4)
        a = sample(np.dtype("float32"), "sparse", 5000, rng)
        first = gradsz.compress(a, 0.1, mode=mode, level=level)
        for kind in KINDS:
            gradsz.compress(sample(np.dtype("float64"), kind, 9000, rng), 1e-4)
            assert gradsz.compress(a, 0.1, mode=mode, level=level) == first

    def test_decoding_twice_gives_the_same_values(self):
        a = sample(np.dtype("float64"), "mixed", 5000, np.random.default_rng(5))
        message = gradsz.compress(a, 1e-3)
        assert oracle.same_bits(gradsz.decompress(message), gradsz.decompress(message))

    @every_level
    def test_compressing_what_was_decoded_changes_nothing_more(self, level):
        """Values decoded on an aligned grid lie on it, so they come back bit for bit under the same bound."""
        a = sample(np.dtype("float32"), "normal", 5000, np.random.default_rng(6))
        once = gradsz.decompress(gradsz.compress(a, 1e-3, level=level, grid="aligned"))
        assert oracle.same_bits(once, gradsz.decompress(gradsz.compress(once, 1e-3, level=level, grid="aligned")))
