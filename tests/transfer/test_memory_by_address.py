"""Memory that is sent by its address, whatever object has it: only that of runs which this process holds."""

import numpy as np
import pytest

import blockpool as bp
from blockpool import _core


@pytest.fixture
def pool(shared):
    """Give a pool of 16 blocks of 4 KiB; in the end nothing is in it or in flight."""
    yield shared
    shared.recover()
    assert (shared.stats().allocated, shared.stats().tickets) == (0, 0)


def _address(view):
    return np.frombuffer(view, np.uint8).__array_interface__["data"][0]


def _is_sent(address, nbytes):
    """Return whether that memory is accepted, in each of the ways in which an address can be given."""
    sent = []
    parts = _core.send_memory(address, nbytes, False, sent)  # noqa: FBT003 - a function of C
    assert len(sent) == (parts is not None)
    _core.take_back(sent)
    found = _core.is_in_a_pool(address, nbytes)
    assert found == (_core.memory_in_a_pool(address, nbytes) is not None) == (parts is not None)
    return found


def test_a_slice_in_the_middle_is_sent(pool):
    """Memory in the middle of a held run is sent, and what is received is that memory."""
    with pool.allocate(blocks=3) as block:
        block.buf[5000:5004] = b"here"
        at = _address(block.buf)
        assert _is_sent(at, block.nbytes)
        assert _is_sent(at + 4096, 1)
        assert _is_sent(at + block.nbytes - 1, 1)
        parts = _core.send_memory(at + 5000, 4, False, [])  # noqa: FBT003 - as above
        received = _core._receive_memory(*parts)
        assert bytes(received) == b"here"
        assert _address(received) == at + 5000
        del received


def test_memory_across_two_runs_is_not_sent(pool):
    """Memory that begins in a run and ends in the next one is not of one run, though both are held."""
    with pool.allocate() as first, pool.allocate() as second:
        low, high = sorted(map(_address, (first.buf, second.buf)))
        assert high - low == 4096
        assert _is_sent(low, 4096)
        assert not _is_sent(low, 4097)
        assert not _is_sent(low + 4095, 2)


def test_memory_of_a_freed_run_is_not_sent(pool):
    """An address in a run that was freed is not memory in use."""
    block = pool.allocate(blocks=2)
    at = _address(block.buf)
    assert _is_sent(at + 4096, 10)
    block.release()
    assert not _is_sent(at, 10)
    assert not _is_sent(at + 4096, 10)


def test_memory_that_another_process_holds_is_not_sent(pool, peer):
    """A run that only another process holds is not this one's to send, until this one holds it as well."""
    with pool.allocate() as block:
        start = _address(block.buf) - 4096 * block.index
    handle = peer(f"theirs = bp.Pool.attach({pool.name!r}).allocate(blocks=2); theirs.handle")
    at = start + 4096 * handle.index
    assert not _is_sent(at, 10)
    assert not _is_sent(at + 4096, 10)
    with bp.redeem(handle):
        assert _is_sent(at, 10)
        assert _is_sent(at + 4096, 10)
    assert not _is_sent(at, 10)
    peer("theirs.release()")


def test_memory_in_no_pool_is_not_sent(pool):
    """Memory that is in no pool, or in a private one, is not sent."""
    assert not _is_sent(_address(bytearray(100)), 100)
    assert not _is_sent(0, 1)
    with bp.Pool("4KiB", 1) as private, private.allocate() as block:
        assert not _is_sent(_address(block.buf), 100)
    with pool.allocate() as block:
        assert not _is_sent(_address(block.buf), 0)
