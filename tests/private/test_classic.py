"""The three classic calls: what they give, and every wrong way to call them."""

import contextlib
import doctest
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import blockpool as bp
from blockpool import classic
from blockpool.classic import (
    allocate_memory_blocks,
    deallocate_memory_blocks,
    initialize_memory_allocator,
)


@pytest.fixture(autouse=True)
def nothing_initialized(monkeypatch):
    """Begin each test before the first initialisation, and check the pool at its end."""
    allocator = classic._Allocator()
    monkeypatch.setattr(classic, "_allocator", allocator)
    yield
    if allocator.pool is not None and not allocator.pool.closed:
        allocator.pool.check()


@pytest.fixture
def pool():
    """Initialize the classic allocator with its defaults, and return its pool."""
    return initialize_memory_allocator()


def test_module_example():
    """The example in the docstring of blockpool.classic prints what it says."""
    result = doctest.testmod(classic, raise_on_error=False, report=True)
    assert result.attempted == 8
    assert result.failed == 0


def test_three_names():
    """`from blockpool.classic import *` gives the three calls and nothing else."""
    names: dict[str, object] = {}
    exec("from blockpool.classic import *", names)  # noqa: S102
    names.pop("__builtins__")
    assert sorted(names) == [
        "allocate_memory_blocks",
        "deallocate_memory_blocks",
        "initialize_memory_allocator",
    ]


def test_defaults(pool):
    """By default the classic allocator has 1024 bytes in blocks of 32, and allocates one block."""
    assert isinstance(pool, bp.Pool)
    assert (pool.nbytes, pool.block_size, pool.blocks) == (1024, 32, 32)
    block = allocate_memory_blocks()
    assert isinstance(block, bp.Block)
    assert (block.blocks, block.nbytes, block.pool) == (1, 32, pool)


@pytest.mark.parametrize(
    ("sizes", "blocks"),
    [
        ((8, 8), 1),
        (("1KiB", 32), 32),
        ((4096, "1 KiB"), 4),
        (("1MB", "8B"), 125_000),
        ((72, 24), 3),
    ],
)
def test_sizes(sizes, blocks):
    """The sizes of the classic allocator are ints or strings, and its pool has mem_pool_size / block_size blocks."""
    assert initialize_memory_allocator(*sizes).blocks == blocks


def test_sizes_by_name():
    """The arguments of initialize_memory_allocator have the names they have in the assembly program."""
    pool = initialize_memory_allocator(block_size=64, mem_pool_size=640)
    assert (pool.block_size, pool.blocks) == (64, 10)


