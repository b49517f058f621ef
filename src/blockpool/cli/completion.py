"""`blockpool completion`: what makes a shell complete commands, options and pools."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from blockpool.cli.output import write

__all__ = ["completion"]

_SHELLS = ("bash", "zsh", "fish")
# Not a docstring, because Click needs the character after the first paragraph, which keeps the lines as they are.
_HELP = """Print what makes a shell complete commands, options and pools.

\b
bash:  eval "$(blockpool completion bash)"            in ~/.bashrc
zsh:   eval "$(blockpool completion zsh)"             in ~/.zshrc
fish:  blockpool completion fish | source             in ~/.config/fish/config.fish
"""


@click.command(help=_HELP)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script of a shell."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - Click knows these shells
    write(kind(context.find_root().command, {}, "blockpool", "_BLOCKPOOL_COMPLETE").source() + "\n")
