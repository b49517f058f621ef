"""Shared pools: create, attach, close, unlink and sweep, allocating, and what a pool tells about itself."""

import dataclasses
import os
import pickle
import threading
import time

import pytest

import blockpool as bp
from ledgers import LIVE, TAIL, head_at, named, row_at, written
from sweeps import sweep_away


# --- create and attach ---
def test_what_create_gives(pool_name):
    """A new pool's attributes and repr say what create was asked for, and after close that it is closed."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name)
    assert (pool.name, pool.block_size, pool.blocks, pool.nbytes) == (pool_name, 4096, 16, 65536)
    assert (pool.debug, pool.closed, pool.alignment) == (False, False, 4096)
    assert pool.address % 4096 == 0
    assert repr(pool) == f"<blockpool.Pool '{pool_name}', 16 blocks of 4096 bytes, 0 allocated>"
    pool.close()
    assert (pool.closed, pool.name) == (True, pool_name)
    assert repr(pool) == "<blockpool.Pool closed>"


def test_a_pool_without_a_name():
    """A pool without a name has all that a named one has, and leaves nothing behind."""
    with bp.Pool.create(64, 8) as pool:
        assert pool.name is None
        assert "shared" in repr(pool)
        block = pool.allocate(nbytes=100)
        assert (block.index, block.blocks, block.nbytes, block.pool) == (0, 2, 100, pool)
        assert block.address == pool.address


def test_a_new_pool_is_zeroed(shared):
    """The blocks of a new pool are all zero bytes."""
    assert not any(bytes(block.buf).strip(b"\0") for block in shared.allocate_many(16))


def test_two_processes_see_one_memory(shared, peer):
    """Two processes read each other's writes, and neither gets a block that the other has allocated."""
    block = shared.allocate()
    block.buf[:5] = b"hello"
    assert peer(f"pool = bp.Pool.attach({shared.name!r}); pool.blocks, pool.block_size") == (
        16,
        4096,
    )
    assert peer(f"other = bp.redeem({str(block.handle)!r}); bytes(other.buf[:5])") == b"hello"
    peer("other.buf[:5] = b'HELLO'")
    assert bytes(block.buf[:5]) == b"HELLO"
    assert peer("mine = pool.allocate(); mine.index") != block.index
    assert peer("pool.stats().processes") == shared.stats().processes == 2


def test_attaching_twice_is_one_mapping(shared):
    """All Pool objects of one pool in a process share one mapping; closing one leaves the others open."""
    again = bp.Pool.attach(shared.name)
    third = bp.Pool.create("4KiB", 16, name=shared.name, exist_ok=True)
    assert again is not shared
    assert again.address == third.address == shared.address
    assert shared.stats().processes == 1
    block = again.allocate()
    again.close()
    assert shared.allocate().index != block.index
    third.close()
    with pytest.raises(bp.PoolClosed, match="closed"):
        again.allocate()
    shared.allocate().free()


def test_a_process_stays_until_its_last_pool_object_goes(shared, peer, file_of):
    """A process stays attached until the last of its Pool objects of that pool is closed."""
    peer(f"one, two = bp.Pool.attach({shared.name!r}), bp.Pool.attach({shared.name!r})")
    peer("one.close()")
    shared.close()
    assert file_of(shared.name).exists()
    assert peer("two.stats().processes") == 1
    peer("two.close()")
    assert not file_of(shared.name).exists()


