"""Streams: messages of one sender, round after round, that may use earlier rounds; no silent desynchronisation."""
from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradsz import _arrays, _core, _note, _params
from gradsz._foresight import Foreseer
from gradsz._prediction import Foresight, foresee
from gradsz._state import HISTORIES, Kept, Round, Snapshot, State, digest_of, reading
from gradsz.api import message_bytes
from gradsz.errors import ParameterError, StateMismatchError
from gradsz.gradient_aware import GradientAware
from gradsz.quantisers import Quantiser, quantiser_from_json
from gradsz.tensors import compress_items, decode_tensors

if TYPE_CHECKING:
    from gradsz._core import _Stream
    from gradsz._params import Bytes, Predictor

__all__ = ["Encoder", "Decoder", "DecoderPool", "Broadcaster", "Receiver", "StreamMessage"]

_BOUNDED = 4, 5             # codecs whose tensors are kept: uniform, model
_LOSSY = 4, 5, 6            # and those that leave something out: Spherical too


class StreamMessage(bytes):
    """A message of a stream: bytes, and where they belong."""

    token: tuple[int, int]
    key: bool
    sequence: int

    def __new__(cls, data: bytes, token: tuple[int, int], key: bool, sequence: int) -> StreamMessage:
        self = super().__new__(cls, data)
        self.token, self.key, self.sequence = token, key, sequence
        return self

    def __reduce__(self):
        return StreamMessage, (bytes(self), self.token, self.key, self.sequence)


@dataclass
class _Pending:
    token: tuple[int, int]
    state: State
    errors: dict[str, np.ndarray]
    key_wanted: bool


