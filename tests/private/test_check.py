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


def test_runs_are_listed_in_the_order_of_addresses(pool):
    """Every live run is there with its place and length, in whole blocks; holders is this process."""
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
    """What is reported cannot be mistaken for a handle to change something."""
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
    """Runs that cross words and chunks are reported whole."""
    pool = bp.Pool(8, 2000)
    lengths = [1, 62, 3, 64, 1, 512, 700, 1, 65]
    blocks = [pool.allocate(blocks=n) for n in lengths]
    assert sorted(run.blocks for run in pool.runs()) == sorted(lengths)
    assert {(run.index, run.blocks) for run in pool.runs()} == {(b.index, b.blocks) for b in blocks}
    assert pool.check() == bp.Audit(blocks=2000, allocated=sum(lengths), runs=len(lengths))


def test_check_counts_what_it_looked_at(pool):
    """A sound pool gives an audit: blocks, allocated ones, runs."""
    assert pool.check() == bp.Audit(blocks=16, allocated=0, runs=0)
    kept = pool.allocate(blocks=3), pool.allocate()
    assert pool.check() == bp.Audit(blocks=16, allocated=4, runs=2)
    del kept
    assert pool.check() == bp.Audit(blocks=16, allocated=0, runs=0)


def _corrupt(pool):
    with pytest.raises(bp.PoolCorrupt, match=r"save what you can, and make a new pool$") as caught:
        pool.check()
    return str(caught.value)


def test_check_finds_a_continuation_of_nothing(pool, bookkeeping):
    """A free block that is marked as part of a run is a fault, and named."""
    words = bookkeeping(pool)
    with words.changed(words.continuations, 1 << 5):
        assert "1 fault in the bookkeeping: block 5 is marked as part of a run but is free" in _corrupt(pool)
    pool.check()


def test_check_finds_a_run_without_its_head(pool, bookkeeping):
    """An allocated block that continues a free one is a fault."""
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
    """The bits past the last block are as they were made, or it is a fault."""
    words = bookkeeping(pool)
    for address in (words.words, words.continuations):
        with words.changed(address, 1 << 16):
            assert "in the bookkeeping: bit 16, past the last block, was changed" in _corrupt(pool)
        pool.check()


def test_check_finds_a_summary_that_hides_room(pool, bookkeeping):
    """A summary that promises less room than there is would make the pool smaller than it is: a fault."""
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
    """A damaged pool does not give an endless message."""
    words = bookkeeping(pool)
    with words.changed(words.continuations, 0x5555_5555_5555_5555):
        message = _corrupt(pool)
    assert message.startswith("32 faults in the bookkeeping: block 0 is marked as part of a run but is free; block 2 ")
    assert "; and 16 more." in message
    pool.check()


# --- others at work ---


def _is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_a_process_that_is_stopped_in_the_midst_is_no_damage(shared, peer):
    """Wherever a signal stops a process, in allocating or freeing or between, check() of another one finds no fault."""
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
            while not _is_stopped(peer.pid):
                time.sleep(0.0001)
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
    """Put a word into the ledger for a while."""
    at = 4096 + 47 * 256 + 8 * index
    with file.open("r+b") as opened:
        right = os.pread(opened.fileno(), 8, at)
        os.pwrite(opened.fileno(), word.to_bytes(8, "little"), at)
        yield
        os.pwrite(opened.fileno(), right, at)


def test_what_another_process_may_be_at_is_a_fault_when_there_is_none(shared, peers, file_of):
    """A run half made, or a block that nobody has, is in transit while others are attached, and else a fault."""
    file = file_of(shared.name)
    other = peers()
    with _word(file, 9, 2 << 61 | 1):
        assert "the run at block 9 was left half made or half freed" in _corrupt(shared)
        other(f"pool = bp.Pool.attach({shared.name!r})")
        audit = shared.check()
        assert (audit.allocated, audit.in_transit) == (1, 1)
    audit = shared.check()
    assert (audit.allocated, audit.in_transit) == (0, 1)
    other("pool.close()")
    message = _corrupt(shared)
    assert "1 fault in the bookkeeping: block 9 is marked as allocated but nobody has it" in message
    last = peers()
    last(f"pool = bp.Pool.attach({shared.name!r})")
    last.kill()
    while shared.recover().processes == 0:
        time.sleep(0.001)
    assert shared.check() == bp.Audit(blocks=16, allocated=0, runs=0)


def test_threads_that_sleep_hide_no_damage(pool, pool_name, bookkeeping, file_of):
    """Other threads of the process are in the midst of nothing while they sleep: what is wrong then is a fault."""
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
        with _word(file_of(pool_name), 9, 2 << 61 | 1):
            assert "block 9 was left half made" in _corrupt(shared)
    finally:
        done.set()
        for thread in threads:
            thread.join()
