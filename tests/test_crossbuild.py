"""Guarantee 4: the same bytes and the same values from every compiler, optimisation, word size, byte order,
kernel table and number of threads.  tests/cross/digests.txt pins them; `make digests` writes it anew after a change
of format.
"""
from pathlib import Path

import pytest

from native import ROOT, build, check, compiles, require, run

PINNED = ROOT / "tests/cross/digests.txt"
INCLUDE = "-isystem /usr/include/x86_64-linux-gnu"     # kernel headers, without gcc-multilib's link to them

# name: compiler, flags, flags for the linker, emulator
BUILDS = {
    "gcc": ("gcc", "-O3", "", None),
    "gcc-O0": ("gcc", "-O0", "", None),
    "gcc-native": ("gcc", "-O3 -march=native", "", None),
    "gcc-no-threads": ("gcc", "-O2 -DGSZ_NO_THREADS", "", None),
    "clang": ("clang", "-O3", "", None),
    "clang-O0": ("clang", "-O0", "", None),
    "clang-native": ("clang", "-O3 -march=native", "", None),       # with AVX-512, codes were once wrong
    "gcc-m32": ("gcc", f"-O2 -m32 -msse2 -mfpmath=sse {INCLUDE}", "", None),
    "s390x": ("s390x-linux-gnu-gcc", "-O2 -fexcess-precision=fast", "-static", "qemu-s390x"),     # big-endian
    "aarch64": ("aarch64-linux-gnu-gcc", "-O2", "-static", "qemu-aarch64"),
}


def digest_program(name):
    compiler, cflags, ldflags, emulator = BUILDS[name]
    require(compiler, *([emulator] if emulator else []))
    if not compiles(compiler, f"{cflags} {ldflags}"):
        pytest.skip(f"{compiler} {cflags}: headers or libraries not installed")
    program = build(f"digest-{name}", "digest", compiler, cflags, LDFLAGS=ldflags) / "tests/cross/digest"
    return [emulator, program] if emulator else [program]


def compare(said):
    expected, got = PINNED.read_text().splitlines(), said.splitlines()
    different = [f"pinned  {a}\nprinted {b}" for a, b in zip(expected, got) if a != b]
    assert not different, "\n".join(different)
    assert len(expected) == len(got)


@pytest.mark.parametrize("name", BUILDS)
def test_digests(name):
    program = digest_program(name)
    check([*program, "--selftest"])
    compare(check(program))


@pytest.mark.parametrize("mask", [0, 2, 1, 3])      # portable C, SSE 4.2, AVX2 alone (refused), both
@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_kernels(name, mask):
    compare(check([*digest_program(name), "--mask", mask]))


@pytest.mark.parametrize("threads", range(1, 9))
def test_threads(threads):
    compare(check([*digest_program("gcc"), "--threads", threads]))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_contraction_is_refused(compiler):
    """A build that fuses multiplications into additions makes other values: its self-test must say so."""
    require(compiler)
    if not compiles(compiler, "-mfma") or " fma " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("needs an x86 machine with FMA")
    program = build(f"fused-{compiler}", "digest", compiler, "-O2 -mfma", FLOATS="-ffp-contract=fast") / "tests/cross/digest"
    assert run([program, "--selftest"]).returncode == 1


@pytest.mark.parametrize("compiler, flags", [("gcc", "-ffast-math"), ("gcc", "-m32 -mfpmath=387 " + INCLUDE), ("clang", "-ffast-math")])
def test_fast_and_loose_builds_do_not_compile(compiler, flags):
    if not compiles(compiler, flags, link=False):
        pytest.skip(f"{compiler} {flags}: not installed")
    process = run([compiler, "-std=c99", *flags.split(), "-Isrc_c", "-fsyntax-only", "src_c/bound.c"])
    assert process.returncode != 0 and "gradsz" in process.stderr
