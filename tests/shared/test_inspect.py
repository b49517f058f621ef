"""Looking at a shared pool from outside: it changes nothing, takes no place, and outlives whatever happens to the pool.

Also what `Pool.stats` and `Pool.check` say without taking part.
"""

import dataclasses
import gc
import os
import pickle
import random
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

import blockpool as bp
from segment_parts import COMMAND, Parts, flip, write
from sweeps import sweep_away, unswept
from waits import await_true, seconds_of

DESCRIPTORS = Path("/proc/self/fd")

CALLS = (
    "stats", "counts", "runs", "map", "survey", "surveyor", "check", "damage", "processes", "names", "queues", "gate",
    "exists",
)  # fmt: skip


def descriptors_of(pool):
    """Count the descriptors of a named pool's file; others may come and go."""
    found = 0
    for entry in DESCRIPTORS.iterdir():
        with suppress(OSError):  # of the listing itself
            found += str(entry.readlink()).endswith(f"/blockpool.{pool.name}")
    return found


def ask_everything(inspector):
    """Call every method; damage may be found, and nothing else may go wrong."""
    found = {}
    for call in CALLS:
        try:
            found[call] = getattr(inspector, call)()
        except bp.PoolCorrupt as error:
            found[call] = error
    return found


# --- what is seen ---


def test_an_inspector_says_what_the_pool_says(shared, peer):
    """Stats, runs, names and audit of an inspector in another process are those of the pool."""
    kept = shared.allocate(nbytes=5000)
    shared.keep("kept", kept)
    sent = shared.allocate()
    sent.share(2)
    peer(f"inspector = bp.inspect({shared.name!r})")
    for call in ("runs", "names"):
        assert peer(f"inspector.{call}()") == getattr(shared, call)(), call
    theirs, ours = peer("inspector.stats()"), shared.stats()
    assert 0 <= theirs.oldest_ticket <= ours.oldest_ticket  # a second may have passed
    assert dataclasses.replace(theirs, oldest_ticket=ours.oldest_ticket) == ours
    assert peer("inspector.check()") == shared.check(repair=False)
    assert peer("inspector.exists()") is True
    assert peer("[inspector.name, inspector.block_size, inspector.blocks, inspector.nbytes]") == [
        shared.name, shared.block_size, shared.blocks, shared.nbytes,
    ]  # fmt: skip
    assert peer("[inspector.max_processes, inspector.permanent, inspector.on_fork, inspector.made_by]") == [
        256, False, "share", bp.__version__,
    ]  # fmt: skip
    kept.release()
    assert peer("inspector.stats().allocated") == shared.stats().allocated  # each call looks again


def test_attributes_say_how_the_pool_was_created(pool_names, file_of):
    """An inspector tells the geometry, the size of the file, and the choices that were made at create."""
    name = pool_names()
    pool = bp.Pool.create("8KiB", 100, name=name, processes=1000, permanent=True, on_fork="detach")
    with bp.inspect(name) as inspector:
        assert (inspector.block_size, inspector.blocks, inspector.nbytes) == (8192, 100, 819200)
        assert inspector.segment_bytes == file_of(name).stat().st_blocks * 512
        assert (inspector.permanent, inspector.on_fork, inspector.max_processes) == (True, "detach", 1000)
        assert inspector.pool_id == pool.allocate().handle.pool_id
    assert inspector.blocks == 100  # also once it is closed


