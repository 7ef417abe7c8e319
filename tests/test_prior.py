"""What both ends have: references and earlier rounds, by the core and by the reference decoder, on every grid."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradsz
import oracle
from golden import draw
from gradsz import _arrays, _core, _params, _reference

GRIDS = ["aligned", "centred", "dithered", "shrunk"]
SHAPES = [(3000,), (60, 50), (30, 4), (24, 12, 3, 3), (40, 1, 3, 3), (20, 30, 4)]


def arrays(seed, shape, dtype="float32", rounds=0):
    """Values near a reference, and earlier rounds that are like their difference."""
    rng = np.random.default_rng(seed)
    scale = np.exp(rng.normal(size=shape[:1] + (1,) * (len(shape) - 1)))
    reference = rng.normal(size=shape).astype(dtype)
    change = rng.normal(size=shape) * scale * 0.05
    past = [(change + rng.normal(size=shape) * scale * 0.03).astype(dtype) for _ in range(rounds)]
    return (reference + change).astype(dtype), reference, past


def encode(x, bound, grid="centred", level="balanced", reference=None, past=(), stream=None):
    code = _arrays.code_of(x.dtype)
    item = (b"x", code, x.shape, x, bound, _params.mode("abs"), _params.predictor("auto"), _params.level(level), _params.grid(grid))
    return _core.encode([item], True, 1, 5, None, priors=[(reference, list(past))], stream=stream)


def decode(message, shape, dtype, reference=None, past=(), mask=None):
    before = _core.set_cpu_mask(mask)
    try:
        out = np.empty(shape, dtype)
        _core.Message(message).decode_into([out], [(reference, list(past))])
        return out
    finally:
        _core.set_cpu_mask(before)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_within_the_bound_and_as_the_reference_decoder(grid, shape):
    for dtype in ("float32", "float64", "float16"):
        for rounds in (0, 1, 2):
            x, reference, past = arrays(len(shape) + rounds, shape, dtype, rounds)
            for given in (None, reference) if rounds else (reference,):
                eb = 0.02
                message = encode(x, eb, grid, reference=given, past=past)
                entry = _core.Message(message).entry(0)
                assert entry[5] != 5 or (entry[-2] == (given is not None) and entry[-1] in (0, rounds))
                y = decode(message, shape, dtype, given, past)
                assert oracle.within(x, y, eb).all()
                assert y.tobytes() == decode(message, shape, dtype, given, past, mask=0).tobytes()
                known = _reference.decode(message, reference={"x": given}, past=[{"x": p} for p in past])["x"]
                assert known.tobytes() == y.tobytes()


@settings(max_examples=settings().max_examples // 2)
@given(seed=st.integers(0, 2**32), shape=st.sampled_from([(1100,), (30, 40), (12, 10, 3, 3)]), grid=st.sampled_from(GRIDS),
       bound=st.sampled_from([1e-6, 1e-3, 0.1, 3.0]), size=st.sampled_from([1e-30, 1.0, 1e30]), rounds=st.integers(0, 2),
       strange=st.sampled_from([0, np.nan, np.inf, 1e38]))
def test_any_reference(seed, shape, grid, bound, size, rounds, strange):
    """References and rounds that have nothing to do with the values, or are no numbers, cost bytes and nothing else."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape).astype(np.float32)
    reference = (rng.normal(size=shape) * size).astype(np.float32)
    past = [(rng.normal(size=shape) * size).astype(np.float32) for _ in range(rounds)]
    for known in (x, reference, *past):
        known.flat[rng.integers(known.size, size=5)] = strange
    message = encode(x, bound, grid, reference=reference, past=past)
    y = decode(message, shape, "float32", reference, past)
    finite = np.isfinite(x).ravel()
    assert oracle.within(x, y, bound)[finite].all() and np.array_equal(x.view("u4").ravel()[~finite], y.view("u4").ravel()[~finite])
    known = _reference.decode(message, reference={"x": reference}, past=[{"x": p} for p in past])["x"]
    assert known.tobytes() == y.tobytes()


