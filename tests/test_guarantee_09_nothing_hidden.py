"""Guarantee 9, nothing hidden: inputs are never written, threads do not disturb each other, no state is left behind."""
import ctypes
import ctypes.util
import mmap
import pickle
import platform
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FLOATS, KINDS, LEVELS, MODES, cases, examples, ids, sample

import gradsz
from gradsz import _core

FLOAT32 = np.dtype("float32")
every_level = pytest.mark.parametrize("level", LEVELS)


class TestInputsAreNeverWritten:
    @pytest.mark.parametrize("dtype", FLOATS, ids=ids(FLOATS))
    @every_level
    @examples(40)
    @given(data=st.data())
    def test_the_array_is_untouched(self, dtype, level, data):
        case = data.draw(cases(dtype))
        before = case.array.tobytes()
        message = gradsz.compress(case.array, case.bound, **case.options, level=level)
        gradsz.verify(case.array, gradsz.decompress(message), case.bound, case.mode)
        assert case.array.tobytes() == before

    def test_the_message_is_untouched(self):
        message = bytearray(gradsz.compress(sample(FLOAT32, "normal", 5000, np.random.default_rng(0)), 1e-2))
        before = bytes(message)
        gradsz.decompress(message), gradsz.info(message), gradsz.decompress_tensors(message)
        assert message == before

    def test_pages_that_cannot_be_written_are_read(self, tmp_path):
        """A write would kill the process."""
        a = sample(FLOAT32, "normal", 50_000, np.random.default_rng(1))
        for name, data in (("array", a.tobytes()), ("message", gradsz.compress(a, 1e-2))):
            (tmp_path / name).write_bytes(data)
        with open(tmp_path / "array", "rb") as f, open(tmp_path / "message", "rb") as g:
            with mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as array, mmap.mmap(g.fileno(), 0, prot=mmap.PROT_READ) as message:
                view = np.frombuffer(array, np.float32)
                assert gradsz.compress(view, 1e-2) == message[:]
                assert gradsz.verify(view, gradsz.decompress(message), 1e-2)
                del view

    def test_names_and_mapping_are_untouched(self):
        update = {"b": np.arange(5), "a": np.zeros(2000, "f4")}
        copy = {k: v.copy() for k, v in update.items()}
        gradsz.decompress_tensors(gradsz.compress_tensors(update, 1e-2), names=(names := ["a"]))
        assert list(update) == list(copy) and names == ["a"]
        assert all(oracle.same_bits(update[k], copy[k]) for k in update)

    def test_no_buffer_is_held_on_to(self):
        """A bytearray can be resized again once the call is over."""
        message = bytearray(gradsz.compress(np.arange(100.0), 1e-2))
        array = bytearray(800)
        gradsz.compress(array, 0), gradsz.info(message), gradsz.decompress(message), gradsz.decompress_tensors(message)
        message.extend(b"x"), array.extend(b"x")
        with pytest.raises(gradsz.CorruptError):
            gradsz.decompress(message)
        message.extend(b"x")

    def test_results_own_their_memory(self):
        message = bytearray(gradsz.compress(np.arange(100), 0))
        raw = bytearray(gradsz.compress(np.arange(3.0), 0))
        a, b = gradsz.decompress(message), gradsz.decompress(raw)
        message[:], raw[:] = bytes(len(message)), bytes(len(raw))
        assert (a == np.arange(100)).all() and (b == np.arange(3.0)).all()
        assert a.flags.writeable and a.flags.owndata


