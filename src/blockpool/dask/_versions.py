"""Whether the installed dask and distributed can carry memory of a pool; an ImportError that says what was found."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from blockpool._extras import install_command

OLDEST = (2025, 1)


def _found(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def _remedy() -> str:
    return f"install what it needs with: {install_command('dask')}"


def require() -> None:
    """Raise an ImportError if a library is missing or too old."""
    for library in ("dask", "distributed"):
        found = _found(library)
        if found is None:
            raise ImportError(f"blockpool.dask needs {library}, which is not installed; {_remedy()}")
        numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise ImportError(f"blockpool.dask needs {library} {oldest} or later, and {found} was found; {_remedy()}")


require()
