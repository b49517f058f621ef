"""Room for batches in a pool, and what a process does when there is none."""

from __future__ import annotations

from blockpool import _log
from blockpool._core import Pool, id_of_pool, require_shared
from blockpool.errors import PoolBusy, PoolClosed, PoolExhausted, TooManyProcesses
from blockpool.torch._making import require_pool

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    OnFull: TypeAlias = Literal["copy", "wait", "raise"]

# Errors that say that a pool has no room for this process now.
_NO_ROOM = (PoolExhausted, PoolClosed, TooManyProcesses, PoolBusy)


class Into:
    """How a process puts batches into a pool, and what it does when there is no room."""

    def __init__(self, pool: Pool, on_full: OnFull, timeout: float | None) -> None:
        require_shared(require_pool(pool))
        if on_full not in {"copy", "wait", "raise"}:
            raise ValueError(f'on_full must be "copy", "wait" or "raise", not {on_full!r}')
        if timeout is not None and on_full != "wait":
            raise ValueError(f'timeout is for on_full="wait", not for {on_full!r}')
        self.pool = pool
        self.on_full = on_full
        self.timeout = timeout if on_full == "wait" else 0
        self.told = False

    def room(self, nbytes: int) -> memoryview | None:
        """Allocate a run; None if there is to be none."""
        if not nbytes:
            return None
        try:
            return self.pool.allocate(nbytes=nbytes, timeout=self.timeout).buf
        except _NO_ROOM as error:
            if self.on_full != "copy":
                raise
            if not self.told:
                self.told = True
                _log.tell(
                    _log.WARNING,
                    "batch_refused",
                    f"a batch of {nbytes} bytes goes PyTorch's own way, and so may others: {error}",
                    self.pool.name,
                    id_of_pool(self.pool),
                    nbytes=nbytes,
                )
            return None
