"""A private pool: making it, allocating from it, and every wrong way to ask."""

import copy
import gc
import pickle
import threading
import weakref

import pytest

import blockpool as bp

ASKED = r"asked for \d+ bytes \(\d+ blocks of \d+\)( and \d+ of bookkeeping)?; .* \d+ bytes"


def _free_all(blocks):
    for block in blocks:
        block.free()


@pytest.mark.parametrize(("block_size", "blocks"), [(8, 1), ("64B", 7), (4096, 64), ("1kB", 1000), (24, 513)])
def test_geometry(block_size, blocks):
    """A private pool has the geometry it was made with, and begins empty and zeroed."""
    with bp.Pool(block_size, blocks) as pool:
        assert pool.blocks == blocks
        assert pool.nbytes == pool.block_size * blocks
        assert pool.name is None
        assert not pool.closed
        run = pool.allocate(blocks=blocks)
        assert run.address == pool.address
        assert bytes(run.buf) == bytes(pool.nbytes)
        run.buf[-1] = 255


@pytest.mark.parametrize("block_size", [8, 16, 24, 40, 64, 72, 96, 192, 320, 1000, 1024, 4096, 4104, 12288, 65536])
def test_alignment_is_true_for_every_block(block_size):
    """Every block's address is a multiple of `alignment`, the largest power of two in the block size up to a page."""
    pool = bp.Pool(block_size, 9)
    assert pool.alignment == min(block_size & -block_size, 4096)
    blocks = pool.allocate_many(9)
    assert {block.address % pool.alignment for block in blocks} == {0}
    assert sorted(block.address for block in blocks) == [pool.address + i * block_size for i in range(9)]


def test_the_same_arguments_by_name():
    """The block_size and blocks of a pool, and the count of allocate_many, can be given by name."""
    pool = bp.Pool(blocks=3, block_size="64B")
    assert (pool.block_size, pool.blocks) == (64, 3)
    assert pool.allocate_many(count=2, timeout=0)[1].blocks == 1


def test_single_blocks_come_lowest_first_and_differ(pool):
    """A fresh pool gives each block once, lowest address first, and a freed one again."""
    blocks = [pool.allocate() for _ in range(16)]
    assert [block.index for block in blocks] == list(range(16))
    assert {(block.blocks, block.nbytes) for block in blocks} == {(1, 4096)}
    blocks[5].free()
    assert pool.allocate().index == 5


def test_blocks_do_not_overlap(pool):
    """Blocks do not overlap: what is written to one is not seen in another."""
    blocks = [*pool.allocate_many(4), pool.allocate(blocks=3), pool.allocate(nbytes=5000)]
    for number, block in enumerate(blocks):
        block.buf[:] = bytes([number]) * block.nbytes
    for number, block in enumerate(blocks):
        assert bytes(block.buf) == bytes([number]) * block.nbytes


def test_runs_are_adjacent(pool):
    """A run has n adjacent blocks, and its nbytes is the size of all of them."""
    first, second = pool.allocate(blocks=3), pool.allocate(blocks=5)
    assert (first.index, first.blocks, first.nbytes) == (0, 3, 3 * 4096)
    assert (second.index, second.blocks, second.nbytes) == (3, 5, 5 * 4096)
    assert len(second.buf) == second.nbytes


@pytest.mark.parametrize(
    ("nbytes", "blocks"),
    [(1, 1), (4095, 1), (4096, 1), (4097, 2), ("8KiB", 2), (10_000, 3), ("64KiB", 16)],
)
def test_nbytes_takes_as_many_blocks_as_needed(pool, nbytes, blocks):
    """`nbytes=` takes as many whole blocks as needed, and the block's nbytes is what was asked for."""
    block = pool.allocate(nbytes=nbytes)
    assert block.blocks == blocks
    assert block.nbytes == len(block.buf) <= blocks * 4096
    if isinstance(nbytes, int):
        assert block.nbytes == nbytes


def test_allocate_many_is_all_or_nothing(pool, unchanged):
    """allocate_many gives single blocks that need not be adjacent; if there are too few, it gives none."""
    holes = [pool.allocate() for _ in range(16)]
    _free_all(holes[::2])
    many = pool.allocate_many(8)
    assert sorted(block.index for block in many) == list(range(0, 16, 2))
    assert {block.blocks for block in many} == {1}
    _free_all(many[:3])
    with (
        unchanged(pool, failures=1),
        pytest.raises(bp.PoolExhausted, match="asked for 4 blocks; 3 of 16 free"),
    ):
        pool.allocate_many(4)
    assert type(pool.allocate_many(3)) is list


