"""`blockpool doctor`: what is wrong with pools, and what to do about it."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

import click

from blockpool.cli.options import SECONDS
from blockpool.cli.output import open_console, write
from blockpool.cli.pools import complete_pool, look
from blockpool.doctor import diagnose, diagnose_all, healthy
from blockpool.errors import PoolCorrupt, PoolVersion
from blockpool.report.doctor import doctor_json, doctor_lines

if TYPE_CHECKING:
    from blockpool.doctor.findings import Finding

__all__ = ["doctor"]


@click.command()
@click.argument("pool", metavar="[POOL]", required=False, shell_complete=complete_pool)
@click.option(
    "--old",
    type=SECONDS,
    metavar="SECONDS",
    default=60,
    show_default=True,
    help="Tickets and messages are old after so long; 10min and 2h are understood too.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
@click.pass_context
def doctor(context: click.Context, pool: str | None, *, old: float, as_json: bool) -> None:
    """Say what is wrong with a pool, and what to do about it.

    POOL is a name, an id or the start of one (4 digits or more), or a handle or ticket of one of its blocks. Without
    it, all pools of this user are examined, and what the machine has for them: /dev/shm, memory, control groups,
    limits. It looks twice, a fifth of a second apart, and disturbs nobody.

    The exit status is 0 if nothing is wrong, and 1 if there is a warning or an error.
    """
    if isnan(old):
        raise click.UsageError("--old=nan is not a number of seconds")
    findings = diagnose_all(old=old) if pool is None else _diagnose(pool, old)
    if as_json:
        write(doctor_json(findings, pool) + "\n")
    else:
        console = open_console()
        with console.capture() as captured:
            for line, style in doctor_lines(findings):
                console.print(line, style=style, soft_wrap=True)
        write(captured.get())
    if not healthy(findings):
        context.exit(1)


def _diagnose(pool: str, old: float) -> list[Finding]:
    """Examine the pool that the user means."""
    try:
        with look(pool) as inspector:
            return diagnose(inspector, old=old)
    except (PoolCorrupt, PoolVersion):
        return diagnose(pool, old=old)  # which says so
