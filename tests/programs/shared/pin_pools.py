"""Pin pools with a stand-in for the driver. The arguments are a case, one of the functions here, and those of that."""

import gc
import os
import sys
from pathlib import Path

import blockpool as bp
from forking import await_child, in_child


def calls():
    """Return what this process has called so far: names and arguments."""
    log = Path(os.environ["FAKE_CUDA_LOG"])
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return [(name, int(a), int(b)) for pid, name, a, b in lines if int(pid) == os.getpid()]


def names():
    """Return the names of the calls that change something."""
    return [name for name, *_ in calls() if "Get" not in name and "Init" not in name]


def made(kind):
    """Make a pool of a kind; its blocks fill no whole number of pages."""
    if kind == "shared":
        return bp.Pool.create(1000, 50)
    if kind == "lent":
        return bp.Pool(1000, buffer=memoryview(bytearray(50_008))[8:])
    return bp.Pool(1000, 50, debug=kind == "debug")


PIN = ["cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "cuMemHostRegister_v2", "cuCtxPopCurrent_v2"]
UNPIN = ["cuCtxPushCurrent_v2", "cuMemHostUnregister", "cuCtxPopCurrent_v2", "cuDevicePrimaryCtxRelease_v2"]


def pin_once(kind):
    """Pin a pool in a with; print the pages that were registered, and those of the pool."""
    pool = made(kind)
    with pool.pin() as pinned:
        assert pinned.pinned
        assert names() == PIN, names()
        (register,) = [call for call in calls() if call[0] == "cuMemHostRegister_v2"]
        start, nbytes = register[1:]
        assert nbytes == pinned.nbytes
        assert start % 4096 == nbytes % 4096 == 0
        assert start <= pool.address < start + 4096
        assert start + nbytes - 4096 < pool.address + pool.nbytes <= start + nbytes
        assert repr(pinned) == f"<blockpool.Pinned {nbytes} bytes>"
    assert not pinned.pinned
    assert names() == PIN + UNPIN, names()
    pinned.unpin()
    assert names() == PIN + UNPIN
    assert repr(pinned) == f"<blockpool.Pinned {nbytes} bytes, no longer pinned>"


def pin_twice():
    """Pin a pool twice, and another one: it is registered once, until both are unpinned."""
    pool, other = made("shared"), made("private")
    first = pool.pin()
    second = pool.pin()
    assert names() == PIN
    third = other.pin()
    assert names() == PIN * 2
    first.unpin()
    first.unpin()
    assert names() == PIN * 2
    second.unpin()
    assert names() == PIN * 2 + UNPIN
    with pool.pin():
        assert names() == PIN * 2 + UNPIN + PIN
    third.unpin()


def keep_the_memory():
    """A pinned pool stays mapped although nothing else refers to it; then it can be unpinned."""
    for kind in ("shared", "private", "lent"):
        before = len(names())
        pool = made(kind)
        pinned = pool.pin()
        pool.close()
        del pool
        gc.collect()
        pinned.unpin()
        assert names()[before:] == PIN + UNPIN


def choose_a_device():
    """Print the device on which the pages were registered."""
    made("private").pin()
    print([a for name, a, _ in calls() if name == "cuDevicePrimaryCtxRetain"])


def end_pinned(how):
    """End the interpreter with pinned pools, one of which nothing else refers to."""
    kept = [made("shared"), made("private")]
    pins = [pool.pin() for pool in kept] + [made("lent").pin()]
    if how == "by an error":
        sys.excepthook = lambda *_: None
        raise SystemExit(len(pins) - 3)


def fork():
    """A child has nothing pinned: what it inherited does nothing, and it cannot start CUDA."""
    pool = made("shared")
    pinned = pool.pin()

    def work():
        assert not pinned.pinned
        pinned.unpin()
        with pinned:
            pass
        try:
            pool.pin()
        except bp.PinFailed as error:
            assert "spawn" in str(error), error
        else:
            raise AssertionError("it was pinned")
        assert names() == []

    await_child(in_child(work))
    assert pinned.pinned
    assert names() == PIN
    pinned.unpin()
    assert names() == PIN + UNPIN


def fail():
    """Print the error of pin; nothing stays behind, and what was retained is released."""
    pool = made("shared")
    before = pool.stats()
    try:
        pool.pin()
    except bp.PinFailed as error:
        print(error)
    else:
        raise AssertionError("it was pinned")
    done = names()
    pushed = "cuCtxPushCurrent_v2" in done and "cuCtxPushCurrent_v2=" not in os.environ["FAKE_CUDA_FAIL"]
    retained = "cuDevicePrimaryCtxRetain" in done and "PrimaryCtxRetain=" not in os.environ["FAKE_CUDA_FAIL"]
    assert ("cuCtxPopCurrent_v2" in done) == pushed, done
    assert ("cuDevicePrimaryCtxRelease_v2" in done) == retained, done
    assert pool.stats() == before


def refuse_to_unpin(code):
    """An error of the driver leaves the pool pinned; it can be unpinned later. If it is gone already, all is well."""
    pool = made("shared")
    pinned = pool.pin()
    os.environ["FAKE_CUDA_FAIL"] = f"cuMemHostUnregister={code}"
    try:
        pinned.unpin()
    except bp.PinFailed as error:
        print(error)
        assert pinned.pinned
        os.environ["FAKE_CUDA_FAIL"] = ""
        pinned.unpin()
    assert not pinned.pinned
    assert names().count("cuDevicePrimaryCtxRelease_v2") == 1


def pin_what_is_registered():
    """Two pools in one piece of memory share a page: the second is refused, and says that something has it."""
    memory = memoryview(bytearray(3 * 4096))
    first, second = bp.Pool(64, buffer=memory), bp.Pool(64, 1, buffer=memory)
    with first.pin():
        try:
            second.pin()
        except bp.PinFailed as error:
            print(error)
    with second.pin():
        pass


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
