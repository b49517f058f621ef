"""Reports: pure functions from what was found to text."""

from __future__ import annotations

import doctest

import pytest

pytest.importorskip("rich")

from rich.console import Console

from blockpool.report import bitmap, text
from blockpool.report.bitmap import ASCII, legend, picture
from blockpool.report.stats import stats_rows, stats_table
from blockpool.report.text import count, in_bytes, printable
from blockpool.stats import PoolStats, Run


def run(index: int, blocks: int = 1) -> Run:
    """Return a run, as `Pool.runs` does."""
    return Run(index, blocks, blocks * 8, (1,), 0)


def test_picture_has_a_cell_for_each_block() -> None:
    """Where there is room, each block is seen, and where its run begins."""
    assert picture([run(0), run(1), run(4, 3)], 8, width=80) == ["0 ■■··■□□·"]
    assert picture([run(0), run(1), run(4, 3)], 8, width=80, glyphs=ASCII) == ["0 ##..#==."]


def test_picture_breaks_into_rows_of_a_power_of_two() -> None:
    """Rows begin at round indices, which stand before them."""
    assert picture([run(7, 2), run(19)], 20, width=12) == [
        " 0 ·······■",
        " 8 □·······",
        "16 ···■",
    ]


def test_picture_of_many_blocks_is_shaded() -> None:
    """Where there is not room for all, a cell stands for several and shows how many of them are allocated."""
    runs = [run(4), run(8, 2), run(12, 3), run(16, 4)]
    assert picture(runs, 30, width=11, rows=1) == [" 0 ·░▒▓█···"]
    assert picture(runs, 30, width=11, rows=1, glyphs=ASCII) == [" 0 .:+%#..."]


def test_picture_never_shows_part_as_all_or_none() -> None:
    """One block of very many is seen, and so is one free block among them."""
    assert picture([run(9)], 2048, width=8, rows=1) == ["   0 ░·"]
    assert picture([run(0, 2047)], 2048, width=8, rows=1) == ["   0 █▓"]


@pytest.mark.parametrize("blocks", [1, 2, 63, 64, 65, 1000, 100_000])
@pytest.mark.parametrize("width", [1, 10, 80, 200])
def test_picture_fits(blocks: int, width: int) -> None:
    """It has at most so many rows, none wider than allowed, unless not even one cell fits."""
    rows = picture([run(0, blocks)], blocks, width=width, rows=5)
    assert 1 <= len(rows) <= 5
    assert max(map(len, rows)) <= max(width, len(str(blocks)) + 2)
    assert set("".join(rows)) <= set(" 0123456789■□█")


def test_legend_explains_the_picture() -> None:
    """It names the characters that such a picture uses, and the blocks of a cell."""
    assert legend(64, width=80) == "· free   ■ allocated   □ the rest of its run"
    assert legend(64, width=12, rows=2) == "4 blocks a cell: · free   ░ ▒ ▓ in part   █ allocated"


def test_sizes_and_counts_read_well() -> None:
    """Sizes have the largest unit of which there is at least one; counts agree with their noun."""
    examples = [0, 1, 1023, 1024, 1536, 1 << 20, (1 << 30) - 1, 1 << 40, 1 << 52]
    assert [in_bytes(nbytes) for nbytes in examples] == [
        "0 B",
        "1 B",
        "1023 B",
        "1 KiB",
        "1.5 KiB",
        "1 MiB",
        "1024.0 MiB",
        "1 TiB",
        "4096 TiB",
    ]
    assert [count(number, "block") for number in (0, 1, 1234)] == [
        "0 blocks",
        "1 block",
        "1,234 blocks",
    ]


def test_paths_are_made_printable() -> None:
    """Control characters and bytes that are no text are escaped; other letters stay."""
    assert printable("größe/\x1b[31m\n\udcff") == "größe/\\x1b[31m\\n\\xff"


STATS = PoolStats(
    blocks=2048,
    block_size=4096,
    allocated=48,
    free=2000,
    peak=100,
    largest_free_run=500,
    fragmentation=0.75,
    requested_bytes=98304,
    allocated_bytes=196608,
    utilization=0.5,
    allocations=1234,
    frees=1200,
    failures=3,
    tickets=0,
    oldest_ticket=None,
    processes=1,
)


def test_statistics_are_told_with_their_meaning() -> None:
    """Each figure has a name, a value and a word on what it is."""
    rows = {name: (value, meaning) for name, value, meaning in stats_rows(STATS)}
    assert rows["blocks"] == ("2,048", "of 4 KiB each")
    assert rows["fragmentation"][0] == "75.0%"
    assert rows["failures"] == ("3", "requests that found no room in time")
    assert "tickets" not in rows
    console = Console(width=80)
    with console.capture() as shown:
        console.print(stats_table(STATS))
    assert "largest free run" in shown.get()


@pytest.mark.parametrize("module", [bitmap, text])
def test_examples_do_what_they_say(module: object) -> None:
    """The examples in the docstrings are right."""
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
