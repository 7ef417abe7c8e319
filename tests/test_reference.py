"""The core against the decoder written from docs/format.md: the same values, and the same messages rejected."""
import json
import random
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gradsz
from gradsz import _arrays, _core, _params, _reference
from gradsz.errors import GradszError
from golden import draw

FLOATS = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32, "float64": np.float64}
INTEGERS = [f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)] + ["bool"]
SHAPES = st.lists(st.integers(0, 9), max_size=5).map(tuple)
GOLDEN = Path(__file__).parent / "golden"


def check_same(message: bytes) -> None:
    core, reference = gradsz.decompress_tensors(message), _reference.decode(message)
    assert list(core) == list(reference)
    for name, x in core.items():
        y = reference[name]
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


# ---- what the encoder writes

@st.composite
def float_arrays(draw_):
    """Noise, hills and spikes of any scale, with special values here and there."""
    dtype, shape, seed = FLOATS[draw_(st.sampled_from(sorted(FLOATS)))], draw_(SHAPES), draw_(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) * np.float64(2) ** rng.integers(-8, 12)
    kind = draw_(st.sampled_from(["noise", "smooth", "sparse", "bits"]))
    if kind == "smooth" and x.ndim:
        x = np.cumsum(x, axis=-1)
    elif kind == "sparse":
        x = x * (rng.random(shape) < 0.05)
    elif kind == "bits":
        width = np.dtype(dtype).itemsize
        return rng.integers(0, 256, size=(*shape, width), dtype=np.uint8).view(dtype).reshape(shape)
    with np.errstate(over="ignore"):
        x = np.asarray(x.astype(dtype))
    for value in draw_(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 6e4]), max_size=3)):
        if x.size:
            x.reshape(-1)[rng.integers(x.size)] = dtype(value)
    return x


@given(x=float_arrays(), exponent=st.integers(-20, 8), mode=st.sampled_from(["abs", "rel", "rms", "l2", "psnr"]),
       predictor=st.sampled_from(["auto", "none", "lorenzo1", "lorenzo2", "lorenzo3"]), level=st.sampled_from(["balanced", "fast"]))
def test_lossy(x, exponent, mode, predictor, level):
    bound = 2.0**exponent if mode != "psnr" else 30.0 - 3 * exponent
    check_same(gradsz.compress(x, bound, mode=mode, predictor=predictor, level=level))


ROWS = [(17,), (513,), (1100,), (20, 33), (33, 7), (7, 40), (16, 16), (1, 9, 3, 3), (9, 1, 5, 5), (20, 2, 3, 3), (6, 20, 4),
        (12, 3, 2, 2), (5, 4, 160)]


@given(dtype=st.sampled_from(sorted(FLOATS)), shape=st.sampled_from(ROWS), seed=st.integers(0, 2**32 - 1), exponent=st.integers(-9, 3),
       mode=st.sampled_from(["rms", "rms", "l2"]), predictor=st.sampled_from(["structure", "low-rank"]),
       grid=st.sampled_from(["aligned", "centred", "dithered", "shrunk"]), level=st.sampled_from(list(_params.LEVELS)))
def test_modelled(dtype, shape, seed, exponent, mode, predictor, grid, level):
    """Rows and columns of their own sizes, some of zeros, taps alike, outer products, special values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape) + rng.normal(size=shape[:2] + (1,) * (len(shape) - 2))
    x *= (np.exp(rng.normal(size=shape[0])) * (rng.random(shape[0]) < 0.9)).reshape(-1, *[1] * (len(shape) - 1))
    if seed % 3 == 0:
        x += 9 * np.outer(rng.normal(size=shape[0]), rng.normal(size=x[0].size)).reshape(shape)
    if seed % 4 == 0:
        x.reshape(-1)[rng.integers(0, x.size, 3)] = np.nan, np.inf, 50
    check_same(gradsz.compress(x.astype(FLOATS[dtype]), 2.0**exponent, mode=mode, predictor=predictor, grid=grid, level=level))


@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("seed", [*range(6), 11])
def test_low_rank(seed, zeros):
    """Without rows of zeros, from nine components on, A is turned (section 7.7)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(70, 1 + seed)) @ rng.normal(size=(1 + seed, 96)) + 0.05 * rng.normal(size=(70, 96))
    if zeros:
        x[::9] = 0
    for shape in ((70, 96), (70, 24, 2, 2)):
        check_same(gradsz.compress(x.reshape(shape).astype(np.float32), 0.05, predictor="low-rank"))