def test_processes(shared, peers):
    """Each attached process is there with its command, its start and what it did; a dead one until it is recovered."""
    first, second = peers(), peers()
    before = time.time()
    first(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(3)")
    second(f"""
        pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(13)
        try: pool.allocate(timeout=0.01)
        except bp.PoolExhausted: pass
    """)
    inspector = bp.inspect(shared.name)
    found = inspector.processes()
    assert [(one.pid, one.alive) for one in found] == [(os.getpid(), True), (first.pid, True), (second.pid, True)]
    assert [(one.allocations, one.failures, one.waits) for one in found] == [(0, 0, 0), (3, 0, 0), (13, 1, 1)]
    assert found[2].waited > 0
    assert "peer.py" in found[1].command
    assert before - 60 < found[1].started < time.time() + 1
    second.kill()
    assert [one.alive for one in inspector.processes()] == [True, True, False]
    assert inspector.stats().processes == 2
    shared.recover()
    assert [one.pid for one in inspector.processes()] == [os.getpid(), first.pid]


def test_a_process_that_is_attaching_has_no_id(shared, peer, file_of):
    """Until a process has signed its place nobody knows its id. It is None then: 0 would be killed with os.kill."""
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        kept = pool.allocate()
        queue = pool.queue("tasks", redeliver=True)
    """)
    tasks = shared.queue("tasks", redeliver=True)
    tasks.put(b"task")
    peer("task = queue.get()")
    inspector = bp.inspect(shared.name)
    with file_of(shared.name).open("r+b", buffering=0) as file:
        contents = file.read(1 << 16)
        signed = [at for at in range(0, len(contents), 8) if contents[at : at + 8] == peer.pid.to_bytes(8, "little")]
        assert signed
        for at in signed:
            os.pwrite(file.fileno(), bytes(8), at)
        assert [one.pid for one in inspector.processes()] == [os.getpid(), None]
        assert [run.holders for run in inspector.runs() if run.index == 0] == [(None,)]
        (queue,) = inspector.queues()
        assert queue.name == tasks.name
        assert (queue.taken, queue.processes) == (((None, 1),), (os.getpid(), None))
        for at in signed:
            os.pwrite(file.fileno(), peer.pid.to_bytes(8, "little"), at)


def test_a_new_process_begins_to_count(shared, peers):
    """A process that gets the place of one that left is not blamed for what that one did."""
    for allocations in (3, 1):
        peer = peers()
        peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many({allocations})")
        found = bp.inspect(shared.name).processes()[1]
        assert (found.pid, found.allocations) == (peer.pid, allocations)
        peer.end()
    assert bp.inspect(shared.name).stats().allocations == 4


@pytest.mark.parametrize("what", ["name", "pool", "handle", "ticket", "text", "id"])
@pytest.mark.parametrize("named", [True, False])
def test_all_that_leads_to_a_pool(pool_names, what, named):
    """A pool is found by its name, a Pool object, a handle, a ticket, its text, or its id."""
    name = pool_names() if named else None
    pool = bp.Pool.create(64, 4, name=name)
    block = pool.allocate()
    ways = {
        "name": name,
        "pool": pool,
        "handle": block.handle,
        "ticket": block.share(),
        "text": str(block.handle),
        "id": block.handle.pool_id,
    }
    if what == "name" and not named:
        with pytest.raises(TypeError, match="NoneType"):
            bp.inspect(None)
    else:
        with bp.inspect(ways[what]) as inspector:
            assert inspector.pool_id == block.handle.pool_id
            assert inspector.name == name
            assert inspector.stats().allocated == 1


def test_pools_without_names_of_other_processes(peer):
    """A pool without a name is found through the process that has it, by id and by handle; and not once it is gone."""
    text = peer("pool = bp.Pool.create(64, 4); block = pool.allocate(); str(block.handle)")
    handle = bp.Handle.parse(text)
    for way in (handle, text, handle.pool_id):
        assert bp.inspect(way).stats().allocated == 1
    inspector = bp.inspect(handle)
    assert inspector.exists()
    peer.end()
    assert not inspector.exists()
    assert inspector.stats().allocated == 0
    inspector.close()
    del inspector
    for way in (handle, text, handle.pool_id):
        with pytest.raises(bp.PoolNotFound):
            bp.inspect(way)


@pytest.mark.parametrize("damage", ["other version", "damaged", "truncated"])
def test_a_search_passes_over_pools_that_cannot_be_read(damage, shared, file_of):
    """A pool without a name that is damaged, or of another release, does not end the search for another one."""
    header = bytearray(file_of(shared.name).read_bytes())
    if damage == "other version":
        header[8] += 1
    elif damage == "damaged":
        header[16] ^= 1
    elif damage == "truncated":
        del header[-1:]
    descriptor = os.memfd_create("blockpool-" + "ab" * 16, os.MFD_CLOEXEC)
    try:
        os.write(descriptor, header)
        with pytest.raises(bp.PoolNotFound):
            bp.inspect("0123456789abcdef" * 2)
    finally:
        os.close(descriptor)


def test_a_name_that_looks_like_an_id():
    """A pool may be named like an id; then its name counts."""
    name = f"{os.getpid():032x}"
    with bp.Pool.create(64, 4, name=name), bp.inspect(name) as inspector:
        assert inspector.name == name


@pytest.mark.parametrize("wrong", [5, b"name", None, ["a"], 1.5, object()])
def test_what_is_no_pool(wrong):
    """What leads to no pool is a TypeError that names its type."""
    with pytest.raises(TypeError, match=type(wrong).__name__):
        bp.inspect(wrong)


@pytest.mark.parametrize("wrong", ["", "a/b", "a b", "ü", "x" * 181, "blockpool-handle:nonsense", "a:b"])
def test_texts_that_no_pool_can_have(wrong):
    """A text that is neither a possible name nor a handle is a ValueError."""
    with pytest.raises(ValueError, match=r"1 to 180 letters|not a handle or ticket"):
        bp.inspect(wrong)


def test_private_and_closed_pools(pool):
    """A private pool is a ValueError that says what to ask instead; a closed one is PoolClosed."""
    with pytest.raises(ValueError, match=r"private.*stats"):
        bp.inspect(pool)
    closed = bp.Pool.create(64, 4)
    closed.close()
    with pytest.raises(bp.PoolClosed):
        bp.inspect(closed)


def test_an_inspector_is_not_made_by_hand():
    """Inspector() is a TypeError that says where one comes from; one cannot be copied into another process."""
    with pytest.raises(TypeError, match=r"blockpool\.inspect"):
        bp.Inspector()
    pool = bp.Pool.create(64, 4)
    with pytest.raises(TypeError):
        pickle.dumps(bp.inspect(pool))
    assert "4 blocks of 64 bytes" in repr(bp.inspect(pool))


# --- what a look changes: nothing ---


def test_a_look_changes_not_one_byte(shared, file_of, peer):
    """The file is the same after every question, with a dead process, a bit that is clear, and a name in it."""
    block = shared.allocate(blocks=3)
    shared.keep("kept", block)
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate(blocks=2)")
    peer.kill()
    parts = Parts(16)
    flip(file_of(shared.name), parts.bitmap, 1 << block.index + 1)
    before = file_of(shared.name).read_bytes()
    with bp.inspect(shared.name) as inspector, bp.inspect(shared) as beside:
        for one in (inspector, beside):
            found = ask_everything(one)
            assert found["stats"].allocated == 5
            assert found["stats"].processes == 1
            assert found["check"].healed == 0
            assert {pid for run in found["runs"] for pid in run.holders} == {os.getpid(), peer.pid}
            assert found["names"] == ["kept"]
    assert shared.check(repair=False).healed == 0
    bp.pools()
    bp.sweep()
    assert file_of(shared.name).read_bytes() == before
    assert before[parts.bitmap] == 0b11101  # block 1 of the run seems free
    assert shared.check().allocated == 3
    assert file_of(shared.name).read_bytes()[parts.bitmap] == 0b00111  # now it was healed, and the dead recovered


def test_a_full_pool_can_be_looked_at(pool_name, peer):
    """With all places taken, looking works, and takes none: the next process still finds the pool as full as it was."""
    pool = bp.Pool.create(64, 4, name=pool_name, processes=1)
    with pytest.raises(bp.TooManyProcesses):
        peer(f"bp.Pool.attach({pool_name!r})")
    assert peer(f"inspector = bp.inspect({pool_name!r}); inspector.stats()") == pool.stats()
    assert pool.stats().processes == pool.stats().max_processes == 1
    pool.close()
    assert peer("inspector.exists()") is False
    peer("pool = bp.Pool.create(64, 4, name=inspector.name, processes=1)")  # the name was free


def test_an_audit_without_repair(shared, peer, file_of):
    """check(repair=False) changes nothing and finds what check finds; it does not wait for a stopped process."""
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        import fcntl, struct
        gate = os.open("/dev/shm/blockpool." + pool.name, os.O_RDWR)
        lock = struct.pack("hhqqi", fcntl.F_WRLCK, 0, (1 << 60) + 63, 1, 0)
        fcntl.fcntl(gate, 37, lock)  # F_OFD_SETLK
    """)
    peer.process.send_signal(signal.SIGSTOP)
    try:
        for check in (lambda: shared.check(repair=False), bp.inspect(shared.name).check):
            assert check().allocated == 0
            await_true(lambda check=check: seconds_of(check) < 4)  # a wait for the gate takes five seconds
    finally:
        peer.process.send_signal(signal.SIGCONT)
    peer("os.close(gate)")
    parts = Parts(16)
    flip(file_of(shared.name), parts.entries + 5 * parts.entry + 7, 0xE0)
    for check in (lambda: shared.check(repair=False), bp.inspect(shared.name).check):
        with pytest.raises(bp.PoolCorrupt, match="block 5"):
            check()
    flip(file_of(shared.name), parts.entries + 5 * parts.entry + 7, 0xE0)


