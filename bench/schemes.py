"""Ways to send one round's updates so that the server can average them: gradsz and what others propose.

A scheme is a function of a Round and a seed that yields Points: bits a value that the clients send, and the mean of
what the server decodes. It starts at 1 or so and goes on until the budgets are covered. All are a few lines of numpy,
and where a paper leaves the coding of its symbols open, bits are counted in its favour: the symbols' own entropy,
without tables; positions and signs that follow from a shared seed, permutations and ranges cost nothing.
"""
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import NamedTuple

import traces

import gradsz
import numpy as np

BUDGETS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0)      # bits a value
SCALE_BITS = 32                 # of a norm or a scale that is sent
VALUE_BITS = 16                 # of a value that is sent as such


@dataclass(frozen=True)
class Round:
    """What each client sends in one round."""
    network: str
    clients: list               # of {name: float32 array}: the same names and shapes for all

    @cached_property
    def vectors(self):
        """A row for each client: its tensors one after the other."""
        return np.stack([flat(tensors) for tensors in self.clients])

    @cached_property
    def slices(self):
        """Where each tensor lies in a row."""
        ends = np.cumsum([x.size for x in self.clients[0].values()])
        return [slice(end - x.size, end) for end, x in zip(ends.tolist(), self.clients[0].values())]

    @cached_property
    def mean(self):
        return self.vectors.mean(axis=0, dtype=np.float64)

    @cached_property
    def power(self):
        """Mean of ||x_i||^2."""
        return float(np.square(self.vectors, dtype=np.float64).sum() / len(self.vectors))

    @property
    def values(self):
        """How many one client sends."""
        return self.vectors.shape[1]

    def error(self, estimate):
        """||estimate - mean||^2 / mean ||x_i||^2"""
        return float(np.square(estimate - self.mean).sum() / self.power)


class Point(NamedTuple):
    curve: str                  # a scheme may have several, one for each of its own choices
    setting: float
    bits: float                 # a value
    estimate: np.ndarray


def flat(tensors):
    return np.concatenate([x.ravel() for x in tensors.values()])


def generator(*key):
    return np.random.default_rng(key)


def entropy_bits(symbols):
    """Order-0 entropy of all of them together."""
    _, counts = np.unique(symbols, return_counts=True)
    return float(-(counts * np.log2(counts / symbols.size)).sum())


def outward(point, curve="", start=0, coarsest=24, finest=-24):
    """Points at settings 2^(k/2), coarser and then finer, until both ends of the budgets are passed."""
    for way in (1, -1):
        k = start if way > 0 else start - 1
        while finest <= k <= coarsest:
            setting = 2.0 ** (k / 2)
            bits, estimate = point(setting)
            yield Point(curve, setting, bits, estimate)
            if bits < BUDGETS[0] if way > 0 else bits > BUDGETS[-1]:
                break
            k += way


# ---- gradsz and SZ3: bits of the bytes written -----------------------------------------------


def of_messages(round_, send):
    """Bits and mean of what each client sends; send(client, tensors) gives bytes written and what they decode to."""
    written, total = 0, np.zeros(round_.values)
    for client, tensors in enumerate(round_.clients):
        size, decoded = send(client, tensors)
        written += size
        total += flat(decoded)
    return 8 * written / round_.vectors.size, total / len(round_.clients)


def by_gradsz(round_, seed, grid, level, slots):
    """One message a client, with one bound: relative to the root mean square of the client's whole update."""
    clients = len(round_.clients)

    def point(bound):
        def send(client, tensors):
            offsets = dict(seed=seed, slot=(client, clients)) if slots else dict(seed=seed * clients + client)
            message = gradsz.compress_tensors(tensors, bound, mode="rms", bound_over="message", level=level, grid=grid, **offsets)
            return len(message), gradsz.decompress_tensors(message)
        return of_messages(round_, send)
    return outward(point, coarsest=12)


def by_sz3(round_, seed, codec):
    """A call for each tensor, the bounds those of gradsz; names and shapes are not counted."""
    def point(bound):
        def send(client, tensors):
            eb = traces.absolute_bound(round_.vectors[client], f"rms{bound}")
            streams = {name: codec.compress(x, eb) for name, x in tensors.items()}
            return (sum(map(len, streams.values())),
                    {name: codec.decompress(streams[name], x.shape, x.dtype) for name, x in tensors.items()})
        return of_messages(round_, send)
    return outward(point, coarsest=12)


