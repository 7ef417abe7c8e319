"""The quantisers of papers against their mathematics.  The oracles are written from the formulas, with scipy's quadrature and
beta function; they share no code with gradsz.  Where chance is involved the false-alarm rate is stated."""
from __future__ import annotations

import json
import math
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire import Frame, read_varint

import gradsz
from gradsz import M22, SparseDithering, Spherical, _core, _reference

FALSE_ALARM = 1e-9      # of each statistical test

FLOATS = ["float16", "bfloat16", "float32", "float64"]
SOME = [SparseDithering(0.25), SparseDithering(0.5, unbiased=True), SparseDithering(1e-3), M22(), M22(bits=3, m=2, keep=1),
        M22(bits=2, family="dweibull", keep=0.1), M22(bits=2, fit="ml"), M22(bits=6, keep=1), Spherical(0.5), Spherical(0.7, block=13, seed=5)]


def round_trip(x, q):
    message = gradsz.compress(x, q)
    y = gradsz.decompress(message)
    assert y.dtype == x.dtype and y.shape == x.shape
    assert len(message) <= gradsz.compress_bound(x)
    return y


def alpha_of(x, y):
    x, y = (v.astype(np.longdouble).ravel() for v in (x, y))
    scale = np.abs(x).max()
    return float(np.sum(((x - y) / scale) ** 2) / np.sum((x / scale) ** 2))


