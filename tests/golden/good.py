"""Golden messages that decode: what the encoder writes, and what it may not but a decoder must read."""
from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction

import draw
import ml_dtypes
import numpy as np
from quantised import good_quantised

import gradsz
from gradsz import _reference
from gradsz.tensors import compress_items


# ---- inputs

class Noise:
    """A 64-bit linear congruential generator (Knuth's MMIX constants), the upper bits used."""

    def __init__(self, seed: int):
        self.state = seed

    def bits(self, n: int) -> int:
        self.state = (6364136223846793005 * self.state + 1442695040888963407) % 2**64
        return self.state >> (64 - n)

    def integers(self, count: int, low: int, high: int) -> list[int]:
        return [low + self.bits(32) * (high - low) // 2**32 for _ in range(count)]

    def bell(self, count: int, scale: float = 1.0) -> np.ndarray:
        """Sums of 12 uniform numbers, nearly normal; every operation is exact until the product."""
        return np.array([sum(self.bits(20) for _ in range(12)) / 2**20 - 6 for _ in range(count)]) * scale


def smooth(*shape: int) -> np.ndarray:
    """A low hill with a little noise."""
    grids = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    hill = sum((g - n / 2) ** 2 for g, n in zip(grids, shape))
    return (hill / 8 + Noise(5).bell(math.prod(shape), 0.25).reshape(shape)).astype(np.float32)


def sparse(n: int, every: int, largest: int = 3) -> np.ndarray:
    noise, x = Noise(9), np.zeros(n, np.float32)
    at = 0
    while (at := at + 1 + noise.integers(1, 0, 2 * every)[0]) < n:
        x[at] = noise.integers(1, 1, largest + 1)[0] * (1 - 2 * noise.bits(1))
    return x


# ---- good messages

def good_messages() -> dict[str, tuple[str, bytes, Known]]:
    """What it shows, the message, and what both ends have, by name."""
    good = Good()
    encoded(good)
    modelled(good)
    with_what_both_have(good)
    drawn(good)
    drawn_models(good)
    for name, (shows, message) in good_quantised(Noise).items():
        good.add(name, shows, message)
    return good.files


@dataclass(frozen=True)
class Known:
    """What both ends have: a reference, and earlier rounds, the latest first; arrays by name."""
    reference: dict[str, np.ndarray] = field(default_factory=dict)
    past: tuple[dict[str, np.ndarray], ...] = ()


class Good:
    def __init__(self):
        self.files: dict[str, tuple[str, bytes, Known]] = {}

    def add(self, name: str, shows: str, message: bytes, known: Known = Known()) -> None:
        assert name not in self.files
        self.files[name] = shows, message, known

    def array(self, name: str, shows: str, a, bound: float, **options) -> None:
        message = gradsz.compress(a, bound, **options)
        self.add(name, shows, message)
        check_bound(np.asarray(a), _reference.decode(message)[""], gradsz.info(message).tensors[0].eb)

    def tensors(self, name: str, shows: str, mapping, bound: float, known: Known = Known(), **options) -> None:
        message = compress_items(mapping, bound, reference=known.reference, past=known.past, **options)
        self.add(name, shows, message, known)
        decoded = _reference.decode(message, reference=known.reference, past=known.past)
        for tensor in gradsz.info(message).tensors:
            check_bound(np.asarray(mapping[tensor.name]), decoded[tensor.name], tensor.eb)


def check_bound(x: np.ndarray, y: np.ndarray, eb: float) -> None:
    if eb == 0:
        assert x.tobytes() == y.tobytes()
        return
    with np.errstate(all="ignore"):             # signalling NaNs
        x, y = (v.reshape(-1).astype(np.float64) for v in (x, y))
        near = ~(abs(x - y) < eb * (1 - 2.0**-40))
    pairs = zip(x[near].tolist(), y[near].tolist())
    for a, b in pairs:
        assert abs(Fraction(a) - Fraction(b)) <= Fraction(eb) if math.isfinite(a) else a == b or a != a and b != b


def encoded(good: Good) -> None:
    """What the encoder writes."""
    bell = Noise(1).bell(600).astype(np.float32)
    good.array("example", "the example of docs/format.md", example(), 0.25, predictor="none")
    for name in ("float16", "bfloat16", "float32", "float64"):
        good.array(f"uniform_{name}", "no prediction", bell.astype(name), 0.05, predictor="none")
        good.array(f"lorenzo1_{name}", "prediction along the chunk", smooth(300).astype(name), 0.5,
                   predictor="lorenzo1")
    good.array("lorenzo2", "prediction in two dimensions, one of size 1 left out",
               smooth(20, 1, 30), 0.5, predictor="lorenzo2")
    good.array("lorenzo3", "prediction in three dimensions, the first two taken as one",
               smooth(2, 5, 7, 9), 0.5, predictor="lorenzo3")
    for mode, bound in (("rel", 0.01), ("rms", 0.1), ("l2", 0.05), ("psnr", 40)):
        good.array(f"mode_{mode}", "how the bound was meant", bell, bound, mode=mode, level="fast")

    special = bell.copy()
    special[[3, 50, 51, 599]] = [np.nan, np.inf, -np.inf, 1e30]
    special[60:62] = np.array([0x7f800001, 0xffc12345], np.uint32).view(np.float32)
    good.array("escapes", "NaN payloads, infinities, numbers too far from 0", special, 0.05, predictor="none")
    hill = smooth(15, 40)
    hill.flat[[0, 41, 300, 599]] = [np.nan, np.inf, -1e30, np.nan]
    good.array("escapes_lorenzo2", "escapes inside a prediction", hill, 0.5, predictor="lorenzo2")
    wild = np.array([(-1) ** i * 10.0 ** (i % 77 - 38) for i in range(500)], np.float32)
    good.array("escapes_many", "most elements escape", wild, 1e-3, level="fast")
    good.array("half_ulp", "bounds near the spacing of the dtype", (bell * 4).astype(np.float16), 2.0**-11, level="fast")
    good.array("subnormal", "subnormal values and step", (bell * 40).astype(np.int32).view(np.float32), 2.0**-147, level="fast")
    good.array("largest_bound", "a step limited by the working format", bell * np.float32(5e37), 3e38, level="fast")
    good.array("large_bound_float64", "2 eb above the largest binary64", Noise(3).bell(100) * 1e307, 1.7e308, level="fast")

    good.array("all_zero", "every symbol is 0", bell, 100, predictor="none")
    good.array("lone_value", "one token in use: no bits at all", 1 + bell / 64, 0.25, predictor="none")
    good.array("sparse", "codes A and B", sparse(4000, 30), 0.5, predictor="none")
    good.array("four_streams", "dense symbols in four streams",
               Noise(2).bell(3000).astype(np.float32), 0.2, predictor="none")
    good.array("low_bits", "raw low bits in four streams",
               Noise(4).bell(2600).astype(np.float32), 2.0**-14, predictor="none")
    good.array("low_bits_float64", "values above 2^24", Noise(6).bell(200, 2.0**22), 2.0**-3, predictor="none")
    good.array("far", "a few values far above the others",
               np.append(Noise(12).bell(500, 8), [2e6, -1.5e6]).astype(np.float32), 0.5, predictor="none")
    good.array("long_runs", "three chunks, runs of more than 32,767 zeros",
               sparse(2**17 + 1000, 20000), 0.5, predictor="none")
    good.array("chunks_lorenzo2", "two chunks: eight rows and one",
               sparse(9 * 2**14, 9000).reshape(9, -1), 0.5, predictor="lorenzo2")
    good.array("chunks_lorenzo3", "two chunks of whole planes",
               sparse(42 * 1800, 9000).reshape(42, 30, 60), 0.5, predictor="lorenzo3")
    good.array("chunks_exact", "two chunks, bit-exact", sparse(2**16 + 500, 9000).astype(np.int16), 0)

    noise = Noise(7)
    good.tensors("exact", "every dtype bit-exact", {
        **{name: noise.bell(64, 40).astype(name)
           for name in ("float16", "float32", "float64", "int8", "int16", "int32", "int64")},
        "bfloat16": noise.bell(64).astype(ml_dtypes.bfloat16),
        **{f"uint{8 << i}": np.array(noise.integers(64, 0, 9)).astype(f"uint{8 << i}") for i in range(4)},
        "bool": np.array(noise.integers(200, 0, 8)) == 0,
        "up": np.arange(1000, 1300, dtype=np.int64) * 3,
        "both signs": np.array(noise.integers(64, -50, 50), np.int32),
    }, 0)
    good.tensors("exact_floats", "special values bit-exact", {
        "float32": np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45] * 9, np.float32),
        "float64": np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324] * 9)}, 0)
    good.array("raw", "noise is stored", np.array(noise.integers(50, 0, 2**31), np.uint32), 0)
    good.array("constant", "one bit pattern", np.full((3, 4), np.uint32(0xffc00001)).view(np.float32), 0.5)
    good.array("scalar", "no dimensions", np.float64(-0.0), 0.5)
    good.array("empty", "no elements", np.zeros((3, 0, 2**40), np.int16), 0)
    good.tensors("names", "names of any characters, the empty one too", {
        "": np.int8(1), "layer.0/weight": bell[:20], "größe \u00e9\u4e2d\U0001f600\0": np.zeros((0,), bool),
        "x" * 1023: np.array([True, False])}, 0)
    good.tensors("update", "a model update: large tensors lossy, the rest bit-exact", {
        "w": Noise(8).bell(1100, 0.01).astype(np.float32).reshape(22, 50),
        "b": bell[:16], "steps": np.int64(7)}, 1e-2, level="fast")
    good.tensors("small", "small tensors, gathered, and packed entries", {
        f"layers.{i}.{part}": value for i in range(9) for part, value in (
            ("attention.bias", bell[i:i + 40]), ("norm.bias", np.float16(bell[9 * i:9 * i + 8])),
            ("steps", np.array(1000 + 7 * i)), ("scale", np.float32(2)), ("empty", bell[:0]))}, 1e-2)
    good.tensors("nothing", "names, but no tensors", {}, 0)


