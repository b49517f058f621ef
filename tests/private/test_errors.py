"""The family of exceptions: bases, pickling, and what the messages say."""

import concurrent.futures
import copy
import errno
import io
import pickle
import queue

import numpy as np
import pytest

import blockpool as bp

FAMILY = {
    bp.BlockPoolError: Exception,
    bp.PoolExhausted: MemoryError,
    bp.InvalidBlock: ValueError,
    bp.DoubleFree: bp.InvalidBlock,
    bp.BlockInUse: BufferError,
    bp.PoolClosed: ValueError,
    bp.PoolCorrupt: bp.BlockPoolError,
    bp.BlockOverrun: bp.BlockPoolError,
    bp.WriteAfterFree: bp.BlockPoolError,
    bp.StaleHandle: bp.InvalidBlock,
    bp.PoolExists: FileExistsError,
    bp.PoolNotFound: FileNotFoundError,
    bp.PoolVersion: bp.BlockPoolError,
    bp.PoolForbidden: PermissionError,
    bp.PoolBusy: TimeoutError,
    bp.TooManyProcesses: bp.BlockPoolError,
    bp.TooManyTickets: bp.BlockPoolError,
    bp.NameTaken: ValueError,
    bp.NameNotFound: LookupError,
    bp.PinFailed: RuntimeError,
    bp.TraceInvalid: ValueError,
    bp.WrongKind: TypeError,
    bp.BrokenWorker: concurrent.futures.BrokenExecutor,
    bp.QueueClosed: ValueError,
    bp.QueueEmpty: queue.Empty,
    bp.QueueFull: queue.Full,
    bp.QueueShutDown: getattr(queue, "ShutDown", bp.BlockPoolError),
}


@pytest.mark.parametrize(("error", "base"), FAMILY.items(), ids=lambda kind: kind.__name__)
def test_bases(error, base):
    """Each error is a BlockPoolError, and also of the built-in class that existing code catches."""
    assert issubclass(error, bp.BlockPoolError)
    assert issubclass(error, base)


def test_the_family_is_complete():
    """Every public exception is in the table of this file."""
    public = {getattr(bp, name) for name in bp.__all__}
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseException)}
    assert kinds == set(FAMILY)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_pickle(error, protocol):
    """A pickled or copied error has the same class and the same arguments."""
    back = pickle.loads(pickle.dumps(error("12 blocks", 5), protocol))
    assert type(back) is error
    assert back.args == error("12 blocks", 5).args
    assert type(copy.copy(back)) is error


