"""Passing blocks on: handles, tickets, redeeming, pickling, and what `free` says while others have a part."""

import copy
import gc
import os
import pickle
import random
import re
import threading

import numpy as np
import pytest

import blockpool as bp
from blockpool._handles import find_descriptor

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
    outcomes = peer("redeemer.stop(); redeemer.outcomes")
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
    run_program("shared/run_short_of_memory.py", share)


def test_a_receiver_that_dies_with_the_ticket(shared, peer):
    """Tickets of a dead receiver show in stats and in the error for a full pool; recover gives them back if told to."""
    blocks = shared.allocate_many(16)
    peer(f"tickets = {[str(block.share()) for block in blocks[:5]]!r}")
    del blocks[:5]
    peer.kill()
    assert shared.recover() == bp.Recovered(processes=0, tickets=0)
    stats = shared.stats()
    assert (stats.allocated, stats.tickets) == (16, 5)
    assert 0 <= stats.oldest_ticket < 30
    with pytest.raises(
        bp.PoolExhausted,
        match=r"0 of 16 free, longest run 0, 5 held only by tickets \(oldest \d+ s\); free some, .*"
        r"drop tickets whose receivers are gone \(recover\(tickets_older_than=seconds\)\), or make",
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


# --- free ---


def test_free_while_another_process_holds_it(shared, peer, unchanged):
    """Freeing a block that another process holds is BlockInUse with that process's number, until it lets go."""
    block = shared.allocate()
    peer(f"held = bp.redeem({str(block.handle)!r})")
    with (
        unchanged(shared),
        pytest.raises(bp.BlockInUse, match=f"still used by process {peer.pid};"),
    ):
        block.free()
    with pytest.raises(bp.BlockInUse, match=f"process {os.getpid()};"):
        peer("held.free()")
    block.buf[0] = 1
    peer("held.release()")
    block.free()
    with pytest.raises(bp.DoubleFree):
        block.free()


def test_free_while_several_use_it(shared, peers, unchanged):
    """The error for freeing a run in use names all processes that hold it, and says how many tickets are in flight."""
    one, other = peers(), peers()
    block = shared.allocate(blocks=2)
    for each in (one, other):
        each(f"held = bp.redeem({str(block.handle)!r})")
    block.share()
    with unchanged(shared), pytest.raises(bp.BlockInUse) as caught:
        block.free()
    assert re.search(f"processes {one.pid}, {other.pid}, 1 ticket in flight", str(caught.value)), caught.value
    assert "the run of 2 blocks at 0" in str(caught.value)
    one("held.release()")
    other("held.release()")
    shared.recover(tickets_older_than=0)
    block.free()


def test_free_with_a_ticket_in_flight(shared, unchanged):
    """The error for freeing a block with tickets in flight says how many there are."""
    block = shared.allocate()
    block.share(2)
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="2 tickets in flight"):
        block.free()
    block.release()
    assert shared.stats().allocated == 1
    shared.recover(tickets_older_than=0)


def test_free_with_another_block_here(shared, unchanged):
    """A redeemed block, a read-only twin and a view in the same process each keep a block from being freed."""
    block = shared.allocate()
    again = bp.redeem(block.handle)
    with (
        unchanged(shared),
        pytest.raises(bp.BlockInUse, match="1 other Block redeemed in this process"),
    ):
        block.free()
    again.release()
    twin = block.readonly()
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="1 user: 1 read-only Block"):
        block.free()
    twin.release()
    view = block.buf
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="view"):
        block.free()
    del view
    block.free()
    assert shared.stats().allocated == 0


def test_a_double_free_has_one_owner_only(shared, peers):
    """Of two processes that hold a block, neither can free it while the other does; a second free is DoubleFree."""
    one, other = peers(), peers()
    block = shared.allocate()
    ticket = str(block.share(2))
    block.release()
    one(f"block = bp.redeem({ticket!r})")
    other(f"block = bp.redeem({ticket!r})")
    for each in (one, other):
        with pytest.raises(bp.BlockInUse):
            each("block.free()")
    one("block.release()")
    other("block.free()")
    with pytest.raises(bp.DoubleFree):
        other("block.free()")
    one("block.release()")
    kept = shared.allocate_many(16)
    assert len({each.index for each in kept}) == 16
    assert shared.check().allocated == 16