def modelled(good: Good) -> None:
    """What the encoder writes under the gradient model."""
    bell = Noise(20).bell(1200, 0.01)
    rows = bell.reshape(30, 40) * (1 + np.arange(30) % 5)[:, None] * (1 + np.arange(40) % 3)
    model = {"predictor": "structure"}
    for name in ("float16", "bfloat16", "float32", "float64"):
        for grid in ("aligned", "centred"):
            good.array(f"model_{name}_{grid}", "rows of a matrix, two tensors in one", rows.astype(name), 0.01, grid=grid, **model)
    for name in ("float16", "bfloat16", "float32", "float64"):
        for grid, shape in (("dithered", (30, 40)), ("shrunk", (30, 10, 4))):
            good.array(f"model_{name}_{grid}", "random offsets", rows.reshape(shape).astype(name), 0.01, grid=grid, seed=2**63 + 5, **model)
    for grid in ("dithered", "shrunk"):
        good.array(f"model_coarse_{grid}", "a bound of many times the values, usual weights and unit bits", rows.astype(np.float32), 2.0, grid=grid, seed=5, **model)
    rows = rows.astype(np.float32)
    for name, shows, shape in (
            ("transposed", "a matrix of few columns", (100, 12)), ("odd", "rows of an odd number of columns", (24, 49)),
            ("folded", "one dimension, a last row of one element", (1025,)),
            ("depthwise", "kernels of one column", (40, 1, 5, 5)), ("kernels", "kernels of nine taps", (8, 16, 3, 3)),
            ("kernels_transposed", "kernels of few columns", (40, 3, 3, 3)), ("kernels_float64", "kernels of float64", (5, 20, 2, 2)), ("taps", "kernels of no square", (10, 20, 6)),
            ("volume", "more than 128 taps", (4, 2, 15, 10))):
        good.array(f"model_{name}", shows, np.resize(rows, shape).astype(np.float64 if "64" in name else np.float32), 0.01, **model)
    dead = rows * (np.arange(30) % 4 == 0)[:, None]
    good.array("model_dead", "rows of zeros", dead, 0.01, **model)
    dead[4, [0, 7, 39]], dead[5, 3], dead[12, 1] = [np.nan, np.inf, -np.inf], np.nan, 5
    good.array("model_escapes", "NaNs and infinities, one in a row of zeros", dead, 0.01, **model)
    good.array("model_far", "residuals beyond the symbols", rows + np.float32(20) * (np.arange(40) % 13 == 5), 0.01, **model)
    good.array("model_tight", "raw low bits", rows, 2.0**-16, **model)
    good.array("model_tight_kernels", "raw low bits in kernels", np.resize(rows, (8, 16, 3, 3)), 2.0**-16, **model)
    for mode, bound in (("rel", 0.05), ("rms", 1), ("l2", 0.5), ("psnr", 30)):
        good.array(f"model_{mode}", "how the bound was meant; two of the bounds are shortened", rows, bound, mode=mode, **model)
    good.array("model_states", "32 states", sparse(40000, 4000).reshape(40, -1), 0.5, **model)
    parts = np.zeros((2100, 512), np.float16)
    parts[[3, 2047, 2048, 2099], ::20] = rows[:4, :26]
    good.array("model_parts", "two parts, with hardly anything but rows of zeros", parts, 0.01, **model)

    left, right = Noise(21).bell(128).reshape(2, 64, 1), Noise(22).bell(192).reshape(2, 1, 96)
    ranked = (left[0] * right[0] + left[1] * right[1]).astype(np.float32) + np.resize(rows, (64, 96)) / 4
    good.array("model_low_rank", "low rank of a matrix", ranked, 0.02, predictor="low-rank")
    good.array("model_low_rank_kernels", "low rank of kernels, with rows of zeros",
               (ranked * (np.arange(64) % 7 > 0)[:, None]).reshape(64, 24, 2, 2), 0.02, predictor="low-rank")
    both = np.einsum("ir,rtq,qj->ijt", *(Noise(23 + i).bell(math.prod(n)).reshape(n) for i, n in enumerate(((50, 8), (8, 4, 8), (8, 40)))))
    good.array("model_low_rank_split", "low rank of kernels in both channels: B is a pair", both.reshape(50, 40, 2, 2).astype(np.float16), 2,
               predictor="low-rank")
    good.tensors("model_update", "a model update in one segment, names that share their ends", {
        **{f"layer.{i}.{part}": np.resize(rows, shape) * np.float32(1 + i)
           for i in range(3) for part, shape in (("weight", (40, 30)), ("kernel", (8, 16, 3, 3)), ("bias", (8,)))},
        "steps": np.int64(7)}, 0.05)


