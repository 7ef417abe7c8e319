"""Whole messages: what one client sends in a round, each level of gradsz beside SZ3.

    python bench/messages.py [TRACES_DIR] [--levels fast,balanced,best] [--estimates FILE] [--out bench/results]

Writes messages.csv (a row for each message, bound and codec) and messages.md (tables, bars). If OUT/nnc.csv is there
(nnc.py writes it), NNC is shown beside the rest; estimates (estimate.py says in what form) add the distance to them.
"""
import argparse
import csv
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import estimate
import report
import run
import timing
import traces

import numpy as np

METHOD = """\
One thread on one core. A message holds the tensors (float32, more than {minimum:,} elements) that a trace sends in
one of its last {rounds} rounds, each with a bound of its own. gradsz makes one message of them, names, shapes and
bounds included, and finds the bounds itself within the time measured; `gradsz-LEVEL-PREDICTOR` is a level with a
predictor chosen. SZ3 gets eb, computed here in float64, is called once a tensor, and its bytes and times are summed:
no names, no shapes. Codecs take turns (A B C A B C ...), {reps} times; each turn is one untimed and one timed call of
compress, then of decompress. Times are wall time (perf_counter_ns) from Python, median over turns unless called min;
CPU time (process_time_ns) is in the CSV. A trace's ratio is its raw bytes over its written bytes, its speed its raw
bytes over the sum of its messages' times; figures are geometric means over traces, MB = 1e6 bytes. `ratio x` and `in
x`, `out x` are against stock SZ3. Errors are measured in float64 on what came back: worst/eb is the largest, mse/eb2
the mean square over all values, `over eb` how many values broke the bound. H0 is the order-0 entropy of rint(x / 2
eb) per tensor, without table or header. NNC is timed by nnc.py, in another process and at another time. Estimates are
of the last round, and so are the ratios held against them."""

LEVELS = "fast,balanced,balanced-structure,best"
SZ3 = ("sz3", "sz3-nopred", "sz3-1d")
BY_TEXT = ("trace", "bound", "codec")
COLUMNS = ["trace", "round", "bound", "codec", "tensors", "n", "bytes",
           *[f"{way}_{clock}_{kind}_us" for way in report.WAYS for clock in ("wall", "cpu") for kind in ("min", "med")],
           "worst_over_eb", "mean_over_eb", "mse_over_eb2", "over"]

# ---- messages --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """The tensors of one round at one bound."""
    trace: str
    round: int
    bound: str              # rel<k> or rms<k>, of each tensor
    tensors: dict           # name -> float32 array
    before: dict            # the same of the round before; empty if it was not recorded
    ebs: dict               # name -> absolute bound

    @property
    def elements(self):
        return sum(x.size for x in self.tensors.values())

    def errors(self, tensors):
        """The columns of errors of what came back."""
        if tensors.keys() != self.tensors.keys():
            raise RuntimeError(f"{len(self.tensors)} tensors came back as {len(tensors)}, or under other names")
        found = []
        for name, x in self.tensors.items():
            y = tensors[name]
            if y.shape != x.shape or y.dtype != x.dtype:
                raise RuntimeError(f"{name}: {x.dtype} {x.shape} came back as {y.dtype} {y.shape}")
            found.append((x.size, traces.error(x, y, self.ebs[name])))
        return dict(worst_over_eb=max(error.worst for _, error in found),
                    mean_over_eb=max((error.mean for _, error in found), key=abs),
                    mse_over_eb2=sum(size * error.square for size, error in found) / self.elements,
                    over=sum(error.over for _, error in found))


def rounds_of(path, rounds):
    """[(round, {name: values}, {name: values of the round before})] of the last rounds of a trace."""
    by_round = defaultdict(dict)
    for tensor in traces.load(path, rounds + 1):
        by_round[tensor.round][tensor.name] = tensor.values
    numbers = sorted(by_round)
    return [(number, by_round[number], by_round[before] if before is not None else {})
            for before, number in zip([None, *numbers], numbers)][-rounds:]


def message_at(bound, trace, number, tensors, before):
    """A message, and the names of tensors left out because their bound is zero."""
    ebs = {name: traces.absolute_bound(x, bound) for name, x in tensors.items()}
    kept = {name: x for name, x in tensors.items() if ebs[name] > 0}
    return (Message(trace, number, bound, kept, {name: before[name] for name in kept if name in before}, ebs),
            [name for name in tensors if name not in kept])


# ---- codecs: message -> (compress() -> buffers, decompress(buffers) -> {name: array}) --------


def level_options(level):
    """The arguments of compress_tensors for a name on the command line: LEVEL or LEVEL-PREDICTOR."""
    level, _, predictor = level.partition("-")
    return dict(level=level, predictor=predictor) if predictor else dict(level=level)


