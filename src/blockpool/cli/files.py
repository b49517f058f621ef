"""The data set of the demo: real files, packed into messages of one size.

A message is the next stretch of all files, one after the other. Where a file begins or ends within it, it is cut into
pieces; each piece has a digest of its own, so that any worker can hash any message.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from blockpool.report.results import Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "File",
    "Message",
    "Piece",
    "Selection",
    "Unreadable",
    "fill",
    "join",
    "pack",
    "reason",
    "select",
]


class Unreadable(Exception):
    """A file that cannot be read, or that is not what it was when the demo chose it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}; run the demo again, or name other paths")
        self.skipped = Skipped(path, reason)


class File(NamedTuple):
    """A regular file: its path, its size, and what changes when somebody writes to it or replaces it."""

    path: str
    nbytes: int
    state: tuple[int, ...]

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> File:
        """Return the file as it is now."""
        state = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
        return cls(path, status.st_size, state)


class Piece(NamedTuple):
    """So many bytes of a file."""

    file: File
    offset: int
    nbytes: int


Message = tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """The files to read, the largest first.

    `omitted` counts files that were left out because of the limits; `skipped` names those that could not be read.
    """

    files: tuple[File, ...]
    omitted: int
    skipped: tuple[Skipped, ...]

    @property
    def nbytes(self) -> int:
        """Their sizes together."""
        return sum(file.nbytes for file in self.files)


def select(
    paths: Sequence[str], *, smallest: int, limit: int, watch: Callable[[], None]
) -> Selection:
    """Choose regular files among and below the paths, the largest first, and read each once.

    Reading them brings them into memory, so that no lap waits for a disk. Files below `smallest` bytes are left out,
    and those beyond `limit` bytes in all. Symbolic links are followed where they are given as a path, not below.
    `watch` is called now and then.
    """
    skipped: list[Skipped] = []
    found: set[File] = set()
    for path in paths:
        found.update(_found(path, skipped))
        watch()
    files: list[File] = []
    nbytes = 0
    scratch = memoryview(bytearray(1 << 20))
    for file in sorted(found, key=lambda file: (-file.nbytes, file.path)):
        if not max(smallest, 1) <= file.nbytes <= limit - nbytes:
            continue
        try:
            for message in pack([file], len(scratch)):
                fill(scratch, message)
                watch()
        except Unreadable as error:
            skipped.append(error.skipped)
        else:
            files.append(file)
            nbytes += file.nbytes
    omitted = len(found) - len(files) - len({each.path for each in skipped})
    return Selection(tuple(files), omitted, tuple(skipped))


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
    if pieces:
        messages.append(tuple(pieces))
    return messages


def fill(view: memoryview, message: Message) -> None:
    """Have the kernel write the message's bytes into the memory."""
    begin = 0
    for file, offset, nbytes in message:
        descriptor = _open(file)
        try:
            done = 0
            while done < nbytes:
                with view[begin + done : begin + nbytes] as rest:
                    done += _some(os.preadv(descriptor, [rest], offset + done))
        except OSError as error:
            raise Unreadable(file.path, reason(error)) from error
        finally:
            os.close(descriptor)
        begin += nbytes


def join(message: Message) -> bytes:
    """Return the message's bytes as an object of their own, with as few copies as Python allows."""
    parts: list[bytes] = []
    for file, offset, nbytes in message:
        descriptor = _open(file)
        try:
            done = 0
            while done < nbytes:
                parts.append(os.pread(descriptor, nbytes - done, offset + done))
                done += _some(len(parts[-1]))
        except OSError as error:
            raise Unreadable(file.path, reason(error)) from error
        finally:
            os.close(descriptor)
    return b"".join(parts)


def _open(file: File) -> int:
    """Open the file. If a pipe has taken its place, that does not block; reading it by offset is an OSError."""
    try:
        return os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(file.path, reason(error)) from error


def _some(count: int) -> int:
    """Return the count; nothing is the end of a file that should be longer."""
    if not count:
        raise OSError("became shorter while it was read")
    return count


def _found(path: str, skipped: list[Skipped]) -> Iterator[File]:
    """Yield every regular file below a directory, or the path itself if it is one."""
    errors: list[OSError] = []
    path = os.path.realpath(path)
    for name in _below(path, errors) if Path(path).is_dir() else [path]:
        try:
            status = os.lstat(name)
        except OSError as error:
            errors.append(error)
        else:
            if stat.S_ISREG(status.st_mode):
                yield File.of(name, status)
    skipped.extend(Skipped(str(error.filename), reason(error)) for error in errors)


def _below(path: str, errors: list[OSError]) -> Iterator[str]:
    for folder, _, names in os.walk(path, onerror=errors.append):
        prefix = folder.rstrip("/") + "/"
        yield from (prefix + name for name in names)


def reason(error: OSError) -> str:
    """Say in a few words why a file cannot be read."""
    return error.strerror or str(error)
