"""`blockpool top`: pools, live, in a terminal."""

from __future__ import annotations

import shlex

import click

from blockpool._extras import install_command
from blockpool.cli.pools import complete_pool, look
from blockpool.report.text import printable

__all__ = ["TopFailed", "top"]


class TopFailed(click.ClickException):
    """There is no terminal."""

    exit_code = 1


@click.command()
@click.argument("pool", metavar="[POOL]", required=False, shell_complete=complete_pool)
def top(pool: str | None) -> int:
    """Watch pools live, in the terminal: how full they are, who holds what, what waits.

    Without POOL, all pools of this user are listed, and Enter opens one. POOL is a name, an id or the start of one (4
    digits or more), or a handle or ticket of one of its blocks. All keys are shown at the bottom; q quits. It takes no
    part in the pool and holds nobody up.

    It needs a terminal of 60 × 15 or more; elsewhere use `blockpool watch`. The exit status is 0, 1 if there is no
    terminal, 130 after Ctrl-C, and 128 and its number after another signal.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks.
    """
    try:
        from blockpool.top.app import Top
        from blockpool.top.terminal import Terminal, why_not
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "textual":
            raise
        install = install_command("cli")
        raise click.UsageError(f"blockpool top needs textual; install what it needs with: {install}") from error
    reason = why_not()
    if reason is not None:
        also = f" {shlex.quote(pool)}" if pool else " POOL"
        raise TopFailed(printable(f"{reason}; for a line every second, use: blockpool watch{also}"))
    inspector = None if pool is None else look(pool)
    app = Top(inspector, driver_class=Terminal)
    app.run()
    return app.return_code or 0
