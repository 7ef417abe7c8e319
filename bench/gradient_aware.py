"""Gradient-aware prediction (arXiv 2511.05770) on recorded updates: bytes beside SZ3 and gradsz's levels, and signs beside chance.

    python bench/gradient_aware.py TRACES [--bars] [--quick] [--out bench/results]

Writes gradient_aware.csv (bytes of each trace, bound and codec) and gradient_aware.md.  TRACES as for run.py.
"""
import argparse
import math
from collections import Counter

import peers                    # first: it sets the number of threads of what is imported later
import report
import run
import timing
import traces

import gradsz
import numpy as np
from gradsz import _core, _foresight, _note, _prediction

METHOD = """\
Float32 tensors of more than {minimum:,} elements; bytes of the rounds after the first, which is a key. `published`: `GradientAware()`, `corrected`:
`GradientAware(bias_corrected=True)`, at level `balanced` unless told otherwise; `balanced`, `fast` and `structure` are without history, so `balanced` is what a stream is
that predicts nothing. SZ3 (stock) is called once a tensor with the same eb; names and shapes are not counted.
Drawn: `descent k`, gradients of a quadratic of 20,000 dimensions, curvatures from 0.1 to 1, under gradient descent whose step times the largest
curvature is k; `kernels p`, 64 x 32 kernels of 3 x 3, of which a part p of the elements has the sign of the kernel, log-normal magnitudes that keep
a correlation of 0.95 from round to round."""

SIGNS = """\
Of all kernels of the rounds after the first, at tau = 0.5: the part that is consistent enough, and the part of their elements of the other sign. Chance: for kernels
of the same sizes with random signs. `as before`: elements, of all tensors, with the sign that they had in the round before, of those that had one in
both. A prediction of full size lowers the squared error if more than three quarters of its signs are right."""

BOUNDS = (1e-3, 1e-2, 3e-2, 5e-2, 1e-1)
AWARE = {"published": gradsz.GradientAware(), "corrected": gradsz.GradientAware(bias_corrected=True)}
STREAMS = {"fast": dict(level="fast", history=0), "structure": dict(predictor="structure", history=0), "balanced": dict(history=0),
           **{name: dict(predictor=settings) for name, settings in AWARE.items()},
           "balanced, history 1": dict(history=1), "best, corrected": dict(level="best", predictor=AWARE["corrected"]),
           "best, history 2": dict(level="best", history=2)}
TAU = 0.5
COLUMNS = ["trace", "bound", "codec", "bytes"]


# ---- updates -----------------------------------------------------------------------------------


def recorded(path):
    """The updates of a trace, round after round."""
    rounds = {}
    for tensor in traces.load(path, rounds=10**6):
        rounds.setdefault(tensor.round, {})[tensor.name] = tensor.values
    return [rounds[number] for number in sorted(rounds)]


def descent(speed, rounds=8):
    rng = np.random.default_rng(0)
    curvature, x = 10 ** rng.uniform(-1, 0, size=(200, 100)), rng.normal(size=(200, 100))
    for _ in range(rounds):
        gradient = curvature * x
        yield {"w": gradient.astype(np.float32)}
        x = x - speed * gradient


def kernels(agreement, rounds=8, shape=(64, 32, 3, 3), correlation=0.95):
    rng = np.random.default_rng(0)
    size = rng.normal(size=shape)
    for _ in range(rounds):
        size = correlation * size + (1 - correlation**2) ** 0.5 * rng.normal(size=shape)
        signs = np.sign(rng.normal(size=(*shape[:2], 1, 1))) * np.where(rng.random(shape) < agreement, 1, -1)
        yield {"w": (signs * np.exp(0.5 * size)).astype(np.float32)}


DRAWN = {**{f"descent {k}": lambda k=k: descent(k) for k in (0.9, 1.5, 1.95)}, **{f"kernels {p}": lambda p=p: kernels(p) for p in (0.75, 0.9, 1.0)}}


