"""`blockpool replay`: a trace in a pool and in malloc, measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from blockpool.cli.options import SECONDS, SIZE
from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option
from blockpool.cli.progress import doing
from blockpool.cli.traces import explaining

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["replay"]

_MALLOCS = ("malloc", "jemalloc", "mimalloc")
_POOL = "pool"


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.option("--block-size", type=SIZE, required=True, help="Size of a block of the pool, such as 4096 or 4KiB.")
@click.option("--blocks", type=int, required=True, help="How many blocks the pool has.")
@click.option(
    "--wait", type=SECONDS, default=0, help="How long a request waits for room in the pool, in the trace's time."
)
@click.option(
    "--against",
    metavar="NAMES",
    help=f"Some of {', '.join(_MALLOCS)}, with commas between, or none.  [default: those that are installed]",
)
@click.option(
    "--seconds",
    type=SECONDS,
    default=30,
    show_default=True,
    help="Stop each replay after so long; there are two for each allocator.",
)
@json_option
def replay(
    trace: str,
    *,
    block_size: int,
    blocks: int,
    wait: float,
    against: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Run a trace of a program in a pool and in malloc, and compare them.

    TRACE is a file with the allocations and frees of a program: a capture of memray, a log of RMM, or what blockpool
    itself recorded. Each allocator gets the same calls, in processes of its own: once without touching the memory, for
    the time, and once with a write to each page, for the memory that is resident.

    The exit status is 0 whatever the comparison says, and however many requests the pool refused.
    """
    with explaining("replay"), doing() as say:
        from blockpool import traces
        from blockpool.replay import Plan, allocators, measure
        from blockpool.replay.results import Comparison

        names = _POOL, *_chosen(against, allocators())
        plans = [Plan(block_size, blocks)]
        say(f"reading {trace}")
        read = traces.read(trace)
        replays = []
        for name in names:
            say(f"replaying in {name}")
            own = plans if name == _POOL else None
            replays.append(measure(read, own, allocator=name, seconds=seconds, wait=wait if own else 0))
        allocations = int((read.kind == traces.ALLOCATE).sum())
        found = Comparison(
            source=read.source,
            events=len(read),
            allocations=allocations,
            live_at_end=2 * allocations - len(read),
            wait=float(wait),
            replays=tuple(replays),
        )
    if as_json:
        show_json(found)
        return
    from blockpool.report.replay import replay_report

    show(replay_report(found))


def _chosen(against: str | None, installed: Iterable[str]) -> list[str]:
    """Return the mallocs that the option names, each once."""
    if against is None:
        return list(installed)
    names = [name.strip() for name in against.split(",") if name.strip()]
    if names == ["none"]:
        return []
    for name in names:
        if name not in _MALLOCS:
            raise click.UsageError(f"--against: {name!r:.60} is not one of {', '.join(_MALLOCS)}, or none alone")
    return list(dict.fromkeys(names))
