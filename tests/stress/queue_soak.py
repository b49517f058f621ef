"""Queue soak: senders and receivers of one queue are killed and stopped at random; what it promises must hold.

    python tests/stress/queue_soak.py --kills 10000 --redeliver on

Four senders put numbered items: bytes, blocks, arrays, objects with arrays that are in many messages at once. Four
receivers verify them, keep some, and pass some on through a second queue. Each says in a log what it is about to do
before it does it. This process kills one after the other, some in their first moments, some while they are stopped,
and starts another in its seat, most by fork, some as new programs. Now and then it stops a sender within `put`, or a
receiver within `get`, and sees that all others go on. After an epoch, when all have left, the log must show that

- each item that was put was received once: it is missing only if it was dropped for want of room (as the queue counts),
  or, without redelivery, if its receiver died within `get`, one item for each such death;
- it was received again only if the queue redelivers and a receiver died with it or gave it back, and not after one was
  done with it;
- each receiver got the items of a sender in their order, apart from those received again;

and the pool, after `recover`, holds this process's arrays, unchanged, and nothing else; its audit is clean, and as many
messages fit in the room for queues as at the start. In the first epoch no process is killed, and none of what is
allowed after a death is.

    python tests/stress/queue_soak.py --idle-kills 1000

kills receivers that sleep within `get`, while the others work; items must not lie unreceived for long.

Exit status 0: all of this held. The seed repeats the choices, not the timing.
"""

import argparse
import contextlib
import faulthandler
import json
import multiprocessing
import os
import queue
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import queue_peer
from queue_peer import (
    AGAIN,
    BACK,
    CURRENT,
    DONE,
    FINISHING,
    FIRST,
    FORWARDED,
    GIVEN_BACK,
    INSIDE,
    LATE,
    LONGEST,
    MORE,
    MOST,
    PUTTING,
    RECEIVED,
    RECEIVERS,
    RECEIVERS_LEAVE,
    SENDERS,
    SENDERS_LEAVE,
    SENT,
    STARTED,
    TOLD,
    TRYING,
    VERIFIED,
    Log,
    Part,
)
from soak_board import Descriptor, add_see, is_unseen, packet_pipe, receive

import blockpool as bp

BLOCKS = 400  # of 4 KiB
STEADY = 100  # arrays that are in many messages at a time: a message that carries so many takes long to make and to end
EPOCH_KILLS = 200
LEAST_KILLS = 10  # in an epoch
CALM_SECONDS = 1.0
SPAWNED = 0.01  # the share of processes that start as new programs
PATIENCE = 60  # seconds without progress after which a process counts as hung
IDLE_PACE = 0.002  # seconds between two items of a sender, while idle receivers are killed
DROPPING_PACE = 0.0003  # the same where messages are dropped for want of room: most should not be
LATEST = 30.0  # seconds that an item may lie there while receivers sleep; a busy machine stops all for some


class Trouble(Exception):
    """Something is wrong."""


class Hang(Trouble):
    """Something gets nowhere."""


