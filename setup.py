"""Build of the C core and its binding; everything else is in pyproject.toml."""
import glob
import os
import platform
import sys
import sysconfig

from setuptools import Extension, setup

free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
limited = platform.python_implementation() == "CPython" and not free_threaded   # one abi3 wheel for 3.11 on
msvc = sys.platform == "win32" and "GCC" not in sys.version

if msvc:
    flags = ["/O2", "/fp:precise"]
else:   # the error bound needs plain IEEE arithmetic: no contraction, no excess precision
    flags = ["-std=c99", "-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
    if platform.machine() in ("i386", "i686"):
        flags += ["-msse2", "-mfpmath=sse"]
    if platform.machine() == "s390x":       # -std=c99 would evaluate float as double there
        flags += ["-fexcess-precision=fast"]
flags += os.environ.get("GRADSZ_CFLAGS", "").split()

setup(
    ext_modules=[Extension(
        "gradsz._core",
        ["gradsz/_core.pyx", *sorted(glob.glob("src_c/*.c") + glob.glob("src_c/*/*.c"))],
        include_dirs=["src_c"],
        depends=sorted(glob.glob("src_c/*.h") + glob.glob("src_c/*/*.h")),
        define_macros=[("Py_LIMITED_API", "0x030B0000")] if limited else [],
        py_limited_api=limited,
        extra_compile_args=flags,
        extra_link_args=os.environ.get("GRADSZ_LDFLAGS", "").split() + ([] if msvc else ["-pthread"]),
    )],
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if limited else {},
)
