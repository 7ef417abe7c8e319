"""Guarantee 12, memory: what a message claims is refused before it is allocated; nothing leaks."""
import gc
import os
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import wire
from strategies import sample

import gradsz


def constant(n: int) -> bytes:
    """A message of 20-odd bytes that decodes to n float64 zeros."""
    return wire.frame(wire.start(3, wire.CONSTANT, [n]) + bytes(8))


CLAIMS = [10**6, 2**30, 2**40, 2**50, 2**58]


def test_the_claims_are_valid_messages():
    assert (gradsz.decompress(constant(1000)) == np.zeros(1000)).all()
    assert gradsz.info(constant(2**58)).raw_nbytes == 2**61      # reading the header allocates nothing


@pytest.mark.parametrize("n", CLAIMS)
def test_max_output_refuses_before_allocating(n):
    message = constant(n)
    tracemalloc.start()
    try:
        for call in (gradsz.decompress, gradsz.decompress_tensors):
            with pytest.raises(gradsz.LimitError, match="max_output|limit"):
                call(message, max_output=8 * n - 1)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_max_output_is_the_exact_number_of_bytes_allowed():
    message = gradsz.compress(np.zeros(1000), 0)
    assert gradsz.decompress(message, max_output=8000).nbytes == 8000
    with pytest.raises(gradsz.LimitError):
        gradsz.decompress(message, max_output=7999)


def test_max_output_counts_all_tensors_of_the_message():
    message = gradsz.compress_tensors({"a": np.zeros(10, "f4"), "b": np.zeros(10, "f8"), "e": np.zeros(0)}, 0)
    assert gradsz.decompress_tensors(message, max_output=120)
    for names in (None, ["a"]):
        with pytest.raises(gradsz.LimitError):
            gradsz.decompress_tensors(message, names=names, max_output=119)


def test_without_max_output_what_no_machine_holds_is_a_limit_error():
    with pytest.raises(gradsz.LimitError, match="max_output"):
        gradsz.decompress(constant(2**58))


PRELUDE = textwrap.dedent("""
    import resource, sys
    import numpy as np
    import gradsz, wire
    def used(kind):
        return int(open("/proc/self/statm").read().split()[("address space", "resident").index(kind)]) * resource.getpagesize()
    def allow(more):
        resource.setrlimit(resource.RLIMIT_AS, (used("address space") + more, resource.RLIM_INFINITY))
""")


