"""What a bound does to training: test accuracy of federated averaging against the bytes that clients really send.

    python bench/training.py [--quick] [--networks mlp,gru] [--schemes NAME,...] [--seeds 4] [--out bench/results]

Writes training.csv (a row for each network, scheme and seed), training.md (tables, bars) and training.png. All data
ships with scikit-learn and CPython. Half an hour on one core; --quick takes less than a minute.
"""
import argparse
import math
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import peers                    # noqa: F401  first: it sets the number of threads of what is imported later
import record
import report
import run
import timing

import numpy as np
import torch

import gradsz

METHOD = """\
Federated averaging, {clients} clients, {rounds} rounds of {steps} mini-batches a client, {seeds} seeds; of a seed all schemes
have the same first weights, split and mini-batches. mlp: digits, label skew (Dirichlet {skew:g}), SGD with momentum, tested on
every fifth image. gru: the next character of help texts, each client other chapters, AdamW, tested on the last tenth.
Learning rates fall in a straight line to 0. A client sends one message a round; the server averages what it decodes, and
sends float32 back, which is not counted. Accuracy in percent, mean of the last {last} rounds; `halfway`: of the {last} before half
of the rounds; `spread`: standard deviation over seeds; `lost`: accuracy of no compression less that of the scheme at the same
seed, mean and its standard error (below 0: better). Ratio: float32 of all messages of all clients and rounds over their
bytes as sent, headers included; level `{level}`. rel: bound of each tensor, of tensors of more than 1,024 values, the rest
bit-exact. rms: all tensors lossy, one bound for a client's whole update (bound_over="message"); `tensor`: a bound of each.
`slots`: a seed a round that all clients share, slot = (client, {clients}); else a seed a message. `feedback`: a client sends
x + e and keeps e = x + e - decoded, by `Encoder`. `fedsz`: whole weights, aligned grid; the others: updates."""

LEVEL, LAST = "balanced", 5
PLAIN = "none"
COLUMNS = ["network", "scheme", "seed", "accuracy", "halfway", "bytes", "raw", "seconds"]
QUICK = dict(networks="mlp", schemes="none,centred-rel1e-1-feedback,shrunk-rms16,shrunk-rms32-slots", seeds=2, rounds=6)


# ---- networks, and data to train and to test on ----------------------------------------------


def digits():
    inputs, targets = record.digits()
    test = np.arange(len(targets)) % 5 == 0
    return tuple((inputs[part], targets[part]) for part in (~test, test))


def prose(length=16, n=8000):
    inputs, targets = record.prose(length, n)
    cut = n * 9 // 10
    return (inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:])


COMMON = dict(clients=8, skew=0.5, steps=10, rounds=30)
NETWORKS = {
    "mlp": record.Training(record.mlp, digits, record.sgd(0.05), **COMMON),
    "gru": record.Training(partial(record.Gru, 136), prose, record.adamw(8e-3), batch=16, **COMMON),
}


# ---- schemes: functions (client, update) -> (bytes sent, what the server decodes) ------------


@dataclass
class Client:
    """What a client knows beside its update."""
    number: int
    clients: int
    seed: int                   # of the training
    round: int = 0
    received: dict = field(default_factory=dict)        # the global weights, when the round begins
    encoder: gradsz.Encoder = None                      # with error feedback: keeps what was left out


def raw_bytes(tensors):
    return sum(4 * x.numel() for x in tensors.values())


def uncompressed(client, update):
    return raw_bytes(update), update


def by_gradsz(client, update, bound, **options):
    message = gradsz.compress_tensors(update, bound, level=LEVEL, **options)
    return len(message), gradsz.decompress_tensors(message, to="torch")


def unbiased(client, update, bound, grid, slots=False, over="message"):
    """Offsets from a seed of this message, or from one of the round, moved by the client's slot."""
    shared = client.seed << 32 | client.round << 16
    offsets = dict(seed=shared, slot=(client.number, client.clients)) if slots else dict(seed=shared | client.number)
    return by_gradsz(client, update, bound, mode="rms", grid=grid, bound_over=over, lossy=["*"], **offsets)


def with_feedback(client, update, bound, **options):
    """What was lost is added to what is sent next."""
    if client.encoder is None:
        client.encoder = gradsz.Encoder(bound, level=LEVEL, history=0, error_feedback=True, **options)
    message = client.encoder.encode(update)
    return len(message), gradsz.decompress_tensors(message, to="torch")


