"""Locks and tables that are renewed in a forked child: the locks are free there, and the tables empty.

Nothing happens before a fork, and no lock is taken for it: its holder may be waiting for the very thread that forks. So
a child may find a lock's data in the middle of a change, made by a thread that the child does not have. Every change is
therefore made in steps that leave the data usable after each one. The tables hold only what the parent keeps or waits
for.

Shared pools need none of this, see core/src/shared/fork.c. The fork hook of the binding (_binding/fork.pxi) renews
these locks and tables in a stated order, along with its own.
"""

from __future__ import annotations

from _thread import RLock

from blockpool._core import renew_in_child

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

# A thread that takes several takes them in this order. All reentrant: a finalizer or a signal handler may come in.
dask_lock = RLock()
ray_lock = RLock()
async_lock = RLock()
classic_lock = RLock()
switch_lock = RLock()
debug_lock = RLock()
pin_lock = RLock()

# Of blockpool._async, by mapping; of blockpool._async_queues, by loop and queue; of blockpool._segments, by handle and
# by name; of blockpool._pinning, by where the pages are; of blockpool.ray, by token.
waiters: dict[Any, Any] = {}
queue_watches: dict[Any, Any] = {}
large_segments: dict[Any, Any] = {}
segments_in_making: list[str] = []
pins: dict[tuple[int, int], Any] = {}
ray_kept: dict[bytes, Any] = {}

renew_in_child(
    (dask_lock, ray_lock, async_lock, classic_lock, switch_lock, debug_lock, pin_lock),
    (waiters, queue_watches, large_segments, segments_in_making, pins, ray_kept),
)
