"""References and history: what both ends have, in bytes.

    python bench/streams.py TRACES [--bars] [--out bench/results]

Writes streams.md. TRACES as for run.py, with global weights (`g<round>/...`) before the last round. If OUT/nnc.csv is there (nnc.py
writes it), history is held against NNC with its temporal contexts.
"""
import argparse
from pathlib import Path

import peers                    # first: it sets the number of threads of what is imported later
import messages
import report
import timing
import traces

import gradsz
import numpy as np

METHOD = """\
Float32 tensors of more than {minimum:,} elements. Weights: those after the last round, global weights plus the client's update, rel 1e-2 a
tensor, aligned grid; SZ3 (stock) and SZ 2 are called once a tensor with the same eb, names and shapes not counted. `same`: gradsz gives the same values with the
reference as without. History: bytes of the last two rounds of a stream that began with the first, against messages without history. NNC: bytes of
nnc-temporal, whose contexts come from the round before, over those of `best` with history 2, for the same tensors of the same two rounds."""

BOUND = 1e-2
ROUNDS = ("rel1e-1", "rel1e-2", "rms1", "rms2")
LAST = 2                        # rounds that count
TEMPORAL = "nnc-temporal"
AGAINST_NNC = 1.5


def arrays_of(archive, prefix):
    names = [key.split("/", 1)[1] for key in archive.files if key.startswith(prefix + "/")]
    found = {name: archive[f"{prefix}/{name}"] for name in names}
    return {name: np.ascontiguousarray(x) for name, x in found.items() if x.dtype == np.float32 and x.size > traces.MIN_ELEMENTS}


def numbers_of(archive, letter):
    return sorted({int(key.split("/")[0][1:]) for key in archive.files if key[0] == letter and key.split("/")[0][1:].isdigit()})


# ---- whole weights ---------------------------------------------------------------------------


def measure_weights(archive, codecs):
    """Bytes: of peers, of gradsz without and with the global weights; whether values are the same."""
    number = numbers_of(archive, "g")[-1]
    weights, updates = arrays_of(archive, f"g{number}"), arrays_of(archive, f"r{number}")
    sent = {name: weights[name] + x for name, x in updates.items() if name in weights}
    sizes = {"raw": sum(x.nbytes for x in sent.values())}
    for name, codec in codecs.items():
        sizes[name] = sum(len(codec.compress(x, traces.absolute_bound(x, f"rel{BOUND}"))) for x in sent.values())
    values = {}
    for level in ("balanced", "best"):
        for label, options in ((level, dict(grid="aligned")), (f"{level}, reference", dict(reference=weights))):
            message = gradsz.compress_tensors(sent, BOUND, level=level, **options)
            sizes[label] = len(message)
            values[label] = gradsz.decompress_tensors(message, reference=weights)
    first, *others = values.values()
    return sizes, all(np.array_equal(first[name], other[name]) for other in others for name in sent)


# ---- history ---------------------------------------------------------------------------------


def measure_history(archive, bound, level, history):
    """Bytes of the last rounds without and with history."""
    mode, value = bound[:3], float(bound[3:])
    plain = gradsz.Encoder(value, mode=mode, level=level, history=0)
    stream = gradsz.Encoder(value, mode=mode, level=level, history=history)
    decoder, sizes = gradsz.Decoder(), []
    for number in numbers_of(archive, "r"):
        update = arrays_of(archive, f"r{number}")
        message = stream.encode(update)
        decoder.decode(message)
        sizes.append((len(plain.encode(update)), len(message)))
    return [sum(pair) for pair in zip(*sizes[-LAST:])]


def bytes_of_nnc(rows, trace, archive, bound):
    """For the tensors and rounds that measure_history counts; None where other ones were measured, or none."""
    numbers = numbers_of(archive, "r")[-LAST:]
    found = {row["round"]: row for row in rows if (row["trace"], row["bound"], row["codec"]) == (trace, bound, TEMPORAL)}
    for number in numbers:
        tensors = arrays_of(archive, f"r{number}")
        if number not in found or found[number]["n"] != sum(x.size for x in tensors.values()):
            return None
    return sum(found[number]["bytes"] for number in numbers)


# ---- tables ----------------------------------------------------------------------------------


