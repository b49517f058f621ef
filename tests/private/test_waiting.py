"""`timeout=`: waiting for room, and everything that ends the wait."""

import gc
import statistics
import threading
import time
from concurrent.futures import Future
from contextlib import suppress

import pytest

import blockpool as bp
from collecting import collect_quickly
from waits import await_true, seconds_of

REQUESTS = {
    "single": lambda pool, timeout: [pool.allocate(timeout=timeout)],
    "run": lambda pool, timeout: [pool.allocate(blocks=4, timeout=timeout)],
    "nbytes": lambda pool, timeout: [pool.allocate(nbytes=16_000, timeout=timeout)],
    "many": lambda pool, timeout: pool.allocate_many(4, timeout=timeout),
}
requests = pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)


class Caller:
    """Makes each call in a new thread; one that never returns fails its test and does not hold up the rest."""

    def submit(self, call, *arguments, **named):
        """Start a call in a thread, and return its future."""
        future = Future()

        def run():
            try:
                future.set_result(call(*arguments, **named))
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return future


@pytest.fixture
def other():
    """Return an object whose `submit` makes a call in another thread."""
    return Caller()


@requests
@pytest.mark.parametrize("timeout", [60, None, float("inf")])
@pytest.mark.parametrize("give_back", ["free", "release", "drop", "view"])
def test_a_waiter_is_woken(pool, bookkeeping, other, request_, timeout, give_back):  # noqa: PLR0917 - fixtures
    """A waiting call gets room as soon as another thread gives it back, in whatever way."""
    kept = pool.allocate(blocks=16)
    view = kept.buf if give_back == "view" else None
    if view is not None:
        kept.release()
    waiter = other.submit(request_, pool, timeout)
    bookkeeping(pool).await_waiting()
    assert not waiter.done()
    if give_back in {"free", "release"}:
        getattr(kept, give_back)()
    del kept, view
    got = waiter.result(60)
    assert sum(block.blocks for block in got) == (1 if len(got) == 1 and got[0].blocks == 1 else 4)
    assert bookkeeping(pool).waiting == 0
    stats = pool.stats()
    assert (stats.failures, stats.peak) == (0, 16)


@requests
def test_a_waiter_sleeps_on_until_there_is_enough(pool, bookkeeping, other, request_):
    """A waiting call goes on waiting while the free room is too small, or not adjacent."""
    kept = pool.allocate_many(16)
    waiter = other.submit(request_, pool, 60)
    words = bookkeeping(pool)
    words.await_waiting()
    kept.sort(key=lambda block: block.index)
    if request_ is not REQUESTS["single"]:
        for index in (1, 8, 15):
            kept[index].free()
        with pytest.raises(bp.PoolExhausted):
            request_(pool, 0.05)
        assert not waiter.done()
        assert words.waiting == 1
        for index in (2, 3, 4):
            kept[index].free()
    else:
        kept[3].free()
    assert len(waiter.result(60)) in {1, 4}


@pytest.mark.parametrize("threads", [1, 3])
def test_waking_is_prompt(bookkeeping, other, threads):
    """A waiting call is woken by the free itself, and does not look again from time to time."""
    pool = bp.Pool(64, 1)
    rounds = 40

    def take():
        for _ in range(rounds):
            pool.allocate(timeout=None).free()

    words = bookkeeping(pool)

    def time_a_wake():
        block = pool.allocate(timeout=None)
        waiter = other.submit(lambda: pool.allocate(timeout=None).free())
        words.await_waiting()
        time.sleep(0.02)  # so that it sleeps, most likely
        return seconds_of(lambda: (block.free(), waiter.result(60)))

    # looking again every 0.25 s, most would wait nearly as long; on a busy machine that may be so now and then
    await_true(lambda: statistics.median(time_a_wake() for _ in range(9)) < 0.12, 120)
    for future in [other.submit(take) for _ in range(threads)]:
        future.result(60)
    assert pool.stats().allocated == 0


def test_waiting_costs_no_time(pool):
    """A waiting call sleeps: half a second of it takes next to no processor time."""
    kept = pool.allocate(blocks=16)
    began = time.thread_time()
    with pytest.raises(bp.PoolExhausted):
        pool.allocate(timeout=0.5)
    assert time.thread_time() - began < 0.25
    del kept


@requests
def test_the_time_runs_out(pool, unchanged, bookkeeping, request_):
    """A call that finds no room raises PoolExhausted after `timeout` seconds, not before, and counts as one failure."""
    kept = pool.allocate(blocks=16)
    for timeout in (0.02, 0.3):
        began = time.monotonic()
        with unchanged(pool, failures=1, waits=1), pytest.raises(bp.PoolExhausted, match="0 of 16 free"):
            request_(pool, timeout)
        assert timeout <= time.monotonic() - began < timeout + 60
        assert bookkeeping(pool).waiting == 0
    del kept


def test_zero_does_not_wait(pool, bookkeeping):
    """A call with timeout=0 never begins to wait."""
    kept = pool.allocate(blocks=16)
    began = time.monotonic()
    for timeout in (0, 0.0):
        for request in REQUESTS.values():
            with pytest.raises(bp.PoolExhausted):
                request(pool, timeout)
    assert time.monotonic() - began < 60
    assert bookkeeping(pool).waiting == 0
    del kept


def test_waiting_lets_other_threads_run(pool, bookkeeping, other):
    """A waiting call does not hold the GIL."""
    kept = pool.allocate(blocks=16)
    waiter = other.submit(pool.allocate, timeout=None)
    bookkeeping(pool).await_waiting()
    assert sum(range(100_000)) == 4999950000
    assert not waiter.done()
    kept.free()
    waiter.result(60).free()


