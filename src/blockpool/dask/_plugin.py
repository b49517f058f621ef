"""The plugin that makes a worker a member of its host's pool, and ends that.

The workers of a cluster that run on one host find the same pool by its name. The name is made from the scheduler's id,
the size, the user, and the network namespace: workers with separate networks count as separate hosts, as they do for
Dask. The first worker creates the pool, for its user alone, and it ends with the last process that has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
from pathlib import Path

from distributed.core import Status
from distributed.diagnostics.plugin import NannyPlugin, WorkerPlugin

from blockpool._core import Pool, numpy_allocator_of, sweep
from blockpool._sizes import parse_size
from blockpool.dask import _member, _wire
from blockpool.errors import PoolClosed

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from distributed import Nanny, Worker

NAME = "blockpool"

_BLOCK_SIZE = 64 << 10

# Seconds after which a reference that nobody redeemed may be dropped: its message, or its receiver, is lost.
TICKET_LIFETIME = 60


def pool_name(scheduler_id: str, nbytes: int) -> str:
    """Return the name of the pool of this host's workers; one of another size is another pool."""
    network = Path("/proc/self/ns/net").readlink()
    identity = f"{scheduler_id} {nbytes} {os.getuid()} {network}"
    return "dask-" + hashlib.sha256(identity.encode()).hexdigest()[:24]


def shared_pool(name: str, nbytes: int) -> Pool:
    """Return the pool with a name, which one process of the host creates while the others wait for it."""
    blocks = -(-nbytes // _BLOCK_SIZE)
    return Pool.create(_BLOCK_SIZE, blocks, name=name, exist_ok=True, ticket_lifetime=TICKET_LIFETIME)


class Exchange(WorkerPlugin):  # type: ignore[misc]
    """Make workers exchange large data through one pool for each host; see `blockpool.dask.install`."""

    name = NAME

    def __init__(
        self, nbytes: str | int, threshold: str | int, pool: str | None = None, *, readonly: bool, numpy: bool = False
    ) -> None:
        self.nbytes = parse_size(nbytes, "nbytes")
        self.threshold = parse_size(threshold, "threshold")
        self.pool = pool
        self.readonly = readonly
        self.numpy = numpy
        self.get_data: Callable[..., Any] | None = None  # the worker's own handler
        self.execute: Callable[..., Any] | None = None  # and its way to run a task

    async def setup(self, worker: Worker) -> None:
        """Join the pool of the worker's host."""
        if worker.address.startswith("inproc:"):
            return  # what is in one process is passed on without being serialized
        make: Callable[[], Pool]
        if self.pool is None:
            name = pool_name((await worker.scheduler.identity())["id"], self.nbytes)
            make = functools.partial(shared_pool, name, self.nbytes)
        else:
            make = functools.partial(Pool.attach, self.pool)
        # in a thread, as it may take seconds, in which the worker would not answer
        member = await asyncio.to_thread(_member.join, worker.id, make, self.threshold, readonly=self.readonly)
        self.get_data = worker.handlers["get_data"]
        worker.handlers["get_data"] = _storing_copies(worker, self.get_data)
        if self.numpy:
            try:
                execute = _taking_arrays_from(member.pool, worker.execute)
            except BaseException:
                self.teardown(worker)  # Dask does not, if this raises
                raise
            self.execute, worker.execute = worker.execute, execute
        worker.rpc.collect()  # connections whose handshake was before

    def teardown(self, worker: Worker) -> None:
        """Leave the pool. Data of it that the worker has stored stays valid."""
        _member.leave(worker.id)
        if self.get_data is not None:
            worker.handlers["get_data"] = self.get_data
        if self.execute is not None:
            worker.execute = self.execute


class Sweeping(NannyPlugin):  # type: ignore[misc]
    """Remove the file of the host's pool if the nanny kills its last worker: a killed process removes nothing."""

    name = NAME + "-nanny"

    def teardown(self, nanny: Nanny) -> None:
        """Sweep once the nanny has ended its worker; it removes its plugins before that."""
        if nanny.status == Status.closing:
            task = asyncio.ensure_future(_sweep_after(nanny))
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)


_tasks: set[asyncio.Future[None]] = set()  # the event loop does not keep them


async def _sweep_after(nanny: Nanny) -> None:
    await nanny.finished()
    sweep()


def _taking_arrays_from(pool: Pool, execute: Callable[..., Any]) -> Callable[..., Any]:
    """Make a worker's way to run a task: NumPy takes the task's arrays from the pool. The task's thread inherits it."""
    allocator = numpy_allocator_of(pool)

    @functools.wraps(execute)
    async def taking_arrays_from_the_pool(*args: Any, **kwargs: Any) -> Any:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(PoolClosed):
                stack.enter_context(allocator)
            return await execute(*args, **kwargs)

    return taking_arrays_from_the_pool


def _storing_copies(worker: Worker, get_data: Callable[..., Any]) -> Callable[..., Any]:
    """Make the handler that keeps, of data that it sent, the copy in the pool.

    So the data exists once, however many workers have it, and is not copied again for the next one.
    """

    @functools.wraps(get_data)
    async def storing_copies(comm: Any, keys: Collection[Any], *args: Any, **kwargs: Any) -> Any:
        noted: dict[int, tuple[Any, Any]] = {}
        token = _wire.copies.set(noted)
        try:
            return await get_data(comm, keys, *args, **kwargs)
        finally:
            _wire.copies.reset(token)
            _store(worker, keys, noted)
            noted.clear()  # copies of the context, such as those of pending callbacks, keep the dict itself

    return storing_copies


def _store(worker: Worker, keys: Collection[Any], noted: dict[int, tuple[Any, Any]]) -> None:
    """Store, of each key whose object was copied, the copy in its place."""
    if not noted:
        return
    in_memory = getattr(worker.data, "fast", worker.data)  # nothing is read from the disk for this
    for key in keys:
        stored = in_memory.get(key)
        if stored is not None and id(stored) in noted:
            original, copy = noted[id(stored)]
            if original is stored:
                worker.data[key] = copy
