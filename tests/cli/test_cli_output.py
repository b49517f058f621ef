"""What reaches pipes and terminals: plain text, nothing cut off, any width, no colours; and pipes that break."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from programs import environment, interpreter, run_command

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]

COMMANDS = (
    "ls", "info POOL", "info POOL --full", "map POOL", "runs POOL", "runs POOL --stacks", "processes POOL",
    "queues POOL", "watch POOL --count=2 --interval=0.05",
)  # fmt: skip
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def arguments(command: str, pool: str) -> list[str]:
    """Return the words of a command about that pool."""
    return [pool if word == "POOL" else word for word in command.split()]


@pytest.mark.parametrize("command_line", COMMANDS)
def test_a_pipe_gets_plain_text(command: Command, busy: Any, command_line: str) -> None:
    """In a pipe there is no control character but the newline, no line ends with a space, and stderr is empty."""
    done = subprocess.run(
        command(*arguments(command_line, busy.name)),
        env=environment() | {"TERM": "xterm-256color", "PYTHONUTF8": "1"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode()
    assert text.endswith("\n")
    assert not [letter for letter in text if letter != "\n" and not letter.isprintable()]
    assert not [line for line in text.splitlines() if line.endswith(" ")]
    assert busy.name in text or command_line.split(maxsplit=1)[0] in {"map", "watch", "runs", "queues"}


def test_a_pipe_gets_whole_lines(command: Command, busy: Any) -> None:
    """In a pipe nothing is folded or cut off at 80 columns."""
    done = subprocess.run(command("processes", busy.name), capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 + 3
    assert max(map(len, lines)) > 100
    assert lines[-1].endswith(r"evil\x1b[31m\x07\n[bold]\x9b<b>") or lines[-2].endswith(r"[bold]\x9b<b>")


@pytest.mark.parametrize("command_line", COMMANDS)
@pytest.mark.parametrize("width", [20, 80])
def test_terminals_of_any_width(in_terminal: Command, busy: Any, command_line: str, width: int) -> None:
    """In a terminal no line is wider than it, and what came from processes has no control characters."""
    lines = ESCAPES.sub("", in_terminal(width, *arguments(command_line, busy.name))).splitlines()
    assert max(map(len, lines)) <= width
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("command_line", COMMANDS)
def test_a_terminal_without_escapes(in_terminal: Command, busy: Any, command_line: str) -> None:
    """A terminal that knows no escape sequences gets none, and its width is kept."""
    shown = in_terminal(50, *arguments(command_line, busy.name), TERM="dumb")
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 50


@pytest.mark.parametrize("command_line", COMMANDS)
def test_an_encoding_of_few_letters(command: Command, busy: Any, command_line: str) -> None:
    """Where the output can have ASCII alone, other characters are replaced or escaped, and nothing fails."""
    done = subprocess.run(
        command(*arguments(command_line, busy.name)),
        env=environment() | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    "command_line", ["ls", "info POOL", "map POOL", "runs POOL --all --json", "doctor POOL", "--help"]
)
def test_the_reader_is_gone(command: Command, busy: Any, command_line: str) -> None:
    """If nobody reads the pipe, the status is 141, and nothing is said."""
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(
        command(*arguments(command_line, busy.name)), stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(theirs)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


def test_the_reader_leaves_before_the_end() -> None:
    """If nobody reads what is left to write at the end, the status is 141 too, and nothing is said."""
    pytest.importorskip("click")
    program = """
        import sys
        from blockpool import cli
        cli._run = lambda arguments: print("still in the buffer") or 0
        sys.exit(cli.main([]))
    """
    ours, theirs = os.pipe()
    os.close(ours)
    with subprocess.Popen(interpreter(program), stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.parametrize("width", [10, 20, 30, 60, 90, 1000])
def test_listings_lose_nothing(width: int) -> None:
    """At any width all of every cell is shown: in a table if it fits, and otherwise in lines with their headings."""
    pytest.importorskip("rich")
    from rich.console import Console

    from blockpool.report.listing import Facts, Listing

    cells = [("1,234", "a long sentence with many words", "state", "x" * 70), ("5", "-", "other", "y")]
    console = Console(width=width)
    with console.capture() as captured:
        console.print(Listing((">number", "~text", "state", "~more"), cells))
        console.print(Facts([("heading", "z" * 50)]))
    shown = captured.get()
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("x") - shown.count("text") == 70
    assert shown.count("z") == 50
    words = set(shown.replace(":", " ").split())
    assert {"1,234", "5", "state", "other", "long", "sentence", "words", "number", "heading"} <= words
    assert ("─" in shown) == (width > 50)


def test_a_full_disk(command: Command, busy: Any) -> None:
    """If the output cannot be written, the status is 1, and one line says why."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("info", busy.name), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "blockpool: [Errno 28] No space left on device\n"


def test_without_stdout(command: Command, busy: Any) -> None:
    """A process without stdout and stderr ends with the status of the command, and does no harm to other files."""
    for name, status in ((busy.name, 0), (busy.name + "x", 3)):
        words = command("info", name)
        done = subprocess.run(["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words], timeout=60, check=False)
        assert done.returncode == status


def test_interrupted_while_it_starts(command: Command, busy: Any) -> None:
    """Ctrl-C while modules are imported gives the status 130, and no traceback."""
    program = """
        import os, signal, sys
        class Interrupting:
            def find_spec(self, name, *_):
                if name == "blockpool.observe":
                    os.kill(os.getpid(), signal.SIGINT)
        sys.meta_path.insert(0, Interrupting())
        from blockpool.cli import main
        sys.exit(main(["info", sys.argv[1]]))
    """
    assert command
    _, done = run_command(interpreter(program, busy.name))
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.strip() == "blockpool: interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
