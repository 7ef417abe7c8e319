"""Record model updates of small federated trainings as .npz traces.

    python bench/record.py [--clients N] OUT_DIR [NAME ...]

A trace is one file. `r<round>/<tensor>` is what client 0 sends in that round: its weights after
local training minus the global weights it received (in traces named `grad-*`, the gradient of its
first mini-batch instead). `g<round>/<tensor>` are the global weights when a round begins; they are
kept for the last round only. Rounds are consecutive and come after a warm-up. With --clients, N clients
train, and the trace holds what each of them sends in the round after the warm-up, as `c<client>/<tensor>`, and no more.

All data ships with scikit-learn, scikit-image and CPython: nothing is downloaded. Needs torch (CPU).
"""
import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# ---- data: each function gives (inputs, targets) ---------------------------------------------


def digits():
    """8 x 8 handwritten digits, flat, in [-1, 1]."""
    from sklearn.datasets import load_digits
    images, labels = load_digits(return_X_y=True)
    return torch.tensor(images / 8 - 1, dtype=torch.float32), torch.tensor(labels)


PHOTOS = ("astronaut", "brick", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field",
          "ihc", "motorcycle_left", "retina", "rocket", "coins")


def load_photos():
    """The photographs that scikit-image carries, as float32 RGB in [0, 1]."""
    import skimage.data
    from skimage import color, io
    folder = Path(skimage.data.__file__).parent
    files = {f.stem: f for f in sorted(folder.iterdir()) if f.suffix in (".png", ".jpg")}
    images = [io.imread(files[name]) for name in PHOTOS if name in files]
    return [(color.gray2rgb(im) if im.ndim == 2 else im[..., :3]).astype(np.float32) / 255 for im in images]


def photo_crops(n=6000, size=32, seed=0):
    """Random crops, mirrored and re-lit; the label says which photograph a crop is from."""
    images, rng = load_photos(), np.random.default_rng(seed)
    crops, labels = [], []
    for i in range(n):
        label = i % len(images)
        im = images[label]
        top, left = rng.integers(im.shape[0] - size), rng.integers(im.shape[1] - size)
        crop = im[top:top + size, left:left + size]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = crop * rng.uniform(0.6, 1.4) + rng.normal(0, 0.1, (1, 1, 3))
        crops.append(crop.transpose(2, 0, 1))
        labels.append(label)
    return torch.tensor((np.stack(crops).astype(np.float32) - 0.45) / 0.25), torch.tensor(labels)


def prose(length=48, n=6000, seed=0):
    """Windows of the help texts of CPython; the target is the next character of each."""
    import pydoc_data.topics
    text = "\n".join(body for _, body in sorted(pydoc_data.topics.topics.items()))
    codes = np.clip(np.array([ord(c) for c in text]), 32, 127) - 32
    starts = np.random.default_rng(seed).integers(0, len(codes) - length - 1, n)
    starts.sort()                               # so that contiguous shares are different chapters
    windows = torch.tensor(np.stack([codes[s:s + length + 1] for s in starts]))
    return windows[:, :-1], windows[:, 1:]


# ---- models ----------------------------------------------------------------------------------


def mlp():
    return nn.Sequential(nn.Linear(64, 384), nn.ReLU(), nn.Linear(384, 384), nn.ReLU(), nn.Linear(384, 10))


def conv_norm(a, b, kernel, stride=1, groups=1):
    return nn.Sequential(nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(b))


class Residual(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.first, self.second = conv_norm(a, b, 3, 2), conv_norm(b, b, 3)
        self.skip = nn.Conv2d(a, b, 1, 2, bias=False)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


def resnet():
    return nn.Sequential(conv_norm(3, 24, 3), nn.ReLU(), Residual(24, 32), Residual(32, 64), Residual(64, 96),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, len(PHOTOS)))


