"""`runs` and `check`: what is allocated, and bookkeeping that something wrote over."""

import contextlib
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import blockpool as bp
from ledgers import OPENING, head_at, named, written
from waits import await_true


def test_runs_are_listed_in_the_order_of_addresses(pool):
    """`runs` lists every live run with its index, its length in blocks and bytes, and this process as its holder."""
    assert pool.runs() == []
    a, b, c = pool.allocate(), pool.allocate(blocks=4), pool.allocate(nbytes=5000)
    me = (os.getpid(),)
    expected = [bp.Run(0, 1, 4096, me, 0), bp.Run(1, 4, 16384, me, 0), bp.Run(5, 2, 8192, me, 0)]
    assert pool.runs() == expected
    b.free()
    assert pool.runs() == [expected[0], expected[2]]
    d, e = pool.allocate(blocks=2), pool.allocate(blocks=2)
    assert [(run.index, run.blocks) for run in pool.runs()] == [(0, 1), (1, 2), (3, 2), (5, 2)]
    for block in (a, c, d, e):
        block.free()


def test_a_run_is_frozen(pool):
    """Run, Audit, PoolStats and Residency are frozen dataclasses with slots: comparable, hashable, unchangeable."""
    block = pool.allocate()
    for report in (pool.runs()[0], pool.check(), pool.stats(), pool.residency()):
        name = dataclasses.fields(report)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(report, name, 1)
        assert report == dataclasses.replace(report)
        assert hash(report) == hash(dataclasses.replace(report))
        assert not hasattr(report, "__dict__")
    block.free()


def test_runs_across_words():
    """`runs` and `check` report runs that cross words and chunks of the bitmap whole."""
    pool = bp.Pool(8, 2000)
    lengths = [1, 62, 3, 64, 1, 512, 700, 1, 65]
    blocks = [pool.allocate(blocks=n) for n in lengths]
    assert sorted(run.blocks for run in pool.runs()) == sorted(lengths)
    assert {(run.index, run.blocks) for run in pool.runs()} == {(b.index, b.blocks) for b in blocks}
    assert pool.check() == bp.Audit(blocks=2000, allocated=sum(lengths), runs=len(lengths))


def test_check_counts_what_it_looked_at(pool):
    """`check` of a sound pool returns an Audit with its blocks, allocated blocks and runs."""
    assert pool.check() == bp.Audit(blocks=16, allocated=0, runs=0)
    kept = pool.allocate(blocks=3), pool.allocate()
    assert pool.check() == bp.Audit(blocks=16, allocated=4, runs=2)
    del kept
    assert pool.check() == bp.Audit(blocks=16, allocated=0, runs=0)


def _corrupt(pool):
    with pytest.raises(bp.PoolCorrupt, match=r"save what you can, and create a new pool$") as caught:
        pool.check()
    return str(caught.value)


def test_check_finds_a_continuation_of_nothing(pool, bookkeeping):
    """`check` names a free block that is marked as part of a run."""
    words = bookkeeping(pool)
    with words.changed(words.continuations, 1 << 5):
        assert "1 fault in the bookkeeping: block 5 is marked as part of a run but is free" in _corrupt(pool)
    pool.check()


def test_check_finds_a_run_without_its_head(pool, bookkeeping):
    """`check` names an allocated block that continues a free one."""
    words = bookkeeping(pool)
    kept = pool.allocate(blocks=3)
    with words.changed(words.words, 1 << 0):
        message = _corrupt(pool)
    assert (
        "1 fault in the bookkeeping: block 1 is marked as continuing a run but the block before it is free" in message
    )
    pool.check()
    del kept


def test_check_finds_changes_past_the_end(pool, bookkeeping):
    """`check` names a changed bit past the last block."""
    words = bookkeeping(pool)
    for address in (words.words, words.continuations):
        with words.changed(address, 1 << 16):
            assert "in the bookkeeping: bit 16, past the last block, was changed" in _corrupt(pool)
        pool.check()


