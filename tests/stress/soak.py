"""Soak: processes use shared pools, and are killed at random; nothing may be lost, and no byte may change.

    python tests/stress/soak.py --kills 10000

For each of three pools (permanent, with a name; default, with a name; without a name) a *warden* starts workers, most
by fork, some as new programs. They allocate single blocks, runs and bytes, write a pattern into each and verify it
before they drop it, send each other tickets and redeem them, fork children that inherit, and wait for room. In some
workers a second thread forks, sweeps and writes, and its children end while a thread of theirs writes. The warden
kills one worker after the other, some in their first microseconds, and stops one now and then. After an epoch of about
a second the survivors stand still, verify what they hold, and report it; the pool must report exactly the same. Now
and then this controller kills a whole group with its warden and starts another. The new group comes back to the
permanent pool, where tickets in flight must still be valid; the default pool has ended and is created again.

Exit status 0: no block lost, no byte damaged, no process hung. The seed repeats the choices, not the timing.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
import traceback

import soak_group
from soak_board import FINISH, KILLS, NAMES, PROGRESS, Board, Spec, add_see, is_unseen, packet_pipe, receive

PATIENCE = 240.0  # for a warden, which has a shorter one for its workers
WORKERS = 5


class Group:
    """A pool with its warden and workers, through all their incarnations."""

    def __init__(self, name, *, permanent, options, number):
        self.random = random.Random(f"{options.seed}/{number}")
        self.board = Board(WORKERS)
        self.spec = Spec(
            name=name,
            permanent=permanent,
            block_size=256,
            blocks=(160, 192, 130)[number],
            workers=WORKERS,
            seed=f"{options.seed}/{number}",
            kill_every=options.kill_every,
            inboxes=[packet_pipe() for _ in range(WORKERS)],
            answers=packet_pipe(),
            trouble=packet_pipe(),
            board=self.board.file,
        )
        self.incarnation = 0
        self.ended = False
        self.group_kill_every = options.group_kill_every
        self.start()

    def start(self):
        """Start a warden."""
        self.incarnation += 1
        self.progress, self.seen = -1, time.monotonic()
        self.dies_at = self.seen + self.random.expovariate(1 / self.group_kill_every)
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            status = 1
            try:
                status = soak_group.run(self.spec, self.incarnation)
            except BaseException:  # noqa: BLE001 - the process ends here
                soak_group.complain(self.spec, "crash", traceback.format_exc())
            os._exit(status)

    def kill(self):
        """Kill warden and workers, and wait until all have ended."""
        try:
            os.killpg(self.process, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its group yet
            os.kill(self.process, signal.SIGKILL)
        while True:
            try:
                _, status = os.waitpid(-self.process, 0)
            except ChildProcessError:
                return
            self.board.warden[KILLS] += os.waitstatus_to_exitcode(status) == -signal.SIGKILL

    def complaints(self):
        """Return the complaints of the group's processes."""
        found = []
        while (packet := receive(self.spec.trouble)) is not None:
            found.append(packet.decode(errors="replace"))
        return found

    def watch(self, *, finishing):
        """Return what is wrong; note whether the warden has ended; kill the group if its time has come."""
        found = self.complaints()
        now = time.monotonic()
        process, status = os.waitpid(self.process, os.WNOHANG)
        if process:
            self.ended = True
            if not finishing or status:
                status = os.waitstatus_to_exitcode(status)
                found.append(f"crash the warden of pool {self.spec.title} ended with status {status}")
            return found
        progress = self.board.warden[PROGRESS]
        if progress != self.progress:
            self.progress, self.seen = progress, now
        elif now - self.seen > PATIENCE:
            os.killpg(self.process, signal.SIGUSR1)
            time.sleep(0.5)
            found.append(f"hang the warden of pool {self.spec.title} gets nowhere for {PATIENCE:g} s")
        if not finishing and now > self.dies_at:
            self.kill()
            self.start()
        return found


def totals(groups):
    """Return the sums of what the groups counted."""
    return {name: sum(group.board.totals()[name] for group in groups) for name in NAMES}


