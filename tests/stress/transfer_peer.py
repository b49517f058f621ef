"""The two processes of a pair in transfer_soak.py: one sends arrays, the other verifies them and sends some back.

Either may be killed at any instruction. The content of an array follows from its sender and its number, and no record
is ever half written: a counter is one word, a complaint one packet.

In many of them a second thread forks children that end in several ways, sweeps, and writes into its own memory until
the process ends.
"""

import contextlib
import faulthandler
import mmap
import os
import pickle
import random
import signal
import threading
import time
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Pipe
from multiprocessing.queues import Full, Queue
from multiprocessing.reduction import ForkingPickler

import numpy as np
from soak_board import Descriptor, send

import blockpool as bp
import blockpool.multiprocessing as carrier

THRESHOLD = 4096
KEPT = 5  # arrays that either side holds at a time
BUSY = 0.5  # the share of processes that have a second thread

COLUMNS = (
    *("messages", "verified", "held", "echoed", "unsendable", "torn"),
    *("undelivered", "cut_off", "forks", "sweeps"),
    *("shared", "copied", "copied_bytes", "refused", "damaged"),
)
COUNTED_BY_CARRIER = COLUMNS.index("shared")
ROWS = 1024


class Board:
    """Whether to end, and a row of counters for each process, in shared memory; each word has one writer."""

    def __init__(self, file=None):
        size = (1 + ROWS * len(COLUMNS)) * 8
        if file is None:
            file = os.memfd_create("transfer-board")
            os.ftruncate(file, size)
        self.file = file
        self.words = memoryview(mmap.mmap(file, size)).cast("Q")

    @property
    def finishing(self):
        """Whether processes have to end by themselves."""
        return self.words[0] != 0

    @finishing.setter
    def finishing(self, value):
        self.words[0] = value

    def row(self, number):
        """Return the counters of a process."""
        start = 1 + number % ROWS * len(COLUMNS)
        return self.words[start : start + len(COLUMNS)]

    def fold(self, totals):
        """Add all rows to the totals and clear them; no process may be counting meanwhile."""
        for number in range(ROWS):
            row = self.row(number)
            for i, name in enumerate(COLUMNS):
                totals[name] += row[i]
                row[i] = 0


class Damaged(Exception):
    """An array does not contain what was written into it."""


class Parcel:
    """An object that is pickled with out-of-band buffers, like Arrow's tables and pandas' columns."""

    def __init__(self, *buffers):
        self.buffers = buffers

    def __reduce_ex__(self, protocol):
        return Parcel, tuple(pickle.PickleBuffer(each) for each in self.buffers)


def content(owner, sequence, part, shape, dtype):
    """Return the content of an array."""
    count = int(np.prod(shape))
    start = (owner * 0x9E3779B97F4A7C15 + sequence * 0xC2B2AE3D27D4EB4F + part * 0x165667B19E3779F9) % 2**64
    words = np.arange(count, dtype="u8") * np.uint64(0xD1342543DE82EF95) + np.uint64(start)
    return (words >> np.uint64(11)).astype(dtype).reshape(shape)


def verify(array, description):
    """Raise unless an array is what its description says."""
    expected = content(*description)
    kind = array.dtype.newbyteorder("=")  # NumPy's own pickles arrive in the machine's byte order
    if array.shape != expected.shape or kind != expected.dtype.newbyteorder("="):
        raise Damaged(f"{description} came as {array.dtype} of shape {array.shape}")
    wrong = np.flatnonzero(array.ravel() != expected.ravel())
    if len(wrong):
        raise Damaged(f"{description}: {len(wrong)} of {array.size} elements differ, from {wrong[0]} on")


class Bystander(threading.Thread):
    """A second thread, which forks, sweeps and writes until the process ends."""

    def __init__(self, part, row):
        super().__init__(daemon=True)
        self.pool, self.row = part.pool, row
        self.random = random.Random(f"{part.seed}/{part.number}/beside")
        self.without_children = threading.Lock()

    def run(self):
        """Do one random act after the other."""
        ways = [self.fork] * 3 + [self.sweep, self.write, self.write]
        while True:
            self.random.choice(ways)()
            time.sleep(self.random.random() * 0.01)

    def fork(self):
        """Fork a child that allocates, sweeps, ends or kills itself; this process may end meanwhile."""
        with self.without_children:
            way = self.random.choice(("end", "sweep", "take", "kill"))
            child = os.fork()
            if child == 0:
                self.be_child(way)
            self.row[COLUMNS.index("forks")] += 1
            os.waitpid(child, 0)

    def be_child(self, way):
        """Do in the child what was chosen, and end."""
        try:
            if way == "sweep":
                bp.sweep()
            elif way == "take":
                with contextlib.suppress(bp.PoolExhausted, bp.TooManyProcesses):
                    self.pool.full(1000, 7, np.uint64).sum()
            elif way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(0)

    def sweep(self):
        """Sweep remains of pools that have no process."""
        bp.sweep()
        self.row[COLUMNS.index("sweeps")] += 1

    def write(self):
        """Write again and again, and check what was written; the process ends without waiting for this."""
        with contextlib.suppress(bp.PoolExhausted):
            array = self.pool.empty(20_000, np.uint64)
            for value in range(20):
                array.fill(value)
                if (array != value).any():
                    raise Damaged(f"memory of the second thread was written by another: {array}")


