"""`blockpool demo`: real files through a small pool."""

from __future__ import annotations

import sysconfig

import click
from rich.console import Console

from blockpool import Pool, PoolExhausted
from blockpool.cli import comparison
from blockpool.cli.files import select
from blockpool.cli.options import SIZE
from blockpool.cli.progress import progress
from blockpool.report.bitmap import ASCII, UNICODE
from blockpool.report.demo import demo_json, demo_report, opening
from blockpool.report.results import Settings
from blockpool.report.text import printable

__all__ = ["DemoFailed", "demo"]

# 47 may be attached: this one, and some that are dead but not yet found.
_MOST_PROCESSES = 40


class DemoFailed(click.ClickException):
    """A digest disagreed, or a block was lost."""

    exit_code = 1


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option(
    "--processes/--threads",
    default=True,
    show_default=True,
    help="Whether the workers are processes around a shared pool, or threads around a private one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=2,
    show_default=True,
    help=f"Workers, which hash; at most {_MOST_PROCESSES} processes.",
)
@click.option("--kill", is_flag=True, help="Kill worker processes at random while they work.")
@click.option(
    "--readers",
    type=click.IntRange(1, 256),
    help="Threads that read, with --threads (default: 2). With processes there is one reader.",
)
@click.option(
    "--start-method",
    type=click.Choice(["fork", "spawn", "forkserver"]),
    default="forkserver",
    show_default=True,
    help="How worker processes are started.",
)
@click.option(
    "--block-size", type=SIZE, default="64KiB", show_default=True, help="Size of a block."
)
@click.option(
    "--blocks", type=click.IntRange(1), default=64, show_default=True, help="Blocks of the pool."
)
@click.option(
    "--max-bytes",
    type=SIZE,
    default="512MiB",
    show_default=True,
    help="Leave out files beyond this in all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a report.")
def demo(
    paths: tuple[str, ...],
    *,
    processes: bool,
    workers: int,
    kill: bool,
    readers: int | None,
    start_method: str,
    block_size: int,
    blocks: int,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Hash files through a pool, and compare with hashlib.

    This process reads the files below each PATH (default: those of this Python installation) straight into blocks of
    a small shared pool, and sends tickets of them to worker processes, which hash the blocks where they are. When the
    pool is full, the reader waits. With --kill, workers are killed (SIGKILL) while they work, and others do again
    what they left undone. With --threads, reader and worker threads do the same around a private pool.

    Then the same files are hashed by a plain loop, every digest is compared, and the pool is audited. The exit status
    is 0 if all digests agree and every block came back, 1 if not, 2 if the command was given something wrong.
    """
    if processes and readers is not None:
        raise click.UsageError("--readers is for --threads: with processes there is one reader")
    if processes and workers > _MOST_PROCESSES:
        raise click.UsageError(
            f"at most {_MOST_PROCESSES} worker processes, not {workers}; a pool has room for 47 in all"
        )
    if kill and not processes:
        raise click.UsageError("--kill is for --processes: a thread cannot be killed")
    settings = Settings(
        block_size,
        blocks,
        readers or (1 if processes else 2),
        workers,
        start_method if processes else None,
        kill,
    )
    try:
        pool = (
            Pool.create(block_size, blocks, on_fork="detach")
            if processes
            else Pool(block_size, blocks)
        )
        selection = select(paths or [sysconfig.get_path("stdlib")], max_bytes)
    except (ValueError, PoolExhausted) as error:
        raise click.UsageError(str(error)) from error
    if not selection.files:
        raise click.UsageError(
            f"no regular file to read ({selection.omitted} beyond --max-bytes); name other paths, or allow more bytes"
        )
    with pool:
        if as_json:
            result = comparison.run(pool, selection, settings, lambda _phase, _done: None)
            click.echo(demo_json(result))
        else:
            console = Console(highlight=False, markup=False)
            console.print(opening(len(selection.files), selection.nbytes, settings))
            with progress(console, comparison.PHASES, selection.nbytes) as watch:
                result = comparison.run(pool, selection, settings, watch)
            glyphs = ASCII if console.options.ascii_only else UNICODE
            console.print(demo_report(result, width=console.width, glyphs=glyphs), soft_wrap=True)
    if result.faults:
        first, *others = result.faults
        raise DemoFailed(printable(first) + (f" (and {len(others)} more)" if others else ""))
