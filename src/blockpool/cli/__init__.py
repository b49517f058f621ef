"""The command line of blockpool: `main` runs a command, prints what went wrong, and returns the exit status."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

# What the commands need: the extra `cli`.
_NEEDS = ("click>=8.1", "rich>=13")

_USAGE = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name (default: the process's own); return the exit status.

    0 means success. An exception carries its own exit status; this is the only place that prints one.
    """
    try:
        import click

        from blockpool.cli.app import app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"click", "rich"}:
            raise
        return _complain(
            f"the command line needs {missing}; install what it needs with: "
            + shlex.join([sys.executable, "-m", "pip", "install", *_NEEDS]),
            _USAGE,
        )
    try:
        status = app.main(arguments, prog_name="blockpool", standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message(), error.exit_code)
    except click.Abort:
        return _complain("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


def _complain(sentence: str, status: int) -> int:
    print(f"blockpool: {sentence}", file=sys.stderr)
    return status
