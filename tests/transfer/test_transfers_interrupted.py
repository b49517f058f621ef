"""Transfers while other threads switch, close, free or fork, at any moment: what arrives is right, nothing is left."""

import multiprocessing
import os
import pickle
import sys
import threading
import time
from multiprocessing import reduction
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _patches, _receive_arrays, _sending, _undelivered
from placement import lies_in
from transfers import Buffered, carry, is_right, packed

LARGE = 10_000  # elements: two to five blocks


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 64)


def fork(work=lambda: True):
    """Fork a child that does the work and returns whether it was right; wait for it."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


FILES = {module.__file__ for module in (carrier, _patches, _receive_arrays, _sending, _undelivered)}


def at_each_line(work, act, begin=lambda: None):
    """Do the work once for each line that it runs of blockpool.multiprocessing and what is below, and act at that line.

    Returns how often that was.
    """
    chosen, lines = 0, 1
    while chosen < lines:
        begin()
        lines = 0

        def trace(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename not in FILES:
                return None
            if event == "line":
                if lines == chosen:  # noqa: B023 - of this round
                    sys.settrace(None)
                    act()
                    sys.settrace(trace)
                lines += 1
            return trace

        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(None)
        chosen += 1
        del trace  # it holds itself, and so all that it was given
    return chosen


def in_other_thread(act):
    """Return a function that runs `act` in another thread and waits for it."""

    def run():
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    return run


MESSAGES = {
    "an array": lambda _: np.ones(LARGE),
    "an array in the pool": lambda pool: pool.full(LARGE, 1.0),
    "arrays in a list": lambda pool: [np.ones(LARGE), pool.full(LARGE, 1.0), np.ones(3)],
    "buffers": lambda _: [Buffered(np.ones(LARGE)), np.ones(LARGE)],
}


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("way", ["dumps", "dump"])
def test_a_switch_at_any_moment_of_a_send(pool, kind, way):
    """A message arrives even if another thread uninstalls or installs the pool between any two lines of the send."""
    message = MESSAGES[kind](pool)
    switches = [carrier.uninstall, lambda: carrier.install(pool)]

    def switch():
        switches.reverse()
        switches[0]()

    def work():
        if way == "dumps":
            assert is_right(carry(message))
        else:
            assert is_right(pickle.loads(bytes(ForkingPickler.dumps(message, 5))))

    for _ in range(2):
        assert at_each_line(work, in_other_thread(switch), lambda: carrier.install(pool)) > 1
    carrier.uninstall()


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_pool_closed_at_any_moment_of_a_send(pool, pool_names, kind):
    """A message arrives even if another thread closes the pool between any two lines of the send."""
    message = MESSAGES[kind](pool)
    opened, kept = [], []

    def begin():
        opened[:] = [bp.Pool.create("16KiB", 64, name=pool_names())]
        kept[:] = [opened[0].allocate()]  # or the pool would end with its last process
        carrier.install(opened[0])

    def close():
        opened[0].close()

    def work():
        assert is_right(carry(message))

    at_each_line(work, in_other_thread(close), begin)


def test_a_free_at_any_moment_of_a_send(pool):
    """A block whose array is being sent cannot be freed by another thread at any line of the send: BlockInUse."""
    block = pool.allocate(nbytes=8 * LARGE)
    message = [block.array(LARGE)]
    message[0][:] = 1
    outcomes = []

    def free():
        try:
            outcomes.append(block.free())
        except bp.BlockInUse:
            outcomes.append("in use")

    for sent in (message, message[0]):
        outcomes.clear()
        count = at_each_line(lambda sent=sent: is_right(carry(sent)), in_other_thread(free))
        assert outcomes == ["in use"] * count


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_fork_at_any_moment_of_a_send(pool, kind):
    """A child that is forked at any line of a send can itself send and receive, and no block is lost."""
    message = MESSAGES[kind](pool)

    def act():
        fork(lambda: is_right(carry(message)))

    at_each_line(lambda: is_right(carry(message)), act)
    at_each_line(lambda: is_right(carry(message)), in_other_thread(act))
    pool.recover()


def test_a_fork_while_another_thread_switches(pool):
    """A child forked at any line of install can send, receive, install, and restore the original functions."""
    started = []
    carrier.uninstall()
    plain = ForkingPickler.dumps.__func__, Connection._send_bytes, reduction.dump

    def is_whole():
        whole = is_right(carry(np.ones(LARGE)))
        carrier.install(pool)
        whole = whole and is_right(carry(np.ones(LARGE)))
        carrier.uninstall()
        restored = ForkingPickler.dumps.__func__, Connection._send_bytes, reduction.dump
        return whole and restored == plain and np.ndarray not in ForkingPickler._extra_reducers

    def act():
        started.append(threading.Thread(target=fork, args=(is_whole,)))
        started[-1].start()
        started[-1].join(0.02)  # it may have to wait

    def begin():
        while started:
            started[-1].join(60)
            assert not started.pop().is_alive()

    at_each_line(lambda: carrier.install(pool), act, begin)
    begin()
    pool.recover()


def test_threads_send_one_array_at_once(pool):
    """Each message of an array that several threads send at once has its own reference; the last reader frees it."""
    arrays, messages = [pool.full(LARGE, 3)], []

    def send():
        for _ in range(200):
            messages.append(packed(arrays[0]))
            messages.append(packed([arrays[0], arrays[0][1:]]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.stats().tickets == 4 * 200 * 3
    arrays.clear()
    for message in messages:
        pickle.loads(message)
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


def test_threads_pass_on_what_others_drop(pool):
    """An array that threads send on while others drop it keeps its content and one reference in flight."""
    message, wrong = [packed(pool.full(LARGE, 9))], []
    lock = threading.Lock()

    def pass_on():
        for _ in range(300):
            with lock:
                array = pickle.loads(message.pop())
                message.append(packed(array))
            if not (array == 9).all():
                wrong.append(array)

    threads = [threading.Thread(target=pass_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.stats().tickets == 1
    pickle.loads(message.pop())


def test_threads_that_receive_first_at_once(run_program, pool):
    """A process whose threads receive their first arrays at the same moment installs the pool once."""
    messages = [packed(np.full(LARGE, n)).hex() for n in range(6)]
    *answers, counts = run_program("transfer/receive_first.py", *messages).splitlines()
    assert counts == "7 6"
    assert sorted(int(pickle.loads(bytes.fromhex(answer))[5]) for answer in answers) == list(range(1, 7))
    pool.recover()


def test_a_thread_that_receives_while_another_one_installs(pool):
    """Whenever a thread receives while another one receives the first array, its answer goes through the pool."""
    messages, threads, answers = [], [], []

    def begin():
        carrier.install(pool)
        messages.extend(packed(np.full(LARGE, n)) for n in range(2))
        carrier.uninstall()
        _patches.declined = False  # as in a process that has received nothing yet

    def answer():
        answers.append(packed(pickle.loads(messages[1]) + 1))

    def receive_too():
        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        threads[-1].join(0.02)  # it may wait for this thread

    def receive():
        pickle.loads(messages[0])
        sys.settrace(None)  # the rest is not what is looked at
        if not threads:  # there were fewer lines than in the round before
            receive_too()
        for thread in threads:
            thread.join()
        for got in map(pickle.loads, answers):
            assert (got == 2).all()
            assert lies_in(got, pool)
        for each in messages, threads, answers:
            each.clear()

    assert at_each_line(receive, receive_too, begin) > 20


def test_a_fork_while_a_queue_sends(pool):
    """A child that is forked while a queue's thread sends does not disturb the messages, and no block is lost."""
    queue = multiprocessing.get_context("fork").Queue()
    for n in range(100):
        queue.put([np.full(LARGE // 2, n), n])
        if n % 5 == 0:
            fork()
        if n >= 10:
            array, m = queue.get(timeout=60)
            assert (array == m).all()
    for _ in range(10):
        queue.get(timeout=60)
    queue.close()
    queue.join_thread()
    del array
    pool.recover()
    deadline = time.monotonic() + 60
    while pool.stats().allocated:  # the queue's thread may still have the last message
        assert time.monotonic() < deadline, pool.stats()
        time.sleep(0.01)
