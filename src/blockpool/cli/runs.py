"""`blockpool runs`: who holds what, for how long, and how large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import click

from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.report.documents import ListedRuns

if TYPE_CHECKING:
    from blockpool.stats import Run

__all__ = ["runs"]

_MOST = 100_000
_KEYS = {"age": lambda run: -(run.age or 0), "size": lambda run: -run.nbytes}


@click.command()
@pool_argument
@click.option(
    "--order",
    type=click.Choice(["age", "size"]),
    default="age",
    show_default=True,
    help="The oldest or the largest first.",
)
@click.option("--most", type=click.IntRange(1, _MOST), default=20, show_default=True, help="List so many.")
@click.option("--all", "every", is_flag=True, help="List all.")
@click.option("--stacks", is_flag=True, help="Show where each was allocated; known in pools made with debug=True.")
@json_option
def runs(
    pool: str | None, *, order: Literal["age", "size"], most: int, every: bool, stacks: bool, as_json: bool
) -> None:
    """List the oldest or largest runs, and who holds them.

    A run is what one call allocated: adjacent blocks. Its age counts from when it was allocated, or when its latest
    ticket was made. What no process holds is kept by its name in the catalog, by a message, or by tickets that nobody
    has redeemed.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    with look(pool) as at:
        found: tuple[Run, ...]
        if every:
            found = tuple(sorted(at.runs(), key=_KEYS[order]))
            total = len(found)
        else:
            survey = at.survey(most, order=order)
            found, total = survey.top, survey.runs
        listed = ListedRuns(
            name=at.name,
            pool_id=at.pool_id,
            block_size=at.block_size,
            order=order,
            total=total,
            runs=found,
            processes=tuple(at.processes()),
            queues=tuple(at.queues()),
        )
    if as_json:
        show_json(listed)
        return
    from blockpool.report.runs import run_list

    show(run_list(listed, stacks=stacks))
