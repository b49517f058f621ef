"""What mypy must see of IndexPool, and what it must refuse. Never run."""

import pickle
from array import array
from typing import assert_type

from blockpool import IndexPool, IndexStats


class Index:
    """An object with __index__, which will do for an index."""

    def __index__(self) -> int:
        return 3


def calls(ids: IndexPool) -> None:
    assert_type(IndexPool(100), IndexPool)
    assert_type(IndexPool(capacity=Index()), IndexPool)
    assert_type(ids.capacity, int)
    assert_type(ids.bitmap, memoryview[int])
    assert_type(ids.bitmap[0], int)
    assert_type(ids.allocate(), int)
    assert_type(ids.allocate_many(3), list[int])
    assert_type(ids.allocate_many(Index(), packed=True), list[int])
    assert_type(ids.allocate_run(3), range)
    assert_type(ids.stats(), IndexStats)
    assert_type(ids.check(), int)
    assert_type(3 in ids, bool)
    assert_type("three" in ids, bool)
    assert_type(len(ids), int)


def calls_without_a_result(ids: IndexPool) -> None:
    ids.allocate_into(array("i", [0] * 8))
    ids.allocate_into(memoryview(bytearray(64)).cast("q"), packed=True)
    ids.free(0)
    ids.free(Index())
    ids.free_many([])
    ids.free_many([1, 2])
    ids.free_many([Index()])
    ids.free_many((1, Index()))
    ids.free_many(range(2, 9, 3))
    ids.free_many(array("q", [1]))
    ids.free_many(ids.allocate_many(3))
    ids.free_many(ids.allocate_run(3))


def statistics(stats: IndexStats) -> None:
    assert_type(stats.capacity, int)
    assert_type(stats.allocated, int)
    assert_type(stats.free, int)
    assert_type(stats.peak, int)
    assert_type(stats.largest_free_run, int)
    assert_type(stats.fragmentation, float)
    assert_type(stats.allocations, int)
    assert_type(stats.frees, int)
    assert_type(stats.failures, int)


def wrong_arguments(ids: IndexPool) -> None:
    IndexPool()  # type: ignore[call-arg]
    IndexPool(1.5)  # type: ignore[arg-type]
    IndexPool("100")  # type: ignore[arg-type]
    ids.allocate(3)  # type: ignore[call-arg]
    ids.free()  # type: ignore[call-arg]
    ids.free(1.0)  # type: ignore[arg-type]
    ids.free(index=1)  # type: ignore[call-arg]
    ids.allocate_many(count=3)  # type: ignore[call-arg]
    ids.allocate_many(3, packed=3)  # type: ignore[arg-type]
    ids.allocate_many("3")  # type: ignore[arg-type]
    ids.allocate_run(None)  # type: ignore[arg-type]
    ids.allocate_into([0, 0])  # type: ignore[arg-type]
    ids.allocate_into(buffer=array("i"))  # type: ignore[call-arg]
    ids.free_many({1, 2})  # type: ignore[arg-type]
    ids.free_many(iter([1]))  # type: ignore[arg-type]
    ids.free_many([1.0])  # type: ignore[type-var]
    ids.free_many("12")  # type: ignore[arg-type]


def wrong_uses(ids: IndexPool, stats: IndexStats) -> None:
    ids.capacity = 3  # type: ignore[misc]
    ids.bitmap = memoryview(b"")  # type: ignore[misc]
    stats.peak = 0  # type: ignore[misc]


class Derived(IndexPool):  # type: ignore[misc]
    """A subclass of IndexPool, which is final."""


def unpicklable(ids: IndexPool) -> None:
    ids.__reduce_ex__(2)
    pickle.dumps(ids)  # type: ignore[unreachable]
