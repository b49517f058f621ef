"""Finding the pool that a request names, and the requests that change something."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import blockpool
from blockpool._looking import pools
from blockpool.errors import BlockPoolError, PoolNotFound
from blockpool.report.documents import RecoveredPool, SweptPools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockpool import Block, Inspector, Pool

__all__ = ["find", "recover_pool"]

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,180}")
_MOST_TRIED = 100


def find(name: str) -> Inspector:
    """Look at the pool with that name or id. Raises ValueError if it can be neither."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:60]!r} is neither the name of a pool nor its id")
    return blockpool.inspect(name)


def recover_pool(name: str, tickets_older_than: float | None) -> RecoveredPool:
    """Bring back what dead processes held in the pool with that name or id.

    For this the pool is attached, for a moment.
    """
    with find(name) as inspector:
        dead = _dead(inspector)
        with _attached(inspector) as pool:  # this alone may bring back what dead processes held
            found = pool.recover(tickets_older_than=tickets_older_than)
        recovered = replace(found, processes=max(found.processes, len(dead - _dead(inspector))))
        return RecoveredPool(name=inspector.name, pool_id=inspector.pool_id, recovered=recovered)


def sweep_pools() -> SweptPools:
    """Remove the pools that killed programs left behind."""
    found = tuple(each for each in pools() if each.leftover)
    return SweptPools(found=found, removed=blockpool.sweep())


def _dead(inspector: Inspector) -> set[tuple[int, int | None, float | None]]:
    """Return the dead processes that are still attached."""
    return {(each.slot, each.pid, each.started) for each in inspector.processes() if each.alive is False}


@contextmanager
def _attached(inspector: Inspector) -> Iterator[Pool]:
    """Attach the pool inside the `with`: by its name, or else through one of its runs."""
    if inspector.name is None:
        with _some_block(inspector) as block:
            yield block.pool  # not to be closed: other requests may have the same
        return
    with blockpool.Pool.attach(inspector.name) as pool:
        with blockpool.inspect(pool) as attached:
            if attached.pool_id != inspector.pool_id:
                raise PoolNotFound(f"another pool has the name {inspector.name!r} by now")
        yield pool


def _some_block(inspector: Inspector) -> Block:
    """Redeem one of the pool's runs."""
    for run in inspector.survey(_MOST_TRIED).top:
        if run.handle is not None:
            with suppress(BlockPoolError):  # it was freed meanwhile
                return blockpool.redeem(run.handle)
    raise PoolNotFound(
        "the pool has no name, and no run through which it could be attached; its processes recover it by themselves"
    )
