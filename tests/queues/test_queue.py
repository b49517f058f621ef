"""A queue of a shared pool, used like queue.Queue."""

import queue as standard
import threading
import time

import pytest

import blockpool as bp


def test_items_come_in_order(queue):
    """What is put first is received first."""
    for number in range(4):
        queue.put(number)
    assert [queue.get() for _ in range(4)] == [0, 1, 2, 3]


def test_many_rounds(queue):
    """The ring is used again and again, however full it is meanwhile."""
    put, got = 0, 0
    for turn in range(300):
        for _ in range(turn % 4 + 1):
            if not queue.full():
                queue.put(put)
                put += 1
        for _ in range((turn * 7) % 4 + 1):
            if not queue.empty():
                assert queue.get() == got
                got += 1
    while got < put:
        assert queue.get() == got
        got += 1


def test_the_size(queue):
    """`qsize`, `empty` and `full` count what waits, `maxsize` and `capacity` are what the queue was made with."""
    assert (queue.maxsize, queue.capacity) == (4, 4)
    for number in range(5):
        assert (queue.qsize(), queue.empty(), queue.full()) == (number, number == 0, number == 4)
        assert queue.unfinished == number
        assert repr(queue) == f"<blockpool.Queue, {number} of 4>"
        if number < 4:
            queue.put(number)
    queue.get()
    assert (queue.qsize(), queue.full()) == (3, False)


def test_the_default_capacity(shared):
    """A queue has room for 64 items unless told otherwise."""
    assert shared.queue().capacity == 64


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8, 100])
def test_exactly_as_many_as_the_capacity(shared, capacity):
    """As many items fit as the capacity says, at every place of the ring."""
    queue = shared.queue(capacity=capacity)
    for turn in range(3 * capacity):
        for number in range(capacity):
            queue.put_nowait(number)
        with pytest.raises(bp.QueueFull):
            queue.put_nowait(0)
        assert [queue.get_nowait() for _ in range(capacity)] == list(range(capacity))
        queue.put(turn)
        assert queue.get() == turn


# --- full and empty ---
def test_a_full_queue(queue, nothing_left):
    """Putting into a full queue raises the standard library's Full, which is also ours; nothing is left behind."""
    for number in range(4):
        queue.put(number)
    with nothing_left(queue):
        for call in (
            lambda: queue.put_nowait(b"x"),
            lambda: queue.put(b"x", 0),
            lambda: queue.put(b"x", block=False),
            lambda: queue.put(b"x", timeout=0),
            lambda: queue.put([1, 2], 1, 0.01),
        ):
            with pytest.raises(standard.Full, match="the queue is full: 4 messages wait") as caught:
                call()
            assert type(caught.value) is bp.QueueFull
            assert isinstance(caught.value, bp.BlockPoolError)


def test_an_empty_queue(queue, nothing_left):
    """Receiving from an empty queue raises the standard library's Empty, which is also ours."""
    with nothing_left(queue):
        for call in (
            queue.get_nowait,
            lambda: queue.get(0),
            lambda: queue.get(block=False),
            lambda: queue.get(timeout=0),
            lambda: queue.get(1, 0.01),
            lambda: queue.receive(0),
        ):
            with pytest.raises(standard.Empty, match="the queue has no message") as caught:
                call()
            assert type(caught.value) is bp.QueueEmpty
            assert isinstance(caught.value, bp.BlockPoolError)


def test_a_timeout_takes_its_time(queue):
    """A call that waits gives up after its timeout, not before and not much later."""
    for call, error in (
        (lambda: queue.get(timeout=0.2), bp.QueueEmpty),
        (lambda: queue.put(0, timeout=0.2), bp.QueueFull),
    ):
        began = time.monotonic()
        with pytest.raises(error):
            call()
        assert 0.2 <= time.monotonic() - began < 60
        for number in range(4 - queue.qsize()):
            queue.put(number)


@pytest.mark.parametrize("spin", [None, 0, 0.001])
def test_a_receiver_waits_for_an_item(shared, spin):
    """A receiver that waits gets what another thread puts, whether it spins or sleeps."""
    queue = shared.queue(spin=spin)
    got = []
    thread = threading.Thread(target=lambda: got.extend(queue.get() for _ in range(200)))
    thread.start()
    for number in range(200):
        queue.put(number)
        if number % 20 == 0:
            time.sleep(0.002)
    thread.join(60)
    assert got == list(range(200))


