"""Tensors that a codec for model updates may do badly on: bits, ratio and time at each level.

    python bench/pathologies.py [--levels fast,balanced,best] [--bounds rel1e-2,rms1] [--out bench/results]

Writes pathologies.md. Every tensor is a message of its own; nanoseconds an element are wall time, median over turns.
"""
import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import messages                 # first: it sets the number of threads of what is imported later
import report
import run
import timing
import traces

import gradsz
import numpy as np

METHOD = """\
float32, one thread on one core. Levels take turns ({reps} times), each turn one untimed and one timed call of
compress_tensors, then of decompress_tensors. `x raw` is the ratio, raw bytes over written bytes; `x fast` is the
bytes of `fast` over the bytes written. The bound of a tensor with an outlier is that of its other values: its own
range or root mean square would be the outlier's. `not kept` counts finite values beyond the bound and others that did
not come back bit for bit."""

LEVELS = "fast,balanced,best"
BOUNDS = "rel1e-2,rms1"
HEAD = ["tensor", "shape", "bound", "level", "bits/value", "x raw", "x fast", "in ns", "out ns", "not kept"]
QUICK = dict(bounds="rms1", reps=2, scale=10)

# ---- tensors ---------------------------------------------------------------------------------


def generator():
    return np.random.default_rng(8)


def noise(*shape):
    """White noise: nothing to model."""
    return generator().standard_normal(shape, np.float32)


def update(*shape):
    """Heavy-tailed values (Student t, 4 degrees of freedom), each row with a scale of its own."""
    rng = generator()
    scales = rng.lognormal(0, 1, (shape[0], *[1] * (len(shape) - 1)))
    return (rng.standard_t(4, shape) * scales).astype(np.float32)


def embedding(rows, columns):
    """One row in twenty was looked up; the others did not change."""
    x = update(rows, columns)
    x[generator().random(rows) >= 0.05] = 0
    return x


def constant_rows(rows, columns):
    return np.repeat(noise(rows, 1), columns, axis=1)


def outlier(rows, columns):
    """One value a million times as large as any other."""
    x = update(rows, columns)
    x[rows // 2, columns // 2] = 1e6 * np.abs(x).max()
    return x


def spotted(value, rows, columns):
    """One value in a hundred is not finite."""
    x = update(rows, columns)
    spots = generator().random(x.shape) < 0.01
    x[spots] = np.copysign(np.float32(value), x[spots])
    return x


def row_of_nan(rows, columns):
    x = update(rows, columns)
    x[rows // 2] = np.nan
    return x


def without_largest(x):
    size = np.abs(x)
    return x[size < size.max()]


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable
    shape: tuple
    bounded_by: Callable = lambda x: x      # the values that rel and rms are taken of

    def build(self, scale):
        """The tensor; its longest side is cut `scale` times where it is long."""
        longest = max(self.shape)
        return self.make(*[side // scale if side == longest >= 1000 * scale else side for side in self.shape])


CASES = (
    Case("white noise", noise, (1000, 1000)),
    Case("embedding, 95 % zero rows", embedding, (20_000, 64)),
    Case("1x1 convolution", update, (512, 512, 1, 1)),
    Case("1x1 convolution, small", update, (64, 32, 1, 1)),
    Case("depthwise convolution", update, (512, 1, 3, 3)),
    Case("one column", noise, (100_000, 1)),
    Case("one row", noise, (1, 100_000)),
    Case("10^7 x 2", update, (10_000_000, 2)),
    Case("2 x 10^7", update, (2, 10_000_000)),
    Case("constant rows", constant_rows, (1000, 1000)),
    Case("one outlier of 10^6 x", outlier, (1000, 1000), without_largest),
    Case("1 % NaN", partial(spotted, np.nan), (1000, 1000)),
    Case("1 % infinities", partial(spotted, np.inf), (1000, 1000)),
    Case("a row of NaN", row_of_nan, (1000, 1000)),
)

# ---- measuring -------------------------------------------------------------------------------


def not_kept(x, y, eb):
    """How many finite values are farther than eb from their original, and others not the same bits."""
    finite = np.isfinite(x)
    near = np.abs(y[finite].astype(np.float64) - x[finite].astype(np.float64)) <= eb
    same = y[~finite].view(np.uint32) == x[~finite].view(np.uint32)
    return int(np.count_nonzero(~near) + np.count_nonzero(~same))


def measure(x, eb, levels, reps):
    """{level: (bytes, values not kept, ns in, ns out)}, and {level: failure}."""
    found, entries, failures = {}, {}, {}
    for level in levels:
        compress = partial(gradsz.compress_tensors, {"x": x}, eb, mode="abs", **messages.level_options(level))
        try:
            stream = compress()
            broken = not_kept(x, gradsz.decompress_tensors(stream)["x"], eb)
        except Exception as reason:             # a failure is a result: recorded, and the run goes on
            failures[level] = f"{type(reason).__name__}: {reason}"
            continue
        found[level] = len(stream), broken
        entries[level] = timing.Entry([compress, partial(gradsz.decompress_tensors, stream)])
    timing.interleave(entries.values(), reps)
    return {level: (*found[level], *[clock.median / x.size for clock in entry.clocks])
            for level, entry in entries.items()}, failures


def rows_of(case, bounds, levels, reps, scale):
    """Rows of the table and failures of one tensor."""
    x = case.build(scale)
    rows, failures = [], []
    for bound in bounds:
        eb = traces.absolute_bound(case.bounded_by(x), bound)
        found, failed = measure(x, eb, levels, reps)
        for level, (written, broken, ns_in, ns_out) in found.items():
            against_fast = found["fast"][0] / written if "fast" in found else None
            figures = (8 * written / x.size, x.nbytes / written, against_fast, ns_in, ns_out)
            rows.append([case.name, "x".join(map(str, x.shape)), bound, level, *map(report.number, figures), broken])
        failures += [f"{case.name} {bound} {level}: {why}" for level, why in failed.items()]
    return rows, failures


# ---- command ---------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench/results", help="folder of pathologies.md (default: %(default)s)")
    parser.add_argument("--levels", default=LEVELS, help="LEVEL or LEVEL-PREDICTOR, ... (default: %(default)s)")
    parser.add_argument("--bounds", default=BOUNDS, help="default: %(default)s")
    parser.add_argument("--reps", type=int, default=3, help="turns (default: %(default)s)")
    parser.add_argument("--scale", type=int, default=1, help="cut long sides so many times (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small tensors, one bound, two turns: does it run?")
    return run.parsed(parser, QUICK)


def main():
    args = arguments()
    levels, refused = messages.known(args.levels.split(","))
    environment = timing.environment()
    rows, failures = [], refused
    with timing.quiet():
        for case in CASES:
            measured, failed = rows_of(case, args.bounds.split(","), levels, args.reps, args.scale)
            rows += measured
            failures += failed
            print(f"{case.name}: done", file=sys.stderr, flush=True)
    text = report.page("Pathologies", environment, METHOD.format(reps=args.reps), report.table(HEAD, rows),
                       "## Failures", "\n".join(f"- {line}" for line in failures) or "none")
    report.save(args.out, "pathologies.md", text)
    print(text)


if __name__ == "__main__":
    main()
