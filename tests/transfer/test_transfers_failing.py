"""Transfers that fail before, during and after the send: what was taken comes back, and what arrives is right."""

import gc
import multiprocessing
import pickle

import numpy as np
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _core, _receive_arrays, _sending
from transfers import Unsendable, carry, is_right, packed

LARGE = 10_000  # elements: two to five blocks


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 64)


def attempt(message):
    """Send what cannot be sent; return the type of what was raised, whose traceback no longer holds anything."""
    try:
        packed(message)
    except Exception as error:  # noqa: BLE001 - whichever it is
        return type(error)
    return None


# --- the send fails ---


def test_an_array_whose_memory_was_taken_from_it(pool):
    """Sending an array whose base is a released memoryview raises ValueError, and does not follow the dead pointer."""
    array = np.frombuffer(pool.allocate().buf, "u1")
    array.base.release()
    with pytest.raises(ValueError, match="released memoryview"):
        packed(array)


BESIDE = {
    "an array that is copied": lambda _: np.zeros(LARGE),
    "an array in the pool": lambda pool: pool.zeros(LARGE),
    "a view of one": lambda pool: pool.zeros(LARGE)[5:],
    "a small array": lambda _: np.zeros(3),
    "a block": lambda pool: pool.allocate(),
    "a read-only block": lambda pool: pool.allocate().readonly(),
    "a buffer": lambda _: pickle.PickleBuffer(bytearray(10 * LARGE)),
    "a buffer in the pool": lambda pool: pickle.PickleBuffer(pool.zeros(LARGE)),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_nothing_stays_of_a_message_that_cannot_be_pickled(pool, kind):
    """If a part of a message cannot be pickled, no reference to another part stays in flight and no copy stays."""
    piece = BESIDE[kind](pool)
    held = pool.stats().allocated
    for message in ([piece, Unsendable()], {"a": [piece, {"b": piece}], "c": Unsendable()}):
        assert attempt(message) is ZeroDivisionError
        assert (pool.stats().tickets, pool.stats().allocated) == (0, held)


def test_nothing_stays_of_many_pieces(pool):
    """If a message fails, all its references are taken back, several of one run too, and those of others stay."""
    pieces = [make(pool) for make in BESIDE.values()]
    others = packed(pieces[1])
    assert attempt([*pieces, pieces[1][1:], pieces[1][2:], Unsendable()]) is ZeroDivisionError
    assert pool.stats().tickets == 1
    pickle.loads(others)


def test_nothing_stays_of_an_array_whose_type_cannot_be_pickled(pool):
    """An array whose dtype cannot be pickled, alone or in a list, leaves neither a reference nor a copy."""
    kind = np.dtype("f8", metadata={"function": lambda: None})
    for array in (np.zeros(LARGE, kind), pool.zeros(LARGE, kind)):
        held = pool.stats().allocated
        assert attempt(array) in {pickle.PicklingError, AttributeError}
        assert attempt([array]) in {pickle.PicklingError, AttributeError}
        assert (pool.stats().tickets, pool.stats().allocated) == (0, held)


@pytest.mark.parametrize("end", ["release", "free"])
def test_a_block_that_is_released_while_its_message_fails(pool, end):
    """If a block is released while its message fails, its reference and those of the others are still taken back."""
    blocks, array, refused = [pool.allocate()], pool.zeros(LARGE), []

    def act():
        try:
            getattr(blocks[0], end)()
        except bp.BlockInUse:
            refused.append(end)

    assert attempt([blocks[0], array, Unsendable(act)]) is ZeroDivisionError
    assert refused == (["free"] if end == "free" else [])
    blocks.clear()
    assert (pool.stats().tickets, [run.blocks for run in pool.runs()]) == (0, [5])


def test_an_array_of_a_released_block_goes_on(pool):
    """While an array of a block exists the block can be released, not freed, and the sent array arrives intact."""
    block = pool.allocate()
    array = block.array(100, "i4")
    array[:] = 3
    with pytest.raises(bp.BlockInUse):
        block.free()
    message = packed(array)
    block.release()
    del array
    assert (pickle.loads(message) == 3).all()


def test_the_thread_of_a_queue_meets_what_cannot_be_pickled(pool):
    """A queue reports a message that cannot be pickled, sends the next one, and leaves no reference in flight."""
    queue = multiprocessing.get_context("fork").Queue()
    failed = []
    queue._on_queue_feeder_error = lambda error, _: failed.append(type(error))
    queue.put([np.zeros(LARGE), pool.zeros(LARGE), pool.allocate(), Unsendable()])
    queue.put(np.ones(LARGE))
    assert queue.get(timeout=60).sum() == LARGE
    assert failed == [ZeroDivisionError]
    queue.close()
    queue.join_thread()
    assert pool.stats().tickets == 0


def test_too_many_references_of_one_array(pool):
    """With 8,191 references to an array in flight, sending it raises TooManyTickets and takes back the message."""
    array = pool.full(LARGE, 1.0)
    for _ in range(8191):
        packed(array)
    assert attempt(array) is bp.TooManyTickets
    assert attempt([np.zeros(LARGE), array]) is bp.TooManyTickets
    assert pool.stats().tickets == 8191
    assert pool.recover(tickets_older_than=0).tickets == 8191
    assert (carry(array) == 1).all()


# --- no room, no pool ---


@pytest.mark.usefixtures("pool")
def test_a_pool_closed_by_its_user(pool_names):
    """After the installed pool is closed, arrays are pickled whole and counted, and those inside it still shared."""
    second = bp.Pool.create("16KiB", 64, name=pool_names())
    carrier.install(second)
    inside = second.full(LARGE, 7)
    second.close()
    before = carrier.stats()
    assert (carry(np.ones(LARGE)) == 1).all()
    assert (carry([np.ones(LARGE), 1])[0] == 1).all()
    assert (carry(inside) == 7).all()
    after = carrier.stats()
    assert (after.refused - before.refused, after.shared - before.shared) == (2, 1)


@pytest.mark.parametrize("elements", [LARGE, 64 * 16384 // 8 + 1, 3 * 64 * 16384])
def test_no_room_in_the_pool(pool, elements):
    """Arrays and buffers that find no room in the pool, or are larger than it, are pickled whole and counted."""
    filler = pool.zeros((64, 16384), "u1") if elements == LARGE else None
    before = carrier.stats().refused
    array = np.arange(elements)
    assert np.array_equal(carry(array), array)
    assert np.array_equal(np.frombuffer(carry([pickle.PickleBuffer(array)])[0], array.dtype), array)
    assert carrier.stats().refused - before == 2
    del filler
    assert pool.stats().tickets == 0


def test_a_child_without_a_part_in_the_pool(run_program):
    """With on_fork='detach' a child pickles its arrays whole; sending what it has of the pool raises PoolClosed."""
    run_program("transfer/detached_child.py")


# --- the message is late, lost, or comes twice ---


def test_a_pool_that_is_gone(peers, pool_name):
    """A message whose sender was the last process of the pool and is dead raises PoolNotFound."""
    sender = peers()
    message = sender(f"""
        import numpy as np
        import blockpool.multiprocessing as carrier
        from multiprocessing.reduction import ForkingPickler
        carrier.install(bp.Pool.create("16KiB", 64, name={pool_name!r}))
        bytes(ForkingPickler.dumps(np.arange(10000)))
    """)
    sender.kill()
    with pytest.raises(bp.PoolNotFound):
        pickle.loads(message)


@pytest.mark.parametrize("permanent", [False, True])
def test_a_sender_killed_right_after_the_send(peers, pool_name, permanent):
    """The message of a killed sender can be read while another process has the pool, or if it is permanent."""
    sender = peers()
    message = sender(f"""
        import numpy as np
        import blockpool.multiprocessing as carrier
        from multiprocessing.reduction import ForkingPickler
        pool = bp.Pool.create("16KiB", 64, name={pool_name!r}, permanent={permanent})
        carrier.install(pool)
        message = np.arange(10000), pool.full(100, 3, dtype="i4"), pickle.PickleBuffer(b"x" * 70000)
        bytes(ForkingPickler.dumps(message))
    """)
    keeper = None if permanent else bp.Pool.attach(pool_name)
    sender.kill()
    copied, inside, buffer = pickle.loads(message)
    carrier.uninstall()  # receiving installed it
    assert np.array_equal(copied, np.arange(10000))
    assert inside.tolist() == [3] * 100
    assert bytes(buffer) == b"x" * 70000
    del copied, inside, buffer
    pool = keeper or bp.Pool.attach(pool_name)
    pool.recover()
    assert (pool.check().allocated, pool.stats().tickets) == (0, 0)
    pool.unlink()
    pool.close()


def test_a_receiver_killed_with_messages_unread(pool, peer):
    """recover(tickets_older_than=0) frees what was sent to a killed receiver, but not what is still held."""
    held = pool.full(LARGE, 5)
    reading, writing = multiprocessing.Pipe(duplex=False)
    peer(f"reading = bp.Pool.attach({pool.name!r})")
    for message in (np.ones(LARGE), [np.ones(LARGE), pickle.PickleBuffer(b"x" * 70000)], held):
        writing.send(message)
    reading.close()
    writing.close()
    peer.kill()
    assert pool.recover().tickets == 0
    assert pool.stats().tickets == 4
    assert pool.recover(tickets_older_than=0).tickets == 4
    assert [run.blocks for run in pool.runs()] == [5]
    assert (held == 5).all()


def test_a_run_that_is_gone(pool):
    """A message whose references were recovered raises StaleHandle, even if others use its memory by then."""
    for make in (np.ones, pool.zeros):
        lone, among = packed(make(LARGE)), packed([make(LARGE), pickle.PickleBuffer(b"x" * 70000)])
        assert pool.recover(tickets_older_than=0).tickets == 3
        others = pool.zeros((64, 16384), "u1")
        for message in (lone, among):
            with pytest.raises(bp.StaleHandle):
                pickle.loads(message)
        assert (pool.stats().tickets, others.any()) == (0, False)
        del others


def test_a_message_that_is_read_twice(pool):
    """A message can be read a second time while the run is held; afterwards it raises StaleHandle."""
    ones = bytes(np.ones(LARGE))
    for sent in (np.ones(LARGE), [np.ones(LARGE)], [pickle.PickleBuffer(ones)]):
        message = packed(sent)
        first = pickle.loads(message)
        second = pickle.loads(message)
        del first
        assert is_right(second)
        del second
        assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)
        with pytest.raises(bp.StaleHandle):
            pickle.loads(message)


def test_buffers_are_given_back_if_the_rest_cannot_be_unpickled(pool):
    """If a message cannot be unpickled, the buffers that came with it are given back."""
    buffer = [
        _sending.Route(pool, 1, readonly=False).parts(
            memoryview(bytearray(70000)), _core.send_buffer, _core.copy_buffer, []
        )
    ]
    with pytest.raises(pickle.UnpicklingError):
        _receive_arrays.parcel(b"garbage", buffer)
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


def test_what_arrives_after_the_pool_was_closed_here(peer, pool):
    """A process that closed its Pool object still receives arrays of the pool, and does not install it."""
    assert peer(f"""
        from blockpool import _sending
        pool = bp.Pool.attach({pool.name!r})
        view = pool.allocate().buf
        pool.close()
        array = pickle.loads({packed(np.ones(LARGE))!r})
        int(array.sum()), _sending.current
    """) == (LARGE, None)
    peer.end()
    pool.recover()


def test_more_parts_of_a_run_than_references(carrying):
    """A message with more arrays of one run than references may be in flight raises, and leaves none in flight."""
    pool = carrying("16KiB", 16)
    mine = pool.zeros(10_000)
    with pytest.raises(bp.TooManyTickets, match="8191"):
        packed([mine[at:] for at in range(8192)])
    assert pool.stats().tickets == 0
    assert len(carry([mine[at:] for at in range(8191)])) == 8191
    gc.collect()
    assert pool.stats().tickets == 0
