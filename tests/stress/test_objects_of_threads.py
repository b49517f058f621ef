"""Objects that threads share: what is allocated comes back once, and who loses a race gets a typed error.

That holds whatever one thread does to a Block, view, pool or queue that another one is using. These tests hold with the
GIL, and are what a build without it has to keep. BLOCKPOOL_STRESS_SEED repeats what is random.
"""

import contextlib
import gc
import itertools
import os
import queue
import random
import threading
import weakref
from functools import partial

import pytest

import blockpool as bp
from threads import outcomes, together

pytestmark = [pytest.mark.stress, pytest.mark.usefixtures("switch_often")]

ROUNDS = 100
TYPED = (bp.BlockPoolError, ValueError, TypeError, BufferError)


@pytest.fixture
def chance():
    """Give a source of chance, and print its seed."""
    seed = int(os.environ.get("BLOCKPOOL_STRESS_SEED", random.randrange(1 << 30)))
    print(f"BLOCKPOOL_STRESS_SEED={seed}")  # noqa: T201 - pytest shows it when the test fails
    return random.Random(seed)


@pytest.fixture(params=["private", "shared"])
def either(request):
    """Give a pool of each kind."""
    made = bp.Pool(64, 256) if request.param == "private" else bp.Pool.create(64, 256)
    with made as pool:
        yield pool


def is_empty(pool):
    """Whether everything came back: what a thread dropped may be ended by another one, or by the collector."""
    gc.collect()
    pool.recover()
    return pool.check().runs == 0 and pool.stats().allocated == 0


@pytest.mark.parametrize("threads", [2, 4, 8])
def test_pairs_in_several_threads(either, threads):
    """Threads that allocate, write, read and free in one pool never have the same block, and the counts add up."""

    def work(number):
        stamp = bytes([number + 1]) * 64
        for step in range(400):
            block = either.allocate(timeout=None) if step % 3 else either.allocate(blocks=2, timeout=None)
            block.buf[:64] = stamp
            assert bytes(block.buf[:64]) == stamp
            block.free() if step % 2 else block.release()

    together(work, threads)
    assert is_empty(either)
    stats = either.stats()
    assert stats.allocations == stats.frees == 400 * threads
    assert 1 <= stats.peak <= 2 * threads


def test_views_against_free(either):
    """While threads take views of a Block and read them, another one frees it: no view sees freed memory."""
    for _ in range(ROUNDS):
        block = either.allocate()
        block.buf[:] = b"x" * 64

        def look(block=block):
            for _ in range(5):
                assert bytes(block.buf) == b"x" * 64

        def free(block=block):
            for _ in range(1000):
                with contextlib.suppress(bp.BlockInUse):
                    block.free()
                    return
            block.release()

        for found in outcomes(look, free, look):
            assert found is None or isinstance(found, bp.InvalidBlock | bp.DoubleFree), repr(found)
        del block, look, free
    assert is_empty(either)


def test_views_of_views_against_free(either):
    """Threads that copy and drop views hold the memory, whatever the count of references looks like meanwhile."""
    block = either.allocate()
    block.buf[:] = bytes(range(64))
    views = [block.buf for _ in range(3)]
    stop = threading.Event()

    def copy():
        held = views.pop()
        while not stop.is_set():
            held = memoryview(held)[:]
            assert held[63] == 63

    def free():
        try:
            for _ in range(3000):
                with contextlib.suppress(bp.BlockInUse):
                    block.free()
                    return "freed"
            return "refused"
        finally:
            stop.set()

    assert outcomes(copy, copy, copy, free) == [None, None, None, "refused"]
    block.release()
    assert is_empty(either)


def test_exits_against_senders(either):
    """One thread leaves the `with` of a Block while others free, release, look at and describe it."""
    for _ in range(ROUNDS):
        block = either.allocate()

        def leave(block=block):
            with block:
                block.buf[0] = 1

        results = outcomes(leave, block.release, lambda block=block: repr(block), block.readonly, leave)
        for found in results:
            assert not isinstance(found, Exception) or isinstance(found, TYPED), repr(found)
        del block, leave, results, found
    assert is_empty(either)


def test_one_free_succeeds(either):
    """Of eight threads that free one Block at once, with a view taken before or without, exactly one succeeds."""
    for turn in range(ROUNDS):
        block = either.allocate()
        if turn % 2:
            block.buf[0] = 1

        def free(_, block=block):
            while True:
                try:
                    block.free()
                except bp.BlockInUse:  # another one is at it
                    continue
                except bp.DoubleFree:
                    return "double"
                return "freed"

        found = together(free, 8)
        assert sorted(found) == ["double"] * 7 + ["freed"]
    stats = either.stats()
    assert (stats.allocations, stats.frees, stats.allocated) == (ROUNDS, ROUNDS, 0)


