"""The command line: formats, streams, exit codes, and never a partial file."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
import gradsz  # noqa: E402
from gradsz import cli, files  # noqa: E402

OK, VIOLATED, USAGE, BAD_INPUT, IO_ERROR = range(5)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def values(shape=(40, 50), dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def named():
    """Tensors of several dtypes and shapes, in an order that is not alphabetical."""
    return {
        "z.weight": values((64, 32)),
        "a.half": values((30, 50), np.float16, 1),
        "small": values(100, seed=2),
        "step": np.array(7, np.int64),
        "mask": np.array([True, False, True]),
        "empty": np.zeros((0, 3), np.float32),
    }


def run(*arguments, code=OK):
    """Run a command in this process and check its exit code."""
    assert cli.main([str(argument) for argument in arguments]) == code


def shell(*arguments, stdin=b"", code=OK):
    """Run a command as a process with binary streams; its standard output."""
    done = subprocess.run([sys.executable, "-m", "gradsz", *arguments], input=stdin, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout


def error(capsys):
    """The one line on standard error."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("gradsz: "), lines
    return lines[0]


def check_named(before, after):
    """Order, dtypes and shapes as before; large floating tensors within 1e-3 of their range, the rest exact."""
    assert list(after) == list(before)
    for name, a in before.items():
        b = after[name]
        assert (b.dtype, b.shape) == (a.dtype, a.shape)
        if a.dtype.kind == "f" and a.size > 1024:
            assert 0 < np.abs(a.astype(float) - b.astype(float)).max() <= 1e-3 * np.ptp(a.astype(float))
        else:
            assert a.tobytes() == b.tobytes()


# --- formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4", "int16", "bool"])
def test_npy(folder, dtype):
    a = (values() * 3).astype(dtype)
    np.save("w.npy", a)
    run("compress", "w.npy", "--bound", "1e-3", "--mode", "rel")
    run("decompress", "w.npy.gsz", "-o", "back.npy")
    b = np.load("back.npy")
    assert (b.dtype.name, b.shape) == (a.dtype.name, a.shape)
    if a.dtype.kind == "f":
        assert os.path.getsize("w.npy.gsz") < a.nbytes
        assert np.abs(a.astype(float) - b.astype(float)).max() <= 1e-3 * np.ptp(a.astype(float))
    else:
        assert (a == b).all()


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (7,), (2, 3, 4, 5)])
def test_npy_shapes_and_orders(folder, shape):
    a = np.asarray(values(shape), order="F")
    np.save("w.npy", a)
    run("compress", "w.npy", "--bound", "0", "-q")
    run("decompress", "w.npy.gsz", "-f", "-q")
    b = np.load("w.npy")
    assert b.shape == a.shape and (a == b).all()


def test_npz(folder):
    np.savez("w.npz", **named())
    run("compress", "w.npz", "--bound", "1e-3")
    run("decompress", "w.npz.gsz", "-o", "back.npz")
    with np.load("back.npz") as after:
        check_named(named(), dict(after))


def test_npz_compressed_and_empty(folder):
    np.savez_compressed("c.npz", **named())
    np.savez("e.npz")
    for name in ("c.npz", "e.npz"):
        run("compress", name, "--bound", "0")
        run("decompress", name + ".gsz", "-o", "back.npz", "-f")
        with np.load("back.npz") as after, np.load(name) as before:
            assert list(after) == list(before)
            assert all((after[key] == before[key]).all() for key in before)


def test_safetensors(folder):
    with open("w.safetensors", "wb") as file:
        files.write(file, named(), "safetensors")
    run("compress", "w.safetensors", "--bound", "1e-3")
    run("decompress", "w.safetensors.gsz", "-o", "back.safetensors")
    check_named(named(), files.read(files.read_bytes("back.safetensors"), "safetensors"))


def test_safetensors_agrees_with_the_reference(folder, capsys):
    reference = pytest.importorskip("safetensors.numpy")
    reference.save_file(named(), "w.safetensors", metadata={"made": "here"})
    run("compress", "w.safetensors", "--bound", "0")
    assert "__metadata__ of the safetensors file is not kept" in capsys.readouterr().err
    run("decompress", "w.safetensors.gsz", "-o", "back.safetensors")
    after = reference.load_file("back.safetensors")
    assert after.keys() == named().keys()
    assert all((after[name] == a).all() and after[name].dtype == a.dtype for name, a in named().items())