def test_the_end_of_with(shared):
    """A shared block is released at the end of `with`, even with a ticket in flight, unless it has a second name."""
    with shared.allocate() as block:
        ticket = block.share()
    with pytest.raises(bp.InvalidBlock):
        block.buf
    assert shared.stats().allocated == 1
    with bp.redeem(ticket) as got:
        got.buf[0] = 1
    assert shared.stats().allocated == 0
    with shared.allocate():
        assert shared.stats().allocated == 1
    assert shared.stats().allocated == 0
    with shared.allocate() as block:
        kept = [block]
    assert kept[0].buf[0] == 1
    kept.pop().free()


def test_the_end_of_with_after_pickling(shared):
    """A block pickled inside `with` is released at its end, and the pickle still gives its data."""
    with shared.allocate(nbytes=3) as block:
        block.buf[:] = b"abc"
        data = pickle.dumps(block)
    with pytest.raises(bp.InvalidBlock):
        block.buf
    assert bytes(pickle.loads(data).buf) == b"abc"
    assert shared.stats().allocated == 0


# --- pickling ---


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_block_through_pickle(shared, protocol):
    """A pickled block arrives with the same memory and nbytes, and takes one ticket until then."""
    block = shared.allocate(nbytes=5000)
    block.buf[:] = bytes(range(250)) * 20
    data = pickle.dumps(block, protocol)
    assert len(data) < 250
    assert shared.stats().tickets == 1
    got = pickle.loads(data)
    assert (got.index, got.blocks, got.nbytes, got.pool) == (0, 2, 5000, shared)
    assert bytes(got.buf) == bytes(range(250)) * 20
    assert got.address == block.address
    assert shared.stats().tickets == 0


def test_readonly_through_pickle(shared, peer):
    """A read-only block arrives read-only through pickle, and leaves nothing behind."""
    block = shared.allocate(nbytes=4)
    block.buf[:] = b"look"
    data = pickle.dumps(block.readonly())
    peer(f"got = pickle.loads({data!r})")
    assert peer("got.buf.readonly, bytes(got.buf), got.nbytes, '(read-only)' in repr(got)") == (
        True,
        b"look",
        4,
        True,
    )
    with pytest.raises(TypeError):
        peer("got.buf[0] = 1")
    data = peer("pickle.dumps(got)")
    again = pickle.loads(data)
    assert again.buf.readonly
    again.release()
    peer("got.release()")
    block.free()


def test_many_forms_of_pickling(shared):
    """A block can be pickled inside a structure, twice in one pickle, and one pickle can be loaded twice."""
    block = shared.allocate()
    block.buf[:2] = b"ok"
    structure = pickle.loads(pickle.dumps({"a": [block, block], "b": (block.readonly(), block)}))
    assert structure["a"][0] is structure["a"][1] is structure["b"][1]
    assert bytes(structure["b"][0].buf[:2]) == b"ok"
    data = pickle.dumps(block)
    twice = [pickle.loads(data), pickle.loads(data)]
    del structure, twice
    block.free()
    with pytest.raises(bp.StaleHandle):
        pickle.loads(data)
    assert shared.check().allocated == 0


def test_copies_are_refused(shared, unchanged):
    """Copying a block is a TypeError that names readonly instead, and leaves no ticket."""
    block = shared.allocate()
    with unchanged(shared):
        for call in (copy.copy, copy.deepcopy, lambda one: copy.deepcopy([{"k": one}])):
            with pytest.raises(TypeError, match=r"cannot be copied.*readonly"):
                call(block)
    block.free()


def test_a_released_block_is_not_pickled(shared, unchanged):
    """Pickling a released block is InvalidBlock, like any use of it."""
    block = shared.allocate()
    block.release()
    with unchanged(shared), pytest.raises(bp.InvalidBlock):
        pickle.dumps(block)


