"""The group of all commands."""

from __future__ import annotations

import click

from blockpool import __version__
from blockpool.cli.demo import demo

__all__ = ["app"]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="blockpool")
@click.pass_context
def app(context: click.Context) -> None:
    """Try out blockpool, a memory allocator for Python."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


app.add_command(demo)