def test_raw(folder):
    a = values((20, 100))
    a.tofile("w.bin")
    run("compress", "w.bin", "--dtype", "float32", "--shape", "20,100", "--bound", "1e-3")
    run("decompress", "w.bin.gsz", "-o", "back.raw")
    run("decompress", "w.bin.gsz", "-o", "back.npy")
    b = np.fromfile("back.raw", np.float32).reshape(a.shape)
    assert 0 < np.abs(a - b).max() <= 1e-3 * np.ptp(a)
    assert (np.load("back.npy") == b).all()


def test_bfloat16(folder, capsys):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    a = values((60, 50)).astype(ml_dtypes.bfloat16)
    a.tofile("w.raw")
    run("compress", "w.raw", "--dtype", "bfloat16", "--bound", "0")
    run("decompress", "w.raw.gsz", "-o", "w.safetensors")
    run("compress", "w.safetensors", "--bound", "1e-2", "-q")
    run("decompress", "w.safetensors.gsz", "-o", "back.raw", "-q")
    b = np.fromfile("back.raw", ml_dtypes.bfloat16).reshape(a.shape).astype(float)
    assert 0 < np.abs(a.astype(float) - b).max() <= 1e-2 * np.ptp(a.astype(float))
    run("verify", "w.safetensors", "w.safetensors.gsz")
    capsys.readouterr()
    run("decompress", "w.raw.gsz", "-o", "back.npy", code=USAGE)
    assert "bfloat16" in error(capsys)
    np.save("void.npy", a)
    run("compress", "void.npy", "--bound", "0", code=BAD_INPUT)
    assert "safetensors or raw" in error(capsys)


