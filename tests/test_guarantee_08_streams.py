"""Guarantee 8: the two ends of a stream are in the same state, or the message is refused and nothing changes."""
import threading

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

import gradsz
import oracle
from gradsz import StateMismatchError
from gradsz._state import Kept, Snapshot, State
from gradsz.tensors import compress_items

CLIENTS = 3


def update_of(seed, shapes=((40, 30), (40, 30), (1100,), (5,))):
    """Two layers of equal shape, a vector, and one that stays bit-exact; rounds of one client resemble each other."""
    base, rng = np.random.default_rng(7), np.random.default_rng(seed)
    return {f"layer{i}": (base.normal(size=shape) + 0.3 * rng.normal(size=shape)).astype(np.float32) for i, shape in enumerate(shapes)}


def check(decoded, update, message):
    assert decoded.keys() == update.keys()
    for tensor in gradsz.info(message).tensors:
        x, y = update[tensor.name], decoded[tensor.name]
        assert oracle.within(x, y, tensor.eb).all() if tensor.eb else np.array_equal(x, y)


class Streams(RuleBasedStateMachine):
    """Clients that send to a pool over a link that drops, repeats, reorders and damages; ends that are restored and evicted."""

    messages = Bundle("messages")

    @initialize(history=st.integers(0, 2), level=st.sampled_from(["fast", "balanced"]), room=st.sampled_from([2**20, 20_000]),
                mode=st.sampled_from(["rel", "rms"]), predictor=st.sampled_from(["auto", "gradient-aware", gradsz.GradientAware(0.5, bias_corrected=True)]))
    def start(self, history, level, room, mode, predictor):
        predictor = predictor if history else "auto"
        self.encoders = [gradsz.Encoder(0.1, mode=mode, level=level, history=history, predictor=predictor, stream=i) for i in range(CLIENTS)]
        self.pool = gradsz.DecoderPool(room)
        self.snapshots = [encoder.to_bytes() for encoder in self.encoders]
        self.sent = 0

    @rule(target=messages, client=st.integers(0, CLIENTS - 1))
    def send(self, client):
        self.sent += 1
        update = update_of(self.sent)
        return client, self.encoders[client].encode(update), update

    @rule(target=messages, client=st.integers(0, CLIENTS - 1))
    def send_and_take_back(self, client):
        """The message goes out all the same: a sender that rolled back too late."""
        self.sent += 1
        update = update_of(self.sent)
        message = self.encoders[client].encode(update)
        self.encoders[client].rollback(message.token)
        return client, message, update

    @rule(target=messages, sent=consumes(messages))
    def deliver(self, sent):
        client, message, update = sent
        try:
            decoded = self.pool.decode(client, message)
        except StateMismatchError as error:
            assert not message.key and error.got is not None and error.got != error.expected
            self.encoders[client].key_frame()
        else:
            check(decoded, update, message)
        return multiple(sent)       # may come again, in any order

    @rule(sent=consumes(messages))
    def drop(self, sent):
        pass

    @rule(sent=messages)
    def repeat(self, sent):
        client, message, update = sent
        try:
            first = self.pool.decode(client, message)
        except StateMismatchError:
            return
        again = self.pool.decode(client, message) if client in self.pool else first
        assert all(np.array_equal(first[name], again[name]) for name in first)
        check(again, update, message)

    @rule(sent=messages, at=st.integers(0, 10**6), bit=st.integers(0, 7))
    def damage(self, sent, at, bit):
        client, message, _ = sent
        broken = bytearray(message)
        broken[at % len(broken)] ^= 1 << bit
        with pytest.raises(gradsz.GradszError):
            self.pool.decode(client, bytes(broken))

    @rule(sent=messages, client=st.integers(0, CLIENTS - 1))
    def misdirect(self, sent, client):
        sender, message, update = sent
        try:
            check(self.pool.decode(client, message), update, message)
        except StateMismatchError:
            assert not message.key

    @rule(client=st.integers(0, CLIENTS - 1))
    def snapshot(self, client):
        self.snapshots[client] = self.encoders[client].to_bytes()

    @rule(client=st.integers(0, CLIENTS - 1))
    def restore(self, client):
        """A fork: messages of the same numbers with other contents."""
        self.encoders[client] = gradsz.Encoder.from_bytes(self.snapshots[client])


