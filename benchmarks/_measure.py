"""How the benchmarks compare: two statements in turn, A B A B …, and the ratio pair by pair.

A machine's speed drifts by more than the differences of interest, so a time alone says little; the median of the ratios, with
their spread, holds. The tables go to the terminal, and as JSON to build/bench/<benchmark>.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import timeit
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PAIRS = 21
PASS_SECONDS = 0.01

Statement = str | Callable[[], object]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of a table: what was compared, nanoseconds a call of each, and the ratio's median and spread."""

    what: str
    peer: str
    ours_ns: float
    peer_ns: float
    ratio: float
    lowest: float
    highest: float
    limit: float | None

    @property
    def verdict(self) -> str:
        """Whether the ratio is within its limit; nothing where there is none."""
        return "" if self.limit is None else "ok" if self.ratio <= self.limit else "MISSED"


def _timer(statement: Statement, names: Mapping[str, Any]) -> tuple[timeit.Timer, int]:
    timer = timeit.Timer(statement, globals=dict(names))
    number = 1
    while (seconds := timer.timeit(number)) < PASS_SECONDS / 4 and number < 10**8:
        number *= 4
    return timer, max(1, round(number * PASS_SECONDS / max(seconds, 1e-9)))


def compare(
    what: str,
    ours: Statement,
    peer: Statement,
    names: Mapping[str, Any],
    *,
    peer_name: str | None = None,
    limit: float | None = None,
    pairs: int = PAIRS,
) -> Comparison:
    """Time `ours` and `peer` in turn, `pairs` times each.

    Parameters
    ----------
    what, peer_name
        Their names in the table.
    ours, peer
        Statements or functions; statements see `names`.
    limit
        The largest ratio that is wanted, if there is one.
    """
    (a, a_number), (b, b_number) = _timer(ours, names), _timer(peer, names)
    a_ns, b_ns = [], []
    for _ in range(pairs):
        a_ns.append(a.timeit(a_number) / a_number * 1e9)
        b_ns.append(b.timeit(b_number) / b_number * 1e9)
    ratios = [x / y for x, y in zip(a_ns, b_ns, strict=True)]
    return Comparison(
        what=what,
        peer=peer_name or str(peer),
        ours_ns=statistics.median(a_ns),
        peer_ns=statistics.median(b_ns),
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        limit=limit,
    )


def _time(ns: float) -> str:
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.1f} {unit}"
    return f"{ns:.1f} ns"


def report(title: str, rows: list[Comparison], facts: Mapping[str, Any] | None = None) -> None:
    """Print the table, and write it as JSON."""
    print(f"\n{title}  (CPython {platform.python_version()}, {PAIRS} pairs, median [lowest, highest])")
    for row in rows:
        limit = "" if row.limit is None else f"  at most {row.limit:g}  {row.verdict}"
        print(
            f"  {row.what:<46} {_time(row.ours_ns):>9}  {row.peer:<30} {_time(row.peer_ns):>9}"
            f"   × {row.ratio:.2f} [{row.lowest:.2f}, {row.highest:.2f}]{limit}"
        )
    for name, value in (facts or {}).items():
        print(f"  {name}: {value}")
    folder = Path(__file__).resolve().parent.parent / "build" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(sys.argv[0]).stem
    content = {
        "title": title,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "pairs": PAIRS,
        "rows": [asdict(row) | {"verdict": row.verdict} for row in rows],
        "facts": dict(facts or {}),
    }
    (folder / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
