"""`watch`: a line for each look, its rates, and how it ends."""

from __future__ import annotations

import doctest
import json
import signal
import subprocess
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

import blockpool as bp
from blockpool.report import formats, watch
from blockpool.report.watch import columns_for, heading

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]


def test_lines_and_their_heading(cli: Command, busy: Any) -> None:
    """There is one heading, and so many lines as --count says; the first has no rates."""
    status, out, err = cli("watch", busy.name, "--count=3", "--interval=0.05")
    assert (status, err) == (0, "")
    head, first, *others = out.splitlines()
    assert head.split() == [
        "time", "used", "free", "largest", "alloc/s", "fail/s", "waits/s", "waiting", "procs", "tickets", "oldest",
    ]  # fmt: skip
    assert first.split()[1:10] == ["22", "%", "200", "200", "-", "-", "-", "-", "2"]
    assert [line.split()[5:9] for line in others] == [["0", "0", "0", "0"]] * 2


def with_clock(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Give the command these functions in place of those of `time`."""
    monkeypatch.setattr("blockpool.cli.watch.time", SimpleNamespace(**functions))


def test_rates(cli: Command, shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens between two looks is told per second."""

    def work(seconds: float) -> None:
        shared.allocate().free()
        time.sleep(seconds)

    with_clock(monkeypatch, monotonic=time.monotonic, sleep=work)
    lines = cli("watch", shared.name, "--count=3", "--interval=0.2", "--json").out.splitlines()
    first, second, third = map(json.loads, lines)
    assert first["rates"] is None
    for before, after in ((first, second), (second, third)):
        happened = after["counts"]["allocations"] - before["counts"]["allocations"]
        assert after["rates"]["allocations"] == pytest.approx(happened / (after["time"] - before["time"]))
        assert happened == 1


def test_looks_keep_time(cli: Command, shared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines come at multiples of the interval since the beginning, however long a look takes."""
    took, looks = iter([0, 0.1, 0.7, 0.2]), [0.0]

    def monotonic() -> float:
        looks[-1] += next(took)
        return looks[-1]

    with_clock(monkeypatch, monotonic=monotonic, sleep=lambda seconds: looks.append(looks[-1] + seconds))
    assert len(cli("watch", shared.name, "--count=4", "--interval=0.3", "--json").out.splitlines()) == 4
    assert looks == pytest.approx([0.1, 1, 1.4, 1.5])


@pytest.mark.parametrize("interval", ["0", "0.001", "1e9", "-1", "x", "2d"])
def test_intervals_that_are_none(cli: Command, shared: Any, interval: str) -> None:
    """An interval that is none, too short or too long is refused with status 2."""
    status, out, err = cli("watch", shared.name, f"--interval={interval}")
    assert (status, out) == (2, "")
    assert "interval" in err


@pytest.mark.parametrize("width", range(5, 100))
def test_columns_fit(width: int) -> None:
    """A line is never wider than the terminal; the first thing it tells is how much is used."""
    columns = columns_for(width)
    assert len(heading(columns)) <= width
    assert "used" in columns


def test_all_columns_if_there_is_room() -> None:
    """Where there is room, and in a pipe, there are all columns in their order."""
    assert columns_for(None) == columns_for(1000)
    assert len(columns_for(None)) == 11


@pytest.mark.parametrize("width", [20, 80])
def test_in_a_terminal(in_terminal: Command, busy: Any, width: int) -> None:
    """In a terminal no line is wider than it, and the heading comes again after twenty lines."""
    lines = in_terminal(width, "watch", busy.name, "--count=22", "--interval=0.01").splitlines()
    assert len(lines) == 24
    assert max(map(len, lines)) <= width
    assert [number for number, line in enumerate(lines) if "used" in line] == [0, 21]


def watching(command: Command, *arguments: str) -> subprocess.Popen[str]:
    """Start a watch, and return it after its first line."""
    process = subprocess.Popen(command("watch", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(1 if "--json" in arguments else 2):
        assert process.stdout.readline()
    return process


def test_interrupted(command: Command, shared: Any) -> None:
    """Ctrl-C ends it with status 130, and nothing is said."""
    for options in ([], ["--json"], ["--interval=1h"]):
        with watching(command, shared.name, *options) as process:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, ""), options


@pytest.mark.parametrize("named", [True, False])
def test_a_pool_that_vanishes(command: Command, peer: Any, pool_name: str, *, named: bool) -> None:
    """When the pool is gone, it ends with status 3 and says so; it has not kept the pool."""
    name = pool_name if named else None
    pool_id = peer(f"pool = bp.Pool.create(64, 8, name={name!r}); bp.inspect(pool).pool_id")
    with watching(command, name or pool_id, "--interval=0.05", "--json") as process:
        peer("pool.close(); del pool")
        out, err = process.communicate(timeout=60)
    called = name or pool_id[:8]
    assert (process.returncode, err) == (3, f"blockpool: pool {called} is gone: no process has it any more\n")
    *_, last = map(json.loads, out.splitlines())
    assert last["exists"] is False


def test_a_pool_that_lost_its_name_goes_on(command: Command, peer: Any, pool_name: str) -> None:
    """A pool whose name was removed is watched as long as a process has it."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r})")
    with watching(command, pool_name, "--interval=0.05", "--json") as process:
        assert process.stdout is not None
        peer("pool.unlink(); block = pool.allocate()")
        while (look := json.loads(process.stdout.readline()))["counts"]["allocated"] == 0:
            pass
        assert look["exists"]
        peer.kill()
        process.communicate(timeout=60)
    assert process.returncode == 3


def test_a_pool_cut_short(command: Command, peer: Any, pool_name: str, file_of: Command) -> None:
    """If the pool's file is cut short meanwhile, it ends with status 4."""
    import os

    peer(f"pool = bp.Pool.create(4096, 8, name={pool_name!r}, permanent=True)")
    peer.kill()
    with watching(command, pool_name, "--interval=0.05", "--json") as process:
        os.truncate(file_of(pool_name), 8192)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 4
    assert err.startswith("blockpool: ")
    bp.unlink(pool_name)


def test_the_reader_leaves(command: Command, shared: Any) -> None:
    """When the reader of the pipe is gone, it ends with the status of SIGPIPE, and nothing is said."""
    with watching(command, shared.name, "--interval=0.05") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        assert (process.wait(60), err) == (141, "")


@pytest.mark.parametrize("module", [formats, watch])
def test_examples_do_what_they_say(module: Any) -> None:
    """The examples in the docstrings of these modules print what they say."""
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed
