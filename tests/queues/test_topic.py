"""Topics: each reader gets everything, or learns how much it has missed."""

import gc
import queue as standard
import random
import signal
import threading
import time

import numpy as np
import pytest

import blockpool as bp
from blockpool._core import room_used
from waits import await_true


@pytest.fixture
def topic(shared):
    """Open a topic with a history of three; at the end, nothing may be left but what it keeps."""
    made = shared.topic(history=3)
    empty = room_used(made)
    yield made
    if not made.closed:
        made.shutdown(immediate=True)
        gc.collect()
        assert room_used(made) == empty, made
    assert (shared.stats().allocated, shared.stats().tickets) == (0, 0)


@pytest.fixture
def news(shared, peers):
    """Return a topic named "news" with a history of four, and a function that starts a peer which has it open too."""
    topic = shared.topic("news", history=4)

    def start():
        peer = peers()
        peer(f"pool = bp.Pool.attach({shared.name!r}); topic = pool.topic('news')")
        return peer

    return topic, start


def rest_of(reader):
    """Receive all that a subscription can get now."""
    items = []
    while True:
        try:
            items.append(reader.get_nowait())
        except bp.QueueEmpty:
            return items


# --- who gets what ---
def test_each_reader_gets_everything_in_order(topic):
    """Every reader that keeps up gets every item, in the order in which they were published."""
    readers = [topic.subscribe(wait=wait) for wait in (False, True, False)]
    for turn in range(20):
        for number in range(3):
            topic.publish((turn, number))
        for reader in readers:
            assert rest_of(reader) == [(turn, number) for number in range(3)]
            assert (reader.lost, reader.last_lost, reader.behind, reader.position) == (0, 0, 0, 3 * turn + 3)


@pytest.mark.parametrize("history", [1, 2, 3, 7, 8, 9])
def test_late_readers_begin_with_the_history(shared, history):
    """A reader that comes late begins with the last items that were published, or with the next one."""
    topic = shared.topic(history=history)
    for number in range(3 * history):
        late, later = topic.subscribe(), topic.subscribe(start="now")
        kept = min(number, history)
        assert (late.behind, later.behind) == (kept, 0)
        assert rest_of(late) == list(range(number - kept, number))
        topic.publish(number)
        assert rest_of(later) == [number]
        assert (late.lost, later.lost) == (0, 0)
    assert repr(topic) == f"<blockpool.Topic, {history} of {history}>"


@pytest.mark.parametrize("history", [1, 2, 5, 8])
def test_a_slow_reader_learns_how_many_it_has_missed(shared, history):
    """A reader that falls behind goes on with the oldest item that is left, and counts exactly what it missed."""
    topic = shared.topic(history=history)
    reader = topic.subscribe()
    published = lost = 0
    for ahead in [*range(1, 3 * history + 2), 1, 50]:
        for _ in range(ahead):
            topic.publish(published)
            published += 1
        missed = max(ahead - history, 0)
        lost += missed
        assert reader.behind == ahead
        assert reader.get() == published - ahead + missed
        assert (reader.lost, reader.last_lost) == (lost, missed)
        assert rest_of(reader) == list(range(published - ahead + missed + 1, published))
        assert reader.lost == lost
        if ahead > missed + 1:
            assert reader.last_lost == 0
    with pytest.raises(bp.QueueEmpty):
        reader.get_nowait()


def test_a_waiting_reader_misses_nothing(topic):
    """Publishers wait for a waiting reader that is as far behind as the history is long."""
    reader = topic.subscribe(wait=True)
    assert (topic.subscribers, reader.wait, topic.full()) == (1, True, False)
    for number in range(3):
        topic.publish(number)
    assert topic.full()
    for call in (
        lambda: topic.publish(3, block=False),
        lambda: topic.publish(3, timeout=0.01),
        lambda: topic.publish_nowait(3),
    ):
        with pytest.raises(standard.Full, match="its history has 3 messages, and a waiting subscription") as caught:
            call()
        assert type(caught.value) is bp.QueueFull
    assert reader.get() == 0
    topic.publish_nowait(3)
    assert rest_of(reader) == [1, 2, 3]
    assert reader.lost == 0
    reader.close()
    assert topic.subscribers == 0
    for number in range(10):
        topic.publish_nowait(number)


