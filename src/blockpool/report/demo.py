"""Reports of the demo: its setup, its progress, and its results, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.bitmap import legend, picture
from blockpool.report.results import LOOP, QUEUE, SHARED_MEMORY
from blockpool.report.text import count, in_bytes, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from blockpool.report.bitmap import Glyphs
    from blockpool.report.results import (
        Contestant,
        DemoResult,
        Progress,
        Setup,
        Snapshot,
    )

__all__ = ["board", "demo_json", "demo_report", "opening"]

# How many files a list names; the rest are only counted.
_LISTED = 10
_NEXT = """\
Next:
  {}
  README.md                  what there is, on one page
  docs/index.md              how to use it: queues, arrays, asyncio, PyTorch
  examples/camera_frames.py  frames through three processes, a complete program"""
_OTHER = {
    False: "blockpool demo --kill      workers are killed while they work; nothing is lost",
    True: "blockpool demo             next to a pickled Queue and SharedMemory",
}
_IN_WORDS = {
    QUEUE: "pickling into a Queue",
    SHARED_MEMORY: "a SharedMemory each",
    LOOP: "the loop in one process",
}
_COLUMNS = (
    "copies: how often a byte passes through read() or write(), starting with the file; copies that pickle "
    "makes within a process are not counted. Page faults and CPU time: all processes together."
)


def opening(setup: Setup) -> Text:
    """Return what the demo is about to do."""
    again = f", {setup.passes} times a lap" if setup.passes > 1 else ""
    files = f"the {setup.files:,} largest of " if setup.omitted else ""
    files += count(setup.files + setup.omitted, "file")
    work = (
        f"This process packs {files} ({in_bytes(setup.nbytes)}{again}) into messages of "
        f"{in_bytes(setup.block_size)}; {count(setup.workers, 'worker process', 'worker processes')} "
        f"hash them with {setup.algorithm}. "
    )
    if setup.kill:
        how = "The messages are blocks of a shared pool. Workers are killed while they work; others take over."
    else:
        how = (
            "The messages travel in three ways, in turn: as blocks of a shared pool, as bytes pickled into a "
            "multiprocessing.Queue, and as one SharedMemory each."
        )
    machine = f"{count(setup.cores, 'core')}, load {setup.load:.1f}."
    return Text(f"{work}{how} {machine}\n")


def board(progress: Progress, *, width: int, glyphs: Glyphs) -> RenderableType:
    """Show the progress: the rates so far as bars, and the pool at this moment."""
    best = max((each.rate for each in progress.contestants if each.laps), default=0.0)
    grid = table("", ">MB/s", "")
    room = max(4, width - 42)
    for each in progress.contestants:
        rate = each.rate if each.laps else 0.0
        bar = glyphs.shades[-1] * round(room * rate / best) if best else ""
        style = "bold" if each.name == progress.running else ""
        grid.add_row(each.name, f"{rate:,.0f}" if each.laps else "", bar, style=style)
    killed = f", {count(progress.killed, 'worker')} killed" if progress.killed else ""
    return Group(
        Text(f"{progress.doing} ({progress.share:.0%} of the time{killed})"),
        grid,
        *_snapshot("Pool", progress.pool, width, glyphs),
    )


def demo_report(result: DemoResult, *, width: int, glyphs: Glyphs) -> RenderableType:
    """Show the results: the rates, the pool, whether all is well, and what to read next."""
    return Group(
        *_table(result.contestants),
        Text(_comparison(result.contestants, kill=result.setup.kill), style="bold"),
        Text(),
        *_snapshot("Pool in the middle of a lap", result.busy, width, glyphs),
        *_snapshot("Pool at the end", result.end, width, glyphs),
        Text(legend(result.end.blocks, width=width, glyphs=glyphs), style="dim"),
        Text(),
        *_verdict(result),
        Text(),
        Text(_NEXT.format(_OTHER[result.setup.kill])),
    )


def demo_json(result: DemoResult) -> str:
    """Return the results as one JSON object."""
    data = asdict(result)
    for each, into in zip(result.contestants, data["contestants"], strict=True):
        into["mb_per_second"] = each.rate
        into["copies"] = each.copies
        into["faults_per_mb"] = each.faults
        into["cpu_per_mb"] = each.cpu
    data["faults"] = result.faults
    data["ok"] = not result.faults
    return json.dumps(data, indent=2, default=str)


def _table(contestants: tuple[Contestant, ...]) -> Iterable[RenderableType]:
    """Show the rates, and their cost if it is known."""
    costs = [">copies", ">faults/MB", ">CPU ms/MB"] if any(each.cpu for each in contestants) else []
    grid = table("", ">MB/s", ">slowest, quickest", *costs)
    for each in contestants:
        slowest, quickest = each.spread
        figures = (
            each.name,
            f"{each.rate:,.0f}",
            f"{slowest:,.0f}, {quickest:,.0f}",
            _figure(each.copies, 1),
            _figure(each.faults, 1),
            _figure(each.cpu, 2, 1000),
        )
        grid.add_row(*figures[: len(grid.columns)])
    yield grid
    if costs:
        yield Text(_COLUMNS + "\n", style="dim")


def _figure(value: float | None, places: int, scale: int = 1) -> str:
    return "-" if value is None else f"{value * scale:,.{places}f}"


def _comparison(contestants: tuple[Contestant, ...], *, kill: bool) -> str:
    """Compare the pool's speed with the others in words, including where it was not the fastest."""
    pool, *others = contestants
    ratios = [(_IN_WORDS[each.name], pool.rate / each.rate) for each in others]
    faster = [f"{ratio:.1f} times as fast as {name}" for name, ratio in ratios if ratio >= 1]
    slower = [f"{name} was {1 / ratio:.2f} times as fast" for name, ratio in ratios if ratio < 1]
    sentences = []
    if faster:
        sentences.append(f"The pool was {_and(faster)}.")
    if slower:
        sentences.append(f"The pool was not the fastest: {_and(slower)}.")
    laps = f"median of {count(len(pool.laps), 'lap')} each, in turn"
    return " ".join([*sentences, f"({laps}{', while workers were killed' if kill else ''})"])


