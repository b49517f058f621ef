"""The pool that this process exchanges through, and how objects get into it.

A process is a member from `join` to the last `leave`. Several workers may live in one process; they share a member.
"""

from __future__ import annotations

import sys

from distributed.utils import ensure_memoryview

from blockpool._core import (
    Pool,
    copy_array,
    copy_buffer,
    id_of_pool,
    memory_in_a_pool,
    require_shared,
    send_array,
    send_buffer,
    take_back,
)
from blockpool._forks import dask_lock
from blockpool._sizes import parse_size

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import NDArray

    Sent = list[tuple[Any, ...]]


class Member:
    """How this process sends: through which pool, and memory of what size.

    Parameters
    ----------
    pool : Pool
        The host's pool.
    threshold : int or str
        Size in bytes; what is smaller goes the way that Dask has for it.
    readonly : bool
        Whether arrays that this process receives stay in the pool, for reading alone. Otherwise it copies them.
    """

    __slots__ = ("id", "pool", "readonly", "threshold", "users")

    def __init__(self, pool: Pool, threshold: str | int, *, readonly: bool) -> None:
        require_shared(pool)
        pool_id = id_of_pool(pool)
        assert pool_id is not None  # noqa: S101 - a shared pool has one
        self.pool = pool
        self.id = pool_id
        self.threshold = parse_size(threshold, "threshold")
        self.readonly = readonly
        self.users: set[object] = set()

    def array(self, array: NDArray[Any], sent: Sent) -> tuple[tuple[Any, ...], NDArray[Any] | None] | None:
        """Put a reference to an array in flight; return what `_receive_array` takes, and the copy if one was made.

        An array that lies in the pool becomes read-only here as well, as its receivers read the same memory. Returns
        None if the array goes Dask's way: it is small, has objects, repeats memory, or there is no room.
        """
        if array.nbytes < self.threshold or array.dtype.hasobject or 0 in array.strides:
            return None
        parts = self._refer(array, send_array, sent)
        if parts is None and (twin := _on_a_run(array)) is not None:
            parts = self._refer(twin, send_array, sent)
        if parts is not None:
            array.flags.writeable = False
            return parts, None
        copied = None if self.pool.closed else copy_array(self.pool, array)
        if copied is None:
            return None
        copied.flags.writeable = False
        parts = send_array(copied, True, self.threshold, sent)  # noqa: FBT003 - a function of C
        return None if parts is None else (parts, copied)

    def frame(self, frame: Any, sent: Sent) -> tuple[tuple[Any, ...], memoryview] | None:
        """Put a reference to a frame in flight; return what `_receive_buffer` takes, and the memory; None as above.

        A frame in the pool that others may write to is copied, so that its receiver never sees it change.
        """
        view = memoryview(frame)
        if view.nbytes < self.threshold or not view.contiguous:
            return None
        view = ensure_memoryview(view)
        if view.readonly:
            parts = self._refer(view, send_buffer, sent)
            if parts is not None:
                return parts, view
        copied = None if self.pool.closed else copy_buffer(self.pool, view)
        if copied is None:
            return None
        copied = copied[: view.nbytes].toreadonly()
        parts = send_buffer(copied, True, self.threshold, sent)  # noqa: FBT003 - as above
        return None if parts is None else (parts, copied)

    def _refer(self, view: Any, send: Callable[..., tuple[Any, ...] | None], sent: Sent) -> tuple[Any, ...] | None:
        """Put a reference in flight to what lies in this pool: the receiver may not be able to attach another one."""
        noted: Sent = []
        parts = send(view, True, self.threshold, noted)  # noqa: FBT003 - as above
        if parts is not None and parts[2].hex() != self.id:
            take_back(noted)
            return None
        sent += noted
        return parts


current: Member | None = None


def join(user: object, make: Callable[[], Pool], threshold: str | int, *, readonly: bool) -> Member:
    """Exchange through a pool from now on, until `user` and all others have left."""
    global current  # noqa: PLW0603 - one for the process
    with dask_lock:
        pool = make()
        if current is not None and id_of_pool(pool) != current.id and current.users - {user}:
            raise RuntimeError(
                f"this process exchanges through pool {current.pool.name!r} already, as worker of another cluster; "
                "run the workers of each cluster in processes of their own"
            )
        if current is None or id_of_pool(pool) != current.id:
            current = Member(pool, threshold, readonly=readonly)
        current.users.add(user)
        return current


def leave(user: object) -> None:
    """Take a user's leave. The pool stays attached as long as this process has something in it."""
    global current  # noqa: PLW0603 - as above
    with dask_lock:
        if current is not None:
            current.users.discard(user)
            if not current.users:
                current = None


def _on_a_run(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return the array as a view of the pool's memory, if it is there without knowing: NumPy itself took its memory."""
    steps = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
    before = -sum(step for step in steps if step < 0)
    nbytes = before + sum(step for step in steps if step > 0) + array.itemsize
    memory = memory_in_a_pool(array.__array_interface__["data"][0] - before, nbytes)
    return None if memory is None else type(array)(array.shape, array.dtype, memory, before, array.strides)


def is_array(x: object) -> bool:
    """Return whether an object is a plain NumPy array; without importing NumPy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(x) is numpy.ndarray
