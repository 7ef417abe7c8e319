"""gradsz.breakeven and the times behind `gradsz advise`."""
import json
import math

import numpy as np
import pytest

import gradsz
from gradsz import advice

MBIT = 1e6


class TestBreakeven:
    @pytest.mark.parametrize("raw, ratio, forth, back", [(228e6, 13, 3.9, 0), (1e6, 2, 1e-3, 5e-4), (46.8e6, 12.7, 0.11, 0.05)])
    def test_both_ways_take_as_long_there(self, raw, ratio, forth, back):
        b = gradsz.breakeven(raw, raw / ratio, forth, back)
        for rate, sooner in ((b * 0.99, True), (b * 1.01, False)):
            assert (forth + 8 * raw / ratio / rate + back < 8 * raw / rate) is sooner

    def test_published_figures(self):
        """FedSZ: AlexNet, 228 MB in 3.9 s at a ratio of 13, pays below some 500 Mbit/s."""
        assert gradsz.breakeven(228e6, 228e6 / 13, 3.9) / MBIT == pytest.approx(432, abs=1)

    def test_corners(self):
        assert gradsz.breakeven(100, 100, 1) == gradsz.breakeven(100, 101, 0) == 0
        assert gradsz.breakeven(100, 50, 0) == math.inf

    @pytest.mark.parametrize("arguments", [(-1, 1, 1), (1, math.nan, 1), (1, 1, math.inf), (1, 1, 1, -1)])
    def test_refused(self, arguments):
        with pytest.raises(gradsz.ParameterError, match="finite and not negative"):
            gradsz.breakeven(*arguments)


def test_trials_are_of_every_level_and_of_none():
    update = {"w": np.random.default_rng(0).normal(size=(60, 50)), "steps": np.int64(1)}
    found = advice.trials({k: np.asarray(v) for k, v in update.items()}, 1e-2, mode="rel", repeat=1)
    assert [t.way for t in found] == ["none", "fast", "balanced", "best"]
    assert found[0].nbytes == found[0].raw_nbytes == 24008 and found[0].round_seconds(8) == 24008
    for t in found[1:]:
        assert t.nbytes == len(gradsz.compress_tensors(update, 1e-2, level=t.way)) and t.compress_seconds > 0 < t.decompress_seconds


class TestCommand:
    @pytest.fixture
    def model(self, tmp_path):
        pytest.importorskip("click")
        pytest.importorskip("rich")
        path = tmp_path / "model.npz"
        np.savez(path, weight=np.random.default_rng(0).normal(size=(100, 50)).astype("f4"), bias=np.ones(50, "f4"))
        return path

    def run(self, *arguments, code=0):
        from gradsz import cli
        assert cli.main([str(a) for a in ("advise", *arguments)]) == code

    def test_table_and_recommendation(self, model, capsys):
        self.run(model, "--bandwidth", "10kbit", "--repeat", 1)
        out = capsys.readouterr().out
        assert all(word in out for word in ("none", "fast", "balanced", "best", "10 kbit/s", "pays below", "recommended: --level "))

    def test_no_compression_where_the_link_is_faster(self, model, capsys):
        self.run(model, "--bandwidth", "1000Tbit", "--repeat", 1)
        assert "recommended: no compression" in capsys.readouterr().out

    def test_json_adds_up(self, model, capsys):
        self.run(model, "--bandwidth", "2Mbit", "--repeat", 1, "--json", "--bound", "1e-3", "--mode", "abs")
        said = json.loads(capsys.readouterr().out)
        assert said["bandwidth"] == 2e6 and said["raw_nbytes"] == 20200
        for way in said["ways"].values():
            assert way["round_seconds"] == pytest.approx(way["compress_seconds"] + 8 * way["nbytes"] / 2e6 + way["decompress_seconds"])
        assert said["recommended"] == min(said["ways"], key=lambda way: said["ways"][way]["round_seconds"])
        assert said["ways"]["none"]["breakeven"] is None and said["ways"]["fast"]["breakeven"] > 0

    @pytest.mark.parametrize("text, bits", [("10Mbit", 1e7), ("10 Mbit/s", 1e7), ("1.5Gbps", 1.5e9), ("500kb/s", 5e5), ("2MB/s", 1.6e7), ("8bit", 8)])
    def test_units(self, text, bits):
        pytest.importorskip("click")
        from gradsz import commands
        assert commands._bandwidth(None, None, text) == pytest.approx(bits)

    @pytest.mark.parametrize("text", ["10", "0Mbit", "Mbit", "-1Mbit", "1..2Mbit", "10Xbit", "1e999Gbit"])
    def test_rates_that_are_none(self, text, model, capsys):
        self.run(model, "--bandwidth", text, code=2)
        assert "10Mbit, 500kbit" in capsys.readouterr().err
