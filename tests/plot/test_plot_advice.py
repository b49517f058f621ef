"""Plots of advice: what is drawn, and that it can be drawn whatever the numbers are."""

import subprocess
import sys

import pytest

import advising
from blockpool import plot_advice
from blockpool.replay.results import Plan
from blockpool.report.colours import HUES

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
pyplot = pytest.importorskip("matplotlib.pyplot")
to_hex = pytest.importorskip("matplotlib.colors").to_hex


@pytest.fixture(autouse=True)
def no_figures():
    """Close the figures that a test makes."""
    yield
    pyplot.close("all")


def labels_of(axes):
    """Return what the legend says."""
    return [each.get_text() for each in axes.get_legend().get_texts()]


def test_live_bytes():
    """A step reaches to each point of the history, and the pools and malloc are lines at their sizes."""
    advice = advising.advice()
    axes = plot_advice.live(advice)
    steps, pools, malloc = axes.lines
    assert tuple(zip(steps.get_xdata()[1:], steps.get_ydata()[1:], strict=True)) == advice.outline.history
    assert steps.get_drawstyle() == "steps-pre"
    assert set(pools.get_ydata()) == {advice.recommended.bytes}
    assert set(malloc.get_ydata()) == {advice.malloc.resident}
    assert labels_of(axes) == ["asked for and live", "the pools: 13.5 MiB", "malloc, resident: 19 MiB"]
    assert axes.get_ylim()[1] >= advice.malloc.resident
    assert axes.get_xlabel() == "seconds"
    assert [each.get_text() for each in axes.get_yticklabels()][1] == "4 MiB"
    assert len(plot_advice.live(advising.advice(malloc=None)).lines) == 2


def test_times_that_were_not_measured_have_no_numbers():
    """Without times the axis says so, and has no marks."""
    axes = plot_advice.live(advising.advice(outline=advising.outline(timed=False)))
    assert "not measured" in axes.get_xlabel()
    assert list(axes.get_xticks()) == []


def test_waste():
    """Each candidate has a bar of three parts in three colours, and the recommended one is in bold."""
    advice = advising.advice()
    axes = plot_advice.waste(advice)
    for container, part, colour in zip(axes.containers, ("inner", "outer", "metadata"), (0, 1, 5), strict=True):
        assert [bar.get_width() for bar in container] == [getattr(each, part) for each in advice.candidates]
        assert {to_hex(bar.get_facecolor()).upper() for bar in container} == {HUES[colour]}
    inner, outer, metadata = axes.containers
    assert [bar.get_x() for bar in metadata] == [
        one.get_width() + two.get_width() for one, two in zip(inner, outer, strict=True)
    ]
    assert labels_of(axes) == ["inner", "outer", "metadata"]
    names = axes.get_yticklabels()
    assert [each.get_text() for each in names] == ["65,600 B x 160\n734,080 B x 5", "64 KiB x 300", "1 MiB x 33"]
    assert [each.get_fontweight() for each in names] == ["bold", "normal", "normal"]
    assert axes.yaxis_inverted()


def test_hopeless_candidates_do_not_hide_the_others():
    """A bar many times as long as the best one is cut off, with its length in it, and the axis ends before."""
    good, poor = advising.candidate(Plan(8, 100), inner=500, outer=500), advising.candidate(Plan(8, 9), inner=10**9)
    axes = plot_advice.waste(advising.advice(candidates=(good, poor)))
    assert 1000 < axes.get_xlim()[1] < 10**6
    (said,) = axes.texts
    assert "953.7 MiB" in said.get_text()
    assert not plot_advice.waste(advising.advice()).texts


def test_sizes():
    """Each frequent size has a bar as high as it has requests, the smallest size first."""
    axes = plot_advice.sizes(advising.advice())
    assert [bar.get_height() for bar in axes.patches] == [77, 120_000, 400_001, 2002]
    assert [each.get_text() for each in axes.get_xticklabels()] == ["24 B", "64 KiB", "65,553 B", "734,003 B"]


@pytest.mark.parametrize("draw", [plot_advice.live, plot_advice.waste, plot_advice.sizes])
def test_where_it_is_drawn(draw):
    """It is drawn in the axes that are given, which are returned."""
    _, axes = pyplot.subplots()
    assert draw(advising.advice(), axes) is axes
    assert draw(advising.advice(), ax=axes) is axes


NOTHING = advising.outline(history=(), sizes=(), timed=False, seconds=0.0)
LARGE = advising.outline(
    history=((0.0, 0), (0.0, 2**63), (1e9, 2**63)), sizes=tuple((2**62 + at, 2**40) for at in range(16))
)
POOLS = tuple(Plan(2**62 - at, 2**40) for at in range(3))


@pytest.mark.parametrize(
    "advice",
    [
        advising.advice(outline=NOTHING, candidates=(), recommended=None, malloc=None, pool=None, use=False),
        advising.advice(outline=advising.outline(history=((0.0, 0),), seconds=0.0), malloc=None),
        advising.advice(candidates=(advising.candidate(Plan(8, 1), inner=0, outer=0, metadata=0),) * 3),
        advising.advice(outline=LARGE, candidates=(advising.candidate(*POOLS, inner=2**63),) * 40),
    ],
    ids=["nothing", "one point", "no waste", "large"],
)
def test_extremes_can_be_drawn(advice):
    """A figure of nothing, of very much, and of many pools can be drawn, without a warning."""
    figure = plot_advice.figure(advice)
    assert len(figure.axes) == 3
    figure.canvas.draw()


def test_missing_matplotlib_is_said():
    """Without Matplotlib, importing the module works, and drawing says what to install."""
    code = """
import sys
sys.modules["matplotlib"] = None
import blockpool.plot_advice
try:
    blockpool.plot_advice.sizes(None)
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs matplotlib; install what it needs with" in done.stdout
