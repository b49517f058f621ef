"""blockpool.put and get: objects in a pool, their arrays and Blocks, their tickets, and what can go wrong."""

import array
import binascii
import datetime as dt
import gc
import pickle
import random
import struct
import threading
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
from placement import address_of, lies_in
from transfers import Buffered, Unsendable


@pytest.fixture
def pool():
    """Make a shared pool of 256 blocks of 16 KiB; at the end, nothing of what was put may be left in it."""
    made = bp.Pool.create("16KiB", 256)
    yield made
    gc.collect()
    made.check()
    assert (made.stats().allocated, made.stats().tickets) == (0, 0)
    made.close()


def through(pool, item):
    """Put an item and return what comes out."""
    return bp.get(bp.put(item, pool))


# --- what goes in and comes out ---


@pytest.mark.parametrize(
    "item",
    [
        None,
        7,
        "ä" * 50_000,
        b"",
        b"bytes" * 50_000,
        bytearray(b"x" * 9000),
        [],
        {"a": {1, 2}, "b": frozenset([3])},
        [list(range(1000))] * 50,
        dt.datetime(2026, 1, 2, tzinfo=dt.UTC),
        array.array("d", [1.0, 2.0]),
        ValueError("why"),
        bp.PoolExhausted,
    ],
    ids=lambda item: f"{type(item).__name__}-{str(item)[:8]}",
)
def test_objects(pool, item):
    """What can be pickled comes out as an equal object of the same type, and then nothing is left in the pool."""
    got = through(pool, item)
    assert type(got) is type(item)
    assert repr(got) == repr(item)
    assert pool.stats().allocated == 0


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_loaded_in_place(pool, order, writeable):
    """A large array is copied into the pool once, aligned; what is got uses that memory, and is writeable as it was."""
    before = np.arange(20_000, dtype="f8").reshape(100, 200, order=order)
    before.flags.writeable = writeable
    got = through(pool, {"array": before})["array"]
    assert (got == before).all()
    assert got.flags.writeable is writeable
    assert got.flags.f_contiguous == before.flags.f_contiguous
    assert not np.may_share_memory(got, before)
    assert address_of(got) % 64 == 0
    assert pool.stats().allocated > 0  # it keeps the run
    part = got[1:2]
    del got
    gc.collect()
    assert part[0, 0] == before[1, 0]
    assert pool.stats().allocated > 0


@pytest.mark.parametrize("kind", ["dates", "durations", "dates in columns", "gaps", "dates with gaps", "repeated"])
def test_arrays_that_numpy_puts_into_pickles(pool, kind):
    """Dates, durations and arrays with gaps are loaded in place too, with their order of axes."""
    numbers = np.arange(30_000).reshape(100, 300)
    before = {
        "dates": numbers.astype("M8[ns]"),
        "durations": numbers.astype("m8[s]"),
        "dates in columns": np.asfortranarray(numbers.astype("M8[us]")),
        "gaps": numbers[::2, ::3],
        "dates with gaps": numbers.T.astype("M8[ns]")[::3],
        "repeated": np.broadcast_to(numbers[0], (9, 300)),
    }[kind]
    got = through(pool, [before, before])
    assert got[0] is got[1]
    assert got[0].dtype == before.dtype
    assert (got[0] == before).all()
    assert got[0].flags.writeable
    assert lies_in(got[0], pool)
    assert got[0].flags.fnc == (kind in ("dates in columns", "dates with gaps", "repeated"))