def test_a_full_pool_says_so(pool, unchanged):
    """The error for a full pool says how many blocks were asked for and are free; only `failures` changes."""
    kept = [pool.allocate() for _ in range(16)]
    with (
        unchanged(pool, failures=1),
        pytest.raises(bp.PoolExhausted, match="asked for 1 block; 0 of 16 free"),
    ):
        pool.allocate()
    kept.pop().free()
    pool.allocate().free()


def test_no_run_long_enough(pool, unchanged):
    """A run needs adjacent blocks: without a long enough hole it raises PoolExhausted, with one it succeeds."""
    kept = [pool.allocate() for _ in range(16)]
    _free_all(kept[::2])
    with (
        unchanged(pool, failures=1),
        pytest.raises(bp.PoolExhausted, match="8 of 16 free, longest run 1"),
    ):
        pool.allocate(blocks=2)
    kept[7].free()
    assert pool.allocate(blocks=3).index == 6


@pytest.mark.parametrize("timeout", [0, 5, None])
@pytest.mark.parametrize(
    "count",
    [17, 2**31, 2**62, 2**63, 2**64, 2**100, 10**5000],
    ids=lambda count: f"{count.bit_length()} bits",
)
def test_more_than_the_pool_has(pool, unchanged, count, timeout):
    """Asking for more than the whole pool fails at once, whatever the timeout, and never overflows."""
    with unchanged(pool, failures=1), pytest.raises(bp.PoolExhausted, match="the pool has only 16"):
        pool.allocate(blocks=count, timeout=timeout)
    with unchanged(pool, failures=1), pytest.raises(bp.PoolExhausted, match="the pool has only 16"):
        pool.allocate_many(count, timeout=timeout)


@pytest.mark.parametrize("nbytes", [65537, "65KiB", 2**40, 2**62])
def test_more_bytes_than_the_pool_has(pool, unchanged, nbytes):
    """Asking for more bytes than the whole pool has fails at once with PoolExhausted."""
    with unchanged(pool, failures=1), pytest.raises(bp.PoolExhausted, match="the pool has only 16"):
        pool.allocate(nbytes=nbytes)


@pytest.mark.parametrize(
    "count",
    [0, -1, -(2**63), -(2**100), False, -(10**5000)],
    ids=lambda count: f"{count.bit_length()} bits",
)
def test_counts_below_one_are_value_errors(pool, unchanged, count):
    """Zero and negative counts raise ValueErrors that name the argument."""
    with unchanged(pool), pytest.raises(ValueError, match="blocks must be at least 1"):
        pool.allocate(blocks=count)
    with unchanged(pool), pytest.raises(ValueError, match="count must be at least 1"):
        pool.allocate_many(count)
    with pytest.raises(ValueError, match="blocks must be at least 1"):
        bp.Pool(64, count)


@pytest.mark.parametrize("count", [1.0, "1", b"1", float("nan"), [1], 1j, object()], ids=lambda v: type(v).__name__)
def test_counts_of_other_types_are_type_errors(pool, unchanged, count):
    """A count that is not an int raises a TypeError that names the argument and the type."""
    kind = type(count).__name__
    with unchanged(pool), pytest.raises(TypeError, match=f"blocks must be an int, not {kind}"):
        pool.allocate(blocks=count)
    with unchanged(pool), pytest.raises(TypeError, match=f"count must be an int, not {kind}"):
        pool.allocate_many(count)
    with pytest.raises(TypeError, match=f"blocks must be an int, not {kind}"):
        bp.Pool(64, count)


def test_allocate_many_needs_a_count(pool, unchanged):
    """None as the count of allocate_many raises TypeError."""
    with unchanged(pool), pytest.raises(TypeError, match="count must be an int, not NoneType"):
        pool.allocate_many(None)


@pytest.mark.parametrize(
    ("nbytes", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        ("", ValueError),
        ("4 XiB", ValueError),
        (2**63, ValueError),
        (1.5, TypeError),
        (b"1", TypeError),
    ],
)
def test_bad_nbytes(pool, unchanged, nbytes, error):
    """An `nbytes=` that is not a valid size raises an error that names the argument."""
    with unchanged(pool), pytest.raises(error, match="nbytes"):
        pool.allocate(nbytes=nbytes)


