"""What many pages ask for at a time is found out once for all of them."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Shortly"]

_REST = 9
_MOST = 64


class _Kept:
    """A result, and until when it is kept."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.result: Any = None
        self.until = float("-inf")


class Shortly:
    """Keeps results for a moment. May be called from any thread; one at a time finds a result out, the others wait.

    A result that took long is kept longer, so that each takes at most a tenth of a processor.

    Parameters
    ----------
    seconds : float
        How long a result is kept at least.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, _Kept] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is kept for the key, or else make it."""
        with self._lock:
            kept = self._kept[key] = self._kept.pop(key) if key in self._kept else _Kept()
            if len(self._kept) > _MOST:
                del self._kept[next(iter(self._kept))]  # the one that was not asked for the longest
        with kept.lock:
            if time.monotonic() >= kept.until:
                began = time.thread_time()
                kept.result = make()
                took = time.thread_time() - began
                kept.until = time.monotonic() + max(self._seconds, _REST * took)
            result: T = kept.result
            return result

    def forget(self) -> None:
        """Find everything out again: something was changed."""
        with self._lock:
            self._kept.clear()
