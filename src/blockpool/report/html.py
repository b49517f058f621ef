"""A page about one or more shared pools: one HTML file that needs no network, no server and no script.

`page` is a pure function of snapshots. The page has the picture of each pool by holder and by age, who holds what, the
numbers, processes, oldest runs, queues and names; it is readable on a light and a dark background, on paper, and by a
screen reader. A small script tells which blocks a cell stands for while the pointer is on it; nothing depends on it.

>>> import blockpool
>>> from blockpool.observe import snapshot
>>> pool = blockpool.Pool.create("4KiB", 16)
>>> page([snapshot(pool, cells=16)]).startswith("<!doctype html>")
True
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from html import escape
from itertools import pairwise, starmap
from time import gmtime, strftime
from typing import TYPE_CHECKING, Any

from blockpool.report.assets import SCRIPT, STYLE
from blockpool.report.colours import AGES, HUES, of_holder
from blockpool.report.formats import percent
from blockpool.report.parts import (
    facts,
    holder_swatch,
    holdings,
    label_of,
    listing,
    shown,
    span,
    swatch,
    text,
)
from blockpool.report.svg import Part, bar, columns_of, map_picture
from blockpool.report.text import in_bytes, shown_pid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blockpool.observe import Snapshot
    from blockpool.report.parts import Holding
    from blockpool.stats import PoolMap, QueueInfo, Run

__all__ = ["page"]

_WIDTH = 1024
# So many holders of a run, or users of a queue, are named.
_MOST_NAMED = 8


def page(snapshots: Sequence[Snapshot], findings: Iterable[Any] = ()) -> str:
    """Return a page about pools.

    Parameters
    ----------
    snapshots : sequence of Snapshot
        One of each pool; with a map, there is a picture.
    findings : iterable
        What `blockpool.doctor` found: objects with `severity`, `pool`, `sentence` and `remedy`.

    Returns
    -------
    str
        An HTML document.
    """
    names = [_name(each) for each in snapshots]
    title = f"{names[0]} - blockpool" if len(names) == 1 else f"{len(names)} pools - blockpool"
    digest = base64.b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    contents = ""
    if len(names) > 1:
        links = "".join(f'<li><a href="#pool-{at}">{text(name)}</a></li>' for at, name in enumerate(names))
        contents = f'<nav aria-label="Pools"><ul>{links}</ul></nav>'
    sections = "".join(starmap(_section, enumerate(snapshots)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f'<link rel="icon" href="data:,"><title>{text(title)}</title><style>{STYLE}</style></head><body>'
        f"<header><p>blockpool</p>{contents}</header><main>{_findings(findings)}{sections}</main>"
        f"<footer><p>{_footer(snapshots)}</p></footer><script>{SCRIPT}</script></body></html>\n"
    )


def _footer(snapshots: Sequence[Snapshot]) -> str:
    if not snapshots:
        return "There was no pool to look at."
    when = _when(max(each.time for each in snapshots))
    return f"Seen {when} from outside, while processes went on; so the numbers of a pool are of no single moment."


def _name(seen: Snapshot) -> str:
    return seen.name or f"pool {seen.pool_id[:8]}"


def _when(seconds: float | None) -> str:
    """Format a time; what a damaged pool says may be no time at all."""
    if seconds is None:
        return "-"
    try:
        return strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(seconds))
    except (ValueError, OverflowError, OSError):
        return "-"


def _findings(findings: Iterable[Any]) -> str:
    items = "".join(
        f'<li class="{text(each.severity)}"><strong>{text(each.severity)}</strong> {text(each.sentence)}'
        f"<br>{_with_code(each.remedy)}</li>"
        for each in findings
    )
    if not items:
        return ""
    heading = '<h2 id="findings">Findings</h2>'
    return f'<section aria-labelledby="findings">{heading}<ul class=findings>{items}</ul></section>'


def _with_code(sentence: str) -> str:
    """Return a sentence as HTML; what stands in backquotes is a command."""
    pieces = sentence.split("`")
    return "".join(f"<code>{text(each)}</code>" if at % 2 else text(each) for at, each in enumerate(pieces))


def _section(at: int, seen: Snapshot) -> str:
    """Return all about one pool."""
    held = holdings(seen.survey, seen.processes)
    counts = seen.counts
    gone = "" if seen.exists else "<p class=gone>The pool is gone: nobody can attach it any more.</p>"
    full = (
        f"<p>{counts.allocated:,} of {seen.blocks:,} blocks of {in_bytes(seen.block_size)} are allocated:"
        f" {in_bytes(counts.allocated * seen.block_size)} of {in_bytes(seen.nbytes)},"
        f" <strong>{percent(counts.allocated, seen.blocks)}</strong>.</p>"
    )
    parts = [
        f'<h1 id="pool-{at}">{text(_name(seen))}</h1>',
        full,
        gone,
        "" if seen.map is None else _pictures(at, seen, seen.map),
        _holders(seen, held),
        "<h2>Numbers</h2>",
        _numbers(seen),
        _processes(seen),
        _runs(seen),
        _queues(seen),
        _names(seen),
    ]
    return f'<section class=pool aria-labelledby="pool-{at}">{"".join(parts)}</section>'


# --- the picture ---


def _pictures(at: int, seen: Snapshot, drawn: PoolMap) -> str:
    """Return the map by holder and by age; two buttons choose the one that is shown."""
    says = f"{seen.counts.allocated:,} of {seen.blocks:,} blocks are allocated; the tables below say by whom"
    data = escape(json.dumps(_data(seen, drawn)))
    by_holder = map_picture(drawn, f"Map by holder: {says}", width=_WIDTH)
    by_age = map_picture(drawn, f"Map by age: {says}", by="age", width=_WIDTH)
    per_cell = drawn.blocks / drawn.cells
    columns = columns_of(drawn.cells)
    scale = "A cell is a block" if per_cell == 1 else f"A cell is {_about(per_cell)} blocks, paler if some are free"
    ages = "".join(f"<li>{swatch(age.colour)}{age.label}</li>" for age in AGES)
    return (
        f'<div class=maps data-map="{data}"><input type=radio name="by-{at}" id="holder-{at}" class=holder checked>'
        f'<label for="holder-{at}">by holder</label>'
        f'<input type=radio name="by-{at}" id="age-{at}" class=age><label for="age-{at}">by age</label>'
        f"<figure class=by-holder>{by_holder}</figure>"
        f"<figure class=by-age>{by_age}<figcaption><ul class=legend>{ages}</ul></figcaption></figure>"
        f"<p class=scale>{scale}; a row is {_about(per_cell * columns)}."
        f" <output class=under-pointer></output></p></div>"
    )


def _about(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"about {number:,.0f}"


def _data(seen: Snapshot, drawn: PoolMap) -> dict[str, object]:
    """Return what the script needs to say what is under the pointer."""
    share = bytes(
        min(100, -(-100 * used // len(drawn.range_of(cell)))) if used else 0
        for cell, used in enumerate(drawn.allocated)
    )
    kinds = sorted(set(drawn.holder))
    number = {holder: at for at, holder in enumerate(kinds)}
    wide = len(kinds) > 0xFF  # noqa: PLR2004 - a byte
    holders = b"".join(number[each].to_bytes(1 + wide, "little") for each in drawn.holder)
    return {
        "first": drawn.first,
        "blocks": drawn.blocks,
        "cells": drawn.cells,
        "columns": columns_of(drawn.cells),
        "share": base64.b64encode(share).decode(),
        "holder": base64.b64encode(holders).decode(),
        "wide": wide,
        "labels": [shown(label_of(each, seen.processes)) for each in kinds],
    }


# --- the tables ---


def _holders(seen: Snapshot, held: Sequence[Holding]) -> str:
    whole = seen.blocks
    rows = [
        (
            f"{holder_swatch(each.holder)}{text(each.label)}",
            f"{each.blocks:,}",
            in_bytes(each.blocks * seen.block_size),
            percent(each.blocks, whole),
        )
        for each in held
    ]
    free = max(0, whole - seen.counts.allocated)
    rows.append((f"{swatch('none')}free", f"{free:,}", in_bytes(free * seen.block_size), percent(free, whole)))
    says = "; ".join(f"{shown(each.label)}: {percent(each.blocks, whole)}" for each in held)
    parts = [Part(of_holder(each.holder), each.blocks) for each in held]
    several = sum(each.blocks for each in held) > seen.survey.allocated
    notes = []
    if several:
        notes.append("Blocks that several processes hold count for each of them.")
    if len(seen.survey.held) > len(HUES):
        notes.append(f"There are {len(HUES)} colours, so after that many processes they repeat.")
    note = f"<p>{' '.join(notes)}</p>" if notes else ""
    return (
        f"<h2>Who holds it</h2>{bar(parts, max(whole, sum(each.blocks for each in held)), says, width=_WIDTH)}"
        f"{listing('Who holds it', ['holder', '>blocks', '>bytes', '>of the pool'], rows)}{note}"
    )


def _numbers(seen: Snapshot) -> str:
    counts, survey = seen.counts, seen.survey
    used = survey.allocated * seen.block_size
    tickets = f"{survey.tickets:,}" + (f", the oldest {span(survey.oldest_ticket)} old" if survey.tickets else "")
    asked = f"{in_bytes(survey.requested_bytes)}, {percent(survey.requested_bytes, used)} of what is allocated"
    return facts(
        [
            ("block size", f"{seen.block_size:,} bytes"),
            ("blocks", f"{seen.blocks:,}, {in_bytes(seen.nbytes)}; with bookkeeping {in_bytes(seen.segment_bytes)}"),
            ("allocated", f"{counts.allocated:,} in {survey.runs:,} runs; at most so far {counts.peak:,}"),
            ("asked for", asked),
            ("free", f"{counts.free:,}; the largest free run has {counts.largest_free_run:,}"),
            ("fragmentation", f"{100 * counts.fragmentation:.0f} %"),
            ("allocations", f"{counts.allocations:,}"),
            ("found no room", f"{counts.failures:,}"),
            ("waited for room", f"{counts.waits:,}, {span(counts.waited)} in all" if counts.waits else "0"),
            ("tickets", tickets),
            ("processes", f"{counts.processes} of {counts.max_processes}"),
            ("in its gate", "no process" if seen.gate is None else f"process {seen.gate}"),
            ("created", f"{_when(seen.created)}, by blockpool {text(seen.made_by)}"),
            ("stays", "until it is unlinked" if seen.permanent else "while a process has it attached"),
            ("on fork", text(seen.on_fork)),
            ("id", f"<code>{text(seen.pool_id)}</code>"),
        ]
    )


def _processes(seen: Snapshot) -> str:
    if not seen.processes:
        return "<h2>Processes</h2><p>No process has it attached.</p>"
    state = {True: "alive", False: "dead", None: "not known"}
    rows = [
        (
            f"<span class=whole>{holder_swatch(each.slot)}{shown_pid(each.pid)}</span>",
            text(each.command),
            state[each.alive],
            f"<span class=whole>{_when(each.started)}</span>",
            f"{seen.survey.held.get(each.slot, 0):,}",
            f"{each.allocations:,}",
            f"{each.failures:,}",
            f"{each.waits:,}",
            span(each.waited) if each.waits else "-",
        )
        for each in seen.processes
    ]
    headings = ["process", "command", "state", "started", ">blocks", ">allocations", ">no room", ">waits", ">waited"]
    return f"<h2>Processes</h2>{listing('Processes', headings, rows)}"


def _runs(seen: Snapshot) -> str:
    top = seen.survey.top
    if not top:
        return "<h2>Runs</h2><p>Nothing is allocated.</p>"
    slots = {each.pid: each.slot for each in seen.processes}
    stacks = any(run.stack for run in top)
    rows = [_run(run, slots, stacks=stacks) for run in top]
    ordered = all((a.age or 0) >= (b.age or 0) for a, b in pairwise(top))
    what = f"The {'oldest' if ordered else 'largest'} {len(top):,} of {seen.survey.runs:,}"
    caption = what if len(top) < seen.survey.runs else f"All {len(top):,}"
    headings = [">first block", ">blocks", ">bytes", ">age", "held by", ">tickets", "names and queue"]
    return f"<h2>Runs</h2>{listing(f'Runs: {caption}', headings + ['allocated at'] * stacks, rows, visible=True)}"


def _run(run: Run, slots: dict[int | None, int], *, stacks: bool) -> list[str]:
    holders = [
        (holder_swatch(slots[pid]) if pid in slots else "") + shown_pid(pid) for pid in run.holders[:_MOST_NAMED]
    ]
    if len(run.holders) > _MOST_NAMED:
        holders.append(f"and {len(run.holders) - _MOST_NAMED} more")
    known = [f"<code>{text(name)}</code>" for name in run.names]
    if run.queue is not None:
        known.append(f"a message of queue {run.queue}")
    row = [
        f"{run.index:,}",
        f"{run.blocks:,}",
        f"{run.nbytes:,}",
        span(run.age),
        ", ".join(holders) or "no process",
        f"{run.tickets:,}",
        ", ".join(known),
    ]
    if stacks:
        stack = (run.stack or "").rstrip()
        last = stack.rsplit("\n", 1)[-1].strip()
        row.append(f"<details><summary>{text(last)}</summary><pre>{text(stack)}</pre></details>" if stack else "-")
    return row


def _queues(seen: Snapshot) -> str:
    if not seen.queues:
        return ""
    rows = [_queue(queue) for queue in seen.queues]
    headings = ["name", "kind", "messages", ">oldest", ">put so far", ">lost", "taken", "open in"]
    return f"<h2>Queues</h2>{listing('Queues, topics and latest values', headings, rows)}"


def _queue(queue: QueueInfo) -> list[str]:
    depth = f"{queue.waiting:,} of {queue.capacity:,}"
    kind = queue.kind + (", shut down" if queue.shut else "") + (", permanent" if queue.permanent else "")
    taken = ", ".join(f"{number:,} by {shown_pid(pid)}" for pid, number in queue.taken[:_MOST_NAMED])
    users = ", ".join(map(shown_pid, queue.processes[:_MOST_NAMED]))
    return [
        f"<code>{text(queue.name)}</code>" if queue.name else f"number {queue.number}",
        text(kind),
        bar([Part(HUES[0], queue.waiting)], queue.capacity, depth, width=80, height=8) + depth,
        span(queue.oldest),
        f"{queue.put:,}",
        f"{queue.lost:,}",
        taken + ("…" if len(queue.taken) > _MOST_NAMED else "") or "-",
        users + ("…" if len(queue.processes) > _MOST_NAMED else "") or "no process",
    ]


def _names(seen: Snapshot) -> str:
    if not seen.names:
        return ""
    return f"<h2>Names</h2><ul class=names>{''.join(f'<li><code>{text(name)}</code></li>' for name in seen.names)}</ul>"
