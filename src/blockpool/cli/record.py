"""`blockpool record`: record what all processes of a pool allocate and free."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from blockpool.cli.options import SECONDS
from blockpool.cli.output import show_json, write
from blockpool.cli.pools import Attached, json_option, look, pool_argument
from blockpool.report.documents import RecordedPool
from blockpool.report.formats import duration, naming
from blockpool.report.text import count, in_bytes, printable

if TYPE_CHECKING:
    from blockpool._core import Pool
    from blockpool._recording import Recording

__all__ = ["record"]

_LOOK_SECONDS = 0.25  # how soon a recording ends after the last other process has


@click.command()
@pool_argument
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(dir_okay=False), required=True, help="The Parquet file to write."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@click.option("--seconds", type=SECONDS, help="End after so long.")
@json_option
def record(pool: str | None, *, output: str, force: bool, seconds: float | None, as_json: bool) -> None:
    """Record what all processes of a pool allocate and free, until Ctrl-C.

    It also ends after --seconds, and when no other process has the pool. Meanwhile this is one of the pool's processes;
    the others take about a tenth longer to allocate, and never wait for it: events for which there is no room are
    lost, and counted. `blockpool advise FILE` tells what the recording means for the size of the pool.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    path = Path(output)
    if path.exists() and not force:
        raise click.ClickException(
            f"{printable(output)} exists already; name another file with -o, or give --force to replace it"
        )
    with look(pool) as at:
        name, pool_id = at.name, at.pool_id
        attached = Attached(at)
    with attached as held, held.record(path) as recording:
        if not as_json:
            click.echo(f"recording pool {naming(name, pool_id)}; Ctrl-C ends it", err=True)
        ended = _wait(held, recording, seconds)
        trace = recording.stop()
    done = RecordedPool(
        name=name,
        pool_id=pool_id,
        path=output,
        events=len(trace),
        lost=trace.lost,
        seconds=float(trace.time[-1]) / 1e9 if len(trace) else 0.0,
        ended=ended,
    )
    if as_json:
        show_json(done)
    else:
        lost = f", {count(done.lost, 'event')} lost" if done.lost else ""
        write(
            f"Pool {naming(name, pool_id)}: {count(done.events, 'event')} in {duration(done.seconds)}{lost}; "
            f"wrote {printable(output)} ({in_bytes(path.stat().st_size)}).\n"
        )


def _wait(pool: Pool, recording: Recording, seconds: float | None) -> Literal["time", "interrupt", "pool"]:
    """Wait for the end of a recording; return what ended it."""
    end = None if seconds is None else time.monotonic() + seconds
    try:
        while recording.running:
            left = _LOOK_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                return "time"
            time.sleep(min(left, _LOOK_SECONDS))
            if pool.stats().processes <= 1:
                return "pool"
    except KeyboardInterrupt:
        return "interrupt"
    recording.stop()  # raises what ended it
    return "pool"