def gradsz_at(level):
    """One message for all tensors."""
    from gradsz import compress_tensors, decompress_tensors
    options = level_options(level)

    def codec(message):
        mode, factor = message.bound[:3], float(message.bound[3:])

        def compress():
            return [compress_tensors(message.tensors, factor, mode=mode, **options)]

        def decompress(buffers):
            return decompress_tensors(buffers[0])
        return compress, decompress
    return codec


def per_tensor(peer):
    """A call for each tensor."""
    def codec(message):
        calls = [(name, x, message.ebs[name]) for name, x in message.tensors.items()]

        def compress():
            return [peer.compress(x, eb) for _, x, eb in calls]

        def decompress(buffers):
            return {name: peer.decompress(buffer, x.shape, x.dtype) for (name, x, _), buffer in zip(calls, buffers)}
        return compress, decompress
    return codec


def name_of(level):
    return f"{report.OURS}-{level}"


def known(levels):
    """The levels that this gradsz takes, and what it says of the others."""
    from gradsz import compress_tensors
    taken, refused = [], []
    for level in levels:
        try:
            compress_tensors({"x": np.zeros(8, np.float32)}, 1.0, **level_options(level))
        except (TypeError, ValueError) as reason:
            refused.append(f"{name_of(level)} left out: {reason}")
        else:
            taken.append(level)
    return taken, refused


def available(levels):
    """{name: codec}: gradsz at each level, then SZ3."""
    codecs = {name_of(level): gradsz_at(level) for level in levels}
    try:
        sz3 = peers.sz3_codecs()
    except ImportError as reason:
        print(f"skipped pysz: {reason}", file=sys.stderr)
        return codecs
    return codecs | {name: per_tensor(sz3[name]) for name in SZ3}


# ---- measuring -------------------------------------------------------------------------------


def measure(message, codecs, reps):
    """Rows of one message, and [(codec, failure)]."""
    base = dict(trace=message.trace, round=message.round, bound=message.bound, tensors=len(message.tensors),
                n=message.elements)
    rows, entries, failures = {}, {}, []
    for name, codec in codecs.items():
        try:
            compress, decompress = codec(message)
            buffers = compress()
            errors = message.errors(decompress(buffers))
        except Exception as reason:             # a failure is a result: recorded, and the run goes on
            failures.append((name, f"{type(reason).__name__}: {reason}"))
            continue
        rows[name] = base | dict(codec=name, bytes=sum(map(len, buffers))) | errors
        entries[name] = timing.Entry([compress, partial(decompress, buffers)])
    timing.interleave(entries.values(), reps)
    for name, entry in entries.items():
        rows[name] |= run.time_columns(entry.clocks)
    limit = base | dict(codec=report.H0, bytes=sum(traces.entropy_bytes(x, message.ebs[name])
                                                   for name, x in message.tensors.items()))
    return [limit, *rows.values()], failures


