"""Make pools under a limit of memory.

Arguments: a function below, and what it takes.
"""

import os
import sys
from pathlib import Path

import blockpool as bp

NAME = f"test-{os.getpid()}-limits"
MAKE = {
    "unnamed": lambda size: bp.Pool.create(size, 1),
    "named": lambda size: bp.Pool.create(size, 1, name=NAME),
    "private": lambda size: bp.Pool(size, 1, prefault=True),
}


def refused(call):
    """Return the message of the PoolExhausted that a call must raise."""
    try:
        call()
    except bp.PoolExhausted as error:
        return str(error)
    raise AssertionError("not refused")


def use(pool):
    """Write to all of the only block of a pool."""
    view = pool.allocate().buf
    for at in range(0, len(view), 1 << 20):
        view[at : at + (1 << 20)] = bytes([at >> 20]) * (1 << 20)


def version_1(group):
    """Pools of 150 MiB are refused for the limit of a cgroup of version 1; those of 60 MiB have room."""
    for make in MAKE.values():
        message = refused(lambda make=make: make("150MiB"))
        assert f"in {group}/memory.limit_in_bytes, leaves " in message, message
        assert "raise that limit" in message, message
    assert "allows " in refused(lambda: bp.Pool("1TiB", 1)), "not prefaulted"
    for make in MAKE.values():
        use(make("60MiB"))


def version_1_above(group):
    """A pool of 150 MiB is refused for the limit of a cgroup above that of this process."""
    message = refused(lambda: bp.Pool.create("150MiB", 1))
    assert f"{group}/memory.limit_in_bytes" in message, message


def page_cache(path):
    """Fill the cgroup with pages of a file; pools of 60 MiB have room all the same."""
    with Path(path).open("rb", buffering=0) as file:
        while file.read(1 << 20):
            pass
    for make in MAKE.values():
        use(make("60MiB"))


def version_2():
    """Pools are refused for the limit of a cgroup of version 2: 1 GiB, nearly all used."""
    for make in MAKE.values():
        message = refused(lambda make=make: make("64MiB"))
        assert "in /sys/fs/cgroup/memory.max, leaves " in message, message
    assert "/sys/fs/cgroup/memory.max, allows 1073741824 bytes" in refused(lambda: bp.Pool("2GiB", 1))
    assert "/sys/fs/cgroup/memory.max" in refused(lambda: bp.IndexPool(10**11))


def version_2_page_cache():
    """Pools of 64 MiB can be made."""
    for make in MAKE.values():
        make("64MiB")


def small_directory():
    """A named pool is refused in a /dev/shm of 4 MiB, by its bookkeeping alone too; an unnamed one has room."""
    for blocks in (4, 5):
        message = refused(lambda blocks=blocks: bp.Pool.create("1MiB", blocks, name="large"))
        assert "/dev/shm has 4194304 bytes left" in message, message  # noqa: S108 - not a path
        assert "without a name" in message, message
    bp.Pool.create("1MiB", 5).allocate(blocks=5).buf[-1] = 1


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
