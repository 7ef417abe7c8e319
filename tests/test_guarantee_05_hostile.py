"""Guarantee 5, a hostile stream is only an error: any bytes give values or an error of the hierarchy, within max_output.

Checksums are recomputed after each edit, so that the damage reaches what stands behind them.
"""
import os

import numpy as np
import pytest
import wire
from hypothesis import given
from hypothesis import strategies as st
from strategies import ALL, FLOATS, KINDS, LEVELS, examples, noise, sample

import gradsz

LIMIT = 1 << 16     # bytes a message may decode to here
EDITS = 100_000 * (20 if os.environ.get("GRADSZ_TEST_PROFILE") == "full" else 1)


def survive(message) -> bool:
    """Whether it decodes.  Anything but values or a GradszError is a failure of the test."""
    try:
        a = gradsz.decompress(message, max_output=LIMIT)
    except gradsz.GradszError as error:
        assert type(error) is not gradsz.GradszError and str(error)
        return False
    assert a.nbytes <= LIMIT
    return True


def survive_tensors(message) -> None:
    for call in (lambda: gradsz.info(message), lambda: gradsz.decompress_tensors(message, max_output=LIMIT)):
        try:
            str(call())
        except gradsz.GradszError as error:
            assert type(error) is not gradsz.GradszError and str(error)


def seeds() -> list[bytes]:
    """Small messages that together use every codec, predictor, table and short form."""
    rng = np.random.default_rng(0)
    result = [gradsz.compress(np.zeros((0, 3), "f4"), 0), gradsz.compress(np.full(9, 7, "i2"), 0)]
    for dtype in FLOATS:
        for kind in KINDS:
            a = sample(dtype, kind, 300, rng)
            a[::50] = np.nan
            a = np.concatenate([a, np.zeros(100, dtype)])
            result.append(gradsz.compress(a, 1e-2, predictor="none"))
            result.append(gradsz.compress(a.reshape(4, 10, 10), 1e-2, predictor=f"lorenzo{1 + len(result) % 3}"))
        for shape in ((400,), (20, 20), (10, 8, 5)):
            a = sample(dtype, "normal", 400, rng).reshape(shape)
            a[1], a[3, ...] = 0, 0
            result.append(gradsz.compress(a, 0.1, predictor="structure", grid=("aligned", "centred")[len(result) % 2]))
        outer = np.outer(rng.normal(size=40), rng.normal(size=60)).astype(dtype)
        result += [gradsz.compress(outer.reshape(shape), 0.02, predictor="low-rank") for shape in ((40, 60), (40, 15, 2, 2))]
    for dtype in ALL:
        a = noise(dtype, 200, rng)
        a[20:] = a[0]
        result += [gradsz.compress(a, 0), gradsz.compress(np.sort(a), 0), gradsz.compress(a[:12], 0)]
    for dtype in FLOATS:
        a = sample(dtype, "normal", 300, rng)
        a[::60] = np.nan
        quantisers = gradsz.Spherical(0.5), gradsz.Spherical(0.7, 13), gradsz.M22(2, keep=0.5), gradsz.M22(3), gradsz.SparseDithering(0.3)
        result += [gradsz.compress(a, q) for q in quantisers]
    big = sample(np.dtype("float32"), "normal", 3000, rng)
    result += [gradsz.compress(big, eb, level=level) for eb in (0.5, 1e-1) for level in LEVELS] + [gradsz.compress(np.arange(4000), 0)]
    return sorted(set(result), key=len)


SEEDS = seeds()


