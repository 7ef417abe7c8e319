"""Golden messages of the quantisers (docs/format.md, section 10): good ones and bad ones."""
from __future__ import annotations

import math
import struct

import draw
import numpy as np

import gradsz

LABELS, MULTIPLES, SPHERICAL = 6, 5, 6      # modes, and a codec


def good_quantised(noise) -> dict[str, tuple[str, bytes]]:
    """`noise`: the generator of good.py."""
    bell = noise(21).bell(1200).astype(np.float32)
    holes = bell.copy()
    holes[[3, 700, 701]] = np.nan, np.inf, -np.inf
    zeros = np.where(np.arange(1200) % 400 < 300, 0, bell)
    every = {"dithering": gradsz.SparseDithering(0.25), "unbiased": gradsz.SparseDithering(0.5, unbiased=True, seed=5),
             "m22": gradsz.M22(bits=2, m=2, keep=0.5), "spherical": gradsz.Spherical(0.5, block=8, seed=3)}
    good = {}
    for name, q in every.items():
        for what, x in (("float32", bell), ("holes", holes), ("zeros", zeros), ("float16", bell.astype(np.float16)),
                        ("bfloat16", bell.astype("bfloat16")), ("float64", bell.astype(np.float64) * 1e200)):
            good[f"{name}_{what}"] = f"{type(q).__name__} of {what}", gradsz.compress(x, q)
        tensors = {"w": bell[:1152].reshape(8, 16, 3, 3), "steps": np.arange(5), "v": holes.reshape(40, 30)}
        good[f"{name}_tensors"] = f"{type(q).__name__}, several tensors", gradsz.compress_tensors(tensors, q)
    good["spherical_chunks"] = "several chunks, the last block cut", gradsz.compress(noise(22).bell(66000).astype(np.float32), gradsz.Spherical(0.6, 6))
    good |= drawn()
    return good


def labels(payload: bytes, levels=(0.5, 2.0), count: int | None = None, n: int = 4, eb: float = 0.5):
    """A float32 tensor of labels by the uniform quantiser."""
    sent = struct.pack(f"<{len(levels)}f", *levels)
    fields = draw.bound(eb, LABELS) + bytes([len(levels) if count is None else count]) + sent + b"\0"
    return draw.entry(draw.FLOAT32, [n], draw.UNIFORM, fields + draw.varint(len(payload))), payload


def sphere(dtype: int, shape, payload: bytes, block: int = 2, scheme: int = 0, key: int = 7):
    fields = bytes([scheme, block - 1]) + key.to_bytes(8, "little")
    return draw.entry(dtype, shape, SPHERICAL, fields + draw.varint(len(payload))), payload


def blocks(scales: bytes, indices: bytes = b"", low: int = 0, escaped: bytes = b"") -> bytes:
    return draw.varint(len(escaped)) + escaped + draw.varint(len(scales)) + scales + bytes([low]) + indices


def indices(*numbers: int, low: int = 0, filler: int = 0) -> bytes:
    bits = draw.Bits()
    for j in numbers:
        bits.text("1" * (j >> low) + "0").put(j % 2**low, low)
    return bits.bytes(filler)


def drawn() -> dict[str, tuple[str, bytes]]:
    value, run = draw.value, draw.run
    far = draw.symbols([value(1), value(-2), run(1), value(2)])
    large = draw.symbols([value(0x7fef, far=True), value(-0x7fef, far=True)])
    return {
        "drawn_labels": ("labels; the levels do not rise, one is 0", draw.message(labels(draw.chunk(far), (3.0, 0.0)))),
        "drawn_no_levels": ("no levels, all labels 0", draw.message(labels(draw.chunk(b"\x80"), ()))),
        "drawn_multiples": ("mode 5", draw.message(draw.uniform(draw.FLOAT32, [4], draw.chunk(far), mode=MULTIPLES))),
        "drawn_largest_scale": ("results beyond the largest number; scale 0 again", draw.message(
            sphere(draw.FLOAT32, [3], blocks(large, indices(0)), 2))),
        "drawn_largest_index": ("index 65,535, with no low bits and with 16", draw.named(*[
            (draw.entry(draw.FLOAT64, [2], SPHERICAL, b"\0\1" + bytes(8) + draw.varint(len(p)), name=name), p) for name, p in (
                (b"a", blocks(draw.symbols([value(0x3ff, far=True)]), indices(65535))),
                (b"b", blocks(draw.symbols([value(16, far=True)]), indices(65535, low=16), 16)))])),
        "drawn_escaped_block": ("an escape among blocks, the last one short", draw.message(sphere(draw.FLOAT16, [5], blocks(
            draw.symbols([value(0x3ff0, far=True), draw.ESCAPE, value(3)]), indices(1, 2, low=1), 1, b"\0" + b"\1\x7e\2\0")))),
    }


