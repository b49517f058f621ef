"""Transfers that fail, each in its way: what was taken comes back, and what arrives is right."""

import multiprocessing
import os
import pickle
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from multiprocessing import reduction
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import blockpool as bp
import blockpool.multiprocessing as carrier
from blockpool import _core

LARGE = 10_000  # elements: two to five blocks


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 64)


def packed(message):
    """Pickle a message as queues and pipes do."""
    return bytes(ForkingPickler.dumps(message))


def carry(message):
    """Send a message to this very process."""
    return ForkingPickler.loads(ForkingPickler.dumps(message))


def attempt(message):
    """Send what cannot be sent; say what was raised. Its traceback is gone, with all that it held."""
    try:
        packed(message)
    except Exception as error:  # noqa: BLE001 - whichever it is
        return type(error)
    return None


# --- the send fails ---


def test_an_array_whose_memory_was_taken_from_it(pool):
    """Whoever releases the memoryview that NumPy keeps as the base is told so; nothing is followed that is gone."""
    array = np.frombuffer(pool.allocate().buf, "u1")
    array.base.release()
    with pytest.raises(ValueError, match="released memoryview"):
        packed(array)


class Unsendable:
    """Cannot be pickled, and may do something before it says so."""

    def __init__(self, act=lambda: None):
        self.act = act

    def __reduce__(self):
        self.act()
        raise ZeroDivisionError


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
    """The send raises what it raised; no reference is in flight, and no copy stays."""
    piece = BESIDE[kind](pool)
    held = pool.stats().allocated
    for message in ([piece, Unsendable()], {"a": [piece, {"b": piece}], "c": Unsendable()}):
        assert attempt(message) is ZeroDivisionError
        assert (pool.stats().tickets, pool.stats().allocated) == (0, held)


def test_nothing_stays_of_many_pieces(pool):
    """All references of one message are taken back, those of one run too, and nobody else's."""
    pieces = [make(pool) for make in BESIDE.values()]
    others = packed(pieces[1])
    assert attempt([*pieces, pieces[1][1:], pieces[1][2:], Unsendable()]) is ZeroDivisionError
    assert pool.stats().tickets == 1
    pickle.loads(others)


def test_nothing_stays_of_an_array_whose_type_cannot_be_pickled(pool):
    """Also of an array alone in its message: metadata of a dtype can be anything."""
    kind = np.dtype("f8", metadata={"function": lambda: None})
    for array in (np.zeros(LARGE, kind), pool.zeros(LARGE, kind)):
        held = pool.stats().allocated
        assert attempt(array) in {pickle.PicklingError, AttributeError}
        assert attempt([array]) in {pickle.PicklingError, AttributeError}
        assert (pool.stats().tickets, pool.stats().allocated) == (0, held)


@pytest.mark.parametrize("end", ["release", "free"])
def test_a_block_that_is_released_while_its_message_fails(pool, end):
    """Its reference is taken back all the same, and so are those of the others in the message."""
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
    """The array holds the memory: its block can be released, not freed, while it is sent."""
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
    """The queue reports it as ever, goes on with the next message, and nothing stays."""
    queue = multiprocessing.get_context("fork").Queue()
    failed = []
    queue._on_queue_feeder_error = lambda error, _: failed.append(type(error))
    queue.put([np.zeros(LARGE), pool.zeros(LARGE), pool.allocate(), Unsendable()])
    queue.put(np.ones(LARGE))
    assert queue.get(timeout=30).sum() == LARGE
    assert failed == [ZeroDivisionError]
    queue.close()
    queue.join_thread()
    assert pool.stats().tickets == 0


def test_too_many_references_of_one_array(pool):
    """8,191 may be in flight; the next send raises, and takes back what else was in its message."""
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
    """Arrays travel as ever and are counted; those that are in the pool still, by ticket."""
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
    """Arrays and buffers travel as ever and are counted: the pool is full, or they are larger than all of it."""
    filler = pool.zeros((64, 16384), "u1") if elements == LARGE else None
    before = carrier.stats().refused
    array = np.arange(elements)
    assert np.array_equal(carry(array), array)
    assert np.array_equal(np.frombuffer(carry([pickle.PickleBuffer(array)])[0], array.dtype), array)
    assert carrier.stats().refused - before == 2
    del filler
    assert pool.stats().tickets == 0


