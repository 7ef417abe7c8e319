"""Every public function of single arrays: each parameter, each error, what its message says."""
import array
import ctypes
import inspect
import mmap
import sys

import numpy as np
import oracle
import pytest
from hypothesis import given
from strategies import ALL, BFLOAT16, FLOATS, GRIDS, LEVELS, MODELS, MODES, PREDICTORS, SHAPES, cases, examples, ids, layouts, noise, sample

import gradsz
from gradsz import ParameterError, UnsupportedDtypeError

A = sample(np.dtype("float32"), "smooth", 2400, np.random.default_rng(0)).reshape(20, 120)
MESSAGE = gradsz.compress(A, 1e-3)


class TestNames:
    def test_everything_in_all_exists_and_is_documented(self):
        for name in gradsz.__all__:
            assert name == "__version__" or getattr(gradsz, name).__doc__

    def test_the_version_is_a_string(self):
        assert isinstance(gradsz.__version__, str)

    @pytest.mark.parametrize("function", ["compress", "decompress", "compress_bound", "compress_tensors", "decompress_tensors", "info", "verify"])
    def test_every_parameter_is_documented(self, function):
        function = getattr(gradsz, function)
        for parameter in inspect.signature(function).parameters:
            assert parameter in function.__doc__, parameter

    def test_the_hierarchy_of_errors(self):
        for error in (ParameterError, UnsupportedDtypeError, gradsz.CorruptError, gradsz.UnsupportedError, gradsz.LimitError):
            assert issubclass(error, gradsz.GradszError) and not issubclass(error, (OSError, AssertionError))
        assert issubclass(ParameterError, ValueError) and issubclass(UnsupportedDtypeError, TypeError)
        assert issubclass(gradsz.TruncatedError, gradsz.CorruptError)

    def test_options_are_keywords_only(self):
        with pytest.raises(TypeError):
            gradsz.compress(A, 1e-3, "abs")
        with pytest.raises(TypeError):
            gradsz.decompress(MESSAGE, A)


