"""Golden messages that must be rejected: one flaw each, behind right checksums."""
from __future__ import annotations

import math

import draw
from quantised import bad_quantised


def plain(payload: bytes, n: int = 4, **fields) -> bytes:
    return draw.message(draw.uniform(draw.FLOAT32, [n], payload, **fields))


def table_of(**fields) -> bytes:
    """A uniform tensor of one element whose code table has these fields; `lengths` are bits."""
    bits = draw.Bits().put(fields.get("longest", 1), 4).put(fields.get("runs", 0), 6)
    bits.put(fields.get("values", 1), 11).put(fields.get("escape", 0), 4).put(fields.get("far", 0), 4)
    bits.text(fields.get("lengths", "111 1000"))
    return plain(draw.chunk(b"\0" + bits.bytes()), n=1)


def bad_messages() -> dict[str, tuple[bytes, str, int, str]]:
    value, run, C, U, T, L = draw.value, draw.run, "CorruptError", "UnsupportedError", "TruncatedError", "LimitError"
    ok = draw.symbols([value(1), run(2), value(-1)])
    whole = plain(draw.chunk(ok))
    low_bits, far = draw.symbols([value(1, 1)] * 4, low=1), value(1, far=True)
    far_unused = draw.symbols([value(1)] * 4, a={far.number: 1, value(1).number: 1})
    scalar = draw.constant(draw.INT8, [], b"\x05")[0]
    many = draw.varint(30) + b"".join(draw.constant(draw.INT8, [], b"\1", name=b"%02d" % i)[0] for i in range(30))
    int8 = lambda shape: draw.raw(draw.INT8, shape, bytes(math.prod(shape)))    # noqa: E731
    bound = lambda eb: plain(draw.chunk(ok), eb=eb)                             # noqa: E731
    zeros = b"\x80"
    small = [draw.entry(draw.INT8, [3], draw.GATHERED, name=b"a"), draw.entry(draw.INT16, [2], draw.GATHERED, name=b"b")]
    one_plane = lambda payload, n=2: draw.message(draw.exact(draw.INT8, [n], payload))      # noqa: E731

    def name(data: bytes) -> bytes:
        return draw.named(draw.constant(draw.INT8, [], b"\1", name=data))

    def after_ae(front: int, back: int, middle: bytes) -> bytes:
        """A name of pieces, after "aé"."""
        return draw.named(draw.constant(draw.INT8, [], b"\1", name="aé".encode()),
                          (draw.entry(draw.INT8, [], draw.CONSTANT, b"\1", middle, front, back), None))

    return bad_quantised() | {
        # 2. message
        "magic": (b"GZS" + whole[3:], C, 10, "2: magic"),
        "magic_short": (b"GX", C, 10, "8: the first bytes are not those of the magic"),
        "version": (draw.header(scalar, version=1), U, 11, "2: version"),
        "version_255": (draw.header(scalar, version=255), U, 11, "2: version"),
        "stream_key": (draw.header(scalar + b"\6" + bytes(8) + b"\0" + bytes(8), flags=8), U, 12, "3.6: three rounds"),
        "stream_cut": (draw.header(scalar + b"\1" + bytes(7), flags=8), C, 32, "3.6: id cut off"),
        "stream_sequence": (draw.header(scalar + b"\1" + bytes(8) + b"\x80\0", flags=8), C, 32, "1.2: not the shortest form"),
        "stream_digest": (draw.header(scalar + b"\0" + bytes(8) + b"\5" + bytes(7), flags=8), C, 32, "3.6: digest cut off"),
        "stream_note_key": (draw.header(scalar + b"\x81" + bytes(8) + b"\5\1n", flags=8), C, 32, "3.6: a key with a note"),
        "stream_note_empty": (draw.header(scalar + b"\x80" + bytes(8) + b"\5" + bytes(8) + b"\0", flags=8), C, 32, "3.6: a note without bytes"),
        "stream_note_cut": (draw.header(scalar + b"\x80" + bytes(8) + b"\5" + bytes(8) + b"\2n", flags=8), C, 32, "3.6: note cut off"),
        "stream_note_varint": (draw.header(scalar + b"\x80" + bytes(8) + b"\5" + bytes(8) + b"\x81\0n", flags=8), C, 32, "1.2: not the shortest form"),
        "stream_note_history": (draw.header(scalar + b"\x86" + bytes(8) + b"\0" + bytes(8) + b"\1n", flags=8), U, 12, "3.6: three rounds"),
        "prior_none": (draw.header(scalar + bytes(4), flags=4), C, 32, "3.7: no tensor of codec 5"),
        "flags": (draw.header(scalar, flags=16), U, 12, "2: reserved flags"),
        "nothing": (b"", T, 20, "8: no bytes"),
        "cut_magic": (whole[:2], T, 20, "2: stops in the magic"),
        "cut_length": (b"GSZ\0\0\x80", T, 20, "2: stops in the table length"),
        "cut_table": (whole[:12], T, 20, "2: stops in the table"),
        "cut_header_checksum": (draw.header(scalar)[:-1], T, 20, "2: stops in the header's checksum"),
        "cut_section": (whole[:-6], T, 20, "2: stops in a section"),
        "cut_section_checksum": (whole[:-1], T, 20, "2: stops in a section's checksum"),
        "cut_last_section": (draw.message(draw.raw(draw.INT8, [2], b"\0\1"))[:-6], T, 20, "2: a section is missing"),
        "header_checksum": (draw.header(scalar)[:-4] + b"\0\0\0\0", C, 30, "2: checksum of the header"),
        "section_checksum": (whole[:-4] + b"\0\0\0\0", C, 31, "3.3: checksum of a section"),
        "raw_checksum": (draw.message(int8([2]))[:-4] + b"\0\0\0\0", C, 31, "3.3: checksum of a section"),
        "trailing": (whole + b"\0", C, 36, "2: a byte after the message"),
        "trailing_header": (draw.header(scalar) + b"\0", C, 36, "2: a byte after the message"),
        "table_length_long": (draw.header(scalar, length=b"\x84\0"), C, 32, "1.2: not the shortest form"),
        "table_length_limit": (draw.header(scalar, length=draw.varint(2**62 + 1)),
            C, 32, "2: table length above 2^62"),
        "table_length_bits": (draw.header(scalar, length=b"\xff" * 9 + b"\2"), C, 32, "1.2: more than 64 bits"),
        "table_left": (draw.header(scalar + b"\0"), C, 32, "3: a table that is not used up"),
        "table_short": (draw.header(scalar[:-1]), C, 32, "3: a table too short for its entry"),
        "table_empty": (draw.header(b""), C, 32, "3: no entry"),
        "table_no_count": (draw.header(b"", flags=1), C, 32, "3: no number of entries"),
        "count_large": (draw.named(draw.constant(draw.INT8, [], b"\1", name=b"a"), count=2),
            C, 32, "3: fewer entries than counted"),
        "count_huge": (draw.header(draw.varint(2**63) + b"\0\0\1a" + scalar, flags=1),
            C, 32, "3: fewer entries than counted"),
        "count_small": (draw.named(draw.constant(draw.INT8, [], b"\1", name=b"a"),
                                   draw.constant(draw.INT8, [], b"\1", name=b"b"), count=1), C, 32, "3: more entries than counted"),
        # 3.1 entry
        "name_long": (name(b"x" * 1024), C, 32, "3.1: a name of 1,024 bytes"),
        "name_beyond": (draw.header(b"\1\0\0\5ab", flags=1), C, 32, "3.1: a name beyond the table"),
        "name_overlong": (name(b"\xc0\x80"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_overlong3": (name(b"\xe0\x9f\xbf"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_overlong4": (name(b"\xf0\x8f\xbf\xbf"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_surrogate": (name(b"\xed\xa0\x80"), C, 32, "3.1: UTF-8, a surrogate"),
        "name_beyond_unicode": (name(b"\xf4\x90\x80\x80"), C, 32, "3.1: UTF-8, above U+10FFFF"),
        "name_stray": (name(b"a\x80"), C, 32, "3.1: UTF-8, a stray byte"),
        "name_cut": (name("é".encode()[:1]), C, 32, "3.1: UTF-8, cut off"),
        "name_twice": (draw.named(*[draw.constant(draw.INT8, [], b"\1", name=n) for n in (b"b", b"a", b"b")]),
            C, 32, "3.1: a name twice"),
        "name_front": (after_ae(4, 0, b"b"), C, 32, "3.1: more bytes in front than the name before has"),
        "name_back": (after_ae(0, 4, b"b"), C, 32, "3.1: more bytes behind than the name before has"),
        "name_ends": (after_ae(2, 2, b"b"), C, 32, "3.1: both ends together more than the name before"),
        "name_first": (draw.header(b"\1\1\0\0" + scalar, flags=1), C, 32, "3.1: the first name has none before"),
        "name_ends_cut": (after_ae(2, 0, b"b"), C, 32, "3.1: half a character of the name before"),
        "name_ends_twice": (after_ae(1, 2, b""), C, 32, "3.1: a name twice, in other pieces"),
        "name_ends_long": (draw.named(draw.constant(draw.INT8, [], b"\1", name=b"x" * 1023), (
            draw.entry(draw.INT8, [], draw.CONSTANT, b"\1", b"y" * 514, 255, 255), None)), C, 32, "3.1: a name of 1,024 bytes"),
        "name_length_long": (draw.header(b"\1\0\0\x81\0a" + scalar, flags=1), C, 32, "1.2: not the shortest form"),
        "dtype": (draw.message(draw.constant(4, [], b"\0")), U, 12, "3.1: reserved dtype"),
        "dtype_17": (draw.message(draw.constant(17, [], b"\0")), U, 12, "3.1: reserved dtype"),
        "dimensions": (draw.message(int8([1] * 33)), C, 32, "3.1: 33 dimensions"),
        "shape_long": (draw.header(bytes([draw.INT8 | draw.CONSTANT << 5, 1]) + b"\x81\0" + b"\0"),
            C, 32, "1.2: a dimension not in the shortest form"),
        "shape_missing": (draw.header(bytes([draw.INT8, 3, 1])), C, 32, "3.1: dimensions missing"),
        "too_large": (draw.message(draw.constant(draw.INT8, [2**31, 2**31, 2], b"\0")),
            L, 62, "2: a tensor above 2^62 bytes"),
        "too_large_empty": (draw.message((draw.entry(draw.INT8, [2**63, 0], draw.EMPTY), None)),
            L, 62, "2: 0 counts as 1"),
        "too_large_overflow": (draw.message(draw.constant(draw.INT8, [2**32, 2**32], b"\0")),
            L, 62, "2: more than 64 bits"),
        "too_large_sum": (draw.named(*[draw.constant(draw.INT8, [2**62], b"\0", name=bytes([65 + i])) for i in range(4)]),
                          L, 62, "2: 2^64 bytes in all"),
        # 3.2 codecs
        "codec_empty": (draw.message((draw.entry(draw.INT8, [1], draw.EMPTY), None)),
            C, 32, "3.2: empty, with elements"),
        "codec_raw_empty": (draw.message(int8([0])), C, 32, "3.2: raw, without elements"),
        "constant_short": (draw.message(draw.constant(draw.INT16, [3], b"\0")), C, 32, "3.2: half a constant"),
        "raw_length": (draw.message(draw.raw(draw.INT16, [3], b"12345")), C, 32, "3.2: raw section length"),
        "section_length": (draw.header(draw.entry(draw.INT8, [3], draw.EXACT, draw.varint(2**62 + 1))),
            C, 32, "2: section length above 2^62"),
        "section_length_long": (draw.header(draw.entry(draw.INT8, [3], draw.RAW, b"\x83\0")) + draw.sealed(b"123"),
            C, 32, "1.2: not the shortest form"),
        "grid": (plain(draw.chunk(ok), grid=1), U, 12, "3.2: a centred grid is for the model only"),
        "grid_2": (plain(draw.chunk(ok), grid=2), U, 12, "3.2: a dithered grid is for the model only"),
        "grid_3": (plain(draw.chunk(ok), grid=3), U, 12, "3.2: a shrunk grid is for the model only"),
        "predictor": (plain(draw.chunk(ok), predictor=4), U, 12, "3.2: reserved predictor"),
        "coder": (plain(draw.chunk(ok), coder=1), U, 12, "3.2: reserved coder"),
        "uniform_integer": (draw.message(draw.uniform(draw.INT32, [4], draw.chunk(ok))),
            C, 32, "3.2: uniform of integers"),
        "eb_zero": (bound(0.0), C, 32, "3.2: bound 0"),
        "eb_negative": (bound(-0.5), C, 32, "3.2: bound below 0"),
        "eb_nan": (bound(math.nan), C, 32, "3.2: bound NaN"),
        "eb_infinite": (bound(math.inf), C, 32, "3.2: bound infinite"),
        "eb_step": (bound(2.0**-151), C, 32, "5.1: a step of 0"),
        "eb_none": (bound(None), C, 32, "3.2: a bound of an entry before, and there is none"),
        "eb_short": (draw.header(bytes([draw.FLOAT32 | draw.UNIFORM << 5, 1, 4, 7 << 5, 63, 224])), C, 32, "3.2: a bound cut off"),
        "lorenzo2_dimensions": (plain(draw.chunk(ok), predictor=2), C, 32, "5.2: predictor 2 of one dimension"),
        "lorenzo3_dimensions": (draw.message(draw.uniform(draw.FLOAT32, [2, 1, 2], draw.chunk(ok), predictor=3)),
            C, 32, "5.2: predictor 3 of two dimensions"),
        "lorenzo2_row": (draw.message(draw.uniform(draw.FLOAT32, [2, 2**18 + 1], draw.chunk(zeros), predictor=2)),
            C, 32, "5.2: a row above 2^18"),
        "lorenzo3_plane": (draw.message(draw.uniform(draw.FLOAT32, [2, 2**9, 2**9 + 1], draw.chunk(zeros), predictor=3)),
            C, 32, "5.2: a plane above 2^18"),
        # 3.3 chunks
        "chunks_many": (plain(zeros, n=2**16 + 1), C, 32, "3.3: more chunks than bytes"),
        "chunks_long": (plain(b"\x82\0\2\0\x80\0\x80", n=2**16 + 1),
            C, 35, "1.2: a chunk length not in the shortest form"),
        "chunks_beyond": (plain(b"\2\3\0\x80\0\x80", n=2**16 + 1), C, 35, "3.3: a chunk beyond the section"),
        "chunks_left": (plain(b"\2\2\0\x80\0\x80\0", n=2**16 + 1), C, 35, "3.3: a byte after the chunks"),
        "chunks_missing": (plain(b"\x80\x80", n=2**16 + 1), C, 35, "3.3: half a chunk length"),
        "section_empty": (plain(b""), C, 32, "3.3: no chunk"),
        # 3.4 gathered tensors
        "gathered_empty": (draw.gathered([draw.entry(draw.INT8, [0], draw.GATHERED)], b"", flags=0), C, 32, "3.2: gathered, without elements"),
        "gathered_missing": (draw.gathered(small, b"\0a"), C, 32, "3.4: a run without a length"),
        "gathered_length_long": (draw.gathered(small, b"123", b"1234", lengths=b"\x83\0\4"), C, 32, "1.2: not the shortest form"),
        "gathered_length": (draw.gathered(small, b"123", b"", lengths=b"\3" + draw.varint(2**62 + 1)), C, 32, "2: section length above 2^62"),
        "gathered_none": (draw.gathered(small, b"123", b"", lengths=b"\3\0"), C, 32, "3.3: more chunks than bytes"),
        "gathered_left": (draw.gathered(small, b"123", b"1234", lengths=b"\3\4\0"), C, 32, "3: a length without a run"),
        "gathered_checksum": (draw.gathered(small, b"123", b"1234")[:-4] + b"\0\0\0\0", C, 31, "3.4: checksum of a run"),
        "gathered_short": (draw.gathered(small, b"\0a", b"1234"), C, 35, "6: two bytes of three"),
        "gathered_cut": (draw.gathered(small, b"123", b"1234")[:-9], T, 20, "2: stops before the last section"),
        # 3.5 packed entries
        "packed_none": (draw.packed(scalar, data=b""), C, 32, "3.5: no packed bytes"),
        "packed_missing": (draw.packed(many, data=draw.pack(many, named=True)[:-3], flags=3), C, 32, "3.5: packed bytes missing"),
        "packed_left": (draw.packed(scalar, data=draw.pack(scalar, named=False) + b"\0\0\0\1"), C, 32, "3.5: packed bytes left"),
        "packed_zero": (draw.packed(scalar, data=draw.pack(scalar, named=False) + b"\0"), C, 32, "3.5: a last byte of 0"),
        "packed_end": (draw.packed(scalar, data=draw.pack(scalar, named=False) + b"\1"), C, 32, "3.5: value that is not the end"),
        "packed_length": (draw.header(draw.varint(3) + draw.varint(9) + draw.pack(scalar, named=False), flags=2), C, 32, "3.5: packed bytes beyond the table"),
        "packed_length_long": (draw.header(b"\x83\0" + draw.varint(len(draw.pack(scalar, named=False))) + draw.pack(scalar, named=False), flags=2), C, 32, "1.2: not the shortest form"),
        "packed_limit": (draw.packed(scalar, length=2**17 + 1, data=bytes(2**12)), C, 32, "3.5: a plain length above 2^17"),
        "packed_ratio": (draw.packed(scalar, length=64 * 4 + 1, data=bytes(4)), C, 32, "3.5: a plain length above 64 packed ones"),
        "packed_entries": (draw.packed(scalar + b"\0"), C, 32, "3: entries that are not used up"),
        "packed_entry": (draw.packed(scalar[:-1]), C, 32, "3: half an entry"),
        "packed_rest": (draw.packed(scalar, b"\0"), C, 32, "3: a table that is not used up"),
        # 4.1 header byte
        "symbols_missing": (plain(b"\0"), C, 35, "4: no symbol string"),
        "symbols_bit4": (plain(draw.chunk(draw.symbols([value(1)] * 4, flags=0x10))), U, 12, "4.1: reserved bit 4"),
        "symbols_bit5": (plain(draw.chunk(draw.symbols([value(1)] * 4, flags=0x20))), U, 12, "4.1: reserved bit 5"),
        "symbols_bit6": (plain(draw.chunk(draw.symbols([value(1)] * 4, flags=0x40))), U, 12, "4.1: reserved bit 6"),
        "symbols_bit7": (plain(draw.chunk(b"\x81")), U, 12, "4.1: bit 7 with others"),
        "low_0": (plain(draw.chunk(low_bits[:1] + b"\0" + low_bits[2:])), U, 12, "4.1: no low bits"),
        "low_22": (plain(draw.chunk(low_bits[:1] + b"\x16" + low_bits[2:])), U, 12, "4.1: 22 low bits"),
        "low_beyond": (plain(draw.chunk(low_bits[:2] + b"\x7f" + low_bits[3:])),
            C, 35, "4.1: low bits beyond the string"),
        "far_beyond": (plain(draw.chunk(far_unused[:1] + b"\x7f" + far_unused[2:])),
            C, 35, "4.1: far classes beyond the string"),
        "low_far_beyond": (plain(draw.chunk(draw.symbols([value(1, 2, far=True)] * 4, low=2, far=bytes(50))[:-40])), C, 35,
                           "4.1: low bits and far classes together beyond the string"),
        "zeros_more": (plain(draw.chunk(zeros + b"\0")), C, 35, "4.1: bytes after 0x80"),
        # 4.3 codes
        "code_longest0": (table_of(longest=0), C, 33, "4.3: longest 0"),
        "code_longest13": (table_of(longest=13), C, 33, "4.3: longest 13"),
        "code_runs": (table_of(runs=38, lengths="1" * 40), C, 33, "4.3: 38 run tokens"),
        "code_values": (table_of(values=2047, lengths="1" * 40), C, 33, "4.3: 2,047 value tokens"),
        "code_escape": (table_of(escape=2), C, 33, "4.3: an escape longer than the longest"),
        "code_far": (table_of(far=2), C, 33, "4.3: a far token longer than the longest"),
        "code_length0": (table_of(longest=4, values=4, lengths="1101 1100 101 1 110 1"), C, 33, "4.3: a length of 0"),
        "code_length_above": (table_of(longest=4, values=4, lengths="1100 111 1000 0 0"),
            C, 33, "4.3: a length above longest + 1"),
        "code_long_form": (table_of(longest=2, values=1, escape=2, lengths="111 0100"),
            C, 33, "4.3: a long form for a difference of 2"),
        "code_unused_values": (table_of(longest=1, escape=1, values=2, lengths="111 1000 100"),
            C, 33, "4.3: an unused token at the end"),
        "code_unused_runs": (table_of(longest=1, escape=1, runs=1, values=1, lengths="1101 111 1000"),
            C, 33, "4.3: an unused token at the end"),
        "code_incomplete": (table_of(longest=2, values=3, lengths="1101 0 0"), C, 33, "4.3: 3 words of 2 bits"),
        "code_crowded": (table_of(longest=1, values=3, lengths="111 1000 0 0"), C, 33, "4.3: 3 words of 1 bit"),
        "code_lone": (table_of(longest=2, values=1, lengths="1101"), C, 33, "4.3: a lone token of 2 bits"),
        "code_longest": (table_of(longest=3, values=2, lengths="111 1000 0"),
            C, 33, "4.3: longest is not the longest"),
        "code_none": (table_of(values=0, lengths=""), C, 33, "4.3: no token in use"),
        "code_b": (plain(draw.chunk(draw.symbols([value(1)] * 4, b={draw.VALUE: 2}))),
            C, 33, "4.3: code B is not complete"),
        "code_missing": (table_of(longest=4, values=16, lengths="000"), C, 35, "4.3: bits of the table missing"),
        "code_filler": (plain(draw.chunk(b"\0" + draw.Bits().put(1, 4).put(0, 6).put(1, 11).put(0, 8).text("111 1000").bytes(1))),
            C, 35, "1.3: filler bits of a table"),
        # 4.4 streams
        "stream_short": (plain(draw.chunk(draw.symbols([value(1), value(-1)] * 10)), n=25),
            C, 34, "4.4: symbols missing"),
        "stream_extra": (plain(draw.chunk(draw.symbols([run(16)])[:-1]), n=16), C, 34, "4.4: extra bits missing"),
        "stream_byte": (plain(draw.chunk(ok + b"\0")), C, 34, "4.4: a byte after the last token"),
        "stream_tokens": (plain(draw.chunk(draw.symbols([value(1), value(2)] * 4))),
            C, 34, "4.4: tokens after the last symbol"),
        "stream_filler": (plain(draw.chunk(ok[:-1] + bytes([ok[-1] | 0x80]))), C, 34, "1.3: filler bits of a stream"),
        "stream_run": (plain(draw.chunk(draw.symbols([value(1), run(4)]))), C, 34, "4.4: a run beyond the end"),
        "stream_run_narrow": (plain(draw.chunk(draw.symbols([value(1), value(-1)] * 200 + [run(15)])), n=401),
            C, 34, "4.4: a run beyond the end"),
        "stream_empty": (plain(draw.chunk(draw.symbols([], [], [run(1)], [value(2)], a={
            run(1).number: 2, value(2).number: 2, draw.VALUE: 1})), n=3), C, 34, "4.4: an empty stream that should not be"),
        "stream_lengths": (plain(draw.chunk(draw.symbols([value(1)], [value(1)], [run(1)], [value(2)])[:-7] + b"\7\0\0")),
            C, 35, "4: a stream beyond the string"),
        "stream_length_missing": (plain(draw.chunk(draw.symbols([value(1)] * 4, flags=1))),
            C, 35, "4: stream lengths missing"),
        # 4.5 and 4.6
        "far_unannounced": (plain(draw.chunk(b"\0" + far_unused[2:])),
            C, 35, "4.5: the far token without header bit 3"),
        "far_announced": (plain(draw.chunk(draw.symbols([value(1)] * 4, far=b""))),
            C, 35, "4.5: header bit 3 without the far token"),
        "far_few": (plain(draw.chunk(draw.symbols([far] * 4, far=b"\1\1\1"))),
            C, 35, "4.5: fewer classes than tokens"),
        "far_many": (plain(draw.chunk(draw.symbols([far] * 4, far=b"\1\1\1\1\1"))),
            C, 35, "4.5: more classes than tokens"),
        "far_long": (plain(draw.chunk(draw.symbols([far] * 4, far=b"\1\1\1\x81\0"))),
            C, 35, "1.2: a class not in the shortest form"),
        "far_large": (plain(draw.chunk(draw.symbols([far] * 4, far=b"\1\1\1" + draw.varint(2**32 - 1)))),
            C, 35, "4.6: a magnitude of 2^31"),
        "far_huge": (plain(draw.chunk(draw.symbols([far] * 4, far=b"\1\1\1" + draw.varint(2**64 - 1)))),
            C, 35, "4.6: a magnitude of 2^63"),
        "far_low": (plain(draw.chunk(draw.symbols([value(-(2**31), 7, far=True)] * 4, low=7))),
            C, 35, "4.6: a magnitude of 2^31"),
        "low_few": (plain(draw.chunk(draw.symbols([value(1, 3)] * 4, low=3, fields=b"\0"))),
            C, 35, "4.6: low bits missing"),
        "low_many": (plain(draw.chunk(draw.symbols([value(1, 3)] * 4, low=3, fields=b"\0\0\0"))),
            C, 35, "4.6: a byte after the low bits"),
        "low_filler": (plain(draw.chunk(draw.symbols([value(1, 3)] * 4, low=3, fields=b"\0\x10"))),
            C, 35, "1.3: filler bits after the low bits"),
        # 5. uniform chunks
        "escape_length": (plain(b"\7" + ok), C, 35, "5.2: escaped elements beyond the chunk"),
        "escapes_without": (plain(draw.chunk(ok, b"\0\1\2\3\4")), C, 35, "5.4: an escaped element without an escape"),
        "escapes_missing": (plain(draw.chunk(draw.symbols([draw.ESCAPE, run(3)]))),
            C, 35, "5.4: an escape without its element"),
        "escapes_few": (plain(draw.chunk(draw.symbols([draw.ESCAPE, draw.ESCAPE, run(2)]), b"\0\1\2\3\4")),
            C, 35, "5.4: fewer elements than escapes"),
        "escapes_many": (plain(draw.chunk(draw.symbols([draw.ESCAPE, run(3)]), b"\0\1\2\3\4\1\2\3\4")),
            C, 35, "5.4: more elements than escapes"),
        # 6. bit-exact chunks
        "exact_empty": (one_plane(b""), C, 32, "6: no transform"),
        "transform": (one_plane(b"\5\0\1\2"), U, 12, "6.1: reserved transform"),
        "stored_short": (one_plane(b"\0\1"), C, 35, "6: an element missing"),
        "stored_long": (one_plane(b"\0\1\2\3"), C, 35, "6: an element too many"),
        "plane_missing": (one_plane(b"\1"), C, 35, "6.2: no plane"),
        "plane_kind": (one_plane(b"\1\2\0\0"), U, 12, "6.2: reserved kind"),
        "plane_short": (one_plane(b"\1\0\1"), C, 35, "6.2: a stored plane too short"),
        "plane_long": (one_plane(b"\1\0\1\2\3"), C, 35, "6: a byte after the planes"),
        "plane_base": (one_plane(b"\1\1"), C, 35, "6.2: no base"),
        "plane_length": (one_plane(b"\1\1\0\2\x80"), C, 35, "6.2: a coded plane beyond the chunk"),
        "plane_escape": (one_plane(b"\1" + draw.coded_plane(draw.symbols([run(2)], a={0: 1, run(2).number: 1}))),
            C, 35, "6.2: an escape in the code"),
        "plane_symbol": (one_plane(b"\1" + draw.coded_plane(draw.symbols([value(128), value(1)]))),
            C, 35, "6.2: a symbol above 127"),
        "plane_symbol_below": (one_plane(b"\1" + draw.coded_plane(draw.symbols([value(-129), value(1)]))),
            C, 35, "6.2: a symbol below -128"),
            **bad_models(),
    }


def bad_models() -> dict[str, tuple[bytes, str, int, str]]:
    """7. the gradient model: tensors of two rows of four float32, or of twelve rows of sixteen."""
    C, U, T = "CorruptError", "UnsupportedError", "TruncatedError"
    f32 = draw.FLOAT32

    def rows(count: int = 2, **options) -> draw.Segment:
        """Head and rows of 4 ones."""
        segment = draw.Segment().head([1] * count, **options)
        for _ in range(2 * count):
            segment.step([65, 65])
        return segment

    def model(segment: draw.Segment, shape=(2, 4), dtype: int = f32, eb: float | None = 0.5, states: int = 0, coding=None, **parts):
        entry = draw.model(dtype, shape, eb)
        return draw.modelled([entry], segment.tables if coding is None else coding, [segment.payload(states, **parts)])

    def table(bits: draw.Bits, filler: int = 0) -> bytes:
        """Another table for the rows."""
        return model(rows(), coding=draw.tables({**draw.USUAL, draw.CONTEXT: bits}, filler))

    def side(put) -> bytes:
        """Other side bits than a head has."""
        return model(rows(), side=put(draw.Bits()).bytes())

    def ranked(rank: int, shape=(12, 16), scales=None, shift: int = 8, up=None, a: int = 1, b: int = 1) -> draw.Segment:
        """Up to the factors, of `a` and `b` everywhere."""
        scales = [1] * shape[0] if scales is None else scales
        live = sum(scale > 0 for scale in scales)
        segment = draw.Segment().head(scales, rank=rank).low_rank(shift, [0] * rank if up is None else up)
        segment.factor([[[a] * live]] * rank, 0).factor([[[b] * (shape[1] // 2)] * 2] * rank, 1)
        for _ in range(2 * live):
            segment.step([64] * (shape[1] // 2))
        return segment

    def low_rank(rank: int = 1, shape=(12, 16), **options) -> bytes:
        return model(ranked(rank, shape, **options), shape)

    def split(rank: int, shape=(12, 4, 2, 2), taps: int = 4, shift: int = 8, up: int = 0, a: int = 1) -> bytes:
        """One component, its b an inner pair."""
        families = 3 if taps == 4 else 2        # taps that are a square have one above
        segment = draw.Segment().head([1] * 12, weights=(*draw.WEIGHTS, *[0] * families), rank=1, taps=[]).low_rank(8, [0])
        segment.side.put(1, 1)
        segment.factor([[[1] * 12]], 0).side.number(0, rank)
        segment.low_rank(shift, [up] * rank).turn(0, shape[1], rank).factor([[[a] * shape[1]]] * rank, 0)
        segment.factor([[[1]] * taps] * rank, families)
        for _ in range(12 * taps):
            segment.step([64] * shape[1])
        return model(segment, shape)

    def factor(element: int | None = None, number: int = 0, rows: int = 12, turn: int = 0) -> bytes:
        """A factor a of one component, with an escaped element or a number for its first lane."""
        segment = draw.Segment().head([1] * rows, rank=1).low_rank(8, [0]).turn(turn, rows, 1).weights().scales([1], 21)
        segment.step([0] + [65] * (rows - 1), draw.CONTEXT + 21).side.number(4, number)
        if element is not None:
            segment.side.put(element, 32)
        segment.factor([[[1] * 8] * 2], 1)
        for _ in range(2 * rows):
            segment.step([64] * 8)
        return model(segment, (rows, 16))

    def alone(symbols, put=lambda bits: bits, **parts) -> bytes:
        """A row of two, a step each; `put`: more side bits."""
        segment = draw.Segment().head([1]).step(symbols[:1]).step(symbols[1:])
        put(segment.side)
        return model(segment, (2,), **parts)

    def scaled(*symbols) -> bytes:
        """Two rows with these symbols of scales."""
        segment = draw.Segment().head(())
        segment.steps = [[(20, symbol) for symbol in symbols]]
        for _ in range(4):
            segment.step([65, 65])
        return model(segment)

    def random(f: int) -> bytes:
        """Two rows of zeros with random offsets."""
        segment = draw.Segment(draw.ALL).head([0, 0], f, usual=12)
        segment.steps = [[(97, 127), (97, 127)]]
        return segment.payload()

    good, whole = rows(), model(rows())
    low = draw.Segment().head([1], weights=(1 << 14, 0, 0, 0)).step([64] * 2, draw.WIDE).step([64], draw.WIDE)
    low.low.put(0, 6)       # two low bits a lane
    coins = draw.Segment({20: draw.EVERY, draw.CONTEXT: draw.listed({65: 1024})}).head([1, 1])  # 64 or 65, whatever the words
    for _ in range(4):
        coins.step([64, 65] * 4)
    entry, coding, payload = draw.model(f32, (2, 4)), good.tables, good.payload()
    start, words = good.coded(1)
    of = lambda entry, **options: draw.modelled([entry], coding, [payload], **options)      # noqa: E731

    return {
        # 3. table
        "model_integer": (of(draw.model(draw.INT32, (2, 4))), C, 32, "3.2: model of integers"),
        "model_empty": (of(draw.model(f32, (0, 4))), C, 32, "3.2: model, without elements"),
        "model_eb": (of(draw.model(f32, (2, 4), math.inf)), C, 32, "3.2: bound infinite"),
        "model_eb_none": (of(draw.model(f32, (2, 4), None)), C, 32, "3.2: a bound of an entry before, and there is none"),
        "model_eb_step": (of(draw.model(f32, (2, 4), 2.0**-151)), C, 32, "5.1: a step of 0"),
        "model_seed": (draw.header(draw.model(f32, (2, 4), grid=2) + b"\x80"), C, 32, "3: half a seed"),
        "model_slots": (of(draw.model(f32, (2, 4), grid=2), origin=b"\7" + draw.varint(2**32)), C, 32, "3: 2^32 slots"),
        "model_slot": (of(draw.model(f32, (2, 4), grid=2), origin=b"\7\2\2"), C, 32, "3: the third of two slots"),
        "prior_unused": (of(entry, flags=4, origin=bytes(5)), C, 32, "3.7: no array in use"),
        "prior_rounds": (of(entry, flags=4, origin=bytes(4) + b"\6"), U, 12, "3.7: three rounds"),
        "prior_filler": (of(entry, flags=4, origin=bytes(4) + b"\x0a"), C, 32, "3.7: filler bits"),
        "prior_cut": (draw.header(entry + bytes(4), flags=4), C, 32, "3.7: cut off"),
        "prior_missing": (of(entry, flags=4, origin=bytes(4) + b"\1"), "StateMismatchError", 70, "3.7: a reference that the decoder lacks"),
        "model_mode": (of(draw.model(f32, (2, 4), mode=7)), U, 12, "3.2: reserved mode"),
        "model_no_tables": (draw.header(entry), C, 32, "3: neither coding tables nor lengths"),
        "model_no_length": (of(entry, lengths=b""), C, 32, "3: no length of the segment"),
        "model_length_long": (of(entry, lengths=bytes([len(payload) | 128, 0])), C, 32, "1.2: not the shortest form"),
        "model_length_limit": (of(entry, lengths=draw.varint(2**62 + 1)), C, 32, "2: segment length above 2^62"),
        "model_length_more": (of(entry, lengths=draw.varint(len(payload)) + b"\0"), C, 32, "3: a length too many"),
        "model_parts": (of(draw.model(f32, (2**13, 2**10))), C, 32, "7.1: eight parts, one length"),
        "model_claim": (of(draw.model(draw.FLOAT16, (2**61,))), C, 32, "7.1: more parts than bytes"),
        "cut_segment": (whole[:-6], T, 20, "2: stops in a segment"),
        "cut_segment_checksum": (whole[:-1], T, 20, "2: stops in a segment's checksum"),
        "segment_checksum": (whole[:-4] + b"\0\0\0\0", C, 31, "7.1: checksum of a segment"),
        "trailing_segment": (whole + b"\0", C, 36, "2: a byte after the message"),
        # 7.1 segments
        "segment_empty": (draw.modelled([entry], coding, [b""]), C, 35, "7.1: no segment"),
        "segment_states": (model(rows(), states=6), U, 12, "7.1: reserved number of states"),
        "segment_low_long": (draw.modelled([entry], coding, [b"\0\x80\0" + payload[2:]]), C, 35, "1.2: not the shortest form"),
        "segment_low_beyond": (draw.modelled([entry], coding, [b"\0\x7f" + payload[2:]]), C, 35, "7.1: low bits beyond it"),
        "segment_side_beyond": (draw.modelled([entry], coding, [payload[:2] + b"\x7f" + payload[3:]]),
            C, 35, "7.1: side bits beyond it"),
        "segment_side_left": (model(rows(), side=good.side.bytes() + b"\0"), C, 35, "7.1: side bits left"),
        "segment_side_missing": (model(rows(), side=good.side.bytes()[:-1]), C, 35, "7.1: side bits missing"),
        "segment_side_filler": (model(rows(), side=good.side.bytes(1)), C, 35, "1.3: filler bits of the side bits"),
        "segment_low_left": (model(rows(), low=b"\0"), C, 35, "7.1: low bits left"),
        "segment_low_missing": (model(low, (1, 3), low=b""), C, 35, "7.5: low bits missing"),
        "segment_low_filler": (model(low, (1, 3), low=low.low.bytes(1)), C, 35, "1.3: filler bits of the low bits"),
        # 7.2 coding tables
        "table_level": (table(draw.geometric(66, 10)), C, 33, "7.2: level 66"),
        "table_binary": (table(draw.binary(66)), C, 33, "7.2: level 66"),
        "table_binary_missing": (draw.header(draw.model(f32, (2, 4)) + draw.tables({0: draw.binary(1)})[:1]), C, 33, "7.2: bits missing"),
        "table_count": (draw.header(draw.model(f32, (2, 4)) + draw.Bits().put(1, 1).number(4, 21).put(0, 42).put(0, 2).bytes()),
            C, 33, "7.2: 21 tables and the last one"),
        "table_first": (table(draw.listed({}, first=65)), C, 33, "7.2: first 65"),
        "table_last": (table(draw.listed({}, last=63)), C, 33, "7.2: last 63"),
        "table_frequencies": (table(draw.listed({63: 1024, 65: 1025})), C, 33, "7.2: frequencies of 2,049 slots"),
        "table_frequency": (table(draw.listed({63: 2049})), C, 33, "7.2: a frequency of 2,049"),
        "table_number": (table(draw.Bits().put(2, 2).put(63, 7).put(64, 7).text("1" * 29 + "0")), C, 33, "1.5: a number too long"),
        "table_missing": (draw.header(entry + coding[:-2]), C, 33, "7.2: bits missing"),
        "table_filler": (model(rows(), coding=draw.tables({**draw.USUAL, 0: draw.EVERY}, 1)), C, 33, "1.3: filler bits of the tables"),
        # 7.3 rANS
        "states_missing": (draw.modelled([entry], coding, [bytes([0, 0, len(good.side.bytes())]) + start[:1] + good.side.bytes()]), C, 34, "7.3: no state"),
        "states_few": (model(rows(), states=2, start=start, words=b""), C, 34, "7.3: three states of four"),
        "state_filler": (model(rows(), start=draw.Bits().put(0, 4).put(0, 15).put(1, 1).bytes()), C, 34, "1.3: filler bits of the states"),
        "state_end": (model(rows(), start=(int.from_bytes(start, "little") ^ 1 << 4).to_bytes(len(start), "little")),
            C, 34, "7.3: a state that ends elsewhere"),
        "words_missing": (model(coins, (2, 16), words=coins.coded(1)[1][:-2]), C, 34, "7.3: words missing"),
        "words_half": (model(coins, (2, 16), words=coins.coded(1)[1][:-1]), C, 34, "7.3: half a word"),
        "words_left": (model(rows(), words=words + b"\0\0"), C, 34, "7.3: a word too many"),
        # 7.5 rows
        "escape_missing": (alone([0, 64]), C, 35, "7.5: a symbol 0 without its number"),
        "escape_short": (alone([0, 64], lambda bits: bits.number(4, 0).put(1, 24)), C, 35, "7.5: an escaped element cut off"),
        "number_long": (alone([64, 0], lambda bits: bits.text("1" * 25 + "0").put(0, 29)), C, 35, "1.5: a number too long"),
        # 7.6 head
        "head_missing": (side(lambda bits: bits.signed(0, 0).put(1, 1)), C, 35, "7.6: weights cut off"),
        "unit_bits": (model(rows(f=13)), C, 35, "7.6: 13 unit bits"),
        "unit_bits_random": (draw.modelled([draw.model(f32, (2, 4), grid=2)], draw.tables(draw.ALL), [random(3)], origin=bytes(2)),
            C, 35, "7.6: three unit bits with random offsets"),
        "unit_shrunk": (draw.modelled([draw.model(f32, (2, 4), 2.0**-123, grid=3)], draw.tables(draw.ALL), [random(4)], origin=bytes(2)),
            C, 35, "7.5: a unit that is normal but for the shrunk grid"),
        "unit": (model(rows(), eb=2.0**-128), C, 35, "7.5: a unit that is subnormal"),
        "unit_of_bits": (model(rows(f=4), eb=2.0**-124), C, 35, "7.5: a step that is normal, and a unit that is not"),
        "unit_float64": (model(rows(), dtype=draw.FLOAT64, eb=2.0**-1024), C, 35, "7.5: a unit that is subnormal"),
        "weight_long": (side(lambda bits: bits.signed(0, 0).put(1, 1).text("1" * 24 + "0").put(0, 29)), C, 35, "1.5: a weight too long"),
        "scale_first": (side(lambda bits: bits.signed(0, 0).put(0, 1).signed(1, 32)), C, 35, "7.6: a first scale of 64"),
        "scale_first_below": (side(lambda bits: bits.signed(0, 0).put(0, 1).signed(1, -33)), C, 35, "7.6: a first scale of -1"),
        "scale_escape": (scaled(0, 64), C, 35, "7.6: no scale of -63"),
        "scale_0": (scaled(63, 64), C, 35, "7.6: no scale of 0 but by 127"),
        "scale_64": (scaled(126, 65), C, 35, "7.6: a scale of 64"),
        "tap_wide": (model(draw.Segment().head([1, 1], weights=(*draw.WEIGHTS, 0, 0), taps=[0, 65]), (2, 2, 2)), C, 35, "7.6: a tap four octaves wider and more"),
        # 7.7 low rank
        "rank_small": (low_rank(shape=(7, 16)), C, 35, "7.7: low rank of seven rows"),
        "rank_narrow": (model(ranked(1, (7, 20)), (20, 7)), C, 35, "7.7: low rank of seven rows, transposed"),
        "rank_folded": (model(draw.Segment().head([1] * 9, rank=1), (8 * 512 + 1,)), C, 35, "7.7: low rank with a row that is not whole"),
        "rank_zeros": (low_rank(scales=[0] * 12), C, 35, "7.7: low rank of zeros"),
        "rank_rows": (low_rank(13), C, 35, "7.7: more components than rows"),
        "rank_columns": (low_rank(17, (20, 16)), C, 35, "7.7: more components than columns"),
        "rank_128": (low_rank(128, (128, 128)), C, 35, "7.7: 128 components"),
        "inner_rank_0": (split(0), C, 35, "7.7: an inner pair of no components"),
        "inner_rank_lanes": (split(5, (12, 4, 5), taps=5), C, 35, "7.7: more inner components than lanes"),
        "inner_rank_rows": (split(3, (12, 8, 2), taps=2), C, 35, "7.7: more inner components than components and taps"),
        "inner_shift": (split(1, shift=0), C, 35, "7.7: shift 0 of an inner pair"),
        "inner_factor_up": (split(1, up=14, a=2), C, 35, "7.7: |a| 2^up above 32,767 in an inner pair"),
        "shift_0": (low_rank(shift=0), C, 35, "7.7: shift 0"),
        "shift_31": (low_rank(shift=31), C, 35, "7.7: shift 31"),
        "up_15": (low_rank(up=[15]), C, 35, "7.7: up 15"),
        "factor_up": (low_rank(up=[14], a=2), C, 35, "7.7: |a| 2^up above 32,767"),
        "factor_large": (factor(number=2 * 32768 + 2), C, 35, "7.7: a factor above 32,767"),
        "factor_long": (factor(number=2 * 16384 + 2, rows=8, turn=1), C, 35, "7.7: a turned column of energy 2^28 and more"),
        "factor_fraction": (factor(0x3f000000), C, 35, "7.7: a factor of 0.5"),
        "factor_nan": (factor(0x7fc00000), C, 35, "7.7: a factor of NaN"),
    }