class TestEdits:
    def test_random_edits_with_checksums_recomputed(self):
        """A few bytes changed in the header or in the section: flipped, zeroed, filled, random."""
        rng = np.random.default_rng(1)
        decoded = 0
        for message in SEEDS:
            spans = [(start, end, wire.influence(end - start)) for start, end in wire.layout(message)]
            count = EDITS // len(SEEDS)
            which = rng.integers(0, 4, count)       # the header is short: one edit in four
            where, what = rng.random((count, 3)), rng.integers(0, 256, (count, 3))
            flips = rng.integers(0, 3, count)
            for j in range(count):
                start, end, influence = spans[0 if which[j] == 0 else -1]
                edited = bytearray(message)
                crc = int.from_bytes(edited[end:end + 4], "little")
                for k in range(1 + flips[j]):
                    at = int(where[j, k] * (end - start))
                    value = int(what[j, k])
                    change = 1 << (value & 7) if value < 96 else edited[start + at] ^ (0, 255)[value & 1] if value < 128 else value
                    edited[start + at] ^= change
                    crc ^= int(influence[at, change])
                edited[end:end + 4] = crc.to_bytes(4, "little")
                decoded += survive(edited)
        assert decoded > EDITS // 20        # the edits do get past the checksums

    @examples(400)
    @given(data=st.data())
    def test_bytes_cut_out_put_in_or_spliced_from_another_message(self, data):
        parts = wire.Frame.of(data.draw(st.sampled_from(SEEDS)))
        other = wire.Frame.of(data.draw(st.sampled_from(SEEDS)))
        victim = data.draw(st.sampled_from(["table", "section"]))
        old, donor = getattr(parts, victim) or b"", getattr(other, victim) or b""
        i, j = sorted((data.draw(st.integers(0, len(old))), data.draw(st.integers(0, len(old)))))
        k, m = sorted((data.draw(st.integers(0, len(donor))), data.draw(st.integers(0, len(donor)))))
        middle = data.draw(st.sampled_from([b"", donor[k:m], bytes(m - k), b"\xff" * (m - k)]))
        setattr(parts, victim, old[:i] + middle + old[j:])
        survive(parts.bytes())

    @examples(200)
    @given(st.sampled_from(SEEDS), st.sampled_from(SEEDS))
    def test_the_section_of_another_tensor(self, a, b):
        first, second = wire.Frame.of(a), wire.Frame.of(b)
        if first.section is not None and second.section is not None:
            first.section = second.section
            survive(first.bytes())

    @pytest.mark.parametrize("message", SEEDS[::12], ids=len)
    def test_every_truncation_of_the_section_with_its_length_and_checksum_put_right(self, message):
        parts = wire.Frame.of(message)
        whole = parts.section or b""
        for n in range(len(whole)):
            parts.section = whole[:n]
            assert not survive(parts.bytes())


class TestRandomBytes:
    @examples(500)
    @given(st.binary(max_size=300))
    def test_any_bytes(self, data):
        survive(data)
        survive_tensors(data)

    @examples(500)
    @given(st.binary(max_size=200), st.integers(0, 1), st.integers(0, 2))
    def test_any_table_behind_a_good_frame(self, table, flags, version):
        message = wire.frame(table, version=version, flags=flags)
        survive(message)
        survive_tensors(message)

    @examples(500)
    @given(st.binary(max_size=200), st.sampled_from(SEEDS))
    def test_any_section_behind_a_good_header(self, section, message):
        parts = wire.Frame.of(message)
        if parts.section is not None:
            parts.section = section
            survive(parts.bytes())

    @examples(200)
    @given(st.data())
    def test_edited_messages_of_several_tensors(self, data):
        update = {"w": sample(np.dtype("float32"), "normal", 1500, np.random.default_rng(2)), "é": np.arange(5), "": np.float16(3)}
        message = bytearray(gradsz.compress_tensors(update, 0.05))
        start, end = wire.layout(message)[0]
        for _ in range(data.draw(st.integers(1, 4))):
            message[data.draw(st.integers(5, end - 1))] = data.draw(st.integers(0, 255))
        message[end:end + 4] = wire.crc32c(bytes(message[start:end])).to_bytes(4, "little")
        survive_tensors(message)


def uniform_table(shape, eb, dtype=2, mode=0, predictor=0, grid=0, coder=0):
    return (wire.start(dtype, wire.UNIFORM, shape) + bytes([mode | grid << 3 | 7 << 5]) + np.array(eb, ">f8").tobytes()
            + bytes([predictor | coder << 4]))


