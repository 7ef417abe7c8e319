"""Gradient-aware prediction of streams: both ends form the same, the bound holds, it pays where it should and costs nothing elsewhere."""
import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradsz
import oracle
from gradsz import GradientAware, _arrays, _core, _note, _prediction, _reference
from gradsz._foresight import kernel_signs
from gradsz._prediction import KERNELS, ONE, OPPOSITE, SAME, Rule, Told
from gradsz._state import Kept

PUBLISHED, CORRECTED = GradientAware(), GradientAware(bias_corrected=True)
ml_dtypes = pytest.importorskip("ml_dtypes")


def told_of(message, decoder):
    """Modes by name of a message that the decoder is about to decode."""
    parsed = _core.Message(message)
    entries = [parsed.entry(i) for i in range(len(parsed))]
    before = decoder._state.rounds[0] if decoder._state else {}
    return {name: told.mode for name, told in _note.read(parsed.stream[-1], entries, before)[1].items()}


def check(update, decoded, message, reference=None):
    assert decoded.keys() == update.keys()
    for tensor in gradsz.info(message).tensors:
        x, y = update[tensor.name], decoded[tensor.name]
        assert x.dtype == y.dtype
        if tensor.eb:
            finite = np.isfinite(x)
            assert oracle.within(x, y, tensor.eb)[finite.ravel()].all()
            assert x[~finite].tobytes() == y[~finite].tobytes()
        else:
            assert x.tobytes() == y.tobytes()


class TestSettings:
    def test_a_value(self):
        assert GradientAware() == GradientAware(0.07, 0.5, False)
        assert repr(CORRECTED) == "GradientAware(beta=0.07, tau=0.5, bias_corrected=True)"
        for settings in (PUBLISHED, CORRECTED, GradientAware(1, 0), GradientAware(np.float32(0.25), 1.0)):
            assert pickle.loads(pickle.dumps(settings)) == settings == GradientAware.from_json(settings.to_json())
            assert hash(settings) == hash(GradientAware.from_json(settings.to_json()))
        assert json.loads(PUBLISHED.to_json()) == {"predictor": "gradient-aware", "beta": 0.07, "tau": 0.5, "bias_corrected": False}

    @pytest.mark.parametrize("arguments", [{"beta": 0}, {"beta": 1.01}, {"beta": "0.1"}, {"beta": float("nan")}, {"tau": -0.1}, {"tau": 2},
                                           {"tau": None}, {"bias_corrected": 1}])
    def test_out_of_range(self, arguments):
        with pytest.raises(gradsz.ParameterError):
            GradientAware(**arguments)

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"predictor": "lorenzo"}', '{"predictor": "gradient-aware", "beta": 2}',
                                      '{"predictor": "gradient-aware", "x": 2}'])
    def test_other_json(self, text):
        with pytest.raises(gradsz.ParameterError):
            GradientAware.from_json(text)

    @pytest.mark.parametrize("predictor", ["gradient-aware", PUBLISHED])
    def test_streams_only(self, predictor):
        x = np.zeros((40, 40), np.float32)
        for call in (lambda: gradsz.compress(x, 1e-2, predictor=predictor), lambda: gradsz.compress_tensors({"x": x}, 1e-2, predictor=predictor)):
            with pytest.raises(gradsz.ParameterError, match="Encoder"):
                call()
        with pytest.raises(gradsz.ParameterError, match="history"):
            gradsz.Encoder(1e-2, history=0, predictor=predictor)

    def test_it_is_stored(self):
        settings = GradientAware(0.3, 0.7, True)
        encoder = gradsz.Encoder.from_bytes(gradsz.Encoder(1e-2, predictor=settings, level="best").to_bytes())
        assert encoder._aware == settings and encoder._options == {"level": "best"}


# ---- the prediction

def kept_of(k, code=2, momentum=None, weight=0):
    return Kept(k.astype(np.int16), 0.5, code, momentum, weight)


def reference_kept(kept):
    m = np.zeros(kept.integers.shape, np.int32) if kept.momentum is None else kept.momentum
    return _reference.Kept(kept.code, kept.integers.shape, kept.integers.ravel().tolist(), m.ravel().tolist(), kept.weight)