def weights_part(found):
    columns = [name for name in next(iter(found.values()))[0] if name != "raw"]
    rows = [[trace, *[report.number(sizes["raw"] / sizes[name]) for name in columns], "yes" if same else "NO"]
            for trace, (sizes, same) in found.items()]
    mean = [report.number(report.geometric_mean(sizes["raw"] / sizes[name] for sizes, _ in found.values())) for name in columns]
    bars = []
    for peer in ("sz3", "sz2"):
        if peer in columns:
            bars.append(report.Bar(f"best without reference, ratio against {peer}", 1.07, report.geometric_mean(
                s[peer] / s["best"] for s, _ in found.values())))
    if "sz3" in columns:
        gains = {trace: s["sz3"] / s["best, reference"] for trace, (s, _) in found.items()}
        bars += [report.Bar("best with reference, bytes of SZ3 over its own", 4.5, report.geometric_mean(gains.values())),
                 report.Bar("the same, worst trace", 1.95, min(gains.values()), note=f" ({min(gains, key=gains.get)})")]
    return report.table(["trace", *columns, "same"], [*rows, ["geometric mean", *mean, ""]]), bars


def history_part(found):
    """found: {(level, history): {bound: {trace: (without, with)}}}"""
    bars, parts = [], []
    for (level, history), bounds in found.items():
        names = list(next(iter(bounds.values())))
        rows = [[trace, *[report.number(bounds[b][trace][0] / bounds[b][trace][1]) for b in bounds]] for trace in names]
        means = {b: report.geometric_mean(a / c for a, c in bounds[b].values()) for b in bounds}
        parts += [f"### `{level}`, history {history}", report.table(["trace", *bounds], [*rows, ["geometric mean", *map(report.number, means.values())]])]
        if (level, history) == ("best", 2):
            bars.append(report.Bar("history at rel 1e-1, geometric mean", 1.08, means["rel1e-1"]))
            for bound, asked in (("rel1e-1", 1.5), ("rel1e-2", 1.08)):
                if "gru" in names:
                    a, c = bounds[bound]["gru"]
                    bars.append(report.Bar(f"history at {bound}, gru", asked, a / c))
            worst = min((a / c, f"{trace} at {b}") for b in bounds for trace, (a, c) in bounds[b].items())
            bars.append(report.Bar("history, worst trace and bound", 0.995, worst[0], note=f" ({worst[1]})"))
    return "\n\n".join(parts), bars


def nnc_part(history, nnc):
    """nnc: {bound: {trace: bytes or None}}"""
    ours = history["best", 2]
    gains = {bound: {trace: theirs / ours[bound][trace][1] for trace, theirs in found.items() if theirs} for bound, found in nnc.items()}
    if not all(gains.values()):
        return "nnc.py was not run on these traces.", []
    means = {bound: report.geometric_mean(by_trace.values()) for bound, by_trace in gains.items()}
    rows = [[trace, *[report.number(by_trace.get(trace)) for by_trace in gains.values()]] for trace in next(iter(nnc.values()))]
    bars = [report.Bar(f"best with history at {bound}, bytes of {TEMPORAL} over its own", AGAINST_NNC, mean) for bound, mean in means.items()]
    return report.table(["trace", *gains], [*rows, ["geometric mean", *map(report.number, means.values())]]), bars


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", help="folder of .npz traces")
    parser.add_argument("--out", default="bench/results", help="folder of streams.md (default: %(default)s)")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    args = parser.parse_args()
    environment = timing.environment()
    codecs = {name: codec for name, codec in peers.available().items() if name in ("sz3", "sz2")}
    weights, history, nnc = {}, {}, {}
    out = Path(args.out)
    rows = messages.read_rows(out / "nnc.csv") if (out / "nnc.csv").exists() else []
    for path in traces.trace_files(args.traces):
        with np.load(path) as archive:
            if numbers_of(archive, "g") and numbers_of(archive, "g")[-1] in numbers_of(archive, "r"):
                weights[path.stem] = measure_weights(archive, codecs)
            for level, rounds in (("best", 2), ("balanced", 2), ("balanced", 1)):
                for bound in ROUNDS:
                    history.setdefault((level, rounds), {}).setdefault(bound, {})[path.stem] = measure_history(archive, bound, level, rounds)
            for bound in ROUNDS:
                nnc.setdefault(bound, {})[path.stem] = bytes_of_nnc(rows, path.stem, archive, bound)
        print(path.stem, flush=True)
    table, bars = weights_part(weights)
    parts, more = history_part(history)
    beside, third = nnc_part(history, nnc)
    bars += more + third
    text = report.page("Streams", environment, METHOD.format(minimum=traces.MIN_ELEMENTS), "## Whole weights, ratio to float32", table,
                       "## History, bytes without over bytes with", parts, "## NNC's temporal contexts, bytes over those of `best`, history 2",
                       beside, "## Bars", report.bar_table(bars))
    report.save(out, "streams.md", text)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
