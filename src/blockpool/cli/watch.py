"""`blockpool watch`: a line every second."""

from __future__ import annotations

import shutil
import sys
import time
from itertools import count as counted
from typing import TYPE_CHECKING

import click

from blockpool.cli.exits import Quiet
from blockpool.cli.options import SECONDS
from blockpool.cli.output import show_json, write
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.errors import PoolNotFound
from blockpool.observe import Observer, rates
from blockpool.report.documents import Glance
from blockpool.report.formats import naming
from blockpool.report.watch import columns_for, heading, line

if TYPE_CHECKING:
    from blockpool.observe import Snapshot

__all__ = ["watch"]

_SHORTEST = 0.01
_LONGEST = 86400
# On a terminal the heading comes again after so many lines.
_PAGE = 20


@click.command()
@pool_argument
@click.option("--interval", type=SECONDS, default=1.0, show_default=True, help="Seconds from a line to the next.")
@click.option("--count", type=click.IntRange(1), help="End after so many lines.")
@json_option
def watch(pool: str | None, *, interval: float, count: int | None, as_json: bool) -> None:
    """Print a line every second about a pool, until Ctrl-C.

    "Largest" is the largest run of free blocks, "waiting" how many requests waited for room on average. With --json
    every line is a JSON document. A narrow terminal has fewer columns. It ends when the pool is gone (status 3).

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    if not _SHORTEST <= interval <= _LONGEST:
        raise click.UsageError(f"--interval={interval:g} is not a number of seconds from {_SHORTEST} to {_LONGEST}")
    try:
        with look(pool) as inspector, Observer(inspector, most=0) as observer:
            _follow(observer, interval, count, as_json=as_json)
    except KeyboardInterrupt:
        raise Quiet(Quiet.INTERRUPTED) from None


def _follow(observer: Observer, interval: float, most: int | None, *, as_json: bool) -> None:
    terminal = sys.stdout.isatty()
    begun = time.monotonic()
    before: Snapshot | None = None
    for number in counted():
        snapshot = observer.look()
        glance = _glance(before, snapshot)
        before = snapshot
        if as_json:
            show_json(glance, indent=None)
        else:
            columns = columns_for(shutil.get_terminal_size().columns if terminal else None)
            if number % _PAGE == 0 and (terminal or number == 0):
                write(heading(columns) + "\n")
            write(line(glance, columns) + "\n")
        if not snapshot.exists:
            raise PoolNotFound(f"pool {naming(snapshot.name, snapshot.pool_id)} is gone: no process has it any more")
        if number + 1 == most:
            return
        # one line for each interval since the beginning, however long a look takes; those that were missed are left out
        passed = time.monotonic() - begun
        time.sleep(interval - passed % interval)


def _glance(before: Snapshot | None, now: Snapshot) -> Glance:
    return Glance(
        time=now.time,
        name=now.name,
        pool_id=now.pool_id,
        counts=now.counts,
        rates=None if before is None else rates(before, now),
        tickets=now.survey.tickets,
        oldest_ticket=now.survey.oldest_ticket,
        exists=now.exists,
    )