def test_a_publisher_waits_until_there_is_room(topic):
    """A publisher that waits goes on when the slowest waiting reader has read."""
    quick, slow = topic.subscribe(wait=True), topic.subscribe(wait=True)
    thread = threading.Thread(target=lambda: [topic.publish(number) for number in range(100)])
    thread.start()
    got = []
    for number in range(100):
        got.append(slow.get(timeout=60))
        assert quick.get(timeout=60) == number
    thread.join(60)
    assert got == list(range(100))


def test_leaving_lets_publishers_go_on(topic):
    """A waiting reader that is closed, or dropped, or whose `with` ends, holds nobody back."""
    for leave in (bp.Subscription.close, lambda reader: reader.__exit__(None, None, None), id):
        reader = topic.subscribe(wait=True)
        while not topic.full():
            topic.publish(0)
        timer = threading.Timer(0.05, leave, [reader])
        timer.start()
        del reader
        timer.join()
        del timer
        gc.collect()
        topic.publish(1, timeout=60)
        assert topic.subscribers == 0


def test_closing_a_topic_leaves_its_readers(shared):
    """A subscription goes on when the Topic object that made it is closed, and holds publishers back."""
    other = shared.topic("a", history=1)
    with shared.topic("a") as made:
        reader = made.subscribe(wait=True)
    other.publish(1)
    with pytest.raises(bp.QueueFull):
        other.publish_nowait(2)
    assert reader.get() == 1
    reader.close()


def test_so_many_waiting_readers(topic):
    """A topic has at most 256 waiting subscriptions, and any number of others."""
    readers = [topic.subscribe(wait=True) for _ in range(256)]
    with pytest.raises(bp.PoolExhausted, match="256 waiting subscriptions"):
        topic.subscribe(wait=True)
    topic.subscribe()
    readers.pop().close()
    topic.subscribe(wait=True).close()
    assert topic.subscribers == 255


def test_threads_share_a_subscription(shared):
    """Each item goes to one of the threads that use a waiting subscription, and none is missed."""
    topic = shared.topic(history=2)
    reader = topic.subscribe(wait=True)
    got = [[] for _ in range(3)]
    threads = [threading.Thread(target=lambda found=found: found.extend(item[0] for item in reader)) for found in got]
    for thread in threads:
        thread.start()
    for number in range(600):
        topic.publish(shared.full(2, number))
    topic.shutdown()
    for thread in threads:
        thread.join(60)
    assert sorted(item for found in got for item in found) == list(range(600))
    assert reader.lost == 0


# --- items ---
def test_items_stay_with_their_readers(topic, shared):
    """What a reader received is its own: it stays when the topic drops it, and comes back when all have let go."""
    first, second = topic.subscribe(), topic.subscribe()
    block = shared.allocate(nbytes=5)
    block.buf[:] = b"hello"
    array = shared.full((2, 3), 7, "u2")
    for item in (block, array, {"array": array, "block": block}):
        topic.publish(item)
    block.release()
    del array, item
    got = [rest_of(reader) for reader in (first, second)]
    for _ in range(5):
        topic.publish(b"")
    for block, array, both in got:
        assert bytes(block.buf) == b"hello"
        assert array.tolist() == both["array"].tolist() == [[7] * 3] * 2
        assert both["block"].index == block.index
    assert got[0][1].base is not got[1][1].base
    assert shared.stats().allocated == 2
    del got, block, array, both
    gc.collect()
    assert shared.stats().allocated == 0


@pytest.mark.parametrize(
    "item",
    [b"", b"x" * 5000, None, "text", list(range(5000)), np.arange(5), np.arange(5000.0), np.zeros((0, 3)), 2.5],
    ids=repr,
)
def test_all_kinds_of_items(topic, item):
    """Readers get equal objects, whatever was published, short or long."""
    readers = [topic.subscribe() for _ in range(2)]
    topic.publish(item)
    for reader in readers:
        got = reader.get()
        if isinstance(item, np.ndarray):
            assert (got.dtype, got.shape) == (item.dtype, item.shape)
            assert np.array_equal(got, item)
        else:
            assert got == item
        del got