class TestHandMade:
    """What no encoder writes."""

    def test_the_frame_of_these_tests_is_that_of_the_encoder(self):
        for message in SEEDS:
            assert wire.Frame.of(message).bytes() == message
        t = gradsz.info(wire.frame(uniform_table((100,), 0.5) + wire.varint(2), [b"\0\x80"])).tensors[0]
        assert (t.dtype, t.shape, t.eb, t.codec) == ("float32", (100,), 0.5, "uniform")
        assert (gradsz.decompress(wire.frame(uniform_table((100,), 0.5) + wire.varint(2), [b"\0\x80"])) == 0).all()

    @pytest.mark.parametrize("eb", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf])
    def test_impossible_bounds(self, eb):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(uniform_table((100,), eb) + wire.varint(2), [b"\0\x80"]))

    @pytest.mark.parametrize("field", ["dtype", "mode", "predictor", "grid", "coder"])
    def test_reserved_values_point_to_a_newer_writer(self, field):
        with pytest.raises(gradsz.UnsupportedError):
            gradsz.info(wire.frame(uniform_table((100,), 0.5, **{field: {"dtype": 7, "mode": 7, "grid": 2}.get(field, 15)}) + wire.varint(2), [b"\0\x80"]))

    def test_a_newer_version_is_named_as_such(self):
        with pytest.raises(gradsz.UnsupportedError, match="version"):
            gradsz.info(wire.frame(b"", version=9))

    @pytest.mark.parametrize("shape", [(2**62,), (2**40, 2**40), (2**63,), (2**32, 2**32, 0), (2**64 - 1,)])
    def test_shapes_that_no_memory_holds(self, shape):
        for table in (uniform_table(shape, 0.5) + wire.varint(2), wire.start(3, wire.CONSTANT, shape) + bytes(8)):
            with pytest.raises((gradsz.LimitError, gradsz.CorruptError)):
                gradsz.decompress(wire.frame(table, [b"\0\x80"] if table[-1] == 2 else []), max_output=2**40)

    def test_counts_and_lengths_beyond_the_message(self):
        for n in (300, 2**20, 2**40, 2**63, 2**64 - 1):
            for message in (wire.frame(wire.varint(n) + bytes(8), flags=1),                         # tensors
                            wire.frame(b"\1\0\0" + wire.varint(n) + b"w" * 8, flags=1),              # bytes of a name
                            wire.frame(uniform_table((100,), 0.5) + wire.varint(n), [b"\0\x80"]),  # bytes of a section
                            b"GSZ\0\0" + wire.varint(n) + bytes(20)):                              # bytes of the header
                with pytest.raises(gradsz.CorruptError):
                    gradsz.decompress_tensors(message)

    def test_more_dimensions_than_allowed(self):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(wire.start(2, wire.CONSTANT, [1] * 33) + bytes(4)))

    def test_names_of_bytes_that_the_name_before_does_not_have(self):
        entry = b"\0\0\2ww" + wire.start(2, wire.EMPTY, [0])
        for front, back in ((1, 2), (3, 0), (0, 3), (255, 255)):
            second = bytes([front, back]) + b"\1v" + wire.start(2, wire.EMPTY, [0])
            for table in (b"\2" + entry + second, b"\1" + second):
                with pytest.raises(gradsz.CorruptError):
                    gradsz.info(wire.frame(table, flags=1))

    @pytest.mark.parametrize("name", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"a\x80", b"\xe2\x82", b"\xe0\x80\x80"])
    def test_names_that_are_no_utf_8(self, name):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(b"\1\0\0" + wire.varint(len(name)) + name + wire.start(2, wire.EMPTY, [0]), flags=1))

    def test_two_tensors_of_one_name(self):
        entry = b"\0\0\1w" + wire.start(2, wire.EMPTY, [0])
        assert len(gradsz.info(wire.frame(b"\1" + entry, flags=1)).tensors) == 1
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(b"\2" + entry + entry, flags=1))
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(b"\2" + entry + b"\1\0\0" + entry[4:], flags=1))

    def test_numbers_not_in_their_shortest_form(self):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(wire.start(2, wire.EMPTY, [0])[:2] + b"\x80\x00"))

    def test_lossy_integers(self):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(uniform_table((100,), 0.5, dtype=10) + wire.varint(2), [b"\0\x80"]))

    @pytest.mark.parametrize("shape", [(2**59,), (2**20, 2**20), (2**16, 2**16, 2**16), (64, 2**30, 3, 3), (2**40, 1, 5, 5)])
    def test_models_of_more_than_their_segments_can_hold(self, shape):
        """Every part takes a byte of the table, and a segment must be there."""
        table = wire.start(2, wire.MODEL, shape) + bytes([1 << 5, 0x3f, 0xf0]) + bytes(11)      # coding tables of kind none
        for rest in (b"", b"\7", b"\7" * 1000):
            with pytest.raises(gradsz.CorruptError):
                gradsz.decompress(wire.frame(table + rest, [b"\0\0\0\0\x80\0\0"] * len(rest)))

    def test_empty_and_not_empty_at_once(self):
        for size, codec, element in ((0, wire.CONSTANT, bytes(4)), (5, wire.EMPTY, b"")):
            with pytest.raises(gradsz.CorruptError):
                gradsz.info(wire.frame(wire.start(2, codec, [size]) + element))

    def test_a_raw_section_of_the_wrong_size(self):
        with pytest.raises(gradsz.CorruptError):
            gradsz.info(wire.frame(wire.start(2, wire.RAW, [5]) + wire.varint(19), [bytes(19)]))

    def test_bytes_behind_the_table_or_the_message(self):
        good = wire.start(2, wire.CONSTANT, [1]) + bytes(4)
        assert gradsz.decompress(wire.frame(good)) == 0
        for message in (wire.frame(good + b"\0"), wire.frame(good) + b"\0", wire.frame(good) * 2):
            with pytest.raises(gradsz.CorruptError):
                gradsz.decompress(message)
