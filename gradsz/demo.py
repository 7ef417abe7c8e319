"""Federated averaging with every update sent through gradsz, beside the same training without it.

A small network learns to read the 8 x 8 digits that ship with scikit-learn.  Its training data are
spread over clients that each see mostly a few of the digits.  In every round each client trains the
common model on its own data and sends the change of the weights; the server averages the changes.

Needs numpy and scikit-learn; matplotlib for a plot; prints nicer with rich.
Run it with `gradsz demo` or `python -m gradsz.demo`.
"""

import argparse
import contextlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gradsz

LAYERS = (64, 128, 64, 10)
EPOCHS, BATCH, RATE = 2, 16, 0.1  # of each client in each round
SKEW = 0.4  # Dirichlet parameter: the smaller, the fewer digits a client sees
TEST_PART = 5  # one in so many images is kept for measuring accuracy


# --- the network: fully connected layers, ReLU between them, softmax at the end ---------------------


def new_weights(rng):
    """{"0.weight": (64, 128), "0.bias": (128,), ...} in float32."""
    weights = {}
    for i, (fan_in, fan_out) in enumerate(zip(LAYERS, LAYERS[1:])):
        weights[f"{i}.weight"] = (rng.standard_normal((fan_in, fan_out)) * np.sqrt(2 / fan_in)).astype(np.float32)
        weights[f"{i}.bias"] = np.zeros(fan_out, np.float32)
    return weights


def forward(weights, x):
    """Inputs of all layers, and the output of the last one."""
    inputs = []
    for i in range(len(LAYERS) - 1):
        inputs.append(x if i == 0 else np.maximum(x, 0))
        x = inputs[i] @ weights[f"{i}.weight"] + weights[f"{i}.bias"]
    return inputs, x


def gradients(weights, x, labels):
    """Gradients of the mean cross entropy, under the names of the weights."""
    inputs, scores = forward(weights, x)
    delta = np.exp(scores - scores.max(axis=1, keepdims=True))
    delta /= delta.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    delta /= len(labels)
    found = {}
    for i in reversed(range(len(inputs))):
        found[f"{i}.weight"] = inputs[i].T @ delta
        found[f"{i}.bias"] = delta.sum(axis=0)
        delta = (delta @ weights[f"{i}.weight"].T) * (inputs[i] > 0)
    return found


def accuracy(weights, x, labels):
    return float((forward(weights, x)[1].argmax(axis=1) == labels).mean())


# --- federated averaging ----------------------------------------------------------------------------


def load_digits(rng):
    """(training images, labels), (test images, labels); pixels from 0 to 1."""
    from sklearn.datasets import load_digits    # type: ignore[import-untyped]

    images, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(labels))
    images, labels = images[order].astype(np.float32) / 16, labels[order]
    cut = len(labels) // TEST_PART
    return (images[cut:], labels[cut:]), (images[:cut], labels[:cut])


def split_by_label(labels, clients, rng):
    """Indices of each client's images: every digit is shared out in uneven parts."""
    parts = [[] for _ in range(clients)]
    for digit in range(10):
        indices = np.flatnonzero(labels == digit)
        cuts = np.cumsum(rng.dirichlet([SKEW] * clients))[:-1] * len(indices)
        for part, chosen in zip(parts, np.split(indices, cuts.astype(int))):
            part.extend(chosen)
    return [np.array(part, dtype=int) for part in parts]


def local_update(weights, x, labels, rng):
    """Change of the weights after EPOCHS of stochastic gradient descent on one client."""
    local = {name: value.copy() for name, value in weights.items()}
    for _ in range(EPOCHS):
        order = rng.permutation(len(labels))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for name, gradient in gradients(local, x[batch], labels[batch]).items():
                local[name] -= np.float32(RATE) * gradient
    return {name: local[name] - weights[name] for name in weights}