@pytest.mark.parametrize("block_size", [8, 24, 4096])
def test_buffers_are_aligned_in_blocks_of_any_size(block_size):
    """Buffers are aligned to 64 bytes, even if a run begins between two multiples of that."""
    pool = bp.Pool.create(block_size, 200_000 // block_size)
    keep = [pool.allocate()]
    for _ in range(9):
        got = through(pool, [np.full(1000, 1.0), np.full(777, 2.0)])
        assert [address_of(each) % 64 for each in got] == [0, 0]
        assert (got[0] == 1).all()
        assert (got[1] == 2).all()
        keep += [got, pool.allocate()]


def test_a_thousand_arrays(pool):
    """An object with a thousand arrays, large and small, is in one run."""
    before = [np.full(number, number % 251, "u1") for number in range(0, 6000, 6)]
    ticket = bp.put(before, pool)
    assert len(pool.runs()) == 1
    got = bp.get(ticket)
    assert all((one == other).all() for one, other in zip(got, before, strict=True))


def test_memory_is_copied_once(pool):
    """Two views of the same memory are so again, each writeable as it was."""
    before = np.zeros(100_000)
    frozen = before.view()
    frozen.flags.writeable = False
    got = through(pool, [before, frozen, before[1:]])
    assert address_of(got[0]) == address_of(got[1])
    assert [each.flags.writeable for each in got] == [True, False, True]
    got[0][5] = 1
    assert (got[1][5], got[2][4]) == (1, 0)


def test_a_pickle_of_many_pieces(pool):
    """A long pickle with large bytes within it, which pickle writes in pieces, comes out whole."""
    before = [bytes([number]) * 70_000 for number in range(20)] + ["text" * 40_000]
    assert through(pool, before) == before


def test_another_process_gets_it(pool, peer):
    """Another process finds the pool by the ticket, loads the object there, and sees later changes of the array."""
    mine = pool.zeros(10_000)
    ticket = bp.put({"array": mine, "bytes": np.ones(5000)}, pool)
    peer(f"got = bp.get({str(ticket)!r})")
    assert peer("float(got['array'].sum() + got['bytes'].sum())") == 5000
    mine[:] = 2
    assert peer("float(got['array'].sum())") == 20_000
    peer("got['array'][0] = 7")
    assert mine[0] == 7
    assert peer("import sys; 'numpy' in sys.modules")
    peer("del got")
    assert len(pool.runs()) == 1


def test_the_sender_may_end(pool, peer):
    """What a process put before it was killed can be got."""
    ticket = peer(f"import numpy as np; str(bp.put(np.ones(9000), bp.redeem({str(pool.allocate().share())!r}).pool))")
    peer.kill()
    assert bp.get(ticket.encode()).sum() == 9000


# --- blocks and arrays of the pool ---


def test_arrays_of_the_pool_are_shared(pool):
    """Arrays in the pool are not copied, not even a view of one that has gaps; their dtypes and flags stay."""
    mine = pool.zeros((100, 100), "i4")
    gaps = mine[::2, ::-3]
    frozen = mine[3]
    frozen.flags.writeable = False
    got = through(pool, (mine, gaps, frozen))
    assert [address_of(one) for one in got] == [address_of(one) for one in (mine, gaps, frozen)]
    assert [one.strides for one in got] == [one.strides for one in (mine, gaps, frozen)]
    assert [one.flags.writeable for one in got] == [True, True, False]
    got[0][:] = 5
    assert int(gaps[0, 0]) == 5


def test_many_arrays_of_one_run_take_one_reference(pool):
    """However many arrays of the object are in one run, it takes one reference to that run."""
    mine = pool.zeros((1000, 10))
    ticket = bp.put(list(mine), pool)
    assert pool.stats().tickets == 2  # and one to the run of the object
    del mine
    assert len(bp.get(ticket)) == 1000


def test_blocks_are_shared(pool):
    """A Block within an object is the same memory in what is got, read-only if it was, with its length and note."""
    block = pool.allocate(nbytes=20_000)
    block.buf[:5] = b"hello"
    block.note = b"mine"
    with pool.allocate() as other:
        twin = other.readonly()
        got, frozen = through(pool, [block, twin])
        assert (got.index, got.nbytes, got.note, bytes(got.buf[:5])) == (block.index, 20_000, b"mine", b"hello")
        assert frozen.buf.readonly
        frozen.release()
        twin.release()
    block.release()
    assert pool.stats().allocated == 2
    got.release()


def test_a_block_alone(pool):
    """A Block can be put as the whole object."""
    with pool.allocate() as block:
        block.buf[0] = 9
        got = through(pool, block)
    assert got.buf[0] == 9
    got.release()


def test_memory_of_another_pool_is_copied(pool):
    """An array of another pool is copied, and can be got after that pool is gone; a Block of one is refused."""
    other = bp.Pool.create("16KiB", 16)
    theirs = other.full(5000, 3.0)
    ticket = bp.put([theirs], pool)
    del theirs
    with other.allocate() as block, pytest.raises(bp.InvalidBlock, match="is not of the pool"):
        bp.put([block], pool)
    other.close()
    assert (bp.get(ticket)[0] == 3).all()


def test_a_queue_within(pool):
    """A queue of the pool within an object is the same queue."""
    queue = pool.queue()
    queue.put("in it")
    assert through(pool, [queue])[0].get() == "in it"
    queue.close()


# --- tickets ---


def test_got_twice(pool):
    """A ticket that is got again while the object is alive gives the same memory, and leaves other tickets alone."""
    mine = pool.zeros(5000)
    ticket = bp.put([mine, np.ones(5000)], pool)
    other = bp.put([mine], pool)
    assert pool.stats().tickets == 4
    first, second = bp.get(ticket), bp.get(ticket)
    assert pool.stats().tickets == 2
    assert [address_of(one) for one in first] == [address_of(one) for one in second]
    del first
    third = bp.get(ticket)
    assert pool.stats().tickets == 2
    del mine, second, third
    gc.collect()
    assert bp.get(other)[0].sum() == 0
    with pytest.raises(bp.StaleHandle, match=r"got before.*put\(\) it once for each get\(\)"):
        bp.get(ticket)


def test_got_twice_after_a_part_is_gone(pool):
    """If an array of the pool within the object is gone, getting it again raises StaleHandle, and nothing changes."""
    ticket = bp.put([pool.zeros(5000), np.ones(5000)], pool)
    got = bp.get(ticket)
    got.pop(0)
    with pytest.raises(bp.StaleHandle):
        bp.get(ticket)
    assert got[0].sum() == 5000


def test_a_ticket_made_by_hand_takes_no_more(pool):
    """More references to the run of an object than put() took do not use up those of other objects."""
    mine = pool.zeros(5000)
    ticket = bp.put([mine], pool)
    other = bp.put([mine], pool)
    with bp.redeem(ticket) as block:
        again = block.share(2)
    assert pool.stats().tickets == 5
    first, second = bp.get(again), bp.get(again)
    assert pool.stats().tickets == 2
    del first, second, mine
    gc.collect()
    assert bp.get(other)[0].sum() == 0


def test_never_got(pool):
    """The tickets of an object that nobody gets are dropped together, with those of the arrays within it."""
    ticket = bp.put([pool.zeros(5000), np.ones(5000)], pool)
    assert pool.stats().tickets == 2
    assert pool.recover(tickets_older_than=0).tickets == 2
    assert pool.stats().allocated == 0
    with pytest.raises(bp.StaleHandle):
        bp.get(ticket)


@pytest.mark.parametrize("of", ["call", "pool"])
def test_lifetime(of):
    """An object that nobody gets is dropped, with what is within it, when its lifetime is over and room is needed."""
    pool = bp.Pool.create("4KiB", 8, ticket_lifetime=0.1 if of == "pool" else None)
    ticket = bp.put([pool.zeros(10), np.ones(600)], pool, lifetime=0.1 if of == "call" else None)
    assert pool.stats().allocated == 3
    pool.allocate(blocks=8, timeout=60).release()
    with pytest.raises(bp.StaleHandle):
        bp.get(ticket)


def test_by_handle(pool):
    """A handle gets the object while it lives, and takes no reference out of flight."""
    ticket = bp.put(np.ones(5000), pool)
    assert bp.get(str(ticket.handle)).sum() == 5000
    assert pool.stats().tickets == 1
    assert bp.get(ticket).sum() == 5000


def test_a_failing_load_leaves_the_ticket(pool):
    """If unpickling raises, the ticket is as good as before, and so are those of the arrays within."""
    mine = pool.zeros(5000)
    Late.fails = True
    ticket = bp.put([Late(), mine], pool)
    with pytest.raises(ZeroDivisionError):
        bp.get(ticket)
    assert pool.stats().tickets == 2
    Late.fails = False
    assert isinstance(bp.get(ticket)[0], Late)


class Late:
    """An object that can be pickled, and whose unpickling may fail."""

    fails = False

    def __setstate__(self, state):
        if self.fails:
            raise ZeroDivisionError

    def __getstate__(self):
        return 1


def test_threads_get_one_ticket(pool):
    """Threads that get one ticket at the same time take one reference, all in all."""
    mine = pool.zeros(5000)
    other = bp.put([mine], pool)
    for _ in range(20):
        ticket = bp.put([mine, np.ones(5000)], pool)
        got = []
        threads = [threading.Thread(target=lambda t=ticket, g=got: g.append(bp.get(t))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) + pool.stats().tickets >= 3
        assert pool.stats().tickets == 2
        got.clear()
    bp.get(other)


# --- what fails ---


def test_unpicklable(pool, unchanged):
    """If pickling raises, nothing stays in the pool, and what the object had in flight is taken back."""
    mine, queue = pool.zeros(5000), pool.queue()
    with unchanged(pool), pytest.raises(ZeroDivisionError):
        bp.put([mine, np.ones(5000), queue, Unsendable()], pool)
    with unchanged(pool), pytest.raises((AttributeError, pickle.PicklingError)):
        bp.put([mine, lambda: None], pool)
    queue.close()


def test_unpicklable_and_its_pickler_is_kept(pool):
    """The same if something keeps what pickled it, as a debugger may."""
    mine, kept = [pool.zeros(5000)], []

    def fail():
        with pytest.raises(ZeroDivisionError):
            bp.put([*mine, np.ones(5000), Unsendable(keep)], pool)

    def keep():
        kept.extend(found for found in gc.get_objects() if type(found).__name__ == "_Packing")

    # within another one, so that one is made that the collector shows
    bp.get(bp.put(Nested(fail), pool))
    assert kept
    mine.clear()
    assert pool.stats().allocated == 0


def test_one_that_puts_another_one(pool):
    """An object whose pickling puts another one is put right, and so is the other one."""
    tickets = []
    item = Nested(lambda: tickets.append(bp.put(np.full(5000, 2.0), pool)))
    assert isinstance(through(pool, [np.ones(5000), item])[1], str)
    assert bp.get(tickets[0]).sum() == 10_000


class Nested(Unsendable):
    """An object that does something while it is pickled."""

    def __reduce__(self):
        self.act()
        return str, ()


def test_no_room(pool, unchanged):
    """What does not fit raises PoolExhausted, at once or in time, and changes nothing."""
    mine = pool.zeros(5000)
    with unchanged(pool, failures=1), pytest.raises(bp.PoolExhausted):
        bp.put([mine, np.ones(10**6)], pool)
    with pool.allocate(blocks=240), unchanged(pool, failures=1, waits=1), pytest.raises(bp.PoolExhausted):
        bp.put([mine, np.ones(10**5)], pool, timeout=0.01)


def test_waits_for_room(pool):
    """With a timeout, put() waits for room."""
    block = pool.allocate(blocks=250)
    timer = threading.Timer(0.05, block.release)
    timer.start()
    assert bp.get(bp.put(np.ones(10**5), pool, timeout=60)).sum() == 10**5
    timer.join()


def test_too_many_tickets(pool):
    """If an array within takes no more tickets, put() raises, and takes back those it had taken."""
    first, second = pool.allocate(), pool.allocate()
    ticket = second.share(8191)
    with pytest.raises(bp.TooManyTickets):
        bp.put([first, second, np.ones(5000)], pool)
    assert pool.stats().tickets == 8191
    assert pool.stats().allocated == 2
    for _ in range(8191):
        bp.redeem(ticket).release()
    first.release()
    second.release()


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda _: bp.put(1, bp.Pool("4KiB", 4)), ValueError),
        (lambda _: bp.put(1, None), TypeError),
        (lambda _: bp.put(1, "name"), TypeError),
        (lambda pool: bp.put(1, pool.queue()), TypeError),
        (lambda pool: bp.put(1, pool, timeout=-1), ValueError),
        (lambda pool: bp.put(1, pool, timeout="1"), TypeError),
        (lambda pool: bp.put(1, pool, lifetime=0), ValueError),
        (lambda pool: bp.put(1, pool, lifetime="1"), TypeError),
        (lambda _: bp.get("blockpool"), ValueError),
        (lambda _: bp.get(None), TypeError),
        (lambda _: bp.get(5), TypeError),
    ],
)
def test_wrong_arguments(pool, call, error):
    """A wrong argument raises TypeError or ValueError, and changes nothing."""
    with pytest.raises(error):
        call(pool)


