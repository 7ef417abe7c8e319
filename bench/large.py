"""A large network: each level of gradsz beside stock SZ3 on updates of ResNet-18, 11 million values.

    python bench/large.py [TRACES_DIR] [--bounds rel1e-2,rms1] [--out bench/results]

Writes large.md. Without a folder it records its own traces with record.py (minutes, once): the last round of a
training with SGD and of one with AdamW.
"""
import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import floors
import messages
import report
import run
import timing
import traces

import gradsz
import numpy as np

METHOD = """\
One message: the tensors (float32, more than {minimum:,} elements) of a trace's last round, each with a bound of its
own. gradsz makes one message of them, names, shapes and bounds included, and finds the bounds itself within the time
measured; SZ3 gets eb and is called once a tensor, its bytes and times summed. Calls take turns (A B C A B C ...),
{reps} times, each turn one untimed and one timed call of compress, then of decompress: wall time from Python, median
(best) over turns, MB = 1e6 bytes of tensors. `x SZ3`: how many times as small or as fast. `portable`: C kernels without
vector instructions chosen at run time. `2 threads`: nthreads=2. `not kept`: finite values beyond their bound."""

SZ3 = report.BASELINE
LEVELS = ("fast", "balanced", "best")
NETWORKS = ("resnet18-sgd", "resnet18-adamw")
QUICK = dict(bounds="rel1e-2", reps=1)

# ---- traces ----------------------------------------------------------------------------------


def recorded_traces():
    """The folder of traces of our own; recorded on first use, in a process of its own (torch stays out of this one)."""
    folder = Path(__file__).parent.parent / "build" / "traces" / "large"
    missing = [name for name in NETWORKS if not (folder / f"{name}.npz").exists()]
    if missing:
        print(f"recording {', '.join(missing)} into {folder}: some minutes", file=sys.stderr, flush=True)
        record = [sys.executable, Path(__file__).with_name("record.py"), "--threads", "2"]
        subprocess.run([*record, folder, *missing], check=True)
    return folder


def message_of(path, bound):
    number, tensors, before = messages.rounds_of(path, 1)[0]
    return messages.message_at(bound, path.stem, number, tensors, before)[0]


# ---- calls -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way to code a message."""
    compress: Callable          # () -> list of buffers
    decompress: Callable        # buffers -> {name: array}
    active: Callable = timing.nullcontext


def gradsz_way(message, level, threads=1, portable=False):
    factor, mode = float(message.bound[3:]), message.bound[:3]
    compress = partial(gradsz.compress_tensors, message.tensors, factor, mode=mode, level=level, nthreads=threads)
    return Way(lambda: [compress()], lambda buffers: gradsz.decompress_tensors(buffers[0], nthreads=threads),
               peers.portable_kernels if portable else timing.nullcontext)


def ways_of(message):
    """{name: Way}; the names of a level begin with it."""
    ways = {SZ3: Way(*messages.per_tensor(peers.sz3_codecs()[SZ3])(message))}
    for level in LEVELS:
        ways |= {level: gradsz_way(message, level), f"{level} portable": gradsz_way(message, level, portable=True),
                 f"{level} 2 threads": gradsz_way(message, level, threads=2)}
    return ways


# ---- measuring -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    message: messages.Message
    written: dict               # {way: bytes}
    errors: dict                # {way: columns of errors}
    differing: list             # ways whose bytes or values are not those of their level
    clocks: dict                # {way: (compress, decompress)}

    @property
    def raw(self):
        return 4 * self.message.elements

    @property
    def where(self):
        return f"{self.message.trace} {self.message.bound}"

    def ratio(self, way):
        return self.raw / self.written[way]

    def speed(self, way, i, kind="median"):
        """MB/s"""
        return self.raw / getattr(self.clocks[way][i], kind) * 1e3

    def faster(self, way, i, kind="median"):
        return self.speed(way, i, kind) / self.speed(SZ3, i, kind)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name].view(np.uint32), b[name].view(np.uint32)) for name in a)


def measure(message, reps):
    written, errors, differing, entries, of_level = {}, {}, [], {}, {}
    for name, way in ways_of(message).items():
        with way.active():
            buffers = way.compress()
            tensors = way.decompress(buffers)
        written[name], errors[name] = sum(map(len, buffers)), message.errors(tensors)
        if name in (SZ3, *LEVELS):
            of_level[name] = buffers, tensors
        else:
            of_one = of_level[name.split()[0]]
            if of_one[0] != buffers or not same(of_one[1], tensors):
                differing.append(name)
        entries[name] = timing.Entry([way.compress, partial(way.decompress, buffers)], way.active)
    timing.interleave(entries.values(), reps)
    return Measured(message, written, errors, differing, {name: entry.clocks for name, entry in entries.items()})


# ---- memory ----------------------------------------------------------------------------------


def compress_growth(folder, bound, level, threads):
    """Bytes by which the peak of this process rises while tensors are read and a message is made of them."""
    def call():
        tensors = {file.stem: np.load(file) for file in folder.glob("*.npy")}
        return gradsz.compress_tensors(tensors, float(bound[3:]), mode=bound[:3], level=level, nthreads=threads)
    gradsz.compress_tensors({"x": np.zeros(2048, np.float32)}, 1.0, level=level)    # code and tables of the first call
    return floors.growth(call)


