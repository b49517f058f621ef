"""``blockpool export``: the file that it writes, and what it refuses."""

import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner

import blockpool as bp
from blockpool.cli.app import app
from blockpool.report.assets import SCRIPT
from markup import read_safely


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Return a function that runs the command in an empty folder, and returns its result."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        return CliRunner().invoke(app, ["export", *arguments], catch_exceptions=True)

    return call


def test_a_pool_becomes_a_file(run, shared, tmp_path, unchanged):
    """The file is named after the pool and is whole; the pool is as before."""
    block = shared.allocate()
    with unchanged(shared):
        result = run(shared.name)
    assert (result.exit_code, result.stdout) == (0, "")
    file = tmp_path / f"{shared.name}.html"
    assert f"wrote {file.name}" in result.stderr
    found = read_safely(file.read_text(), [SCRIPT])
    assert f"{shared.name} - blockpool" in found.text
    assert "1 of 16 blocks" in found.text
    del block


def test_nothing_is_overwritten_unless_asked(run, shared, tmp_path):
    """An existing file stays, and the message says what to do; with --force it is replaced."""
    file = tmp_path / "page.html"
    file.write_text("mine")
    result = run(shared.name, "-o", "page.html")
    assert result.exit_code == 1
    assert "page.html exists already; name another file, or give --force" in result.stderr
    assert file.read_text() == "mine"
    assert run(shared.name, "-o", "page.html", "--force").exit_code == 0
    assert file.read_text().startswith("<!doctype html>")


def test_the_standard_output(run, shared, tmp_path):
    """With -o -, the page is all that is on the standard output, and no file is made."""
    result = run(shared.name, "-o", "-")
    assert result.stdout.startswith("<!doctype html>")
    assert result.stdout.endswith("</html>\n")
    assert result.stderr == ""
    assert not list(tmp_path.iterdir())


def test_json(run, shared, tmp_path):
    """With --json, it is a document with the snapshots."""
    block = shared.allocate(blocks=3)
    assert run(shared.name, "--json").exit_code == 0
    found = json.loads((tmp_path / f"{shared.name}.json").read_text())
    assert (found["schema"], found["kind"]) == (1, "export")
    (seen,) = found["snapshots"]
    assert seen["pool_id"] == bp.inspect(shared).pool_id
    assert sum(seen["map"]["allocated"]) == seen["counts"]["allocated"] == 3
    del block


def test_several_pools_and_all(run, pool_names, tmp_path):
    """Several pools, or without a name all of them, are in one page."""
    pools = [bp.Pool.create(8, 8, name=pool_names()) for _ in range(2)]
    assert run(pools[0].name, pools[1].name).exit_code == 0
    text = read_safely((tmp_path / "blockpool.html").read_text(), [SCRIPT]).text
    assert all(pool.name in text for pool in pools)
    assert run("-o", "all.html").exit_code == 0
    text = read_safely((tmp_path / "all.html").read_text(), [SCRIPT]).text
    assert all(pool.name in text for pool in pools)


def test_a_pool_without_a_name(run, tmp_path):
    """A pool without a name is found by its id."""
    pool = bp.Pool.create(8, 8)
    identity = bp.inspect(pool).pool_id
    assert run(identity).exit_code == 0
    assert (tmp_path / f"pool-{identity[:8]}.html").exists()


def test_runs_by_size(run, shared):
    """The largest runs can be listed instead of the oldest, and how many."""
    blocks = [shared.allocate(blocks=n) for n in (1, 4, 2)]
    result = run(shared.name, "-o", "-", "--json", "--order=size", "--most=2")
    assert [each["blocks"] for each in json.loads(result.stdout)["snapshots"][0]["survey"]["top"]] == [4, 2]
    del blocks


def test_no_such_pool(run, tmp_path):
    """A pool that does not exist, or a file that cannot be written, is an error, and no file is made."""
    assert isinstance(run("there-is-none-of-this-name").exception, bp.PoolNotFound)
    pool = bp.Pool.create(8, 8)
    result = run(bp.inspect(pool).pool_id, "-o", "no/such/folder.html")
    assert isinstance(result.exception, FileNotFoundError)
    assert not list(tmp_path.iterdir())


def test_a_damaged_pool(run, pool_names, file_of, tmp_path):
    """A damaged pool that is named is an error; among all pools it is left out."""
    name = pool_names()
    bp.Pool.create(8, 8, name=name, permanent=True).close()
    good = bp.Pool.create(8, 8, name=pool_names())
    with file_of(name).open("r+b") as file:
        file.truncate(100)
    assert isinstance(run(name).exception, bp.PoolCorrupt)
    assert run("-o", "all.html").exit_code == 0
    assert good.name in (tmp_path / "all.html").read_text()
    assert name not in (tmp_path / "all.html").read_text()


def test_a_broken_pipe(shared):
    """When the reader of the standard output is gone, the command ends without a word, and not as a success."""
    code = "from blockpool.cli.export import export; export()"
    with subprocess.Popen(
        [sys.executable, "-c", code, shared.name, "-o", "-"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode != 0


def test_ten_million_blocks(run, pool_name, tmp_path):
    """A pool of ten million blocks becomes a page of less than 1 MB."""
    pool = bp.Pool.create(8, 10_000_000, name=pool_name)
    blocks = pool.allocate_many(200_000)
    del blocks[::3]
    assert run(pool_name).exit_code == 0
    file = tmp_path / f"{pool_name}.html"
    assert file.stat().st_size <= 1_000_000
    parser = HTMLParser()
    parser.feed(file.read_text())
    assert "of 10,000,000 blocks" in file.read_text()
    assert '"cells": 16384' in file.read_text().replace("&quot;", '"')
