"""`blockpool advise`: which pool a program should use, if any."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import click

from blockpool.cli.options import SIZES
from blockpool.cli.output import new_file, show, show_json, write_file
from blockpool.cli.pools import json_option
from blockpool.cli.progress import doing
from blockpool.cli.traces import explaining
from blockpool.report.text import printable

__all__ = ["advise"]

_PICTURES = (".png", ".svg", ".pdf")
_MOST_SITES = 20


@click.command()
@click.argument("trace", type=click.Path(exists=True, dir_okay=False))
@click.option("--only", metavar="TEXT", help="Only what is allocated by calls with this in their function or file.")
@click.option("--sizes", type=SIZES, metavar="LOW-HIGH", help="Only requests of such sizes, as in 4KiB-1MiB or 4KiB-.")
@click.option("--thread", metavar="NAME", help="Only what this thread allocates.")
@click.option(
    "--margin",
    type=click.FloatRange(0, 10),
    default=0.1,
    show_default=True,
    help="By which part the recommended pool has more blocks than the trace needs.",
)
@click.option(
    "--pools",
    type=click.IntRange(1, 3),
    default=3,
    show_default=True,
    help="Split requests by size among so many pools at most.",
)
@click.option("--measure/--no-measure", default=True, help="Whether to run the trace with memory, in malloc too.")
@click.option("--sites", type=click.IntRange(0, _MOST_SITES), default=5, show_default=True, help="List so many sites.")
@click.option("--html", metavar="FILE", help="Write a page with tables and pictures too.")
@click.option("--plot", metavar="FILE", help="Draw plots too; FILE ends in .png, .svg or .pdf.")
@click.option("--save", metavar="FILE", help="Write the trace, or the part that was chosen, as Parquet too.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
def advise(
    trace: str,
    *,
    only: str | None,
    sizes: tuple[int, int | None] | None,
    thread: str | None,
    margin: float,
    pools: int,
    measure: bool,
    sites: int,
    html: str | None,
    plot: str | None,
    save: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Say which pool a program should use, if any, from a trace of it.

    TRACE is a file with the allocations and frees of a program: a capture of memray, a log of RMM, or what blockpool
    itself recorded. Pools of many sizes are simulated with the code of real ones. The least wasteful is run with real
    memory, and so is malloc.

    The exit status is 0 whatever the advice is.
    """
    if isnan(margin):
        raise click.UsageError("--margin=nan is not a number")
    if plot is not None and Path(plot).suffix.lower() not in _PICTURES:
        raise click.UsageError(f"--plot {printable(plot)!r} does not end in {', '.join(_PICTURES)}")
    for path in filter(None, (html, plot, save)):
        new_file(path, force=force)
    with explaining("advise"), doing() as say:
        if plot is not None:
            _use_no_window()
        from blockpool import advice, traces

        say(f"reading {trace}")
        found = traces.read(trace)
        say("simulating pools" + (", and measuring" if measure else ""))
        advised = advice.advise(
            found, measure=measure, margin=margin, stack=only, sizes=sizes, thread=thread, pools=pools
        )
        if save is not None:
            say(f"writing {save}")
            traces.write(traces.select(found, stack=only, sizes=sizes, thread=thread), save)
        if plot is not None:
            from blockpool.plot_advice import figure

            figure(advised).savefig(plot)
    if html is not None:
        from blockpool.report.advice_page import advice_page

        write_file(html, advice_page(advised).encode("utf-8", "backslashreplace"), force=force)
    if as_json:
        show_json(advised)
    else:
        from blockpool.report.advice import advice_report

        show(advice_report(advised, sites=sites))
    for path in filter(None, (html, plot, save)):
        click.echo(f"wrote {printable(path)}", err=True)


def _use_no_window() -> None:
    """Prepare Matplotlib, so that it is not missing only when all work is done."""
    import matplotlib as mpl

    mpl.use("agg")
