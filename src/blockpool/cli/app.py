"""The group of all commands; each is imported when it is run, and only then."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import click
from click.shell_completion import CompletionItem

from blockpool.cli.exits import EXITS, Quiet

if TYPE_CHECKING:
    from typing import Any

__all__ = ["COMMANDS", "Entry", "app"]


class Entry(NamedTuple):
    """Where a command is ("module:object"), and its line in the list of commands."""

    where: str
    help: str


COMMANDS = {
    "ls": Entry("blockpool.cli.ls:ls", "List all pools of this user."),
    "info": Entry("blockpool.cli.info:info", "Show a pool: its size, how full it is, and who holds it."),
    "map": Entry("blockpool.cli.pool_map:map_", "Draw which blocks are allocated, and by whom."),
    "runs": Entry("blockpool.cli.runs:runs", "List the oldest or largest runs, and who holds them."),
    "processes": Entry("blockpool.cli.processes:processes", "List the processes that have a pool attached."),
    "queues": Entry("blockpool.cli.queues:queues", "List the queues, topics and latest values of a pool."),
    "watch": Entry("blockpool.cli.watch:watch", "Print a line every second about a pool."),
    "top": Entry("blockpool.cli.top:top", "Watch pools live, in the terminal."),
    "serve": Entry(
        "blockpool.cli.serve:serve", "Show pools in a web browser, live, with metrics for Prometheus at /metrics."
    ),
    "doctor": Entry("blockpool.cli.doctor:doctor", "Say what is wrong with a pool, and what to do about it."),
    "export": Entry(
        "blockpool.cli.export:export", "Write a page about pools: the picture, the numbers, who holds what."
    ),
    "record": Entry("blockpool.cli.record:record", "Record what all processes of a pool allocate and free."),
    "advise": Entry("blockpool.cli.advise:advise", "Say which pool a program should use, if any, from a trace of it."),
    "replay": Entry(
        "blockpool.cli.replay:replay", "Run a trace of a program in a pool and in malloc, and compare them."
    ),
    "recover": Entry("blockpool.cli.remedies:recover", "Bring back what dead processes hold."),
    "sweep": Entry("blockpool.cli.remedies:sweep", "Remove pools that killed programs left behind."),
    "unlink": Entry("blockpool.cli.remedies:unlink", "Remove the name of a pool."),
    "bench": Entry("blockpool.cli.bench:bench", "Measure pools beside what a program would use instead."),
    "demo": Entry("blockpool.cli.demo:demo", "Hand megabytes to other processes, and compare three ways to do it."),
    "completion": Entry(
        "blockpool.cli.completion:completion", "Print what makes a shell complete commands, options and pools."
    ),
}


class _Lazy(click.Group):
    """A group that imports a command when it is asked for, and lists all of them without that."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of help."""
        return [*COMMANDS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None if there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = entry.where.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command."""
        found = [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Read the command line, and print help if it says so; see `invoke`."""
        try:
            return super().make_context(*arguments, **options)
        except BrokenPipeError:
            raise Quiet(Quiet.PIPE) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Click would end with status 1 when the reader of a pipe is gone."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise Quiet(Quiet.PIPE) from None


@click.group(
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EXITS,
)
@click.option("--version", is_flag=True, is_eager=True, help="Show the version and exit.")
@click.pass_context
def app(context: click.Context, *, version: bool) -> None:
    """See into the pools of blockpool, a memory allocator for Python, and tidy up.

    Commands about pools only look, but for recover, sweep, unlink and record: they take no part in a pool and hold
    nobody up.
    """
    if version:
        from blockpool import __version__  # reading it takes long

        click.echo(f"blockpool, version {__version__}")
        context.exit()
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
