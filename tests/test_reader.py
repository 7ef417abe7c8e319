"""gradsz.open: tensors one by one, from files and buffers, and nothing more in memory than they need."""
import mmap
import threading
from collections.abc import Mapping

import numpy as np
import oracle
import pytest
from test_guarantee_12_memory import in_a_process

import gradsz
from gradsz import ParameterError

RNG = np.random.default_rng(0)
MODEL = {"a.weight": RNG.normal(size=(40, 50)).astype("f4"), "a.bias": RNG.normal(size=40).astype("f4"), "b.weight": RNG.normal(size=(60, 50)),
         "b.bias": RNG.normal(size=60), "steps": np.int64(7), "empty": np.zeros((0, 3), "f2")}
MESSAGE = gradsz.compress_tensors(MODEL, 1e-2)
WHOLE = gradsz.decompress_tensors(MESSAGE)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "model.gsz"
    file.write_bytes(MESSAGE)
    return file


def mapped(path):
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


SOURCES = {"path": lambda path: path, "str": str, "bytes": lambda path: MESSAGE, "bytearray": lambda path: bytearray(MESSAGE),
           "array": lambda path: np.frombuffer(MESSAGE, np.uint8), "mmap": mapped}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_each_tensor_alone_is_that_of_the_whole_message(source, path):
    with gradsz.open(source(path), nthreads=2, max_output=sum(a.nbytes for a in WHOLE.values())) as reader:
        assert isinstance(reader, Mapping) and list(reader) == list(MODEL) and len(reader) == len(MODEL)
        for name in reversed(WHOLE):
            assert oracle.same_bits(reader[name], WHOLE[name]) and name in reader
        assert [name for name, a in reader.items() if oracle.same_bits(a, WHOLE[name])] == list(MODEL)
        assert list(reader.read(["steps", "a.bias"])) == ["a.bias", "steps"] and list(reader.read()) == list(MODEL)
        assert reader.info == gradsz.info(MESSAGE)


def test_names_that_are_not_there():
    with gradsz.open(MESSAGE) as reader:
        assert "c" not in reader and reader.get("c") is None
        with pytest.raises(KeyError):
            reader["c"]
        with pytest.raises(ParameterError, match="no tensor named 'c'"):
            reader.read(["c", "steps"])
        with pytest.raises(ParameterError, match="write"):
            reader.read("steps")


def test_one_array_has_the_name_of_nothing():
    reader = gradsz.open(gradsz.compress(np.arange(4), 0))
    assert list(reader) == [""] and reader[""].tolist() == [0, 1, 2, 3]


def test_after_close_nothing_can_be_read_and_the_file_is_free(path):
    with gradsz.open(path) as reader:
        a = reader["a.weight"]
    reader.close()
    for use in (lambda: reader["steps"], lambda: reader.read(), lambda: reader.info):
        with pytest.raises(ParameterError, match="closed"):
            use()
    assert oracle.same_bits(a, WHOLE["a.weight"]) and "closed" in repr(reader)
    path.unlink()


def test_looking_decodes_nothing(path):
    damaged = bytearray(MESSAGE)
    damaged[len(MESSAGE) - 300:] = bytes(300)
    reader = gradsz.open(damaged)
    assert "a.weight" in reader and len(reader.info.tensors) == 6 and reader != gradsz.open(damaged) and "6 tensors" in repr(reader)
    with pytest.raises(gradsz.CorruptError):
        reader.read()


@pytest.mark.parametrize("content, error", [(b"", gradsz.TruncatedError), (b"GSZ", gradsz.TruncatedError), (b"PK\3\4", gradsz.CorruptError),
                                            (MESSAGE[:-1], gradsz.TruncatedError), (MESSAGE + b"\0", gradsz.CorruptError)])
def test_files_that_are_no_message(content, error, tmp_path):
    file = tmp_path / "bad.gsz"
    file.write_bytes(content)
    for source in (file, content):
        with pytest.raises(error):
            gradsz.open(source)
    file.unlink()                           # not held by anything


def test_other_mistakes(tmp_path):
    with pytest.raises(FileNotFoundError):
        gradsz.open(tmp_path / "none.gsz")
    with pytest.raises(gradsz.LimitError):
        gradsz.open(MESSAGE, max_output=100)
    with pytest.raises(ParameterError):
        gradsz.open(5)


def test_several_threads_read_at_once(path):
    bad = []
    with gradsz.open(path) as reader:
        def work(names):
            bad.extend(name for _ in range(20) for name in names if not oracle.same_bits(reader[name], WHOLE[name]))

        threads = [threading.Thread(target=work, args=(list(MODEL)[i:],)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not bad


def test_one_tensor_of_a_large_file_takes_the_memory_of_that_tensor(tmp_path):
    """Guarantee 12: 40 layers of 4 MB under 32 MiB."""
    rng = np.random.default_rng(1)
    layer = rng.normal(size=(1024, 1024)).astype("f4")
    path = tmp_path / "large.gsz"
    path.write_bytes(gradsz.compress_tensors({f"layers.{i}": layer for i in range(40)} | {"bias": layer[0]}, 1e-4, level="fast"))
    in_a_process(f"""
        with gradsz.open({str(path)!r}) as reader:
            allow(32 << 20)
            for name in ("layers.39", "bias", "layers.0"):
                assert reader[name].size >= 1024
    """)
