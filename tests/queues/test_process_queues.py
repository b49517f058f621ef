"""Queues in the shape of multiprocessing's: what CPython's own tests do not try; see tests/stdlib for those."""

import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
from contextlib import suppress

import numpy as np
import pytest

import blockpool as bp
import calls
from blockpool import _default_pool
from blockpool import multiprocessing as ours
from programs import interpreter, run_command
from waits import await_true

LONG = 60
MANY = 20000  # more than the pool has room for


@pytest.fixture
def pool():
    """Make a shared pool of 64 blocks of 4 KiB and room for a thousand messages."""
    return bp.Pool.create("4KiB", 64, queue_room="512KiB")


@pytest.fixture(params=["fork", "spawn", "forkserver"])
def start(request):
    """Return a function that starts a process with each start method; none may be left after the test."""
    context = multiprocessing.get_context(request.param)
    started = []

    def process(function, *arguments):
        started.append(context.Process(target=function, args=arguments))
        started[-1].start()
        return started[-1]

    yield process
    for each in started:
        each.join(LONG)
        assert each.exitcode is not None


@pytest.mark.parametrize("kind", [ours.Queue, ours.JoinableQueue, ours.SimpleQueue])
def test_between_processes(start, pool, kind):
    """A queue reaches another process by each start method, and objects come through in both directions."""
    there, back = kind(pool=pool), kind(pool=pool)
    process = start(calls.echo, there, back)
    for item in (1, "two", [3], np.arange(4000), None):
        there.put(item)
        got = back.get()
        assert type(got) is type(item)
        assert np.array_equal(got, item)
    process.join(LONG)
    assert process.exitcode == 0


def test_an_array_of_the_pool_is_shared(start, pool):
    """An array of the queue's pool is the same memory on both sides."""
    there, back = ours.Queue(pool=pool), ours.Queue(pool=pool)
    start(calls.add_ones, there, back)
    array = pool.zeros(10)
    there.put(array)
    assert back.get(timeout=LONG) == "added"
    assert array.all()


def test_without_a_maximum_put_never_waits(pool):
    """A queue without a maximum size takes more than the pool has room for, and gives all in order."""
    items = ours.Queue(pool=pool)
    for n in range(MANY):
        items.put(n)
    assert items.qsize() == MANY
    assert not items.full()
    assert [items.get(timeout=LONG) for _ in range(MANY)] == list(range(MANY))
    with pytest.raises(queue.Empty):
        items.get_nowait()
    items.close()
    items.join_thread()
    assert not [thread for thread in threading.enumerate() if thread.name == "blockpool-queue"]


def test_what_waits_is_passed_on_at_exit(start, pool):
    """A process that has put more than there is room for ends when all of it is passed on."""
    items = ours.Queue(pool=pool)
    process = start(calls.put_many, items, MANY)
    assert [items.get(timeout=LONG) for _ in range(MANY)] == list(range(MANY))
    process.join(LONG)
    assert process.exitcode == 0


def test_a_process_need_not_wait_for_it(start, pool):
    """After cancel_join_thread, a process ends although something waits."""
    items = ours.Queue(pool=pool)
    process = start(calls.put_many, items, MANY, "cancel")
    process.join(LONG)
    assert process.exitcode == 0
    assert 0 < items.qsize() < MANY


def test_a_fork_does_not_put_twice(pool):
    """What waits in the parent is not put by its child, which can put something itself."""
    items = ours.Queue(pool=pool)
    for n in range(MANY):
        items.put(n)
    child = multiprocessing.get_context("fork").Process(target=items.put, args=("child",))
    child.start()
    got = [items.get(timeout=LONG) for _ in range(MANY + 1)]
    child.join(LONG)
    assert [item for item in got if item != "child"] == list(range(MANY))
    assert got.count("child") == 1


def test_a_maximum_size(pool):
    """Put waits at the maximum size, and raises queue.Full."""
    items = ours.Queue(2, pool=pool)
    items.put(1)
    items.put(2)
    assert items.full()
    for arguments in ({"block": False}, {"timeout": 0.05}):
        with pytest.raises(queue.Full):
            items.put(3, **arguments)
    threading.Timer(0.1, items.get).start()
    items.put(3, timeout=LONG)


def test_what_is_larger_than_the_pool(pool):
    """An item that can never fit is refused at once, and nothing of it stays behind."""
    for kind in (ours.Queue, ours.JoinableQueue, ours.SimpleQueue):
        items = kind(pool=pool)
        with pytest.raises(bp.PoolExhausted):
            items.put(np.ones(pool.nbytes))
        assert items.empty()
        items.put(1)
        assert items.get() == 1
    assert pool.stats().allocated == 0


def test_what_cannot_be_pickled(pool):
    """Put raises what pickle raises; the queue goes on."""
    for kind in (ours.Queue, ours.JoinableQueue, ours.SimpleQueue):
        items = kind(pool=pool)
        with pytest.raises((pickle.PicklingError, AttributeError)):
            items.put([np.ones(9000), lambda: None])
        assert items.empty()
    assert pool.stats().allocated == 0


def test_what_cannot_be_pickled_and_waits(pool, capfd):
    """An item that waits and then cannot be pickled is reported and left out; the others come."""
    items = ours.Queue(pool=pool)
    for n in range(MANY):
        items.put(n)
    items.put(lambda: None)
    items.put("last")
    for n in range(MANY):
        assert items.get(timeout=LONG) == n
    assert items.get(timeout=LONG) == "last"
    assert "lambda" in capfd.readouterr().err