TestStreams = Streams.TestCase
TestStreams.settings = settings(max_examples=settings().max_examples // 4, stateful_step_count=50)


class TestDecoder:
    def test_errors_leave_the_state(self):
        encoder, decoder = gradsz.Encoder(0.1), gradsz.Decoder()
        first, second, third = (encoder.encode(update_of(i)) for i in range(3))
        decoder.decode(first)
        before = decoder.to_bytes()
        for wrong in (third, second[:-3], bytes(second[:-1]) + bytes([second[-1] ^ 1])):
            with pytest.raises(gradsz.GradszError):
                decoder.decode(wrong)
            assert decoder.to_bytes() == before
        decoder.decode(second)
        decoder.decode(third)

    def test_a_fork_is_found(self):
        encoder, decoder = gradsz.Encoder(0.1, stream=1), gradsz.Decoder()
        decoder.decode(encoder.encode(update_of(0)))
        fork = gradsz.Encoder.from_bytes(encoder.to_bytes())
        decoder.decode(encoder.encode(update_of(1)))
        fork.encode(update_of(2))
        late = fork.encode(update_of(3))
        with pytest.raises(StateMismatchError, match="another state") as caught:
            decoder.decode(late)
        assert caught.value.expected[:2] == caught.value.got[:2] and caught.value.expected[2] != caught.value.got[2]
        fork.rollback(late.token)
        fork.key_frame()
        update = update_of(4)
        message = fork.encode(update)
        check(decoder.decode(message), update, message)

    def test_snapshots_go_on(self):
        encoder, decoder = gradsz.Encoder(0.05, history=2, error_feedback=True), gradsz.Decoder()
        for i in range(5):
            message = encoder.encode(update_of(i))
            decoder.decode(message)
            encoder, decoder = gradsz.Encoder.from_bytes(encoder.to_bytes()), gradsz.Decoder.from_bytes(decoder.to_bytes())
            assert message.key == (i == 0) and message.sequence == i

    @pytest.mark.parametrize("data", [b"", b"GSZ", gradsz.compress(np.arange(3), 0), gradsz.Encoder(0.1).to_bytes(),
                                      gradsz.compress_tensors({"meta": np.zeros(4, np.uint8)}, 0)])
    def test_other_bytes_are_no_snapshot(self, data):
        with pytest.raises(gradsz.CorruptError):
            gradsz.Decoder.from_bytes(data)

    @pytest.mark.parametrize("dtype, shape", [("float32", (40, 31)), ("float32", (30, 40)), ("float64", (40, 30)), ("bfloat16", (40, 60))])
    def test_rounds_of_another_shape(self, dtype, shape):
        """A sender that knows the state and lies about what it holds."""
        kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
        encoder, decoder = gradsz.Encoder(0.1, stream=5), gradsz.Decoder()
        decoder.decode(encoder.encode({"w": update_of(0)["layer0"]}))
        x = np.random.default_rng(0).normal(size=shape).astype(kind)
        place = (5, 1, False, 1, decoder._state.digest())
        message = compress_items({"w": x}, 0.1, mode="rms", past=[{"w": x}], stream=place)
        assert gradsz.info(message).tensors[0].rounds == 1
        with pytest.raises(StateMismatchError):
            decoder.decode(message)
        assert decoder.decode(encoder.encode({"w": update_of(1)["layer0"]}))

    def test_a_plain_message_is_of_no_stream(self):
        for end in (gradsz.Decoder().decode, gradsz.Receiver().receive):
            with pytest.raises(gradsz.ParameterError, match="decompress_tensors"):
                end(gradsz.compress_tensors(update_of(0), 0.1))

    def test_a_change_of_layout_makes_a_key(self):
        encoder, decoder = gradsz.Encoder(0.1), gradsz.Decoder()
        keys = []
        for update in (update_of(0), update_of(1), update_of(2) | {"new": np.zeros(3)}, update_of(3), update_of(4)):
            message = encoder.encode(update)
            keys.append(message.key)
            decoder.decode(message)
        assert keys == [True, False, True, True, False]

    def test_references_are_not_part_of_history(self):
        encoder, decoder = gradsz.Encoder(1e-3, history=1), gradsz.Decoder()
        weights = update_of(0)
        for i in range(1, 4):
            moved = {name: w + np.float32(0.01) * update_of(i)[name] for name, w in weights.items()}
            message = encoder.encode(moved, reference=weights)
            check(decoder.decode(message, reference=weights), moved, message)
            weights = moved

    @pytest.mark.parametrize("dtype", ["float16", "float64", "bfloat16"])
    def test_other_dtypes(self, dtype):
        ml_dtypes = pytest.importorskip("ml_dtypes")
        kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        encoder, decoder = gradsz.Encoder(0.05, history=2, error_feedback=True), gradsz.Decoder()
        for i in range(4):
            update = {name: a.astype(kind) for name, a in update_of(i).items()}
            decoded = decoder.decode(encoder.encode(update))
            assert all(a.dtype == update[name].dtype for name, a in decoded.items())

    def test_threads_wait_for_each_other(self):
        encoder, pool, failed = gradsz.Encoder(0.1, history=0), gradsz.DecoderPool(10**6), []
        messages = [encoder.encode(update_of(i)) for i in range(20)]

        def run():
            for message in messages:
                try:
                    pool.decode("one", message)
                except Exception as error:      # noqa: BLE001
                    failed.append(error)
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed and len(pool) == 1


class TestEncoder:
    def test_a_key_is_sent_after_it_was_asked_for(self):
        """Once, whether or not the message before is committed by then; again if that key is rolled back."""
        encoder = gradsz.Encoder(0.1)
        encoder.encode(update_of(0))
        encoder.key_frame()             # it did not arrive
        second = encoder.encode(update_of(1))
        encoder.rollback(second.token)
        keys = [encoder.encode(update_of(i)).key for i in range(2, 5)]
        assert second.key and keys == [True, False, False]

    def test_tokens(self):
        encoder = gradsz.Encoder(0.1)
        first = encoder.encode(update_of(0))
        encoder.commit(first.token)
        encoder.commit(first.token)
        with pytest.raises(gradsz.ParameterError, match="committed"):
            encoder.rollback(first.token)
        second = encoder.encode(update_of(1))
        encoder.commit(first.token)             # was, and stays; the second still waits
        with pytest.raises(gradsz.ParameterError, match="token"):
            encoder.commit((second.token[0], first.token[1]))
        encoder.rollback(second.token)
        third = encoder.encode(update_of(1))
        assert bytes(third) == bytes(second) and third.sequence == 1

    @pytest.mark.parametrize("options", [dict(history=3), dict(reference={}), dict(error_bound=-1), dict(stream=2**64)])
    def test_parameters(self, options):
        with pytest.raises(gradsz.ParameterError):
            gradsz.Encoder(**{"error_bound": 0.1} | options)

    def test_what_cannot_be_stored(self):
        with pytest.raises(gradsz.ParameterError, match="functions"):
            gradsz.Encoder(0.1, lossy=lambda name, x: True).to_bytes()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "torch"])
