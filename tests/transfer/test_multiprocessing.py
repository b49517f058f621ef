"""blockpool.multiprocessing: large arrays travel through a pool, whatever carries them."""

import copyreg
import dataclasses
import multiprocessing
import pickle
import threading
from multiprocessing import popen_forkserver, popen_spawn_posix, reduction
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import blockpool as bp
import blockpool.multiprocessing as carrier

LARGE = 100_000  # elements


@pytest.fixture
def pool(carrying):
    """Make a shared pool, and have arrays travel through it."""
    return carrying("16KiB", 256)


@pytest.fixture
def sent():
    """Count what is sent meanwhile."""
    before = carrier.stats()

    def since():
        now = carrier.stats()
        return {
            field: getattr(now, field) - getattr(before, field)
            for field in ("shared", "copied", "copied_bytes", "refused")
            if getattr(now, field) != getattr(before, field)
        }

    return since


def carry(message):
    """Send a message to this very process, as every queue and pipe would."""
    return ForkingPickler.loads(ForkingPickler.dumps(message))


def address(array):
    """Where the first element is."""
    return array.__array_interface__["data"][0]


# --- one array ---


def test_an_array_in_the_pool_goes_by_ticket_alone(pool, sent):
    """What arrives shows the same memory, and is as small to send as a few numbers."""
    array = pool.full(LARGE, 7.0)
    message = ForkingPickler.dumps(array)
    assert len(message) < 200
    arrived = ForkingPickler.loads(message)
    assert address(arrived) == address(array)
    arrived[3] = 8
    assert array[3] == 8
    assert sent() == {"shared": 1}


def test_another_array_is_copied_in_once(pool, sent):
    """The receiver has a copy in the pool: its own, to write to, and sent on by ticket."""
    array = np.arange(LARGE)
    arrived = carry(array)
    assert np.array_equal(arrived, array)
    assert arrived.flags.writeable
    assert pool.stats().allocated == -(-array.nbytes // pool.block_size)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes}
    again = carry(arrived)
    assert address(again) == address(arrived)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes, "shared": 1}


def test_the_memory_lasts_as_long_as_anybody_has_it(pool):
    """In flight, then with the receiver, it stays; with the last view it comes back."""
    message = ForkingPickler.dumps(np.ones(LARGE))
    assert (pool.stats().tickets, pool.stats().allocated) == (1, 49)
    view = ForkingPickler.loads(message)[::7]
    assert (pool.stats().tickets, pool.stats().allocated) == (0, 49)
    assert view.sum() == len(view)
    del view
    assert pool.stats().allocated == 0


def test_small_arrays_travel_as_ever(pool, sent):
    """Below the threshold nothing is put in the pool."""
    array = np.arange(64 * 1024 // 8 - 1)
    assert np.array_equal(carry(array), array)
    assert sent() == {}
    assert pool.stats().allocations == 0


@pytest.mark.parametrize("threshold", [1000, "1000 B"])
def test_the_threshold_can_be_set(pool, sent, threshold):
    """Arrays of so many bytes go through the pool, of one less do not."""
    carrier.install(pool, threshold=threshold)
    carry(np.zeros(999, "u1"))
    assert sent() == {}
    carry(np.zeros(1000, "u1"))
    assert sent() == {"copied": 1, "copied_bytes": 1000}


def test_a_small_part_of_an_array_in_the_pool_is_shared_too(pool):
    """Whether a view is shared does not depend on its size."""
    array = pool.zeros(100)
    carry(array[10:12])[:] = 5
    assert array.sum() == 10


@pytest.mark.parametrize(
    "take",
    [
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a[5:7, ::-3],
        lambda a: a.T,
        lambda a: a[:, 3],
        lambda a: a[2, 3, ...],
        lambda a: a.view("u1"),
        lambda a: a.reshape(-1, 5),
        lambda a: np.broadcast_to(a[0], (9, *a[0].shape)),
        lambda a: a[..., None],
    ],
)
def test_views_arrive_as_they_are(pool, take):
    """Shape, strides and order are kept, and the memory is the same."""
    array = pool.asarray(np.arange(40_000, dtype="i4").reshape(200, 200))
    view = take(array)
    arrived = carry(view)
    assert (arrived.shape, arrived.dtype) == (view.shape, view.dtype)
    steps = [(a, b) for a, b, n in zip(arrived.strides, view.strides, view.shape, strict=True) if n > 1]
    assert all(a == b for a, b in steps)
    assert address(arrived) == address(view)
    assert np.array_equal(arrived, view)
    assert arrived.flags.writeable == view.flags.writeable


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "make",
    [
        lambda a: np.asfortranarray(a.reshape(500, -1)),
        lambda a: a[::2],
        lambda a: a[::-1],
        lambda a: a.reshape(500, -1)[:, 3:],
        lambda a: (a % 100).astype("f2"),
        lambda a: a.astype("c16"),
        lambda a: a.astype(">i8"),
        lambda a: a.astype("M8[s]"),
        lambda a: a.astype("S8"),
        lambda a: a.astype("U5"),
        lambda a: (a % 2).astype("?"),
        lambda a: a.view([("a", "i4"), ("b", "f4")]),
        lambda a: a.reshape((1,) * 30 + (-1,)),
    ],
)
def test_whatever_the_array_it_arrives_equal(sent, make):
    """Of any type and form, with its order; and writeable."""
    array = make(np.arange(LARGE))
    arrived = carry(array)
    assert sent()["copied"] == 1
    assert (arrived.dtype, arrived.shape) == (array.dtype, array.shape)
    assert np.array_equal(arrived, array)
    assert arrived.flags.f_contiguous or not array.flags.f_contiguous
    assert arrived.flags.writeable