class Encoder:
    """One sender of updates: `compress_tensors` that remembers.

    Parameters
    ----------
    error_bound, and options of `compress_tensors`
        The same in every round.
    history : int
        Earlier rounds that both ends keep and the gradient model may use, 0 to 2.  0, and with a quantiser in place of the bound: every
        message stands alone.
    predictor : str or GradientAware
        As in `compress_tensors`; or ``"gradient-aware"``, which is ``GradientAware()``: predict tensors from the round before and from
        signs that are sent, instead of what the gradient model does with earlier rounds.  It takes a history of 1 or more.
    error_feedback : bool
        Add what a message left out to the next update, so that coarse biased bounds train.
    stream : int, optional
        64-bit id of the stream; random by default.

    Notes
    -----
    `encode` does not change the state until its message is committed: by `commit`, or by the next `encode`.
    An Encoder belongs to one thread at a time.

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> encoder, decoder = gradsz.Encoder(1e-2, history=1), gradsz.Decoder()
    >>> for round in range(3):
    ...     update = {"w": np.random.default_rng(round).normal(size=(50, 40)).astype("float32")}
    ...     message = encoder.encode(update)
    ...     got = decoder.decode(message)
    >>> message.key, message.sequence, bool(np.abs(got["w"] - update["w"]).max() < 0.1)
    (False, 2, True)
    """

    def __init__(self, error_bound: float | Quantiser, *, history: int = 1, predictor: Predictor | Literal["gradient-aware"] | GradientAware = "auto",
                 error_feedback: bool = False, stream: int | None = None, **options: Any):
        if history not in HISTORIES:
            raise ParameterError(f"history is {history!r}; 0, 1 or 2 earlier rounds can be kept")
        if "reference" in options:
            raise ParameterError("give the reference of a round to encode()")
        if isinstance(error_bound, Quantiser):
            history = 0
        else:
            _params.error_bound(error_bound)
        self.stream = _identifier(stream)
        self.history, self.error_feedback = history, bool(error_feedback)
        self._aware = GradientAware() if predictor == "gradient-aware" else predictor if isinstance(predictor, GradientAware) else None
        if self._aware is not None and not history:
            raise ParameterError("gradient-aware prediction needs an error bound and a history of at least 1 earlier round")
        self._bound, self._options = error_bound, options if self._aware is not None else {"predictor": predictor} | options
        self._state: State | None = None
        self._errors: dict[str, np.ndarray] = {}
        self._pending: _Pending | None = None
        self._key_wanted = False

    def encode(self, update: Mapping[str, ArrayLike], *, reference: Mapping[str, ArrayLike] | None = None,
               slot: tuple[int, int] | None = None) -> StreamMessage:
        """The next message.  Commits the one before, unless that was rolled back.

        Parameters
        ----------
        update : mapping of str to array_like or tensor
        reference, slot
            As in `compress_tensors`; history then keeps what was decoded less the reference.

        Raises
        ------
        ParameterError, UnsupportedDtypeError, LimitError
        """
        if self._pending is not None:
            self.commit(self._pending.token)
        taken = _taken(update)
        layout = _layout(taken)
        state, key = self._state, self._key_wanted or not self.history
        key = key or state is None or state.layout != layout
        before = state if state is not None and not key else State(0, self.history)
        sequence = 0 if state is None else state.sequence + 1
        wanted = {name: _wide(*taken[name]) + error for name, error in self._errors.items() if name in taken and _fits(error, *taken[name])}
        given: dict[str, Any] = {**update, **{name: _arrays.narrowed(np.asarray(x), *taken[name]) for name, x in wanted.items()}}
        place = (self.stream, sequence, key, self.history, 0 if key else before.digest())
        options = self._options if slot is None else self._options | {"slot": slot}
        foreseer = None if self._aware is None or key else Foreseer(self._aware, before.rounds[0])
        past = before.past() if self._aware is None else []         # one use of earlier rounds or the other
        data = compress_items(given, self._bound, reference=reference, past=past, foreseer=foreseer, stream=place, **options)
        round_, errors = self._look_back(data, taken, wanted, reference, before, past)
        state = before.after(round_, key, sequence, layout)
        self._pending = _Pending((sequence, state.digest()), state, errors, self._key_wanted)
        self._key_wanted = False
        return StreamMessage(data, self._pending.token, key, sequence)

    def commit(self, token: tuple[int, int]) -> None:
        """The message was sent: its state is now that of the stream.  Once more for the same message does nothing."""
        if self._pending is not None and token == self._pending.token:
            self._state, self._errors = self._pending.state, self._pending.errors
            self._pending = None
        elif self._state is None or token != (self._state.sequence, self._state.digest()):
            raise ParameterError("the token is not that of the last message")

    def rollback(self, token: tuple[int, int]) -> None:
        """The message was not sent, and never will be: forget it."""
        if self._pending is None or token != self._pending.token:
            raise ParameterError("the token is not that of a message that waits: it was committed, or rolled back before")
        self._key_wanted |= self._pending.key_wanted
        self._pending = None

    def key_frame(self) -> None:
        """Make the next message a key, which needs no state: after a StateMismatchError of the receiver."""
        self._key_wanted = True

    def to_bytes(self) -> bytes:
        """All of it, to go on elsewhere or later with `from_bytes`; a message that waits is committed first."""
        if self._pending is not None:
            self.commit(self._pending.token)
        options = {name: value for name, value in self._options.items() if value is not None}
        quantiser = self._bound.to_json() if isinstance(self._bound, Quantiser) else None
        settings = dict(bound=self._bound if quantiser is None else 0, quantiser=quantiser, history=self.history, error_feedback=self.error_feedback, stream=self.stream, options=options,
                        aware=None if self._aware is None else self._aware.to_json(), key=self._key_wanted)
        try:
            return Snapshot("Encoder", self._state, settings, self._errors).to_bytes()
        except TypeError:
            raise ParameterError("options that are functions cannot be stored: make a new Encoder and call key_frame") from None

    @classmethod
    def from_bytes(cls, data: Bytes) -> Encoder:
        """An encoder from `to_bytes`, in the same place of the same stream.

        Raises
        ------
        CorruptError, UnsupportedError, ParameterError
        """
        snapshot = Snapshot.from_bytes(data, "Encoder")
        s = snapshot.settings
        with reading("Encoder"):
            options = s["options"] if s["aware"] is None else s["options"] | {"predictor": GradientAware.from_json(s["aware"])}
            bound = s["bound"] if s["quantiser"] is None else quantiser_from_json(s["quantiser"])
            encoder = cls(bound, history=s["history"], error_feedback=s["error_feedback"], stream=s["stream"], **options)
            encoder._state, encoder._errors, encoder._key_wanted = snapshot.state, snapshot.arrays, s["key"]
        return encoder

    def _look_back(self, data: bytes, taken: Mapping[str, tuple[np.ndarray, int]], wanted: Mapping[str, np.ndarray],
                   reference: Mapping[str, Any] | None, before: State, past: list[dict[str, np.ndarray]]) -> tuple[Round, dict[str, np.ndarray]]:
        """What both ends keep of the message; what it left out."""
        if not self.history and not self.error_feedback:
            return {}, {}
        message = _core.Message(data)
        foresight = _foreseen(message, before.rounds)
        decoded = decode_tensors(message, None, False, reference, past, foresight.predictions)
        errors = {}
        for name in dict.fromkeys([*_coded(message, _LOSSY), *wanted]) if self.error_feedback else ():
            with np.errstate(invalid="ignore", over="ignore"):
                left = (wanted[name] if name in wanted else _wide(*taken[name])) - _wide(decoded[name], taken[name][1])
            errors[name] = np.where(np.isfinite(left), left, left.dtype.type(0))
        return _round_of(message, decoded, reference, foresight) if self.history else {}, errors


