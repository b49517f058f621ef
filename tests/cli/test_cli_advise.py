"""`blockpool advise`: what it asks for, what it writes and where, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import resources
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("rich")
pytest.importorskip("click")
pytest.importorskip("jsonschema")

import jsonschema

import advising
import blockpool.advice
import blockpool.traces
from blockpool._extras import install_command
from blockpool.errors import TraceInvalid
from markup import read_safely
from programs import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Command = Callable[..., Any]

SCHEMA = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))


class Asked(list):
    """What `advise` was called with; `answer` is what it returns, or raises."""

    answer: Any = None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    """Replace reading and advising, which have tests of their own, by what notes how it was called."""
    asked = Asked()
    asked.answer = advising.advice()

    def note(what: str, answer: Any) -> Callable[..., Any]:
        def call(*arguments: object, **options: object) -> Any:
            asked.append((what, arguments, options))
            given = answer()
            if isinstance(given, BaseException):
                raise given
            return given

        return call

    monkeypatch.setattr(blockpool.traces, "read", note("read", lambda: "the trace"), raising=False)
    monkeypatch.setattr(blockpool.traces, "select", note("select", lambda: "a part"), raising=False)
    monkeypatch.setattr(blockpool.traces, "write", note("write", lambda: None), raising=False)
    monkeypatch.setattr(blockpool.advice, "advise", note("advise", lambda: asked.answer), raising=False)
    (tmp_path / "trace").write_text("any")
    monkeypatch.chdir(tmp_path)
    return asked


def test_what_it_asks_for(cli: Command, asked: Asked) -> None:
    """The file is read, and the options become arguments of `advise`."""
    assert cli("advise", "trace").status == 0
    (_, read, _), (_, advised, options) = asked
    assert (read, advised) == (("trace",), ("the trace",))
    assert options == {"measure": True, "margin": 0.1, "stack": None, "sizes": None, "thread": None, "pools": 3}
    asked.clear()
    words = "--only decode --sizes 4KiB-1MiB --thread main --margin 0.25 --pools 1 --no-measure"
    assert cli("advise", "trace", *words.split()).status == 0
    assert asked[1][2] == {
        "measure": False, "margin": 0.25, "stack": "decode", "sizes": (4096, 1 << 20), "thread": "main", "pools": 1,
    }  # fmt: skip


@pytest.mark.parametrize(("given", "sizes"), [("4KiB-", (4096, None)), ("-1MB", (0, 10**6)), ("64-64", (64, 64))])
def test_sizes(cli: Command, asked: Asked, given: str, sizes: object) -> None:
    """A range may have one end."""
    assert cli("advise", "trace", f"--sizes={given}").status == 0
    assert asked[1][2]["sizes"] == sizes


def test_text(cli: Command, asked: Asked) -> None:
    """Without options it prints the advice, the verdict first, without escape sequences or spaces at ends of lines."""
    status, out, err = cli("advise", "trace")
    assert (status, err) == (0, "")
    assert out.startswith("Use pools.\n")
    assert "\x1b" not in out
    assert not [line for line in out.splitlines() if line.endswith(" ")]
    assert max(map(len, out.splitlines())) > 80
    asked.answer = advising.advice(use=False)
    status, out, _ = cli("advise", "trace", "--sites=0")
    assert status == 0
    assert out.startswith("Do not use a pool.\n")
    assert "Sites" not in out


def test_json(cli: Command, asked: Asked) -> None:
    """With --json it prints one document, which the schema describes."""
    assert asked == []
    status, out, err = cli("advise", "trace", "--json")
    assert (status, err) == (0, "")
    data = json.loads(out)
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert (data["schema"], data["kind"]) == (1, "advice")
    assert data["recommended"]["bytes"] == asked.answer.recommended.bytes


def test_files(cli: Command, asked: Asked, tmp_path: Path) -> None:
    """A page, plots and the trace are written beside the text, and their names are told on stderr."""
    pytest.importorskip("matplotlib")
    status, out, err = cli("advise", "trace", "--html=a.html", "--plot=a.svg", "--save=a.parquet", "--only=decode")
    assert status == 0
    assert out.startswith("Use pools.\n")
    assert err == "wrote a.html\nwrote a.svg\nwrote a.parquet\n"
    assert "Use pools." in read_safely((tmp_path / "a.html").read_text()).text
    assert "<svg" in (tmp_path / "a.svg").read_text()
    named = {what: arguments for what, arguments, _ in asked}
    assert named["write"] == ("a part", "a.parquet")
    assert next(options for what, _, options in asked if what == "select")["stack"] == "decode"


@pytest.mark.parametrize("option", ["--html", "--plot", "--save"])
def test_nothing_is_overwritten_unless_asked(cli: Command, asked: Asked, tmp_path: Path, option: str) -> None:
    """A file that exists is refused before any work is done, and replaced with --force."""
    pytest.importorskip("matplotlib")
    file = tmp_path / "a.svg"
    file.write_text("mine")
    status, out, err = cli("advise", "trace", f"{option}=a.svg")
    assert (status, out, asked) == (1, "", [])
    assert err == "blockpool: a.svg exists already; name another file, or give --force to replace it\n"
    assert file.read_text() == "mine"
    assert cli("advise", "trace", f"{option}=a.svg", "--force").status == 0


@pytest.mark.parametrize(
    "words",
    [
        "", "none", ".", "trace --sizes=4", "trace --sizes=-", "trace --sizes=9-4", "trace --sizes=x-",
        "trace --pools=0", "trace --pools=4", "trace --margin=-1", "trace --margin=nan", "trace --plot=a.gif",
        "trace --html=.", "trace --html=no/such.html", "trace --sites=21",
    ],
)  # fmt: skip
def test_wrong_command_lines(cli: Command, asked: Asked, words: str) -> None:
    """A file that is not there, or a wrong option, has status 2, one line that says so, and no work is done."""
    status, out, err = cli("advise", *words.split())
    assert (status, out, asked) == (2, "", [])
    assert err.startswith("blockpool: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (TraceInvalid("bad\x1b: byte 7 is no event"), 1, r"bad\x1b: byte 7 is no event"),
        (ValueError("no stack has 'decode'"), 2, "no stack has 'decode'"),
        (MemoryError(), 1, "not enough memory"),
        (PermissionError(13, "Permission denied", "trace"), 5, "Permission denied"),
        (ImportError(f"no memray; {install_command('advise')}"), 2, "no memray; "),
        (ModuleNotFoundError("No module named 'numpy.core'", name="numpy.core"), 2, "advise needs numpy; install"),
    ],
)
def test_errors_have_one_line(cli: Command, asked: Asked, error: BaseException, status: int, says: str) -> None:
    """An invalid trace, a part that is empty, too little memory or a missing module has one line and its status."""
    asked.answer = error
    found = cli("advise", "trace")
    assert (found.status, found.out) == (status, "")
    assert says in found.err
    assert found.err.startswith("blockpool: ")
    assert found.err.count("\n") == 1


def test_faults_of_this_program_are_not_hidden(cli: Command, asked: Asked) -> None:
    """A module of our own that cannot be imported is no matter of what is installed, and is raised."""
    asked.answer = ModuleNotFoundError("No module named 'blockpool.typo'", name="blockpool.typo")
    with pytest.raises(ModuleNotFoundError):
        cli("advise", "trace")


def test_missing_matplotlib_is_said_before_any_work(tmp_path: Path) -> None:
    """Without Matplotlib, --plot says what to install, at once."""
    (tmp_path / "trace").write_text("any")
    program = """
        import sys
        sys.modules["matplotlib"] = None
        from blockpool.cli import main
        sys.exit(main(["advise", "trace", "--plot=a.png"]))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in program.splitlines())],
        env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "advise needs matplotlib; install what it needs with: " in done.stderr
    assert done.stderr.rstrip().endswith(install_command("advise"))


def test_help_names_the_command(cli: Command) -> None:
    """The list of commands has it, and its help says what a trace is."""
    assert "advise" in cli("--help").out
    assert "memray" in cli("advise", "--help").out
