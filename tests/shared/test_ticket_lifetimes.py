"""Tickets that end: a lifetime for a pool and for a ticket; who drops what has ended, and what stays."""

import asyncio
import logging
import math
import os
import pickle
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import blockpool as bp
from blockpool import _core
from endings import pass_time

LONG = 1000  # seconds: no test takes so long


@pytest.fixture
def lasting(pool_name):
    """Make a shared pool of 8 blocks of 4 KiB whose tickets live LONG, and audit its bookkeeping after the test."""
    made = bp.Pool.create("4KiB", 8, name=pool_name, ticket_lifetime=LONG)
    yield made
    made.check()
    assert made.stats().tickets == 0
    made.close()


def fill_with_tickets(pool):
    """Put all blocks of the pool in flight, and keep none; return the tickets."""
    return [block.share() for block in pool.allocate_many(pool.stats().free)]


def ends_of(pool):
    """Return when the tickets of each run end."""
    return [run.ticket_ends for run in pool.runs()]


# --- a lifetime ---


@pytest.mark.parametrize("lifetime", [None, 1, 0.25, 60, 1e9, np.float64(2.5), np.int32(7)])
def test_the_lifetime_of_a_pool_is_what_it_was_created_with(pool_name, peer, lifetime):
    """Every process that attaches the pool sees its lifetime; a private pool has none."""
    pool = bp.Pool.create("4KiB", 2, name=pool_name, ticket_lifetime=lifetime)
    assert pool.ticket_lifetime == lifetime
    assert peer(f"pool = bp.Pool.attach({pool_name!r}); pool.ticket_lifetime") == lifetime
    assert bp.Pool.create("4KiB", 2, name=pool_name, exist_ok=True, ticket_lifetime=5).ticket_lifetime == lifetime
    assert bp.Pool("4KiB", 2).ticket_lifetime is None
    with pytest.raises(TypeError, match=r"create one with Pool\.create"):
        bp.Pool("4KiB", 2, ticket_lifetime=1)