def test_many_parts_and_segments():
    """Tensors of several parts between those that share a segment (section 7.1)."""
    rng = np.random.default_rng(1)
    rows = np.zeros((2100, 512), np.float32)
    rows[[5, 2060]], rows[2099, 3] = rng.normal(size=(2, 512)), np.nan
    kernels = np.zeros((40, 256, 128), np.float16)
    kernels[[3, 39], ::50] = rng.normal(size=(2, 6, 128))
    line = np.zeros(2**20 + 2000)
    line[:100], line[-900:] = 1, rng.normal(size=900)
    small = rng.normal(size=(20, 30)).astype(np.float32)
    middle = np.eye(1200, 500, dtype=np.float32)
    tensors = {"a": small, "rows": rows, "b": small[:10], "c": small.T, "kernels": kernels, "line": line, "d": small,
               "middle": middle, "e": small[::2]}
    structure = _params.PREDICTORS["structure"]
    items = [(name.encode(), _arrays.code_of(x.dtype), x.shape, np.ascontiguousarray(x), 0.05, 0, structure, 0, 255)
             for name, x in tensors.items()]
    message = _core.encode(items, True, 1)
    check_same(message)
    parts = _reference.read_message(message, None).table.segments
    names = [[list(tensors)[part.tensor] for part in segment] for segment in parts]
    assert names == [["a"], ["rows"], ["rows"], ["b", "c"], ["kernels"], ["kernels"], ["line"], ["line"], ["d", "middle"], ["e"]]


@given(dtype=st.sampled_from([*FLOATS, *INTEGERS]), shape=SHAPES, seed=st.integers(0, 2**32 - 1), spread=st.integers(1, 64))
def test_bit_exact(dtype, shape, seed, spread):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2**63, 2**63, size=shape) >> (64 - spread)
    with np.errstate(over="ignore"):
        x = np.asarray(x).astype(FLOATS.get(dtype, dtype))
    message = gradsz.compress(x, 0)
    check_same(message)
    assert _reference.decode(message)[""].tobytes() == x.tobytes()


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), float_arrays(), max_size=5))
def test_named(tensors):
    check_same(gradsz.compress_tensors(tensors, 1e-2, lossy=lambda name, x: len(name) % 2 == 0))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 2047, 2048, 65536, 65537, 70000])
@pytest.mark.parametrize("density", [0.002, 0.3])
def test_sizes(n, density):
    rng = np.random.default_rng(n)
    x = (rng.normal(size=n) * (rng.random(n) < density)).astype(np.float32)
    check_same(gradsz.compress(x, 0.05, predictor="none"))


# ---- what the encoder does not write

@given(dtype=st.integers(0, 3), bits=st.integers(1, 0x7fef_ffff_ffff_ffff), ks=st.lists(
    st.integers(1, 31).flatmap(lambda n: st.integers(-(2**n) + 1, 2**n - 1)).filter(bool), min_size=1, max_size=20))
def test_values_of_any_step(dtype, bits, ks):
    """Section 5.1, for every bound that is legal and some that are not."""
    eb = float(np.uint64(bits).view(np.float64))
    symbols = draw.symbols([draw.value(k, 21, far=abs(k) > 2**28) for k in ks], low=21)
    message = draw.message(draw.uniform(dtype, [len(ks)], draw.chunk(symbols), eb=eb))
    try:
        expected = _reference.decode(message)
    except GradszError as error:
        with pytest.raises(type(error)):
            gradsz.decompress(message)
        return
    assert gradsz.decompress(message).tobytes() == expected[""].tobytes()


@given(st.lists(st.integers(0, 0x7f7f_ffff), min_size=1))
def test_rounding_to_bfloat16(bits):
    x = np.array(bits, np.uint32).view(np.float32)
    assert (_reference.bfloat16_bits(x) == x.astype(ml_dtypes.bfloat16).view(np.uint16)).all()


