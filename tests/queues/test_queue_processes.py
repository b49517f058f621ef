"""Queues between processes: how a queue gets there, and what becomes of it when processes fork, stop and die."""

import copy
import itertools
import multiprocessing
import os
import pickle
import signal
import time

import pytest

import blockpool as bp
from blockpool._core import room_used


@pytest.fixture
def pair(shared, peer):
    """Open a queue of four by its name, here and in a peer."""
    queue = shared.queue("pair", capacity=4)
    peer(f"pool = bp.Pool.attach({shared.name!r}); queue = pool.queue('pair')")
    return queue, peer


# --- passing on ---
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_get_a_queue(run_program, method):
    """A queue is an argument of a process, however that is started; blocks go there and back through it."""
    assert run_program("queues/pass_a_queue.py", method) == "well\n"


def test_a_pickled_queue(shared, peer):
    """The pickle of a queue is the queue in any process, with how its sender uses it."""
    queue = shared.queue(capacity=7, overflow="drop_oldest", spin=0.001)
    pickled = pickle.dumps(queue)
    peer(f"queue = pickle.loads({pickled!r}); queue.put(os.getpid())")
    assert queue.get() == peer.pid
    assert peer("queue.capacity, queue.overflow, queue.name") == (7, "drop_oldest", None)
    here = pickle.loads(pickle.dumps(queue))
    here.put(1)
    assert queue.get() == 1
    queue.close()
    here.close()
    assert peer("queue.put(2); queue.get()") == 2
    peer("queue.close()")
    with pytest.raises(bp.StaleHandle, match="the queue that was sent has ended"):
        pickle.loads(pickled)


def test_a_queue_in_flight(shared, nothing_left):
    """A pickle keeps the queue, and takes its place in no count when it was loaded."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue()
        queue.put(1)
        pickled = pickle.dumps(queue)
        queue.close()
        queue = pickle.loads(pickled)
        assert queue.get() == 1
        queue.close()


def test_copies_of_a_queue(queue):
    """A copy is another object of the same queue."""
    for other in (copy.copy(queue), copy.deepcopy(queue)):
        other.put(1)
        assert queue.get() == 1


def test_a_garbled_pickle(queue):
    """A pickle that was changed is refused."""
    function, parts = queue.__reduce_ex__(5)
    for at, bad in ((0, b"x"), (1, -1), (1, "a"), (2, 1.5), (3, None), (4, 5), (5, 5), (6, 4), (6, "wait")):
        changed = list(parts)
        changed[at] = bad
        with pytest.raises(bp.InvalidBlock, match="garbled"):
            function(*changed)
    with pytest.raises((bp.StaleHandle, bp.PoolCorrupt)):
        function(*parts[:1], parts[1] + 1, *parts[2:])
    function(*parts)


def test_items_between_processes(pair):
    """Items go to another process and come back, blocks without a copy."""
    queue, peer = pair
    block = queue.pool.allocate(nbytes=5)
    block.buf[:] = b"hello"
    queue.put(block)
    queue.put({"x": queue.pool.full(3, 5, "u2"), "y": "text"})
    assert peer("block = queue.get(); block.buf[0] = 72; block.index") == block.index
    assert bytes(block.buf) == b"Hello"
    assert peer("item = queue.get(); item['x'][1] = 6; item['x'].tolist(), item['y']") == ([5, 6, 5], "text")
    peer("queue.put(item)")
    assert queue.get()["x"].tolist() == [5, 6, 5]


def test_a_receiver_sleeps_until_another_process_sends(pair):
    """A receiver that waits is woken by another process, and a sender that waits for room as well."""
    queue, peer = pair
    peer.start("time.sleep(0.1); queue.put('x')")
    assert queue.get(timeout=60) == "x"
    peer.answer()
    for number in range(4):
        queue.put(number)
    peer.start("time.sleep(0.1); queue.get()")
    queue.put(4, timeout=60)
    assert peer.answer() == 0


def test_several_senders_and_receivers(pool_name, peers):
    """Each item goes to exactly one of several processes, in the order of its sender."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name, queue_room="1MiB")
    queue, results = pool.queue("pair", capacity=5), pool.queue("results", capacity=1000)
    processes = [peers() for _ in range(4)]
    for process in processes:
        process(f"pool = bp.Pool.attach({pool_name!r}); queue = pool.queue('pair'); results = pool.queue('results')")
    for process in processes[:2]:
        process.start("for number in range(300): queue.put((os.getpid(), number))")
    for process in processes[2:]:
        process.start("for item in queue: results.put((os.getpid(), item))")
    for process in processes[:2]:
        process.answer()
    queue.join()
    queue.shutdown()
    for process in processes[2:]:
        process.answer()
    got = [results.get() for _ in range(600)]
    assert results.empty()
    for sender in processes[:2]:
        assert sorted(number for _, (pid, number) in got if pid == sender.pid) == list(range(300))
        for receiver in processes[2:]:
            numbers = [number for there, (pid, number) in got if (there, pid) == (receiver.pid, sender.pid)]
            assert numbers == sorted(numbers)