def test_closed():
    """A closed pool refuses; a ticket of a pool that is gone raises PoolNotFound."""
    pool = bp.Pool.create("4KiB", 16)
    ticket = bp.put(1, pool)
    pool.close()
    with pytest.raises(bp.PoolClosed):
        bp.put(1, pool)
    with pytest.raises(bp.PoolNotFound):
        bp.get(ticket)


# --- what is no object, or was damaged ---


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"bpobject", b"bpobject" + b"\0" * 100, b"bpobject" + b"\xff" * 100, pickle.dumps([1, 2])],
    ids=["empty", "zeros", "magic", "no form", "ones", "pickle"],
)
def test_no_object(pool, content, unchanged):
    """A run that put() did not make raises InvalidBlock, is not unpickled, and keeps its ticket."""
    with pool.allocate(nbytes=max(1, len(content))) as block:
        block.buf[: len(content)] = content
        ticket = block.share()
        with unchanged(pool), pytest.raises(bp.InvalidBlock, match="has no object"):
            bp.get(ticket)
        bp.redeem(ticket).release()


def damaged(block, at, content):
    """Write over a run that has an object; return what stood there."""
    before = bytes(block.buf[at : at + len(content)])
    block.buf[at : at + len(content)] = content
    return before


@pytest.mark.parametrize("at", range(0, 40, 4))
@pytest.mark.parametrize("value", [0, 2, 2**31, 2**32 - 1])
def test_damaged_head(pool, at, value, unchanged):
    """Whatever stands in the head of an object, get() raises InvalidBlock, and the ticket is as good as before."""
    ticket = bp.put([pool.zeros(5000), np.ones(5000), "text"], pool)
    with bp.redeem(ticket.handle) as block:
        saved = damaged(block, at, struct.pack("<I", value))
        if at != FLYING and bytes(block.buf[at : at + 4]) != saved:
            with unchanged(pool), pytest.raises(bp.InvalidBlock, match="has no object"):
                bp.get(ticket)
        damaged(block, at, saved)
    assert len(bp.get(ticket)) == 3


