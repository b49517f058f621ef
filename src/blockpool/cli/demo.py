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

_THREADS = click.IntRange(1, 256)


class DemoFailed(click.ClickException):
    """A digest disagreed, or a block was lost."""

    exit_code = 1


@click.command()
@click.argument("paths", metavar="[PATH]...", nargs=-1, type=click.Path(exists=True))
@click.option("--readers", type=_THREADS, default=2, show_default=True, help="Threads that read.")
@click.option("--workers", type=_THREADS, default=2, show_default=True, help="Threads that hash.")
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
    readers: int,
    workers: int,
    block_size: int,
    blocks: int,
    max_bytes: int,
    as_json: bool,
) -> None:
    """Hash files through a pool, and compare with hashlib.

    Reader threads read the files below each PATH (default: those of this Python installation) straight into blocks of
    a small pool. Worker threads hash the blocks and free them. When the pool is full, readers wait.

    Then the same files are hashed by a plain loop, every digest is compared, and the pool is audited. The exit status
    is 0 if all digests agree and every block came back, 1 if not, 2 if the command was given something wrong.
    """
    settings = Settings(block_size, blocks, readers, workers)
    try:
        pool = Pool(block_size, blocks)
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