@pytest.mark.usefixtures("pool")
@pytest.mark.parametrize(
    "array",
    [
        np.array([{}, "text"] * LARGE, object),
        np.zeros((0, LARGE)),
        np.ma.masked_array(np.zeros(LARGE), mask=False),
        np.zeros(LARGE).view(np.recarray),
    ],
    ids=["objects", "empty", "masked", "subclass"],
)
def test_what_cannot_go_through_the_pool_travels_as_ever(array):
    """Arrays of objects, empty ones, and classes derived from ndarray arrive as without blockpool."""
    arrived = carry(array)
    assert type(arrived) is type(array)
    assert arrived.shape == array.shape
    if array.size:
        assert (arrived == array).all()
    del arrived


def test_an_array_without_room_travels_as_ever_and_is_counted(pool, sent):
    """A full pool refuses nothing: the message takes the old way."""
    held = pool.allocate(blocks=256)
    array = np.arange(LARGE)
    arrived = carry(array)
    assert np.array_equal(arrived, array)
    assert type(arrived.base).__name__ != "_Lease"
    assert sent() == {"refused": 1}
    held.release()
    too_large = np.zeros(pool.nbytes + 1, "u1")
    assert np.array_equal(carry(too_large), too_large)
    assert sent() == {"refused": 2}


def test_a_full_pool_is_not_collected_for(pool):
    """Sending runs no garbage collection, which may take long and run anything."""
    import gc

    held = pool.allocate(blocks=256)
    runs = []
    gc.callbacks.append(lambda phase, _: runs.append(phase))
    try:
        carry(np.arange(LARGE))
    finally:
        gc.callbacks.pop()
    held.release()
    assert runs == []


@pytest.mark.usefixtures("pool")
def test_arrays_of_any_shared_pool_go_by_ticket(sent, pool_names):
    """Not only those of the pool that is installed."""
    other = bp.Pool.create("64KiB", 4, name=pool_names())
    array = other.zeros(10)
    assert address(carry(array)) == address(array)
    assert sent() == {"shared": 1}


@pytest.mark.usefixtures("pool")
def test_arrays_of_private_pools_are_copied(sent):
    """No other process can reach them."""
    private = bp.Pool("1MiB", 2)
    array = private.zeros(LARGE)
    assert address(carry(array)) != address(array)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes}


def test_arrays_over_a_block_go_by_ticket(pool, sent):
    """However the array came to the memory of a block."""
    block = pool.allocate(nbytes=8000)
    for array in (
        block.array(1000),
        np.frombuffer(block.buf),
        np.ndarray((10, 10), buffer=block.buf[800:]),
    ):
        assert address(carry(array)) == address(array)
    assert sent() == {"shared": 3}


# --- read-only ---


