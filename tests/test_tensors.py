"""Named tensors: names, dtypes, shapes and order travel; what loses and what does not."""
import hashlib
from collections import OrderedDict, UserDict
from types import MappingProxyType

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ALL, FLOATS, MODES, examples, ids, noise, sample

import gradsz
from gradsz import ParameterError

RNG = np.random.default_rng(0)
UPDATE = {"conv.weight": sample(np.dtype("float32"), "normal", 2400, RNG).reshape(10, 240), "conv.bias": np.ones(10, "f4"),
          "steps": np.int64(7), "mask": np.array([True, False]), "empty": np.zeros((0, 4)), "half": sample(np.dtype("float16"), "smooth", 1025, RNG)}
MESSAGE = gradsz.compress_tensors(UPDATE, 1e-2)


def codecs(message):
    return {t.name: t.codec for t in gradsz.info(message).tensors}


class TestRoundTrip:
    def test_names_dtypes_shapes_and_order_travel(self):
        decoded = gradsz.decompress_tensors(MESSAGE)
        assert list(decoded) == list(UPDATE)
        for name, a in UPDATE.items():
            assert decoded[name].dtype == np.asarray(a).dtype and decoded[name].shape == np.shape(a)
            assert isinstance(decoded[name], np.ndarray)

    def test_order_is_that_of_the_mapping(self):
        backwards = dict(reversed(UPDATE.items()))
        assert list(gradsz.decompress_tensors(gradsz.compress_tensors(backwards, 1e-2))) == list(backwards)

    @pytest.mark.parametrize("mode", MODES)
    def test_each_tensor_resolves_the_bound_on_its_own_values(self, mode):
        bound = 60.0 if mode == "psnr" else 1e-3
        rng = np.random.default_rng(1)
        update = {f"{kind}{d}": sample(d, kind, 2000, rng) for kind in ("normal", "sparse", "offset") for d in FLOATS}
        message = gradsz.compress_tensors(update, bound, mode=mode)
        decoded = gradsz.decompress_tensors(message)
        for t in gradsz.info(message).tensors:
            a, b = update[t.name], decoded[t.name]
            oracle.check_decoded(a, b, t.codec, t.eb)
            if t.codec in oracle.LOSSY:
                oracle.check_resolved(a, b, t.eb, bound, mode, 2**-12)
            assert t.eb == gradsz.info(gradsz.compress(a, bound, mode=mode)).tensors[0].eb
            assert oracle.same_bits(b, gradsz.decompress(gradsz.compress(a, bound, mode=mode)))

    def test_the_mode_is_rel_unless_told_otherwise(self):
        a = np.linspace(0, 10, 5000)
        for level, exact in (("fast", 1e-15), ("balanced", 2**-12)):
            assert gradsz.info(gradsz.compress_tensors({"a": a}, 1e-3, level=level)).tensors[0].eb == pytest.approx(1e-2, rel=exact)

    @pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
    def test_every_dtype(self, dtype):
        a = noise(dtype, 500, np.random.default_rng(2))
        assert oracle.same_bits(gradsz.decompress_tensors(gradsz.compress_tensors({"a": a}, 0))["a"], a)

    @pytest.mark.parametrize("kind", [dict, OrderedDict, UserDict, MappingProxyType])
    def test_any_mapping(self, kind):
        assert gradsz.compress_tensors(kind(UPDATE), 1e-2) == MESSAGE

    def test_no_tensors(self):
        message = gradsz.compress_tensors({}, 1e-2)
        assert gradsz.decompress_tensors(message) == {} and gradsz.info(message).tensors == []

    def test_many_tensors(self):
        update = {f"t{i}": np.full(i % 7, i, "f4") for i in range(3000)}
        decoded = gradsz.decompress_tensors(gradsz.compress_tensors(update, 1e-2))
        assert list(decoded) == list(update) and all(oracle.same_bits(update[k], decoded[k]) for k in update)

    @examples(60)
    @given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
                           st.tuples(st.sampled_from(ALL), st.integers(0, 40)), max_size=8))
    def test_any_names(self, plan):
        rng = np.random.default_rng(3)
        update = {name: noise(dtype, n, rng) for name, (dtype, n) in plan.items()}
        decoded = gradsz.decompress_tensors(gradsz.compress_tensors(update, 0))
        assert list(decoded) == list(update) and all(oracle.same_bits(update[k], decoded[k]) for k in update)

    def test_array_likes_are_taken(self):
        decoded = gradsz.decompress_tensors(gradsz.compress_tensors({"list": [1.0, 2.0], "scalar": 3}, 0))
        assert decoded["list"].tolist() == [1.0, 2.0] and decoded["scalar"] == 3