def test_private_blocks_do_not_travel(pool):
    """The handle, share and pickle of a private block, and the pickle of a private pool, are TypeErrors."""
    block = pool.allocate()
    for call in (
        block.share,
        lambda: block.handle,
        lambda: pickle.dumps(block),
        lambda: pickle.dumps(pool),
    ):
        with pytest.raises(TypeError, match="private pool"):
            call()
    block.free()


def test_a_pool_through_pickle(shared, peer):
    """A pickled pool attaches where it arrives, or shares the mapping that is there."""
    again = pickle.loads(pickle.dumps(shared))
    assert (again.address, again.name) == (shared.address, shared.name)
    assert copy.copy(shared).address == shared.address
    assert peer(f"pool = pickle.loads({pickle.dumps(shared)!r}); pool.name, pool.blocks") == (
        shared.name,
        16,
    )
    shared.unlink()
    assert peer(f"pickle.loads({pickle.dumps(shared)!r}).address == pool.address")
    unnamed = bp.Pool.create(64, 8)
    assert peer(f"other = pickle.loads({pickle.dumps(unnamed)!r}); other.name, other.blocks") == (
        None,
        8,
    )
    assert unnamed.stats().processes == 2


def test_numpy_arrays_over_a_redeemed_block(shared, peer):
    """Arrays over one block in two processes share their data, and the block lives until the last of them is gone."""
    block = shared.allocate(nbytes=800)
    here = np.ndarray((100,), "i8", buffer=block.buf)
    peer("import numpy as np")
    peer(f"array = np.ndarray((100,), 'i8', buffer=bp.redeem({str(block.handle)!r}).buf); array[:] = range(100)")
    assert here.sum() == 4950
    with pytest.raises(bp.BlockInUse):
        block.free()
    block.release()
    del here
    assert [run.holders for run in shared.runs()] == [(peer.pid,)]
    peer("array = None")
    assert shared.stats().allocated == 0


# --- the pool is elsewhere, or gone ---


def test_the_sender_ends_first(pool_name, peers):
    """After its sender ended, a ticket is good while another process has the pool, and PoolNotFound afterwards."""
    sender, other = peers(), peers()
    sender(f"pool = bp.Pool.create(64, 8, name={pool_name!r}); block = pool.allocate(); block.buf[:3] = b'abc'")
    tickets = [sender("str(block.share())") for _ in range(2)]
    other(f"pool = bp.Pool.attach({pool_name!r})")
    sender.end()
    block = bp.redeem(tickets[0])
    assert bytes(block.buf[:3]) == b"abc"
    del block
    other.end()
    gc.collect()
    with pytest.raises(bp.PoolNotFound):
        bp.redeem(tickets[1])


def test_the_last_sender_of_a_permanent_pool(pool_name, peer):
    """A ticket of a permanent pool is good even when no process has the pool."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r}, permanent=True); block = pool.allocate(); block.buf[0] = 5")
    ticket = peer("str(block.share())")
    peer.end()
    with bp.redeem(ticket) as block:
        assert block.buf[0] == 5
        block.pool.unlink()


def test_a_pool_without_a_name_is_found(peers):
    """A pool without a name is found through the sender, or any process that has it, by block, ticket or handle."""
    sender, middle, last = peers(), peers(), peers()
    sender("pool = bp.Pool.create(64, 8); block = pool.allocate(nbytes=9); block.buf[:3] = b'abc'")
    data = sender("pickle.dumps(block)")
    ticket, handle = sender("str(block.share())"), sender("str(block.handle)")
    assert middle(f"got = pickle.loads({data!r}); bytes(got.buf[:3]), got.nbytes") == (b"abc", 9)
    sender.end()
    assert last(f"got = bp.redeem({ticket!r}); bytes(got.buf[:3]), got.pool.stats().processes") == (
        b"abc",
        2,
    )
    assert bp.redeem(handle).nbytes == 9
    middle("del got; gc.collect()")
    last("del got; gc.collect()")
    for text in (ticket, handle):
        with pytest.raises(bp.PoolNotFound, match="its last process ended"):
            bp.redeem(text)


def test_another_pool_has_the_name_now(pool_name):
    """A ticket of a pool that is gone does not reach a new pool of the same name: it is PoolNotFound."""
    pool = bp.Pool.create(64, 8, name=pool_name)
    ticket = pool.allocate().share()
    pool.unlink()
    del pool
    new = bp.Pool.create(64, 8, name=pool_name)
    new.allocate_many(8)
    with pytest.raises(bp.PoolNotFound, match="another one has its name"):
        bp.redeem(ticket)
    assert new.check().allocated == 0


def test_redeeming_attaches_and_leaves(pool_name, peer):
    """A process that only redeems a block is attached while it has that block."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r}); block = pool.allocate(blocks=2)")
    block = bp.redeem(peer("block.share()"))
    assert peer("pool.stats().processes") == 2
    assert (block.pool.name, block.pool.blocks) == (pool_name, 8)
    block.pool.allocate().free()
    del block
    assert peer("s = pool.stats(); s.processes, s.allocated") == (1, 2)


