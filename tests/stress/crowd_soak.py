"""Crowd soak: many processes in one pool pass blocks on, and are killed at random; nothing may be lost.

    python tests/stress/crowd_soak.py --processes 1000 --kills 2000

One process, the warden, forks all others. Each of these allocates, writes patterns and verifies them, and passes
blocks on by tickets; the warden kills one after the other, some in bursts, and forks others in their place. After some
seconds those who live stand still, verify what they hold, and report it; the pool must report exactly the same, and
every free block must be there to be had. At the end the warden kills some more, one at a time, and measures how long
`recover` takes to bring back what one among so many held in a second pool: a million small blocks, and each process
holds some of them.

Exit status 0: no block lost, no byte damaged, no process hung. The seed repeats the choices, not the timing.
"""

import argparse
import contextlib
import fcntl
import json
import os
import random
import resource
import signal
import statistics
import sys
import time
import traceback

from soak_board import (
    CALM,
    EPOCHS,
    FORKS,
    KILLS,
    LEAVE,
    LOST,
    PHASE,
    PROGRESS,
    RECOVERED,
    RUN,
    Board,
    Spec,
    add_see,
    complain,
    is_unseen,
    packet_pipe,
    receive,
    send,
)
from soak_group import Hang, Member, Warden, await_dead, become_subreaper
from soak_worker import Worker, guarded

import blockpool as bp

INBOXES = 64  # processes share them
EACH = 10  # blocks of the pool, for each process
FEW = 12  # the most blocks that a process keeps
WIDE_EACH = 3  # blocks of the second pool that each process holds
MEASURED = 21  # recoveries
ACTS_PER_SECOND = 800  # of all processes together


class One(Worker):
    """A process of the crowd."""

    def __init__(self, spec, pool, wide, slot, seed):
        super().__init__(spec, pool, slot, seed)
        self.wide = wide
        self.most_held = FEW
        self.ways = [self.take] * 16 + [self.give_back] * 14 + [self.receive] * 20 + [self.share] * 14 + [self.wait] * 3
        self.rest = spec.workers / ACTS_PER_SECOND

    def live(self):
        """Act now and then; stand still and answer when told to; return when told to leave."""
        mine = [self.wide.allocate() for _ in range(WIDE_EACH)]
        for block in mine:
            block.buf[:8] = os.getpid().to_bytes(8, "little")
        answered = 0
        while True:
            self.row[PROGRESS] += 1
            phase = self.board.words[PHASE]
            if phase in (RUN, CALM):
                self.random.choice(self.ways)()
            elif phase == LEAVE:
                self.settle()
                while self.held:
                    self.give_back()
                return
            elif phase != answered:
                self.settle()
                for block in mine:
                    assert bytes(block.buf[:8]) == os.getpid().to_bytes(8, "little")
                self.answer(phase)
                answered = phase
            time.sleep(self.random.uniform(0, 2 * self.rest))

    def answer(self, phase):
        """Report what is held; where so many answer at once, each tries again only after a while."""
        while not send(self.spec.answers, self.report(phase)):
            time.sleep(self.random.uniform(0, self.rest))


