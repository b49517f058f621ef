"""Receivers that have no Pool object: they attach for each block that comes, and leave when it goes."""

import os
import pickle
from pathlib import Path

import pytest

import blockpool as bp
from blockpool import _handles
from blockpool._handles import find_descriptor

# What the process has of pools: mappings, and descriptors.
LOOK = """
    import os
    from pathlib import Path
    def parts():
        found = Path("/proc/self/maps").read_text().splitlines()
        for number in os.listdir("/proc/self/fd"):
            try:
                found.append(os.readlink(f"/proc/self/fd/{number}"))
            except OSError:  # that of the listing itself
                pass
        return [one for one in found if "/memfd:blockpool-" in one or "/dev/shm/blockpool." in one]
"""


@pytest.mark.parametrize("named", [True, False])
def test_nothing_of_the_pool_stays(pool_names, peer, named):
    """A receiver that has dropped its block is no process of the pool, and has none of its memory or descriptors."""
    peer(LOOK)
    with bp.Pool.create("4KiB", 8, name=pool_names() if named else None) as pool:
        for number in range(5):
            block = pool.allocate()
            block.buf[0] = number
            data = pickle.dumps(block)
            assert peer(f"got = pickle.loads({data!r}); got.buf[0]") == number
            assert pool.stats().processes == 2
            assert len(peer("parts()")) >= 2
            peer("del got; gc.collect()")
            assert pool.stats().processes == 1
            assert peer("parts()") == []
            block.free()
        pool.check()


@pytest.mark.parametrize("named", [True, False])
def test_a_large_pool_costs_no_more(pool_names, peer, named):
    """Receiving and dropping a block reads little of the pool, and nothing of what its queues may use.

    To read all of that, here 16 MiB of small blocks with 8 MiB of bookkeeping, is more than 100 page faults.
    """
    with bp.Pool.create("4KiB", 8, name=pool_names() if named else None, queue_room="16MiB") as pool:
        block = pool.allocate()
        peer(f"handle = {str(block.handle)!r}; bp.redeem(handle).release(); gc.collect()")
        faults = peer("""
            import resource
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for _ in range(50):
                bp.redeem(handle)
            resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
        """)
        assert faults < 50 * 40
        block.free()


def test_a_forked_child_of_a_receiver_receives(peer):
    """What a process keeps for its next attachment does a forked child no harm: it receives as its parent does."""
    with bp.Pool.create("4KiB", 8) as pool, pool.allocate() as block:
        block.buf[0] = 7
        assert peer(f"""
            import os
            def receive():
                return bp.redeem({str(block.handle)!r}).buf[0]
            seen = [receive(), receive()]
            child = os.fork()
            if child == 0:
                os._exit(receive() + receive())
            seen + [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), receive()]
        """) == [7, 7, 14, 7]
        assert pool.stats().processes == 1


# --- how a pool without a name is found ---
def test_the_sender_is_asked_before_others(monkeypatch):
    """A pool that its sender has is found without a look at other processes, and there again without a listing."""
    listed = []
    monkeypatch.setattr(_handles.os, "listdir", lambda path, real=os.listdir: listed.append(path) or real(path))
    with bp.Pool.create("4KiB", 1) as pool:
        pool_id = pool.allocate().handle.pool_id
        first = next(find_descriptor(pool_id, os.getpid()))
        assert listed == [f"/proc/{os.getpid()}/fd"]
        assert next(find_descriptor(pool_id, os.getpid())) == first
        assert len(listed) == 1


def test_a_pool_is_found_though_its_descriptor_has_another_number_now(monkeypatch):
    """A receiver finds the pool of a sender whose descriptor has another number than the time before."""
    with bp.Pool.create("4KiB", 1) as pool, Path(os.devnull).open() as other:
        pool_id = pool.allocate().handle.pool_id
        first = next(find_descriptor(pool_id, os.getpid()))
        for stale in (other.fileno(), 10**6):
            monkeypatch.setitem(_handles._found, (pool_id, os.getpid()), stale)
            assert next(find_descriptor(pool_id, os.getpid())) == first


def test_places_are_not_remembered_without_end():
    """A receiver of a thousand pools remembers where some of them are."""
    for _ in range(_handles._MOST_FOUND + 1):
        with bp.Pool.create("4KiB", 1, queue_room=128) as pool:
            assert next(find_descriptor(pool.allocate().handle.pool_id, os.getpid()))
    assert len(_handles._found) <= _handles._MOST_FOUND
