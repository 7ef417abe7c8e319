"""What the two ends of a stream keep between messages: earlier rounds as bounded integers."""
from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradsz import _arrays, _core
from gradsz.errors import CorruptError, GradszError
from gradsz.tensors import compress_tensors, decompress_tensors

MOST = 32767            # of the integers that stand for a round's values
HISTORIES = 0, 1, 2      # earlier rounds that can be kept
FORMAT = 2              # of snapshots


def digest_of(parts: Iterable[tuple[str, np.ndarray]]) -> int:
    """64 bits of labels and arrays: CRC-32C of the first and of the second half of each."""
    halves = [0, 0]
    for label, array in parts:
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        halves[0] = _core.crc32c(_core.crc32c(halves[0], label.encode()), data[:data.size // 2])
        halves[1] = _core.crc32c(halves[1], data[data.size // 2:])
    return halves[1] << 32 | halves[0]


@dataclass(frozen=True)
class Kept:
    """A tensor of an earlier round: value = integer * step, in its dtype."""

    integers: np.ndarray        # int16
    step: float
    code: int                   # of the dtype
    momentum: np.ndarray | None = None      # int32, in 2^-16: of gradient-aware prediction, as the weight; None: zeros
    weight: int = 0

    @classmethod
    def of(cls, wide: np.ndarray, code: int) -> Kept:
        """Values in float64, rounded to 16 bits: the same at both ends, where the values are."""
        wide = np.where(np.isfinite(wide), wide, 0.0)
        step = float(np.max(np.abs(wide), initial=0.0)) / MOST
        if step == 0.0 or not np.isfinite(1.0 / step):
            return cls(np.zeros(wide.shape, np.int16), 0.0, code)
        return cls(np.clip(np.rint(wide / step), -MOST, MOST).astype(np.int16), step, code)

    def parts(self, name: str) -> list[tuple[str, np.ndarray]]:
        """What a digest is made of."""
        parts = [(f"{name}:{self.integers.shape}:{self.step.hex()}:{self.code}", self.integers.astype("<i2", copy=False))]
        return parts if self.momentum is None else [*parts, (f":{self.weight}", self.momentum.astype("<i4", copy=False))]

    @property
    def nbytes(self) -> int:
        return self.integers.nbytes + (0 if self.momentum is None else self.momentum.nbytes)

    def fits(self, code: int, shape: tuple[int, ...]) -> bool:
        """Whether it is of a tensor like this, which has elements."""
        return (self.code, self.integers.shape) == (code, shape) and self.integers.size > 0

    def values(self) -> np.ndarray:
        return _arrays.as_float(self.integers.astype(np.float64) * self.step, self.code)


Round = dict[str, Kept]


@dataclass(frozen=True)
class State:
    """After a message: its number, and rounds, the latest first, one more than `history` so that it can be decoded again."""

    sequence: int
    history: int
    rounds: tuple[Round, ...] = ()
    layout: tuple = ()

    def past(self, skip: int = 0) -> list[dict[str, np.ndarray]]:
        """Values of the rounds that a next message may use, or of those before."""
        return [{name: kept.values() for name, kept in round_.items()} for round_ in self.rounds[skip:skip + self.history]]

    def digest(self, skip: int = 0) -> int:
        """64 bits of names and integers."""
        return digest_of(part for round_ in self.rounds[skip:skip + self.history] for name, kept in round_.items() for part in kept.parts(name))

    def after(self, round_: Round, key: bool, sequence: int, layout: tuple) -> State:
        """With one round more."""
        rounds = (round_, *(() if key else self.rounds))[:self.history + 1] if self.history else ()
        return State(sequence, self.history, rounds, layout)

    @property
    def nbytes(self) -> int:
        return 256 + sum(kept.nbytes + len(name) + 128 for round_ in self.rounds for name, kept in round_.items())


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """What a snapshot lacks or has of another type is damage."""
    try:
        yield
    except GradszError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise CorruptError(f"not a snapshot of {kind}: {type(error).__name__}") from None


@dataclass
class Snapshot:
    """A state and what goes with it, as a message: checked, and without pickle."""

    kind: str
    state: State | None
    settings: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        tensors: dict[str, np.ndarray] = {}
        rounds = []
        for k, round_ in enumerate(self.state.rounds if self.state else ()):
            rounds.append([(name, kept.step.hex(), kept.code, kept.weight) for name, kept in round_.items()])
            tensors |= {f"round/{k}/{i}": kept.integers for i, kept in enumerate(round_.values())}
            tensors |= {f"momentum/{k}/{i}": kept.momentum for i, kept in enumerate(round_.values()) if kept.momentum is not None}
        names = []
        for i, (name, array) in enumerate(self.arrays.items()):
            names.append(name)
            tensors[f"array/{i}"] = array
        state = None if self.state is None else dict(sequence=self.state.sequence, history=self.state.history, layout=self.state.layout)
        meta = dict(format=FORMAT, kind=self.kind, state=state, rounds=rounds, arrays=names, settings=self.settings)
        tensors["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
        return compress_tensors(tensors, 0.0)

    @classmethod
    def from_bytes(cls, data, kind: str) -> Snapshot:
        tensors = decompress_tensors(data)
        with reading(kind):
            meta = json.loads(tensors["meta"].tobytes())
            if meta["format"] != FORMAT or meta["kind"] != kind:
                raise ValueError
            rounds = tuple({name: _kept(tensors, f"{k}/{i}", float.fromhex(step), code, weight)
                            for i, (name, step, code, weight) in enumerate(round_)} for k, round_ in enumerate(meta["rounds"]))
            state = meta["state"]
            if state and state["history"] not in HISTORIES:
                raise ValueError("a history of another length")
            layout = _tuples(state["layout"]) if state else ()
            return cls(kind, State(state["sequence"], state["history"], rounds, layout) if state else None, meta["settings"],
                       {name: tensors[f"array/{i}"] for i, name in enumerate(meta["arrays"])})


def _kept(tensors: dict[str, np.ndarray], at: str, step: float, code: int, weight: int) -> Kept:
    integers, momentum = tensors[f"round/{at}"], tensors.get(f"momentum/{at}")
    if momentum is not None and (momentum.shape, momentum.dtype) != (integers.shape, np.int32) or not 0 <= weight <= 1 << 16:
        raise ValueError("a momentum of another shape")
    return Kept(integers, step, code, momentum, weight)


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