class Decoder:
    """The receiver of one stream.

    A key is always taken.  Another message is taken only if it follows the last one and was made with the state that
    this end has; else StateMismatchError, and nothing changes.  The last message once more gives the same values again
    and changes nothing.  Calls from several threads wait for each other.

    Parameters
    ----------
    nthreads, max_output
        As in `decompress_tensors`.
    """

    def __init__(self, *, nthreads: int = 1, max_output: int | None = None):
        self._limits = _params.nthreads(nthreads), _params.max_output(max_output)
        self._lock = threading.Lock()
        self._state: State | None = None
        self._stream = 0
        self._last = (0, 0)                     # size and checksum of the last message

    def decode(self, message: Bytes, *, reference: Mapping[str, ArrayLike] | None = None) -> dict[str, NDArray[Any]]:
        """The tensors of a message.

        Raises
        ------
        StateMismatchError
            `expected` and `got` are (stream, sequence, digest).  Ask the sender for a key: ``encoder.key_frame()``.
        CorruptError, TruncatedError, UnsupportedError, LimitError, ParameterError
        """
        return self._decode(message, reference)[0]

    def _decode(self, message: Bytes, reference: Mapping[str, Any] | None) -> tuple[dict[str, NDArray[Any]], bool]:
        """The tensors, and whether the message is a key."""
        with self._lock:
            return self._follow(*_opened(message, self._limits), reference)

    def _follow(self, parsed: _core.Message, place: _Stream, seen: tuple[int, int],
                reference: Mapping[str, Any] | None) -> tuple[dict[str, NDArray[Any]], bool]:
        stream, sequence, key, history, digest, _ = place
        again = self._state is not None and (stream, sequence) == (self._stream, self._state.sequence) and seen == self._last
        before = State(0, history)
        if not key:
            before = self._matching(stream, sequence, digest, again)
        foresight = _foreseen(parsed, before.rounds[int(again):])
        decoded = decode_tensors(parsed, None, False, reference, before.past(int(again)), foresight.predictions)
        if not again:
            round_ = _round_of(parsed, decoded, reference, foresight) if history else {}
            self._state, self._stream, self._last = State(sequence, history, before.rounds).after(round_, key, sequence, ()), stream, seen
        return decoded, key

    def _matching(self, stream: int, sequence: int, digest: int, again: bool) -> State:
        """The state that a message needs."""
        state = self._state
        if state is None:
            raise StateMismatchError("this end has no state: ask for a key", expected=None, got=(stream, sequence, digest))
        expected = (self._stream, state.sequence + (not again), state.digest(int(again)))
        if expected != (stream, sequence, digest):
            what = "another stream" if stream != expected[0] else "another place" if sequence != expected[1] else "another state"
            raise StateMismatchError(f"the message is of {what}: ask for a key", expected=expected, got=(stream, sequence, digest))
        return state

    @property
    def nbytes(self) -> int:
        """Memory of the state."""
        return 0 if self._state is None else self._state.nbytes

    def to_bytes(self) -> bytes:
        """The state, for `from_bytes`."""
        with self._lock:
            return Snapshot("Decoder", self._state, dict(stream=self._stream, last=self._last, limits=self._limits)).to_bytes()

    @classmethod
    def from_bytes(cls, data: Bytes) -> Decoder:
        snapshot = Snapshot.from_bytes(data, "Decoder")
        decoder = cls()
        with reading("Decoder"):
            decoder._state, decoder._stream = snapshot.state, snapshot.settings["stream"]
            decoder._last, decoder._limits = tuple(snapshot.settings["last"]), tuple(snapshot.settings["limits"])
        return decoder


