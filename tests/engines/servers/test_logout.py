"""What systemd's RemoveIPC does to pools when a user logs out: it removes files in /dev/shm that are in use."""

from pathlib import Path

import pytest

import blockpool as bp


def test_who_has_the_pool_goes_on(peers, pool_name, file_of):
    """Processes that have the pool, and children that they fork, go on; others find neither the name nor tickets."""
    first, second, stranger = peers(), peers(), peers()
    first(f"pool = bp.Pool.create('4KiB', 8, name={pool_name!r}); frames = pool.queue('frames')")
    second(f"pool = bp.Pool.attach({pool_name!r}); frames = pool.queue('frames')")
    file_of(pool_name).unlink()  # as logind does

    first("block = pool.allocate(); block.buf[:5] = b'hello'; frames.put(block); ticket = str(block.share())")
    assert second("got = frames.get(timeout=60); bytes(got.buf[:5])") == b"hello"
    child = """
        child = os.fork()
        if child == 0:
            os._exit(0 if bytes(bp.redeem(block.handle).buf[:5]) == b"hello" else 1)
        os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    assert first(child) == 0
    ticket = first("ticket")
    handle = first("str(block.handle)")
    for call in (
        f"bp.Pool.attach({pool_name!r})",
        f"bp.redeem({ticket!r})",
        f"bp.redeem({handle!r})",
        f"bp.inspect({pool_name!r})",
        f"bp.unlink({pool_name!r})",
    ):
        with pytest.raises(bp.PoolNotFound):
            stranger(call)
    assert second(f"bytes(bp.redeem({ticket!r}).buf[:5])") == b"hello"
    first.kill()
    second("pool.recover()")
    assert second("del got; pool.check(); pool.stats().allocated") == 0


def test_a_second_pool_of_the_name(peers, pool_name, file_of):
    """A program that starts after that makes a second pool of the name, which the end of the first leaves alone."""
    old, new = peers(), peers()
    old(f"pool = bp.Pool.create('4KiB', 8, name={pool_name!r}, permanent=True)")
    old("block = pool.allocate(); pool.keep('model', block)")
    file_of(pool_name).unlink()
    new(f"pool = bp.Pool.create('4KiB', 8, name={pool_name!r}, exist_ok=True)")
    with pytest.raises(bp.NameNotFound):  # what was kept is in the first one
        new("pool.get('model')")
    old("del block; pool.close(); pool = None; gc.collect()")
    assert file_of(pool_name).exists()
    assert new("pool.allocate(); pool.stats().processes") == 1
    new("pool.close()")
    assert not file_of(pool_name).exists()


def mapping_at(address):
    """Return the line of /proc/self/maps that has the address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        if start <= address < end:
            return line
    return ""


def test_a_pool_without_a_name(peers):
    """A pool without a name has no file that could be removed, and its tickets go on."""
    pool = bp.Pool.create("4KiB", 8)
    block = pool.allocate()
    assert "/memfd:" in mapping_at(block.address)
    block.buf[:5] = b"hello"
    assert peers()(f"bytes(bp.redeem({str(block.share())!r}).buf[:5])") == b"hello"
