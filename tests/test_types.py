"""The stubs match the binding, and the public annotations mean what they say to a type checker."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("mypy")
ROOT = Path(__file__).parent.parent

SAMPLE = """
    from typing import assert_type
    import numpy as np
    import gradsz

    a = np.zeros(3, np.float32)
    assert_type(gradsz.compress(a, 1e-3, mode="rel", level="fast", predictor="auto", nthreads=2), bytes)
    b: np.ndarray = gradsz.decompress(bytearray(b""), out=a, nthreads=1, max_output=10)
    assert_type(gradsz.compress_bound((3, 4), "float32"), int)
    assert_type(gradsz.compress_tensors({"w": a}, 1e-3, lossy=lambda name, array: array.size > 9), bytes)
    d: dict[str, np.ndarray] = gradsz.decompress_tensors(b"", names=["w"])
    assert_type(gradsz.info(b""), gradsz.MessageInfo)
    assert_type(gradsz.info(b"").tensors, list[gradsz.TensorInfo])
    assert_type(gradsz.info(b"").tensors[0].eb, float)
    assert_type(gradsz.info(b"").tensors[0].name, str | None)
    assert_type(gradsz.verify(a, b, 1e-3, "rel"), gradsz.VerifyResult)
    assert_type(gradsz.verify(a, b).ok, bool)
    assert_type(gradsz.verify(a, b).eb, float | None)
    q: gradsz.Quantiser = gradsz.SparseDithering(0.25, unbiased=True, seed=3)
    assert_type(gradsz.compress(a, gradsz.M22(bits=2, m=1, family="gennorm", keep=0.5)), bytes)
    assert_type(gradsz.compress_tensors({"w": a}, gradsz.Spherical(0.5, block=8)), bytes)
    assert_type(gradsz.verify(a, b, q).alpha, float)
    assert_type(gradsz.quantiser_from_json(q.to_json()), gradsz.Quantiser)
    aware: gradsz.GradientAware = gradsz.GradientAware.from_json(gradsz.GradientAware(beta=0.2, bias_corrected=True).to_json())
    assert_type(gradsz.Encoder(1e-2, predictor=aware).encode({"w": a}), gradsz.StreamMessage)
    gradsz.Encoder(1e-2, predictor="gradient-aware", history=2)
    assert_type(gradsz.GradszError("x").code, int)
    e: ValueError = gradsz.ParameterError("x")
    f: TypeError = gradsz.UnsupportedDtypeError("x")
    assert_type(gradsz.__version__, str)
"""


def run(cwd, *arguments):
    done = subprocess.run([sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def test_the_package_is_marked_as_typed():
    assert (ROOT / "gradsz" / "py.typed").exists()


def test_the_stub_of_the_binding_matches_it(tmp_path):
    (tmp_path / "allowed").write_text(r"gradsz\._core\.(.*\.)?__(reduce_cython|setstate_cython|test|pyx_\w+)__" + "\n")
    run(tmp_path, "mypy.stubtest", "--ignore-unused-allowlist", "--allowlist", tmp_path / "allowed", "gradsz._core")


def test_a_typed_program_checks(tmp_path, cache):
    (tmp_path / "sample.py").write_text(textwrap.dedent(SAMPLE))
    run(tmp_path, "mypy", "--strict", "--follow-imports=silent", "--cache-dir", cache, "sample.py")


@pytest.mark.parametrize("line", ["gradsz.info(b'').tensors[0].no_such_field", "gradsz.info(b'') + 1", "gradsz.compress_bound((3,), 'f4').decode()",
                                  "x: int = gradsz.compress([1.0], 1e-3)"])
def test_mistakes_are_found(tmp_path, cache, line):
    (tmp_path / "wrong.py").write_text(f"import gradsz\n{line}\n")
    with pytest.raises(AssertionError, match="error:"):
        run(tmp_path, "mypy", "--follow-imports=silent", "--cache-dir", cache, "wrong.py")
