"""Counts, maps and surveys of a shared pool: what they say is what `stats`, `runs` and `processes` say."""

import os
import threading
import time
from array import array
from collections import Counter

import pytest

import blockpool as bp
from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS
from gates import shut_gate
from waits import await_true


@pytest.fixture
def full(shared, peer):
    """Fill the pool with runs of each kind of holder, some of another process; return it, the blocks, and the peer."""
    mine = [shared.allocate(nbytes=100), shared.allocate(blocks=3)]
    peer(f"pool = bp.Pool.attach({shared.name!r}); theirs = [pool.allocate(), pool.allocate(blocks=2)]")
    both = bp.redeem(peer("str(theirs[0].share())"))
    kept, carried, sent = shared.allocate(), shared.allocate(blocks=2), shared.allocate()
    shared.keep("kept", kept)
    queue = shared.queue("jobs", 4)
    queue.put(carried)
    ticket = sent.share(2)
    for block in (kept, carried, sent):
        block.release()
    return shared, [*mine, both, queue, ticket], peer


def test_counts_are_those_of_stats(full):
    """`counts` says the same as `stats`, of what both tell."""
    pool, *_ = full
    with bp.inspect(pool) as inspector:
        counts, stats = inspector.counts(), inspector.stats()
    for name in type(counts).__dataclass_fields__:
        assert getattr(counts, name) == getattr(stats, name), name
    assert counts.allocated == 11


def test_a_map_shows_each_block(full):
    """With a cell for each block, a map says of each what `runs` says: whether it is allocated, by whom, since when."""
    pool, _, peer = full
    with bp.inspect(pool) as inspector:
        drawn, processes, runs = inspector.map(), inspector.processes(), inspector.runs()
    assert (drawn.first, drawn.blocks, drawn.cells) == (0, 16, 16)
    slots = {one.pid: one.slot for one in processes}
    expected = dict.fromkeys(range(16), BY_NOBODY)
    for run in runs:
        if run.holders:
            mine_first = sorted(run.holders, key=lambda pid: pid != peer.pid)
            holder = slots[mine_first[0]]
        else:
            holder = BY_CATALOG if run.names else BY_MESSAGE if run.queue is not None else BY_TICKETS
        expected.update(dict.fromkeys(range(run.index, run.index + run.blocks), holder))
    assert dict(enumerate(drawn.holder)) == expected
    assert {BY_CATALOG, BY_MESSAGE, BY_TICKETS, BY_NOBODY, *slots.values()} == set(drawn.holder)
    assert list(drawn.allocated) == [int(holder != BY_NOBODY) for holder in drawn.holder]
    assert [drawn.range_of(cell) for cell in (0, 15)] == [range(1), range(15, 16)]


def test_a_map_of_few_cells_counts_blocks(full):
    """Cells cover all blocks once, in order, whatever their number, and their counts add up."""
    pool, *_ = full
    with bp.inspect(pool) as inspector:
        for cells in range(1, 17):
            drawn = inspector.map(cells)
            assert [index for cell in range(cells) for index in drawn.range_of(cell)] == list(range(16))
            assert sum(drawn.allocated) == 11
        part = inspector.map(4, first=5, blocks=8)
        whole = inspector.map()
    assert [sum(whole.allocated[i] for i in part.range_of(cell)) for cell in range(4)] == list(part.allocated)
    assert all(isinstance(getattr(part, name), array) for name in ("allocated", "holder", "shared", "age"))


def test_a_survey_counts_what_each_holds(full):
    """A survey counts blocks by holder as `runs` lists them; a run of two processes counts for both."""
    pool, *_ = full
    with bp.inspect(pool) as inspector:
        survey, stats, runs = inspector.survey(), inspector.stats(), inspector.runs()
        slots = {one.pid: one.slot for one in inspector.processes()}
    held = Counter()
    for run in runs:
        held.update({slots[pid]: run.blocks for pid in run.holders})
    assert survey.held == dict(held)
    assert (survey.only_kept, survey.only_messages, survey.only_tickets, survey.nobody) == (1, 2, 1, 0)
    assert (survey.allocated, survey.runs, survey.tickets) == (stats.allocated, len(runs), stats.tickets)
    assert survey.requested_bytes == stats.requested_bytes
    assert survey.oldest_ticket is not None
    assert sorted(survey.top, key=lambda run: run.index) == runs


def test_a_survey_lists_the_oldest_or_largest(shared):
    """The oldest runs come first, or the largest; of two alike the one at the lower address."""
    blocks = [shared.allocate(blocks=n) for n in (1, 3, 2, 3)]
    with bp.inspect(shared) as inspector:
        await_true(lambda: inspector.survey(1).top[0].age >= 1)
        late = shared.allocate()
        assert [run.index for run in inspector.survey(2, order="size").top] == [blocks[1].index, blocks[3].index]
        oldest = inspector.survey(5).top
        assert [run.index for run in oldest] == [block.index for block in (*blocks, late)]
        assert oldest[0].age > oldest[-1].age >= 0
        assert inspector.survey(0).top == ()


