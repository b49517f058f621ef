"""`ls`, `info`, `runs`, `processes` and `queues`: what they say of pools, and that looking changes nothing."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import blockpool as bp

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Command = Callable[..., Any]

COMMANDS = ("info", "map", "runs", "processes", "queues", "watch --count=1")


def words(text: str) -> str:
    """Return the text with single spaces."""
    return " ".join(text.split())


def row(text: str, first: str) -> str:
    """Return the only line that begins with these words, with single spaces."""
    found = [words(line) for line in text.splitlines() if f"{words(line)} ".startswith(f"{first} ")]
    assert len(found) == 1, text
    return found[0]


# --- ls ---


def test_ls_lists_pools_with_names(cli: Command, busy: Any) -> None:
    """The list has a row for a pool: its blocks, how much is used, its processes and the dead ones among them."""
    status, out, err = cli("ls")
    assert (status, err) == (0, "")
    assert row(out, busy.name).startswith(f"{busy.name} 256 4 KiB 1 MiB 22 % 2 + 1 dead ")
    assert row(out, busy.name).endswith("s ok")


def test_ls_lists_pools_without_names(cli: Command) -> None:
    """A pool without a name is in the list under the start of its id, which other commands understand."""
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    start = block.handle.pool_id[:8]
    assert row(cli("ls").out, start).startswith(f"{start} 8 64 B 512 B 12 % 1 ")
    assert "id" in cli("info", start).out
    assert block.handle.pool_id in cli("info", start).out


def test_ls_lists_what_is_no_pool(cli: Command, pool_names: Command, file_of: Command) -> None:
    """Files that have the name of a pool are in the list, with why they cannot be attached."""
    name = pool_names()
    file_of(name).write_bytes(bytes(5000))
    assert row(cli("ls").out, name).endswith("not a pool")


# --- info ---


def test_info_describes_a_pool(cli: Command, busy: Any) -> None:
    """The description has sizes, counts, processes, queues and names, and who holds how much."""
    status, out, err = cli("info", busy.name)
    assert (status, err) == (0, "")
    said = words(out)
    assert "size 256 blocks of 4 KiB: 1 MiB, " in said
    assert "used 56 blocks, 224 KiB: 22 %; at most so far: " in said
    assert "free 200 blocks, 800 KiB; largest run: 200 blocks" in said
    assert "processes 2 of at most 256; 1 dead" in said
    assert "11 runs, 1 ticket; the oldest: " in said
    assert "queues 2, with 2 messages" in said
    assert "names frames, model, news" in said
    assert row(out, str(busy.dead)).endswith("(dead) 13 5 %")
    assert row(out, str(os.getpid())).endswith(" 2 <1 %")
    assert row(out, "only the catalog").endswith("20 8 %")
    assert row(out, "only messages").endswith("4 2 %")
    assert row(out, "only tickets").endswith("4 2 %")


def test_info_of_a_large_pool(cli: Command, pool_name: str) -> None:
    """Who holds how much of a pool of more than 2**20 blocks is told with --full, because that takes time."""
    pool = bp.Pool.create(8, (1 << 20) + 1, name=pool_name)
    block = pool.allocate(blocks=1000)
    out = cli("info", pool_name).out
    assert "--full goes through it" in out
    assert "held by" not in out
    assert json.loads(cli("info", pool_name, "--json").out)["survey"] is None
    assert row(cli("info", pool_name, "--full").out, str(os.getpid())).endswith("1,000 <1 %")
    assert json.loads(cli("info", pool_name, "--full", "--json").out)["survey"]["held"] == {"0": 1000}
    block.free()


# --- runs ---


def test_runs_says_who_holds_what(cli: Command, busy: Any) -> None:
    """Each run has its size, its age, its holders with their commands, its queue, its names and its tickets."""
    status, out, err = cli("runs", busy.name)
    assert (status, err) == (0, "")
    lines = [words(line) for line in out.splitlines()]
    assert any(line.startswith("8 20 80 KiB ") and line.endswith("s - its name - model") for line in lines), out
    assert any(line.startswith("28 4 16 KiB ") and line.endswith("s 1 tickets - -") for line in lines), out
    assert any(f"- {os.getpid()} python" in line and "4.9 KiB" in line for line in lines), out
    assert sum(f"{busy.dead} python" in line and line.endswith("(dead) frames -") for line in lines) == 1, out
    assert sum(line.endswith("a message frames -") for line in lines) == 2, out


def test_runs_by_size(cli: Command, busy: Any) -> None:
    """With --order=size the largest runs come first, as many as --most says, and how many there are is told."""
    out = cli("runs", busy.name, "--order=size", "--most=2").out
    assert [line.split()[1] for line in out.splitlines()[2:4]] == ["20", "8"]
    assert out.splitlines()[4:] == ["The largest 2 of 11 runs; --all lists all."]
    out = cli("runs", busy.name, "--order=size", "--all").out
    sizes = [int(line.split()[1]) for line in out.splitlines()[2:]]
    assert len(sizes) == 11
    assert sizes == sorted(sizes, reverse=True)


def test_runs_by_age(cli: Command, busy: Any) -> None:
    """The oldest runs come first, with and without --all."""
    for options in ([], ["--all"]):
        runs = json.loads(cli("runs", busy.name, "--json", *options).out)["runs"]
        ages = [run["age"] for run in runs]
        assert len(ages) == 11
        # seconds: ages of one second are in no order
        assert ages == pytest.approx(sorted(ages, reverse=True), abs=1)


def test_runs_with_stacks(cli: Command, busy: Any) -> None:
    """With --stacks, runs of a pool that does not record where they were allocated say so."""
    out = cli("runs", busy.name, "--stacks", "--most=2").out
    assert out.count("where it was allocated is not known: the pool was made without debug=True") == 2


def test_stacks_of_a_debug_pool(cli: Command, pool_name: str) -> None:
    """With --stacks, a run of a pool in debug mode has the place where it was allocated below it."""
    with bp.Pool.create(64, 4, name=pool_name, debug=True) as pool:
        block = pool.allocate()
        out = cli("runs", pool_name, "--stacks").out
        assert out.count("test_cli_looking.py") == 1
        assert "test_stacks_of_a_debug_pool" in out
        block.free()


def test_a_stack_is_shown_below_its_run() -> None:
    """A run's stack has its lines below the run, with control characters escaped."""
    pytest.importorskip("rich")
    from blockpool.report.documents import ListedRuns
    from blockpool.report.runs import run_list
    from blockpool.stats import Run

    run = Run(1, 2, 100, (7,), 0, stack='  File "a\x1b.py", line 1\n    allocate()\n')
    listed = ListedRuns(
        name="a", pool_id="0" * 32, block_size=64, order="age", total=1, runs=(run,), processes=(), queues=()
    )
    from rich.console import Console

    console = Console(width=80)
    with console.capture() as captured:
        console.print(run_list(listed, stacks=True))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert lines[3:5] == ['    File "a\\x1b.py", line 1', "      allocate()"]