def test_error_feedback_loses_nothing(dtype):
    """Guarantee 10: after 1,000 rounds the sum of what was decoded is that of the updates, but for one round's error: what a
    narrow dtype rounds away comes again, too."""
    kind = pytest.importorskip("ml_dtypes").bfloat16 if dtype in ("bfloat16", "torch") else dtype
    encoder, decoder = gradsz.Encoder(0.3, history=0, error_feedback=True, level="fast"), gradsz.Decoder()
    of = (lambda x: pytest.importorskip("torch").from_numpy(x.astype(np.float32)).bfloat16()) if dtype == "torch" else np.asarray
    rng = np.random.default_rng(1)
    drift = rng.normal(size=2000) * 0.01                # far below the bound
    sent, got = np.zeros(2000), np.zeros(2000)
    largest = 0.0
    for _ in range(1000):
        update = (drift + rng.normal(size=2000)).astype(kind)
        message = encoder.encode({"w": of(update)})
        got += decoder.decode(message)["w"].astype(np.float64)
        sent += update.astype(np.float64)
        largest = max(largest, gradsz.info(message).tensors[0].eb)
    narrow = 2.0**-7 if kind not in ("float32", "float64") else 0
    assert np.abs(sent - got).max() <= largest + 8 * narrow + 1e-3      # a rounding of the last sum, and those of float32 sums