def test_join_waits_for_what_waits_elsewhere(start, pool):
    """Join waits for items that wait for room in another process."""
    items = ours.JoinableQueue(pool=pool)
    told = ours.Queue(pool=pool)
    told.put("there is room for this")
    producer = start(calls.put_many, items, MANY // 4, told)
    await_true(told.empty)  # all is put, and most of it waits
    done = 0
    item = items.get(timeout=LONG)
    joined = threading.Thread(target=items.join)
    joined.start()
    while True:
        assert item == done
        done += 1
        assert joined.is_alive()
        items.task_done()
        if done == MANY // 4:
            break
        item = items.get(timeout=LONG)
    joined.join(LONG)
    assert not joined.is_alive()
    producer.join(LONG)
    with pytest.raises(ValueError, match="task_done"):
        items.task_done()


def test_join_after_a_process_died_with_what_waited(start, pool):
    """Join does not wait for what was lost with a process that was killed."""
    items = ours.JoinableQueue(pool=pool)
    producer = start(calls.put_many, items, MANY, "sleep")
    await_true(lambda: items._marks.qsize() < items._marks.capacity)
    producer.kill()
    producer.join(LONG)
    pool.recover()
    while not items.empty():
        items.get()
        items.task_done()
    joined = threading.Thread(target=items.join)
    joined.start()
    joined.join(LONG)
    assert not joined.is_alive()


def test_the_item_of_a_dead_process_is_received_again(start, pool):
    """What a process of a joinable queue had received, and not done, when it was killed, is received again."""
    items, back = ours.JoinableQueue(pool=pool), ours.Queue(pool=pool)
    items.put("task")
    process = start(calls.get_and_sleep, items, back)
    assert back.get(timeout=LONG) == "task"
    process.kill()
    process.join(LONG)
    assert items.get(timeout=LONG) == "task"
    items.task_done()
    items.join()


@pytest.mark.parametrize("moment", ["putting", "getting"])
def test_killed_processes_break_no_queue(start, pool, moment):
    """Processes that are killed while they put and get leave a queue that works; the standard one may be locked."""
    items = ours.Queue(16, pool=pool)
    for _ in range(5):
        process = start(calls.put_for_ever if moment == "putting" else calls.get_for_ever, items)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            with suppress(queue.Empty, queue.Full):
                items.get(timeout=0.1) if moment == "putting" else items.put(0, timeout=0.1)
        os.kill(process.pid, signal.SIGKILL)
        process.join(LONG)
    pool.recover()
    while not items.empty():
        items.get(timeout=LONG)
    items.put("still")
    assert items.get(timeout=LONG) == "still"


def test_closing(pool):
    """A closed queue refuses everything, and can be closed again; another process's is not closed by it."""
    items = ours.Queue(pool=pool)
    twin = pickle.loads(pickle.dumps(items))
    items.put(1)
    with pytest.raises(AssertionError, match="not closed"):
        items.join_thread()
    items.close()
    items.close()
    items.join_thread()
    for refused in (items.get, items.get_nowait, lambda: items.put(1)):
        with pytest.raises(ValueError, match="closed"):
            refused()
    assert twin.get() == 1
    simple = ours.SimpleQueue(pool=pool)
    simple.close()
    for refused in (simple.get, simple.empty, lambda: simple.put(1)):
        with pytest.raises(OSError, match="closed"):
            refused()


def test_the_default_pool(pool, monkeypatch):
    """There is one default pool; it can be replaced, and a closed one is."""
    monkeypatch.setattr(_default_pool, "_chosen", [])
    first = ours.default_pool()
    assert first.nbytes == 64 << 20
    assert ours.default_pool() is first
    assert ours.Queue()._queue.pool is first
    ours.set_default_pool(pool)
    assert ours.SimpleQueue()._queue.pool is pool
    pool.close()
    assert not ours.default_pool().closed
    with pytest.raises(TypeError, match="Pool"):
        ours.set_default_pool("a pool")
    with pytest.raises(ValueError, match="private"):
        ours.set_default_pool(bp.Pool(64, 4))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_one_pool_for_a_tree_of_processes(method):
    """A process that is sent a queue uses its pool for queues of its own."""
    code = f"""
        import multiprocessing
        from blockpool import multiprocessing as ours
        from calls import use_a_queue

        if __name__ == "__main__":
            back = ours.Queue()
            process = multiprocessing.get_context({method!r}).Process(target=use_a_queue, args=(back,))
            process.start()
            print(back.get(timeout=60) == ours.default_pool().allocate().handle.pool_id)
            process.join()
    """
    _, done = run_command(interpreter(code))
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("arguments", [(-1,), (0,), ("2",), (1 << 21,)])
def test_maximum_sizes(pool, arguments):
    """A maximum size of 0 or less is none, as in multiprocessing; other sizes must be possible."""
    if arguments[0] in (-1, 0):
        assert not ours.Queue(*arguments, pool=pool).full()
    else:
        with pytest.raises((TypeError, ValueError)):
            ours.Queue(*arguments, pool=pool)


def test_a_context_is_accepted(pool):
    """The argument ctx of the standard classes is accepted, and types can be subscripted."""
    assert ours.Queue(3, ctx=multiprocessing.get_context("spawn"), pool=pool).empty()
    assert ours.SimpleQueue(ctx=None, pool=pool).empty()
    assert ours.Queue[int].__origin__ is ours.Queue
