"""Builds and runs the native test programs; tests/c/build.mk knows how, this knows with which compilers and flags.

Everything lands in build/native/NAME and is kept, so that a second run compiles what changed.
"""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUILDS = ROOT / "build" / "native"
SANITIZE = "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"


def require(*commands):
    """Skip unless these commands are there."""
    missing = [c for c in commands if shutil.which(c) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


def run(command, timeout=600, **kwargs):
    """The finished process, its output as text."""
    return subprocess.run([str(c) for c in command], cwd=ROOT, text=True, capture_output=True, timeout=timeout, **kwargs)


def check(command, **kwargs):
    """Output of a command that must succeed; on a failure the test fails with what the command said."""
    process = run(command, **kwargs)
    if process.returncode != 0:
        said = (process.stdout + process.stderr)[-4000:]
        pytest.fail(f"{' '.join(str(c) for c in command)}: exit status {process.returncode}\n{said}", pytrace=False)
    return process.stdout


def compiles(compiler, flags="", link=True):
    """Whether a compiler is there and takes the flags, libraries included."""
    if shutil.which(compiler) is None:
        return False
    end = ["-o", os.devnull] if link else ["-fsyntax-only"]
    program = "#include <stdlib.h>\n#include <stdint.h>\nint main(void) { return 0; }\n"
    return run([compiler, *flags.split(), "-x", "c", "-", *end], input=program).returncode == 0


def build(name, goal, compiler="gcc", cflags="-O2", **variables):
    """Make a goal of tests/c/build.mk; the folder it was made in."""
    require("make", compiler)
    folder = BUILDS / name
    settings = {"BUILD": folder.relative_to(ROOT), "CC": compiler, "CFLAGS": cflags, **variables}
    jobs = str(os.cpu_count() or 1)
    check(["make", "-s", "-j", jobs, "-f", "tests/c/build.mk", *(f"{k}={v}" for k, v in settings.items()), goal])
    return folder


def sanitized(goal):
    """A goal built with the address and undefined behaviour sanitizers, by gcc or clang."""
    for compiler in ("gcc", "clang"):
        if compiles(compiler, SANITIZE):
            return build("asan", goal, compiler, SANITIZE)
    pytest.skip("no compiler with sanitizers")