def test_blocks_and_nbytes_together_are_a_type_error(pool, unchanged):
    """Giving both blocks and nbytes raises TypeError."""
    with unchanged(pool), pytest.raises(TypeError, match="not both"):
        pool.allocate(blocks=1, nbytes=4096)


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (-1, ValueError),
        (-1e-9, ValueError),
        (float("nan"), ValueError),
        (float("-inf"), ValueError),
        (-(10**400), ValueError),
        ("1", TypeError),
        (b"1", TypeError),
        (bytearray(b"1"), TypeError),
        ([], TypeError),
        (1j, TypeError),
    ],
    ids=lambda value: f"{value!r:.20}" if not isinstance(value, type) else value.__name__,
)
def test_bad_timeouts(pool, unchanged, timeout, error):
    """A timeout that is neither a number of at least 0 nor None raises, even when there is room."""
    with unchanged(pool), pytest.raises(error, match="timeout must be"):
        pool.allocate(timeout=timeout)
    with unchanged(pool), pytest.raises(error, match="timeout must be"):
        pool.allocate_many(1, timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 0.0, -0.0, False, 1, 1.5, 1e300, 10**400, float("inf"), None])
def test_good_timeouts(pool, timeout):
    """Any valid timeout will do when there is room."""
    pool.allocate(timeout=timeout).free()
    _free_all(pool.allocate_many(2, timeout=timeout))
    pool.allocate(blocks=2, timeout=timeout).free()


@pytest.mark.parametrize(
    "arguments",
    [(), (64,), (64, 4, bytearray(256))],
    ids=["nothing", "no blocks", "buffer by position"],
)
def test_wrong_numbers_of_arguments(arguments):
    """Pool() with a missing or superfluous argument raises TypeError."""
    with pytest.raises(TypeError):
        bp.Pool(*arguments)


def test_unknown_arguments(pool, unchanged):
    """An unknown argument, or a timeout given by position, raises TypeError."""
    with pytest.raises(TypeError):
        bp.Pool(64, 4, size=3)
    with unchanged(pool):
        for wrong in (
            lambda: pool.allocate(count=3),
            lambda: pool.allocate_many(1, 2),
            pool.allocate_many,
        ):
            with pytest.raises(TypeError):
                wrong()


@pytest.mark.parametrize("method", ["allocate", "allocate_async"])
@pytest.mark.parametrize(
    ("call", "written"),
    [
        (lambda allocate: allocate(3), "blocks=3"),
        (lambda allocate: allocate(3, 4), "blocks=3"),
        (lambda allocate: allocate("1 KiB", None, 2.0), "nbytes='1 KiB'"),
        (lambda allocate: allocate(3, timeout=2), "blocks=3"),
    ],
)
def test_allocating_by_position(each, method, call, written, unchanged):
    """Allocating with up to three positional arguments raises a TypeError that shows the call to write."""
    with unchanged(each), pytest.raises(TypeError) as caught:
        call(getattr(each, method))
    assert str(caught.value).endswith(f"by name: write {method}({written})")


@pytest.mark.parametrize(
    ("block_size", "blocks"),
    [("1TiB", 2**10), (2**62, 1), (2**62, 2**62), (8, 2**62), (8, 2**100), (2**40, 2**24)],
)
def test_a_pool_larger_than_memory(block_size, blocks):
    """Too large a pool raises PoolExhausted, a MemoryError, with what was asked for and what there is."""
    with pytest.raises(bp.PoolExhausted, match=ASKED) as caught:
        bp.Pool(block_size, blocks)
    assert isinstance(caught.value, MemoryError)
    with pytest.raises(bp.PoolExhausted, match=r"available now|leaves"):
        bp.Pool(block_size, blocks, prefault=True)


def test_a_pool_of_an_unprintable_size():
    """A pool of more blocks than Python can print raises PoolExhausted, too."""
    with pytest.raises(bp.PoolExhausted):
        bp.Pool(8, 10**5000)


def test_the_collector_is_run_once_before_giving_up(pool):
    """A full pool runs the collector once, and so gets back blocks that only a reference cycle holds."""
    collections = []

    def watch(phase, _info):
        collections.append(phase)

    gc.disable()
    gc.callbacks.append(watch)
    try:
        cycle = [pool.allocate_many(16)]
        cycle.append(cycle)
        del cycle
        collections.clear()
        block = pool.allocate()
        assert collections == ["start", "stop"]
        block.free()
        for again in (
            lambda: pool.allocate(blocks=16),
            lambda: pool.allocate(nbytes="64KiB"),
            lambda: pool.allocate_many(16),
        ):
            cycle = [again(), pool]
            cycle.append(cycle)
            del cycle
            assert again() is not None
        kept = pool.allocate_many(16)
        collections.clear()
        with pytest.raises(bp.PoolExhausted):
            pool.allocate(timeout=0.01)
        assert collections == ["start", "stop"]
        _free_all(kept)
        collections.clear()
        pool.allocate().free()
        assert collections == []
    finally:
        gc.callbacks.remove(watch)
        gc.enable()


