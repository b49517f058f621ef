"""Messages that are not delivered: their references are taken back, unless another process may have received them."""

import errno
import fcntl
import gc
import io
import multiprocessing
import os
import signal
import socket
import sys
import termios
import threading
import time
from array import array
from multiprocessing import context
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from transfers import Buffered, Unsendable

LARGE = 10_000  # elements: two to five blocks


@pytest.fixture
def pool(pool_name):
    """Make a shared pool, and have messages travel through it; nothing may be left in flight."""
    made = bp.Pool.create("16KiB", 64, name=pool_name)
    carrier.install(made)
    yield made
    carrier.uninstall()
    made.check()
    assert made.stats().tickets == 0
    made.close()


MESSAGES = {
    "an array that is copied": lambda _: np.ones(LARGE),
    "an array in the pool": lambda pool: pool.full(LARGE, 1.0),
    "a block": lambda pool: pool.allocate(),
    "a read-only block": lambda pool: pool.allocate().readonly(),
    "a buffer": lambda _: [Buffered(8 * LARGE)],
    "several in a large message": lambda pool: [
        *(b"x" * 300_000, np.ones(LARGE), pool.zeros(LARGE)),
        *({"a": pool.allocate()}, Buffered(8 * LARGE)),
    ],
}


@pytest.fixture(params=MESSAGES)
def message(request, pool):
    """Make a message of each kind in turn."""
    return MESSAGES[request.param](pool)


def socket_pair():
    """Return two connections of a socket pair; the second can be closed with unread bytes in it."""
    here, there = socket.socketpair()
    return Connection(here.detach()), Connection(there.detach())


def in_flight(pool):
    """Return how many references are in flight once no exception keeps anything."""
    gc.collect()
    return pool.stats().tickets


# --- nobody reads ---


@pytest.mark.parametrize("duplex", [False, True])
def test_a_connection_without_a_reader(pool, message, duplex):
    """A send to a closed pipe raises BrokenPipeError and leaves no reference in flight and no copy allocated."""
    there, here = multiprocessing.Pipe(duplex)
    there.close()
    held = pool.stats().allocated
    for _ in range(3):
        with pytest.raises(BrokenPipeError):
            here.send(message)
        assert pool.stats().tickets == 0
        assert pool.stats().allocated == held


def test_a_connection_that_its_reader_resets(pool, message):
    """A send to a socket that was closed with unread bytes raises an error and leaves no reference in flight."""
    here, there = socket_pair()
    there.send(1)
    here.send(2)
    there.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        here.send(message)
    assert in_flight(pool) == 0


@pytest.mark.parametrize("duplex", [False, True])
def test_a_reader_that_goes_within_a_message(pool, duplex):
    """If the reader closes its end within a message, the references of that message are taken back."""
    there, here = multiprocessing.Pipe(duplex)
    reader = threading.Thread(target=lambda: (os.read(there.fileno(), 100_000), there.close()))
    message = [np.ones(LARGE), pool.allocate(), b"x" * 10_000_000]
    reader.start()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        here.send(message)
    reader.join()
    assert in_flight(pool) == 0


def test_what_was_sent_before_is_not_taken_back(pool):
    """Only the message that failed is taken back: messages that are already in the pipe can still be read."""
    there, here = multiprocessing.Pipe(duplex=False)
    array = pool.full(LARGE, 5)
    here.send(array)
    copy = Connection(os.dup(there.fileno()), writable=False)
    there.close()
    here.send(array)
    assert pool.stats().tickets == 2
    first, second = copy.recv(), copy.recv()
    copy.close()
    with pytest.raises(BrokenPipeError):
        here.send(array)
    assert pool.stats().tickets == 0
    assert (first == 5).all()
    assert (second == 5).all()


def test_a_simple_queue(pool, message):
    """A put to a SimpleQueue without a reader, or closed, raises an error and leaves no reference in flight."""
    queue = multiprocessing.SimpleQueue()
    queue._reader.close()
    with pytest.raises(BrokenPipeError):
        queue.put(message)
    assert in_flight(pool) == 0
    queue._writer.close()
    with pytest.raises(OSError, match="handle is closed"):
        queue.put(message)
    assert in_flight(pool) == 0


def test_a_queue(pool, message):
    """A Queue without a reader reports BrokenPipeError in its thread and leaves no reference in flight."""
    queue = multiprocessing.get_context("fork").Queue()
    errors = []
    queue._on_queue_feeder_error = lambda error, _: errors.append(type(error))
    queue._reader.close()
    queue.put(message)
    queue.put(message)
    queue.close()
    queue.join_thread()
    assert errors == [BrokenPipeError] * 2
    assert in_flight(pool) == 0


