"""Pictures: what of a map is drawn, where, and in which colour."""

import re
from array import array

import pytest

from blockpool.report.colours import AGES, HUES, NO_PROCESS
from blockpool.report.svg import Part, bar, columns_of, map_picture
from blockpool.stats import BY_NOBODY, BY_TICKETS, PoolMap
from markup import read_safely


def drawing(allocated, holders, blocks=None, ages=None):
    """Return a map with these cells."""
    cells = len(allocated)
    return PoolMap(
        first=0,
        blocks=blocks or cells,
        cells=cells,
        allocated=array("I", allocated),
        holder=array("H", holders),
        shared=array("H", bytes(2 * cells)),
        age=array("I", ages or bytes(4 * cells)),
    )


def painted(svg, cells):
    """Return the colour and opacity of each cell that is painted, by its number."""
    columns = columns_of(cells)
    found = {}
    for stroke, opacity, path in re.findall(r'<path stroke="([^"]+)"(?: stroke-opacity="([^"]+)")? d="([^"]+)"', svg):
        for column, row, length in re.findall(r"M(\d+) (\d+)h(\d+)", path):
            for at in range(int(length)):
                cell = int(row) * columns + int(column) + at
                assert cell not in found, "painted twice"
                assert int(column) + at < columns, "beyond the end of its row"
                found[cell] = stroke, float(opacity or 1)
    return found


def test_each_allocated_cell_has_the_colour_of_its_holder():
    """Exactly the allocated cells are painted, each once and in its colour, also over the ends of rows."""
    allocated = [int(cell % 5 != 0) for cell in range(100)]
    holders = [BY_NOBODY if not used else (cell // 7) % 3 for cell, used in enumerate(allocated)]
    svg = map_picture(drawing(allocated, holders), "all")
    expected = {cell: (HUES[holders[cell]], 1.0) for cell in range(100) if allocated[cell]}
    assert painted(svg, 100) == expected


def test_what_is_not_held_by_a_process_is_grey():
    """Tickets have their grey."""
    assert painted(map_picture(drawing([1], [BY_TICKETS]), "all"), 1) == {0: (NO_PROCESS[BY_TICKETS], 1.0)}


def test_cells_in_part_free_are_paler():
    """A cell of several blocks is the paler the more of them are free, and fully painted only if none is."""
    found = painted(map_picture(drawing([0, 1, 50, 99, 100], [BY_NOBODY, 0, 0, 0, 0], blocks=500), "all"), 5)
    opacities = [found[cell][1] for cell in range(1, 5)]
    assert 0 not in found
    assert opacities == sorted(set(opacities))
    assert opacities[-1] == 1


def test_ages():
    """By age, a cell has the colour of its step."""
    svg = map_picture(drawing([1, 1], [0, 0], ages=[0, 100_000]), "all", by="age")
    assert painted(svg, 2) == {0: (AGES[0].colour, 1.0), 1: (AGES[4].colour, 1.0)}


@pytest.mark.parametrize("cells", [1, 2, 3, 17, 64, 1000, 16384])
def test_every_size_has_a_shape(cells):
    """Maps of any size are read well, and are a few times as wide as high."""
    svg = map_picture(drawing([1] * cells, [0] * cells), "full")
    read_safely(svg)
    assert len(painted(svg, cells)) == cells
    columns = columns_of(cells)
    assert columns <= cells or columns == 1
    assert -(-cells // columns) <= columns


def test_the_worst_map_is_not_large():
    """Where every cell differs from the next, a map of 16384 cells takes less than 300 kB."""
    holders = [cell % 12 for cell in range(16384)]
    used = [1 + cell * 7 % 600 for cell in range(16384)]
    assert len(map_picture(drawing(used, holders, blocks=10_000_000), "mixed")) < 300_000


def test_titles_are_escaped():
    """What a picture says in words is no markup."""
    for svg in (map_picture(drawing([1], [0]), "<b>&\"'"), bar([], 1, "<b>&\"'")):
        found = read_safely(svg)
        assert "b" not in found.tags()
        assert "<b>&\"'" in found.text


def test_bars_never_overflow():
    """Parts that are too long together end where the bar ends; parts of nothing are left out."""
    svg = bar([Part("red", 60), Part("blue", 0), Part("green", 90)], 100, "much")
    assert re.findall(r'x="(\S+)" width="(\S+)" height="1" fill="(\w+)"', svg) == [
        ("0", "60", "red"),
        ("60", "40", "green"),
    ]
    assert "red" not in bar([Part("red", 5)], 0, "nothing")


def test_outlines():
    """Marked cells are outlined, in each row that they are in."""
    svg = map_picture(drawing([1] * 64, [0] * 64), "all", mark=range(14, 34))
    assert re.findall(r'<rect x="(\d+)" y="(\d+)" width="([\d.]+)"', svg) == [
        ("14", "0", "1.88"),
        ("0", "1", "15.88"),
        ("0", "2", "1.88"),
    ]