class Unlucky:
    """Fails when it is pickled, or unpickled."""

    def __init__(self, where):
        self.where = where

    def __reduce__(self):
        if self.where == "there":
            raise RuntimeError("no pickle")
        return Unlucky.fail, ()

    @staticmethod
    def fail():
        """Fail."""
        raise RuntimeError("no object")


def left(topic, shared):
    """Return what is in use: room for messages, blocks, and tickets."""
    return room_used(topic), shared.stats().allocated, shared.stats().tickets


def test_items_that_cannot_be_pickled(topic, shared):
    """What fails to be pickled is not published, and nothing of it is left; what fails to be unpickled was received."""
    reader = topic.subscribe(wait=True)
    used = left(topic, shared)
    with pytest.raises(RuntimeError, match="no pickle"):
        topic.publish([shared.zeros(3), Unlucky("there")])
    await_true(lambda: (gc.collect(), left(topic, shared) == used)[1])  # another thread may be collecting
    assert topic.position == 0
    topic.publish(Unlucky("here"))
    topic.publish(1)
    with pytest.raises(RuntimeError, match="no object"):
        reader.get()
    assert (reader.get(), reader.lost) == (1, 0)


def test_blocks_of_another_pool(topic, pool):
    """A block that is not of the pool, or was released, is refused, and nothing is published."""
    block = topic.pool.allocate()
    block.release()
    with pytest.raises(bp.InvalidBlock):
        topic.publish(block)
    with pytest.raises(bp.InvalidBlock, match="not of"):
        topic.publish(pool.allocate())
    assert topic.position == 0


def test_the_history_makes_room(pool_name):
    """A publisher waits for no room that the history itself takes: the oldest items go, and readers count them."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, queue_room="16KiB")
    topic = pool.topic(history=1000)
    reader = topic.subscribe()
    for number in range(20):
        topic.publish(np.full(1000, number, "f8"), timeout=60)  # two blocks
    assert (reader.get()[0], reader.lost) == (18, 18)
    for number in range(100):
        topic.publish(bytes([number]) * 2000)
    got = rest_of(reader)
    assert got[-1] == bytes([99]) * 2000
    assert reader.lost + len(got) + 1 == 120


def test_what_a_waiting_reader_wants_makes_no_room(pool_name):
    """What a waiting reader has not read is not dropped for want of room."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name)
    topic = pool.topic(history=10)
    topic.publish(np.full(1000, -1.0))
    reader = topic.subscribe(wait=True)
    topic.publish(np.zeros(1000))
    with pytest.raises(bp.PoolExhausted):
        topic.publish(np.ones(1000), timeout=0.05)
    assert (reader.get()[0], reader.get()[0], reader.lost) == (-1, 0, 0)
    gc.collect()
    topic.publish(np.ones(1000), timeout=0)
    assert reader.get()[0] == 1


# --- waiting, and its end ---
@pytest.mark.parametrize("spin", [None, 0, 0.001])
def test_a_reader_waits_for_an_item(shared, spin):
    """A reader that waits gets what another thread publishes, whether it spins or sleeps."""
    topic = shared.topic(spin=spin)
    reader = topic.subscribe()
    got = []
    thread = threading.Thread(target=lambda: got.extend(reader.get() for _ in range(6)))
    thread.start()
    for number in range(6):
        time.sleep(0.005)
        topic.publish(number)
    thread.join(60)
    assert got == list(range(6))


def test_a_timeout_takes_its_time(topic):
    """A call that waits gives up after its timeout, not before and not much later."""
    reader = topic.subscribe(wait=True)
    for call, error in (
        (reader.get, standard.Empty),
        (lambda timeout: topic.publish(0, timeout=timeout), bp.QueueFull),
    ):
        began = time.monotonic()
        with pytest.raises(error):
            call(timeout=0.2)
        assert 0.2 <= time.monotonic() - began < 60
        while not topic.full():
            topic.publish(0)


