"""Arrays and blocks of a pool between Ray's processes."""

import gc

import numpy as np
import pytest
import ray

import blockpool as bp
import blockpool.ray as carrier
from ray_actors import Actor
from waits import await_true


def end(actor):
    """Kill an actor that has heard that nothing it sent is needed any more."""
    gc.collect()
    await_true(lambda: ray.get(actor.sends.remote())[1] == 0)
    ray.kill(actor)


@pytest.fixture(scope="module")
def actor(engine):
    """Start an actor that every test may use; it was given nothing."""
    assert engine.is_initialized()
    made = Actor.remote()
    yield made
    ray.kill(made)


@pytest.fixture
def owner(pool):
    """Start an actor that was given the pool."""
    made = Actor.remote(pool)
    yield made
    end(made)


def test_there_and_back(pool, actor):
    """An actor writes into the caller's array, and what it returns is the same memory again."""
    array = pool.zeros((100, 50))
    back = ray.get(actor.add.remote(array, 2))
    assert array.min() == 2
    back[3] = 7
    assert array[3].max() == 7
    assert back.shape == (100, 50)
    assert pool.stats().allocated == 1


def test_only_a_name_travels(actor):
    """An array larger than Ray's store passes: its memory does not go through it."""
    large = bp.Pool.create("1MiB", 100)
    carrier.install(large)
    array = large.zeros(100 << 20, "u1")
    array[-1] = 7
    assert ray.get(actor.total.remote(array)) == 7
    assert ray.get(actor.add.remote(array[-2:], 1)).tolist() == [1, 8]
    del array
    carrier.uninstall()
    await_true(lambda: not carrier._kept)


SHAPES = {
    "one dimension": lambda pool: pool.asarray(np.arange(7)),
    "columns": lambda pool: pool.asarray(np.arange(12.0).reshape(3, 4), order="F"),
    "a slice": lambda pool: pool.asarray(np.arange(40).reshape(8, 5))[1::3, ::-2],
    "a scalar": lambda pool: pool.asarray(np.float32(3)),
    "no elements": lambda pool: pool.zeros((0, 3)),
    "fields": lambda pool: pool.asarray(np.array([(1, 2.5), (3, 4.5)], [("a", "u1"), ("b", ">f8")])),
    "times": lambda pool: pool.asarray(np.array(["2020-01-01", "NaT"], "M8[D]")),
}


