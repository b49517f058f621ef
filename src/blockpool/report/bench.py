"""What benchmarks found, as Markdown: every line, won or lost, and first of all where blockpool loses."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from blockpool.bench.statistics import CONFIDENCE
from blockpool.report.text import count, in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from blockpool.bench.results import Asked, Benchmark, Gap, Line

__all__ = ["bench_report", "summary", "value_of"]

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_HEADINGS = ("case", "of blockpool", "takes", "beside", "takes", "ratio", "interval", "pairs", "")
_VERDICTS = {"won": "won", "lost": "**lost**", "even": "even"}
_LARGE = 1000


def bench_report(found: Benchmark, plots: Mapping[str, str] | None = None) -> str:
    """Return the report.

    Parameters
    ----------
    found : Benchmark
        What was found.
    plots : mapping of str to str or None
        The pictures of questions, by their names, as the report is to link to them.
    """
    return "\n".join(_parts(found, plots or {})) + "\n"


def summary(found: Benchmark) -> str:
    """Return in one sentence how many lines were won and lost."""
    verdicts = [line.verdict for line in found.lines]
    failed = sum(gap.failed for gap in found.gaps)
    return (
        f"{count(len(verdicts), 'line')}: {verdicts.count('won')} won, {verdicts.count('lost')} lost, "
        f"{verdicts.count('even')} even"
        + (f"; {count(failed, 'line')} could not be measured" if failed else "")
        + ("" if found.complete else "; interrupted")
    )


def value_of(value: float, unit: str) -> str:
    """Return a value in words."""
    if unit == "bytes":
        return f"{value:.2f}"
    for size, name in _UNITS:
        if value >= size or size == 1:
            scaled = value / size
            return f"{scaled:.3g} {name}" if scaled < _LARGE else f"{scaled:.0f} {name}"
    return ""


def _parts(found: Benchmark, plots: Mapping[str, str]) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield f"Made by `blockpool bench{' --quick' if found.quick else ''}`; [how to read this](benchmarks.md)."
    yield ""
    yield f"**{summary(found)}.**"
    yield ""
    if found.quick:
        yield "This was a quick run, with few and small cases: it shows that all works, and is no measurement."
        yield ""
    if not found.complete:
        yield "It was interrupted: what is here was measured before that."
        yield ""
    yield from _machine(found)
    yield from _losses(found)
    for question in found.questions:
        yield from _question(found, question, plots.get(question.name))
    yield from _contestants(found)


def _machine(found: Benchmark) -> Iterator[str]:
    machine = found.machine
    began = dt.datetime.fromtimestamp(found.time, dt.UTC)
    yield "## Measured on"
    yield ""
    yield from _table(
        ("", ""),
        [
            ("processor", f"{machine.processor}; {machine.cores} processors, {machine.usable} usable"),
            ("memory", f"{in_bytes(machine.memory)}; {in_bytes(machine.shared)} free in /dev/shm"),
            ("huge pages", f"private: {machine.huge_pages}; shared: {machine.huge_shared_pages}"),
            ("system", f"{machine.system}, {machine.libc}, {machine.python}"),
            ("load before it began", f"{machine.load:.2f}"),
            ("blockpool", found.version),
            ("when", f"{began:%Y-%m-%d %H:%M} UTC, for {found.seconds / 60:.1f} minutes"),
        ],
    )


def _losses(found: Benchmark) -> Iterator[str]:
    yield "## Where it loses"
    yield ""
    lost = sorted((line for line in found.lines if line.verdict == "lost"), key=lambda line: -line.ratio)
    if not lost:
        yield "No line was lost."
        yield ""
        return
    yield (
        f"{count(len(lost), 'line')} of {len(found.lines)}, the worst first. The ratio is ours to the peer's: 2 is "
        f"twice as much."
    )
    yield ""
    units = {question.name: question.unit for question in found.questions}
    yield from _table(
        ("question", *_HEADINGS[:-1]), [(line.question, *_row(line, units[line.question])) for line in lost]
    )


def _question(found: Benchmark, question: Asked, plot: str | None) -> Iterator[str]:
    lines = [line for line in found.lines if line.question == question.name]
    yield f"## {question.asks}"
    yield ""
    yield f"`{question.name}`. {question.how}"
    yield ""
    if question.unit == "bytes":
        yield "The values are bytes for each byte asked for."
        yield ""
    if not question.done:
        yield "Not all of it was measured."
        yield ""
    if plot:
        yield f"![{question.asks}]({plot})"
        yield ""
    if lines:
        rows = [(*_row(line, question.unit), _VERDICTS[line.verdict]) for line in lines]
        yield from _table(_HEADINGS, rows)
    gaps = [gap for gap in found.gaps if gap.question == question.name]
    for title, failed in (("Could not be measured:", True), ("Have no part:", False)):
        some = list(_gathered(gap for gap in gaps if gap.failed == failed))
        if some:
            yield title
            yield ""
            yield from some
            yield ""


def _gathered(gaps: Iterable[Gap]) -> Iterator[str]:
    """Yield a line for each contender and reason, with its cases."""
    cases: dict[tuple[str, str], list[str]] = {}
    for gap in gaps:
        cases.setdefault((gap.contender, gap.why), []).append(gap.case)
    for (contender, why), names in cases.items():
        yield f"- {contender} ({'; '.join(names)}): {_cell(why)}"


def _contestants(found: Benchmark) -> Iterator[str]:
    yield "## Who was compared, and how each is used"
    yield ""
    yield from _table(
        ("", "version", "use"), [(each.name, each.version, each.use) for each in found.contestants if not each.absent]
    )
    absent = [each for each in found.contestants if each.absent]
    if absent:
        yield "Could not be had:"
        yield ""
        for each in absent:
            yield f"- {each.name}: {_cell(each.absent)}"
        yield ""


def _row(line: Line, unit: str) -> tuple[str, ...]:
    sure = "" if line.coverage >= CONFIDENCE else f" ({line.coverage:.0%})"
    return (
        line.case,
        line.ours,
        value_of(line.ours_value, unit),
        line.peer,
        value_of(line.peer_value, unit),
        _ratio(line.ratio),
        f"{_ratio(line.low)} to {_ratio(line.high)}{sure}",
        str(len(line.pairs)),
    )


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"  # noqa: PLR2004 - two digits that say something


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"
    yield ""


def _cell(text: str) -> str:
    """Return text that stays in its cell, and in its line."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
