"""The senders and receivers of queue_soak.py, and the log that outlives them.

Each process may be killed at any instruction, so it says in the log what it is about to do before it does it. Every
word and every byte of the log has one writer at a time: the process in that seat, or the soak while the seat is empty.
What an item contains follows from its sender and its number.
"""

import contextlib
import faulthandler
import mmap
import os
import queue
import random
import signal
import struct
import sys
import time
import traceback
from dataclasses import dataclass

import numpy as np
from soak_board import send

import blockpool as bp

SENDERS = RECEIVERS = 4
MOST = 1 << 17  # items of a sender in an epoch

# Words of the log: what all are to do, and a row for each seat.
WORK, SENDERS_LEAVE, RECEIVERS_LEAVE = range(3)
WIDTH = 16
STARTED, PROGRESS = 0, 1
TRYING, SENT, PUTTING = 2, 3, 4  # of a sender: items begun and put; whether it is within put()
INSIDE, CURRENT, FINISHING = (
    2,
    3,
    4,
)  # of a receiver: whether it is within get(); which item it has; whether it finishes
RECEIVED, AGAIN, GIVEN_BACK, FORWARDED, LONGEST = 5, 6, 7, 8, 9  # LONGEST: how old an item was, nanoseconds
VERIFIED = 10  # arrays and blocks that were kept for a while
TOLD, LATE = 11, 12  # how many items came whose age is known, and how many of these lay there for longer than SOON
# Tables of one byte for each receiver, sender and item: how often it was received for the first time, received again
# (or by a call that does not tell), finished, and given back.
FIRST, MORE, DONE, BACK = range(4)
TABLES = 4

HEAD = struct.Struct("<QQ")
SOON = 0.01  # seconds
LONG = 2  # in place of 1: with an item of many runs, for which it takes long


class Damaged(Exception):
    """An item is not what was put."""


class Broken(Exception):
    """A promise of the queue is broken."""


class Log:
    """What happened, in shared memory."""

    def __init__(self, file=None):
        words = 8 * WIDTH * (1 + SENDERS + RECEIVERS)
        size = words + TABLES * RECEIVERS * SENDERS * MOST
        if file is None:
            file = os.memfd_create("queue-log")
            os.ftruncate(file, size)
        self.file = file
        self.memory = mmap.mmap(file, size)
        self.words = memoryview(self.memory)[:words].cast("Q")
        self.tables = np.frombuffer(self.memory, np.uint8, offset=words).reshape(TABLES, RECEIVERS, SENDERS, MOST)

    @property
    def phase(self):
        """What all are to do."""
        return self.words[0]

    @phase.setter
    def phase(self, value):
        self.words[0] = value

    def row(self, seat):
        """Return the words of a seat: senders first, then receivers."""
        start = WIDTH * (1 + seat)
        return self.words[start : start + WIDTH]


@dataclass
class Part:
    """What one process has to do."""

    seat: int
    seed: str
    pool: bp.Pool
    queue: object
    beside: object  # a second queue, through which receivers pass on what they have
    steady: list  # arrays that all have, and put again and again
    log: int
    trouble: int
    redeliver: bool
    pace: float  # seconds a sender sleeps between two items, in the mean; then receivers only wait


# --- items ---


