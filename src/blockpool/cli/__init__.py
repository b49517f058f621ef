"""The command line of blockpool: `main` runs a command, prints what went wrong, and returns the exit status."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from blockpool._extras import install_command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# What commands need besides the package itself; the extra `cli` brings them.
_MODULES = {"click", "rich"}

_WRONG = 1
_USAGE = 2
_INTERRUPTED = 130
_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name (default: the process's own); return the exit status.

    0 means success. An exception carries its own exit status; this is the only place that prints one.
    """
    if sys.stdout is None:  # it was closed before this process began
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for as long as the process lives
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = _complain("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        _forget_output()
        status = _PIPE
    except OSError as error:
        _forget_output()
        status = _complain(str(error), _WRONG)
    else:
        if status == _PIPE:
            _forget_output()
    return status


def _run(arguments: Sequence[str] | None) -> int:
    try:
        import click

        from blockpool.cli.app import app
        from blockpool.cli.exits import status_of
        from blockpool.errors import BlockPoolError
    except ModuleNotFoundError as error:
        return _lack(error)
    try:
        status = app.main(arguments, prog_name="blockpool", standalone_mode=False)
    except ModuleNotFoundError as error:
        return _lack(error)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except click.Abort:
        return _complain("interrupted", _INTERRUPTED)
    except BrokenPipeError:
        raise
    except (BlockPoolError, OSError) as error:
        return _complain(str(error), status_of(error))
    return status if isinstance(status, int) else 0


def _lack(error: ModuleNotFoundError) -> int:
    """Say what to install."""
    missing = (error.name or "").partition(".")[0]
    if missing not in _MODULES:
        raise error
    needed = install_command("cli")
    return _complain(f"the command line needs {missing}; install what it needs with: {needed}", _USAGE)


def _complain(sentence: str, status: int) -> int:
    """Print what went wrong; what came from a pool or from a command line may hold control characters."""
    from blockpool.report.text import printable

    if sys.stderr is not None:
        with suppress(OSError):
            text = f"blockpool: {'; '.join(map(printable, sentence.splitlines()))}"
            print(text.encode(sys.stderr.encoding, "backslashreplace").decode(sys.stderr.encoding), file=sys.stderr)
    return status


def _forget_output() -> None:
    """Drop what cannot be written, which Python would try again, and complain of, when the process ends."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
