"""NNC (ISO/IEC 15938-17, package nncodec) on the messages of messages.py, each within its bound.

    python bench/nnc.py [TRACES_DIR] [--venv DIR] [--out bench/results]

nncodec wants a torch and a numpy of its own, so it lives in an environment of its own: DIR, made where it is not there
(pip, a C++ compiler, minutes; Python 3.11 or 3.12). Writes nnc.csv, which messages.py shows beside the rest.

    nnc             uniform quantiser, one message a round, the largest step that keeps every value within eb
    nnc-temporal    the same, its contexts drawn from the round before, which both ends hold

Dependent and rate-distortion optimised quantisation are left out: both exceed the bound.
"""
import argparse
import importlib.util
import math
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import messages                 # first: it sets the number of threads of what is imported later
import report
import run
import timing
import traces

import numpy as np

VERSION = "2.1.3"
NEEDED = ("torch==2.13.0", "numpy<2", "tqdm", "h5py", "setuptools", "wheel", "pybind11")
DENSITY = 7                     # of steps: 2^7 an octave, the most there is

# ---- environment -----------------------------------------------------------------------------


def python_of(venv):
    return venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def environment_at(venv):
    """The interpreter of an environment that has nncodec, made or completed if need be."""
    python = python_of(venv)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    installed = "import importlib.util, sys; sys.exit(importlib.util.find_spec('nncodec') is None)"
    if subprocess.run([python, "-c", installed]).returncode:
        print(f"installing nncodec into {venv}: some minutes", file=sys.stderr, flush=True)
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, *NEEDED], check=True)
        subprocess.run([*install, "--no-deps", "--no-build-isolation", f"nncodec=={VERSION}"], check=True)
    return python


def load_nncodec():
    """Its coder alone: the data sets and training loops beside it ask for packages that coding does not use."""
    for unused in ("use_case_init", "applications.utils"):
        sys.modules[f"nncodec.framework.{unused}"] = mock.MagicMock()
    import torch
    from nncodec import nnc
    torch.set_num_threads(1)
    return nnc


# ---- steps -----------------------------------------------------------------------------------


def parameter_below(step):
    """The largest quantisation parameter whose step is at most `step`.

    Parameter p stands for the step (1 + (p mod 2^d) / 2^d) 2^floor(p / 2^d), d the density.
    """
    fraction, exponent = math.frexp(step)       # step = 2 fraction x 2^(exponent - 1), 1 <= 2 fraction < 2
    return ((exponent - 1) << DENSITY) + math.floor((2 * fraction - 1) * (1 << DENSITY))


def parameter(x, eb):
    """The largest that keeps x within eb, float32 roundings of quotient and product included."""
    room = eb - 2.0 ** -22 * float(np.abs(x).max())
    if room <= 0:
        raise ValueError(f"eb {eb} is too fine for a quantiser in float32")
    return np.int32(parameter_below(2 * room))


# ---- codecs, as messages.py has them ---------------------------------------------------------


def in_python(call):
    """nncodec leaves the process where it fails; here it raises."""
    def guarded(*args, **options):
        try:
            return call(*args, **options)
        except SystemExit as reason:
            raise RuntimeError(f"nncodec gave up: {reason}") from reason
    return guarded


def nnc_codecs(nnc):
    compress_dict, decompress_dict = in_python(nnc.compress), in_python(nnc.decompress)

    def encode(tensors, parameters, base=None, keep=False):
        return compress_dict(tensors, bitstream_path=None, return_bitstream=True, qp_density=DENSITY,
                             qp_per_tensor=parameters, use_dq=False, lambda_scale=0, row_skipping=True, verbose=False,
                             approx_param_base=base, update_base_param=keep, tca=base is not None,
                             compress_differences=base is not None)

    def decode(stream, base=None, keep=False):
        return decompress_dict(stream, approx_param_base=base, update_base_param=keep)

    def bases_after(message):
        """What encoder and decoder hold after the round before."""
        bases = [dict(parameters={}, put_node_depth={}, device_id=0, parameter_id={}) for _ in range(2)]
        ebs = {name: traces.absolute_bound(x, message.bound) for name, x in message.before.items()}
        tensors = {name: x for name, x in message.before.items() if ebs[name] > 0}
        if tensors:
            parameters = {name: parameter(x, ebs[name]) for name, x in tensors.items()}
            decode(encode(tensors, parameters, bases[0], keep=True), bases[1], keep=True)
        return bases

    def codec(message, temporal):
        parameters = {name: parameter(x, message.ebs[name]) for name, x in message.tensors.items()}
        encoder_base, decoder_base = bases_after(message) if temporal else (None, None)

        def compress():
            return [encode(message.tensors, parameters, encoder_base)]

        def decompress(buffers):
            tensors = decode(buffers[0], decoder_base)
            if temporal:                        # a tensor that quantises to zeros is left out of a difference
                tensors |= {name: np.zeros_like(x) for name, x in message.tensors.items() if name not in tensors}
            return tensors
        return compress, decompress

    return {"nnc": lambda message: codec(message, False), "nnc-temporal": lambda message: codec(message, True)}


# ---- command ---------------------------------------------------------------------------------


def measure(args):
    """In the environment that has nncodec."""
    import torch
    codecs = nnc_codecs(load_nncodec())
    header = [f"{what}: {value}" for what, value in timing.environment() if not what.startswith("gradsz")]
    header.append(f"nncodec {VERSION}, torch {torch.__version__}; one thread on one core")
    with timing.quiet():
        rows, failures = messages.measure_all(args.traces, codecs, args.bounds.split(","), args.rounds, args.reps)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    run.write_csv(out / "nnc.csv", rows, header, messages.COLUMNS)
    results = report.Results(rows)
    findings = messages.Findings(results, results, [], {})
    for bound in results.bounds:
        print(f"\n{bound}\n\n{messages.summary_table(findings, bound)}")
    print("\n".join(failures))


def arguments():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradsz"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("traces", nargs="?", help="folder of .npz traces (default: record them)")
    parser.add_argument("--venv", type=Path, default=cache / "nnc", help="its environment (default: %(default)s)")
    parser.add_argument("--out", default="bench/results", help="folder of nnc.csv (default: %(default)s)")
    parser.add_argument("--bounds", default=",".join(traces.BOUNDS), help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=2, help="last rounds of each trace (default: %(default)s)")
    parser.add_argument("--reps", type=int, default=3, help="turns of each variant (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few bounds, turns and rounds: does it run?")
    return run.parsed(parser, run.QUICK)


def main():
    args = arguments()
    if importlib.util.find_spec("nncodec"):
        args.traces = args.traces or run.recorded_traces()
        measure(args)
        return
    folder = [] if args.traces else [run.recorded_traces()]     # recorded here, where scikit-learn is
    done = subprocess.run([environment_at(args.venv), __file__, *sys.argv[1:], *folder])
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
