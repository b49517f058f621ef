"""Soak: processes send each other arrays through a pool, and are killed at random; nothing may be lost or damaged.

    python tests/stress/transfer_soak.py --kills 1000

This process keeps a shared pool with some arrays, and starts pairs of a sender and a receiver, most by fork, some as
new programs. Each pair has its own queue, pipe or socket pair, and a pipe back, as a process that is killed within a
message leaves them broken. Senders send arrays that are in the pool or are copied into it, small ones that are not,
several in a message, nested ones and out-of-band buffers; now and then the pool is full. Receivers verify every
element, hold some arrays and send some back. Senders also send to readers that have gone. In half of the processes a
second thread forks children, sweeps, and writes into memory that it never frees. After an epoch, when all processes
have ended, the pool is recovered and audited: it must hold this process's arrays, unchanged, and nothing else. In the
first epoch and in every tenth no process is killed, and no reference may be in flight at its end.

Exit status 0: no block lost, no byte damaged, no process hung. The seed repeats the choices, not the timing.
"""

import argparse
import json
import math
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter

import transfer_peer
from soak_board import Descriptor, add_see, is_unseen, packet_pipe, receive

import blockpool as bp
import blockpool.multiprocessing as carrier

PAIRS = 4
EPOCH_KILLS = 50
LEAST_KILLS = 10  # in an epoch
EPOCH_SECONDS = 15
CALM_SECONDS = 1.5
PATIENCE = 120  # seconds after which a process that does not end counts as hung
SPAWNED = 0.03  # the share of pairs that start as new programs
BLOCKS = 160  # of 4 KiB: few enough to be full now and then


class Pair:
    """A sender and a receiver, with their queue or pipes."""

    def __init__(self, soak, number, *, calm):
        self.random, self.calm = soak.random, calm
        spawned = self.random.random() < SPAWNED
        context = multiprocessing.get_context("spawn" if spawned else "fork")
        echo = context.Pipe(duplex=False)
        kind = self.random.choice(("pipe", "socket") if spawned else ("pipe", "socket", "queue"))
        if kind == "queue":
            queue = context.Queue(20)
            channel = queue, queue
            here = [queue._reader, queue._writer, *echo]
        else:
            channel = context.Pipe(duplex=kind == "socket")
            here = [*channel, *echo]
        # A forked process closes the ends that are not its own; otherwise it would never notice that the other ended.
        self.processes = []
        for i, (role, mine, back) in enumerate((("send", channel[1], echo[0]), ("receive", channel[0], echo[1]))):
            rest = [] if spawned else [echo[1 - i]] + ([] if kind == "queue" else [channel[i]])
            part = transfer_peer.Part(
                role,
                number + i,
                soak.options.seed,
                soak.pool,
                Descriptor(soak.board.file),
                Descriptor(soak.trouble[1]),
                (mine, back, rest),
                calm,
                [] if spawned else soak.arrays,
            )
            process = context.Process(target=transfer_peer.main, args=(part,))
            process.start()
            self.processes.append((process, self.death(spawned=spawned)))
        for end in here:
            end.close()

    def death(self, *, spawned):
        """Choose when to kill a process: in its first moments, soon, or later, when the epoch may be over."""
        if self.calm:
            return math.inf
        longest = self.random.choices((0.003, 0.08, 0.8), (2, 8, 3))[0]
        return time.monotonic() + (spawned and longest > 0.003) + self.random.random() * longest

    def watch(self):
        """Kill processes whose time has come, and forget those that ended; return their exit codes."""
        codes = []
        for entry in list(self.processes):
            process, death = entry
            if time.monotonic() > death:
                process.kill()
            if process.exitcode is not None:
                codes.append(process.exitcode)
                self.processes.remove(entry)
                process.close()
        return codes

    def signal(self, number):
        """Send a signal to all running processes."""
        for process, _ in self.processes:
            os.kill(process.pid, number)