def test_the_pool_of_a_block_is_an_open_one(shared):
    """The pool of a block is an open Pool object while the process has one, and a closed one afterwards."""
    again = bp.Pool.attach(shared.name)
    block = shared.allocate()
    again.close()
    assert block.pool is shared
    del again
    assert block.pool is shared
    shared.close()
    assert block.pool.closed
    block.free()


def test_a_process_that_only_redeemed_forks(shared, peer):
    """A child of a process that only redeemed a block shares it as any child does, and the parent goes on."""
    block = shared.allocate()
    block.buf[:3] = b"abc"
    peer(f"got = bp.redeem({str(block.handle)!r})")
    assert (
        peer("""
        child = os.fork()
        if child == 0:
            os._exit(0 if bytes(got.buf[:3]) == b"abc" and got.pool.allocate().index else 1)
        os.waitpid(child, 0)[1]
    """)
        == 0
    )
    assert peer("got.pool.allocate().index") in {1, 2}
    peer("del got; gc.collect()")
    block.free()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_pool_of_another_user_is_not_found(run_program):
    """The error for a pool without a name that another user's process sent says whose process that is."""
    block = bp.Pool.create(64, 1).allocate()
    out = run_program("shared/redeem_as_another_user.py", str(block.handle))
    assert f"process {os.getpid()}, which sent it, is a process of user 0" in out
    assert "here 65534" in out


def test_a_pool_whose_sender_cannot_be_seen():
    """The error for a sender that cannot be seen says that it may have ended or be in another PID namespace."""
    unseen = bp.Handle("0" * 32, 0, 1, 2**22 + 1, None)
    with pytest.raises(bp.PoolNotFound, match=r"its last process ended.*PID namespace") as caught:
        bp.redeem(unseen)
    assert str(2**22 + 1) in str(caught.value)
    own = bp.Handle("0" * 32, 0, 1, os.getpid(), None)
    with pytest.raises(bp.PoolNotFound, match="the pool is gone: its last process ended") as caught:
        bp.redeem(own)
    assert "namespace" not in str(caught.value)


# --- what is no handle ---

