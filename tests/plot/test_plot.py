"""Plots: what is drawn of pools of each kind, and what is refused."""

import doctest
import subprocess
import sys

import pytest

import blockpool as bp
from blockpool import plot
from blockpool._extras import install_command
from blockpool.observe import Observer, snapshot
from blockpool.report.colours import AGES, HUES

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
pyplot = pytest.importorskip("matplotlib.pyplot")
to_rgba = pytest.importorskip("matplotlib.colors").to_rgba


@pytest.fixture(autouse=True)
def no_figures():
    """Close the figures that a test makes."""
    yield
    pyplot.close("all")


def cells_of(axes):
    """Return the colours of all cells, row by row."""
    (image,) = axes.images
    return [tuple(map(float, cell)) for row in image.get_array() for cell in row]


def labels_of(axes):
    """Return what the legend says."""
    legend = axes.get_legend()
    return [] if legend is None else [each.get_text() for each in legend.get_texts()]


def test_a_map_of_each_kind_of_pool(each, unchanged):
    """The cells of allocated blocks have a colour, and the pool is as before."""
    blocks = [each.allocate() for _ in range(5)]
    used = {block.index for block in blocks}
    with unchanged(each):
        axes = plot.map(each)
    cells = cells_of(axes)
    assert "5 of 16" in axes.get_title()
    assert {index for index in range(16) if cells[index] == pytest.approx(to_rgba(HUES[0]))} == used
    assert {cells[index] for index in set(range(16)) - used} == {cells[next(iter(set(range(16)) - used))]}


def test_it_takes_what_inspect_takes(shared):
    """A name, an inspector, a handle or a snapshot gives the same picture."""
    block = shared.allocate()
    with bp.inspect(shared) as inspector:
        pictures = [
            cells_of(plot.map(pool))
            for pool in (shared, shared.name, block.handle, str(block.handle), inspector, snapshot(shared, cells=16))
        ]
        assert not inspector.closed
    assert all(picture == pictures[0] for picture in pictures)
    assert "pool test-" in plot.map(shared).get_title()
    with pytest.raises(ValueError, match="no map"):
        plot.map(snapshot(shared))


def test_by_age(shared):
    """By age, the legend names the steps that are there."""
    block = shared.allocate()
    axes = plot.map(shared, by="age")
    assert labels_of(axes) == [AGES[0].label] or labels_of(axes) == [AGES[1].label]
    with pytest.raises(ValueError, match="by='size'"):
        plot.map(shared, by="size")
    del block


def test_where_it_is_drawn(shared):
    """It is drawn in the axes that are given, which are returned."""
    _, axes = pyplot.subplots()
    assert plot.map(shared, axes) is axes
    assert plot.history([snapshot(shared)], ax=axes) is axes


def test_a_large_pool():
    """A cell of a large pool stands for several blocks, and is the paler the more of them are free."""
    pool = bp.Pool.create(8, 1_000_000)
    blocks = pool.allocate_many(1000)
    axes = plot.map(pool)
    assert "about 244 blocks" in axes.get_xlabel()
    assert sum(cell[:3] == pytest.approx(to_rgba(HUES[0])[:3]) for cell in cells_of(axes)) >= 4
    del blocks


def test_history(shared):
    """It has a point for each snapshot, with the numbers that were counted then."""
    blocks, seen = [], []
    with Observer(shared) as observer:
        for _ in range(5):
            blocks += shared.allocate_many(3)
            seen.append(observer.look())
    axes = plot.history(iter(seen))
    allocated, largest, *_ = axes.lines
    assert list(allocated.get_ydata()) == [3, 6, 9, 12, 15]
    assert list(largest.get_ydata()) == [each.counts.largest_free_run for each in seen]
    assert list(allocated.get_xdata()) == [each.time - seen[0].time for each in seen]
    assert "no room" not in labels_of(axes)


def test_history_marks_when_there_was_no_room(shared):
    """A request that found no room is marked."""
    before = snapshot(shared)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(blocks=17) if shared.blocks < 17 else None
    blocks = shared.allocate_many(16)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate()
    assert "no room" in labels_of(plot.history([before, snapshot(shared)]))
    del blocks


def test_histories_of_nothing_or_of_several_pools(shared):
    """They are refused, with a remedy."""
    with pytest.raises(ValueError, match="no snapshot to draw"):
        plot.history([])
    with pytest.raises(ValueError, match="several pools"):
        plot.history([snapshot(shared), snapshot(bp.Pool.create(8, 8))])


def test_names_are_not_formulas():
    """A dollar or a control character in a name is shown, not read as a formula."""
    assert plot._plain("$x$\x1b") == r"\$x\$\x1b"


def test_missing_matplotlib_is_said():
    """Without Matplotlib, importing the module works, and drawing says what to install."""
    code = """
import sys
sys.modules["matplotlib"] = None
import blockpool, blockpool.plot
try:
    blockpool.plot.map(blockpool.Pool(8, 8))
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"blockpool.plot needs matplotlib; install what it needs with: {install_command('plot')}" in done.stdout


def test_doctests():
    """The example in the module holds."""
    assert doctest.testmod(plot, raise_on_error=True).attempted