def test_a_read_only_array_arrives_read_only(pool):
    """A view without the flag, or a read-only block, cannot be written to by the receiver, whatever it tries."""
    array = pool.zeros(1000)
    view = array.view()
    view.flags.writeable = False
    for one in (view, pool.allocate(nbytes=800).readonly().array(100)):
        arrived = carry(one)
        with pytest.raises(ValueError, match="read-only"):
            arrived[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            arrived.flags.writeable = True


def test_all_can_arrive_read_only(pool):
    """With install(readonly=True), also what is writeable here, and what is copied; here it stays writeable."""
    carrier.install(pool, readonly=True)
    array = pool.zeros(1000)
    for one in (array, np.zeros(LARGE)):
        with pytest.raises(ValueError, match="read-only"):
            carry(one)[0] = 1
        one[0] = 1


# --- within other objects ---


@dataclasses.dataclass
class Frame:
    """A message as programs have them."""

    number: int
    pixels: np.ndarray
    history: list


def test_arrays_within_objects(pool, sent):
    """Dicts, tuples, dataclasses: each array in them goes through the pool; the same one twice stays one."""
    array = np.arange(LARGE)
    kept = pool.zeros(10)
    frame = Frame(3, array, [array, {"kept": kept}])
    arrived = carry({"frame": (frame, "text")})["frame"][0]
    assert np.array_equal(arrived.pixels, array)
    assert arrived.history[0] is arrived.pixels
    assert address(arrived.history[1]["kept"]) == address(kept)
    assert sent() == {"copied": 1, "copied_bytes": array.nbytes, "shared": 1}


def test_blocks_beside_arrays(pool):
    """A block in a message is a block there."""
    block = pool.allocate(nbytes=5)
    block.buf[:] = b"hello"
    arrived, array = carry((block, np.ones(LARGE)))
    assert bytes(arrived.buf) == b"hello"
    assert array.sum() == LARGE
    assert bytes(carry(block).buf) == b"hello"


def test_arrow_tables(pool, sent):
    """Their buffers go through the pool, and what arrives reads from there."""
    table = pa.table({"number": np.arange(LARGE), "text": ["abcdefgh"] * LARGE})
    arrived = carry(table)
    assert arrived.equals(table)
    assert sent()["copied"] == 3
    assert pool.stats().allocated > 0


@pytest.mark.usefixtures("pool")
def test_columns_of_pandas(sent):
    """A DataFrame's columns, of NumPy and of Arrow, go through the pool."""
    frame = pd.DataFrame({"a": np.arange(LARGE), "b": np.arange(LARGE) / 3})
    frame["c"] = pd.array(["abcdefgh"] * LARGE, dtype=pd.ArrowDtype(pa.string()))
    arrived = carry(frame)
    pd.testing.assert_frame_equal(arrived, frame)
    assert sent()["copied"] >= 3


class OutOfBand:
    """Something that pickles itself with an out-of-band buffer."""

    def __init__(self, buffer):
        self.buffer = buffer

    def __reduce_ex__(self, protocol):
        return OutOfBand, (pickle.PickleBuffer(self.buffer),)


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_out_of_band_buffers(pool, sent, kind):
    """A large one goes through the pool, writeable if it was; a small one is part of the pickle."""
    arrived = carry([OutOfBand(kind(range(200)) * 1000), OutOfBand(kind(b"small"))])
    large, small = (memoryview(one.buffer) for one in arrived)
    assert large == bytes(range(200)) * 1000
    assert large.readonly == (kind is bytes)
    assert small == b"small"
    assert sent() == {"copied": 1, "copied_bytes": 200_000}
    del arrived
    assert pool.stats().allocated > 0  # the view keeps it


def test_an_out_of_band_buffer_in_the_pool(pool, sent):
    """It is found behind the memoryview, and goes by ticket with what part of the block it is."""
    block = pool.allocate(nbytes=1000)
    block.buf[100:105] = b"hello"
    arrived = carry(OutOfBand(block.buf[100:105]))
    assert bytes(arrived.buffer) == b"hello"
    arrived.buffer[:1] = b"J"
    assert bytes(block.buf[100:105]) == b"Jello"
    assert sent() == {"shared": 1}


def test_an_out_of_band_buffer_without_room(pool, sent):
    """It is part of the pickle, as without blockpool."""
    with pool.allocate(blocks=256):
        arrived = carry(OutOfBand(bytes(100_000)))
    assert bytes(arrived.buffer) == bytes(100_000)
    assert sent() == {"refused": 1}


# --- the switch ---


PATCHED = (
    *((ForkingPickler, "dumps"), (reduction, "dump"), (Connection, "_send_bytes")),
    *((popen_spawn_posix.Popen, "_launch"), (popen_forkserver.Popen, "_launch")),
)


def test_uninstall_restores_what_was(pool, sent):
    """Afterwards multiprocessing pickles, sends and starts with its own code, and arrays are copied as before."""

    def found():
        return [vars(owner)[name] for owner, name in PATCHED]

    installed = found()
    carrier.uninstall()
    before = found()
    assert all(mine is not plain for mine, plain in zip(installed, before, strict=True))
    assert np.ndarray not in ForkingPickler._extra_reducers
    array = pool.zeros(1000)
    assert address(carry(array)) != address(array)
    assert sent() == {}
    carrier.uninstall()  # again does nothing
    carrier.install(pool)
    carrier.uninstall()
    assert found() == before


TABLES = {"ForkingPickler": ForkingPickler._extra_reducers, "copyreg": copyreg.dispatch_table}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_reducer_of_arrays_that_the_program_registers(pool, sent, table, order):
    """It reduces all arrays, small, large and in the pool, whenever it was registered; and it is never removed."""
    arrays = np.zeros(3), np.ones(LARGE), pool.zeros(LARGE)

    def mine(array):
        return list, ([array.size],)

    carrier.uninstall()
    try:
        if order == "before":
            TABLES[table][np.ndarray] = mine
        carrier.install(pool)
        TABLES[table][np.ndarray] = mine
        for array in arrays:
            assert carry(array) == [array.size]
            assert carry({"in": array})["in"] == [array.size]
            assert pickle.loads(ForkingPickler.dumps(array, 4)) == [array.size]
        assert sent() == {}
        carrier.uninstall()
        assert TABLES[table][np.ndarray] is mine
    finally:
        del TABLES[table][np.ndarray]
    carrier.install(pool)
    assert isinstance(carry(arrays[1]), np.ndarray)
    assert sent() == {"copied": 1, "copied_bytes": arrays[1].nbytes}


@pytest.mark.parametrize("table", TABLES)
def test_a_reducer_of_blocks_that_the_program_registers(pool, table):
    """It reduces blocks by themselves and within messages."""
    block = pool.allocate()
    before = TABLES[table].get(bp.Block)
    try:
        TABLES[table][bp.Block] = lambda block: (list, ([block.index],))
        assert carry(block) == [0]
        assert carry([block]) == [[0]]
    finally:
        TABLES[table][bp.Block] = before
        if before is None:
            del TABLES[table][bp.Block]
    assert isinstance(carry(block), bp.Block)
    block.free()


@pytest.mark.parametrize("number", range(len(PATCHED)))
def test_what_another_library_patches_later_stays(pool, number):
    """Uninstall leaves its patch, through which the original is reached; installing again works, over it."""
    owner, name = PATCHED[number]
    ours, calls = vars(owner)[name], []
    carrier.uninstall()
    plain = vars(owner)[name]
    carrier.install(pool, threshold=100)
    ours = vars(owner)[name]

    def theirs(*arguments, **options):
        calls.append(name)
        return getattr(ours, "__func__", ours)(*arguments, **options)

    patch = classmethod(theirs) if name == "dumps" else theirs
    setattr(owner, name, patch)
    try:
        carrier.uninstall()
        assert vars(owner)[name] is patch
        here, there = multiprocessing.Pipe()
        here.send({"a": np.ones(100)})
        assert there.recv()["a"].sum() == 100
        assert pool.stats().allocations == 0
        carrier.install(pool, threshold=100)
        here.send({"a": np.ones(100)})
        assert there.recv()["a"].sum() == 100
        assert pool.stats().allocations == 1
        carrier.uninstall()
        assert vars(owner)[name] is patch
    finally:
        setattr(owner, name, plain)
    assert bool(calls) == (name in {"dumps", "_send_bytes"})


def test_installing_again_replaces(pool, pool_names):
    """The last pool is the one that is used; one uninstall ends it all."""
    other = bp.Pool.create("1MiB", 2, name=pool_names())
    carrier.install(other)
    arrived = carry(np.ones(LARGE))
    assert (pool.stats().allocated, other.stats().allocated) == (0, 1)
    del arrived
    carrier.uninstall()
    assert np.ndarray not in ForkingPickler._extra_reducers


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (lambda _: ("frames",), TypeError, "must be a blockpool.Pool, not str"),
        (lambda _: (bp.Pool("4KiB", 2),), ValueError, "private.*Pool.create"),
        (lambda p: (p, 0), ValueError, "threshold"),
        (lambda p: (p, -1), ValueError, "threshold"),
        (lambda p: (p, "many"), ValueError, "threshold"),
        (lambda p: (p, 1.5), TypeError, "threshold"),
    ],
)
def test_wrong_arguments_change_nothing(pool, sent, arguments, error, words):
    """Each is a typed error, and what was installed stays."""
    one, *threshold = arguments(pool)
    with pytest.raises(error, match=words):
        carrier.install(one, **({"threshold": threshold[0]} if threshold else {}))
    carry(np.ones(LARGE))
    assert sent()["copied"] == 1


