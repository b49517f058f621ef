"""Snapshots and observers: one look at everything, and looks again and again."""

import dataclasses
import time

import pytest

import blockpool as bp
from blockpool.observe import Observer, Snapshot, rates, snapshot
from waits import await_true


def test_a_snapshot_is_what_an_inspector_says(shared):
    """A snapshot has the attributes of the pool, and what each method of an inspector returns."""
    shared.keep("first", shared.allocate(blocks=2))
    queue = shared.queue("jobs", 4)
    seen = snapshot(shared.name, cells=4, most=1, order="size")
    with bp.inspect(shared) as inspector:
        for name in ("name", "pool_id", "block_size", "blocks", "nbytes", "segment_bytes", "made_by", "created"):
            assert getattr(seen, name) == getattr(inspector, name), name
        assert (seen.counts, seen.map) == (inspector.counts(), inspector.map(4))
        assert [one.pid for one in seen.processes] == [one.pid for one in inspector.processes()]
        assert [one.name for one in seen.queues] == ["jobs"]
        assert (seen.names, seen.gate, seen.exists) == (tuple(inspector.names()), None, True)
        assert seen.survey == inspector.survey(1, order="size")
    assert abs(seen.time - time.time()) < 60
    queue.close()


def test_looking_changes_nothing(shared, unchanged):
    """Observers are not among the processes, and nothing of the pool changes because of them."""
    with unchanged(shared), Observer(shared, cells=8) as observer:
        seen = [observer.look() for _ in range(20)]
        assert {each.counts.processes for each in seen} == {1}


def test_an_observer_of_a_large_pool_surveys_it_in_steps(pool_names):
    """The first look surveys the whole pool. Later ones have numbers of now, and a survey that is renewed by and by."""
    with bp.Pool.create(64, 2**20, name=pool_names()) as pool, Observer(pool) as observer:
        assert observer.look().survey.allocated == 0
        blocks = pool.allocate_many(1000)
        looks = [observer.look() for _ in range(4)]
        assert {each.counts.allocated for each in looks} == {len(blocks)}
        assert looks[-1].survey.allocated == len(blocks)


def test_an_observer_draws_as_many_cells_as_it_is_told(shared):
    """The number of cells may be changed between two looks."""
    with Observer(shared) as observer:
        assert observer.look().map is None
        observer.cells = 5
        assert observer.look().map.cells == 5


def test_a_pool_that_vanishes_is_seen(shared):
    """When the last process left, the next look says that the pool cannot be reached any more."""
    with Observer(shared) as observer:
        assert observer.look().exists
        shared.close()
        await_true(lambda: not observer.look().exists)


def test_closing(shared):
    """A closed observer looks no more; an inspector that it was given stays open."""
    observer = Observer(shared)
    observer.close()
    observer.close()
    with pytest.raises(bp.PoolClosed):
        observer.look()
    with bp.inspect(shared) as inspector:
        with Observer(inspector) as observer:
            observer.look()
        assert inspector.counts().free == 16


def test_rates(shared):
    """Rates are what happened between two snapshots, by second."""
    before = snapshot(shared)
    for _ in range(6):
        shared.allocate().free()
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(blocks=17)
    after = dataclasses.replace(snapshot(shared), time=before.time + 2)
    found = rates(before, after)
    assert (found.allocations, found.failures, found.waits, found.waited) == (3, 0.5, 0, 0)
    assert rates(after, after).allocations == 0
    assert rates(after, before).allocations == 0  # a clock that was set back


def test_no_such_pool():
    """An observer of what is no pool raises as `inspect` does."""
    with pytest.raises(bp.PoolNotFound):
        snapshot("no-such-pool")
    with pytest.raises(TypeError):
        snapshot(5)


def test_a_snapshot_is_frozen(shared):
    """A snapshot stays what it was."""
    assert isinstance(snapshot(shared), Snapshot)
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot(shared).name = "other"