@pytest.mark.parametrize("spin", [None, 0, 0.001])
def test_a_sender_waits_for_room(shared, spin):
    """A sender that waits goes on when another thread receives something."""
    queue = shared.queue(capacity=1, spin=spin)
    thread = threading.Thread(target=lambda: [queue.put(number) for number in range(200)])
    thread.start()
    got = []
    for number in range(200):
        if number % 20 == 0:
            time.sleep(0.002)
        got.append(queue.get(timeout=60))
    thread.join(60)
    assert got == list(range(200))


def test_many_threads(shared):
    """Each item that some thread puts is received by exactly one other, in the order of its sender."""
    queue = shared.queue(capacity=3)
    got = [[] for _ in range(3)]

    def put(number):
        for turn in range(400):
            queue.put((number, turn))

    senders = [threading.Thread(target=put, args=(number,)) for number in range(3)]
    receivers = [threading.Thread(target=found.extend, args=(queue,)) for found in got]
    for thread in senders + receivers:
        thread.start()
    for thread in senders:
        thread.join(60)
    queue.shutdown()
    for thread in receivers:
        thread.join(60)
    assert sorted(item for found in got for item in found) == [(n, t) for n in range(3) for t in range(400)]
    for found in got:
        for number in range(3):
            turns = [turn for sender, turn in found if sender == number]
            assert turns == sorted(turns)


# --- overflow ---
def test_dropping_the_oldest(shared):
    """With overflow="drop_oldest", a full queue drops what waited longest, and counts it."""
    queue = shared.queue(capacity=3, overflow="drop_oldest")
    for number in range(10):
        queue.put(number)
    assert (queue.qsize(), queue.lost) == (3, 7)
    assert [queue.get() for _ in range(3)] == [7, 8, 9]
    assert queue.lost == 7


def test_dropping_the_newest(shared):
    """With overflow="drop_newest", a full queue drops what is put, and counts it."""
    queue = shared.queue(capacity=3, overflow="drop_newest")
    for number in range(10):
        queue.put(number)
    assert (queue.qsize(), queue.lost) == (3, 7)
    assert [queue.get() for _ in range(3)] == [0, 1, 2]


def test_dropping_frees_what_was_carried(shared):
    """A block that only a dropped message holds comes back."""
    for overflow in ("drop_oldest", "drop_newest"):
        queue = shared.queue(capacity=1, overflow=overflow)
        for _ in range(5):
            queue.put(shared.allocate())
        assert shared.stats().allocated == 1
        queue.get()
        assert shared.stats().allocated == 0


def test_raising_at_once(shared):
    """With overflow="raise", putting into a full queue raises at once, also if it may wait."""
    queue = shared.queue(capacity=1, overflow="raise")
    queue.put(1)
    with pytest.raises(bp.QueueFull):
        queue.put(2)
    assert (queue.get(), queue.lost) == (1, 0)


def test_overflow_is_the_senders(shared):
    """Each object of a queue has its own way when the queue is full."""
    queue = shared.queue("a", capacity=1)
    dropping = shared.queue("a", overflow="drop_oldest")
    queue.put(1)
    dropping.put(2)
    assert (queue.get(), queue.lost, queue.overflow, dropping.overflow) == (2, 1, "wait", "drop_oldest")