def test_a_server_whose_workers_die(pool):
    """However many sends fail, the pool does not fill up."""
    for _ in range(200):
        there, here = multiprocessing.Pipe()
        there.close()
        with pytest.raises(BrokenPipeError):
            here.send({"frame": pool.empty(LARGE), "time": 1.5})
    assert pool.stats().allocated == 0


def test_a_pool_that_its_sender_closes_meanwhile(pool_names):
    """References of a failed message are taken back even if the sender has closed the pool in the meantime."""
    lent = bp.Pool.create("16KiB", 8, name=pool_names(), permanent=True)
    carrier.install(lent)
    try:
        packed = ForkingPickler.dumps(np.ones(LARGE))
        carrier.uninstall()
        carrier.install(keeper := bp.Pool.create("16KiB", 2))
        lent.close()
        there, here = multiprocessing.Pipe()
        there.close()
        with pytest.raises(BrokenPipeError):
            here.send_bytes(packed)
        keeper.close()
    finally:
        carrier.uninstall()
    lent = bp.Pool.attach(lent.name)
    assert (lent.stats().tickets, lent.stats().allocated) == (0, 0)
    lent.unlink()
    lent.close()


# --- nobody has the bytes ---


def test_a_pickle_that_nobody_reads(pool, message):
    """A pickle that is dropped unread takes its references back, and the memory that was copied for it."""
    held = pool.stats().allocated
    packed = ForkingPickler.dumps(message)
    assert pool.stats().tickets > 0
    assert len(packed) > 50
    del packed
    assert (pool.stats().tickets, pool.stats().allocated) == (0, held)


@pytest.mark.parametrize("read", [bytes, memoryview, lambda packed: packed[3:], io.BytesIO])
def test_a_pickle_that_somebody_read(pool, message, read):
    """References of a pickle whose bytes were read stay when the pickle is dropped or a send of it fails."""
    there, here = multiprocessing.Pipe()
    there.close()
    packed = ForkingPickler.dumps(message)
    tickets, whole = pool.stats().tickets, bytes(packed)
    taken = read(packed)
    with pytest.raises(BrokenPipeError):
        here.send_bytes(packed)
    del packed
    assert taken is not None
    del taken
    assert pool.stats().tickets == tickets
    ForkingPickler.loads(whole)
    assert pool.stats().tickets == 0


def test_a_pickle_that_is_sent_again_after_it_failed(pool, message):
    """Sending a pickle again after its send failed raises InvalidBlock at the sender, and sends nothing."""
    closed, here = multiprocessing.Pipe()
    closed.close()
    other, there = multiprocessing.Pipe()
    packed = ForkingPickler.dumps(message)
    with pytest.raises(BrokenPipeError):
        here._send_bytes(packed)
    for send in (there.send_bytes, there._send_bytes):
        with pytest.raises(bp.InvalidBlock, match="pickle it again"):
            send(packed)
    assert not other.poll()
    assert pool.stats().tickets == 0


def test_a_pickle_that_a_fork_copies(pool):
    """Dropping the copy of a pickle in a forked child does not take back the parent's references."""
    packed = ForkingPickler.dumps(pool.full(LARGE, 3))
    child = os.fork()
    if child == 0:
        del packed
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert pool.stats().tickets == 1
    assert (ForkingPickler.loads(packed) == 3).all()


# --- somebody may have it ---


def test_an_error_that_comes_when_all_was_written(pool):
    """If a signal handler raises when all of a message was written, the message and its memory still arrive."""
    there, here = multiprocessing.Pipe()

    def handler(frame, event, _):
        if frame.f_code is Connection._send.__code__:
            if event == "line" and "n" in frame.f_locals:
                raise BrokenPipeError(errno.EPIPE, "of the handler")
            return handler
        return handler

    sys.settrace(handler)
    try:
        with pytest.raises(BrokenPipeError, match="of the handler"):
            here.send([np.full(LARGE, 6)])
    finally:
        sys.settrace(None)
    assert pool.stats().tickets == 1
    assert (there.recv()[0] == 6).all()


