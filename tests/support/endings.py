"""The clock by which tickets end, moved by tests instead of waited for: all ends in a pool's file come earlier.

See core/src/shared/endings.h.
"""

import mmap
import struct
from pathlib import Path

_PAGE = 4096
_NEXT = 1344 + 8  # in the header: when a full pool looks for what has ended


def pass_time(pool, seconds):
    """Let the tickets of a pool that has a name end so many seconds earlier. Nobody may make one meanwhile."""
    path = Path("/dev/shm", f"blockpool.{pool.name}")  # noqa: S108 - where pools are
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        (size, blocks), (data,) = struct.unpack_from("<QQ", memory, 16), struct.unpack_from("<Q", memory, 64)
        ends = -(-(data + size * blocks) // _PAGE) * _PAGE
        for at in (*range(ends, ends + 8 * blocks, 8), _NEXT):  # who waits may look at any moment, and finds all then
            (word,) = struct.unpack_from("<Q", memory, at)
            end = word & 0xFFFFFFFF
            if end:
                struct.pack_into("<Q", memory, at, word - end + max(1, end - seconds))
