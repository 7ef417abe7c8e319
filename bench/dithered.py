"""Random offsets: the dithered and shrunk grids beside the entropy of dithered bins, and decoding beside SZ3.

    python bench/dithered.py TRACES [--bars] [--out bench/results]

Writes dithered.md. TRACES as for run.py; the last round of each, level best, one message.
"""
import argparse

import peers                    # first: it sets the number of threads of what is imported later
import report
import timing
import traces

import gradsz
import numpy as np

METHOD = """\
Float32 tensors of more than {minimum:,} elements, last round, eb = so many times the root mean square of a tensor. H0: order-0
entropy of the dithered bins rint(x / 2eb - u), u a random offset in a bin, with a table for each half octave of the offset's
distance to the edge of its bin (5 bits a symbol that occurs) and tensor; which rows are zeros is told, and they are free. gradsz: bytes of a whole message.
Decoding: CPU time, SZ3 once a tensor at the same eb, {reps} times in turn, the least of each."""

BOUNDS = {1: 1.5, 2: 1.3, 4: 1.1, 8: 1.0, 16: 1.0}     # multiples of the root mean square: ratio asked for, over H0
REPS = 5


# ---- entropy ---------------------------------------------------------------------------------


def entropy_bits(symbols):
    _, counts = np.unique(symbols, return_counts=True)
    return float((counts * np.log2(counts.sum() / counts)).sum()), len(counts)


def edge_class(u):
    """Offsets by the distance to the nearer edge of the bin, in half octaves."""
    return np.clip(np.floor(-2 * np.log2(np.maximum(1 - 2 * np.abs(u), 1e-3))), 0, 13).astype(int)


def dithered_bits(x, eb, rng):
    """H0 of a tensor."""
    rows = x.reshape(x.shape[0], -1) if x.ndim > 1 else x.reshape(1, -1)
    live = (rows != 0).any(axis=1)
    bits = entropy_bits(live)[0]
    t = rows[live] / (2 * eb)
    u = rng.random(t.shape) - 0.5
    bins, classes = np.rint(t - u) * np.where(u > 0, -1, 1), edge_class(u)
    for k in np.unique(classes):
        entropy, symbols = entropy_bits(bins[classes == k])
        bits += entropy + 5 * symbols
    return bits


# ---- a trace ---------------------------------------------------------------------------------


def measure(tensors, factor, sz3):
    """Bytes of H0, of both grids at their own bound, of the shrunk grid with the dithered bins; seconds of decoding."""
    update = {t.name: t.values for t in tensors}
    bounds = {name: traces.absolute_bound(x, f"rms{factor}") for name, x in update.items()}
    rng = np.random.default_rng(factor)
    found = {"raw": sum(x.nbytes for x in update.values()),
             "h0": sum(dithered_bits(x, bounds[name], rng) for name, x in update.items()) / 8}
    messages = {}
    for grid, times in (("dithered", 1), ("shrunk", 2)):       # shrunk: within eb, from bins half as wide
        messages[grid] = gradsz.compress_tensors(update, times * factor, mode="rms", lossy=lambda *_: True, level="best", grid=grid, seed=1)
        found[grid] = len(messages[grid])
    if sz3 is not None:
        coded = {name: sz3.compress(x, bounds[name]) for name, x in update.items()}
        entries = [timing.Entry([lambda: gradsz.decompress_tensors(messages["dithered"])]),
                   timing.Entry([lambda: [sz3.decompress(coded[name], x.shape, x.dtype) for name, x in update.items()]])]
        timing.interleave(entries, REPS)
        found["ours"], found["sz3"] = (min(entry.clocks[0].cpu) for entry in entries)
    return found


def section(factor, found):
    """found: {trace: measured}"""
    raw = {trace: f["raw"] for trace, f in found.items()}
    columns = {"H0": "h0", "dithered": "dithered", "shrunk, same bins": "shrunk"}
    rows = [[trace, *[report.number(raw[trace] / f[c]) for c in columns.values()], report.number(f["h0"] / f["dithered"]),
             report.number(f["sz3"] / f["ours"]) if "sz3" in f else ""] for trace, f in found.items()]
    over = report.geometric_mean(f["h0"] / f["dithered"] for f in found.values())
    cost = report.geometric_mean(f["shrunk"] / f["dithered"] for f in found.values())
    bars = [report.Bar(f"rms {factor}: dithered over H0", BOUNDS[factor], over),
            report.Bar(f"rms {factor}: shrunk with the same bins, bytes over dithered", 1, cost, at_most=True)]
    rows.append(["geometric mean", *[report.number(report.geometric_mean(raw[t] / f[c] for t, f in found.items())) for c in columns.values()],
                 report.number(over)])
    if all("sz3" in f for f in found.values()):
        speed = report.geometric_mean(f["sz3"] / f["ours"] for f in found.values())
        rows[-1].append(report.number(speed))
        bars.append(report.Bar(f"rms {factor}: decoding, x SZ3", 1, speed))
    return "\n\n".join([f"## rms {factor}", report.table(["trace", *columns, "dithered over H0", "decoding, x SZ3"], rows)]), bars


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", help="folder of .npz traces")
    parser.add_argument("--out", default="bench/results", help="folder of dithered.md (default: %(default)s)")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    args = parser.parse_args()
    environment = timing.environment()
    sz3 = peers.available().get("sz3")
    files = [(path.stem, traces.load(path, 1)) for path in traces.trace_files(args.traces)]
    parts, bars = [], []
    for factor in BOUNDS:
        text, more = section(factor, {trace: measure(tensors, factor, sz3) for trace, tensors in files})
        parts.append(text)
        bars += more
        print(text, flush=True)
    text = report.page("Random offsets", environment, METHOD.format(minimum=traces.MIN_ELEMENTS, reps=REPS), *parts, "## Bars", report.bar_table(bars))
    report.save(args.out, "dithered.md", text)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