def content(sender, sequence, nbytes):
    """Return so many bytes that no other item has."""
    unit = HEAD.pack(sender, sequence) + HEAD.pack(sequence * 0x9E3779B97F4A7C15 & (1 << 64) - 1, sender)
    return (unit * (nbytes // len(unit) + 1))[:nbytes]


def choice(sender, sequence):
    """Return a number below 100 that tells what the item is, and another for its size."""
    mixed = (sequence * 8 + sender + 1) * 0x9E3779B97F4A7C15 >> 20
    return mixed % 100, mixed // 100 % 1000


def make(pool, steady, sender, sequence):
    """Make an item; what it is made of in the pool is the caller's too."""
    kind, size = choice(sender, sequence)
    if kind < 40:
        return content(sender, sequence, 16 + size % 200)
    if kind < 45:  # too long for a message
        return content(sender, sequence, 4200 + size)
    if kind < 65:
        nbytes = 1 + size * 11
        block = pool.allocate(nbytes=max(nbytes, 16), timeout=60)
        block.buf[:] = content(sender, sequence, len(block.buf))
        return block
    if kind < 85:
        return make_array(pool, sender, sequence)
    if kind < 93:  # an array that is in other messages at the same time
        which = slice(size % len(steady), None if size % 4 else size % len(steady) + 1)  # one, or up to all
        return {"from": (sender, sequence), "steady": steady[which]}
    return (sender, sequence, "text" * (size % 30))


def make_array(pool, sender, sequence):
    """Make an item that is an array, of one or two dimensions, in the pool or to be copied into it."""
    kind, size = choice(sender, sequence)
    shape = (size + 8, 2) if size % 2 else 2 * size + 16
    array = pool.empty(shape, "u8", timeout=60) if kind < 80 else np.empty(shape, "u8")
    array.ravel()[:] = np.frombuffer(content(sender, sequence, array.nbytes), "u8")
    return array


def identify(item):
    """Return the sender and the number that an item says it has."""
    if isinstance(item, tuple):
        return item[:2]
    if isinstance(item, dict):
        return item["from"]
    if isinstance(item, bp.Block):
        return HEAD.unpack_from(item.buf)
    return HEAD.unpack_from(item.ravel() if isinstance(item, np.ndarray) else item)


def verify(item, steady):
    """Raise unless an item is what its sender made."""
    sender, sequence = identify(item)
    kind, size = choice(sender, sequence)
    if kind >= 93:
        whole = item == (sender, sequence, "text" * (size % 30))
    elif kind >= 85:
        number = size % len(steady)
        expected = steady[number : None if size % 4 else number + 1]
        whole = len(item["steady"]) == len(expected)
        whole = whole and all(a[0] == b[0] and a[-1] == b[-1] for a, b in zip(item["steady"], expected, strict=True))
    else:
        found = bytes(item.buf) if kind in range(45, 65) else item if kind < 45 else item.tobytes()
        whole = found == content(sender, sequence, len(found)) and len(found) >= 16
    if not whole:
        raise Damaged(f"item {sequence} of sender {sender}, kind {kind}: {str(item)[:300]}")


# --- processes ---


class Process:
    """The common part of sender and receiver."""

    def __init__(self, part):
        self.part = part
        self.pool, self.queue, self.steady = part.pool, part.queue, part.steady
        self.log = Log(part.log)
        self.row = self.log.row(part.seat)
        self.random = random.Random(part.seed)
        self.kept = []
        self.parent = os.getppid()
        self.row[STARTED] += 1

    def goes_on(self):
        """Whether the soak is still there; note that this process gets on."""
        self.row[PROGRESS] += 1
        return os.getppid() == self.parent

    def keep(self, item):
        """Keep some of what is in the pool, and check later that it has not changed."""
        if isinstance(item, (bp.Block, np.ndarray, dict)) and self.random.random() < 0.1:
            self.kept.append(item)
            if len(self.kept) > 3:
                verify(self.kept.pop(0), self.steady)
                self.row[VERIFIED] += 1


class Sender(Process):
    """Puts one numbered item after the other."""

    def run(self):
        """Work until told to leave."""
        me, row = self.part.seat, self.row
        while self.log.phase == WORK and row[SENT] < MOST and self.goes_on():
            sequence = row[SENT]
            try:
                item = make(self.pool, self.steady, me, sequence)
            except bp.PoolExhausted:
                continue
            row[TRYING] = sequence + 1
            row[PUTTING] = 1
            self.put(item)
            row[PUTTING] = 0
            row[SENT] = sequence + 1
            self.keep(item)
            del item
            self.look_beside()
            if self.part.pace:
                time.sleep(self.random.uniform(0, 2 * self.part.pace))

    def put(self, item):
        """Put the item, however often that takes."""
        while self.goes_on():
            try:
                way = self.random.random()
                if way < 0.2:
                    self.queue.put_nowait(item)
                else:
                    self.queue.put(item, timeout=0.001 if way < 0.4 else 1)
            except (queue.Full, bp.PoolExhausted):
                continue
            else:
                return

    def look_beside(self):
        """Take what receivers passed on."""
        if self.random.random() < 0.2:
            with contextlib.suppress(queue.Empty):
                verify(self.part.beside.get_nowait(), self.steady)


class GiveBack(Exception):
    """The receiver does not want the item."""


class Receiver(Process):
    """Receives, notes and verifies."""

    def __init__(self, part):
        super().__init__(part)
        self.number = part.seat - SENDERS
        self.last = [-1] * SENDERS
        self.tells = self.random.random() < 0.7  # whether it asks for what is known of a message
        self.tables = self.log.tables[:, self.number]

    def run(self):
        """Work until told to leave, and the queue is empty."""
        row = self.row
        while self.goes_on():
            phase = self.log.phase
            row[INSIDE] = 1
            try:
                got = self.receive()
            except queue.Empty:
                row[INSIDE] = 0
                if phase == RECEIVERS_LEAVE:
                    return
                continue
            item = got.item if self.tells else got
            sender, sequence = identify(item)
            if not (0 <= sender < SENDERS and 0 <= sequence < MOST):
                raise Damaged(f"an item of sender {sender}, number {sequence}: {str(item)[:300]}")
            row[CURRENT] = sender + 1 << 32 | sequence
            row[INSIDE] = 0
            self.note(got, sender, sequence)
            with contextlib.suppress(GiveBack):
                self.deal_with(got, item, sender, sequence)
            row[CURRENT] = 0
            self.keep(item)
            del got, item

    def receive(self):
        """Receive an item, in some way."""
        way = self.random.random()
        if self.part.pace and self.log.phase == WORK:
            arguments = True, 5
        elif way < 0.2 and self.log.phase == WORK:
            arguments = False, None
        else:
            arguments = True, 0.01 if way < 0.4 else 0.3
        return self.queue.receive(*arguments) if self.tells else self.queue.get(*arguments)

    def note(self, got, sender, sequence):
        """Note that the item came, and see whether it may."""
        row, tables = self.row, self.log.tables
        row[RECEIVED] += 1
        if tables[DONE, :, sender, sequence].any():
            raise Broken(f"item {sequence} of sender {sender} came again after it was done")
        if self.tells:
            age = got.age
            row[LONGEST] = max(row[LONGEST], int(age * 1e9))
            row[TOLD] += 1
            row[LATE] += age > SOON
        again = got.again if self.tells else None  # which get() does not tell
        if again and not self.part.redeliver:
            raise Broken(f"item {sequence} of sender {sender} came again, although the queue does not redeliver")
        if again or (again is None and self.part.redeliver):
            row[AGAIN] += bool(again)
            self.tables[MORE, sender, sequence] += 1
            return
        if tables[FIRST, :, sender, sequence].any():
            raise Broken(f"item {sequence} of sender {sender} came again, and does not say so")
        if sequence <= self.last[sender]:
            raise Broken(f"item {sequence} of sender {sender} came after item {self.last[sender]}")
        self.last[sender] = sequence
        self.tables[FIRST, sender, sequence] += 1

    def deal_with(self, got, item, sender, sequence):
        """Verify an item, and finish it, or give it back."""
        verify(item, self.steady)
        if self.random.random() < 0.03:
            with contextlib.suppress(queue.Full, bp.PoolExhausted):
                self.part.beside.put_nowait(item)
                self.row[FORWARDED] += 1
        if self.random.random() < 0.05:
            time.sleep(self.random.random() * 0.002)
        if self.part.redeliver and self.tells and self.random.random() < 0.02:
            self.tables[BACK, sender, sequence] += 1
            self.row[GIVEN_BACK] += 1
            with got:
                raise GiveBack
        self.row[FINISHING] = LONG if isinstance(item, dict) and len(item["steady"]) > 30 else 1
        if self.part.redeliver:
            if self.tells:
                got.done()
            else:
                self.queue.task_done()
        self.tables[DONE, sender, sequence] += 1
        self.row[FINISHING] = 0


def run(part):
    """Be one process; complain if something is wrong; return the exit status."""
    faulthandler.register(signal.SIGUSR1)
    os.nice(5)  # or the soak would seldom get to kill one
    try:
        (Sender if part.seat < SENDERS else Receiver)(part).run()
    except BaseException as error:  # noqa: BLE001 - the process ends here
        kind = "damaged" if isinstance(error, Damaged) else "broken" if isinstance(error, Broken) else "crash"
        text = f"{kind} in seat {part.seat}: {error}\n{traceback.format_exc()}"
        send((0, part.trouble), text.encode()[:4000])
        return 1
    return 0


def run_as_program(part, log, trouble):
    """Be one process that was started as a new program, with descriptors that were sent to it."""
    part.log, part.trouble = log.number, trouble.number
    sys.exit(run(part))