class Basic(nn.Module):
    """A block of ResNet-18."""
    def __init__(self, a, b, stride):
        super().__init__()
        self.first, self.second = conv_norm(a, b, 3, stride), conv_norm(b, b, 3)
        self.skip = nn.Identity() if stride == 1 else conv_norm(a, b, 1, stride)

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.skip(x))


def resnet18():
    """The network of 11 million values: He et al. 2015, for 12 classes."""
    blocks = [block for a, b in ((64, 64), (64, 128), (128, 256), (256, 512))
              for block in (Basic(a, b, 1 if a == b else 2), Basic(b, b, 1))]
    return nn.Sequential(conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, len(PHOTOS)))


def mobilenet():
    def block(a, b, stride):
        return nn.Sequential(conv_norm(a, a, 3, stride, groups=a), nn.ReLU6(), conv_norm(a, b, 1), nn.ReLU6())
    return nn.Sequential(conv_norm(3, 32, 3, 2), nn.ReLU6(),
                         block(32, 64, 1), block(64, 128, 2), block(128, 128, 1), block(128, 256, 2),
                         block(256, 256, 1), block(256, 256, 1),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, len(PHOTOS)))


def alexnet():
    return nn.Sequential(nn.Conv2d(3, 32, 5, 2, 2), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(64 * 16, 256), nn.ReLU(), nn.Linear(256, len(PHOTOS)))


class Gru(nn.Module):
    def __init__(self, hidden=224):
        super().__init__()
        self.embed = nn.Embedding(96, 64)
        self.gru = nn.GRU(64, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 96)

    def forward(self, x):
        return self.out(self.gru(self.embed(x))[0])


class Transformer(nn.Module):
    def __init__(self, width=112, layers=2, heads=4, length=48):
        super().__init__()
        self.embed = nn.Embedding(96, width)
        self.position = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.body = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(width, 96)
        causal = torch.full((length, length), float("-inf")).triu(1)
        self.register_buffer("mask", causal, persistent=False)

    def forward(self, x):
        return self.out(self.body(self.embed(x) + self.position, mask=self.mask))


# ---- federated averaging ---------------------------------------------------------------------


def sgd(rate, momentum=0.9):
    return lambda parameters: torch.optim.SGD(parameters, rate, momentum)


def adamw(rate):
    return lambda parameters: torch.optim.AdamW(parameters, rate)


@dataclass(frozen=True)
class Training:
    build: Callable
    data: Callable
    optimiser: Callable
    steps: int = 24             # local mini-batches a client and round
    batch: int = 32
    clients: int = 4
    skew: float = 0.5           # Dirichlet concentration of the labels over clients
    warmup: int = 4             # rounds before the first one kept
    rounds: int = 5             # rounds kept
    gradient: bool = False      # keep client 0's first gradient, not its update


TRACES = {
    "mlp": Training(mlp, digits, sgd(0.02)),
    "resnet": Training(resnet, photo_crops, sgd(0.03), steps=16),
    "mobilenet": Training(mobilenet, photo_crops, adamw(2e-3), steps=16),
    "alexnet": Training(alexnet, photo_crops, sgd(0.01)),
    "gru": Training(Gru, prose, sgd(0.5, 0.5)),
    "transformer": Training(Transformer, prose, adamw(1e-3)),
    "grad-resnet": Training(resnet, photo_crops, sgd(0.02), steps=8, batch=64, gradient=True),
}

LARGE = {                       # for large.py; recorded only when named
    "resnet18-sgd": Training(resnet18, partial(photo_crops, 2000, 64), sgd(0.03), steps=60, clients=2, warmup=1, rounds=1),
    "resnet18-adamw": Training(resnet18, partial(photo_crops, 2000, 64), adamw(1e-3), steps=60, clients=2, warmup=1, rounds=1),
}


def shares(targets, clients, skew, rng):
    """Indices of each client: label skew for classes, contiguous shares for sequences."""
    if targets.ndim > 1:
        return np.array_split(np.arange(len(targets)), clients)
    parts = [[] for _ in range(clients)]
    for label in np.unique(targets):
        members = rng.permutation(np.flatnonzero(targets.numpy() == label))
        cuts = (np.cumsum(rng.dirichlet([skew] * clients))[:-1] * len(members)).astype(int)
        for part, share in zip(parts, np.split(members, cuts)):
            part.extend(share)
    return [np.array(part) for part in parts]


