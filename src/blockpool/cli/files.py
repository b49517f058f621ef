"""Which files a demo reads, and how it opens one."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blockpool.report.results import Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Selection", "identity", "open_regular", "reason", "select"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The files to read.

    Attributes
    ----------
    files : tuple of str
        Their paths, in the order in which they are read.
    nbytes : int
        Their sizes together, when they were selected.
    omitted : int
        Files that were left out because they would have gone beyond the limit.
    skipped : tuple of Skipped
        Directories and files that could not be looked at.
    """

    files: tuple[str, ...]
    nbytes: int
    omitted: int
    skipped: tuple[Skipped, ...]


def select(paths: Sequence[str], max_bytes: int) -> Selection:
    """Choose the regular files among and below the paths, sorted; those that would go beyond `max_bytes` are left out.

    Symbolic links are followed where they are given as a path, not below. A path that is neither file nor directory
    is a ValueError.
    """
    files: list[str] = []
    skipped: list[Skipped] = []
    nbytes = omitted = 0
    found: set[str] = set()
    for path in paths:
        found.update(_walk(os.path.realpath(path), skipped))
    for name in sorted(found):
        try:
            status = os.lstat(name)
        except OSError as error:
            skipped.append(Skipped(name, reason(error)))
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        if nbytes + status.st_size > max_bytes:
            omitted += 1
            continue
        files.append(name)
        nbytes += status.st_size
    return Selection(files=tuple(files), nbytes=nbytes, omitted=omitted, skipped=tuple(skipped))


def _walk(path: str, skipped: list[Skipped]) -> Iterator[str]:
    """Yield every file below a directory, or the path itself if it is a file."""
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        yield path
    elif stat.S_ISDIR(mode):
        errors: list[OSError] = []
        for folder, _, names in os.walk(path, onerror=errors.append):
            prefix = folder.rstrip("/") + "/"
            yield from (prefix + name for name in names)
        skipped.extend(Skipped(str(error.filename), reason(error)) for error in errors)
    else:
        raise ValueError(f"{path!r} is neither a file nor a directory; name one of these")


@contextmanager
def open_regular(path: str) -> Iterator[tuple[int, os.stat_result]]:
    """Open a regular file: its descriptor and state. Anything else, perhaps a pipe by now, is an OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("no longer a regular file")
        yield descriptor, status
    finally:
        os.close(descriptor)


def identity(status: os.stat_result) -> tuple[int, ...]:
    """Return what changes when somebody replaces or changes the file."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def reason(error: OSError) -> str:
    """Say in a few words why a file cannot be read."""
    return error.strerror or str(error)
