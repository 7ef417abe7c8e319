"""Golden messages that must be rejected: one flaw each, behind right checksums."""
from __future__ import annotations

import math

import draw


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
    int8 = lambda shape: draw.raw(draw.INT8, shape, bytes(math.prod(shape)))    # noqa: E731
    bound = lambda eb: plain(draw.chunk(ok), eb=eb)                             # noqa: E731
    zeros = b"\x80"
    one_plane = lambda payload, n=2: draw.message(draw.exact(draw.INT8, [n], payload))      # noqa: E731

    def name(data: bytes) -> bytes:
        return draw.named(draw.constant(draw.INT8, [], b"\1", name=data))

    return {
        # 2. message
        "magic": (b"GZS" + whole[3:], C, 10, "2: magic"),
        "magic_short": (b"GX", C, 10, "7: the first bytes are not those of the magic"),
        "version": (draw.header(scalar, version=1), U, 11, "2: version"),
        "version_255": (draw.header(scalar, version=255), U, 11, "2: version"),
        "flags": (draw.header(scalar, flags=2), U, 12, "2: reserved flags"),
        "nothing": (b"", T, 20, "7: no bytes"),
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
        "count_huge": (draw.header(draw.varint(2**63) + b"\1a" + scalar, flags=1),
            C, 32, "3: fewer entries than counted"),
        "count_small": (draw.named(draw.constant(draw.INT8, [], b"\1", name=b"a"),
                                   draw.constant(draw.INT8, [], b"\1", name=b"b"), count=1), C, 32, "3: more entries than counted"),
        # 3.1 entry
        "name_long": (name(b"x" * 1024), C, 32, "3.1: a name of 1,024 bytes"),
        "name_beyond": (draw.header(b"\1\5ab", flags=1), C, 32, "3.1: a name beyond the table"),
        "name_overlong": (name(b"\xc0\x80"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_overlong3": (name(b"\xe0\x9f\xbf"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_overlong4": (name(b"\xf0\x8f\xbf\xbf"), C, 32, "3.1: UTF-8, not the shortest form"),
        "name_surrogate": (name(b"\xed\xa0\x80"), C, 32, "3.1: UTF-8, a surrogate"),
        "name_beyond_unicode": (name(b"\xf4\x90\x80\x80"), C, 32, "3.1: UTF-8, above U+10FFFF"),
        "name_stray": (name(b"a\x80"), C, 32, "3.1: UTF-8, a stray byte"),
        "name_cut": (name("é".encode()[:1]), C, 32, "3.1: UTF-8, cut off"),
        "name_twice": (draw.named(*[draw.constant(draw.INT8, [], b"\1", name=n) for n in (b"b", b"a", b"b")]),
            C, 32, "3.1: a name twice"),
        "dtype": (draw.message(draw.constant(4, [], b"\0")), U, 12, "3.1: reserved dtype"),
        "dtype_17": (draw.message(draw.constant(17, [], b"\0")), U, 12, "3.1: reserved dtype"),
        "dimensions": (draw.message(int8([1] * 33)), C, 32, "3.1: 33 dimensions"),
        "shape_long": (draw.header(bytes([draw.INT8, 1]) + b"\x81\0" + b"\1\0"),
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
        "codec": (draw.message((draw.entry(draw.INT8, [1], 5), None)), U, 12, "3.2: reserved codec"),
        "codec_empty": (draw.message((draw.entry(draw.INT8, [1], draw.EMPTY), None)),
            C, 32, "3.2: empty, with elements"),
        "codec_raw_empty": (draw.message(int8([0])), C, 32, "3.2: raw, without elements"),
        "constant_short": (draw.message(draw.constant(draw.INT16, [3], b"\0")), C, 32, "3.2: half a constant"),
        "raw_length": (draw.message(draw.raw(draw.INT16, [3], b"12345")), C, 32, "3.2: raw section length"),
        "section_length": (draw.header(draw.entry(draw.INT8, [3], draw.EXACT, draw.varint(2**62 + 1))),
            C, 32, "2: section length above 2^62"),
        "section_length_long": (draw.header(draw.entry(draw.INT8, [3], draw.RAW, b"\x83\0")) + draw.sealed(b"123"),
            C, 32, "1.2: not the shortest form"),
        "mode": (plain(draw.chunk(ok), mode=5), U, 12, "3.2: reserved mode"),
        "grid": (plain(draw.chunk(ok), grid=1), U, 12, "3.2: reserved grid"),
        "predictor": (plain(draw.chunk(ok), predictor=4), U, 12, "3.2: reserved predictor"),
        "coder": (plain(draw.chunk(ok), coder=1), U, 12, "3.2: reserved coder"),
        "uniform_integer": (draw.message(draw.uniform(draw.INT32, [4], draw.chunk(ok))),
            C, 32, "3.2: uniform of integers"),
        "eb_zero": (bound(0.0), C, 32, "3.2: bound 0"),
        "eb_negative": (bound(-0.5), C, 32, "3.2: bound below 0"),
        "eb_nan": (bound(math.nan), C, 32, "3.2: bound NaN"),
        "eb_infinite": (bound(math.inf), C, 32, "3.2: bound infinite"),
        "eb_step": (bound(2.0**-151), C, 32, "5.1: a step of 0"),
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
    }