class TestArrays:
    """What compress takes."""

    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_every_dtype_in_every_shape(self, dtype, shape):
        a = noise(dtype, int(np.prod(shape)), np.random.default_rng(1)).reshape(shape)
        for bound in (0, 0.5):
            b = gradsz.decompress(gradsz.compress(a, bound))
            assert b.dtype == dtype and b.shape == shape and b.flags.c_contiguous and b.flags.writeable
        assert oracle.same_bits(a, gradsz.decompress(gradsz.compress(a, 0)))

    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    @pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "reversed", "read-only", "unaligned", "swapped"])
    def test_every_layout(self, dtype, layout):
        a = noise(dtype, 120, np.random.default_rng(2)).reshape(4, 5, 6)
        if (b := layouts(a).get(layout)) is not None:
            assert oracle.same_bits(a, gradsz.decompress(gradsz.compress(b, 0)))

    def test_big_endian_comes_back_native(self):
        b = gradsz.decompress(gradsz.compress(np.arange(10, dtype=">f8"), 0))
        assert b.dtype.isnative and (b == np.arange(10)).all()

    def test_32_dimensions_and_no_more(self):
        a = np.arange(6.0).reshape((1,) * 29 + (1, 2, 3))
        assert gradsz.decompress(gradsz.compress(a, 0)).shape == a.shape
        try:
            more = a[None]
        except (ValueError, IndexError):
            return      # a numpy that cannot make one
        with pytest.raises(ParameterError, match="33 dimensions, at most 32"):
            gradsz.compress(more, 0)

    @pytest.mark.parametrize("make", [
        lambda: bytearray(b"abc"), lambda: memoryview(b"abc"), lambda: array.array("f", [1, 2, 3]), lambda: (ctypes.c_double * 3)(1, 2, 3),
        lambda: [1.0, 2.0], lambda: ((1, 2), (3, 4)), lambda: 3.5, lambda: 7, lambda: True, lambda: np.float32(2), lambda: range(5),
        lambda: memoryview(np.arange(12.0).reshape(3, 4)), lambda: memoryview(np.arange(12.0))[::3],
    ], ids=["bytearray", "memoryview", "array", "ctypes", "list", "tuples", "float", "int", "bool", "scalar", "range", "2-d view", "strided view"])
    def test_any_buffer_or_array_like(self, make):
        a = np.asarray(make())
        assert oracle.same_bits(a, gradsz.decompress(gradsz.compress(make(), 0)))

    def test_mapped_files(self, tmp_path):
        np.save(tmp_path / "a.npy", A)
        mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
        assert gradsz.compress(mapped, 1e-3) == MESSAGE
        (tmp_path / "m").write_bytes(MESSAGE)
        with open(tmp_path / "m", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as view:
            assert oracle.same_bits(gradsz.decompress(view), gradsz.decompress(MESSAGE))

    def test_subclasses_are_taken_as_arrays(self):
        assert gradsz.compress(A.view(np.recarray), 1e-3) == MESSAGE

    @pytest.mark.parametrize("value, named", [
        (np.zeros(3, complex), "complex128"), (np.array(["a"]), "<U1"), (np.array([None]), "object"), (None, "object"), ("text", "<U4"),
        (np.zeros(2, "M8[s]"), "datetime64"), (np.zeros(2, "m8[s]"), "timedelta64"), (np.zeros(2, [("x", "f4")]), "x"),
        (np.zeros(2, "V3"), "V3"), (np.array([b"ab"]), "S2"), (np.zeros(1, np.complex64), "complex64"),
        pytest.param(np.zeros(1, np.longdouble), "float", marks=pytest.mark.skipif(np.longdouble(0).itemsize == 8, reason="long double is float64 here")),
    ], ids=lambda v: v if isinstance(v, str) else "")
    def test_other_dtypes_are_refused_by_name(self, value, named):
        with pytest.raises(UnsupportedDtypeError, match="allowed are float16, bfloat16, float32") as caught:
            gradsz.compress(value, 0)
        assert named in str(caught.value)

    def test_masked_arrays_are_refused_with_the_way_out(self):
        with pytest.raises(ParameterError, match="filled"):
            gradsz.compress(np.ma.array([1.0, 2.0], mask=[0, 1]), 0)

    def test_ragged_lists_are_refused(self):
        with pytest.raises(ParameterError):
            gradsz.compress([[1.0], [1.0, 2.0]], 0)

    @pytest.mark.skipif(not BFLOAT16, reason="needs ml_dtypes")
    def test_a_bfloat16_message_without_ml_dtypes_names_what_is_missing(self, monkeypatch):
        message = gradsz.compress(np.zeros(9, BFLOAT16[0]), 0)
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
        assert gradsz.info(message).tensors[0].dtype == "bfloat16"
        with pytest.raises(UnsupportedDtypeError, match="pip install ml_dtypes"):
            gradsz.decompress(message)


class TestCompressOptions:
    @pytest.mark.parametrize("level", LEVELS)
    @examples(100)
    @given(cases())
    def test_any_combination_works(self, level, case):
        message = gradsz.compress(case.array, case.bound, **case.options, level=level, nthreads=2)
        assert type(message) is bytes
        assert gradsz.decompress(message, nthreads=2, max_output=max(case.array.nbytes, 1)).shape == case.array.shape

    @pytest.mark.parametrize("bound", [1, 1e-3, np.float32(0.5), np.int8(2), np.float64(1e-5), True, np.array(0.5)], ids=repr)
    def test_numbers_of_any_kind_are_bounds(self, bound):
        assert gradsz.compress(A, bound) == gradsz.compress(A, float(bound))

    @pytest.mark.parametrize("bound", [-1, -1e-300, float("nan"), float("inf"), float("-inf"), 10**400, np.float32("inf")], ids=repr)
    @pytest.mark.parametrize("mode", MODES)
    def test_bounds_out_of_range(self, bound, mode):
        with pytest.raises(ParameterError, match="error_bound is .*must be finite and not negative"):
            gradsz.compress(A, bound, mode=mode)

    @pytest.mark.parametrize("bound", [None, "small", [1], 1j, A, object()], ids=lambda v: type(v).__name__)
    def test_bounds_that_are_no_number(self, bound):
        with pytest.raises(ParameterError, match="error_bound must be a number"):
            gradsz.compress(A, bound)

    def test_negative_zero_is_bit_exact(self):
        assert gradsz.compress(A, -0.0) == gradsz.compress(A, 0)

    @pytest.mark.parametrize("option, allowed", [("mode", MODES), ("level", LEVELS), ("predictor", PREDICTORS + MODELS),
                                                 ("grid", GRIDS)])
    @pytest.mark.parametrize("value", ["", "ABS", "fastest", None, 0, 2, b"abs", ["abs"]], ids=repr)
    def test_unknown_choices_are_answered_with_the_known(self, option, allowed, value):
        with pytest.raises(ParameterError) as caught:
            gradsz.compress(A, 1e-3, **{option: value})
        assert repr(value) in str(caught.value) and all(repr(choice) in str(caught.value) for choice in allowed)

    @pytest.mark.parametrize("value", [0, -1, 1025, 2**70])
    def test_thread_counts_out_of_range(self, value):
        for call in (lambda: gradsz.compress(A, 1, nthreads=value), lambda: gradsz.decompress(MESSAGE, nthreads=value)):
            with pytest.raises(ParameterError, match=f"nthreads is {value}; it must be between 1 and 1024"):
                call()

    @pytest.mark.parametrize("value", [1.5, "2", None])
    def test_thread_counts_that_are_no_integer(self, value):
        for call in (lambda: gradsz.compress(A, 1, nthreads=value), lambda: gradsz.decompress(MESSAGE, nthreads=value)):
            with pytest.raises(ParameterError, match="nthreads must be an integer"):
                call()

    @pytest.mark.parametrize("asked, shape, expected", [
        ("none", (600,), "none"), ("lorenzo1", (600,), "lorenzo1"), ("lorenzo2", (20, 30), "lorenzo2"), ("lorenzo3", (5, 10, 12), "lorenzo3"),
        ("lorenzo", (600,), "lorenzo1"), ("lorenzo", (20, 30), "lorenzo2"), ("lorenzo", (2, 5, 6, 10), "lorenzo3"),
        ("lorenzo3", (20, 30), "lorenzo2"), ("lorenzo2", (1, 600, 1), "lorenzo1")])
    def test_a_predictor_has_at_most_the_dimensions_of_the_array(self, asked, shape, expected):
        a = A.reshape(-1)[:600].reshape(shape)
        assert gradsz.info(gradsz.compress(a, 1e-2, predictor=asked)).tensors[0].predictor == expected

    def test_auto_predicts_smooth_data_and_leaves_noise_alone(self):
        x = np.linspace(0, 9, 300)
        smooth = np.sin(x)[:, None] * np.cos(x)[None, :]
        rough = np.random.default_rng(3).normal(size=(300, 300))
        assert gradsz.info(gradsz.compress(smooth, 1e-4, level="fast")).tensors[0].predictor in ("lorenzo1", "lorenzo2")
        assert gradsz.info(gradsz.compress(rough, 1e-1, level="fast")).tensors[0].predictor == "none"
        best = min(len(gradsz.compress(smooth, 1e-4, predictor=p)) for p in PREDICTORS if p != "auto")
        assert len(gradsz.compress(smooth, 1e-4, level="fast")) <= 1.2 * best

    def test_balanced_is_the_default_and_models_what_is_rough(self):
        rough = np.random.default_rng(3).normal(size=(300, 300)) * np.linspace(0.1, 1, 300)[:, None]
        message = gradsz.compress(rough, 1e-1)
        assert message == gradsz.compress(rough, 1e-1, level="balanced") == gradsz.compress(rough, 1e-1, predictor="low-rank")
        t = gradsz.info(message).tensors[0]
        assert (t.codec, t.predictor, t.grid, t.coder) == ("model", "structure", "centred", "rans")
        assert len(message) < len(gradsz.compress(rough, 1e-1, level="fast"))
        assert gradsz.info(gradsz.compress(rough, 0.5, mode="l2")).tensors[0].grid == "aligned"
        assert gradsz.info(gradsz.compress(rough, 0.1, grid="aligned")).tensors[0].grid == "aligned"

    @pytest.mark.parametrize("bins", [2, 6, 9, 10, 11, 13, 20])
    def test_noise_is_not_taken_for_few_levels(self, bins):
        """Columns as far apart as samples are, and of their own scale."""
        rng = np.random.default_rng(bins)
        for columns in (2048, 1024, 700):
            x = (rng.normal(size=(256, columns)) * bins * 0.2 * np.exp(rng.normal(size=columns) / 2)).astype("f4")
            assert gradsz.info(gradsz.compress(x, 0.1)).tensors[0].codec == "model"

    @pytest.mark.parametrize("levels", [2, 5, 16])
    def test_few_levels_far_apart_are_not_modelled(self, levels):
        x = np.random.default_rng(levels).integers(0, levels, (300, 512)).astype("f4")
        message = gradsz.compress(x, 0.01)
        assert gradsz.info(message).tensors[0].codec == "uniform" and len(message) < len(gradsz.compress(x, 0.01, predictor="structure"))

    def test_equal_values_come_back_equal_on_an_aligned_grid(self):
        a = np.random.default_rng(4).normal(size=(60, 50)).astype("f4")
        a[:, 25:] = a[::-1, :25]
        b = gradsz.decompress(gradsz.compress(a, 0.1, predictor="structure", grid="aligned"))
        assert (b[:, 25:] == b[::-1, :25]).all()



class TestMessages:
    """What decompress takes."""

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda m: np.frombuffer(m, np.uint8), lambda m: array.array("B", m),
                                      lambda m: memoryview(b"xx" + m)[2:], lambda m: np.frombuffer(m, np.int8)],
                             ids=["bytes", "bytearray", "memoryview", "array", "array.array", "slice", "int8"])
    def test_any_contiguous_buffer(self, wrap):
        expected = gradsz.decompress(MESSAGE)
        assert oracle.same_bits(gradsz.decompress(wrap(MESSAGE)), expected)
        assert str(gradsz.info(wrap(MESSAGE))) == str(gradsz.info(MESSAGE))
        assert oracle.same_bits(gradsz.decompress_tensors(wrap(MESSAGE))[""], expected)

    @pytest.mark.parametrize("value", [None, "text", 5, [1, 2]], ids=repr)
    def test_what_is_no_buffer(self, value):
        for call in (gradsz.decompress, gradsz.info, gradsz.decompress_tensors):
            with pytest.raises(ParameterError, match=f"not {type(value).__name__}"):
                call(value)

    def test_buffers_with_gaps(self):
        with pytest.raises(ParameterError, match="contiguous"):
            gradsz.decompress(memoryview(MESSAGE * 2)[::2])

    @pytest.mark.parametrize("data", [b"", bytearray(), np.zeros(0, np.uint8)], ids=["bytes", "bytearray", "array"])
    def test_nothing_at_all_is_truncated(self, data):
        for call in (gradsz.decompress, gradsz.info, gradsz.decompress_tensors):
            with pytest.raises(gradsz.TruncatedError):
                call(data)

    @pytest.mark.parametrize("data", [b"PK\x03\x04" + bytes(30), b"\x93NUMPY" + bytes(99), b"gsz" + bytes(30), b"x"])
    def test_other_files_are_not_messages(self, data):
        with pytest.raises(gradsz.CorruptError, match="magic|gradsz") as caught:
            gradsz.decompress(data)
        assert not isinstance(caught.value, gradsz.TruncatedError)

    def test_codes_are_those_of_the_core(self):
        for data, code in ((b"", 20), (b"nope!", 10), (MESSAGE + b"\0", 36), (MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1]), 31)):
            with pytest.raises(gradsz.GradszError) as caught:
                gradsz.decompress(data)
            assert caught.value.code == code

    def test_a_message_of_several_tensors_needs_the_other_function(self):
        for update in ({}, {"a": A, "b": A}):
            with pytest.raises(ParameterError, match=f"{len(update)} tensors; use decompress_tensors"):
                gradsz.decompress(gradsz.compress_tensors(update, 1e-3))
        assert gradsz.decompress(gradsz.compress_tensors({"a": A}, 1e-3)).shape == A.shape

    @pytest.mark.parametrize("value, said", [(0, "at least 1 byte"), (-5, "max_output is -5"), (1.5, "number of bytes"), ("1", "number of bytes")])
    def test_limits_that_are_none(self, value, said):
        for call in (gradsz.decompress, gradsz.decompress_tensors):
            with pytest.raises(ParameterError, match=said):
                call(MESSAGE, max_output=value)

    def test_limits_beyond_any_memory_are_fine(self):
        assert gradsz.decompress(MESSAGE, max_output=2**80).shape == A.shape