def local_training(model, cfg, inputs, targets, members, rng):
    """Train on one client; gives the last loss and the gradient of the first mini-batch."""
    model.train()
    optimiser = cfg.optimiser(model.parameters())
    first = None
    for _ in range(cfg.steps):
        pick = torch.as_tensor(rng.choice(members, min(cfg.batch, len(members)), replace=False))
        out = model(inputs[pick])
        loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), targets[pick].reshape(-1))
        optimiser.zero_grad()
        loss.backward()
        if first is None:
            first = {name: p.grad.clone() for name, p in model.named_parameters()}
        optimiser.step()
    return loss.item(), first


def snapshot(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def update_of(after, before):
    """What a client sends: differences of weights, counters as they are."""
    return {name: after[name] - before[name] if after[name].is_floating_point() else after[name] for name in after}


def average(weights, updates):
    return {name: value + sum(u[name] for u in updates) / len(updates) if value.is_floating_point()
            else updates[0][name] for name, value in weights.items()}


def arrays_of(prefix, tensors):
    return {f"{prefix}/{name}": value.numpy() for name, value in tensors.items()}


def record(cfg, every_client=False, seed=0):
    """Run one training; gives the arrays of its trace and the loss of its last round."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    inputs, targets = cfg.data()
    members = shares(targets, cfg.clients, cfg.skew, rng)
    model = cfg.build()
    weights = snapshot(model)
    trace = {}
    for r in range(-cfg.warmup, cfg.rounds):
        updates, losses, gradients = [], [], []
        for client in range(cfg.clients):
            model.load_state_dict(weights)
            loss, gradient = local_training(model, cfg, inputs, targets, members[client], rng)
            losses.append(loss)
            gradients.append(gradient)
            updates.append(update_of(snapshot(model), weights))
        sent, last = gradients if cfg.gradient else updates, r == cfg.rounds - 1
        if every_client:                        # of the last round
            for client, tensors in enumerate(sent if last else ()):
                trace |= arrays_of(f"c{client}", tensors)
        elif r >= 0:
            trace |= arrays_of(f"r{r}", sent[0]) | (arrays_of(f"g{r}", weights) if last else {})
        weights = average(weights, updates)
    return trace, float(np.mean(losses))


def record_to(folder, names=tuple(TRACES), clients=None, threads=1):
    """Record traces into a folder, one .npz each; of every client if their number is given."""
    torch.set_num_threads(threads)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        start = time.perf_counter()
        cfg = (TRACES | LARGE)[name]
        if clients:
            cfg = replace(cfg, clients=clients, rounds=1)
        trace, loss = record(cfg, every_client=clients is not None)
        path = folder / f"{name}.npz"
        part = path.with_name(f"{name}.part.npz")
        np.savez(part, **trace)
        part.replace(path)                      # a run that is cut short leaves no half trace
        elements = sum(value.size for key, value in trace.items() if key.startswith(("r0/", "c0/")))
        print(f"{path}: {elements:,} elements a round, last loss {loss:.3f}, "
              f"{time.perf_counter() - start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="where the traces go")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which traces (default: all of {', '.join(TRACES)}; "
                                                              f"also {', '.join(LARGE)})")
    parser.add_argument("--clients", type=int, metavar="N", help="what each of N clients sends in one round")
    parser.add_argument("--threads", type=int, default=1, help="of torch (default: %(default)s)")
    args = parser.parse_args()
    known = TRACES | LARGE
    unknown = set(args.names) - set(known)
    if unknown:
        parser.error(f"unknown trace {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    record_to(args.folder, args.names or tuple(TRACES), args.clients, args.threads)


if __name__ == "__main__":
    main()
