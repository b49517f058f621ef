"""How long do long traces take to make, write, read and filter, and how much memory?

Each step runs in a process of its own. Given are its processor time, its time by the clock, which on a machine with
other work is longer, and the most memory that the process had. A trace of 10⁷ events may need 1 GiB in all.

    python benchmarks/traces.py [--events 10000000] [--records 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blockpool import traces

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_MIB = 1024
SLOTS = 50_000  # allocations that live at a time

CAPTURED = """
import random, sys, memray
def decode(length):
    return bytearray(length)
with memray.Tracker(sys.argv[1]):
    chance, live = random.Random(1), [None] * 1000
    for _ in range(int(sys.argv[2]) // 2):
        live[chance.randrange(1000)] = decode(chance.randrange(600, 5000))
"""


def columns(events: int) -> dict[str, Any]:
    """Return events of a program that again and again frees an allocation and makes another in its place."""
    chance = np.random.default_rng(1)
    return {
        "kind": np.tile(np.array([1, 0], np.uint8), events // 2),
        "size": np.repeat(chance.integers(1, 1 << 20, events // 2), 2),
        "key": np.repeat(chance.integers(0, SLOTS, events // 2) * 4096 + (0x7F << 40), 2),
        "time": np.arange(events) * 1000,
        "thread": chance.integers(0, 4, events, dtype=np.int32),
        "stack": chance.integers(-1, 100, events, dtype=np.int32),
        "threads": "abcd",
        "stacks": [[("decode", "images.py", line)] for line in range(100)],
    }


def log(path: Path, events: int) -> None:
    """Write a log as RMM does."""
    with path.open("w", encoding="ascii") as file:
        file.write("Thread,Time,Action,Pointer,Size,Stream\n")
        for at in range(events // 2):
            file.write(f"7,10:{at // 10**6 % 60:02}:00.{at % 10**6:06},allocate,0x7f{at % SLOTS:010x},4096,0x0\n")
            file.write(f"7,10:{at // 10**6 % 60:02}:00.{at % 10**6:06},free,0x7f{at % SLOTS:010x},4096,0x0\n")


def step(name: str, folder: Path, events: int) -> dict[str, float]:
    """Do one step, and return what it took."""
    file = folder / "trace.parquet"
    work: Callable[[], Any]
    if name == "build":
        given = columns(events)
        work = lambda: traces.build(**given)  # noqa: E731
    elif name in {"check", "write", "select"}:
        trace = traces.read(file) if file.exists() else traces.build(**columns(events))
        work = {
            "check": lambda: traces.check(trace),
            "write": lambda: traces.write(trace, file),
            "select": lambda: traces.select(trace, stack="decode", sizes=(1, 1 << 19)),
        }[name]
    else:
        path = {"read": file, "read RMM": folder / "rmm.csv", "read memray": folder / "capture.bin"}[name]
        work = lambda: traces.read(path)  # noqa: E731
    clock, before = time.perf_counter(), sum(_seconds())
    work()
    return {
        "wall": time.perf_counter() - clock,
        "processor": sum(_seconds()) - before,
        "mib": max(resource.getrusage(who).ru_maxrss for who in _PROCESSES) / 1024,
    }


_PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def _seconds() -> list[float]:
    """Return processor seconds, of this process and of those that it waited for."""
    return [usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, _PROCESSES)]


def main() -> int:
    """Print a table of all steps; fail if one of a trace of 10⁷ events needs too much memory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=10**7)
    parser.add_argument("--records", type=int, default=10**6, help="of a capture of memray, and of a log of RMM")
    parser.add_argument("--step", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(step(options.step[0], Path(options.step[1]), options.events)))
        return 0
    failed = False
    print(f"{'step':12} {'events':>10}  processor      clock     memory")
    with tempfile.TemporaryDirectory() as folder:
        captured = [sys.executable, "-c", CAPTURED, str(Path(folder, "capture.bin")), str(options.records)]
        subprocess.run(captured, check=True)
        log(Path(folder, "rmm.csv"), options.records)
        for name in ("build", "write", "read", "check", "select", "read memray", "read RMM"):
            command = [sys.executable, __file__, "--events", str(options.events), "--step", name, folder]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            took = json.loads(done.stdout)
            events = options.records if " " in name else options.events
            missed = took["mib"] > MOST_MIB
            failed |= missed
            print(
                f"{name:12} {events:10,} {took['processor']:8.2f} s {took['wall']:8.2f} s {took['mib']:6.0f} MiB"
                f"{'  MISSED' if missed else ''}"
            )
    return failed


if __name__ == "__main__":
    sys.exit(main())