def whole_weights(client, update, rel):
    weights = {name: client.received[name] + x for name, x in update.items()}
    message = gradsz.FedSZ(rel=rel, level=LEVEL).compress(weights)
    return len(message), record.update_of(gradsz.decompress_tensors(message, to="torch"), client.received)


def known_schemes():
    fine, coarse = (partial(by_gradsz, bound=bound, grid="centred") for bound in (1e-2, 1e-1))
    schemes = {PLAIN: uncompressed, "fedsz-rel1e-2": partial(whole_weights, rel=1e-2), "centred-rel1e-2": fine,
               "centred-rel1e-1": coarse, "centred-rel1e-1-feedback": partial(with_feedback, bound=1e-1, grid="centred")}
    for bound in (2, 4):
        schemes[f"dithered-rms{bound}"] = partial(unbiased, bound=bound, grid="dithered")
    for bound, slots in ((8, False), (8, True), (16, False), (16, True), (24, True), (32, False), (32, True)):
        schemes[f"shrunk-rms{bound}{'-slots' * slots}"] = partial(unbiased, bound=bound, grid="shrunk", slots=slots)
    for name in ("shrunk-rms16", "shrunk-rms32-slots"):
        schemes[f"{name}-tensor"] = partial(schemes[name], over="tensor")
    return schemes


# ---- training --------------------------------------------------------------------------------


def accuracy(model, weights, inputs, targets):
    """In percent."""
    model.load_state_dict(weights)
    model.eval()
    with torch.no_grad():
        return 100 * float((model(inputs).argmax(-1) == targets).double().mean())


def falling(cfg, number):
    """The optimiser of a round: rates fall in a straight line, so that training ends converged."""
    def optimiser(parameters):
        made = cfg.optimiser(parameters)
        for group in made.param_groups:
            group["lr"] *= 1 - number / cfg.rounds
        return made
    return replace(cfg, optimiser=optimiser)


