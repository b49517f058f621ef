"""Handles and tickets of shared blocks: what they keep, and what redeeming them gives."""

import copy
import os
import pickle
import threading
import time

import pytest

import blockpool as bp


# --- handles ---
def test_a_handle_takes_nothing(shared, unchanged):
    """Making, copying, pickling and dropping a handle changes nothing in the pool."""
    block = shared.allocate(nbytes=5)
    with unchanged(shared):
        handle = block.handle
        assert (handle.index, handle.generation, handle.process, handle.name) == (
            0,
            1,
            os.getpid(),
            shared.name,
        )
        assert handle == block.handle == bp.Handle.parse(str(handle)) == pickle.loads(pickle.dumps(handle))
        assert hash(handle) == hash(copy.copy(handle))
        assert handle == bp.Handle.parse(bytes(handle)) == bp.Handle.parse(bytearray(bytes(handle)))
        assert repr(handle) == f"<{handle}>"
        assert handle != block.readonly().share
        del handle
    block.free()


def test_a_handle_is_redeemed_any_number_of_times(shared, peer):
    """While some process holds the run, a handle can be redeemed again and again, each time for one reference."""
    block = shared.allocate(nbytes=5000)
    block.buf[:2] = b"hi"
    text = str(block.handle)
    assert peer(f"many = [bp.redeem({text!r}) for _ in range(10)]; [bytes(b.buf[:2]) for b in many]") == [b"hi"] * 10
    assert peer("many[3].blocks, many[3].nbytes, many[3].index") == (2, 5000, 0)
    here = [bp.redeem(form) for form in (block.handle, text, text.encode(), bytearray(text, "ascii"))]
    assert shared.runs() == [bp.Run(0, 2, 5000, (os.getpid(), peer.pid), 0)]
    del here
    block.release()
    assert peer("del many[1:]; many[0].free()") is None
    assert shared.stats().allocated == 0


def test_a_handle_of_a_freed_run_is_stale(shared, peer):
    """Redeeming a handle or ticket of a freed run is StaleHandle in every process, and the pool is unharmed."""
    block = shared.allocate()
    handle, ticket = block.handle, block.share()
    bp.redeem(ticket).release()
    block.free()
    for name in (handle, ticket, str(handle), bytes(ticket)):
        with pytest.raises(bp.StaleHandle, match="was freed"):
            bp.redeem(name)
    with pytest.raises(bp.StaleHandle):
        peer(f"bp.redeem({str(handle)!r})")
    with pytest.raises(bp.InvalidBlock):
        block.handle
    with pytest.raises(bp.InvalidBlock):
        block.share()
    assert shared.check().allocated == 0


def test_a_stale_handle_never_gives_other_data(shared, peer):
    """A stale handle stays stale when its block is allocated again, alone, inside a run or as another head."""
    handles = []
    for round_ in range(50):
        blocks = [shared.allocate(blocks=1 + round_ % 3) for _ in range(4)]
        for block in blocks:
            block.buf[:8] = round_.to_bytes(8, "little")
            handles.append((str(block.handle), round_))
        del blocks, block
    kept = [shared.allocate(blocks=2) for _ in range(8)]
    for text, _ in handles:
        with pytest.raises(bp.StaleHandle):
            bp.redeem(text)
    texts = [text for text, _ in handles]
    assert peer(f"from shared.peer_work import count_stale; count_stale({texts!r})") == len(texts)
    assert [run.holders for run in shared.runs()] == [(os.getpid(),)] * 8
    assert shared.check().allocated == 16
    del kept


def test_redeeming_while_the_run_goes(shared, peer):
    """Handles of runs that are freed and reallocated all the time are stale or right, never another run's data."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    peer("from shared.peer_work import Redeemer; redeemer = Redeemer()")
    for round_ in range(300):
        block = shared.allocate(blocks=1 + round_ % 2)
        block.buf[:8] = round_.to_bytes(8, "little")
        peer(f"redeemer.seen.append(({str(block.handle)!r}, {round_.to_bytes(8, 'little')!r}))")
        block.release()
        del block
    outcomes = peer("redeemer.await_rounds(2); redeemer.stop(); redeemer.outcomes")  # the second has stale ones alone
    assert outcomes["WRONG"] == 0
    assert outcomes["stale"] > 0
    assert shared.check().allocated == 0


# --- tickets ---
def test_a_ticket_keeps_the_run(shared, peer):
    """A ticket keeps its run after the sender's last reference is gone; redeemed and freed, the run is gone."""
    block = shared.allocate(blocks=2)
    block.buf[:2] = b"go"
    ticket = block.share()
    assert isinstance(ticket, bp.Ticket)
    block.release()
    assert shared.runs() == [bp.Run(0, 2, 8192, (), 1)]
    peer(f"got = bp.redeem({str(ticket)!r})")
    assert peer("bytes(got.buf[:2])") == b"go"
    assert shared.runs() == [bp.Run(0, 2, 8192, (peer.pid,), 0)]
    peer("got.free()")
    assert shared.stats().allocated == 0


def test_a_ticket_redeemed_twice(shared):
    """A ticket redeemed a second time acts as a handle: a block while some process holds the run, then StaleHandle."""
    ticket = shared.allocate().share()
    first = bp.redeem(ticket)
    second = bp.redeem(ticket)
    assert shared.stats().tickets == 0
    first.release()
    assert shared.stats().allocated == 1
    second.release()
    with pytest.raises(bp.StaleHandle):
        bp.redeem(ticket)


