"""Tensors of torch in and out; without torch only the last class runs."""
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest

import gradsz

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="needs torch")
DTYPES = ["float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def tensor(dtype, *shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3
    return values.to(torch.float64).abs().to(getattr(torch, dtype)) if dtype.startswith("uint") else values.to(getattr(torch, dtype))


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


@needs_torch
class TestStateDicts:
    def test_two_lines(self):
        model = torch.nn.Sequential(torch.nn.Conv2d(8, 32, 3), torch.nn.BatchNorm2d(32), torch.nn.Flatten(), torch.nn.Linear(288, 10))
        before = {name: t.clone() for name, t in model.state_dict().items()}
        message = gradsz.compress_tensors(model.state_dict(), 1e-2)
        model.load_state_dict(gradsz.decompress_tensors(message, to="torch"))
        ebs = {t.name: t.eb for t in gradsz.info(message).tensors}
        assert list(ebs) == list(before) and ebs["0.weight"] > 0 == ebs["0.bias"]
        for name, t in model.state_dict().items():
            assert t.dtype == before[name].dtype and t.shape == before[name].shape
            assert (t.double() - before[name].double()).abs().max() <= ebs[name]

    def test_parameters_that_need_gradients_and_are_left_alone(self):
        weight = torch.nn.Parameter(tensor("float32", 40, 50))
        bits = weight.detach().clone()
        message = gradsz.compress_tensors({"w": weight}, 1e-2)
        assert message == gradsz.compress_tensors({"w": bits.numpy()}, 1e-2) and torch.equal(weight, bits) and weight.requires_grad

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_every_dtype_bit_exact_there_and_back(self, dtype):
        t = tensor(dtype, 7, 30)
        back = gradsz.decompress_tensors(gradsz.compress_tensors(OrderedDict(t=t, s=t[0, 0], e=t[:0]), 0), to="torch")
        assert same(back["t"], t) and same(back["s"], t[0, 0]) and same(back["e"], t[:0])

    @pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
    def test_strides(self, dtype):
        t = tensor(dtype, 60, 50)
        for view in (t.T, t[::2, 5:], t.reshape(30, 5, 20).permute(2, 0, 1), t[3].expand(40, 50)):
            assert not view.is_contiguous()
            assert gradsz.compress(view, 1e-2) == gradsz.compress(view.contiguous(), 1e-2)
            back = gradsz.decompress_tensors(gradsz.compress(view, 1e-2), to="torch")[""]
            assert (back.double() - view.double()).abs().max() <= 1e-2

    def test_conjugated_and_negated_views(self):
        t = torch.view_as_complex(tensor("float32", 100, 2)).conj().imag
        assert t.is_neg() and gradsz.compress(t, 0) == gradsz.compress(t.clone().resolve_neg(), 0)

    def test_names_and_readers(self):
        message = gradsz.compress_tensors({"a": tensor("bfloat16", 5), "b": tensor("float32", 5)}, 0)
        assert list(gradsz.decompress_tensors(message, names=["a"], to="torch")) == ["a"]
        with gradsz.open(message) as reader:
            assert torch.equal(torch.from_numpy(reader["b"]), tensor("float32", 5))

    @pytest.mark.parametrize("make", [lambda: torch.ones(3, dtype=torch.complex64), lambda: torch.ones(3, 3).to_sparse(),
                                      lambda: torch.ones(3).to(torch.float8_e4m3fn)], ids=["complex", "sparse", "float8"])
    def test_what_is_no_array(self, make):
        with pytest.raises(gradsz.UnsupportedDtypeError):
            gradsz.compress_tensors({"t": make()}, 0)

    def test_a_function_chooses(self):
        seen = {}
        gradsz.compress_tensors({"t": tensor("float32", 30, 50)}, 1e-2, lossy=lambda name, a: seen.setdefault(name, type(a)) is None)
        assert seen == {"t": np.ndarray}

    @pytest.mark.skipif(torch is None or not torch.cuda.is_available(), reason="needs a GPU")
    def test_other_devices(self):
        for dtype in ("float32", "bfloat16"):
            t = tensor(dtype, 60, 50)
            assert gradsz.compress(t.cuda().T, 1e-2) == gradsz.compress(t.T, 1e-2)


@needs_torch
class TestBfloat16:
    """The bits are taken as they are: no package for numpy's sake."""

    def test_the_default_is_lossy_and_within_the_bound(self):
        t = tensor("bfloat16", 60, 50)
        message = gradsz.compress_tensors({"w": t, "b": t[0]}, 1e-2)
        info = gradsz.info(message).tensors
        assert [i.dtype for i in info] == ["bfloat16"] * 2 and info[0].eb > 0 == info[1].eb
        back = gradsz.decompress_tensors(message, to="torch")
        assert (back["w"].double() - t.double()).abs().max() <= info[0].eb and same(back["b"], t[0])

    def test_the_message_is_that_of_ml_dtypes(self):
        ml_dtypes = pytest.importorskip("ml_dtypes")
        t = tensor("bfloat16", 60, 50)
        a = t.float().numpy().astype(ml_dtypes.bfloat16)
        assert gradsz.compress(t, 1e-2) == gradsz.compress(a, 1e-2)
        assert gradsz.verify(t, gradsz.decompress(gradsz.compress(t, 1e-2)), 1e-2)
        assert (gradsz.quantize(t, 1e-2).values == gradsz.quantize(a, 1e-2).values).all()

    @pytest.mark.parametrize("q", [gradsz.SparseDithering(0.25), gradsz.SparseDithering(0.25, unbiased=True), gradsz.Spherical(0.5),
                                   gradsz.M22(bits=2), gradsz.M22(bits=2, fit="ml")], ids=lambda q: type(q).__name__)
    def test_quantisers_too(self, q):
        ml_dtypes = pytest.importorskip("ml_dtypes")
        tensors = {"w": tensor("bfloat16", 60, 50), "t": tensor("bfloat16", 50, 60).T, "f": tensor("float32", 40, 40), "b": tensor("bfloat16", 9)}
        arrays = {name: t.float().numpy().astype(ml_dtypes.bfloat16 if name != "f" else "f4") for name, t in tensors.items()}
        message = gradsz.compress_tensors(tensors, q)
        assert message == gradsz.compress_tensors(arrays, q) and gradsz.compress(tensors["w"], q) == gradsz.compress(arrays["w"], q)
        back, expected = gradsz.decompress_tensors(message, to="torch"), gradsz.decompress_tensors(message)
        for name, t in tensors.items():
            assert back[name].dtype == t.dtype and np.array_equal(back[name].float().numpy(), expected[name].astype("f4"))
        assert same(back["b"], tensors["b"]) and repr(gradsz.verify(tensors["w"], back["w"], q)) == repr(gradsz.verify(arrays["w"], expected["w"], q))

    def test_without_ml_dtypes(self):
        code = """if True:
            import sys
            sys.modules["ml_dtypes"] = None         # import fails
            import torch, gradsz
            t = torch.linspace(-1, 1, 3000).bfloat16().reshape(50, 60)
            message = gradsz.compress_tensors({"t": t}, 1e-2, mode="abs")
            back = gradsz.decompress_tensors(message, to="torch")["t"]
            assert (back.double() - t.double()).abs().max() <= 1e-2 and back.dtype == torch.bfloat16
            assert gradsz.verify(t, back, 1e-2) and gradsz.quantize(t, 1e-2).values.max() == 50
            try:
                gradsz.decompress_tensors(message)
            except gradsz.UnsupportedDtypeError as error:
                assert "to='torch'" in str(error)
            else:
                sys.exit("no error")
        """
        subprocess.run([sys.executable, "-c", code], check=True)


class TestWithoutTorch:
    def test_it_is_not_imported(self):
        code = """if True:
            import sys, numpy as np, gradsz
            message = gradsz.compress_tensors({"a": np.ones(5), "b": [1, 2]}, 1e-2)
            gradsz.decompress_tensors(message), gradsz.quantize(np.ones(3), 0.1)
            assert "torch" not in sys.modules
        """
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_asking_for_it_says_what_to_do(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "torch", None)
        with pytest.raises(gradsz.ParameterError, match="pip install torch"):
            gradsz.decompress_tensors(gradsz.compress(np.ones(3), 0), to="torch")

    def test_to_what(self):
        with pytest.raises(gradsz.ParameterError, match="to is 'jax'; allowed are 'numpy', 'torch'"):
            gradsz.decompress_tensors(gradsz.compress(np.ones(3), 0), to="jax")

    def test_tensors_of_other_devices_are_fetched(self):
        class Far:
            """Looks like a tensor on a GPU that needs a gradient."""
            dtype = "float32"

            def __init__(self, a, where="cuda", grad=True):
                self.a, self.where, self.grad = a, where, grad

            def detach(self):
                return Far(self.a, self.where, False)

            def cpu(self):
                return Far(self.a, "cpu", self.grad)

            def numpy(self):
                assert self.where == "cpu" and not self.grad
                return self.a

        a = np.linspace(0, 1, 3000, dtype="f4")
        assert gradsz.compress_tensors({"a": Far(a)}, 1e-2) == gradsz.compress_tensors({"a": a}, 1e-2)

    def test_what_has_only_dlpack(self):
        class Capsule:
            def __init__(self, a):
                self.a = a

            def __dlpack__(self, **options):
                return self.a.__dlpack__(**options)

            def __dlpack_device__(self):
                return self.a.__dlpack_device__()

        a = np.linspace(0, 1, 300)
        assert gradsz.compress(Capsule(a), 1e-3) == gradsz.compress(a, 1e-3)