def test_twins_and_views_at_their_end(either):
    """The last of a Block, its twins and their views gives the memory back, in whatever thread it ends."""
    for _ in range(ROUNDS):
        block = either.allocate()
        twins = [block.readonly() for _ in range(3)]
        holders = [[block], *[[twin, twin.buf] for twin in twins]]
        del block, twins
        together(lambda number, holders=holders: holders[number].clear())
        del holders
    assert is_empty(either)


def test_notes_at_once(either):
    """A note that threads set and read at once is always one of those that were set."""
    with either.allocate() as block:
        notes = [bytes([number]) * 100 for number in range(4)]
        block.note = notes[0]

        def work(number):
            for _ in range(100):
                block.note = notes[number]
                assert block.note in {*notes, b""}

        together(work)


def test_closing_against_everything():
    """A pool is closed while threads allocate from it in every way, ask it and are given views: typed errors only."""
    ways = (
        lambda pool: pool.allocate(),
        lambda pool: pool.allocate(nbytes=100),
        lambda pool: pool.allocate_many(2),
        lambda pool: (pool.stats(), repr(pool), pool.block_size, pool.allocate().buf)[0],
    )
    for turn in range(30):
        pool = bp.Pool(64, 64) if turn % 2 else bp.Pool.create(64, 64)
        begun = threading.Event()

        def use(call, pool=pool, begun=begun):
            got = []
            while True:
                try:
                    got.append(call(pool))
                except bp.PoolClosed:
                    return got
                except bp.PoolExhausted:
                    got.clear()
                begun.set()

        def close(pool=pool, begun=begun):
            begun.wait(60)
            pool.close()
            pool.close()

        results = outcomes(close, *[partial(use, way) for way in ways])
        assert not any(isinstance(found, Exception) for found in results), results
        for block in itertools.chain.from_iterable(results[1:3]):
            block.buf[0] = 7
        for block in itertools.chain.from_iterable(results[3]):
            assert block.pool is not None


def test_the_memory_outlives_the_pool_in_other_threads():
    """Threads drop the last Blocks and views of pools that are gone: the memory is unmapped once."""
    for turn in range(ROUNDS):
        pool = bp.Pool(4096, 8) if turn % 2 else bp.Pool.create(4096, 8)
        held = together(lambda _, pool=pool: (pool.allocate(), pool.allocate().buf))
        reference = weakref.ref(pool)
        del pool
        gc.collect()
        assert reference() is None
        together(lambda number, held=held: held.__setitem__(number, (held[number][0].buf[0], None)[1]))


def test_reports_against_work(either):
    """stats, runs, iteration and audits are right while threads allocate, free and wait."""
    stop = threading.Event()

    def work(number):
        count = 0
        try:
            while not stop.is_set() and count < 3000:
                with contextlib.suppress(bp.PoolExhausted):
                    block = either.allocate(blocks=number % 3 + 1)
                    view = block.buf
                    del view
                    block.release()
                count += 1
        finally:
            stop.set()

    def look():
        while not stop.is_set():
            stats = either.stats()
            assert stats.allocated + stats.free == 256
            assert stats.allocated <= stats.peak <= 256 or stats.peak >= 0
            for run in either.runs():
                assert 0 <= run.index < 256
            either.check()

    for found in outcomes(lambda: work(0), lambda: work(1), lambda: work(2), look):
        assert found is None, repr(found)
    assert is_empty(either)


def test_waiting_threads_get_what_others_drop(either):
    """Threads that wait for room get the blocks that other threads free, or simply drop."""
    given = queue.SimpleQueue()

    def produce():
        for step in range(600):
            given.put((step, either.allocate(timeout=60)))
        given.put(None)
        given.put(None)

    def consume():
        while (item := given.get()) is not None:
            step, block = item
            del item
            if step % 2:
                block.free()
            del block

    assert outcomes(produce, consume, consume) == [None] * 3
    assert is_empty(either)


def test_a_queue_of_many_threads():
    """What threads put into a queue of a pool, threads receive once each: blocks, alone or not, and other objects."""
    pool = bp.Pool.create(64, 256)
    channel = pool.queue(capacity=8, redeliver=True)
    got = []

    def put(number):
        for step in range(60):
            name = number * 1000 + step
            if step % 3:
                channel.put(("plain", name) if step % 2 else {"block": block_of(name)})
            else:
                channel.put(block_of(name))

    def block_of(name):
        block = pool.allocate(timeout=60)
        block.buf[:8] = name.to_bytes(8, "little")
        return block

    def get():
        mine = []
        while len(got) < 180:
            try:
                with channel.receive(timeout=0.05) as message:
                    mine.append(message.item)
                    got.append(None)
            except queue.Empty:
                continue
        return mine

    results = outcomes(lambda: put(0), lambda: put(1), lambda: put(2), get, get)
    assert not any(isinstance(found, Exception) for found in results), results
    items = [*results[3], *results[4]]

    def name_of(item):
        if isinstance(item, tuple):
            return item[1]
        block = item["block"] if isinstance(item, dict) else item
        return int.from_bytes(block.buf[:8], "little")

    assert sorted(map(name_of, items)) == sorted(number * 1000 + step for number in range(3) for step in range(60))
    del items, results
    channel.close()
    assert is_empty(pool)


