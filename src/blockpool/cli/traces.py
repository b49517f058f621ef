"""Errors of commands about traces that are no faults of this program, in one line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from blockpool._extras import install_command
from blockpool.cli.exits import Lacking
from blockpool.errors import BlockPoolError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["explaining"]

# What the extra `advise` brings.
_MODULES = {"numpy", "pyarrow", "memray", "matplotlib"}


@contextmanager
def explaining(command: str) -> Iterator[None]:
    """Give errors that are no faults of this program one line."""
    try:
        yield
    except BlockPoolError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except MemoryError:
        raise click.ClickException("there is not enough memory for this trace; choose a part of it") from None
    except ImportError as error:
        if install_command("advise") in str(error):
            raise Lacking(str(error)) from None
        missing = (error.name or "").partition(".")[0]
        if missing not in _MODULES:
            raise
        install = install_command("advise")
        raise Lacking(f"{command} needs {missing}; install what it needs with: {install}") from None
