"""A page about advice: one HTML file that needs no network, no server and no script.

`advice_page` is a pure function of the advice. The page has the verdict and the call, live bytes over time, a table of
what was simulated with a bar of its waste, what was measured, sizes, and sites. It is readable on a light and a dark
background, on paper, and by a screen reader.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from blockpool.report import advice_words as words
from blockpool.report.assets import STYLE
from blockpool.report.charts import chart, line_swatch
from blockpool.report.colours import HUES
from blockpool.report.formats import percent
from blockpool.report.parts import facts, listing, swatch, text
from blockpool.report.svg import Part, bar
from blockpool.report.text import count, in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blockpool.advice.results import Advice, Candidate, Site

__all__ = ["advice_page"]

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_BAR = 220


def advice_page(advice: Advice) -> str:
    """Return a page about advice: an HTML document."""
    said = words.verdict(advice)
    parts = [
        f'<h1 id="advice">{said}</h1>',
        f"<ul>{''.join(f'<li>{text(each)}</li>' for each in advice.reasons)}</ul>",
        _call(advice),
        "<h2>The trace</h2>",
        facts((heading, text(sentence)) for heading, sentence in words.outline(advice.outline)),
        _history(advice),
        _candidates(advice),
        _measured(advice),
        _sizes(advice),
        _sites(advice.sites),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{said.rstrip(".")} - blockpool</title><style>{STYLE}</style></head>'
        f'<body><header><p>blockpool advise</p></header><main><section aria-labelledby="advice">{"".join(parts)}'
        "</section></main><footer><p>Simulated with the code of real pools; what was measured is said to be."
        "</p></footer></body></html>\n"
    )


def _call(advice: Advice) -> str:
    said = words.whose(advice)
    return f"<p>{text(said)}</p><pre class=call><code>{text(advice.call)}</code></pre>" if said else ""


def _history(advice: Advice) -> str:
    """Return the picture of live bytes, with what it says in words."""
    of = advice.outline
    if not of.history:
        return ""
    levels = words.levels(advice)
    named = "".join(
        f"<li>{line_swatch(each.colour, each.dashes)}{each.label}: {in_bytes(each.nbytes)}</li>" for each in levels
    )
    title = f"Live bytes over time: at most {in_bytes(of.peak_bytes)}, {in_bytes(of.mean_bytes)} on average"
    drawn = chart(of.history, levels, title, timed=of.timed)
    return (
        '<h2>Live bytes</h2><figure><div class=wide role=region tabindex=0 aria-label="Live bytes over time">'
        f"{drawn}</div><figcaption><ul class=legend><li>{swatch(HUES[0])}asked for and live</li>{named}</ul>"
        "</figcaption></figure>"
    )


def _candidates(advice: Advice) -> str:
    """Return two tables, as in a terminal: what the pools cost, and how they are used."""
    if not advice.candidates:
        return ""
    whole = words.longest(advice.candidates)
    named = [
        (each, f"{_whole(map(words.pool, each.plans))}{'<strong>recommended</strong>' * (each == advice.recommended)}")
        for each in advice.candidates
    ]
    legend = "".join(
        f"<li>{swatch(colour)}{escape(said)}</li>" for colour, (_, said) in zip(words.COLOURS, words.PARTS, strict=True)
    )
    costs = ["blocks", ">memory", ">waste", "consists of", ">inner", ">outer", ">metadata"]
    uses = ["blocks", "requests", ">at most", ">longest run", ">refused", ">ns a pair"]
    cost_rows = [[name, *_costs(each, whole)] for each, name in named]
    use_rows = [[name, *_uses(each)] for each, name in named]
    return (
        "<h2>Simulated pools</h2><p>The least wasteful first. Waste is the memory of the pools less the most bytes that"
        " are live at a time. Its parts are counted when most blocks are allocated, and may be more than it."
        f" A whole bar is {in_bytes(whole)} or more.</p>"
        f"<ul class=legend>{legend}</ul>"
        f"{listing('Simulated pools', costs, cost_rows)}"
        f"<h2>How they are used</h2>{listing('How they are used', uses, use_rows)}"
    )


def _costs(candidate: Candidate, whole: int) -> list[str]:
    each = zip(words.COLOURS, words.PARTS, words.waste(candidate), strict=True)
    parts = [(Part(colour, nbytes), f"{name} {in_bytes(nbytes)}") for colour, (name, _), nbytes in each]
    return [
        in_bytes(candidate.bytes),
        in_bytes(candidate.waste),
        _bar([part for part, _ in parts], whole, ", ".join(said for _, said in parts)),
        in_bytes(candidate.inner),
        in_bytes(candidate.outer),
        in_bytes(candidate.metadata),
    ]


def _uses(candidate: Candidate) -> list[str]:
    return [
        _whole(map(words.requests, candidate.plans)),
        _whole(f"{blocks:,}" for blocks in candidate.peak_blocks),
        _whole(f"{blocks:,}" for blocks in candidate.longest_run),
        f"{candidate.refusals:,}",
        f"{candidate.nanoseconds:,.0f}",
    ]


def _bar(parts: list[Part], whole: int, title: str) -> str:
    """Return a bar that its column does not make shorter."""
    return f"<div class=bar>{bar(parts, whole, title, width=_BAR)}</div>"


def _whole(lines: Iterable[str]) -> str:
    """Return lines, one for each pool of a candidate."""
    return "".join(f"<div class=whole>{text(each)}</div>" for each in lines)


def _measured(advice: Advice) -> str:
    rows = [[text(cell) for cell in row] for row in words.measured(advice)]
    missing = words.unmeasured(advice)
    note = f"<p>{text(missing)}</p>" if missing else ""
    return f"<h2>Measured</h2>{listing('Measured with the same trace', words.MEASURED, rows) if rows else ''}{note}"


def _sizes(advice: Advice) -> str:
    """Return how many requests each frequent size has, the smallest size first."""
    of = advice.outline
    if not of.sizes:
        return ""
    most = max(requests for _, requests in of.sizes)
    rows = [
        [
            words.exact(size),
            f"{requests:,}",
            percent(requests, of.allocations),
            _bar([Part(HUES[0], requests)], most, f"{requests:,} requests of {words.exact(size)}"),
        ]
        for size, requests in sorted(of.sizes)
    ]
    table = listing("Frequent sizes", [">size", ">requests", ">of all", "compared"], rows)
    return f"<h2>Sizes</h2><p>The {count(len(rows), 'most frequent size')}.</p>{table}"


def _sites(sites: tuple[Site, ...]) -> str:
    if not sites:
        return ""
    headings = ["where", "pool", ">waste", ">allocations", ">in all", ">at most live", ">sizes", ">lived"]
    table = listing("Sites", headings, map(_site, sites))
    note = f"The best sites for a pool first; half of what each allocates lived longer. {words.SITES}"
    return f"<h2>Sites</h2><p>{note}</p>{table}"


def _site(site: Site) -> list[str]:
    where = f"<code>{text(words.frame(site.where))}</code>"
    if site.stack[1:]:
        calls = "\n".join(words.frame(each) for each in site.stack)
        where = f"<details><summary>{where}</summary><pre>{text(calls)}</pre></details>"
    return [
        f"<div class=site>{where}<p>{text(site.why)}</p></div>",
        f"<span class=whole>{'malloc' if site.plan is None else words.pool(site.plan)}</span>",
        "-" if site.plan is None else in_bytes(site.waste),
        f"{site.allocations:,}",
        in_bytes(site.total_bytes),
        in_bytes(site.peak_bytes),
        words.sizes(site.smallest, site.largest),
        words.span(site.seconds) if site.seconds else "-",
    ]
