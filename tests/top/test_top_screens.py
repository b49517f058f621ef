"""The screens of `blockpool top`, driven by keys in a terminal that is none."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("textual")

from textual.widgets import Input

import blockpool
from blockpool.top.app import Top
from blockpool.top.pool import PoolScreen
from blockpool.top.screens import Ask, Details
from blockpool.top.widgets import Lines, Picture
from deaths import await_death

SIZES = [(80, 24), (60, 15)]
PROMPT = 60.0  # seconds, however busy the machine is


def text_of(app: Top) -> str:
    """Return what is on the screen."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def until(pilot, condition) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PROMPT
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen:\n{text_of(pilot.app)}"
        await pilot.pause(0.02)


def shown(pool, scenario, *, size=(80, 24), lists: bool = False) -> None:
    """Open a pool, wait until it is shown, and go through a scenario."""

    async def run() -> None:
        app = Top(None if lists else blockpool.inspect(pool))
        async with app.run_test(size=size) as pilot:
            if not lists:
                await until(pilot, lambda: isinstance(app.screen, PoolScreen) and app.screen.looks > 0)
            await scenario(app, pilot)

    asyncio.run(run())


@pytest.fixture
def dead(shared):
    """Let a process die that holds 3 blocks of the pool."""
    program = (
        "import os, sys, blockpool\n"
        "pool = blockpool.Pool.attach(sys.argv[1]); kept = pool.allocate(blocks=3); os._exit(0)"
    )
    with subprocess.Popen([sys.executable, "-c", program, shared.name]) as process:
        assert process.wait(60) == 0
    await_death(process.pid)
    return shared


@pytest.mark.parametrize("size", SIZES)
def test_a_pool_is_shown_with_all_keys(shared, size) -> None:
    """At 80 × 24 and at 60 × 15 the header, the picture, a table and every key are on the screen."""
    kept = shared.allocate(blocks=2)
    shared.keep("config", kept)

    async def scenario(app, pilot) -> None:
        await until(pilot, lambda: "config" in text_of(app))
        text = text_of(app)
        assert shared.name in text.splitlines()[0]
        assert "12.5% used" in text
        await until(pilot, lambda: "■■··" in app.screen.query_one(Picture).text)
        for key, what in list(app.screen.keys()):
            assert f"{key} {what}" in text
        assert all(len(line) == size[0] for line in text.splitlines())

    shown(shared, scenario, size=size)


def test_a_small_terminal_gets_a_sentence(shared) -> None:
    """Below 60 × 15 there is a sentence that says what is needed; q still quits, and room brings the pool back."""

    async def scenario(app, pilot) -> None:
        await until(pilot, lambda: "small" in text_of(app))
        assert "60" in " ".join(text_of(app).split())
        assert shared.name not in text_of(app)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: shared.name in text_of(app))

    shown(shared, scenario, size=(20, 10))


def test_tables_change_by_tab_and_by_number(shared) -> None:
    """Tab goes round the four tables, and a number goes to one."""
    queue = shared.queue("jobs", 4)

    async def scenario(app, pilot) -> None:
        seen = []
        for _ in range(5):
            seen.append(app.screen.kind.name)
            await pilot.press("tab")
        assert seen == ["runs", "processes", "queues", "names", "runs"]
        await pilot.press("3")
        assert app.screen.kind.name == "queues"
        assert "jobs" in text_of(app)
        await pilot.press("2")
        assert str(os.getpid()) in app.screen.table.text

    shown(shared, scenario)
    del queue


def test_rows_are_sorted_by_keys(shared) -> None:
    """The key s sorts by the next column, S the other way round; by size, the largest are looked for."""
    kept = [shared.allocate(blocks=n) for n in (1, 3, 2)]

    async def scenario(app, pilot) -> None:
        table = app.screen.table
        await pilot.press("s", "s")
        assert table.kind.columns[table.by].heading == "blocks"
        await pilot.press("S")
        found = [row.about.blocks for row in table.rows]
        assert found in ([1, 2, 3], [3, 2, 1])
        await pilot.press("S")
        assert [row.about.blocks for row in table.rows] == found[::-1]
        await until(pilot, lambda: app.screen.view.order == "size")

    shown(shared, scenario)
    del kept


def test_a_slash_filters_and_escape_shows_all_rows(shared) -> None:
    """What is typed after a slash hides all rows without it, q included; Enter keeps it, and Escape undoes it."""
    kept = [shared.allocate() for _ in range(3)]
    shared.keep("quick", kept[1])

    async def scenario(app, pilot) -> None:
        table = app.screen.table
        await until(pilot, lambda: any(row.about.names for row in table.rows))
        await pilot.press("slash", "q", "u")
        await until(pilot, lambda: [row.about.names for row in table.rows] == [("quick",)])
        assert isinstance(app.focused, Input)
        await pilot.press("enter")
        assert app.focused is table
        assert len(table.rows) == 1
        await pilot.press("escape")
        assert len(table.rows) == 3
        assert isinstance(app.screen, PoolScreen)

    shown(shared, scenario)


