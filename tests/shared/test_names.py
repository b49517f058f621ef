"""Blocks that have a name in their pool's catalog, which holds them."""

import os
import pickle
import signal
import time

import numpy as np
import pytest

import blockpool as bp


def put(pool, name, data, **options):
    """Keep a new block with these bytes under the name; nothing else holds it afterwards."""
    block = pool.allocate(nbytes=len(data))
    block.buf[:] = data
    pool.keep(name, block, **options)
    block.release()


# --- keeping and getting ---
def test_a_name_holds_its_block(shared, peer):
    """A named block stays when its maker lets go, and every process can get it by the name."""
    put(shared, "model", b"x" * 5000)
    assert shared.names() == ["model"]
    assert shared.stats().allocated == 2
    assert shared.runs() == [bp.Run(0, 2, 5000, (), 0, ("model",))]
    assert peer(f"pool = bp.Pool.attach({shared.name!r}); block = pool.get('model'); bytes(block.buf)") == b"x" * 5000
    assert peer("block.index, block.blocks, block.nbytes") == (0, 2, 5000)
    assert shared.runs()[0].holders == (peer.pid,)
    assert peer("block.release()") is None
    shared.forget("model")
    assert shared.stats().allocated == 0
    assert shared.names() == []


def test_a_block_that_lost_its_name_stays_with_its_holders(shared):
    """Forgetting a name frees nothing that a Block, a view or a ticket still holds."""
    put(shared, "a", b"1")
    block = shared.get("a")
    shared.forget("a")
    assert bytes(block.buf) == b"1"
    assert shared.runs()[0].names == ()
    ticket = block.share()
    block.release()
    assert shared.stats().allocated == 1
    bp.redeem(ticket).free()
    assert shared.stats().allocated == 0


def test_get_takes_no_ticket(shared):
    """Getting a block by its name leaves the tickets of others alone."""
    put(shared, "a", b"1")
    ticket = shared.get("a").share()
    shared.get("a").release()
    assert shared.stats().tickets == 1
    bp.redeem(ticket).release()
    assert shared.stats().tickets == 0
    shared.forget("a")


def test_get_does_not_count_as_an_allocation(shared):
    """Getting a block by its name adds a reference, not an allocation."""
    put(shared, "a", b"1")
    before = shared.stats()
    block = shared.get("a")
    assert shared.stats() == before
    block.release()
    shared.forget("a")
    after = shared.stats()
    assert (after.allocations, after.frees) == (1, 1)


def test_a_block_with_two_names(shared):
    """A block stays as long as it has any name."""
    block = shared.allocate()
    shared.keep("b", block)
    shared.keep("a", block)
    block.release()
    assert shared.names() == ["a", "b"]
    assert sorted(shared.runs()[0].names) == ["a", "b"]
    shared.forget("a")
    assert shared.stats().allocated == 1
    shared.get("b").release()
    shared.forget("b")
    assert shared.stats().allocated == 0


def test_a_kept_block_cannot_be_freed(shared, unchanged):
    """`free` of a named block is BlockInUse, which says that the catalog holds it."""
    block = shared.allocate()
    shared.keep("a", block)
    with unchanged(shared), pytest.raises(bp.BlockInUse, match="catalog, under a name"):
        block.free()
    shared.forget("a")
    block.free()


def test_a_read_only_block_and_an_array(shared):
    """A read-only Block can be kept, and so can the block under an array; what `get` returns is writable."""
    block = shared.allocate(nbytes=80)
    array = np.frombuffer(block.buf, dtype="f8")
    array[:] = 3
    shared.keep("a", block.readonly())
    del array
    block.release()
    got = shared.get("a")
    assert np.frombuffer(got.buf, dtype="f8").sum() == 30
    got.buf[0] = 1
    del got
    shared.forget("a")