class TestOut:
    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_decodes_into_it_and_returns_it(self, dtype, shape):
        a = noise(dtype, int(np.prod(shape)), np.random.default_rng(4)).reshape(shape)
        out = np.ones(shape, dtype)
        for bound in (0, 0.25):
            message = gradsz.compress(a, bound)
            assert gradsz.decompress(message, out=out) is out
            assert oracle.same_bits(out, gradsz.decompress(message))

    def test_a_part_of_a_larger_array(self):
        whole = np.zeros((3, *A.shape), A.dtype)
        gradsz.decompress(MESSAGE, out=whole[1])
        assert (whole[0] == 0).all() and (whole[2] == 0).all() and oracle.same_bits(whole[1], gradsz.decompress(MESSAGE))

    def test_mapped_files(self, tmp_path):
        out = np.memmap(tmp_path / "out", A.dtype, "w+", shape=A.shape)
        assert gradsz.decompress(MESSAGE, out=out) is out
        assert np.array_equal(out, gradsz.decompress(MESSAGE))

    @pytest.mark.parametrize("out, said", [
        (np.zeros(A.shape, "f8"), "out is float64 of shape (20, 120); the message holds float32 of shape (20, 120)"),
        (np.zeros(A.shape, "i4"), "out is int32"),
        (np.zeros(A.shape, np.dtype("f4").newbyteorder("S")), "float32 of shape"),
        (np.zeros((120, 20), "f4"), "shape (120, 20)"), (np.zeros(2400, "f4"), "shape (2400,)"), (np.zeros((20, 121), "f4"), "(20, 121)"),
        (np.zeros((120, 20), "f4").T, "C-contiguous"), (np.zeros((20, 240), "f4")[:, ::2], "C-contiguous"), (np.zeros(A.shape, "f4")[::-1], "C-contiguous"),
        (bytearray(A.nbytes), "not bytearray"), ([0.0], "not list"), (memoryview(bytearray(A.nbytes)), "not memoryview"),
    ], ids=["float64", "int32", "byte order", "transposed shape", "flat", "too large", "Fortran", "strided", "reversed", "bytearray", "list", "view"])
    def test_what_does_not_fit_is_told(self, out, said):
        with pytest.raises(ParameterError) as caught:
            gradsz.decompress(MESSAGE, out=out)
        assert said in str(caught.value)

    def test_read_only(self):
        out = np.zeros(A.shape, "f4")
        out.flags.writeable = False
        with pytest.raises(ParameterError, match="writeable"):
            gradsz.decompress(MESSAGE, out=out)
        assert (out == 0).all()

    def test_memory_shared_with_the_message(self):
        memory = bytearray(20_000)
        memory[:len(MESSAGE)] = MESSAGE
        message = memoryview(memory)[:len(MESSAGE)]
        for offset in (0, (len(MESSAGE) - 1) // 4 * 4):
            out = np.frombuffer(memory, np.float32, A.size, offset).reshape(A.shape)
            with pytest.raises(ParameterError, match="overlaps"):
                gradsz.decompress(message, out=out)
        assert memory[:len(MESSAGE)] == MESSAGE
        behind = np.frombuffer(memory, np.float32, A.size, (len(MESSAGE) + 3) // 4 * 4).reshape(A.shape)
        assert oracle.same_bits(gradsz.decompress(message, out=behind), gradsz.decompress(MESSAGE))

    def test_unaligned(self):
        out = np.zeros(A.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(A.shape)
        with pytest.raises(ParameterError, match="aligned"):
            gradsz.decompress(MESSAGE, out=out)


class TestCompressBound:
    def test_arrays_shapes_and_lengths_agree(self):
        assert gradsz.compress_bound(A) == gradsz.compress_bound(A.shape, A.dtype) == gradsz.compress_bound(list(A.shape), "float32")
        assert gradsz.compress_bound(2400, "f4") == gradsz.compress_bound((2400,), np.float32) == gradsz.compress_bound(np.int64(2400), ">f4")

    def test_depends_on_shape_and_dtype_only(self):
        assert gradsz.compress_bound(np.zeros_like(A)) == gradsz.compress_bound(A)

    @pytest.mark.parametrize("shape", [(-1,), (2**62,), (1,) * 33, (3, -5)], ids=str)
    def test_shapes_out_of_range(self, shape):
        with pytest.raises(ParameterError, match="at most 32 dimensions of 0 to"):
            gradsz.compress_bound(shape, "float32")

    def test_sizes_that_no_message_holds(self):
        with pytest.raises(gradsz.LimitError, match="larger than a message can hold"):
            gradsz.compress_bound((2**40, 2**40), "float64")

    @pytest.mark.parametrize("dtype", ["complex64", object, "S3", "foo"], ids=str)
    def test_dtypes_out_of_range(self, dtype):
        with pytest.raises(UnsupportedDtypeError):
            gradsz.compress_bound((3,), dtype)

    @pytest.mark.parametrize("shape", ["ab", (1.5,), None, 2.5, ("x",)], ids=repr)
    def test_what_is_no_shape(self, shape):
        with pytest.raises(ParameterError):
            gradsz.compress_bound(shape, "float32")


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
def test_the_examples_of_a_newcomer(dtype):
    a = sample(dtype, "normal", 10_000, np.random.default_rng(5)).reshape(100, 100)
    message = gradsz.compress(a, 0.05)
    b = gradsz.decompress(message)
    assert len(message) < a.nbytes and gradsz.verify(a, b, 0.05)
