"""Where the bookkeeping of a private pool is: tests damage it, and see in it how many threads wait."""

import ctypes
import os
import time
from contextlib import contextmanager
from importlib.util import find_spec

# A release does not have what these tests look at. Only a run that says that it tests one may do without them.
IS_THERE = bool(find_spec("blockpool._testing")) or "BLOCKPOOL_RELEASE" not in os.environ


class Bookkeeping:
    """The addresses of a private pool's words, chunk summaries and continuation marks."""

    def __init__(self, pool):
        from blockpool import _testing

        self.words, self.chunks, self.continuations, waiting = _testing.bookkeeping(pool)
        self._waiting = ctypes.c_uint32.from_address(waiting)

    @property
    def waiting(self):
        """How many threads wait for room."""
        return self._waiting.value

    def await_waiting(self, count=1):
        """Return when so many threads wait for room."""
        deadline = time.monotonic() + 60
        while self.waiting != count:
            assert time.monotonic() < deadline, f"{self.waiting} threads wait, not {count}"
            time.sleep(0.001)

    @contextmanager
    def changed(self, address, flip):
        """Flip the bits `flip` of the word at `address` meanwhile."""
        word = ctypes.c_uint64.from_address(address)
        word.value ^= flip
        try:
            yield
        finally:
            word.value ^= flip