def train(cfg, send, seed):
    """Accuracies after each round, bytes sent, and what they would be as float32."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learned, tested = cfg.data()
    members = record.shares(learned[1], cfg.clients, cfg.skew, rng)
    clients = [Client(i, cfg.clients, seed) for i in range(cfg.clients)]
    model = cfg.build()
    weights = record.snapshot(model)
    accuracies, sent = [], 0
    for number in range(cfg.rounds):
        updates = []
        for client in clients:
            model.load_state_dict(weights)
            record.local_training(model, falling(cfg, number), *learned, members[client.number], rng)
            client.round, client.received = number, weights
            size, decoded = send(client, record.update_of(record.snapshot(model), weights))
            sent += size
            updates.append(decoded)
        weights = record.average(weights, updates)
        accuracies.append(accuracy(model, weights, *tested))
    return accuracies, sent, raw_bytes(weights) * cfg.clients * cfg.rounds


def measure(network, cfg, name, send, seed):
    """A row."""
    start = time.perf_counter()
    accuracies, sent, raw = train(cfg, send, seed)
    seconds = time.perf_counter() - start
    half = len(accuracies) // 2
    row = dict(network=network, scheme=name, seed=seed, accuracy=float(np.mean(accuracies[-LAST:])),
               halfway=float(np.mean(accuracies[max(0, half - LAST):half])), bytes=sent, raw=raw, seconds=seconds)
    print(f"{network} {seed} {name}: {row['accuracy']:.2f} %, {raw / sent:.1f} x, {seconds:.0f} s", file=sys.stderr, flush=True)
    return row


def measure_all(networks, schemes, seed):
    """Rows."""
    return [measure(network, cfg, name, send, seed) for network, cfg in networks.items() for name, send in schemes.items()]


# ---- findings --------------------------------------------------------------------------------


def standard_error(values):
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0


class Findings:
    def __init__(self, rows):
        self.networks = list(dict.fromkeys(row["network"] for row in rows))
        self.schemes = list(dict.fromkeys(row["scheme"] for row in rows))
        self._rows = defaultdict(list)
        for row in rows:
            self._rows[row["network"], row["scheme"]].append(row)

    def column(self, network, scheme, name):
        """A number for each seed."""
        return np.array([row[name] for row in self._rows[network, scheme]])

    def accuracy(self, network, scheme):
        """Mean and spread."""
        values = self.column(network, scheme, "accuracy")
        return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else 0.0

    def lost(self, network, scheme):
        """Against no compression, mean and standard error; nan where that was not run."""
        if PLAIN not in self.schemes:
            return math.nan, math.nan
        values = self.column(network, PLAIN, "accuracy") - self.column(network, scheme, "accuracy")
        return round(float(values.mean()), 6) + 0.0, standard_error(values)

    def ratio(self, network, scheme):
        return float(self.column(network, scheme, "raw").sum() / self.column(network, scheme, "bytes").sum())


def scheme_table(findings, network):
    rows = []
    for scheme in findings.schemes:
        (mean, spread), (lost, error) = findings.accuracy(network, scheme), findings.lost(network, scheme)
        ratio = findings.ratio(network, scheme)
        halfway = findings.column(network, scheme, "halfway").mean()
        rows.append([scheme, f"{halfway:.2f}", f"{mean:.2f}", f"{spread:.2f}", f"{lost:.2f} +- {error:.2f}", report.number(ratio),
                     report.number(32 / ratio), report.number(findings.column(network, scheme, "bytes").mean() / 1e6)])
    return report.table(["scheme", "halfway", "accuracy", "spread", "lost", "ratio", "bits a value", "MB a training"], rows)


# ---- bars ------------------------------------------------------------------------------------

TRAINS = ("centred-rel1e-1-feedback", "dithered-rms4", "shrunk-rms16", "shrunk-rms32-slots")
RATIOS = {"shrunk-rms16": 150, "shrunk-rms32-slots": 250}
POINTS = 0.5                    # of accuracy that may be lost, or two standard errors


def bars_of(findings):
    bars = []
    for network in findings.networks if PLAIN in findings.schemes else ():
        for scheme in (s for s in TRAINS if s in findings.schemes):
            lost, error = findings.lost(network, scheme)
            bearable = max(POINTS, round(2 * error, 2))
            bars.append(report.Bar(f"{network}: {scheme}: accuracy lost", bearable, lost, "points", at_most=True))
        for scheme in (s for s in RATIOS if s in findings.schemes):
            bars.append(report.Bar(f"{network}: {scheme}: bytes", RATIOS[scheme], findings.ratio(network, scheme), "x fewer"))
    return bars


# ---- results ---------------------------------------------------------------------------------


def header_of(findings, networks):
    sizes = {name: findings.column(name, findings.schemes[0], "raw")[0] // (4 * cfg.clients * cfg.rounds)
             for name, cfg in networks.items()}
    return [f"torch: {torch.__version__}", *[f"{name}: {size:,} values" for name, size in sizes.items()]]


def markdown(findings, header, method, bars):
    parts = ["# Training", "\n".join(f"- {line}" for line in header), method, "![accuracy](training.png)"]
    for network in findings.networks:
        parts += [f"## {network}", scheme_table(findings, network)]
    if bars:
        parts += ["## Bars", f"Asked of accuracy: to lose at most {POINTS:g} points, or two standard errors if that is more.",
                  report.bar_table(bars)]
    return "\n\n".join(parts) + "\n"


def write(out, rows, header, method):
    """The three files; gives the bars and the text."""
    findings = Findings(rows)
    bars = bars_of(findings)
    text = markdown(findings, header, method, bars)
    out.mkdir(parents=True, exist_ok=True)
    run.write_csv(out / "training.csv", rows, [*header, *method.splitlines()], tuple(COLUMNS))
    (out / "training.md").write_text(text)
    try:
        from plot import plot_training
        plot_training(findings, out / "training.png")
    except ImportError as reason:
        print(f"no picture: {reason}", file=sys.stderr)
    return bars, text


# ---- command ---------------------------------------------------------------------------------


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="bench/results", help="folder of the results (default: %(default)s)")
    parser.add_argument("--networks", help="comma-separated names (default: all)")
    parser.add_argument("--schemes", help="comma-separated names (default: all)")
    parser.add_argument("--seeds", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=COMMON["rounds"], help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="one network, few schemes and rounds: does it run?")
    parser.add_argument("--bars", action="store_true", help="exit with 1 if a bar is not met")
    return run.parsed(parser, QUICK)


def main():
    args = arguments()
    torch.set_num_threads(1)
    networks = {name: replace(cfg, rounds=args.rounds) for name, cfg in run.choose(NETWORKS, args.networks).items()}
    schemes = run.choose(known_schemes(), args.schemes)
    environment = [f"{what}: {value}" for what, value in timing.environment()]
    rows = []
    for seed in range(args.seeds):              # written after each, so that a run that is cut short has told something
        rows += measure_all(networks, schemes, seed)
        method = METHOD.format(**COMMON | dict(rounds=args.rounds), seeds=seed + 1, last=LAST, level=LEVEL)
        bars, text = write(Path(args.out), rows, environment + header_of(Findings(rows), networks), method)
    report.conclude(text, bars, args.bars)


if __name__ == "__main__":
    main()