@pytest.mark.parametrize("level", ["fast", "balanced", "best"])
def test_whole_weights_come_back_with_the_same_values(level):
    """The aligned grid: what is decoded does not depend on level or reference (as FedSZ's bins)."""
    for seed, shape in enumerate(SHAPES):
        x, reference, _ = arrays(seed, shape)
        x.flat[::7] = reference.flat[::7]           # what did not move
        x[0] = reference[0]
        plain = gradsz.decompress_tensors(gradsz.compress_tensors({"w": x}, 1e-2, grid="aligned", level="fast"))["w"]
        message = gradsz.compress_tensors({"w": x}, 1e-2, reference={"w": reference}, level=level)
        assert np.array_equal(gradsz.decompress_tensors(message, reference={"w": reference})["w"], plain)


class TestMismatch:
    x, reference, past = arrays(1, (60, 50), rounds=2)
    message = gradsz.compress_tensors({"a": x, "b": np.arange(5)}, 1e-2, reference={"a": reference, "unknown": x})

    def test_the_right_one(self):
        got = gradsz.decompress_tensors(self.message, reference={"a": self.reference})
        assert np.array_equal(got["b"], np.arange(5)) and got["a"].shape == (60, 50)

    @pytest.mark.parametrize("reference", [None, {}, {"b": np.arange(5)}])
    def test_none(self, reference):
        with pytest.raises(gradsz.StateMismatchError, match="reference"):
            gradsz.decompress_tensors(self.message, reference=reference)

    def test_another(self):
        other = self.reference.copy()
        other[3, 3] = np.nextafter(other[3, 3], 9)
        with pytest.raises(gradsz.StateMismatchError):
            gradsz.decompress_tensors(self.message, reference={"a": other})
        with pytest.raises(gradsz.StateMismatchError):
            _reference.decode(self.message, reference={"a": other})

    @pytest.mark.parametrize("reference", [np.zeros((60, 51), "float32"), np.zeros((60, 50))])
    def test_other_shape_or_dtype(self, reference):
        for call in (lambda: gradsz.compress_tensors({"a": self.x}, 1e-2, reference={"a": reference}),
                     lambda: gradsz.decompress_tensors(self.message, reference={"a": reference})):
            with pytest.raises(gradsz.ParameterError, match="reference for 'a'"):
                call()

    def test_not_a_mapping(self):
        with pytest.raises(gradsz.ParameterError, match="mapping"):
            gradsz.compress_tensors({"a": self.x}, 1e-2, reference=self.reference)

    def test_a_round_too_few(self):
        change = self.x - self.reference
        message = encode(change, 0.002, past=self.past)
        assert _core.Message(message).entry(0)[-1] == 2
        assert oracle.within(change, decode(message, change.shape, "float32", past=self.past), 0.002).all()
        with pytest.raises(gradsz.StateMismatchError):
            decode(message, change.shape, "float32", past=self.past[:1])
        with pytest.raises(gradsz.StateMismatchError):
            decode(message, change.shape, "float32", past=self.past[::-1])
        with pytest.raises(gradsz.StateMismatchError):
            gradsz.decompress_tensors(message)

    def test_info(self):
        info = gradsz.info(self.message, bits=True).tensors
        assert info[0].referenced and info[0].bits is None and not info[1].referenced


