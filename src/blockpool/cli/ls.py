"""`blockpool ls`: all pools of this user."""

from __future__ import annotations

import time

import click

from blockpool import pools
from blockpool.cli.output import show, show_json
from blockpool.cli.pools import json_option
from blockpool.report.documents import ListedPools

__all__ = ["ls"]


@click.command()
@json_option
def ls(*, as_json: bool) -> None:
    """List all pools of this user.

    Pools without a name are there too, called by the start of their id, and files that have the name of a pool but are
    damaged, of another version of blockpool, or something else. "Left behind" means that no living process has the
    pool: blockpool sweep removes it.
    """
    listed = ListedPools(time=time.time(), pools=tuple(pools()))
    if as_json:
        show_json(listed)
        return
    from blockpool.report.pools import pool_list

    show(pool_list(listed))
