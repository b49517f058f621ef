"""`blockpool queues`: the queues, topics and latest values of a pool."""

from __future__ import annotations

import click

from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option, look, pool_argument
from blockpool.report.documents import ListedQueues

__all__ = ["queues"]


@click.command()
@pool_argument
@json_option
def queues(pool: str | None, *, as_json: bool) -> None:
    """List the queues, topics and latest values of a pool.

    "Taken" counts messages that were received and are not done.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    with look(pool) as at:
        listed = ListedQueues(
            name=at.name, pool_id=at.pool_id, queues=tuple(at.queues()), processes=tuple(at.processes())
        )
    if as_json:
        show_json(listed)
        return
    from blockpool.report.queues import queue_list

    show(queue_list(listed))
