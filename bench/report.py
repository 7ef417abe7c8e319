"""Tables and bars from the rows of a run.

Totals are taken per trace (its raw bytes over its written bytes, the sum of its tensors' times), then
averaged geometrically over traces, so that each model counts alike. A codec that failed on a tensor of
a trace is left out of that trace.
"""
import math
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

BASELINE = "sz3"                # what speeds are compared with
OURS = "gradsz"
H0, COPY = "H0", "memory-copy"  # the limits: order-0 entropy, and moving the bytes
WAYS = ("compress", "decompress")


def page(title, environment, *parts):
    """A page of results: title, where it was measured, and parts."""
    return "\n\n".join([f"# {title}", "\n".join(f"- {what}: {value}" for what, value in environment), *parts])


def save(folder, name, text):
    """A page into a file of a folder, which is made; returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text + "\n")
    return folder


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values and min(values) > 0 else math.nan


@dataclass
class Total:
    """Sums over the tensors of one trace at one bound."""
    tensors: int = 0
    raw: int = 0
    written: float = 0.0
    us: dict = None             # {column of times: sum in microseconds}


class Results:
    """Rows of a run by (bound, codec, trace)."""

    def __init__(self, rows):
        self.rows = rows
        self.bounds = list(dict.fromkeys(row["bound"] for row in rows))
        self.codecs = list(dict.fromkeys(row["codec"] for row in rows))
        self.traces = list(dict.fromkeys(row["trace"] for row in rows))
        self._totals = self._sum(rows)

    @staticmethod
    def _sum(rows):
        totals = defaultdict(lambda: Total(us=defaultdict(float)))
        for row in rows:
            total = totals[row["bound"], row["codec"], row["trace"]]
            total.tensors += 1
            total.raw += 4 * row["n"]
            total.written += row["bytes"]
            for column, value in row.items():
                if column.endswith("_us"):
                    total.us[column] += value
        return {key: total for key, total in totals.items()
                if total.tensors == totals[key[0], H0, key[2]].tensors}

    def ratios(self, bound, codec):
        """{trace: raw bytes / written bytes}"""
        return {t: total.raw / total.written for t in self.traces
                if (total := self._totals.get((bound, codec, t))) and total.written}

    def times(self, bound, codec, way, clock="wall_med"):
        """{trace: microseconds of its tensors together}"""
        column = f"{way}_{clock}_us"
        return {t: total.us[column] for t in self.traces
                if (total := self._totals.get((bound, codec, t))) and column in total.us}

    def ratio(self, bound, codec):
        return geometric_mean(self.ratios(bound, codec).values())

    def speed(self, bound, codec, way):
        """MB/s, MB = 1e6 bytes of raw tensor."""
        times = self.times(bound, codec, way)
        return geometric_mean(self._totals[bound, codec, t].raw / us for t, us in times.items())

    def faster(self, bound, codec, way, clock="wall_med"):
        """How many times as fast as the baseline, on the traces that both did."""
        ours, theirs = self.times(bound, codec, way, clock), self.times(bound, BASELINE, way, clock)
        return geometric_mean(theirs[t] / us for t, us in ours.items() if t in theirs)

    def errors(self, bound, codec):
        """Largest error, largest bias, mean square over all values, values beyond eb; None for the limits."""
        rows = [r for r in self.rows if r["bound"] == bound and r["codec"] == codec and "worst_over_eb" in r]
        if not rows:
            return None
        count = sum(r["n"] for r in rows)
        return (max(r["worst_over_eb"] for r in rows), max(abs(r["mean_over_eb"]) for r in rows),
                sum(r["mse_over_eb2"] * r["n"] for r in rows) / count, sum(r["over"] for r in rows))


# ---- tables ----------------------------------------------------------------------------------


def number(value, digits=3):
    """`digits` significant digits, no exponent for everyday sizes, a dash for nothing."""
    if value is None or not math.isfinite(value):
        return "-"
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if not -4 <= magnitude < 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(0, digits - 1 - magnitude)}f}"


def table(head, rows):
    """A markdown table whose columns line up as text too: first column left, the rest right."""
    cells = [list(head), *[list(map(str, row)) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))) + " |"
             for row in cells]
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def summary_table(results, bound):
    rows = []
    for codec in results.codecs:
        ratio = results.ratio(bound, codec)
        worst, bias, square, over = results.errors(bound, codec) or (None,) * 4
        rows.append([codec, number(ratio), number(ratio / results.ratio(bound, H0)),
                     *[number(results.speed(bound, codec, way)) for way in WAYS],
                     *[number(results.faster(bound, codec, way)) for way in WAYS],
                     "-" if worst is None else f"{worst:.7g}", number(bias, 2), number(square, 2),
                     "-" if over is None else over])
    return table(["codec", "ratio", "/ H0", "in MB/s", "out MB/s", f"in x {BASELINE}", f"out x {BASELINE}",
                  "worst/eb", "bias/eb", "mse/eb2", "over eb"], rows)


def ratio_table(results, bound):
    rows = []
    for codec in results.codecs:
        if codec != COPY:
            ratios = results.ratios(bound, codec)
            rows.append([codec, *[number(ratios.get(t)) for t in results.traces]])
    return table(["codec", *results.traces], rows)


# ---- bars ------------------------------------------------------------------------------------

BAR_BOUNDS = ("rel1e-3", "rel1e-2", "rel3e-2", "rel1e-1")


@dataclass(frozen=True)
class Bar:
    what: str
    asked: float
    measured: float
    unit: str = "x"
    at_most: bool = False
    note: str = ""

    @property
    def met(self):
        return self.measured <= self.asked if self.at_most else self.measured >= self.asked

    def row(self):
        sign = "<=" if self.at_most else ">="
        return [self.what, f"{sign} {self.asked:g} {self.unit}", f"{number(self.measured, 4)} {self.unit}{self.note}",
                "yes" if self.met else "NO"]


def ratio_and_speed_bars(results):
    bars = []
    have = set(results.codecs)
    for bound in (b for b in BAR_BOUNDS if b in results.bounds):
        ours = results.ratio(bound, OURS)
        for other in (H0, "sz3-nopred"):
            if other in have:
                bars.append(Bar(f"{bound}: ratio against {other}", 0.97, ours / results.ratio(bound, other)))
        if BASELINE in have:
            for way, asked in zip(WAYS, (5.0, 3.5)):
                fastest = results.faster(bound, OURS, way, "wall_min")
                bars.append(Bar(f"{bound}: {way} speed against {BASELINE}", asked,
                                results.faster(bound, OURS, way), note=f" (of minima {number(fastest)})"))
        over = results.errors(bound, OURS)[3]
        bars.append(Bar(f"{bound}: values beyond the bound", 0, over, "", at_most=True))
    return bars


def call_bars(calls):
    """From {codec: {way: Clock}} of calls.measure."""
    if OURS not in calls or BASELINE not in calls:
        return []
    return [Bar(f"{way} call of 1,000 float32 against {BASELINE}", round(1 / 3, 4),
                calls[OURS][way].median / calls[BASELINE][way].median, at_most=True) for way in WAYS]


def footprint_bars(startup_ms, wheel_bytes):
    bars = []
    if startup_ms is not None:
        bars.append(Bar("import and first call beyond numpy", 150, startup_ms, "ms", at_most=True))
    if wheel_bytes is not None:
        bars.append(Bar("wheel", 1, wheel_bytes / 1e6, "MB", at_most=True))
    return bars


def bar_table(bars):
    return table(["bar", "asked", "measured", "met"], [bar.row() for bar in bars])


def conclude(text, bars, strict):
    """Print a report; where that is asked for, a bar that is missed, or none at all, ends in failure."""
    print(text)
    if strict and not (bars and all(bar.met for bar in bars)):
        sys.exit(1)
