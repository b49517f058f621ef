"""The notes of runs of shared pools, which go with them from process to process."""

import mmap
import os
import pickle
import random
import signal
import time
from pathlib import Path

import pytest

import blockpool as bp
from segment_parts import LANES

FILES = Path("/dev/shm")  # noqa: S108 - where pools are
PAGE = 4096


def memory_of(pool):
    """Return how many bytes of memory the file of the pool has."""
    return (FILES / f"blockpool.{pool.name}").stat().st_blocks * 512


# --- they go with their run ---
def test_a_note_goes_with_a_ticket_a_pickle_and_a_name(shared, peer):
    """Whatever way a process gets a run, it has the run's note, and sees it change."""
    block = shared.allocate(blocks=2)
    block.note = b"camera 3"
    shared.keep("frame", block)
    peer(f"pool = bp.Pool.attach({shared.name!r})")
    for way in (
        f"bp.redeem({str(block.share())!r})",
        f"bp.redeem({str(block.handle)!r})",
        f"__import__('pickle').loads({pickle.dumps(block)!r})",
        f"__import__('pickle').loads({pickle.dumps(block.readonly())!r})",
        "pool.get('frame')",
    ):
        peer(f"got = {way}")
        assert peer("got.note") == block.note
        block.note = way.encode()[:120]
        assert peer("got.note") == way.encode()[:120]
    peer("got.note = b'by the peer'")
    assert block.note == b"by the peer"
    shared.forget("frame")
    block.release()
    assert peer("got.note") == b"by the peer"
    peer("got.free()")


def test_a_note_goes_through_queues(shared, peer):
    """A block, or what it is in, has its note on both sides of a queue; the queue keeps it when its sender is done."""
    queue = shared.queue("frames", capacity=4)
    peer(f"queue = bp.Pool.attach({shared.name!r}).queue('frames')")
    block = shared.allocate()
    block.note = b"camera 3"
    queue.put(block)
    queue.put({"frames": [block, 1]})
    queue.put(block.readonly())
    block.release()
    assert peer("got = queue.get(timeout=10); got.note") == b"camera 3"
    peer("got.note = b'seen'")
    assert peer("queue.get(timeout=10)['frames'][0].note") == b"seen"
    assert peer("queue.get(timeout=10).note") == b"seen"


def test_a_forked_child_shares_the_note(shared):
    """Parent and child see each other's notes."""
    block = shared.allocate()
    block.note = b"before"
    child = os.fork()
    if child == 0:
        well = block.note == b"before"
        block.note = b"from the child"
        os._exit(not well)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert block.note == b"from the child"


