"""Queues by name: opening, what they must agree on, other kinds with the name, permanent queues."""

import pytest

import blockpool as bp


def test_a_queue_is_found_by_its_name(shared):
    """All objects of a name in a process are the same queue."""
    first = shared.queue("a")
    second = shared.queue("a")
    assert first is not second
    first.put(1)
    assert second.get() == 1
    assert (first.name, second.name, repr(first)) == ("a", "a", "<blockpool.Queue 'a', 0 of 64>")
    assert first.pool is shared


def test_names_of_blocks_and_queues_are_listed(shared):
    """Queues have names in the pool's catalog, like blocks."""
    queue = shared.queue("b")
    shared.keep("a", shared.allocate())
    assert shared.names() == ["a", "b"]
    with bp.inspect(shared) as inspector:
        assert inspector.names() == ["a", "b"]
    queue.close()
    assert shared.names() == ["a"]
    shared.forget("a")


def test_a_queue_ends_with_the_last_that_has_it_open(shared):
    """The name is free again when all objects of the queue are gone, and a new queue is empty."""
    first, second = shared.queue("a"), shared.queue("a")
    first.put(1)
    first.close()
    assert second.qsize() == 1
    second.close()
    assert shared.names() == []
    assert shared.queue("a", capacity=2).empty()


def test_the_name_of_a_queue_is_not_a_blocks(shared, unchanged):
    """`get` of a queue's name is WrongKind, and no block can be kept under it."""
    queue = shared.queue("a")
    block = shared.allocate()
    with unchanged(shared):
        with pytest.raises(bp.WrongKind, match=r"'a' is no block of pool .* open it with queue"):
            shared.get("a")
        for replace in (False, True):
            with pytest.raises(bp.NameTaken, match="'a'"):
                shared.keep("a", block, replace=replace)
    assert queue.qsize() == 0
    block.free()


def test_the_name_of_a_block_is_not_a_queues(shared, unchanged):
    """A queue cannot be opened under a block's name."""
    shared.keep("a", shared.allocate())
    with unchanged(shared), pytest.raises(bp.WrongKind, match=r"'a' is a block of pool .*, not a queue"):
        shared.queue("a")
    shared.forget("a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"capacity": 8}, "with capacity=64, not capacity=8;"),
        ({"redeliver": True}, "with redeliver=False, not redeliver=True;"),
        ({"permanent": True}, "with permanent=False, not permanent=True;"),
        ({"capacity": 1, "redeliver": True}, "with capacity=64, redeliver=False, not capacity=1, redeliver=True;"),
    ],
)
def test_a_queue_that_is_another_one(shared, given, said):
    """Opening a queue with other properties than it has is NameTaken, which says both."""
    queue = shared.queue("a")
    with pytest.raises(bp.NameTaken, match=said):
        shared.queue("a", **given)
    queue.close()
    assert shared.names() == []


def test_a_queue_is_taken_as_it_is(shared):
    """What is not given need not agree."""
    first = shared.queue("a", 7, redeliver=True, permanent=True)
    second = shared.queue("a")
    assert (second.capacity, second.redeliver, second.permanent) == (7, True, True)
    third = shared.queue("a", 7, redeliver=True, permanent=True)
    assert third.capacity == 7
    first.unlink()


# --- permanent queues ---
def test_a_permanent_queue_stays(shared, nothing_left):
    """A permanent queue, and what waits in it, stays when nobody has it open, until its name is taken away."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue("a", permanent=True)
        block = shared.allocate(nbytes=2)
        block.buf[:] = b"ab"
        queue.put(block)
        block.release()
        queue.close()
        assert (shared.names(), shared.stats().allocated) == (["a"], 1)
        queue = shared.queue("a")
        queue.unlink()
        assert shared.names() == []
        assert bytes(queue.get().buf) == b"ab"
        queue.close()


def test_forgetting_a_queue(shared, nothing_left):
    """`forget` takes the name of a queue away; a permanent one that nobody has open ends then, with its messages."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue("a", permanent=True)
        queue.put(shared.allocate())
        queue.close()
        shared.forget("a")
    with pytest.raises(bp.NameNotFound):
        shared.forget("a")


def test_a_permanent_queue_outlives_all_processes(pool_name, peers):
    """In a permanent pool, a permanent queue outlives every process; what the dead had put is received."""
    first, second = peers(), peers()
    first(f"pool = bp.Pool.create('4KiB', 8, name={pool_name!r}, permanent=True)")
    first("queue = pool.queue('a', permanent=True); queue.put(pool.full(3, 7, 'u1')); queue.put('x')")
    first.kill()
    second(f"pool = bp.Pool.attach({pool_name!r}); queue = pool.queue('a'); got = queue.get().tolist()")
    assert second("got") == [7, 7, 7]
    second.kill()
    pool = bp.Pool.attach(pool_name)
    try:
        assert pool.queue("a").get(timeout=60) == "x"
        pool.forget("a")
        assert pool.stats().allocated == 0
        pool.check()
    finally:
        pool.unlink()