def with_what_both_have(good: Good) -> None:
    """References, earlier rounds, streams; every dtype, matrices and kernels."""
    bells = (Noise(30 + i).bell(1200).reshape(30, 40) for i in range(9))
    weights, change, first, second = (next(bells) for _ in range(4))
    shapes = {"float16": (30, 40), "bfloat16": (8, 15, 10), "float32": (6, 20, 5, 2), "float64": (1200,)}

    def update(values: np.ndarray, scale: float) -> dict[str, np.ndarray]:
        return {name: (values * scale).reshape(shape).astype(name) for name, shape in shapes.items()}

    reference, moved = update(weights, 1), update(weights + change / 16, 1)
    past = update(change + first / 4, 1 / 16), update(change + second / 4, 1 / 16)
    sent, options = update(change, 1 / 16), {"predictor": "structure", "mode": "abs"}
    sent["steps"] = moved["steps"] = np.int64(7)
    for grid, seed in ("aligned", None), ("centred", None), ("dithered", 1), ("shrunk", 2):
        good.tensors(f"prior_reference_{grid}", "a reference", moved, 0.01, Known(reference), grid=grid, seed=seed, **options)
    good.tensors("prior_round", "one earlier round", sent, 0.01, Known(past=past[:1]), **options)
    good.tensors("prior_rounds", "two earlier rounds", sent, 0.01, Known(past=past), **options)
    good.tensors("prior_all", "a reference and two earlier rounds", moved, 0.01, Known(reference, past), grid="shrunk", seed=3, **options)
    near, held = reference["float32"].copy(), past[0]["float32"].copy()
    near.flat[::97], near.flat[7::400], held.flat[[9, 1198, 1199]] = np.nan, -np.inf, [np.nan, -np.inf, np.inf]
    good.tensors("prior_escapes", "a reference and a round with infinities and NaNs", {"x": moved["float32"]}, 0.01,
                 Known({"x": near}, ({"x": held},)), **options)
    outer = np.resize(change, (64, 1)) * np.resize(first, (1, 96))
    wide = np.resize(weights, outer.shape)
    good.tensors("prior_low_rank", "a reference and low rank", {"x": (wide + outer).astype(np.float32)}, 0.02,
                 Known({"x": wide.astype(np.float32)}), mode="abs", predictor="low-rank")
    space = np.resize(first, (3, 240))
    rounds = [{"x": (own.reshape(-1)[:96].reshape(32, 3) @ space).astype(np.float32)} for own in (change, second)]
    good.tensors("prior_row_basis", "a factor near rows of the last round", rounds[0], 0.1, Known(past=rounds[1:]), mode="abs", predictor="low-rank")
    good.tensors("stream_key", "a key of a stream", sent, 0.01, stream=(2**64 - 1, 2**40, True, 2, 0), **options)
    good.tensors("stream_next", "a message of a stream that needs a state", sent, 0.01, Known(past=past),
                 stream=(5, 2**64 - 1, False, 2, 2**63 + 1), **options)