def test_bfloat16_without_its_package(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    (folder / "w.raw").write_bytes(bytes(8))
    run("compress", "w.raw", "--dtype", "bfloat16", "--bound", "0", code=BAD_INPUT)
    assert "pip install ml_dtypes" in error(capsys)


def test_formats_convert(folder):
    np.save("w.npy", values())
    run("compress", "w.npy", "--bound", "0")
    for suffix in ("npz", "safetensors"):
        run("decompress", "w.npy.gsz", "-o", f"w.{suffix}")
        after = files.read(files.read_bytes(f"w.{suffix}"), suffix)
        assert list(after) == [files.UNNAMED] and (after[files.UNNAMED] == values()).all()
        run("verify", "w.npy", f"w.{suffix}", "--bound", "0")


def test_choose_names(folder, capsys):
    np.savez("w.npz", **named())
    run("compress", "w.npz", "--bound", "0")
    run("decompress", "w.npz.gsz", "--name", "small", "-o", "small.npy")
    assert (np.load("small.npy") == named()["small"]).all()
    capsys.readouterr()
    run("decompress", "w.npz.gsz", "-o", "all.npy", code=USAGE)
    assert "--name" in error(capsys)
    run("decompress", "w.npz.gsz", "--name", "nobody", "-o", "all.npy", code=USAGE)
    assert "nobody" in error(capsys)
    assert not os.path.exists("all.npy")


def test_lossy_all(folder):
    np.savez("w.npz", **named())
    run("compress", "w.npz", "--bound", "1e-2", "--lossy-all", "-o", "all.gsz")
    codecs = {tensor.name: tensor.codec for tensor in gradsz.info((folder / "all.gsz").read_bytes()).tensors}
    assert codecs["small"] in ("uniform", "model") and codecs["step"] not in ("uniform", "model")


# --- streams and output -------------------------------------------------------------------------------


def test_standard_streams():
    buffer = io.BytesIO()
    np.save(buffer, values())
    message = shell("compress", "-", "--format", "npy", "--bound", "1e-3", stdin=buffer.getvalue())
    assert message == gradsz.compress(values(), 1e-3, mode="rel")
    assert "40" in shell("info", "-", stdin=message).decode()
    for format in files.FORMATS:
        out = shell("decompress", "-", "--format", format, stdin=message)
        (b,) = files.read(out, format, dtype="float32", shape=(40, 50)).values()
        assert (b == gradsz.decompress(message)).all()


def test_standard_streams_need_a_format(capsys):
    run("compress", "-", "--bound", "1", code=USAGE)
    assert "--format" in error(capsys)


def test_overwrites_only_when_told(folder, capsys):
    np.save("w.npy", values())
    (folder / "w.npy.gsz").write_text("precious")
    run("compress", "w.npy", "--bound", "1e-3", code=USAGE)
    assert "-f" in error(capsys)
    assert (folder / "w.npy.gsz").read_text() == "precious"
    run("compress", "w.npy", "--bound", "1e-3", "-f")
    run("decompress", "w.npy.gsz", code=USAGE)
    run("decompress", "w.npy.gsz", "-f")


def test_report_is_on_standard_error_unless_quiet(folder, capsys):
    np.save("w.npy", values())
    run("compress", "w.npy", "--bound", "1e-3")
    captured = capsys.readouterr()
    assert captured.out == "" and "8.0 kB raw" in captured.err and "ratio" in captured.err and "MB/s" in captured.err
    run("decompress", "w.npy.gsz", "-f", "-q")
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions(folder):
    np.save("w.npy", values())
    old = os.umask(0o027)
    try:
        run("compress", "w.npy", "--bound", "1e-3")
        assert os.stat("w.npy.gsz").st_mode & 0o777 == 0o640
        os.chmod("w.npy.gsz", 0o600)
        run("compress", "w.npy", "--bound", "1e-3", "-f")  # as private as the file it replaces
        assert os.stat("w.npy.gsz").st_mode & 0o777 == 0o600
    finally:
        os.umask(old)


@pytest.mark.skipif(os.name != "posix", reason="POSIX links and devices")
def test_links_and_devices(folder):
    np.save("w.npy", values())
    (folder / "link.gsz").symlink_to("target.gsz")
    run("compress", "w.npy", "--bound", "1e-3", "-o", "link.gsz")
    assert os.path.islink("link.gsz") and os.path.isfile("target.gsz")
    run("compress", "w.npy", "--bound", "1e-3", "-o", os.devnull)
    assert not os.path.isfile(os.devnull)
    run("compress", "w.npy", "--bound", "1e-3", "-o", ".", code=IO_ERROR)


# --- no partial file ----------------------------------------------------------------------------------


@pytest.fixture
def only_inputs(folder):
    """A folder that must hold the same files, unchanged, at the end of the test."""
    np.save("w.npy", values())
    run("compress", "w.npy", "--bound", "1e-3")
    message = (folder / "w.npy.gsz").read_bytes()
    (folder / "cut.npy.gsz").write_bytes(message[:-5])
    flipped = bytearray(message)
    flipped[len(message) // 2] ^= 1
    (folder / "flipped.npy.gsz").write_bytes(flipped)
    (folder / "old.npy").write_text("precious")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    yield folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("target", ["new.npy", "old.npy"])
@pytest.mark.parametrize("source", ["cut.npy.gsz", "flipped.npy.gsz", "w.npy"])
def test_corrupt_input(only_inputs, capsys, source, target):
    capsys.readouterr()
    run("decompress", source, "-f", "-o", target, code=BAD_INPUT)
    error(capsys)


@pytest.mark.parametrize("target", ["new.npy", "old.npy"])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_full_disk(only_inputs, monkeypatch, capsys, failing, target):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, failing, full)
    capsys.readouterr()
    run("decompress", "w.npy.gsz", "-f", "-o", target, code=IO_ERROR)
    assert "No space" in error(capsys)


@pytest.mark.parametrize(
    "raised, code", [(KeyboardInterrupt(), 130), (MemoryError(), IO_ERROR), (OSError("half way"), IO_ERROR)]
)
def test_failure_half_way(only_inputs, monkeypatch, raised, code):
    def fail(file, tensors, format):
        file.write(b"half")
        file.flush()
        raise raised

    monkeypatch.setattr(files, "write", fail)
    run("decompress", "w.npy.gsz", "-f", "-o", "new.npy", code=code)


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_terminated(only_inputs):
    process = subprocess.Popen(
        [sys.executable, "-m", "gradsz", "compress", "-", "--format", "npy", "--bound", "1", "-o", "new.gsz"],
        stdin=subprocess.PIPE,
    )
    while not list(only_inputs.glob(".gradsz-*.part")):  # it has begun, and waits for its input
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    process.stdin.close()


def test_appears_only_at_the_end(folder):
    with pytest.raises(KeyboardInterrupt), files.new_file("new") as file:
        file.write(b"some")
        assert not os.path.exists("new")
        raise KeyboardInterrupt
    assert os.listdir() == []


def test_refuses_a_file_that_appeared_meanwhile(folder):
    with pytest.raises(gradsz.ParameterError), files.new_file("new") as file:
        file.write(b"some")
        (folder / "new").write_text("precious")
    assert (folder / "new").read_text() == "precious" and os.listdir() == ["new"]


# --- bad input ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "w.npy"],  # no bound
        ["compress", "w.npy", "--bound", "-1"],
        ["compress", "w.npy", "--bound", "nan"],
        ["compress", "w.npy", "--bound", "inf"],
        ["compress", "w.npy", "--bound", "x"],
        ["compress", "w.npy", "--bound", "1", "--mode", "nearly"],
        ["compress", "w.npy", "--bound", "1", "--level", "nearly"],
        ["compress", "w.npy", "--bound", "1", "--predictor", "crystal"],
        ["compress", "w.npy", "--bound", "1", "--threads", "0"],
        ["compress", "w.npy", "--bound", "1", "--dtype", "float32"],
        ["compress", "w.npz", "--bound", "1", "--predictor", "none"],
        ["compress", "w.raw", "--bound", "1"],
        ["compress", "w.raw", "--bound", "1", "--dtype", "complex64"],
        ["compress", "w.raw", "--bound", "1", "--dtype", "float32", "--shape", "2,x"],
        ["compress", "w.raw", "--bound", "1", "--dtype", "float32", "--shape", "-1"],
        ["compress", "w.unknown", "--bound", "1"],
        ["decompress", "w.npy"],
        ["decompress", "w.unknown.gsz"],
        ["verify", "w.npy", "w.npy"],  # neither holds a bound
        ["info"],
        ["nothing"],
        [],
    ],
)
def test_usage(folder, capsys, arguments):
    np.save("w.npy", values())
    np.savez("w.npz", **named())
    (folder / "w.raw").write_bytes(bytes(12))
    (folder / "w.unknown").write_bytes(bytes(12))
    before = sorted(os.listdir())
    run(*arguments, code=USAGE)
    captured = capsys.readouterr()
    assert captured.err and not captured.out
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("command", [["compress", "--bound", "1"], ["decompress", "-o", "new.npy"], ["info"]])
def test_missing_input(folder, capsys, command):
    run(*command, "none.npy", code=IO_ERROR)
    assert "none.npy: No such file" in error(capsys)
    assert os.listdir() == []


