"""Where the bookkeeping of a private pool is: tests damage it, and see in it how many threads wait."""

import ctypes
import os
import struct
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class Bookkeeping:
    """Where a pool's words are. Its own memory is searched for them: the product has no hook for this.

    The C structure stands at the start of a mapping of its own, which the kernel may have joined with its neighbours:
    first the pointers to words and chunk summaries; later the pointer to the continuation marks, then data, block
    size, blocks, and the count of waiters.
    """

    def __init__(self, pool):
        known = struct.pack("<QQQ", pool.address, pool.block_size, pool.blocks)
        with Path("/proc/self/mem").open("rb", buffering=0) as memory:
            for line in Path("/proc/self/maps").read_text().splitlines():
                span, permissions, _, _, _, *path = line.split()
                if path or permissions != "rw-p":
                    continue
                start, end = (int(address, 16) for address in span.split("-"))
                try:
                    content = os.pread(memory.fileno(), min(end - start, 16 << 20), start)
                except OSError:
                    continue  # gone meanwhile
                if self._find(content, known, start):
                    return
        raise LookupError("the pool's bookkeeping was not found; did struct pool change?")

    def _find(self, content, known, start):
        """Look in the content of a mapping.

        There may be copies, the content that an earlier look read among them; but only the original has its words
        where it ends: soon after what is known, on a cache line.
        """
        words = np.frombuffer(content, "<u8", len(content) // 8)
        address = int.from_bytes(known[:8], "little")
        for at in (np.flatnonzero(words == address) * 8).tolist():
            if at < 8 or content[at : at + len(known)] != known:
                continue
            head = at & ~4095
            self.words, self.chunks = struct.unpack_from("<QQ", content, head)
            behind = self.words - (start + at + len(known))
            if 0 < behind <= 256 and self.words % 64 == 0 and self.words < self.chunks:
                (self.continuations,) = struct.unpack_from("<Q", content, at - 8)
                self._waiting = ctypes.c_uint32.from_address(start + at + len(known))
                return True
        return False

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
