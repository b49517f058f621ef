"""A worker of a soak: allocates, writes, verifies, shares and frees, in any order, until it is killed."""

import atexit
import contextlib
import faulthandler
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
import warnings

from soak_board import (
    ALLOCATED,
    ANSWER,
    CALM,
    DAMAGED,
    FORKS,
    HANDLE,
    HELD,
    KILLS,
    LEAVE,
    LOST,
    MESSAGE,
    PHASE,
    PROGRESS,
    REDEEMED,
    RUN,
    STALE,
    TICKET,
    UNSENT,
    VERIFIED,
    WAITS,
    Board,
    complain,
    difference,
    pattern,
    receive,
    send,
)

import blockpool as bp

MOST_HELD = 40
MOST_CHILDREN = 2
BUSY = 0.4  # the share of workers that have a second thread


class Held:
    """A block, and what it must contain. `named` says how it may be passed on: by its handle, or by tickets.

    Redeeming a handle uses up a ticket of the run if one is in flight, so if runs were passed on both ways, a stale
    ticket would prove nothing.
    """

    __slots__ = ("block", "named", "nbytes", "owner", "sequence")

    def __init__(self, block, owner, sequence, nbytes, named):
        self.block, self.owner, self.sequence, self.nbytes, self.named = (
            block,
            owner,
            sequence,
            nbytes,
            named,
        )


class Bystander(threading.Thread):
    """A second thread, which forks, sweeps, allocates and frees while its worker is at work."""

    def __init__(self, worker):
        super().__init__(daemon=True)
        self.worker = worker
        self.random = random.Random(f"{worker.seed}/beside")
        self.still = threading.Lock()  # held during an act

    def run(self):
        """Do one random act after the other."""
        ways = [self.fork] * 4 + [bp.sweep] + [self.write] * 3
        while True:
            with self.still:
                if self.worker.board.words[PHASE] == RUN:
                    self.random.choice(ways)()
            time.sleep(self.random.expovariate(1 / 0.003))

    def write(self, times=10):
        """Write into a block, and check what was written."""
        with contextlib.suppress(bp.PoolExhausted):
            block = self.worker.pool.allocate(blocks=self.random.choice((1, 4)))
            memory = block.buf
            for value in range(times):
                content = bytes([value & 255]) * len(memory)
                memory[:] = content
                if memory != content:
                    self.worker.row[DAMAGED] += 1

    def fork(self):
        """Fork a child that does something, ends or kills itself, and wait for it."""
        way = self.random.choice(("end", "sweep", "write", "exit", "kill"))
        child = os.fork()
        if child == 0:
            guarded(self.worker.spec, lambda: self.be_child(way))
        os.waitpid(child, 0)

    def be_child(self, way):
        """Do in the child what was chosen."""
        if way == "sweep":
            bp.sweep()
        elif way == "write":
            self.write()
        elif way == "exit":  # while a thread writes
            threading.Thread(target=self.write, args=(1_000_000,), daemon=True).start()
            time.sleep(self.random.random() * 0.005)
        elif way == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