GOOD = "blockpool-handle:0123456789abcdef0123456789abcdef:0:1:1:name"
BAD_TEXTS = [
    "",
    "blockpool",
    "name",
    GOOD + "\n",
    GOOD + " ",
    " " + GOOD,
    GOOD[:-5] + "na/me",
    GOOD[:-5] + "../../etc/passwd",
    GOOD.replace("handle", "Handle"),
    GOOD.replace("abcdef", "ABCDEF"),
    GOOD.replace(":0:1:", ":-1:1:"),
    GOOD.replace(":0:1:", ":0x0:1:"),
    GOOD.replace(":0:1:", ":٣:1:"),
    GOOD.replace(":0:1:", ":123456789:1:"),
    GOOD.replace(":0:1:", ":0:12345678901234:"),
    GOOD.replace(":1:name", ":12345678901:name"),
    GOOD.replace(":name", ""),
    GOOD * 2,
    GOOD + "x" * 200,
    "\0" * 40,
    "blockpool-ticket:" + ":" * 5,
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_text_that_is_no_handle(text):
    """Redeeming text that is not a handle or ticket is a ValueError, as str, bytes and memoryview."""
    for form in (text, text.encode(), memoryview(text.encode())):
        with pytest.raises(ValueError, match="not a handle or ticket"):
            bp.redeem(form)


@pytest.mark.parametrize("thing", [None, 5, 1.5, [], {}, object(), ("blockpool-handle",), 2**70, bp.Pool(64, 1)])
def test_things_that_are_no_handle(thing):
    """Redeeming an object that is neither a handle nor text is a TypeError."""
    with pytest.raises(TypeError, match="must be one, or its str or bytes"):
        bp.redeem(thing)


def test_handles_of_nothing(shared, unchanged):
    """A well-formed handle of a free block, one past the end, one inside a run or another generation is StaleHandle."""
    run = shared.allocate(blocks=3)
    prefix = str(run.handle).split(":")[1]
    with unchanged(shared):
        for index, generation in [
            (0, 0), (0, 2), (0, 2**40), (0, 2**40 + 1), (0, 10**13 - 1), (1, 1), (1, 0), (2, 1), (3, 0), (3, 1),
            (15, 0), (16, 0), (16, 1), (2**24 - 1, 1), (2**24, 0), (10**8 - 1, 1),
        ]:  # fmt: skip
            for kind in ("handle", "ticket"):
                with pytest.raises(bp.StaleHandle):
                    bp.redeem(f"blockpool-{kind}:{prefix}:{index}:{generation}:1:{shared.name}")
    run.free()


def test_handles_of_no_pool(shared, unchanged):
    """A well-formed handle of an unknown pool, name or process is PoolNotFound."""
    block = shared.allocate()
    with unchanged(shared):
        for text in (
            GOOD,
            GOOD.replace(":name", f":{shared.name}"),
            GOOD.replace(":name", ":"),
            GOOD.replace(":1:name", ":9999999999:"),
            GOOD.replace(":1:name", ":0:"),
            GOOD.replace(":name", ":" + "." * 180),
        ):
            with pytest.raises(bp.PoolNotFound):
                bp.redeem(text)
    block.free()


def test_handles_by_chance(shared, unchanged):
    """A handle with characters changed at random gives a typed error or its block, and changes nothing."""
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chosen = random.Random(seed)
    block = shared.allocate(blocks=2)
    good = str(block.handle)
    with unchanged(shared):
        for _ in range(2000):
            text = list(good)
            for _ in range(chosen.randrange(1, 4)):
                text[chosen.randrange(len(text))] = chosen.choice("0123456789abcdef:-. \0é/")
            try:
                got = bp.redeem("".join(text))
            except (bp.StaleHandle, bp.PoolNotFound, ValueError):
                continue
            assert got.index == 0
            got.release()
        for _ in range(2000):
            with pytest.raises(ValueError):
                bp.redeem(chosen.randbytes(chosen.randrange(100)))
    block.free()


# --- in threads ---


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


def test_the_memory_of_a_pool_without_a_name_is_found_among_files_that_come_and_go():
    """A pool without a name is found though another file of the process is closed during the search."""
    below = os.open(os.devnull, os.O_RDONLY)
    pool = bp.Pool.create(64, 1)
    os.close(below)  # its number is the one that looking takes
    pool_id = pool.allocate().handle.pool_id
    assert [owner for owner, _ in find_descriptor(pool_id, os.getpid())] == [os.getpid()]


def test_a_block_that_was_given_back_before_a_queue_sent_it(shared):
    """The error for pickling a released block says that queues pickle later."""
    block = shared.allocate()
    block.release()
    with pytest.raises(bp.InvalidBlock, match="leave the block alone after put"):
        pickle.dumps(block)


def test_a_shared_pool_keeps_no_stacks(shared):
    """The error for outstanding of a shared pool points to runs instead."""
    with pytest.raises(ValueError, match=r"runs\(\) shows which process"):
        shared.outstanding()


@pytest.mark.parametrize("name", ["classic", "multiprocessing", "shared_memory"])
def test_modules_are_imported_by_name(run_program, name):
    """The error for a module of the package that was not imported says how to import it."""
    said = run_program("shared/take_a_module_for_an_attribute.py", name)
    assert said == f"blockpool.{name} is a module; import blockpool.{name}\n"
