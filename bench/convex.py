"""Ridge and logistic regression by compressed gradients: bytes sent until the objective is within 1e-4.

    python bench/convex.py [--quick] [--out bench/results]

Writes convex.csv (a row for each problem, scheme and setting), convex.md (tables, bars) and convex.png.
"""
import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import report
import run
import timing

import numpy as np

import gradsz

METHOD = """\
f(x) = mean over {clients} clients of f_i(x); d = {d} float32 gradients, each client a share of {n} synthetic examples with a
direction of its own, features of uneven size (condition number {kappa:.0f}). Each client sends the compressed difference of its gradient to
what was sent before (EF21; schemes that are unbiased are scaled by 1 / (1 + omega), so that they contract); the server steps by a multiple of 1 / L.
Until (f - f*) / (f(0) - f*) <= {target:g}. Bytes of all clients' messages. gradsz, Sparse Dithering, Spherical: bytes really written, of messages with
header. The others are counted in their favour: no header, the entropy of their symbols (QSGD, ternary), positions at log2 C(d, k) (Top-K), 4 bytes
for a number. The best setting and step of each scheme; all are in convex.csv."""

CLIENTS, D, EXAMPLES, TARGET, ITERATIONS = 4, 2000, 1600, 1e-4, 600
STEPS = (1.0, 0.5, 0.25)
COLUMNS = ["problem", "scheme", "setting", "step", "iterations", "bytes", "of plain", "bits an entry"]


# ---- problems: f, its gradients by client, L, and the least value

@dataclass
class Problem:
    name: str
    losses: list        # a pair (value, gradient) of functions a client
    smoothness: float
    kappa: float
    least: float = 0.0

    def value(self, x):
        return float(np.mean([value(x) for value, _ in self.losses]))


def data(rng, d, n):
    """A share for each client: features of falling size, and a shift of the client's own."""
    size = np.linspace(1, 0.15, d) / math.sqrt(d)
    truth = rng.normal(size=d) * (rng.random(d) < 0.3) * 3
    for _ in range(CLIENTS):
        a = rng.normal(size=(n // CLIENTS, d)) * size * math.sqrt(d)
        yield a, a @ (truth + rng.normal(size=d)) + rng.normal(size=len(a))


def ridge(rng, d, n):
    shares = list(data(rng, d, n))
    gram = sum(a.T @ a / len(a) for a, _ in shares) / CLIENTS
    largest = float(np.linalg.eigvalsh(gram)[-1])
    lam = largest / 40

    def loss(a, b):
        return (lambda x: 0.5 * np.mean((a @ x - b) ** 2) + lam / 2 * x @ x, lambda x: a.T @ (a @ x - b) / len(a) + lam * x)
    problem = Problem("ridge", [loss(a, b) for a, b in shares], largest + lam, (largest + lam) / lam)
    best = np.linalg.solve(gram + lam * np.eye(d), sum(a.T @ b / len(a) for a, b in shares) / CLIENTS)
    problem.least = problem.value(best)
    return problem


def logistic(rng, d, n):
    shares = [(a, np.where(b > 0, 1.0, -1.0)) for a, b in data(rng, d, n)]
    largest = float(np.linalg.eigvalsh(sum(a.T @ a / len(a) for a, _ in shares) / CLIENTS)[-1]) / 4
    lam = largest / 40

    def loss(a, b):
        return (lambda x: np.mean(np.logaddexp(0, -b * (a @ x))) + lam / 2 * x @ x,
                lambda x: -a.T @ (b / (1 + np.exp(b * (a @ x)))) / len(a) + lam * x)
    problem = Problem("logistic", [loss(a, b) for a, b in shares], largest + lam, (largest + lam) / lam)
    x = y = np.zeros(d)
    momentum = (math.sqrt(problem.kappa) - 1) / (math.sqrt(problem.kappa) + 1)
    for _ in range(1500):       # Nesterov's method to rounding
        x, before = y - np.mean([g(y) for _, g in problem.losses], axis=0) / problem.smoothness, x
        y = x + momentum * (x - before)
    problem.least = problem.value(x)
    return problem


# ---- schemes: (what is decoded, bits) of a float32 vector

def entropy_bits(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / symbols.size)).sum())


def log2_choose(n, k):
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def plain(v, rng):
    return v, 32 * v.size


def top_k(part):
    def send(v, rng):
        k = max(1, int(part * v.size))
        kept = np.argpartition(np.abs(v), -k)[-k:]
        out = np.zeros_like(v)
        out[kept] = v[kept]
        return out, 32 * k + log2_choose(v.size, k)
    return send


def qsgd(levels):
    """Random rounding to `levels` parts of the norm (Alistarh and others); scaled to contract."""
    def send(v, rng):
        norm = float(np.linalg.norm(v))
        if norm == 0:
            return v, 32
        k = np.floor(np.abs(v) / norm * levels + rng.random(v.size)) * np.sign(v)
        omega = min(v.size / levels**2, math.sqrt(v.size) / levels)
        return (k * (norm / levels / (1 + omega))).astype(np.float32), 32 + entropy_bits(k)
    return send