FLYING = 8  # where the head says whether references are in flight; that has no checksum, as it changes


@pytest.mark.parametrize("at", range(40, 104, 8))
@pytest.mark.parametrize("value", [7, 2**31, 2**40, 2**64 - 1])
def test_wrong_numbers(pool, at, value, unchanged):
    """Numbers in the tables are checked, even with the right checksum: nothing outside the runs can be reached."""
    ticket = bp.put([pool.zeros(5000), np.ones(5000), "text"], pool)
    with bp.redeem(ticket.handle) as block:
        end = 40 + 16 + 2 * 24 + int.from_bytes(block.buf[32:40], "little")
        saved = damaged(block, at, struct.pack("<Q", value)), bytes(block.buf[12:16])
        damaged(block, 12, struct.pack("<I", binascii.crc32(block.buf[16:end])))
        with unchanged(pool), suppress(bp.InvalidBlock, TypeError, ValueError, pickle.UnpicklingError):
            got = bp.get(ticket.handle)
            assert all(lies_in(one, pool) for one in got[:2])
            del got
        damaged(block, at, saved[0])
        damaged(block, 12, saved[1])
    assert len(bp.get(ticket)) == 3


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (40, 256),  # a block beyond the pool
        (48, 9),  # a run that was never there
        (56, 2),  # a buffer in a second run, of one
        (64, 10**6),  # a buffer that begins behind the run
        (72, 10**6),  # one that ends there
        (96, 2**64 - 8),  # the same for the run of the object itself
    ],
)
def test_wrong_numbers_raise(pool, at, value):
    """A number in the tables that cannot be right raises InvalidBlock."""
    ticket = bp.put([pool.zeros(5000), np.ones(5000), "text"], pool)
    with bp.redeem(ticket.handle) as block:
        end = 40 + 16 + 2 * 24 + int.from_bytes(block.buf[32:40], "little")
        saved = damaged(block, at, struct.pack("<Q", value)), bytes(block.buf[12:16])
        damaged(block, 12, struct.pack("<I", binascii.crc32(block.buf[16:end])))
        with pytest.raises(bp.InvalidBlock):
            bp.get(ticket)
        damaged(block, at, saved[0])
        damaged(block, 12, saved[1])
    assert len(bp.get(ticket)) == 3