def test_a_closed_pool_is_not_installed(pool_names):
    """That it is closed is said at once."""
    closed = bp.Pool.create("4KiB", 2, name=pool_names())
    closed.close()
    with pytest.raises(bp.PoolClosed):
        carrier.install(closed)


def test_threads_that_send_and_switch(pool):
    """Sending while others install and uninstall: each message arrives, by the one way or the other."""
    failures = []

    def send():
        array = np.arange(LARGE)
        try:
            for _ in range(100):
                assert carry({"a": array})["a"][-1] == LARGE - 1
        except BaseException as error:  # noqa: BLE001 - told to the test
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        carrier.uninstall()
        carrier.install(pool)
    assert failures == []


# --- processes ---

WORKERS = """
import multiprocessing, sys
import numpy as np
import blockpool as bp
import blockpool.multiprocessing as carrier

def double(array):
    # a task that came through the pool has installed this process: its result goes the same way
    return array * 2, type(array.base).__name__

def serve(pipe):
    while (array := pipe.recv()) is not None:
        pipe.send(float(array.sum()))
        array[:] = 1

def fill(queue, pool):
    carrier.install(pool)
    array = pool.full(100_000, 3.0)
    queue.put({"array": array})
    queue.close(); queue.join_thread()

def made(n):
    return np.ones(n)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_between_processes(run_script, method):
    """Pipe, Queue, Pool.map and executors, however the processes are started; and every block comes back."""
    said = run_script(
        WORKERS
        + """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    pool = bp.Pool.create("64KiB", 1024)
    carrier.install(pool)

    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,))
    server.start()
    kept = pool.full(100_000, 2.0)
    here.send(kept)
    assert here.recv() == 200_000
    here.send(np.ones(100_000))
    assert here.recv() == 100_000
    assert kept.sum() == 100_000, "the receiver wrote to the same memory"
    here.send(None)
    server.join()

    queue = context.Queue()
    filler = context.Process(target=fill, args=(queue, pool))
    filler.start()
    array = queue.get()["array"]
    assert array.sum() == 300_000 and type(array.base).__name__ == "_Lease"
    filler.join()

    inputs = [np.full(100_000, i) for i in range(4)]
    with context.Pool(2) as workers:
        outputs = workers.map(double, inputs)
        workers.close(); workers.join()
    with ProcessPoolExecutor(2, context) as executor:
        outputs += executor.map(double, inputs)
    for i, (array, there) in enumerate(outputs):
        assert there == "_Lease" and type(array.base).__name__ == "_Lease", i
        assert array[7] == i % 4 * 2
    with context.Pool(2, carrier.install, (pool,)) as workers:  # these send before they receive
        results = workers.map(made, [100_000] * 4)
        workers.close(); workers.join()
    assert {type(array.base).__name__ for array in results} == {"_Lease"}
    print(carrier.stats().copied, carrier.stats().shared, carrier.stats().refused)
    del kept, array, outputs, results
    pool.recover()
    pool.check()
    print(pool.stats().allocated, pool.stats().tickets)