def test_attaching_in_many_threads_at_once(peer, pool_name):
    """Threads that attach at the same time get the same mapping, and the process counts once."""
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r})")
    found = []
    threads = [threading.Thread(target=lambda: found.append(bp.Pool.attach(pool_name))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({pool.address for pool in found}) == 1
    assert peer("pool.stats().processes") == 2


def test_the_name_goes_with_the_last_process(shared, peer, file_of):
    """The name is removed when the last process leaves, even if another process created the pool."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    shared.close()
    assert peer(f"bp.Pool.attach({shared.name!r}).stats().processes") == 1
    peer("pool.close()")
    with pytest.raises(bp.PoolNotFound, match=shared.name):
        bp.Pool.attach(shared.name)
    assert not file_of(shared.name).exists()


def test_an_exit_counts_as_leaving(pool_name, run_python, file_of):
    """A program that ends without closing its pool leaves no file behind."""
    run_python(f"import blockpool as bp; kept = bp.Pool.create(64, 8, name={pool_name!r}).allocate()")
    assert not file_of(pool_name).exists()


def test_a_file_is_for_its_user_only(shared, file_of):
    """The file of a pool can be read and written by its user only."""
    assert file_of(shared.name).stat().st_mode & 0o777 == 0o600


def test_create_where_there_is_a_pool(shared, unchanged):
    """Creating a pool that exists is PoolExists; with exist_ok the same geometry attaches, another is refused.

    The error names the geometry that the pool has.
    """
    with unchanged(shared):
        with pytest.raises(bp.PoolExists, match=f"{shared.name}.*attach it"):
            bp.Pool.create("4KiB", 16, name=shared.name)
        for size, blocks in ((4096, 17), (8192, 16), (8, 1)):
            with pytest.raises(bp.PoolExists, match="16 blocks of 4096"):
                bp.Pool.create(size, blocks, name=shared.name, exist_ok=True)
        assert bp.Pool.create(4096, 16, name=shared.name, exist_ok=True).address == shared.address


def test_one_creator_wins(pool_name, peers):
    """When several processes create one name at once, one of them does; with exist_ok all get the same pool."""
    several = [peers() for _ in range(4)]
    at = time.time() + 0.3
    for each in several:
        each.start(f"from shared.peer_work import create_at; made, pool = create_at({at}, {pool_name!r}); made")
    assert sorted(each.answer() for each in several) == [False, False, False, True]
    for each in several:
        each(f"pool = bp.Pool.create(64, 8, name={pool_name!r}, exist_ok=True)")
    assert several[0]("pool.stats().processes") == 4


def test_a_subclass(pool_name):
    """Pool.create and Pool.attach of a subclass return an object of that subclass."""

    class Frames(bp.Pool):
        pass

    assert type(Frames.create(64, 8, name=pool_name)) is Frames
    pool = Frames.create(64, 8, name=pool_name)
    assert type(Frames.attach(pool_name)) is Frames
    assert "Frames" in repr(pool)


def test_prefault(pool_name):
    """With prefault every page of a new pool is resident."""
    pool = bp.Pool.create("64KiB", 16, name=pool_name, prefault=True)
    assert pool.residency().resident_bytes >= pool.nbytes  # its bookkeeping too


def test_the_pages_are_reserved(shared, file_of):
    """The file of a pool has its whole size reserved from the start, so no later write can fail."""
    assert file_of(shared.name).stat().st_blocks * 512 >= shared.nbytes
    assert shared.residency().resident_bytes >= 0


# --- the end of a pool ---
def test_views_outlive_the_pool_object(shared, peer, file_of):
    """After close, blocks and views stay valid and keep the process attached; it leaves with the last of them."""
    block = shared.allocate()
    view = block.buf
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    shared.close()
    block.buf[:4] = b"kept"
    block.release()
    assert peer("[(run.index, len(run.holders)) for run in pool.runs()]") == [(0, 1)]
    assert peer("pool.allocate().index") == 1
    assert bytes(view[:4]) == b"kept"
    del view, block
    assert peer("s = pool.stats(); s.allocated, s.processes") == (0, 1)
    peer("pool.close()")
    assert not file_of(shared.name).exists()


def test_a_permanent_pool_stays(pool_name, peer, file_of):
    """A permanent pool stays when no process has it, with its bytes and tickets, until it is unlinked."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name, permanent=True)
    block = pool.allocate(nbytes=5000)
    block.buf[:3] = b"abc"
    ticket = str(block.share())
    index = pool.allocate().index
    block.release()
    pool.close()
    assert file_of(pool_name).exists()
    assert bp.sweep() >= 0
    again = bp.Pool.attach(pool_name)
    assert [(run.index, run.blocks, run.nbytes, run.holders, run.tickets) for run in again.runs()] == [
        (0, 2, 5000, (), 1)
    ]
    assert index == 2
    assert peer(f"block = bp.redeem({ticket!r}); bytes(block.buf[:3]), block.nbytes") == (
        b"abc",
        5000,
    )
    assert again.stats().tickets == 0
    again.unlink()
    assert not file_of(pool_name).exists()
    peer("block = None; gc.collect()")


def test_a_permanent_pool_needs_a_name():
    """A permanent pool without a name is a ValueError: no process could come back to it."""
    with pytest.raises(ValueError, match="needs a name"):
        bp.Pool.create(64, 8, permanent=True)


def test_unlink_while_others_work(shared, peer):
    """After unlink the attached processes go on, no other can attach by name, and a second unlink is PoolNotFound."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); block = pool.allocate()")
    shared.unlink()
    with pytest.raises(bp.PoolNotFound):
        bp.Pool.attach(shared.name)
    with pytest.raises(bp.PoolNotFound, match="removed before"):
        shared.unlink()
    with pytest.raises(bp.PoolNotFound):
        peer("pool.unlink()")
    assert peer("pool.allocate().index") == 1
    assert shared.stats().processes == 2
    ticket = str(shared.allocate().share())
    assert peer(f"bp.redeem({ticket!r}).index") == 1
    assert shared.check().allocated == 1


def test_the_name_can_be_used_again_after_unlink(shared, file_of):
    """After unlink a new pool can have the name, and the end of the old one leaves the new one's name alone."""
    block = shared.allocate()
    shared.unlink()
    new = bp.Pool.create(64, 8, name=shared.name)
    assert new.address != shared.address
    assert new.stats().allocated == 0
    with pytest.raises(bp.PoolNotFound):
        shared.unlink()
    block.release()
    shared.close()
    assert file_of(new.name).exists()
    assert bp.Pool.attach(new.name).address == new.address


def test_unlink_of_a_pool_without_a_name():
    """Unlinking a pool without a name, shared or private, is PoolNotFound."""
    with pytest.raises(bp.PoolNotFound, match="name"):
        bp.Pool.create(64, 8).unlink()
    with pytest.raises(bp.PoolNotFound, match="private"):
        bp.Pool(64, 8).unlink()


def test_sweep_leaves_what_lives(shared, pool_names, peer, file_of):
    """A sweep removes the file of a killed program, and leaves live pools and permanent ones."""
    left, permanent = pool_names(), pool_names()
    peer(f"a = bp.Pool.create(64, 8, name={left!r}); b = bp.Pool.create(64, 8, name={permanent!r}, permanent=True)")
    shared.allocate()
    peer.kill()
    sweep_away(file_of(left))
    assert isinstance(bp.sweep(), int)
    assert file_of(permanent).exists()
    assert file_of(shared.name).exists()
    assert shared.stats().processes == 1
    bp.Pool.attach(permanent).unlink()


@pytest.mark.parametrize(
    "call",
    [
        lambda pool: pool.allocate(),
        lambda pool: pool.allocate(blocks=2, timeout=1),
        lambda pool: pool.allocate_many(2),
        lambda pool: pool.stats(),
        lambda pool: pool.runs(),
        lambda pool: pool.check(),
        lambda pool: pool.recover(),
        lambda pool: pool.residency(),
        lambda pool: pool.blocks,
        lambda pool: pool.address,
        lambda pool: [pool.__enter__()],
        pickle.dumps,
    ],
)
def test_a_closed_pool_refuses(shared, call):
    """Every call of a closed pool but close and unlink raises PoolClosed; closing again does nothing."""
    shared.close()
    shared.close()
    with pytest.raises(bp.PoolClosed):
        call(shared)


def test_the_resource_tracker_has_no_part(run_program):
    """Shared pools neither import multiprocessing nor start a helper process."""
    run_program("shared/start_no_helper.py")


# --- allocating, and what the pool tells ---
def test_allocate_and_free(shared):
    """Blocks, runs and lists of a shared pool are allocated and freed as in a private one."""
    single, run = shared.allocate(), shared.allocate(blocks=3)
    sized, many = shared.allocate(nbytes="5KiB"), shared.allocate_many(4)
    assert [single.index, run.index, sized.index] == [0, 1, 4]
    assert (run.blocks, run.nbytes, sized.blocks, sized.nbytes) == (3, 12288, 2, 5120)
    assert sorted(block.index for block in many) == [6, 7, 8, 9]
    assert len(sized.buf) == 5120
    run.free()
    with pytest.raises(bp.DoubleFree):
        run.free()
    with pytest.raises(bp.InvalidBlock):
        run.buf
    assert shared.allocate().index in {1, 2, 3}


def test_all_or_nothing(shared, unchanged):
    """A list or run that does not fit takes nothing, and the error says what was asked for and what is free."""
    kept = shared.allocate_many(12)
    kept.pop(5).free()
    with unchanged(shared, failures=3):
        with pytest.raises(bp.PoolExhausted, match="asked for 6 blocks; 5 of 16 free, longest run 4;"):
            shared.allocate_many(6)
        with pytest.raises(bp.PoolExhausted, match="5 adjacent blocks; 5 of 16 free, longest run 4;"):
            shared.allocate(blocks=5)
        with pytest.raises(bp.PoolExhausted, match="the pool has only 16"):
            shared.allocate(blocks=17)
    assert len(shared.allocate_many(5)) == 5


def test_stats(shared, peer):
    """Every process sees the same statistics of a pool."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); theirs = pool.allocate(nbytes=1)")
    mine = shared.allocate(blocks=2)
    began = time.monotonic()
    ticket = mine.share(2)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate(blocks=15)
    stats = shared.stats()
    assert 0 <= stats.oldest_ticket <= time.monotonic() - began + 1
    assert dataclasses.replace(stats, oldest_ticket=None) == bp.PoolStats(
        blocks=16,
        block_size=4096,
        allocated=3,
        free=13,
        peak=3,
        largest_free_run=stats.largest_free_run,
        fragmentation=1 - stats.largest_free_run / 13,
        requested_bytes=8193,
        allocated_bytes=12288,
        utilization=8193 / 12288,
        allocations=2,
        frees=0,
        failures=1,
        waits=0,
        waited=0.0,
        tickets=2,
        oldest_ticket=None,
        processes=2,
        max_processes=256,
    )
    theirs = peer("pool.stats()")
    assert dataclasses.replace(theirs, oldest_ticket=None) == dataclasses.replace(stats, oldest_ticket=None)
    bp.redeem(ticket).release()
    bp.redeem(ticket).release()
    mine.free()
    peer("theirs.free()")
    stats = shared.stats()
    assert (stats.allocations, stats.frees, stats.allocated, stats.peak) == (2, 2, 0, 3)
    assert (stats.tickets, stats.oldest_ticket) == (0, None)


def test_exhaustion_is_a_sample_of_the_peak(shared):
    """An allocation that finds no room raises the peak to what is allocated then."""
    held = shared.allocate_many(16)
    with pytest.raises(bp.PoolExhausted):
        shared.allocate()
    held.clear()
    assert shared.stats().peak == 16


def test_runs(shared, peer):
    """Pool.runs lists every live run in the order of addresses, with its holders and its tickets in flight."""
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    first, second = shared.allocate(nbytes=10), shared.allocate(blocks=3)
    second.share(5)
    peer(f"both = bp.redeem({str(first.handle)!r})")
    third = peer("mine = pool.allocate(blocks=2); mine.index")
    assert shared.runs() == [
        bp.Run(0, 1, 10, (os.getpid(), peer.pid), 0),
        bp.Run(1, 3, 12288, (os.getpid(),), 5),
        bp.Run(third, 2, 8192, (peer.pid,), 0),
    ]
    assert peer("pool.runs()") == shared.runs()


def test_check(shared, peer):
    """An audit says what it looked at, and works while another process allocates and frees."""
    kept = shared.allocate_many(3), shared.allocate(blocks=2)
    assert shared.check() == bp.Audit(blocks=16, allocated=5, runs=4, healed=0)
    peer("from shared.peer_work import AtWork, allocate_and_free")
    peer(f"pool = bp.Pool.attach({shared.name!r}); at_work = AtWork(lambda: allocate_and_free(pool))")
    for _ in range(200):
        assert shared.check().blocks == 16
    peer("at_work.stop()")
    del kept
    assert shared.check().allocated == 0


@pytest.mark.parametrize("bad", [-1, float("nan"), -0.001])
def test_recover_of_a_bad_age(shared, bad):
    """A negative age of tickets is a ValueError, and so is nan; one that is no number is refused too."""
    with pytest.raises(ValueError, match="0 or more"):
        shared.recover(tickets_older_than=bad)
    with pytest.raises((TypeError, ValueError)):
        shared.recover(tickets_older_than="old")


def test_recover_when_nobody_died(shared, unchanged):
    """When no process has died, recover returns zeros and changes nothing."""
    block = shared.allocate()
    with unchanged(shared):
        assert shared.recover() == bp.Recovered(processes=0, tickets=0)
        assert shared.recover(tickets_older_than=float("inf")) == bp.Recovered(processes=0, tickets=0)
        assert bp.Pool(64, 8).recover() == bp.Recovered(processes=0, tickets=0)
    block.free()


@pytest.mark.parametrize(
    ("index", "word"),
    [
        (0, 0),
        (1, 0),
        (9, TAIL | 4),
        (5, 7 << 61),
        (0, LIVE | named(40) | 1),
        (3, LIVE | named(1) | 2),
        (3, LIVE | named(0) | 2),
        (9, 1 << 31),
    ],
)
def test_damage_is_found(peer, pool_name, file_of, index, word):
    """A word of the ledger that something wrote over makes check raise PoolCorrupt with its place, never a signal."""
    # The peer has no other threads: if there are any, check takes a half-done change for their work in transit.
    peer(f"pool = bp.Pool.create(4096, 16, name={pool_name!r}); block = pool.allocate(blocks=3)")
    with file_of(pool_name).open("r+b") as file, written(file, head_at(file, index), word):
        with pytest.raises(bp.PoolCorrupt, match=f"fault.*{index}"):
            peer("pool.check()")
        peer("pool.stats(), pool.runs()")
    peer("block.free()")


def test_a_holder_that_is_not_attached_is_found(peer, pool_name, file_of):
    """A bit in a row of a place that no process has makes check raise PoolCorrupt, once all others are at rest."""
    peer(f"pool = bp.Pool.create(4096, 16, name={pool_name!r}); block = pool.allocate(blocks=3)")
    with file_of(pool_name).open("r+b") as file, written(file, row_at(file, 0) + 8, 1 << 7):
        with pytest.raises(bp.PoolCorrupt, match="block 0 is marked as held by a process that is not attached"):
            peer("pool.check()")
        peer("pool.stats(), pool.runs()")
    peer("block.free(); assert pool.check().allocated == 0")


def test_a_shared_pool_keeps_no_stacks(shared):
    """The error for outstanding of a shared pool without debug mode points to runs as well."""
    with pytest.raises(ValueError, match=r"runs\(\) shows which process"):
        shared.outstanding()