def test_a_child_without_a_part_in_the_pool(run_python):
    """With on_fork="detach" a child sends as ever, counted; what it has of the pool it cannot send: PoolClosed."""
    run_python("""
        import os
        import numpy as np
        import blockpool as bp
        import blockpool.multiprocessing as carrier
        from multiprocessing.reduction import ForkingPickler
        pool = bp.Pool.create("16KiB", 64, on_fork="detach")
        carrier.install(pool)
        inside, block = pool.zeros(10000), pool.allocate()
        child = os.fork()
        if child == 0:
            array = np.arange(10000)
            for message in (array, [array]):
                assert (ForkingPickler.loads(ForkingPickler.dumps(message)) == array).all()
            assert carrier.stats() == type(carrier.stats())(0, 0, 0, 2)
            for message in (inside, [array, inside], block, [inside[5:]]):
                try:
                    ForkingPickler.dumps(message)
                except bp.PoolClosed as error:
                    assert "on_fork='detach'" in str(error)
                else:
                    os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert pool.stats().tickets == 0
    """)


# --- the message is late, lost, or comes twice ---


def test_a_pool_that_is_gone(peers, pool_name):
    """The sender was the last process of the pool: PoolNotFound."""
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
    """Its message is good while anybody keeps the pool, or if it is permanent."""
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
    """They wait for `recover(tickets_older_than=)`, which brings back their memory, and not what is held besides."""
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
    """Its reference was dropped before the message came: StaleHandle, also when others have the memory by then."""
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
    """The second time it acts as a handle, while anybody holds the run; later it is StaleHandle."""
    buffer = pickle.PickleBuffer(b"1" * 70000)
    for sent in (np.ones(LARGE), [np.ones(LARGE)], [buffer]):
        message = packed(sent)
        first = pickle.loads(message)
        second = pickle.loads(message)
        del first
        assert (np.frombuffer(second[0], "u1") == ord("1")).all() or is_right(second)
        del second
        assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)
        with pytest.raises(bp.StaleHandle):
            pickle.loads(message)


def test_buffers_are_given_back_if_the_rest_cannot_be_unpickled(pool):
    """What came with the message goes when it cannot be read."""
    buffer = [
        carrier._Route(pool, 1, readonly=False).parts(
            memoryview(bytearray(70000)), _core.send_buffer, _core.copy_buffer, []
        )
    ]
    with pytest.raises(pickle.UnpicklingError):
        carrier.receive_parcel(b"garbage", buffer)
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


def test_what_arrives_after_the_pool_was_closed_here(peer, pool):
    """A process that closed its Pool object receives all the same, and goes on to send as ever."""
    assert peer(f"""
        import blockpool.multiprocessing as carrier
        pool = bp.Pool.attach({pool.name!r})
        view = pool.allocate().buf
        pool.close()
        array = pickle.loads({packed(np.ones(LARGE))!r})
        int(array.sum()), carrier._route
    """) == (LARGE, None)
    peer.end()
    pool.recover()


# --- garbled messages ---

TYPED = (bp.BlockPoolError, TypeError, ValueError, OverflowError, AttributeError, MemoryError)
PARTS = (
    *("threshold", "all_readonly"),
    *("pool_id", "index", "generation", "process", "name"),
    *("offset", "shape", "strides", "dtype", "readonly"),
)


@contextmanager
def array_parts(pool):
    """Give the parts of an array in flight. Afterwards it is unchanged, and nobody else holds it."""
    array = pool.full((50, 40), 7, dtype="i4")
    yield dict(zip(PARTS, _core.send_array(array, False, 65536, []), strict=True))  # noqa: FBT003 - readonly
    assert (array == 7).all()
    assert pool.recover(tickets_older_than=0).tickets <= 1
    del array
    assert pool.stats().allocated == 0


