"""Text of `blockpool top`: values, tables, pictures and lines are pure functions of what was seen."""

from __future__ import annotations

import dataclasses
import doctest
import random
from array import array
from dataclasses import replace

import pytest

pytest.importorskip("textual")

import blockpool
from blockpool.report import colours as shared_colours
from blockpool.stats import BY_NOBODY, PoolMap, ProcessInfo
from blockpool.top import colours, lines, tables, values
from blockpool.top.feed import Feed
from blockpool.top.picture import COLOURINGS, DRAWINGS, Frame, Painter
from blockpool.top.tables import PROCESSES, RUNS, arranged, pool_rows, rows_of

EVIL = "a\x1b[31mb\n[red]c"


def drawn(allocated: list[int], blocks: int, *, holder: int = 0, age: int = 0) -> PoolMap:
    """Return a map whose cells have so many blocks allocated."""
    cells = len(allocated)
    return PoolMap(
        first=0,
        blocks=blocks,
        cells=cells,
        allocated=array("I", allocated),
        holder=array("H", [holder if n else BY_NOBODY for n in allocated]),
        shared=array("H", [0] * cells),
        age=array("I", [age] * cells),
    )


def letters(frame: Frame, picture: PoolMap) -> list[str]:
    """Paint a map, and return its rows without the numbers at the left."""
    painter = Painter(frame)
    painter.paint(picture)
    return ["".join(piece.text for piece in row[1:]) for row in painter.rows]


@pytest.mark.parametrize("module", [values, tables])
def test_examples(module) -> None:
    """The examples in the docstrings hold."""
    assert doctest.testmod(module).failed == 0


def test_single_blocks_are_drawn_one_by_one() -> None:
    """If there is a character for each block, each is shown as free or allocated."""
    frame = Frame(width=2 + 4, height=2, blocks=8)
    assert frame.cells == 8
    assert letters(frame, drawn([1, 0, 1, 1, 0, 0, 0, 1], 8)) == ["■·■■", "···■"]


def test_a_character_has_dots_only_if_something_is_allocated_and_all_only_if_nothing_is_free() -> None:
    """One block in a million lights a dot, and one free block puts one out."""
    blocks = 8_000_000
    frame = Frame(width=len(str(blocks)) + 1 + 1, height=1, blocks=blocks)
    each = blocks // 8
    assert frame.cells == 8
    assert letters(frame, drawn([0] * 8, blocks)) == ["\u2800"]
    assert letters(frame, drawn([each] * 8, blocks)) == ["\u28ff"]
    few, almost = (
        letters(frame, drawn([0, 0, 1, *[0] * 5], blocks)),
        letters(frame, drawn([*[each] * 7, each - 1], blocks)),
    )
    assert (ord(few[0][0]) - 0x2800).bit_count() == 1
    assert (ord(almost[0][0]) - 0x2800).bit_count() == 7


