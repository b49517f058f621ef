"""Looking at shared pools from outside: `inspect` finds one, `pools` lists all of them."""

from __future__ import annotations

import os
import re

from blockpool._core import Pool, look_at, look_beside, look_through, summary
from blockpool._handles import Handle, find_descriptor, why_not_found
from blockpool.errors import BlockPoolError, PoolNotFound

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Iterator

    from blockpool._core import Inspector
    from blockpool.stats import PoolSummary

_SHM = "/dev/shm"  # noqa: S108 - where pools are
_FILE = re.compile(r"blockpool\.([A-Za-z0-9_.-]{1,180})")
_ID = re.compile(r"[0-9a-f]{32}")
# What the link of a descriptor says of a pool's memory that has no name, or has lost it.
_NAMELESS = re.compile(r"/memfd:blockpool-[0-9a-f]{32} \(deleted\)|/dev/shm/(?:blockpool\.|#).* \(deleted\)")


def inspect(pool: str | Pool | Handle, /) -> Inspector:
    """Look at a shared pool from outside, without attaching it.

    Parameters
    ----------
    pool : str, Pool, Handle or Ticket
        The pool: its name or, as for pools without one, its id (32 hexadecimal digits); an open Pool object; or a
        handle or ticket, or its str.

    Returns
    -------
    Inspector
        Tells the state of the pool, at the time of each call; a context manager. It takes no part in the pool and
        changes nothing.

    Raises
    ------
    PoolNotFound
        If there is no such pool.
    PoolCorrupt
        If whatever has the name is damaged, or not a pool.
    PoolVersion
        If it was made by another release of blockpool, with a different layout.
    PoolForbidden
        If it belongs to another user, or this process may not use ``/dev/shm``.
    PoolExhausted
        If the process's address space is full.
    PoolClosed, TooManyProcesses, PoolBusy
        If `pool` is a Pool object that is closed, or this process is a forked child without a part in it (see Notes of
        `Pool`).
    TypeError, ValueError
        If `pool` is nothing of these, or is private.
    OSError
        If there is no free file descriptor, no ``/proc`` or no ``/dev/shm``.

    Notes
    -----
    May be called from any thread. Nothing is waited for, not even a process that is stopped in the middle of a call.
    """
    if isinstance(pool, Pool):
        return look_beside(pool)
    if not isinstance(pool, (str, Handle)):
        raise TypeError(f"inspect() takes the name of a pool, its id, a Pool or a handle, not {type(pool).__name__}")
    if isinstance(pool, Handle) or ":" in pool:
        return _of_handle(Handle.parse(pool))
    try:
        return look_at(pool)
    except PoolNotFound:
        found = _by_id(pool, os.getpid()) if _ID.fullmatch(pool) else None
        if found is None:
            raise
        return found


def pools() -> list[PoolSummary]:
    """List all shared pools of this user.

    Returns
    -------
    list of PoolSummary
        First those with names, in alphabetical order, also those that are damaged and other files that have the name of
        a pool; then those without names that a living process has attached. Pools that appear or vanish during the
        call may or may not be in it.

    Raises
    ------
    PoolExhausted
        If the process's address space is full.
    OSError
        If there is no free file descriptor, or no ``/proc``.

    Notes
    -----
    May be called from any thread. It attaches no pool, changes nothing and waits for nobody. Pools of other users are
    left out, and so are pools without names of processes that this one may not look into (in other PID namespaces).
    """
    named = [_named(name) for name in _names()]
    nameless: dict[tuple[int, int], PoolSummary] = {}
    for file, process, number in nameless_files():
        if file not in nameless:
            found = summary(None, process, number)
            if found is not None:  # otherwise it was closed, and another process may have the same
                nameless[file] = found
    return [found for found in (*named, *nameless.values()) if found is not None]


def _named(name: str) -> PoolSummary | None:
    """Describe what has a pool's name; None if it is gone, or belongs to another user."""
    found = summary(name, 0, 0)
    if found is not None:
        return found
    try:
        status = os.lstat(f"{_SHM}/blockpool.{name}")
    except OSError:
        return None
    if status.st_uid != os.geteuid():
        return None
    from blockpool.stats import PoolSummary  # not before it is needed: it takes long

    return PoolSummary(
        name=name,
        state="unreadable",
        pool_id=None,
        block_size=None,
        blocks=None,
        nbytes=None,
        allocated=None,
        segment_bytes=status.st_blocks * 512,
        permanent=None,
        max_processes=None,
        made_by=None,
        created=None,
        processes=(),
        leftover=False,
    )


def _of_handle(handle: Handle) -> Inspector:
    if handle.name is not None:
        try:
            inspector = look_at(handle.name)
        except PoolNotFound:
            inspector = None
        if inspector is not None and inspector.pool_id == handle.pool_id:
            return inspector
    found = _by_id(handle.pool_id, handle.process)
    if found is not None:
        return found
    if handle.name is None:
        raise PoolNotFound(why_not_found(handle.process))
    raise PoolNotFound(f"the pool {handle.name!r} that the handle names is gone")


def _by_id(pool_id: str, process: int) -> Inspector | None:
    """Look at the pool with that id; None if no process has it. The given process is asked first."""
    for owner, number in find_descriptor(pool_id, process):
        inspector = look_through(owner, number, pool_id)
        if inspector is not None and inspector.exists():
            return inspector
    for name in _names():
        try:
            inspector = look_at(name)
        except BlockPoolError:  # gone, or not one of this user and release
            continue
        if inspector.pool_id == pool_id:
            return inspector
    seen = set()
    for file, owner, number in nameless_files():  # one that lost its name
        if file in seen:
            continue
        seen.add(file)
        try:
            inspector = look_through(owner, number, pool_id)
        except BlockPoolError:  # another pool, which is damaged or of another release
            continue
        if inspector is not None and inspector.exists():
            return inspector
    return None


def _names() -> list[str]:
    """Return the names of all files in the directory of shared memory that pools can have."""
    return [match[1] for match in map(_FILE.fullmatch, sorted(_entries(_SHM))) if match]


def nameless_files() -> Iterator[tuple[tuple[int, int], int, int]]:
    """Yield (file, process, descriptor) for memory that may be a pool without a name, wherever it is open."""
    own = os.geteuid()
    for process in _entries("/proc"):
        folder = f"/proc/{process}/fd"
        try:
            if not process.isdecimal() or os.stat(folder).st_uid != own:
                continue
        except OSError:
            continue  # it is gone
        for number in _entries(folder):
            link = f"{folder}/{number}"
            try:
                if _NAMELESS.fullmatch(os.readlink(link)):
                    file = os.stat(link)
                    yield (file.st_dev, file.st_ino), int(process), int(number)
            except OSError:
                continue  # it is closed


def _entries(folder: str) -> list[str]:
    """Return what is in the folder; nothing if it is gone, or this process may not look into it."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return []
