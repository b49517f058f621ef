"""The report and the plots: what is won, what is lost, what is missing."""

from dataclasses import replace

import pytest

from blockpool.report.bench import bench_report, summary, value_of


def section(report, title):
    """Return the lines of a section."""
    return report.partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines()


def test_losses_come_first_and_the_worst_of_them(found):
    """There is a section of all losses, made from the numbers, before any question."""
    report = bench_report(found)
    assert report.index("## Where it loses") < report.index("## What does it cost?")
    lost = [row for row in section(report, "Where it loses") if row.startswith("| create")]
    assert [row.split(" | ")[4] for row in lost] == ["quickest one", "quick one"]
    assert "30.00 | 27.00 to 33.00" in lost[0]
    assert any(said.startswith("2 lines of 7, the worst first") for said in section(report, "Where it loses"))


def test_every_line_is_in_the_table_of_its_question(found):
    """Each has its verdict; one whose interval covers less than 95 % says how much."""
    rows = [row for row in section(bench_report(found), "What does it cost?") if row.startswith("|")][2:]
    assert [row.split(" | ")[-1].strip(" |") for row in rows] == ["won", "**lost**", "**lost**", "even"]
    assert "0.01 | 0.009 to 0.011" in rows[0]
    assert "(75%)" in rows[3]


def test_no_losses_are_said_too(found):
    """A report without a loss says so."""
    won = replace(found, lines=found.lines[:1])
    assert "No line was lost." in section(bench_report(won), "Where it loses")


def test_what_is_missing_is_said(found):
    """Failures, cases without a part, and peers that could not be had are listed, each with its reason."""
    report = bench_report(found)
    assert "- broken one (64 B): killed by SIGSEGV" in report
    assert "- other one (64 B; 4 KiB): it has no part" in report
    assert "- missing one: pip: &lt;no wheel>" in report
    assert "Some \\| processor" in report
    assert "Not all of it was measured." in section(report, "How late?")


def test_quick_and_interrupted_runs_say_so(found):
    """Nobody takes one for a measurement."""
    report = bench_report(replace(found, quick=True, complete=False))
    assert "is no measurement" in report
    assert "It was interrupted" in report
    assert summary(found) == "7 lines: 4 won, 2 lost, 1 even; 1 line could not be measured"


def test_pictures_are_linked(found):
    """A question that has a picture shows it."""
    assert "![How late?](plots/tails.png)" in bench_report(found, {"tails": "plots/tails.png"})


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.51, "ns", "0.51 ns"),
        (999.9, "ns", "1e+03 ns"),
        (1234, "ns", "1.23 µs"),
        (5e10, "ns", "50 s"),
        (1.5, "bytes", "1.50"),
    ],
)
def test_values_in_words(value, unit, said):
    """Three digits, in the unit that fits."""
    assert value_of(value, unit) == said


def test_a_plot_has_a_curve_for_each_contender(found):
    """There are axes for each group, and every contender is in the legend once, ours first."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    from blockpool.plot_bench import figure

    create, tails = found.questions
    drawn = figure(found, create)
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == [
        "private pool", "slow one", "quick one", "quickest one", "equal one",
    ]  # fmt: skip
    axes = figure(found, tails).axes
    assert [each.get_title() for each in axes] == ["write", "hand-off"]
    assert list(axes[0].lines[0].get_xdata()) == [0, 1]
    assert figure(replace(found, lines=()), create) is None
    matplotlib.pyplot.close("all")