class Forked:
    """A process that was forked."""

    def __init__(self, part):
        sys.stdout.flush()
        self.code = None
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(queue_peer.run(part))

    def ended(self, *, wait=False):
        """Return the exit code if the process has ended."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, 0 if wait else os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code


class Spawned:
    """A process that was started as a new program, which receives pool and queues."""

    def __init__(self, part):
        context = multiprocessing.get_context("spawn")
        log, trouble = Descriptor(part.log), Descriptor(part.trouble)
        self.process = context.Process(target=queue_peer.run_as_program, args=(part, log, trouble))
        self.process.start()
        self.pid = self.process.pid

    def ended(self, *, wait=False):
        """Return the exit code if the process has ended."""
        if wait:
            self.process.join()
        return self.process.exitcode


class Epoch:
    """Senders and receivers, one queue, and what happens to them."""

    def __init__(self, soak, *, calm):
        self.soak, self.random, self.counts, self.calm = soak, soak.random, soak.counts, calm
        self.log = Log()
        self.rows = [self.log.row(seat) for seat in range(SENDERS + RECEIVERS)]
        overflow = self.random.choice(("wait", "wait", "wait", "drop_oldest", "drop_newest"))
        if calm or soak.options.idle_kills:
            overflow = "wait"
        capacity = self.random.choice((1, 3, 8, 64))
        named = self.random.random() < 0.5
        self.queue = soak.pool.queue(
            "soak" if named else None,
            capacity,
            overflow=overflow,
            redeliver=soak.redeliver,
            spin=self.random.choice((None, 0, 0.0005)),
        )
        self.beside = soak.pool.queue(capacity=16, redeliver=False)
        self.pace = IDLE_PACE if soak.options.idle_kills else 0 if overflow == "wait" else DROPPING_PACE
        self.title = f"epoch {self.counts['epochs']}: capacity {capacity}, {overflow}, redeliver={soak.redeliver}"
        self.members = [None] * (SENDERS + RECEIVERS)
        self.began = [0] * (SENDERS + RECEIVERS)  # how often one had started in the seat when this one was to
        self.stopped = {}  # seats, until when
        self.unsure = set()  # items whose sender died, perhaps before they were put
        self.dead_with = Counter()  # items whose receiver died with them
        self.dead_finishing = set()  # those whose receiver died when it may have been done
        self.dead_inside = self.dead_putting = 0
        self.started = 0

    # --- processes ---

    def start(self, seat):
        """Start a process in a seat."""
        self.started += 1
        self.began[seat] = self.rows[seat][STARTED]
        part = Part(
            seat,
            f"{self.soak.options.seed}/{self.counts['epochs']}/{self.started}",
            self.soak.pool,
            self.queue,
            self.beside,
            self.soak.steady,
            self.log.file,
            self.soak.trouble[1],
            self.soak.redeliver,
            self.pace,
        )
        spawned = self.random.random() < SPAWNED
        self.counts["programs"] += spawned
        self.members[seat] = (Spawned if spawned else Forked)(part)

    def kill(self, seat):
        """Kill the process in a seat, note what it was doing, and start another."""
        os.kill(self.members[seat].pid, signal.SIGKILL)
        code = self.members[seat].ended(wait=True)
        self.stopped.pop(seat, None)
        if code != -signal.SIGKILL:
            raise Trouble(f"crash: the process in seat {seat} ended with exit code {code}")
        row = self.rows[seat]
        self.counts["kills"] += 1
        if seat < SENDERS:
            self.dead_putting += row[PUTTING]
            row[PUTTING] = 0
            if row[TRYING] > row[SENT]:
                self.unsure.add((seat, row[SENT]))
                row[SENT] = row[TRYING]
        elif row[CURRENT]:
            item = (row[CURRENT] >> 32) - 1, row[CURRENT] & 0xFFFFFFFF
            self.dead_with[item] += 1
            if row[FINISHING]:
                self.dead_finishing.add(item)
        else:
            self.dead_inside += row[INSIDE]
        if seat >= SENDERS:
            row[CURRENT] = row[FINISHING] = row[INSIDE] = 0
        self.start(seat)

    def stop(self, seat, seconds):
        """Stop the process in a seat for so long."""
        os.kill(self.members[seat].pid, signal.SIGSTOP)
        self.stopped[seat] = time.monotonic() + seconds
        self.counts["stops"] += 1

    def go_on(self, seat):
        """Have a stopped process go on."""
        os.kill(self.members[seat].pid, signal.SIGCONT)
        del self.stopped[seat]

    def watch(self):
        """See that nobody complains or ended by itself; have the stopped go on whose time has come."""
        for seat, until in list(self.stopped.items()):
            if time.monotonic() > until:
                self.go_on(seat)
        if (packet := receive(self.soak.trouble)) is not None:
            raise Trouble(packet.decode(errors="replace"))
        if self.log.phase == queue_peer.WORK:
            for seat, member in enumerate(self.members):
                if self.rows[seat][SENT] < MOST and (code := member.ended()) is not None:
                    raise Trouble(f"crash: the process in seat {seat} ended with exit code {code}")

    def progress(self):
        """Return what each process has done, by seat: items put or received."""
        return [row[SENT] if seat < SENDERS else row[RECEIVED] for seat, row in enumerate(self.rows)]

    def await_(self, condition, what):
        """Wait until the condition holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            time.sleep(0.001)
            self.watch()
            if time.monotonic() > deadline:
                raise Hang(f"hang: {what}")

    # --- what happens ---

    def run(self, kills, end):
        """Kill so many, or until the time is up; then let all leave."""
        for seat in range(SENDERS + RECEIVERS):
            self.start(seat)
        try:
            if self.calm:
                until = time.monotonic() + CALM_SECONDS
                self.await_(lambda: time.monotonic() > until, "")
            elif self.soak.options.idle_kills:
                self.kill_idle(kills, end)
            else:
                self.kill_at_random(kills, end)
            self.leave()
        except Hang:
            for member in self.members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGCONT)
                    os.kill(member.pid, signal.SIGUSR1)  # tells where it is
            time.sleep(0.5)
            raise
        finally:
            for member in self.members:
                if member is not None and member.ended() is None:
                    os.kill(member.pid, signal.SIGKILL)
                    member.ended(wait=True)

    def kill_at_random(self, kills, end):
        """Kill and stop processes."""
        before = self.counts["kills"]
        while self.has_room() and self.needs_more(self.counts["kills"] - before, kills, end):
            time.sleep(self.random.expovariate(1 / self.random.choice((0.0003, 0.002, 0.008))))
            self.watch()
            seat = self.random.randrange(SENDERS + RECEIVERS)
            starting = self.rows[seat][STARTED] == self.began[seat]
            if starting and isinstance(self.members[seat], Spawned) and self.random.random() < 0.98:
                continue  # or hardly any would get beyond its start
            way = self.random.random()
            if way < 0.03 and not self.stopped:
                self.stop_within(seat)
            elif way < 0.1 and seat not in self.stopped:
                self.stop(seat, self.random.random() * 0.02)
            else:
                if way < 0.3:
                    self.await_word(seat, PUTTING if seat < SENDERS else CURRENT)
                elif way < 0.6 and seat >= SENDERS:
                    self.await_word(seat, FINISHING, queue_peer.LONG)
                self.kill(seat)
            if self.random.random() < 0.02:
                self.soak.pool.recover()

    def await_word(self, seat, word, least=1):
        """Wait a moment for the process in a seat to be within something."""
        row, end = self.rows[seat], time.monotonic() + 0.01
        while row[word] < least and time.monotonic() < end:
            pass

    def needs_more(self, killed, kills, end):
        """Whether more processes are to be killed: some in any case, if there is no time."""
        return killed < kills and (killed < LEAST_KILLS or time.monotonic() < end)

    def has_room(self):
        """Whether the log has room for more items."""
        return all(row[SENT] < MOST - 1000 for row in self.rows[:SENDERS])

    def stop_within(self, seat):
        """Stop a sender within `put`, or a receiver within `get`, and see that all others go on."""
        row, word = self.rows[seat], PUTTING if seat < SENDERS else INSIDE
        for _ in range(200):
            if row[word]:
                os.kill(self.members[seat].pid, signal.SIGSTOP)
                self.stopped[seat] = time.monotonic() + 2 * PATIENCE
                os.waitid(os.P_PID, self.members[seat].pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
                if row[word]:
                    break
                self.go_on(seat)
            time.sleep(0.0001)
        else:
            return
        before = self.progress()

        def all_go_on():
            now = self.progress()
            others = [now[i] - before[i] for i in range(SENDERS) if i != seat]
            return min(others) > 3 and sum(now[SENDERS:]) - sum(before[SENDERS:]) > 20

        self.await_(all_go_on, f"the others, while the process in seat {seat} is stopped: {self.progress()} {before}")
        self.counts["stopped within"] += 1
        if self.random.random() < 0.5:
            self.kill(seat)
        else:
            self.go_on(seat)

    def kill_idle(self, kills, end):
        """Kill receivers that sleep within `get`, while the others work."""
        before = self.counts["kills"]
        while self.has_room() and self.needs_more(self.counts["kills"] - before, kills, end):
            self.watch()
            seat = self.random.randrange(SENDERS, SENDERS + RECEIVERS)
            if self.rows[seat][INSIDE] and sleeps(self.members[seat].pid):
                self.kill(seat)
            time.sleep(self.random.random() * 0.004)

    def leave(self):
        """Have the senders leave, then the receivers when all is received."""
        for seat in list(self.stopped):
            self.go_on(seat)
        self.log.phase = SENDERS_LEAVE
        self.await_ended(range(SENDERS))
        self.soak.pool.recover()
        self.log.phase = RECEIVERS_LEAVE
        self.await_ended(range(SENDERS, SENDERS + RECEIVERS))
        self.watch()

    def await_ended(self, seats):
        """Wait until the processes in these seats have ended well."""
        self.await_(
            lambda: all(self.members[seat].ended() is not None for seat in seats),
            f"{self.title}: seats {[seat for seat in seats if self.members[seat].ended() is None]} do not end; "
            f"{self.queue!r}",
        )
        self.watch()
        for seat in seats:
            if code := self.members[seat].ended():
                raise Trouble(f"crash: the process in seat {seat} ended with exit code {code}")

    # --- the account ---

    def settle(self):
        """Compare the log with the promises."""
        tables, redeliver = self.log.tables, self.soak.redeliver
        sent = np.array([row[SENT] for row in self.rows[:SENDERS]])
        was_sent, unsure, dead = np.arange(MOST) < sent[:, None], table_of(self.unsure), table_of(self.dead_with)
        first, more, done, back = (tables[which].sum(axis=0) for which in (FIRST, MORE, DONE, BACK))
        received = first + more
        self.none("was received and never put", (received > 0) & ~was_sent)
        self.none("was received twice", first > 1)
        self.none("was received too often", received > 1 + (dead + back if redeliver else 0))
        # a receiver may have died before it noted that an item came, or was done
        ended = (done > 0) | (table_of(self.dead_finishing) > 0) if redeliver else (received > 0) | (dead > 0)
        gone = was_sent & ~ended
        missing = gone & (unsure == 0)
        lost = self.queue.lost
        allowed = lost + (self.dead_putting if self.queue.overflow == "drop_oldest" else 0)
        if not redeliver:
            allowed += self.dead_inside
        self.none(f"is missing, and only {allowed} may be", missing & (missing.sum() > allowed))
        self.none(
            f"is missing and {lost} were dropped: some that were dropped were received", gone & (lost > gone.sum())
        )
        self.counts["items"] += int(sent.sum())
        self.counts["missing"] += int(missing.sum())
        self.counts["dropped"] += lost
        self.counts["of the dead again"] += int(((dead > 0) & (received > 1)).sum())
        self.counts["unsure and received"] += int((ended & (unsure > 0)).sum())
        self.tally()

    def tally(self):
        """Add what the processes counted to the figures."""
        self.counts["died with one"] += sum(self.dead_with.values())
        self.counts["died within get"] += self.dead_inside
        self.counts["died within put"] += self.dead_putting
        names = ("received", RECEIVED), ("again", AGAIN), ("given back", GIVEN_BACK), ("passed on", FORWARDED)
        for row in self.rows[SENDERS:]:
            for name, word in (*names, ("told", TOLD), ("late", LATE)):
                self.counts[name] += row[word]
            self.counts["longest"] = max(self.counts["longest"], row[LONGEST])
        for row in self.rows:
            self.counts["kept"] += row[VERIFIED]

    def none(self, what, wrong):
        """Complain if there are such items."""
        items = np.argwhere(wrong)
        if len(items):
            tables = self.log.tables
            details = [
                f"{item[0]}/{item[1]}: {tables[:, :, *item].tolist()}, died with: {self.dead_with[item]}"
                for item in map(tuple, items[:5].tolist())
            ]
            raise Trouble(f"broken: in {self.title}, {len(items)} times, this {what}: {details}")


def table_of(items):
    """Return a table of how often each of these items is among them."""
    table = np.zeros((SENDERS, MOST), np.uint64)
    for item in items:
        table[item] = items[item] if isinstance(items, Counter) else 1
    return table


def sleeps(pid):
    """Whether a process sleeps."""
    return Path(f"/proc/{pid}/stat").read_bytes().rsplit(b")", 1)[1].split()[0] == b"S"


class Soak:
    """The pool, its steady arrays, and the epochs."""

    def __init__(self, options, *, redeliver):
        self.options, self.redeliver = options, redeliver
        self.random = random.Random(f"{options.seed}/{redeliver}")
        self.counts = Counter()
        self.trouble = packet_pipe()
        self.pool = bp.Pool.create("4KiB", BLOCKS)
        self.steady = []
        for part in range(STEADY):
            self.steady.append(self.pool.full(700 * (part + 1) if part < 5 else 500, 1 + part, "u8"))
        self.runs = self.pool.runs()
        self.room = self.messages_that_fit()

    def messages_that_fit(self):
        """How many small messages fit in the room for queues."""
        with self.pool.queue(capacity=4096) as probe:
            count = 0
            try:
                while True:
                    probe.put_nowait(b"")
                    count += 1
            except bp.PoolExhausted:
                return count

    def run(self, kills, seconds):
        """Run epochs; return what is wrong, or None."""
        began = told = time.monotonic()
        while self.goes_on(kills, seconds, time.monotonic() - began):
            calm = self.counts["epochs"] == 0
            epoch = Epoch(self, calm=calm)
            try:
                epoch.run(min(EPOCH_KILLS, max(LEAST_KILLS, kills - self.counts["kills"])), began + seconds)
                epoch.settle()
                self.audit(epoch, calm=calm)
            except (Trouble, bp.BlockPoolError) as error:
                return f"{error} [{epoch.title}, {type(error).__name__}]"
            self.counts["epochs"] += 1
            if time.monotonic() - told > 10 and not self.options.json:
                told = time.monotonic()
                print(f"{told - began:5.0f} s  {line(self.counts)}", flush=True)
        return None

    def goes_on(self, kills, seconds, passed):
        """Whether there is to be another epoch: a busy machine may take long to show what is to be seen."""
        if is_unseen(self.counts, self.options, passed):
            return True
        return self.counts["kills"] < kills and (self.counts["epochs"] < 2 or passed < seconds)

    def audit(self, epoch, *, calm):
        """Check, when all have left, that nothing is left behind."""
        self.await_alone()
        self.pool.recover()  # not before: what a process held stays until a recovery after its end
        if not epoch.queue.empty() or epoch.queue.unfinished:
            raise Trouble(f"left: {epoch.queue!r}, {epoch.queue.unfinished} unfinished")
        with contextlib.suppress(queue.Empty):
            while True:
                queue_peer.verify(epoch.beside.get_nowait(), self.steady)
        tickets = self.pool.recover(tickets_older_than=None if calm else 0).tickets
        self.counts["tickets"] += tickets
        epoch.beside.close()
        epoch.queue.close()
        with bp.inspect(self.pool) as look:
            open_queues = look.queues()
        if open_queues:
            raise Trouble(f"left: {open_queues}")
        self.counts["healed"] += self.pool.check().healed
        runs = self.pool.runs()
        if runs != self.runs:
            raise Trouble(f"lost: the pool holds {runs}, not {self.runs}")
        if self.pool.stats().tickets:
            raise Trouble(f"left: {self.pool.stats().tickets} tickets")
        if (room := self.messages_that_fit()) != self.room:
            raise Trouble(f"lost: {room} messages fit in the room for queues, not {self.room}")
        for part, array in enumerate(self.steady):
            if not (array == 1 + part).all():
                raise Trouble(f"damaged: steady array {part}")
        if self.options.idle_kills and (
            self.counts["longest"] > LATEST * 1e9 or self.counts["late"] * 2 > self.counts["told"]
        ):
            raise Trouble(
                f"late: {self.counts['late']} of {self.counts['told']} items lay there for more than "
                f"{queue_peer.SOON:g} s, one for {self.counts['longest'] / 1e9:.2f} s"
            )

    def await_alone(self):
        """Wait until no other process is attached."""
        deadline = time.monotonic() + PATIENCE
        while self.pool.stats().processes > 1:
            if time.monotonic() > deadline:
                raise Trouble(f"left: {self.pool.stats().processes} processes")
            time.sleep(0.001)
            self.pool.recover()


def line(counts):
    """Return the figures in one line."""
    return (
        f"{counts['kills']} kills, {counts['stops']} stops, {counts['stopped within']} of them within a call while all "
        f"others went on, {counts['programs']} new programs, {counts['epochs']} epochs; {counts['items']} items put, "
        f"{counts['received']} received, {counts['again']} of them again, {counts['given back']} given back, "
        f"{counts['passed on']} passed on, {counts['kept']} kept and verified again; receivers died "
        f"{counts['died with one']} times with an item, {counts['of the dead again']} of which came again, and "
        f"{counts['died within get']} times within get; senders "
        f"{counts['died within put']} times within put, {counts['unsure and received']} of whose items came; "
        f"{counts['dropped']} dropped for want of room, {counts['missing']} missing; "
        f"{counts['tickets']} tickets dropped by recovery, {counts['healed']} bits healed; an item lay there for at "
        f"most {counts['longest'] / 1e6:.1f} ms, {counts['late'] / max(1, counts['told']):.2%} for more than "
        f"{queue_peer.SOON * 1e3:g} ms"
    )


def main():
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kills", type=int, default=10_000, help="stop after so many (default: %(default)s)")
    parser.add_argument("--idle-kills", type=int, default=0, help="kill so many idle receivers instead")
    parser.add_argument("--redeliver", choices=("on", "off", "both"), default="both", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=900, help="or stop after so long (default: %(default)s)")
    add_see(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, nothing else")
    options = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)
    ways = (False, True) if options.redeliver == "both" else (options.redeliver == "on",)
    summary = {"seed": options.seed, "trouble": []}
    for redeliver in ways:
        soak, began = Soak(options, redeliver=redeliver), time.monotonic()
        trouble = soak.run(options.idle_kills or options.kills, options.seconds)
        seconds = round(time.monotonic() - began, 1)
        name = "on" if redeliver else "off"
        summary[f"redeliver {name}"] = {**soak.counts, "seconds": seconds}
        if trouble:
            summary["trouble"].append(trouble)
        if not options.json:
            print(
                trouble or "ok",
                f"(redeliver {name}, {seconds} s, seed {options.seed}): {line(soak.counts)}",
                flush=True,
            )
        del soak
    summary["ok"] = not summary["trouble"]
    if options.json:
        print(json.dumps(summary))
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
