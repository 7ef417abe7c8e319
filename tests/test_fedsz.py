"""gradsz.FedSZ: the paper's partition and bound (arXiv 2312.13461)."""
import numpy as np
import oracle
import pytest

import gradsz
from gradsz import ParameterError

RNG = np.random.default_rng(0)
STATE = {"conv.weight": RNG.normal(size=(16, 8, 3, 3)).astype("f4"), "bn.weight": RNG.normal(size=2048).astype("f4"),
         "bn.running_var": RNG.normal(size=2048).astype("f4"), "edge.weight": RNG.normal(size=1024), "over.weight_g": RNG.normal(size=1025),
         "embedding": RNG.normal(size=(50, 60)), "bn.num_batches_tracked": np.int64(2**60 + 1), "int.weight": np.arange(3000)}
LOSSY = {"conv.weight", "bn.weight", "over.weight_g"}


@pytest.mark.parametrize("level", ["fast", "balanced"])
@pytest.mark.parametrize("rel", [1e-1, 1e-2, 1e-3])
def test_partition_and_bound(rel, level):
    message = gradsz.FedSZ(rel, level=level).compress(STATE)
    back = gradsz.decompress_tensors(message)
    assert list(back) == list(STATE)
    for t in gradsz.info(message).tensors:
        a = np.asarray(STATE[t.name])
        assert (t.eb > 0) == (t.name in LOSSY) and (t.eb == 0 or t.grid == "aligned")
        assert t.eb == 0 or rel * float(np.ptp(a.astype(float))) * (1 - 2**-11) <= t.eb <= rel * float(np.ptp(a.astype(float))) * (1 + 1e-12)
        oracle.check_decoded(a, back[t.name], t.codec, t.eb)


@pytest.mark.parametrize("level", ["fast", "balanced", "best"])
def test_values_are_multiples_of_the_width_of_a_bin(level):
    message = gradsz.FedSZ(level=level).compress(STATE)
    bins = gradsz.decompress_tensors(message)["conv.weight"] / (2 * gradsz.info(message).tensors[0].eb)
    assert np.abs(bins - np.rint(bins)).max() < 1e-4


def test_cutoff():
    assert {t.name for t in gradsz.info(gradsz.FedSZ(cutoff=1023).compress(STATE)).tensors if t.eb > 0} == LOSSY | {"edge.weight"}
    assert not any(t.eb for t in gradsz.info(gradsz.FedSZ(cutoff=10**6).compress(STATE)).tensors)


def test_lossy_part():
    assert gradsz.FedSZ().lossy_part({"weight": np.zeros((97, 100)), "bias": np.zeros(300)}) == 0.97
    assert gradsz.FedSZ().lossy_part({}) == 0


@pytest.mark.parametrize("options", [{"rel": -1}, {"rel": np.inf}, {"cutoff": -1}, {"cutoff": 1.5}, {"cutoff": True}, {"level": "x"}, {"grid": "x"}], ids=repr)
def test_parameters(options):
    with pytest.raises(ParameterError):
        gradsz.FedSZ(**options)
