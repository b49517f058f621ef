"""Formatting of values in reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["count", "in_bytes", "printable", "shown_pid", "table"]

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def in_bytes(nbytes: int) -> str:
    """Format a size with a suitable unit.

    >>> in_bytes(24), in_bytes(65536), in_bytes(100_000_000)
    ('24 B', '64 KiB', '95.4 MiB')
    """
    power = min(max(nbytes.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    value = nbytes / (1 << 10 * power)
    return f"{value:.{0 if value.is_integer() else 1}f} {_UNITS[power]}"


def count(number: int, thing: str, things: str | None = None) -> str:
    """Format a number of things; `things` is the plural if it is not formed with an s.

    >>> count(1, "file"), count(2000, "file"), count(2, "process", "processes")
    ('1 file', '2,000 files', '2 processes')
    """
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def shown_pid(pid: int | None) -> str:
    """Return the id of a process as a person reads it.

    >>> shown_pid(12), shown_pid(None)
    ('12', 'attaching')
    """
    return "attaching" if pid is None else str(pid)


def printable(path: str) -> str:
    r"""Escape a path, or a sentence with one, so that every terminal can show it.

    >>> printable("a b\n\udcff")
    'a b\\n\\xff'
    """
    try:
        encoded = path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # it never was a path
        encoded = path.encode("utf-8", "backslashreplace")
    text = encoded.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def table(*headings: str) -> Table:
    """Return a table without rows; a heading that begins with ``>`` is for numbers, aligned to the right."""
    from rich import box  # not before it is needed: it takes long
    from rich.table import Table

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        grid.add_column(heading[1:] if right else heading, justify="right" if right else "left")
    return grid