def test_an_audit_of_a_private_pool(pool):
    """A private pool accepts repair=False, which makes no difference."""
    block = pool.allocate(blocks=2)
    assert pool.check(repair=False) == pool.check() == bp.Audit(blocks=16, allocated=2, runs=1)
    assert pool.stats().max_processes == pool.stats().processes == 1
    block.free()


def test_what_recovery_brought_back_counts_as_freed(shared, peer):
    """When a holder is killed, its runs count as freed once they are recovered, and not before."""
    peer(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(4)")
    shared.allocate().free()
    inspector = bp.inspect(shared.name)
    peer.kill()
    for stats in (shared.stats(), inspector.stats()):
        assert (stats.allocations, stats.frees, stats.processes) == (5, 1, 1)
    shared.recover()
    for stats in (shared.stats(), inspector.stats()):
        assert (stats.allocations, stats.frees, stats.allocated) == (5, 5, 0)


def test_a_watched_pool_recovers(shared, peers, await_waiting):
    """However often others ask for the state, a process that waits for room gets that of a killed process."""
    doomed, waiting = peers(), peers()
    doomed(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate_many(16)")
    waiting(f"pool = bp.Pool.attach({shared.name!r})")
    waiting.start("got = pool.allocate(timeout=600); got.index")
    await_waiting(shared.name)
    inspector = bp.inspect(shared.name)
    deadline = time.monotonic() + 60
    while not waiting.answers(0.01):
        stats = shared.stats(), inspector.stats()
        if stats[0].processes == 3:
            doomed.kill()
        assert time.monotonic() < deadline, "nobody recovers"
    waiting.answer()
    waiting("got.free()")


# --- a pool that changes meanwhile ---


def test_a_pool_at_work(pool_name, peers):
    """While four processes allocate and free, and others come and go, an inspector finds no fault, nor too many."""
    pool = bp.Pool.create(64, 2000, name=pool_name, processes=8)
    pool.allocate().free()
    workers = [peers() for _ in range(4)]
    for seed, worker in enumerate(workers):
        worker(f"""
            import random
            from shared.peer_work import AtWork
            random_numbers = random.Random({seed})
            kept = []
            def work():
                pool = bp.Pool.attach({pool_name!r}) if random_numbers.random() < 0.01 or not kept else kept[0].pool
                kept.append(pool.allocate(blocks=random_numbers.randint(1, 5)))
                if random_numbers.random() < 0.05:
                    pool.keep("newest", kept[-1], replace=True)
                if len(kept) > 20:
                    kept[random_numbers.randrange(20) :] = []
            at_work = AtWork(work)
        """)
    until = time.monotonic() + 2
    looks = 0
    with bp.inspect(pool_name) as inspector:
        while time.monotonic() < until or looks <= 5:
            stats = inspector.stats()
            assert 0 <= stats.allocated <= 2000
            assert stats.processes <= 5
            end = 0
            for run in inspector.runs():
                assert run.index >= end
                end = run.index + run.blocks
            assert end <= 2000
            assert inspector.check().blocks == 2000
            assert inspector.names() in ([], ["newest"])
            looks += 1
    for worker in workers:
        worker("at_work.stop()")


def test_a_pool_that_loses_its_name(shared):
    """When the name is removed, an inspector goes on, and the pool exists as long as a process has it."""
    inspector = bp.inspect(shared.name)
    pool_id = inspector.pool_id
    block = shared.allocate()
    shared.unlink()
    assert inspector.exists()
    assert inspector.stats().allocated == 1
    with bp.inspect(block.handle) as by_handle, bp.inspect(pool_id) as by_id, bp.inspect(shared) as by_object:
        assert by_handle.pool_id == by_id.pool_id == by_object.pool_id == pool_id
    with pytest.raises(bp.PoolNotFound):
        bp.inspect(shared.name)
    block.free()
    del block
    shared.close()
    assert not inspector.exists()
    assert inspector.processes() == []


def test_a_name_that_gets_another_pool(pool_name, peer):
    """An inspector keeps to its pool when another one gets the name; looking by the name shows the other."""
    first = bp.Pool.create(64, 4, name=pool_name)
    handle = first.allocate().handle
    inspector = bp.inspect(pool_name)
    first.close()
    gc.collect()
    second = bp.Pool.create(128, 8, name=pool_name)
    assert inspector.blocks == inspector.stats().blocks == 4
    assert not inspector.exists()
    assert bp.inspect(pool_name).pool_id == second.allocate().handle.pool_id != inspector.pool_id
    with pytest.raises(bp.PoolNotFound, match=pool_name):
        peer(f"bp.inspect({str(handle)!r})")


def test_a_pool_that_is_swept(pool_name, peer, file_of):
    """Looking at a pool of the dead does not keep it: sweep removes it, and the inspector says so."""
    peer(f"pool = bp.Pool.create(64, 4, name={pool_name!r}); kept = pool.allocate()")
    with unswept(file_of(pool_name)):
        peer.kill()
        inspector = bp.inspect(pool_name)
        assert inspector.exists()  # it has its name
        assert [one.alive for one in inspector.processes()] == [False]
        assert inspector.stats().allocated == 1
    sweep_away(file_of(pool_name))
    assert not inspector.exists()
    assert inspector.stats().allocated == 1


def test_pools_that_come_and_go_under_a_name(pool_name, peer):
    """While a process creates and drops pools of one name, looking finds a pool or none, and never anything else."""
    peer(f"""
        from shared.peer_work import AtWork
        at_work = AtWork(lambda: bp.Pool.create(64, 40, name={pool_name!r}).close())
    """)
    found = missed = 0
    until = time.monotonic() + 60
    while (found < 50 or missed < 50) and time.monotonic() < until:
        try:
            with bp.inspect(pool_name) as inspector:
                ask_everything(inspector)
                assert inspector.blocks == 40
                found += 1
        except bp.PoolNotFound:
            missed += 1
    assert found >= 50
    peer("at_work.stop()")


def test_a_file_that_was_cut(pool_name, file_of):
    """A file that is shorter than it was is PoolCorrupt from then on, and not a crash; whole again, it is fine."""
    pool = bp.Pool.create("4KiB", 16, name=pool_name)
    inspector = bp.inspect(pool_name)
    size = file_of(pool_name).stat().st_size
    os.truncate(file_of(pool_name), size - 4096)
    for call in CALLS:
        with pytest.raises(bp.PoolCorrupt, match="size of its file"):
            getattr(inspector, call)()
    for other in (pool_name, pool):
        with pytest.raises(bp.PoolCorrupt, match="size of its file"):
            bp.inspect(other)
    os.truncate(file_of(pool_name), size)
    assert inspector.check().blocks == 16
    assert inspector.exists()


# --- damage ---


def test_no_damage_crashes_a_look(run_program, pool_name):
    """Random bytes anywhere in the bookkeeping lead to other answers or PoolCorrupt, and never to anything else."""
    run_program("shared/look_at_damage.py", pool_name, str(random.randrange(1 << 32)))


def test_damaged_names_and_commands(shared, file_of):
    """Names and command lines that are not text are shown with replacements."""
    block = shared.allocate()
    shared.keep("kept", block)
    parts = Parts(16)
    write(file_of(shared.name), parts.slots + COMMAND, b"\xff" * 112)
    write(file_of(shared.name), parts.catalog + 24, b"\xff" * 232)
    inspector = bp.inspect(shared.name)
    assert len(inspector.names()) == 1
    assert set(inspector.names()[0]) == {"\ufffd"}
    assert set(inspector.processes()[0].command) == {"\ufffd"}
    write(file_of(shared.name), parts.catalog + 24, b"kept" + bytes(228))
    assert inspector.names() == ["kept"]


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({0: b"x"}, (bp.PoolCorrupt, "is not a pool")),
        ({8: b"\x63"}, (bp.PoolVersion, f"another release of blockpool, {re.escape(bp.__version__)}")),
        ({20: b"\x05"}, (bp.PoolCorrupt, "damaged")),
    ],
)
def test_files_that_cannot_be_looked_at(shared, peer, file_of, header, why):
    """A damaged header, another version, or another file is the same error as when it is attached."""
    before = file_of(shared.name).read_bytes()
    for offset, data in header.items():
        write(file_of(shared.name), offset, data)
    error, match = why
    with pytest.raises(error, match=match) as here:
        bp.inspect(shared.name)
    with pytest.raises(error, match=match) as there:
        peer(f"bp.Pool.attach({shared.name!r})")
    assert str(here.value) == str(there.value)
    write(file_of(shared.name), 0, before[:104])
    assert bp.inspect(shared.name).exists()


