"""Redeeming handles and tickets of pools that are elsewhere or gone, and of things that are none."""

import gc
import os
import random

import pytest

import blockpool as bp
from blockpool._handles import find_descriptor


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


def test_the_memory_of_a_pool_without_a_name_is_found_among_files_that_come_and_go():
    """A pool without a name is found though another file of the process is closed during the search."""
    below = os.open(os.devnull, os.O_RDONLY)
    pool = bp.Pool.create(64, 1)
    os.close(below)  # its number is the one that looking takes
    pool_id = pool.allocate().handle.pool_id
    assert [owner for owner, _ in find_descriptor(pool_id, os.getpid())] == [os.getpid()]


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