def ternary(v, rng):
    """-m, 0 or m at random, m the largest magnitude (TernGrad); scaled to contract."""
    largest = float(np.abs(v).max())
    if largest == 0:
        return v, 32
    k = (rng.random(v.size) < np.abs(v) / largest) * np.sign(v)
    omega = largest * float(np.abs(v).sum()) / float(v @ v) - 1
    return (k * (largest / (1 + omega))).astype(np.float32), 32 + entropy_bits(k)


def by_gradsz(bound, factor=1.0, **options):
    def send(v, rng):
        message = gradsz.compress(v, bound, **options)
        return gradsz.decompress(message) * np.float32(factor), 8 * len(message)
    return send


def schemes():
    found = {"plain float32": {"": plain}}
    found["Top-K"] = {f"{part:g}": top_k(part) for part in (0.01, 0.03, 0.1, 0.2)}
    found["QSGD"] = {f"{levels} levels": qsgd(levels) for levels in (2, 4, 8, 32, 64)}
    found["ternary"] = {"": ternary}
    found["Sparse Dithering"] = {f"nu {nu:g}": by_gradsz(gradsz.SparseDithering(nu)) for nu in (0.25, 1, 2, 3)}
    found["Sparse Dithering, unbiased"] = {
        f"nu {nu:g}": by_gradsz(gradsz.SparseDithering(nu, unbiased=True), 1 / (1 + min(nu, 2 * math.sqrt(nu)))) for nu in (0.25, 1, 4, 16)}
    found["Spherical"] = {f"alpha {alpha:g}, {block}": by_gradsz(gradsz.Spherical(alpha, block)) for alpha, block in ((0.5, 8), (0.7, 12), (0.8, 24))}
    found["gradsz, bound rms"] = {f"{bound:g}": by_gradsz(bound, mode="rms") for bound in (0.5, 1, 1.5, 2)}
    return found


# ---- runs

def descend(problem, d, send, step, iterations):
    """(iterations, bits of all clients), or None where the target is not reached."""
    rng = np.random.default_rng(0)
    x, sent, bits = np.zeros(d), [np.zeros(d, np.float32) for _ in problem.losses], 0.0
    start = problem.value(x) - problem.least
    for t in range(iterations):
        for i, (_, gradient) in enumerate(problem.losses):
            message, cost = send((gradient(x) - sent[i]).astype(np.float32), rng)
            sent[i] = sent[i] + message
            bits += cost
        x = x - step / problem.smoothness * np.mean(sent, axis=0)
        if t % 5 == 4:
            gap = problem.value(x) - problem.least
            if gap <= TARGET * start:
                return t + 1, bits
            if not gap < 1e3 * start:
                return None
    return None


def measure(problem, d, iterations):
    reference = None
    for name, settings in schemes().items():
        for setting, send in settings.items():
            for step in STEPS:
                done = descend(problem, d, send, step, iterations)
                if done is None:
                    continue
                used, bits = done
                reference = reference or bits
                yield dict(zip(COLUMNS, (problem.name, name, setting, step, used, round(bits / 8), bits / reference, bits / used / CLIENTS / d), strict=True))
                print(f"{problem.name}: {name} {setting} step {step:g}: {used} iterations, {bits / reference:.4f} of plain", flush=True)
                break           # smaller steps take longer


def best_of(rows):
    """The cheapest row of each problem and scheme."""
    best = {}
    for row in rows:
        key = row["problem"], row["scheme"]
        if key not in best or row["bytes"] < best[key]["bytes"]:
            best[key] = row
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small problems: does it run?")
    parser.add_argument("--out", default="bench/results")
    args = parser.parse_args()
    d, n = (200, 400) if args.quick else (D, EXAMPLES)
    rows, kappa = [], 0.0
    for make in (ridge, logistic):
        problem = make(np.random.default_rng(1), d, n)
        kappa = problem.kappa
        rows += measure(problem, d, ITERATIONS)
    best = best_of(rows)
    head = [f"{what}: {value}" for what, value in timing.environment()]
    method = METHOD.format(clients=CLIENTS, d=d, n=n, kappa=kappa, target=TARGET)
    table = report.table(["", *[f"{p}: {what}" for p in ("ridge", "logistic") for what in ("bytes", "of plain", "iterations", "setting")]], [
        [name, *[cell for p in ("ridge", "logistic") for cell in cells(best.get((p, name)))]] for name in schemes()])
    bars = [report.Bar(f"{name}, {p}: bytes of plain", 0.2, best[p, name]["of plain"], at_most=True)
            for p in ("ridge", "logistic") for name in ("Sparse Dithering", "Sparse Dithering, unbiased", "Spherical", "gradsz, bound rms") if (p, name) in best]
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    run.write_csv(out / "convex.csv", rows, [*head, *method.splitlines()], tuple(COLUMNS))
    (out / "convex.md").write_text("\n\n".join(["# Compressed gradient descent", "\n".join(f"- {line}" for line in head), method, table,
                                                "## Bars", report.bar_table(bars)]) + "\n")
    try:
        from plot import plot_descent
        plot_descent({p: {name: best[p, name]["bytes"] for name in schemes() if (p, name) in best} for p in ("ridge", "logistic")},
                     out / "convex.png")
    except ImportError as reason:
        print(f"no picture: {reason}", file=sys.stderr)
    print(table)


def cells(row):
    if row is None:
        return ["-"] * 4
    return [f"{row['bytes']:,}", f"{row['of plain']:.4f}", str(row["iterations"]), row["setting"]]


if __name__ == "__main__":
    main()
