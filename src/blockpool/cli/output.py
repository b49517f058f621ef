"""Where the output of a command goes: a terminal of any width, with colours or without, or a pipe.

A pipe gets plain text in lines of any length: no escape sequences, and nothing is cut off.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockpool.report.text import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["colourful", "new_file", "open_console", "show", "show_json", "write", "write_file"]

_ENDLESS = 1 << 16


def open_console(width: int | None = None) -> Console:
    """Return a console on stdout, of that width or as wide as the terminal; a pipe has no end."""
    from rich.console import Console  # not before it is needed: it takes long

    size = shutil.get_terminal_size()
    if width is None:
        width = size.columns if sys.stdout.isatty() else _ENDLESS
    return Console(
        file=sys.stdout,
        width=width,
        height=size.lines,  # without it, Rich takes a terminal that knows no escape sequences for one of 80 columns
        highlight=False,
        markup=False,
        emoji=False,
    )


def colourful(console: Console) -> bool:
    """Return whether the console shows colours."""
    return console.color_system is not None and not console.no_color


def show(what: RenderableType, console: Console | None = None) -> None:
    """Print something at once, without spaces at the ends of lines."""
    console = console or open_console()
    with console.capture() as captured:
        console.print(what)
    write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))


def show_json(value: Any, *, indent: int | None = 2) -> None:
    """Print one of the dataclasses of `report.documents` as a JSON document."""
    from blockpool.report.documents import fields_of
    from blockpool.report.json import document

    kind, fields = fields_of(value)
    write(document(kind, fields, indent=indent) + "\n")


def write(text: str) -> None:
    """Write text to stdout at once; what its encoding has not is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def write_file(path: str, content: bytes, *, force: bool) -> None:
    """Write a file, or to stdout if its name is -; one that exists is replaced only if `force` says so."""
    if path == "-":
        click.echo(content, nl=False)
        return
    try:
        with Path(path).open("wb" if force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise _exists(path) from None


def new_file(path: str, *, force: bool) -> None:
    """Refuse a name that `write_file` would refuse later, when much work would be lost."""
    at = Path(path)
    if at.is_dir() or not at.parent.is_dir():
        raise click.UsageError(f"{printable(path)} is a folder, or its folder does not exist; name another file")
    if at.exists() and not force:
        raise _exists(path)


def _exists(path: str) -> click.ClickException:
    return click.ClickException(f"{printable(path)} exists already; name another file, or give --force to replace it")