@st.composite
def layers(draw):
    """(kept, told) of a tensor."""
    shape = draw(st.sampled_from([(7,), (3, 5), (4, 3, 2, 2), (2, 5, 4), (3, 2, 3, 3), (1,), (2, 1, 1, 2, 2)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    most = draw(st.sampled_from([0, 1, 9, 32767]))
    k = rng.integers(-most, most + 1, shape) * (rng.random(shape) < draw(st.sampled_from([0.1, 1.0])))
    momentum = rng.integers(-2**26, 2**26 + 1, shape).astype(np.int32) if draw(st.booleans()) else None
    kernels = _prediction.kernel_size(shape)
    mode = draw(st.sampled_from([0, 1, 2, 3] if kernels else [0, 1, 2]))
    signs = rng.integers(-1, 2, shape[0] * shape[1]).astype(np.int8) if mode == KERNELS else None
    stats = [float(np.float32(10.0 ** draw(st.integers(-44, 38)))) if draw(st.booleans()) else 0.0 for _ in "ms"] if mode else [0.0, 0.0]
    return kept_of(k, draw(st.sampled_from([0, 1, 2, 3])), momentum, draw(st.sampled_from([0, 1, 4588, ONE]))), Told(mode, *stats, signs)


@given(st.lists(layers(), min_size=1, max_size=4), st.sampled_from([1, 2, 4588, 40000, ONE]), st.booleans())
def test_the_reference_predicts_the_same(tensors, beta, corrected):
    """docs/format.md 3.8 in Python's integers; through the bytes of the note."""
    rule, before = Rule(beta, corrected), {str(i): kept for i, (kept, _) in enumerate(tensors)}
    entries = [(name, kept.code, kept.integers.shape) for name, kept in before.items()]
    note = _note.write(rule, [told for _, told in tensors])
    read, told = _note.read(note, entries, before)
    assert read == rule or not note
    foresight = _prediction.foresee(read, told, before)
    theirs = _reference.foresee(note, [_reference.Entry(*entry) for entry in entries], {name: reference_kept(kept) for name, kept in before.items()})
    for name, kept in before.items():
        momentum, weight = foresight.momenta[name]
        assert weight == theirs[name].weight
        assert ([0] * kept.integers.size if momentum is None else momentum.ravel().tolist()) == theirs[name].momentum
        assert (name in foresight.predictions) == (theirs[name].prediction is not None)
        if name in foresight.predictions:
            assert foresight.predictions[name].tobytes() == np.array(theirs[name].prediction).tobytes()


def test_by_hand():
    """k = 1, 3: mean 2, deviation 1, so z = -1, 1."""
    prediction, momentum, weight = _prediction.forecast(Rule(ONE // 2), Told(OPPOSITE, 10.0, 4.0), kept_of(np.array([1, -3])))
    assert momentum.tolist() == [-ONE // 2, ONE // 2] and weight == 0 and prediction.tolist() == [-8.0, 12.0]
    prediction, momentum, weight = _prediction.forecast(Rule(ONE // 2, True), Told(SAME, 3.0, 4.0), kept_of(np.array([1, -3])))
    assert momentum.tolist() == [-ONE // 2, ONE // 2] and weight == ONE // 2 and prediction.tolist() == [0.0, -7.0]


def test_large_tensors_are_standardised_likewise():
    k = np.random.default_rng(0).integers(-32767, 32768, 40_000)
    assert _prediction._standardised(k.astype(np.int16)).tolist() == _reference.standardised(k.tolist())


def test_kernels():
    """Seven of nine, or three of four, have one sign; zeros count for the majority, and more of them cannot win it."""
    signs = np.ones((2, 3, 3, 3), np.int8)
    signs[0, 0, 0, :2] = -1
    signs[0, 1, 0] = -1
    signs[0, 2] *= -1
    signs[1, 0, :2] = 0
    signs[1, 1] = 0
    signs[1, 2, 0], signs[1, 2, 1] = -1, 0
    assert kernel_signs(signs, 0.5).tolist() == [1, 0, -1, 1, 1, 0]
    assert kernel_signs(np.array([1, 1, 1, -1, 1, 1, -1, -1]).reshape(2, 1, 2, 2), 0.5).tolist() == [1, 0]
    assert [_prediction.kernel_size(shape) for shape in [(9,), (9, 9), (5, 5, 3), (5, 5, 4), (5, 5, 1, 1), (5, 5, 2, 2)]] == [0, 0, 0, 4, 0, 4]


# ---- notes

class TestNotes:
    shape = (6, 5, 3, 3)
    kernels = np.array([1, 0, -1] * 10, np.int8)
    entries = [("w", 2, shape), ("steps", 11, ()), ("v", 3, (40,))]
    before = {"w": kept_of(np.arange(270).reshape(shape)), "v": kept_of(np.arange(40), 3)}
    told = [Told(KERNELS, 0.5, 0.25, kernels), Told(), Told(SAME, 1.0, 2.0)]
    modes, stats = np.array([3, 0, 1], np.uint8), np.array([0.5, 0.25, 1, 2], np.float32)
    bits = np.packbits(kernels != 0, bitorder="little"), np.packbits(kernels[kernels != 0] > 0, bitorder="little")

    def read(self, note):
        return _note.read(note, self.entries, self.before)

    def note(self, **others):
        """With other arrays: None is left out."""
        arrays = {"m": self.modes, "s": self.stats, "1": self.bits[0], "2": self.bits[1]} | {name[-1]: a for name, a in others.items()}
        return b"\0\1\2" + gradsz.compress_tensors({name: a for name, a in arrays.items() if a is not None}, 0)

    def test_round_trip(self):
        rule = Rule(0x202)
        assert _note.write(rule, self.told) == self.note()
        read, told = self.read(self.note())
        assert read == rule and list(told) == ["w", "v"] and told["v"] == self.told[2]
        assert told["w"].kernels.tolist() == self.kernels.tolist() and (told["w"].mean, told["w"].deviation) == (0.5, 0.25)

    def test_nothing_to_tell(self):
        assert _note.write(Rule(5), [Told()] * 3) == b"" and self.read(b"") == (Rule(), {"w": Told(), "v": Told()})
        assert _note.write(Rule(ONE, True), [Told()] * 3) == b"\1\xff\xff"
        assert self.read(b"\1\xff\xff") == (Rule(ONE, True), {"w": Told(), "v": Told()})

    @pytest.mark.parametrize("arrays", [
        {"m": None}, {"s": None}, {"b1": None}, {"b2": None}, {"m": np.array([3, 0], np.uint8)}, {"m": np.array([3, 0, 1, 0], np.uint8)},
        {"m": np.array([4, 0, 1], np.uint8)}, {"m": np.array([3, 1, 1], np.uint8)}, {"m": np.array([3, 0, 3], np.uint8)},
        {"m": np.array([0, 0, 0], np.uint8), "s": stats[:0]}, {"m": np.array([[3, 0, 1]], np.uint8)}, {"m": np.array([3, 0, 1], np.int8)},
        {"s": stats[:3]}, {"s": np.append(stats, stats[:2])}, {"s": stats.astype(np.float64)}, {"s": -stats}, {"s": stats * np.float32(np.nan)},
        {"s": np.full(4, np.inf, np.float32)}, {"b1": bits[0][:-1]}, {"b1": np.append(bits[0], np.uint8(0))}, {"b2": bits[1][:-1]}, {"b1": bits[0] | 128},
        {"b2": bits[1] | 128}, {"b1": bits[0] & 7}, {"x": stats}, {"m": np.array([1, 0, 1], np.uint8)}, {"m": np.zeros(10**6, np.uint8)}])
    def test_wrong_arrays(self, arrays):
        with pytest.raises(gradsz.CorruptError), np.errstate(all="ignore"):
            self.read(self.note(**arrays))
        with pytest.raises((gradsz.CorruptError, gradsz.LimitError)):
            _reference.foresee(self.note(**arrays), [_reference.Entry(*entry) for entry in self.entries],
                               {name: reference_kept(kept) for name, kept in self.before.items()})

    def test_wrong_bytes(self):
        for note in (b"\0", b"\0\0", self.note()[:-1], self.note() + b"\0", b"\0\0\0GSZ", b"\0\0\0" + gradsz.compress(self.modes, 0)):
            with pytest.raises(gradsz.CorruptError):
                self.read(note)
        with pytest.raises(gradsz.UnsupportedError):
            self.read(b"\2" + self.note()[1:])

    @given(st.integers(0, 10**6), st.integers(0, 7))
    def test_a_changed_bit(self, at, bit):
        note = bytearray(self.note())
        note[at % len(note)] ^= 1 << bit
        try:
            self.read(bytes(note))
        except (gradsz.CorruptError, gradsz.UnsupportedError) as error:
            assert not isinstance(error, gradsz.TruncatedError)
        else:
            assert at % len(note) < 3

    @pytest.mark.parametrize("other", [("w", 3, shape), ("w", 2, (5, 6, 3, 3)), ("u", 2, shape)])
    def test_of_tensors_that_were_not_kept(self, other):
        with pytest.raises(gradsz.CorruptError):
            _note.read(self.note(), [other, *self.entries[1:]], self.before)


# ---- streams

def gradients(rounds, shapes, seed=0, dtype=np.float32, correlation=0.9):
    """Kernels of mostly one sign, magnitudes that change slowly."""
    rng = np.random.default_rng(seed)
    size = {name: np.exp(0.5 * rng.normal(size=shape)) for name, shape in shapes.items()}
    for _ in range(rounds):
        update = {}
        for name, shape in shapes.items():
            size[name] = size[name] ** correlation * np.exp(0.5 * (1 - correlation**2) ** 0.5 * rng.normal(size=shape))
            signs = np.sign(rng.normal(size=shape[:2] + (1,) * (len(shape) - 2)))
            flips = np.where(rng.random(shape) < 0.05, -1, 1)
            update[name] = (size[name] * signs * flips * 0.01).astype(dtype)
        yield update


SHAPES = {"a": (16, 16, 3, 3), "b": (16, 16, 3, 3), "c": (40, 30), "d": (20, 20, 5)}      # two of one shape


@pytest.mark.parametrize("settings", [PUBLISHED, CORRECTED, GradientAware(0.5, 0.9)])
def test_two_hundred_rounds(settings):
    """Drops, key frames, repeats, restarts of either end: the ends agree bit for bit, or know that they do not."""
    rng = np.random.default_rng(1)
    encoder, decoder = gradsz.Encoder(0.02, predictor=settings), gradsz.Decoder()
    taken = predicted = 0
    for i, update in enumerate(gradients(200, SHAPES)):
        message = encoder.encode(update)
        event = rng.integers(25)
        if event == 0:
            continue                                                        # lost
        if event == 1:
            encoder.rollback(message.token)                                 # never sent
            continue
        if event == 2:
            encoder = gradsz.Encoder.from_bytes(encoder.to_bytes())
        if event == 3:
            decoder = gradsz.Decoder.from_bytes(decoder.to_bytes())
        try:
            predicted += 0 if message.key else any(told_of(message, decoder).values())
            decoded = decoder.decode(message)
        except gradsz.GradszError:
            assert not message.key
            encoder.key_frame()
            continue
        check(update, decoded, message)
        if event == 4:
            again = decoder.decode(message)
            assert all(decoded[name].tobytes() == again[name].tobytes() for name in decoded)
        taken += 1
        assert message.token == (decoder._state.sequence, decoder._state.digest())
        mine = encoder._pending.state if encoder._pending else encoder._state
        for name, kept in mine.rounds[0].items():
            other = decoder._state.rounds[0][name]
            assert kept.integers.tobytes() == other.integers.tobytes() and (kept.step, kept.weight) == (other.step, other.weight)
            assert (kept.momentum is None and other.momentum is None) or kept.momentum.tobytes() == other.momentum.tobytes()
    assert taken > 150 and predicted > 120


def specials(seed, dtype):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(12, 10, 3, 3)).astype(np.float32)
    y = x.copy()
    y.flat[rng.integers(y.size, size=5)] = [np.nan, np.inf, -np.inf, 0, -0.0]
    return {"x": x, "special": y, "zeros": np.zeros((40, 40)), "mostly": np.where(rng.random((60, 30)) < 0.01, 1.0, 0.0), "constant": np.full(2000, 3),
            "tiny": x * (1e-42 if dtype != np.float16 else 1e-7), "huge": x * (1e38 if dtype not in (np.float16,) else 1e4),
            "late": np.zeros(2000) if seed < 2 else x.reshape(-1), "none": np.full(2000, np.nan)}


@pytest.mark.parametrize("settings", [PUBLISHED, GradientAware(0.5, 0.0, True)])
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("bound", [1e-2, 1e-6])
def test_the_bound_holds(settings, dtype, bound):
    encoder, decoder = gradsz.Encoder(bound, predictor=settings), gradsz.Decoder()
    for seed in range(4):
        with np.errstate(all="ignore"):
            base, update = specials(7, dtype), specials(seed, dtype)
            update = {name: (x + (9 * base[name] if name in ("x", "special") else 0)).astype(dtype) for name, x in update.items()}
        message = encoder.encode(update)
        check(update, decoder.decode(message), message)
        assert encoder._pending.state.digest() == decoder._state.digest()


@given(seed=st.integers(0, 2**32), mode=st.sampled_from(["abs", "rel", "rms", "l2"]), over=st.booleans(), beta=st.sampled_from([0.01, 0.3, 1.0]),
       tau=st.sampled_from([0.0, 0.5, 1.0]), corrected=st.booleans(), history=st.integers(1, 2), feedback=st.booleans(), referenced=st.booleans(),
       grid=st.sampled_from(["auto", "aligned", "centred", "dithered", "shrunk"]), level=st.sampled_from(["fast", "balanced", "best"]))
def test_any_options(seed, mode, over, beta, tau, corrected, history, feedback, referenced, grid, level):
    options = dict(mode=mode, bound_over="message") if over and mode != "l2" else dict(mode=mode)
    encoder = gradsz.Encoder(0.02, predictor=GradientAware(beta, tau, corrected), history=history, error_feedback=feedback, grid=grid, level=level, **options)
    decoder = gradsz.Decoder()
    rng = np.random.default_rng(seed)
    for update in gradients(3, {"a": (12, 10, 3, 3), "b": (30, 40)}, seed, correlation=0.99):
        reference = {"a": rng.normal(size=(12, 10, 3, 3)).astype(np.float32)} if referenced else None
        if referenced:
            update["a"] = update["a"] + reference["a"]
        message = encoder.encode(update, reference=reference)
        decoded = decoder.decode(message, reference=reference)
        if not feedback:
            check(update, decoded, message)
        assert encoder._pending.state.digest() == decoder._state.digest()
        again = decoder.decode(message, reference=reference)
        assert all(decoded[name].tobytes() == again[name].tobytes() for name in decoded)


def sizes_of(updates, settings, bound=1e-2, **options):
    """Bytes after the first round with and without prediction, and the modes."""
    aware, plain, decoder = gradsz.Encoder(bound, predictor=settings, **options), gradsz.Encoder(bound, history=0, **options), gradsz.Decoder()
    with_, without, modes = 0, 0, []
    for i, update in enumerate(updates):
        message = aware.encode(update)
        if i:
            with_, without = with_ + len(message), without + len(plain.encode(update))
            modes += told_of(message, decoder).values()
        check(update, decoder.decode(message), message)
    return with_, without, modes


@pytest.mark.parametrize("speed, mode", [(0.4, SAME), (0.8, SAME), (1.7, OPPOSITE), (1.95, OPPOSITE)])
def test_full_batch_descent(speed, mode):
    """Gradients of a quadratic under gradient descent: each keeps its sign, or flips it, for a step times curvature below, or above 1."""
    rng = np.random.default_rng(0)
    curvature, x = rng.uniform(0.97, 1, size=(60, 50)), rng.normal(size=(60, 50))
    updates = []
    for _ in range(8):
        gradient = curvature * x
        updates.append({"w": gradient.astype(np.float32)})
        x = x - speed * gradient
    for settings, gain in ((PUBLISHED, 1.02), (CORRECTED, 2.0)):
        with_, without, modes = sizes_of(updates, settings)
        assert modes == [mode] * 7 and with_ * gain < without


@pytest.mark.parametrize("settings", [PUBLISHED, CORRECTED])
def test_kernels_pay(settings):
    with_, without, modes = sizes_of(gradients(6, {"a": (40, 32, 3, 3)}), settings)
    assert modes == [KERNELS] * 5 and with_ < 0.96 * without


@pytest.mark.parametrize("settings", [PUBLISHED, CORRECTED, GradientAware(tau=0.0)])
@pytest.mark.parametrize("shape", [(40, 32, 3, 3), (100, 90)])
def test_noise_is_not_predicted(settings, shape):
    rng = np.random.default_rng(5)
    with_, without, modes = sizes_of([{"w": rng.normal(size=shape).astype(np.float32)} for _ in range(4)], settings)
    assert not any(modes) and with_ <= 1.005 * without


def test_large_tensors_are_sampled():
    """Rows of more than a sample, and many."""
    for shape in ((3, 70_000), (20_000, 9), (130, 130, 3, 3)):
        rng = np.random.default_rng(3)
        base = rng.normal(size=shape).astype(np.float32)
        with_, without, modes = sizes_of([{"w": base * np.float32(0.9) ** i} for i in range(3)], CORRECTED)
        assert modes == [SAME] * 2 and with_ < without / 2


class TestDecoder:
    def test_damage_leaves_the_state(self):
        """A note that is wrong, in a message whose checksums are right."""
        encoder, decoder = gradsz.Encoder(0.02, predictor=CORRECTED), gradsz.Decoder()
        for update in gradients(3, SHAPES):
            message = encoder.encode(update)
            decoder.decode(message)
        before = decoder.to_bytes()
        state = decoder._state
        place = (encoder.stream, state.sequence + 1, False, 1, state.digest())
        items = [(b"a", 2, (3,), np.zeros(3, np.float32), 0.0, 0, 255, 0, 255)]
        for note in (b"\1", b"\2\0\0", b"\0\0\0x", TestNotes().note()):
            with pytest.raises((gradsz.CorruptError, gradsz.UnsupportedError)):
                decoder.decode(_core.encode(items, True, 1, stream=(*place, note)))
            assert decoder.to_bytes() == before
        decoder.decode(encoder.encode(update))

    def test_another_momentum_is_found(self):
        encoder, decoder = gradsz.Encoder(0.02, predictor=CORRECTED), gradsz.Decoder()
        for update in gradients(3, SHAPES):
            decoder.decode(encoder.encode(update))
        decoder._state.rounds[0]["a"].momentum.flat[7] += 1
        with pytest.raises(gradsz.StateMismatchError, match="another state"):
            decoder.decode(encoder.encode(update))

    def test_a_stream_may_change_its_mind(self):
        """Whoever encodes: the message tells how."""
        decoder, encoders = gradsz.Decoder(), {}
        state = None
        for i, update in enumerate(gradients(12, SHAPES)):
            settings = ["auto", PUBLISHED, CORRECTED, GradientAware(0.5)][i % 4]
            encoder = encoders.setdefault(i % 4, gradsz.Encoder(0.02, predictor=settings, stream=5))
            encoder._state = state
            message = encoder.encode(update)
            check(update, decoder.decode(message), message)
            encoder.commit(message.token)
            state = encoder._state
            assert state.digest() == decoder._state.digest()

    def test_the_state_is_bounded(self):
        encoder, decoder = gradsz.Encoder(0.02, predictor=CORRECTED, history=2), gradsz.Decoder()
        sizes = []
        for update in gradients(8, SHAPES):
            decoder.decode(encoder.encode(update))
            sizes.append(decoder.nbytes)
        assert len(set(sizes[4:])) == 1 and sizes[-1] < 3 * 6 * sum(x.size for x in update.values()) + 3000
        restored = gradsz.Decoder.from_bytes(decoder.to_bytes())
        assert restored._state.digest() == decoder._state.digest() and restored.nbytes == decoder.nbytes

    def test_a_wrong_snapshot(self):
        decoder = gradsz.Decoder()
        encoder = gradsz.Encoder(0.02, predictor=CORRECTED)
        for update in gradients(2, SHAPES):
            decoder.decode(encoder.encode(update))
        tensors = gradsz.decompress_tensors(decoder.to_bytes())
        for wrong in (tensors["momentum/0/0"][:3], tensors["momentum/0/0"].astype(np.int64)):
            with pytest.raises(gradsz.CorruptError):
                gradsz.Decoder.from_bytes(gradsz.compress_tensors(tensors | {"momentum/0/0": wrong}, 0))
        with pytest.raises(gradsz.CorruptError):
            meta = tensors["meta"].tobytes().replace(b"4588]", b"-4588]")
            gradsz.Decoder.from_bytes(gradsz.compress_tensors(tensors | {"meta": np.frombuffer(meta, np.uint8)}, 0))

    def test_out_of_reach_of_other_calls(self):
        encoder = gradsz.Encoder(0.02, predictor=CORRECTED)
        messages = [encoder.encode(update) for update in gradients(3, SHAPES)]
        with pytest.raises(gradsz.StateMismatchError):
            gradsz.decompress_tensors(messages[2])


def test_bfloat16_is_narrowed_as_the_specification_says():
    wide = np.array([1.0, 1.00390625, -1.01171874, 3e38, 1e-40, 1e300])
    with np.errstate(over="ignore"):
        bits = wide.astype(np.float32).view(np.uint32) >> 16
    assert _arrays.as_float(wide, 1).tolist() == bits.tolist()
    assert _arrays.as_float(wide, 0).dtype == np.float16