""",
        method,
    )
    assert said.split() == ["9", "1", "0", "0", "0"]


def test_arguments_of_a_process(run_script):
    """What a spawned process is started with goes through the pool too."""
    said = run_script(
        WORKERS
        + """
def show(array, queue):
    queue.put((float(array.sum()), type(array.base).__name__))

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    pool = bp.Pool.create("64KiB", 128)
    carrier.install(pool)
    queue = context.SimpleQueue()
    process = context.Process(target=show, args=(np.ones(100_000), queue))
    process.start()
    print(*queue.get(), carrier.stats().copied)
    process.join()
"""
    )
    assert said.split() == ["100000.0", "_Lease", "1"]


def test_through_a_manager(run_script):
    """A manager's proxies send and receive by the same pickler."""
    said = run_script(
        WORKERS
        + """
if __name__ == "__main__":
    pool = bp.Pool.create("64KiB", 128)
    carrier.install(pool)
    with multiprocessing.get_context("spawn").Manager() as manager:
        shelf = manager.dict()
        shelf["a"] = np.full(100_000, 5)
        array = shelf["a"]
        print(array.sum(), type(array.base).__name__)
"""
    )
    assert said.split() == ["500000", "_Lease"]


@pytest.mark.parametrize("library", ["loky", "joblib"])
def test_loky_and_joblib(run_script, library):
    """Tasks and results of loky's workers go through the pool, by itself and under joblib."""
    said = run_script(
        WORKERS
        + f"""
import {library}
if __name__ == "__main__":
    pool = bp.Pool.create("64KiB", 1024)
    carrier.install(pool)
    inputs = [np.full(200_000, i) for i in range(4)]
    if {library!r} == "joblib":
        outputs = joblib.Parallel(n_jobs=2)(joblib.delayed(double)(array) for array in inputs)
        from joblib.externals.loky import get_reusable_executor
    else:
        from loky import get_reusable_executor
        outputs = list(get_reusable_executor(2).map(double, inputs))
    for i, (array, there) in enumerate(outputs):
        assert there == "_Lease" and type(array.base).__name__ == "_Lease", i
        assert array[7] == i * 2
    print(carrier.stats().copied)
    carrier.uninstall()
    if {library!r} == "loky":
        array, there = get_reusable_executor(2).submit(double, inputs[1]).result()
        assert type(array.base).__name__ == "_Lease"  # the worker still sends so
        assert there != "_Lease"  # but not this process
    get_reusable_executor().shutdown()
    del array, outputs
    pool.recover()
    print(pool.stats().allocated, pool.stats().tickets)
"""
    )
    assert said.split() == ["4", "0", "0"]


