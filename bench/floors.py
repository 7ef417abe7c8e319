"""How near memory speed gradsz gets: large arrays beside memory copy, by size, and the peak of memory.

    python bench/floors.py [--out bench/results] [--n 11000000] [--threads 1,2]

Writes floors.md. Nanoseconds an element are wall time, median over turns; floors and calls take turns.
"""
import argparse
import math
import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
import timing
import traces
from report import number, table

import gradsz
import numpy as np

MIB = 1 << 20

# ---- arrays ----------------------------------------------------------------------------------


def gradient(n, dtype=np.float32):
    """Rows of heavy-tailed values (Student t, 4 degrees of freedom), each row with a scale of its own."""
    rng = np.random.default_rng(0)
    columns = min(n, 1024)
    rows = n // columns
    scales = rng.lognormal(0, 1, (rows, 1)).astype(np.float32)
    return (rng.standard_t(4, (rows, columns)).astype(np.float32) * scales).astype(dtype)


def sparse(n):
    """One value in a hundred is not zero."""
    rng = np.random.default_rng(1)
    x = np.zeros(n, np.float32)
    kept = rng.choice(n, n // 100, replace=False)
    x[kept] = rng.standard_normal(kept.size)
    return x


def smooth(n):
    """A smooth float64 field of two dimensions with a little noise."""
    side = math.isqrt(n)
    t = np.linspace(0, 12, side)
    noise = np.random.default_rng(2).standard_normal((side, side))
    return np.sin(t)[:, None] * np.cos(1.7 * t)[None, :] + np.sin(t[:, None] + t[None, :]) + 1e-4 * noise


def counter(n):
    return np.arange(n, dtype=np.int64)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable              # n -> array
    bound: str                  # rel<k>, rms<k>, or "exact"

    def build(self, n):
        x = self.make(n)
        return x, 0.0 if self.bound == "exact" else traces.absolute_bound(x, self.bound)


CASES = (
    Case("gradient f32", gradient, "rms0.1"),
    Case("gradient f32", gradient, "rms1"),
    Case("sparse f32", sparse, "rel1e-2"),
    Case("smooth 2-D f64", smooth, "rel1e-4"),
    Case("counter i64", counter, "exact"),
    Case("gradient f16", partial(gradient, dtype=np.float16), "rms0.1"),
)
SIZE_BOUND = "rms0.1"

# ---- time ------------------------------------------------------------------------------------


def entries_of(x, eb, threads, number_of_calls):
    """A stream, and {what: Entry} of copies and of each way to call gradsz."""
    stream = gradsz.compress(x, eb, level="fast")
    target, out = np.zeros_like(x), np.zeros_like(x)
    compress = partial(gradsz.compress, x, eb, level="fast")
    decompress = partial(gradsz.decompress, stream)
    make = partial(timing.Entry, number=number_of_calls)
    entries = {"copy": make([partial(np.copyto, target, x)]),
               "fresh copy": make([x.copy]),
               "into out=": make([partial(decompress, out=out)]),
               "portable": make([compress, decompress], peers.portable_kernels)}
    for t in threads:
        entries[t] = make([partial(compress, nthreads=t), partial(decompress, nthreads=t)])
    return stream, entries


def timed(x, eb, threads, reps, number_of_calls=1):
    """Bytes of the stream, and {what: nanoseconds an element of each of its calls}."""
    stream, entries = entries_of(x, eb, threads, number_of_calls)
    timing.interleave(entries.values(), reps)
    ns = {what: [clock.median / x.size for clock in entry.clocks] for what, entry in entries.items()}
    return len(stream), ns


def speed_table(n, threads, reps):
    rows = []
    for case in CASES:
        x, eb = case.build(n)
        written, ns = timed(x, eb, threads, reps)
        rows.append([case.name, case.bound, number(8 * written / x.size),
                     *[number(value) for what in ("copy", "fresh copy") for value in ns[what]],
                     *[number(ns[what][way]) for way in (0, 1) for what in (*threads, "portable")],
                     number(ns["into out="][0]),
                     *[number(ns[1][way] / ns["copy"][0]) for way in (0, 1)]])
        print(f"{case.name} {case.bound}: done", file=sys.stderr, flush=True)
    plural = [f"{t} thread{'s' * (t > 1)}" for t in threads]
    return table(["array", "bound", "bits/value", "copy", "fresh copy",
                  *[f"{way} {what}" for way in ("in", "out") for what in (*plural, "portable")],
                  "out into out=", "in / copy", "out / copy"], rows)


def size_table(reps, largest):
    rows = []
    for n in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        if n > largest:
            break
        x = gradient(n)
        eb = traces.absolute_bound(x, SIZE_BOUND)
        with timing.quiet():
            _, ns = timed(x, eb, (1,), reps, number_of_calls=max(1, 200_000 // n))
        rows.append([f"{x.size:,}", *[number(v) for v in (*ns["copy"], *ns["fresh copy"], *ns[1], *ns["portable"])],
                     *[number(v * x.size / 1e3) for v in ns[1]]])
    return table(["values", "copy", "fresh copy", "in", "out", "in portable", "out portable",
                  "in, us a call", "out, us a call"], rows)


# ---- memory ----------------------------------------------------------------------------------


def status_bytes(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"no {field} in /proc/self/status")


def growth(call):
    """Bytes by which the resident peak of this process rises during a call.

    Linux tells the peak of the process proper; getrusage, used elsewhere, also holds the parent's.
    """
    try:
        before = status_bytes("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")       # sets the peak back to what is resident now
        kept = call()
        return status_bytes("VmHWM") - before
    except OSError:
        import resource
        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kept = call()                                       # noqa: F841 - freed after the reading
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


def compress_growth(array_path, eb, threads):
    x = np.load(array_path)
    gradsz.compress(x[:1], eb)                              # code and tables of the first call
    return growth(partial(gradsz.compress, x, eb, level="fast", nthreads=threads))


def decompress_growth(stream_path, threads):
    stream = stream_path.read_bytes()
    gradsz.decompress(gradsz.compress(np.zeros(1, np.float32), 1.0))
    return growth(partial(gradsz.decompress, stream, nthreads=threads))


def in_fresh_process(function, *args):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, args)


def memory_table(n, threads):
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        array_path, stream_path = Path(folder) / "array.npy", Path(folder) / "stream"
        for case in CASES:
            x, eb = case.build(n)
            stream = gradsz.compress(x, eb, level="fast")
            np.save(array_path, x)
            stream_path.write_bytes(stream)
            peaks = [(in_fresh_process(compress_growth, array_path, eb, t),
                      in_fresh_process(decompress_growth, stream_path, t)) for t in threads]
            rows.append([case.name, case.bound, number(x.nbytes / MIB), number(len(stream) / MIB),
                         *[f"{peak[way] / MIB:.1f} ({peak[way] / x.nbytes:.2f})" for way in (0, 1) for peak in peaks]])
    plural = [f"{t} thread{'s' * (t > 1)}" for t in threads]
    return table(["array", "bound", "array MiB", "stream MiB",
                  *[f"{way} {what}" for way in ("in", "out") for what in plural]], rows)


# ---- command ---------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench/results", help="folder of floors.md (default: %(default)s)")
    parser.add_argument("--n", type=int, default=11_000_000, help="values of the large arrays (default: %(default)s)")
    parser.add_argument("--threads", default="1,2", help="thread counts, 1 first (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=5, help="turns (default: %(default)s)")
    args = parser.parse_args()
    threads = [int(t) for t in args.threads.split(",")]
    if threads[0] != 1:
        parser.error("--threads starts with 1, which the others are read against")
    environment = timing.environment()
    with timing.quiet(one_core=False):
        speeds = speed_table(args.n, threads, args.reps)
    sizes = size_table(args.reps, args.n)
    memory = memory_table(args.n, threads)
    text = "\n\n".join([
        "# Floors", "\n".join(f"- {what}: {value}" for what, value in environment),
        f"## Large arrays, about {args.n:,} values: nanoseconds an element",
        "`copy` is np.copyto into memory already touched, `fresh copy` is a copy into new memory, whose first touch the "
        "kernel charges for, as it does for what `decompress` returns unless `out=` is given. `portable`: C kernels "
        "without vector instructions chosen at run time, one thread.", speeds,
        f"## By size (gradient f32, {SIZE_BOUND}, one thread, one core): nanoseconds an element", sizes,
        "## Peak of memory during a call, beyond what is there before it: MiB (multiple of the array)",
        "In a fresh process. In: workspace and stream. Out: workspace and array.", memory]) + "\n"
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "floors.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
