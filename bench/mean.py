"""Distributed mean estimation: the error of the averaged update against the bits that each client sends.

    python bench/mean.py [ROUNDS_DIR] [--schemes NAME,...] [--out bench/results]

Writes mean.csv (a row for each network, scheme and setting), mean.md (tables, bars) and mean.png. ROUNDS_DIR holds
traces of all clients of a round; by default record.py makes them (minutes, once). schemes.py is what is compared.
"""
import argparse
import csv
import math
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import report
import run
import schemes
import timing
import traces

import numpy as np

METHOD = """\
What {clients} clients send in one round (float32 tensors of more than {minimum:,} elements), averaged after decoding:
error = ||mean(decoded) - mean(x)||^2 / mean ||x_i||^2, in float64, mean of {seeds} seeds. 1 / {clients} x the error of
one client where clients are independent; an answer of zeros has at most 1. gradsz, SZ3: bytes really written; one bound
for all tensors of a client, relative to the root mean square of its update. `slots`: the clients share the round's seed, slot = (i, {clients});
else each has a seed of its own. Others: bits are counted in their favour (schemes.py): the entropy of their symbols
where a paper leaves the coding open, no tables, {value} bits for a value sent as such, positions by a shared seed free.
EDEN, QSGD and random sparsification as drawn by independent clients; correlated quantisation shares its seed. Errors are
interpolated to the budgets in log error and log bits, of a scheme with several curves the best at each budget; `-`:
not reached. The centred grid, SZ3 and Top-K are biased: their error does not fall as clients or rounds are added."""

CLIENTS = 8
NETWORKS = ("mlp", "resnet", "mobilenet", "gru", "transformer")
OTHER = "eden"                  # what the bars are against
COLUMNS = ["network", "scheme", "curve", "setting", "bits", "error", "spread"]
QUICK = dict(schemes="gradsz-shrunk-balanced,gradsz-shrunk-balanced-slots,eden,top-k", seeds=1, networks=1)
_SENT = re.compile(r"c(\d+)/(.+)")

# ---- rounds ----------------------------------------------------------------------------------


def recorded_rounds():
    """The folder of rounds of our own; recorded on first use, in a process of its own."""
    folder = Path(__file__).parent.parent / "build" / "traces" / "clients"
    missing = [name for name in NETWORKS if not (folder / f"{name}.npz").exists()]
    if missing:
        print(f"recording {', '.join(missing)} into {folder}: some minutes", file=sys.stderr, flush=True)
        record = [sys.executable, Path(__file__).with_name("record.py"), "--clients", str(CLIENTS)]
        subprocess.run([*record, folder, *missing], check=True)
    return folder


def load(path):
    """The round of a trace that holds every client."""
    sent = defaultdict(dict)
    with np.load(path) as archive:
        for key in archive.files:
            if match := _SENT.fullmatch(key):
                x = archive[key]
                if x.dtype == np.float32 and x.size > traces.MIN_ELEMENTS:
                    sent[int(match[1])][match[2]] = np.ascontiguousarray(x)
    if not sent:
        raise SystemExit(f"{path} does not hold what every client sends, as `record.py --clients {CLIENTS}` does")
    return schemes.Round(path.stem, [sent[client] for client in sorted(sent)])


# ---- measuring -------------------------------------------------------------------------------


def measure(round_, name, scheme, seeds):
    """Rows of one network and scheme: means over seeds, and how far the errors of the seeds lie apart."""
    found = defaultdict(list)
    for seed in range(seeds if scheme.random else 1):
        for point in scheme.points(round_, seed):
            found[point.curve, point.setting].append((point.bits, round_.error(point.estimate)))
    for (curve, setting), values in found.items():
        bits, errors = np.array(values).T
        yield dict(network=round_.network, scheme=name, curve=curve, setting=setting, bits=float(bits.mean()),
                   error=float(errors.mean()), spread=float(errors.max() / errors.min() - 1))


