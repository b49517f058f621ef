"""What the cells that a recorder took mean: runs whose events were lost, handed on, doubled or damaged."""

import mmap
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp
from blockpool.traces import TraceInvalid, check, peak
from blockpool.traces._recorded import CELL, recorded
from segment_parts import LANES

SHM = Path("/dev/shm")  # noqa: S108 - where pools are

ALLOCATED, FREED, OWNER, TIME = 1, 2, 3, 4
TAKEN, NOW, LOST = 8, 9, 10


def run(index, generation):
    """Return the word that names a run."""
    return generation << 24 | index


def trace_of(*lanes, lost=0):
    """Make a trace of lanes: lists of (time, kind, bytes, run), each with the time right before it."""
    cells = [(NOW, 1 << 40)]
    for number, events in enumerate(lanes):
        cells.append((number << 8 | TAKEN, 2 * len(events) + 1))
        cells.append((OWNER, (1000 + number) << 32 | 1))
        for time, kind, nbytes, name in events:
            cells += [(TIME, time), (nbytes << 8 | kind, name)]
    if lost:
        cells.append((LOST, lost))
    return recorded(np.array(cells, CELL), 0, [], "")


def test_a_lost_free_is_before_the_allocation_that_tells_of_it():
    """A run whose free was lost ends when its block is allocated again, and never lives beside the next one there."""
    lane = [(1_000_000 * n, ALLOCATED, 100, run(5, n)) for n in range(1, 21)]
    trace = trace_of([*lane, (30_000_000, FREED, 0, run(5, 20))], lost=19)
    assert trace.kind.tolist() == [0, 1] * 20
    assert trace.time[::2].tolist() == [1_000_000 * n for n in range(20)]
    assert trace.time[1:-1:2].tolist() == trace.time[2::2].tolist()
    assert peak(trace) == 100
    assert (trace.lost, trace.unmatched) == (19, 0)


def test_a_lost_free_whose_next_allocation_seems_earlier():
    """If the next allocation of the block has an earlier time, as it is of another thread, the run ends at once."""
    trace = trace_of([(5_000_000, ALLOCATED, 8, run(1, 1))], [(4_000_000, ALLOCATED, 16, run(1, 2))])
    assert sorted(zip(trace.size.tolist(), trace.kind.tolist(), strict=True)) == [(8, 0), (8, 1), (16, 0)]
    of_first = np.flatnonzero(trace.size == 8)
    assert trace.kind[of_first].tolist() == [0, 1]


@pytest.mark.parametrize("late", [1_000_000, 5_000_000_000])
def test_a_free_is_not_before_its_allocation(late):
    """A free that another thread put, with an earlier time, is moved to its allocation, however much later that is."""
    trace = trace_of(
        [(1_000_000 + late, ALLOCATED, 8, run(1, 1)), (9_000_000 + late, ALLOCATED, 4, run(2, 1))],
        [(1_000_000, FREED, 0, run(1, 1))],
    )
    assert trace.kind.tolist() == [0, 1, 0]
    assert trace.time.tolist() == [0, 0, 8_000_000]


def test_a_free_that_was_put_twice():
    """A free that a process put before it died, and its recoverer once more, is one free: the first."""
    trace = trace_of(
        [(1_000_000, ALLOCATED, 8, run(1, 1)), (2_000_000, FREED, 0, run(1, 1))], [(9_000_000, FREED, 0, run(1, 1))]
    )
    assert trace.time.tolist() == [0, 1_000_000]
    assert trace.unmatched == 0


def test_a_free_without_its_allocation_is_left_out():
    """A free whose allocation was lost is left out and counted."""
    trace = trace_of([(1_000_000, FREED, 0, run(3, 7)), (2_000_000, ALLOCATED, 8, run(1, 1))], lost=1)
    assert trace.kind.tolist() == [0]
    assert (trace.lost, trace.unmatched) == (1, 1)


def test_damaged_cells_are_a_trace_or_an_error():
    """Cells of random bytes make a valid trace or TraceInvalid."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    made = 0
    for _ in range(300):
        cells = []
        for _ in range(chance.randrange(40)):
            value = chance.choice([chance.getrandbits(64), chance.getrandbits(20), chance.randrange(4)])
            cells.append((chance.getrandbits(chance.choice([8, 20, 64])) & ~0xFF | chance.randrange(12), value))
        with suppress(TraceInvalid):
            check(recorded(np.array(cells, CELL), 0, [], ""))
            made += 1
    assert made


def test_a_segment_that_is_damaged_while_it_is_recorded(pool_name):
    """Whatever something writes over the lanes, the recording ends in a trace or TraceInvalid, and the pool works."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    pool = bp.Pool.create(64, 100, name=pool_name)
    path = SHM / f"blockpool.{pool_name}"
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        lanes = len(memory) - LANES
        for _ in range(20):
            recording = pool.record()
            for _ in range(50):
                pool.allocate(blocks=chance.randint(1, 3)).free()
                at = lanes + chance.choice([chance.randrange(0, 8 * 128, 8), 8192 + chance.randrange(0, 16_384, 8)])
                memory[at : at + 8] = chance.randbytes(8)
            with suppress(TraceInvalid):
                check(recording.stop())
            memory[lanes : lanes + 8 * 128] = bytes(8 * 128)
    with pool.record() as recording:
        pool.allocate(nbytes=7).free()
    assert recording.stop().size.tolist() == [7, 7]
    with pytest.raises(bp.PoolExhausted):
        pool.allocate_many(101)
    pool.check()
    pool.close()