def test_check_finds_a_summary_that_hides_room(pool, bookkeeping):
    """`check` names a summary that promises less room than there is: the pool would seem smaller than it is."""
    words = bookkeeping(pool)
    kept = pool.allocate_many(16)
    with pytest.raises(bp.PoolExhausted):
        pool.allocate(blocks=2)
    pool.check()
    with words.changed(words.words, 0b110):
        assert "summary 0 promises less room than there is" in _corrupt(pool)
    pool.check()
    del kept


def test_check_names_the_first_faults_and_counts_all(pool, bookkeeping):
    """The message for a badly damaged pool counts all faults and names only the first ones."""
    words = bookkeeping(pool)
    with words.changed(words.continuations, 0x5555_5555_5555_5555):
        message = _corrupt(pool)
    assert message.startswith("32 faults in the bookkeeping: block 0 is marked as part of a run but is free; block 2 ")
    assert "; and 16 more." in message
    pool.check()


# --- others at work ---


def _is_stopped(pid):
    """Whether all threads of a process have stopped; each does so for itself."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return all((thread / "stat").read_text().rpartition(")")[2].split()[0] == "T" for thread in threads)


def test_a_process_that_is_stopped_in_the_midst_is_no_damage(shared, peer):
    """Wherever a signal stops a process that allocates and frees, `check` in another process finds no fault."""
    peer(f"""
        pool = bp.Pool.attach({shared.name!r})
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                pool.allocate(blocks=12).free()
        thread = threading.Thread(target=churn)
        thread.start()
    """)
    in_transit = []
    for stop in range(150):
        time.sleep(stop % 7 / 5000)
        os.kill(peer.pid, signal.SIGSTOP)
        try:
            await_true(lambda: _is_stopped(peer.pid))
            audit = shared.check()
            assert audit == dataclasses.replace(shared.check(), healed=audit.healed)
            in_transit.append(audit.in_transit)
        finally:
            os.kill(peer.pid, signal.SIGCONT)
    assert max(in_transit) <= 12
    peer("stop.set(); thread.join()")
    assert shared.check() == bp.Audit(blocks=16, allocated=0, runs=0)


@contextlib.contextmanager
def _word(file, index, word):
    """Put a word into the ledger of a shared pool during a `with`."""
    with file.open("r+b") as opened, written(opened, head_at(opened, index), word):
        yield


def test_what_another_process_may_be_at_is_a_fault_when_there_is_none(shared, peers, file_of):
    """A half-made run or a block without an owner is in transit while others are attached; otherwise it is a fault."""
    file = file_of(shared.name)
    other = peers()
    with _word(file, 9, OPENING | named(0)):
        assert "the run at block 9 was left half made or half freed" in _corrupt(shared)
        other(f"pool = bp.Pool.attach({shared.name!r})")
        audit = shared.check()
        assert (audit.allocated, audit.in_transit) == (1, 1)
    audit = shared.check()
    assert (audit.allocated, audit.in_transit) == (0, 1)
    other("pool.close()")
    message = _corrupt(shared)
    assert "1 fault in the bookkeeping: block 9 is marked as allocated but no process holds it" in message
    last = peers()
    last(f"pool = bp.Pool.attach({shared.name!r})")
    last.kill()
    await_true(lambda: shared.recover().processes)
    assert shared.check() == bp.Audit(blocks=16, allocated=0, runs=0)


def test_threads_that_sleep_hide_no_damage(pool, pool_name, bookkeeping, file_of):
    """Sleeping threads of the process do not make `check` take damage for work in progress."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        words = bookkeeping(pool)
        kept = pool.allocate_many(16)
        with pytest.raises(bp.PoolExhausted):
            pool.allocate(blocks=2)
        with words.changed(words.words, 0b110):
            assert "summary 0 promises less room than there is" in _corrupt(pool)
        del kept
        shared = bp.Pool.create(64, 16, name=pool_name)
        with _word(file_of(pool_name), 9, OPENING | named(0)):
            assert "block 9 was left half made" in _corrupt(shared)
    finally:
        done.set()
        for thread in threads:
            thread.join()