def test_a_directory_has_the_name(pool_name, file_of):
    """A directory with the name of a pool is PoolCorrupt."""
    file_of(pool_name).mkdir()
    try:
        with pytest.raises(bp.PoolCorrupt, match="directory"):
            bp.inspect(pool_name)
    finally:
        file_of(pool_name).rmdir()


# --- the inspector itself ---


def test_close(shared):
    """A closed inspector is PoolClosed in every call; closing is repeatable, frees the descriptor and the mapping."""
    open_before = descriptors_of(shared)
    inspector = bp.inspect(shared.name)
    assert not inspector.closed
    assert descriptors_of(shared) == open_before + 1
    with inspector as entered:
        assert entered is inspector
    assert inspector.closed
    inspector.close()
    for call in CALLS:
        with pytest.raises(bp.PoolClosed, match="inspect"):
            getattr(inspector, call)()
    with pytest.raises(bp.PoolClosed), inspector:
        pass
    assert descriptors_of(shared) == open_before


def test_close_in_another_thread(shared):
    """Closing frees both at once, even if the thread that made the inspector waits and runs nothing."""
    opened, ended, made = threading.Event(), threading.Lock(), []
    ended.acquire()

    def open_and_wait():
        made.append(bp.inspect(shared.name))
        opened.set()
        ended.acquire()

    mapped = Path("/proc/self/maps").read_text().count(shared.name)
    thread = threading.Thread(target=open_and_wait)
    thread.start()
    try:
        assert opened.wait(60)
        assert Path("/proc/self/maps").read_text().count(shared.name) == mapped + 1
        made.pop().close()
        assert Path("/proc/self/maps").read_text().count(shared.name) == mapped
    finally:
        ended.release()
        thread.join()


def test_inspectors_leak_nothing(shared):
    """A thousand looks, half of them dropped without close, leave no descriptor and no mapping behind."""

    def open_things():
        maps = Path("/proc/self/maps").read_text()
        return descriptors_of(shared), maps.count(shared.name)

    before = open_things()
    for i in range(1000):
        inspector = bp.inspect(shared.name)
        if i % 2:
            inspector.close()
    del inspector
    assert open_things() == before


def test_closing_while_another_thread_asks(shared):
    """Closing an inspector while other threads ask it ends their next call with PoolClosed, and nothing else."""
    shared.allocate()
    for _ in range(100):
        inspector = bp.inspect(shared.name)
        ends = []

        def ask(inspector=inspector, ends=ends):
            try:
                while True:
                    inspector.stats()
                    inspector.check()
                    inspector.processes()
            except bp.PoolClosed:
                ends.append(True)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.002)
        inspector.close()
        for thread in threads:
            thread.join(60)
        assert ends == [True] * 3


def test_forked_children(run_program, pool_name):
    """A child gets nothing of its parent's inspectors: PoolClosed, no descriptor, no mapping; it can make its own."""
    run_program("shared/fork_beside_inspectors.py", pool_name)
