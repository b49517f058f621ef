"""Shared pools that cannot be.

Names, files and sizes that are wrong, another user's, no room, no slot, a gate that stays shut.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

import blockpool as bp

# --- names and sizes ---

BAD_NAMES = [
    "",
    "a/b",
    "../a",
    "/a",
    "a\0b",
    "a" * 181,
    "a" * 300,
    "ü",
    "a b",
    "a\n",
    "*",
    "\uff41",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_no_pool_can_have(name):
    """They are ValueError before anything is touched, and the message says what a name is."""
    with pytest.raises(ValueError, match="1 to 180 letters"):
        bp.Pool.create(64, 8, name=name)
    with pytest.raises(ValueError, match="1 to 180 letters"):
        bp.Pool.attach(name)


@pytest.mark.parametrize("name", [5, b"name", True, ["a"], 1.5])
def test_names_of_the_wrong_kind(name):
    """They are TypeError."""
    with pytest.raises(TypeError, match="name must be a str"):
        bp.Pool.create(64, 8, name=name)
    with pytest.raises(TypeError, match="name must be a str"):
        bp.Pool.attach(name)


def test_names_at_the_limit(pool_name, file_of):
    """180 characters are a name, and so are dots: they stay in the directory."""
    for name in (pool_name + "x" * (180 - len(pool_name)), f"..{pool_name}", f".{pool_name}.."):
        with bp.Pool.create(64, 8, name=name):
            assert file_of(name).exists()
            assert bp.Pool.attach(name).name == name
        assert not file_of(name).exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((0, 8), ValueError),
        ((-8, 8), ValueError),
        ((12, 8), ValueError),
        (("4 parsecs", 8), ValueError),
        ((3.5, 8), TypeError),
        ((None, 8), TypeError),
        ((64, 0), ValueError),
        ((64, -1), ValueError),
        ((64, 1.0), TypeError),
        ((64, "8"), TypeError),
        ((64, 2**24 + 1), ValueError),
        ((64, 10**30), ValueError),
        ((2**40, 2**20), bp.PoolExhausted),
        ((10**30 * 8, 1), (ValueError, bp.PoolExhausted)),
    ],
)
def test_sizes(pool_name, file_of, arguments, error):
    """What cannot be a size is refused as in a private pool, and no file is left."""
    for name in (pool_name, None):
        with pytest.raises(error):
            bp.Pool.create(*arguments, name=name)
    assert not file_of(pool_name).exists()


@pytest.mark.parametrize("on_fork", ["", "Share", 1, ["share"]])
def test_on_fork(pool_name, file_of, on_fork):
    """It is one of two words."""
    with pytest.raises(ValueError, match="'share' or 'detach'"):
        bp.Pool.create(64, 8, name=pool_name, on_fork=on_fork)
    with pytest.raises(ValueError, match="'share' or 'detach'"):
        bp.Pool.attach(pool_name, on_fork=on_fork)
    assert not file_of(pool_name).exists()


# --- room ---


@pytest.mark.parametrize("named", [True, False])
def test_a_pool_larger_than_memory(pool_name, file_of, named):
    """It is refused at create, with what was asked for and what there is."""
    with pytest.raises(bp.PoolExhausted, match=r"asked for 17592186044416 bytes.*[0-9]+ bytes") as caught:
        bp.Pool.create("1GiB", 2**14, name=pool_name if named else None)
    assert isinstance(caught.value, MemoryError)
    assert not file_of(pool_name).exists()


SMALL = """
import os, sys
import blockpool as bp
try:
    bp.Pool.create("1MiB", 64, name="large")
except bp.PoolExhausted as error:
    assert "67108864 bytes" in str(error), error
assert os.listdir("/dev/shm") == []
pool = bp.Pool.create("1MiB", 15, name="fits")
blocks = pool.allocate_many(15)
for block in blocks:
    block.buf[:] = b"x" * 2**20
try:
    bp.Pool.create("1MiB", 2, name="second")