def train(rounds, clients, seed, channel):
    """Accuracy on the test images after each round.

    `channel(round, update)` stands for the network between client and server: it returns the update as
    the server receives it.  The same seed gives the same data, start and order of batches.
    """
    rng = np.random.default_rng(seed)
    (x, labels), test = load_digits(rng)
    parts = split_by_label(labels, clients, rng)
    weights = new_weights(rng)
    for number in range(rounds):
        received = []
        for client, part in enumerate(parts):
            update = local_update(weights, x[part], labels[part], np.random.default_rng([seed, number, client]))
            received.append(channel(number, update))
        for name in weights:
            mean = sum(len(part) * update[name].astype(np.float64) for part, update in zip(parts, received))
            weights[name] = (weights[name] + mean / len(labels)).astype(np.float32)
        yield accuracy(weights, *test)


# --- the channel and what is measured there -----------------------------------------------------------


@dataclass
class Round:
    """What one round cost and gave; bytes are the sum over the clients."""

    number: int
    accuracy: float = 0.0
    accuracy_uncompressed: float = 0.0
    raw_bytes: int = 0
    sent_bytes: int = 0
    worst: float = 0.0  # largest |error| / bound over all values

    @property
    def ratio(self):
        return self.raw_bytes / self.sent_bytes


def absolute_bound(values, bound, mode):
    """What `bound` means for one tensor, in float64: computed here, not taken from the message."""
    values = values.astype(np.float64)
    if mode == "rel":
        return bound * (values.max() - values.min())
    if mode == "rms":
        return bound * np.sqrt(np.mean(values**2))
    return bound


def worst_error(update, decoded, bound, mode):
    """Largest |error| / bound of an update; infinite where a bound of 0 is missed."""
    worst = 0.0
    for name, values in update.items():
        error = np.abs(values.astype(np.float64) - decoded[name].astype(np.float64)).max()
        if error:
            limit = absolute_bound(values, bound, mode)
            worst = max(worst, error / limit if limit else np.inf)
    return float(worst)


def run(rounds=8, clients=4, bound=1e-2, mode="rel", seed=0):
    """Train with and without compression side by side; yields a `Round` after each.

    ParameterError: the bound or the mode is not one that gradsz.compress_tensors takes.
    """
    results = [Round(number + 1) for number in range(rounds)]

    def compressed(number, update):
        message = gradsz.compress_tensors(update, bound, mode=mode)
        decoded = gradsz.decompress_tensors(message)
        result = results[number]
        result.raw_bytes += sum(values.nbytes for values in update.values())
        result.sent_bytes += len(message)
        result.worst = max(result.worst, worst_error(update, decoded, bound, mode))
        return decoded

    both = zip(
        results,
        train(rounds, clients, seed, compressed),
        train(rounds, clients, seed, lambda number, update: update),
    )
    for result, result.accuracy, result.accuracy_uncompressed in both:
        yield result


# --- output -----------------------------------------------------------------------------------------


COLUMNS = ("round", "accuracy", "uncompressed", "sent kB", "raw kB", "ratio", "error/bound")


def cells(result):
    return (
        f"{result.number}",
        f"{result.accuracy:.1%}",
        f"{result.accuracy_uncompressed:.1%}",
        f"{result.sent_bytes / 1e3:.1f}",
        f"{result.raw_bytes / 1e3:.1f}",
        f"{result.ratio:.2f}",
        f"{result.worst:.6f}",
    )


@contextlib.contextmanager
def table():
    """A function that adds one row to a printed table: by rich on a terminal if it is there, else plain."""
    try:
        from rich.live import Live
        from rich.table import Table
    except ImportError:
        Live = None
    if Live is None or not sys.stdout.isatty():
        print("  ".join(COLUMNS))
        yield lambda row: print("  ".join(cell.rjust(len(title)) for cell, title in zip(row, COLUMNS)), flush=True)
        return
    rich_table = Table()
    for title in COLUMNS:
        rich_table.add_column(title, justify="right", no_wrap=True)
    with Live(rich_table):
        yield lambda row: rich_table.add_row(*row)


