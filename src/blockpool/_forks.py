"""What of the package a forked child begins again: locks that nobody holds, and tables without its parent's entries.

Nothing is done before a fork, and no lock is taken for it: the thread that has one may wait for a thread that forks. So
a child may find what a lock guards in the middle of a change, by a thread that it does not have: each change is made in
steps after any of which the others can go on. The tables have only what the parent keeps or waits for.

Shared pools need none of this: see core/src/shared/fork.c. What else begins again is in _binding/fork.pxi, which also
does all this, in this order.
"""

from __future__ import annotations

from _thread import RLock

from blockpool._core import renew_in_child

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Any

# A thread that takes several takes them in this order. All reentrant: a finalizer or a signal handler may come in.
async_lock = RLock()
classic_lock = RLock()
switch_lock = RLock()
debug_lock = RLock()

# Of blockpool._async, by mapping; of blockpool._segments, by handle and by name.
waiters: dict[Any, Any] = {}
large_segments: dict[Any, Any] = {}
segments_in_making: list[str] = []

renew_in_child(
    (async_lock, classic_lock, switch_lock, debug_lock),
    (waiters, large_segments, segments_in_making),
)
