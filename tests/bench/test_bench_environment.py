"""The environment of the peers: what is installed, what cannot be, and folders that are something else."""

import json
import subprocess
from pathlib import Path

import pytest

from blockpool import BlockPoolError
from blockpool.bench import environment
from blockpool.bench.environment import Environment


@pytest.fixture
def pip(monkeypatch):
    """Take the place of venv and pip; return the list of what they were told."""
    told = []

    def run(command, **_):
        told.append(command)
        fails = command[-1].startswith("bad")
        said = "reading\nERROR: No matching distribution found for bad\nnotice: a new pip" if fails else ""
        return subprocess.CompletedProcess(command, int(fails), "", said)

    monkeypatch.setattr(environment.subprocess, "run", run)
    return told


def test_each_peer_is_installed_once(pip, tmp_path):
    """What cannot be installed has its reason, which is remembered; nothing is tried twice."""
    folder = tmp_path / "peers"
    folder.mkdir()
    said = []
    why = {"bad>=2": "pip: ERROR: No matching distribution found for bad"}
    assert Environment(folder).install(["good>=1", "bad>=2"], said.append) == why
    assert [command[-1] for command in pip] == [str(folder), "good>=1", "bad>=2"]
    assert len(said) == 2
    assert Environment(folder).install(["good>=1", "bad>=2", "new"], said.append) == why
    assert [command[-1] for command in pip[3:]] == ["new"]


def test_what_could_not_be_made_is_not_in_the_way(monkeypatch, tmp_path):
    """Half an environment is removed, and the message is the same the next time: what is missing."""

    def run(command, **_):
        Path(command[-1], "bin").mkdir(parents=True)
        return subprocess.CompletedProcess(command, 1, "Error: no ensurepip", "")

    monkeypatch.setattr(environment.subprocess, "run", run)
    for _ in range(2):
        with pytest.raises(BlockPoolError, match=r"apt install python3-venv\): Error: no ensurepip"):
            Environment(tmp_path / "peers")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_else_is_refused(pip, tmp_path):
    """Nothing is installed into what this command did not make."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BlockPoolError, match="is no environment that blockpool bench made"):
        Environment(tmp_path)
    assert pip == []


@pytest.mark.parametrize("notes", ["", "[]", '{"python": "3"}'])
def test_notes_that_are_not_its_own_are_refused(notes, pip, tmp_path):
    """A file of that name with something else in it makes no environment."""
    (tmp_path / "blockpool-peers.json").write_text(notes)
    with pytest.raises(BlockPoolError, match="is no environment that blockpool bench made"):
        Environment(tmp_path)
    assert pip == []


def test_an_environment_of_another_python_is_refused(pip, tmp_path):
    """The message names both, and what to do."""
    (tmp_path / "blockpool-peers.json").write_text(json.dumps({"python": "cpython-27-vax", "peers": {}}))
    with pytest.raises(BlockPoolError, match=r"is for cpython-27-vax, and this is .*; delete it, or name another"):
        Environment(tmp_path)
    assert pip == []