@pytest.mark.parametrize(
    ("lifetime", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (-0.0, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (1e9 + 1, ValueError),
        (10**400, ValueError),
        (-(10**400), ValueError),
        ("1", TypeError),
        (b"1", TypeError),
        (True, TypeError),
        (False, TypeError),
        ([], TypeError),
        (1j, TypeError),
    ],
)
def test_wrong_lifetimes(shared, unchanged, lifetime, error):
    """What is no lifetime is refused with its value and what to give, and changes nothing."""
    block = shared.allocate()
    with pytest.raises(error, match=r"^ticket_lifetime must be .*None"):
        bp.Pool.create("4KiB", 2, ticket_lifetime=lifetime)
    with unchanged(shared), pytest.raises(error, match=r"^lifetime must be .*None"):
        block.share(lifetime=lifetime)


def test_everything_in_flight_has_the_lifetime_of_the_pool(lasting):
    """Tickets and pickles of blocks, and what is sent of arrays, buffers and memory, end when the pool says."""
    block, array, readonly = lasting.allocate(), lasting.zeros(64, "u1"), False
    assert ends_of(lasting) == [None, None]
    for send in (
        block.share,
        lambda: pickle.dumps(block),
        lambda: pickle.dumps(block.readonly()),
        lambda: _core.send_block(block, []),
        lambda: _core.send_array(array, readonly, 1, []),
        lambda: _core.send_buffer(memoryview(array), readonly, 1, []),
        lambda: _core.send_memory(array.ctypes.data, array.nbytes, readonly, []),
    ):
        began = time.monotonic()
        assert send() is not None
        (end,) = (end for end in ends_of(lasting) if end is not None)
        assert LONG - (time.monotonic() - began) <= end <= LONG + 2
        assert lasting.recover(tickets_older_than=0).tickets == 1


def test_a_ticket_of_its_own_lifetime(lasting):
    """A ticket may live longer or shorter than others; those of one block end together, with the last."""
    block = lasting.allocate()
    began = time.monotonic()
    block.share(lifetime=10)
    (end,) = ends_of(lasting)
    assert 10 - (time.monotonic() - began) <= end <= 12
    block.share(2, lifetime=3 * LONG)
    block.share(lifetime=20)
    (end,) = ends_of(lasting)
    assert 3 * LONG - 60 <= end <= 3 * LONG + 2
    pass_time(lasting, 2 * LONG)
    assert lasting.recover().tickets == 0
    pass_time(lasting, 2 * LONG)
    assert lasting.recover() == bp.Recovered(processes=0, tickets=4)
    assert bytes(block.buf[:1]) == b"\0"


def test_a_lifetime_in_a_pool_without(shared):
    """In a pool without a lifetime a ticket may have one; a block with a ticket that has none keeps them all."""
    block, other = shared.allocate(), shared.allocate()
    assert shared.ticket_lifetime is None
    before = bp.inspect(shared).segment_bytes
    other.share()
    block.share(lifetime=0.001)
    assert bp.inspect(shared).segment_bytes == before + 4096
    other.share(lifetime=10)
    assert [end is None for end in ends_of(shared)] == [False, True]
    pass_time(shared, LONG)
    assert shared.recover() == bp.Recovered(processes=0, tickets=1)
    assert shared.stats().tickets == 2
    block.share(lifetime=10)
    block.share()
    pass_time(shared, LONG)
    assert shared.recover() == bp.Recovered(processes=0, tickets=0)
    assert shared.recover(tickets_older_than=0) == bp.Recovered(processes=0, tickets=4)


def test_no_memory_for_the_first_lifetime(run_in_small_shm):
    """With a full /dev/shm, the first lifetime in a pool raises PoolExhausted and leaves nothing in flight."""
    assert run_in_small_shm("shared/small_shm.py", 8, "lifetime_without_room") == "well\n"


def test_prefault_with_a_lifetime(pool_name):
    """A pool with a lifetime may be mapped in advance."""
    pool = bp.Pool.create("4KiB", 8, name=pool_name, ticket_lifetime=LONG, prefault=True)
    assert Path(f"/dev/shm/blockpool.{pool_name}").stat().st_blocks * 512 == bp.inspect(pool).segment_bytes  # noqa: S108


# --- who drops it ---


@pytest.mark.parametrize(
    "ask",
    [
        lambda pool: [pool.allocate()],
        lambda pool: [pool.allocate(blocks=8)],
        lambda pool: pool.allocate_many(8),
        lambda pool: [pool.allocate(nbytes=8 * 4096, timeout=60)],
        lambda pool: [pool.zeros(4096, "u1")],
        lambda pool: [asyncio.run(pool.allocate_async())],
    ],
)
def test_an_allocation_that_finds_no_room_drops_what_has_ended(lasting, ask):
    """No sooner than their end, and without a call of recover, room comes back from tickets that nobody redeems."""
    fill_with_tickets(lasting)
    with pytest.raises(bp.PoolExhausted):
        lasting.allocate()
    pass_time(lasting, LONG - 100)
    with pytest.raises(bp.PoolExhausted):
        lasting.allocate()
    assert lasting.stats().tickets == 8
    pass_time(lasting, LONG)
    got = ask(lasting)
    assert lasting.stats().tickets == 0
    del got


def test_a_pool_that_is_not_full_keeps_what_has_ended(lasting):
    """Until somebody needs the room, a ticket is good after its end."""
    ticket = lasting.allocate().share()
    pass_time(lasting, 2 * LONG)
    with lasting.allocate(blocks=7), bp.redeem(ticket) as block:
        assert block.nbytes == 4096
    assert lasting.stats().allocated == 0


@pytest.mark.parametrize("way", ["allocate", "allocate_async"])
def test_a_wait_ends_when_a_ticket_does(lasting, await_a_wait, way):
    """A call that waits for room gets it when the next ticket ends, though nobody frees anything."""
    fill_with_tickets(lasting)
    got = []
    calls = {
        "allocate": lambda: got.append(lasting.allocate(timeout=60)),
        "allocate_async": lambda: got.append(asyncio.run(lasting.allocate_async(timeout=60))),
    }
    thread = threading.Thread(target=calls[way])
    thread.start()
    await_a_wait(lasting)
    pass_time(lasting, 2 * LONG)
    thread.join(60)
    assert len(got) == 1


def test_a_wait_in_real_time(pool_name):
    """Without any help, a wait for room ends some seconds after a ticket was lost."""
    pool = bp.Pool.create("4KiB", 2, name=pool_name, ticket_lifetime=0.1)
    fill_with_tickets(pool)
    with pool.allocate(blocks=2, timeout=60):
        assert pool.stats().tickets == 0


def test_recover_drops_what_has_ended(lasting):
    """Recover drops it at once, also with an age that is not reached."""
    for age in (None, LONG):
        ticket = lasting.allocate().share(3)
        assert lasting.recover(tickets_older_than=age) == bp.Recovered(processes=0, tickets=0)
        pass_time(lasting, 2 * LONG)
        assert lasting.recover(tickets_older_than=age) == bp.Recovered(processes=0, tickets=3)
        with pytest.raises(bp.StaleHandle):
            bp.redeem(ticket)


def test_what_was_dropped_is_logged(lasting, caplog):
    """The log tells, at INFO, how many tickets ended and how many blocks came back; those of an age are told apart."""
    caplog.set_level(logging.DEBUG, "blockpool")
    held = lasting.allocate()
    held.share(2)
    fill_with_tickets(lasting)
    pass_time(lasting, 2 * LONG)
    lasting.allocate().share()
    lasting.recover(tickets_older_than=0)
    ended, dropped = (r for r in caplog.records if r.blockpool_event in ("tickets_ended", "tickets_dropped"))
    assert (ended.levelno, ended.blockpool_event) == (logging.INFO, "tickets_ended")
    assert (ended.blockpool_tickets, ended.blockpool_blocks, ended.blockpool_pool) == (9, 7, lasting.name)
    assert ended.getMessage().endswith("lifetime of 9 tickets was over, and they were dropped; 7 blocks came back")
    assert (dropped.blockpool_event, dropped.blockpool_tickets) == ("tickets_dropped", 1)


# --- receivers ---


def test_a_ticket_is_redeemed_after_its_end_while_its_block_lives(lasting):
    """A dropped ticket is like a handle: it gives the block as long as something holds it, and is stale afterwards."""
    block = lasting.allocate()
    ticket = block.share()
    pass_time(lasting, 2 * LONG)
    assert lasting.recover().tickets == 1
    bp.redeem(ticket).release()
    block.free()
    with pytest.raises(
        bp.StaleHandle, match=r"was freed, perhaps because the lifetime of the ticket was over; .* longer"
    ):
        bp.redeem(ticket)


def test_without_lifetimes_nothing_is_said_of_them(shared):
    """A stale handle of a pool in which nothing ends is explained as before."""
    block = shared.allocate()
    handle = block.handle
    block.free()
    with pytest.raises(bp.StaleHandle) as raised:
        bp.redeem(handle)
    assert "lifetime" not in str(raised.value)


def test_a_receiver_that_is_killed_with_its_messages(lasting, peer):
    """What is in the pipe of a killed process comes back to a call that waits for room."""
    peer(f"pool = bp.Pool.attach({lasting.name!r}); messages = {[pickle.dumps(b) for b in lasting.allocate_many(8)]!r}")
    peer.kill()
    with pytest.raises(bp.PoolExhausted, match="8 held only by tickets"):
        lasting.allocate()
    pass_time(lasting, 2 * LONG)
    with lasting.allocate(blocks=8, timeout=60):
        pass


def test_the_crashes_of_an_executor_leave_nothing_in_flight(run_program):
    """Workers that crash again and again with tasks queued for them use up no pool whose tickets end."""
    assert run_program("shared/crash_an_executor.py") == "well\n"


def test_a_forked_child_makes_tickets_that_end(lasting):
    """A child has its parent's pool with its lifetime, and what it sends ends after its death."""
    block = lasting.allocate()
    child = os.fork()
    if child == 0:
        block.share(2)
        lasting.allocate().share()
        os._exit(lasting.ticket_lifetime != LONG)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert lasting.recover().tickets == 0
    pass_time(lasting, 2 * LONG)
    assert lasting.recover().tickets == 3
    assert lasting.stats().allocated == 1


def test_a_process_that_dies_sharing_leaves_tickets_that_end(lasting, peer):
    """The tickets of a killed sender end like all others; its recovery does not drop them."""
    peer(f"pool = bp.Pool.attach({lasting.name!r}); [block.share() for block in pool.allocate_many(8)]")
    peer.kill()
    assert lasting.recover() == bp.Recovered(processes=1, tickets=0)
    pass_time(lasting, 2 * LONG)
    with lasting.allocate(blocks=8):
        assert lasting.stats().tickets == 0


def test_a_queue_keeps_what_waits_in_it(lasting):
    """A message keeps its blocks however long it waits, one that is in two messages too."""
    queue = lasting.queue("waiting", capacity=4)
    array = lasting.zeros(4096, "u1")
    array[:] = 7
    queue.put(array)
    queue.put(array)
    del array
    fill_with_tickets(lasting)
    pass_time(lasting, 2 * LONG)
    assert len(lasting.allocate_many(7)) == 7
    assert lasting.recover().tickets == 0
    for _ in range(2):
        assert queue.get().tolist() == [7] * 4096
    assert lasting.stats().tickets == 0


# --- what PoolExhausted says ---


def refusal(pool):
    """Return why all blocks of the pool cannot be had."""
    with pytest.raises(bp.PoolExhausted) as raised:
        pool.allocate(blocks=pool.blocks)
    return str(raised.value)


def test_a_full_pool_says_when_the_next_tickets_end(lasting):
    """PoolExhausted tells how many blocks only tickets hold, how old the oldest is, and when the next end."""
    fill_with_tickets(lasting)
    pass_time(lasting, LONG - 600)
    said = refusal(lasting)
    (seconds,) = re.findall(r"8 held only by tickets \(oldest \d+ s; the next end in (\d+) s\); free some", said)
    assert 500 < int(seconds) <= 602  # the machine may be busy
    assert "ticket_lifetime" not in said
    assert lasting.recover(tickets_older_than=0).tickets == 8


def test_a_full_pool_says_that_tickets_never_end(shared):
    """Where tickets have no lifetime, it says so, and how to give them one."""
    kept = shared.allocate()
    kept.share()  # held by this process too, so not by its ticket alone
    fill_with_tickets(shared)
    said = refusal(shared)
    assert "15 held only by tickets (oldest " in said
    assert " s; they never end); " in said
    assert "let tickets end by themselves (Pool.create(ticket_lifetime=seconds))" in said


def test_a_full_pool_tells_tickets_that_end_from_others(shared):
    """With both kinds, it says how many blocks those hold that never end."""
    for lifetime in (None, None, 600, 900):
        shared.allocate().share(lifetime=lifetime)
    said = refusal(shared)
    assert "4 held only by tickets (oldest " in said
    (seconds,) = re.findall(r"; the next end in (\d+) s, those of 2 blocks never\); ", said)
    assert 500 < int(seconds) <= 602
    assert "Pool.create(ticket_lifetime=seconds)" in said