# ---- rotation --------------------------------------------------------------------------------


@lru_cache(None)
def hadamard_matrix(log2):
    """Orthonormal."""
    h = np.ones((1, 1), np.float32)
    for _ in range(log2):
        h = np.block([[h, h], [h, -h]]) / np.float32(math.sqrt(2))
    return h


def hadamard(x):
    """The orthonormal Walsh-Hadamard transform of 2^k values: its own inverse."""
    left = x.size.bit_length() - 1
    while left:
        part = min(left, 6)
        x = (hadamard_matrix(part) @ x.reshape(1 << part, -1)).T.reshape(-1)    # moves on to the next 2^part
        left -= part
    return x


class Rotation:
    """A random rotation of n values: shuffled, then two transforms with random signs that overlap, so that nothing
    has to be padded to a power of two."""

    def __init__(self, n, rng):
        self.order = rng.permutation(n)
        self.length = 1 << (n.bit_length() - 1)
        self.first, self.second = rng.integers(0, 2, (2, self.length)).astype(np.float32) * 2 - 1

    def __call__(self, x):
        y = x[self.order].astype(np.float32)
        y[:self.length] = hadamard(y[:self.length] * self.first)
        y[-self.length:] = hadamard(y[-self.length:] * self.second)
        return y

    def back(self, y):
        y = y.astype(np.float32)
        y[-self.length:] = hadamard(y[-self.length:]) * self.second
        y[:self.length] = hadamard(y[:self.length]) * self.first
        x = np.empty_like(y)
        x[self.order] = y
        return x


# ---- EDEN (Vargaftik et al. 2022); at one bit it is DRIVE (2021) -------------------------------


@lru_cache(None)
def gaussian_centroids(bits, turns=3000):
    """Lloyd's for a standard normal: centroids, and the thresholds between them."""
    centroids = np.linspace(-1, 1, 1 << bits) * min(bits, 2.7)
    for _ in range(turns):
        edges = np.concatenate([[-np.inf], (centroids[1:] + centroids[:-1]) / 2, [np.inf]])
        density = np.exp(-edges ** 2 / 2) / math.sqrt(2 * math.pi)
        below = np.array([(1 + math.erf(edge / math.sqrt(2))) / 2 for edge in edges])
        centroids = (density[:-1] - density[1:]) / np.diff(below)
    return centroids.astype(np.float32), edges[1:-1].astype(np.float32)


def eden(round_, seed):
    """Each client's whole update rotated, centroids of 1 to 4 bits, scaled so that it is unbiased; for less than one
    bit, one bit of a random part of the values."""
    settings = [(part, 1) for part in (0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 0.7, 1)] + [(1, bits) for bits in (2, 3, 4)]
    n, totals = round_.values, np.zeros((len(settings), round_.values))
    for client, x in enumerate(round_.vectors):
        rng = generator(seed, client, 1)
        rotation = Rotation(n, rng)
        rotated, order = rotation(x), rng.permutation(n)
        square = np.square(rotated, dtype=np.float64).sum()
        unit = rotated * np.float32(math.sqrt(n / square))
        for total, (part, bits) in zip(totals, settings):
            centroids, edges = gaussian_centroids(bits)
            sent = centroids[np.searchsorted(edges, unit)]
            sent[order[round(part * n):]] = 0
            total += rotation.back(sent * np.float32(square / np.dot(rotated.astype(np.float64), sent)))
    for total, (part, bits) in zip(totals, settings):
        yield Point("", part * bits, part * bits + SCALE_BITS / n, total / len(round_.vectors))


# ---- stochastic rounding ---------------------------------------------------------------------