def test_age_begins_with_the_latest_ticket(shared):
    """A run's age counts from its allocation, or from its latest ticket."""
    block, other = shared.allocate_many(2)
    await_true(lambda: min(run.age for run in shared.runs()) >= 1)
    block.share()
    ages = {run.index: run.age for run in shared.runs()}
    assert 0 <= ages[block.index] < ages[other.index]


def test_a_private_pool_does_not_know_ages(pool):
    """Runs of a private pool have no age."""
    block = pool.allocate()
    assert pool.runs()[0].age is None
    block.free()


def test_a_surveyor_goes_on_by_some_blocks(shared):
    """A surveyor returns the survey at the end of the pool, says how far it is, and then begins again."""
    blocks = shared.allocate_many(16)
    with bp.inspect(shared) as inspector:
        surveyor = inspector.surveyor(3, order="size")
    assert surveyor.progress == 0
    for _ in range(2):
        found = [surveyor.go_on(5) for _ in range(4)]
        assert found[:3] == [None] * 3
        assert found[3].allocated == 16
    assert surveyor.go_on(5) is None
    assert surveyor.progress == 5 / 16
    blocks[0].free()
    assert surveyor.go_on(2**70).allocated == 16  # the first five were counted before


def test_a_surveyor_is_for_one_thread(pool_names):
    """Threads that go on with one survey at a time disturb nothing: one of them is told."""
    with bp.Pool.create(64, 2**20, name=pool_names()) as pool:
        blocks = pool.allocate_many(2**19)
        surveyor = bp.inspect(pool).surveyor()
        told, found = [], []

        def go_on():
            try:
                found.append(surveyor.go_on(2**20))
            except RuntimeError as error:
                told.append(error)

        for _ in range(20):
            threads = [threading.Thread(target=go_on) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(told) + len(found) == 80
        assert {survey.allocated for survey in found} == {len(blocks)}
        assert all("another thread" in str(error) for error in told)


def test_who_is_in_the_gate(shared, file_of):
    """`gate` says that nobody is in the gate, and else which process was the last that went in."""
    shared.check()  # goes through the gate
    with bp.inspect(shared) as inspector:
        assert inspector.gate() is None
        gate = shut_gate(file_of(shared.name))
        try:
            assert inspector.gate() == os.getpid()
        finally:
            os.close(gate)
        assert inspector.gate() is None


def test_when_a_pool_was_made(pool_names):
    """An inspector and a summary say when the pool was made."""
    before = time.time()
    with bp.Pool.create(64, 4, name=pool_names()) as pool, bp.inspect(pool) as inspector:
        assert int(before) <= inspector.created <= time.time()
        assert [one.created for one in bp.pools() if one.name == pool.name] == [inspector.created]


@pytest.mark.parametrize(
    ("call", "arguments", "error", "says"),
    [
        ("map", {"cells": 0}, ValueError, "cells"),
        ("map", {"cells": 2**21}, ValueError, "1048576"),
        ("map", {"cells": 1.5}, TypeError, "float"),
        ("map", {"first": -1}, ValueError, "0 to 15"),
        ("map", {"first": 16}, ValueError, "0 to 15"),
        ("map", {"first": 2**70}, ValueError, "0 to 15"),
        ("map", {"blocks": 0}, ValueError, "blocks"),
        ("map", {"first": 10, "blocks": 7}, ValueError, "there are 6 blocks"),
        ("survey", {"most": -1}, ValueError, "most=-1"),
        ("survey", {"most": 2**70}, ValueError, "100000"),
        ("survey", {"most": "all"}, TypeError, "str"),
        ("survey", {"order": "name"}, ValueError, "'age' nor 'size'"),
        ("surveyor", {"order": None}, ValueError, "'age' nor 'size'"),
    ],
)
def test_wrong_arguments(shared, call, arguments, error, says):
    """An argument that makes no sense is an error that names it, or says what is possible."""
    with bp.inspect(shared) as inspector, pytest.raises(error, match=says):
        getattr(inspector, call)(**arguments)


@pytest.mark.parametrize(("blocks", "error"), [(0, ValueError), (-1, ValueError), (1.0, TypeError), (None, TypeError)])
def test_a_surveyor_goes_on_by_a_count(shared, blocks, error):
    """A surveyor goes on by a whole number of blocks, at least one."""
    with bp.inspect(shared) as inspector, pytest.raises(error, match="blocks"):
        inspector.surveyor().go_on(blocks)


@pytest.mark.parametrize("call", ["counts", "map", "survey", "surveyor", "gate"])
def test_a_closed_inspector_answers_nothing(shared, call):
    """Once an inspector is closed, each call says so."""
    inspector = bp.inspect(shared)
    inspector.close()
    with pytest.raises(bp.PoolClosed, match="closed"):
        getattr(inspector, call)()


def test_a_surveyor_comes_from_an_inspector():
    """Surveyor() is a TypeError that says where one comes from."""
    with pytest.raises(TypeError, match=r"Inspector\.surveyor"):
        bp.Surveyor()