def test_a_child_without_a_part_has_no_note():
    """In a child that gets no part in the pool, the note raises as everything else does."""
    pool = bp.Pool.create("4KiB", 4, on_fork="detach")
    block = pool.allocate()
    block.note = b"before"
    child = os.fork()
    if child == 0:
        errors = 0
        for use in (lambda: block.note, lambda: setattr(block, "note", b"x")):
            try:
                use()
            except bp.PoolClosed:
                errors += 1
        os._exit(errors != 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert block.note == b"before"


def test_a_read_only_block_does_not_set_the_note(shared, peer):
    """Who was sent a read-only block reads the note, and does not set it."""
    block = shared.allocate()
    block.note = b"mine"
    peer(f"got = __import__('pickle').loads({pickle.dumps(block.readonly())!r})")
    with pytest.raises(TypeError, match="read-only"):
        peer("got.note = b'theirs'")
    assert block.note == peer("got.note") == b"mine"


# --- memory ---
def test_notes_take_memory_once_they_are_set(pool_name):
    """A pool without notes takes none for them; 30 notes take a page."""
    with bp.Pool.create(64, 1000, name=pool_name) as pool:
        blocks = pool.allocate_many(61)
        before = memory_of(pool)
        assert {block.note for block in blocks} == {b""}
        for block in blocks:
            block.note = b""
        assert memory_of(pool) == before
        for count, block in enumerate(blocks):
            block.note = b"x" * 120
            assert memory_of(pool) == before + (count // 30 + 1) * PAGE
        assert {block.note for block in blocks} == {b"x" * 120}


def test_prefault_leaves_notes_alone(pool_name):
    """A pool whose memory is made present at once has memory for no note yet."""
    with bp.Pool.create(64, 1000, name=pool_name, prefault=True) as pool:
        before = memory_of(pool)
        pool.allocate().note = b"x"
        assert memory_of(pool) == before + PAGE


def test_no_memory_for_a_note(run_in_small_shm):
    """With a full /dev/shm, setting a note that needs memory raises PoolExhausted and changes nothing."""
    assert run_in_small_shm("shared/small_shm.py", 8, "note_without_room") == "well\n"


# --- several at once ---
SET_FOREVER = """
    texts = [bytes([97 + i % 26]) * (i % 121) for i in range(1, 121)]
    while True:
        for text in texts:
            got.note = text
"""


def started(peers, block):
    """Start a peer that sets the note of the block for ever."""
    peer = peers()
    peer(f"got = bp.redeem({str(block.share())!r})")
    peer.start(SET_FOREVER)
    return peer


def test_no_reader_gets_a_mixture(shared, peers):
    """While two processes set a note, it is read whole; when both are killed, it can be set again at once."""
    block = shared.allocate()
    block.note = b"a"
    setters = [started(peers, block) for _ in range(2)]
    began, seen = time.monotonic(), set()
    while time.monotonic() < began + (1 if len(seen) > 10 else 60):
        note = block.note
        assert len(set(note)) <= 1, note
        seen.add(note)
    assert len(seen) > 10
    for peer in setters:
        peer.kill()
    assert len(set(block.note)) <= 1
    block.note = b"mine"
    assert block.note == b"mine"


def test_whoever_stops_in_the_middle_is_named(shared, peers):
    """A process that is stopped while it sets a note leaves none; others are told which process to continue."""
    block, other = shared.allocate_many(2)
    block.note = b"before"
    peer = started(peers, block)
    until = time.monotonic() + 60
    while True:
        os.kill(peer.pid, signal.SIGSTOP)
        while Path(f"/proc/{peer.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0)
        if block.note == b"":
            break
        assert time.monotonic() < until, "it was never stopped in the middle"
        os.kill(peer.pid, signal.SIGCONT)
        time.sleep(random.random() / 10000)
    other.note = b"not in the way"
    with pytest.raises(bp.PoolBusy, match=f"process {peer.pid} has been setting the note of block 0 for 5 s; if it is"):
        block.note = b"mine"
    assert block.note == b""
    peer.kill()
    block.note = b"mine"
    assert block.note == b"mine"


# --- damage ---
def test_damage_is_no_note(pool_name):
    """Whatever something wrote over the notes, reading gives bytes and setting works."""
    chance = random.Random(1)
    with bp.Pool.create(64, 100, name=pool_name) as pool:
        blocks = pool.allocate_many(100)
        for block in blocks:
            block.note = b"x" * 120
        path = FILES / f"blockpool.{pool.name}"
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            notes = len(memory) - LANES - 4 * PAGE
            for fill in (b"\xff", b"\0", b"\x01", None):
                memory[notes : notes + 4 * PAGE] = fill * (4 * PAGE) if fill else chance.randbytes(4 * PAGE)
                for block in blocks:
                    assert len(block.note) <= 120
                    block.note = b"y"
                    assert block.note == b"y"
            data = pool.address  # the marks of the pages end where the data begins
            assert data
            start = notes - PAGE - 64 * 100 - (-64 * 100) % PAGE  # between are the ends of tickets
            for fill in (b"\xff", b"\0", b"note"):
                memory[start - 64 : start] = (fill * 64)[:64]
                assert {block.note for block in blocks} == {b""}
                for block in blocks:
                    block.note = b"z"
                assert {block.note for block in blocks} == {b"z"}
        del block
        blocks.clear()
        pool.check()