class TestLossy:
    def test_floating_and_more_than_1024_elements_by_default(self):
        rng = np.random.default_rng(4)
        for dtype in FLOATS:
            update = {str(n): sample(dtype, "sparse", n, rng) for n in (1, 1023, 1024, 1025, 3000)}
            kept = {n: c for n, c in codecs(gradsz.compress_tensors(update, 1e-1)).items() if c not in oracle.LOSSY}
            assert kept.keys() == {"1", "1023", "1024"}

    def test_a_function_of_name_and_array_decides(self):
        seen = {}

        def lossy(name, a):
            seen[name] = a.shape
            return name == "conv.bias"

        update = UPDATE | {"conv.bias": np.linspace(0, 1, 200, dtype="f4")}
        assert {n for n, c in codecs(gradsz.compress_tensors(update, 1e-1, lossy=lossy)).items() if c == "uniform"} == {"conv.bias"}
        assert seen == {name: np.shape(a) for name, a in update.items()}

    def test_integers_never_lose_even_when_told_to(self):
        a = np.arange(5000)
        message = gradsz.compress_tensors({"a": a}, 1e9, mode="abs", lossy=lambda name, a: True)
        assert (gradsz.decompress_tensors(message)["a"] == a).all()

    def test_an_error_of_the_function_comes_through(self):
        with pytest.raises(ZeroDivisionError):
            gradsz.compress_tensors(UPDATE, 1e-2, lossy=lambda name, a: 1 / 0)

    @pytest.mark.parametrize("lossy", [True, "conv.weight", b"conv", 3, [3], {3: 1.0}, {"*": "x"}, {"*": -1.0}, {"*": np.nan}, {"*": None}], ids=repr)
    def test_what_is_no_rule(self, lossy):
        with pytest.raises(ParameterError, match="lossy"):
            gradsz.compress_tensors(UPDATE, 1e-2, lossy=lossy)


class TestPatterns:
    MODEL = {name: np.random.default_rng(8).normal(size=1500) for name in ("a.weight", "a.bias", "b.weight", "b[0].weight", "head")}

    def bounds(self, lossy, **options):
        info = gradsz.info(gradsz.compress_tensors(self.MODEL, 1e-2, mode="abs", lossy=lossy, **options))
        return {t.name: t.eb for t in info.tensors}

    @pytest.mark.parametrize("lossy, names", [
        (["*.weight"], "a.weight b.weight b[0].weight"), (["a*", "head"], "a.weight a.bias head"), (["?.bias"], "a.bias"),
        (["b[0].weight"], "b[0].weight"), (("[ab].*",), "a.weight a.bias b.weight"), ((p for p in ["*"]), " ".join(MODEL)),
        ([], ""), (["nothing*"], ""), (["A*"], ""), ({"a.*", "head"}, "a.weight a.bias head")], ids=repr)
    def test_names_that_lose(self, lossy, names):
        assert {name for name, eb in self.bounds(lossy).items() if eb > 0} == set(names.split())

    def test_small_tensors_lose_when_they_are_named(self):
        message = gradsz.compress_tensors({"small": np.linspace(0, 1, 300), "other": np.linspace(0, 1, 300)}, 1e-2, lossy=["small"])
        assert codecs(message)["small"] in oracle.LOSSY and codecs(message)["other"] == "gathered"

    def test_a_bound_for_each_and_the_first_that_matches_decides(self):
        assert self.bounds({"a.weight": 1e-3, "head": False, "a.*": 1e-4, "*": 0.5}) == {
            "a.weight": 1e-3, "a.bias": 1e-4, "b.weight": 0.5, "b[0].weight": 0.5, "head": 0.0}

    def test_true_is_the_bound_and_zero_none(self):
        assert self.bounds({"a.*": True, "*": 0}) == {"a.weight": 1e-2, "a.bias": 1e-2, "b.weight": 0, "b[0].weight": 0, "head": 0}

    def test_names_that_no_pattern_matches_go_by_the_default(self):
        assert self.bounds({"head": 1e-3}) == dict.fromkeys(self.MODEL, 1e-2) | {"head": 1e-3}

    @pytest.mark.parametrize("lossy", [["weight"], {"a.weights": 1e-3}], ids=repr)
    def test_a_name_that_is_not_there(self, lossy):
        with pytest.raises(ParameterError, match="no tensor named 'a?.?weight"):
            self.bounds(lossy)

    def test_integers_stay_exact(self):
        a = np.arange(5000)
        assert (gradsz.decompress_tensors(gradsz.compress_tensors({"a": a}, 0.5, lossy={"a": 9.0}))["a"] == a).all()


