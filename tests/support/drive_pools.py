"""Drives real pools with the events of a trace, in a process of its own: drive_pools.py TRACE PLANS.

PLANS is JSON: [[block_size, blocks, above, up_to or null], ...]. Prints as JSON how many requests were refused, and the
most blocks that were allocated at a time in each pool.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import blockpool
from blockpool.traces import ALLOCATE, read

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def main(path: str, plans: str) -> None:
    """Replay the trace as a program would: with Pool.allocate and Block.free, and as many threads."""
    trace, ranges = read(path), json.loads(plans)
    pools = [blockpool.Pool(block_size, blocks) for block_size, blocks, _, _ in ranges]
    held: dict[int, blockpool.Block] = {}
    refused, most = 0, [0] * len(pools)
    with ExitStack() as stack:
        others = [stack.enter_context(ThreadPoolExecutor(1)) for _ in trace.threads[1:]]

        def by(thread: int, call: Callable[[], T]) -> T:
            return call() if thread == 0 else others[thread - 1].submit(call).result()

        for thread in range(len(trace.threads)):
            by(thread, lambda: blockpool.Pool(64, 64).allocate().free())  # threads are numbered by their first call
        columns = (column.tolist() for column in (trace.kind, trace.size, trace.id, trace.thread))
        for kind, size, number, thread in zip(*columns, strict=True):
            if kind != ALLOCATE:
                if number in held:
                    by(thread, held.pop(number).free)
                continue
            which = next(i for i, (_, _, _, up_to) in enumerate(ranges) if up_to is None or size <= up_to)
            try:
                held[number] = by(thread, partial(pools[which].allocate, nbytes=max(size, 1)))
            except blockpool.PoolExhausted:
                refused += 1
            most[which] = max(most[which], pools[which].stats().allocated)
    print(json.dumps({"refused": refused, "most": most}))  # noqa: T201 - a program


if __name__ == "__main__":
    main(*sys.argv[1:])
