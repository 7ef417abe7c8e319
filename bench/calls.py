"""What a call costs when there is little to do: 1,000 float32 values, import, first call, wheel.

    python bench/calls.py [--wheel FILE] [--codecs gradsz,sz3]
"""
import argparse
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import peers
import report
import timing
import traces

import numpy as np

ELEMENTS = 1000
BOUND = "rel1e-2"
CALLS = 50                      # between two readings of the clock


def measure(codecs, blocks=15):
    """{codec: {way: Clock}}: nanoseconds a call, blocks of calls in turn."""
    x = np.random.default_rng(0).standard_normal(ELEMENTS, dtype=np.float32)
    eb = traces.absolute_bound(x, BOUND)
    entries = {}
    for name, codec in codecs.items():
        try:
            with codec.active():
                stream = codec.compress(x, eb)
        except Exception as reason:             # said, and the others go on
            print(f"skipped {name}: {reason}", file=sys.stderr)
            continue
        entries[name] = timing.Entry([partial(codec.compress, x, eb),
                                      partial(codec.decompress, stream, x.shape, x.dtype)], codec.active, CALLS)
    timing.interleave(entries.values(), blocks)
    return {name: dict(zip(report.WAYS, entry.clocks)) for name, entry in entries.items()}


# ---- start-up --------------------------------------------------------------------------------

NUMPY_ONLY = "import numpy"
FIRST_CALL = """
from time import perf_counter
start = perf_counter()
import numpy
numpy_done = perf_counter()
import gradsz
imported = perf_counter()
gradsz.decompress(gradsz.compress(numpy.arange(1000, dtype=numpy.float32), 0.5))
print(imported - numpy_done, perf_counter() - imported)
"""


@dataclass(frozen=True)
class Startup:
    """Milliseconds in fresh interpreters, medians."""
    import_ms: float            # import gradsz, numpy being there
    first_call_ms: float        # the first compress and decompress
    process_ms: float           # a whole process that does all this, less one that imports numpy only

    @property
    def beyond_numpy_ms(self):
        return self.import_ms + self.first_call_ms


def run_python(code):
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, [float(word) for word in done.stdout.split()]


def startup(turns=7):
    run_python(FIRST_CALL)                      # caches of files and bytecode
    bare, whole, imports, firsts = [], [], [], []
    for _ in range(turns):
        bare.append(run_python(NUMPY_ONLY)[0])
        seconds, (imported, first) = run_python(FIRST_CALL)
        whole.append(seconds)
        imports.append(imported)
        firsts.append(first)
    median = statistics.median
    return Startup(1e3 * median(imports), 1e3 * median(firsts), 1e3 * (median(whole) - median(bare)))


# ---- telling ---------------------------------------------------------------------------------


def describe(clocks, start):
    """Markdown of what was measured."""
    rows = [[name, *[report.number(value / 1e3) for way in report.WAYS for value in (ways[way].median, ways[way].best)]]
            for name, ways in clocks.items()]
    text = (f"{ELEMENTS:,} float32 (normal, {BOUND}), microseconds a call; blocks of {CALLS} calls in turn.\n\n"
            + report.table(["codec", "in median", "in min", "out median", "out min"], rows))
    if start:
        text += (f"\n\nFresh interpreter, numpy imported: import gradsz {start.import_ms:.1f} ms, first compress and "
                 f"decompress {start.first_call_ms:.2f} ms; the whole process takes {start.process_ms:.1f} ms more than "
                 "one that imports numpy.")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", help="a built wheel, whose size is judged too")
    parser.add_argument("--codecs", help="comma-separated names (default: all that are installed)")
    args = parser.parse_args()
    codecs = peers.available()
    if args.codecs:
        codecs = {name: codecs[name] for name in args.codecs.split(",")}
    for what, value in timing.environment():
        print(f"{what}: {value}")
    with timing.quiet():
        clocks = measure(codecs)
    start = startup() if report.OURS in codecs else None
    print("\n" + describe(clocks, start))
    bars = report.call_bars(clocks) + report.footprint_bars(
        start.beyond_numpy_ms if start else None, Path(args.wheel).stat().st_size if args.wheel else None)
    if bars:
        print("\n" + report.bar_table(bars))


if __name__ == "__main__":
    main()
