"""Queues in event loops: the async forms, and the descriptor that any loop can wait for."""

import asyncio
import gc
import os
import select
import threading
import time
from pathlib import Path

import pytest

import blockpool as bp
from blockpool import _async_queues
from blockpool._forks import queue_watches
from waits import await_true

OPEN = Path("/proc/self/fd")


def run(main, seconds=60):
    """Run a coroutine; a hang is a failure."""
    return asyncio.run(asyncio.wait_for(main, seconds))


@pytest.fixture(autouse=True)
def nothing_is_watched():
    """After each test no descriptor is left open, and no coroutine waits."""
    before = len(list(OPEN.iterdir()))
    yield
    gc.collect()
    assert not queue_watches
    await_true(lambda: len(list(OPEN.iterdir())) <= before)  # a sender in a thread has one for a moment


def test_getting_what_is_there(shared):
    """A coroutine gets what waits at once."""
    with shared.queue() as queue:
        queue.put(1)
        assert run(queue.get_async()) == 1


def test_waiting_for_an_item(shared, peer):
    """A coroutine waits for an item of another process, while others run."""
    queue = shared.queue("a")
    peer(f"pool = bp.Pool.attach({shared.name!r}); queue = pool.queue('a')")

    async def main():
        getting = asyncio.create_task(queue.get_async())
        await asyncio.sleep(0.05)
        assert not getting.done()
        peer.start("queue.put('x')")
        return await getting

    assert run(main()) == "x"
    peer.answer()
    queue.close()


@pytest.fixture
def never_by_itself(monkeypatch):
    """Let no coroutine look from time to time: it goes on when it is woken, or not at all."""
    monkeypatch.setattr(_async_queues, "_SLICE", 600)


@pytest.mark.usefixtures("never_by_itself")
def test_an_item_wakes_a_coroutine(shared):
    """An item wakes the coroutine; it does not only look from time to time."""
    queue = shared.queue()

    async def main():
        for number in range(20):
            getting = asyncio.create_task(queue.get_async())
            await asyncio.sleep(0.01)
            threading.Thread(target=queue.put, args=(number,)).start()
            assert await getting == number

    run(main())
    queue.close()


def test_many_coroutines(shared):
    """Each item goes to one of many coroutines that wait."""
    queue = shared.queue()

    async def main():
        tasks = [asyncio.create_task(queue.get_async()) for _ in range(50)]
        await asyncio.sleep(0.01)
        assert len(queue_watches) == 1
        for number in range(50):
            queue.put(number)
        return await asyncio.gather(*tasks)

    assert sorted(run(main())) == list(range(50))
    queue.close()


def test_timeouts(shared):
    """A coroutine gives up after its timeout."""
    queue = shared.queue(capacity=1)

    async def main():
        for timeout in (0, 0.05):
            with pytest.raises(bp.QueueEmpty):
                await queue.get_async(timeout=timeout)
            with pytest.raises(bp.QueueEmpty):
                await queue.receive_async(timeout=timeout)
        queue.put(1)
        for timeout in (0, 0.05):
            with pytest.raises(bp.QueueFull):
                await queue.put_async(2, timeout=timeout)
            with pytest.raises(TimeoutError):
                await queue.join_async(timeout=timeout)

    run(main())
    assert queue.get() == 1
    queue.close()


def test_a_coroutine_that_is_cancelled_has_received_nothing(shared):
    """What is put after a waiting coroutine was cancelled stays in the queue."""
    queue = shared.queue()

    async def main():
        tasks = [asyncio.create_task(queue.get_async()) for _ in range(3)]
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        queue.put(1)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)

    run(main())
    assert queue.get() == 1
    queue.close()


def test_waiting_for_room(shared):
    """A coroutine that puts waits for room in the queue."""
    queue = shared.queue(capacity=1)

    async def main():
        queue.put(1)
        putting = asyncio.create_task(queue.put_async(shared.full(1000, 2.0)))
        await asyncio.sleep(0.05)
        assert (putting.done(), queue.get()) == (False, 1)
        await putting

    run(main())
    assert queue.get()[5] == 2.0
    queue.close()


def test_joining(shared):
    """`join_async` waits until all is done."""
    queue = shared.queue(redeliver=True)

    async def main():
        queue.put(1)
        joining = asyncio.create_task(queue.join_async())
        message = await queue.receive_async()
        await asyncio.sleep(0.05)
        assert not joining.done()
        message.done()
        await joining

    run(main())
    queue.close()


