"""`blockpool info`: one pool."""

from __future__ import annotations

import click

from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.observe import described
from blockpool.report.documents import DescribedPool

__all__ = ["info"]

# Going through a larger pool takes longer than all else.
_LARGE = 1 << 20


@click.command()
@pool_argument
@click.option("--full", is_flag=True, help="Tell who holds how much of a pool of more than 2**20 blocks, too.")
@json_option
def info(pool: str | None, *, full: bool, as_json: bool) -> None:
    """Show a pool: its size, how full it is, and who holds it.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    with look(pool) as at:
        survey = at.survey(0) if full or at.blocks <= _LARGE else None
        found = DescribedPool(**described(at), survey=survey)
    if as_json:
        show_json(found)
        return
    from blockpool.report.pool import pool_report

    show(pool_report(found))