GARBLED = {
    "a negative offset": {"offset": -4},
    "an offset at the end": {"offset": 16384},
    "an offset beyond": {"offset": 2**40},
    "the least offset": {"offset": -(2**63)},
    "a shape beyond": {"shape": (50, 100)},
    "a shape far beyond": {"shape": (2**40, 2**10)},
    "more bytes than there are": {"shape": (2**62, 2**10)},
    "no room even if empty": {"shape": (0, 10), "offset": 16385},
    "a negative shape": {"shape": (-50, 40)},
    "65 dimensions": {"shape": (1,) * 65},
    "no shape": {"shape": None},
    "a list as shape": {"shape": [50, 40]},
    "a shape of text": {"shape": ("a", "b")},
    "strides that leave": {"strides": (400, 4)},
    "strides that leave before": {"strides": (-160, 4)},
    "huge strides": {"strides": (2**62, 2**62)},
    "no strides for a shape": {"strides": ()},
    "too few strides": {"strides": (160,)},
    "too many strides": {"strides": (160, 4, 4)},
    "a list as strides": {"strides": [160, 4]},
    "strides of text": {"strides": ("a", "b")},
    "a larger type": {"dtype": "c16"},
    "objects": {"dtype": "O"},
    "strings that are elsewhere": {"dtype": "T"},
    "objects in a structure": {"dtype": np.dtype([("a", "O")])},
    "no type": {"dtype": "no type"},
    "a type of 2**40 bytes": {"dtype": f"V{2**30}"},
    **{
        f"type number {n}": {"dtype": n}
        for n in (-1, -(2**31), 17, 18, 19, 20, 24, 25, 26, 99, 255, 2056, 2**31, 2**70)
    },
}


@pytest.mark.parametrize("kind", GARBLED)
def test_garbled_arrays(pool, kind):
    """A typed error, and the reference that had been taken is given back."""
    with array_parts(pool) as parts:
        with pytest.raises(TYPED):
            carrier.receive_array(*(parts | GARBLED[kind]).values())
        assert pool.stats().tickets == 0


@pytest.mark.parametrize("beyond", [{"offset": 2**63}, {"nbytes": 2**64}, {"offset": -1}, {"offset": "x"}])
def test_garbled_buffers(pool, beyond):
    """An error; no more than the run is ever seen."""
    array = pool.zeros(LARGE, "u1")
    names = (*PARTS[:8], "nbytes", "readonly")
    sent = _core.send_buffer(memoryview(array), False, 65536, [])  # noqa: FBT003 - readonly
    parts = dict(zip(names, sent, strict=True))
    try:
        view = _core._receive_buffer(*(parts | beyond).values())
    except TYPED:
        pass
    else:
        assert len(view) == 0
    pool.recover(tickets_older_than=0)


NUMBERS = st.integers(-(2**65), 2**65) | st.integers(-300, 300)
WRONG = {
    "pool_id": st.none() | st.binary(max_size=20) | st.text(max_size=3),
    "index": NUMBERS | st.none(),
    "generation": NUMBERS | st.floats(),
    "offset": NUMBERS | st.none(),
    "shape": st.lists(NUMBERS, max_size=4).map(tuple) | NUMBERS | st.none(),
    "strides": st.lists(NUMBERS, max_size=4).map(tuple) | NUMBERS | st.text(max_size=3),
    "dtype": NUMBERS | st.sampled_from(["i1", "S", "U0", "V0", "S9", "O", "i4,f8", "(2,3)i4", None, 3.5, [], b"i4"]),
    "readonly": st.booleans() | st.none(),
}


@pytest.fixture(scope="module")
def fuzzed():
    """Make a pool for all examples."""
    with bp.Pool.create("16KiB", 8) as made:
        yield made


@given(change=st.fixed_dictionaries({}, optional=WRONG))
def test_any_garbled_array(fuzzed, change):
    """Whatever the parts are: an array that lies within its run, or a typed error; never a crash, and nothing stays."""
    with array_parts(fuzzed) as parts:
        try:
            got = _core._receive_array(*(parts | change).values())
        except TYPED:
            pass
        else:
            low, high = np.lib.array_utils.byte_bounds(got) if got.size else (0, 0)
            assert not got.size or (fuzzed.address <= low <= high <= fuzzed.address + 16384)
            got.tobytes()
            del got


