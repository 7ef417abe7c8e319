"""FedSZ's pipeline beside gradsz.FedSZ on a state dict of ResNet-18's shapes: bytes and seconds; and what of a message is no payload.

    python bench/fedsz.py           # needs pysz, hdf5plugin (SZ 2), blosc2; a minute

The reference is put together from the libraries that the authors' code uses: SZ 2 (REL) on flat tensors whose name contains
"weight" and that have more than 1,024 elements, Blosc (blosclz, level 9, shuffle) on the others, a pickled dict around them.
Values are drawn: low rank and noise, rows of different size, as weights; so ratios show the order, not those of a trained model.
"""
import pickle
import time

import blosc2
import peers

import numpy as np

import gradsz
from gradsz import _reference

CUTOFF = 1024


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


class Reference:
    def __init__(self, rel):
        self.rel, self.sz = rel, peers.sz2_codecs()["sz2-1d"]

    def compress(self, state):
        with self.sz.active():
            return pickle.dumps({name: self._one(name, np.ravel(a)) for name, a in state.items()})

    def _one(self, name, flat):
        if "weight" in name and flat.size > CUTOFF:
            return bytes(self.sz.compress(flat, self.rel * float(np.ptp(flat))))
        return blosc2.compress(flat, typesize=4, clevel=9, filter=blosc2.Filter.SHUFFLE, codec=blosc2.Codec.BLOSCLZ)

    def decompress(self, message, state):
        with self.sz.active():
            return {name: self.sz.decompress(data, (state[name].size,), state[name].dtype) if "weight" in name and state[name].size > CUTOFF
                    else blosc2.decompress(data) for name, data in pickle.loads(message).items()}


def best_of(call, repeat=5):
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return result, min(times)


def row(name, compress, decompress, raw):
    message, forth = best_of(compress)
    _, back = best_of(lambda: decompress(message))
    print(f"{name:24} {len(message):>10,} bytes  ratio {raw / len(message):6.2f}  {forth:5.2f} s  {back:5.2f} s  "
          f"pays below {gradsz.breakeven(raw, len(message), forth, back) / 1e6:,.0f} Mbit/s")
    return message


def main():
    rng = np.random.default_rng(0)
    state = {name: drawn(shape, rng) for name, shape in shapes()}
    raw = sum(a.nbytes for a in state.values())
    print(f"{len(state)} tensors, {raw:,} bytes, {100 * gradsz.FedSZ().lossy_part(state):.2f} % of the elements lossy")
    for rel in (1e-1, 1e-2, 1e-3):
        print(f"rel {rel:g}")
        reference = Reference(rel)
        row("  SZ2, blosclz, pickle", lambda: reference.compress(state), lambda message: reference.decompress(message, state), raw)
        for level in ("fast", "balanced"):
            preset = gradsz.FedSZ(rel, level=level)
            message = row(f"  gradsz {level}", lambda: preset.compress(state), gradsz.decompress_tensors, raw)
            parts = _reference.read_message(message, None)
            payload = sum(len(data) - 4 for data in (*parts.sections, *parts.runs, *parts.segments) if data)
            print(f"{'':26} {len(message) - payload:,} bytes are header, tables and checksums: {100 * (1 - payload / len(message)):.3f} %")


if __name__ == "__main__":
    main()
