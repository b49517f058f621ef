"""The exit statuses of the commands: which error gives which."""

from __future__ import annotations

import click

from blockpool.errors import PoolBusy, PoolCorrupt, PoolNotFound, PoolVersion

__all__ = ["EXITS", "Failed", "Lacking", "Quiet", "status_of"]

WRONG = 1

# The first class that fits.
_STATUS = (
    (PoolNotFound, 3),
    ((PoolCorrupt, PoolVersion), 4),
    (PermissionError, 5),  # PoolForbidden is one
    (PoolBusy, 6),
)

EXITS = """\
\b
Exit status:
    0  all is well
    1  something is wrong: a fault was found, or the command could not do it
    2  the command line is wrong
    3  there is no such pool
    4  the pool is damaged, or of another version of blockpool
    5  not permitted: it is another user's
    6  busy: another process, perhaps a stopped one, is in the way
  130  interrupted
  141  the reader of the output closed the pipe
"""


class Failed(click.ClickException):
    """The command was not carried out: the answer was no, or it cannot be done."""

    exit_code = WRONG


class Lacking(click.ClickException):
    """A module is not installed."""

    exit_code = click.UsageError.exit_code


class Quiet(click.exceptions.Exit):
    """The end of a command that says nothing about it."""

    INTERRUPTED = 130  # as a shell says of a process that SIGINT ended
    PIPE = 141  # the same for SIGPIPE


def status_of(error: BaseException) -> int:
    """Return the exit status that goes with an error."""
    for kinds, status in _STATUS:
        if isinstance(error, kinds):
            return status
    return WRONG
