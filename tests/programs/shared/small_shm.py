"""Create pools in a small /dev/shm that is empty at the start, beside what others left there.

The argument is a case, one of the functions here.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import blockpool as bp
from refusals import refused

SHM = Path("/dev/shm")  # noqa: S108 - where pools are


def leave(name, blocks, *permanent):
    """Leave a pool with blocks of 1 MiB that no live process has."""
    program = Path(__file__).with_name("create_and_be_killed.py")
    done = subprocess.run([sys.executable, program, name, str(blocks), *permanent], check=False)
    assert done.returncode == -signal.SIGKILL
    assert name in there()


def there():
    """Return the names of the pools, and of all else that is there."""
    return sorted(path.name.removeprefix("blockpool.") for path in SHM.iterdir())


def start_again():
    """Create a pool after three runs of a service, each with a name of its own, were killed."""
    for run in range(3):
        leave(f"run-{run}", 6)
    pool = bp.Pool.create("1MiB", 6, name="run-3")
    assert there() == ["run-3"]


def create_in_a_new_process():
    """Create the first pool of a process, with a name and without, beside a pool that a killed program left."""
    for name in ("another", None):
        leave("left", 1)
        child = os.fork()
        if child == 0:
            pool = bp.Pool.create(64, 8, name=name)
            os._exit("left" in there())
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def create_without_room():
    """Create pools for which there is room only when what others left is removed, or not even then."""
    first = bp.Pool.create(64, 8, name="first")
    for name in ("second", "third"):
        leave("left", 5)
        bp.Pool.create("1MiB", 5, name=name).close()
        assert there() == ["first"]
    leave("kept", 5, "permanent")
    leave("left", 1)
    error = refused(lambda: bp.Pool.create("1MiB", 4, name="second"))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    assert there() == ["first", "kept"]
    for part in ("'kept' ", "bytes, permanent", "'first' ", "bytes, in use"):
        assert part in str(error), error
    bp.unlink("kept")
    bp.Pool.create("1MiB", 4, name="second")


def name_the_largest():
    """Create one pool too many beside twelve of other sizes."""
    pools = [bp.Pool.create("64KiB", blocks, name=f"p{blocks}") for blocks in range(1, 13)]
    error = refused(lambda: bp.Pool.create("1MiB", 8, name="large"))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    message = str(error)
    places = [message.index(f"'p{blocks}' ") for blocks in (12, 11, 10)]
    assert places == sorted(places), message
    assert "and 9 more" in message, message


def fill():
    """Create pools in 16 MiB, fill the rest, and write into what was created; print that all went well."""
    error = refused(lambda: bp.Pool.create("1MiB", 64, name="large"))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    assert "67108864 bytes" in str(error), error
    assert there() == []
    pool = bp.Pool.create("1MiB", 15, name="fits")
    blocks = pool.allocate_many(15)
    for block in blocks:
        block.buf[:] = b"x" * 2**20
    error = refused(lambda: bp.Pool.create("1MiB", 2, name="second"))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    assert str(SHM) in str(error), error
    assert there() == ["fits"]
    with (SHM / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"f" * 4096) == 4096:
            pass
    assert bytes(blocks[14].buf[-3:]) == b"xxx"
    blocks[14].buf[:3] = b"new"
    memory = bp.Pool.create("1MiB", 64)
    memory.allocate(blocks=64).buf[-1] = 1
    pool.check()
    del blocks, block
    pool.close()
    (SHM / "filler").unlink()
    assert there() == []
    print("well")


def note_without_room():
    """Set notes when nothing is left in 8 MiB, and again when there is room; print that all went well."""
    pool = bp.Pool.create("1MiB", 1, name="large")
    small = bp.Pool.create(64, 100, name="small")
    first, *_, far = small.allocate_many(100)
    first.note = b"there is room"
    with (SHM / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"f" * 4096) == 4096:
            pass
    assert far.note == b""
    error = refused(lambda: setattr(far, "note", b"x"))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    for part in ("the note of block 99 needs a page", "4096 bytes", f"{SHM} has 0 bytes left"):
        assert part in str(error), error
    assert far.note == b""
    first.note = b"its page is there"
    assert first.note == b"its page is there"
    (SHM / "filler").unlink()
    far.note = b"x"
    assert far.note == b"x"
    small.check()
    pool.close()
    print("well")


def lifetime_without_room():
    """Use the first lifetime in a pool when nothing is left in 8 MiB, and when there is room; print if all is well."""
    pool = bp.Pool.create("1MiB", 1, name="large")
    small = bp.Pool.create(64, 1024, name="small")
    block = small.allocate()
    with (SHM / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"f" * 4096) == 4096:
            pass
    error = refused(lambda: block.share(lifetime=60))
    assert isinstance(error, bp.PoolExhausted), repr(error)
    for part in ("the first ticket with a lifetime in pool 'small' needs 8192 bytes", f"{SHM} has 0 bytes left"):
        assert part in str(error), error
    assert small.stats().tickets == 0
    block.share()
    (SHM / "filler").unlink()
    small.allocate().share(lifetime=60)
    assert [run.ticket_ends is None for run in small.runs()] == [True, False]
    small.check()
    pool.close()
    print("well")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