def decompress_growth(stream_path, threads):
    gradsz.decompress(gradsz.compress(np.zeros(2048, np.float32), 1.0))
    return floors.growth(lambda: gradsz.decompress_tensors(stream_path.read_bytes(), nthreads=threads))


def peaks_of(message, threads):
    """{(level, threads): (compress, decompress)}: the peak in multiples of the tensors."""
    raw, found = 4 * message.elements, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, x in enumerate(message.tensors.values()):
            np.save(folder / f"{i}.npy", x)
        for level in LEVELS:
            stream_path = folder / level
            stream_path.write_bytes(gradsz_way(message, level).compress()[0])
            for t in threads:
                peaks = (floors.in_fresh_process(compress_growth, folder, message.bound, level, t),
                         floors.in_fresh_process(decompress_growth, stream_path, t))
                found[level, t] = tuple(peak / raw for peak in peaks)
    return found


# ---- tables and bars -------------------------------------------------------------------------

RATIO_BARS = {"balanced": 2.5, "best": 3.1}     # against SZ3, at
RATIO_BAR_AT = ("resnet18-sgd", "rel1e-2")
SPEED_BARS = {"balanced": (1.0, 1.6)}           # in, out
PEAK_BAR = 3.0


def speed_table(found):
    rows = []
    for way, written in found.written.items():
        rows.append([way, report.number(found.ratio(way)), report.number(found.ratio(way) / found.ratio(SZ3)),
                     *[f"{report.number(found.speed(way, i))} ({report.number(found.speed(way, i, 'best'))})"
                       for i in (0, 1)],
                     *[report.number(found.faster(way, i)) for i in (0, 1)],
                     f"{found.errors[way]['worst_over_eb']:.7g}", report.number(found.errors[way]["mse_over_eb2"]),
                     found.errors[way]["over"]])
    return report.table(["", "ratio", "x SZ3", "in MB/s", "out MB/s", "in x SZ3", "out x SZ3", "worst/eb", "mse/eb2",
                         "not kept"], rows)


def memory_table(peaks):
    rows = [[trace, level, t, *map(report.number, pair)] for trace, found in peaks.items()
            for (level, t), pair in found.items()]
    return report.table(["trace", "level", "threads", "in", "out"], rows)


def bars_of(measured, peaks):
    bars = []
    for found in measured:
        if (found.message.trace, found.message.bound) == RATIO_BAR_AT:
            for level, asked in RATIO_BARS.items():
                bars.append(report.Bar(f"{found.where}: {level} ratio against SZ3", asked,
                                       found.ratio(level) / found.ratio(SZ3)))
            for level, pair in SPEED_BARS.items():
                for i, asked in enumerate(pair):
                    bars.append(report.Bar(f"{found.where}: {level} {report.WAYS[i]} speed against SZ3", asked,
                                           found.faster(level, i),
                                           note=f" (of minima {report.number(found.faster(level, i, 'best'))})"))
        bars.append(report.Bar(f"{found.where}: threads or kernels that change bytes or values", 0, len(found.differing),
                               "", at_most=True, note=f" {', '.join(found.differing)}"))
        not_kept = sum(found.errors[level]["over"] for level in LEVELS)
        bars.append(report.Bar(f"{found.where}: values not kept", 0, not_kept, "", at_most=True))
    for trace, of_trace in peaks.items():
        (level, t), pair = max(of_trace.items(), key=lambda item: max(item[1]))
        bars.append(report.Bar(f"{trace}: peak of memory, worst level", PEAK_BAR, max(pair), at_most=True,
                               note=f" ({level}, {t} thread{'s' * (t > 1)})"))
    return bars


# ---- command ---------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="?", help="folder of .npz traces (default: record them)")
    parser.add_argument("--out", default="bench/results", help="folder of large.md (default: %(default)s)")
    parser.add_argument("--bounds", default="rel1e-2,rel1e-1,rms1", help="default: %(default)s")
    parser.add_argument("--reps", type=int, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one bound, one turn: does it run?")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    return run.parsed(parser, QUICK)


def main():
    args = arguments()
    bounds = args.bounds.split(",")
    folder = args.traces or recorded_traces()
    environment = timing.environment()
    measured, peaks = [], {}
    for path in traces.trace_files(folder):
        for bound in bounds:
            with timing.quiet(one_core=False):          # the ways with two threads want two
                measured.append(measure(message_of(path, bound), args.reps))
            print(f"{path.stem} {bound}: done", file=sys.stderr, flush=True)
        peaks[path.stem] = peaks_of(message_of(path, bounds[0]), (1, 2))
    bars = bars_of(measured, peaks)
    parts = ["# A large network", "\n".join(f"- {what}: {value}" for what, value in environment),
             METHOD.format(minimum=traces.MIN_ELEMENTS, reps=args.reps)]
    for found in measured:
        parts += [f"## {found.where}: {found.message.elements:,} values in {len(found.message.tensors)} tensors",
                  speed_table(found)]
    parts += [f"## Peak of memory at {bounds[0]}, in multiples of the tensors",
              "The rise of the resident peak of a fresh process that reads the tensors and makes a message of them, or "
              "reads the message and decodes it: what goes in and what comes out count.", memory_table(peaks),
              "## Bars", report.bar_table(bars)]
    text = "\n\n".join(parts) + "\n"
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "large.md").write_text(text)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