def test_tickets_of_one_run_are_not_told_apart(shared):
    """Redeeming one ticket twice uses up another of that run; the run is still freed with the last reference."""
    block = shared.allocate()
    one, other = block.share(), block.share()
    assert one == other
    kept = [bp.redeem(one), bp.redeem(one)]
    assert shared.stats().tickets == 0
    kept.append(bp.redeem(other))
    block.release()
    del kept
    assert shared.stats().allocated == 0


def test_many_tickets_in_one(shared):
    """Calling `share(n)` gives one ticket that can be redeemed n times."""
    block = shared.allocate()
    ticket = block.share(3)
    block.release()
    for left in (2, 1, 0):
        assert shared.stats().tickets == left + 1
        bp.redeem(ticket).release()
    assert shared.stats().allocated == 0


def test_too_many_tickets(shared, unchanged):
    """A run has at most 8,191 tickets in flight; one more is TooManyTickets and changes nothing.

    Other runs have a count of their own.
    """
    block, other = shared.allocate(), shared.allocate()
    block.share(8191)
    with unchanged(shared):
        for n in (1, 2, 8191, 8192, 2**64, 2**100):
            with pytest.raises(bp.TooManyTickets, match="8191 references to block 0"):
                block.share(n)
    other.share(8190)
    with pytest.raises(bp.TooManyTickets):
        other.share(2)
    other.share()
    assert shared.stats().tickets == 2 * 8191
    assert shared.recover(tickets_older_than=0).tickets == 2 * 8191
    block.free()
    other.free()


@pytest.mark.parametrize("n", [0, -1, 1.0, "1", None])
def test_share_of_no_count(shared, unchanged, n):
    """The count given to share must be a whole number of at least 1."""
    block = shared.allocate()
    with unchanged(shared), pytest.raises((ValueError, TypeError), match="n must be"):
        block.share(n)
    block.free()


@pytest.mark.parametrize(
    "share",
    [
        "block.share()",
        "block.__reduce_ex__(5)",
        "readonly.__reduce_ex__(5)",
        "_core.send_block(block, [])",
        "_core.send_array(array, False, 1, [])",
        "_core.send_buffer(view, False, 1, [])",
    ],
)
def test_memory_that_runs_short_while_a_reference_is_taken(run_program, share):
    """Wherever memory runs short in share or pickle, no reference stays in flight without its ticket."""
    pytest.importorskip("_testcapi", reason="_testcapi, which makes allocations fail, is not in this Python")
    run_program("shared/run_short_of_memory.py", share)


def test_a_receiver_that_dies_with_the_ticket(shared, peer):
    """Tickets of a dead receiver show in stats and in the error for a full pool; recover gives them back if told to."""
    blocks = shared.allocate_many(16)
    began = time.monotonic()
    peer(f"tickets = {[str(block.share()) for block in blocks[:5]]!r}")
    del blocks[:5]
    peer.kill()
    assert shared.recover() == bp.Recovered(processes=0, tickets=0)
    stats = shared.stats()
    assert (stats.allocated, stats.tickets) == (16, 5)
    assert 0 <= stats.oldest_ticket <= time.monotonic() - began + 1
    with pytest.raises(
        bp.PoolExhausted,
        match=r"0 of 16 free, longest run 0, 5 held only by tickets \(oldest \d+ s; they never end\); free some, .*"
        r"drop tickets whose receivers are gone \(recover\(tickets_older_than=seconds\)\), let tickets end .*, or make",
    ):
        shared.allocate()
    assert shared.recover(tickets_older_than=1000) == bp.Recovered(processes=0, tickets=0)
    assert shared.recover(tickets_older_than=0) == bp.Recovered(processes=0, tickets=5)
    assert (shared.stats().allocated, shared.stats().oldest_ticket) == (11, None)
    assert len(shared.allocate_many(5)) == 5


@pytest.mark.parametrize("kind", ["private", "shared"])
def test_wrong_ages_of_tickets(request, kind):
    """An age of tickets is any number of seconds from 0 on; the error for anything else names the argument."""
    pool = request.getfixturevalue("pool" if kind == "private" else "shared")
    for wrong in ("old", b"1", [1]):
        with pytest.raises(TypeError, match="tickets_older_than must be a number of seconds, not"):
            pool.recover(tickets_older_than=wrong)
    for wrong in (-1, float("nan"), -(10**400)):
        with pytest.raises(ValueError, match="tickets_older_than must be 0 or more seconds, not"):
            pool.recover(tickets_older_than=wrong)
    for right in (0.5, True, 10**400, float("inf")):
        assert pool.recover(tickets_older_than=right) == bp.Recovered(processes=0, tickets=0)


def test_dropping_tickets_leaves_what_is_held(shared):
    """Dropping a run's tickets leaves its holders alone, and afterwards each ticket acts as a handle."""
    block = shared.allocate()
    block.buf[0] = 7
    ticket = block.share(4)
    assert shared.recover(tickets_older_than=0).tickets == 4
    assert bp.redeem(ticket).buf[0] == 7
    block.free()


def test_threads_share_and_redeem(shared):
    """When many threads make and redeem tickets of one run, the count of references comes out even."""
    block = shared.allocate(blocks=2)

    def work():
        for _ in range(200):
            ticket = block.share()
            got = bp.redeem(ticket)
            handle = bp.redeem(block.handle)
            pickle.loads(pickle.dumps(got)).release()
            got.release()
            del handle

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert shared.runs() == [bp.Run(0, 2, 8192, (os.getpid(),), 0)]
    block.free()


@pytest.mark.parametrize("name", ["classic", "multiprocessing", "shared_memory"])
def test_modules_are_imported_by_name(run_program, name):
    """The error for a module of the package that was not imported says how to import it."""
    said = run_program("shared/take_a_module_for_an_attribute.py", name)
    assert said == f"blockpool.{name} is a module; import blockpool.{name}\n"