CLOSED = {
    "block_size": lambda pool: pool.block_size,
    "blocks": lambda pool: pool.blocks,
    "nbytes": lambda pool: pool.nbytes,
    "address": lambda pool: pool.address,
    "alignment": lambda pool: pool.alignment,
    "allocate": lambda pool: pool.allocate(),
    "allocate run": lambda pool: pool.allocate(blocks=2),
    "allocate nbytes": lambda pool: pool.allocate(nbytes=10, timeout=None),
    "allocate_many": lambda pool: pool.allocate_many(2),
    "stats": lambda pool: pool.stats(),
    "runs": lambda pool: pool.runs(),
    "check": lambda pool: pool.check(),
    "residency": lambda pool: pool.residency(),
    "with": lambda pool: pool.__enter__(),
}


@pytest.mark.parametrize("use", CLOSED.values(), ids=CLOSED)
@pytest.mark.parametrize("maker", ["closed", "bare"])
def test_a_closed_pool(use, maker):
    """Every use of a pool that is closed, or was never opened, raises PoolClosed."""
    if maker == "closed":
        pool = bp.Pool(64, 4)
        pool.close()
    else:
        pool = bp.Pool.__new__(bp.Pool)
    with pytest.raises(bp.PoolClosed, match="closed; create a new one"):
        use(pool)


def test_what_a_closed_pool_still_tells(pool):
    """Closing again does nothing, and name, closed and repr of a closed pool still work."""
    assert "16 blocks of 4096 bytes, 0 allocated" in repr(pool)
    pool.close()
    pool.close()
    assert pool.closed
    assert pool.name is None
    assert repr(pool) == "<blockpool.Pool closed>"


def test_with_closes():
    """`with pool` gives the pool itself and closes it at the end, also after an exception."""
    with bp.Pool(64, 4) as pool:
        assert pool.allocate().pool is pool
    assert pool.closed
    with pytest.raises(ZeroDivisionError), bp.Pool(64, 4) as pool:
        1 / 0
    assert pool.closed


def test_init_twice(pool, unchanged):
    """__init__ of an open pool raises ValueError and changes nothing; a closed Pool can be opened again."""
    kept = pool.allocate()
    with unchanged(pool), pytest.raises(ValueError, match="open already"):
        pool.__init__(64, 2)
    pool.close()
    pool.__init__(64, 2)
    assert (pool.block_size, pool.blocks) == (64, 2)
    kept.buf[0] = 1
    kept.free()
    assert pool.stats().frees == 0


def test_a_failed_init_leaves_a_closed_pool():
    """A Pool whose arguments were refused is closed, and can still be opened."""
    pool = bp.Pool.__new__(bp.Pool)
    for wrong in ((7, 4), (64, 0), (2**62, 2**62), ("", 4)):
        with pytest.raises((ValueError, MemoryError)):
            pool.__init__(*wrong)
        assert pool.closed
    pool.__init__(64, 4)
    assert not pool.closed


class Counted(bp.Pool):
    """A Pool with a default block size, which counts allocations."""

    def __init__(self, blocks):
        super().__init__("64B", blocks)
        self.made = 0

    def allocate(self, **arguments):
        """Count the call, and allocate."""
        self.made += 1
        return super().allocate(**arguments)


class Forgetful(bp.Pool):
    """A Pool that does not call Pool.__init__."""

    def __init__(self):
        pass


def test_subclasses():
    """Pool can be subclassed, and block.pool is the object of the subclass."""
    with Counted(5) as pool:
        block = pool.allocate(blocks=2)
        assert (pool.made, block.pool, pool.blocks) == (1, pool, 5)
        assert "5 blocks" in repr(pool)
    with pytest.raises(bp.PoolClosed):
        Forgetful().allocate()


