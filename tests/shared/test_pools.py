"""`pools()` lists all shared pools of this user, with the processes that have them, and whatever has a pool's name."""

import os

import pytest

import blockpool as bp
from segment_parts import write
from sweeps import sweep_away, unswept


def listed(name):
    """Return what pools() says of a name; None if it is not there, and it is there only once."""
    found = [one for one in bp.pools() if one.name == name]
    assert len(found) <= 1
    return found[0] if found else None


def listed_by_id(pool_id):
    """Return what pools() says of the pool with an id."""
    found = [one for one in bp.pools() if one.pool_id == pool_id]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_pool_with_a_name(shared, peers, file_of):
    """A pool is there with its sizes, what is allocated, and the processes that have it; dead ones are marked."""
    first, second = peers(), peers()
    block = shared.allocate(blocks=3)
    first(f"pool = bp.Pool.attach({shared.name!r})")
    second(f"pool = bp.Pool.attach({shared.name!r})")
    second.kill()
    found = listed(shared.name)
    assert (found.state, found.pool_id, found.made_by) == ("ok", block.handle.pool_id, bp.__version__)
    assert (found.block_size, found.blocks, found.nbytes, found.allocated) == (4096, 16, 65536, 3)
    assert found.segment_bytes == file_of(shared.name).stat().st_blocks * 512
    assert (found.permanent, found.max_processes, found.leftover) == (False, 256, False)
    assert [(one.pid, one.alive) for one in found.processes] == [
        (os.getpid(), True), (first.pid, True), (second.pid, False),
    ]  # fmt: skip
    assert "peer.py" in found.processes[1].command
    block.free()


def test_pools_without_names(peers):
    """A pool without a name is there once, with all processes that have it, until they are gone."""
    pool = bp.Pool.create(64, 8)
    block = pool.allocate()
    pool_id = block.handle.pool_id
    other = peers()
    other(f"block = bp.redeem({str(block.handle)!r})")
    found = listed_by_id(pool_id)
    assert (found.name, found.state, found.allocated, found.leftover) == (None, "ok", 1, False)
    assert [one.pid for one in found.processes] == [os.getpid(), other.pid]
    assert bp.inspect(found.pool_id).stats().allocated == 1
    other.kill()
    assert [one.alive for one in listed_by_id(pool_id).processes] == [True, False]
    del block
    inspector = bp.inspect(pool)
    pool.close()
    del pool
    assert listed_by_id(pool_id) is None  # an inspector has it open, but takes no part
    assert inspector.stats().processes == 0


def test_pools_of_other_processes(peer):
    """A pool that only another process has is there, and is gone with that process."""
    pool_id = peer("pool = bp.Pool.create(64, 8); pool.allocate().handle.pool_id")
    assert [one.pid for one in listed_by_id(pool_id).processes] == [peer.pid]
    peer.kill()
    assert listed_by_id(pool_id) is None


def test_a_pool_that_lost_its_name(shared, peer):
    """A pool whose name was removed is there as one without a name while it is in use, also for its creator."""
    for pool in (shared, None):
        if pool is None:
            pool_id = peer("pool.unlink(); block.handle.pool_id")
        else:
            pool_id = pool.allocate().handle.pool_id
            pool.unlink()
            peer(f"pool = bp.Pool.create(64, 4, name={shared.name!r}); block = pool.allocate()")
        found = listed_by_id(pool_id)
        assert (found.name, found.state) == (None, "ok")
        assert bp.inspect(pool_id).pool_id == pool_id
    shared.close()
    assert listed_by_id(pool_id) is not None


def test_leftovers(pool_names, peer, file_of):
    """What sweep would remove is marked; a permanent pool is no leftover, and sweep makes no difference to it."""
    left, permanent = pool_names(), pool_names()
    peer(f"""
        a = bp.Pool.create(64, 4, name={left!r}); b = bp.Pool.create(64, 4, name={permanent!r}, permanent=True)
        kept = a.allocate(), b.allocate()
    """)
    assert not listed(left).leftover
    with unswept(file_of(left)):
        peer.kill()
        found = listed(left)
    assert (found.leftover, found.allocated, [one.alive for one in found.processes]) == (True, 1, [False])
    found = listed(permanent)
    assert (found.leftover, found.permanent, found.state) == (False, True, "ok")
    sweep_away(file_of(left))
    assert listed(left) is None
    assert listed(permanent) is not None