TENSORS = st.tuples(st.integers(0, 3), st.sampled_from([
    (), (5,), (513,), (3, 4), (12, 16), (20, 9), (10, 8, 3, 3), (20, 1, 3, 3), (4, 5, 6), (2, 2, 130), (9, 1, 2, 4)]),
    st.sampled_from([0.5, 1e-3, 2.0**-100, 1e30]), st.integers(0, 3))


@settings(max_examples=settings().max_examples // 2)
@given(seed=st.integers(0, 2**32 - 1), tensors=st.lists(TENSORS, min_size=1, max_size=3), wild=st.booleans(), states=st.integers(0, 5),
       mask=st.sampled_from([None, 0]))
def test_anything_under_the_model(seed, tensors, wild, states, mask):
    """Heads and rows made up from any weights, scales, factors, symbols and bits; sums that wrap around."""
    before = _core.set_cpu_mask(mask)
    try:
        check_same(draw.invented(seed, tensors, wild, states))
    finally:
        _core.set_cpu_mask(before)


def parts_of(message: bytes):
    """Table and payloads of a golden message, to be damaged and sealed again."""
    cursor = _reference.Bytes(message)
    flags = cursor.take(5)[4]
    table = cursor.take(cursor.varint())
    parts = _reference.read_message(message, None)
    return flags, table, [data[:-4] for data in (*filter(None, parts.sections), *parts.segments)]


def damaged(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(out) + 1)
        if rng.random() < 0.4 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif rng.random() < 0.4 and at < len(out):
            out[at] = rng.choice([0, 1, 2, 127, 128, 255, rng.randrange(256)])
        elif rng.random() < 0.5:
            out.insert(at, rng.randrange(256))
        else:
            del out[at:at + 1]
    return bytes(out)


def damaged_entries(rng: random.Random, table: bytes, named: bool) -> bytes:
    """A table with damage in the entries that it holds packed (section 3.5)."""
    cursor = _reference.Bytes(table)
    length = cursor.varint()
    packed = _reference.Packed(cursor.take(cursor.varint()), length)
    _reference.read_entries(packed, named)
    entries = damaged(rng, bytes(packed.plain))
    data = draw.pack(entries, named)
    return draw.varint(len(entries)) + draw.varint(len(data)) + data + cursor.rest()


def outcome(decode, message: bytes):
    try:
        return {name: (x.dtype, x.shape, x.tobytes()) for name, x in decode(message, max_output=2**20).items()}
    except GradszError:
        return "rejected"


@pytest.mark.parametrize("seed", range(8))
def test_damage_behind_checksums(seed, cpu_mask):
    """Both reject the same messages, and decode the others to the same values (section 8)."""
    cpu_mask(0 if seed % 2 else None)
    rng = random.Random(seed)
    names = sorted(json.loads((GOLDEN / "v0/good/index.json").read_text()))
    messages = [(GOLDEN / f"v0/good/{name}.gsz").read_bytes() for name in names]
    originals = [parts_of(message) for message in messages if len(message) < 1500]
    for _ in range(120):
        flags, table, payloads = rng.choice(originals)
        if payloads and rng.random() < 0.8:
            i = rng.randrange(len(payloads))
            new = damaged(rng, payloads[i])
            size = draw.varint(len(payloads[i]))
            if len(payloads) == 1 and table.endswith(size):
                table = table[:-len(size)] + draw.varint(len(new))
            payloads = [*payloads[:i], new, *payloads[i + 1:]]
        else:
            table = damaged_entries(rng, table, named=flags & 1 > 0) if flags & 2 and rng.random() < 0.7 else damaged(rng, table)
        message = draw.header(table, flags=flags) + b"".join(map(draw.sealed, payloads))
        assert outcome(gradsz.decompress_tensors, message) == outcome(_reference.decode, message), message.hex()


# ---- the reference itself

def test_checksum():
    """Section 1.4."""
    assert _reference.crc32c(b"123456789") == 0xe3069283
    assert _reference.crc32c(b"") == 0
    assert _reference.crc32c(bytes(32)) == 0x8a9136aa      # RFC 3720, B.4


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**32, 2**63, 2**64 - 1])
def test_varint(value):
    """Section 1.2."""
    cursor = _reference.Bytes(draw.varint(value) + b"rest")
    assert (cursor.varint(), cursor.rest()) == (value, b"rest")