class Soak:
    """The pool, its steady arrays, and the epochs."""

    def __init__(self, options):
        self.options = options
        self.random = random.Random(options.seed)
        self.board = transfer_peer.Board()
        self.trouble = packet_pipe()
        self.counts = Counter()
        self.found = []
        self.pairs = []
        self.pool = bp.Pool.create("4KiB", BLOCKS)
        self.arrays = []
        for part in range(6):
            description = 0, 0, part, (300 * (part + 1), 2), "<u8"
            self.arrays.append((self.pool.asarray(transfer_peer.content(*description)), description))
        self.runs = self.pool.runs()
        carrier.install(self.pool, threshold=transfer_peer.THRESHOLD)

    def run(self):
        """Run epochs; return the summary."""
        began = told = time.monotonic()
        try:
            while not self.found and self.goes_on(time.monotonic() - began):
                self.epoch(max(began + self.options.seconds, time.monotonic() + CALM_SECONDS))
                if time.monotonic() - told > 10 and not self.options.json:
                    told = time.monotonic()
                    print(f"{told - began:5.0f} s  {line(self.counts)}", flush=True)
        finally:
            for pair in self.pairs:
                pair.signal(signal.SIGKILL)
        return {
            **self.counts,
            "seconds": round(time.monotonic() - began, 1),
            "seed": self.options.seed,
            "trouble": self.found,
            "ok": not self.found,
        }

    def goes_on(self, seconds):
        """Whether there is to be another epoch."""
        if is_unseen(self.counts, self.options, seconds):
            return True
        return self.counts["kills"] < self.options.kills and seconds < self.options.seconds

    def epoch(self, end):
        """Have pairs at work until enough were killed; let the others end, and audit."""
        calm = self.counts["epochs"] % 10 == 0
        self.board.finishing = False
        enough = self.counts["kills"] + min(EPOCH_KILLS, max(LEAST_KILLS, self.options.kills - self.counts["kills"]))
        end = min(end, time.monotonic() + (CALM_SECONDS if calm else EPOCH_SECONDS))
        number = 0
        while (
            not self.found
            and self.counts["kills"] < enough
            and number < transfer_peer.ROWS - 2 * PAIRS
            and time.monotonic() < end
        ):
            while len(self.pairs) < PAIRS:
                self.pairs.append(Pair(self, number, calm=calm))
                number += 2
            self.watch()
            if self.random.random() < 0.02:
                self.pool.recover()  # while all are at work
        self.board.finishing = True
        deadline = time.monotonic() + PATIENCE
        while self.pairs and not self.found:
            self.watch()
            if time.monotonic() > deadline:
                self.found.append(f"hang: {sum(len(pair.processes) for pair in self.pairs)} do not end")
                for pair in self.pairs:
                    pair.signal(signal.SIGUSR1)  # tells where it is
                time.sleep(0.5)
        self.board.fold(self.counts)
        if not self.found:
            self.audit(calm=calm)
        self.counts["epochs"] += 1

    def watch(self):
        """Watch the pairs, and collect complaints."""
        time.sleep(0.0005)
        for pair in self.pairs:
            for code in pair.watch():
                self.counts["processes"] += 1
                self.counts["kills"] += code == -signal.SIGKILL
                if code not in (0, -signal.SIGKILL):
                    self.found.append(f"crash: a process ended with exit code {code}")
        self.pairs = [pair for pair in self.pairs if pair.processes]
        while (packet := receive(self.trouble)) is not None:
            self.found.append(packet.decode(errors="replace"))

    def audit(self, *, calm):
        """Check, when all have ended, that the pool holds this process's arrays and nothing else."""
        self.pool.recover()
        deadline = time.monotonic() + PATIENCE
        while self.pool.stats().processes > 1 and time.monotonic() < deadline:
            time.sleep(0.001)  # a child of a second thread may end after its parent
            self.pool.recover()
        recovered = self.pool.recover(tickets_older_than=None if calm else 0)
        self.counts["dropped"] += recovered.tickets
        try:
            self.counts["healed"] += self.pool.check().healed
        except bp.PoolCorrupt as error:
            self.found.append(f"check: {error}")
        runs = self.pool.runs()
        if runs != self.runs:
            lost = sum(run.blocks for run in runs) - sum(run.blocks for run in self.runs)
            self.counts["lost"] += abs(lost)
            self.found.append(f"lost: the pool holds {runs}, not {self.runs}")
        stats = self.pool.stats()
        if (stats.tickets, stats.processes) != (0, 1):
            self.found.append(f"lost: {stats.tickets} tickets, {stats.processes} processes")
        for array, description in self.arrays:
            try:
                transfer_peer.verify(array, description)
            except transfer_peer.Damaged as error:
                self.counts["damaged"] += 1
                self.found.append(f"damaged: {error}")


def line(counts):
    """Return the figures in one line."""
    return (
        f"{counts['kills']} kills of {counts['processes']} processes, {counts['epochs']} epochs; "
        f"{counts['messages']} messages, {counts['torn']} torn; {counts['verified']} arrays verified, "
        f"{counts['held']} of them held and verified again, {counts['echoed']} sent back; "
        f"sent: {counts['shared']} shared, {counts['copied']} copied, {counts['refused']} refused, "
        f"{counts['unsendable']} unsendable, {counts['undelivered']} undelivered, {counts['cut_off']} cut off by a "
        f"death; {counts['forks']} forks and {counts['sweeps']} sweeps beside; "
        f"{counts['dropped']} tickets dropped by recovery, "
        f"{counts['healed']} bits healed; {counts['lost']} blocks lost, {counts['damaged']} patterns damaged"
    )


def main():
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kills", type=int, default=1000, help="stop after so many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=600, help="or after so long (default: %(default)s)")
    add_see(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, nothing else")
    options = parser.parse_args()
    if not options.json:
        print(f"seed {options.seed}; {PAIRS} pairs in a pool of {BLOCKS} blocks", flush=True)
    summary = Soak(options).run()
    if options.json:
        print(json.dumps(summary))
    else:
        for sentence in summary["trouble"]:
            print(sentence)
        verdict = "ok, check clean" if summary["ok"] else "FAILED"
        print(f"{verdict}: {line(Counter(summary))}; {summary['seconds']} s, seed {summary['seed']}")
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
