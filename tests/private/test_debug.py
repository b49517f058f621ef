"""Debug mode: patterns, canary, quarantine, stacks, leaks, tracemalloc."""

from __future__ import annotations

import ctypes
import logging
import os
import subprocess
import sys
import tracemalloc

import pytest

import blockpool
from blockpool import _debug


@pytest.fixture
def pool() -> blockpool.Pool:
    """Return a pool of 16 blocks of 64 bytes in debug mode."""
    return blockpool.Pool(64, 16, debug=True)


def someone_allocates(pool, **kwargs):
    """Allocate, from a function whose name shows in stacks."""
    return pool.allocate(**kwargs)


def someone_frees(block) -> None:
    """Free, from a function whose name shows in stacks."""
    block.free()


def poke(address: int, value: int = 0x41) -> None:
    """Write a byte past all checks, as wild native code would."""
    ctypes.memset(address, value, 1)


def test_fresh_memory_is_filled_with_a_pattern(pool) -> None:
    """A fresh block is filled with 0xCD in debug mode, even if it was used before."""
    block = pool.allocate(blocks=2)
    assert bytes(block.buf) == b"\xcd" * 128
    block.buf[:] = bytes(128)
    block.free()
    many = pool.allocate_many(16)
    assert all(bytes(one.buf) == b"\xcd" * 64 for one in many)


@pytest.mark.parametrize("end", ["free", "release", "with"])
def test_an_overrun_is_found_when_the_block_comes_back(pool, end: str) -> None:
    """A byte written past nbytes raises BlockOverrun with both stacks when the block comes back; it is not lost."""
    block = someone_allocates(pool, nbytes=10)
    address = block.address
    poke(address + 10)
    with pytest.raises(blockpool.BlockOverrun) as caught:  # noqa: PT012 - three ways to one end
        if end == "with":
            with block:
                pass
        else:
            getattr(block, end)()
    message = str(caught.value)
    assert "at byte 10" in message
    assert "0x41" in message
    allocated, freed = message.split("freed at")
    assert "someone_allocates" in allocated
    assert "test_an_overrun_is_found" in freed
    assert pool.stats().allocated == 0
    with pytest.raises(blockpool.InvalidBlock):
        block.free()
    pool.check()


@pytest.mark.parametrize("at", [10, 63, 64, 127])
def test_every_byte_of_the_slack_is_watched(pool, at: int) -> None:
    """A write anywhere from nbytes to the end of the last block of a run raises BlockOverrun."""
    block = pool.allocate(nbytes=70 if at >= 64 else 10)
    start = block.nbytes
    wrong = max(at, start)
    poke(block.address + wrong)
    with pytest.raises(blockpool.BlockOverrun, match=f"at byte {wrong} "):
        block.free()


def test_writing_all_that_was_asked_for_is_no_overrun(pool) -> None:
    """Writing all bytes from 0 to nbytes - 1 is no overrun."""
    block = pool.allocate(nbytes=100)
    block.buf[:] = b"x" * 100
    block.free()