@pytest.mark.usefixtures("dead")
def test_enter_on_a_process_lists_its_runs_and_on_a_run_all_about_it(shared) -> None:
    """From a process one gets to its runs, from one of them to all about it, and back by Escape."""
    kept = shared.allocate()

    async def scenario(app, pilot) -> None:
        await pilot.press("2")
        table = app.screen.table
        while table.selected.about.alive:
            await pilot.press("down")
        gone = table.selected.about.pid
        await pilot.press("enter")
        await until(pilot, lambda: app.screen.view.only == gone and len(table.rows) == 1)
        assert table.rows[0].about.blocks == 3
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Details))
        await until(pilot, lambda: "3 blocks" in text_of(app))
        assert f"held by  {gone}" in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, PoolScreen))
        await pilot.press("escape")
        assert app.screen.kind.name == "processes"
        await pilot.press("i")
        await until(pilot, lambda: "blocks held" in text_of(app))

    shown(shared, scenario)
    kept.free()


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("answer", ["y", "n"])
def test_recovering_asks_first(shared, answer: str) -> None:
    """If a process is dead, r asks; y brings its blocks back, and n changes nothing."""

    async def scenario(app, pilot) -> None:
        await until(pilot, lambda: "r recover" in text_of(app))
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, Ask))
        await until(pilot, lambda: "3 blocks" in text_of(app))
        assert shared.stats().allocated == 3
        await pilot.press(answer)
        await until(pilot, lambda: isinstance(app.screen, PoolScreen))
        if answer == "y":
            await until(pilot, lambda: "recovered 1 process" in text_of(app))
            assert shared.stats().allocated == 0
            await until(pilot, lambda: "r recover" not in text_of(app))
        else:
            looks = app.screen.looks
            await until(pilot, lambda: app.screen.looks > looks + 1)
            assert shared.stats().allocated == 3

    shown(shared, scenario)


def test_there_is_no_question_if_nothing_is_to_be_recovered(shared) -> None:
    """If no process is dead, r is not among the keys, and says that there is nothing to do."""

    async def scenario(app, pilot) -> None:
        assert "r recover" not in text_of(app)
        await pilot.press("r")
        assert "nothing to recover" in text_of(app)

    shown(shared, scenario)


def test_a_pool_that_vanishes_leads_back_to_the_list(pool_name) -> None:
    """If the shown pool is removed, even while all about a run is shown, the list says so."""
    program = (
        "import sys, blockpool\n"
        "pool = blockpool.Pool.create(64, 64, name=sys.argv[1]); kept = pool.allocate()\n"
        "print('ready', flush=True); sys.stdin.read(); pool.unlink()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, pool_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()

        async def scenario(app, pilot) -> None:
            await until(pilot, lambda: app.screen.table.rows)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Details))
            process.stdin.close()
            await until(pilot, lambda: app.screen is app.list)
            await until(pilot, lambda: f"{pool_name} is gone" in text_of(app))

        shown(pool_name, scenario)


def test_the_list_opens_pools_and_says_why_others_cannot_be_opened(shared, pool_names) -> None:
    """Enter opens a pool; of a file that is none it says so. The list itself changes nothing."""
    broken = pool_names()
    (Path("/dev/shm") / f"blockpool.{broken}").write_bytes(b"no pool" * 999)  # noqa: S108 - where pools are

    async def scenario(app, pilot) -> None:
        table = app.screen.table
        await until(pilot, lambda: {broken, shared.name} <= {row.about.name for row in table.rows})
        for name in (broken, shared.name):
            table.at = next(at for at, row in enumerate(table.rows) if row.about.name == name)
            await pilot.press("enter")
            if name == broken:
                await until(pilot, lambda: f"{broken} cannot be opened: not a pool" in text_of(app))
        await until(pilot, lambda: isinstance(app.screen, PoolScreen) and app.screen.looks)
        assert shared.name in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.list)

    shown(shared, scenario, lists=True)


def test_the_picture_changes_by_keys(shared) -> None:
    """The key c colours by age, and d draws in other ways; the legend follows."""
    kept = shared.allocate()

    async def scenario(app, pilot) -> None:
        legend = app.screen.query_one("#legend", Lines)
        await until(pilot, lambda: str(os.getpid()) in legend.text)
        await pilot.press("c")
        assert "<1m" in legend.text
        await pilot.press("c", "d", "d")
        await until(pilot, lambda: "A·" in app.screen.query_one(Picture).text)

    shown(shared, scenario)
    kept.free()


def test_without_colour_holders_have_letters(shared, monkeypatch) -> None:
    """With NO_COLOR the picture is drawn in letters, and nothing on the screen has a colour."""
    monkeypatch.setenv("NO_COLOR", "1")
    kept = shared.allocate()

    async def scenario(app, pilot) -> None:
        await until(pilot, lambda: "A·" in app.screen.query_one(Picture).text)
        styles = [segment.style for strip in app.screen._compositor.render_strips() for segment in strip]
        colours = {style.color.name for style in styles if style is not None and style.color is not None}
        assert colours <= {"default"}

    shown(shared, scenario)
    kept.free()


def test_space_holds_the_picture(shared, monkeypatch) -> None:
    """After Space nothing is looked at, until Space is pressed again."""
    begun, look = [], PoolScreen._look
    monkeypatch.setattr(PoolScreen, "_look", lambda screen: begun.append(1) or look(screen))

    async def scenario(app, pilot) -> None:
        await pilot.press("space")
        await until(pilot, lambda: "held" in text_of(app) and app.screen.looks == len(begun))  # no look is under way
        looks = app.screen.looks
        await pilot.pause(0.5)
        assert (app.screen.looks, len(begun)) == (looks, looks)
        await pilot.press("space")
        await until(pilot, lambda: app.screen.looks > looks)

    shown(shared, scenario)


def test_looking_changes_nothing(shared) -> None:
    """While a pool is shown, its processes and their counts are the same as before."""
    kept = shared.allocate()

    def counted(processes):
        return [(one.slot, one.pid, one.allocations, one.failures, one.waits) for one in processes]

    before = counted(blockpool.inspect(shared).processes())

    async def scenario(app, pilot) -> None:
        await until(pilot, lambda: app.screen.looks > 3)
        assert counted(app.screen.view.snapshot.processes) == before

    shown(shared, scenario)
    assert counted(blockpool.inspect(shared).processes()) == before
    kept.free()
