"""What mypy must see of shared pools. Never run."""

from typing import assert_type

import blockpool
from blockpool import Block, Handle, Pool, Recovered, Ticket


def pools(pool: Pool) -> None:
    assert_type(Pool.create("4KiB", 16), Pool)
    assert_type(
        Pool.create(64, 2, name="a", exist_ok=True, permanent=True, prefault=True, on_fork="detach"),
        Pool,
    )
    assert_type(Pool.attach("a", on_fork="share"), Pool)
    assert_type(pool.unlink(), None)
    assert_type(pool.recover(), Recovered)
    assert_type(pool.recover(tickets_older_than=1.5), Recovered)
    Pool.create(64, 2, on_fork="other")  # type: ignore[arg-type]
    Pool.attach(None)  # type: ignore[arg-type]


def blocks(block: Block) -> None:
    assert_type(block.handle, Handle)
    assert_type(block.share(), Ticket)
    assert_type(block.share(3), Ticket)
    assert_type(blockpool.redeem(block.share()), Block)
    assert_type(blockpool.redeem(str(block.handle)), Block)
    assert_type(blockpool.redeem(bytes(block.handle)), Block)
    assert_type(blockpool.sweep(), int)
    assert_type(blockpool.unlink("frames"), None)
    blockpool.unlink(b"frames")  # type: ignore[arg-type]
    blockpool.redeem(3)  # type: ignore[arg-type]
    blockpool.redeem(handle=block.handle)  # type: ignore[call-arg]