@requests
def test_closing_the_pool_ends_the_wait(pool, bookkeeping, other, request_):
    """Closing the pool ends a waiting call with PoolClosed."""
    kept = pool.allocate(blocks=16)
    words = bookkeeping(pool)
    waiters = [other.submit(request_, pool, None) for _ in range(3)]
    words.await_waiting(3)
    pool.close()
    for waiter in waiters:
        with pytest.raises(bp.PoolClosed):
            waiter.result(60)
    assert words.waiting == 0
    kept.free()


def test_reopening_the_pool_ends_the_wait(bookkeeping, other):
    """A call that waits for a pool raises PoolClosed when the Pool is closed and opened again as another one."""
    pool = bp.Pool(64, 1)
    block = pool.allocate()
    waiter = other.submit(pool.allocate, timeout=60)
    bookkeeping(pool).await_waiting()
    pool.close()
    pool.__init__(64, 1)
    with pytest.raises(bp.PoolClosed):
        waiter.result(60)
    assert pool.stats().allocated == 0
    block.free()


def test_dropping_the_pool_while_waiting(bookkeeping, other):
    """A waiting call gets its block even if the Pool object was dropped meanwhile."""
    pool = bp.Pool(64, 1)
    words = bookkeeping(pool)
    kept = pool.allocate()
    waiter = other.submit(pool.allocate, timeout=None)
    words.await_waiting()
    del pool
    kept.free()
    block = waiter.result(60)
    assert block.pool.blocks == 1
    block.free()


def test_every_waiter_gets_its_turn(pool, bookkeeping, other):
    """When four calls wait and four blocks come back one by one, each call gets one."""
    kept = pool.allocate_many(16)
    waiters = [other.submit(pool.allocate, timeout=60) for _ in range(4)]
    bookkeeping(pool).await_waiting(4)
    for _ in range(4):
        kept.pop().free()
    blocks = [waiter.result(60) for waiter in waiters]
    assert len({block.index for block in blocks}) == 4
    assert pool.stats().failures == 0


def test_waiting_for_a_view(pool, bookkeeping, other):
    """A waiting call gets the memory of a released block when its last view goes."""
    block = pool.allocate(blocks=16)
    view = block.buf
    block.release()
    waiter = other.submit(pool.allocate, blocks=16, timeout=None)
    bookkeeping(pool).await_waiting()
    del view
    waiter.result(60).free()


@pytest.mark.parametrize(
    "call",
    ["allocate(timeout=None)", "allocate(blocks=2, timeout=60)", "allocate_many(2, timeout=None)"],
)
@pytest.mark.usefixtures("bookkeeping")  # the program looks there
def test_ctrl_c_ends_the_wait(run_program, call):
    """Ctrl-C interrupts a waiting call of the main thread, and the pool stays as it was."""
    assert run_program("private/interrupted_wait.py", call) == "interrupted\n"


def test_a_signal_handler_may_give_room(run_program):
    """A signal handler that runs during a wait can itself free what the call waits for."""
    assert run_program("private/handler_gives_room.py") == "<blockpool.Block 0, blocks=1, nbytes=64>\n"


def test_freeing_from_a_gc_callback(pool):
    """A full pool uses room that a finalizer makes while it collects garbage."""

    class Owner:
        def __init__(self):
            self.me = self
            self.block = pool.allocate(blocks=16)

        def __del__(self):
            self.block.free()

    Owner()
    block = pool.allocate()
    assert block.index == 0
    assert threading.active_count() >= 1


@pytest.mark.parametrize("kind", ["private", "shared"])
@pytest.mark.parametrize("disturbed", [False, True])
def test_what_becomes_garbage_during_the_wait_is_found(other, kind, disturbed):
    """A block that becomes garbage during a wait is found, even while other blocks come and go all the time."""
    pool = bp.Pool(64, 2) if kind == "private" else bp.Pool.create(64, 2)
    held, collected, done = threading.Event(), threading.Event(), threading.Event()

    def count(phase, info):
        if phase == "stop" and info["generation"] == 2:
            collected.set()

    def hold():
        cycle = [pool.allocate()]
        cycle.append(cycle)
        held.set()
        assert collected.wait(60)

    def disturb():
        while disturbed and not done.is_set():
            with suppress(bp.PoolExhausted), pool.allocate():  # unless the call that waits has got both
                time.sleep(0.001)

    gc.disable()
    try:
        collect_quickly()
        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        others = threading.Thread(target=disturb)
        others.start()
        gc.callbacks.append(count)
        waiter = other.submit(pool.allocate, blocks=2, timeout=None)
        try:
            if not disturbed:
                assert waiter.result(60).blocks == 2
            else:
                holder.join()
                deadline = time.monotonic() + 60
                while pool.stats().allocated > 1 and not waiter.done():
                    assert time.monotonic() < deadline
                    time.sleep(0.001)
        finally:
            gc.callbacks.remove(count)
            done.set()
            others.join()
        assert waiter.result(60).blocks == 2
    finally:
        gc.enable()


def test_a_long_wait_collects_now_and_then(pool):
    """A waiting call collects garbage at growing intervals: at most five times in two seconds."""
    kept = pool.allocate(blocks=16)
    collections = []

    def count(phase, info):
        if phase == "start" and info["generation"] == 2:
            collections.append(info)

    gc.disable()
    gc.callbacks.append(count)
    try:
        with pytest.raises(bp.PoolExhausted):
            pool.allocate(timeout=1.9)
    finally:
        gc.callbacks.remove(count)
        gc.enable()
    assert 1 <= len(collections) <= 5
    kept.free()