class Index:
    """An object with __index__, which will do for a number."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


WRONG_SIZES = [
    ((1024, 33), ValueError, "multiple of 8, not 33; the next one is 40"),
    ((1024, 24), ValueError, "multiple of block_size 24, not 1024; the next one is 1032"),
    ((1000, 32), ValueError, "multiple of block_size 32, not 1000; the next one is 1024"),
    ((16, 32), ValueError, "multiple of block_size 32, not 16; the next one is 32"),
    ((0, 32), ValueError, "mem_pool_size must be at least 1"),
    ((1024, 0), ValueError, "block_size must be at least 1"),
    ((-1024, 32), ValueError, "mem_pool_size must be at least 1"),
    ((1024, -32), ValueError, "block_size must be at least 1"),
    ((2**63, 32), ValueError, "at most"),
    ((10**40, 32), ValueError, "at most"),
    ((2**61, 2**20), bp.PoolExhausted, "asked for"),
    ((1024.0, 32), TypeError, "mem_pool_size must be an int"),
    ((1024, 32.0), TypeError, "block_size must be an int"),
    ((None, 32), TypeError, "mem_pool_size"),
    ((1024, None), TypeError, "block_size"),
    ((b"1KiB", 32), TypeError, "mem_pool_size"),
    (("1 mile", 32), ValueError, "mem_pool_size '1 mile' is not a valid size"),
    (("", 32), ValueError, "is not a valid size"),
]


@pytest.mark.parametrize(("sizes", "error", "message"), WRONG_SIZES)
def test_refused_sizes(sizes, error, message):
    """Initialising with a wrong size raises, and there is still no pool."""
    with pytest.raises(error, match=message):
        initialize_memory_allocator(*sizes)
    with pytest.raises(bp.PoolClosed):
        allocate_memory_blocks()


@pytest.mark.parametrize(("sizes", "error", "message"), WRONG_SIZES)
def test_refused_sizes_keep_the_pool(pool, unchanged, sizes, error, message):
    """Initialising again with a wrong size raises, and leaves the pool that is in use as it was."""
    with unchanged(pool), pytest.raises(error, match=message):
        initialize_memory_allocator(*sizes)
    assert allocate_memory_blocks().pool is pool


def test_before_initialisation():
    """Before initialisation, allocating and deallocating raise a PoolClosed that says what to call."""
    with pytest.raises(bp.PoolClosed, match=r"call initialize_memory_allocator\(\) first"):
        allocate_memory_blocks(1)
    with pytest.raises(bp.PoolClosed, match=r"call initialize_memory_allocator\(\) first"):
        deallocate_memory_blocks(4096)
    block = bp.Pool(32, 1).allocate()
    with pytest.raises(bp.PoolClosed, match=r"call initialize_memory_allocator\(\) first"):
        deallocate_memory_blocks(block)


def test_a_run(pool):
    """allocate_memory_blocks(n) gives a writable run of n adjacent blocks, which goes back whole."""
    first, run = allocate_memory_blocks(), allocate_memory_blocks(5)
    assert (run.index, run.blocks, run.nbytes) == (1, 5, 160)
    assert run.address == first.address + 32
    run.buf[:] = bytes(range(160))
    assert bytes(run.buf) == bytes(range(160))
    deallocate_memory_blocks(run)
    assert pool.stats().allocated == 1
    assert allocate_memory_blocks(Index(31)).blocks == 31


def test_by_address(pool):
    """A block or run can be deallocated by its address."""
    address = allocate_memory_blocks(3).address
    assert pool.stats().allocated == 3
    deallocate_memory_blocks(address)
    assert pool.stats().allocated == 0
    deallocate_memory_blocks(Index(allocate_memory_blocks().address))
    assert pool.stats().allocated == 0


def test_forgotten_blocks_stay_allocated(pool):
    """A classic block stays allocated when the program drops it, as in the assembly program."""
    for _ in range(32):
        allocate_memory_blocks()
    assert pool.stats().allocated == 32
    with pytest.raises(bp.PoolExhausted, match="0 of 32 free"):
        allocate_memory_blocks()


@pytest.mark.parametrize(
    ("n", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (33, bp.PoolExhausted),
        (2**64, bp.PoolExhausted),
        (1.0, TypeError),
        (None, TypeError),
        ("1", TypeError),
        ([1], TypeError),
    ],
)
def test_refused_counts(pool, unchanged, n, error):
    """allocate_memory_blocks with a wrong count, or more than there is, raises and changes nothing."""
    allocate_memory_blocks(2)
    failures = int(error is bp.PoolExhausted)
    with unchanged(pool, failures=failures), pytest.raises(error):
        allocate_memory_blocks(n)


def test_no_room_for_a_run(pool, unchanged):
    """Allocating a run raises PoolExhausted if enough blocks are free but not adjacent."""
    held = [allocate_memory_blocks() for _ in range(32)]
    for block in held[::2]:
        deallocate_memory_blocks(block)
    with (
        unchanged(pool, failures=1),
        pytest.raises(bp.PoolExhausted, match="16 of 32 free, longest run 1"),
    ):
        allocate_memory_blocks(2)


def refused(pool, unchanged, what, error, message):
    """Check that deallocating raises exactly this error, and changes nothing."""
    with unchanged(pool), pytest.raises(error, match=message) as caught:
        deallocate_memory_blocks(what)
    assert type(caught.value) is error


def test_refused_addresses(pool, unchanged):
    """Deallocating an address outside the pool, inside a block or inside a run raises InvalidBlock with the reason."""
    single, run = allocate_memory_blocks(), allocate_memory_blocks(3)
    base = pool.address
    for outside in (0, -1, 1, base - 32, base - 1, base + 1024, 2**64, 10**5000, -(10**5000)):
        refused(pool, unchanged, outside, bp.InvalidBlock, "no block of this pool")
    refused(
        pool,
        unchanged,
        single.address + 1,
        bp.InvalidBlock,
        "inside block 0, 1 bytes from its start",
    )
    refused(pool, unchanged, base + 1023, bp.InvalidBlock, "inside block 31")
    for inner in (1, 2):
        refused(
            pool,
            unchanged,
            run.address + inner * 32,
            bp.InvalidBlock,
            f"inside the run of 3 blocks at 1; .* {run.address:#x}$",
        )
    refused(pool, unchanged, base + 4 * 32, bp.InvalidBlock, "block 4 was never allocated")
    deallocate_memory_blocks(run)
    deallocate_memory_blocks(single)


@pytest.mark.parametrize("garbage", [1.0, "block", b"block", [], object(), memoryview(b""), bp.Block])
def test_garbage(pool, unchanged, garbage):
    """Deallocating what is neither a Block nor an int raises TypeError."""
    allocate_memory_blocks()
    refused(pool, unchanged, garbage, TypeError, "must be a Block or its address")


def test_none(pool, unchanged):
    """Deallocating None, the NULL of the assembly program, raises InvalidBlock."""
    allocate_memory_blocks()
    refused(pool, unchanged, None, bp.InvalidBlock, "None is no block")


@pytest.mark.parametrize("n", [1, 3])
def test_double_free(pool, unchanged, n):
    """Deallocating a block again, by Block or by address, raises DoubleFree."""
    other, block = allocate_memory_blocks(), allocate_memory_blocks(n)
    address = block.address
    deallocate_memory_blocks(block)
    refused(pool, unchanged, block, bp.DoubleFree, "freed before")
    refused(pool, unchanged, address, bp.DoubleFree, "block 1 was deallocated before")
    again = allocate_memory_blocks(n)
    assert again.address == address
    refused(pool, unchanged, block, bp.DoubleFree, "freed before")  # the object is known, if not its address
    deallocate_memory_blocks(address)
    deallocate_memory_blocks(other)


def test_blocks_of_other_pools(pool, unchanged):
    """Deallocating a block of another pool, valid or not, raises and leaves it as it was."""
    mine = allocate_memory_blocks()
    other = bp.Pool(32, 32)
    foreign = other.allocate()
    refused(pool, unchanged, foreign, bp.InvalidBlock, "no block of this pool")
    refused(pool, unchanged, foreign.address, bp.InvalidBlock, "no block of this pool")
    foreign.free()
    refused(pool, unchanged, foreign, bp.DoubleFree, "freed before")
    refused(pool, unchanged, bp.Block.__new__(bp.Block), bp.InvalidBlock, "never allocated")
    deallocate_memory_blocks(mine)


def test_blocks_of_the_pool_itself(pool, unchanged):
    """Deallocating a block that Pool.allocate gave raises InvalidBlock: it was not allocated by the classic calls."""
    block = pool.allocate(blocks=2)
    refused(pool, unchanged, block, bp.InvalidBlock, "was not allocated by allocate_memory_blocks")
    with pytest.raises(bp.BlockInUse, match="2 blocks are allocated"):
        initialize_memory_allocator()
    block.free()
    assert initialize_memory_allocator() is not pool


def test_blocks_freed_behind_its_back(pool, unchanged):
    """Deallocating a block that was freed or released by its own methods raises."""
    for way, error in (("free", bp.DoubleFree), ("release", bp.InvalidBlock)):
        block = allocate_memory_blocks()
        address = block.address
        getattr(block, way)()
        refused(pool, unchanged, address, error, "before|was released")
        refused(pool, unchanged, block, error, "before|was released")
        refused(pool, unchanged, address, error, "before|was released")
        assert allocate_memory_blocks().address == address
        deallocate_memory_blocks(address)


def test_views_keep_a_block(pool, unchanged):
    """Deallocating a block that has a view or a read-only twin raises BlockInUse, and the block stays."""
    block = allocate_memory_blocks()
    view = block.buf
    view[0] = 7
    refused(pool, unchanged, block, bp.BlockInUse, "still has 1 user: 1 memoryview")
    refused(pool, unchanged, block.address, bp.BlockInUse, "still has 1 user: 1 memoryview")
    assert view[0] == 7
    del view
    twin = block.readonly()
    refused(pool, unchanged, twin, bp.BlockInUse, "user")
    twin.release()
    deallocate_memory_blocks(block)
    assert pool.stats().allocated == 0


def test_a_pool_in_use_is_not_replaced(pool, unchanged):
    """A second initialisation raises BlockInUse while blocks are allocated; later it replaces and closes the pool."""
    block = allocate_memory_blocks()
    with (
        unchanged(pool),
        pytest.raises(bp.BlockInUse, match="1 block is allocated; deallocate before"),
    ):
        initialize_memory_allocator(2048, 64)
    assert not pool.closed
    deallocate_memory_blocks(block)
    second = initialize_memory_allocator(2048, 64)
    assert pool.closed
    assert (second.nbytes, second.block_size) == (2048, 64)
    assert allocate_memory_blocks().pool is second


@pytest.mark.usefixtures("pool")
def test_a_replaced_pool_is_forgotten():
    """After a second initialisation, addresses of the earlier pool are unknown."""
    block = allocate_memory_blocks()
    address = block.address
    deallocate_memory_blocks(block)
    initialize_memory_allocator()
    with pytest.raises(bp.DoubleFree):
        deallocate_memory_blocks(block)
    with pytest.raises(bp.InvalidBlock):
        deallocate_memory_blocks(address)


def test_a_closed_pool(pool):
    """After the pool was closed, blocks can still be deallocated, and then a new pool can be made."""
    block = allocate_memory_blocks(2)
    pool.close()
    with pytest.raises(bp.PoolClosed):
        allocate_memory_blocks()
    with pytest.raises(bp.BlockInUse, match="2 blocks"):
        initialize_memory_allocator()
    with pytest.raises(bp.InvalidBlock, match="the pool is closed"):
        deallocate_memory_blocks(block.address + 32)
    deallocate_memory_blocks(block.address)
    assert not initialize_memory_allocator().closed


def test_threads_share_no_block(pool):
    """Threads that make classic calls at once never see each other's bytes, and leave nothing allocated."""

    def work(number):
        for step in range(300):
            try:
                block = allocate_memory_blocks(1 + (step + number) % 3)
            except bp.PoolExhausted:
                continue
            with block.buf as view:
                view[:] = bytes([number]) * block.nbytes
                assert bytes(view) == bytes([number]) * block.nbytes
            del view
            deallocate_memory_blocks(block if step % 2 else block.address)

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    assert pool.stats().allocated == 0


