"""`map`: a pool as a picture, at any size and any width, with colours and without."""

from __future__ import annotations

import io
import json
from array import array
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("rich")

from rich.console import Console

import blockpool as bp
from blockpool.report.documents import MappedPool
from blockpool.report.pool_map import map_report, shape
from blockpool.stats import BY_NOBODY, BY_TICKETS, PoolMap, ProcessInfo

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = Callable[..., Any]


def process(slot: int) -> ProcessInfo:
    """Return a process in that slot."""
    return ProcessInfo(
        slot=slot, pid=100 + slot, alive=True, command="/bin/python a.py", started=None, allocations=0, failures=0,
        waits=0, waited=0.0,
    )  # fmt: skip


def mapped(blocks: int, allocated: list[int], holder: list[int], held: dict[int, int], **others: int) -> MappedPool:
    """Return a pool with such cells."""
    cells = len(allocated)
    return MappedPool(
        name="a",
        pool_id="0" * 32,
        block_size=64,
        blocks=blocks,
        allocated=sum(allocated),
        map=PoolMap(
            first=0,
            blocks=blocks,
            cells=cells,
            allocated=array("I", allocated),
            holder=array("H", holder),
            shared=array("H", [0] * cells),
            age=array("I", [0] * cells),
        ),
        processes=tuple(process(slot) for slot in held),
        held=held,
        **({"only_kept": 0, "only_messages": 0, "only_tickets": 0, "nobody": 0} | others),
    )


def drawn(pool: MappedPool, width: int = 80, *, colours: bool = False, rows: int = 16) -> list[str]:
    """Return the lines of the picture and its legend."""
    console = Console(width=width, file=io.StringIO())
    laid = shape(pool.blocks, last=pool.blocks - 1, width=width, rows=rows)
    with console.capture() as captured:
        console.print(map_report(pool, laid, colours=colours))
    return [line.rstrip() for line in captured.get().splitlines()]


def test_letters_go_to_those_that_hold_most() -> None:
    """Without colours a holder is a letter, A for the one that holds most; what no process holds has a sign."""
    pool = mapped(
        8, [1, 0, 1, 1, 1, 1, 1, 0], [5, BY_NOBODY, 3, 3, BY_TICKETS, BY_NOBODY, 3, 3], {5: 1, 3: 3},
        only_tickets=1, nobody=1,
    )  # fmt: skip
    lines = drawn(pool)
    assert lines[:2] == ["0 B.AA~?A.", "6 blocks of 8 allocated; a cell is a block; . free"]
    rows = [" ".join(line.split()) for line in lines[4:]]
    assert rows == [
        "A 103 python a.py 3 38 %",
        "B 105 python a.py 1 12 %",
        "~ only tickets 1 12 %",
        "? nobody, just being allocated or freed 1 12 %",
    ]


def test_cells_of_several_blocks() -> None:
    """A cell of several blocks has a capital letter only if all are allocated; with colours its shade says how many."""
    pool = mapped(40, [0, 1, 5, 4, 5, 5, 5, 5], [0] * 8, {0: 30})
    assert drawn(pool, width=10, rows=1)[0] == ".aAaAAAA"
    assert "a cell is 5 blocks" in " ".join(drawn(pool, width=200, rows=1))
    pool = mapped(32, [0, 1, 2, 3, 4, 4, 4, 4], [0] * 8, {0: 22})
    assert drawn(pool, width=10, rows=1, colours=True)[0] == "·▒▓█████"


def test_more_processes_than_letters() -> None:
    """Processes beyond the letters share a sign."""
    held = dict.fromkeys(range(30), 1)
    lines = drawn(mapped(30, [1] * 30, list(range(30)), held))
    assert lines[0] == " 0 ABCDEFGHIJKLMNOPQRSTUVWXYZ@@@@"


@pytest.mark.parametrize("blocks", [1, 2, 63, 64, 65, 1000, 10_000_000])
@pytest.mark.parametrize("width", [1, 5, 20, 80, 200, 1000])
@pytest.mark.parametrize("rows", [1, 16, 1000])
def test_any_pool_fits_any_width(blocks: int, width: int, rows: int) -> None:
    """The cells are no more than blocks, fit the width and the rows, and no more blocks share a cell than must."""
    cells, per_row, margin = shape(blocks, last=blocks - 1, width=width, rows=rows)
    assert 1 <= cells <= min(blocks, per_row * rows)
    assert margin + per_row <= max(width, 1)
    assert margin in {0, len(str(blocks - 1)) + 1}
    if cells < blocks:
        assert cells == per_row * rows


def test_map_of_a_pool(cli: Command, busy: Any) -> None:
    """The picture of a pool shows what holders have: a message, a name, tickets and processes."""
    status, out, err = cli("map", busy.name)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["0", "64", "128", "192"]
    assert lines[0].split()[1].count("=") == 20
    assert lines[0].split()[1].count("~") == 4
    assert lines[0].split()[1].count(">") == 4
    assert lines[0].split()[1].count(".") == 8
    assert {line[0] for line in lines[7:]} == set("ABC=>~")


def test_a_part_of_a_pool(cli: Command, busy: Any) -> None:
    """With --first and --blocks a part is drawn, which need not begin at a row."""
    out = cli("map", busy.name, "--first=10", "--blocks=20").out
    assert out.splitlines()[0].startswith("10 ")
    assert len(out.splitlines()[0].split()[1] + out.splitlines()[1].split()[1]) >= 20
    data = json.loads(cli("map", busy.name, "--first=200", "--json").out)["map"]
    assert (data["first"], data["blocks"], data["cells"]) == (200, 56, 56)
    status, _, err = cli("map", busy.name, "--first=256")
    assert status == 2
    assert "--first=256 is not a block of this pool; they are 0 to 255" in err


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_in_a_terminal(in_terminal: Command, busy: Any, width: int) -> None:
    """In a terminal no line is wider than it, and cells have colours."""
    from re import sub

    shown = in_terminal(width, "map", busy.name)
    assert "\x1b[38;5;" in shown
    assert "█" in shown
    lines = sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= width
    assert "".join(lines[0].split()[1:])


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "unknown", "NO_COLOR": "yes"}])
def test_without_colours(in_terminal: Command, busy: Any, variables: dict[str, str]) -> None:
    """With NO_COLOR, or in a terminal that has none, holders have letters, and there are no colours."""
    shown = in_terminal(80, "map", busy.name, **variables)
    assert "AAAAAAA" in shown
    assert "\x1b[3" not in shown
    if variables["TERM" if "TERM" in variables else "NO_COLOR"] == "dumb":
        assert "\x1b" not in shown


def test_of_a_large_pool(cli: Command, pool_name: str) -> None:
    """A pool of two million blocks has a picture of 16 rows, in which a single block can be seen."""
    pool = bp.Pool.create(8, 2_000_000, name=pool_name)
    block = pool.allocate(blocks=300_000)
    one = pool.allocate()
    lines = cli("map", pool_name).out.splitlines()
    cells = "".join(line.split()[1] for line in lines[:16])
    assert len(cells) == 72 * 16
    assert cells.strip(".").strip("Aa") == ""
    assert abs(cells.count("A") - 1152 * 0.15) <= 2
    assert "a" in cells
    assert "about 1,736.1 blocks" in " ".join(lines)
    block.free()
    one.free()
