"""Golden messages (tests/golden/make.py): what they decode to never changes, and what is wrong with them is always found."""
import json
import re
from pathlib import Path

import numpy as np
import pytest

import gradsz
from gradsz import _arrays, _core, _prior, _reference, errors
from gradsz.tensors import decode_tensors

ROOT = Path(__file__).parent.parent
GOLDEN = Path(__file__).parent / "golden"
GOOD, BAD = ({path.relative_to(GOLDEN).as_posix(): row
              for folder in sorted(GOLDEN.glob(f"v*/{part}"))
              for path, row in ((folder / name, row) for name, row in json.loads((folder / "index.json").read_text()).items())}
             for part in ("good", "bad"))


def core(message: bytes, max_output=None, nthreads=1, reference=None, past=()) -> dict[str, np.ndarray]:
    return decode_tensors(_core.Message(message, nthreads, max_output or 0), None, False, reference, past)


DECODERS = {"core": core, "reference": _reference.decode}


def message_of(name: str) -> bytes:
    return (GOLDEN / f"{name}.gsz").read_bytes()


def arrays_of(name: str, prefix: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return {key: stored[file].astype(stored[file].dtype.newbyteorder("=")).view(dtype_of(dtype)).reshape(shape)
                for i, (key, dtype, shape) in enumerate(GOOD[name]["tensors"]) if (file := f"{prefix}{i}") in stored.files}


def known_of(name: str) -> dict:
    """What both ends have, as decoders take it."""
    rounds = (arrays_of(name, f"p{k}_") for k in range(2))
    return dict(reference=arrays_of(name, "r"), past=[earlier for earlier in rounds if earlier])


def dtype_of(name: str) -> np.dtype:
    import ml_dtypes
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def check_same(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for key, x in expected.items():
        assert (got[key].dtype, got[key].shape) == (x.dtype, x.shape)
        assert got[key].tobytes() == x.tobytes()


# ---- good

@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", GOOD)
def test_values(name, decoder):
    check_same(DECODERS[decoder](message_of(name), **known_of(name)), arrays_of(name, "t"))


@pytest.mark.parametrize("name", GOOD)
def test_values_from_portable_kernels_and_threads(name, cpu_mask):
    cpu_mask(0)
    check_same(core(message_of(name), nthreads=3, **known_of(name)), arrays_of(name, "t"))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", [name for name in GOOD if "/prior_" in name or "/stream_next" in name])
def test_what_both_ends_have_is_needed(name, decoder):
    """Section 3.7: all of it, and to the last bit."""
    with pytest.raises(errors.StateMismatchError):
        DECODERS[decoder](message_of(name))
    known = known_of(name)
    for arrays in (known["reference"], *known["past"]):
        for x in arrays.values():
            x.view(f"u{x.itemsize}").flat[-1] ^= 1
            with pytest.raises(errors.StateMismatchError):
                DECODERS[decoder](message_of(name), **known)
            x.view(f"u{x.itemsize}").flat[-1] ^= 1


@pytest.mark.parametrize("name", GOOD)
def test_every_prefix_is_truncated(name):
    """Section 8."""
    message = message_of(name)
    for n in range(len(message)):
        with pytest.raises(errors.TruncatedError) as caught:
            _core.Message(message[:n])
        assert caught.value.code == 20


@pytest.mark.parametrize("name", list(GOOD)[::8])
def test_every_prefix_is_truncated_for_the_reference(name):
    message = message_of(name)
    for n in range(0, len(message), 1 + len(message) // 400):
        with pytest.raises(errors.TruncatedError):
            _reference.decode(message[:n])


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", GOOD)
def test_trailing_byte(name, decoder):
    with pytest.raises(errors.CorruptError) as caught:
        DECODERS[decoder](message_of(name) + b"\0")
    assert type(caught.value) is errors.CorruptError


@pytest.mark.parametrize("name", GOOD)
def test_every_flipped_bit_is_found(name):
    """Section 8: the checksums cover everything that the other checks do not."""
    message = bytearray(message_of(name))
    opened = _core.Message(bytes(message))
    priors = [_prior.of_entry(opened.entry(i), **known_of(name)) for i in range(len(opened))]
    missed = [bit for bit in range(8 * len(message)) if not is_found(message, bit, priors if any(priors) else None)]
    assert missed == []


def is_found(message: bytearray, bit: int, priors: list | None) -> bool:
    message[bit // 8] ^= 1 << bit % 8
    try:
        opened = _core.Message(message)
        opened.decode_into([bytearray(opened.entry(i)[3]) for i in range(len(opened))], priors)
    except (errors.CorruptError, errors.UnsupportedError):
        return True
    finally:
        message[bit // 8] ^= 1 << bit % 8
    return False


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", GOOD)
def test_output_limit(name, decoder):
    """Section 8: the sum of all tensors is limited, exactly."""
    message = message_of(name)
    size = gradsz.info(message).raw_nbytes
    if size > 0:
        assert DECODERS[decoder](message, max_output=size, **known_of(name))
    if size > 1:
        with pytest.raises(errors.LimitError):
            DECODERS[decoder](message, max_output=size - 1, **known_of(name))


def test_golden_files_cover_the_format(monkeypatch):
    """Every codec, dtype, mode, predictor, header bit, transform, plane kind, kind of code, view, table and feature occurs."""
    seen = set()

    def watch(name, what):
        function = getattr(_reference, name)

        def watched(*args, **options):
            result = function(*args, **options)
            seen.update(what(args, result))
            return result
        monkeypatch.setattr(_reference, name, watched)

    watch("read_entry", lambda args, e: [("codec", e.codec), ("dtype", e.dtype), ("predictor", e.dtype, e.predictor),
                                         ("dimensions", len(e.shape)), ("name", e.name != "")])
    watch("decode_symbols", lambda args, r: [("all zero" if args[0] == b"\x80" else "header", args[0][0]), ("escapes", r[1])])
    watch("decode_exact", lambda args, r: [("transform", args[0][0], args[2])])
    watch("decode_plane", lambda args, r: [("plane",)])
    watch("read_code", lambda args, r: [("lone", next(iter(r.values())) >= _reference.VALUE) if len(r) == 1 else ("longest", max(r)[0])])
    watch("decode_stream", lambda args, r: [("empty stream", args[1] == 0)])
    watch("read_context", lambda args, f: [("table", sum(n > 0 for n in f) > 1, 0 < f[0] < 2048)])
    watch("slots_of_level", lambda args, r: [("level", args[0] % 6)])
    watch("read_context", lambda args, f: [("binary", [i for i in range(128) if f[i]] == [64, 65])])
    watch("read_head", lambda args, m: [("view", m.dtype, m.view.matrix, m.grid), ("unit bits", m.unit_bits), ("dead", 0 in m.scales),
                                        ("low rank", m.base is not None, m.view.matrix), ("transposed", m.view.strides[0] == 1),
                                        ("folded", m.view.elements % m.view.row_length > 0), ("side", m.view.side)])
    watch("read_pair", lambda args, r: [("inner pair", len(args) == 6)])
    watch("turned", lambda args, a: [("turned",)])
    watch("read_weights", lambda args, r: [("taps", args[1].set is _reference.FACTORS, bool(args[1].taps))])
    watch("read_basis", lambda args, r: [("row basis",)])
    watch("read_weights", lambda args, r: [("weights", args[1].set is _reference.FACTORS, args[1].view.matrix, *sorted(args[1].means))])
    watch("decode_step", lambda args, r: [("raw", bool(args[5].any())), ("escape", args[1].dtype, len(r[1]) > 0)])
    watch("random_contexts", lambda args, r: [("random", bool(context >= 15)) for context in r])
    watch("shrunk", lambda args, r: [("shrunk", bool(h >= 20)) for h in args[1]])
    watch("decode_segments", lambda args, r: [("states", s[0]) for s in args[0].segments] + [("parts", len(p)) for p in args[0].table.segments]
          + [("continued", p[0].first > 0) for p in args[0].table.segments])
    watch("read_stream", lambda args, s: [("stream", s.key, s.history)])
    watch("read_head", lambda args, m: [("referenced", m.dtype, m.grid, m.prior.reference is not None),
                                        ("rounds", m.dtype, len(m.prior.past))] if m.prior else [])
    for name in GOOD:
        _reference.decode(message_of(name), **known_of(name))
        seen.update(("mode", t.mode) for t in gradsz.info(message_of(name)).tensors)

    expected = {("codec", c) for c in range(6)} | {("dtype", d) for d in _reference.DTYPES} | {("dimensions", d) for d in (0, 1, 2, 32)}
    expected |= {("predictor", d, p) for d in range(4) for p in (0, 1)} | {("predictor", 2, 2), ("predictor", 2, 3)}
    expected |= {("mode", m) for m in ("abs", "rel", "rms", "l2", "psnr", None)} | {("name", True), ("name", False)}
    expected |= {("all zero", 0x80), ("escapes", True), ("escapes", False), ("plane",), ("empty stream", True)}
    expected |= {("lone", True), ("lone", False), ("longest", 1), ("longest", 12)}
    expected |= {("transform", t, 4) for t in range(5)} | {("transform", 1, n) for n in (1, 2, 4, 8)} | {("transform", 2, 8)}
    expected |= {("view", d, m, g) for d in range(4) for m, g in ((True, 0), (True, 1), (False, 1), (True, 2), (False, 3))}
    expected |= {(what, wide) for what in ("random", "shrunk") for wide in (True, False)}
    expected |= {("unit bits", f) for f in (0, 4, 12)} | {("dead", True), ("dead", False), ("transposed", True), ("folded", True)}
    expected |= {("low rank", True, m) for m in (True, False)} | {("inner pair", True), ("inner pair", False)} | {("side", n) for n in (0, 3, 5, 6)} | {("continued", True)}
    expected |= {("table", True, True), ("table", True, False), ("table", False, False)} | {("level", n) for n in range(6)} | {("binary", True)}
    expected |= {("weights", f, True, "neighbours") for f in (True, False)} | {("weights", True, False)}
    expected |= {("weights", False, False, "earlier taps", "previous tap", *last) for last in ((), ("tap above",))}
    expected |= {("raw", True), ("raw", False)} | {("escape", d, e) for d in range(4) for e in (True, False)}
    expected |= {("states", n) for n in range(6)} | {("parts", 1), ("parts", 4)}
    expected |= {("stream", key, 2) for key in (True, False)} | {("referenced", d, g, True) for d in range(4) for g in range(4)}
    expected |= {("row basis",), ("turned",), ("taps", False, True), ("taps", True, True)} | {("rounds", d, n) for d in range(4) for n in (0, 1, 2)}
    assert expected - seen == set()
    headers = {key[1] for key in seen if key[0] == "header"}
    assert {header & 3 for header in headers} == set(range(4))          # one or four streams, one or two codes
    assert {header & 12 for header in headers} == {0, 4, 8, 12}         # low bits, far classes


# ---- bad

@pytest.mark.parametrize("name", BAD)
def test_bad_message_is_rejected(name):
    expected = getattr(errors, BAD[name]["error"])
    for decoder in DECODERS.values():
        with pytest.raises(errors.GradszError) as caught:
            decoder(message_of(name))
        assert type(caught.value) is expected
        if decoder is core:
            assert caught.value.code == BAD[name]["code"]


@pytest.mark.parametrize("name", BAD)
def test_bad_message_is_rejected_by_portable_kernels(name, cpu_mask):
    cpu_mask(0)
    with pytest.raises(errors.GradszError) as caught:
        gradsz.decompress_tensors(message_of(name), nthreads=2)
    assert caught.value.code == BAD[name]["code"]


def test_every_status_of_a_decoder_is_drawn():
    """61, the limit that the caller gives, is test_output_limit."""
    table = re.findall(r"^\| .* \| (\d+) \| (corrupt|unsupported|truncated|limit|state) \|$", document(), re.MULTILINE)
    families = {"corrupt": "CorruptError", "unsupported": "UnsupportedError", "truncated": "TruncatedError", "limit": "LimitError",
                "state": "StateMismatchError"}
    listed = {int(code): families[family] for code, family in table}
    assert listed.pop(61) == "LimitError"
    assert {row["code"]: row["error"] for row in BAD.values()} == listed
    assert all(errors._kind(code).__name__ == family for code, family in listed.items())


# ---- the example of docs/format.md

def document() -> str:
    return (ROOT / "docs" / "format.md").read_text(encoding="utf-8")


def example() -> tuple[np.ndarray, bytes, str, str]:
    """Array, message, and the rows of bytes and of bits of section 9."""
    python, rows, bits = re.findall(r"```\w*\n(.*?)```", document().split("\n## 9. ")[1], re.DOTALL)
    scope: dict = {}
    exec(python, scope)
    return scope["x"], bytes.fromhex("".join(re.findall(r"^ *\d+  ((?:[0-9a-f]{2}\b ?)+)", rows, re.MULTILINE))), rows, bits


def test_example_is_what_the_encoder_writes():
    x, message, *_ = example()
    assert gradsz.compress(x, 0.25, predictor="none") == message


@pytest.mark.parametrize("decoder", DECODERS)
def test_example_decodes(decoder):
    x, message, *_ = example()
    y = DECODERS[decoder](message)[""]
    finite = np.isfinite(x)
    assert y.dtype == x.dtype and y.shape == x.shape
    assert (np.abs(x - y)[finite] <= 0.25).all() and y[~finite].tobytes() == x[~finite].tobytes()
    assert y.ravel()[25] == 0.5


def test_example_offsets_and_bits():
    """Offsets count up; the rows of bits, put together, are the bytes of the table and of the stream."""
    _, message, rows, text = example()
    at = 0
    for offset, row in re.findall(r"^ *(\d+)  ((?:[0-9a-f]{2}\b ?)+)", rows, re.MULTILINE):
        assert int(offset) == at
        at += len(row.split())
    bits = "".join(re.findall(r"^([01 ]+)  \S", text, re.MULTILINE)).replace(" ", "")
    data = bytes(int(bits[i:i + 8][::-1], 2) for i in range(0, len(bits), 8))
    assert len(bits) % 8 == 0 and data in message and message.endswith(data + message[-4:])


def test_dtype_codes_match_the_document():
    """Section 3.1."""
    section = document().split("### 3.1")[1].split("###")[0]
    codes = {name: (int(code), int(size)) for name, code, size in re.findall(r"\| (\w+) \| (\d+) \| (\d+) (?=\|)", section)}
    assert codes == {name: (code, size) for code, (name, size) in _reference.DTYPES.items()}
    assert {code: name for name, (code, _) in codes.items()} == _arrays._NAMES
