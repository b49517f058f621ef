"""Fork while inspectors are open, in threads too, and see what a child gets of them."""

import sys
import threading
from contextlib import suppress
from pathlib import Path

import blockpool as bp
from forking import await_child, in_child

CALLS = (
    "stats", "counts", "runs", "map", "survey", "surveyor", "check", "damage", "processes", "names", "queues", "gate",
    "exists",
)  # fmt: skip


def has_of(name):
    """Return how many descriptors and mappings this process has of the pool's file."""
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # it was that of the folder itself
            links.append(str(descriptor.readlink()))
    return sum(name in link for link in links), Path("/proc/self/maps").read_text().count(name)


def main(name):
    """Fork with an inspector, with an inspector alone, and while another thread looks."""
    pool = bp.Pool.create("4KiB", 16, name=name, permanent=True)
    kept = pool.allocate()
    pool.keep("kept", kept)
    del kept, pool  # from here on, this process has no part in the pool
    assert has_of(name) == (0, 0)
    inspector = bp.inspect(name)
    assert has_of(name) == (1, 1)
    surveyor = inspector.surveyor()
    assert surveyor.go_on(1) is None

    def be_a_child():
        assert has_of(name) == (0, 0)
        with suppress(bp.PoolClosed):
            surveyor.go_on(8)
            raise AssertionError("the survey of the parent goes on")
        for call in CALLS:
            try:
                getattr(inspector, call)()
            except bp.PoolClosed as error:
                assert "forked" in str(error)
            else:
                raise AssertionError(call)
        assert inspector.blocks == 16
        inspector.close()
        with bp.inspect(name) as own:
            assert own.stats().allocated == 1
            assert own.names() == ["kept"]

    for _ in range(20):
        await_child(in_child(be_a_child))
    assert inspector.stats().allocated == 1
    assert surveyor.go_on(8).allocated == 1
    surveyor = None

    stop = threading.Event()

    def look_on():
        while not stop.is_set():
            with bp.inspect(name) as other:
                other.check()
                other.processes()
            bp.pools()

    def have_nothing():
        assert has_of(name) == (0, 0)

    threads = [threading.Thread(target=look_on) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        await_child(in_child(have_nothing))
    stop.set()
    for thread in threads:
        thread.join()
    inspector.close()
    assert has_of(name) == (0, 0)
    bp.unlink(name)


main(sys.argv[1])