def test_any_flipped_bit_is_found(pool):
    """One flipped bit in head, tables or pickle raises InvalidBlock; in a buffer it changes that buffer alone."""
    chance = random.Random(14)
    before = [pool.zeros(5000), np.ones(512), {"key": list(range(50))}]
    ticket = bp.put(before, pool)
    with bp.redeem(ticket.handle) as block:
        end = 40 + 16 + 2 * 24 + int.from_bytes(block.buf[32:40], "little")
        for at in (*range(8), *range(12, end)):
            bit = 1 << chance.randrange(8)
            block.buf[at] ^= bit
            with pytest.raises(bp.InvalidBlock):
                bp.get(ticket)
            block.buf[at] ^= bit
        block.buf[block.nbytes - 1] ^= 1
    got = bp.get(ticket)
    assert got[2] == before[2]
    assert (got[1][:-1] == 1).all()


# --- any object ---

LEAVES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from([2000, 5000]).map(lambda n: b"b" * n),
    st.builds(np.full, st.sampled_from([0, 1, 511, 512, 513, 3000]), st.integers(0, 9)),
    st.builds(Buffered, st.sampled_from([b"", b"small", b"large" * 1000])),
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner))
PLACES = st.lists(st.sampled_from(["outside", "inside", "view", "block"]), max_size=4)


def same(one, other):
    """Say whether two objects are equal, of the same types, and arrays of the same kind."""
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other) and one.flags.writeable == other.flags.writeable
    if isinstance(one, Buffered):
        return bytes(one) == bytes(other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


@given(VALUES, PLACES)
def test_any_object(value, places):
    """Objects of all kinds come out as they went in, with arrays and Blocks of the pool, and leave nothing behind."""
    pool = _POOLS.setdefault("one", bp.Pool.create("4KiB", 1024))
    inside = [{"outside": np.zeros, "inside": pool.zeros}.get(place, pool.zeros)(900) for place in places]
    inside = [one[::3] if place == "view" else one for one, place in zip(inside, places, strict=True)]
    blocks = [pool.allocate() for place in places if place == "block"]
    ticket = bp.put([value, inside, blocks], pool)
    got = bp.get(ticket)
    assert same([value, inside], got[:2])
    assert [block.index for block in got[2]] == [block.index for block in blocks]
    while blocks:
        blocks.pop().release()
    while got[2]:
        got[2].pop().release()
    del got, inside, blocks
    gc.collect()
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


_POOLS = {}