@pytest.mark.parametrize("redeliver", [False, True])
def test_asynchronous_iteration(shared, redeliver):
    """`async for` receives until the queue is shut down; an item is done when the next one is asked for."""
    queue = shared.queue(redeliver=redeliver)

    async def main():
        for number in range(3):
            queue.put(number)
        threading.Timer(0.05, queue.shutdown).start()
        return [(item, queue.unfinished) async for item in queue]

    assert run(main()) == [(0, 2 + redeliver), (1, 1 + redeliver), (2, 0 + redeliver)]
    assert queue.unfinished == 0
    queue.close()


@pytest.mark.usefixtures("never_by_itself")
def test_shutting_down_wakes_coroutines(shared):
    """A coroutine that waits is woken when the queue is shut down, and raises."""
    queue = shared.queue()

    async def main():
        getting = asyncio.create_task(queue.get_async())
        await asyncio.sleep(0.01)
        queue.shutdown()
        with pytest.raises(bp.QueueShutDown):
            await getting

    run(main())
    queue.close()


def test_closing_ends_waits(shared):
    """A coroutine that waits raises QueueClosed soon after the queue is closed."""
    queue = shared.queue()

    async def main():
        getting = asyncio.create_task(queue.get_async())
        await asyncio.sleep(0.01)
        queue.close()
        with pytest.raises(bp.QueueClosed):
            await getting

    run(main())


def test_a_loop_that_ends_while_a_coroutine_waits(shared):
    """A loop that is closed under a waiting coroutine leaves no descriptor behind."""
    queue = shared.queue()
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.get_async())
    loop.run_until_complete(asyncio.sleep(0.01))
    assert len(queue_watches) == 1
    task._log_destroy_pending = False  # or asyncio complains, rightly
    loop.close()
    del task
    gc.collect()
    queue.close()


# --- the descriptor ---
def drain(queue):
    """Receive all that is there."""
    got = []
    while True:
        try:
            got.append(queue.get_nowait())
        except bp.QueueEmpty:
            return got


def is_readable(descriptor, seconds):
    """Return whether the descriptor becomes readable in that time."""
    return bool(select.select([descriptor], [], [], seconds)[0])


def test_the_descriptor(shared, peer):
    """The descriptor becomes readable for an item of any process, and waits again once the queue was found empty."""
    queue = shared.queue("a")
    peer(f"pool = bp.Pool.attach({shared.name!r}); queue = pool.queue('a')")
    descriptor = queue.fileno()
    assert descriptor == queue.fileno()
    assert drain(queue) == []
    for turn in range(5):
        assert not is_readable(descriptor, 0.01)
        peer(f"queue.put({turn}); queue.put('x')")
        assert is_readable(descriptor, 60)
        assert drain(queue) == [turn, "x"]
    queue.put(1)
    assert is_readable(descriptor, 60)
    queue.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_what_waits_already_is_found_by_the_first_look(shared):
    """A program that looks once before it waits misses nothing."""
    queue = shared.queue()
    queue.put(1)
    descriptor = queue.fileno()
    assert drain(queue) == [1]
    assert not is_readable(descriptor, 0.01)
    queue.close()


def test_a_forked_child_has_its_own_descriptor(shared):
    """A child's descriptor is its own; what it reads of it is not missing for its parent."""
    queue, back = shared.queue(), shared.queue()
    descriptor = queue.fileno()
    drain(queue)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            own = queue.fileno()
            drain(queue)
            back.put("ready")
            if is_readable(own, 60):
                back.put("seen")
                status = 0
        finally:
            os._exit(status)
    assert back.get(timeout=60) == "ready"
    drain(queue)
    queue.put(1)
    assert is_readable(descriptor, 60)
    assert back.get(timeout=60) == "seen"
    assert drain(queue) == [1]
    assert os.waitpid(child, 0)[1] == 0
    queue.close()
    back.close()


def test_an_event_loop_with_the_descriptor(shared):
    """`loop.add_reader` works with the descriptor."""
    queue = shared.queue()

    async def main():
        loop = asyncio.get_running_loop()
        got, done = [], loop.create_future()

        def look():
            got.extend(drain(queue))
            if len(got) == 10:
                done.set_result(None)

        loop.add_reader(queue.fileno(), look)
        look()
        thread = threading.Thread(target=lambda: [queue.put(number) or time.sleep(0.002) for number in range(10)])
        thread.start()
        await done
        loop.remove_reader(queue.fileno())
        return got

    assert run(main()) == list(range(10))
    queue.close()
