"""`blockpool bench`: what it writes, and what it refuses."""

import json
from importlib import resources

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