# ---- bytes -------------------------------------------------------------------------------------


def measure(updates, bound, sz3):
    """{codec: bytes after the first round}, {codec: Counter of modes}."""
    sizes, modes = {}, {}
    if sz3 is not None:
        sizes["sz3"] = sum(len(sz3.compress(x, traces.absolute_bound(x, f"rel{bound}"))) for update in updates[1:] for x in update.values())
    for name, options in STREAMS.items():
        encoder, decoder = gradsz.Encoder(bound, **options), gradsz.Decoder()
        modes[name], messages = Counter(), []
        for update in updates:
            messages.append(encoder.encode(update))
            modes[name].update(modes_of(messages[-1], decoder))
            decoder.decode(messages[-1])
        sizes[name] = sum(map(len, messages[1:]))
    return sizes, {name: modes[name] for name in AWARE}


def modes_of(message, decoder):
    """How tensors are predicted by a message that the decoder has not seen."""
    parsed = _core.Message(message)
    if parsed.stream[2]:
        return []
    entries = [parsed.entry(i) for i in range(len(parsed))]
    return [told.mode for told in _note.read(parsed.stream[-1], entries, decoder._state.rounds[0] if decoder._state.rounds else {})[1].values()]


# ---- signs -------------------------------------------------------------------------------------


def chance(n, tau=TAU):
    """For n random signs: that one of them has enough, and the mean number of others then."""
    least = math.ceil(n * (1 + tau) / 2 - 1e-9)
    weights = {k: math.comb(n, k) / 2**n for k in range(n + 1) if max(k, n - k) >= least}
    passed = sum(weights.values())
    return passed, sum(w * min(k, n - k) for k, w in weights.items()) / passed


def signs_of(updates):
    """(kernels, part predicted, by chance, part of wrong signs, by chance, part of signs as before)."""
    count = predicted = elements = wrong = same = both = 0
    by_chance, expected = 0.0, [0.0, 0.0]
    for before, update in zip(updates, updates[1:]):
        for name, x in update.items():
            signs = np.sign(x).astype(np.int8)
            products = signs * np.sign(before[name])
            same, both = same + np.count_nonzero(products > 0), both + np.count_nonzero(products)
            n = _prediction.kernel_size(x.shape)
            if n:
                dominant = _foresight.kernel_signs(signs, TAU)
                passed, others = chance(n)
                count, predicted, by_chance = count + dominant.size, predicted + np.count_nonzero(dominant), by_chance + passed * dominant.size
                elements, wrong = elements + n * np.count_nonzero(dominant), wrong + np.count_nonzero(dominant[:, None] * signs.reshape(-1, n) < 0)
                expected = [expected[0] + passed * dominant.size * others, expected[1] + passed * dominant.size * n]
    if not count:
        return 0, math.nan, math.nan, math.nan, math.nan, same / both
    return count, predicted / count, by_chance / count, wrong / max(elements, 1), expected[0] / expected[1], same / both


# ---- tables ------------------------------------------------------------------------------------


def ratio_tables(found, names, mean=True):
    """Bytes of `balanced` over those of each codec, a table a bound."""
    for bound, by_trace in found.items():
        codecs = [codec for codec in by_trace[names[0]][0] if codec != "balanced"]
        ratios = {name: {codec: by_trace[name][0]["balanced"] / by_trace[name][0][codec] for codec in codecs} for name in names}
        rows = [[name, f"{by_trace[name][0]['balanced']:,}", *[report.number(ratios[name][codec], 4) for codec in codecs]] for name in names]
        if mean:
            rows.append(["geometric mean", "", *[report.number(report.geometric_mean(r[codec] for r in ratios.values()), 4) for codec in codecs]])
        yield f"### rel {bound:g}", report.table(["trace", "balanced, bytes", *codecs], rows)


