"""The exceptions that are also those of the standard library's queues; apart, as `queue` takes long to import."""

from __future__ import annotations

import queue
import sys

from blockpool.errors import BlockPoolError

__all__ = ["QueueEmpty", "QueueFull", "QueueShutDown"]

if sys.version_info >= (3, 13):
    ShutDown = queue.ShutDown
else:

    class ShutDown(Exception):
        """What queue.ShutDown is from Python 3.13 on."""


class QueueFull(BlockPoolError, queue.Full):
    """The queue has no room for another item. Nothing was put.

    Wait with `timeout=`, receive more, or let the queue drop messages with `overflow=`.
    """


class QueueEmpty(BlockPoolError, queue.Empty):
    """The queue has no item, or the topic no new one.

    Wait with `timeout=`, or ask again later.
    """


class QueueShutDown(BlockPoolError, ShutDown):
    """The queue was shut down.

    Nothing more can be put; once it is empty, nothing can be received. A loop over the queue ends there.
    """


for _error in (QueueEmpty, QueueFull, QueueShutDown):
    _error.__module__ = "blockpool"
del _error