def test_shutting_down(topic):
    """After `shutdown` readers get what is left, and then QueueShutDown; iterations end, publishers are refused."""
    reader, other, gone = (topic.subscribe() for _ in range(3))
    for number in range(3):
        topic.publish(number)
    topic.shutdown()
    with pytest.raises(bp.QueueShutDown):
        topic.publish(3)
    assert list(reader) == [0, 1, 2]
    with pytest.raises(bp.QueueShutDown):
        reader.get()
    assert other.get() == 0
    topic.shutdown(immediate=True)
    assert list(other) == list(gone) == []


def test_shutting_down_wakes_those_who_wait(topic):
    """A reader that waits, and a publisher that waits, are woken by a shutdown."""
    for publish in (False, True):
        topic = topic.pool.topic(history=1)
        reader = topic.subscribe(wait=True)
        if publish:
            topic.publish(0)
        timer = threading.Timer(0.05, topic.shutdown)
        timer.start()
        with pytest.raises(bp.QueueShutDown):
            topic.publish(1) if publish else reader.get()
        timer.join()


def test_closing_wakes_those_who_wait(topic):
    """A call that waits raises QueueClosed when another thread closes the object."""
    reader = topic.subscribe()
    timer = threading.Timer(0.05, reader.close)
    timer.start()
    with pytest.raises(bp.QueueClosed):
        reader.get()
    timer.join()


def test_after_close(topic):
    """All calls of a closed object raise QueueClosed; closing again does nothing."""
    reader = topic.subscribe()
    reader.close()
    reader.close()
    topic.close()
    topic.close()
    assert topic.closed
    assert reader.closed
    for call in (
        reader.get,
        reader.get_nowait,
        reader.fileno,
        lambda: reader.behind,
        lambda: next(iter(reader)),
        lambda: topic.publish(1),
        topic.subscribe,
        topic.full,
        topic.shutdown,
        topic.unlink,
        lambda: topic.position,
        lambda: topic.subscribers,
    ):
        with pytest.raises(bp.QueueClosed):
            call()
    assert (repr(topic), repr(reader)) == ("<blockpool.Topic closed>", "<blockpool.Subscription closed>")


# --- names and bad arguments ---
def test_topics_by_name(shared):
    """A name is of one topic; it ends with the last process that has it open, unless it is permanent."""
    topic = shared.topic("a", 5)
    assert (topic.name, topic.history, topic.permanent) == ("a", 5, False)
    topic.publish(1)
    assert shared.topic("a").subscribe().get() == 1
    topic.close()
    gc.collect()
    again = shared.topic("a", 2)
    assert (again.history, again.position) == (2, 0)
    stays = shared.topic("b", permanent=True)
    assert (stays.history, stays.permanent) == (8, True)
    stays.publish(2)
    stays.close()
    assert shared.topic("b", 8, permanent=True).subscribe().get() == 2
    shared.topic("b").unlink()
    assert shared.topic("b").position == 0


def test_another_history(shared):
    """Opening a topic that exists with another history, or permanence, is refused."""
    topic = shared.topic("a", 5)
    for arguments in ({"history": 4}, {"history": 8}, {"permanent": True}):
        with pytest.raises(bp.NameTaken, match=r"already, with (history=5|permanent=False)"):
            shared.topic("a", **arguments)
    assert shared.topic("a", history=5, permanent=False).history == topic.history


def test_names_of_another_kind(shared):
    """A name of a block, a queue or a latest value is not a topic's, and the other way round."""
    shared.keep("block", shared.allocate())
    kept = shared.queue("queue"), shared.latest("latest"), shared.topic("topic")
    for name, kind in (("block", "block"), ("queue", "queue"), ("latest", "latest value")):
        with pytest.raises(bp.WrongKind, match=f"'{name}' is a {kind} of .*, not a topic"):
            shared.topic(name)
    for open_other in (shared.queue, shared.latest, shared.get):
        with pytest.raises(bp.WrongKind):
            open_other("topic")
    assert len(kept) == 3
    shared.forget("block")


@pytest.mark.parametrize(
    ("history", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2**20 + 1, ValueError),
        (10**30, ValueError),
        (1.5, TypeError),
        ("8", TypeError),
    ],
)
def test_impossible_histories(shared, history, error):
    """A history is 1 to 2**20, and a whole number."""
    with pytest.raises(error, match="history"):
        shared.topic(history=history)