class TestThreads:
    def hammer(self, work, workers=16, rounds=12):
        """`work(i)` from many threads at once, all let loose together."""
        barrier = threading.Barrier(workers)

        def run(i):
            barrier.wait()
            for j in range(rounds):
                work(i * rounds + j)

        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(run, i) for i in range(workers)]:
                future.result()

    def test_many_threads_compress_the_same_arrays(self):
        rng = np.random.default_rng(3)
        jobs = [(sample(FLOAT32, kind, 30_000, rng), mode, level) for kind in KINDS for mode in MODES[:3] for level in LEVELS]
        expected = [gradsz.compress(a, 1e-2, mode=mode, level=level) for a, mode, level in jobs]

        def work(i):
            a, mode, level = jobs[i % len(jobs)]
            assert gradsz.compress(a, 1e-2, mode=mode, level=level, nthreads=1 + i % 3) == expected[i % len(jobs)]

        self.hammer(work)

    @every_level
    def test_many_threads_decode_from_one_shared_message_object(self, level):
        rng = np.random.default_rng(4)
        update = {f"{kind}{n}": sample(FLOAT32, kind, n, rng) for kind in KINDS for n in (0, 100, 5000, 300_000)}
        data = gradsz.compress_tensors(update, 1e-2, level=level)
        expected = list(gradsz.decompress_tensors(data).values())
        message = _core.Message(data, 2)

        def work(i):
            index = i % len(expected)
            out = np.empty_like(expected[index])
            outs = [None] * len(expected)
            outs[index] = out.reshape(-1).view(np.uint8)
            message.decode_into(outs)
            assert message.entry(index)[2] == out.shape
            assert oracle.same_bits(out, expected[index])

        self.hammer(work)

    @every_level
    def test_good_and_damaged_messages_side_by_side(self, level):
        a = sample(FLOAT32, "normal", 40_000, np.random.default_rng(5))
        good = gradsz.compress(a, 1e-2, level=level)
        expected = gradsz.decompress(good)
        bad = good[:-1] + bytes([good[-1] ^ 1])

        def work(i):
            if i % 2:
                with pytest.raises(gradsz.CorruptError):
                    gradsz.decompress(bad)
            else:
                assert oracle.same_bits(gradsz.decompress(good), expected)

        self.hammer(work)

    @every_level
    def test_a_buffer_that_another_thread_scribbles_on_gives_values_or_an_error(self, level):
        """Nobody should do this; still nothing may crash."""
        good = gradsz.compress(sample(FLOAT32, "normal", 20_000, np.random.default_rng(6)), 1e-2, level=level)
        shared = bytearray(good)
        view, stop = np.frombuffer(shared, np.uint8), threading.Event()

        def scribble():
            rng = np.random.default_rng(7)
            while not stop.is_set():
                view[rng.integers(0, view.size, 8)] = rng.integers(0, 256, 8)
                view[:] = np.frombuffer(good, np.uint8)

        def work(i):
            try:
                gradsz.decompress(shared, max_output=10**6)
            except (gradsz.GradszError, UnicodeDecodeError):
                pass

        thread = threading.Thread(target=scribble)
        thread.start()
        try:
            self.hammer(work, workers=4, rounds=40)
        finally:
            stop.set()
            thread.join()
        assert gradsz.decompress(good).size == 20_000

    @pytest.mark.parametrize("direction", ["compress", "decompress"])
    def test_the_gil_is_released_while_the_core_works(self, direction):
        """With switching by the clock turned off, another thread runs only if this one lets go of the GIL."""
        a = sample(FLOAT32, "normal", 100_000, np.random.default_rng(8))
        message = gradsz.compress(a, 1e-3)
        calls, most, began, stop = 0, 3000, threading.Event(), threading.Event()

        def other():
            began.wait()
            stop.set()

        thread = threading.Thread(target=other)
        interval = sys.getswitchinterval()
        thread.start()
        sys.setswitchinterval(1e6)
        try:
            began.set()
            while calls < most and not stop.is_set():
                gradsz.compress(a, 1e-3) if direction == "compress" else gradsz.decompress(message)
                calls += 1
        finally:
            sys.setswitchinterval(interval)
            thread.join()
        assert calls < most


class TestNothingIsLeftBehind:
    def test_errors_leave_nothing_behind(self):
        a = sample(FLOAT32, "normal", 5000, np.random.default_rng(9))
        message = gradsz.compress(a, 1e-2)
        for bad in (message[:50], message[:-1], b"", b"junk", message + b"\0"):
            with pytest.raises(gradsz.GradszError):
                gradsz.decompress(bad)
            assert gradsz.compress(a, 1e-2) == message

    @every_level
    def test_numpy_settings_and_warnings_are_left_alone(self, level):
        before = np.geterr()
        a = np.array([1e308, -1e308, np.nan, np.inf, 5e-324] * 200)
        for mode in MODES:
            b = gradsz.decompress(gradsz.compress(a, 1e-3, mode=mode, level=level))
            with np.errstate(all="raise"):
                assert gradsz.compress(a, 1e-3, mode=mode, level=level)
            gradsz.verify(a, b, 1e-3, mode)
        assert np.geterr() == before

    @pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="knows x86-64 Linux's rounding modes only")
    @pytest.mark.parametrize("rounding", [0x400, 0x800, 0xC00], ids=["down", "up", "towards zero"])
    @every_level
    def test_the_callers_rounding_mode_is_neither_used_nor_changed(self, rounding, level):
        libm = ctypes.CDLL(ctypes.util.find_library("m"))
        a = sample(np.dtype("float64"), "normal", 3000, np.random.default_rng(10)).reshape(50, 60)
        expected = {mode: gradsz.compress(a, 1e-3, mode=mode, level=level) for mode in MODES}
        values = {mode: gradsz.decompress(expected[mode]) for mode in MODES}
        for mode in MODES:
            libm.fesetround(rounding)
            try:
                message = gradsz.compress(a, 1e-3, mode=mode, level=level)
                decoded = gradsz.decompress(expected[mode])
                after = libm.fegetround()
            finally:
                libm.fesetround(0)
            assert message == expected[mode] and oracle.same_bits(decoded, values[mode]) and after == rounding

    @pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="knows x86-64 Linux's flush-to-zero bits only")
    def test_flush_to_zero_of_the_caller_is_neither_used_nor_changed(self):
        libm = ctypes.CDLL(ctypes.util.find_library("m"))
        a = np.resize(np.arange(40, dtype=np.uint64).view(np.float64), 3000).copy()
        before, after = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32)
        expected = gradsz.compress(a, 1e-323)
        values = gradsz.decompress(expected)
        libm.fegetenv(before)
        settings = int.from_bytes(before.raw[28:], "little") | 0x8040       # MXCSR: FTZ is bit 15, DAZ bit 6
        flushing = ctypes.create_string_buffer(before.raw[:28] + settings.to_bytes(4, "little"), 32)
        libm.fesetenv(flushing)
        try:
            message, decoded = gradsz.compress(a, 1e-323), gradsz.decompress(expected)
            libm.fegetenv(after)
        finally:
            libm.fesetenv(before)
        assert message == expected and oracle.same_bits(decoded, values)
        assert int.from_bytes(after.raw[28:], "little") & 0x8040 == 0x8040

    def test_exceptions_survive_pickling(self):
        with pytest.raises(gradsz.TruncatedError) as caught:
            gradsz.decompress(b"GSZ")
        again = pickle.loads(pickle.dumps(caught.value))
        assert type(again) is gradsz.TruncatedError and again.code == caught.value.code and str(again) == str(caught.value)