def damage(path, state):
    """Make a file of that state of a pool's."""
    if state == "damaged":
        write(path, 100, b"\xff\xff")
    elif state == "truncated":
        os.truncate(path, path.stat().st_size - 1)
    elif state == "other version":
        write(path, 8, b"\x63")
    else:
        write(path, 0, b"no pool")


@pytest.mark.parametrize("state", ["damaged", "truncated", "other version", "not a pool"])
def test_files_that_cannot_be_attached(pool_name, peer, file_of, state):
    """A file that is no pool of this release is there, with its size and why; unlink removes it."""
    peer(f"pool = bp.Pool.create(64, 4, name={pool_name!r})")
    with unswept(file_of(pool_name)):
        peer.kill()
        damage(file_of(pool_name), state)
    found = listed(pool_name)
    assert (found.state, found.segment_bytes) == (state, file_of(pool_name).stat().st_blocks * 512)
    assert (found.pool_id, found.block_size, found.blocks, found.nbytes, found.allocated) == (None,) * 5
    assert (found.processes, found.leftover, found.permanent, found.max_processes) == ((), False, None, None)
    assert found.made_by == (bp.__version__ if state == "other version" else None)
    bp.unlink(pool_name)
    assert listed(pool_name) is None


def test_other_things_with_a_pools_name(pool_names, file_of, tmp_path):
    """Files, directories, links and FIFOs that have the name of a pool are there; other names are not looked at."""
    names = dict(zip(("text", "empty", "directory", "link", "fifo"), iter(pool_names, None), strict=False))
    file_of(names["text"]).write_text("not a pool, but longer than a header of one " * 100)
    file_of(names["empty"]).touch()
    file_of(names["directory"]).mkdir()
    file_of(names["link"]).symlink_to(tmp_path / "nowhere")
    os.mkfifo(file_of(names["fifo"]))
    other = file_of(pool_names() + " x")
    other.touch()
    try:
        assert {kind: listed(name).state for kind, name in names.items()} == dict.fromkeys(names, "not a pool")
        assert not [one for one in bp.pools() if one.name and " " in one.name]
    finally:
        file_of(names["directory"]).rmdir()
        other.unlink()


def test_pools_of_other_users(run_program, pool_name):
    """Another user's pools are left out; what this user may not read, because its mode was changed, is marked so."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as two users")
    run_program("shared/pools_of_two_users.py", pool_name)


def test_pools_come_and_go_meanwhile(pool_names, peers, shared):
    """While processes create and drop pools, and are killed, the list has the lasting pool each time, and no error."""
    started = []
    for each in (peers(), peers()):
        each(f"""
            from shared.peer_work import AtWork
            def work():
                bp.Pool.create(64, 40, name={pool_names()!r}).close()
                bp.Pool.create(64, 40).close()
            at_work = AtWork(work)
        """)
        started.append(each)
    for _ in range(30):
        assert listed(shared.name).allocated == 0
    assert shared.stats().processes == 1
    for each in started:
        each("at_work.stop()")


def test_a_full_table_of_descriptors(run_python):
    """Without a free descriptor, pools() and inspect() raise an OSError that says so, once the reports are imported."""
    run_python("""
        import os, resource
        import blockpool as bp
        import blockpool.stats
        pool = bp.Pool.create(64, 4, name=f"full-{os.getpid()}")
        bp.pools()
        kept = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        try:
            while True: kept.append(os.dup(0))
        except OSError: pass
        for call in (bp.pools, lambda: bp.inspect(pool.name), lambda: bp.inspect(pool)):
            try: call()
            except OSError as error: assert error.errno == 24, error
            else: raise AssertionError("no error")
    """)
