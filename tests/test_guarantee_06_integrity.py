"""Guarantee 6, integrity: every flipped bit and every truncation is detected before a value is released."""
import numpy as np
import pytest
from strategies import FLOATS, LEVELS, noise, sample

import gradsz

RNG = np.random.default_rng(0)
MESSAGES = {
    "empty": gradsz.compress(np.zeros((3, 0)), 0),
    "constant": gradsz.compress(np.full((4, 4), 2.5), 0),
    "raw": gradsz.compress(noise(np.dtype("int32"), 20, RNG), 0),
    "exact": gradsz.compress(np.arange(1000), 0),
    **{f"uniform {d}": gradsz.compress(sample(d, "normal", 600, RNG), 0.1, level="fast") for d in FLOATS},
    **{f"model {d}": gradsz.compress(sample(d, "normal", 600, RNG), 0.1, predictor="structure") for d in FLOATS},
    **{f"{codec} with escapes": gradsz.compress(np.where(RNG.random(900) < 0.02, np.nan, RNG.normal(size=900)), 0.1, predictor=predictor)
       for codec, predictor in (("uniform", "none"), ("model", "structure"))},
    "model low rank": gradsz.compress(np.outer(RNG.normal(size=40), RNG.normal(size=60)), 0.02, predictor="low-rank"),
    "uniform lorenzo2": gradsz.compress(sample(np.dtype("float32"), "smooth", 900, RNG).reshape(30, 30), 0.05, predictor="lorenzo2"),
    **{f"tensors, {level}": gradsz.compress_tensors({"w": sample(np.dtype("float32"), "sparse", 2000, RNG), "b": np.arange(9),
                                                     "e": np.zeros(0)}, 0.1, level=level) for level in LEVELS},
    "no tensors": gradsz.compress_tensors({}, 0.1),
}
every_message = pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES.keys())
WITH_SECTION = [name for name in MESSAGES if name.startswith(("raw", "exact", "uniform", "model"))]


def decode(message):
    return gradsz.decompress_tensors(message)


@every_message
def test_every_flipped_bit_is_detected(message):
    for i in range(8 * len(message)):
        damaged = bytearray(message)
        damaged[i // 8] ^= 1 << i % 8
        with pytest.raises((gradsz.CorruptError, gradsz.UnsupportedError)):
            decode(damaged)


@every_message
def test_every_truncation_is_detected_and_called_one(message):
    for n in range(len(message)):
        for read in (decode, gradsz.info):
            with pytest.raises(gradsz.TruncatedError):
                read(message[:n])


@every_message
def test_bytes_behind_the_end_are_detected(message):
    for tail in (b"\0", b"G", message):
        with pytest.raises(gradsz.CorruptError):
            decode(message + tail)


@every_message
def test_damage_in_bursts_is_detected(message):
    rng = np.random.default_rng(1)
    for _ in range(300):
        damaged = bytearray(message)
        start, n = int(rng.integers(0, len(message))), int(rng.integers(1, 40))
        damaged[start:start + n] = rng.bytes(len(damaged[start:start + n]))
        if bytes(damaged) != message:
            with pytest.raises((gradsz.CorruptError, gradsz.UnsupportedError)):
                decode(damaged)


@pytest.mark.parametrize("name", WITH_SECTION)
def test_no_value_is_released_from_a_damaged_section(name):
    """`out` still holds what it held: the checksum of the section or segment comes first."""
    message = MESSAGES[name]
    assert name.startswith(gradsz.info(message).tensors[0].codec)
    clean = gradsz.decompress(message)
    out = noise(clean.dtype, clean.size, np.random.default_rng(2)).reshape(clean.shape)
    before = out.tobytes()
    for i in (5, 6, 20):
        damaged = bytearray(message)
        damaged[-i] ^= 16
        with pytest.raises(gradsz.CorruptError):
            gradsz.decompress(damaged, out=out)
        assert out.tobytes() == before


@every_message
def test_info_reads_the_header_only(message):
    """Damage behind the header does not keep info from describing the message."""
    if gradsz.info(message).nbytes > 100:
        assert str(gradsz.info(message[:-1] + bytes([message[-1] ^ 1]))) == str(gradsz.info(message))
