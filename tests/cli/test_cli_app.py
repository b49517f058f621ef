"""The group of all commands: what is imported when, help, versions and completion."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

import click

import blockpool as bp
from blockpool.cli.app import COMMANDS, Entry, app
from blockpool.cli.exits import EXITS
from programs import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

HEAVY = {"textual", "starlette", "uvicorn", "matplotlib", "numpy", "multiprocessing", "asyncio", "jsonschema"}


@pytest.mark.parametrize("arguments", [["ls"], ["--help"], ["--version"], ["info", "POOL"], ["completion", "bash"]])
def test_a_command_imports_what_it_needs(run_python: Command, shared: Any, arguments: list[str]) -> None:
    """A command imports nothing of other commands: no demo, and no library that is for others."""
    words = [shared.name if word == "POOL" else word for word in arguments]
    out = run_python(f"""
        import sys
        from blockpool.cli import main
        assert main({words!r}) == 0
        print()
        print(*sys.modules)
    """)
    modules = set(out.splitlines()[-1].split())
    assert not {name.partition(".")[0] for name in modules} & HEAVY
    assert not {name for name in modules if name.startswith(("blockpool.cli.demo", "blockpool.cli.comparison"))}
    others = {f"blockpool.cli.{name}" for name in ("watch", "runs", "queues", "processes", "remedies")}
    assert not modules & others
    if arguments == ["--help"]:
        assert "rich" not in modules


def test_every_command_says_the_same_in_the_list_and_in_its_help() -> None:
    """Each entry leads to a command of its name, whose help begins with the entry's line, as far as that goes."""
    context = click.Context(app)
    for name, entry in COMMANDS.items():
        command = app.get_command(context, name)
        assert command is not None
        assert command.name == name
        first = " ".join((command.help or "").split("\n\n")[0].split())
        assert first.rstrip(".").startswith(entry.help.rstrip(".")), name


def test_help_has_the_exit_statuses(cli: Command) -> None:
    """The help lists all commands and the exit statuses."""
    status, out, err = cli("--help")
    assert (status, err) == (0, "")
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert all(line.strip() in out for line in EXITS.splitlines()[1:])
    assert cli() == (0, out, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli: Command, name: str) -> None:
    """Each command explains itself with --help and -h, and takes --json if it prints something of pools."""
    status, out, err = cli(name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: blockpool {name}")
    assert cli(name, "-h") == (0, out, "")
    assert ("--json" in out) == (name not in {"completion", "top", "serve"})


def test_version(cli: Command) -> None:
    """--version tells the version."""
    assert cli("--version") == (0, f"blockpool, version {bp.__version__}\n", "")


def test_unknown_commands(cli: Command) -> None:
    """An unknown command is a wrong command line."""
    status, out, err = cli("nope")
    assert (status, out) == (2, "")
    assert "No such command 'nope'" in err


def test_a_command_that_needs_more(cli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a command needs a library that is missing, one line says what to install, with status 2."""
    monkeypatch.setitem(COMMANDS, "rich-thing", Entry("blockpool.cli.ls:ls", "-"))
    monkeypatch.setitem(sys.modules, "blockpool.cli.ls", None)
    monkeypatch.delitem(sys.modules, "blockpool.cli.ls")

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name="rich")

    monkeypatch.setattr("blockpool.cli.app.import_module", missing)
    status, out, err = cli("rich-thing")
    assert (status, out) == (2, "")
    assert "the command line needs rich; install what it needs with: " in err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: Command, shell: str) -> None:
    """For each shell there is a script that calls blockpool to complete."""
    status, out, err = cli("completion", shell)
    assert (status, err) == (0, "")
    assert f"_BLOCKPOOL_COMPLETE={shell}_complete" in out


def test_where_completion_goes(cli: Command) -> None:
    """The help has a line for each shell, as it is to be copied."""
    lines = [" ".join(line.split()) for line in cli("completion", "--help").out.splitlines()]
    assert 'bash: eval "$(blockpool completion bash)" in ~/.bashrc' in lines
    assert "fish: blockpool completion fish | source in ~/.config/fish/config.fish" in lines


def test_completion_of_other_shells(cli: Command) -> None:
    """A shell that is not known is refused with those that are."""
    status, _, err = cli("completion", "tcsh")
    assert status == 2
    assert "'bash', 'zsh', 'fish'" in err


def completions(*words: str) -> list[str]:
    """Return what Click answers bash for the last word."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from blockpool.cli import main; sys.exit(main())"],
        env=environment()
        | {
            "_BLOCKPOOL_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["blockpool", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_complete() -> None:
    """The start of a command completes, and so do options."""
    assert completions("in") == ["info"]
    assert completions("") == list(COMMANDS)
    assert completions("recov") == ["recover"]
    assert "--tickets-older-than" in completions("recover", "--t")


def test_pools_complete(shared: Any) -> None:
    """The name of a pool completes, and the id of one without a name."""
    pool = bp.Pool.create(64, 4)
    pool_id = bp.inspect(pool).pool_id
    assert completions("info", shared.name[:-1])
    assert shared.name in completions("info", shared.name[:-1])
    for command in ("runs", "doctor", "export", "top"):
        assert pool_id in completions(command, pool_id[:5])
    assert shared.name not in completions("info", "no-such")
