"""Guarantee 3, bit-exact mode: error_bound=0, integers, bools and tensors kept out of loss come back byte for byte."""
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import ALL, EXACT, FLOATS, MODES, SHAPES, every_pattern, examples, ids, noise, of_bits, special_bits

import gradsz


@st.composite
def arrays(draw, dtype):
    """Runs, ramps, noise, few values: what the byte planes are chosen for."""
    shape = draw(st.sampled_from(SHAPES + [(4096,), (3, 1000)]))
    n = int(np.prod(shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a = noise(dtype, n, rng)
    words = a.view(f"u{dtype.itemsize}")
    match draw(st.sampled_from(["noise", "few", "ramp", "small", "zeros", "constant"])):
        case "few":
            a[:] = a[rng.integers(0, min(n, 3) or 1, n)]
        case "ramp" if dtype != bool:
            words[:] = (np.arange(n, dtype=np.int64) * draw(st.integers(-300, 300)) + draw(st.integers(-2**31, 2**31))).astype(words.dtype)
        case "small" if dtype != bool:
            words[:] = rng.integers(-4, 5, n).astype(words.dtype)
        case "zeros":
            a[rng.random(n) < 0.98] = 0
        case "constant":
            a[:] = a[:1]
    return a.reshape(shape)


def roundtrip(a, *args, **options):
    message = gradsz.compress(a, *args, **options)
    b, t = gradsz.decompress(message), gradsz.info(message).tensors[0]
    assert oracle.same_bits(a, b)
    assert t.eb == 0 and t.mode is None and t.codec in ("empty", "constant", "raw", "exact")
    return message


@pytest.mark.parametrize("dtype", ALL, ids=ids(ALL))
class TestBitExact:
    @examples(60)
    @given(data=st.data())
    def test_a_bound_of_zero_is_bit_exact(self, dtype, data):
        roundtrip(data.draw(arrays(dtype)), 0, mode=data.draw(st.sampled_from(MODES)))

    @examples(20)
    @given(data=st.data())
    def test_at_most_64_bytes_and_the_dimensions_over_raw(self, dtype, data):
        a = data.draw(arrays(dtype))
        assert len(roundtrip(a, 0)) <= a.nbytes + 64 + 10 * a.ndim


WIDTHS = [np.dtype(t) for t in ("uint8", "int16", "float32", "int64", "float64")]


@pytest.mark.parametrize("dtype", WIDTHS, ids=ids(WIDTHS))
@pytest.mark.parametrize("n", [1, 2, 3, 31, 32, 33, 255, 256, 257, 2**18 - 1, 2**18, 2**18 + 1, 600_000])
def test_lengths_around_the_chunks(dtype, n):
    rng = np.random.default_rng(n)
    a = noise(dtype, n, rng)
    roundtrip(a, 0)
    a[rng.random(n) < 0.9] = a[0]
    roundtrip(a, 0)


@pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
def test_special_values_bit_for_bit(dtype):
    for repeat in (1, 100):
        roundtrip(np.repeat(of_bits(special_bits(dtype), dtype), repeat), 0)


@pytest.mark.parametrize("dtype", [d for d in FLOATS if d.itemsize == 2], ids=str)
def test_every_pattern_of_16_bits(dtype):
    roundtrip(every_pattern(dtype), 0)


@pytest.mark.parametrize("dtype", EXACT, ids=ids(EXACT))
@pytest.mark.parametrize("mode", MODES)
def test_integers_and_bools_ignore_the_bound(dtype, mode):
    a = noise(dtype, 5000, np.random.default_rng(0))
    roundtrip(a, 10.0, mode=mode)


def test_integers_compress_where_they_repeat():
    a = np.arange(100_000)
    assert len(roundtrip(a, 0)) < a.nbytes / 100
    assert len(roundtrip(np.arange(100_000) % 3 == 0, 0)) < 100_000 / 4
    assert len(roundtrip(np.random.default_rng(0).integers(-100, 100, 100_000), 0)) < 1.1 * 100_000


def test_tensors_kept_out_of_loss_are_bit_exact():
    rng = np.random.default_rng(1)
    update = {str(d): noise(d, 2000, rng) for d in ALL} | {f"small {d}": noise(d, 1024, rng) for d in ALL}
    decoded = gradsz.decompress_tensors(gradsz.compress_tensors(update, 0.5, lossy=lambda name, a: False))
    assert decoded.keys() == update.keys() and all(oracle.same_bits(update[k], decoded[k]) for k in update)
    decoded = gradsz.decompress_tensors(gradsz.compress_tensors(update, 1e30, mode="abs"))
    for name, a in update.items():
        if name.startswith("small") or a.dtype not in FLOATS:
            assert oracle.same_bits(a, decoded[name])