class TestBoundOverTheMessage:
    RNG = np.random.default_rng(9)
    MODEL = {"large": sample(np.dtype("float32"), "normal", 3000, RNG) * 8, "half": sample(np.dtype("float16"), "normal", 2000, RNG),
             "double": RNG.normal(size=(50, 60)) * 1e-3, "bias": np.full(20, 1e9), "steps": np.arange(2000)}
    LOSSY = ("large", "half", "double")

    def compress(self, **options):
        return gradsz.compress_tensors(self.MODEL, 1e-2, bound_over="message", **options)

    @pytest.mark.parametrize("level", ["fast", "balanced"])
    @pytest.mark.parametrize("mode", ["rel", "rms"])
    def test_one_eb_from_all_values_that_may_lose(self, mode, level):
        values = np.concatenate([self.MODEL[name].astype(float).ravel() for name in self.LOSSY])
        unit = np.ptp(values) if mode == "rel" else np.sqrt(np.mean(values**2))
        message = self.compress(mode=mode, level=level)
        ebs = {t.name: t.eb for t in gradsz.info(message).tensors}
        assert {ebs[name] for name in self.LOSSY} == {ebs["large"]} and ebs["bias"] == ebs["steps"] == 0
        assert 1e-2 * unit * (1 - 2**-11) <= ebs["large"] <= 1e-2 * unit * (1 + 1e-12)
        for name, b in gradsz.decompress_tensors(message).items():
            oracle.check_decoded(self.MODEL[name], b, "uniform" if ebs[name] else "exact", ebs[name])

    def test_abs_is_the_same_for_each(self):
        assert self.compress(mode="abs") == gradsz.compress_tensors(self.MODEL, 1e-2, mode="abs")

    def test_bounds_of_patterns_are_in_its_units(self):
        ebs = {t.name: t.eb for t in gradsz.info(self.compress(lossy={"double": 1e-5})).tensors}
        assert ebs["double"] == pytest.approx(ebs["large"] / 1000, rel=2**-11)

    def test_values_that_are_not_finite_do_not_count(self):
        a = np.append(np.linspace(0, 1, 3000), [np.nan, np.inf])
        t = gradsz.info(gradsz.compress_tensors({"a": a, "b": -a}, 1e-2, bound_over="message")).tensors
        assert [t.eb for t in t] == pytest.approx([2e-2] * 2, rel=2**-11)

    @pytest.mark.parametrize("update", [{}, {"a": np.full(2000, np.nan), "b": np.zeros(2000)}, {"a": np.arange(9)}], ids=len)
    def test_nothing_to_measure(self, update):
        back = gradsz.decompress_tensors(gradsz.compress_tensors(update, 1e-2, bound_over="message"))
        assert all(oracle.same_bits(back[name], a) for name, a in update.items())

    def test_threads_and_kernels_make_no_difference(self, cpu_mask):
        message = self.compress(mode="rms")
        cpu_mask(0)
        assert self.compress(mode="rms", nthreads=3) == message

    @pytest.mark.parametrize("options", [{"mode": "l2"}, {"mode": "psnr"}], ids=repr)
    def test_modes_that_are_measured_for_each(self, options):
        with pytest.raises(ParameterError, match="bound_over='tensor'"):
            self.compress(**options)

    def test_what_is_allowed(self):
        with pytest.raises(ParameterError, match="bound_over is 'all'; allowed are 'tensor', 'message'"):
            gradsz.compress_tensors(self.MODEL, 1e-2, bound_over="all")