# --- fork ---
def test_a_forked_child_has_the_queue(queue, shared):
    """A child sends and receives through its parent's objects, and closing them there closes nothing here."""
    back = shared.queue()
    queue.put("for the child")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if queue.get(timeout=60) == "for the child":
                back.put(os.getpid())
                queue.close()
                back.close()
                status = 0
        finally:
            os._exit(status)
    assert back.get(timeout=60) == child
    assert os.waitpid(child, 0)[1] == 0
    queue.put(1)
    assert queue.get() == 1


def test_a_queue_stays_for_a_forked_child(shared, nothing_left):
    """A queue that its parent closes stays for the child, and ends with it."""
    other = shared.queue(capacity=1)
    with nothing_left(other):
        queue = shared.queue()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                other.get(timeout=60)
                queue.put(b"x")
                status = 0 if queue.get() == b"x" else 1
            finally:
                os._exit(status)
        queue.close()
        other.put(1)
        assert os.waitpid(child, 0)[1] == 0
        shared.recover()


def test_a_child_without_a_part(pool_name):
    """In a child without a part in the pool, every call says so."""
    pool = bp.Pool.create("4KiB", 4, name=pool_name, on_fork="detach")
    queue = pool.queue(redeliver=True)
    queue.put(1)
    queue.put(2)
    message, got = queue.receive(), queue.get()
    child = os.fork()
    if child == 0:
        status = 1
        try:
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
                lambda: list(queue),
                lambda: queue.lost,
                lambda: queue.unfinished,
                lambda: queue.pool,
                lambda: pickle.dumps(queue),
                queue.__enter__,
            ):
                with pytest.raises(bp.PoolClosed, match="no part"):
                    call()
            assert "no part" in repr(queue)
            message.done()
            del message
            queue.close()
            del queue
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert (got, queue.unfinished) == (2, 2)


# --- death ---
def test_what_the_dead_had_put_is_received(pair):
    """Items of a sender that was killed are received, with their blocks."""
    queue, peer = pair
    peer("queue.put(pool.full(3, 7, 'u1')); queue.put('x')")
    peer.kill()
    assert queue.get().tolist() == [7, 7, 7]
    assert queue.get() == "x"
    queue.pool.recover()
    assert queue.pool.stats().allocated == 0


def test_killing_an_idle_receiver(pair):
    """A receiver that is killed while it waits keeps nobody from receiving; this is what hangs a queue with a lock."""
    queue, peer = pair
    peer.start("queue.get()")
    time.sleep(0.1)
    peer.kill()
    queue.put(1)
    assert queue.get(timeout=60) == 1


