"""The demo trains, stays within its bound, and says what it did."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
from gradsz import demo  # noqa: E402


@pytest.fixture(scope="module")
def results():
    return list(demo.run(rounds=2, clients=3, bound=1e-2))


def test_learns_as_without_compression(results):
    assert [result.number for result in results] == [1, 2]
    last = results[-1]
    assert last.accuracy_uncompressed > 0.6  # chance is 0.1
    assert abs(last.accuracy - last.accuracy_uncompressed) < 0.05


def test_saves_bytes_and_keeps_the_bound(results):
    weights = sum(values.nbytes for values in demo.new_weights(np.random.default_rng(0)).values())
    for result in results:
        assert result.raw_bytes == 3 * weights
        assert result.ratio > 2
        assert 0.9 < result.worst <= 1


@pytest.mark.parametrize("mode, bound", [("abs", 1e-4), ("rms", 0.1), ("rel", 0.0)])
def test_modes(mode, bound):
    (result,) = demo.run(rounds=1, clients=2, bound=bound, mode=mode)
    assert result.worst <= (1 if bound else 0)
    if not bound:
        assert result.accuracy == result.accuracy_uncompressed


def test_worst_error_sees_a_violation():
    update = {"a": np.array([0, 1], np.float32), "b": np.zeros(3, np.float32)}
    near = {"a": np.array([0.005, 1], np.float32), "b": update["b"]}
    far = {"a": np.array([0, 1.02], np.float32), "b": update["b"]}
    assert demo.worst_error(update, update, 0.01, "rel") == 0
    assert demo.worst_error(update, near, 0.01, "rel") == pytest.approx(0.5)
    assert demo.worst_error(update, far, 0.01, "rel") == pytest.approx(2)
    assert demo.worst_error(update, {"a": update["a"], "b": update["b"] + 1}, 0.01, "rel") == np.inf


def test_gradients_match_differences():
    rng = np.random.default_rng(1)
    weights = {name: value.astype(np.float64) for name, value in demo.new_weights(rng).items()}
    x, labels = rng.random((5, 64)), rng.integers(0, 10, 5)

    def loss():
        scores = demo.forward(weights, x)[1]
        return float(np.mean(np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(5), labels]))

    found = demo.gradients(weights, x, labels)
    for name in weights:
        index = np.unravel_index(np.abs(found[name]).argmax(), found[name].shape)
        base, step = weights[name][index], 1e-6
        weights[name][index] = base + step
        above = loss()
        weights[name][index] = base - step
        below = loss()
        weights[name][index] = base
        assert (above - below) / (2 * step) == pytest.approx(found[name][index], rel=1e-4)


def test_split_covers_every_image_once_and_is_skewed():
    labels = np.repeat(np.arange(10), 100)
    parts = demo.split_by_label(labels, 4, np.random.default_rng(0))
    assert sorted(np.concatenate(parts)) == list(range(1000))
    shares = np.array([np.bincount(labels[part], minlength=10) for part in parts]) / 100
    assert shares.max() > 0.5  # some client has most of some digit


def test_same_seed_same_result(results):
    assert list(demo.run(rounds=2, clients=3, bound=1e-2)) == results


def test_prints_table_and_plots(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "demo.png"
    assert demo.main(["--rounds", "2", "--clients", "2", "--plot", str(picture)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == " ".join(demo.COLUMNS).split()
    assert [line.split()[0] for line in lines[1:3]] == ["1", "2"]
    assert lines[3].startswith("2 rounds at rel 0.01: accuracy")
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("options", [["--rounds", "0"], ["--bound", "-1"], ["--mode", "l3"], ["--plot", "a.nothing"]])
def test_wrong_options(options, capsys):
    with pytest.raises(SystemExit) as raised:
        demo.main(options)
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err.splitlines()[-1]


def test_needs_neither_click_nor_rich():
    code = (
        "import sys; sys.modules.update(click=None, rich=None); from gradsz import demo; demo.main(['--rounds', '1'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 rounds at rel 0.01" in done.stdout