def test_a_permanent_queue_needs_a_name(shared):
    """Without a name, nothing could find a permanent queue again."""
    with pytest.raises(ValueError, match="a permanent queue needs a name"):
        shared.queue(permanent=True)


# --- unlinking ---
def test_unlinking(shared):
    """A queue without its name goes on for those who have it open, and the name can be another queue's."""
    queue = shared.queue("a")
    queue.put(1)
    queue.unlink()
    assert shared.names() == []
    other = shared.queue("a", capacity=1)
    assert other.empty()
    assert queue.get() == 1
    with pytest.raises(bp.NameNotFound, match="queue 'a' has no name any more"):
        queue.unlink()
    assert shared.names() == ["a"]
    other.unlink()
    with pytest.raises(bp.NameNotFound, match="the queue has no name to remove"):
        shared.queue().unlink()


# --- what is refused ---
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"capacity": 0}, ValueError, "capacity must be at least 1, not 0"),
        ({"capacity": -1}, ValueError, "capacity must be at least 1, not -1"),
        ({"capacity": 2**20 + 1}, ValueError, "capacity must be at most 1048576, not 1048577"),
        ({"capacity": 10**30}, ValueError, "capacity must be at most 1048576"),
        ({"capacity": 2**20}, bp.PoolExhausted, "no room for a queue of 1048576: it takes .*queue_room"),
        ({"capacity": 1.5}, TypeError, "capacity must be an int"),
        ({"capacity": "8"}, TypeError, "capacity must be an int"),
        ({"overflow": "never"}, ValueError, "overflow must be one of wait, drop_oldest, drop_newest, raise"),
        ({"overflow": None}, ValueError, "overflow must be one of"),
        ({"overflow": []}, ValueError, "overflow must be one of"),
        ({"spin": -1}, ValueError, "spin must be 0 or more seconds"),
        ({"spin": float("nan")}, ValueError, "spin must be 0 or more seconds"),
        ({"spin": "1"}, TypeError, "spin must be a number"),
        ({"name": "a/b"}, ValueError, "name must be"),
        ({"name": ""}, ValueError, "name must be"),
        ({"name": 5}, TypeError, "name must be a str"),
        ({"name": "x" * 181}, ValueError, "name must be"),
    ],
)
def test_arguments_that_are_refused(shared, nothing_left, given, error, said):
    """Bad arguments are refused with what was given and what is possible; no queue is left behind."""
    other = shared.queue()
    with nothing_left(other), pytest.raises(error, match=said):
        shared.queue(**given)
    assert shared.names() == []


@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), [], 1j])
def test_timeouts_that_are_refused(queue, nothing_left, timeout):
    """A timeout that is no number of seconds, or negative, is refused by every call that waits."""
    with nothing_left(queue):
        for call in (
            lambda: queue.put(1, timeout=timeout),
            lambda: queue.get(timeout=timeout),
            lambda: queue.receive(timeout=timeout),
            lambda: queue.join(timeout=timeout),
            lambda: queue.get_async(timeout=timeout),
            lambda: queue.put_async(1, timeout=timeout),
        ):
            with pytest.raises((TypeError, ValueError), match="timeout must be"):
                call()


def test_all_names_are_taken(shared):
    """A pool without another name has no room for a queue with one."""
    block = shared.allocate()
    for number in range(256):
        shared.keep(f"n{number}", block)
    with pytest.raises(bp.PoolExhausted, match="256 names"):
        shared.queue("a")
    shared.queue().close()
    for number in range(256):
        shared.forget(f"n{number}")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        ("x", ValueError),
        (1.5, TypeError),
        ([], TypeError),
        (2**28 + 1, ValueError),
        ("1TiB", ValueError),
    ],
)
def test_queue_rooms_that_are_refused(given, error):
    """`queue_room` is a size of at most 256 MiB."""
    with pytest.raises(error, match="queue_room"):
        bp.Pool.create("4KiB", 4, queue_room=given)


def test_queue_room(pool_name):
    """`queue_room` says how large queues can be."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, queue_room="16KiB")
    with pytest.raises(bp.PoolExhausted, match="16384 bytes in all"):
        pool.queue(capacity=4096)
    assert pool.queue(capacity=1024).capacity == 1024
    larger = bp.Pool.create("4KiB", 4, queue_room="2MiB")
    assert larger.queue(capacity=2**16).capacity == 2**16


def test_a_private_pool_has_no_queue_room():
    """Pool() says that `queue_room` is for shared pools."""
    with pytest.raises(TypeError, match="queue_room"):
        bp.Pool("4KiB", 4, queue_room="1MiB")
