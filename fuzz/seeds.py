"""Writes the seeds of the fuzz targets, fuzz/corpus/TARGET/*: small inputs that already reach every stage.

Run with gradsz installed: python fuzz/seeds.py.  Inputs end in the parameters that the target takes (its source
says which), so a message comes first and stays readable.  The format decides the bytes: run this again after a
change of format.
"""
import pathlib
import struct

import ml_dtypes
import numpy as np

import gradsz
from gradsz import _arrays, _core, _params

CORPUS = pathlib.Path(__file__).parent / "corpus"
OPTIONS = (b"\x00", b"\x02", b"\x4e")     # portable, all kernels, all kernels with a budget of 4 KiB

rng = np.random.default_rng(7)
wave = np.sin(np.arange(600) / 9)
noise = rng.normal(size=900)
sparse = np.where(rng.random(2500) < 0.03, rng.normal(size=2500), 0)
outer = 8 * np.outer(rng.normal(size=66), rng.normal(size=63)) + rng.normal(size=(66, 63))
hostile = np.concatenate([noise[:40], [np.nan, np.inf, -np.inf, -0.0, 1e30, 1e-40]])


def arrays():
    """Name, array, keyword arguments of compress."""
    f32 = np.float32
    yield "none", noise[:200].astype(f32), dict(error_bound=1e-2, predictor="none")
    yield "escapes", hostile.astype(f32), dict(error_bound=1e-3, predictor="none")
    yield "lorenzo1", (1000 * wave[:200]).astype(f32), dict(error_bound=1e-1, predictor="lorenzo1")
    yield "lorenzo2", np.outer(wave[:20], wave[:20]).astype(f32), dict(error_bound=1e-3, predictor="lorenzo2")
    yield "lorenzo3", np.add.outer(np.outer(wave[:7], wave[:7]), wave[:6]), dict(error_bound=1e-3, predictor="lorenzo3")
    yield "streams", np.round(rng.normal(size=2600)).astype(f32), dict(error_bound=0.4)
    yield "sparse", sparse.astype(f32), dict(error_bound=1e-1)
    yield "wide", (noise[:60] * 1e6).astype(np.float64), dict(error_bound=1e-2)
    yield "half", noise[:100].astype(np.float16), dict(error_bound=1e-2, mode="rms")
    yield "bfloat", noise[:100].astype(ml_dtypes.bfloat16), dict(error_bound=0.1, mode="l2")
    yield "psnr", wave[:100].astype(np.float64), dict(error_bound=60, mode="psnr")
    yield "exact_float", wave[:100].astype(f32), dict(error_bound=0)
    yield "exact_int", np.arange(300, dtype=np.int32) ** 2, dict(error_bound=0)
    yield "exact_bool", rng.random(500) < 0.1, dict(error_bound=0)
    yield "raw", rng.integers(0, 256, 40, dtype=np.uint8), dict(error_bound=0)
    yield "constant", np.full((3, 4), 1.5), dict(error_bound=0.1)
    yield "empty", np.empty((0, 3), f32), dict(error_bound=0.1)
    yield "matrix", noise.reshape(30, 30).astype(f32), dict(error_bound=1e-1, predictor="structure")
    yield "kernels", noise[:864].reshape(6, 16, 3, 3).astype(f32), dict(error_bound=1e-2, predictor="structure", grid="aligned")
    yield "folded", noise.astype(np.float64), dict(error_bound=1e-2, mode="rel", predictor="structure")
    yield "transposed", noise[:320].reshape(64, 5).astype(np.float16), dict(error_bound=1e-1, predictor="structure")
    yield "holes", np.where(noise > 1.5, np.nan, noise).reshape(30, 30).astype(ml_dtypes.bfloat16), dict(error_bound=0.1, predictor="structure")
    yield "dithered", noise.reshape(30, 30).astype(f32), dict(error_bound=1e-1, predictor="structure", grid="dithered")
    yield "shrunk", noise[:864].reshape(6, 16, 3, 3), dict(error_bound=3e-1, predictor="structure", grid="shrunk")
    yield "low_rank", outer.astype(np.float16), dict(error_bound=0.5, predictor="low-rank")
    yield "scalar", np.array(3.25), dict(error_bound=0.1)


def shared_segment(layers):
    """A message whose floats are under the gradient model, which compress_tensors has no wish for where tensors are so small."""
    items = []
    for name, a in layers.items():
        a = np.ascontiguousarray(a)
        items.append((name.encode(), _arrays.code_of(a.dtype), np.shape(a), _arrays.contiguous(a, _arrays.code_of(a.dtype)), 1e-2,
                      _params.mode("rel"), _params.predictor("structure"), _params.level("balanced"), _params.grid("auto")))
    return _core.encode(items, True, 1)