def example() -> np.ndarray:
    x = np.zeros((4, 8), np.float32)
    x.flat[[1, 2, 6, 9, 20, 25]] = [0.5, -0.5, 1, np.nan, 0.5, 0.55]
    return x


def of_tokens(dtype: int, shape, tokens, *, eb: float = 0.5, predictor: int = 0, escaped: bytes = b"", name=None, size=None,
              **options):
    """A uniform tensor of one chunk and one stream."""
    symbols = draw.symbols(tokens, **options)
    return draw.uniform(dtype, shape, draw.chunk(symbols, escaped), eb, predictor, name=name, size=size)


def drawn(good: Good) -> None:
    """Legal messages that the encoder does not write."""
    value, run, most = draw.value, draw.run, 2**31 - 1
    one, three, two_zeros = value(1).number, value(3).number, run(2).number

    def add(name, shows, *arguments, **options):
        good.add(f"drawn_{name}", shows, draw.message(of_tokens(*arguments, **options)))

    tops = [v for e in range(0, 31, 3) for v in (1 << e, (2 << e) - 1, (1 << e) + (1 << e) // 3)] + [most]
    for low in (0, 1, 7, 16, 21):
        tokens = [value(s * v, low, far=(v - 1 >> low) >= 1023 or v % 5 == 1) for v in tops for s in (1, -1)]
        add(f"low{low}", "values of all magnitudes, far and near; more bits than binary32 has",
            draw.FLOAT32, [len(tokens)], tokens, low=low, eb=1.5)
    add("low_escape", "low bits of an escape mean nothing", draw.FLOAT32, [3],
        [value(5, 2), replace(draw.ESCAPE, field=3), value(-6, 2)], low=2, escaped=b"\0\0\0\x80\x3f")
    add("far_unused", "the far token in the code, but no far class", draw.FLOAT32, [2], [value(1)] * 2, a={1: 1, one: 1})

    wrap = [value(v, 21, far=abs(v) == most) for v in (most, most, 1, -most, -most, -3)]
    add("wrap", "running sums modulo 2^32", draw.FLOAT64, [2, 2, 3], wrap * 2, low=21, predictor=3)
    large = [value(v) for v in (1, -2, 3, -4)]
    good.add("drawn_overflow", "products beyond the dtype", draw.named(*[
        of_tokens(dtype, [4], large, eb=eb, name=name) for dtype, eb, name in (
            (draw.FLOAT16, 16377, b"half"), (draw.BFLOAT16, 8.5e37, b"bfloat"),
            (draw.FLOAT32, 8.5e37, b"single"), (draw.FLOAT64, 4.5e307, b"double"))]))
    add("underflow", "products that round to 0 in float16", draw.FLOAT16, [3], [value(1), value(-1), value(3)], eb=2.0**-27)

    good.add("drawn_streams", "four streams for three symbols: the first is empty", draw.message(draw.uniform(
        draw.FLOAT32, [3], draw.chunk(draw.symbols([], [value(1)], [run(1)], [draw.ESCAPE]), b"\0\x12\x34\x56\x78"))))
    runs = [*range(1, 41), 1, 1, 32767, 24575]
    add("runs", "runs of every token, and some that could be joined", draw.FLOAT32, [sum(runs) + 2],
        [*map(run, runs[:-2]), value(-1), *map(run, runs[-2:]), value(2)])
    longest = [2**e + (h + 1) * 2**(e - 1) - 1 for e in range(4, 14) for h in (0, 1)]
    add("longest_runs", "the longest run of each token but the last two", draw.FLOAT32, [sum(longest)], [*map(run, longest)])

    add("lone", "two lone codes", draw.FLOAT32, [9], [run(2), value(1)] * 3, a={two_zeros: 1}, b={one: 1})
    add("lone_run", "lone tokens with extra bits", draw.FLOAT32, [40], [run(19), run(21)])
    add("lone_escape", "every symbol escapes", draw.BFLOAT16, [4], [draw.ESCAPE] * 4,
        escaped=b"\0" + struct.pack("<4H", 1, 2, 0x7f81, 0xffff))
    add("unused", "tokens in the code, the escape among them, that never occur", draw.FLOAT32, [3], [value(3), run(2)],
        a={0: 3, two_zeros: 2, one: 3, three: 2, three + 1: 3, three + 9: 3})
    deep = [value(s * (1 + i)) for i in range(6) for s in (1, -1)] * 2 + [value(-7)] * 2
    add("deep", "code words of all 12 lengths, with differences of every form", draw.FLOAT32, [26], deep,
        a={draw.VALUE + i: min(i + 1, 12) for i in range(13)},
        b={draw.RUN: 12, draw.VALUE: 12, **{draw.VALUE + i: 12 - i for i in range(1, 12)}})

    transforms = (1, draw.FLOAT32, 4), (2, draw.INT64, 8), (3, draw.FLOAT16, 2), (4, draw.FLOAT64, 8)
    good.add("drawn_transforms", "each transform on a dtype that the encoder would not use it for", draw.named(*[
        draw.exact(dtype, [3], bytes([transform]) + b"".join(draw.stored_plane(bytes([p, 255 - p, 3 * p])) for p in range(size)),
                   name=bytes([65 + transform])) for transform, dtype, size in transforms]))
    good.add("drawn_stored", "transform stored", draw.message(draw.exact(draw.UINT16, [2], b"\0\x01\x02\x03\x04")))
    every_byte = draw.symbols([value(v, 3) if v else run(1) for v in range(-128, 128)], low=3)
    good.add("drawn_planes", "coded planes: all bytes, low bits, a base, all zero", draw.message(draw.exact(
        draw.INT16, [256], b"\1" + draw.coded_plane(every_byte, 200) + draw.coded_plane(b"\x80", 7))))

    add("dimensions", "32 dimensions, prediction along two of them", draw.FLOAT32, [1, 2, 1, 3] + [1] * 28,
        [value(v) for v in range(1, 7)], predictor=2)
    add("widest", "rows of 2^18 elements, the longest", draw.FLOAT16, [2, 2**18],
        [value(5)] + [run(32767)] * 16 + [run(15)], predictor=2)
    add("scalar", "predictor 1 without dimensions", draw.FLOAT64, [], [value(-5)], eb=0.1, predictor=1)
    long = of_tokens(draw.FLOAT32, [4], large, eb=0.5, name=b"", size=7)
    good.add("drawn_bounds", "a bound of more bytes than it needs, and the same one again", draw.named(
        long, of_tokens(draw.FLOAT64, [4], large, eb=None, name=b"b")))
    small = [draw.entry(dtype, shape, draw.GATHERED, name=name) for name, dtype, shape in (
        (b"a", draw.INT16, [3]), (b"b", draw.FLOAT32, [2]), (b"c", draw.INT16, [2**16]), (b"d", draw.INT16, []))]
    good.add("drawn_gathered", "runs of two dtypes: one stored, one of two chunks", draw.gathered(small, struct.pack("<2f", 1, -2), draw.chunks(
        b"\1" + draw.coded_plane(b"\x80", 7) + draw.coded_plane(b"\x80", 9), b"\0" + bytes(range(8)))))
    good.add("drawn_gathered_alone", "a gathered tensor without a name", draw.gathered([small[0][4:]], b"123456", flags=0))
    good.add("drawn_packed", "packed entry without a name", draw.packed(draw.constant(draw.INT16, [3], b"\1\2")[0]))
    many = b"".join(draw.constant(draw.INT8, [], b"\1", name=b"%07d" % i)[0] for i in range(300))
    good.add("drawn_packed_many", "packed entries without names in common", draw.packed(draw.varint(300) + many, flags=3))
    one_int8 = lambda *ends: (draw.entry(draw.INT8, [], draw.CONSTANT, b"\1", *ends), None)     # noqa: E731
    good.add("drawn_names", "names put together from the one before, not as the encoder would", draw.named(
        one_int8(b"abcd"), one_int8(b"", 2, 1), one_int8("é".encode(), 1, 2), one_int8(b"", 3, 1), one_int8(b"x", 0, 0),
        one_int8(b"x" * 767, 1, 0), one_int8(b"", 255, 255), one_int8(b"y" * 513, 255, 255)))


def drawn_models(good: Good) -> None:
    """Legal messages under the gradient model that the encoder does not write."""
    segment = draw.Segment({20: draw.EVERY, draw.CONTEXT: draw.EVERY, **{
        context: draw.geometric(level, ratio) for context, level, ratio in (
            (0, 0, 0), (1, 5, 63), (2, 11, 31), (3, 12, 0), (4, 30, 1), (5, 65, 0), (6, 47, 62))}, **{
        context: draw.listed(frequencies, *ends) for context, frequencies, *ends in (
            (7, {}), (8, {}, 0, 127), (9, {0: 2048}), (10, {127: 1, 0: 2047}), (21, {63: 700, 65: 800, 66: 3, 68: 200, 1: 9}))}, **{
        context: draw.binary(level) for context, level in ((11, 0), (12, 65), (22, 31))}})
    segment.head([1]).step([64, 65]).step([1, 127])
    good.add("drawn_model_tables", "coding tables of every kind", draw.modelled(
        [draw.model(draw.FLOAT32, [1, 4])], segment.tables, [segment.payload()]))

    for key, sequence, digest in ((1, 300, b""), (0, 0, b"12345678")):
        good.add(f"drawn_stream{key}", "a message of a stream that needs no state, whatever it says", draw.header(
            draw.constant(draw.INT16, [3], b"\1\2")[0] + bytes([key]) + b"an ident" + draw.varint(sequence) + digest, flags=8))
    good.add("drawn_stream_note", "a message of a stream with a note", draw.header(
        draw.constant(draw.INT16, [3], b"\1\2")[0] + b"\x82" + b"an ident\0" + b"12345678" + b"\4note", flags=8))

    numbers = draw.Segment().head([1, 1], weights=(1 << 14, 0, 0, 0))
    numbers.step([0] * 8, draw.WIDE).step([64] * 8, draw.WIDE).step([65] * 8, draw.WIDE).step([63] * 8, draw.WIDE)
    for v in (1, 2, 3, 100, 101, 2**28 - 1, 2**28, 2**29 - 17):
        numbers.side.number(4, v)
    for field in range(32):
        numbers.low.put(field % 4, 2)
    for states in range(6):
        good.add(f"drawn_model_numbers{states}", "residuals without a symbol, low bits; more states than lanes", draw.modelled(
            [draw.model(draw.FLOAT32, [2, 16], grid=states % 2)], numbers.tables, [numbers.payload(states)]))

    entries = [draw.model(dtype, [1, 2], eb, name=name) for dtype, eb, name in (
        (draw.FLOAT16, 2.0**-10, b"half"), (draw.BFLOAT16, None, b"bfloat"), (draw.FLOAT32, None, b"single"), (draw.FLOAT64, None, b"double"))]
    escapes = draw.Segment()
    for bits, element in ((16, 0x7c01), (16, 0xff81), (32, 0x80000001), (64, 0x7ff0000000000001)):
        escapes.head([1]).step([0]).step([65])
        escapes.side.number(4, 0).put(element, bits)
    good.add("drawn_model_escapes", "an escaped element of each dtype, one bound for all, one segment", draw.modelled(
        entries, escapes.tables, [escapes.payload()], named=True))

    f32, half, brain, double = draw.FLOAT32, draw.FLOAT16, draw.BFLOAT16, draw.FLOAT64
    for name, seed, wild, tensors in (
            ("matrix", 1, False, [(f32, (12, 20), 0.5, 1)]), ("matrix_aligned", 2, False, [(double, (9, 20), 1e-3, 0)]),
            ("kernels", 3, False, [(half, (10, 16, 3, 3), 2.0**-12, 1)]), ("kernels_aligned", 4, False, [(brain, (9, 16, 2), 0.5, 0)]),
            ("folded", 5, False, [(f32, (520,), 1e-30, 0)]),
            ("several", 6, False, [(f32, (), 0.5, 1), (half, (5, 2, 4), 0.5, 1), (double, (3, 3, 150), 0.5, 0), (brain, (40, 3), 0.5, 1)]),
            ("dithered", 7, False, [(f32, (12, 20), 0.5, 2), (half, (10, 8, 3, 3), 2.0**-12, 2)]),
            ("shrunk", 8, False, [(double, (9, 20), 1e-3, 3), (brain, (520,), 0.5, 3), (f32, (5, 20), 0.5, 1)]),
            ("wild_dithered", 9, True, [(f32, (10, 8, 3, 3), 0.5, 2)]), ("wild_shrunk", 58, True, [(f32, (9, 20), 0.5, 3)]),
            ("wild_matrix", 11, True, [(f32, (12, 20), 0.5, 1)]), ("wild_matrix_aligned", 12, True, [(double, (9, 20), 1e-3, 0)]),
            ("wild_kernels", 13, True, [(half, (10, 16, 3, 3), 2.0**-12, 0)]), ("wild_kernels2", 14, True, [(brain, (9, 16, 2), 1e30, 1)]),
            ("low_rank", 24, False, [(f32, (8, 16), 0.5, 1)]), ("low_rank_turned", 225, False, [(f32, (8, 16), 0.5, 1)]),
            ("low_rank_kernels", 207, False, [(f32, (9, 16, 3), 0.5, 0)]), ("low_rank_split", 911, False, [(f32, (9, 16, 3), 0.5, 0)]), ("wild_split", 163, True, [(f32, (12, 8, 2, 2), 0.5, 1)])):
        good.add(f"drawn_model_{name}", "anything that a decoder takes" + ", sums that wrap around" * wild,
                 draw.invented(seed, tensors, wild, seed % 6))
