"""Reports: pure functions from figures to text, pictures and JSON."""

from __future__ import annotations

import doctest
import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("rich")

from rich.console import Console

from blockpool.report import bitmap, text
from blockpool.report.bitmap import ASCII, UNICODE, legend, picture
from blockpool.report.demo import board, demo_json, demo_report, opening
from blockpool.report.results import (
    LOOP,
    POOL,
    QUEUE,
    SHARED_MEMORY,
    Contestant,
    DemoResult,
    Lap,
    Progress,
    Setup,
    Snapshot,
    Usage,
    Wrong,
)
from blockpool.report.text import count, in_bytes, printable
from blockpool.stats import Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType


def run(index: int, blocks: int = 1) -> Run:
    """Return a run, as `Pool.runs` does."""
    return Run(index, blocks, blocks * 8, (1,), 0)


def test_picture_has_a_cell_for_each_block() -> None:
    """If there is room, the picture shows each block and where its run begins."""
    assert picture([run(0), run(1), run(4, 3)], 8, width=80) == ["0 ■■··■□□·"]
    assert picture([run(0), run(1), run(4, 3)], 8, width=80, glyphs=ASCII) == ["0 ##..#==."]


def test_picture_breaks_into_rows_of_a_power_of_two() -> None:
    """Rows of the picture begin at multiples of a power of two, and are labelled with them."""
    assert picture([run(7, 2), run(19)], 20, width=12) == [
        " 0 ·······■",
        " 8 □·······",
        "16 ···■",
    ]


def test_picture_of_many_blocks_is_shaded() -> None:
    """In a picture of many blocks a cell stands for several, and its shade shows how many of them are allocated."""
    runs = [run(4), run(8, 2), run(12, 3), run(16, 4)]
    assert picture(runs, 30, width=11, rows=1) == [" 0 ·░▒▓█···"]
    assert picture(runs, 30, width=11, rows=1, glyphs=ASCII) == [" 0 .:+%#..."]


def test_picture_never_shows_part_as_all_or_none() -> None:
    """In a picture of many blocks, one allocated block is visible, and so is one free block among allocated ones."""
    assert picture([run(9)], 2048, width=8, rows=1) == ["   0 ░·"]
    assert picture([run(0, 2047)], 2048, width=8, rows=1) == ["   0 █▓"]


@pytest.mark.parametrize("blocks", [1, 2, 63, 64, 65, 1000, 100_000])
@pytest.mark.parametrize("width", [1, 10, 80, 200])
def test_picture_fits(blocks: int, width: int) -> None:
    """The picture is no larger than the rows and the width given, unless not even one cell fits."""
    rows = picture([run(0, blocks)], blocks, width=width, rows=5)
    assert 1 <= len(rows) <= 5
    assert max(map(len, rows)) <= max(width, len(str(blocks)) + 2)
    assert set("".join(rows)) <= set(" 0123456789■□█")


def test_legend_explains_the_picture() -> None:
    """The legend explains the characters that the picture uses, and how many blocks a cell has."""
    assert legend(64, width=80) == "· free   ■ allocated   □ the rest of its run"
    assert legend(64, width=12, rows=2) == "4 blocks a cell: · free   ░ ▒ ▓ in part   █ allocated"


def test_sizes_and_counts_read_well() -> None:
    """Sizes are in the largest unit that gives at least 1, and nouns agree with their counts."""
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
    """Control characters and undecodable bytes in paths are escaped; other letters stay."""
    assert printable("größe/\x1b[31m\n\udcff") == "größe/\\x1b[31m\\n\\xff"
    assert printable("gr\udcc3\udcb6ße") == "größe"
    assert printable("\ud800\x9b") == "\\ud800\\x9b"


def test_text_is_made_printable_whatever_the_encoding_of_paths(run_python: Callable[..., str]) -> None:
    """Where paths are ASCII, text with other letters stays as it is."""
    code = "from blockpool.report.text import printable; print(ascii(printable('gr\\xf6\\x9b')))"
    command = ["import os, sys; os.environ.update(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')"]
    out = run_python("; ".join([*command, f"os.execv(sys.executable, [sys.executable, '-c', {code!r}])"]))
    assert out == "'gr\\xf6\\\\x9b'\n"


def contestant(name: str, *rates: float, faults: int | None = 0) -> Contestant:
    """Return a contestant with laps at the given rates in MB/s."""
    usage = None if faults is None else Usage(faults, 0.5, 3 * 10**8)
    return Contestant(name, tuple(Lap(10**8, 100 / rate, usage) for rate in rates))


RESULT = DemoResult(
    setup=Setup(
        block_size=1 << 20,
        blocks=8,
        workers=2,
        kill=False,
        algorithm="sha256",
        files=3,
        nbytes=10**8,
        omitted=2,
        passes=1,
        cores=2,
        load=0.5,
    ),
    contestants=(
        contestant(POOL, 1000, 900, 2000),
        contestant(QUEUE, 500, 450, 400, faults=25000),
        contestant(LOOP, 800, 600, 1000),
    ),
    compared=12,
    wrong=(),
    busy=Snapshot(8, (run(0), run(2))),
    end=Snapshot(8, ()),
    allocations=96,
    frees=96,
    problems=(),
    killed=0,
    again=0,
)


