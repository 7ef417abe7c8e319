"""Timing of calls in turn, and the machine they ran on."""
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import peers


@dataclass
class Clock:
    """Durations of one call in nanoseconds."""
    wall: list = field(default_factory=list)
    cpu: list = field(default_factory=list)

    def time(self, call, number=1):
        """Run once untimed, so that code and data are warm, then `number` times timed."""
        call()
        cpu = time.process_time_ns()            # outermost: reading it is a system call, which wall should not hold
        wall = time.perf_counter_ns()
        for _ in range(number):
            result = call()                     # the last one is kept: freeing it is not counted
        wall = time.perf_counter_ns() - wall
        cpu = time.process_time_ns() - cpu
        self.wall.append(wall / number)
        self.cpu.append(cpu / number)
        del result

    @property
    def best(self):
        return min(self.wall)

    @property
    def median(self):
        return statistics.median(self.wall)


@dataclass
class Entry:
    """Calls timed together, and what surrounds them untimed."""
    calls: list[Callable]
    active: Callable = nullcontext
    number: int = 1             # calls between two readings of the clock: more for calls of microseconds
    clocks: list[Clock] = field(init=False)

    def __post_init__(self):
        self.clocks = [Clock() for _ in self.calls]


def interleave(entries, reps):
    """Time the entries in turn, A B C A B C ..., so that a change of the machine's pace meets all alike."""
    for _ in range(reps):
        for entry in entries:
            with entry.active():
                for call, clock in zip(entry.calls, entry.clocks):
                    clock.time(call, entry.number)


@contextmanager
def quiet(one_core=True):
    """No garbage collection and, where the system allows it, one core."""
    cores = os.sched_getaffinity(0) if one_core and hasattr(os, "sched_getaffinity") else None
    gc.collect()
    gc.disable()
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        gc.enable()
        if cores:
            os.sched_setaffinity(0, cores)


def cpu_name():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gradsz_build():
    """How gradsz was compiled, as it tells."""
    try:
        from gradsz import _core
    except ImportError:
        return "not installed"
    return _core.build_info() if hasattr(_core, "build_info") else "not told"


def environment():
    """[(what, value)]: the lines that head every result."""
    load = "/".join(f"{value:.2f}" for value in os.getloadavg()) if hasattr(os, "getloadavg") else "unknown"
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())),
        ("machine", f"{cpu_name()}, {os.cpu_count()} cores, {platform.machine()}, "
                    f"{platform.system()} {platform.release()}; load at the start {load}"),
        ("python", f"{platform.python_version()}, {platform.python_compiler()}"),
        ("gradsz build", gradsz_build()),
        ("packages", ", ".join(f"{name} {number}" for name, number in peers.versions().items())),
    ]
