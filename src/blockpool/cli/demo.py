"""`blockpool demo`: megabytes between processes, three ways, measured."""

from __future__ import annotations

import os
import sysconfig
from math import isnan
from typing import TYPE_CHECKING

import click
from rich.console import Console

from blockpool import Pool, PoolExhausted
from blockpool.cli import interrupts
from blockpool.cli.comparison import Comparison, passes, quickest_hash
from blockpool.cli.crew import WorkerDied
from blockpool.cli.files import Unreadable, select
from blockpool.cli.options import SIZE
from blockpool.cli.progress import live
from blockpool.report.bitmap import ASCII, UNICODE
from blockpool.report.demo import demo_json, demo_report, opening
from blockpool.report.results import Setup
from blockpool.report.text import in_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockpool.report.results import Progress

__all__ = ["DemoFailed", "demo"]

# Each has a queue, a pipe and their descriptors; more than the processors can use make no difference.
_MOST_WORKERS = 40
# Files smaller than this part of a message are left out: the demo is not about opening files.
_SMALL = 16


class DemoFailed(click.ClickException):
    """A digest differed, a block was lost, a worker died, or a file changed."""

    exit_code = 1


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option("--kill", is_flag=True, help="Kill workers while they work; only through the pool.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=25,
    show_default=True,
    help="How long to measure; each way has at least 3 laps.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, _MOST_WORKERS),
    default=2,
    show_default=True,
    help="Processes that hash.",
)
@click.option("--block-size", type=SIZE, default="1MiB", show_default=True, help="Size of a message.")
@click.option(
    "--blocks",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Blocks of the pool; no more messages are in flight in any of the ways.",
)
@click.option(
    "--max-bytes",
    type=SIZE,
    default="256MiB",
    show_default=True,
    help="Leave out files beyond this total size.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a report.")
def demo(
    paths: tuple[str, ...],
    *,
    kill: bool,
    seconds: float,
    workers: int,
    block_size: int,
    blocks: int,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Hand megabytes to other processes, and compare three ways to do it.

    This process packs files (default: the largest of this Python installation) into messages of 1 MiB, and worker
    processes hash them. The same messages go to the same workers through a pool of shared memory, through a
    multiprocessing.Queue that pickles them, and in one SharedMemory each. A loop in this process is measured for
    comparison. With --kill, workers are killed (SIGKILL) while they work on the pool, and others redo their messages.

    At the end, every digest is compared with hashlib's, and the pool is audited. The exit status is 0 if all digests
    agree and every block is free, 1 if not, and 2 if the command line is wrong.
    """
    if blocks < workers:
        raise click.UsageError(f"--blocks={blocks} is too few for {workers} workers; each needs at least one block")
    if isnan(seconds):
        raise click.UsageError("--seconds=nan is not a number of seconds")
    try:
        pool = Pool.create(block_size, blocks, prefault=True, on_fork="detach")
    except (ValueError, PoolExhausted) as error:
        raise click.UsageError(str(error)) from error
    console = Console(highlight=False, markup=False, quiet=as_json)
    glyphs = ASCII if console.options.ascii_only else UNICODE
    smallest = block_size // _SMALL
    with pool, interrupts.deferred() as check_interrupt:
        roots = paths or [sysconfig.get_path("stdlib")]
        files, omitted = select(roots, smallest=smallest, limit=max_bytes, watch=check_interrupt)
        nbytes = sum(file.nbytes for file in files)
        if not files:
            raise click.UsageError(
                f"no file of {in_bytes(smallest)} or more to read ({omitted} left out); "
                "name other paths, a smaller --block-size or more --max-bytes"
            )
        setup = Setup(
            block_size=block_size,
            blocks=blocks,
            workers=workers,
            kill=kill,
            algorithm=quickest_hash(),
            files=len(files),
            nbytes=nbytes,
            omitted=omitted,
            passes=passes(nbytes, block_size, seconds),
            cores=len(os.sched_getaffinity(0)),
            load=os.getloadavg()[0],
        )
        console.print(opening(setup))
        with live(console, glyphs) as show:

            def watch(progress: Callable[[], Progress]) -> None:
                check_interrupt()
                show(progress)

            try:
                result = Comparison(pool, files, setup, watch).run(seconds)
            except (WorkerDied, PoolExhausted, Unreadable) as error:
                raise DemoFailed(printable(str(error))) from error
    if as_json:
        click.echo(demo_json(result))
    console.print(demo_report(result, width=console.width, glyphs=glyphs))
    if result.faults:
        first, *others = result.faults
        raise DemoFailed(printable(first) + (f" (and {len(others)} more)" if others else ""))