# --- replacing ---
def test_replacing_frees_the_old_block(shared):
    """With `replace`, the name goes to the new block, and the old one comes back when nothing else holds it."""
    put(shared, "a", b"old")
    old = shared.get("a")
    put(shared, "a", b"new!", replace=True)
    assert bytes(shared.get("a").buf) == b"new!"
    assert bytes(old.buf) == b"old"
    assert shared.stats().allocated == 2
    old.release()
    assert shared.stats().allocated == 1
    put(shared, "b", b"first", replace=True)  # there need not be an old one
    assert shared.names() == ["a", "b"]
    shared.forget("a")
    shared.forget("b")


def test_replacing_a_block_by_itself(shared):
    """Keeping a block again under the name that it has changes nothing."""
    block = shared.allocate()
    shared.keep("a", block)
    shared.keep("a", block, replace=True)
    block.release()
    assert shared.stats().allocated == 1
    shared.forget("a")
    assert shared.stats().allocated == 0


def test_readers_find_the_old_block_or_the_new_one(shared, peers):
    """While a name changes its block again and again, each reader gets one whole value every time."""
    size = 3 * 4096
    put(shared, "a", bytes([0]) * size)
    readers = [peers() for _ in range(2)]
    for reader in readers:
        reader(f"pool = bp.Pool.attach({shared.name!r})")
        reader.start("""
            seen = set()
            while 255 not in seen:
                block = pool.get("a")
                values = set(bytes(block.buf))
                block.release()
                assert len(values) == 1, values
                seen |= values
            len(seen)
        """)
    turn, until = 0, time.monotonic() + 60
    while not all(reader.answers(0) for reader in readers):
        turn += 1
        assert time.monotonic() < until, turn
        put(shared, "a", bytes([turn % 255 if turn < 300 else 255]) * size, replace=True)
    for reader in readers:
        assert reader.answer() >= 1
    shared.forget("a")
    assert shared.stats().allocated == 0