def test_a_worker_that_declined_is_not_installed(run_script):
    """Whoever called uninstall sends as ever, though what it receives came through a pool."""
    said = run_script(
        WORKERS
        + """
if __name__ == "__main__":
    pool = bp.Pool.create("64KiB", 128)
    carrier.install(pool)
    with multiprocessing.get_context("spawn").Pool(1, carrier.uninstall) as workers:
        array, there = workers.apply(double, (np.ones(100_000),))
    print(there, type(array.base).__name__)
"""
    )
    assert said.split()[0] == "_Lease"
    assert said.split()[1] != "_Lease"


@pytest.mark.usefixtures("pool")
def test_a_forked_child_counts_anew():
    """The counts are of the process."""
    carry(np.ones(LARGE))
    assert carrier.stats().copied
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=lambda: there.send(dataclasses.asdict(carrier.stats())))
    child.start()
    assert set(here.recv().values()) == {0}
    child.join()


def test_without_numpy(run_python):
    """Blocks and out-of-band buffers still go through the pool."""
    said = run_python(
        """
        import sys, pickle
        sys.modules["numpy"] = None
        import blockpool as bp, blockpool.multiprocessing as carrier
        from multiprocessing.reduction import ForkingPickler
        class OutOfBand:
            def __reduce_ex__(self, protocol):
                return bytes, (pickle.PickleBuffer(bytes(100_000)),)
        carrier.install(bp.Pool.create("64KiB", 16))
        print(len(ForkingPickler.loads(ForkingPickler.dumps(OutOfBand()))), carrier.stats().copied)
        """
    )
    assert said.split() == ["100000", "1"]
