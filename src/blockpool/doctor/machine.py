"""What the machine says that concerns pools: memory, ``/dev/shm``, control groups, limits, and the state of processes.

All of it is read from files of the kernel. What cannot be read is None, or left out.
"""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SHM", "ControlGroup", "Machine", "SharedMemory", "descriptors", "look_at_machine", "state_of"]

SHM = Path("/dev/shm")  # noqa: S108 - where pools are
_PROC = Path("/proc")

# Above this a limit of version 1 of control groups means that there is none: 2**63 less a page.
_UNLIMITED = 1 << 62
# Fields of /proc/PID/stat after the name, up to the start time.
_STAT_FIELDS = 20
# Start times that are computed in different ways differ by no more than this many seconds.
_SAME_START = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemory:
    """The file system under ``/dev/shm``.

    Attributes
    ----------
    kind : str or None
        Its type; "tmpfs" is right.
    options : tuple of str
        How it is mounted.
    total, free : int
        Its size in bytes, and how many of them this user may still take.
    files_free : int or None
        How many more files it takes; None if there is no limit.
    """

    kind: str | None
    options: tuple[str, ...]
    total: int
    free: int
    files_free: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """A control group that this process is in and that limits memory.

    Attributes
    ----------
    path : str
        Its directory.
    limit, used : int
        Bytes that it may have, and bytes that it has without those of files that the kernel can drop.
    """

    path: str
    limit: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What concerns all pools of a machine.

    Attributes
    ----------
    shm : SharedMemory or None
        ``/dev/shm``.
    memory, available : int or None
        Bytes of memory, and how many of them programs can still get, with swap.
    groups : tuple of ControlGroup
        Those that limit the memory of this process, from the innermost outward.
    files, files_limit : int or None
        Descriptors that this process has, and how many it may have.
    address_space, address_space_limit : int or None
        Bytes of address space that this process has, and how many it may have.
    """

    shm: SharedMemory | None
    memory: int | None
    available: int | None
    groups: tuple[ControlGroup, ...]
    files: int | None
    files_limit: int | None
    address_space: int | None
    address_space_limit: int | None


def look_at_machine() -> Machine:
    """Read all of it."""
    meminfo = _numbers(_PROC / "meminfo")
    kibibytes = meminfo.get("MemAvailable")
    files = descriptors(os.getpid())
    pages = (_text(_PROC / "self/statm") or "0").split()[0]
    return Machine(
        shm=_shared_memory(),
        memory=meminfo["MemTotal"] << 10 if "MemTotal" in meminfo else None,
        available=None if kibibytes is None else kibibytes + meminfo.get("SwapFree", 0) << 10,
        groups=_groups(),
        files=None if files is None else files[0],
        files_limit=_limit(resource.RLIMIT_NOFILE),
        address_space=int(pages) * resource.getpagesize() or None,
        address_space_limit=_limit(resource.RLIMIT_AS),
    )


def state_of(process: int, started: float | None) -> str | None:
    """Return the letter of the state of a process, as in its ``/proc/PID/stat``; None if it is not there.

    With `started`, another process that has the same id, now or in another namespace, is not taken for it.
    """
    text = _text(_PROC / str(process) / "stat")
    if text is None or ")" not in text:
        return None
    fields = text.rpartition(")")[2].split()
    if len(fields) < _STAT_FIELDS:
        return None
    if started is not None:
        ticks = os.sysconf("SC_CLK_TCK")
        began = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[_STAT_FIELDS - 1]) / ticks
        if abs(began - started) > _SAME_START:
            return None
    return fields[0]


def descriptors(process: int) -> tuple[int, int] | None:
    """Return how many descriptors a process has, and how many it may have; None if that is not known."""
    try:
        used = sum(1 for _ in (_PROC / str(process) / "fd").iterdir())
    except OSError:
        return None
    found = re.search(r"^Max open files +(\d+)", _text(_PROC / str(process) / "limits") or "", re.MULTILINE)
    return (used, int(found[1])) if found else None


def _shared_memory() -> SharedMemory | None:
    try:
        status = os.statvfs(SHM)
    except OSError:
        return None
    kind: str | None = None
    options: tuple[str, ...] = ()
    for point, found, mounted in _mounts():
        if point == str(SHM):  # the last one covers the others
            kind, options = found, mounted
    return SharedMemory(
        kind=kind,
        options=options,
        total=status.f_blocks * status.f_frsize,
        free=status.f_bavail * status.f_frsize,
        files_free=status.f_favail if status.f_files else None,
    )


def _mounts() -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (where, type, options) of all mounts."""
    found = []
    for line in (_text(_PROC / "self/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) > 5 and len(rest) > 2:  # noqa: PLR2004 - proc_pid_mountinfo(5)
            found.append((fields[4], rest[0], tuple(dict.fromkeys((*fields[5].split(","), *rest[2].split(","))))))
    return found


def _groups() -> tuple[ControlGroup, ...]:
    """Return the control groups that limit the memory of this process, of both versions."""
    roots: dict[str, Path] = {}
    for point, kind, options in _mounts():
        if kind == "cgroup2":
            roots.setdefault("", Path(point))
        elif kind == "cgroup" and "memory" in options:
            roots.setdefault("memory", Path(point))
    found = []
    for line in (_text(_PROC / "self/cgroup") or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        key = "memory" if "memory" in controllers.split(",") else controllers
        if key in roots:
            found += _nested(roots[key], path)
    return tuple(found)


def _nested(root: Path, path: str) -> list[ControlGroup]:
    """Return the limits of the group and of all above it; in a container, the mount may be the group itself."""
    inner = root / path.lstrip("/")
    if root not in [inner, *inner.parents] or not inner.is_dir():
        inner = root
    levels = [inner, *inner.parents]
    found = (_group(level) for level in levels[: levels.index(root) + 1])
    return [group for group in found if group is not None]


def _group(folder: Path) -> ControlGroup | None:
    for limit_name, used_name, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _text(folder / limit_name), _text(folder / used_name)
        if limit is not None and used is not None and limit.strip().isdecimal() and int(limit) < _UNLIMITED:
            droppable = _numbers(folder / "memory.stat").get(cache, 0)
            return ControlGroup(path=str(folder), limit=int(limit), used=max(0, int(used) - droppable))
    return None


def _limit(which: int) -> int | None:
    soft, _ = resource.getrlimit(which)
    return None if soft == resource.RLIM_INFINITY else soft


def _numbers(path: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    found = {}
    for line in (_text(path) or "").splitlines():
        fields = line.replace(":", " ").split()
        if len(fields) > 1 and fields[1].isdecimal():
            found[fields[0]] = int(fields[1])
    return found


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return None