def npy_header(text):
    text = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


BAD_NPY = {
    "empty": b"",
    "not npy": b"hello, this is text",
    "cut in the header": npy_header("{'descr': '<f4'")[:30],
    "not a dict": npy_header("[1, 2]"),
    "no Python": npy_header("{'descr': '<f4', 'fortran"),
    "version": b"\x93NUMPY\x09\x00",
    "huge": npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62},)}}"),
    "negative": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}") + bytes(4),
    "cut": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}") + bytes(8),
    "too long": npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}") + bytes(16),
    "huge beside zero": npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (0, {2**70})}}"),
    "structured": npy_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}") + bytes(4),
    "text": npy_header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,)}") + bytes(4),
    "no width": npy_header("{'descr': '<U0', 'fortran_order': False, 'shape': (1,)}"),
    "complex": npy_header("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}") + bytes(8),
}


@pytest.mark.parametrize("data", BAD_NPY.values(), ids=BAD_NPY.keys())
def test_bad_npy(folder, capsys, data):
    (folder / "w.npy").write_bytes(data)
    run("compress", "w.npy", "--bound", "1", code=BAD_INPUT)
    error(capsys)
    with zipfile.ZipFile("w.npz", "w") as archive:
        archive.writestr("w.npy", data)
    run("compress", "w.npz", "--bound", "1", code=BAD_INPUT)
    error(capsys)
    assert sorted(os.listdir()) == ["w.npy", "w.npz"]