def measure_all(folder, codecs, bounds, rounds, reps):
    """Rows and failures of every trace in a folder."""
    rows, failures = [], []
    for path in traces.trace_files(folder):
        start = time.perf_counter()
        for number, tensors, before in rounds_of(path, rounds):
            for bound in bounds:
                message, constant = message_at(bound, path.stem, number, tensors, before)
                where = f"{path.stem} round {number} {bound}"
                failures += [f"{where}: {name} left out: its bound is zero" for name in constant]
                if message.tensors:
                    measured, failed = measure(message, codecs, reps)
                    rows += measured
                    failures += [f"{where}: {codec}: {why}" for codec, why in failed]
        print(f"{path.stem}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return rows, failures


# ---- files of rows ---------------------------------------------------------------------------


def read_rows(path):
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [{column: text if column in BY_TEXT else float(text) for column, text in row.items() if text}
            for row in csv.DictReader(lines)]


def others(path, rows):
    """Rows of another run's file, H0 aside, for the messages that were measured here too."""
    if not path.exists():
        return []
    here = {(row["trace"], row["round"], row["bound"]): (row["tensors"], row["n"]) for row in rows}
    there = [row for row in read_rows(path) if row["codec"] != report.H0]
    kept = [row for row in there
            if here.get((row["trace"], row["round"], row["bound"])) == (row["tensors"], row["n"])]
    if len(kept) < len(there):
        print(f"{path}: {len(there) - len(kept)} of {len(there)} rows are of other messages", file=sys.stderr)
    return kept


def last_rounds(rows):
    """The rows of the last round of each trace."""
    last = {}
    for row in rows:
        last[row["trace"]] = max(row["round"], last.get(row["trace"], 0))
    return [row for row in rows if row["round"] == last[row["trace"]]]


# ---- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Findings:
    results: report.Results
    last: report.Results        # of the last rounds only
    levels: list                # of gradsz, those that were asked for
    estimates: dict             # of estimate.load; empty if none were given

    def ratios_against(self, bound, codec, other=report.BASELINE):
        """{trace: ratio / ratio of the other}"""
        theirs = self.results.ratios(bound, other)
        return {t: ratio / theirs[t] for t, ratio in self.results.ratios(bound, codec).items() if t in theirs}

    def squares(self, bound, codec):
        """{trace: mean square error / eb^2}"""
        sums = defaultdict(lambda: [0.0, 0])
        for row in self.results.rows:
            if row["bound"] == bound and row["codec"] == codec and "mse_over_eb2" in row:
                sums[row["trace"]][0] += row["mse_over_eb2"] * row["n"]
                sums[row["trace"]][1] += row["n"]
        return {trace: total / count for trace, (total, count) in sums.items()}

    def squares_against(self, bound, codec):
        """{trace: mean square error / SZ3's}"""
        theirs = self.squares(bound, report.BASELINE)
        return {t: square / theirs[t] for t, square in self.squares(bound, codec).items() if t in theirs}

    def shares(self, bound, level):
        """{trace: ratio of the last round / its estimate}"""
        return estimate.shares(self.estimates, self.last, bound, name_of(level), level)


def summary_table(findings, bound):
    results, mean, number = findings.results, report.geometric_mean, report.number
    rows = []
    for codec in results.codecs:
        worst, _, square, over = results.errors(bound, codec) or (None,) * 4
        rows.append([codec, number(results.ratio(bound, codec)),
                     number(mean(findings.ratios_against(bound, codec).values())),
                     *[number(results.speed(bound, codec, way)) for way in report.WAYS],
                     *[number(results.faster(bound, codec, way)) for way in report.WAYS],
                     "-" if worst is None else f"{worst:.7g}", number(square),
                     number(mean(findings.squares_against(bound, codec).values())),
                     "-" if over is None else f"{over:.0f}"])
    return report.table(["codec", "ratio", "ratio x", "in MB/s", "out MB/s", "in x", "out x",
                         "worst/eb", "mse/eb2", "mse x", "over eb"], rows)


def share_table(findings, bound):
    """Parts of the estimate that each level reaches."""
    rows = []
    for level in findings.levels:
        shares = findings.shares(bound, level)
        if not shares:
            continue
        rows.append([name_of(level), estimate.column(level),
                     *[report.number(shares.get(t)) for t in findings.last.traces],
                     report.number(report.geometric_mean(shares.values()))])
    return report.table(["codec", "of", *findings.last.traces, "geometric mean"], rows)


# ---- bars ------------------------------------------------------------------------------------

RATIO_BARS = {"balanced": dict(zip(traces.BOUNDS, (1.30, 1.65, 1.9, 2.5, 2.45, 3.6))),
              "best": dict(zip(traces.BOUNDS, (1.40, 1.77, 2.03, 2.68, 2.63, 4.0)))}
NNC_BARS = {"rel1e-3": 1.3, "rel1e-2": 1.5, "rel1e-1": 1.55, "rms1": 1.75, "rms2": 1.55}     # of `best`, against `nnc`
SPEED_BARS = {"balanced": (1.0, 1.4), "best": (0.25, 1.0), "balanced-structure": (2.0, 2.0)}
WORST_OF_TRACE = 0.99           # against the best of SZ3 and `fast`, on every trace
SHARE_OF_ESTIMATE = 0.96        # of `best`, on every trace


def extreme_bar(what, asked, by_trace, at_most=False):
    """A bar on every trace: what it asks is asked of the worst."""
    if not by_trace:
        return []
    worst = (max if at_most else min)(by_trace, key=by_trace.get)
    return [report.Bar(f"{what}, worst trace", asked, by_trace[worst], at_most=at_most, note=f" ({worst})")]


def speed_bars(findings, bound, level):
    bars = []
    for way, asked in zip(report.WAYS, SPEED_BARS.get(level, ())):
        faster = partial(findings.results.faster, bound, name_of(level), way)
        bars.append(report.Bar(f"{bound}: {level} {way} speed", asked, faster(),
                               note=f" (of minima {report.number(faster('wall_min'))}, "
                                    f"CPU {report.number(faster('cpu_med'))})"))
    return bars


def against_best_of_others(findings, bound, level):
    """{trace: ratio / the best ratio of SZ3, whatever its options, and `fast`}"""
    rivals = [findings.results.ratios(bound, codec) for codec in (*SZ3, name_of("fast"))]
    return {t: ratio / best for t, ratio in findings.results.ratios(bound, name_of(level)).items()
            if (best := max((ratios[t] for ratios in rivals if t in ratios), default=0))}


def nnc_bars(findings, bound, level):
    against = findings.ratios_against(bound, name_of(level), "nnc")
    if not against or bound not in NNC_BARS:
        return []
    return [report.Bar(f"{bound}: {level} ratio against NNC", NNC_BARS[bound], report.geometric_mean(against.values()))]


def bars_of(findings, bound, level):
    results, codec = findings.results, name_of(level)
    if not results.ratios(bound, codec):
        return []
    bars = []
    if report.BASELINE in results.codecs:
        if asked := RATIO_BARS.get(level, {}).get(bound):
            ratio = report.geometric_mean(findings.ratios_against(bound, codec).values())
            bars.append(report.Bar(f"{bound}: {level} ratio", asked, ratio))
        bars += speed_bars(findings, bound, level)
    if level in RATIO_BARS:
        bars += extreme_bar(f"{bound}: {level} ratio against the best of SZ3 and fast", WORST_OF_TRACE,
                            against_best_of_others(findings, bound, level))
    if level == "best":
        bars += nnc_bars(findings, bound, level)
        squares = findings.squares_against(bound, codec)
        bars += extreme_bar(f"{bound}: {level} mean square error", 1, squares, at_most=True)
        bars += extreme_bar(f"{bound}: {level} part of the estimate", SHARE_OF_ESTIMATE, findings.shares(bound, level))
    bars.append(report.Bar(f"{bound}: {level} values beyond the bound", 0, results.errors(bound, codec)[3], "",
                           at_most=True))
    return bars


def failed_bar(findings, level):
    """A level that was asked for and did not code every message is no level that met its bars."""
    codecs = [row["codec"] for row in findings.results.rows]
    return report.Bar(f"{level}: messages not coded", 0, codecs.count(report.H0) - codecs.count(name_of(level)), "",
                      at_most=True)


def all_bars(findings):
    bars = []
    for level in findings.levels:
        bars.append(failed_bar(findings, level))
        for bound in findings.results.bounds:
            bars += bars_of(findings, bound, level)
    return bars


# ---- command ---------------------------------------------------------------------------------


def markdown(findings, header, bars, failures):
    results = findings.results
    parts = ["# Messages", "\n".join(f"- {line}" for line in header[:-1]), header[-1]]
    for bound in results.bounds:
        parts += [f"## {bound}", summary_table(findings, bound)]
    parts += ["## Ratio of each trace"]
    for bound in results.bounds:
        parts += [f"### {bound}", report.ratio_table(results, bound)]
    if findings.estimates:
        parts += ["## Part of the estimate, last round"]
        for bound in results.bounds:
            parts += [f"### {bound}", share_table(findings, bound)]
    parts += ["## Failures", "\n".join(f"- {line}" for line in failures) or "none"]
    parts += ["## Bars", "Against stock SZ3, geometric means over traces, unless said otherwise.",
              report.bar_table(bars)]
    return "\n\n".join(parts) + "\n"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="?", help="folder of .npz traces (default: record them)")
    parser.add_argument("--out", default="bench/results", help="folder of the results (default: %(default)s)")
    parser.add_argument("--levels", default=LEVELS, help="LEVEL or LEVEL-PREDICTOR, ... (default: %(default)s)")
    parser.add_argument("--bounds", default=",".join(traces.BOUNDS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="last rounds of each trace (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=5, help="turns of each codec (default: %(default)s)")
    parser.add_argument("--estimates", help="CSV of estimates; see estimate.py")
    parser.add_argument("--quick", action="store_true", help="few bounds, turns and rounds: does it run?")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    return run.parsed(parser, run.QUICK)


def main():
    args = arguments()
    out = Path(args.out)
    levels = args.levels.split(",")
    taken, refused = known(levels)
    codecs = available(taken)
    estimates = estimate.load(args.estimates) if args.estimates else {}
    folder = args.traces or run.recorded_traces()
    environment = timing.environment()
    with timing.quiet():
        rows, failures = measure_all(folder, codecs, args.bounds.split(","), args.rounds, args.reps)

    results = report.Results(rows + others(out / "nnc.csv", rows))
    findings = Findings(results, report.Results(last_rounds(rows)), levels, estimates)
    header = [f"{what}: {value}" for what, value in environment]
    header += [f"traces: {', '.join(results.traces)}; CPU / wall time of the timed calls {run.busy(rows):.3f}",
               METHOD.format(minimum=traces.MIN_ELEMENTS, rounds=args.rounds, reps=args.reps)]
    bars = all_bars(findings)
    text = markdown(findings, header, bars, refused + failures)
    out.mkdir(parents=True, exist_ok=True)
    run.write_csv(out / "messages.csv", rows, [line for item in header for line in item.splitlines()], COLUMNS)
    (out / "messages.md").write_text(text)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
