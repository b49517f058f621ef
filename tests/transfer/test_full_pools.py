"""What a send does that finds no room: install(on_full=, timeout=)."""

import multiprocessing
import pickle
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _sending
from transfers import Buffered, carry, packed
from waits import await_true

LARGE = 10_000  # elements: five blocks


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 16)


def is_copying(thread):
    """Return whether a thread is within the call that copies something into the pool, which may wait for room."""
    frame = sys._current_frames().get(thread)
    return frame is not None and frame.f_code is _sending.Route.parts.__code__


MESSAGES = {
    "an array": lambda: np.ones(LARGE),
    "an array in a list": lambda: [1, np.ones(LARGE)],
    "a buffer": lambda: [Buffered(8 * LARGE)],
}


@pytest.fixture(params=MESSAGES)
def message(request):
    """Make a message of each kind in turn."""
    return MESSAGES[request.param]()


def test_raise(pool, sent, message):
    """With on_full="raise" a send without room raises PoolExhausted, leaves nothing, and counts nothing as refused."""
    carrier.install(pool, on_full="raise")
    with pool.allocate(blocks=12):
        with pytest.raises(bp.PoolExhausted):
            packed(message)
        with pytest.raises(bp.PoolExhausted):
            packed([np.ones(LARGE // 5), message])
        assert (pool.stats().allocated, pool.stats().tickets) == (12, 0)
        assert "refused" not in sent()
    carry(message)
    assert sent()["copied"] >= 1


@pytest.mark.parametrize("timeout", [None, 600, 600.0, np.float32(600)])
def test_wait_for_room(pool, sent, message, timeout):
    """With on_full="wait" a send waits until another thread makes room, and then goes through the pool."""
    carrier.install(pool, on_full="wait", timeout=timeout)
    held, arrived = pool.allocate(blocks=16), []
    sender = threading.Thread(target=lambda: arrived.append(carry(message)))
    sender.start()
    await_true(lambda: is_copying(sender.ident))
    assert arrived == []
    held.release()
    sender.join(60)
    assert len(arrived) == 1
    assert sent()["copied"] == 1
    del arrived[:]


@pytest.mark.parametrize("timeout", [0, 1])
def test_wait_in_vain(pool, message, timeout):
    """A send that waits longer than its timeout raises PoolExhausted, and leaves nothing."""
    carrier.install(pool, on_full="wait", timeout=timeout)
    with pool.allocate(blocks=14):
        with pytest.raises(bp.PoolExhausted):
            packed([np.ones(LARGE // 5), message])
        assert (pool.stats().allocated, pool.stats().tickets) == (14, 0)
        assert pool.stats().waits == (1 if timeout else 0)


def test_more_than_the_pool(pool):
    """Something larger than the pool raises PoolExhausted at once, however long a send may wait."""
    for settings in ({"on_full": "wait"}, {"on_full": "raise"}):
        carrier.install(pool, **settings)
        with pytest.raises(bp.PoolExhausted):
            packed(np.zeros(17 * 16384, "u1"))


def test_ctrl_c(pool):
    """Ctrl-C interrupts a send that waits, and nothing is left of the message."""
    carrier.install(pool, on_full="wait")
    held, main = pool.allocate(blocks=14), threading.get_ident()

    def interrupt():
        await_true(lambda: is_copying(main))
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        packed([np.ones(LARGE // 5), np.ones(LARGE)])
    interrupter.join()
    assert (pool.stats().allocated, pool.stats().tickets) == (14, 0)
    held.release()


def test_what_lies_in_the_pool(pool):
    """An array that is in the full pool already is sent, whatever is to happen while there is no room."""
    carrier.install(pool, on_full="raise")
    array = pool.zeros((16, 16384), "u1")
    assert carry(array).nbytes == array.nbytes


def test_a_closed_pool_is_not_full(pool_names):
    """If the pool was closed, arrays are pickled whole, whatever is to happen while there is no room."""
    closed = bp.Pool.create("16KiB", 16, name=pool_names())
    carrier.install(closed, on_full="raise")
    closed.close()
    assert carry(np.ones(LARGE)).sum() == LARGE
    carrier.uninstall()


def test_the_thread_of_a_queue(pool):
    """A queue, which pickles in a thread, reports PoolExhausted as it does what cannot be pickled, and goes on."""
    carrier.install(pool, on_full="raise")
    queue = multiprocessing.get_context("fork").Queue()
    failed = []
    queue._on_queue_feeder_error = lambda error, _: failed.append(type(error))
    with pool.allocate(blocks=16):
        queue.put(np.ones(LARGE))
        await_true(lambda: failed)
    queue.put(np.ones(LARGE))
    assert queue.get(timeout=60).sum() == LARGE
    queue.close()
    queue.join_thread()
    assert failed == [bp.PoolExhausted]


def test_executors(pool):
    """An executor sets PoolExhausted as the result, whether the task finds no room or its result."""
    carrier.install(pool, on_full="raise")
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as executor:
        assert executor.submit(np.ones, 3).result().sum() == 3
        with pool.allocate(blocks=16):
            assert isinstance(executor.submit(np.sum, np.ones(LARGE)).exception(), bp.PoolExhausted)
            assert isinstance(executor.submit(np.ones, LARGE).exception(), bp.PoolExhausted)
        assert executor.submit(np.sum, np.ones(LARGE)).result() == LARGE
        assert executor.submit(np.ones, LARGE).result().sum() == LARGE


def test_the_error_can_be_pickled(pool):
    """The PoolExhausted of a send arrives as such in another process."""
    carrier.install(pool, on_full="raise")
    with pool.allocate(blocks=16), pytest.raises(bp.PoolExhausted) as raised:
        packed(np.ones(LARGE))
    assert isinstance(pickle.loads(pickle.dumps(raised.value)), bp.PoolExhausted)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"on_full": "drop"}, ValueError, "'copy', 'wait' or 'raise', not 'drop'"),
        ({"on_full": ""}, ValueError, "not ''"),
        ({"on_full": None}, TypeError, "not NoneType"),
        ({"on_full": True}, TypeError, "not bool"),
        ({"timeout": 1}, ValueError, "on_full='copy' does not wait"),
        ({"on_full": "raise", "timeout": 1}, ValueError, "on_full='raise' does not wait"),
        ({"on_full": "wait", "timeout": -1}, ValueError, "0 or more"),
        ({"on_full": "wait", "timeout": float("nan")}, ValueError, "0 or more"),
        ({"on_full": "wait", "timeout": "5"}, TypeError, "number of seconds.*not str '5'"),
        ({"on_full": "wait", "timeout": [5]}, TypeError, "not list"),
        ({"on_full": "wait", "timeout": 1j}, TypeError, "not complex"),
        ({"on_full": "wait", "timeout": 10**400}, ValueError, "large"),
    ],
)
def test_wrong_settings_change_nothing(pool, sent, settings, error, words):
    """Wrong settings are a typed error, and what was installed stays."""
    with pytest.raises(error, match=words):
        carrier.install(pool, **settings)
    carry(np.ones(LARGE))
    assert sent()["copied"] == 1


# --- what the log says ---


def told(caplog):
    """Return the reasons of the records of what was sent without the pool."""
    return [r.blockpool_reason for r in caplog.records if getattr(r, "blockpool_event", "") == "sent_without_pool"]


def test_the_log_names_the_first_without_room(pool, caplog):
    """The first array without room is logged, once for each pool and process."""
    for _ in range(3):
        with pool.allocate(blocks=16):
            carry(np.ones(LARGE))
    (reason,) = told(caplog)
    assert "no room for 80000 bytes" in reason


SLOW = {
    "object": lambda _: np.array([None] * LARGE),
    "memmap": lambda folder: np.memmap(folder / "mapped", mode="w+", shape=10 * LARGE),
    "recarray": lambda _: np.rec.array([(1, 2.0)] * LARGE),
    "MaskedArray": lambda _: np.ma.masked_array(np.zeros(LARGE), mask=False),
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("within", [lambda array: array, lambda array: {"a": [array]}], ids=["alone", "within"])
def test_the_log_names_what_no_pool_can_take(pool, caplog, tmp_path, kind, within):
    """A large array of a kind that cannot go through the pool is logged, alone or within a message, once."""
    array = SLOW[kind](tmp_path)
    for _ in range(2):
        arrived = carry(within(array))
    (reason,) = told(caplog)
    assert kind in reason
    carry(SLOW["MaskedArray"](tmp_path))
    assert len(told(caplog)) == 1
    carrier.install(bp.Pool.create("16KiB", 16))
    carry(within(array[:2]))  # small
    assert len(told(caplog)) == 1
    carry(within(array))  # another pool
    assert len(told(caplog)) == 2
    carrier.install(pool)
    del arrived
