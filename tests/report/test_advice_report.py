"""Advice as text, as a page and as JSON: every number of it is there, at any width, and hostile text is only text."""

import ast
import json
import re
from dataclasses import fields, replace
from importlib import resources

import pytest

pytest.importorskip("rich")
pytest.importorskip("hypothesis")
pytest.importorskip("jsonschema")

import jsonschema
from hypothesis import Phase, given, settings
from rich.cells import cell_len
from rich.console import Console

import advising
from blockpool.replay.results import Plan
from blockpool.report import advice_words, charts
from blockpool.report.advice import advice_report
from blockpool.report.advice_page import advice_page
from blockpool.report.charts import Level, chart, ticks_of_bytes, ticks_of_seconds
from blockpool.report.documents import fields_of
from blockpool.report.json import document, plain
from blockpool.report.text import in_bytes
from markup import Markup, read_safely

WIDE = 2000
SCHEMA = json.loads((resources.files("blockpool.report") / "schema.json").read_text("utf-8"))
SIZES = {"bytes", "waste", "inner", "outer", "metadata", "peak_bytes", "total_bytes", "mean_bytes", "resident"}
EXACT = {"smallest", "median", "largest"}


def text_of(advice, width=WIDE, sites=20):
    """Return advice as text of that width."""
    console = Console(width=width, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(advice_report(advice, sites=sites))
    return captured.get()


def numbers_of(value, names):
    """Yield how the numbers in some fields of a part of advice are written."""
    for name in names:
        number = getattr(value, name)
        if name in EXACT:
            yield advice_words.exact(number)
        elif name in SIZES:
            yield in_bytes(number)
        elif isinstance(number, tuple):
            yield from (f"{each:,}" for each in number)
        else:
            yield f"{number:,.0f}"


def told(advice, candidates):
    """Yield what a report must say that lists so many candidates."""
    yield from numbers_of(
        advice.outline,
        ["events", "allocations", "threads", "peak_bytes", "mean_bytes", "smallest", "median", "largest"],
    )
    yield from (f"{each:,}" for each in (advice.outline.unmatched, advice.outline.lost) if each)
    for candidate in advice.candidates[:candidates]:
        yield from numbers_of(
            candidate,
            ["peak_blocks", "longest_run", "refusals", "bytes", "waste", "inner", "outer", "metadata", "nanoseconds"],
        )
        for plan in candidate.plans:
            yield f"{advice_words.exact(plan.block_size)} x {plan.blocks:,}"
    for each in filter(None, (advice.pool, advice.malloc)):
        yield from numbers_of(each, ["failures", "waits"])
        yield each.allocator
        if each.resident is not None:
            yield in_bytes(each.resident)
    for site in advice.sites:
        yield from numbers_of(site, ["allocations", "total_bytes", "peak_bytes", "smallest", "largest"])
        if site.plan is not None:
            yield f"{advice_words.exact(site.plan.block_size)} x {site.plan.blocks:,}"
            yield in_bytes(site.waste)


ANY = given(advising.any_advice())
# An example is not made smaller, which takes minutes: it is no longer than a report.
FEW = settings(max_examples=25, deadline=None, phases=[Phase.generate])


@FEW
@ANY
def test_text_says_every_number(advice):
    """The text has every number of the trace, the candidates, what was measured and the sites."""
    said = text_of(advice)
    for each in told(advice, 5):
        assert each in said


@FEW
@ANY
def test_a_page_says_every_number(advice):
    """The page has the same numbers, is whole, runs no code and fetches nothing."""
    page = advice_page(advice)
    read_safely(page)
    said = read_safely(re.sub("<title>.*?</title>", "", page)).text  # pictures say some of it once more
    for each in told(advice, 100):
        assert each in said


@FEW
@ANY
def test_json_is_described_by_the_schema(advice):
    """The document of advice has all of it, and the schema that is shipped describes it."""
    data = json.loads(document(*fields_of(advice)))
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert {"schema": 1, "kind": "advice", **plain(advice)} == data
    assert set(data) == {"schema", "kind", *(each.name for each in fields(advice))}
    for site, written in zip(advice.sites, data["sites"], strict=True):
        assert written["where"] == site.where._asdict()


@pytest.mark.parametrize("width", [20, 40, 80])
@FEW
@ANY
def test_text_fits(width, advice):
    """No line is wider than the terminal, and none has a control character, whatever the trace says."""
    lines = text_of(advice, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    assert all(line.isprintable() for line in lines)


def test_usual_advice_has_tables_in_80_columns():
    """In 80 columns the tables of usual advice are tables; in 40 some are lines with their headings."""
    assert "metadata: " not in text_of(advising.advice(), 80)
    assert "metadata: " in text_of(advising.advice(), 40)


def test_the_verdict_stands_first():
    """The first line is the verdict, and the call follows before all tables; it is named for what it is."""
    used, not_used = advising.advice(), advising.advice(use=False)
    assert text_of(used).startswith("Use pools.\n")
    assert text_of(replace(used, recommended=used.candidates[1])).startswith("Use a pool.\n")
    assert text_of(not_used).startswith("Do not use a pool.\n")
    for advice in (used, not_used):
        said = text_of(advice)
        assert said.index(advice.reasons[0]) < said.index("blockpool.Pool(65_600, 176)") < said.index("Simulated")
        assert "10 % more blocks than the trace needs" in said
    assert "if you need one all the same" in text_of(not_used)
    assert "if you need one all the same" not in text_of(used)


def test_the_recommended_is_marked():
    """One candidate is marked in each table, also if it is not among those that are listed."""
    many = tuple(advising.candidate(Plan(1024, 100 + at)) for at in range(30))
    for best in (many[2], many[29]):
        said = text_of(advising.advice(candidates=many, recommended=best))
        marked = [line for line in said.splitlines() if line.startswith("* ")]
        assert len(marked) == 2
        assert all(f"1 KiB x {best.plans[0].blocks}" in line for line in marked)
    assert "24 more in --html" in said
    page = read_safely(advice_page(advising.advice(candidates=many, recommended=many[29]))).text
    assert page.count("1 KiB x 129recommended") == 2
    assert page.count("recommended") == 2


def test_code_can_be_copied_at_any_width():
    """A comment that does not fit stands above its line of code, so that what is shown is the same program."""
    call = "small = blockpool.Pool(64, 6_835)  # up to 1,983: 6,054 at most at a time, in runs of up to 31"
    advice = advising.advice(call=call, reasons=(), candidates=())
    for width in (45, 80, 100, WIDE):
        lines = text_of(advice, width).partition("trace needs:")[2].partition("\ntrace ")[0]
        if width == 45:
            lines = lines.partition("needs:")[2] or lines
        code = "\n".join(line[4:] for line in lines.splitlines())
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(call)), width
        assert ("  # up to" in code) == (width >= 100)
        assert "runs of up to 31" in " ".join(code.replace("#", " ").split())


def test_an_empty_trace():
    """Advice on a trace without allocations has a verdict and the trace, and no call."""
    outline = advising.outline(
        events=0, allocations=0, history=(), sizes=(), peak_bytes=0, mean_bytes=0, smallest=0, median=0, largest=0,
        seconds=0.0, live_at_end=0, unmatched=0,
    )  # fmt: skip
    empty = advising.advice(
        outline=outline, candidates=(), recommended=None, call="", malloc=None, pool=None, use=False,
        reasons=("The trace has no allocations.",), sites=(),
    )  # fmt: skip
    for said in (text_of(empty), read_safely(advice_page(empty)).text):
        assert "There is nothing that a pool could serve." in said
        assert "The trace has no allocations." in said
        assert "more blocks than" not in said
        assert "Nothing was measured" not in said


def test_what_was_not_measured_is_said():
    """A replay that was stopped, times that were not measured, and lost events are named."""
    stopped = advising.advice(
        malloc=advising.replayed("malloc", complete=False), outline=advising.outline(timed=False, lost=5)
    )
    for said in (text_of(stopped), read_safely(advice_page(stopped)).text):
        assert "before the end of the trace: malloc." in said
        assert "at least 14 MiB" in said
        assert "not measured" in said
        assert "5 events lost" in said
    assert "time limit" not in text_of(advising.advice())
    assert "at least" not in text_of(advising.advice(reasons=()))


def test_sites():
    """As many sites are listed as asked for, and it is said how to see the others; the page has all, with stacks."""
    sites = tuple(advising.site(f"work{at}") for at in range(7))
    advice = advising.advice(sites=sites)
    said = text_of(advice, sites=3)
    assert [f"work{at} " in said for at in range(7)] == [True] * 3 + [False] * 4
    assert "4 more sites; --sites 7 shows all." in said
    assert "Sites" not in text_of(advice, sites=0)
    found = read_safely(advice_page(advice))
    assert all(f"work{at} " in found.text for at in range(7))
    assert found.tags().count("details") == 7
    assert "no pool for it alone" in text_of(advising.advice(sites=(advising.site("work", plan=None),)))


def hostile():
    """Return advice whose every text is hostile."""
    frame = advising.Frame(advising.HOSTILE, advising.HOSTILE, 3)
    return advising.advice(
        outline=advising.outline(source=advising.HOSTILE, filter=advising.HOSTILE),
        call=advising.HOSTILE,
        reasons=(advising.HOSTILE,),
        sites=(advising.site("x", where=frame, stack=(frame,) * 4, why=advising.HOSTILE),),
        malloc=advising.replayed(advising.HOSTILE),
    )


def test_hostile_text_is_only_text():
    """Functions, files, sources and reasons with markup or control characters are shown as they are, escaped."""
    advice = hostile()
    found = read_safely(advice_page(advice))
    assert found.text.count("<img src=x onerror=alert(1)>") >= 10
    assert not re.search("[\x00\x1b\u202e\ud800]", found.text)
    said = text_of(advice)
    assert said.count("\\x1b[2J\\u202e\\ud800") >= 8
    assert "[bold]" in said
    assert not re.search("[\x00\x1b\u202e\ud800]", said)


def test_a_page_has_pictures():
    """The page has a picture of live bytes with both lines, a bar for each candidate and size, and words for each."""
    advice = advising.advice()
    document_ = advice_page(advice)
    found = read_safely(document_)
    titles = re.findall("<title>(.*?)</title>", document_)[1:]
    assert len(titles) == 1 + len(advice.candidates) + len(advice.outline.sizes)
    assert "at most 13.0 MiB" in titles[0]
    assert "malloc, resident: 19 MiB" in found.text
    assert "the pools: 13.5 MiB" in found.text
    policy = next(each["content"] for _, each in found.elements if "http-equiv" in each)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    ids = [each["id"] for _, each in found.elements if "id" in each]
    assert len(ids) == len(set(ids))


def test_bars_of_waste():
    """The longest bar is that of the most wasteful candidate, unless it is hopeless: then it is cut off."""
    good = advising.candidate(Plan(8, 100), inner=500, outer=250, metadata=250)
    for inner, share in ((1500, 0.5), (10**9, 1.0)):
        poor = advising.candidate(Plan(8, 9), inner=inner, outer=250, metadata=250)
        bars = advice_page(advising.advice(candidates=(good, poor))).split("<div class=bar>")[1:3]
        lengths = [[float(each) for each in re.findall('width="([0-9.]+)" height="1" fill="#', bar)] for bar in bars]
        assert [sum(each) for each in lengths] == pytest.approx([100 * share, 100])
        assert lengths[0] == pytest.approx([50 * share, 25 * share, 25 * share])


@FEW
@ANY
def test_a_chart_stays_within_its_frame(advice):
    """Every coordinate of a chart is inside of it, and each level has its line, whatever the sizes are."""
    levels = advice_words.levels(advice)
    drawn = chart(advice.outline.history, levels, advising.HOSTILE, timed=advice.outline.timed)
    found = Markup(drawn)
    _, frame = found.elements[0]
    width, height = map(float, frame["viewbox"].split()[2:])
    paths = [each["d"] for tag, each in found.elements if tag == "path"]
    assert len(paths) == 1 + len(levels)
    for path in paths:
        assert all(0 <= float(x) <= width for x in re.findall("[MH]([-0-9.e]+)", path))
        assert all(0 <= float(y) <= height for y in re.findall("(?:V|M[^ ]+ )([-0-9.e]+)", path))


def test_a_chart_has_a_step_for_each_point():
    """A point's size holds since the point before, and a level is at its size."""
    drawn = chart([(1.0, 0), (4.0, 100), (8.0, 50)], [Level("pool", 100, "#000", "1")], "x")
    area, line = re.findall(' d="(.*?)"', drawn)
    (top, second, third), (x1, x2, x3) = re.findall("V([0-9.]+)H", area), re.findall("H([0-9.]+)", area)
    bottom, full, half = float(top), float(second), float(third)
    assert half == pytest.approx((bottom + full) / 2, abs=0.1)
    assert float(x3) - float(x2) == pytest.approx((float(x3) - float(x1)) * 4 / 7, abs=0.2)
    assert line.split("H")[0].endswith(f" {full:.1f}")


def test_ticks():
    """Marks begin at 0, are few and even, and reach the largest size; those of time do not go past the end."""
    for power in range(64):
        for most in (2**power, 3 * 2**power // 2, 2**power + 1):
            found = ticks_of_bytes(most)
            assert found[0] == 0
            assert found[-2] < most <= found[-1]
            assert len(found) <= 7
    for most in (1e-9, 0.3, 1, 7.7, 12345.6, 1e9):
        found = ticks_of_seconds(most)
        assert found[0] == 0
        assert 0.6 * most < found[-1] <= most * 1.001
        assert 3 <= len(found) <= 7


def test_doctests():
    """The examples in the modules hold."""
    import doctest

    for module in (advice_words, charts):
        assert doctest.testmod(module, raise_on_error=True).attempted