except bp.PoolExhausted as error:
    assert "/dev/shm" in str(error), error
assert os.listdir("/dev/shm") == ["blockpool.fits"]
with open("/dev/shm/filler", "wb", buffering=0) as filler:
    try:
        while filler.write(b"f" * 4096) == 4096: pass
    except OSError:
        pass
assert bytes(blocks[14].buf[-3:]) == b"xxx"
blocks[14].buf[:3] = b"new"
memory = bp.Pool.create("1MiB", 64)
memory.allocate(blocks=64).buf[-1] = 1
pool.check()
del blocks, block
pool.close()
os.unlink("/dev/shm/filler")
assert os.listdir("/dev/shm") == []
print("well")
"""


def test_a_small_directory_of_shared_memory(run_in_small_shm):
    """Where there are 16 MiB, a larger pool is refused, and one that was made never fails at a write (no SIGBUS)."""
    assert run_in_small_shm(SMALL, 16) == "well\n"


# --- files ---


@pytest.fixture
def made_file(pool_name, file_of):
    """Make a permanent pool with one ticket in it, leave it, and give its name and file."""
    pool = bp.Pool.create(4096, 16, name=pool_name, permanent=True)
    pool.allocate(blocks=3).share()
    pool.close()
    return pool_name, file_of(pool_name)


def refused(name, error, match):
    """Attach and create in vain; the file is as it was."""
    with pytest.raises(error, match=match):
        bp.Pool.attach(name)
    with pytest.raises(bp.PoolExists):
        bp.Pool.create(4096, 16, name=name)
    with pytest.raises(error, match=match):
        bp.Pool.create(4096, 16, name=name, exist_ok=True)
    bp.sweep()


def test_nothing_there(pool_name):
    """A name that nobody has is PoolNotFound, which is a FileNotFoundError."""
    with pytest.raises(bp.PoolNotFound, match=pool_name) as caught:
        bp.Pool.attach(pool_name)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("contents", [b"", b"hello", b"x" * 104, b"{}" * 50_000, bytes(100_000)])
def test_a_file_that_is_no_pool(pool_name, file_of, contents):
    """It is PoolCorrupt, and stays as it was."""
    file_of(pool_name).write_bytes(contents)
    refused(pool_name, bp.PoolCorrupt, "is not a pool")
    assert file_of(pool_name).read_bytes() == contents


def test_a_directory(pool_name, file_of):
    """So is a directory."""
    file_of(pool_name).mkdir()
    try:
        refused(pool_name, bp.PoolCorrupt, "is not a pool")
    finally:
        file_of(pool_name).rmdir()


def test_a_fifo(pool_name, file_of):
    """So is a FIFO, and nobody waits for its other end."""
    os.mkfifo(file_of(pool_name))
    refused(pool_name, bp.PoolCorrupt, "is not a pool")


def test_a_symbolic_link(pool_name, file_of, shared):
    """A link is refused even if it leads to a pool."""
    file_of(pool_name + "-link").symlink_to(file_of(shared.name))
    try:
        refused(pool_name + "-link", bp.PoolCorrupt, "is not a pool")
    finally:
        file_of(pool_name + "-link").unlink()


def checksum(header):
    """Return the sum that the header ends with: FNV-1a of what is before."""
    value = 0xCBF29CE484222325
    for byte in header:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value.to_bytes(8, "little")


FIELDS = {
    "version 0": (8, b"\0\0\0\0"),
    "block size": (16, (8192).to_bytes(8, "little")),
    "block size 0": (16, bytes(8)),
    "block size 12": (16, (12).to_bytes(8, "little")),
    "block size huge": (16, b"\xff" * 8),
    "blocks": (24, (17).to_bytes(8, "little")),
    "blocks 0": (24, bytes(8)),
    "blocks huge": (24, b"\xff" * 8),
    "product wraps": (16, (1 << 63).to_bytes(8, "little") + (2).to_bytes(8, "little")),
    "slots": (32, bytes(8)),
    "ledger": (40, b"\xff" * 8),
    "records": (48, (1).to_bytes(8, "little")),
    "bitmap": (56, b"\xf0" + b"\xff" * 7),
    "data": (64, (4096).to_bytes(8, "little")),
    "bytes": (72, (1 << 20).to_bytes(8, "little")),
}


@pytest.mark.parametrize("summed", [False, True], ids=["", "checksum right"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_damaged_header(made_file, field, summed):
    """Every number of the header is checked against the others and the file, with the right checksum or a wrong one."""
    name, file = made_file
    at, value = FIELDS[field]
    contents = bytearray(file.read_bytes())
    contents[at : at + len(value)] = value
    if summed:
        contents[96:104] = checksum(contents[:96])
    with file.open("r+b") as opened:
        opened.write(contents)
    refused(name, bp.PoolCorrupt, "damaged")
    assert file.read_bytes() == contents


@pytest.mark.parametrize("at", [*range(0, 104, 5), 12, 80, 96])
def test_a_bit_of_the_header(made_file, at):
    """A single bit that differs is found, wherever it is."""
    name, file = made_file
    contents = bytearray(file.read_bytes())
    contents[at] ^= 1 << at % 7
    with file.open("r+b") as opened:
        opened.write(contents)
    refused(name, (bp.PoolCorrupt, bp.PoolVersion), "damaged|not a pool|another release")


def test_another_version(made_file):
    """A pool of another layout is PoolVersion, whatever else its header says; the message tells the remedy."""
    name, file = made_file
    with file.open("r+b") as opened:
        os.pwrite(opened.fileno(), (1000).to_bytes(4, "little") + os.urandom(92), 8)
    refused(name, bp.PoolVersion, r"another release .*\(layout 1000\); this is .*\(layout [0-9]+\)")
    with pytest.raises(bp.PoolVersion, match=re.escape(f"blockpool.unlink({name!r})")):
        bp.Pool.attach(name)
    bp.unlink(name)
    bp.Pool.create(64, 8, name=name).close()


@pytest.mark.parametrize(
    ("made_by", "told"),
    [
        (b"12.3.4rc1", "blockpool, 12.3.4rc1 "),
        (b"", "newer release"),
        (b"\x1b[2J", "newer release"),
        (b"\xff" * 24, "blockpool, "),
        (b"x" * 24, "x" * 23 + " "),
    ],
)
def test_the_release_that_made_a_pool(made_file, made_by, told):
    """A segment says which release made it; a message about another release repeats that if it can be read."""
    name, file = made_file
    contents = file.read_bytes()
    assert contents[104:128].rstrip(b"\0").decode() == bp.__version__
    with file.open("r+b") as opened:
        os.pwrite(opened.fileno(), (1000).to_bytes(4, "little"), 8)
        os.pwrite(opened.fileno(), made_by.ljust(24, b"\0"), 104)
    with pytest.raises(bp.PoolVersion, match=re.escape(told)) as caught:
        bp.Pool.attach(name)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("change", [-1, +1, -4096, +4096, "104", "4096", "half"])
def test_a_file_of_another_size(made_file, change):
    """A file that is shorter or longer than its header says is never mapped."""
    name, file = made_file
    size = file.stat().st_size
    os.truncate(file, {"104": 104, "4096": 4096, "half": size // 2}.get(change) or size + change)
    refused(name, bp.PoolCorrupt, "damaged.*size")


def test_garbage_behind_the_header(made_file, peers):
    """Random bytes in slots, ledger, records and bitmap give typed errors, or work.

    Never a signal, never without an end.
    """
    name, file = made_file
    right = file.read_bytes()
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when the test fails
    chosen = random.Random(seed)
    peer = peers()
    for density in (1, 0.3, 0.03, 0.003) * 4:
        contents = bytearray(right)
        for at in range(128, len(right) - 16 * 4096):
            if chosen.random() < density:
                contents[at] = chosen.choice([0, 1, 0xFF, 0x60, 0x20, chosen.randrange(256)])
        with file.open("r+b") as opened:
            opened.write(contents)
        peer(f"""
            errors = []
            def attempt(call):
                try:
                    return call()
                except (bp.BlockPoolError, OSError) as error:
                    errors.append(repr(error))
            pool = attempt(lambda: bp.Pool.attach({name!r}))
            if pool is not None:
                for call in (
                    pool.check, pool.stats, pool.runs, pool.recover, pool.allocate,
                    lambda: pool.allocate(blocks=3), lambda: pool.allocate_many(2), lambda: pool.allocate(timeout=0.01),
                    lambda: pool.recover(tickets_older_than=0), lambda: pickle.loads(pickle.dumps(pool.allocate())),
                    lambda: pool.allocate().free(), lambda: pool.allocate(blocks=2).share().index,
                    lambda: [bp.redeem(f"blockpool-handle:{{'0' * 32}}:{{i}}:1:1:{name}") for i in range(16)],
                ):
                    attempt(call)
                pool.close()
            gc.collect(), bp.sweep()
            sys.unraisablehook = lambda told: None
        """)
        if not file.exists():
            file.touch(0o600)
    assert peer("1") == 1


def test_another_users_pool(shared, file_of, unchanged):
    """A file that belongs to another user is PoolForbidden, a PermissionError, even for root."""
    if os.geteuid() != 0:
        pytest.skip("to give a file away takes root")
    with unchanged(shared):
        os.chown(file_of(shared.name), 12345, 12345)
        with pytest.raises(bp.PoolForbidden):
            bp.Pool.create(4096, 16, name=shared.name)
        with pytest.raises((bp.PoolForbidden, bp.PoolExists)):
            bp.Pool.create(8, 1, name=shared.name, exist_ok=True)
        os.chown(file_of(shared.name), os.geteuid(), os.getegid())


def test_another_users_pool_from_elsewhere(shared, file_of, peer):
    """The same for a process that is not attached; and for one without permission."""
    if os.geteuid() != 0:
        pytest.skip("to give a file away takes root")
    os.chown(file_of(shared.name), 12345, 12345)
    with pytest.raises(bp.PoolForbidden, match="another user") as caught:
        peer(f"bp.Pool.attach({shared.name!r})")
    assert isinstance(caught.value, PermissionError)
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.Pool.create(4096, 16, name={shared.name!r}, exist_ok=True)")
    os.chown(file_of(shared.name), 0, 0)
    peer("os.setgroups([]); os.setgid(65534); os.setuid(65534)")
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.Pool.attach({shared.name!r})")
    assert peer("bp.sweep()") == 0
    ticket = str(shared.allocate().share())
    with pytest.raises(bp.PoolForbidden):
        peer(f"bp.redeem({ticket!r})")
    unnamed = bp.Pool.create(64, 8)
    with pytest.raises(bp.PoolNotFound):
        peer(f"bp.redeem({str(unnamed.allocate().share())!r})")


def test_a_user_without_privileges(peer, pool_name, file_of):
    """Shared pools need no privileges."""
    if os.geteuid() != 0:
        pytest.skip("the other tests run without privileges already")
    peer(
        "bp.PoolStats; os.setgroups([]); os.setgid(65534); os.setuid(65534)"
    )  # what is imported later may be out of reach
    peer(f"pool = bp.Pool.create(64, 8, name={pool_name!r}); block = pool.allocate(); pool.check()")
    peer("unnamed = bp.Pool.create(64, 8); unnamed.allocate().share(); unnamed.check()")
    assert peer(f"bp.Pool.attach({pool_name!r}).stats().allocated") == 1
    peer("block.free(); pool.close(); del block, pool; gc.collect()")
    assert not file_of(pool_name).exists()


# --- slots and the gate ---


ATTACH = """
import sys
import blockpool as bp
for call, argument in ((bp.Pool.attach, sys.argv[1]), (bp.redeem, sys.argv[2])):
    try:
        kept = call(argument)
        print("in")
    except bp.TooManyProcesses as error:
        print(error)
