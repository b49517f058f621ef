"""The family of exceptions: bases, pickling, and what the messages say."""

import copy
import pickle

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
}


@pytest.mark.parametrize(("error", "base"), FAMILY.items(), ids=lambda kind: kind.__name__)
def test_bases(error, base):
    """Each error is a BlockPoolError, and also of the built-in kind that existing code catches."""
    assert issubclass(error, bp.BlockPoolError)
    assert issubclass(error, base)


def test_the_family_is_complete():
    """Every public exception is one of those that are tested here."""
    public = {getattr(bp, name) for name in bp.__all__}
    kinds = {kind for kind in public if isinstance(kind, type) and issubclass(kind, BaseException)}
    assert kinds == set(FAMILY)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("error", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_pickle(error, protocol):
    """An error arrives from another process as the same class with the same message."""
    back = pickle.loads(pickle.dumps(error("12 blocks", 5), protocol))
    assert type(back) is error
    assert back.args == ("12 blocks", 5)
    assert type(copy.copy(back)) is error


@pytest.mark.parametrize("error", FAMILY, ids=lambda kind: kind.__name__)
def test_errors_are_named_as_users_import_them(error):
    """Tracebacks show `blockpool.DoubleFree`, not the module where it happens to be written."""
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
            ["block 0", "1 user:"],
            "drop those first, or call release()",
        ),
        (_provoke_closed, bp.PoolClosed, ["closed"], "make a new one"),
    ],
)
def test_messages_give_values_and_remedy(pool, provoke, error, values, remedy):
    """Each message says which block or how many, and what to do; it survives pickling."""
    with pytest.raises(bp.BlockPoolError) as caught:
        provoke(pool)
    assert type(caught.value) is error
    message = str(caught.value)
    assert [value for value in values if value not in message] == []
    assert remedy in message
    back = pickle.loads(pickle.dumps(caught.value))
    assert (type(back), str(back)) == (error, message)
