"""The warden of one pool of a soak: starts and kills workers, and compares what survivors report with the pool.

All workers are forked from this process, which holds no block while it forks.
"""

import faulthandler
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import soak_worker
from soak_board import (
    ANSWER,
    CALM,
    DAMAGED,
    DROPPED,
    EPOCHS,
    FINISH,
    FORKS,
    HEALED,
    HELD,
    KILLS,
    LEAVE,
    LOST,
    MESSAGE,
    PHASE,
    PHASES,
    PROGRESS,
    RECOVERED,
    REDEEMED,
    RUN,
    STALE,
    STOPS,
    TICKET,
    VERIFIED,
    Board,
    complain,
    difference,
    pattern,
    receive,
)

import blockpool as bp

PATIENCE = 60.0  # seconds without progress after which a process counts as hung
SPAWNED = 0.04  # the share of workers that start as new programs
LONGEST_STOP = 1.0


class Hang(Exception):
    """A process makes no progress."""


class Member:
    """What the warden knows of a worker."""

    def __init__(self, process, slot, popen=None):
        self.process, self.slot, self.popen = process, slot, popen
        self.progress, self.seen = -1, time.monotonic()
        self.stopped_until = 0.0


class Warden:
    """The process that looks after one pool and its workers."""

    def __init__(self, spec, incarnation):
        self.spec = spec
        self.board = Board(spec.workers, spec.board)
        self.row = self.board.warden
        self.random = random.Random(f"{spec.seed}/{incarnation}")
        self.members = {}
        self.started = 0
        self.incarnation = incarnation

    def run(self):
        """Run one epoch after the other until told to finish."""
        self.open()
        while not self.board.words[FINISH]:
            self.epoch()
            last = self.random.random() < 0.5
            if last:
                self.recover_at_work()
            self.audit(self.stand_still(die=not last))
        self.leave()

    # ---- the pool --------------------------------------------------------------------------------

    def open(self):
        """Create the pool, or attach the permanent one: no process holds a block, but tickets may be in flight."""
        spec = self.spec
        self.pool = bp.Pool.create(
            spec.block_size,
            spec.blocks,
            name=spec.name,
            permanent=spec.permanent,
            exist_ok=spec.permanent,
        )
        if spec.permanent:
            self.audit({})
            return
        for packet in self.mail():  # of a pool that is no more
            try:
                bp.redeem(packet[MESSAGE.size :])
            except bp.PoolNotFound:
                self.row[STALE] += 1
            else:
                self.wrong(
                    "damaged",
                    DAMAGED,
                    1,
                    "a ticket of the pool that was killed is valid in the new one",
                )
        self.audit({})

    # ---- workers ---------------------------------------------------------------------------------

    def start(self, slot):
        """Start a worker; often kill it at once, at a random moment, and start another."""
        while True:
            self.started += 1
            seed = f"{self.spec.seed}/{self.incarnation}/{self.started}"
            spawned = self.random.random() < SPAWNED
            member = self.spawn(slot, seed) if spawned else self.fork(slot, seed)
            self.row[FORKS] += 1
            if self.random.random() >= 0.35:
                self.members[slot] = member
                return
            time.sleep(self.random.expovariate(1 / (0.05 if spawned else self.random.choice((0.0003, 0.003)))))
            self.kill(member)

    def fork(self, slot, seed):
        """Start a worker by fork."""
        process = os.fork()
        if process == 0:
            soak_worker.guarded(self.spec, lambda: soak_worker.Worker(self.spec, self.pool, slot, seed).live())
        return Member(process, slot)

    def spawn(self, slot, seed):
        """Start a worker as a new program, which attaches."""
        spec = self.spec
        pipes = [*spec.inboxes, spec.answers, spec.trouble]
        popen = subprocess.Popen(
            [
                sys.executable,
                str(Path(__file__).with_name("soak_worker.py")),
                pickle.dumps((spec, self.pool, slot, seed)).hex(),
            ],
            pass_fds=[spec.board, *(end for pipe in pipes for end in pipe)],
        )
        return Member(popen.pid, slot, popen)

    def kill(self, member):
        """Kill a worker, and wait until it has ended."""
        os.kill(member.process, signal.SIGKILL)
        self.reaped(member, os.waitpid(member.process, 0)[1])

    def reaped(self, member, status):
        """Count how a worker ended; any end but a kill by the warden, or a good one, is wrong."""
        status = os.waitstatus_to_exitcode(status)
        if member.popen is not None:
            member.popen.returncode = status
        if self.members.get(member.slot) is member:
            del self.members[member.slot]
        self.row[KILLS] += status == -signal.SIGKILL
        if status not in (-signal.SIGKILL, 0):
            complain(self.spec, "crash", f"worker {member.process} ended with status {status}")

    def epoch(self):
        """Kill, stop and replace workers for about a second."""
        self.board.words[PHASE] = RUN
        until = time.monotonic() + self.random.uniform(0.4, 1.6)
        while time.monotonic() < until:
            for slot in range(self.spec.workers):
                if slot not in self.members:
                    self.start(slot)
            time.sleep(self.random.expovariate(1 / self.spec.kill_every))
            member = self.random.choice(list(self.members.values()))
            if self.random.random() < 0.05:
                self.stop(member)
            else:
                self.kill(member)
            self.watch()
        for member in list(self.members.values()):
            self.go_on(member, at=float("inf"))

    def stop(self, member):
        """Stop a worker by a signal, until its time is over or it is killed."""
        os.kill(member.process, signal.SIGSTOP)
        self.row[STOPS] += 1
        member.stopped_until = time.monotonic() + min(self.random.expovariate(1 / 0.05), LONGEST_STOP)

    def go_on(self, member, at):
        """Continue a stopped worker if its time is over."""
        if member.stopped_until and member.stopped_until <= at:
            os.kill(member.process, signal.SIGCONT)
            member.stopped_until = 0.0
            member.seen = time.monotonic()

    def watch(self):
        """Reap what ended, and check that every worker makes progress."""
        now = time.monotonic()
        self.row[PROGRESS] += 1
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if process == 0:
                break
            member = next((m for m in self.members.values() if m.process == process), None)
            if member is not None:
                self.reaped(member, status)
                complain(self.spec, "crash", f"worker {process} ended by itself")
            elif os.waitstatus_to_exitcode(status) == -signal.SIGKILL:  # a child whose parent was killed
                self.row[KILLS] += 1
        for member in list(self.members.values()):
            self.go_on(member, now)
            progress = self.board.row(member.slot)[PROGRESS]
            if progress != member.progress or member.stopped_until:
                member.progress, member.seen = progress, now
            elif now - member.seen > PATIENCE:
                raise Hang(f"worker {member.process} gets nowhere for {PATIENCE:g} s")

    # ---- the audit -------------------------------------------------------------------------------

    def recover_at_work(self):
        """Kill one more worker and recover it while the others are at work.

        No worker is killed after that: each recovery mends what the one before may have left wrong, so the audit sees
        only what the last one did.
        """
        self.board.words[PHASE] = CALM
        began = time.monotonic()
        while self.orphans() or any(descendants(each.process) for each in self.members.values()):
            self.watch()
            time.sleep(0.001)
            if time.monotonic() - began > PATIENCE:
                raise Hang("children get nowhere")
        if self.members:
            self.kill(self.random.choice(list(self.members.values())))
        self.row[RECOVERED] += self.pool.recover().processes

    def stand_still(self, *, die):
        """Have all workers stand still; return what each holds. With `die`, kill some of them after that."""
        self.board.words[PHASES] += 1  # a new number, even if the group before this one died while answering
        phase = self.board.words[PHASE] = CALM + self.board.words[PHASES]
        answers = {}
        began = time.monotonic()
        while set(answers) != {member.process for member in self.members.values()}:
            self.watch()
            packet = receive(self.spec.answers)
            if packet is None:
                time.sleep(0.001)
                if time.monotonic() - began > 3 * PATIENCE:
                    raise Hang(f"{set(answers)} answered, of {[member.process for member in self.members.values()]}")
                continue
            process, answered = ANSWER.unpack_from(packet)
            if answered == phase:
                answers[process] = set(HELD.iter_unpack(packet[ANSWER.size :]))
        while self.orphans():
            self.watch()
            time.sleep(0.001)
            if time.monotonic() - began > PATIENCE:
                raise Hang(f"children of killed workers get nowhere: {self.orphans()}")
        while die and self.members and self.random.random() < 0.4:
            member = self.random.choice(list(self.members.values()))
            answers.pop(member.process)
            self.kill(member)
        return answers

    def orphans(self):
        """Return the processes that became the warden's children when their parent was killed."""
        return descendants(os.getpid()) - {member.process for member in self.members.values()}

    def mail(self):
        """Return all packets in the inboxes."""
        found = []
        for inbox in self.spec.inboxes:
            while (packet := receive(inbox)) is not None:
                found.append(packet)
        return found

    def wrong(self, kind, column, count, text):
        """Count a fault, and report it."""
        self.row[column] += count
        complain(self.spec, kind, text)

    def audit(self, answers):
        """Check, with all workers at rest, that tickets are valid, and that the pool and its users agree."""
        self.row[PROGRESS] += 1
        expected = {}
        for process, names in answers.items():
            for name in names:
                expected.setdefault(name, set()).add(process)
        mail = self.mail()
        self.random.shuffle(mail)
        half = self.random.randint(0, len(mail))
        await_dead(self.pool, 1 + len(answers))
        for packet in mail[:half]:
            self.redeem(packet, expected, dropped=False)
        recovered = self.pool.recover(tickets_older_than=0)
        self.row[DROPPED] += recovered.tickets
        self.row[RECOVERED] += recovered.processes
        for packet in mail[half:]:
            self.redeem(packet, expected, dropped=True)
        try:
            self.row[HEALED] += self.pool.check().healed
        except bp.PoolCorrupt as error:
            self.wrong("lost", LOST, 1, str(error))
        self.compare(expected, set(answers))
        self.row[EPOCHS] += 1

    def redeem(self, packet, expected, *, dropped):
        """Redeem an unread message; if its tickets were dropped, only a run that a worker holds must still be there."""
        kind, owner, sequence, nbytes = MESSAGE.unpack_from(packet)
        text = packet[MESSAGE.size :]
        try:
            block = bp.redeem(text)
        except bp.StaleHandle:
            self.row[STALE] += 1
            handle = bp.Handle.parse(text)
            held = any((index, gen) == (handle.index, handle.generation) for index, _, gen in expected)
            if held or (kind == TICKET and not dropped):
                self.wrong(
                    "lost",
                    LOST,
                    1,
                    f"{text.decode()} is stale; held: {held}, in flight: {not dropped}",
                )
            return
        self.row[REDEEMED] += 1
        self.row[VERIFIED] += block.blocks
        if difference(self.spec, "from an inbox", block, pattern(owner, sequence, nbytes)):
            self.row[DAMAGED] += 1

    def compare(self, expected, processes):
        """Compare what the pool reports with what its users report."""
        stats = self.pool.stats()
        held = sum(blocks for _, blocks, _ in expected)
        if stats.allocated != held:
            count = abs(stats.allocated - held)
            self.wrong("lost", LOST, count, f"{stats.allocated} blocks are allocated, but {held} are held")
        if stats.tickets or stats.processes != 1 + len(processes):
            said = f"{stats.tickets} tickets and {stats.processes} processes are left, of {1 + len(processes)}"
            self.wrong("lost", LOST, 1, said)
        theirs = {(index, blocks): holders for (index, blocks, _), holders in expected.items()}
        ours = {(run.index, run.blocks): set(run.holders) for run in self.pool.runs()}
        if ours != theirs:
            runs = sorted(ours.keys() | theirs.keys())
            odd = [f"{run}: {ours.get(run)}, {theirs.get(run)}" for run in runs if ours.get(run) != theirs.get(run)]
            self.wrong("lost", LOST, 1, f"holders by the pool, and by themselves, differ: {odd[:5]}")
        if stats.free:
            try:
                self.pool.allocate_many(stats.free)
            except bp.PoolExhausted as error:
                self.wrong("lost", LOST, 1, f"{stats.free} blocks are free, and cannot be had: {error}")

    def leave(self):
        """Have all workers end by themselves, and check that nothing is left."""
        self.board.words[PHASE] = LEAVE
        began = time.monotonic()
        for member in list(self.members.values()):
            while True:
                process, status = os.waitpid(member.process, os.WNOHANG)
                if process:
                    break
                self.row[PROGRESS] += 1
                time.sleep(0.001)
                if time.monotonic() - began > PATIENCE:
                    raise Hang(f"worker {member.process} does not leave")
            self.reaped(member, status)
        self.audit({})
        if self.spec.permanent:
            self.pool.unlink()
        self.pool.close()


def await_dead(pool, living):
    """Wait until no more processes than the living count in a pool: the others' memory may still be there for a moment.

    See tests/support/deaths.py. After PATIENCE it goes on, and its caller complains of what it finds.
    """
    until = time.monotonic() + PATIENCE
    while pool.stats().processes > living and time.monotonic() < until:
        time.sleep(0.001)


def descendants(process):
    """Return the children of a process."""
    try:
        return set(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))
    except FileNotFoundError:
        return set()


def run(spec, incarnation):
    """Be the warden; return the exit status."""
    os.setpgid(0, 0)
    become_subreaper()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    spec = replace(spec)
    try:
        Warden(spec, incarnation).run()
    except Hang as error:
        os.killpg(0, signal.SIGUSR1)  # each writes its stack
        time.sleep(0.5)
        complain(spec, "hang", str(error))
        return 1
    return 0


def become_subreaper():
    """Make orphaned descendants of this process its children."""
    import ctypes

    assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
