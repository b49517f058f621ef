"""What mypy must see of shared pools. Never run."""

from typing import assert_type

import blockpool
from blockpool import (
    Audit,
    Block,
    Damage,
    Handle,
    Inspector,
    Pool,
    PoolStats,
    PoolSummary,
    ProcessInfo,
    Recovered,
    Ticket,
)


def pools(pool: Pool) -> None:
    assert_type(Pool.create("4KiB", 16), Pool)
    assert_type(
        Pool.create(64, 2, name="a", exist_ok=True, permanent=True, prefault=True, on_fork="detach"),
        Pool,
    )
    assert_type(Pool.attach("a", on_fork="share"), Pool)
    assert_type(pool.unlink(), None)
    assert_type(Pool.create(64, 2, ticket_lifetime=60), Pool)
    assert_type(pool.ticket_lifetime, float | None)
    assert_type(pool.recover(), Recovered)
    assert_type(pool.recover(tickets_older_than=1.5), Recovered)
    Pool.create(64, 2, on_fork="other")  # type: ignore[arg-type]
    Pool.attach(None)  # type: ignore[arg-type]


def blocks(block: Block) -> None:
    assert_type(block.handle, Handle)
    assert_type(block.share(), Ticket)
    assert_type(block.share(3), Ticket)
    assert_type(block.share(lifetime=1.5), Ticket)
    block.share(1, 2)  # type: ignore[call-arg]
    assert_type(blockpool.redeem(block.share()), Block)
    assert_type(blockpool.redeem(str(block.handle)), Block)
    assert_type(blockpool.redeem(bytes(block.handle)), Block)
    assert_type(blockpool.sweep(), int)
    assert_type(blockpool.unlink("frames"), None)
    blockpool.unlink(b"frames")  # type: ignore[arg-type]
    blockpool.redeem(3)  # type: ignore[arg-type]
    blockpool.redeem(handle=block.handle)  # type: ignore[call-arg]


def looks(pool: Pool, handle: Handle) -> None:
    with blockpool.inspect("frames") as inspector:
        assert_type(inspector, Inspector)
    assert_type(blockpool.inspect(pool), Inspector)
    assert_type(blockpool.inspect(handle).name, str | None)
    assert_type(inspector.stats(), PoolStats)
    assert_type(inspector.stats().max_processes, int)
    assert_type(inspector.check(), Audit)
    assert_type(inspector.processes(), list[ProcessInfo])
    assert_type(inspector.processes()[0].alive, bool | None)
    assert_type(inspector.exists(), bool)
    assert_type(inspector.debug, bool)
    assert_type(inspector.damage(), list[Damage])
    assert_type(inspector.damage()[0].stack, str | None)
    assert_type(pool.runs()[0].stack, str | None)
    assert_type(pool.runs()[0].allocated_by, int | None)
    assert_type(pool.runs()[0].ticket_ends, float | None)
    assert_type(Pool.create(64, 2, debug=True), Pool)
    assert_type(pool.check(repair=False), Audit)
    assert_type(blockpool.pools(), list[PoolSummary])
    assert_type(blockpool.pools()[0].processes, tuple[ProcessInfo, ...])
    Inspector()  # type: ignore[call-arg]
    blockpool.inspect(5)  # type: ignore[arg-type]
    blockpool.inspect(pool="frames")  # type: ignore[call-arg]
    inspector.name = "other"  # type: ignore[misc]