@pytest.mark.parametrize("eighths", range(9))
def test_an_evenly_filled_pool_has_as_many_dots_as_it_is_full(eighths: int) -> None:
    """If each place is so many eighths full, so many of eight dots are lit."""
    blocks = 8_000_000
    frame = Frame(width=len(str(blocks)) + 1 + 1, height=1, blocks=blocks)
    (row,) = letters(frame, drawn([blocks // 64 * eighths] * 8, blocks))
    assert (ord(row) - 0x2800).bit_count() == eighths


def test_each_step_of_the_scale_of_ages_has_a_colour() -> None:
    """The terminal has as many colours for ages as the scale that all pictures share has steps."""
    assert len(colours.AGES) == len(shared_colours.AGES)


def test_letters_tell_holders_and_ages_without_colour() -> None:
    """In letters, a place has the letter of the process, or the digit of the age."""
    frame = Frame(width=2 + 4, height=1, blocks=4, drawing="letters")
    assert letters(frame, drawn([1, 1, 0, 1], 4, holder=2)) == ["CC·C"]
    assert letters(replace(frame, colouring="age"), drawn([1, 1, 0, 1], 4, age=100)) == ["22·2"]


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_only_rows_that_changed_are_painted_again(drawing) -> None:
    """A second map with one other block changes the row of that block, and a third that is the same changes none."""
    blocks = 4096
    frame = Frame(width=40, height=4, blocks=blocks, drawing=drawing)
    painter = Painter(frame)
    allocated = [0] * frame.cells
    painter.paint(drawn(allocated, blocks))
    allocated[frame.columns * frame.per_place] = 1
    assert painter.paint(drawn(allocated, blocks)) == [1]
    assert painter.paint(drawn(allocated, blocks)) == []


@pytest.mark.parametrize("colouring", COLOURINGS)
@pytest.mark.parametrize("drawing", DRAWINGS)
@pytest.mark.parametrize("blocks", [30, 1000, 123_457])
def test_a_picture_brought_up_to_date_is_as_one_drawn_at_once(drawing, colouring, blocks) -> None:
    """After any changes, the rows are those of a painter that sees the last map first."""
    chance = random.Random(blocks)
    frame = Frame(width=20, height=5, blocks=blocks, drawing=drawing, colouring=colouring)
    painter = Painter(frame)
    picture = drawn([0] * frame.cells, blocks)
    for _ in range(30):
        for _ in range(chance.choice([1, 1, frame.cells])):
            cell = chance.randrange(frame.cells)
            room = len(picture.range_of(cell))
            used = chance.choice([0, 0, 1, room // 2, room])
            picture.allocated[cell] = used
            picture.holder[cell] = chance.choice([0, 1, 7]) if used else BY_NOBODY
            picture.age[cell] = chance.choice([0, 50, 5000]) if used else 0
        before = list(painter.rows)
        changed = painter.paint(picture)
        whole = Painter(frame)
        whole.paint(picture)
        assert painter.rows == whole.rows
        assert changed == [row for row in range(frame.height) if before[row] != painter.rows[row]]


def test_rows_are_sorted_by_any_column_and_filtered_by_any_text(shared) -> None:
    """Runs come in the order of a column, up or down; a text leaves those rows that have it, in any case."""
    kept = [shared.allocate(blocks=n) for n in (2, 1, 3)]
    shared.keep("Config", kept[1])
    with blockpool.inspect(shared) as inspector:
        rows = rows_of(RUNS, Feed(inspector).look())
    column = [column.heading for column in RUNS.columns].index("blocks")
    assert [row.about.blocks for row in arranged(rows, by=column, down=False)] == [1, 2, 3]
    assert [row.about.blocks for row in arranged(rows, by=column, down=True)] == [3, 2, 1]
    assert [row.about.names for row in arranged(rows, by=0, down=True, containing="conf")] == [("Config",)]
    assert arranged(rows, by=0, down=True, containing="nothing has this") == []


def test_hostile_commands_are_escaped(shared) -> None:
    """Control characters of a command do not reach the terminal, and brackets mean nothing."""
    evil = ProcessInfo(
        slot=0, pid=1, alive=True, command=EVIL, started=None, allocations=0, failures=0, waits=0, waited=0
    )
    with blockpool.inspect(shared) as inspector:
        view = Feed(inspector).look()
    (row,) = rows_of(PROCESSES, replace(view, snapshot=replace(view.snapshot, processes=(evil,))))
    assert row.cells[-1] == r"a\x1b[31mb\n[red]c"
    assert dict(lines.about_process(evil, 0))["command"] == r"a\x1b[31mb\n[red]c"


def test_a_process_that_is_attaching_is_called_that(shared) -> None:
    """A process without an id yet is shown as attaching, and runs are sorted by holders all the same."""
    kept = [shared.allocate(), shared.allocate()]
    with blockpool.inspect(shared) as inspector:
        view = Feed(inspector).look()
    (process,) = view.snapshot.processes
    attaching = replace(process, pid=None, command="")
    theirs = dataclasses.replace(view.runs[0], holders=(None,))
    view = replace(view, snapshot=replace(view.snapshot, processes=(attaching,)), runs=(theirs, view.runs[1]))
    assert dict(lines.about_process(attaching, 0))["pid"] == "attaching"
    assert dict(lines.about_run(theirs, view))["held by"] == "attaching  attaching"
    column = [column.heading for column in RUNS.columns].index("held by")
    rows = arranged(rows_of(RUNS, view), by=column, down=False)
    assert [row.cells[column] for row in rows] == ["attaching", str(process.pid)]
    del kept


def test_hostile_stacks_and_names_are_escaped(shared) -> None:
    """A stack and the name of a queue that have control characters are shown without them."""
    block = shared.allocate()
    with blockpool.inspect(shared) as inspector:
        view = Feed(inspector).look()
    evil = dataclasses.replace(view.runs[0], names=(EVIL,), stack=f"File {EVIL}")
    text = "\n".join(value for _, value in lines.about_run(evil, view))
    assert "\x1b" not in text
    assert r"a\x1b[31mb" in text
    block.free()


@pytest.mark.parametrize("width", [20, 60, 77, 200])
def test_the_header_has_the_width_of_the_terminal(shared, width: int) -> None:
    """Whatever the width, the header is three lines of exactly that width."""
    with blockpool.inspect(shared) as inspector:
        view = Feed(inspector).look()
    assert [len(line) for line in lines.header(view, width)] == [width] * 3


def test_the_runs_of_one_process_are_searched_for(shared) -> None:
    """With a process given, the feed lists its runs alone."""
    kept = shared.allocate()
    with blockpool.inspect(shared) as inspector:
        feed = Feed(inspector)
        (run,) = feed.look().runs
        feed.only = run.holders[0]
        assert feed.look().runs == (run,)
        feed.only = 1
        assert feed.look().runs == ()
    kept.free()


def test_pools_that_cannot_be_opened_have_their_state(pool_name) -> None:
    """A file that is no pool is listed with what is wrong with it, and nothing else."""
    from pathlib import Path

    file = Path("/dev/shm") / f"blockpool.{pool_name}"  # noqa: S108 - where pools are
    file.write_bytes(b"not a pool" * 1000)
    (row,) = [row for row in pool_rows(blockpool.pools()) if row.about.name == pool_name]
    assert row.cells[1] == "not a pool"
    assert row.cells[2] == ""
