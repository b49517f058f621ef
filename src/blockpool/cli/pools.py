"""The argument POOL of commands: a name, an id or its start, or a handle; and how the pool is found."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from blockpool import inspect, pools, redeem
from blockpool._core import Pool
from blockpool.cli.exits import Failed
from blockpool.errors import BlockPoolError, PoolNotFound, StaleHandle
from blockpool.report.formats import naming
from blockpool.report.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from blockpool import Block
    from blockpool._core import Inspector
    from blockpool.stats import PoolSummary

__all__ = ["Attached", "complete_pool", "find", "json_option", "look", "pool_argument", "yes_option"]

# The start of an id is taken for one if it has at least so many digits.
_LEAST = 4
_START = re.compile(rf"[0-9a-f]{{{_LEAST},32}}")
_LISTED = 8


def complete_pool(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a pool, or the id of one without a name."""
    try:
        found = pools()
    except (BlockPoolError, OSError):
        return []
    names = [each.name or each.pool_id or "" for each in found]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def pool_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument POOL, which `look` and `find` understand."""
    # not required for Click, because `look` has a better message
    return click.argument("pool", metavar="POOL", required=False, shell_complete=complete_pool)(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def look(pool: str | None) -> Inspector:
    """Look at the pool that the user means."""
    pool = _given(pool)
    try:
        return inspect(pool)
    except PoolNotFound as error:
        found = _beginning_with(pool)
        if found is None:
            raise PoolNotFound(f"{error}; {_existing()}") from None
        return inspect(found.pool_id or "")
    except BlockPoolError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def find(pool: str | None) -> tuple[str, PoolSummary | None]:
    """Return the name of the pool that the user means, and what `pools` says of it, if it belongs to this user.

    There may be no pool of that name, or it cannot be attached.
    """
    pool = _given(pool)
    listed = pools()
    for each in listed:
        if each.name == pool:
            return pool, each
    by_id = _beginning_with(pool, listed)
    if by_id is None and ":" in pool:
        with look(pool) as inspector:
            by_id = _beginning_with(inspector.pool_id, listed)
    if by_id is None:
        return pool, None
    if by_id.name is None:
        raise click.UsageError(f"pool {naming(None, by_id.pool_id)} has no name; it ends with its last process")
    return by_id.name, by_id


class Attached:
    """A context in which this process takes part in a pool that it looks at."""

    def __init__(self, inspector: Inspector) -> None:
        self._block: Block | None = None
        if inspector.name is not None:
            self.pool = Pool.attach(inspector.name)
            with inspect(self.pool) as attached:
                same = attached.pool_id == inspector.pool_id
            if not same:
                self.pool.close()
                raise PoolNotFound(
                    f"pool {naming(inspector.name, inspector.pool_id)} is gone: another has its name now"
                )
        else:
            # without a name, a pool is attached with one of its runs, and any may be freed meanwhile
            for run in inspector.runs():
                try:
                    self._block = redeem(run.handle)  # type: ignore[arg-type] # in a shared pool all have one
                except StaleHandle:
                    continue
                self.pool = self._block.pool
                break
            else:
                raise Failed("the pool has neither a name nor runs, by which a process could attach it")

    def __enter__(self) -> Pool:
        return self.pool

    def __exit__(self, *_: object) -> None:
        self._block = None
        self.pool.close()


def _given(pool: str | None) -> str:
    if pool is None:
        raise click.UsageError(f"say which pool: {_existing()}")
    return pool


def _beginning_with(start: str, listed: list[PoolSummary] | None = None) -> PoolSummary | None:
    """Return the pool whose id begins so; None if there is none, or it is no start of an id."""
    if not _START.fullmatch(start):
        return None
    found = [each for each in (pools() if listed is None else listed) if (each.pool_id or "").startswith(start)]
    if len(found) > 1:
        raise click.UsageError(f"{start!r} is the start of {len(found)} ids: {_few(found, _whole)}; give more digits")
    return found[0] if found else None


def _existing() -> str:
    """Return which pools there are, in words."""
    found = pools()
    return f"there are: {_few(found, _called)}" if found else "this user has no pools"


def _few(found: list[PoolSummary], called: Callable[[PoolSummary], str]) -> str:
    rest = f" and {len(found) - _LISTED} more (blockpool ls)" if len(found) > _LISTED else ""
    return ", ".join(map(called, found[:_LISTED])) + rest


def _called(found: PoolSummary) -> str:
    return naming(found.name, found.pool_id)


def _whole(found: PoolSummary) -> str:
    return printable(found.pool_id or "")