@given(change=st.fixed_dictionaries({}, optional={**WRONG, "shape": NUMBERS, "strides": st.booleans()}))
def test_any_garbled_buffer(fuzzed, change):
    """The same of bytes; here in the places of shape and strides there are a length and whether it is read-only."""
    array = fuzzed.zeros(LARGE, "u1")
    sent = _core.send_buffer(memoryview(array), False, 65536, [])  # noqa: FBT003 - readonly
    parts = dict(zip(PARTS, sent, strict=False))
    change = {name: value for name, value in change.items() if name in parts}
    try:
        view = _core._receive_buffer(*(parts | change).values())
    except TYPED:
        pass
    else:
        assert len(view) <= LARGE
        assert not any(view)
        del view
    assert fuzzed.recover(tickets_older_than=0).tickets <= 1
    del array
    assert fuzzed.stats().allocated == 0


# --- meanwhile, in another thread ---


def fork(work=lambda: True):
    """Fork a child that does the work and says whether it was right; await it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads: that is what is tested
        child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def at_each_line(work, act, begin=lambda: None):
    """Do the work again and again, and act at the first, second, … line of it that is in blockpool.multiprocessing."""
    chosen, lines = 0, 1
    while chosen < lines:
        begin()
        lines = 0

        def trace(frame, event, _):
            nonlocal lines
            if frame.f_code.co_filename != carrier.__file__:
                return None
            if event == "line":
                if lines == chosen:  # noqa: B023 - of this round
                    sys.settrace(None)
                    act()
                    sys.settrace(trace)
                lines += 1
            return trace

        sys.settrace(trace)
        try:
            work()
        finally:
            sys.settrace(None)
        chosen += 1
        del trace  # it holds itself, and so all that it was given
    return chosen


def in_other_thread(act):
    """Have another thread do it, now."""

    def run():
        thread = threading.Thread(target=act)
        thread.start()
        thread.join()

    return run


class Buffered(bytearray):
    """Its bytes are out of band where the pickle allows it."""

    def __init__(self):
        super().__init__(np.ones(LARGE))

    def __reduce_ex__(self, protocol):
        return bytearray, (pickle.PickleBuffer(self) if protocol >= 5 else bytes(self),)


MESSAGES = {
    "an array": lambda _: np.ones(LARGE),
    "an array in the pool": lambda pool: pool.full(LARGE, 1.0),
    "arrays in a list": lambda pool: [np.ones(LARGE), pool.full(LARGE, 1.0), np.ones(3)],
    "buffers": lambda _: [Buffered(), np.ones(LARGE)],
}


def is_right(message):
    """Whether all in it is 1."""
    return all((np.frombuffer(each, "f8") == 1).all() for each in (message if isinstance(message, list) else [message]))


@pytest.mark.parametrize("kind", MESSAGES)
@pytest.mark.parametrize("way", ["dumps", "dump"])
def test_a_switch_at_any_moment_of_a_send(pool, kind, way):
    """Another thread uninstalls, or installs again, between any two lines: the message arrives."""
    message = MESSAGES[kind](pool)
    switches = [carrier.uninstall, lambda: carrier.install(pool)]

    def switch():
        switches.reverse()
        switches[0]()

    def work():
        if way == "dumps":
            assert is_right(carry(message))
        else:
            assert is_right(pickle.loads(bytes(ForkingPickler.dumps(message, 5))))

    for _ in range(2):
        assert at_each_line(work, in_other_thread(switch), lambda: carrier.install(pool)) > 1
    carrier.uninstall()


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_pool_closed_at_any_moment_of_a_send(pool, pool_names, kind):
    """Another thread closes the pool: the message arrives, by the pool or as ever."""
    message = MESSAGES[kind](pool)
    opened, kept = [], []

    def begin():
        opened[:] = [bp.Pool.create("16KiB", 64, name=pool_names())]
        kept[:] = [opened[0].allocate()]  # or the pool would end with its last process
        carrier.install(opened[0])

    def close():
        opened[0].close()

    def work():
        assert is_right(carry(message))

    at_each_line(work, in_other_thread(close), begin)


def test_a_free_at_any_moment_of_a_send(pool):
    """Another thread frees what is sent: it is in use, as an array of it is being sent."""
    block = pool.allocate(nbytes=8 * LARGE)
    message = [block.array(LARGE)]
    message[0][:] = 1
    outcomes = []

    def free():
        try:
            outcomes.append(block.free())
        except bp.BlockInUse:
            outcomes.append("in use")

    for sent in (message, message[0]):
        outcomes.clear()
        count = at_each_line(lambda sent=sent: is_right(carry(sent)), in_other_thread(free))
        assert outcomes == ["in use"] * count


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_fork_at_any_moment_of_a_send(pool, kind):
    """The child sends and receives, whatever its parent was at; all comes back."""
    message = MESSAGES[kind](pool)

    def act():
        fork(lambda: is_right(carry(message)))

    at_each_line(lambda: is_right(carry(message)), act)
    at_each_line(lambda: is_right(carry(message)), in_other_thread(act))
    pool.recover()


def test_a_fork_while_another_thread_switches(pool):
    """Wherever that thread is, the child sends and receives, and can switch itself: back to what was there at first."""
    started = []
    carrier.uninstall()
    plain = ForkingPickler.dumps.__func__, Connection._send_bytes, reduction.dump

    def is_whole():
        whole = is_right(carry(np.ones(LARGE)))
        carrier.install(pool)
        whole = whole and is_right(carry(np.ones(LARGE)))
        carrier.uninstall()
        restored = ForkingPickler.dumps.__func__, Connection._send_bytes, reduction.dump
        return whole and restored == plain and np.ndarray not in ForkingPickler._extra_reducers

    def act():
        started.append(threading.Thread(target=fork, args=(is_whole,)))
        started[-1].start()
        started[-1].join(0.02)  # it may have to wait

    def begin():
        while started:
            started[-1].join(30)
            assert not started.pop().is_alive()

    at_each_line(lambda: carrier.install(pool), act, begin)
    begin()
    pool.recover()


def test_threads_send_one_array_at_once(pool):
    """Each message has a reference of its own; the last reader frees the memory."""
    arrays, messages = [pool.full(LARGE, 3)], []

    def send():
        for _ in range(200):
            messages.append(packed(arrays[0]))
            messages.append(packed([arrays[0], arrays[0][1:]]))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pool.stats().tickets == 4 * 200 * 3
    arrays.clear()
    for message in messages:
        pickle.loads(message)
    assert (pool.stats().allocated, pool.stats().tickets) == (0, 0)


def test_threads_pass_on_what_others_drop(pool):
    """An array goes from thread to thread by message, each dropping it as the next one takes it."""
    message, wrong = [packed(pool.full(LARGE, 9))], []
    lock = threading.Lock()

    def pass_on():
        for _ in range(300):
            with lock:
                array = pickle.loads(message.pop())
                message.append(packed(array))
            if not (array == 9).all():
                wrong.append(array)

    threads = [threading.Thread(target=pass_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pool.stats().tickets == 1
    pickle.loads(message.pop())


def test_threads_that_receive_first_at_once(peers, pool):
    """A process whose threads receive their first arrays at one moment is installed once; its answers are right."""
    worker = peers()
    messages = [packed(np.full(LARGE, n)) for n in range(6)]
    answers, switched, copied = worker(f"""
        import blockpool.multiprocessing as carrier
        from multiprocessing.reduction import ForkingPickler
        messages = {messages!r}
        barrier = threading.Barrier(6)
        answers = []
        def receive(message):
            barrier.wait()
            array = pickle.loads(message)
            answers.append(bytes(ForkingPickler.dumps(array + 1)))
        threads = [threading.Thread(target=receive, args=(message,)) for message in messages]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        answers, len(carrier._undo), carrier.stats().copied
    """)
    assert (switched, copied) == (6, 6)
    assert sorted(int(pickle.loads(answer)[5]) for answer in answers) == list(range(1, 7))
    worker.end()
    pool.recover()


def test_a_fork_while_a_queue_sends(pool):
    """A child that is forked while a queue's thread sends has no part in what that is at."""
    queue = multiprocessing.get_context("fork").Queue()
    for n in range(100):
        queue.put([np.full(LARGE // 2, n), n])
        if n % 5 == 0:
            fork()
        if n >= 10:
            array, m = queue.get(timeout=30)
            assert (array == m).all()
    for _ in range(10):
        queue.get(timeout=30)
    queue.close()
    queue.join_thread()
    del array
    pool.recover()
    deadline = time.monotonic() + 30
    while pool.stats().allocated and time.monotonic() < deadline:
        time.sleep(0.01)


def test_an_empty_view_of_any_shape(pool):
    """It has no elements, so wherever its strides lead does not matter."""
    view = pool.zeros((4, 128))[:0].reshape(0, 10**6)
    assert carry(view).shape == (0, 10**6)
