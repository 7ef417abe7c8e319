"""Ratio, speed and error of gradsz and its peers on traces of model updates.

    python bench/run.py [TRACES_DIR] [--out bench/results]

Writes tensors.csv (a row for each tensor, bound and codec), results.md (tables, bars) and results.png.
Without a folder of traces it records its own with record.py (minutes, once) and keeps them.
"""
import argparse
import csv
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import calls
import report
import timing
import traces

import numpy as np

METHOD = """\
One thread on one core. For each tensor (float32, more than {minimum:,} elements, last {rounds} rounds) and bound, every
codec gets the same absolute eb, computed here in float64. Codecs take turns (A B C A B C ...), {reps} times; each turn is
one untimed and one timed call of compress, then of decompress. Times are wall time (perf_counter_ns) of the call as made
from Python, median over turns unless called min; CPU time (process_time_ns) is in the CSV. A trace's ratio is its
raw bytes over its written bytes, its speed its raw bytes over the sum of its tensors' times; figures are geometric
means over traces, MB = 1e6 bytes. Errors are measured in float64 on what came back: worst/eb is the largest, bias/eb the
largest |mean error| of a tensor, mse/eb2 the mean square over all values, `over eb` how many values broke the bound. H0 is
the order-0 entropy of rint(x / 2 eb) per tensor, without table or header; memory-copy is np.copyto into memory
already touched. `*-1d` is the tensor flattened, `zfp-2d` first axis x the rest; other codecs get the tensor's own shape."""

COLUMNS = ["trace", "round", "tensor", "n", "bound", "eb", "codec", "bytes",
           *[f"{way}_{clock}_{kind}_us" for way in report.WAYS for clock in ("wall", "cpu") for kind in ("min", "med")],
           "worst_over_eb", "mean_over_eb", "mse_over_eb2", "over"]
QUICK = dict(bounds="rel1e-2,rms1", reps=2, rounds=1)


# ---- measuring -------------------------------------------------------------------------------


def round_trip(codec, x, eb):
    with codec.active():
        stream = codec.compress(x, eb)
        y = codec.decompress(stream, x.shape, x.dtype)
    if y.shape != x.shape or y.dtype != x.dtype:
        raise RuntimeError(f"{x.dtype} {x.shape} came back as {y.dtype} {y.shape}")
    return stream, y


def time_columns(clocks):
    columns = {}
    for way, clock in zip(report.WAYS, clocks):
        for kind, durations in (("wall", clock.wall), ("cpu", clock.cpu)):
            columns[f"{way}_{kind}_min_us"] = min(durations) / 1e3
            columns[f"{way}_{kind}_med_us"] = float(np.median(durations)) / 1e3
    return columns


def measure(tensor, bound, codecs, reps):
    """Rows of one tensor at one bound, and [(codec, failure)]."""
    x = tensor.values
    eb = traces.absolute_bound(x, bound)
    base = dict(trace=tensor.trace, round=tensor.round, tensor=tensor.name, n=x.size, bound=bound, eb=eb)
    if not eb > 0:
        return [], [("all", f"eb is {eb}: nothing to measure")]
    rows, entries, failures = {}, {}, []
    for name, codec in codecs.items():
        try:
            stream, y = round_trip(codec, x, eb)
        except Exception as reason:             # a peer's failure is a result: recorded, and the run goes on
            failures.append((name, f"{type(reason).__name__}: {reason}"))
            continue
        error = traces.error(x, y, eb)
        rows[name] = base | dict(codec=name, bytes=len(stream), worst_over_eb=error.worst, mean_over_eb=error.mean,
                                 mse_over_eb2=error.square, over=error.over)
        entries[name] = timing.Entry([partial(codec.compress, x, eb),
                                      partial(codec.decompress, stream, x.shape, x.dtype)], codec.active)
    copy = partial(np.copyto, np.zeros_like(x), x)
    rows[report.COPY] = base | dict(codec=report.COPY, bytes=x.nbytes)
    entries[report.COPY] = timing.Entry([copy, copy])
    timing.interleave(entries.values(), reps)
    for name, entry in entries.items():
        rows[name] |= time_columns(entry.clocks)
    limit = base | dict(codec=report.H0, bytes=traces.entropy_bytes(x, eb))
    return [limit, *rows.values()], failures