def test_error_feedback_survives_what_does_not_fit():
    """Infinities, NaNs and sums beyond the dtype leave no error behind."""
    encoder, decoder = gradsz.Encoder(1, mode="rms", error_feedback=True, level="fast", lossy=["*"]), gradsz.Decoder()
    update = np.random.default_rng(0).normal(size=2000).astype(np.float16)
    update[:5] = [np.nan, np.inf, -np.inf, 65504, 65504]
    for _ in range(5):
        decoded = decoder.decode(encoder.encode({"w": update}))["w"]
    assert np.isfinite(decoded[5:]).all() and np.isnan(decoded[0]) and np.array_equal(decoded[1:3], update[1:3])
    assert all(np.isfinite(error).all() for error in encoder._errors.values())


def test_pool_stays_in_its_budget():
    """100 clients of 10,000 parameters in room for about ten: no client is decoded wrongly, all that are evicted come back."""
    pool = gradsz.DecoderPool(400_000)
    encoders = [gradsz.Encoder(0.1, level="fast", stream=i) for i in range(100)]
    rng = np.random.default_rng(0)
    for round_ in range(3):
        for i, encoder in enumerate(encoders):
            update = {"w": rng.normal(size=(100, 100)).astype(np.float32)}
            message = encoder.encode(update)
            try:
                decoded = pool.decode(i, message)
            except StateMismatchError:
                encoder.rollback(message.token)
                encoder.key_frame()
                message = encoder.encode(update)
                decoded = pool.decode(i, message)
            check(decoded, update, message)
            assert pool.nbytes <= 400_000
    assert pool.keys == 300 and pool.evictions > 200 and pool.mismatches == 200


class TestDownlink:
    def test_every_client_holds_the_same_bits(self):
        server, clients = gradsz.Broadcaster(1e-2, mode="abs"), [gradsz.Receiver() for _ in range(3)]
        model = {name: a.astype(np.float32) for name, a in update_of(0).items()}
        for i in range(1, 30):
            model = {name: a + np.float32(0.003) * update_of(i)[name] for name, a in model.items()}
            message = server.send(model)
            held = []
            for k, client in enumerate(clients):
                try:
                    held.append(client.receive(message) if (i + k) % 5 else client.receive(server.key()))
                except StateMismatchError:
                    held.append(client.receive(server.key()))
            for weights in held:
                assert all(weights[name].tobytes() == held[0][name].tobytes() for name in weights)
                assert all(oracle.within(model[name], weights[name], 1e-2).all() for name in model)
            assert len(message) < 9000 or i == 1

    def test_a_lost_message_is_noticed(self):
        server, client = gradsz.Broadcaster(1e-2, mode="abs"), gradsz.Receiver()
        client.receive(server.send(update_of(0)))
        server.send(update_of(1))
        lost = server.send(update_of(2))
        with pytest.raises(StateMismatchError) as caught:
            client.receive(lost)
        assert caught.value.expected[1] + 1 == caught.value.got[1]
        client.receive(server.key())
        client.receive(server.send(update_of(3)))

    def test_the_same_message_again(self):
        server, client = gradsz.Broadcaster(1e-2, mode="abs"), gradsz.Receiver()
        client.receive(server.send(update_of(0)))
        message = server.send(update_of(1))
        first = client.receive(message)
        first["layer0"][:] = 0
        assert np.array_equal(client.receive(message)["layer1"], first["layer1"])


@pytest.mark.parametrize("kind", [gradsz.Encoder, gradsz.Decoder])
@pytest.mark.parametrize("settings", [{}, {"bound": "x"}, {"stream": None, "last": 3, "limits": 4}, []], ids=repr)
def test_snapshots_that_lack_settings(kind, settings):
    """Crafted ones raise what damage raises, and nothing else."""
    data = Snapshot(kind.__name__, State(0, 1), settings).to_bytes()
    with pytest.raises(gradsz.GradszError):
        kind.from_bytes(data)


def test_snapshots_of_too_long_a_history():
    """More rounds than the core has room for."""
    kept = Kept.of(np.ones((60, 50)), 2)
    data = Snapshot("Encoder", State(0, 5, ({"w": kept},) * 6, (("w", 2, (60, 50)),)), dict(
        bound=0.1, quantiser=None, history=2, error_feedback=False, stream=1, options={}, aware=None, key=False)).to_bytes()
    with pytest.raises(gradsz.CorruptError):
        gradsz.Encoder.from_bytes(data)
    with pytest.raises(ValueError, match="earlier rounds"):
        compress_items({"w": np.ones((60, 50), np.float32)}, 0.1, past=[{"w": np.ones((60, 50), np.float32)}] * 3)
