"""The quantisers of papers on recorded updates: code lengths, speed, and distortion at equal bytes.

    python bench/papers.py [TRACES] [--rounds 1] [--quick] [--out bench/results]

Writes papers.csv (a row for each trace, scheme and setting: bits an entry, distortions), papers.md (tables, bars) and papers.png. Without
TRACES it takes those of run.py. Convex problems: convex.py.
"""
import argparse
import math
import sys
import time
from collections import defaultdict
from pathlib import Path

import report
import run
import timing
import traces

import numpy as np

import gradsz

METHOD = """\
Tensors of more than {minimum:,} elements of the last {rounds} rounds of each trace, one message a round. Bits an entry: of the message, everything
counted, for gradsz, Sparse Dithering, Spherical and M22. The others are counted in their favour: no header, positions at log2 C(d, K) (Top-K),
the entropy of their symbols (uniform, QSGD), 4 bytes a tensor for a scale. d_m = sum |x|^m (x - x')^2 / sum |x|^(m + 2) over all entries of a round; mean of
the logarithm over rounds. At equal bits: the least d_m of a scheme's settings by interpolation in log d_m and bits, `-` where it does not
reach. Unary: the code of Sparse Dithering's paper (docs/quantisers.md), per tensor; the worst case likewise."""

BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0)
NUS = (0.1, 0.25, 0.5, 1.0)
POWERS = (0, 1, 2, 4)
COLUMNS = ["trace", "scheme", "setting", "bits", *[f"d{m}" for m in POWERS]]


def rounds_of(path, count):
    """{name: array} of each of the last rounds."""
    found = defaultdict(dict)
    for tensor in traces.load(path, count):
        found[tensor.round][tensor.name] = tensor.values
    return list(found.values())


def flat(tensors):
    return np.concatenate([np.asarray(t, np.float64).ravel() for t in tensors.values()])


def entropy_bits(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / symbols.size)).sum())


def log2_choose(n, k):
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


# ---- schemes: setting, bits, decoded values of a round

def by_gradsz(tensors, settings):
    for setting, bound, options in settings:
        message = gradsz.compress_tensors(tensors, bound, lossy=lambda *_: True, **options)
        yield setting, 8 * len(message), flat(gradsz.decompress_tensors(message))


def m22(tensors):
    yield from by_gradsz(tensors, [(f"{b} bits, m {m}, keep {k:g}", gradsz.M22(b, m, keep=k), {})
                                   for b in (1, 2, 3, 4, 6) for m in (0, 1, 2, 4) for k in (0.002, 0.01, 0.03, 0.1, 0.3, 0.6, 1)])


def sparse_dithering(tensors):
    yield from by_gradsz(tensors, [(f"nu {nu:g}", gradsz.SparseDithering(nu), {}) for nu in (1e-4, 3e-4, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)])


def bounded(tensors):
    yield from by_gradsz(tensors, [(f"rms {b:g}", b, {"mode": "rms"}) for b in (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 4, 6, 10)])


def uniform(tensors):
    """2^R + 1 levels from -max to max of each tensor."""
    for bits in range(1, 9):
        used, out = 0.0, []
        for x in tensors.values():
            step = 2 * float(np.abs(x).max()) / 2**bits or 1.0
            k = np.rint(x.ravel().astype(np.float64) / step)
            used += 32 + entropy_bits(k)
            out.append(k * step)
        yield f"{bits} bits", used, np.concatenate(out)


def top_k(tensors):
    x = flat(tensors)
    order = np.argsort(-np.abs(x))
    for part in (0.003, 0.01, 0.02, 0.05, 0.1):
        k = max(1, int(part * x.size))
        y = np.zeros_like(x)
        y[order[:k]] = x[order[:k]].astype(np.float16)
        yield f"{part:g}", 16 * k + log2_choose(x.size, k), y


def qsgd(tensors):
    rng = np.random.default_rng(0)
    for levels in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        used, out = 0.0, []
        for x in tensors.values():
            v = x.ravel().astype(np.float64)
            norm = float(np.linalg.norm(v)) or 1.0
            k = np.sign(v) * np.floor(np.abs(v) / norm * levels + rng.random(v.size))
            used += 32 + entropy_bits(k)
            out.append(k * norm / levels)
        yield f"{levels} levels", used, np.concatenate(out)


SCHEMES = {"M22": m22, "uniform, entropy": uniform, "Top-K + fp16": top_k, "QSGD": qsgd, "gradsz, bound rms": bounded, "Sparse Dithering": sparse_dithering}


def measure(trace, updates):
    """Rows of a trace: bits an entry and distortions, averaged over rounds."""
    for name, scheme in SCHEMES.items():
        found = defaultdict(list)
        for tensors in updates:
            x = flat(tensors)
            size = np.abs(x) / np.abs(x).max()
            for setting, bits, y in scheme(tensors):
                error = ((x - y) / np.abs(x).max()) ** 2
                found[setting].append([bits / x.size, *[float(np.sum(size**m * error) / np.sum(size ** (m + 2))) for m in POWERS]])
        for setting, values in found.items():
            bits, *d = np.array(values).T
            yield dict(zip(COLUMNS, (trace, name, setting, float(bits.mean()), *[float(np.exp(np.log(v).mean())) for v in d]), strict=True))
        print(trace, name, flush=True)