"""


def test_too_many_processes(run_script, pool_name):
    """The 48th is TooManyProcesses, by attach and by redeem, and everybody else goes on.

    When one leaves there is room.
    """
    run_script(
        """
        import os, subprocess, sys
        import blockpool as bp

        name = sys.argv[1]
        pool = bp.Pool.create(64, 64, name=name)
        block = pool.allocate()
        reading, writing = os.pipe()
        children = []
        for _ in range(46):
            child = os.fork()
            if child == 0:
                os.close(writing)
                mine = pool.allocate()
                os.read(reading, 1)
                mine.free()
                os._exit(0)
            children.append(child)
        while pool.stats().allocated < 47:
            pass

        def outside():
            command = [sys.executable, "-c", sys.argv[2], name, str(block.share())]
            return subprocess.run(command, capture_output=True, text=True).stdout.strip()

        assert pool.stats().processes == 47
        for line in outside().splitlines():
            assert line == f"pool {name!r} has 47 processes attached, the most it can have; let one leave first", line
        before = pool.stats(), pool.check()
        view, handle = block.buf, block.handle
        child = os.fork()
        if child == 0:
            try:
                pool.allocate()
            except bp.TooManyProcesses as error:
                assert "47 processes" in str(error)
            else:
                os._exit(1)
            for call in (
                pool.stats, pool.check, pool.runs, pool.recover, lambda: bp.redeem(handle), lambda: block.buf
            ):
                try:
                    call()
                except bp.TooManyProcesses:
                    continue
                os._exit(2)
            del block, view
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert not any(view)
        del view
        assert (pool.stats(), pool.check()) == before
        os.kill(children[5], 9)
        os.waitpid(children.pop(5), 0)
        assert outside().split() == ["in", "in"]
        os.close(writing)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        pool.recover()
        assert pool.stats().processes == 1
        pool.recover(tickets_older_than=0)
        assert pool.check().allocated == 1
        """,
        pool_name,
        ATTACH,
    )


HOLD_THE_GATE = """
import fcntl, os, struct, sys
file = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, (1 << 60) + 63, 1, 0))
os.pwrite(file, os.getpid().to_bytes(8, "little"), 192)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_gate_that_stays_shut(shared, peers, file_of):
    """Whoever needs the gate of a stopped process gives up after 5 s with its pid; allocating and forking go on.

    Then all is well.
    """
    attached, outsider, maker, leaver, forker = (peers() for _ in range(5))
    for each in (attached, leaver, forker):
        each(f"pool = bp.Pool.attach({shared.name!r}); kept = pool.allocate()")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_GATE, file_of(shared.name)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        attached.start("pool.check()")
        outsider.start(f"bp.Pool.attach({shared.name!r})")
        maker.start(f"bp.Pool.create(4096, 16, name={shared.name!r}, exist_ok=True)")
        leaver.start("del kept; pool.close(); del pool; gc.collect()")
        forker.start("""
            child = os.fork()
            if child == 0:
                os._exit(5 if pool.allocate() else 6)
            os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), kept.index, pool.allocate().index >= 0
        """)
        blocks = shared.allocate_many(12)
        with pytest.raises(bp.PoolExhausted):
            shared.allocate(blocks=15)
        assert time.monotonic() - began < 4
        for each in (attached, outsider, maker):
            with pytest.raises(bp.PoolBusy, match=f"process {holder.pid} has kept") as caught:
                each.answer()
            assert isinstance(caught.value, TimeoutError)
        assert time.monotonic() - began >= 5
        leaver.answer()
        assert forker.answer()[0] == 5
        del blocks
    finally:
        holder.kill()
        holder.communicate()
    assert outsider(f"pool = bp.Pool.attach({shared.name!r}); pool.stats().processes") in {4, 5}
    assert shared.recover().processes in {0, 1}
    assert shared.stats().processes == 4
    assert attached("pool.check().allocated") == 2