class Named(bp.Pool):
    """A Pool that cannot be compared or used as a key; __new__ gives each object an attribute."""

    def __new__(cls, *_arguments, **_options):
        """Set the attribute, whatever makes the object."""
        made = super().__new__(cls)
        made.title = "new"
        return made

    def __init__(self, *_arguments):
        raise AssertionError("only a private pool is made by __init__")

    def __eq__(self, other):
        raise AssertionError("blockpool compares pools")

    __hash__ = None


def test_a_subclass_of_shared_pools(pool_name):
    """`create`, `attach` and unpickling in a subclass give objects of the subclass, made by its `__new__`."""
    made = Named.create(64, 8, name=pool_name)
    attached = Named.attach(pool_name)
    made.title = "mine"
    unpickled = pickle.loads(pickle.dumps(made))
    assert [type(each) for each in (made, attached, unpickled)] == [Named] * 3
    assert [each.title for each in (made, attached, unpickled)] == ["mine", "new", "mine"]
    block = attached.allocate()
    assert block.pool is unpickled
    unpickled.close()
    assert block.pool in [each for each in (made, attached) if each is block.pool]
    made.close()
    assert block.pool is attached
    block.free()


class Reentrant:
    """A number that opens the pool while it is asked for its value."""

    def __init__(self, pool, value):
        self.pool, self.value = pool, value

    def __index__(self):
        self.pool.__init__(128, 4)
        return self.value


@pytest.mark.parametrize("argument", [0, 1])
def test_init_within_init(argument):
    """If an argument's __index__ opens the Pool that is being opened, that call counts and the outer one raises."""
    pool = bp.Pool.__new__(bp.Pool)
    arguments = [64, 8]
    arguments[argument] = Reentrant(pool, arguments[argument])
    with pytest.raises(ValueError, match="open already"):
        pool.__init__(*arguments)
    assert (pool.block_size, pool.blocks) == (128, 4)
    assert pool.allocate().pool is pool
    assert pool.check().allocated == 0


def test_the_pool_of_a_block_whose_pool_was_opened_again():
    """block.pool is never another pool than the block's own, even if its Pool object was opened again."""
    pool = bp.Pool(64, 8)
    block = pool.allocate()
    pool.close()
    assert block.pool is pool
    pool.__init__(128, 4)
    assert block.pool is not pool
    assert block.pool.closed
    assert pool.allocate().pool is pool


def test_a_cycle_of_a_subclass_is_collected():
    """A reference cycle of a subclass of Pool and a view of its block is collected."""
    pool = Counted(5)
    pool.mine = [pool, pool.allocate().buf]
    gone = weakref.ref(pool)
    del pool
    gc.collect()
    assert gone() is None


def test_weak_references():
    """A weakly referenced Pool goes with its last reference, although its blocks live on."""
    pool = bp.Pool(64, 4)
    gone = weakref.ref(pool)
    block = pool.allocate()
    assert gone() is pool
    del pool
    assert gone() is None
    block.buf[:3] = b"abc"
    assert bytes(block.buf[:3]) == b"abc"
    block.free()


def test_pools_are_not_copied_or_pickled(pool, unchanged):
    """Copying or pickling a private pool raises a TypeError that says why."""
    with unchanged(pool):
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="private pool cannot be pickled or copied"):
                attempt(pool)


def test_attributes_cannot_be_set(pool):
    """A pool's attributes are read-only, and no others can be added."""
    for name in (
        "name",
        "block_size",
        "blocks",
        "nbytes",
        "address",
        "alignment",
        "closed",
        "colour",
    ):
        with pytest.raises(AttributeError):
            setattr(pool, name, 1)


@pytest.mark.parametrize("blocks", [63, 64, 65, 511, 512, 513, 4096, 70_000])
def test_pools_of_awkward_lengths(blocks):
    """A pool of any length gives all its blocks and none beyond, one by one or as one run."""
    pool = bp.Pool(8, blocks)
    many = pool.allocate_many(blocks)
    assert sorted(block.index for block in many) == list(range(blocks))
    with pytest.raises(bp.PoolExhausted):
        pool.allocate()
    assert pool.check() == bp.Audit(blocks=blocks, allocated=blocks, runs=blocks)
    _free_all(many)
    whole = pool.allocate(blocks=blocks)
    assert pool.check() == bp.Audit(blocks=blocks, allocated=blocks, runs=1)
    whole.free()
    assert pool.check() == bp.Audit(blocks=blocks, allocated=0, runs=0)


def test_close_in_another_thread(pool):
    """A pool can be closed by another thread than the one that made it."""
    thread = threading.Thread(target=pool.close)
    thread.start()
    thread.join()
    assert pool.closed