def test_dropping_for_want_of_room(pool_name):
    """With overflow="drop_oldest", old messages also make room for a message in the room for queues."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, queue_room="8KiB")
    queue = pool.queue(capacity=64, overflow="drop_oldest")
    for number in range(100):
        queue.put(bytes([number]) * 1000)
    assert queue.lost + queue.qsize() == 100
    assert queue.lost > 90
    assert [item[0] for item in (queue.get() for _ in range(queue.qsize()))][-1] == 99


# --- shutting down and closing ---
def test_shutting_down(queue):
    """After `shutdown`, nothing more can be put; what waits is received, and then `get` raises."""
    queue.put(1)
    queue.put(2)
    queue.shutdown()
    with pytest.raises(bp.QueueShutDown, match="the queue was shut down"):
        queue.put(3)
    assert [queue.get(), queue.get()] == [1, 2]
    for call in (queue.get, queue.get_nowait, queue.receive):
        with pytest.raises(bp.QueueShutDown):
            call()
    if hasattr(standard, "ShutDown"):
        assert issubclass(bp.QueueShutDown, standard.ShutDown)
    queue.shutdown()


def test_shutting_down_immediately(queue, shared):
    """With `immediate`, what waits is dropped, with the blocks that it carries."""
    queue.put(shared.allocate())
    queue.put(b"x")
    queue.shutdown(immediate=True)
    assert (queue.qsize(), shared.stats().allocated) == (0, 0)
    with pytest.raises(bp.QueueShutDown):
        queue.get()


@pytest.mark.parametrize("immediate", [False, True])
def test_shutting_down_wakes_those_who_wait(shared, immediate):
    """Calls that wait, for an item or for room, raise when the queue is shut down."""
    full, empty = shared.queue(capacity=1), shared.queue(capacity=1)
    full.put(0)
    caught = []

    def wait(call):
        try:
            call()
        except bp.QueueShutDown as error:
            caught.append(error)

    threads = [threading.Thread(target=wait, args=(call,)) for call in (lambda: full.put(1), empty.get)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    for queue in (full, empty):
        queue.shutdown(immediate)
    for thread in threads:
        thread.join(60)
    assert len(caught) == 2


def test_iteration_ends_when_the_queue_is_shut_down(queue):
    """`for item in queue` receives until the queue is shut down and empty."""
    for number in range(3):
        queue.put(number)
    queue.shutdown()
    assert list(queue) == [0, 1, 2]


def test_a_closed_queue(queue, shared):
    """After `close` every call raises QueueClosed; the state of the object can still be asked for."""
    queue.put(shared.allocate())
    queue.close()
    queue.close()
    assert queue.closed
    assert (queue.capacity, queue.name, repr(queue)) == (4, None, "<blockpool.Queue closed>")
    for call in (
        lambda: queue.put(1),
        queue.get,
        queue.get_nowait,
        queue.receive,
        queue.qsize,
        queue.task_done,
        queue.join,
        queue.shutdown,
        queue.unlink,
        queue.fileno,
        queue.get_async,
        queue.join_async,
        lambda: queue.put_async(1),
        queue.__aiter__,
        lambda: list(queue),
        lambda: queue.lost,
        lambda: queue.unfinished,
        lambda: queue.pool,
        lambda: queue.__reduce_ex__(5),
        queue.__enter__,
    ):
        with pytest.raises(bp.QueueClosed, match="is closed in this process"):
            call()
    assert shared.stats().allocated == 0  # the queue ended, and its message with it


def test_a_with_closes_the_queue(shared):
    """A queue is closed at the end of its `with`."""
    with shared.queue() as queue:
        queue.put(1)
    assert queue.closed


def test_closing_wakes_those_who_wait(shared):
    """A call that waits in another thread raises QueueClosed when the queue is closed."""
    queue = shared.queue()
    caught = []

    def wait():
        with pytest.raises(bp.QueueClosed) as found:
            queue.get()
        caught.append(found)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.05)
    queue.close()
    thread.join(60)
    assert caught


def test_a_queue_ends_with_its_last_object(shared, nothing_left):
    """A queue without a name, and all that is in it, comes back with its last object."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue()
        queue.put(shared.allocate())
        queue.put(b"x" * 3000)
        del queue


def test_a_queue_outlives_the_pool_object(shared):
    """Closing the Pool leaves its queues as they are, like its blocks."""
    queue = shared.queue()
    block = shared.allocate()
    shared.close()
    queue.put(block)
    assert queue.get().index == block.index


def test_queues_are_only_for_shared_pools(pool):
    """A private pool has no queues."""
    with pytest.raises(ValueError, match="the pool is private"):
        pool.queue()


def test_classes_make_no_queues():
    """Queues and messages come from a pool, not from their classes."""
    with pytest.raises(TypeError, match=r"Pool\.queue"):
        bp.Queue()
    with pytest.raises(TypeError, match=r"Queue\.receive"):
        bp.Message()
    never = bp.Queue.__new__(bp.Queue)
    with pytest.raises(bp.QueueClosed, match="never opened"):
        never.put(1)
    never.close()
    assert repr(never)


# --- waiting until all is done ---
def test_joining_waits_until_all_is_received(queue):
    """Without redelivery an item is done when it is received, and `join` waits for that."""
    queue.join()
    queue.put(1)
    with pytest.raises(TimeoutError, match="1 items wait, and 0 were received and are not done"):
        queue.join(timeout=0.05)
    timer = threading.Timer(0.1, queue.get)
    timer.start()
    queue.join(timeout=60)
    timer.join()


def test_task_done_needs_redelivery(queue):
    """In a queue that does not redeliver, there is nothing for `task_done` to finish."""
    queue.put(1)
    queue.get()
    with pytest.raises(ValueError, match="make it with redeliver=True"):
        queue.task_done()
