"""How much memory does the machine spend for each byte that is asked for?"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import TYPE_CHECKING

from blockpool.bench.questions._question import Case, Question, sized

if TYPE_CHECKING:
    from types import ModuleType

QUESTION = Question(
    asks="How much memory does the machine spend for each byte that is asked for?",
    how="32 MiB of live buffers, but at most 16,384 of them, written; a pool has exactly so many blocks, of the "
    "next multiple of 8. Counted are the private memory of the process, with Python's objects and lists, and "
    "each piece of shared memory that it has mapped, with what the kernel has set aside for it. Each turn is in"
    " a process of its own.",
    call="hold",
    unit="bytes",
)

_SIZES = (64, 1000, 4 << 10, 65_000, 1 << 20)
_QUICK = (1000, 64 << 10)
_ASKED = 32 << 20
_ASKED_QUICK = 8 << 20
_SECTOR = 512
_MOST = 1 << 14  # of more, some take minutes to make, and mappings and descriptors run out


def cases(*, quick: bool) -> list[Case]:
    """Return a case for each size."""
    asked = _ASKED_QUICK if quick else _ASKED
    return [
        Case(
            sized(size),
            size,
            {"size": size, "count": min(asked // size, _MOST)},
            rounds=3,
            turns=1,
            fresh=True,
        )
        for size in (_QUICK if quick else _SIZES)
    ]


class _Held:
    """Makes buffers, once."""

    def __init__(self, peer: ModuleType, size: int, count: int) -> None:
        peer.hold(size, 2)  # what only the first needs
        self._peer, self._size, self._count = peer, size, count

    def turn(self) -> float:
        """Return bytes spent for a byte asked for."""
        before = _spent()
        self._kept = self._peer.hold(self._size, self._count)
        return (_spent() - before) / (self._size * self._count)

    def close(self) -> None:
        """Give all back."""
        self._kept = None


def prepare(peer: ModuleType, size: int, count: int) -> _Held:
    """Make what only the first buffer needs."""
    return _Held(peer, size, count)


def _spent() -> int:
    """Return the bytes of this process's private memory, and of the shared memory that it has mapped."""
    private = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            private = int(line.split()[1]) * 1024
    return private + sum(_shared().values())


def _shared() -> dict[int, int]:
    """Return the bytes of each piece of shared memory that is mapped here, by its inode: those of the file, if more."""
    set_aside = _set_aside()
    found: dict[int, int] = {}
    inode = 0
    for line in Path("/proc/self/smaps").read_text(errors="replace").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            shared = line.partition(" /")[2].startswith(("dev/shm/", "memfd:", "dev/zero", "tmp/", "SYSV"))
            inode = int(words[4]) if shared and words[1].endswith("s") else 0
            if inode:
                found.setdefault(inode, 0)
                path = "/" + line.partition(" /")[2]
                set_aside.setdefault(inode, _allocated(path, inode))
        elif words[0] == "Rss:" and inode:
            found[inode] += int(words[1]) * 1024
    return {inode: max(nbytes, set_aside.get(inode, 0)) for inode, nbytes in found.items()}


def _set_aside() -> dict[int, int]:
    """Return how much of each open file exists, by its inode."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            file = entry.stat()
            if S_ISREG(file.st_mode):
                found[file.st_ino] = file.st_blocks * _SECTOR
    return found


def _allocated(path: str, inode: int) -> int:
    """Return how much of a file exists, if it still has that path."""
    with suppress(OSError):
        file = os.stat(path)  # noqa: PTH116 - there may be very many
        if file.st_ino == inode:
            return file.st_blocks * _SECTOR
    return 0
