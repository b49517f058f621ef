"""What the processes of a soak share besides the pool: a table of counters, and pipes that carry whole messages.

There is no lock, so no process can die holding one. Every counter has one writer. Pipes are in packet mode: a message
is written and read whole or not at all, and neither end waits.
"""

import mmap
import os
import struct
from dataclasses import dataclass
from multiprocessing.reduction import DupFd

# Words of the header, and columns of a row.
PHASE, FINISH, PHASES = 0, 1, 2  # what workers do now; whether to end; how many phases there were
RUN, LEAVE, CALM = (
    0,
    1,
    2,
)  # phases (CALM: work, but fork no more); beyond these: stand still and answer
(
    PROGRESS,  # grows while the process does anything at all
    VERIFIED,  # blocks whose pattern was found as it was written
    ALLOCATED,
    REDEEMED,  # tickets and handles
    STALE,  # of handles, or of tickets that an audit had dropped
    UNSENT,  # tickets whose receiver had no room
    WAITS,  # for room in a full pool
    FORKS,
    KILLS,
    STOPS,
    EPOCHS,
    DROPPED,  # tickets that only recovery found
    HEALED,
    RECOVERED,  # dead processes that were found and cleared away
    LOST,  # blocks
    DAMAGED,  # patterns
) = range(16)
NAMES = (
    *("progress", "verified", "allocated", "redeemed", "stale", "unsent", "waits", "forks"),
    *("kills", "stops", "epochs", "dropped", "healed", "recovered", "lost", "damaged"),
)
WIDTH = 16

UNSEEN_SECONDS = 240  # how much longer a soak goes on for what it has not seen yet

PACKET = 4096
MESSAGE = struct.Struct("<cQQI")  # kind, owner, sequence, nbytes; the text of the ticket follows
TICKET, HANDLE = b"T", b"H"
ANSWER = struct.Struct("<QQ")  # process, phase; what it holds follows
HELD = struct.Struct("<IIQ")  # index, blocks, generation


class Board:
    """Rows of counters in shared memory: two for each worker (its own and its children's) and one for the warden."""

    def __init__(self, workers, file=None):
        size = (2 + (2 * workers + 1)) * WIDTH * 8
        if file is None:
            file = os.memfd_create("soak-board")
            os.ftruncate(file, size)
        self.file = file
        self.workers = workers
        self.words = memoryview(mmap.mmap(file, size)).cast("Q")

    def row(self, number):
        """Return a row, which only one process may write."""
        start = (2 + number) * WIDTH
        return self.words[start : start + WIDTH]

    @property
    def warden(self):
        """The row of the warden."""
        return self.row(2 * self.workers)

    def totals(self):
        """Return the sums of all rows, by the names of their columns."""
        rows = [self.row(number) for number in range(2 * self.workers + 1)]
        return {name: sum(row[column] for row in rows) for column, name in enumerate(NAMES)}


def add_see(parser):
    """Add the option that names figures without which a soak does not end; a busy machine may take long for them."""
    parser.add_argument(
        "--see",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME,NAME",
        help=f"go on, for {UNSEEN_SECONDS} s at most, until these figures are more than 0",
    )


def is_unseen(counts, options, seconds):
    """Return whether a soak goes on for what it has not seen in so many seconds."""
    return seconds < options.seconds + UNSEEN_SECONDS and not all(counts[name] for name in options.see)


@dataclass
class Spec:
    """One pool of a soak, and the ends of the pipes around it."""

    name: str | None
    permanent: bool
    block_size: int
    blocks: int
    workers: int
    seed: str
    kill_every: float  # seconds, in the mean
    inboxes: list[tuple[int, int]]  # for each worker and its successors, which read on
    answers: tuple[int, int]
    trouble: tuple[int, int]
    board: int

    @property
    def title(self):
        """The name of the pool in reports."""
        kind = "permanent" if self.permanent else "default"
        return f"{self.name} ({kind})" if self.name else "without a name"


def packet_pipe():
    """Make a pipe in which one write is one read, and neither waits."""
    return os.pipe2(os.O_DIRECT | os.O_NONBLOCK | os.O_CLOEXEC)


def receive(pipe):
    """Return the next packet, or None."""
    try:
        return os.read(pipe[0], PACKET) or None
    except BlockingIOError:
        return None


def send(pipe, packet):
    """Send a packet; return whether there was room."""
    try:
        os.write(pipe[1], packet)
    except BlockingIOError:
        return False
    return True


def complain(spec, kind, text):
    """Tell the controller that something is wrong: `kind` is lost, damaged, crash or hang."""
    send(spec.trouble, f"{kind} pool {spec.title}, process {os.getpid()}: {text}".encode()[:PACKET])


def pattern(owner, sequence, nbytes):
    """Return what the owner of a block writes into it."""
    unit = struct.pack("<QQ", owner, sequence * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    return (unit * (nbytes // 16 + 1))[:nbytes]


def difference(spec, where, block, expected):
    """Compare a block with its pattern; report a difference, and return whether there is one."""
    found = bytes(block.buf)
    if found == expected:
        return False
    at = next(
        (i for i, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b),
        min(len(found), len(expected)),
    )
    complain(
        spec,
        "damaged",
        f"{where}: {block.handle}, {len(found)} bytes, {len(expected)} expected; from byte {at}: "
        f"{found[at : at + 32].hex()} instead of {expected[at : at + 32].hex()}",
    )
    return True


class Descriptor:
    """A file descriptor that multiprocessing hands to a process it starts, by fork or as a new program.

    It must be pickled while the process is started: at another time, a thread would have to serve it.
    """

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return Descriptor.arrived, (DupFd(self.number),)

    @staticmethod
    def arrived(duplicate):
        """Take the descriptor that was sent to a new program."""
        return Descriptor(duplicate.detach())
