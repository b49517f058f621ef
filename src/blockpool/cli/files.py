"""The data set of the demo: real files, packed into messages of one size.

A message is the next stretch of all files, one after the other. Where a file begins or ends within it, it is cut into
pieces; each piece has its own digest, so that any worker can hash any message.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "File",
    "Message",
    "Piece",
    "Unreadable",
    "fill",
    "join",
    "opened",
    "pack",
    "select",
]


class Unreadable(Exception):
    """A file that cannot be read, or that is not what it was when the demo chose it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; run the demo again, or name other paths")


class File(NamedTuple):
    """A regular file: its path, its size, and what changes when it is written to or replaced."""

    path: str
    nbytes: int
    state: tuple[int, ...]

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> File:
        """Return the file as it is now."""
        state = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        return cls(path, status.st_size, state)


class Piece(NamedTuple):
    """A stretch of a file."""

    file: File
    offset: int
    nbytes: int


Message = tuple[Piece, ...]


def select(paths: Sequence[str], *, smallest: int, limit: int, watch: Callable[[], None]) -> tuple[list[File], int]:
    """Choose regular files among and below the paths, the largest first, and read each once.

    Reading brings them into memory, so that no lap waits for a disk. Files of fewer than `smallest` bytes, files beyond
    `limit` bytes in total, and files that cannot be read are left out; the second value counts them. A symbolic link is
    followed if it is one of the paths, but not below them. `watch` is called from time to time.
    """
    found: set[File] = set()
    for path in paths:
        found.update(_found(os.path.realpath(path)))
        watch()
    files: list[File] = []
    scratch = memoryview(bytearray(1 << 20))
    for file in sorted(found, key=lambda file: (-file.nbytes, file.path)):
        if max(smallest, 1) <= file.nbytes <= limit:
            with suppress(Unreadable):
                for message in pack([file], len(scratch)):
                    fill(scratch, message)
                    watch()
                files.append(file)
                limit -= file.nbytes
    return files, len(found) - len(files)


def pack(files: Sequence[File], size: int) -> list[Message]:
    """Cut the files, one after the other, into messages of `size` bytes; the last one may be shorter."""
    messages: list[Message] = []
    pieces: list[Piece] = []
    room = size
    for file in files:
        offset = 0
        while offset < file.nbytes:
            piece = Piece(file, offset, min(room, file.nbytes - offset))
            pieces.append(piece)
            offset += piece.nbytes
            room -= piece.nbytes
            if not room:
                messages.append(tuple(pieces))
                pieces, room = [], size
    return [*messages, tuple(pieces)] if pieces else messages


def fill(view: memoryview, message: Message) -> None:
    """Read the message's bytes straight into the memory."""
    begin = 0
    for file, offset, nbytes in message:
        with opened(file, offset) as source, view[begin : begin + nbytes] as part:
            _whole(source.readinto(part), nbytes)  # type: ignore[attr-defined]
        begin += nbytes


def join(message: Message) -> bytes:
    """Return the message's bytes as a bytes object, with as few copies as Python allows."""
    parts: list[bytes] = []
    for file, offset, nbytes in message:
        with opened(file, offset) as source:
            parts.append(source.read(nbytes))
            _whole(len(parts[-1]), nbytes)
    return b"".join(parts)


@contextmanager
def opened(file: File, offset: int = 0) -> Iterator[BinaryIO]:
    """Open a file at an offset; an OSError while it is open becomes Unreadable."""
    try:
        with Path(file.path).open("rb") as source:
            source.seek(offset)
            yield source
    except OSError as error:
        raise Unreadable(file.path, error.strerror or str(error)) from error


def _whole(count: int, nbytes: int) -> None:
    if count != nbytes:
        raise OSError("became shorter while it was read")


def _found(path: str) -> Iterator[File]:
    """Yield every regular file below a directory, or the path itself if it is one."""
    below = (f"{folder}/{name}" for folder, _, names in os.walk(path) for name in names)
    for name in below if Path(path).is_dir() else [path]:
        with suppress(OSError):  # deleted meanwhile
            status = os.lstat(name)
            if stat.S_ISREG(status.st_mode):
                yield File.of(name, status)