def vectors(d: int, nu: float):
    """Of every kind, adversarial ones too: values next to the edges of bins, and the nonzeros that cost most."""
    rng = np.random.default_rng(d)
    h = math.sqrt(nu / d)
    spread = lambda v: v / np.linalg.norm(v)        # noqa: E731
    yield from (rng.normal(size=d), rng.laplace(size=d), rng.standard_t(1.5, size=d), rng.uniform(-1, 1, size=d))
    yield np.where(np.arange(d) == d // 2, 1.0, 1e-3)
    yield rng.choice([-1.0, 1.0], size=d)
    for k in (0.5, 1.5, 2.5):                       # |u| = 2 h k: half way between multiples, a little more, a little less
        for off in (1 - 1e-6, 1 + 1e-6):
            n = min(d, max(1, int(1 / (2 * h * k) ** 2)))
            x = np.zeros(d)
            x[:n] = 2 * h * k * off * rng.choice([-1, 1], n)
            rest = 1 - np.sum(x**2)
            if n < d and rest > 0:
                x[-1] = math.sqrt(rest)
            yield x
    for p in (0.3, 0.6, 0.85):                      # levels of geometric law on a part of the entries
        yield spread(np.where(rng.random(d) < p, rng.geometric(0.6, d) * rng.choice([-1, 1], d), 0) + 1e-30)


# ---- Sparse Dithering

@pytest.mark.parametrize("nu", [0.01, 0.1, 0.25, 1.0, 4.0])
@pytest.mark.parametrize("d", [2, 3, 17, 400, 5000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dithering_keeps_alpha(dtype, d, nu):
    for x in vectors(d, nu):
        x = x.astype(dtype)
        assert alpha_of(x, round_trip(x, SparseDithering(nu))) <= min(nu, 1) * (1 + 1e-6)


@pytest.mark.parametrize("nu", [0.05, 0.25, 1.0])
def test_dithering_keeps_omega(nu):
    """The mean squared error over seeds is the sum of q^2 f (1 - f), which is at most min(nu, 2 sqrt(nu)) ||x||^2.  The squared error of a
    seed is between 0 and d q^2: Hoeffding."""
    seeds, d = 300, 200
    for x in vectors(d, nu):
        norm2 = float(x @ x)
        q = np.float64(2 * math.sqrt(nu / d * norm2))
        f = np.abs(x) / q % 1
        expected = q * q * np.sum(f * (1 - f))
        assert expected <= min(nu, 2 * math.sqrt(nu)) * norm2 * (1 + 1e-9)
        errors = [float(np.sum((round_trip(x, SparseDithering(nu, unbiased=True, seed=s)) - x) ** 2)) for s in range(seeds)]
        width = float(np.sum(np.maximum(f, 1 - f) ** 2 - np.minimum(f, 1 - f) ** 2)) * q * q
        assert abs(np.mean(errors) - expected) <= width * math.sqrt(math.log(2 / FALSE_ALARM) / (2 * seeds)) + 1e-9 * norm2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dithering_is_unbiased(dtype):
    """The mean over seeds of each value is the value: errors lie in an interval of one multiple (Hoeffding, Bonferroni)."""
    seeds, d, nu = 1000, 60, 0.5
    for x in vectors(d, nu):
        x = x.astype(dtype)
        q = 2 * math.sqrt(nu / d) * float(np.linalg.norm(x.astype(float)))
        mean = np.mean([round_trip(x, SparseDithering(nu, unbiased=True, seed=s)).astype(float) for s in range(seeds)], axis=0)
        margin = q * math.sqrt(math.log(2 * d / FALSE_ALARM) / (2 * seeds))
        assert np.abs(mean - x.astype(float)).max() <= margin + 1e-6 * q
    x = np.random.default_rng(5).normal(size=d).astype(dtype)
    errors = [round_trip(x, SparseDithering(nu, unbiased=True, seed=s)).astype(float) - x for s in range(seeds)]
    correlation = np.corrcoef(np.array(errors)[:, :20].T)       # neighbours are rounded independently
    margin = math.sqrt(2 * math.log(2 * 400 / FALSE_ALARM) / seeds)
    assert np.nanmax(np.abs(correlation - np.eye(20))) < margin


def test_dithering_rounds_to_multiples_of_a_scale():
    x = np.random.default_rng(1).normal(size=(70, 90)).astype(np.float32)
    for q in (SparseDithering(0.25), SparseDithering(0.25, unbiased=True)):
        message = gradsz.compress(x, q)
        tensor = gradsz.info(message).tensors[0]
        k = gradsz.decompress(message) / np.float32(tensor.scale)
        assert np.abs(k - np.round(k)).max() < 1e-5
        assert math.isclose(tensor.scale, 2 * math.sqrt(0.25 / x.size) * np.linalg.norm(x), rel_tol=0.1)
    assert len({gradsz.compress(x, SparseDithering(0.5, unbiased=True, seed=s)) for s in range(5)}) == 5
    assert gradsz.compress(x, SparseDithering(0.5, unbiased=True)) != gradsz.compress(x + 1, SparseDithering(0.5, unbiased=True))


def paper_bits(k):
    """Code of integers k: count, positions, signs, unary levels (systems of the paper), after a scale of 32 bits."""
    d, n, total = k.size, int(np.count_nonzero(k)), int(np.abs(k).sum())
    positions = (math.lgamma(d + 1) - math.lgamma(n + 1) - math.lgamma(d - n + 1)) / math.log(2)
    return 32 + math.ceil(math.log2(d + 1)) + math.ceil(positions - 1e-9) + n + total


@pytest.mark.parametrize("nu", [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("d", [2, 5, 10, 100, 1000, 20000])
def test_dithering_stays_below_the_worst_case(d, nu):
    """The whole message is never above the worst case of the paper's code, from 1,000 values on; of fewer, without some 30 bytes
    of header, section length and checksums, which that code has not."""
    q = SparseDithering(nu)
    for x in vectors(d, nu):
        x = x.astype(np.float32)
        message = gradsz.compress(x, q)
        tensor = gradsz.info(message).tensors[0]
        if tensor.scale is None:
            continue
        k = np.round(gradsz.decompress(message).astype(float) / tensor.scale)
        assert paper_bits(k) <= q.worst_case_bits(d) + 1
        assert 8 * (len(message) - (30 if d < 1000 else 0)) <= q.worst_case_bits(d)


def test_code_length_is_the_papers():
    rng = np.random.default_rng(3)
    tensors = {"a": rng.normal(size=(90, 80)), "b": rng.laplace(size=5000).astype(np.float32), "c": np.arange(5)}
    message = gradsz.compress_tensors(tensors, SparseDithering(0.5))
    lengths = gradsz.code_length(message)
    assert list(lengths) == ["a", "b"]
    for t in gradsz.info(message).tensors[:2]:
        k = np.round(gradsz.decompress_tensors(message)[t.name].astype(float) / t.scale)
        n, total = np.count_nonzero(k), int(np.abs(k).sum())
        got = lengths[t.name]
        assert got.unary == paper_bits(k) and got.used == 8 * t.compressed_nbytes and got.nonzeros == n
        compositions = math.log2(math.comb(total - 1, n - 1))
        assert 0 <= got.enumerative - (got.unary - total) - compositions - math.log2(total + 1) < 2.001
    assert gradsz.code_length(gradsz.compress(np.zeros(9), SparseDithering(1))) == {}


def test_worst_case_table():
    """Figures of the unary code, computed for the design of this codec."""
    for nu, rate in ((0.01, 6.59), (0.05, 3.95), (0.1, 3.34), (0.25, 2.82), (0.5, 2.56), (0.75, 2.44), (1.0, 2.37)):
        assert abs((SparseDithering(nu).worst_case_bits(10**6) - 52) / 10**6 - rate) < 0.006
    assert abs((SparseDithering(0.25, unbiased=True).worst_case_bits(10**6) - 52) / 10**6 - 2.59) < 0.006


# ---- Spherical

def cap(alpha, d):
    """Part of the sphere within asin(sqrt(alpha)) of a point."""
    from scipy.special import betainc
    return 0.5 * betainc((d - 1) / 2, 0.5, alpha)


@pytest.mark.parametrize("block, alpha", [(2, 0.5), (2, 0.02), (3, 0.3), (4, 0.3), (8, 0.5), (8, 0.3), (13, 0.7), (16, 0.7), (64, 0.9), (256, 0.97)])
def test_spherical_keeps_alpha_in_every_block(block, alpha):
    rng = np.random.default_rng(block)
    q = Spherical(alpha, block)
    x = np.concatenate([rng.normal(size=10 * block), rng.standard_t(1.2, size=6 * block), np.eye(block)[rng.integers(0, block, 6)].ravel(),
                        np.zeros(3 * block), rng.choice([-1, 1], 5 * block), rng.normal(size=block // 2 + 1)])
    for dtype, unit in (("float32", 1), ("float64", 1), ("float64", 1e305), ("float64", 1e-300), ("float32", 1e-30), ("float32", 1e36)):
        v = (x / np.abs(x).max() * unit).astype(dtype)
        y = round_trip(v, q)
        for i in range(0, len(v), block):
            a, b = v[i:i + block], y[i:i + block]
            assert not b.any() if not a.any() else alpha_of(a, b) <= alpha * (1 + 1e-6)


@pytest.mark.parametrize("block, alpha", [(2, 0.5), (3, 0.3), (4, 0.3), (8, 0.5), (8, 0.3), (16, 0.7)])
def test_spherical_index_length(block, alpha):
    """At most 1.6 bits a block above log2(1 / P), and as many trials as 1 / P says: the trials are geometric with a standard
    deviation below 1 / P, so six deviations of the mean are a false alarm in 10^8 runs (by the normal law; 4,000 blocks)."""
    p, blocks = cap(alpha, block), 4000
    q = Spherical(alpha, block, seed=9)
    assert math.isclose(q.expected_trials, 1 / p, rel_tol=1e-6)
    x = np.random.default_rng(3).normal(size=blocks * block)
    section = Frame.of(gradsz.compress(x, q)).section
    escapes, at = read_varint(section, 0)
    scales, at = read_varint(section, at + escapes)
    assert escapes == 0
    coded = len(section) - at - scales - 1
    assert 8 * coded / blocks <= math.log2(1 / p) + 1.6
    low, bits = section[at + scales], _reference.Bits(section[at + scales + 1:])
    trials = np.array([_reference.read_index(bits, low) + 1 for _ in range(blocks)])
    # scales of 4 bits of fraction take up to 2^-10 of the squared norm from alpha, and directions are normal only nearly
    assert 1 / p * (1 - 6 / math.sqrt(blocks)) * 0.94 < trials.mean() < 1 / p * (1 + 6 / math.sqrt(blocks)) * 1.06


def test_spherical_directions_are_equal_everywhere():
    """Written out once; the digests of tests/cross compare platforms."""
    assert _reference.direction(0, 0, 0, 8, 8) == _reference.direction(0, 0, 0, 8, 3) + _reference.direction(0, 0, 0, 8, 8)[3:]
    s = np.array([_reference.direction(7, b, j, 8, 8) for b in range(20) for j in range(50)]) / 37837.2
    assert abs(s.mean()) < 0.07 and abs(s.std() - 1) < 0.05          # six deviations of 8,000 about normal numbers
    assert np.abs(np.corrcoef(s.T) - np.eye(8)).max() < 0.2
    assert _reference.direction(3, 1, 2, 2, 2) == DIRECTION


DIRECTION = [17583, 25573]


def test_spherical_gives_up_in_the_end():
    """A block that no direction suits comes back as it is: a scale of 4 bits of fraction cannot reach alpha 1e-7."""
    x = np.random.default_rng(0).normal(size=40)
    item = (b"", 3, x.shape, x, 0.0, 0, 255, 0, 255)
    settings = (2, 1e-7, False, 2, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)
    message = _core.encode([item], False, 1, 0, quantisers=[settings])
    assert gradsz.decompress(message).tobytes() == x.tobytes()


# ---- M22

GENNORM, DWEIBULL = 1, 2
LAWS = [(GENNORM, b) for b in (0.3, 0.5, 1, 2, 5)] + [(DWEIBULL, k) for k in (0.5, 0.7, 1.5, 2.5, 6)]


def density(family, shape):
    """Of variance 1, as a function of x > 0, from the definitions."""
    g = math.gamma
    if family == GENNORM:
        s = math.sqrt(g(1 / shape) / g(3 / shape))
        return lambda x: shape / (2 * s * g(1 / shape)) * np.exp(-(x / s) ** shape)
    s = math.sqrt(1 / g(1 + 2 / shape))
    return lambda x: shape / (2 * s) * (x / s) ** (shape - 1) * np.exp(-(x / s) ** shape)


def partial_moment(f, p, a, b):
    """Integral of x^p f from a to b, by Gauss and Legendre's rule on x = e^t, so that poles at 0 and long tails do no harm."""
    low, high = (math.log(a) if a > 0 else -80.0), (math.log(b) if b < math.inf else 14.0)
    panels = np.linspace(low, high, 120)
    middle, half = (panels[1:] + panels[:-1])[:, None] / 2, (panels[1:] - panels[:-1])[:, None] / 2
    x = np.exp(middle + half * NODES)
    with np.errstate(under="ignore"):
        return float(np.sum(x ** (p + 1) * f(x) * half * WEIGHTS))


NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def edges(levels):
    return [0.0, *[(u + v) / 2 for u, v in zip(levels, levels[1:], strict=False)], math.inf]


def expected_distortion(f, m, levels, ends=None):
    ends = edges(levels) if ends is None else ends
    return 2 * sum(partial_moment(f, m + 2, a, b) - 2 * c * partial_moment(f, m + 1, a, b) + c * c * partial_moment(f, m, a, b)
                   for c, a, b in zip(levels, ends, ends[1:], strict=False))


@pytest.mark.parametrize("family, shape", LAWS)
@pytest.mark.parametrize("bits, m", [(1, 0), (2, 1), (3, 2), (3, 0), (4, 4), (6, 2)])
def test_m22_levels_are_centroids(family, shape, bits, m):
    levels = _core.m22_levels(family, shape, bits, m)
    f, ends = density(family, shape), edges(levels)
    assert len(levels) == 2 ** (bits - 1) and all(u < v for u, v in zip(levels, levels[1:], strict=False))
    for c, a, b in list(zip(levels, ends, ends[1:], strict=False))[:: max(1, len(levels) // 8)]:
        assert math.isclose(c, partial_moment(f, m + 1, a, b) / partial_moment(f, m, a, b), rel_tol=1e-7)


GOLDEN = """
1 2   0  .79788  .36338 .36338 | .45278 1.51042  .11748        | .24509 .75601 1.34391 2.15195  .03455
1 2   2  1.59577 .15117 1.000  | 1.13886 2.24276 .05264 .397   | .79303 1.41455 2.03432 2.83461 .01638 .144
1 2   4  2.12769 .09459 2.132  | 1.64114 2.75525 .03352 1.053  | 1.25083 1.90770 2.53569 3.32933 .01059 .491
1 1   0  .70711  .50000        | .41976 1.83397  .17619        | .23340 .83296 1.67247 3.08669  .05448
1 1   2  2.12132 .25000 2.500  | 1.47166 3.60266 .08961 1.001  | .99566 2.04213 3.27541 5.14539 .02837 .363
1 1   4  3.53553 .16667 8.500  | 2.61930 5.28130 .06003 4.142  | 1.91788 3.30574 4.83542 7.04939 .01915 1.910
1 0.5 0  .54772  .70000        | .34407 2.61770  .27845        | .19475 1.01702 2.52300 5.75998 .09219
1 0.5 2  3.83406 .41667        | 2.58960 9.06568 .15831        | 1.67487 4.42880 8.41852 15.72855 .05174
2 0.7 0  .56445  .68140        | .33337 2.40858  .25525        | .17833 .95593 2.27253 4.86372 .08127
2 1.5 0  .82732  .31554        | .51815 1.49893  .10789        | .31047 .78843 1.34527 2.15066 .03296
2 1.5 2  1.53943 .16267 .823   | 1.11308 2.23796 .05744 .319   | .78965 1.39855 2.03628 2.90594 .01806 .112
2 2.5 0  .91937  .15477        | .63707 1.27996  .05297        | .42781 .79771 1.15552 1.59834 .01626
2 2.5 4  1.44958 .06147 .436   | 1.16830 1.76467 .02189 .194   | .93364 1.30512 1.64111 2.04630 .00695 .080
"""     # family, shape, m; for 1, 2, 3 bits: levels, E d_m / E|X|^(m+2), and for some the plain mean squared error


@pytest.mark.parametrize("row", GOLDEN.strip().splitlines())
def test_m22_golden_levels(row):
    family, shape, m = (float(v) for v in row.split()[:3])
    f, m = density(int(family), shape), int(m)
    total = 2 * partial_moment(f, m + 2, 0, math.inf)
    for bits, part in enumerate(" ".join(row.split()[3:]).split("|"), 1):
        wanted = [float(v) for v in part.split()]
        levels, n = _core.m22_levels(int(family), shape, bits, m), 2 ** (bits - 1)
        assert np.abs(np.array(levels) - wanted[:n]).max() < 0.6e-5
        assert abs(expected_distortion(f, m, levels) / total - wanted[n]) < 0.6e-5
        if len(wanted) > n + 1:
            assert abs(expected_distortion(f, 0, levels) - wanted[n + 1]) < 0.6e-3


@pytest.mark.parametrize("family, shape", [(GENNORM, 0.5), (GENNORM, 2), (DWEIBULL, 0.7), (DWEIBULL, 2.5)])
@pytest.mark.parametrize("bits, m", [(1, 2), (3, 0), (3, 4)])
def test_m22_no_move_of_a_level_or_threshold_helps(family, shape, bits, m):
    levels = _core.m22_levels(family, shape, bits, m)
    f, ends = density(family, shape), edges(levels)
    best = expected_distortion(f, m, levels)
    for j in range(len(levels)):
        for factor in (0.99, 1.01):
            moved = [c * factor if i == j else c for i, c in enumerate(levels)]
            assert expected_distortion(f, m, moved) > best
            if j > 0:
                shifted = [t * factor if i == j else t for i, t in enumerate(ends)]
                assert expected_distortion(f, m, levels, shifted) > best


def sample(family, shape, n, seed=0):
    """Of variance 1, by the inverse of the distribution."""
    from scipy.stats import dweibull, gennorm
    law = (gennorm if family == GENNORM else dweibull)(shape)
    return (law.rvs(n, random_state=np.random.default_rng(seed)) / law.std()).astype(np.float64)


@pytest.mark.parametrize("family, shape", [(GENNORM, 0.7), (GENNORM, 1), (GENNORM, 2), (DWEIBULL, 0.8), (DWEIBULL, 1.5), (DWEIBULL, 3)])
@pytest.mark.parametrize("fit", ["moments", "ml"])
def test_m22_distorts_what_quadrature_predicts(family, shape, fit):
    x = sample(family, shape, 1_000_000)
    for bits, m in ((1, 0), (2, 0), (3, 0), (2, 1)):
        q = M22(bits, m, {GENNORM: "gennorm", DWEIBULL: "dweibull"}[family], keep=1, fit=fit)
        predicted = expected_distortion(density(family, shape), m, _core.m22_levels(family, shape, bits, m))
        got = gradsz.verify(x, round_trip(x, q)).distortion[m]
        assert abs(got / predicted - 1) < 0.02


@pytest.mark.parametrize("family, shape", [(GENNORM, 0.5), (GENNORM, 1), (GENNORM, 3), (DWEIBULL, 0.7), (DWEIBULL, 2)])
def test_m22_fits_recover_the_shape(family, shape):
    from gradsz._likelihood import fit
    a = np.abs(sample(family, shape, 200_000))
    by_moments = _core.m22_fit(family, float(a.mean()), float((a * a).mean()))
    assert math.isclose(by_moments[0], shape, rel_tol=0.05)
    by_likelihood = fit(family, a)
    assert math.isclose(by_likelihood[0], shape, rel_tol=0.01)
    other = fit(DWEIBULL if family == GENNORM else GENNORM, a)
    assert other[2] < by_likelihood[2] or shape == 1       # at shape 1 the families are the same
    from scipy.stats import dweibull, gennorm
    law = gennorm if family == GENNORM else dweibull
    assert math.isclose(by_likelihood[2], float(np.mean(law.logpdf(a, by_likelihood[0], scale=by_likelihood[1]))), rel_tol=1e-9)


def test_m22_likelihood_of_bits():
    """bfloat16 as its bits, as tensors of torch come."""
    a = sample(GENNORM, 1, 5000).astype(ml_dtypes.bfloat16)
    q = M22(2, fit="ml")
    assert q.settings([(a.view(np.uint16), 1)]) == q.settings([(a, 1)]) != q.settings([(a.view(np.uint16), 13)])


def test_m22_shapes_are_cut():
    assert math.isclose(_core.m22_fit(GENNORM, 1.0, 1.0)[0], 8)             # all magnitudes the same
    assert math.isclose(_core.m22_fit(DWEIBULL, 1e-9, 1.0)[0], 0.2)


def test_m22_auto_takes_the_family_that_distorts_less():
    for family, shape in ((GENNORM, 0.8), (DWEIBULL, 2.0)):
        x = sample(family, shape, 50_000)
        for m in (0, 2):
            by = {f: gradsz.verify(x, round_trip(x, M22(3, m, f, keep=1))).distortion[m] for f in ("auto", "gennorm", "dweibull")}
            assert by["auto"] == min(by["gennorm"], by["dweibull"])


@pytest.mark.parametrize("keep", [0.003, 0.1, 0.5, 1])
@pytest.mark.parametrize("fit", ["moments", "ml"])
def test_m22_keeps_the_largest_of_all_tensors(keep, fit):
    rng = np.random.default_rng(4)
    tensors = {"a": rng.normal(size=(30, 50)).astype(np.float32), "b": 5 * rng.normal(size=2000), "c": rng.normal(size=1100).astype(np.float16),
               "small": rng.normal(size=9), "steps": np.arange(2000)}
    tensors["b"][3] = np.nan
    back = gradsz.decompress_tensors(gradsz.compress_tensors(tensors, M22(2, keep=keep, fit=fit)))
    assert back["small"].tobytes() == tensors["small"].tobytes() and back["steps"].tobytes() == tensors["steps"].tobytes()
    sizes = np.sort(np.concatenate([np.abs(tensors[n].astype(float).ravel()) for n in "abc"]))    # the NaN comes last
    threshold = sizes[:-1][::-1][min(int(keep * 4600), 4599) - 1] if keep < 1 else 0
    for name in "abc":
        x, y = tensors[name].astype(float), back[name].astype(float)
        kept = (np.abs(x) >= threshold) & (x != 0)
        assert np.array_equal(y != 0, kept | np.isnan(x))
        assert (np.sign(y[kept]) == np.sign(x[kept])).all() and len(np.unique(np.abs(y[kept]))) <= 2
        if kept.any():
            levels = np.unique(np.abs(y[kept]))
            nearest = np.abs(np.abs(x[kept])[:, None] - levels).min(axis=1)
            assert np.allclose(np.abs(np.abs(x[kept]) - np.abs(y[kept])), nearest, rtol=1e-6)


def test_m22_keep_and_budget():
    assert [M22(b).kept for b in (1, 2, 3)] == [0.6, 0.3, 0.6 / 3]
    assert M22(2, budget=1.0).kept == 0.5 and M22(1, budget=9.0).kept == 1 and M22(3, keep=0.25).kept == 0.25


# ---- all of them

SPECIAL = st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0, -1e-45, 6e4, 3e38, 5e-324, 1.7e308])


@given(st.sampled_from(SOME), st.sampled_from(FLOATS), st.lists(st.one_of(SPECIAL, st.floats(width=16)), max_size=80), st.integers(0, 2**32))
def test_any_values(q, dtype, values, seed):
    """Non-finite values come back bit for bit, finite ones finite; the second decoder agrees; the bytes are the same again."""
    rng = np.random.default_rng(seed)
    x = np.array(values + list(rng.normal(size=seed % 90)))
    with np.errstate(over="ignore"):
        x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    message = gradsz.compress(x, q)
    y = gradsz.decompress(message)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(x.astype(float))
        assert np.array_equal(np.isfinite(y.astype(float)), finite)
    bits = lambda v: v.view(f"u{v.itemsize}")[~finite]      # noqa: E731
    assert np.array_equal(bits(x), bits(y))
    assert _reference.decode(message)[""].tobytes() == y.tobytes()
    assert gradsz.compress(x, q) == message and len(message) <= gradsz.compress_bound(x)


@pytest.mark.parametrize("q", SOME, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tiny_and_huge_norms(q, dtype):
    """Scaling by a power of two changes nothing, as long as no number leaves the normal ones; beyond, errors stay in proportion."""
    x = np.random.default_rng(2).normal(size=3000).astype(dtype)
    largest, smallest = float(np.finfo(dtype).maxexp), float(np.finfo(dtype).minexp)
    q = SparseDithering(q.nu, q.unbiased, seed=1) if isinstance(q, SparseDithering) else q
    y = round_trip(x, q)
    for e in (-60, 60, int(smallest) + 40, int(largest) - 4):
        unit = dtype == "float64" and np.float64(2.0) ** e or np.float32(2.0) ** np.float32(e)
        z = round_trip(x * unit, q)
        if not isinstance(q, Spherical) and e != int(largest) - 4:
            assert np.array_equal(z, y * unit)
        assert alpha_of(x * unit, z) <= alpha_of(x, y) * 1.1
    tiny = (x * np.finfo(dtype).smallest_subnormal).astype(dtype)
    if tiny.any():
        assert np.isfinite(round_trip(tiny, q)).all()
    zeros = np.zeros(3000, dtype)
    assert not round_trip(zeros, q).any()
    zeros[7] = np.nan
    assert round_trip(zeros, q).tobytes() == zeros.tobytes()


@pytest.mark.parametrize("q", SOME, ids=str)
def test_integers_constants_and_empty_arrays_are_exact(q):
    for x in (np.arange(5000), np.arange(5000) % 3 == 0, np.full(3000, 1.5), np.empty((0, 3)), np.array(2.5), np.array([1.5])):
        assert round_trip(x, q).tobytes() == x.tobytes()


@pytest.mark.parametrize("q", SOME, ids=str)
def test_threads_and_kernels_change_nothing(q, cpu_mask):
    x = np.random.default_rng(6).standard_t(3, size=(300, 500)).astype(np.float32)[: 40 if isinstance(q, Spherical) else 300]
    message = gradsz.compress(x, q)
    y = gradsz.decompress(message).tobytes()
    for mask in (0, 1, 2, None):
        cpu_mask(mask)
        assert gradsz.compress(x, q, nthreads=4) == message
        assert gradsz.decompress(message, nthreads=3).tobytes() == y


@pytest.mark.parametrize("q", SOME, ids=str)
def test_levels_of_effort_change_no_value(q):
    x = np.random.default_rng(7).standard_t(3, size=(60, 70)).astype(np.float32)
    assert len({gradsz.decompress(gradsz.compress(x, q, level=level)).tobytes() for level in ("fast", "balanced", "best")}) == 1


@pytest.mark.parametrize("q", SOME, ids=str)
def test_a_quantiser_is_a_value(q):
    assert pickle.loads(pickle.dumps(q)) == q and gradsz.quantiser_from_json(q.to_json()) == q
    assert hash(q) == hash(gradsz.quantiser_from_json(q.to_json())) and json.loads(q.to_json())["quantiser"] == type(q).__name__
    assert eval(repr(q), {k: getattr(gradsz, k) for k in gradsz.__all__}) == q and "no pointwise bound" in repr(q)
    assert "no" in type(q).__doc__.lower() and "bound" in type(q).__doc__
    with pytest.raises(AttributeError):
        q.bits = 3


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"quantiser": "M23"}', '{"quantiser": "M22", "bitz": 1}', '{"quantiser": "M22", "bits": 7}', "3"])
def test_json_of_no_quantiser(text):
    with pytest.raises(gradsz.ParameterError):
        gradsz.quantiser_from_json(text)


@pytest.mark.parametrize("make", [
    lambda: SparseDithering(0), lambda: SparseDithering(-1), lambda: SparseDithering(math.nan), lambda: SparseDithering("1"),
    lambda: SparseDithering(True), lambda: SparseDithering(1, unbiased=1), lambda: SparseDithering(1, seed=-1), lambda: SparseDithering(2.0**41),
    lambda: Spherical(0), lambda: Spherical(1), lambda: Spherical(0.5, 1), lambda: Spherical(0.5, 257), lambda: Spherical(0.1, 16),
    lambda: Spherical(0.5, 8.5), lambda: Spherical(0.5, seed=None), lambda: Spherical(math.nan),
    lambda: M22(0), lambda: M22(7), lambda: M22(1, -1), lambda: M22(1, 9), lambda: M22(1, 0.5), lambda: M22(family="gauss"), lambda: M22(keep=0),
    lambda: M22(keep=1.1), lambda: M22(keep=0.5, budget=1), lambda: M22(budget=0), lambda: M22(fit="map"),
])
def test_settings_are_checked(make):
    with pytest.raises(gradsz.ParameterError):
        make()


@pytest.mark.parametrize("options", [{"mode": "rel"}, {"predictor": "none"}, {"grid": "centred"}, {"seed": 1}, {"slot": (0, 1)}])
def test_options_of_bounds_are_refused(options):
    with pytest.raises(gradsz.ParameterError, match="SparseDithering"):
        gradsz.compress(np.ones(3), SparseDithering(1), **options)


def test_the_core_checks_settings():
    x = np.arange(9.0)
    item = (b"", 3, x.shape, x, 0.0, 0, 255, 0, 255)
    good = (3, 0.0, False, 0, 2, 0, 0, 0.5, 0.0, 0.0, 0.0)
    _core.encode([item], False, 1, quantisers=[good])
    for place, value in ((0, 4), (0, 0), (4, 0), (4, 7), (5, 9), (6, 3), (7, 0.0), (7, math.nan), (8, -1.0), (8, math.inf), (9, 1.0), (9, math.nan)):
        bad = (*good[:place], value, *good[place + 1:])
        with pytest.raises(gradsz.ParameterError):
            _core.encode([item], False, 1, quantisers=[bad])


def test_info_and_verify_say_that_there_is_no_bound():
    x = np.random.default_rng(8).normal(size=2000).astype(np.float32)
    for q, mode in ((SparseDithering(0.25), "sparse-dithering"), (M22(2), "m22"), (Spherical(0.5), "spherical")):
        message = gradsz.compress(x, q)
        tensor = gradsz.info(message).tensors[0]
        assert (tensor.mode, tensor.eb) == (mode, math.inf) and f"none ({mode})" in str(gradsz.info(message))
        assert math.isclose(tensor.bits_per_entry, 8 * tensor.compressed_nbytes / 2000)
        y = gradsz.decompress(message)
        r = gradsz.verify(x, y, q)
        assert r.ok and r.eb is None and "no bound given" in str(r)
        assert math.isclose(r.alpha, alpha_of(x, y), rel_tol=1e-12)
        x64, y64 = x.astype(float), y.astype(float)
        for m in (0, 1, 2, 4):
            assert math.isclose(r.distortion[m], np.mean(np.abs(x64) ** m * (x64 - y64) ** 2), rel_tol=1e-9)
    assert (gradsz.info(gradsz.compress(x, M22(2))).tensors[0].levels or ())[0] > 0 and tensor.block == 8
    assert not gradsz.verify(x, 0 * x, Spherical(0.5)) and not gradsz.verify(x, 0 * x, SparseDithering(0.5))
    assert gradsz.verify(x, 0 * x, M22())


def test_likelihood_says_what_it_needs(monkeypatch):
    import builtins
    real = builtins.__import__

    def without_scipy(name, *args, **kwargs):
        if name.startswith("scipy"):
            raise ImportError(name)
        return real(name, *args, **kwargs)
    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(gradsz.ParameterError, match="scipy"):
        gradsz.compress(np.arange(9.0), M22(fit="ml"))


# ---- in streams

@pytest.mark.parametrize("quantiser", [gradsz.SparseDithering(0.5), gradsz.SparseDithering(1.0, unbiased=True, seed=3), gradsz.Spherical(0.5),
                                       gradsz.M22(2, 2, keep=0.3)], ids=repr)
def test_streams(quantiser):
    """Every message stands alone; what was left out comes with later messages; a stored encoder goes on."""
    rng = np.random.default_rng(4)
    update = {"w": rng.standard_t(4, (60, 50)).astype(np.float32), "steps": np.int64(3)}
    encoder, decoder = gradsz.Encoder(quantiser, error_feedback=True), gradsz.Decoder()
    total, rounds = np.zeros((60, 50)), 20
    for round in range(rounds):
        message = encoder.encode(update)
        assert message.key and message.sequence == round
        got = gradsz.Decoder().decode(message) if round % 3 == 0 else decoder.decode(message)
        assert got["steps"] == 3
        total += got["w"]
        encoder = gradsz.Encoder.from_bytes(encoder.to_bytes())
    alone = gradsz.decompress_tensors(gradsz.compress_tensors(update, quantiser))["w"]
    drift, left = total - rounds * update["w"].astype(float), alone - update["w"].astype(float)
    assert np.linalg.norm(drift) < rounds / 2 * np.linalg.norm(left)        # and would grow with the rounds


def test_streams_take_no_prediction():
    with pytest.raises(gradsz.ParameterError, match="error bound"):
        gradsz.Encoder(gradsz.Spherical(0.5), predictor="gradient-aware")
