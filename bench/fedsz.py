"""FedSZ's pipeline beside gradsz.FedSZ on a state dict of ResNet-18's shapes: bytes, seconds, and the time of a round by bandwidth.

    python bench/fedsz.py [--bars] [--out bench/results]        # needs pysz, hdf5plugin (SZ 2), blosc2, matplotlib; minutes

Writes fedsz.md and fedsz.png.
"""
import argparse
import pickle
from dataclasses import dataclass

import blosc2
import peers                    # first: it sets the number of threads of what is imported later
import plot
import report
import timing

import numpy as np

import gradsz
from gradsz import _reference

METHOD = """\
The pipeline is put together from the libraries that the authors' code uses: SZ 2 (REL; or SZ3 in its place) on flat tensors whose name contains "weight" and
that have more than {cutoff:,} elements, Blosc (blosclz, level 9, shuffle) on the others, a pickled dict around them. Values are drawn: low rank and noise, rows of
different size, as weights; so ratios show the order, not those of a trained model. `reference`: both ends hold the weights before the round, from which these
differ by values drawn likewise, {step:g} times as large; values come back the same as without it. Times are the least of {repeats} calls of each, in turn, one thread. A round: compress,
send, decompress; without latency."""

CUTOFF = 1024
STEP = 0.1                      # of an update, to the weights
REPEATS = 5
RELS = (1e-1, 1e-2, 1e-3)
BANDWIDTHS = {"1 Mbit/s": 1e6, "10 Mbit/s": 1e7, "100 Mbit/s": 1e8, "500 Mbit/s": 5e8, "1 Gbit/s": 1e9, "10 Gbit/s": 1e10}


def shapes():
    """(name, shape) of ResNet-18's state dict."""
    def norm(name, n):
        yield from ((f"{name}.{part}", (n,)) for part in ("weight", "bias", "running_mean", "running_var"))
        yield f"{name}.num_batches_tracked", ()

    yield "conv1.weight", (64, 3, 7, 7)
    yield from norm("bn1", 64)
    before = 64
    for layer, n in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            at = f"layer{layer}.{block}"
            yield f"{at}.conv1.weight", (n, before, 3, 3)
            yield from norm(f"{at}.bn1", n)
            yield f"{at}.conv2.weight", (n, n, 3, 3)
            yield from norm(f"{at}.bn2", n)
            if before != n:
                yield f"{at}.downsample.0.weight", (n, before, 1, 1)
                yield from norm(f"{at}.downsample.1", n)
            before = n
    yield from (("fc.weight", (1000, 512)), ("fc.bias", (1000,)))


def drawn(shape, rng, rank=8):
    if shape == ():
        return np.int64(391)
    if len(shape) == 1:
        return (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32)
    rows, columns = shape[0], int(np.prod(shape[1:]))
    x = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns)) / rank**0.5 + rng.standard_normal((rows, columns))
    return (0.01 * x * np.exp(0.5 * rng.standard_normal((rows, 1)))).reshape(shape).astype(np.float32)


class Pipeline:
    """FedSZ with a lossy codec of peers."""

    def __init__(self, rel, codec):
        self.rel, self.codec = rel, codec

    def compress(self, state):
        with self.codec.active():
            return pickle.dumps({name: self._one(name, np.ravel(a)) for name, a in state.items()})

    def _one(self, name, flat):
        if lossy(name, flat.size):
            return bytes(self.codec.compress(flat, self.rel * float(np.ptp(flat))))
        return blosc2.compress(flat, typesize=4, clevel=9, filter=blosc2.Filter.SHUFFLE, codec=blosc2.Codec.BLOSCLZ)

    def decompress(self, message, state):
        with self.codec.active():
            return {name: self.codec.decompress(data, (state[name].size,), state[name].dtype) if lossy(name, state[name].size)
                    else blosc2.decompress(data) for name, data in pickle.loads(message).items()}


def lossy(name, size):
    return "weight" in name and size > CUTOFF


@dataclass(frozen=True)
class Way:
    """One way to send a state, measured."""
    name: str
    rel: float
    size: int
    forth: float                # seconds
    back: float

    def round(self, bandwidth):
        return self.forth + 8 * self.size / bandwidth + self.back