def test_of_several_deallocations_one_succeeds(pool):
    """Of threads that deallocate one block at once, one succeeds and the others get DoubleFree."""
    gate = threading.Barrier(4)

    def deallocate(what):
        gate.wait()
        try:
            deallocate_memory_blocks(what)
        except bp.DoubleFree:
            return 0
        return 1

    with ThreadPoolExecutor(4) as threads:
        for _ in range(50):
            block = allocate_memory_blocks(2)
            what = [block, block.address] * 2
            assert sum(threads.map(deallocate, what)) == 1
    assert pool.stats().allocated == 0


def test_initialisations_that_race(pool, monkeypatch):
    """While threads allocate and initialise at once, no initialisation replaces a pool that has a block allocated."""
    # the moment between looking at the old pool and putting a new one in its place is made long
    in_use = classic._Allocator.in_use
    monkeypatch.setattr(classic._Allocator, "in_use", lambda self: (in_use(self), time.sleep(0.001))[0])
    initialised, done = threading.Event(), threading.Event()

    def initialise():
        while not done.is_set():
            with contextlib.suppress(bp.BlockInUse):
                initialize_memory_allocator()
                initialised.set()

    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(initialise) for _ in range(2)]
        try:
            for _ in range(100):
                block = allocate_memory_blocks()
                time.sleep(0.001)
                assert not block.pool.closed
                deallocate_memory_blocks(block.address)
                time.sleep(0.001)
            assert initialised.wait(60)
        finally:
            done.set()
        for end in ends:
            end.result()
    assert pool.closed


def test_a_destructor_may_deallocate(pool):
    """A destructor that deallocates while an allocation collects garbage causes no deadlock."""

    class Owner:
        def __init__(self):
            self.me = self
            self.address = allocate_memory_blocks(32).address

        def __del__(self):
            deallocate_memory_blocks(self.address)

    Owner()
    assert allocate_memory_blocks(32).blocks == 32
    assert pool.stats().allocated == 32


def test_after_fork(run_program):
    """A forked child can deallocate its copy of a block, even if a thread of the parent held the lock at the fork."""
    run_program("private/classic_after_fork.py")
