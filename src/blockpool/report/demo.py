"""The result of a demo as something to read, and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.bitmap import legend, picture
from blockpool.report.stats import stats_table
from blockpool.report.text import count, in_bytes, printable, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType
    from rich.table import Table

    from blockpool.report.bitmap import Glyphs
    from blockpool.report.results import (
        DemoResult,
        PoolRun,
        Rate,
        Settings,
        Skipped,
        Snapshot,
        Workers,
    )

__all__ = ["demo_json", "demo_report", "opening"]

# How many files a list names before it only counts.
_LISTED = 10


def opening(files: int, nbytes: int, settings: Settings) -> Text:
    """Say what is going to be done."""
    pool = f"{count(settings.blocks, 'block')} of {in_bytes(settings.block_size)}"
    if settings.start_method is None:
        work = (
            f"{count(settings.readers, 'thread')} read them into a pool of {pool}, "
            f"{count(settings.workers, 'thread')} hash the blocks and free them."
        )
    else:
        work = (
            f"this process reads them into a shared pool of {pool}, "
            f"{count(settings.workers, 'worker process', 'worker processes')} hash the blocks in place"
            f"{', and are killed at random while they do' if settings.kill else ''}."
        )
    return Text(f"{count(files, 'file')}, {in_bytes(nbytes)}: {work}\n")


def demo_report(result: DemoResult, *, width: int, glyphs: Glyphs) -> RenderableType:
    """Show the result: rates, the pool, and whether all is well."""
    pool = result.pool
    return Group(
        _rates(pool.rate, result.plain),
        *_snapshot("Pool when half was read", pool.busy, width, glyphs),
        *_snapshot("Pool at the end", pool.end, width, glyphs),
        Text(legend(pool.end.blocks, width=width, glyphs=glyphs), style="dim"),
        stats_table(pool.stats),
        *_files(result.skipped, result.omitted),
        *_verdict(result),
    )


def demo_json(result: DemoResult) -> str:
    """Return the same as one JSON object."""
    data = asdict(result)
    for rate, into in ((result.pool.rate, data["pool"]["rate"]), (result.plain, data["plain"])):
        into["mib_per_second"] = rate.mib_per_second
        into["files_per_second"] = rate.files_per_second
    data["faults"] = result.faults
    data["ok"] = not result.faults
    return json.dumps(data, indent=2)


def _rates(pool: Rate, plain: Rate) -> Table:
    grid = table("", ">files", ">MiB", ">seconds", ">MiB/s", ">files/s")
    for name, rate in (("through the pool", pool), ("plain loop", plain)):
        grid.add_row(
            name,
            f"{rate.files:,}",
            f"{rate.nbytes / (1 << 20):,.1f}",
            f"{rate.seconds:.2f}",
            f"{rate.mib_per_second:,.0f}",
            f"{rate.files_per_second:,.0f}",
        )
    return grid


def _snapshot(title: str, snapshot: Snapshot, width: int, glyphs: Glyphs) -> Iterable[Text]:
    yield Text(
        f"{title}: {snapshot.allocated:,} of {count(snapshot.blocks, 'block')} allocated",
        style="bold",
    )
    yield Text(
        "\n".join(picture(snapshot.runs, snapshot.blocks, width=width, glyphs=glyphs)), no_wrap=True
    )


def _files(skipped: tuple[Skipped, ...], omitted: int) -> Iterable[Text]:
    if omitted:
        yield Text(f"{count(omitted, 'file')} left out: beyond --max-bytes")
    if skipped:
        yield Text(f"{count(len(skipped), 'file')} skipped, not counted as agreed:")
        yield from (Text(f"  {printable(each.path)}: {each.reason}") for each in skipped[:_LISTED])
        if len(skipped) > _LISTED:
            yield Text(f"  and {len(skipped) - _LISTED:,} more (all of them: --json)")


def _verdict(result: DemoResult) -> Iterable[Text]:
    differ = len(result.disagreements)
    sentence = f"{count(result.agreed, 'digest')} agree with hashlib, {differ:,} differ"
    yield _line(sentence, good=not differ and result.agreed > 0)
    for each in result.disagreements[:_LISTED]:
        yield Text(
            f"  {printable(each.path)}: {each.pooled} through the pool, {each.plain} plainly"
        )
    yield _line(_blocks(result.pool), good=not result.pool.problems)
    yield from (Text(f"  {problem}") for problem in result.pool.problems)
    if result.pool.workers is not None:
        yield Text(_deaths(result.pool.workers))
    yield Text(_waits(result.pool))


def _blocks(pool: PoolRun) -> str:
    counts = f"{count(pool.stats.allocations, 'allocation')}, {count(pool.stats.frees, 'free')}"
    if pool.problems:
        return f"not all is well with the pool ({counts}):"
    return f"every block came back ({counts}), and check() found nothing wrong"


def _deaths(workers: Workers) -> str:
    started = count(workers.started, "worker process", "worker processes")
    if not workers.killed:
        return f"{started} hashed the blocks where they are; what travelled between processes were tickets."
    return (
        f"{started} started, {workers.killed:,} of them killed: {count(workers.again, 'file')} done again "
        f"({in_bytes(workers.again_bytes)})."
    )


def _waits(pool: PoolRun) -> str:
    waits = pool.waits
    if not waits.count:
        return "Readers never had to wait for a block."
    return (
        f"Readers found the pool full {count(waits.count, 'time')}: they waited {waits.seconds:.2f} s for blocks, "
        f"{waits.longest * 1000:.1f} ms at most."
    )


def _line(sentence: str, *, good: bool) -> Text:
    return Text.assemble(
        ("ok    " if good else "WRONG ", "bold green" if good else "bold red"), sentence
    )
