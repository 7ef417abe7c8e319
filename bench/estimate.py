"""Estimates to measure the distance from: what an entropy estimator says a coder can reach on a trace.

A CSV with columns trace, bound, h0, s, sl: the bound as in `traces.BOUNDS`, then ratios (raw over estimated bytes) of
the trace's last round:

    h0      order-0 entropy of each tensor
    s       the structural model: scales and means predicted from what is decoded already
    sl      the same on top of a low-rank part
"""
import csv
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """Ratios of one trace at one bound."""
    h0: float
    s: float
    sl: float


def same(bound):
    """A key that rel1e-2 and rel0.01 share."""
    return bound[:3], float(bound[3:])


def load(path):
    """{(trace, key of the bound): Estimate}"""
    with open(path, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return {(row["trace"], same(row["bound"])): Estimate(float(row["h0"]), float(row["s"]), float(row["sl"]))
            for row in csv.DictReader(lines)}


def column(level):
    """Which estimate a level of gradsz is held against."""
    if level == "fast":
        return "h0"
    return "s" if level.endswith("-structure") else "sl"


def shares(estimates, results, bound, codec, level):
    """{trace: ratio / estimated ratio}; `results` hold the last round of each trace only."""
    return {trace: ratio / getattr(estimates[trace, same(bound)], column(level))
            for trace, ratio in results.ratios(bound, codec).items() if (trace, same(bound)) in estimates}