def qsgd(round_, seed):
    """QSGD (Alistarh et al. 2017): |x| in parts of its bucket's norm, rounded at random; entropy of the signed levels
    and a norm a bucket. Buckets of three lengths."""
    n, offsets = round_.values, [generator(seed, client, 2).random(round_.values, np.float32)
                                 for client in range(len(round_.clients))]
    for length in (512, 8192, n):
        starts = np.arange(0, n, length)
        lengths = np.diff(np.append(starts, n))
        norms = [np.repeat(np.sqrt(np.add.reduceat(np.square(x, dtype=np.float64), starts)), lengths)
                 for x in round_.vectors]
        levels, bits = 1, 0.0
        while bits <= BUDGETS[-1]:
            total, bits = np.zeros(n), SCALE_BITS / length
            for x, norm, offset in zip(round_.vectors, norms, offsets):
                parts = np.divide(np.abs(x) * levels, norm, out=np.zeros(n), where=norm > 0)
                symbols = (np.sign(x) * np.floor(parts + offset)).astype(np.int32)
                bits += entropy_bits(symbols) / round_.vectors.size
                total += symbols * norm / levels
            yield Point("whole" if length == n else str(length), levels, bits, total / len(round_.vectors))
            levels *= 2


def correlated(round_, seed):
    """Correlated quantisation (Suresh et al. 2022): rounded up where the fraction is above an offset, and the clients'
    offsets are spread evenly, in an order drawn for each value. The step is shared: a part of the largest value of a
    tensor over all clients, or, rotated by a rotation that all share, of the whole update."""
    clients, rng = len(round_.clients), generator(seed, 3)
    places = rng.permuted(np.tile(np.arange(clients, dtype=np.float32)[:, None], round_.values), axis=0)
    offsets = (places + rng.random(places.shape, np.float32)) / clients
    rotation = Rotation(round_.values, rng)
    for curve, vectors, slices, back in (
            ("plain", round_.vectors, round_.slices, np.asarray),
            ("rotated", np.stack([rotation(x) for x in round_.vectors]), [slice(None)], rotation.back)):
        def point(part):
            bits, mean = 0.0, np.zeros(round_.values)
            for where in slices:
                x = vectors[:, where]
                step = part * float(np.abs(x).max()) or 1.0
                symbols = np.floor(x / step + offsets[:, where]).astype(np.int32)
                bits += sum(map(entropy_bits, symbols))
                mean[where] = symbols.mean(axis=0) * step
            return bits / vectors.size, back(mean)
        yield from outward(point, curve)


# ---- parts of the values ---------------------------------------------------------------------


def sparse(round_, seed):
    """Random sparsification: a part of the values, divided by that part; positions follow from the seed."""
    n = round_.values
    orders = [generator(seed, client, 4).permutation(n) for client in range(len(round_.clients))]
    for part in np.geomspace(BUDGETS[0] / 2, BUDGETS[-1], 12) / VALUE_BITS:
        kept = round(part * n)
        total = np.zeros(n)
        for x, order in zip(round_.vectors, orders):
            chosen = order[:kept]
            total[chosen] += x[chosen] * (n / kept)
        yield Point("", part, VALUE_BITS * kept / n, total / len(round_.vectors))


def log2_binomial(n, k):
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)


def top_k(round_, seed):
    """The largest values, and log2 C(n, k) bits for where they are."""
    n = round_.values
    orders = [np.argsort(-np.abs(x)) for x in round_.vectors]
    for part in np.geomspace(1 / 400, 1 / 4, 16):
        kept = round(part * n)
        total = np.zeros(n)
        for x, order in zip(round_.vectors, orders):
            total[order[:kept]] += x[order[:kept]]
        yield Point("", part, (VALUE_BITS * kept + log2_binomial(n, kept)) / n, total / len(round_.vectors))


# ---- all of them -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Scheme:
    points: Callable            # (round, seed) -> Points
    biased: bool = False
    random: bool = True         # whether the seed matters


def name_of(grid, level, slots):
    return f"gradsz-{grid}-{level}{'-slots' * slots}"


def available(sz3=None):
    """{name: Scheme}"""
    found = {name_of(grid, level, slots): Scheme(partial(by_gradsz, grid=grid, level=level, slots=slots))
             for level in ("best", "balanced") for grid in ("dithered", "shrunk") for slots in (True, False)}
    found |= {"eden": Scheme(eden), "correlated": Scheme(correlated), "qsgd": Scheme(qsgd), "sparse": Scheme(sparse)}
    found["gradsz-centred-best"] = Scheme(partial(by_gradsz, grid="centred", level="best", slots=False), True, False)
    if sz3:
        found["sz3"] = Scheme(partial(by_sz3, codec=sz3), True, False)
    return found | {"top-k": Scheme(top_k, True, False)}
