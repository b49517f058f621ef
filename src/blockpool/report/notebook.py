"""What a notebook shows of pools, blocks and queues: a small picture and a few numbers, as a fragment of HTML.

A fragment brings its styles along and refers to nothing outside itself. Looking changes nothing in a pool, takes no
part in it, and takes a few milliseconds however large the pool is.

>>> import blockpool
>>> "<svg" in view(blockpool.Pool("4KiB", 16))
True
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from blockpool.report.colours import HUES
from blockpool.report.formats import percent
from blockpool.report.parts import facts, holder_swatch, label_of, span, text
from blockpool.report.svg import Part, bar, columns_of, map_picture
from blockpool.report.text import in_bytes
from blockpool.stats import BY_NOBODY, PoolMap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockpool import Block, IndexPool, Inspector, Latest, Pool, Queue, Topic
    from blockpool.stats import IndexStats, PoolStats, ProcessInfo, Run

__all__ = ["fragment", "look_at", "map_of_bits", "map_of_runs", "view"]

_CELLS = 512
# A private pool with more runs than this has a bar instead of a map: to find them all would take too long.
_MOST_RUNS = 2048
_MOST_LABELS = 8
_WIDTH = 448

_CELL = (
    "border:0;padding:.05em 1.2em .05em 0;text-align:left;vertical-align:top;font-weight:normal;color:inherit;"
    "background:none;white-space:normal;max-width:none"
)
_TABLE = "border-collapse:collapse;border:0;margin:0;font-size:inherit;color:inherit;background:none"
_COLUMNS = "display:flex;flex-wrap:wrap;align-items:flex-start;gap:.4em 2em;margin:.4em 0"
_COLUMN = f"max-width:min(100%,{_WIDTH}px)"
_FRAME = "font-size:13px;line-height:1.45;color:inherit;max-width:60em;overflow-wrap:anywhere"


def view(thing: object) -> str:
    """Return what a notebook shows of the object. It never raises: what cannot be shown, it says in words."""
    try:
        return _view_of(thing)(thing)
    except Exception as error:  # noqa: BLE001 - a notebook must not end in a traceback because it shows something
        return fragment(_repr(thing), "", [], note=str(error))


def fragment(title: str, picture: str, rows: Iterable[tuple[str, str]], *, note: str = "", legend: str = "") -> str:
    """Return a fragment.

    Parameters
    ----------
    title : str
        What it is about; plain text.
    picture : str
        An SVG element.
    rows : iterable of tuple
        Names and values; the values are HTML.
    note : str
        A sentence below the title; plain text.
    legend : str
        What the colours mean, as HTML.

    Returns
    -------
    str
        A ``div`` element.
    """
    rows = list(rows)
    drawn = f'<div style="{_COLUMN}">{picture}<div>{legend}</div></div>' if picture else ""
    table = facts(rows, style=_TABLE, cell=_CELL) if rows else ""
    said = f"<div>{text(note)}</div>" if note else ""
    columns = f'<div style="{_COLUMNS}">{drawn}{table}</div>' if drawn or table else ""
    return f'<div style="{_FRAME}"><div><strong>{text(title)}</strong></div>{said}{columns}</div>'


def map_of_runs(runs: Iterable[Run], blocks: int, cells: int = _CELLS) -> PoolMap:
    """Return a map of a private pool; all that is allocated has the same holder, slot 0."""
    cells = min(cells, blocks)
    drawn = _empty_map(blocks, cells)
    for run in runs:
        at, end = run.index, run.index + run.blocks
        while at < end:
            cell = ((at + 1) * cells - 1) // blocks
            upto = min(end, drawn.range_of(cell).stop)
            drawn.allocated[cell] += upto - at
            drawn.holder[cell] = 0
            at = upto
    return drawn


def map_of_bits(bits: memoryview, blocks: int, cells: int = _CELLS) -> PoolMap:
    """Return a map of a bitmap in which the bit of each allocated block is set, the lowest of a byte first."""
    cells = min(cells, blocks)
    drawn = _empty_map(blocks, cells)
    flat = bits.cast("B")
    for cell in range(cells):
        part = drawn.range_of(cell)
        first = part.start // 8
        number = int.from_bytes(flat[first : (part.stop + 7) // 8], "little") >> part.start % 8
        used = (number & (1 << len(part)) - 1).bit_count()
        if used:
            drawn.allocated[cell] = used
            drawn.holder[cell] = 0
    return drawn


def _empty_map(blocks: int, cells: int) -> PoolMap:
    return PoolMap(
        first=0,
        blocks=blocks,
        cells=cells,
        allocated=array("I", bytes(4 * cells)),
        holder=array("H", [BY_NOBODY]) * cells,
        shared=array("H", bytes(2 * cells)),
        age=array("I", bytes(4 * cells)),
    )


def _view_of(thing: object) -> Callable[[Any], str]:
    """Return what makes the fragment of an object of that class."""
    import blockpool

    views: dict[type, Callable[[Any], str]] = {
        blockpool.Pool: _pool,
        blockpool.Inspector: _inspector,
        blockpool.Block: _block,
        blockpool.Queue: _queue,
        blockpool.Topic: _topic,
        blockpool.Latest: _latest,
        blockpool.IndexPool: _index_pool,
    }
    return next((make for kind, make in views.items() if isinstance(thing, kind)), _other)


def _repr(thing: object) -> str:
    """Return the repr without its angle brackets, or the name of its class if it has none now."""
    try:
        return repr(thing).removeprefix("<blockpool.").removesuffix(">")
    except Exception:  # noqa: BLE001 - as in view()
        return type(thing).__name__


def _other(thing: object) -> str:
    return fragment(_repr(thing), "", [])


# --- pools ---


def _pool(pool: Pool) -> str:
    if pool.closed:
        return fragment(_repr(pool), "", [], note="The pool is closed.")
    inspector = look_at(pool)
    if inspector is None:
        return _private(pool)
    with inspector:
        return _shared(inspector, "Pool")


def look_at(pool: Pool) -> Inspector | None:
    """Look at a shared pool from outside; return None if it is private."""
    import blockpool

    try:
        return blockpool.inspect(pool)
    except ValueError as error:
        if isinstance(error, blockpool.BlockPoolError):
            raise
        return None


def _inspector(inspector: Inspector) -> str:
    if inspector.closed:
        return fragment(_repr(inspector), "", [], note="The inspector is closed.")
    return _shared(inspector, "Inspector of pool")


def _shared(inspector: Inspector, what: str) -> str:
    counts = inspector.counts()
    drawn = inspector.map(_CELLS)
    processes = inspector.processes()
    says = f"{counts.allocated:,} of {counts.blocks:,} blocks are allocated"
    gone = "" if inspector.exists() else "The pool is gone: nobody can attach it any more."
    alive = sum(each.alive is not False for each in processes)
    dead = len(processes) - alive
    rows = [
        *_numbers(counts),
        ("waits for room", f"{counts.waits:,}, {span(counts.waited)} in all" if counts.waits else "0"),
        ("processes", f"{alive} of {counts.max_processes}" + (f", and {dead} dead" if dead else "")),
        ("created", "-" if inspector.created is None else f"{_ago(inspector.created)} ago"),
        ("id", f"<code>{text(inspector.pool_id)}</code>"),
    ]
    name = f"{what} {inspector.name}" if inspector.name else f"{what} without a name"
    return fragment(
        f"{name}, {_size(counts.blocks, counts.block_size)}",
        map_picture(drawn, says, width=_WIDTH),
        rows,
        note=gone,
        legend=_legend(drawn, processes),
    )


def _private(pool: Pool) -> str:
    stats = pool.stats()
    drawn = _private_map(pool, stats)
    says = f"{stats.allocated:,} of {stats.blocks:,} blocks are allocated"
    if drawn is None:
        picture = bar([Part(HUES[0], stats.allocated)], stats.blocks, says, width=_WIDTH)
    else:
        picture = map_picture(drawn, says, width=_WIDTH)
    share = percent(stats.requested_bytes, stats.allocated_bytes)
    rows = [
        *_numbers(stats),
        ("asked for", f"{in_bytes(stats.requested_bytes)}, {share} of what is allocated"),
        ("waits for room", f"{stats.waits:,}, {span(stats.waited)} in all" if stats.waits else "0"),
    ]
    kind = "private, in debug mode" if pool.debug else "private"
    return fragment(
        f"Pool ({kind}), {_size(stats.blocks, stats.block_size)}",
        picture,
        rows,
        legend="" if drawn is None else _scale(drawn),
    )


def _private_map(pool: Pool, stats: PoolStats) -> PoolMap | None:
    """Return a map of a private pool; None if it has so many runs that it would take long."""
    if stats.allocations - stats.frees > _MOST_RUNS:
        return None
    return map_of_runs(pool.runs(), stats.blocks)


def _numbers(stats: Any) -> list[tuple[str, str]]:
    """Return the rows that shared and private pools have in common."""
    return [
        ("allocated", f"{stats.allocated:,} of {stats.blocks:,} blocks, {percent(stats.allocated, stats.blocks)}"),
        ("largest free run", f"{stats.largest_free_run:,} of {stats.free:,} free blocks"),
        ("most allocated", f"{stats.peak:,} blocks"),
        ("allocations", f"{stats.allocations:,}, and {stats.failures:,} found no room"),
    ]


def _size(blocks: int, block_size: int) -> str:
    return f"{blocks:,} blocks of {in_bytes(block_size)}, {in_bytes(blocks * block_size)}"


def _ago(then: float) -> str:
    import time

    return span(time.time() - then)


def _legend(drawn: PoolMap, processes: Iterable[ProcessInfo]) -> str:
    """Return what the colours of a map mean, the most frequent first."""
    frequent: dict[int, int] = {}
    for holder, used in zip(drawn.holder, drawn.allocated, strict=True):
        if used:
            frequent[holder] = frequent.get(holder, 0) + 1
    ordered = sorted(frequent, key=lambda holder: -frequent[holder])
    processes = list(processes)
    entries = [
        f'<span style="margin-right:1.2em">{holder_swatch(holder)}{text(label_of(holder, processes))}</span>'
        for holder in ordered[:_MOST_LABELS]
    ]
    if len(ordered) > _MOST_LABELS:
        entries.append(f"<span>and {len(ordered) - _MOST_LABELS} more</span>")
    return f"{''.join(entries)}<div>{_scale(drawn)}</div>" if entries else _scale(drawn)


def _scale(drawn: PoolMap) -> str:
    """Return what a cell and a row of a map stand for."""
    per_cell = drawn.blocks / drawn.cells
    if per_cell == 1:
        return "A cell is a block."
    about = "" if per_cell.is_integer() else "about "
    return f"A cell is {about}{round(per_cell):,} blocks, a row {round(per_cell * columns_of(drawn.cells)):,}."


# --- blocks, queues, and pools of indices ---


def _block(block: Block) -> str:
    pool = block.pool
    index, blocks = block.index, block.blocks
    rows = [
        ("size", f"{block.nbytes:,} bytes of {blocks:,} {'block' if blocks == 1 else 'blocks'}"),
        ("first block", f"{index:,} of {pool.blocks:,}"),
        ("address", f"<code>0x{block.address:x}</code>"),
        ("pool", _pool_name(pool)),
    ]
    drawn: PoolMap | None
    inspector = look_at(pool)
    if inspector is None:
        drawn = _private_map(pool, pool.stats())
    else:
        with inspector:
            drawn = inspector.map(_CELLS // 2)
            its = inspector.map(1, first=index, blocks=blocks)
            holder = text(label_of(its.holder[0], inspector.processes()))
        rows += [
            ("held by", holder + (", and others held it too" if its.shared[0] else "")),
            ("allocated or last sent", f"{span(its.age[0])} ago"),
        ]
    where = f"blocks {index:,} to {index + blocks - 1:,}" if blocks > 1 else f"block {index:,}"
    if drawn is None:
        picture = bar([Part("none", index), Part(HUES[0], max(blocks, pool.blocks / _CELLS))], pool.blocks, where)
    else:
        mark = range(_cell_of(index, drawn), _cell_of(index + blocks - 1, drawn) + 1)
        picture = map_picture(drawn, f"{where} in the pool", width=_WIDTH // 2, mark=mark)
    legend = "" if drawn is None else "The outlined cells are those of the block."
    return fragment(_repr(block), picture, rows, legend=legend)


def _cell_of(block: int, drawn: PoolMap) -> int:
    return ((block + 1) * drawn.cells - 1) // drawn.blocks


def _queue(queue: Queue) -> str:
    if queue.closed:
        return fragment(_repr(queue), "", [], note="The queue is closed here.")
    waiting, capacity = queue.qsize(), queue.capacity
    rows = [
        ("messages", f"{waiting:,} of {capacity:,}"),
        ("not done yet", f"{queue.unfinished:,}"),
        ("lost", f"{queue.lost:,}"),
        ("when it is full", {"wait": "put() waits", "raise": "put() raises"}.get(queue.overflow, queue.overflow)),
        ("if a receiver dies", "its messages come again" if queue.redeliver else "its messages end"),
        ("stays without users", _yes(queue.permanent)),
        ("pool", _pool_name(queue.pool)),
    ]
    picture = bar([Part(HUES[0], waiting)], capacity, f"{waiting:,} of {capacity:,} messages wait", width=_WIDTH)
    return fragment(_title("Queue", queue.name), picture, rows)


def _topic(topic: Topic) -> str:
    if topic.closed:
        return fragment(_repr(topic), "", [], note="The topic is closed here.")
    rows = [
        ("published", f"{topic.position:,}"),
        ("keeps", f"the last {topic.history:,}"),
        ("subscribers", f"{topic.subscribers:,}"),
        ("stays without users", _yes(topic.permanent)),
        ("pool", _pool_name(topic.pool)),
    ]
    return fragment(_title("Topic", topic.name), "", rows)


def _latest(latest: Latest) -> str:
    if latest.closed:
        return fragment(_repr(latest), "", [], note="It is closed here.")
    position = latest.position
    rows = [
        ("set", "never" if position is None else f"{position + 1:,} times"),
        ("stays without users", _yes(latest.permanent)),
        ("pool", _pool_name(latest.pool)),
    ]
    return fragment(_title("Latest value", latest.name), "", rows)


def _title(what: str, name: str | None) -> str:
    return f"{what} {name}" if name else f"{what} without a name"


def _pool_name(pool: Pool) -> str:
    """Return what a pool is called and how large it is, as HTML. Its repr would count what is allocated."""
    name = pool.name or ("private" if look_at(pool) is None else "without a name")
    return text(f"{name}, {_size(pool.blocks, pool.block_size)}")


def _yes(value: object) -> str:
    return "yes" if value else "no"


def _index_pool(pool: IndexPool) -> str:
    stats: IndexStats = pool.stats()
    says = f"{stats.allocated:,} of {stats.capacity:,} indices are allocated"
    with pool.bitmap as bits:
        drawn = map_of_bits(bits, stats.capacity)
    rows = [
        ("allocated", f"{stats.allocated:,} of {stats.capacity:,}, {percent(stats.allocated, stats.capacity)}"),
        ("largest free run", f"{stats.largest_free_run:,} of {stats.free:,} free"),
        ("most allocated", f"{stats.peak:,}"),
        ("allocations", f"{stats.allocations:,}, and {stats.failures:,} found no room"),
    ]
    return fragment(f"IndexPool of {stats.capacity:,}", map_picture(drawn, says, width=_WIDTH), rows)