def test_killing_senders_in_the_middle(shared, peers, nothing_left):
    """Senders are killed anywhere in `put`: each item is whole, and after recovery nothing is left of the others."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue("pair", capacity=4)
        for _ in range(12):
            peer = peers()
            peer(f"pool = bp.Pool.attach({shared.name!r}); queue = pool.queue('pair')")
            peer.start("""
                number = 0
                while True:
                    block = pool.allocate(nbytes=4)
                    block.buf[:] = number.to_bytes(4, "little")
                    queue.put((number, block))
                    number += 1
            """)
            for number in itertools.count():
                if number == 50:
                    peer.kill()
                    shared.recover()
                if number >= 50 and queue.empty():
                    break
                found, block = queue.get(timeout=60)
                assert (found, int.from_bytes(block.buf, "little")) == (number, number)
            block = None
            assert shared.stats().allocated == 0
        queue.close()


def test_killing_receivers_in_the_middle(shared, peers, nothing_left):
    """Receivers are killed anywhere in `get`: what they had not finished comes again, and nothing is left."""
    other = shared.queue()
    with nothing_left(other):
        queue = shared.queue("pair", capacity=4, redeliver=True)
        done = shared.queue("done", capacity=100)
        sent, numbers = 0, []
        for _ in range(12):
            peer = peers()
            peer(f"pool = bp.Pool.attach({shared.name!r}); queue = pool.queue('pair'); done = pool.queue('done')")
            peer.start("""
                while True:
                    with queue.receive() as message:
                        done.put(message.item[0])
            """)
            for _ in range(50):
                queue.put((sent, shared.allocate()), timeout=60)
                sent += 1
            peer.kill()
            shared.recover()
            numbers += [done.get() for _ in range(done.qsize())]
        while not queue.empty():
            with queue.receive() as message:
                numbers.append(message.item[0])
        message = None
        assert set(numbers) == set(range(sent))
        assert len(numbers) - sent <= 12  # at most one of each receiver comes twice
        assert queue.unfinished == 0
        queue.close()
        done.close()


def test_a_sender_that_is_stopped(pair):
    """A sender that is stopped anywhere in `put` holds nobody up."""
    queue, peer = pair
    peer.start("while True: queue.put(0, timeout=60)")
    for _ in range(20):
        queue.get(timeout=60)
        os.kill(peer.pid, signal.SIGSTOP)
        while queue.qsize():
            queue.get(timeout=60)
        queue.put("mine", timeout=60)
        found = [queue.get(timeout=60) for _ in range(queue.qsize())]
        assert found.count("mine") == 1
        os.kill(peer.pid, signal.SIGCONT)
    peer.kill()
    queue.pool.recover()


# --- waiting ---
@pytest.mark.parametrize(
    "way",
    ["get", "get_timeout", "receive", "iterate", "put", "put_timeout", "put_without_room", "put_a_copy", "join"],
)
def test_ctrl_c_interrupts_every_wait(run_program, way):
    """Ctrl-C interrupts a wait, which takes no CPU meanwhile; nothing is left behind."""
    assert float(run_program("queues/interrupt.py", way)) < 0.3


def test_multiprocessing_objects_within_an_item(queue):
    """What multiprocessing's own queues can send, these can too."""
    reader, writer = multiprocessing.Pipe()
    queue.put({"reader": reader})
    got = queue.get()["reader"]
    writer.send(1)
    assert got.recv() == 1


def test_little_is_left_after_a_crowd(shared, peers):
    """After processes that opened, used and left queues without names, the room for them is as before."""
    other = shared.queue()
    before = room_used(other)
    processes = [peers() for _ in range(3)]
    for process in processes:
        process(f"pool = bp.Pool.attach({shared.name!r})")
        process.start("""
            for number in range(50):
                queue = pool.queue(capacity=number + 1)
                queue.put(pool.allocate())
                if number % 2:
                    queue.get()
        """)
    for process in processes:
        process.answer()
        process.end()
    assert room_used(other) == before
    assert shared.stats().allocated == 0