@pytest.mark.parametrize("make", SHAPES.values(), ids=SHAPES)
def test_any_array(pool, make):
    """Whatever its shape, order, strides and type, an array of the pool arrives equal, and in the same memory."""
    array = make(pool)
    loaded = ray.get(ray.put(array))
    assert (loaded.dtype, loaded.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(loaded, array)
    assert array.size == 0 or loaded.strides == array.strides
    assert array.size == 0 or loaded.__array_interface__["data"][0] == array.__array_interface__["data"][0]


def test_loaded_twice_or_never(pool, actor):
    """An object may be loaded any number of times, also when nobody else has the array any more, or never."""
    array = pool.full(10, 3.0)
    once, never = ray.put(array), ray.put({"deep": [array]})
    del array
    for _ in range(3):
        assert ray.get(once).sum() == 30
        assert ray.get(actor.total.remote(once)) == 30
    assert pool.stats().allocated == 1
    del never
    assert ray.get(once).sum() == 30


def test_one_array_in_many_places(pool):
    """An array that is in a message twice arrives as one, and its views share the memory."""
    array = pool.zeros(10)
    first, second, view = ray.get(ray.put([array, array, array[2:]]))
    assert first is second
    view[0] = 9
    assert array[2] == first[2] == 9


def test_nobody_else_has_it(pool, actor):
    """Arguments that live only for the call arrive, one or many, also if the actor has to finish other calls first."""
    assert ray.get(actor.total.remote(pool.full(10, 3.0))) == 30
    block = ray.get(actor.write.remote(pool.allocate(nbytes=5), b"hello"))
    assert bytes(block.buf) == b"hello"
    totals = [actor.total.remote([pool.full(10, value), pool.full(10, 1.0)]) for value in range(20)]
    assert ray.get(totals) == [10 * value + 10 for value in range(20)]
    ray.get(actor.keep.remote(pool.full(10, 8.0)))
    assert ray.get(actor.give.remote()).sum() == 80
    ray.get(actor.keep.remote(None))


def test_sent_again_and_again(pool, actor):
    """An array has one reference in flight however often it is sent, as long as it is in some object."""
    array = pool.full(4, 1.0)
    results = [actor.total.remote(array) for _ in range(300)]
    first = ray.put(array)
    assert pool.stats().tickets == 1
    assert ray.get(results) == [4] * 300
    del array, results
    assert ray.get(first).sum() == 4
    assert pool.stats().tickets == 1


def test_from_actor_to_actor(actor, owner):
    """A result that goes into another call as it is, unseen by the driver, arrives."""
    assert ray.get(actor.total.remote(owner.make.remote((1000,)))) == 5000


def test_who_gets_the_pool_sends(pool):
    """An actor that was given the pool, or something in it, sends by reference too; so does one that attached it."""
    for give in (pool, pool.zeros(3), pool.allocate()):
        fresh = Actor.remote()
        ray.get(fresh.nothing.remote(give))
        assert ray.get(fresh.sends.remote()) == (1, 0)
        ray.kill(fresh)


@pytest.mark.usefixtures("engine")
def test_an_actor_that_attaches_by_name(pool_name):
    """An actor that attaches a pool by its name and installs it sends by reference, to a driver that did not."""
    named = bp.Pool.create("4KiB", 4, name=pool_name)
    fresh = Actor.remote()
    ray.get(fresh.attach.remote(pool_name))
    array = ray.get(fresh.make.remote())
    assert named.stats().allocated == 1
    assert array.sum() == 20
    del array
    end(fresh)
    carrier.uninstall()
    await_true(lambda: named.recover() and named.stats().allocated == 0)


def test_blocks(pool, actor):
    """A block arrives as a block of the same memory; a read-only one stays so."""
    block = pool.allocate(nbytes=10)
    back = ray.get(actor.write.remote(block, b"hello"))
    assert bytes(block.buf[:5]) == bytes(back.buf[:5]) == b"hello"
    assert (back.index, back.nbytes) == (block.index, 10)
    loaded = ray.get(ray.put(block.readonly()))
    assert loaded.buf.readonly
    reference = ray.put(block)
    with pytest.raises(bp.BlockInUse):
        block.free()
    block.release()
    assert bytes(ray.get(reference).buf[:5]) == b"hello"


def test_readonly(pool):
    """With `readonly`, receivers get read-only arrays and blocks, and so do those that they send to."""
    carrier.install(pool, readonly=True)
    array = pool.zeros(4)
    fresh = Actor.remote(pool)
    assert not ray.get(fresh.flags.remote(array))[0]
    assert not ray.get(fresh.make.remote()).flags.writeable
    assert ray.get(ray.put(pool.allocate())).buf.readonly
    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(fresh.add.remote(array, 1))
    assert array.flags.writeable
    end(fresh)


OUTSIDE = {
    "small": lambda: np.arange(5),
    "large": lambda: np.ones(1_000_000),
    "columns": lambda: np.ones((1000, 200), order="F"),
    "a slice": lambda: np.ones((1000, 500))[:, ::2],
    "objects": lambda: np.array([1, None, "x"], dtype=object),
    "a subclass": lambda: np.ma.array([1, 2, 3], mask=[0, 1, 0]),
    "not installed": lambda: bp.Pool.create("1MiB", 8).full(500_000, 1.0),
    "private": lambda: bp.Pool("1MiB", 8).full(500_000, 1.0),
}


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize("make", OUTSIDE.values(), ids=OUTSIDE)
def test_other_arrays_are_as_before(actor, make):
    """Arrays outside the pool arrive as they do without us: large ones uncopied and read-only, in Ray's store."""
    array = make()
    there, here = ray.get(actor.flags.remote(array)), ray.get(ray.put(array))
    carrier.uninstall()
    plain, expected = ray.get(actor.flags.remote(array)), ray.get(ray.put(array))
    assert there == plain
    assert type(here) is type(expected)
    np.testing.assert_array_equal(here, expected)
    for flag in ("writeable", "owndata", "c_contiguous", "f_contiguous"):
        assert getattr(here.flags, flag) == getattr(expected.flags, flag)


def test_uninstall(pool):
    """After uninstall arrays are copied into Ray's store, and what was sent before can still be loaded."""
    array = pool.zeros(500_000)
    before = ray.put(array)
    carrier.uninstall()
    assert not ray.get(ray.put(array)).flags.writeable
    ray.get(before)[0] = 1
    assert array[0] == 1


def test_a_full_pool(pool, actor):
    """Sending takes no room: it works while the pool is full."""
    arrays = [pool.zeros(8192) for _ in range(64)]
    with pytest.raises(bp.PoolExhausted):
        pool.zeros(1)
    assert ray.get(actor.nothing.remote(*arrays[:20])) is None


@pytest.mark.usefixtures("pool")
def test_a_closed_pool(actor):
    """Arrays of a pool that was closed since still travel by reference."""
    other = bp.Pool.create("64KiB", 4)
    carrier.install(other)
    array = other.zeros(10)
    other.close()
    ray.get(actor.add.remote(array, 1))
    assert array.sum() == 10


@pytest.mark.usefixtures("engine")
def test_functions_take_a_copy():
    """An array that a remote function refers to is copied into the function, which Ray keeps for ever."""
    other = bp.Pool.create("64KiB", 1)
    carrier.install(other)
    array = other.full(10, 1.0)

    @ray.remote(num_cpus=0)
    def total():
        return array.sum()

    first = ray.get(total.remote())
    array[:] = 2
    assert (first, ray.get(total.remote())) == (10, 10)
    assert not carrier._kept
    carrier.uninstall()


def test_too_many_references(pool):
    """An array of which too many references are in flight is refused, with a hint; nothing is lost."""
    block = pool.allocate()
    array = block.array(1)
    block.share(8191)
    with pytest.raises(bp.TooManyTickets, match=r"or call ray\.put once"):
        ray.put(array)
    assert not carrier._kept
    assert pool.stats().tickets == 8191
    pool.recover(tickets_older_than=0)
    ray.get(ray.put(array))[0] = 5
    assert array[0] == 5


def test_out_of_sight(pool, owner):
    """A process that cannot reach the pool gets a read-only copy, through Ray's store; a block is refused."""
    array = pool.asarray(np.arange(200_000).reshape(400, 500))[::2, ::-1]
    blind = Actor.remote()
    ray.get(blind.lose_sight.remote())
    assert ray.get(blind.total.remote(array)) == array.sum()
    assert ray.get(blind.flags.remote(array))[0] is False
    assert ray.get(blind.total.remote(owner.make.remote((70, 1000)))) == 350_000
    with pytest.raises(ray.exceptions.RayError, match="a block cannot go to a process"):
        ray.get(blind.nothing.remote(pool.allocate()))
    ray.kill(blind)
    gc.collect()