def _and(things: list[str]) -> str:
    return ", ".join(things[:-1]) + (" and " if things[1:] else "") + things[-1]


def _snapshot(title: str, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Iterable[Text]:
    yield Text(f"{title}: {snapshot.allocated:,} of {count(snapshot.blocks, 'block')} allocated")
    yield Text("\n".join(picture(snapshot.runs, snapshot.blocks, width=width, glyphs=glyphs)), no_wrap=True)


def _verdict(result: DemoResult) -> Iterable[Text]:
    wrong = result.wrong
    files = count(result.setup.files, "file")
    sentence = f"{files}, {count(result.compared, 'digest')} compared with hashlib: "
    yield _line(
        sentence + (f"{count(len({each.path for each in wrong}), 'file')} wrong" if wrong else "all agree"),
        good=not wrong,
    )
    yield from (Text(f"  {printable(each.path)}: {each.contestant}") for each in wrong[:_LISTED])
    counts = f"{count(result.allocations, 'allocation')}, {count(result.frees, 'free')}"
    well = f"every block is free again ({counts}), and check() finds nothing wrong"
    ill = f"not all is well with the pool ({counts}):"
    yield _line(ill if result.problems else well, good=not result.problems)
    yield from (Text(f"  {problem}") for problem in result.problems)
    if result.setup.kill:
        again = f"others did {count(result.again, 'message')} again"
        yield Text(f"      {count(result.killed, 'worker')} killed; {again}")


def _line(sentence: str, *, good: bool) -> Text:
    return Text.assemble(("ok    " if good else "WRONG ", "bold green" if good else "bold red"), sentence)