class Worker:
    """A process that uses the pool; `slot` is its place in the group, which a successor takes over."""

    def __init__(self, spec, pool, slot, seed, depth=0):
        self.spec, self.pool, self.slot, self.seed, self.depth = spec, pool, slot, seed, depth
        self.board = Board(spec.workers, spec.board)
        self.row = self.board.row(slot if depth == 0 else spec.workers + slot)
        self.random = random.Random(seed)
        self.owner = self.random.getrandbits(63)
        self.sequence = 0
        self.held = []
        self.children = []
        self.forked = 0
        self.most_held = MOST_HELD
        self.bystander = Bystander(self)
        self.ways = [self.take] * 30 + [self.give_back] * 26 + [self.receive] * 20 + [self.share] * 14
        self.calm_ways = self.ways = self.ways + [self.hammer] * 8
        self.ways = self.ways + [self.look] * 2
        self.ways += [self.fork, self.wait, self.end_child] * (3 if depth == 0 else 0)

    # ---- the life of a worker --------------------------------------------------------------------

    def live(self):
        """Work; stand still and answer when told to; return when told to leave."""
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and forks: that is what is done
        if self.random.random() < BUSY:
            self.bystander.start()
        answered = 0
        while True:
            self.row[PROGRESS] += 1
            phase = self.board.words[PHASE]
            if phase == RUN:
                self.random.choice(self.ways)()
            elif phase == CALM:
                while self.children:
                    self.end_child(kill=False)
                self.random.choice(self.calm_ways)()
            elif phase == LEAVE:
                self.settle()
                while self.held:
                    self.give_back()
                return
            elif phase != answered:
                self.settle()
                self.answer(phase)
                answered = phase
            else:
                time.sleep(0.001)

    def settle(self):
        """Wait for all children, also those of the second thread, and verify everything that is held."""
        with self.bystander.still:
            pass  # it is at no act of before, and begins none in this phase
        while self.children:
            self.end_child(kill=False)
        for held in self.held:
            self.verify("at rest", held)

    def answer(self, phase):
        """Report what is held."""
        while not send(self.spec.answers, self.report(phase)):
            time.sleep(0.001)

    def report(self, phase):
        """Return what is held, as it is reported."""
        names = {(held.block.index, held.block.blocks, held.block.handle.generation) for held in self.held}
        return ANSWER.pack(os.getpid(), phase) + b"".join(HELD.pack(*name) for name in sorted(names))

    def verify(self, where, held):
        """Check that a block contains its pattern."""
        if difference(self.spec, where, held.block, pattern(held.owner, held.sequence, held.nbytes)):
            self.row[DAMAGED] += 1
        self.row[VERIFIED] += held.block.blocks

    # ---- what it does ----------------------------------------------------------------------------

    def take(self, timeout=0):
        """Allocate in a random way, and write the pattern."""
        if len(self.held) >= self.most_held:
            self.give_back()
            return
        way = self.random.random()
        try:
            if way < 0.4:
                blocks = [self.pool.allocate(timeout=timeout)]
            elif way < 0.7:
                blocks = [self.pool.allocate(blocks=self.random.choice((1, 2, 3, 5, 8)), timeout=timeout)]
            elif way < 0.9:
                nbytes = self.random.randint(1, 6 * self.spec.block_size)
                blocks = [self.pool.allocate(nbytes=nbytes, timeout=timeout)]
            else:
                blocks = self.pool.allocate_many(self.random.randint(2, 5), timeout=timeout)
        except bp.PoolExhausted:
            for _ in range(3):
                self.give_back()
            return
        named = HANDLE if self.random.random() < 0.2 else TICKET
        for block in blocks:
            self.sequence += 1
            held = Held(block, self.owner, self.sequence, block.nbytes, named)
            block.buf[:] = pattern(held.owner, held.sequence, held.nbytes)
            self.row[ALLOCATED] += 1
            self.held.append(held)

    def wait(self):
        """Allocate, waiting a little for room if there is none."""
        self.row[WAITS] += 1
        self.take(timeout=self.random.choice((0.001, 0.01, 0.05)))

    def give_back(self):
        """Verify a block, and free, release or drop it."""
        if not self.held:
            return
        i = self.random.randrange(len(self.held))
        self.held[i], self.held[-1] = self.held[-1], self.held[i]
        held = self.held.pop()
        self.verify("before it was dropped", held)
        way = self.random.random()
        if way < 0.3:
            try:
                held.block.free()
            except bp.BlockInUse:
                held.block.release()
        elif way < 0.6:
            held.block.release()

    def hammer(self):
        """Allocate and free as fast as possible, so that a kill is likely to come in the middle of it."""
        blocks = self.random.choice((1, 1, 2, 7, 20, 60))
        with contextlib.suppress(bp.PoolExhausted):
            for _ in range(40):
                self.pool.allocate(blocks=blocks)

    def look(self):
        """Recover, or ask for statistics or runs, while others are at work."""
        self.random.choice((self.pool.recover, self.pool.stats, self.pool.runs))()

    # ---- passing on ------------------------------------------------------------------------------

    def share(self):
        """Send a block to one or several workers, perhaps to this one."""
        if not self.held:
            return
        held = self.random.choice(self.held)
        receivers = self.random.sample(range(self.spec.workers), self.random.choice((1, 1, 1, 2, 3)))
        name = held.block.share(len(receivers)) if held.named == TICKET else held.block.handle
        packet = MESSAGE.pack(held.named, held.owner, held.sequence, held.nbytes) + bytes(name)
        for receiver in receivers:
            if not send(self.spec.inboxes[receiver], packet):
                self.row[UNSENT] += 1
                if held.named == TICKET:
                    bp.redeem(name)  # take the reference back

    def receive(self):
        """Redeem what arrived, and verify it."""
        for _ in range(self.random.randint(1, 6)):
            packet = receive(self.spec.inboxes[self.slot])
            if packet is None:
                return
            kind, owner, sequence, nbytes = MESSAGE.unpack_from(packet)
            text = packet[MESSAGE.size :]
            try:
                block = bp.redeem(text)
            except bp.StaleHandle:
                self.row[STALE] += 1
                if kind == TICKET:  # a reference was in flight, and yet the run is gone
                    self.row[LOST] += 1
                    complain(self.spec, "lost", f"{text.decode()} is stale, though it was not redeemed")
                continue
            self.row[REDEEMED] += 1
            held = Held(block, owner, sequence, nbytes, kind)
            self.verify("as redeemed", held)
            if len(self.held) < self.most_held and self.random.random() < 0.5:
                self.held.append(held)

    # ---- children --------------------------------------------------------------------------------

    def fork(self):
        """Fork a child that inherits all that this process holds."""
        if len(self.children) >= MOST_CHILDREN:
            self.end_child()
            return
        self.forked += 1
        child = os.fork()
        if child:
            self.children.append(child)
            self.row[FORKS] += 1
            if self.random.random() < 0.3:  # killed before it did much
                time.sleep(self.random.expovariate(1 / 0.0005))
                self.end_child(kill=True)
            return
        guarded(self.spec, self.inherited)

    def inherited(self):
        """Be the child: verify what was inherited, work for a while, and end."""
        child = Worker(self.spec, self.pool, self.slot, f"{self.seed}/{self.forked}", self.depth + 1)
        child.held = self.held
        for held in child.held:
            child.verify("inherited", held)
        for _ in range(child.random.randint(0, 60)):
            if child.board.words[PHASE] != RUN:
                break
            child.random.choice(child.ways)()

    def end_child(self, *, kill=None):
        """Wait for the newest child, or kill it."""
        if not self.children:
            return
        child = self.children.pop()
        if self.random.random() < 0.5 if kill is None else kill:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == -signal.SIGKILL:
            self.row[KILLS] += 1


def guarded(spec, work):
    """Do the work of a forked process, report an unexpected error, and end the process, with or without atexit."""
    status = 0
    try:
        work()
        if random.random() < 0.5:  # as the interpreter ends; else it leaves behind what it has
            atexit._run_exitfuncs()
    except BaseException:  # noqa: BLE001 - the process ends here
        complain(spec, "crash", traceback.format_exc())
        status = 1
    os._exit(status)


def main():
    """Start as a new program, which inherits only descriptors; the arguments say the rest."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    spec, pool, slot, seed = pickle.loads(bytes.fromhex(sys.argv[1]))
    guarded(spec, Worker(spec, pool, slot, seed).live)


if __name__ == "__main__":
    main()
