"""`blockpool bench`: what it writes, and what it refuses."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from importlib import resources
from pathlib import Path

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("numpy")
pytest.importorskip("jsonschema")

import jsonschema

from blockpool.bench import machine
from blockpool.bench.peers import PEERS, peer_of
from blockpool.bench.questions import QUESTIONS
from blockpool.cli import main
from programs import environment
from waits import await_true

SCHEMA = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))


@pytest.fixture
def cli(capsys):
    """Return a function that runs the command; it returns the status, stdout and stderr."""

    def run(*arguments):
        status = main(["bench", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def test_everything_is_written(cli, small, tmp_path):
    """JSON that the schema describes, a report with a link to its picture, and the picture."""
    pytest.importorskip("matplotlib")
    small("engines")
    files = tmp_path / "a.json", tmp_path / "a.md", tmp_path / "plots"
    options = "--json", files[0], "--report", files[1], "--plots", files[2]
    status, out, err = cli("engines", "--quick", "--no-peers", *options)
    assert (status, out) == (0, "")
    assert "even" in err
    document = json.loads(files[0].read_text("utf-8"))
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    assert (document["kind"], document["quick"], document["complete"]) == ("benchmark", True, True)
    assert "](plots/engines.png)" in files[1].read_text("utf-8")
    assert (files[2] / "engines.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_goes_to_stdout_unless_json_does(cli, small):
    """Without an option it prints the report; with --json=- only that."""
    small("engines")
    status, out, _ = cli("engines", "--quick", "--no-peers")
    assert status == 0
    assert out.startswith("# Benchmarks\n")
    _, out, _ = cli("engines", "--quick", "--no-peers", "--json", "-")
    assert json.loads(out)["lines"]


def test_the_list(cli):
    """--list has all questions and peers, and measures nothing."""
    status, out, err = cli("--list")
    assert (status, err) == (0, "")
    for name in (*QUESTIONS, *(peer_of(module).name for module in PEERS)):
        assert f"  {name} " in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["speed"], "'speed' is no question; choose from create, first_write"),
        (["--peers", "x", "--no-peers"], "give one of them"),
        (["--json", "-", "--report", "-"], "cannot both go to stdout"),
        (["--json", "no/such/folder/a.json"], "its folder does not exist"),
        (["--report", "{there}"], "exists already; name another file, or give --force"),
        (["--plots", "{there}"], "cannot be a folder"),
        (["create", "--peers", "{folder}"], "is no environment that blockpool bench made"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(arguments, said, cli, tmp_path):
    """Bad command lines have a sentence and a status, and nothing is written or measured."""
    there = tmp_path / "there"
    there.write_text("mine")
    status, out, err = cli(*(each.format(there=there, folder=tmp_path) for each in arguments))
    assert status in {1, 2}
    assert out == ""
    assert said in err
    assert there.read_text() == "mine"


def test_too_little_memory_has_a_sentence(cli, monkeypatch):
    """The command ends with status 1."""
    monkeypatch.setattr(machine, "_free_shared", lambda: 1000)
    status, out, err = cli("create", "--quick", "--no-peers")
    assert (status, out) == (1, "")
    assert "name fewer questions, or give --quick" in err


LEAVES = """
import os, time
from pathlib import Path
from blockpool.bench.peers import Peer
from blockpool.bench.peers._peer import own_name

PEER = Peer("leaves", "it is made up", against="engine_pool")

def version():
    return "1.0"

class Engine:
    def turn(self):
        left = Path("/dev/shm", own_name() + "left")
        left.touch()
        Path(os.environ["NOTE"]).write_text(str(left))
        time.sleep(3600)

    def close(self):
        pass

def engine(size):
    return Engine()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_it_has_it_tidy_up(number, tmp_path):
    """After SIGTERM, and when the terminal is gone, it does as after Ctrl-C: it tidies up, and writes the report."""
    (tmp_path / "leaves.py").write_text(LEAVES)
    note = tmp_path / "note"
    program = f"""
        import signal, sys
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # they may be ignored in this process
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        sys.path.insert(0, {str(tmp_path)!r})
        from blockpool.bench import runner
        runner.ask.__kwdefaults__["peers"] = ["leaves"]
        from blockpool.cli import main
        sys.exit(main(["bench", "engines", "--quick", "--no-peers"]))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        env=environment() | {"NOTE": str(note)}, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        await_true(lambda: process.poll() is not None or (note.exists() and note.read_text()))
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "It was interrupted" in out
    left = Path(note.read_text())
    assert left.parent == Path("/dev/shm")  # noqa: S108 - where shared memory is
    assert not left.exists()


def test_an_ignored_hangup_stays_ignored(small, cli, monkeypatch):
    """Below nohup it goes on when the terminal is gone; and it leaves no handler behind."""
    small("engines")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("blockpool.bench.runner.describe", lambda: os.kill(os.getpid(), signal.SIGHUP) or made())
        made = machine.describe
        assert cli("engines", "--quick", "--no-peers")[0] == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_broken_stdout_costs_no_file(tmp_path):
    """What goes to files is written first: a reader of the JSON that is gone does not cost the report."""
    report = tmp_path / "a.md"
    program = f"""
        import sys
        from blockpool.bench.questions import engines
        whole = engines.cases(quick=True)
        engines.cases = lambda *, quick: [whole[0]._replace(rounds=1)]
        from blockpool.cli import main
        sys.exit(main(["bench", "engines", "--quick", "--no-peers", "--json", "-", "--report", {str(report)!r}]))
    """
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment(), stdout=writing, stderr=subprocess.PIPE,
        check=False, timeout=120,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")
    assert report.read_text("utf-8").startswith("# Benchmarks\n")
