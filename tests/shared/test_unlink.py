"""Removing names: unlink by name, whatever has it; Pool.unlink before and after close."""

import os
import re
import socket

import pytest

import blockpool as bp


def write(at, what):
    """Return a function that overwrites a file in place."""

    def change(file):
        with file.open("r+b") as opened:
            os.pwrite(opened.fileno(), what, at)

    return change


def bind_a_socket(file):
    """Make a socket of that name."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(file))


NO_POOLS = {
    "an empty file": lambda file: file.touch(),
    "a text": lambda file: file.write_text("hello"),
    "a file that nobody may open": lambda file: file.touch(0o000),
    "a FIFO": os.mkfifo,
    "a symbolic link": lambda file: file.symlink_to("/dev/null"),
    "a link to nothing": lambda file: file.symlink_to("/nowhere/at/all"),
    "a socket": bind_a_socket,
}

BAD_POOLS = {
    "another version": write(8, (77).to_bytes(4, "little")),
    "damaged": write(16, b"\xff" * 8),
    "damaged id": write(80, b"\xff" * 16),
    "no magic": write(0, bytes(8)),
    "short": lambda file: os.truncate(file, 5000),
    "long": lambda file: os.truncate(file, 1 << 20),
}


@pytest.mark.parametrize("make", NO_POOLS.values(), ids=NO_POOLS)
def test_a_file_that_is_no_pool(pool_name, file_of, make):
    """A file that is not a pool blocks its name; the error says how to remove it, and that works."""
    make(file_of(pool_name))
    remedy = re.escape(f"remove it with blockpool.unlink({pool_name!r})")
    kinds = (bp.PoolExists, bp.PoolForbidden)  # the latter for one that this user may not open
    with pytest.raises(kinds, match=f"{remedy}|mode of its file"):
        bp.Pool.create(64, 8, name=pool_name)
    bp.unlink(pool_name)
    assert not os.path.lexists(file_of(pool_name))
    bp.Pool.create(64, 8, name=pool_name).close()


@pytest.mark.parametrize("spoil", BAD_POOLS.values(), ids=BAD_POOLS)
def test_a_pool_that_nobody_can_attach(pool_name, file_of, spoil):
    """The error for a pool that cannot be attached says how to unlink it, and that frees the name."""
    bp.Pool.create(64, 8, name=pool_name, permanent=True).close()
    spoil(file_of(pool_name))
    with pytest.raises(bp.BlockPoolError, match=re.escape(f"blockpool.unlink({pool_name!r})")):
        bp.Pool.attach(pool_name)
    bp.unlink(pool_name)
    bp.Pool.create(64, 8, name=pool_name).close()


@pytest.mark.parametrize("spoil", [None, *BAD_POOLS.values()], ids=["sound", *BAD_POOLS])
def test_a_pool_in_use(shared, file_of, spoil):
    """When a pool in use is unlinked, its processes go on, and a new pool of that name is left alone when they end.

    So it is if the file of the old pool was damaged before.
    """
    block = shared.allocate()
    if spoil and "truncate" not in spoil.__code__.co_names:  # what is cut under a mapping is SIGBUS
        spoil(file_of(shared.name))
    bp.unlink(shared.name)
    new = bp.Pool.create(64, 8, name=shared.name)
    assert shared.allocate().index != block.index
    block.free()
    assert shared.check().allocated == 0
    shared.close()
    assert file_of(new.name).exists()
    assert new.stats().allocated == 0


def test_nothing_of_that_name(pool_name):
    """Unlinking a name that no pool has, or that was unlinked before, is PoolNotFound, a FileNotFoundError."""
    with pytest.raises(bp.PoolNotFound, match=pool_name):
        bp.unlink(pool_name)
    bp.Pool.create(64, 8, name=pool_name, permanent=True)
    bp.unlink(pool_name)
    with pytest.raises(FileNotFoundError, match="removed before"):
        bp.unlink(pool_name)


def test_a_directory(pool_name, file_of):
    """Unlinking a directory is PoolCorrupt with its path, and the directory stays."""
    file_of(pool_name).mkdir()
    try:
        with pytest.raises(bp.PoolCorrupt, match=f"directory.*{re.escape(str(file_of(pool_name)))}"):
            bp.unlink(pool_name)
        assert file_of(pool_name).is_dir()
    finally:
        file_of(pool_name).rmdir()


def test_another_users_file(pool_name, file_of):
    """Unlinking another user's pool is PoolForbidden, even for root, and the file stays."""
    if os.geteuid() != 0:
        pytest.skip("to give a file away takes root")
    bp.Pool.create(64, 8, name=pool_name, permanent=True).close()
    os.chown(file_of(pool_name), 12345, 12345)
    with pytest.raises(bp.PoolForbidden, match="another user"):
        bp.unlink(pool_name)
    assert file_of(pool_name).exists()


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a" * 181, "a\0b"])
def test_names_that_no_pool_can_have(name):
    """Unlinking an impossible name is a ValueError that says what a name is."""
    with pytest.raises(ValueError, match="1 to 180 letters"):
        bp.unlink(name)


@pytest.mark.parametrize("name", [None, 5, b"name"])
def test_names_of_the_wrong_kind(name):
    """Unlinking a name that is not a str is a TypeError."""
    with pytest.raises(TypeError, match="name must be a str"):
        bp.unlink(name)


# --- Pool.unlink and close, in whatever order ---


@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize("keep", [False, True], ids=["alone", "with a block"])
def test_close_and_then_unlink(pool_name, file_of, permanent, keep):
    """A pool can be closed first and unlinked then, as with SharedMemory; unlinking again is PoolNotFound."""
    pool = bp.Pool.create(64, 8, name=pool_name, permanent=permanent)
    block = pool.allocate() if keep else None
    pool.close()
    assert file_of(pool_name).exists() == (permanent or keep)
    pool.unlink()
    assert not file_of(pool_name).exists()
    for _ in range(2):
        with pytest.raises(bp.PoolNotFound, match="removed before"):
            pool.unlink()
    del block


def test_close_and_unlink_while_others_are_attached(pool_name, file_of, peer):
    """A closed pool can be unlinked while other processes have it, and they go on."""
    pool = bp.Pool.create(64, 8, name=pool_name)
    peer(f"pool = bp.Pool.attach({pool_name!r})")
    pool.close()
    assert file_of(pool_name).exists()
    pool.unlink()
    assert not file_of(pool_name).exists()
    peer("pool.allocate().index")
    with pytest.raises(bp.PoolNotFound):
        peer("pool.unlink()")


@pytest.mark.parametrize("permanent", [False, True])
@pytest.mark.parametrize("closed", [False, True])
def test_a_new_pool_of_that_name_is_left_alone(pool_name, closed, permanent):
    """Pool.unlink never removes the name of another pool that has it by now."""
    pool = bp.Pool.create(64, 8, name=pool_name, permanent=permanent)
    bp.unlink(pool_name)
    new = bp.Pool.create(64, 16, name=pool_name)
    if closed:
        pool.close()
    if permanent or not closed:
        with pytest.raises(bp.PoolNotFound):
            pool.unlink()
    else:
        pool.unlink()  # its pool ended with close, as far as it knows
    assert bp.Pool.attach(pool_name).blocks == new.blocks


def test_pools_without_a_name():
    """Unlinking a pool without a name is PoolNotFound, before close and after."""
    for pool, why in ((bp.Pool.create(64, 8), "without one"), (bp.Pool(64, 8), "private")):
        for _ in range(2):
            with pytest.raises(bp.PoolNotFound, match=why):
                pool.unlink()
            pool.close()
