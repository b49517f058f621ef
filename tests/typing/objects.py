"""What mypy must see of objects in pools. Never run."""

from typing import Any, assert_type

import blockpool
from blockpool import Pool, Ticket, arrow


def objects(pool: Pool, ticket: Ticket) -> None:
    assert_type(blockpool.put([1], pool), Ticket)
    assert_type(blockpool.put(None, pool, lifetime=1.5, timeout=None), Ticket)
    assert_type(blockpool.get(ticket), Any)
    blockpool.get("text")
    blockpool.get(b"text")
    blockpool.get(5)  # type: ignore[arg-type]
    blockpool.put(1, "pool")  # type: ignore[arg-type]
    blockpool.put(1, pool, 5)  # type: ignore[call-arg]
    assert_type(arrow.to_pool([1], pool, timeout=2), list[int])
    assert_type(arrow.from_pool("a"), str)