def soak(options):
    """Run a soak; return its summary."""
    soak_group.become_subreaper()
    began = time.monotonic()
    unique = f"soak-{os.getpid()}-{options.seed}"
    kinds = [(f"{unique}-p", True), (f"{unique}-d", False), (None, False)]
    groups = []
    try:
        for number, (name, permanent) in enumerate(kinds):
            groups.append(Group(name, permanent=permanent, options=options, number=number))
        trouble = watch(groups, options, began)
    finally:
        running = [group for group in groups if not group.ended]
        for group in running:
            group.kill()
        if running:
            remove_leftovers(kinds)
    for group in groups:
        trouble += group.complaints()
    counts = totals(groups)
    del counts["progress"]
    return {
        **counts,
        "incarnations": sum(group.incarnation for group in groups),
        "seed": options.seed,
        "seconds": round(time.monotonic() - began, 1),
        "trouble": trouble,
        "ok": not trouble and not counts["lost"] and not counts["damaged"],
    }


def watch(groups, options, began):
    """Watch the groups until something is wrong or all have ended; return what is wrong."""
    told = began
    finishing = False
    trouble = []
    while not trouble and not all(group.ended for group in groups):
        time.sleep(0.02)
        for group in groups:
            if not group.ended:
                trouble += group.watch(finishing=finishing)
        now = time.monotonic()
        if not finishing and is_enough(totals(groups), options, now - began):
            finishing = True
            for group in groups:
                group.board.words[FINISH] = 1
        if now - told >= options.tell_every and not options.json:
            told = now
            print(f"{now - began:5.0f} s  {line(totals(groups))}", flush=True)
    return trouble


def is_enough(counts, options, seconds):
    """Return whether a soak can end."""
    if counts["kills"] < options.least_kills or counts["epochs"] < options.least_epochs:
        return False
    if is_unseen(counts, options, seconds):
        return False
    return counts["kills"] >= options.kills or seconds > options.seconds


def remove_leftovers(kinds):
    """Remove the permanent pool after a failure; the other pools ended with their processes."""
    import blockpool as bp

    for name, permanent in kinds:
        if permanent:
            try:
                bp.Pool.attach(name).unlink()
            except (bp.BlockPoolError, OSError) as error:
                print(f"not removed: {error}", file=sys.stderr)
    bp.sweep()


def line(counts):
    """Return the figures in one line."""
    return (
        f"{counts['kills']} kills, {counts['forks']} forks, {counts['epochs']} epochs, "
        f"{counts['allocated']} allocations, {counts['verified']} blocks verified, "
        f"tickets: {counts['redeemed']} redeemed, {counts['stale']} stale, {counts['dropped']} dropped; "
        f"{counts['healed']} bits healed, {counts['lost']} blocks lost, {counts['damaged']} patterns damaged"
    )


def main():
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--kills", type=int, default=10_000, help="stop after so many (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=900, help="or after so long (default: %(default)s)")
    parser.add_argument("--least-kills", type=int, default=0, help="but not before so many")
    parser.add_argument("--least-epochs", type=int, default=0, help="nor before so many")
    add_see(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end, nothing else")
    parser.add_argument(
        "--kill-every",
        type=float,
        default=0.012,
        metavar="SECONDS",
        help="a worker of each pool, in the mean (default: %(default)s)",
    )
    parser.add_argument(
        "--group-kill-every",
        type=float,
        default=6,
        metavar="SECONDS",
        help="a whole group, in the mean (default: %(default)s)",
    )
    parser.add_argument("--tell-every", type=float, default=5, metavar="SECONDS", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.json:
        print(f"seed {options.seed}; {WORKERS} workers in each of 3 pools", flush=True)
    summary = soak(options)
    if options.json:
        print(json.dumps(summary))
    else:
        for sentence in summary["trouble"]:
            print(sentence)
        verdict = "ok" if summary["ok"] else "FAILED"
        print(
            f"{verdict}: {line(summary)}; {summary['recovered']} dead recovered at rest, {summary['stops']} stops, "
            f"{summary['waits']} waits, {summary['incarnations']} groups, {summary['seconds']} s, "
            f"seed {summary['seed']}"
        )
    return 0 if summary["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