def test_objects_are_refused(folder, capsys):
    """Unpickling could run code of the file's author."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, ("exploded",)

    np.save("w.npy", np.array([Bomb()], object), allow_pickle=True)
    np.savez("w.npz", w=np.array([Bomb()], object))
    for name in ("w.npy", "w.npz"):
        run("compress", name, "--bound", "1", code=BAD_INPUT)
        assert "object" in error(capsys)
    assert sorted(os.listdir()) == ["w.npy", "w.npz"]


def test_bad_npz(folder, capsys):
    np.savez("good.npz", **named())
    good = (folder / "good.npz").read_bytes()
    flipped = bytearray(good)
    flipped[500] ^= 1  # in the data of the first member
    for data in (b"", b"PK", good[:-10], good[: len(good) // 2], bytes(flipped)):
        (folder / "w.npz").write_bytes(data)
        run("compress", "w.npz", "--bound", "1", code=BAD_INPUT)
        error(capsys)
    with zipfile.ZipFile("w.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    run("compress", "w.npz", "--bound", "1", code=BAD_INPUT)
    assert "notes.txt" in error(capsys)


def safetensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(begin, end, shape=(1,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


BAD_SAFETENSORS = {
    "empty": b"",
    "short length": bytes(7),
    "header beyond the end": (2**63).to_bytes(8, "little") + b"{}",
    "not JSON": safetensors(b"hello"),
    "not UTF-8": safetensors(b'{"\xff": 1}'),
    "a list": safetensors([]),
    "nested": safetensors(b"[" * 100_000),
    "long number": safetensors(b'{"a": ' + b"9" * 10_000 + b"}"),
    "repeated name": safetensors(b'{"a": 1, "a": 2}'),
    "repeated key": safetensors(b'{"a": {"dtype": "F32", "dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'),
    "entry is a number": safetensors({"a": 1}),
    "no dtype": safetensors({"a": {"shape": [0], "data_offsets": [0, 0]}}),
    "unknown dtype": safetensors({"a": entry(0, 4, dtype="F8_E4M3")}, bytes(4)),
    "dtype is a list": safetensors({"a": entry(0, 4, dtype=["F32"])}, bytes(4)),
    "shape is a number": safetensors({"a": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, bytes(4)),
    "negative shape": safetensors({"a": entry(0, 4, (-1, -1))}, bytes(4)),
    "fractional shape": safetensors({"a": entry(0, 4, (1.0,))}, bytes(4)),
    "boolean shape": safetensors({"a": entry(0, 4, (True,))}, bytes(4)),
    "huge shape": safetensors({"a": entry(0, 4, (2**40, 2**40))}, bytes(4)),
    "huge beside zero": safetensors({"a": entry(0, 0, (0, 2**62, 2**62))}),
    "too many dimensions": safetensors({"a": entry(0, 4, (1,) * 100)}, bytes(4)),
    "three offsets": safetensors({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, bytes(4)),
    "offsets reversed": safetensors({"a": entry(4, 0)}, bytes(4)),
    "negative offset": safetensors({"a": entry(-4, 0)}, bytes(4)),
    "offsets too narrow": safetensors({"a": entry(0, 2)}, bytes(2)),
    "beyond the end": safetensors({"a": entry(0, 8, (2,))}, bytes(4)),
    "overlap": safetensors({"a": entry(0, 8, (2,)), "b": entry(4, 12, (2,))}, bytes(12)),
    "same bytes twice": safetensors({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4)),
    "gap": safetensors({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)),
    "data not described": safetensors({"a": entry(0, 4)}, bytes(8)),
    "lone surrogate": safetensors(b'{"\\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'),
}


@pytest.mark.parametrize("data", BAD_SAFETENSORS.values(), ids=BAD_SAFETENSORS.keys())
def test_bad_safetensors(folder, capsys, data):
    (folder / "w.safetensors").write_bytes(data)
    run("compress", "w.safetensors", "--bound", "1", code=BAD_INPUT)
    assert len(error(capsys)) < 400
    assert os.listdir() == ["w.safetensors"]


def test_misaligned_safetensors():
    header = {"a": entry(0, 3, (3,), "U8"), "b": entry(3, 11, (2,))}
    data = np.arange(3, dtype=np.uint8).tobytes() + np.array([1.5, 2.5], np.float32).tobytes()
    tensors = files.read(safetensors(header, data), "safetensors")
    assert tensors["b"].flags.aligned and list(tensors["b"]) == [1.5, 2.5]


def test_names_that_a_format_cannot_hold():
    for format, name in (("npz", "a\0b"), ("safetensors", "__metadata__")):
        with pytest.raises(gradsz.ParameterError):
            files.write(io.BytesIO(), {name: values()}, format)


@pytest.mark.parametrize("size, shape", [(12, (4,)), (12, (2,)), (10, None)])
def test_bad_raw(folder, capsys, size, shape):
    (folder / "w.raw").write_bytes(bytes(size))
    shape = ["--shape", ",".join(map(str, shape))] if shape else []
    run("compress", "w.raw", "--bound", "1", "--dtype", "float32", *shape, code=BAD_INPUT)
    error(capsys)


def test_max_output(folder, capsys):
    np.save("w.npy", values())
    run("compress", "w.npy", "--bound", "1e-3", "-q")
    run("decompress", "w.npy.gsz", "-o", "back.npy", "--max-output", "7999", code=BAD_INPUT)
    error(capsys)
    run("decompress", "w.npy.gsz", "-o", "back.npy", "--max-output", "8000")


# --- info, verify, the rest -------------------------------------------------------------------------


def test_quantised_messages(folder, capsys):
    """The command line writes none, but reads and shows them; verify has no bound to check."""
    np.savez("w.npz", **named())
    with open("w.npz.gsz", "wb") as file:
        file.write(gradsz.compress_tensors(named(), gradsz.M22(2)))
    run("info", "w.npz.gsz", "--json")
    (shown,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [(t["mode"], t["eb"]) for t in shown["tensors"][:3]] == [("m22", None), ("m22", None), (None, 0.0)]
    run("info", "w.npz.gsz")
    assert "none (m22)" in capsys.readouterr().out
    run("verify", "w.npz", "w.npz.gsz")
    run("verify", "w.npz", "w.npz.gsz", "--bound", "1e-6", "-q", code=1)


def test_info(folder, capsys):
    np.savez("w.npz", **named())
    np.save("w.npy", values())
    run("compress", "w.npz", "--bound", "1e-3", "-q")
    run("compress", "w.npy", "--bound", "1e-3", "-q")
    run("info", "w.npz.gsz", "w.npy.gsz")
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("w.npz.gsz", "w.npy.gsz", *named()))
    run("info", "w.npz.gsz", "w.npy.gsz", "--json")
    first, second = json.loads(capsys.readouterr().out)
    assert first["file"] == "w.npz.gsz" and first["nbytes"] == os.path.getsize("w.npz.gsz")
    assert [tensor["name"] for tensor in first["tensors"]] == list(named())
    assert [tensor["shape"] for tensor in first["tensors"]] == [list(a.shape) for a in named().values()]
    assert first["tensors"][0]["codec"] in ("uniform", "model")
    (only,) = second["tensors"]
    assert only["name"] is None and only["mode"] == "rel"
    assert only["eb"] == pytest.approx(1e-3 * np.ptp(values()), rel=2**-12)


@pytest.mark.parametrize("data", [b"", b"GSZ", b"nothing of ours"])
def test_info_of_something_else(folder, capsys, data):
    (folder / "w.gsz").write_bytes(data)
    run("info", "w.gsz", code=BAD_INPUT)
    error(capsys)


@pytest.mark.parametrize("mode, bound", [("abs", 1e-3), ("rel", 1e-3), ("rms", 1e-2), ("l2", 1e-2), ("psnr", 60)])
def test_verify(folder, capsys, mode, bound):
    np.savez("w.npz", **named())
    run("compress", "w.npz", "--bound", bound, "--mode", mode, "-q")
    run("decompress", "w.npz.gsz", "-o", "back.npz", "-q")
    capsys.readouterr()
    run("verify", "w.npz", "w.npz.gsz")
    shown = capsys.readouterr().out
    assert all(name in shown for name in named())
    run("verify", "w.npz", "w.npz.gsz", "--bound", bound, "--mode", mode)
    run("verify", "w.npz", "back.npz", "--bound", bound, "--mode", mode)
    tighter = bound * 2 if mode == "psnr" else bound / 4
    run("verify", "w.npz", "back.npz", "--bound", tighter, "--mode", mode, code=VIOLATED)
    run("verify", "w.npz", "w.npz.gsz", "--bound", tighter, "--mode", mode, code=VIOLATED)


def test_verify_of_a_single_array(folder, capsys):
    np.save("w.npy", values())
    other = values()
    other[3, 3] += 1
    np.save("other.npy", other)
    run("compress", "w.npy", "--bound", "1e-3", "-q")
    run("verify", "w.npy", "w.npy.gsz")
    run("verify", "other.npy", "w.npy.gsz", code=VIOLATED)
    run("verify", "other.npy", "w.npy", "--bound", "1.001", "--mode", "abs")
    capsys.readouterr()
    run("verify", "other.npy", "w.npy", "--bound", "0.5", "--mode", "abs", "-q", code=VIOLATED)
    assert capsys.readouterr() == ("", "")


def test_verify_of_different_tensors(folder, capsys):
    np.savez("w.npz", **named())
    changed = named()
    del changed["step"]
    changed["mask"] = np.zeros(4, bool)
    np.savez("other.npz", extra=values(), **changed)
    run("verify", "w.npz", "other.npz", "--bound", "1", code=VIOLATED)
    shown = capsys.readouterr().out
    assert "only in the first file" in shown and "only in the second file" in shown and "became" in shown


def test_verify_of_integers_is_exact(folder):
    np.save("w.npy", np.arange(100))
    np.save("other.npy", np.arange(100) + (np.arange(100) == 50))
    run("verify", "w.npy", "other.npy", "--bound", "1", "--mode", "rel", code=VIOLATED)


def test_help_and_version(capsys):
    run("--version")
    assert capsys.readouterr().out == f"gradsz {gradsz.__version__}\n"
    run("--help")
    assert "Exit codes" in capsys.readouterr().out
    for command in ("compress", "decompress", "info", "verify"):
        run(command, "--help")
        assert "Usage:" in capsys.readouterr().out


def test_demo_is_a_command():
    pytest.importorskip("sklearn")
    assert b"1 rounds at rel 0.05" in shell("demo", "--rounds", "1", "--clients", "2", "--bound", "0.05")
    assert b"--rounds" in shell("demo", "--help")
    shell("demo", "--rounds", "0", code=USAGE)


@pytest.mark.parametrize("package", ["click", "rich"])
def test_says_what_is_missing(package):
    code = f"import sys; sys.modules[{package!r}] = None; from gradsz.cli import main; sys.exit(main(['info', 'x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == USAGE
    assert done.stderr == f'gradsz: the command line needs {package}: pip install "gradsz[cli]"\n'


@pytest.mark.skipif(os.name != "posix", reason="POSIX pipes")
def test_reader_that_goes_away(folder):
    np.savez("w.npz", **{f"layer {i}": values(3) for i in range(5000)})
    run("compress", "w.npz", "--bound", "0", "-q")
    process = subprocess.Popen(
        [sys.executable, "-m", "gradsz", "info", "--json", "w.npz.gsz"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == IO_ERROR
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="POSIX terminals")
def test_binary_to_a_terminal_is_refused(folder):
    np.save("w.npy", values())
    terminal, end = os.openpty()
    try:
        command = [sys.executable, "-m", "gradsz", "compress", "w.npy", "--bound", "1", "-o", "-"]
        done = subprocess.run(command, stdout=end, stderr=subprocess.PIPE)
        assert done.returncode == USAGE and b"terminal" in done.stderr
    finally:
        os.close(terminal)
        os.close(end)
