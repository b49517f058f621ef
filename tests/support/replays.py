"""Traces for tests of replays: made from lists of events, at random, and what a real pool does with them."""

import random
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

import blockpool as bp
from blockpool.traces.form import ALLOCATE, FREE, Trace


def trace_of(events, threads=1, **others):
    """Make a trace of tuples (kind, id, size), and perhaps a thread and a time in nanoseconds."""
    rows = [(*event, 0, at)[:5] if len(event) == 3 else (*event, at)[:5] for at, event in enumerate(events)]
    kind, ids, size, thread, time = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 5
    columns = {
        "time": np.array(time, np.int64),
        "kind": np.array(kind, np.uint8),
        "size": np.array(size, np.int64),
        "id": np.array(ids, np.int32),
        "thread": np.array(thread, np.int32),
        "stack": np.full(len(rows), -1, np.int32),
    }
    return Trace(**(columns | others), threads=tuple(f"thread {number}" for number in range(threads)))


def random_events(seed, *, count=400, largest=3000, frees=0.45, threads=1, crossing=0.0):
    """Return random events as for `trace_of`, with times; some frees are by another thread than the allocation."""
    draw = random.Random(seed)
    events, live, made, time = [], [], 0, 0
    for _ in range(count):
        time += draw.choice([0, 1, 1, 5, 40])
        thread = draw.randrange(threads)
        own = [each for each in live if each[2] == thread or draw.random() < crossing]
        if own and draw.random() < frees:
            freed = draw.choice(own)
            live.remove(freed)
            events.append((FREE, freed[0], freed[1], thread, time))
        else:
            size = draw.choice([draw.randint(0, 64), draw.randint(0, largest)])
            events.append((ALLOCATE, made, size, thread, time))
            live.append((made, size, thread))
            made += 1
    return events


@dataclass
class Driven:
    """What real pools did."""

    allocations: int = 0
    failures: int = 0
    refused: list = field(default_factory=list)
    peak_blocks: list = field(default_factory=list)
    peak_bytes: int = 0


def drive(events, plans):
    """Drive real pools with the events, one by one, from this thread."""
    pools = [bp.Pool(plan.block_size, plan.blocks, debug=False) for plan in plans]
    driven, held, live = Driven(peak_blocks=[0] * len(plans)), {}, 0
    for kind, number, size, *_ in events:
        if kind == FREE:
            block, asked = held.pop(number)
            if block is not None:
                block.free()
                live -= asked
            continue
        fitting = [
            pool
            for plan, pool in zip(plans, pools, strict=True)
            if (size > plan.above or plan.above == 0) and (plan.up_to is None or size <= plan.up_to)
        ]
        block = None
        if fitting:
            with suppress(bp.PoolExhausted):
                block = fitting[0].allocate(nbytes=max(size, 1))
        held[number] = (block, size)
        if block is None:
            driven.failures += 1
            driven.refused.append(number)
            continue
        driven.allocations += 1
        live += size
        driven.peak_bytes = max(driven.peak_bytes, live)
    driven.peak_blocks = [pool.stats().peak for pool in pools]
    for block, _ in held.values():
        if block is not None:
            block.free()
    return driven


def own_number():
    """Return the number of this thread, less one, as far as it matters for where in a pool its search begins.

    Threads 0 to 15 begin in the 16 parts of a pool, in an order in which the bits of the number are reversed.
    """
    with bp.Pool(8, 16 * 512, debug=False) as pool, pool.allocate() as block:
        part = block.index // 512
    return int(f"{part:04b}"[::-1], 2)