def calls(state, before, rel):
    """{name: (compress, decompress)}."""
    found = {}
    sz3 = peers.sz3_codecs()["sz3-1d"]
    from_bytes = peers.Codec(sz3.compress, lambda data, *rest: sz3.decompress(np.frombuffer(data, np.uint8), *rest))
    for name, codec in (("SZ 2", peers.sz2_codecs()["sz2-1d"]), ("SZ3", from_bytes)):
        pipeline = Pipeline(rel, codec)
        found[name] = (lambda p=pipeline: p.compress(state)), (lambda message, p=pipeline: p.decompress(message, state))
    for level in ("fast", "balanced"):
        preset = gradsz.FedSZ(rel, level=level)
        found[f"gradsz {level}"] = (lambda p=preset: p.compress(state)), gradsz.decompress_tensors
    preset = gradsz.FedSZ(rel)
    found["gradsz balanced, reference"] = (
        lambda: gradsz.compress_tensors(state, rel, level=preset.level, grid=preset.grid, lossy=preset.lossy, reference=before),
        lambda message: gradsz.decompress_tensors(message, reference=before))
    return found


def measure(state, before, rel):
    """The ways, and the messages of gradsz."""
    pairs = calls(state, before, rel)
    messages = {name: compress() for name, (compress, _) in pairs.items()}
    entries = {name: timing.Entry([compress, lambda d=decompress, m=messages[name]: d(m)]) for name, (compress, decompress) in pairs.items()}
    timing.interleave(entries.values(), REPEATS)
    return [Way(name, rel, len(messages[name]), *[clock.best / 1e9 for clock in entry.clocks]) for name, entry in entries.items()], messages


def ways_table(ways, raw):
    return report.table(["", "rel", "bytes", "ratio", "compress s", "decompress s", "pays below, Mbit/s"], [
        [way.name, f"{way.rel:g}", f"{way.size:,}", report.number(raw / way.size), report.number(way.forth), report.number(way.back),
         f"{gradsz.breakeven(raw, way.size, way.forth, way.back) / 1e6:,.0f}"] for way in ways])


def rounds_table(ways):
    return report.table(["", *BANDWIDTHS], [[way.name, *[report.number(way.round(bandwidth)) for bandwidth in BANDWIDTHS.values()]] for way in ways])


def overhead(message):
    """The part of a message that is no payload."""
    parts = _reference.read_message(message, None)
    payload = sum(len(data) - 4 for data in (*parts.sections, *parts.runs, *parts.segments) if data)
    return 1 - payload / len(message)


def bars_of(ways):
    """At the paper's bound."""
    by_name = {way.name: way for way in ways}
    for bandwidth in ("10 Mbit/s", "500 Mbit/s"):
        rounds = {name: way.round(BANDWIDTHS[bandwidth]) for name, way in by_name.items()}
        yield report.Bar(f"a round at {bandwidth}, SZ 2 over gradsz balanced", 1.0, rounds["SZ 2"] / rounds["gradsz balanced"])
    yield report.Bar("bytes without reference over with", 1.2, by_name["gradsz balanced"].size / by_name["gradsz balanced, reference"].size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench/results", help="folder of fedsz.md and fedsz.png (default: %(default)s)")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    args = parser.parse_args()
    environment, rng = timing.environment(), np.random.default_rng(0)
    before = {name: drawn(shape, rng) for name, shape in shapes()}
    state = {name: a + np.float32(STEP) * drawn(a.shape, rng) if lossy(name, a.size) else a for name, a in before.items()}
    raw = sum(a.nbytes for a in state.values())
    found = {rel: measure(state, before, rel) for rel in RELS}
    none, parts, bars = Way("none", 0.0, raw, 0.0, 0.0), [], []
    for rel, (ways, messages) in found.items():
        parts += [f"### rel {rel:g}", rounds_table([none, *ways])]
        if rel == 1e-2:
            bars += bars_of(ways)
            told = f"Header, tables and checksums, of a message of `gradsz balanced` at rel {rel:g}: {100 * overhead(messages['gradsz balanced']):.3f} %."
    method = METHOD.format(cutoff=CUTOFF, step=STEP, repeats=REPEATS)
    text = report.page("FedSZ", [*environment, ("command", "python bench/fedsz.py")], method, f"{len(state)} tensors, {raw:,} bytes, {100 * gradsz.FedSZ().lossy_part(state):.2f} % of the elements lossy.",
                       ways_table([way for ways, _ in found.values() for way in ways], raw), told, "## Seconds of a round", "![by bandwidth](fedsz.png)", *parts,
                       "## Bars", report.bar_table(bars))
    out = report.save(args.out, "fedsz.md", text)
    plot.plot_rounds({rel: [none, *ways] for rel, (ways, _) in found.items()}, out / "fedsz.png")
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