class TestSmall:
    """Small bit-exact tensors: a run for each dtype, and entries that are packed."""

    @staticmethod
    def names():
        parts = ["attention.wq.bias", "attention.wk.bias", "attention.wv.bias", "attention.wo.bias", "ffn_norm.weight"]
        return [f"layers.{i}.{part}" for i in range(40) for part in parts]

    def test_two_hundred_of_them_cost_less_than_8_bytes_each(self):
        """Of random bits, so that whatever the message has beyond their bytes is overhead."""
        rng = np.random.default_rng(5)
        update = {name: np.frombuffer(rng.bytes(4 * n), "f4") for name, n in zip(self.names(), [256, 256, 256, 256, 1024] * 40)}
        message = gradsz.compress_tensors(update, 1e-2)
        raw = sum(a.nbytes for a in update.values())
        assert len(update) == 200 and len(message) - raw < 3 * 200
        back = gradsz.decompress_tensors(message)
        assert all(oracle.same_bits(back[name], update[name]) for name in update)

    def test_each_alone_and_all_dtypes_together(self):
        rng = np.random.default_rng(6)
        update = {name: noise(ALL[i % len(ALL)], i % 30, rng) for i, name in enumerate(self.names())}
        message = gradsz.compress_tensors(update, 1e-2)
        assert set(codecs(message).values()) <= {"gathered", "constant", "empty"}
        for name in self.names()[::17]:
            assert oracle.same_bits(gradsz.decompress_tensors(message, names=[name])[name], update[name])

    def test_sizes_of_the_tensors_are_that_of_the_message(self):
        update = {name: np.arange(i, dtype="i4") ** 2 for i, name in enumerate(self.names())}
        info = gradsz.info(gradsz.compress_tensors(update, 1e-2))
        assert abs(sum(t.compressed_nbytes for t in info.tensors) - info.nbytes) < 0.1 * info.nbytes

    def test_more_than_1024_elements_have_a_section_of_their_own(self):
        update = {str(n): np.arange(n) ** 3 for n in (1024, 1025)}
        assert codecs(gradsz.compress_tensors(update, 1e-2)) == {"1024": "gathered", "1025": "exact"}

    def test_entries_that_packing_makes_no_shorter_stay_as_they_are(self):
        rng = np.random.default_rng(7)
        update = {bytes(rng.integers(32, 127, 90, dtype=np.uint8)).decode(): np.int8(1)}
        assert gradsz.compress_tensors(update, 1e-2)[4] == 1
        assert gradsz.compress_tensors(dict.fromkeys(self.names(), np.int8(1)), 1e-2)[4] == 3

    def test_more_entries_than_may_be_packed(self):
        update = {hashlib.md5(bytes([i & 255, i >> 8])).hexdigest(): np.int8(1) for i in range(4000)}
        message = gradsz.compress_tensors(update, 1e-2)
        assert message[4] == 1 and list(gradsz.decompress_tensors(message)) == list(update)


@pytest.mark.parametrize("count", [256, 300, 3000, 30_000])
def test_many_tensors_under_the_model(count):
    """Entries that take less than a byte each: there are more tensors than the table has bytes."""
    rows = np.random.default_rng(1).normal(size=(count, 4, 4)).astype(np.float32)
    update = {f"{i:05d}": x for i, x in enumerate(rows)}
    message = gradsz.compress_tensors(update, 1.0, mode="abs", lossy=["*"], predictor="structure")
    assert codecs(message) == dict.fromkeys(update, "model")
    decoded = gradsz.decompress_tensors(message)
    assert all(np.abs(decoded[name] - x).max() <= 1 for name, x in update.items())


