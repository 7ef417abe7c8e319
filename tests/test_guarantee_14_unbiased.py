"""Promise 14: errors of the dithered and shrunk grids are zero on average over seeds, and within the bound for each.

The seeds are fixed, so a run that passes always passes; limits are six standard errors, plus the bias that units leave.
"""
import numpy as np
import pytest

import gradsz
from gradsz import _core

GRIDS = ["dithered", "shrunk"]
SEEDS = 400


def update(shape=(24, 40), seed=0):
    """Rows and columns of different sizes, skewed values, a row of zeros, and one far value."""
    rng = np.random.default_rng(seed)
    x = rng.laplace(size=shape) * rng.lognormal(0, 1, shape[:1] + (1,) * (len(shape) - 1)) * rng.lognormal(0, 0.5, shape[1:])
    x = np.where(x > 0, x, 0.3 * x).astype(np.float32)
    x[3] = 0
    x[5, 7] = 30 * np.abs(x).max()
    return x


def decoded(x, grid, bound, seed, **options):
    return gradsz.decompress(gradsz.compress(x, bound, mode="abs", grid=grid, seed=seed, **options)).astype(np.float64)


def typical(x):
    return float(np.abs(x[x != 0]).mean())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("coarse", [0.5, 4.0, 24.0])
@pytest.mark.parametrize("level", ["fast", "balanced"])
def test_the_mean_over_seeds_is_the_value(grid, coarse, level):
    x = update()
    bound = coarse * typical(x)
    errors = np.array([decoded(x, grid, bound, seed, level=level) - x for seed in range(SEEDS)])
    assert np.abs(errors).max() <= bound
    unit = typical(x) / 64          # a unit is at most that, and half of it the bias that is left
    limit = 6 * errors.std(axis=0) / np.sqrt(SEEDS) + unit / 2 + 1e-6 * bound
    assert (np.abs(errors.mean(axis=0)) <= limit).all()
    assert abs(errors.mean()) <= 6 * errors.std() / np.sqrt(errors.size) + unit / 2


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("coarse", [1.0, 8.0, 32.0])
def test_the_exact_average_over_all_offsets(grid, coarse):
    """Slots of 1/4096 bin go through every offset there is.  Even columns of the first row know nothing of each other,
    so this is an enumeration; the mean may miss by 1 % of the rms."""
    x = np.random.default_rng(5).laplace(size=512).astype(np.float32)
    rms = float(np.sqrt(np.mean(x.astype(np.float64)**2)))
    n = 4096
    mean = sum(decoded(x, grid, coarse * rms, 11, slot=(i, n)) for i in range(n)) / n
    assert np.abs(mean - x)[::2].max() <= 0.01 * rms


def test_dithered_errors_are_uniform_and_do_not_depend_on_the_value():
    x = update()
    bound = 6 * typical(x)
    errors = np.array([decoded(x, "dithered", bound, seed) - x for seed in range(SEEDS)])[:, x != 0] / bound
    parts = np.histogram(errors, bins=20, range=(-1, 1))[0] / errors.size
    assert np.abs(parts - 1 / 20).max() < 0.002
    assert np.abs((errors**2).mean(axis=0) - 1 / 3).max() < 6 * 0.3 / np.sqrt(SEEDS)


def test_shrunk_errors_are_smaller_at_coarse_bounds():
    x = update()
    x[5, 7] = 0
    bound = 16 * typical(x)
    by_grid = {grid: np.mean([(decoded(x, grid, bound, seed) - x)**2 for seed in range(50)]) for grid in GRIDS}
    assert by_grid["shrunk"] < 0.25 * by_grid["dithered"]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rows_of_zeros_stay_zero_and_specials_stay(grid, dtype):
    x = update().astype(dtype)
    x[8, :3] = [np.nan, np.inf, -np.inf]
    y = gradsz.decompress(gradsz.compress(x, 10 * typical(update()), grid=grid, seed=1))
    assert (y[3] == 0).all() and not np.signbit(y[3]).any()
    assert np.array_equal(y[8, :3], x[8, :3], equal_nan=True)


@pytest.mark.parametrize("grid", GRIDS)
def test_bytes_depend_on_the_seed_and_by_default_on_the_values(grid):
    x = update()
    a, b = (gradsz.compress(x, 1.0, grid=grid, seed=seed) for seed in (1, 2))
    assert a == gradsz.compress(x, 1.0, grid=grid, seed=1) != b
    default = gradsz.compress(x, 1.0, grid=grid)
    assert default == gradsz.compress(x.copy(), 1.0, grid=grid)
    z = x.copy()
    z[0, 0] += 1e-3
    offsets = [gradsz.decompress(m) - v for m, v in [(default, x), (gradsz.compress(z, 1.0, grid=grid), z)]]
    assert np.abs(offsets[0] - offsets[1]).mean() > 0.1


@pytest.mark.parametrize("grid", GRIDS)
def test_every_kernel_and_any_number_of_threads_make_the_same(grid):
    tensors = {name: update(shape, seed) for seed, (name, shape) in enumerate({"a": (24, 40), "b": (16, 24, 3, 3), "c": (40, 2100)}.items())}
    messages = []
    for mask, threads in [(None, 1), (0, 1), (None, 3), (2, 2)]:
        _core.set_cpu_mask(mask)
        try:
            m = gradsz.compress_tensors(tensors, 4, mode="rms", grid=grid, seed=7, nthreads=threads, lossy=lambda *_: True)
            messages.append((m, {k: v.tobytes() for k, v in gradsz.decompress_tensors(m, nthreads=threads).items()}))
        finally:
            _core.set_cpu_mask(None)
    assert all(m == messages[0] for m in messages)


@pytest.mark.parametrize("grid", GRIDS)
def test_slots_make_the_average_over_clients_better(grid):
    x, n, bound = update(), 8, 8 * typical(update())
    x[5, 7] = 0

    def error(options):
        rounds = [np.mean([decoded(x, grid, bound, **o) for o in options(r)], axis=0) - x for r in range(12)]
        return np.mean(np.square(rounds))

    shared = error(lambda r: [dict(seed=r, slot=(i, n)) for i in range(n)])
    own = error(lambda r: [dict(seed=100 * r + i) for i in range(n)])
    assert shared < 0.5 * own


@pytest.mark.parametrize("options", [dict(seed=-1), dict(seed=2**64), dict(seed=1.5), dict(slot=(2, 2)), dict(slot=3), dict(slot=(0, 2**32))])
def test_mistakes(options):
    with pytest.raises(gradsz.ParameterError):
        gradsz.compress(update(), 1.0, grid="dithered", **options)