class TestRowBasis:
    """Rows that lie in the same few dimensions every round: B by rows of the last one (format.md 7.7)."""

    @staticmethod
    def rounds(shape, dtype="float32", seed=5):
        """Two updates, and what has another space; so that nothing but the space of the rows is alike."""
        rng = np.random.default_rng(seed)
        row, alike = shape[1:], rng.normal(size=(6, int(np.prod(shape[1:]))))
        others = alike, alike, rng.normal(size=alike.shape)
        return [(rng.normal(size=(shape[0], 6)) @ space + rng.normal(size=(shape[0], alike.shape[1])) / 20).reshape(-1, *row).astype(dtype) for space in others]

    @pytest.mark.parametrize("level", ["balanced", "best"])
    @pytest.mark.parametrize("shape, dtype", [((64, 400), "float32"), ((64, 400), "float64"), ((64, 300), "float16"), ((80, 40, 9), "float32"), ((600, 90), "float32")])
    def test_saves(self, shape, dtype, level):
        x, alike, unlike = self.rounds(shape, dtype)
        sizes = []
        for past in ([alike], [unlike], []):
            message = encode(x, 0.1, level=level, past=past)
            y = decode(message, shape, dtype, past=past)
            assert oracle.within(x, y, 0.1).all()
            assert y.tobytes() == decode(message, shape, dtype, past=past, mask=0).tobytes()
            assert y.tobytes() == _reference.decode(message, past=[{"x": p} for p in past])["x"].tobytes()
            sizes.append(len(message))
        assert sizes[0] < 0.97 * min(sizes[1:]) or shape[0] > shape[1]

    @pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e20])
    def test_rows_of_any_size(self, scale):
        x, past, _ = self.rounds((64, 400))
        past = (past * np.float32(scale)).astype("float32")
        past[3, 5:9] = np.nan, np.inf, -np.inf, 0
        message = encode(x, 0.1, level="best", past=[past])
        y = decode(message, x.shape, "float32", past=[past])
        assert oracle.within(x, y, 0.1).all()
        assert y.tobytes() == _reference.decode(message, past=[{"x": past}])["x"].tobytes()

    @staticmethod
    def drawn(past, rows=(0, 5), shift=1, up=0, c=1, count=None, near=1):
        """One component, whose b is near the sum of rows."""
        segment = draw.Segment().head([1] * 12, weights=(*draw.WEIGHTS, *[0] * 3), rank=1).low_rank(8, [0])     # w3, neighbours, last round
        segment.side.put(near, 1)
        segment.factor([[[1] * 12]], 0)
        segment.side.number(0, len(rows) if count is None else count)
        segment.low_rank(shift, [up] * len(rows))
        for row, before in zip(rows, (-1, *rows)):
            segment.side.number(2, row - before - 1)
        segment.factor([[[c]]] * len(rows), 0).factor([[[1] * 8] * 2], 1)
        for _ in range(24):
            segment.step([64] * 8)
        origin = _reference.crc32c(past.tobytes()).to_bytes(4, "little") + b"\2"
        return draw.modelled([draw.model(draw.FLOAT32, (12, 16))], segment.tables, [segment.payload()], origin=origin, flags=4)

    past = np.arange(192, dtype="float32").reshape(12, 16)

    def test_by_hand(self):
        expected = (np.rint((self.past[0] + self.past[5] + 1) // 2) + 1 + 128) // 256
        for got in (decode(self.drawn(self.past), (12, 16), "float32", past=[self.past]),
                    _reference.decode(self.drawn(self.past), past=[{"": self.past}])[""]):
            assert np.array_equal(got, np.broadcast_to(expected, (12, 16)))

    @pytest.mark.parametrize("flaw", [dict(rows=(0, 12)), dict(rows=(12,)), dict(rows=(2**20,)), dict(count=0), dict(count=13), dict(count=128), dict(shift=0), dict(shift=31),
                                      dict(up=15), dict(up=14, c=2), dict(near=0)])
    def test_malformed(self, flaw):
        message = self.drawn(self.past, **flaw)
        with pytest.raises(gradsz.CorruptError):
            decode(message, (12, 16), "float32", past=[self.past])
        with pytest.raises(gradsz.CorruptError):
            _reference.decode(message, past=[{"": self.past}])

    def test_a_factor_too_large(self):
        past = np.full((12, 16), 40000, "float32")
        message = self.drawn(past, rows=(0, 5), shift=1, up=1)
        with pytest.raises(gradsz.CorruptError):
            decode(message, (12, 16), "float32", past=[past])


def test_streams_are_told():
    x, _, past = arrays(2, (60, 50), rounds=1)
    for stream in ((2**64 - 1, 0, True, 0, 0, b""), (7, 2**40, False, 2, 2**63 + 1, b""), (7, 1, False, 1, 5, bytes(range(256)))):
        message = encode(x, 0.01, past=past, stream=stream)
        assert _core.Message(message).stream == stream
        assert _reference.read_message(message, None).table.stream.note == stream[-1]
        assert oracle.within(x, decode(message, x.shape, "float32", past=past), 0.01).all()
    assert _core.Message(encode(x, 0.01)).stream is None
    with pytest.raises(gradsz.ParameterError):
        encode(x, 0.01, stream=(7, 0, True, 1, 0, b"a key has none"))