def at_budget(points, budget):
    """The least distortion at so many bits: on the lower hull of the settings, not beyond them."""
    points = sorted(points)
    reached = [d for bits, d in points if bits <= budget]
    if not reached or points[-1][0] < budget:
        return math.nan
    below = min((p for p in points if p[0] <= budget), key=lambda p: p[1])
    ahead = [(b, d) for b, d in points if b > budget and d < below[1]]
    mixed = [math.log(below[1]) + (math.log(d) - math.log(below[1])) * (budget - below[0]) / (b - below[0]) for b, d in ahead]
    return math.exp(min(mixed, default=math.log(below[1])))


def distortions(rows, m):
    """{scheme: mean over the traces at each budget}; NaN where one does not reach it."""
    names = list(dict.fromkeys(row["trace"] for row in rows))
    found = {}
    for scheme in SCHEMES:
        points = {t: [(float(r["bits"]), float(r[f"d{m}"])) for r in rows if r["trace"] == t and r["scheme"] == scheme] for t in names}
        found[scheme] = [math.exp(np.mean(np.log([at_budget(points[t], budget) for t in names]))) for budget in BUDGETS]
    return found


def distortion_table(curves, m):
    return report.table([f"d_{m} at bits an entry", *map(str, BUDGETS)], [
        [scheme, *["-" if math.isnan(v) else report.number(v) for v in values]] for scheme, values in curves[m].items()])


# ---- Sparse Dithering against its paper's code; speed

def code_lengths(updates):
    """{nu: (used, unary, enumerative bits of all tensors, largest used / worst case)}."""
    found = {}
    for nu in NUS:
        q, sums, largest = gradsz.SparseDithering(nu), np.zeros(3), 0.0
        for tensors in updates:
            message = gradsz.compress_tensors(tensors, q)
            lengths = gradsz.code_length(message).values()
            sums += [8 * len(message), sum(v.unary for v in lengths), sum(v.enumerative for v in lengths)]
            for x in tensors.values():
                largest = max(largest, 8 * len(gradsz.compress(x, q)) / q.worst_case_bits(x.size))
        found[nu] = *sums, largest
    return found


def speeds(x, reps):
    """MB/s of compress and decompress, of processor time: best of some."""
    for q, part in ((gradsz.SparseDithering(0.25), 1), (gradsz.SparseDithering(0.25, unbiased=True), 1), (gradsz.M22(1), 1), (gradsz.M22(3, 2, keep=1), 1),
                    (gradsz.M22(6, 4, keep=1), 1), (gradsz.Spherical(0.5, 8), 50), (gradsz.Spherical(0.7, 12), 50)):
        v = x.ravel()[: x.size // part]
        v = v.reshape(-1, x.shape[1]) if part == 1 else v
        times = []
        for _ in range(reps):
            start = time.process_time()
            message = gradsz.compress(v, q)
            middle = time.process_time()
            gradsz.decompress(message)
            times.append((middle - start, time.process_time() - middle))
        yield q, *[v.nbytes / 1e6 / min(t) for t in zip(*times, strict=True)], 8 * len(message) / v.size


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("traces", nargs="?")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one trace: does it run?")
    parser.add_argument("--out", default="bench/results")
    args = parser.parse_args()
    head = [f"{what}: {value}" for what, value in timing.environment()]
    files = traces.trace_files(args.traces or run.recorded_traces())[:1 if args.quick else None]
    rows, lengths = [], {}
    for path in files:
        updates = rounds_of(path, args.rounds)
        lengths[path.stem] = code_lengths(updates)
        rows += measure(path.stem, updates)
    fast = list(speeds(np.random.default_rng(0).laplace(size=(2000, 5000)).astype(np.float32), args.reps))
    total = {nu: np.sum([found[nu][:3] for found in lengths.values()], axis=0) for nu in NUS}
    worst = max(found[nu][3] for found in lengths.values() for nu in NUS)
    bars = [report.Bar(f"Sparse Dithering, nu {nu:g}: used / unary", 0.85, total[nu][0] / total[nu][1], at_most=True) for nu in NUS]
    bars.append(report.Bar("Sparse Dithering: used / worst case, largest of all tensors and nu", 1.0, worst, at_most=True))
    bars += [report.Bar(f"{str(q).split('  #')[0]}: compress", 100, inwards, "MB/s") for q, inwards, *_ in fast if not isinstance(q, gradsz.Spherical)]
    method = METHOD.format(minimum=traces.MIN_ELEMENTS, rounds=args.rounds)
    curves = {m: distortions(rows, m) for m in POWERS}
    sections = ["# Quantisers of papers", "\n".join(f"- {line}" for line in head), method,
                "## Sparse Dithering: bits used over the unary code", report.table(["", *[f"nu {nu:g}" for nu in NUS]], [
                    [name, *[f"{found[nu][0] / found[nu][1]:.3f}" for nu in NUS]] for name, found in lengths.items()]),
                "## Distortion at equal bits", *[distortion_table(curves, m) for m in POWERS],
                "## Speed", "10 million Laplacian float32 (Spherical: 200,000), one thread, processor time.",
                report.table(["", "in MB/s", "out MB/s", "bits an entry"], [
                    [str(q).split("  #")[0], f"{a:.0f}", f"{b:.0f}", f"{c:.2f}"] for q, a, b, c in fast]),
                "## Bars", report.bar_table(bars)]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    run.write_csv(out / "papers.csv", rows, [*head, *method.splitlines()], tuple(COLUMNS))
    (out / "papers.md").write_text("\n\n".join(sections) + "\n")
    try:
        from plot import plot_distortion
        plot_distortion(curves, BUDGETS, out / "papers.png")
    except ImportError as reason:
        print(f"no picture: {reason}", file=sys.stderr)
    print("\n\n".join(sections[3:]))


if __name__ == "__main__":
    main()
