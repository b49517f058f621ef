"""`blockpool recover`, `sweep` and `unlink`: commands that change something, so they ask before."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from blockpool import pools
from blockpool import sweep as sweep_pools
from blockpool import unlink as unlink_pool
from blockpool.cli.exits import Failed
from blockpool.cli.options import SECONDS
from blockpool.cli.output import show, show_json, write
from blockpool.cli.pools import Attached, find, json_option, look, pool_argument, yes_option
from blockpool.errors import PoolNotFound
from blockpool.report.documents import ListedPools, RecoveredPool, SweptPools, UnlinkedPool
from blockpool.report.formats import duration, naming
from blockpool.report.text import count, printable

if TYPE_CHECKING:
    from blockpool._core import Inspector

__all__ = ["recover", "sweep", "unlink"]


def _ask(question: str) -> None:
    """Return if the answer is yes. The question goes to stderr: stdout may be a JSON document."""
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nothing was changed, because nobody can answer here; pass --yes")
    if answer.strip().lower() not in {"y", "yes"}:
        raise Failed("nothing was changed")


def _dead(inspector: Inspector) -> set[tuple[int, int | None]]:
    """Return the places and ids of the dead processes of a pool."""
    return {(each.slot, each.pid) for each in inspector.processes() if each.alive is False}


@click.command()
@pool_argument
@click.option(
    "--tickets-older-than",
    "seconds",
    type=SECONDS,
    metavar="SECONDS",
    help="Also drop references in flight that are older, and that nobody will redeem.",
)
@yes_option
@json_option
def recover(pool: str | None, *, seconds: float | None, yes: bool, as_json: bool) -> None:
    """Bring back what dead processes hold.

    Processes do this themselves when they need room. Tickets are different: nobody can know whether one will still be
    redeemed. With --tickets-older-than all older ones are dropped (10min, 2h), so choose an age at which none can be
    under way any more.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    with look(pool) as at:
        called = naming(at.name, at.pool_id)
        if not yes:
            found = count(len(_dead(at)), "dead process", "dead processes")
            tickets = at.survey(0).tickets
            also = (
                ""
                if seconds is None
                else f", and drop those of {count(tickets, 'ticket')} older than {duration(seconds)}"
            )
            _ask(f"Pool {called} has {found}. Bring back what dead processes hold{also}?")
        dead_before = _dead(at)
        with Attached(at) as attached:
            recovered = attached.recover(tickets_older_than=seconds)
        # attaching it has brought some back already
        recovered = replace(recovered, processes=len(dead_before - _dead(at)))
        result = RecoveredPool(name=at.name, pool_id=at.pool_id, recovered=recovered)
    if as_json:
        show_json(result)
        return
    processes = count(recovered.processes, "dead process", "dead processes")
    write(f"Pool {called}: recovered {processes}, dropped {count(recovered.tickets, 'ticket')}.\n")


@click.command()
@yes_option
@json_option
def sweep(*, yes: bool, as_json: bool) -> None:
    """Remove pools that killed programs left behind.

    Those are pools with a name that are not permanent and that no living process has attached. It shows them first, and
    asks. Processes do the same when they create their first pool.
    """
    found = tuple(each for each in pools() if each.leftover)
    if not as_json and found:
        from blockpool.report.pools import pool_list

        show(pool_list(ListedPools(time=time.time(), pools=found)))
    if found and not yes:
        _ask(f"Remove {'this pool' if len(found) == 1 else f'these {len(found)} pools'}?")
    removed = sweep_pools() if found else 0
    if as_json:
        show_json(SweptPools(found=found, removed=removed))
        return
    write(f"{count(removed, 'pool')} removed.\n" if found else "No pool was left behind.\n")


@click.command()
@pool_argument
@yes_option
@json_option
def unlink(pool: str | None, *, yes: bool, as_json: bool) -> None:
    """Remove the name of a pool.

    Processes that have the pool go on with it, and no other can attach it. When the last one ends, its memory is free.
    This also removes what cannot be attached: a damaged pool, one of another version of blockpool, or another file that
    has the name of a pool.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    name, was = find(pool)
    if was is None:
        look(name).close()  # it says why there is none
    elif not yes:
        living = sum(each.alive is not False for each in was.processes)
        state = "" if was.state == "ok" else f" ({was.state})"
        users = count(living, "process has", "processes have")
        _ask(f"{users} pool {printable(name)}{state} attached. Remove its name?")
        now = find(name)[1]
        if now is not None and now.pool_id != was.pool_id:
            raise PoolNotFound(f"pool {naming(name, was.pool_id)} is gone: another has its name now")
    try:
        unlink_pool(name)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        show_json(UnlinkedPool(name=name, was=was))
        return
    write(f"Pool {printable(name)}: its name is removed.\n")
