"""`blockpool processes`: the processes of a pool."""

from __future__ import annotations

import time

import click

from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.report.documents import ListedProcesses

__all__ = ["processes"]


@click.command()
@pool_argument
@json_option
def processes(pool: str | None, *, as_json: bool) -> None:
    """List the processes that have a pool attached.

    What a dead one held comes back when another process needs room, or with blockpool recover.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    with look(pool) as at:
        listed = ListedProcesses(
            time=time.time(),
            name=at.name,
            pool_id=at.pool_id,
            max_processes=at.max_processes,
            processes=tuple(at.processes()),
            held=at.survey(0).held,
            gate=at.gate(),
        )
    if as_json:
        show_json(listed)
        return
    from blockpool.report.processes import process_list

    show(process_list(listed))