class DecoderPool:
    """Decoders of many clients in bounded memory: the least recently used states go first.

    A client whose state is gone gets StateMismatchError, as after any loss, and sends a key.

    Parameters
    ----------
    max_bytes : int
        For all states together.
    nthreads, max_output
        As in `decompress_tensors`.

    Attributes
    ----------
    hits, keys, mismatches, evictions : int
    """

    def __init__(self, max_bytes: int, *, nthreads: int = 1, max_output: int | None = None):
        if max_bytes < 0:
            raise ParameterError(f"max_bytes is {max_bytes}; it must be 0 or more")
        self.max_bytes = max_bytes
        self.hits = self.keys = self.mismatches = self.evictions = 0
        self._options = dict(nthreads=nthreads, max_output=max_output)
        self._lock = threading.Lock()               # of the table; each decoder has its own
        self._decoders: OrderedDict[Hashable, Decoder] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._nbytes = 0                            # their sum

    def decode(self, client: Hashable, message: Bytes, *, reference: Mapping[str, ArrayLike] | None = None) -> dict[str, NDArray[Any]]:
        """As `Decoder.decode`, with the state of this client."""
        with self._lock:
            decoder = self._decoders.get(client) or Decoder(**self._options)        # type: ignore[arg-type]
        try:
            decoded, key = decoder._decode(message, reference)
        except StateMismatchError:
            with self._lock:
                self.mismatches += 1
            raise
        with self._lock:
            self.keys += key
            self.hits += not key
            self._keep(client, decoder)
        return decoded

    def _keep(self, client: Hashable, decoder: Decoder) -> None:
        self._decoders[client] = decoder
        self._decoders.move_to_end(client)
        self._nbytes += decoder.nbytes - self._sizes.get(client, 0)
        self._sizes[client] = decoder.nbytes
        while self._nbytes > self.max_bytes:
            gone, _ = self._decoders.popitem(last=False)
            self._nbytes -= self._sizes.pop(gone)
            self.evictions += 1

    @property
    def nbytes(self) -> int:
        """Memory of all states."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._decoders)

    def __contains__(self, client: Hashable) -> bool:
        return client in self._decoders


class Broadcaster:
    """The downlink: one model to many clients, of which every one ends with the same bits.

    The reference of a message is what the clients hold after the one before; so it takes only what has changed by more
    than the bound, and every client is within the bound of the model, after any number of rounds.

    Parameters
    ----------
    error_bound, and options of `compress_tensors`
        The bound is on the weights.

    Examples
    --------
    >>> import numpy as np, gradsz
    >>> server, client = gradsz.Broadcaster(1e-3, mode="abs"), gradsz.Receiver()
    >>> model = {"w": np.zeros((64, 64), "float32")}
    >>> for round in range(3):
    ...     model = {"w": model["w"] + np.float32(0.01) * np.random.default_rng(round).normal(size=(64, 64)).astype("float32")}
    ...     weights = client.receive(server.send(model))
    >>> bool(np.abs(weights["w"] - model["w"]).max() <= 1e-3)
    True
    """

    def __init__(self, error_bound: float, *, stream: int | None = None, **options: Any):
        self.stream = _identifier(stream)
        self._bound, self._options = error_bound, {"grid": "centred"} | options
        self._held: dict[str, np.ndarray] = {}      # by every client
        self._sequence = -1

    def send(self, model: Mapping[str, ArrayLike]) -> StreamMessage:
        """The message that brings every client that has the one before within the bound of the model; the first is a key."""
        key = not self._held or _layout(_taken(model)) != _layout(_taken(self._held))
        place = (self.stream, self._sequence + 1, key, 0, 0 if key else digest_of(self._held.items()))
        data = compress_items(model, self._bound, reference=None if key else self._held, stream=place, **self._options)
        self._held = decode_tensors(_core.Message(data), None, False, None if key else self._held)
        self._sequence += 1
        return StreamMessage(data, (self._sequence, digest_of(self._held.items())), key, self._sequence)

    def key(self) -> StreamMessage:
        """What the clients hold, bit for bit, for one that joins late or lost a message."""
        place = (self.stream, max(self._sequence, 0), True, 0, 0)
        return StreamMessage(compress_items(self._held, 0.0, stream=place), (place[1], digest_of(self._held.items())), True, place[1])


class Receiver:
    """A client of a Broadcaster."""

    def __init__(self, *, nthreads: int = 1, max_output: int | None = None):
        self._limits = _params.nthreads(nthreads), _params.max_output(max_output)
        self._held: dict[str, np.ndarray] = {}
        self._place: tuple[int, int] | None = None
        self._last = (0, 0)

    def receive(self, message: Bytes) -> dict[str, NDArray[Any]]:
        """The weights after a message; copies, so that what is done to them does no harm here.

        Raises
        ------
        StateMismatchError
            A message is missing: ask for ``broadcaster.key()``.
        CorruptError, TruncatedError, UnsupportedError, LimitError, ParameterError
        """
        parsed, (stream, sequence, key, _, digest, _), seen = _opened(message, self._limits)
        if seen != self._last:
            if not key:
                expected = None if self._place is None else (self._place[0], self._place[1] + 1, digest_of(self._held.items()))
                if expected != (stream, sequence, digest):
                    raise StateMismatchError("a message is missing, or this is of another stream: ask for a key", expected=expected,
                                             got=(stream, sequence, digest))
            self._held = decode_tensors(parsed, None, False, None if key else self._held)
            self._place, self._last = (stream, sequence), seen
        return {name: array.copy() for name, array in self._held.items()}


def _identifier(stream: int | None) -> int:
    given = _params.seed(stream)
    return secrets.randbits(64) if given is None else given


def _wide(array: np.ndarray, code: int) -> np.ndarray:
    """Values as errors are kept: with the bits of float32 at least, so that what rounds away comes again."""
    return array if array.itemsize > 2 else _arrays.widened(array, code).astype(np.float32)


def _fits(error: np.ndarray, array: np.ndarray, code: int) -> bool:
    return code in _arrays.FLOATING and error.shape == array.shape and error.itemsize == max(array.itemsize, 4)


def _coded(message: _core.Message, codecs: tuple[int, ...]) -> list[str]:
    """Names of the tensors that were coded so."""
    entries = map(message.entry, range(len(message)))
    return [entry[0] or "" for entry in entries if entry[5] in codecs]


def _foreseen(message: _core.Message, rounds: tuple[Round, ...]) -> Foresight:
    """What a message of a stream predicts from the latest of some rounds."""
    before, stream = rounds[0] if rounds else {}, message.stream
    rule, told = _note.read(stream[-1] if stream else b"", [message.entry(i) for i in range(len(message))], before)
    return foresee(rule, told, before)


def _round_of(message: _core.Message, decoded: Mapping[str, np.ndarray], reference: Mapping[str, Any] | None, foresight: Foresight) -> Round:
    """What is kept of a message: decoded values, less the reference where there is one; and momenta."""
    kept: Round = {}
    for name in _coded(message, _BOUNDED):
        array, code = _arrays.take(decoded[name])
        wide = _arrays.widened(array, code)
        if reference is not None and name in reference:
            with np.errstate(invalid="ignore", over="ignore"):
                wide = wide - _arrays.widened(_arrays.take(reference[name])[0], code)
        kept[name] = foresight.remember(name, Kept.of(wide, code))
    return kept


def _taken(update: Mapping[str, Any]) -> dict[str, tuple[np.ndarray, int]]:
    if not isinstance(update, Mapping):
        raise ParameterError(f"a stream takes mappings of names to arrays, not {type(update).__name__}")
    return {name: _arrays.take(value) for name, value in update.items()}


def _layout(taken: Mapping[str, tuple[np.ndarray, int]]) -> tuple:
    return tuple((name, code, array.shape) for name, (array, code) in taken.items())


def _opened(message: Bytes, limits: tuple[int, int]) -> tuple[_core.Message, _Stream, tuple[int, int]]:
    """A message of a stream, its place, and its size and checksum."""
    data = message_bytes(message)
    parsed = _core.Message(data, *limits)
    if parsed.stream is None:
        raise ParameterError("the message is of no stream: use decompress_tensors")
    return parsed, parsed.stream, (len(data), _core.crc32c(0, data))
