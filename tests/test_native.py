"""The C tests, under sanitizers; the replay of the fuzz corpus; what the sources promise to compilers.

Guarantees 1 (exhaustive float32), 4 (kernels, floating point environment, threads), 5 and 6 (cuts, edits, fuzz),
9 (no writable globals) and 12 (memory); each program's head says which.
"""
import os
import re
import shlex

import pytest

from native import BUILDS, ROOT, build, check, compiles, require, run, sanitized

PROGRAMS = sorted({p.stem for p in (ROOT / "tests/c").glob("test_*.c")} - {"test_mutants"})
TARGETS = sorted(p.stem for p in (ROOT / "fuzz").glob("fuzz_*.c"))
SOURCES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "src_c").glob("**/*.c"))
WARNINGS = "-O2 -Wall -Wextra -Wconversion -Wshadow -pedantic -Werror"


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program):
    folder = sanitized("tests")
    print(check([folder / "tests/c" / program]))


def test_mutants():
    """Guarantees 5 and 6: 100,000 edits of each kind, and none that decodes where checksums were left alone."""
    said = check([sanitized("tests") / "tests/c/test_mutants"])
    print(said)
    assert "100000 edits with checksums recomputed" in said and "100000 edits without: 0 decoded" in said


@pytest.mark.parametrize("target", TARGETS)
def test_fuzz_replay(target):
    """Guarantee 5: every input of the corpus, seeds and what fuzzing once found."""
    folder = sanitized("fuzzers")
    said = check([folder / "fuzz" / target, f"fuzz/corpus/{target}"])
    assert re.search(r": [1-9]\d* inputs", said)


def test_exhaustive_float32():
    """Guarantee 1: 2^26 of the 2^32 patterns, with bins on multiples and under the gradient model; all of them with `make exhaustive`."""
    folder = build("exhaustive", "exhaustive", os.environ.get("CC", "gcc"), "-O3")
    said = check([folder / "tests/exhaustive/exhaustive"])
    print(said)
    assert said.count(f"{2**26} patterns checked") == 8 and said.count(" 0 violations") == 8


def test_thread_sanitizer():
    """Guarantee 9: no data race, in threads of ours and of the caller's."""
    flags = "-O1 -g -fsanitize=thread"
    if not compiles("gcc", flags):
        pytest.skip("gcc has no thread sanitizer here")
    program = build("tsan", "tests", "gcc", flags) / "tests/c/test_threads"
    process = run([program])
    if "unexpected memory mapping" in process.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert process.returncode == 0, process.stderr[-4000:]


def test_no_writable_globals():
    """Guarantee 9: the core has no data or bss symbol."""
    require("nm")
    library = build("globals", "core", "gcc", "-O2 -fno-pic -fno-pie") / "libgradsz.a"
    writable = [line for line in check(["nm", library]).splitlines() if re.search(r" [BbCDdGgSs] ", line)]
    assert writable == []


# ---- what compilers see

@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warnings(compiler):
    build(f"warnings-{compiler}", "core", compiler, WARNINGS)


@pytest.mark.parametrize("compiler, flags", [
    ("gcc", "-x c -std=c99 -pedantic-errors"), ("gcc", "-x c -std=c11 -pedantic-errors"), ("clang", "-x c -std=c99 -pedantic-errors"),
    ("g++", "-std=c++11 -pedantic-errors"), ("clang++", "-std=c++11 -pedantic-errors")])
def test_public_header(compiler, flags):
    if not compiles(compiler, flags if "-x c " in flags else "", link=False):
        pytest.skip(f"{compiler} not installed")
    check([compiler, *flags.split(), "-Wall", "-Wextra", "-Werror", "-Isrc_c", "-fsyntax-only", "tests/c/header.cpp"])


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_builds_without_a_build_system(compiler):
    """cc -std=c99 -Isrc_c src_c/*.c src_c/*/*.c, and nothing else."""
    require(compiler)
    BUILDS.mkdir(parents=True, exist_ok=True)
    program = BUILDS / f"plain-{compiler}"
    check(shlex.split(f"{compiler} -std=c99 -Isrc_c -pthread -x c tests/c/header.cpp") + SOURCES + ["-o", program])
    check([program])