def measure_all(folder, wanted, networks, seeds):
    """Rows of every network, and failures."""
    rows, failures, clients = [], [], 0
    for path in traces.trace_files(folder)[:networks]:
        round_ = load(path)
        clients = len(round_.clients)
        for name, scheme in wanted.items():
            start = time.perf_counter()
            try:
                rows += measure(round_, name, scheme, seeds)
            except Exception as reason:         # a failure is a result: recorded, and the run goes on
                failures.append(f"{round_.network}: {name}: {type(reason).__name__}: {reason}")
            print(f"{round_.network} {name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return rows, failures, clients


# ---- budgets ---------------------------------------------------------------------------------


def interpolated(points, bits):
    """The error at so many bits of a curve [(bits, error)], in logarithms; nan where it does not reach."""
    xs, ys = np.log(np.array(sorted(points))).T
    return float(np.exp(np.interp(math.log(bits), xs, ys, math.nan, math.nan)))


def least(values):
    """nan only where there is no number."""
    return min((v for v in values if not math.isnan(v)), default=math.nan)


class Findings:
    def __init__(self, rows):
        self.networks = list(dict.fromkeys(row["network"] for row in rows))
        self.schemes = list(dict.fromkeys(row["scheme"] for row in rows))
        self._curves = defaultdict(lambda: defaultdict(list))
        for row in rows:
            self._curves[row["network"], row["scheme"]][row["curve"]].append((row["bits"], row["error"]))

    def error(self, network, scheme, bits):
        return least(interpolated(points, bits) for points in self._curves[network, scheme].values())

    def errors(self, scheme, bits):
        """Of each network."""
        return [self.error(network, scheme, bits) for network in self.networks]

    def better(self, level, slots, bits):
        """The better of dithered and shrunk against EDEN, for each network."""
        ours = [self.errors(schemes.name_of(grid, level, slots), bits) for grid in ("dithered", "shrunk")]
        return [least(pair) / other for *pair, other in zip(*ours, self.errors(OTHER, bits))]

    def has(self, level, slots):
        """Whether there is something to hold against EDEN."""
        ours = {schemes.name_of(grid, level, slots) for grid in ("dithered", "shrunk")}
        return OTHER in self.schemes and bool(ours & set(self.schemes))


def mean_of(values):
    values = list(values)
    return report.geometric_mean(values) if not any(map(math.isnan, values)) else math.nan


# ---- tables and bars -------------------------------------------------------------------------

HEAD = [f"{bits:g} bits" for bits in schemes.BUDGETS]
LEVELS = ("best", "balanced")
MEAN_BARS = {False: 0.8, True: 0.65}    # against EDEN, without and with slots, `best`


def summary_table(findings, relative, known):
    """Geometric means over networks at each budget, or their ratio to EDEN's."""
    rows = []
    for name in findings.schemes:
        means = [mean_of(findings.errors(name, bits)) / (mean_of(findings.errors(OTHER, bits)) if relative else 1)
                 for bits in schemes.BUDGETS]
        rows.append([name + (" (biased)" if known[name].biased else ""), *map(report.number, means)])
    return report.table(["scheme", *HEAD], rows)


def better_table(findings, level, slots):
    by_budget = [findings.better(level, slots, bits) for bits in schemes.BUDGETS]
    rows = [[network, *[report.number(ratios[i]) for ratios in by_budget]]
            for i, network in enumerate(findings.networks)]
    return report.table(["network", *HEAD], [*rows, ["geometric mean", *[report.number(mean_of(r)) for r in by_budget]]])


def bars_of(findings):
    bars = []
    for slots, asked in MEAN_BARS.items():
        for bits in schemes.BUDGETS if findings.has("best", slots) else ():
            ratios = dict(zip(findings.networks, findings.better("best", slots, bits)))
            what = f"{bits:g} bits{', slots' * slots}: error against EDEN"
            bars.append(report.Bar(what, asked, mean_of(ratios.values()), at_most=True))
            worst = max(ratios, key=lambda network: math.inf if math.isnan(ratios[network]) else ratios[network])
            bars.append(report.Bar(f"{what}, worst network", 1, ratios[worst], at_most=True, note=f" ({worst})"))
    return bars


def markdown(findings, known, header, bars, failures):
    parts = ["# Mean of updates", "\n".join(f"- {line}" for line in header[:-1]), header[-1], "![error](mean.png)",
             "## Error, geometric mean over networks", summary_table(findings, False, known)]
    if OTHER in findings.schemes:
        parts += ["## Error against EDEN", summary_table(findings, True, known)]
        for level in LEVELS:
            for slots in (True, False):
                if findings.has(level, slots):
                    parts += [f"## Better of dithered and shrunk against EDEN, `{level}`, {'with' if slots else 'no'} slots",
                              better_table(findings, level, slots)]
    parts += ["## Failures", "\n".join(f"- {line}" for line in failures) or "none"]
    if bars:
        parts += ["## Bars", "`best`, the better of dithered and shrunk on each network, geometric means over networks.",
                  report.bar_table(bars)]
    return "\n\n".join(parts) + "\n"


def write_rows(path, rows, header):
    with open(path, "w", newline="") as file:
        file.writelines(f"# {line}\n" for line in header)
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({column: f"{value:.5g}" if isinstance(value, float) else value for column, value in row.items()}
                         for row in rows)


# ---- command ---------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds", nargs="?", help="folder of traces of all clients (default: record them)")
    parser.add_argument("--out", default="bench/results", help="folder of the results (default: %(default)s)")
    parser.add_argument("--schemes", help="comma-separated names (default: all)")
    parser.add_argument("--networks", type=int, help="how many of the traces (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one network, few schemes, one seed: does it run?")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    return run.parsed(parser, QUICK)


def chosen(names):
    """{name: Scheme} of those asked for."""
    try:
        known = schemes.available(peers.sz3_codecs()["sz3"])
    except ImportError as reason:
        print(f"skipped pysz: {reason}", file=sys.stderr)
        known = schemes.available()
    return run.choose(known, names)


def main():
    args = arguments()
    out = Path(args.out)
    wanted = chosen(args.schemes)
    folder = args.rounds or recorded_rounds()
    environment = timing.environment()
    rows, failures, clients = measure_all(folder, wanted, args.networks, args.seeds)
    findings = Findings(rows)
    header = [f"{what}: {value}" for what, value in environment]
    header += [f"networks: {', '.join(findings.networks)}",
               METHOD.format(clients=clients, minimum=traces.MIN_ELEMENTS, seeds=args.seeds, value=schemes.VALUE_BITS)]
    bars = bars_of(findings)
    text = markdown(findings, wanted, header, bars, failures)
    out.mkdir(parents=True, exist_ok=True)
    write_rows(out / "mean.csv", rows, [line for item in header for line in item.splitlines()])
    (out / "mean.md").write_text(text)
    try:
        from plot import plot_means
        plot_means(findings, wanted, out / "mean.png")
    except ImportError as reason:
        print(f"no picture: {reason}", file=sys.stderr)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