def summary(results, bound, mode):
    last, raw, sent = results[-1], sum(r.raw_bytes for r in results), sum(r.sent_bytes for r in results)
    worst = max(result.worst for result in results)
    return (
        f"{len(results)} rounds at {mode} {bound:g}: accuracy {last.accuracy:.1%}, "
        f"{last.accuracy_uncompressed:.1%} without compression; {sent / 1e6:.2f} MB sent instead of "
        f"{raw / 1e6:.2f} MB (ratio {raw / sent:.2f}); worst error {worst:.6f} of the bound"
        + ("" if worst <= 1 else ": THE BOUND IS VIOLATED")
    )


def plot(results, title, path):
    """Accuracy and bytes of each round, as a picture whose format follows from the extension."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    rounds = [result.number for result in results]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    left.plot(rounds, [100 * r.accuracy_uncompressed for r in results], "o-", color="0.6", lw=3, label="uncompressed")
    left.plot(rounds, [100 * r.accuracy for r in results], "s--", color="tab:blue", label="gradsz")
    left.set(title="Accuracy on test images", xlabel="round", ylabel="%")
    left.legend(loc="lower right")
    right.bar(rounds, [r.raw_bytes / 1e3 for r in results], color="0.8", label="uncompressed")
    bars = right.bar(rounds, [r.sent_bytes / 1e3 for r in results], color="tab:blue", label="gradsz")
    right.bar_label(bars, [f"1/{r.ratio:.1f}" for r in results], padding=2, fontsize=8)
    right.set(title="Bytes sent by all clients", xlabel="round", ylabel="kB")
    right.margins(y=0.25)
    right.legend(loc="upper right", ncols=2)
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=150)


def at_least(minimum):
    """Reads an integer option that may not be smaller."""

    def number(text):
        if int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text} is smaller than {minimum}")
        return int(text)

    return number


def parse(argv, prog):
    parser = argparse.ArgumentParser(prog, description="Federated averaging on digits, every update through gradsz.")
    parser.add_argument("--rounds", type=at_least(1), default=8, help="default: 8")
    parser.add_argument("--clients", type=at_least(1), default=4, help="default: 4")
    parser.add_argument("--bound", type=float, default=1e-2, help="error bound; default: 0.01")
    parser.add_argument("--mode", choices=("abs", "rel", "rms"), default="rel", help="default: rel")
    parser.add_argument("--seed", type=at_least(0), default=0, help="default: 0")
    parser.add_argument("--plot", metavar="FILE.png", help="draw accuracy and bytes of each round")
    options = parser.parse_args(argv)
    needed = {"sklearn": "demo", "matplotlib": "plot"} if options.plot else {"sklearn": "demo"}
    for module, extra in needed.items():
        if importlib.util.find_spec(module) is None:
            parser.error(f'{module} is missing: pip install "gradsz[{extra}]"')
    try:
        gradsz.compress(np.zeros(1), options.bound, mode=options.mode)  # the codec judges its own parameter
    except gradsz.ParameterError as error:
        parser.error(str(error))
    if options.plot:
        from matplotlib.backend_bases import FigureCanvasBase

        kinds = FigureCanvasBase.get_supported_filetypes()
        if Path(options.plot).suffix[1:] not in kinds:
            parser.error(f"--plot {options.plot}: the extension may be {', '.join(kinds)}")
    return options


def main(argv=None, prog=None):
    """Parse options, train, print; returns 0, or 1 if an error was larger than its bound."""
    options = parse(argv, prog)
    results = []
    with table() as add_row:
        for result in run(options.rounds, options.clients, options.bound, options.mode, options.seed):
            results.append(result)
            add_row(cells(result))
    print(summary(results, options.bound, options.mode))
    if options.plot:
        plot(results, f"{options.clients} clients, {options.mode} {options.bound:g}", options.plot)
        print(f"plot: {options.plot}")
    return 0 if max(result.worst for result in results) <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
