"""A pool as text: its size, how full it is, who holds it, and what happened so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from blockpool.report.formats import NOT_HELD, aged, duration, naming, percent, process_name
from blockpool.report.listing import Facts, Listing
from blockpool.report.text import count, in_bytes, printable
from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.console import RenderableType

    from blockpool.report.documents import DescribedPool
    from blockpool.stats import Survey

__all__ = ["pool_report"]

_LISTED = 10


def pool_report(pool: DescribedPool) -> RenderableType:
    """Describe a pool."""
    return Group(Facts(list(_facts(pool))), *_holders(pool))


def _facts(pool: DescribedPool) -> Iterator[tuple[str, str]]:
    counts = pool.counts
    yield "pool", naming(pool.name, pool.pool_id) if pool.name else "without a name"
    yield "id", pool.pool_id
    sizes = f"{count(pool.blocks, 'block')} of {in_bytes(pool.block_size)}: {in_bytes(pool.nbytes)}"
    yield "size", f"{sizes}, {in_bytes(pool.segment_bytes)} with bookkeeping"
    used = f"{count(counts.allocated, 'block')}, {in_bytes(counts.allocated * pool.block_size)}"
    yield "used", f"{used}: {percent(counts.allocated, counts.blocks)}; at most so far: {counts.peak:,}"
    free = f"{count(counts.free, 'block')}, {in_bytes(counts.free * pool.block_size)}"
    yield "free", f"{free}; largest run: {count(counts.largest_free_run, 'block')}"
    kind = "permanent" if pool.permanent else "ends with its last process"
    yield "made", f"{aged(pool.created, pool.time)} ago by blockpool {printable(pool.made_by)}; {kind}"
    yield "at a fork", "the child shares it" if pool.on_fork == "share" else "the child has no part in it"
    dead = sum(each.alive is False for each in pool.processes)
    yield "processes", f"{counts.processes} of at most {counts.max_processes}" + (f"; {dead} dead" if dead else "")
    waits = f"{count(counts.waits, 'wait')} ({duration(counts.waited)} in all)"
    yield "so far", f"{count(counts.allocations, 'allocation')}, {count(counts.failures, 'failure')}, {waits}"
    if pool.survey is not None:
        yield "runs", _runs(pool.survey)
    if pool.queues:
        waiting = sum(each.waiting for each in pool.queues)
        yield "queues", f"{len(pool.queues)}, with {count(waiting, 'message')}"
    if pool.names:
        names = ", ".join(map(printable, pool.names[:_LISTED]))
        yield "names", names + (f" and {len(pool.names) - _LISTED} more" if len(pool.names) > _LISTED else "")
    if pool.gate is not None:
        yield "gate", f"process {pool.gate} is in it"
    if not pool.exists:
        yield "gone", "no process has it any more, and it has no name"


def _runs(survey: Survey) -> str:
    runs = count(survey.runs, "run")
    if survey.oldest_ticket is None:
        return f"{runs}, no tickets"
    return f"{runs}, {count(survey.tickets, 'ticket')}; the oldest: {duration(survey.oldest_ticket)}"


def _holders(pool: DescribedPool) -> Iterable[RenderableType]:
    survey = pool.survey
    if survey is None:
        yield Text("The pool is large; --full goes through it to tell who holds how much.", style="dim")
        return
    yield Text()
    rows = sorted(((blocks, slot) for slot, blocks in survey.held.items()), reverse=True)
    by_slot = {each.slot: process_name(each) for each in pool.processes}
    named = [(by_slot.get(slot, f"slot {slot}"), blocks) for blocks, slot in rows]
    others = {
        BY_CATALOG: survey.only_kept,
        BY_MESSAGE: survey.only_messages,
        BY_TICKETS: survey.only_tickets,
        BY_NOBODY: survey.nobody,
    }
    named += [(NOT_HELD[holder], blocks) for holder, blocks in others.items() if blocks]
    if named:
        cells = [(name, f"{blocks:,}", percent(blocks, pool.blocks)) for name, blocks in named]
        yield Listing(("~held by", ">blocks", ">of all"), cells)
