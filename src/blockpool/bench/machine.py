"""What the benchmarks run on, and whether it has room for them."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blockpool._room import shortage
from blockpool.bench.results import Machine
from blockpool.errors import PoolExhausted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blockpool.bench.questions import Case

__all__ = ["describe", "require_room"]

_SHARED = "/dev/shm"  # noqa: S108 - where shared memory is
_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


def describe() -> Machine:
    """Return what this machine is."""
    return Machine(
        processor=_line("/proc/cpuinfo", "model name") or platform.machine(),
        cores=os.cpu_count() or 1,
        usable=len(os.sched_getaffinity(0)),
        memory=_kib("/proc/meminfo", "MemTotal"),
        shared=_free_shared(),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.release()}",
        libc=" ".join(platform.libc_ver()),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        huge_pages=_chosen(_PAGES / "enabled"),
        huge_shared_pages=_chosen(_PAGES / "shmem_enabled"),
    )


def require_room(cases: Iterable[tuple[str, Case]]) -> None:
    """Refuse to begin what would end in the middle for lack of memory.

    Raises
    ------
    PoolExhausted
        If one of the cases needs more shared memory, or more memory, than there is.
    """
    kept = list(cases)
    _require(kept, [case.shared for _, case in kept], _SHARED, _free_shared())
    _require(kept, [case.memory + case.shared for _, case in kept], "", _kib("/proc/meminfo", "MemAvailable"))


def _require(cases: Sequence[tuple[str, Case]], needs: Sequence[int], limit: str, room: int) -> None:
    most = max(needs, default=0)
    if most > room:
        name, case = cases[needs.index(most)]
        has, remedy = shortage(limit, room)
        if limit:
            remedy = "make /dev/shm larger (docker run --shm-size)"
        raise PoolExhausted(
            f"{name}, {case.label} needs some {most} bytes of {'shared ' * bool(limit)}memory, and {has}; {remedy}, "
            f"name fewer questions, or give --quick"
        )


def _free_shared() -> int:
    try:
        found = os.statvfs(_SHARED)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _line(path: str, name: str) -> str:
    with suppress(OSError):
        for line in Path(path).read_text("utf-8").splitlines():
            if line.startswith(name):
                return line.partition(":")[2].strip()
    return ""


def _kib(path: str, name: str) -> int:
    words = _line(path, name).split()
    return int(words[0]) * 1024 if words else 0


def _chosen(path: Path) -> str:
    """Return the setting that is in brackets."""
    with suppress(OSError):
        return path.read_text("utf-8").partition("[")[2].partition("]")[0]
    return "unknown"