def measure_all(folder, codecs, bounds, rounds, reps):
    """Rows and failures of every trace in a folder."""
    rows, failures = [], []
    for path in traces.trace_files(folder):
        start = time.perf_counter()
        tensors = traces.load(path, rounds)
        for tensor in tensors:
            for bound in bounds:
                measured, failed = measure(tensor, bound, codecs, reps)
                rows += measured
                failures += [f"{tensor.trace} round {tensor.round} {tensor.name} {tensor.values.shape} {bound}: "
                             f"{codec}: {why}" for codec, why in failed]
        print(f"{path.stem}: {len(tensors)} tensors, {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return rows, failures


# ---- writing ---------------------------------------------------------------------------------


def busy(rows):
    """CPU over wall of all timed calls: well below 1, something else had the core."""
    cpu, wall = (sum(row.get(f"{way}_{kind}_med_us", 0) for row in rows for way in report.WAYS)
                 for kind in ("cpu", "wall"))
    return cpu / wall


def cell(value):
    return f"{value:.4g}" if isinstance(value, float) else value


PRECISE = {"eb": ".9g", "worst_over_eb": ".8g"}         # where four digits would not do


def write_csv(path, rows, header, columns=tuple(COLUMNS)):
    with open(path, "w", newline="") as file:
        file.writelines(f"# {line}\n" for line in header)
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            exact = {column: f"{row[column]:{digits}}" for column, digits in PRECISE.items() if column in row}
            writer.writerow({column: cell(value) for column, value in row.items()} | exact)


def markdown(results, header, bars, call_lines, failures):
    parts = ["# Bench", "\n".join(f"- {line}" for line in header[:-1]), header[-1],
             "![ratio and speed](results.png)"]
    for bound in results.bounds:
        parts += [f"## {bound}", report.summary_table(results, bound)]
    parts += ["## Ratio of each trace"]
    for bound in results.bounds:
        parts += [f"### {bound}", report.ratio_table(results, bound)]
    if call_lines:
        parts += ["## Calls", call_lines]
    parts += ["## Failures", "\n".join(f"- {line}" for line in failures) or "none"]
    parts += ["## Bars", report.bar_table(bars) if bars else "gradsz was not measured at a bound that has bars"]
    return "\n\n".join(parts) + "\n"


# ---- command ---------------------------------------------------------------------------------


def recorded_traces():
    """The folder of traces of our own; recorded on first use, in a process of its own (torch stays out of this one)."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradsz" / "traces"
    if not folder.exists():
        unfinished = folder.with_name("traces.part")
        print(f"recording traces into {folder}: some minutes", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, Path(__file__).with_name("record.py"), unfinished])
        if done.returncode:
            raise SystemExit("recording failed; give a folder of traces, or install what bench/README.md names")
        unfinished.rename(folder)
    return folder


def parsed(parser, quick):
    """The arguments of a bench; with --quick those of `quick` in their place."""
    args = parser.parse_args()
    if args.quick:
        vars(args).update(quick)
    return args


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="?", help="folder of .npz traces (default: record them)")
    parser.add_argument("--out", default="bench/results", help="folder of the results (default: %(default)s)")
    parser.add_argument("--codecs", help="comma-separated names (default: all that are installed)")
    parser.add_argument("--bounds", default=",".join(traces.BOUNDS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="last rounds of each trace (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=5, help="turns of each codec (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few bounds, turns and rounds: does it run?")
    parser.add_argument("--wheel", help="a built wheel, whose size is judged too")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    return parsed(parser, QUICK)


def choose(codecs, names):
    if not names:
        return codecs
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in codecs]
    if unknown:
        raise SystemExit(f"no codec {', '.join(unknown)}; there are {', '.join(codecs)}")
    return {name: codecs[name] for name in wanted}


def main():
    args = arguments()
    out = Path(args.out)
    codecs = choose(peers.available(), args.codecs)
    bounds = args.bounds.split(",")
    folder = args.traces or recorded_traces()
    environment = timing.environment()
    with timing.quiet():
        rows, failures = measure_all(folder, codecs, bounds, args.rounds, args.reps)
        call_clocks = calls.measure(codecs, blocks=3 if args.quick else 15)
    startup = calls.startup() if report.OURS in codecs else None
    wheel_bytes = Path(args.wheel).stat().st_size if args.wheel else None

    results = report.Results(rows)
    header = [f"{what}: {value}" for what, value in environment]
    header += [f"traces: {', '.join(results.traces)}; CPU / wall time of the timed calls {busy(rows):.3f}",
               METHOD.format(minimum=traces.MIN_ELEMENTS, rounds=args.rounds, reps=args.reps)]
    bars = []
    if report.OURS in codecs:
        bars = (report.ratio_and_speed_bars(results) + report.call_bars(call_clocks)
                + report.footprint_bars(startup.beyond_numpy_ms, wheel_bytes))
    text = markdown(results, header, bars, calls.describe(call_clocks, startup), failures)
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "tensors.csv", rows, [line for item in header for line in item.splitlines()])
    (out / "results.md").write_text(text)
    try:
        from plot import plot
        plot(results, out / "results.png")
    except ImportError as reason:
        print(f"no picture: {reason}", file=sys.stderr)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
