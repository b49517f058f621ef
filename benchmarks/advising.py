"""How long does advice on a trace take, how much memory, and does it come true?

    python benchmarks/advising.py [--events N] [--shape SHAPE]... [--measure]

Each shape is advised on in a process of its own. Memory is the most that was resident in it while `advise` ran, with
Python, NumPy and the trace. What was advised is then replayed in another process, in memory, as the pool is and as the
printed call makes it with its margin; only as much of it as fits half of this machine's memory.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from blockpool.advice import advise
from blockpool.advice.call import with_margin
from blockpool.replay import measure
from blockpool.traces import Frame, Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blockpool.advice import Advice

LIMIT_SECONDS = 30.0
LIMIT_BYTES = 2**30
SEED = 20
CALLS = 50  # places that allocate

Lives = tuple["NDArray[np.int64]", "NDArray[np.int64]", int]


def frames(count: int, random: np.random.Generator) -> Lives:
    """Pictures of 1920 x 1080, up to 24 of them live at a time, in no particular order."""
    return np.full(count, 6_220_800), random.integers(0, 24, count), 1


def batches(count: int, random: np.random.Generator) -> Lives:
    """Batches for training: pictures, labels, and the batch of 64 pictures; 4 threads."""
    sizes = random.choice([602_112, 4096, 38_535_168, 1024], count, p=[0.5, 0.3, 0.05, 0.15])
    return sizes, random.integers(0, 64, count), 4


def spread(count: int, random: np.random.Generator) -> Lives:
    """Sizes of log-normal distribution, median 22 kB, with lives of 300 allocations on average."""
    sizes = np.minimum(np.exp(random.normal(10, 1.5, count)), 2**27).astype(np.int64) + 1
    return sizes, random.exponential(300, count).astype(np.int64), 1


def threads(count: int, random: np.random.Generator) -> Lives:
    """Many small requests, some large ones, a few that live long, as of a server; 16 threads."""
    small = np.exp(random.normal(5, 1, count)).astype(np.int64) + 16
    large = random.integers(65_536, 2_000_000, count)
    lives = np.where(random.random(count) < 0.001, 100_000, random.integers(0, 400, count))
    return np.where(random.random(count) < 0.2, large, small), lives, 16


SHAPES = {"frames": frames, "batches": batches, "spread": spread, "threads": threads}


def made(shape: str, events: int) -> Trace:
    """Return a trace of so many events."""
    count = events // 2
    sizes, lives, threads = SHAPES[shape](count, np.random.default_rng(SEED))
    when = np.concatenate([np.arange(count) * 2, (np.arange(count) + lives) * 2 + 1])
    order = np.argsort(when, kind="stable")
    number = (order % count).astype(np.int32)
    columns: dict[str, NDArray[Any]] = {
        "time": when[order] * 500,
        "kind": (order >= count).astype(np.uint8),
        "size": sizes[number],
        "id": number,
        "thread": number % np.int32(threads),
        "stack": number % np.int32(CALLS),
    }
    for column in columns.values():
        column.flags.writeable = False
    stacks = tuple((Frame("call", "program.py", i), Frame("main", "program.py", 1)) for i in range(CALLS))
    names = tuple(f"thread {i}" for i in range(threads))
    return Trace(**columns, threads=names, stacks=stacks, source=shape)  # type: ignore[arg-type]


def resident(name: str) -> int:
    """Return bytes of this process, by a name of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def advised(shape: str, events: int, pipe: Any) -> None:
    """Advise on a trace, send what it took and what was advised."""
    trace = made(shape, events)
    Path("/proc/self/clear_refs").write_text("5")  # begin VmHWM again: making the trace is not measured
    before = resident("VmHWM")
    start, cpu = time.perf_counter(), time.process_time()
    advice = advise(trace, measure=False)
    pipe.send(
        {
            "shape": shape,
            "events": len(trace),
            "seconds": time.perf_counter() - start,
            "processor_seconds": time.process_time() - cpu,
            "resident": resident("VmHWM"),
            "resident_before": before,
            "advice": advice,
        }
    )


def checked(trace: Trace, advice: Advice) -> list[dict[str, Any]]:
    """Replay what was advised, in memory, and return what was predicted and what happened."""
    best = advice.recommended
    assert best is not None
    found = []
    for what, plans in (("as it is", best.plans), ("with margin", with_margin(best.plans, advice.margin))):
        replayed = measure(trace, plans, seconds=120.0)
        found.append(
            {
                "what": what,
                "complete": replayed.complete,
                "refusals": [best.refusals, replayed.failures],
                "peak_bytes": [advice.outline.peak_bytes, replayed.peak_bytes],
                "peak_blocks": [list(best.peak_blocks), list(replayed.peak_blocks)],
                "bytes": [best.bytes, replayed.bytes],
                "resident": replayed.resident,
            }
        )
    return found


def show(result: dict[str, Any]) -> None:
    """Print what one shape gave."""
    advice: Advice = result["advice"]
    verdicts = [result["seconds"] <= LIMIT_SECONDS, result["resident"] <= LIMIT_BYTES]
    slow, large = ("ok" if verdict else "MISSED" for verdict in verdicts)
    print(f"\n{result['shape']}: {result['events']:,} events, peak {advice.outline.peak_bytes / 2**20:,.1f} MiB")
    print(
        f"  {result['seconds']:.1f} s ({result['processor_seconds']:.1f} s of processor time), at most "
        f"{LIMIT_SECONDS:g}  {slow}; {result['resident'] / 2**20:.0f} MiB resident, "
        f"{result['resident_before'] / 2**20:.0f} before, at most {LIMIT_BYTES / 2**20:.0f}  {large}"
    )
    print("  " + advice.call.replace("\n", "\n  "))
    for candidate in advice.candidates:
        pools = ", ".join(f"{plan.blocks:,} x {plan.block_size:,}" for plan in candidate.plans)
        print(
            f"  {candidate.waste / advice.outline.peak_bytes:9.3%} wasted: inner {candidate.inner:,}, outer "
            f"{candidate.outer:,}, bookkeeping {candidate.metadata:,}; {candidate.nanoseconds:.0f} ns  [{pools}]"
        )
    for check in result["checks"]:
        peaks, refusals = check["peak_bytes"], check["refusals"]
        good = check["complete"] and abs(peaks[1] / peaks[0] - 1) <= 0.01 and refusals[0] == refusals[1]
        print(
            f"  replayed {check['what']}: peak {peaks[1]:,} bytes, predicted {peaks[0]:,}; blocks "
            f"{check['peak_blocks'][1]}, predicted {check['peak_blocks'][0]}; refusals {refusals[1]}, predicted "
            f"{refusals[0]}; {(check['resident'] or 0) / 2**20:,.1f} MiB resident  {'ok' if good else 'MISSED'}"
        )


def main() -> None:
    """Advise on each shape, check, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=lambda text: int(float(text)), default=10**7)
    parser.add_argument("--shape", choices=SHAPES, action="append")
    parser.add_argument("--measure", action="store_true", help="replay what is advised")
    given = parser.parse_args()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    context = multiprocessing.get_context("spawn")
    results = []
    for shape in given.shape or SHAPES:
        ours, theirs = context.Pipe()
        process = context.Process(target=advised, args=(shape, given.events, theirs))
        process.start()
        theirs.close()
        result = ours.recv()
        process.join()
        small = result["advice"].outline.peak_bytes < memory // 2
        result["checks"] = checked(made(shape, given.events), result["advice"]) if given.measure and small else []
        show(result)
        result["call"] = result.pop("advice").call
        results.append(result)
    folder = Path(__file__).resolve().parent.parent / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "advising.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