def test_an_overrun_of_a_dropped_block_goes_to_the_unraisable_hook(pool, monkeypatch) -> None:
    """The overrun of a dropped block goes to sys.unraisablehook, as a destructor cannot raise; the block comes back."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: seen.append(type(unraisable.exc_value)))
    block = pool.allocate(nbytes=1)
    poke(block.address + 1)
    del block
    assert seen == [blockpool.BlockOverrun]
    assert pool.stats().allocated == 0


def test_the_overrun_of_a_twin_is_found_by_the_last_of_them(pool) -> None:
    """If a block has a read-only twin, the overrun is raised by the one that gives the memory back."""
    block = pool.allocate(nbytes=10)
    twin = block.readonly()
    poke(block.address + 11)
    block.release()
    with pytest.raises(blockpool.BlockOverrun):
        twin.free()
    assert pool.stats().allocated == 0


def test_a_write_after_free_is_found_at_reuse_with_both_stacks(pool) -> None:
    """The next allocation of a block that was written to after free raises WriteAfterFree once, and loses no block."""
    block = someone_allocates(pool, nbytes=64)
    address, index = block.address, block.index
    someone_frees(block)
    poke(address + 3)
    with pytest.raises(blockpool.WriteAfterFree) as caught:
        pool.allocate_many(16)
    message = str(caught.value)
    assert f"block {index}:" in message
    assert "at byte 3" in message
    assert "someone_allocates" in message.split("freed at", maxsplit=1)[0]
    assert "someone_frees" in message.split("freed at")[1]
    assert pool.stats().allocated == 0
    pool.check()
    assert len(pool.allocate_many(16)) == 16


def test_a_write_after_free_is_found_at_close(pool) -> None:
    """`close` raises WriteAfterFree for a late write to a block that was not reused, and closes all the same."""
    block = pool.allocate()
    address = block.address
    block.free()
    poke(address + 63)
    with pytest.raises(blockpool.WriteAfterFree, match="at byte 63"):
        pool.close()
    assert pool.closed
    pool.close()


def test_freed_blocks_rest_before_reuse(pool) -> None:
    """In debug mode a freed block is not the next to be allocated, but is used before the pool is exhausted."""
    first = pool.allocate()
    index = first.index
    first.free()
    assert pool.stats().allocated == 0
    assert pool.runs() == []
    assert pool.allocate().index != index
    held = pool.allocate_many(16)
    assert {block.index for block in held} == set(range(16))


def test_what_rests_comes_back_for_a_run(pool) -> None:
    """Blocks that rest after free do not prevent a run of the whole pool."""
    pool.allocate_many(16)
    assert pool.allocate(blocks=16).index == 0


def test_stats_runs_and_check_leave_out_what_rests(pool) -> None:
    """In debug mode stats, runs and check show only what the program holds, with the bytes it asked for."""
    held = pool.allocate(nbytes=70)
    pool.allocate(nbytes=5).free()
    stats = pool.stats()
    assert (stats.allocated, stats.requested_bytes, stats.allocations, stats.frees) == (2, 70, 2, 1)
    assert [(run.index, run.blocks, run.nbytes) for run in pool.runs()] == [(held.index, 2, 70)]
    audit = pool.check()
    assert (audit.allocated, audit.runs) == (2, 1)


def test_outstanding_and_the_log_tell_who_leaks(pool, caplog) -> None:
    """`close` logs each live block with the stack that allocated it, and `outstanding` returns the same as data."""
    held = someone_allocates(pool, nbytes=7)
    pool.allocate().free()
    with caplog.at_level(logging.WARNING, logger="blockpool"):
        pool.close()
    (record,) = caplog.records
    assert record.name == "blockpool"
    assert "nbytes=7" in record.getMessage()
    assert "someone_allocates" in record.getMessage()
    (leak,) = pool.outstanding()
    assert (leak.index, leak.blocks, leak.nbytes) == (held.index, 1, 7)
    assert "someone_allocates" in leak.stack
    held.free()
    assert pool.outstanding() == []


def test_nothing_is_logged_when_nothing_leaks(pool, caplog) -> None:
    """Closing a pool in debug mode logs nothing when no block is live."""
    pool.allocate().free()
    pool.close()
    assert caplog.records == []


def test_outstanding_needs_debug_mode() -> None:
    """`outstanding` without debug mode raises a ValueError that says how to switch it on."""
    with pytest.raises(ValueError, match="debug=True"):
        blockpool.Pool(64, 1, debug=False).outstanding()


def test_tracemalloc_sees_blocks_in_their_own_domain(pool) -> None:
    """In tracemalloc, a live block is a trace of nbytes at the line that allocated it, and a freed one is gone."""
    only_ours = tracemalloc.DomainFilter(inclusive=True, domain=blockpool.TRACEMALLOC_DOMAIN)
    tracemalloc.start()
    try:
        block = someone_allocates(pool, nbytes=30)
        (statistic,) = tracemalloc.take_snapshot().filter_traces([only_ours]).statistics("lineno")
        assert (statistic.size, statistic.count) == (30, 1)
        assert statistic.traceback[0].filename == __file__
        block.free()
        assert not tracemalloc.take_snapshot().filter_traces([only_ours]).traces
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("flags", "variable", "expected"),
    [
        ([], None, False),
        (["-X", "dev"], None, True),
        ([], "1", True),
        ([], "0", False),
        ([], "", False),
    ],
)
def test_the_whole_program_can_run_in_debug_mode(flags, variable, expected) -> None:
    """-X dev and BLOCKPOOL_DEBUG switch debug mode on unless debug= is given."""
    environment = {name: value for name, value in os.environ.items() if name != "BLOCKPOOL_DEBUG"}
    if variable is not None:
        environment["BLOCKPOOL_DEBUG"] = variable
    code = "import blockpool; print(*[blockpool.Pool(8, 1, debug=d).debug for d in (None, True, False)])"
    result = subprocess.run(
        [sys.executable, *flags, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == [str(expected), "True", "False"]


def test_views_still_pin_in_debug_mode(pool) -> None:
    """In debug mode too, a view keeps its block allocated and outlives the pool."""
    block = pool.allocate(nbytes=5)
    view = block.buf
    with pytest.raises(blockpool.BlockInUse):
        block.free()
    block.release()
    assert pool.stats().allocated == 1
    pool.close()
    view[:] = b"alive"
    del pool, block
    assert bytes(view) == b"alive"


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_a_run_that_cannot_rest_comes_back_at_once(monkeypatch, error) -> None:
    """If debug mode's bookkeeping lacks memory or stack, `free` raises that error, and the run is not lost."""
    pool = blockpool.Pool(64, 8, debug=True)
    block = pool.allocate(blocks=3)

    def fail(*_arguments: object) -> None:
        raise error

    monkeypatch.setattr(_debug.Guard, "take_back", fail)
    with pytest.raises(error):
        block.free()
    assert pool.stats().allocated == 0
    assert pool.outstanding() == []
    pool.check()


@pytest.mark.parametrize("error", ["KeyboardInterrupt", "MemoryError"])
@pytest.mark.parametrize("way", ["free", "release", "drop", "with", "overrun", "many"])
def test_a_failure_at_any_step_loses_no_block(run_program, error, way) -> None:
    """Ctrl-C or a lack of memory at any step of allocating or giving back leaves each block allocated or free."""
    assert run_program("private/debug_failures.py", error, way) == "done True\n"


@pytest.mark.parametrize("by", ["collector", "signal"])
def test_what_is_freed_while_the_pool_closes_disturbs_nothing(run_program, by) -> None:
    """Blocks that a finalizer or a signal handler frees in the middle of `close` raise nothing there."""
    run_program("private/debug_close.py", by)