def test_a_history_without_room(shared):
    """A history that the room for queues does not have is refused."""
    with pytest.raises(bp.PoolExhausted, match="no room for a topic of 1048576"):
        shared.topic(history=2**20)


def test_other_bad_arguments(topic, shared, pool):
    """What cannot be is refused at once."""
    with pytest.raises(ValueError, match="start must be"):
        topic.subscribe(start="later")
    with pytest.raises(ValueError, match="needs a name"):
        shared.topic(permanent=True)
    with pytest.raises(ValueError, match="private"):
        pool.topic("a")
    with pytest.raises(bp.NameNotFound, match="the topic has no name"):
        topic.unlink()
    with pytest.raises(TypeError):
        topic.subscribe().__reduce_ex__(5)
    for kind in (bp.Topic, bp.Subscription):
        with pytest.raises(TypeError):
            kind()
        never = kind.__new__(kind)
        with pytest.raises(bp.QueueClosed, match="never opened"):
            never.__enter__()
        del never


# --- event loops ---
def test_a_descriptor_for_event_loops(topic):
    """The descriptor of a subscription is readable when there may be an item, and not after all were received."""
    import select

    reader, other = topic.subscribe(), topic.subscribe()
    descriptors = [reader.fileno(), other.fileno()]
    assert len(set(descriptors)) == 2
    assert rest_of(reader) == rest_of(other) == []
    assert select.select(descriptors, [], [], 0)[0] == []
    for turn in range(3):
        topic.publish(turn)
        assert select.select(descriptors, [], [], 60)[0]
        for one in (reader, other):
            assert select.select([one], [], [], 60)[0] == [one]  # which asks for the descriptor again
            assert rest_of(one) == [turn]
            assert select.select([one], [], [], 0)[0] == []


def test_tasks(topic):
    """Tasks wait for items and for room without holding up the loop."""
    import asyncio

    async def main():
        reader, slow = topic.subscribe(), topic.subscribe(wait=True)

        async def publish():
            for number in range(30):
                await topic.publish_async(number)
            topic.shutdown()

        async def read():
            return [item async for item in slow]

        task, reading = asyncio.create_task(publish()), asyncio.create_task(read())
        got = [await reader.get_async(timeout=60) for _ in range(3)]
        await task
        with pytest.raises(bp.QueueShutDown):
            await topic.publish_async(0)
        return got, await reading

    got, all_of_them = asyncio.run(main())
    assert got == [0, 1, 2]
    assert all_of_them == list(range(30))


def test_a_task_gives_up(topic):
    """A task that waits gives up after its timeout."""
    import asyncio

    async def main():
        reader = topic.subscribe(wait=True)
        with pytest.raises(bp.QueueEmpty):
            await reader.get_async(timeout=0.05)
        for number in range(3):
            await topic.publish_async(number)
        with pytest.raises(bp.QueueFull):
            await topic.publish_async(3, timeout=0.05)

    asyncio.run(main())


@pytest.mark.parametrize("way", ["read", "iterate_topic", "publish", "wait_for_a_value"])
def test_ctrl_c_interrupts_every_wait(run_program, way):
    """Ctrl-C interrupts a wait, which takes no CPU meanwhile; nothing is left behind."""
    assert float(run_program("queues/interrupt.py", way)) < 0.3


# --- between processes ---
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_get_a_topic_and_a_latest_value(run_program, method):
    """They are arguments of a process, however that is started; a forked child goes on with a subscription too."""
    assert run_program("queues/pass_a_topic.py", method) == "well\n"


def test_a_garbled_pickle(topic):
    """A pickle that was changed is refused."""
    function, parts = topic.__reduce_ex__(5)
    for at, bad in ((0, b"x"), (1, -1), (2, 1.5), (3, None), (4, 5), (5, 5)):
        changed = list(parts)
        changed[at] = bad
        with pytest.raises(bp.InvalidBlock, match="garbled"):
            function(*changed)
    queue = topic.pool.queue()
    with pytest.raises((bp.InvalidBlock, bp.PoolCorrupt)):
        function(*queue.__reduce_ex__(5)[1][:6], None)
    function(*parts).close()