class CrowdWarden(Warden):
    """The process that forks, kills and audits all others."""

    def __init__(self, spec, options):
        super().__init__(spec, 1)
        self.options = options
        places = min(4096, 2 * spec.workers + 64)
        self.pool = bp.Pool.create(spec.block_size, spec.blocks, processes=places)
        self.wide = bp.Pool.create(64, options.wide, processes=places)
        self.took = []

    def run(self):
        """Be the warden until there were enough kills, or the time is up; then measure and end."""
        began = time.monotonic()
        while self.goes_on(time.monotonic() - began):
            self.epoch()
            last = self.random.random() < 0.5
            if last:
                self.recover_at_work()
            answers = self.stand_still(die=not last)
            self.audit(answers)
            self.audit_wide()
            if not self.options.json:
                print(
                    f"{time.monotonic() - began:5.0f} s  {self.row[KILLS]} kills, {self.row[EPOCHS]} audits", flush=True
                )
        self.fill()
        self.stand_still(die=False)
        self.measure()
        self.leave()
        self.audit_wide()

    def goes_on(self, seconds):
        """Whether there is to be another epoch."""
        counts = self.board.totals()
        if not counts["epochs"] or counts["kills"] < self.options.least_kills:
            return True
        if is_unseen(counts, self.options, seconds):
            return True
        return counts["kills"] < self.options.kills and seconds < self.options.seconds

    def fill(self):
        """Fork a process for each that is missing."""
        for slot in range(self.spec.workers):
            if slot not in self.members:
                self.started += 1
                self.members[slot] = self.fork(slot, f"{self.spec.seed}/{self.started}")
                self.row[FORKS] += 1

    def fork(self, slot, seed):
        """Start a process."""
        process = os.fork()
        if process == 0:
            guarded(self.spec, lambda: One(self.spec, self.pool, self.wide, slot, seed).live())
        return Member(process, slot)

    def epoch(self):
        """Kill and replace a quarter of all that are to be killed, or as many as there is time for."""
        self.board.words[PHASE] = RUN
        self.fill()
        pause = self.options.seconds / max(1, self.options.kills) / 2
        until, enough = time.monotonic() + self.options.seconds / 4, self.row[KILLS] + self.options.kills // 4
        while time.monotonic() < until and self.row[KILLS] < enough:
            time.sleep(self.random.expovariate(1 / pause))
            burst = min(self.random.choice((1, 1, 1, 1, 2, 10)), len(self.members) - 1)
            for member in self.random.sample(list(self.members.values()), burst):
                self.kill(member)
            self.fill()
            self.watch()

    def audit_wide(self):
        """Compare what the second pool reports with what its users must have."""
        await_dead(self.wide, 1 + len(self.members))
        self.wide.recover()
        holders = {}
        for run in self.wide.runs():
            for process in run.holders:
                holders[process] = holders.get(process, 0) + 1
        expected = {member.process: WIDE_EACH for member in self.members.values()}
        if holders != expected or self.wide.check().allocated != WIDE_EACH * len(self.members):
            self.wrong("lost", LOST, 1, f"of the second pool, {len(holders)} hold blocks, not {len(expected)}")

    def measure(self):
        """Kill some, one at a time, and measure how long recovering each takes."""
        for _ in range(min(MEASURED, self.spec.workers // 2)):
            self.kill(self.random.choice(list(self.members.values())))
            await_dead(self.wide, 1 + len(self.members))
            began = time.perf_counter()
            found = self.wide.recover()
            self.took.append(time.perf_counter() - began)
            self.row[RECOVERED] += found.processes
            if found.processes != 1:
                self.wrong("lost", LOST, 1, f"{found} came of recovering one")
        self.audit_wide()


def soak(options):
    """Run a crowd soak; return its summary."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    become_subreaper()
    began = time.monotonic()
    pipes = [packet_pipe() for _ in range(min(INBOXES, options.processes))]
    answers = packet_pipe()
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(answers[0], fcntl.F_SETPIPE_SZ, 1 << 20)
    board = Board(options.processes)
    spec = Spec(
        name=None,
        permanent=False,
        block_size=256,
        blocks=EACH * options.processes,
        workers=options.processes,
        seed=str(options.seed),
        kill_every=0,
        inboxes=[pipes[number % len(pipes)] for number in range(options.processes)],
        answers=answers,
        trouble=packet_pipe(),
        board=board.file,
    )
    trouble, took = [], []
    sys.stdout.flush()
    telling, told = os.pipe()
    child = os.fork()
    if child == 0:
        os._exit(watch_over(spec, options, told))
    os.close(told)
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
    if status:
        trouble.append(f"the warden ended with status {status}")
    else:
        took = json.loads(os.read(telling, 65536))
    while (packet := receive(spec.trouble)) is not None:
        trouble.append(packet.decode(errors="replace"))
    counts = board.totals()
    del counts["progress"]
    slow = bool(took) and options.recover_within is not None and statistics.median(took) > options.recover_within
    if slow:
        trouble.append(f"recovering one took {statistics.median(took) * 1e3:.1f} ms")
    return {
        **counts,
        "processes": options.processes,
        "recover_ms": [round(seconds * 1e3, 2) for seconds in sorted(took)],
        "seed": options.seed,
        "seconds": round(time.monotonic() - began, 1),
        "trouble": trouble,
        "ok": not trouble and not counts["lost"] and not counts["damaged"],
    }


def watch_over(spec, options, told):
    """Be the warden, which can be killed with all others as a group; return the exit status."""
    try:
        os.setpgid(0, 0)
        os.nice(5)  # so many would leave no processor to others
        warden = CrowdWarden(spec, options)
        warden.run()
        os.write(told, json.dumps(warden.took).encode())
    except Hang as error:
        complain(spec, "hang", str(error))
    except BaseException:  # noqa: BLE001 - the process ends here
        complain(spec, "crash", traceback.format_exc())
    else:
        return 0
    return 1


def main():
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--processes", type=int, default=1000, help="at a time (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=2000, help="stop after so many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="or after so long (default: %(default)s)")
    parser.add_argument("--least-kills", type=int, default=0, help="but not before so many")
    add_see(parser)
    parser.add_argument("--wide", type=int, default=10**6, help="blocks of the second pool (default: %(default)s)")
    parser.add_argument(
        "--recover-within", type=float, metavar="SECONDS", help="fail if recovering one takes longer, in the median"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, nothing else")
    options = parser.parse_args()
    if not options.json:
        print(f"seed {options.seed}; {options.processes} processes", flush=True)
    summary = soak(options)
    if options.json:
        print(json.dumps(summary))
    else:
        for sentence in summary["trouble"]:
            print(sentence)
        took = summary["recover_ms"] or [float("nan")]
        print(
            f"{'ok' if summary['ok'] else 'FAILED'}: {summary['kills']} kills, {summary['forks']} forks, "
            f"{summary['epochs']} audits, {summary['allocated']} allocations, {summary['verified']} blocks verified, "
            f"{summary['redeemed']} redeemed, {summary['stale']} stale handles, {summary['dropped']} tickets dropped, "
            f"{summary['waits']} waits; {summary['lost']} blocks lost, {summary['damaged']} patterns damaged; "
            f"recovering one of {summary['processes']}: {statistics.median(took):.1f} ms "
            f"[{min(took):.1f}, {max(took):.1f}]; {summary['seconds']} s, seed {summary['seed']}"
        )
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