def bad_quantised() -> dict[str, tuple[bytes, str, int, str]]:
    value, run, C, U = draw.value, draw.run, "CorruptError", "UnsupportedError"
    ok = draw.chunk(draw.symbols([value(1), run(2), value(-1)]))
    one, two = draw.symbols([value(0x3ff, far=True)]), draw.symbols([value(0x3ff, far=True), value(1)])
    f32 = draw.FLOAT32

    def ball(payload: bytes, n: int = 2, **fields) -> bytes:
        return draw.message(sphere(f32, [n], payload, **fields))

    return {
        "mode_7": (draw.message(draw.uniform(f32, [4], ok, mode=7)), U, 12, "3.2: reserved mode"),
        "labels_beyond": (draw.message(labels(draw.chunk(draw.symbols([value(3), run(3)])))), C, 35, "10.1: label 3 of 2 levels"),
        "labels_no_levels": (draw.message(labels(ok, ())), C, 35, "10.1: label 1 of no levels"),
        "labels_half": (draw.message(labels(ok, eb=0.25)), C, 35, "10.1: a label of 1/2"),
        "levels_many": (draw.message(labels(ok, (1.0,) * 33)), C, 32, "3.2: 33 levels"),
        "levels_missing": (draw.header(draw.entry(f32, [4], draw.UNIFORM, draw.bound(0.5, LABELS) + b"\2" + bytes(7))), C, 32, "3.2: levels missing"),
        "levels_negative": (draw.message(labels(ok, (-1.0,))), C, 32, "3.2: a level below 0"),
        "levels_minus_zero": (draw.message(labels(ok, (-0.0,))), C, 32, "3.2: a level with sign bit 1"),
        "levels_infinite": (draw.message(labels(ok, (math.inf,))), C, 32, "3.2: a level that is not finite"),
        "levels_nan": (draw.message(labels(ok, (math.nan,))), C, 32, "3.2: a level that is not finite"),
        "scheme": (ball(blocks(one, indices(0)), scheme=1), U, 12, "3.2: reserved scheme"),
        "block_one": (ball(blocks(two, indices(0, 0)), block=1), C, 32, "3.2: blocks of one element"),
        "spherical_cut": (draw.header(draw.entry(f32, [2], SPHERICAL, b"\0\1" + bytes(7))), C, 32, "3.2: key missing"),
        "spherical_integer": (draw.message(sphere(draw.INT32, [2], blocks(one, indices(0)))), C, 32, "3.2: spherical integers"),
        "spherical_chunks": (ball(b"\0", n=2**17), C, 32, "3.3: more chunks than bytes"),
        "scale_negative": (ball(blocks(draw.symbols([value(-1)]), indices(0))), C, 35, "10.2: a scale code below 0"),
        "scale_large": (ball(blocks(draw.symbols([value(0x7ff0, far=True)]), indices(0))), C, 35, "10.2: a scale that is not finite"),
        "low_17": (ball(blocks(one, indices(0), low=17)), C, 35, "10.2: 17 low bits"),
        "index_large": (ball(blocks(one, indices(65536))), C, 35, "10.2: an index of 65,536"),
        "index_large_low": (ball(blocks(one, indices(65536, low=2), low=2)), C, 35, "10.2: an index of 65,536"),
        "index_missing": (ball(blocks(two, indices(7), low=0), n=4), C, 35, "10.2: an index is missing"),
        "index_left": (ball(blocks(one, indices(0) + b"\0")), C, 35, "10.2: a byte left over"),
        "index_filler": (ball(blocks(one, indices(0, filler=1))), C, 35, "1.3: filler bits that are not 0"),
        "index_of_zeros": (ball(blocks(b"\x80", indices(0))), C, 35, "10.2: an index of a block of zeros"),
        "spherical_escapes": (ball(blocks(one, indices(0), escaped=bytes(9))), C, 35, "10.2: escaped elements without escapes"),
        "spherical_escapes_short": (ball(blocks(draw.symbols([draw.ESCAPE]), escaped=bytes(5))), C, 35, "6: elements missing"),
        "spherical_beyond": (ball(draw.varint(9) + bytes(3)), C, 35, "10.2: escaped elements beyond the chunk"),
        "spherical_scales_beyond": (ball(b"\0" + draw.varint(9) + bytes(3)), C, 35, "10.2: scales beyond the chunk"),
        "spherical_nothing": (ball(b"\0\1\x80"), C, 35, "10.2: low is missing"),
    }