def test_two_publishers(news):
    """Items of several processes reach all readers, those of each in order; what is missed is counted exactly."""
    topic, start = news
    lossy, waiting = topic.subscribe(), topic.subscribe(wait=True)
    publishers = [start(), start()]
    for number, peer in enumerate(publishers):
        peer.start(f"for turn in range(500): topic.publish(({number}, turn))")
    got = [waiting.get(timeout=60) for _ in range(1000)]
    for peer in publishers:
        peer.answer()
    for number in range(2):
        assert [turn for who, turn in got if who == number] == list(range(500))
    assert waiting.lost == 0
    rest = rest_of(lossy)
    assert rest == got[-4:]
    assert lossy.lost == 996
    with pytest.raises(bp.QueueEmpty):
        waiting.get_nowait()


def test_a_stopped_lossy_reader_holds_nobody_up(news):
    """A lossy reader that is stopped misses items, and publishers do not wait for it."""
    topic, start = news
    reader = start()
    reader("reader = topic.subscribe()")
    reader.start("while reader.get() != 'end': pass")
    time.sleep(0.1)
    reader.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    for number in range(2000):
        topic.publish_nowait(number)
    assert time.monotonic() - began < 60
    topic.publish_nowait("end")
    reader.process.send_signal(signal.SIGCONT)
    reader.answer()
    assert reader("reader.position, reader.lost > 1000") == (2001, True)


def test_a_publisher_that_is_stopped(news):
    """A publisher that is stopped anywhere in `publish` holds up neither readers nor other publishers."""
    topic, start = news
    peer = start()
    peer.start("while True: topic.publish(0, timeout=60)")
    reader = topic.subscribe()
    for _ in range(20):
        reader.get(timeout=60)
        peer.process.send_signal(signal.SIGSTOP)
        waiting = topic.subscribe(wait=True, start="now")
        for number in range(10):
            topic.publish(number + 1, timeout=60)
            while waiting.get(timeout=60) != number + 1:
                pass  # what the other one published right before it was stopped
        waiting.close()
        assert rest_of(reader)[-1] in (0, 10)
        peer.process.send_signal(signal.SIGCONT)
    peer.kill()
    topic.pool.recover()


def test_a_killed_waiting_reader_is_waited_for_no_longer(news):
    """A publisher that waits for a reader goes on soon after that was killed."""
    topic, start = news
    reader = start()
    reader("reader = topic.subscribe(wait=True)")
    while not topic.full():
        topic.publish(0)
    assert topic.subscribers == 1
    killed = threading.Event()
    timer = threading.Timer(0.2, lambda: (killed.set(), reader.kill()))
    timer.start()
    topic.publish(1, timeout=60)
    assert killed.is_set()
    timer.join()
    assert topic.subscribers == 0
    topic.publish_nowait(2)


def test_kills_at_random(news, shared):
    """Publishers, lossy and waiting readers are killed at any moment; the others get all that was published."""
    topic, start = news
    empty = room_used(topic)
    seed = random.randrange(1 << 30)
    dice = random.Random(seed)
    publish = (
        "n = 0\nwhile True:\n    topic.publish((os.getpid(), n, pool.full(4, n, timeout=60)), timeout=60)\n    n += 1"
    )
    read = "for who, n, array in reader: assert (array == n).all()"
    for _ in range(12):
        mine = topic.subscribe(wait=True, start="now")
        killed, other = start(), start()
        killed("reader = topic.subscribe(wait=True); other = topic.subscribe()")
        killed.start(dice.choice([publish, read, read.replace("reader", "other")]))
        other.start(publish)
        timer = threading.Timer(0.02 + 0.1 * dice.random(), killed.kill)
        timer.start()
        seen = {}
        end = time.monotonic() + 0.3
        while timer.is_alive() or time.monotonic() < end or seen.get(other.pid, 0) < 10:
            who, n, array = mine.get(timeout=60)
            assert n == seen.get(who, n - 1) + 1, seed
            assert (array == n).all(), seed
            seen[who] = n
        assert mine.lost == 0, seed
        other.kill()
        mine.close()
        del array
    shared.recover()
    for _ in range(4):
        topic.publish(0)
    gc.collect()
    assert shared.stats().allocated == 0
    assert topic.subscribers == 0
    topic.shutdown(immediate=True)
    assert room_used(topic) == empty, seed
