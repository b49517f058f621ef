"""How the benchmarks compare: two statements take turns, A B A B …, and each pair gives a ratio.

A machine's speed drifts by more than the differences of interest, so a time alone says little; the median of the
ratios, with their spread, holds. For each pair the two take several turns, and the quickest of each counts: what
interrupts a turn, on a machine with other work, is not the statement's. The tables go to the terminal, and as JSON
to build/bench/<benchmark>.json.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PAIRS = 21
TURNS = 5
TURN_SECONDS = 0.002

Statement = str | Callable[[], object]

missing: list[str] = []  # peers that were asked for and are not installed


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of a table: what was compared, nanoseconds a call of each, and the ratio's median and spread.

    The ratio is ours / peer and its limit a maximum; with `faster` it is peer / ours, and a minimum.
    """

    what: str
    peer: str
    ours_ns: float
    peer_ns: float
    ratio: float
    lowest: float
    highest: float
    limit: float | None
    pairs: int
    faster: bool = False

    @property
    def verdict(self) -> str:
        """Whether the ratio is within its limit; nothing where there is none."""
        if self.limit is None:
            return ""
        kept = self.ratio >= self.limit if self.faster else self.ratio <= self.limit
        return "ok" if kept else "MISSED"


def peer(module: str) -> Any:
    """Return a peer's module; None, and a line in the report, if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        missing.append(module)
        return None


def _timer(statement: Statement, names: Mapping[str, Any]) -> tuple[timeit.Timer, int]:
    timer = timeit.Timer(statement, globals=dict(names))
    number = 1
    while (seconds := timer.timeit(number)) < TURN_SECONDS / 4 and number < 10**8:
        number *= 4
    return timer, max(1, round(number * TURN_SECONDS / max(seconds, 1e-9)))


def compare(
    what: str,
    ours: Statement,
    peer: Statement,
    names: Mapping[str, Any],
    *,
    peer_name: str | None = None,
    limit: float | None = None,
    faster: bool = False,
    pairs: int = PAIRS,
) -> Comparison:
    """Time `ours` and `peer` in turn.

    Parameters
    ----------
    what, peer_name
        Their names in the table.
    ours, peer
        Statements or functions; statements see `names`.
    limit
        The largest ratio that is wanted, if there is one.
    faster
        Give how many times faster ours is; `limit` is then the smallest that is wanted.
    """
    (a, a_number), (b, b_number) = _timer(ours, names), _timer(peer, names)
    a_ns, b_ns = [], []
    for _ in range(pairs):
        a_turns, b_turns = [], []
        for _ in range(TURNS):
            a_turns.append(a.timeit(a_number) / a_number * 1e9)
            b_turns.append(b.timeit(b_number) / b_number * 1e9)
        a_ns.append(min(a_turns))
        b_ns.append(min(b_turns))
    return of_pairs(what, a_ns, peer_name or str(peer), b_ns, limit=limit, faster=faster)


def quickest(call: Callable[[], object], times: int) -> float:
    """Return nanoseconds a call, of the quickest of several turns; for pairs that need a switch between them."""
    return min(timeit.repeat(call, number=times, repeat=TURNS)) / times * 1e9


def of_pairs(
    what: str,
    ours_ns: Sequence[float],
    peer: str,
    peer_ns: Sequence[float],
    *,
    limit: float | None = None,
    faster: bool = False,
) -> Comparison:
    """Compare what was measured in turn already; see `compare`."""
    pairs = list(zip(ours_ns, peer_ns, strict=True))
    ratios = [y / x if faster else x / y for x, y in pairs]
    return Comparison(
        what=what,
        peer=peer,
        ours_ns=statistics.median(ours_ns),
        peer_ns=statistics.median(peer_ns),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        limit=limit,
        pairs=len(pairs),
        faster=faster,
    )


_LOCKED = r"""
#include <stdatomic.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

volatile unsigned long kept;

/* Nanoseconds that two locked instructions (xadd, as their results are used) take. */
double locked_pair(long times) {
    static _Alignas(64) _Atomic unsigned long word;
    unsigned long sum = 0;
    double start = now();
    for (long i = 0; i < times; i++) {
        sum += atomic_fetch_add(&word, 1);
        sum += atomic_fetch_add(&word, -1UL);
    }
    double took = now() - start;
    kept = sum;
    return took / (double)times;
}
"""


def locked_pair() -> Callable[[int], float]:
    """Return a function: nanoseconds that two uncontended locked instructions take, over so many times.

    Absolute limits hold where that is 10; see `scaled`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "locked.c", Path(folder) / "locked.so"
        source.write_text(_LOCKED)
        options = ["-std=c11", "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC"]
        subprocess.run(["/usr/bin/env", "cc", *options, source, "-o", library], check=True)
        function = ctypes.CDLL(str(library)).locked_pair
    function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
    return lambda times: float(function(times))


def scaled(limit_ns: float, locked: Callable[[int], float]) -> float:
    """Return an absolute limit as it is on this machine at this moment."""
    return limit_ns * locked(200_000) / 10


def _time(ns: float) -> str:
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.1f} {unit}"
    return f"{ns:.1f} ns"


def report(title: str, rows: list[Comparison], facts: Mapping[str, Any] | None = None) -> None:
    """Print the table, and write it as JSON."""
    facts = dict(facts or {})
    if missing:
        facts["not installed, so not compared"] = ", ".join(sorted(set(missing)))
    pairs = " or ".join(str(count) for count in sorted({row.pairs for row in rows}))
    print(f"\n{title}  (CPython {platform.python_version()}, {pairs} pairs, median [lowest, highest])")
    for row in rows:
        bound = "at least" if row.faster else "at most"
        limit = "" if row.limit is None else f"  {bound} {row.limit:g}  {row.verdict}"
        print(
            f"  {row.what:<46} {_time(row.ours_ns):>9}  {row.peer:<30} {_time(row.peer_ns):>9}"
            f"   × {row.ratio:.2f}{' faster' if row.faster else ''} [{row.lowest:.2f}, {row.highest:.2f}]{limit}"
        )
    for name, value in facts.items():
        print(f"  {name}: {value}")
    folder = Path(__file__).resolve().parent.parent / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(sys.argv[0]).stem
    content = {
        "title": title,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
        "facts": facts,
    }
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