def test_a_message_is_finished_once():
    """A message that several threads finish, return and drop at once is done or received again, never both."""
    pool = bp.Pool.create(64, 16)
    channel = pool.queue(capacity=4, redeliver=True)
    for _ in range(ROUNDS):
        channel.put(b"once")
        message = channel.receive()
        together(lambda number, message=message: message.done() if number % 2 else message.__exit__(None, None, None))
        with pytest.raises(queue.Empty):
            channel.get(timeout=0)
        assert channel.unfinished == 0
    channel.close()


def test_a_topic_and_a_latest_value_of_many_threads():
    """Readers in several threads see items of a topic at most once each, and only values that were set."""
    pool = bp.Pool.create(64, 64)
    topic, latest = pool.topic(history=16), pool.latest()
    reader = topic.subscribe(wait=True)
    latest.set(-1)
    stop = threading.Event()

    def publish():
        for step in range(200):
            topic.publish(step)
            latest.set(step)
        topic.shutdown()

    def read():
        return list(reader)

    def look():
        while not stop.is_set():
            assert -1 <= latest.get() < 200

    def both():
        try:
            publish()
        finally:
            stop.set()

    results = outcomes(both, read, read, look)
    assert not any(isinstance(found, Exception) for found in results), results
    assert sorted(results[1] + results[2]) == list(range(200))
    reader.close()


def test_pools_attached_at_once():
    """Threads that attach and drop one shared pool by its name at once share one membership."""
    name = f"stress-{os.getpid()}"
    with bp.Pool.create(64, 16, name=name) as owner:

        def work(_):
            for _ in range(40):
                with bp.Pool.attach(name) as pool:
                    pool.allocate().free()
                    assert pool.stats().processes == 1

        together(work)
        owner.unlink()


def test_debug_mode_of_many_threads():
    """In debug mode, threads allocate, overrun and drop blocks: each overrun is found once, and all comes back."""
    # in one of two blocks, a run is allocated again as soon as it is freed
    for pool in (bp.Pool(64, 64, debug=True), bp.Pool(64, 2, debug=True), bp.Pool.create(64, 64, debug=True)):

        def work(number, pool=pool):
            found = 0
            for step in range(60):
                block = pool.allocate(nbytes=60, timeout=60)
                view = block.buf
                del view
                if step % 10 == number:
                    twin = block.readonly()
                    del twin
                try:
                    block.free() if step % 2 else block.release()
                except bp.BlockInUse:
                    block.release()
                except bp.BlockOverrun:
                    found += 1
            return found

        assert together(work) == [0] * 4
        assert is_empty(pool)
        assert pool.outstanding() == []
        pool.close()


def test_finalizers_in_other_threads(either):
    """Blocks in cycles, which the collector ends in whatever thread it runs, come back."""

    class Ring:
        def __init__(self, block):
            self.block, self.self = block, self

    def work(_):
        for step in range(50):
            Ring(either.allocate(timeout=60))
            if step % 10 == 0:
                gc.collect()

    together(work)
    assert is_empty(either)


def hold(held, view):
    """Keep a view or Block for a while."""
    held.append(view)
    if len(held) > 8:
        held.clear()


# What a thread does to a Block that others use too, and what it keeps of it.
USES = (
    lambda block, _: block.free(),
    lambda block, _: block.release(),
    lambda block, held: hold(held, block.buf),
    lambda block, held: hold(held, block.readonly()),
    lambda _, held: hold(held, memoryview(held[-1])),
    lambda block, _: (repr(block), block.index, block.address, block.pool, block.note),
    lambda block, _: setattr(block, "note", b"note"),
    lambda block, _: block.__enter__().__exit__(None, None, None),
)


def test_random_uses_of_shared_objects(either, chance):
    """Threads do random things to the same few Blocks: only typed errors, and in the end all is free."""
    blocks = [either.allocate() for _ in range(8)]
    seeds = [chance.random() for _ in range(6)]

    def work(number):
        own, held = random.Random(seeds[number]), []
        for step in range(400):
            place = own.randrange(len(blocks))
            with contextlib.suppress(*TYPED, IndexError):
                own.choice(USES)(blocks[place], held)
            if step % 9 == 0:
                blocks[place] = either.allocate()

    together(work, 6)
    blocks.clear()
    assert is_empty(either)