# --- death ---
def test_a_name_outlives_its_maker(shared, peer):
    """A block that a killed process named stays, and nothing of it is lost or kept twice."""
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        block = pool.allocate(nbytes=3)
        block.buf[:] = b"abc"
        pool.keep("a", block)
        other = pool.allocate()
    """)
    peer.kill()
    assert shared.recover().processes == 1
    assert shared.stats().allocated == 1
    assert bytes(shared.get("a").buf) == b"abc"
    shared.forget("a")
    assert shared.stats().allocated == 0


def test_names_of_a_permanent_pool_outlive_all_processes(pool_name, peers):
    """After kill -9 of every process, a permanent pool still has its names and the bytes behind them."""
    first, second = peers(), peers()
    first(f"pool = bp.Pool.create('4KiB', 8, name={pool_name!r}, permanent=True)")
    second(f"pool = bp.Pool.attach({pool_name!r})")
    for number, process in enumerate((first, second)):
        process(f"block = pool.allocate(nbytes=5); block.buf[:] = b'hello'; pool.keep('n{number}', block)")
    first.kill()
    second.kill()
    pool = bp.Pool.attach(pool_name)
    try:
        assert pool.names() == ["n0", "n1"]
        assert [bytes(pool.get(name).buf) for name in pool.names()] == [b"hello"] * 2
        pool.check()
        pool.forget("n0")
        pool.forget("n1")
        assert pool.stats().allocated == 0
    finally:
        pool.unlink()


def test_a_killed_keeper(shared, peers):
    """Processes are killed while they keep, replace and forget: no block is lost, and no name is without its block."""
    for _ in range(12):
        process = peers()
        process(f"pool = bp.Pool.attach({shared.name!r})")
        process.start("""
            while True:
                for name in ("a", "b"):
                    block = pool.allocate()
                    block.buf[:1] = b"!"
                    pool.keep(name, block, replace=True)
                    block.release()
                pool.forget("a")
        """)
        process.answers(0.05)
        process.kill()
        shared.recover()
        shared.check()
        names = shared.names()
        assert set(names) <= {"a", "b"}
        assert shared.stats().allocated == len(names)
        for name in names:
            assert bytes(shared.get(name).buf[:1]) == b"!"
    for name in shared.names():
        shared.forget(name)
    assert shared.stats().allocated == 0


def test_a_stopped_process_in_the_gate_does_not_stop_readers(shared, peer):
    """Getting a block needs no gate: it works while another process is stopped while it keeps a block."""
    put(shared, "a", b"1")
    peer(f"pool = bp.Pool.attach({shared.name!r}); block = pool.allocate()")
    peer.start("while True: pool.keep('b', block, replace=True)")
    peer.answers(0.1)
    os.kill(peer.pid, signal.SIGSTOP)
    for _ in range(1000):
        assert bytes(shared.get("a").buf) == b"1"
    peer.doomed = True
    os.kill(peer.pid, signal.SIGKILL)
    peer.process.wait(60)
    shared.recover()
    for name in shared.names():
        shared.forget(name)


def test_a_forked_child_has_the_names(shared):
    """A forked child gets blocks by their names, and gives names, as its parent does."""
    put(shared, "a", b"1")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if bytes(shared.get("a").buf) == b"1":
                put(shared, "b", b"2")
                status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert bytes(shared.get("b").buf) == b"2"
    for name in shared.names():
        shared.forget(name)
    shared.recover()
    assert shared.stats().allocated == 0


# --- what is refused ---
def test_a_name_that_is_taken(shared, unchanged):
    """Keeping a second block under a name is NameTaken, and so is keeping the same block again."""
    put(shared, "a", b"1")
    block = shared.allocate()
    with unchanged(shared):
        for given in (block, shared.get("a")):
            with pytest.raises(bp.NameTaken, match="block named 'a' already; pass replace=True"):
                shared.keep("a", given)
        del given
    block.free()
    shared.forget("a")


def test_a_name_that_does_not_exist(shared, unchanged):
    """Getting or forgetting a name that no block has is NameNotFound."""
    with unchanged(shared):
        for call in (shared.get, shared.forget):
            with pytest.raises(bp.NameNotFound, match="has no block named 'a'; names"):
                call("a")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", ValueError),
        ("x" * 181, ValueError),
        ("a/b", ValueError),
        ("a b", ValueError),
        ("\0", ValueError),
        ("ä", ValueError),
        (b"a", TypeError),
        (None, TypeError),
        (3, TypeError),
    ],
)
def test_names_that_no_block_can_have(shared, unchanged, name, error):
    """A bad name is refused by each call, with the same error."""
    block = shared.allocate()
    with unchanged(shared):
        for call in (lambda: shared.keep(name, block), lambda: shared.get(name), lambda: shared.forget(name)):
            with pytest.raises(error, match="name must be"):
                call()
    block.free()


def test_the_longest_name(shared):
    """A name of 180 characters is kept whole, and another one that differs at its end is another name."""
    put(shared, "x" * 180, b"1")
    put(shared, "x" * 179 + "y", b"2")
    put(shared, "x" * 179, b"3")
    assert shared.names() == ["x" * 179, "x" * 180, "x" * 179 + "y"]
    assert bytes(shared.get("x" * 179 + "y").buf) == b"2"
    for name in shared.names():
        shared.forget(name)


def test_a_full_catalog(shared, unchanged):
    """A pool can have 256 names; one more is PoolExhausted, and a forgotten one makes room."""
    block = shared.allocate()
    for number in range(256):
        shared.keep(f"n{number}", block)
    with unchanged(shared), pytest.raises(bp.PoolExhausted, match="256 names, the most"):
        shared.keep("more", block)
    shared.keep("n7", block, replace=True)
    shared.forget("n100")
    shared.keep("more", block)
    assert len(shared.names()) == 256
    for name in shared.names():
        shared.forget(name)
    block.free()


def test_what_cannot_be_kept(shared, unchanged):
    """What is no Block of this pool is refused: another type, a released block, and one of another pool."""
    other = bp.Pool.create("4KiB", 4)
    private = bp.Pool("4KiB", 4)
    foreign, gone, mine = other.allocate(), shared.allocate(), private.allocate()
    gone.release()
    with unchanged(shared):
        for given in (b"data", None, shared, foreign.handle, np.zeros(3)):
            with pytest.raises(TypeError, match="must be a Block, not"):
                shared.keep("a", given)
        with pytest.raises(bp.InvalidBlock):
            shared.keep("a", gone)
        for given in (foreign, mine):
            with pytest.raises(ValueError, match="the block is not of pool"):
                shared.keep("a", given)
    assert other.names() == []


def test_private_pools_have_no_names(pool):
    """Names are for other processes: in a private pool, each call is a ValueError that says so."""
    block = pool.allocate()
    for call in (
        lambda: pool.keep("a", block),
        lambda: pool.get("a"),
        lambda: pool.forget("a"),
        pool.names,
    ):
        with pytest.raises(ValueError, match="the pool is private: it has no names"):
            call()
    assert pool.runs()[0].names == ()
    assert pool.runs()[0].handle is None


def test_a_closed_pool_has_no_names(shared):
    """After close, each call is PoolClosed."""
    block = shared.allocate()
    shared.close()
    for call in (
        lambda: shared.keep("a", block),
        lambda: shared.get("a"),
        lambda: shared.forget("a"),
        shared.names,
        lambda: block in shared,
    ):
        with pytest.raises(bp.PoolClosed):
            call()


def test_the_errors_can_be_pickled():
    """The errors of names survive pickling, and are of the built-in classes that fit them."""
    for kind, base in ((bp.NameTaken, ValueError), (bp.NameNotFound, LookupError)):
        error = pickle.loads(pickle.dumps(kind("why")))
        assert (type(error), error.args) == (kind, ("why",))
        assert issubclass(kind, (bp.BlockPoolError, base))
        assert str(error) == "why"


# --- what is in a pool ---
def test_a_block_in_a_pool(each):
    """`block in pool` says whether the Block is one of the pool, and was neither released nor freed."""
    other = bp.Pool("4KiB", 4)
    block, released, foreign = each.allocate(), each.allocate(), other.allocate()
    released.release()
    assert block in each
    assert block not in other
    assert released not in each
    assert foreign not in each
    assert bp.Block.__new__(bp.Block) not in each
    block.free()
    assert block not in each
    for given in (3, "a", None, b""):
        with pytest.raises(TypeError, match="a pool has Blocks, handles and tickets in it, not"):
            given in each  # noqa: B015 - it raises


def test_a_handle_in_a_pool(shared, pool):
    """`handle in pool` says whether the run is live, in a ticket's case too; nothing changes by it."""
    block = shared.allocate()
    handle, ticket = block.handle, block.share()
    assert handle in shared
    assert ticket in shared
    assert handle not in pool
    bp.redeem(ticket).release()
    assert shared.stats().tickets == 0
    block.free()
    assert handle not in shared
    again = shared.allocate()
    assert again.index == handle.index
    assert handle not in shared
    again.free()


def test_the_handle_of_a_ticket(shared):
    """`ticket.handle` names the same run without a reference in flight."""
    block = shared.allocate()
    ticket = block.share()
    assert type(ticket.handle) is bp.Handle
    assert ticket.handle == block.handle
    bp.redeem(ticket.handle).release()
    assert shared.stats().tickets == 1
    bp.redeem(ticket).release()
    block.free()


def test_the_handle_of_a_run(shared):
    """`run.handle` of what `runs` lists can be redeemed."""
    block = shared.allocate(nbytes=5)
    block.buf[:] = b"hello"
    (run,) = shared.runs()
    assert run.handle == block.handle
    assert bytes(bp.redeem(run.handle).buf) == b"hello"
    block.free()