class Process:
    """The common part of sender and receiver."""

    def __init__(self, part, row):
        self.row, self.number, self.pool, self.calm = row, part.number, part.pool, part.calm
        self.inherited = part.inherited
        self.random = random.Random(f"{part.seed}/{part.number}")
        self.kept = []  # arrays with their descriptions
        self.bystander = Bystander(part, row)
        if self.random.random() < BUSY:
            self.bystander.start()

    def count(self, column):
        """Count one more."""
        self.row[COLUMNS.index(column)] += 1

    def count_transfers(self):
        """Copy what blockpool.multiprocessing counted to the board."""
        done = carrier.stats()
        for i, name in enumerate(COLUMNS[COUNTED_BY_CARRIER:-1]):
            self.row[COUNTED_BY_CARRIER + i] = getattr(done, name)

    def keep(self, array, description):
        """Hold an array for a while, and check in the end that it has not changed."""
        self.kept.append((array, description))
        if len(self.kept) > KEPT:
            verify(*self.kept.pop(self.random.randrange(len(self.kept))))
            self.count("held")

    def dawdle(self):
        """Be slow now and then, so that messages pile up and the pool is full."""
        if self.random.random() < 0.05:
            time.sleep(self.random.random() * 0.01)


class Sender(Process):
    """Sends until told to end, or until the receiver has gone."""

    def __init__(self, part, row):
        super().__init__(part, row)
        self.sequence = 0
        self.broken = None

    def array(self, part):
        """Make an array, in the pool or not, small or large, in some memory order; return it with its description."""
        choose = self.random
        if self.inherited and choose.random() < 0.05:
            return choose.choice(self.inherited)
        count = choose.choices((64, 500, 600, 1500, 4000, 20_000), (4, 4, 4, 4, 4, 1))[0]
        shape = choose.choice(((count,), (count // 4, 4), (2, count // 4, 2)))
        description = (
            self.number,
            self.sequence,
            part,
            shape,
            choose.choice(("<u8", ">u8", "<f8", "<i4")),
        )
        values = content(*description)
        layout = choose.random()
        if layout < 0.2:
            values = np.asfortranarray(values)
        elif layout < 0.4:
            values = np.repeat(values, 2, axis=0)
        if choose.random() < 0.5:
            with contextlib.suppress(bp.PoolExhausted):
                values = self.pool.asarray(values)
        if 0.2 <= layout < 0.4:
            values = values[::2]
        return values, description

    def message(self):
        """Make the next message; return its kind, the descriptions of its arrays, and what carries them."""
        self.sequence += 1
        pieces = [self.array(part) for part in range(self.random.choice((1, 1, 2, 3)))]
        if self.random.random() < 0.3:
            self.keep(*self.random.choice(pieces))
        arrays, descriptions = zip(*pieces, strict=True)
        kind = self.random.choice(("lone", "list", "dict", "parcel", "unsendable", "undelivered"))
        if kind == "lone":
            return kind, descriptions[:1], arrays[0]
        if kind == "list":
            return kind, descriptions, list(arrays)
        if kind == "dict":
            return (
                kind,
                descriptions,
                {"arrays": dict(enumerate(arrays)), "text": "x" * 100},
            )
        if kind == "parcel":
            return kind, descriptions, Parcel(*map(np.ascontiguousarray, arrays))
        return kind, descriptions, [*arrays, *([lambda: None] if kind == "unsendable" else [])]

    def run(self, put, echo, board):
        """Send until told to end."""
        while not board.finishing and not self.broken:
            kind, descriptions, carried = self.message()
            if kind == "unsendable":
                # with some that others are about to receive: their references must not be taken back
                self.expect_refusal([*(array for array, _ in self.kept), *carried])
                continue
            if kind == "undelivered":
                self.expect_cut_off([*(array for array, _ in self.kept), *carried])
                continue
            try:
                put((kind, descriptions, self.row[COLUMNS.index("echoed")]))
                put(carried)
            except ConnectionError:
                with contextlib.suppress(ConnectionError):
                    put(carried)
                self.require_no_tickets(carried, descriptions)
                raise
            del carried
            self.count("messages")
            self.count_transfers()
            self.take_back(echo)
            self.dawdle()
        if self.broken:
            raise self.broken

    def take_back(self, echo):
        """Verify what was sent back."""
        while echo.poll():
            verify(*echo.recv())
            self.count("echoed")

    def complain(self, error, _):
        """Remember an error of the thread that feeds the queue."""
        self.broken = error

    def expect_cut_off(self, carried):
        """Send to a reader that goes; the audit at the end of the epoch finds what stays in flight."""
        with self.bystander.without_children:  # a child would have the reader's end too
            there, here = Pipe(duplex=self.random.random() < 0.5)
            reader = None
            if self.random.random() < 0.3:  # within the message
                carried.append(b"x" * 1_000_000)
                reader = threading.Thread(target=lambda: (os.read(there.fileno(), 9), there.close()))
                reader.start()
            else:
                there.close()
            try:
                here.send(carried)
            except ConnectionError:
                self.count("undelivered")
            else:
                raise AssertionError("a message was sent although its reader had gone")
            finally:
                if reader is not None:
                    reader.join()

    def require_no_tickets(self, carried, descriptions):
        """Raise if an array that was only in this undelivered message has a reference in flight."""
        arrays = carried if isinstance(carried, list) else [carried]
        fresh = [
            array
            for array, (owner, sequence, *_) in zip(arrays, descriptions, strict=False)
            if isinstance(array, np.ndarray) and (owner, sequence) == (self.number, self.sequence)
        ]
        tickets = {run.index: run.tickets for run in self.pool.runs()}
        for array in fresh:
            index = (array.__array_interface__["data"][0] - self.pool.address) // self.pool.block_size
            if tickets.get(index):
                raise AssertionError(f"{tickets[index]} references to an array that no process can receive")
        self.count("cut_off")

    def expect_refusal(self, carried):
        """Pickle what cannot be pickled; the audit at the end of the epoch finds what stays in flight."""
        try:
            ForkingPickler.dumps(carried)
        except (pickle.PicklingError, AttributeError):
            self.count("unsendable")
        else:
            raise AssertionError("a function without a name was pickled")


class Receiver(Process):
    """Receives and verifies until the sender has gone."""

    def arrays(self, kind, descriptions, carried):
        """Return the arrays in a message."""
        if kind == "lone":
            return [carried]
        if kind == "list":
            return carried
        if kind == "dict":
            return list(carried["arrays"].values())
        return [
            np.frombuffer(buffer, dtype).reshape(shape)
            for buffer, (_, _, _, shape, dtype) in zip(carried.buffers, descriptions, strict=True)
        ]

    def run(self, get, echo):
        """Receive until the sender ends; send back one array at a time, as more could fill the pipe."""
        returned = 0
        while True:
            kind, descriptions, echoed = get()
            arrays = self.arrays(kind, descriptions, get())
            for array, description in zip(arrays, descriptions, strict=True):
                verify(array, description)
                self.count("verified")
                chosen = self.random.random()
                if chosen < 0.2:
                    self.keep(array, description)
                elif chosen < 0.6 and returned == echoed and array.nbytes <= 32_000 and not self.calm:
                    echo.send((array, description))
                    returned += 1
                    self.count_transfers()
            del array, arrays
            self.dawdle()


def serve(receiver, channel, echo, other_ends):
    """Be a receiver from a queue or pipe."""
    for end in other_ends:
        end.close()
    if isinstance(channel, Queue):
        channel._writer.close()
        receiver.run(channel.get, echo)
    else:
        receiver.run(channel.recv, echo)


def feed(sender, channel, echo, other_ends, board):
    """Be a sender to a queue or pipe."""
    for end in other_ends:
        end.close()
    if not isinstance(channel, Queue):
        sender.run(channel.send, echo, board)
        return
    channel._reader.close()
    channel._on_queue_feeder_error = sender.complain

    def put(message):
        while not sender.broken:
            try:
                channel.put(message, timeout=0.05)
            except Full:  # for ever, if the receiver was killed with messages unread
                sender.take_back(echo)
            else:
                break

    try:
        sender.run(put, echo, board)
        channel.close()
        channel.join_thread()
    except BaseException:
        channel.cancel_join_thread()
        raise


@dataclass
class Part:
    """What one process of a pair has to do."""

    role: str
    number: int
    seed: int
    pool: bp.Pool
    board: Descriptor
    trouble: Descriptor
    ends: tuple  # the queue or pipe, the pipe for what is sent back, and what is the other one's
    calm: bool  # no process is killed: nothing may be in flight at the end
    inherited: list  # arrays that the process before the fork holds; none in a new program


def main(part):
    """Be one process of a pair."""
    faulthandler.register(signal.SIGUSR1)
    warnings.simplefilter("ignore", DeprecationWarning)  # threads and forks: that is what is tested
    board = Board(part.board.number)
    row = board.row(part.number)
    try:
        if part.role == "receive":
            serve(Receiver(part, row), *part.ends)
        else:
            if not part.inherited:
                carrier.install(part.pool, threshold=THRESHOLD)
            feed(Sender(part, row), *part.ends, board)
    except (EOFError, ConnectionError):
        pass  # the other one is gone
    except BaseException as error:  # noqa: BLE001 - the process ends here
        if str(error) == "got end of file during message":  # multiprocessing has no class for it
            row[COLUMNS.index("torn")] += 1
            return
        damaged = isinstance(error, Damaged)
        row[COLUMNS.index("damaged")] += damaged
        text = f"{'damaged' if damaged else 'crash'} in process {part.number}, to {part.role}: {traceback.format_exc()}"
        send((0, part.trouble.number), text.encode()[-4000:])