@pytest.mark.parametrize("error", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_are_named_as_users_import_them(error):
    """Tracebacks show `blockpool.DoubleFree`, not the private module that defines it."""
    assert error.__module__ == "blockpool"
    assert getattr(bp, error.__name__) is error
    assert error.__doc__


def _provoke_exhausted(pool):
    pool.allocate(blocks=17)


def _provoke_no_run(pool):
    holes = pool.allocate_many(16)
    del holes[::2]
    pool.allocate(blocks=3)


def _provoke_double_free(pool):
    run = pool.allocate(blocks=3)
    run.free()
    run.free()


def _provoke_released(pool):
    block = pool.allocate()
    block.release()
    _ = block.buf


def _provoke_use_after_free(pool):
    block = pool.allocate()
    block.free()
    _ = block.buf


def _provoke_in_use(pool):
    block = pool.allocate()
    view = block.buf
    block.free()
    del view


def _provoke_closed(pool):
    pool.close()
    pool.allocate()


@pytest.mark.parametrize(
    ("provoke", "error", "values", "remedy"),
    [
        (_provoke_exhausted, bp.PoolExhausted, ["17 adjacent blocks", "only 16"], "ask for fewer"),
        (
            _provoke_no_run,
            bp.PoolExhausted,
            ["3 adjacent blocks", "8 of 16 free", "longest run 1"],
            "free some, ask for fewer, wait for them (timeout=), or make the pool larger",
        ),
        (_provoke_double_free, bp.DoubleFree, ["the run of 3 blocks at 0"], "allocate a new one"),
        (_provoke_released, bp.InvalidBlock, ["block 0", "released"], "allocate a new one"),
        (_provoke_use_after_free, bp.InvalidBlock, ["block 0", "freed"], "allocate a new one"),
        (
            _provoke_in_use,
            bp.BlockInUse,
            ["block 0", "1 user: 1 memoryview"],
            "drop those first, or call release()",
        ),
        (_provoke_closed, bp.PoolClosed, ["closed"], "create a new one"),
    ],
)
def test_messages_give_values_and_remedy(pool, provoke, error, values, remedy):
    """Each error message says which block or how many, and what to do, and survives pickling."""
    with pytest.raises(bp.BlockPoolError) as caught:
        provoke(pool)
    assert type(caught.value) is error
    message = str(caught.value)
    assert [value for value in values if value not in message] == []
    assert remedy in message
    back = pickle.loads(pickle.dumps(caught.value))
    assert (type(back), str(back)) == (error, message)


ERRNO = {
    bp.PoolExists: errno.EEXIST,
    bp.PoolNotFound: errno.ENOENT,
    bp.PoolForbidden: errno.EACCES,
    bp.PoolBusy: errno.ETIMEDOUT,
}


def test_errors_of_the_system_have_an_errno():
    """Every exception that is an OSError has the errno of its kind, also when unpickled, and shows only its message."""
    assert set(ERRNO) == {kind for kind in FAMILY if issubclass(kind, OSError)}
    for kind, number in ERRNO.items():
        error = kind("why, and what to do")
        for one in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (one.errno, str(one), one.args) == (number, str(error), error.args)
    with pytest.raises(FileNotFoundError) as caught:
        bp.Pool.attach("no-pool-has-this-name")
    assert caught.value.errno == errno.ENOENT


USERS = {
    "memoryview": (
        lambda block: [block.buf],
        "1 user: 1 memoryview or object made from it;",
    ),
    "array of a memoryview": (
        lambda block: [np.frombuffer(block.buf)],
        "1 user: 1 memoryview or object made from it;",
    ),
    "memoryviews": (
        lambda block: [block.buf, block.buf],
        "2 users: 2 memoryviews or objects made from them;",
    ),
    "array": (
        lambda block: [block.array(8)],
        "1 user: 1 array or other object made from it;",
    ),
    "arrays": (
        lambda block: [block.array(8), np.asarray(block), block.__dlpack__()],
        "3 users: 3 arrays or other objects made from it;",
    ),
    "read-only Block": (
        lambda block: [block.readonly()],
        "1 user: 1 read-only Block or its views;",
    ),
    "view of a read-only Block": (
        lambda block: [block.readonly().buf],
        "1 user: 1 read-only Block or its views;",
    ),
    "all": (
        lambda block: [block.readonly(), block.readonly(), block.array(8), block.buf],
        "4 users: 1 memoryview or object made from it, 2 read-only Blocks or their views, 1 array",
    ),
}


@pytest.mark.parametrize(("make", "users"), USERS.values(), ids=USERS)
@pytest.mark.parametrize("kind", ["private", "shared", "debug"])
def test_block_in_use_names_what_uses_it(kind, make, users):
    """BlockInUse counts the present users of a block by their kinds."""
    pool = bp.Pool.create(64, 2) if kind == "shared" else bp.Pool(64, 2, debug=kind == "debug")
    block = pool.allocate()
    gone = [block.buf, block.array(8), block.readonly(), block.readonly().buf]
    del gone
    held = make(block)
    with pytest.raises(bp.BlockInUse) as caught:
        block.free()
    assert users in str(caught.value)
    del held
    block.free()
    assert pool.stats().allocated == 0


def test_block_in_use_as_a_read_only_block_sees_it(pool):
    """The BlockInUse of a read-only Block counts other Blocks of the run and the views of all of them."""
    block = pool.allocate()
    reader = block.readonly()
    with pytest.raises(bp.BlockInUse, match="1 user: 1 other Block;"):
        reader.free()
    view, other = block.buf, reader.readonly()
    with pytest.raises(bp.BlockInUse, match=r"3 users: 1 memoryview or object .*, 2 other Blocks;"):
        reader.free()
    del other
    block.release()
    with pytest.raises(bp.BlockInUse, match="1 user: 1 memoryview"):
        reader.free()
    del view
    reader.free()


NO_BUFFER = {
    "memoryview": (memoryview, r"block\.buf"),
    "bytes": (bytes, r"bytes\(block\.buf\)"),
    "bytearray": (bytearray, r"block\.buf"),
    "len": (len, r"block\.nbytes"),
    "write": (io.BytesIO().write, r"block\.buf"),
    "buffer=": (lambda block: bp.Pool(8, buffer=block), r"block\.buf"),
    "into": (lambda block: bp.IndexPool(8).allocate_into(block), r"block\.buf"),
    "frombuffer": (np.frombuffer, r"block\.buf"),
}


@pytest.mark.parametrize(("use", "hint"), NO_BUFFER.values(), ids=NO_BUFFER)
def test_a_block_in_the_place_of_its_memory(pool, use, hint):
    """A Block where a buffer or a sequence is wanted raises a TypeError that points to its memory."""
    block = pool.allocate()
    with pytest.raises(TypeError, match=hint):
        use(block)
    assert block
    block.free()


@pytest.mark.parametrize("method", ["allocate", "allocate_async"])
def test_arguments_without_their_names(pool, method):
    """Allocating with a positional argument raises a TypeError that shows the call to write."""
    call = getattr(pool, method)
    for given, named in (
        (3, "blocks=3"),
        (0, "blocks=0"),
        ("4KiB", "nbytes='4KiB'"),
        (None, "blocks=None"),
    ):
        with pytest.raises(TypeError, match=rf"{method}\({named}\)$"):
            call(given)
    with pytest.raises(TypeError):
        call(3, 4)
    with pytest.raises(TypeError):
        call(size=3)
    assert pool.stats().failures == 0


def test_arguments_of_the_other_kind_of_pool():
    """An argument that only the other kind of pool has raises a TypeError that names the other call."""
    for name in ("name", "exist_ok", "permanent", "on_fork"):
        with pytest.raises(TypeError, match=rf"Pool\(\) has no {name}=.*Pool\.create\("):
            bp.Pool(64, 4, **{name: "x"})
    for name in ("buffer", "huge_pages"):
        with pytest.raises(TypeError, match=rf"Pool\.create\(\) has no {name}=.*with Pool\("):
            bp.Pool.create(64, 4, **{name: 1})
    for call in (bp.Pool, bp.Pool.create):
        with pytest.raises(TypeError, match="no argument 'size'"):
            call(64, 4, size=3)