def means_table(found, names):
    """Geometric means over the recorded traces: what prediction gains over none, and over SZ3."""
    rows = []
    for bound, by_trace in found.items():
        row = [f"rel {bound:g}"]
        for codec in AWARE:
            for base in ("balanced", "sz3"):
                have = all(base in by_trace[name][0] for name in names)
                row.append(report.number(report.geometric_mean(by_trace[name][0][base] / by_trace[name][0][codec] for name in names), 4) if have else "-")
        for other in ("balanced, history 1", "best, corrected", "best, history 2"):
            row.append(report.number(report.geometric_mean(by_trace[name][0]["balanced"] / by_trace[name][0][other] for name in names), 4))
        rows.append(row)
    head = ["bytes of balanced or sz3 over", "published: balanced", "sz3", "corrected: balanced", "sz3", "history 1: balanced", "best, corrected: balanced",
            "best, history 2: balanced"]
    return report.table(head, rows)


def modes_table(found, names):
    """Of the tensors of all rounds: how they were predicted."""
    rows = []
    for bound, by_trace in found.items():
        for codec in AWARE:
            total = sum((by_trace[name][1][codec] for name in names), Counter())
            rows.append([f"rel {bound:g}, {codec}", *[total[mode] for mode in range(4)]])
    return report.table(["tensors", "direct", "signs as before", "opposite", "kernels"], rows)


def signs_table(updates):
    rows = []
    for name, rounds in updates.items():
        count, *parts = signs_of(rounds)
        rows.append([name, f"{count:,}", *["-" if math.isnan(part) else f"{100 * part:.1f} %" for part in parts]])
    return report.table(["trace", "kernels", "predicted", "by chance", "signs wrong", "by chance", "as before"], rows)


def bars_of(found, names):
    """What prediction costs at most: the digest and the note, where it does not pay."""
    for codec in AWARE:
        worst = max((by_trace[name][0][codec] / by_trace[name][0]["balanced"], f"{name} at {bound:g}") for bound, by_trace in found.items() for name in names)
        yield report.Bar(f"{codec}: bytes over those without prediction, worst trace and bound", 1.005, worst[0], "", at_most=True, note=f" ({worst[1]})")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", help="folder of .npz traces")
    parser.add_argument("--out", default="bench/results", help="folder of gradient_aware.md (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one trace: does it run?")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    args = parser.parse_args()
    environment = timing.environment()
    sz3 = peers.available().get("sz3")
    updates = {path.stem: recorded(path) for path in traces.trace_files(args.traces)[:1 if args.quick else None]}
    names = list(updates)
    updates |= {name: list(draw()) for name, draw in DRAWN.items()}
    found = {}
    for name, rounds in updates.items():
        for bound in BOUNDS:
            found.setdefault(bound, {})[name] = measure(rounds, bound, sz3)
        print(name, flush=True)
    drawn, bars = [name for name in updates if name not in names], list(bars_of(found, names))
    sections = [METHOD.format(minimum=traces.MIN_ELEMENTS), "## Geometric means over the recorded traces",
                means_table(found, names), "## Recorded: bytes without prediction over bytes with each codec", *[part for pair in ratio_tables(found, names) for part in pair],
                "## Drawn: likewise", *[part for pair in ratio_tables(found, drawn, mean=False) for part in pair], "## Signs and chance", SIGNS, signs_table(updates),
                "## Tensors predicted, recorded traces", modes_table(found, names), "## Bars", report.bar_table(bars)]
    text = report.page("Gradient-aware prediction", environment, *sections)
    out = report.save(args.out, "gradient_aware.md", text)
    rows = [dict(zip(COLUMNS, (name, f"rel{bound:g}", codec, size), strict=True)) for bound, by_trace in found.items()
            for name, (sizes, _) in by_trace.items() for codec, size in sizes.items()]
    run.write_csv(out / "gradient_aware.csv", rows, [f"{what}: {value}" for what, value in environment], tuple(COLUMNS))
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