def small():
    """Gathered tensors, packed entries."""
    return gradsz.compress_tensors({f"layers.{i}.{part}": a for i in range(7) for part, a in (
        ("wq.bias", wave[i:i + 9].astype(np.float32)), ("norm.bias", noise[i:i + 4].astype(np.float16)), ("steps", np.int64(i)))}, 1e-2)


def quantised():
    """Name, array, quantiser, and what fuzz_quantiser takes for it: keep, power, choices, target, scheme."""
    holes = np.where(np.arange(900) % 50 == 7, np.nan, noise).astype(np.float32)
    yield "dithering", noise.astype(np.float32), gradsz.SparseDithering(0.25), bytes([0, 0, 0, 63, 0])
    yield "unbiased", holes[:400], gradsz.SparseDithering(1, unbiased=True), bytes([0, 0, 1, 255, 0])
    yield "m22", holes.reshape(30, 30), gradsz.M22(bits=2, m=2, keep=0.5), bytes([127, 2, 1, 0, 2])
    yield "spherical", holes[:400], gradsz.Spherical(0.6, 7), bytes([0, 0, 90, 153, 1])


def streamed():
    """A key, and what follows it with predictions: kernels of one sign, magnitudes that stay; and signs that flip."""
    size, own = 1 + abs(noise[:864].reshape(8, 12, 3, 3)), np.random.default_rng(8)
    encoder = gradsz.Encoder(1e-2, predictor=gradsz.GradientAware(bias_corrected=True), stream=7, lossy=lambda *_: True)
    for turn in (1, -1):
        signs = np.sign(own.normal(size=(8, 12, 1, 1)))
        yield encoder.encode({"w": (size * signs).astype(np.float32), "b": (turn * noise).astype(np.float32)})


def messages():
    for name, array, options in arrays():
        yield name, gradsz.compress(array, **options)
    layers = {"a.weight": noise.reshape(30, 30).astype(np.float32), "a.bias": wave[:9], "b.weight": noise[:288].reshape(4, 8, 3, 3),
              "b.steps": np.int64(7), "b.bias": wave[100:132].astype(np.float16)}
    yield "segment", shared_segment(layers)
    model = {"conv.weight": noise.reshape(30, 30).astype(np.float32), "bias": wave[:9], "steps": np.int64(7), "": np.zeros(3)}
    yield "small", small()
    yield "model", gradsz.compress_tensors(model, 1e-2, lossy=lambda name, a: name != "steps")
    for name, array, quantiser, _ in quantised():
        yield name + "_quantised", gradsz.compress(array, quantiser)
    for name, message in zip(("stream_key", "stream_note"), streamed()):
        yield name, message


def of_streams():
    """Messages of streams, and with what both ends have."""
    model = {"w": np.resize(noise, (40, 33)), "k": noise[:288].reshape(4, 8, 3, 3).astype(np.float16), "b": wave[:9], "n": np.int64(3)}
    drawn = np.random.default_rng(8)                # leaves the numbers of the other seeds alone
    moved = {name: (a + (drawn.normal(size=a.shape) / 9 if a.dtype.kind == "f" else 1)).astype(a.dtype) for name, a in model.items()}
    options = dict(mode="rms", predictor="structure", lossy=["w", "k"])
    encoder = gradsz.Encoder(0.5, history=2, stream=2**63 + 5, **options)
    for number in range(3):
        yield f"stream{number}", encoder.encode(model)
    yield "reference", gradsz.compress_tensors(moved, 0.05, reference=model, **options)
    encoder = gradsz.Encoder(0.05, history=1, grid="shrunk", stream=1, seed=7, **options)
    encoder.encode(moved, reference=model)
    yield "both", encoder.encode(moved, reference=model)
    space = drawn.normal(size=(3, 120))
    encoder = gradsz.Encoder(0.2, mode="abs", history=1, predictor="low-rank", stream=2, lossy=["w"])
    for _ in range(2):
        message = encoder.encode({"w": (drawn.normal(size=(24, 3)) @ space).astype(np.float32)})
    yield "basis", message


def varint(data, at):
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return value, at


def section(message):
    """Payload of the only section, empty when there is none."""
    size, at = varint(message, 5)
    return message[at + size + 4:-4]


def uint16_be(n):
    return struct.pack(">H", n)


