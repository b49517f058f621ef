"""Which allocators this machine has besides the C library's malloc: libraries that LD_PRELOAD puts in its place."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PACKAGES", "allocators"]

# What a library is called; of several, the one of the highest version is taken.
_NAMES = MappingProxyType(
    {
        "jemalloc": re.compile(r"libjemalloc\.so(?:\.[0-9.]+)?"),
        "mimalloc": re.compile(r"libmimalloc\.so(?:\.[0-9.]+)?"),
    }
)
# What has them on Debian and Ubuntu.
PACKAGES: Mapping[str, str] = MappingProxyType({"jemalloc": "libjemalloc2", "mimalloc": "libmimalloc2.0"})


def allocators() -> dict[str, str | None]:
    """Return the allocators that `measure` can compare a pool with.

    Returns
    -------
    dict of str to str or None
        "malloc", the C library's, with None; and those of "jemalloc" and "mimalloc" that are installed, each with the
        path of its library. Looked for in ``LD_LIBRARY_PATH`` and in the usual folders.

    Examples
    --------
    >>> from blockpool.replay import allocators
    >>> "malloc" in allocators()
    True
    """
    found: dict[str, str | None] = {"malloc": None}
    for name, pattern in _NAMES.items():
        for folder in _folders():
            files = [file for file in _files(folder) if pattern.fullmatch(file.name)]
            if files:
                found[name] = str(max(files, key=lambda file: _version(file.name)))
                break
    return found


def _folders() -> Iterator[Path]:
    """Return where libraries are, in the order of the loader."""
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if folder:
            yield Path(folder)
    multiarch = f"{platform.machine()}-linux-gnu"
    for top in ("/usr/local/lib", "/usr/lib", "/lib"):
        yield Path(top, multiarch)
        yield Path(top + "64")
        yield Path(top)


def _files(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"[0-9]+", name))