def shown(renderable: RenderableType, width: int = 80) -> str:
    """Return what a terminal of this width shows, without spaces at the ends of lines."""
    console = Console(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(renderable)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def report_of(**changes: object) -> str:
    """Return the report of RESULT with these changes, in one line."""
    result = replace(RESULT, **changes)  # type: ignore[arg-type]
    return " ".join(shown(demo_report(result, width=80, glyphs=UNICODE)).split())


def test_laps_are_summed_up_by_their_median() -> None:
    """A contestant's rate and costs are medians of its laps; its spread is that of all laps."""
    pool, queue, _ = RESULT.contestants
    assert (pool.rate, pool.spread) == (1000, (900, 2000))
    assert queue.copies == pytest.approx(3)
    assert queue.faults == pytest.approx(250)
    assert queue.cpu == pytest.approx(0.005)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits(width: int) -> None:
    """In the table each contestant has one line, no wider than the terminal."""
    lines = shown(demo_report(RESULT, width=width, glyphs=UNICODE), width).splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.split() for line in lines]
    assert ["blockpool", "1,000", "900,", "2,000", "3.0", "0.0", "5.00"] in rows
    assert ["Queue,", "pickled", "450", "400,", "500", "3.0", "250.0", "5.00"] in rows


def test_the_report_says_what_the_figures_say() -> None:
    """The report says how many times faster the pool was, and which way was faster than the pool."""
    assert (
        "The pool was 2.2 times as fast as pickling into a Queue and 1.2 times as fast as the loop in one process. "
        "(median of 3 laps each, in turn)"
    ) in report_of()
    pool, queue, _ = RESULT.contestants
    assert (
        "The pool was 2.2 times as fast as pickling into a Queue. "
        "The pool was not the fastest: the loop in one process was 1.50 times as fast."
    ) in report_of(contestants=(pool, queue, contestant(LOOP, 1500, 1350, 3000)))
    assert "The pool was not the fastest: a SharedMemory each was 2.00 times as fast." in report_of(
        contestants=(pool, contestant(SHARED_MEMORY, 2000, 1800, 4000))
    )


def test_unknown_figures_are_not_shown() -> None:
    """An unknown figure is shown as a dash, and a column in which all are unknown is left out."""
    unknown = contestant(POOL, 10, faults=None)
    words = report_of(contestants=(unknown, contestant(LOOP, 5)))
    assert "blockpool 10 10, 10 - - -" in words
    assert "copies: how often" in words
    words = report_of(contestants=(unknown, contestant(LOOP, 5, faults=None)))
    assert "blockpool 10 10, 10 loop" in words
    assert "copies" not in words


def test_the_verdict_names_what_is_wrong() -> None:
    """The verdict says WRONG for digests that differ and for blocks that did not come back."""
    assert "WRONG" not in report_of()
    assert "ok 3 files, 12 digests compared with hashlib: all agree" in report_of()
    differ = report_of(wrong=(Wrong("/a\n", QUEUE), Wrong("/a\n", LOOP)))
    assert r"WRONG 3 files, 12 digests compared with hashlib: 1 file wrong /a\n: Queue, pickled /a\n: loop" in differ
    lost = report_of(problems=("1 of 8 blocks did not come back",))
    assert "WRONG not all is well with the pool" in lost


def test_killed_workers_are_counted() -> None:
    """With --kill the report says how many workers were killed, and how many messages were done again."""
    setup = replace(RESULT.setup, kill=True)
    words = report_of(setup=setup, killed=3, again=20)
    assert "3 workers killed; others did 20 messages again" in words
    assert "(median of 3 laps each, in turn, while workers were killed)" in words
    assert "Next: blockpool demo next to" in words


def test_the_board_shows_rates_and_the_pool() -> None:
    """The board shows the progress of the demo, a bar for each way that has run, and the pool."""
    progress = Progress(
        doing="round 2",
        share=0.25,
        running=QUEUE,
        contestants=(*RESULT.contestants[:2], Contestant(LOOP)),
        pool=RESULT.busy,
        killed=3,
    )
    lines = shown(board(progress, width=50, glyphs=ASCII), 50).splitlines()
    assert lines[0] == "round 2 (25% of the time, 3 workers killed)"
    rows = [line.split() for line in lines]
    assert ["blockpool", "1,000", "#" * 8] in rows
    assert ["Queue,", "pickled", "450", "#" * 4] in rows
    assert ["loop,", "one", "process"] in rows
    assert lines[-2:] == ["Pool: 2 of 8 blocks allocated", " 0 #.#....."[1:]]


def test_the_opening_says_what_will_be_done() -> None:
    """The opening says what is sent to how many workers, and on what machine."""
    words = " ".join(shown(opening(replace(RESULT.setup, passes=3))).split())
    assert "the 3 largest of 5 files (95.4 MiB, 3 times a lap) into messages of 1 MiB; 2 worker" in words
    assert "2 cores, load 0.5." in words
    killing = " ".join(shown(opening(replace(RESULT.setup, kill=True, omitted=0))).split())
    assert "packs 3 files" in killing
    assert "Workers are killed while they work" in killing


def test_json_has_the_same_figures() -> None:
    """The JSON of a result has its fields, the figures computed from them, and the verdict."""
    data = json.loads(demo_json(RESULT))
    assert data["ok"] is True
    assert [each["mb_per_second"] for each in data["contestants"]] == pytest.approx([1000, 450, 800])
    assert data["contestants"][1]["faults_per_mb"] == pytest.approx(250)
    assert data["setup"]["algorithm"] == "sha256"


@pytest.mark.parametrize("module", [bitmap, text])
def test_examples_do_what_they_say(module: object) -> None:
    """The examples in the docstrings of these modules print what they say."""
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted
    assert not result.failed