def seeds():
    """(target, name, bytes)."""
    for i, (name, message) in enumerate(messages()):
        options = OPTIONS[i % 3]
        yield "fuzz_frame", name, message + options
        yield "fuzz_tensor", name, message + options
        yield "fuzz_info", name, message + bytes([i & 1]) + options
    for i, (name, array, keywords) in enumerate(arrays()):
        options, n = OPTIONS[i % 3], array.size
        message = gradsz.compress(array, level="fast", **keywords)
        payload, codec = section(message), message[6] >> 5
        if name.startswith("exact"):
            control = {4: 4, 1: 0}[array.itemsize]
            yield "fuzz_exact", name, payload + uint16_be(n - 1) + bytes([control]) + options
        elif codec == 4:
            escapes, at = varint(payload, 0)
            stream = payload[at + escapes:]
            yield "fuzz_symbols", name, stream + uint16_be(n - 1) + b"\0" + options
            yield "fuzz_huffman", name, stream[4:200] + bytes([12, 8])
        if array.size <= 1024 or name == "low_rank":
            raw = array.tobytes()
            dtype = [np.dtype(t) for t in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.int8, np.int16, np.int32,
                                           np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.bool_)].index(array.dtype)
            mode = ("abs", "rel", "rms", "l2", "psnr").index(keywords.get("mode", "abs"))
            predictor = {"none": 1, "lorenzo1": 2, "lorenzo2": 3, "lorenzo3": 4, "structure": 5, "low-rank": 6}.get(keywords.get("predictor"), 0)
            choices = {"centred": 4, "aligned": 8, "dithered": 12, "shrunk": 16}.get(keywords.get("grid"), 0)
            bound = struct.pack("<d", keywords["error_bound"])
            columns = (array.shape or (1,))[-1]
            rows = array.shape[-2] if array.ndim == 3 else 1
            yield "fuzz_roundtrip", name, raw + bound + bytes([0, max(rows - 1, 0), (columns - 1) & 255, choices, predictor, mode, dtype]) + options
            yield "fuzz_exact", name + "_values", raw + b"\0\0" + bytes([1 | (array.itemsize.bit_length() - 1) << 1 | 8 * (dtype < 4)]) + options
            if dtype < 4:
                yield "fuzz_bound", name, raw[:800] + bound + bytes([dtype | mode << 2]) + options
    for i, (name, array, _, choices) in enumerate(quantised()):
        yield "fuzz_quantiser", name, array.tobytes() + bytes([29, 2]) + choices + OPTIONS[i % 3]
    values = rng.integers(-3, 4, 300).astype(np.int8).tobytes()
    yield "fuzz_symbols", "values", values + b"\x80\x81\x10\x20\x30\x40\x82\x00\x90" + values[:90] + b"\0\0\1\2"
    for name, plain in ("names", b"".join(b"%c\5\2wq\x22\1\4" % i for i in range(20, 70))), ("values", values):
        yield "fuzz_packed", name, plain + b"\x80\2"
    table = small()
    (plain, at), end = varint(table, 6), varint(table, 5)[0] + 6
    packed, at = varint(table, at)
    yield "fuzz_packed", "table", table[at:at + packed] + struct.pack(">H", plain) + b"\0\2"
    counts = (1 + np.arange(60) ** 2 % 1000).astype("<u2").tobytes()
    yield "fuzz_huffman", "counts", counts + b"\0\x85"
    for shape in (b"\x0f", b"\x1f\x1f", b"\x02\x02\x08\x10"):     # taken from the end: dimensions, last byte first
        control = bytes([len(shape), 0x53])
        yield "fuzz_model", f"{len(shape)}d", values + bytes(11) + b"\1\2\3\4\5\6\7\10" + b"\4" + shape + control + b"\2"
    for i, (name, message) in enumerate(of_streams()):
        for kinds in (0x7f, 0x6a, 0x2f):                           # taken in twos: the reference, rounds; the checksum put right or not
            yield "fuzz_prior", f"{name}_{kinds:x}", message + bytes([kinds << 1]) + OPTIONS[i % 2]
    for kinds in range(64):                                         # rounds and reference, dtype, what is no number
        sizes = bytes([3, 2, 39, 29])                               # bound, and up to three dimensions
        tensors = (sizes + bytes([kinds * 37 & 255, kinds | (kinds & 8) << 2])) * 2
        control = bytes(8) + bytes([kinds << 2 & 252 | 1 | 2 * (kinds % 3 == 0)]) + OPTIONS[kinds % 2]
        yield "fuzz_prior", f"values_{kinds}", values[:200] + b"\7\1\2\3\4\5\6\7\x90\1" + tensors + control
    triples = [1.0, 1 + 2.0**-52, 2.0**-53, 5e-324, 0.0, 1e308, -1e308, 2.0**-1022]
    yield "fuzz_bound", "corners", struct.pack("<9d", *triples, 1e-3) + b"\3\2"
    for dims in (1, 2, 3):
        yield "fuzz_lorenzo", f"narrow{dims}", values + bytes([1, 3, 10, dims - 1])
        yield "fuzz_lorenzo", f"wide{dims}", (rng.integers(-2**31, 2**31, 60).astype("<i4")).tobytes() + bytes([0, 3, 4, dims - 1])


def main():
    total = count = 0
    for target in {target for target, _, _ in seeds()}:
        for old in (CORPUS / target).glob("seed_*"):      # found inputs, under other names, stay
            old.unlink()
    for target, name, data in seeds():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        (CORPUS / target / f"seed_{name}").write_bytes(data)
        total, count = total + len(data), count + 1
    print(f"{count} seeds, {total} bytes")


if __name__ == "__main__":
    main()