def test_runs_of_an_empty_pool(cli: Command, shared: Any) -> None:
    """Where nothing is allocated, a sentence says so."""
    assert cli("runs", shared.name) == (0, "Nothing is allocated.\n", "")


# --- processes and queues ---


def test_processes_says_what_each_did(cli: Command, busy: Any) -> None:
    """Each process has its state, what it holds, what it allocated and failed to, and its command."""
    out = cli("processes", busy.name).out
    assert re.fullmatch(rf"{busy.dead} dead .*s 13 2 0 - .* worker", row(out, str(busy.dead)))
    with pytest.raises(bp.PoolExhausted):  # and the dead one is recovered
        busy.pool.allocate(blocks=256, timeout=0.01)
    out = cli("processes", busy.name).out
    assert re.match(rf"{os.getpid()} alive .*s 2 7 1 1 for \S+ ", row(out, str(os.getpid())))
    assert re.match(rf"{busy.living} alive .*s 13 2 0 - ", row(out, str(busy.living)))
    assert not [line for line in out.splitlines() if line.split()[0] == str(busy.dead)]


def test_queues_says_what_waits(cli: Command, busy: Any) -> None:
    """Each queue has its kind, its messages that wait, that were taken and put, its state and its processes."""
    out = cli("queues", busy.name).out
    assert "frames queue 2/16 " in words(out)
    pids = f"{os.getpid()}, {busy.dead} (dead), {busy.living}"
    assert row(out, "frames").endswith(f"s 2 4 0 redelivers {pids}")
    assert row(out, "news").startswith("news topic 0/")
    assert row(out, "news").endswith(f"0 readers {os.getpid()}")


def test_queues_of_a_pool_without_any(cli: Command, shared: Any) -> None:
    """Where there are no queues, a sentence says so."""
    assert cli("queues", shared.name) == (0, "The pool has no queues.\n", "")


# --- looking ---


@pytest.mark.parametrize("command", COMMANDS)
def test_looking_changes_nothing(cli: Command, busy: Any, command: str) -> None:
    """No command that looks takes a place in the pool, holds a run, or changes what it counts."""
    name, *options = command.split()

    def state() -> object:
        stats = replace(busy.pool.stats(), oldest_ticket=None)
        processes = [replace(each, started=None) for each in bp.inspect(busy.name).processes()]
        return stats, busy.pool.runs(), processes, busy.pool.check(repair=False)

    before = state()
    assert cli(name, busy.name, *options).status == 0
    assert cli(name, busy.pool_id[:12], "--json", *options).status == 0
    assert state() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_hostile_names_and_commands(cli: Command, busy: Any, command: str) -> None:
    """Control characters in the command of a process never reach the output, and markup is not interpreted."""
    name, *options = command.split()
    out = cli(name, busy.name, *options).out
    assert not [letter for letter in out if letter != "\n" and not letter.isprintable()]
    if name == "processes":
        assert r"evil\x1b[31m\x07\n[bold]\x9b<b>" in out


def test_hostile_files(cli: Command, pool_name: str, file_of: Command) -> None:
    """A file whose name no pool can have is not listed, whatever its name holds."""
    file = file_of(f"{pool_name}\x1b[31m\n")
    file.touch()
    try:
        assert pool_name not in cli("ls").out
        assert "\x1b" not in cli("ls").out
    finally:
        file.unlink()