def in_a_process(code: str) -> None:
    """Run code that limits its own address space."""
    if sys.platform != "linux":
        pytest.skip("address space is limited and measured on Linux only")
    done = subprocess.run([sys.executable, "-c", PRELUDE + textwrap.dedent(code)], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": ":".join(p for p in sys.path if p)})
    assert done.returncode == 0, done.stderr


def test_hostile_claims_under_a_tight_limit_of_memory():
    """Sections and tables that promise much and hold little: refused with 32 MiB to spare."""
    in_a_process("""
        allow(32 << 20)
        for n in (2**20, 2**28, 2**40, 2**60):
            bound = bytes([1 << 5, 0x3f, 0xf0])
            uniform = wire.start(2, wire.UNIFORM, [n]) + bound + b"\\0"
            exact = wire.start(2, wire.EXACT, [n])
            models = [wire.start(2, wire.MODEL, shape) + bound + bytes(11) for shape in ([n], [64, n // 64], [n // 64, 4, 4, 4])]
            gathered = wire.start(2, wire.GATHERED, [n])
            for table in (uniform, exact, gathered, *models):
                for section in (b"\\0\\x80", b"\\1" * 40, bytes(300), b"\\xff" * 300):
                    message = wire.frame(table + wire.varint(len(section)), [section])
                    try:
                        gradsz.decompress(message, max_output=1 << 20)
                    except gradsz.GradszError:
                        continue
            for body in (wire.varint(n) + bytes(40), bytes([1, 0, 0]) + wire.varint(n) + bytes(40)):
                try:
                    gradsz.info(wire.frame(body, flags=1))
                except gradsz.GradszError:
                    continue
                sys.exit("accepted")
    """)


def test_packed_entries_under_a_tight_limit_of_memory():
    """A small message of long names: what they take is in proportion to at most 131,072 bytes of entries."""
    in_a_process("""
        message = gradsz.compress_tensors({"x" * 250 + str(i) + "y" * 250: np.int8(1) for i in range(12000)}, 0)
        assert message[4] == 3 and len(message) < 20_000
        allow(48 << 20)
        assert gradsz.info(message).raw_nbytes == 12000
        for claim in (2**17, 2**17 + 1, 2**40):
            try:
                gradsz.info(wire.frame(wire.varint(claim) + wire.varint(len(message)) + message, flags=3))
            except gradsz.CorruptError:
                continue
            sys.exit("accepted")
    """)


def test_running_out_of_memory_is_an_error_not_a_crash():
    in_a_process("""
        a = np.random.default_rng(0).normal(size=4_000_000)
        message = gradsz.compress(a, 1e-2)
        outcomes = set()
        for more in (1 << 20, 4 << 20, 16 << 20, 40 << 20):
            for call in (lambda: gradsz.compress(a, 1e-6), lambda: gradsz.compress(a, 1e-6, level="fast"), lambda: gradsz.decompress(message),
                         lambda: gradsz.compress(a, 0, nthreads=4)):
                allow(more)
                try:
                    call()
                    outcomes.add("done")
                except (gradsz.LimitError, MemoryError) as error:
                    outcomes.add(type(error).__name__)
        assert "LimitError" in outcomes, outcomes
        allow(1 << 30)
        assert gradsz.verify(a, gradsz.decompress(message), 1e-2)
    """)


@pytest.mark.parametrize("level, bound", [("fast", 1e-2), ("balanced", 1e-2), ("balanced", 1e-5), ("balanced", 0)])
def test_a_model_of_25_million_parameters_takes_two_and_a_half_times_its_size(level, bound, tmp_path):
    """200 tensors: the model itself and its message to compress it, likewise to decompress it; resident memory at its peak."""
    path = tmp_path / "model.gsz"
    measure = """
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        gradsz.decompress_tensors(gradsz.compress_tensors({"a": np.arange(5000.0)}, 1e-2))
        before = peak()
    """
    in_a_process(measure + f"""
        rng, model = np.random.default_rng(0), {{}}
        for i in range(100):
            model[f"layers.{{i}}.weight"] = rng.standard_normal(dtype="f4", size=(500, 499))
            model[f"layers.{{i}}.bias"] = rng.standard_normal(dtype="f4", size=500)
        message = gradsz.compress_tensors(model, {bound}, level="{level}")
        assert peak() - before <= 2.5 * 100_000_000, peak() - before
        open({str(path)!r}, "wb").write(message)
    """)
    in_a_process(measure + f"""
        model = gradsz.decompress_tensors(open({str(path)!r}, "rb").read())
        assert sum(a.nbytes for a in model.values()) == 100_000_000
        assert peak() - before <= 2 * 100_000_000, peak() - before
    """)


def test_nothing_leaks_from_calls_that_succeed_or_fail():
    in_a_process("""
        a = np.random.default_rng(0).normal(size=200_000).astype("f4")
        good = gradsz.compress(a, 1e-3)
        def once():
            gradsz.compress(a, 1e-3), gradsz.compress(a, 1e-3, level="fast"), gradsz.compress(a, 0)
            gradsz.decompress(good), gradsz.info(good)
            gradsz.decompress_tensors(gradsz.compress_tensors({"a": a, "b": a[:5]}, 1e-3, nthreads=2))
            for bad in (good[:-1], good[:1000], good[:-1] + b"!", b"GSZ"):
                try:
                    gradsz.decompress(bad)
                except gradsz.GradszError:
                    pass
        for _ in range(5):
            once()
        before = used("resident")
        for _ in range(60):
            once()
        assert used("resident") - before < 8 << 20, used("resident") - before
    """)


def test_python_objects_do_not_leak():
    a = sample(np.dtype("float32"), "normal", 2000, np.random.default_rng(1))
    message = gradsz.compress(a, 1e-2)

    def once():
        gradsz.decompress(message), gradsz.info(message)
        gradsz.compress(a, 1e-2)
        with pytest.raises(gradsz.CorruptError):
            gradsz.decompress(message[:-3])

    once()
    gc.collect()
    references, objects = sys.getrefcount(message), len(gc.get_objects())
    for _ in range(200):
        once()
    gc.collect()
    assert sys.getrefcount(message) == references and len(gc.get_objects()) - objects < 100