def test_a_message_that_ctrl_c_interrupts(pool):
    """The references of a message that Ctrl-C interrupts half-written stay, as others may write the rest."""
    there, here = multiprocessing.Pipe(duplex=False)
    main = threading.get_ident()

    def interrupt():
        deadline = time.monotonic() + 60
        half, unread = fcntl.fcntl(there.fileno(), fcntl.F_GETPIPE_SZ) // 2, array("i", [0])
        while unread[0] < half and time.monotonic() < deadline:  # until the sender is within a write that has to wait
            time.sleep(0.001)
            fcntl.ioctl(there.fileno(), termios.FIONREAD, unread)
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        here.send([np.ones(LARGE), b"x" * 10_000_000])
    interrupter.join()
    assert in_flight(pool) == 1
    pool.recover(tickets_older_than=0)


def test_a_write_that_would_wait(pool):
    """The references stay if a nonblocking connection raises within a message, as others may write the rest."""
    there, here = multiprocessing.Pipe(duplex=False)
    os.set_blocking(here.fileno(), False)
    with pytest.raises(BlockingIOError):
        here.send([np.ones(LARGE), b"x" * 10_000_000])
    assert there.poll()
    assert in_flight(pool) == 1
    pool.recover(tickets_older_than=0)


def test_a_reader_that_lives(pool, message):
    """A message that was written arrives even if its sender closes its end at once."""
    there, here = multiprocessing.Pipe()
    receiver = threading.Thread(target=lambda: received.append(there.recv()))
    received = []
    receiver.start()
    here.send(message)
    here.close()
    receiver.join()
    assert len(received) == 1
    assert pool.stats().tickets == 0


# --- processes that do not start ---


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_arguments_that_cannot_be_pickled(pool, message, method):
    """A process whose arguments cannot be pickled is not started, and no reference stays in flight."""
    process = multiprocessing.get_context(method).Process(args=(message, Unsendable()))
    with pytest.raises(ZeroDivisionError):
        process.start()
    assert in_flight(pool) == 0
    assert context.get_spawning_popen() is None


STARTERS = {
    "spawn": "multiprocessing.util.spawnv_passfds",
    "forkserver": "multiprocessing.forkserver.connect_to_new_process",
}


@pytest.mark.parametrize("method", STARTERS)
def test_a_process_that_cannot_be_started(pool, message, monkeypatch, method):
    """If the operating system refuses to start a process, the references in its arguments are taken back."""

    def refuse(*_):
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(STARTERS[method], refuse)
    process = multiprocessing.get_context(method).Process(target=print, args=(message,))
    with pytest.raises(BlockingIOError):
        process.start()
    assert in_flight(pool) == 0


def test_a_process_that_is_started(run_program):
    """Arrays and blocks in the arguments of a process arrive, with spawn and with forkserver."""
    said = run_program("transfer/start_with_arguments.py", timeout=600)
    assert said.split() == ["100000", "7", "100000", "7", "0"]


def test_tasks_that_carry_handles(run_program):
    """Workers that crash leave nothing allocated or in flight if their tasks carry handles instead of tickets."""
    said = run_program("transfer/crashing_workers.py", timeout=600)
    assert said.split("\n")[:-1] == ["False False False", "0 0"] * 3 + ["True True True", "0 0"]


# --- other libraries ---


def test_a_queue_of_loky(pool, message):
    """A put to loky's queue that cannot pickle, or that nobody reads, raises an error and leaves nothing in flight."""
    from loky import backend
    from loky.backend.queues import SimpleQueue

    queue = SimpleQueue(ctx=backend.get_context("loky"))
    with pytest.raises(ZeroDivisionError):
        queue.put([message, Unsendable()])
    assert in_flight(pool) == 0
    queue._reader.close()
    with pytest.raises(BrokenPipeError):
        queue.put(message)
    assert in_flight(pool) == 0
    queue.close()


def test_a_queue_of_joblib(pool, message):
    """A message that the queue of joblib's backend "multiprocessing" cannot pickle leaves nothing in flight."""
    from joblib.pool import CustomizablePicklingQueue

    queue = CustomizablePicklingQueue(multiprocessing.get_context("fork"), {complex: repr})
    with pytest.raises(ZeroDivisionError):
        queue.put([message, Unsendable()])
    assert in_flight(pool) == 0


@pytest.mark.parametrize("library", ["concurrent.futures", "loky"])
def test_an_executor_that_breaks(run_program, library):
    """What a broken executor pickled and never wrote comes back at once, and what it wrote with its lifetime."""
    said = run_program("transfer/broken_executor.py", library, timeout=600)
    assert said.split() == ["50000.0", "broken", "0", "0"]