class TestNames:
    def test_some_of_the_tensors(self):
        whole = gradsz.decompress_tensors(MESSAGE)
        for names in (["half", "conv.weight"], ("steps",), {"mask", "empty"}, (n for n in ["half"]), [], ["half", "half"], {"half": 1}.keys()):
            names = list(names)
            part = gradsz.decompress_tensors(MESSAGE, names=names)
            assert list(part) == [n for n in UPDATE if n in names]      # the order of the message
            assert all(oracle.same_bits(part[n], whole[n]) for n in part)

    def test_a_damaged_tensor_does_not_keep_others_from_being_read(self):
        damaged = MESSAGE[:-6] + bytes([MESSAGE[-6] ^ 1]) + MESSAGE[-5:]        # in that of the gathered ones
        assert gradsz.decompress_tensors(damaged, names=["conv.weight", "half", "conv.bias"])
        for names in (None, ["mask"]):
            with pytest.raises(gradsz.CorruptError):
                gradsz.decompress_tensors(damaged, names=names)

    def test_names_not_in_the_message_are_told(self):
        with pytest.raises(ParameterError, match="no tensor named 'x', 'y'"):
            gradsz.decompress_tensors(MESSAGE, names=["y", "half", "x"])

    @pytest.mark.parametrize("names", ["half", b"half"])
    def test_a_single_name_is_no_list_of_names(self, names):
        with pytest.raises(ParameterError, match="write \\["):
            gradsz.decompress_tensors(MESSAGE, names=names)

    @pytest.mark.parametrize("names", [5, [["half"]], [1, "x"], 1.5], ids=repr)
    def test_what_are_no_names(self, names):
        with pytest.raises(ParameterError):
            gradsz.decompress_tensors(MESSAGE, names=names)

    @pytest.mark.parametrize("name", ["", " ", "a/b.c:0", "größe", "重み", "🙂", "\0", "x" * 1023, "é" * 511])
    def test_names_of_any_characters(self, name):
        assert list(gradsz.decompress_tensors(gradsz.compress_tensors({name: A1}, 0))) == [name]

    @pytest.mark.parametrize("name", ["x" * 1024, "é" * 512])
    def test_names_too_long(self, name):
        with pytest.raises(ParameterError, match="1024 bytes of UTF-8, at most 1,023"):
            gradsz.compress_tensors({name: A1}, 0)

    @pytest.mark.parametrize("name", [1, None, b"a", ("a",)], ids=repr)
    def test_names_that_are_no_str(self, name):
        with pytest.raises(ParameterError, match=f"must be str, not {type(name).__name__}"):
            gradsz.compress_tensors({name: A1}, 0)

    def test_a_lone_surrogate(self):
        with pytest.raises(ParameterError, match="UTF-8"):
            gradsz.compress_tensors({"\ud800": A1}, 0)

    def test_two_names_that_end_up_the_same(self):
        class Twice(UserDict):
            def items(self):
                return [("a", A1), ("a", A1)]

        with pytest.raises(ParameterError):
            gradsz.compress_tensors(Twice(), 0)


A1 = np.zeros(3, "f4")


class TestErrors:
    @pytest.mark.parametrize("mapping", [[("a", A1)], A1, None, "a", {"a"}], ids=lambda v: type(v).__name__)
    def test_what_is_no_mapping(self, mapping):
        with pytest.raises(ParameterError, match=f"mapping of names to arrays, not {type(mapping).__name__}"):
            gradsz.compress_tensors(mapping, 1e-2)

    @pytest.mark.parametrize("options", [{"error_bound": -1}, {"error_bound": np.nan}, {"mode": "x"}, {"level": "slow"}, {"nthreads": 0}], ids=repr)
    def test_parameters_are_checked_even_without_tensors(self, options):
        for update in ({}, {"a": A1}):
            with pytest.raises(ParameterError):
                gradsz.compress_tensors(update, **{"error_bound": 1e-2, **options})

    def test_a_dtype_out_of_range(self):
        with pytest.raises(gradsz.UnsupportedDtypeError, match="complex"):
            gradsz.compress_tensors({"a": A1, "b": np.zeros(3, complex)}, 1e-2)

    def test_a_message_of_one_array_has_the_name_of_nothing(self):
        message = gradsz.compress(np.arange(4), 0)
        assert list(gradsz.decompress_tensors(message)) == [""]
        assert gradsz.decompress_tensors(message, names=[""])[""].tolist() == [0, 1, 2, 3]
        assert gradsz.info(message).tensors[0].name is None
        assert gradsz.info(gradsz.compress_tensors({"": np.arange(4)}, 0)).tensors[0].name == ""
