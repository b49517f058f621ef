"""Recording soak: recorders and recorded processes are killed at random; no trace contradicts itself, nothing leaks.

    python tests/stress/recording_soak.py --seconds 300 --seed 1

Workers allocate, free, fork, attach and leave. A recorder records them to one file after the other, for some
milliseconds each, and reads each file back. This process kills and stops them at random moments, and starts others in
their places. After an epoch all leave, and then

- the pool passes its audit, and nothing is allocated;
- each file that has its name is whole: no allocation is freed twice, and times never go back (`traces.read` says so);
- beside them is at most one file for each recorder that was killed;
- a recording of processes that nobody kills has every event or counts it as lost, as `Pool.stats` counts them, and if
  none was lost, everything that was allocated was freed.

In the end, this process has as many descriptors, threads and children as at the start, and the pool is gone. The seed
repeats the choices, not the timing.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import blockpool as bp
from blockpool.traces import peak, read

BLOCKS = 256
BLOCK_SIZE = 4096
WORKERS = 4
EPOCH_SECONDS = 2.0
MOST_HELD = 12


def guarded(work):
    """Fork a child that does the work and ends, with status 1 and its traceback if that raises."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - any error ends the child
        traceback.print_exc()
        sys.stderr.flush()
    os._exit(status)


class Worker:
    """Allocates and frees in any order until it leaves."""

    def __init__(self, pool, seed):
        self.pool, self.random = pool, random.Random(seed)
        self.held = []

    def step(self):
        """Do something."""
        choice = self.random.random()
        if choice < 0.5 and len(self.held) < MOST_HELD:
            try:
                if self.random.random() < 0.3:
                    self.held += self.pool.allocate_many(self.random.randint(1, 3))
                else:
                    self.held.append(self.pool.allocate(blocks=self.random.choice((1, 2, 3, 5))))
            except bp.PoolExhausted:
                pass
        elif self.held:
            self.held.pop(self.random.randrange(len(self.held))).release()  # a child that was killed may hold it too

    def live(self):
        """Work for a while, and leave with or without freeing what is held."""
        for _ in range(self.random.randint(1, 20_000)):
            self.step()
            choice = self.random.random()
            if choice < 0.0005:
                self.fork()
            elif choice < 0.001:
                with bp.Pool.attach(self.pool.name) as other:
                    other.allocate().free()
            elif choice < 0.0015:
                thread = threading.Thread(target=lambda: [self.pool.allocate().free() for _ in range(50)])
                thread.start()
                thread.join()
        if self.random.random() < 0.5:
            self.free()

    def fork(self):
        """Have a forked child allocate and free, and end or kill itself."""
        seed, kills = self.random.random(), self.random.random() < 0.5

        def work():
            child = Worker(self.pool, seed)
            for _ in range(50):
                child.step()
            if kills:
                os.kill(os.getpid(), signal.SIGKILL)

        os.waitpid(guarded(work), 0)

    def free(self):
        """Free everything."""
        while self.held:
            self.held.pop().release()

    def count(self, steps):
        """Do so many steps, and free everything."""
        for _ in range(steps):
            self.step()
        self.free()


def record(pool, folder, seed):
    """Record to one file after the other."""
    choose = random.Random(seed)
    while True:
        path = folder / f"{os.getpid()}-{time.monotonic_ns()}.parquet"
        try:
            recording = pool.record(path)
        except bp.PoolBusy:  # of a recorder that was killed and is not gone yet
            continue
        time.sleep(choose.expovariate(1 / 0.02))
        trace = recording.stop()
        again = read(path)
        require(
            (len(again), again.lost, again.unmatched) == (len(trace), trace.lost, trace.unmatched),
            "a file differs from its trace",
        )


def require(holds, what):
    """Raise AssertionError unless it holds."""
    if not holds:
        raise AssertionError(what)


class Soak:
    """The process that starts and kills the others."""

    def __init__(self, seed, folder):
        self.random = random.Random(seed)
        self.folder = folder
        self.pool = bp.Pool.create(BLOCK_SIZE, BLOCKS, name=f"recording-soak-{os.getpid()}")
        self.workers, self.recorder = [], None
        self.figures = Counter()

    def start(self):
        """Start who is missing."""
        while len(self.workers) < WORKERS:
            seed = self.random.random()
            self.workers.append(guarded(lambda seed=seed: Worker(self.pool, seed).live()))
        if self.recorder is None:
            seed = self.random.random()
            self.recorder = guarded(lambda: record(self.pool, self.folder, seed))

    def ended(self, child, status):
        """Note the end of a child; nobody may end otherwise than by being killed, or by leaving."""
        code = os.waitstatus_to_exitcode(status)
        require(code in (0, -signal.SIGKILL), f"process {child} ended with status {code}")
        if child == self.recorder:
            self.recorder = None
        else:
            self.workers.remove(child)

    def kill(self, child):
        """Kill a child."""
        os.kill(child, signal.SIGKILL)
        self.ended(*os.waitpid(child, 0))

    def epoch(self, seconds):
        """Let them work, and kill and stop them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.start()
            time.sleep(self.random.expovariate(1 / 0.015))
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self.ended(*found)
            self.start()
            choice = self.random.random()
            if choice < 0.5:
                self.kill(self.random.choice(self.workers))
                self.figures["kills"] += 1
            elif choice < 0.75:
                self.kill(self.recorder)
                self.figures["recorder_kills"] += 1
            elif choice < 0.8:
                stopped = self.random.choice([*self.workers, self.recorder])
                os.kill(stopped, signal.SIGSTOP)
                time.sleep(self.random.random() * 0.2)
                os.kill(stopped, signal.SIGCONT)
                self.figures["stops"] += 1
        for child in [*self.workers, self.recorder]:
            if child is not None:
                self.kill(child)
        self.look()
        self.calm()
        self.figures["epochs"] += 1

    def look(self):
        """See that nothing was damaged, and that nothing is left."""
        end = time.monotonic() + 60
        while self.pool.stats().processes > 1 and time.monotonic() < end:  # children of the killed may still work
            time.sleep(0.01)
        self.pool.recover()
        stats = self.pool.stats()
        require(stats.allocated == 0, f"{stats.allocated} blocks are left: {self.pool.runs()}")
        require(stats.processes == 1, f"{stats.processes} processes are left")
        self.pool.check()
        unfinished = 0
        for path in self.folder.iterdir():
            if path.suffix == ".parquet":
                trace = read(path)
                self.figures["traces"] += 1
                self.figures["events"] += len(trace)
                self.figures["lost"] += trace.lost
            else:
                unfinished += 1
            path.unlink()
        self.figures["unfinished"] += unfinished
        require(
            self.figures["unfinished"] <= self.figures["recorder_kills"] + self.figures["epochs"] + 1,
            f"{unfinished} files are left",
        )

    def calm(self):
        """Compare a recording, while which nobody is killed, with what the pool counts."""
        before = self.pool.stats()
        with self.pool.record() as recording:
            seeds = [self.random.random() for _ in range(WORKERS)]
            children = [guarded(lambda seed=seed: Worker(self.pool, seed).count(5000)) for seed in seeds]
            Worker(self.pool, self.random.random()).count(3000)
            for child in children:
                require(os.waitpid(child, 0)[1] == 0, "a worker failed")
        trace, after = recording.stop(), self.pool.stats()
        made, freed = int((trace.kind == 0).sum()), int((trace.kind == 1).sum())
        counted = after.allocations - before.allocations, after.frees - before.frees
        self.figures["calm_events"] += len(trace)
        self.figures["calm_lost"] += trace.lost
        said = f"{made} allocations, {freed} frees and {trace.lost} lost events in the trace; the pool counts {counted}"
        if trace.lost == 0:
            require((made, freed) == counted, said)
            require(trace.unmatched == 0, f"{trace.unmatched} frees without an allocation")
            require(made == freed, said)
        else:
            require(made + freed <= sum(counted) <= made + freed + trace.lost + trace.unmatched, said)
        self.figures["most_over"] = max(self.figures["most_over"], peak(trace) // BLOCK_SIZE - BLOCKS)


def run(options):
    """Run the soak; return its figures."""
    with tempfile.TemporaryDirectory(prefix="recording-soak-") as folder:
        soak = Soak(options.seed, Path(folder))
        segment = Path("/dev/shm", f"blockpool.{soak.pool.name}")  # noqa: S108 - where pools are
        require(segment.exists(), f"{segment} is not there")
        open_at_first, threads = None, threading.active_count()
        end = time.monotonic() + options.seconds
        try:
            while time.monotonic() < end:
                soak.epoch(min(EPOCH_SECONDS, options.seconds))
                now = len(list(Path("/proc/self/fd").iterdir()))
                open_at_first = open_at_first or now
                require(now == open_at_first, f"{now} descriptors are open, not {open_at_first}")
                require(threading.active_count() == threads, "threads are left")
            soak.pool.close()
        finally:
            for child in [*soak.workers, soak.recorder]:
                with contextlib.suppress(ProcessLookupError, ChildProcessError, TypeError):
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)
            segment.unlink(missing_ok=True)
        require(not list(Path(folder).iterdir()), "files are left")
    return soak.figures


def main():
    """Parse the arguments, run the soak, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    warnings.simplefilter("ignore", DeprecationWarning)  # threads and forks: that is what is done
    if not options.json:
        print(f"seed {options.seed}", flush=True)
    figures = run(options)
    print(json.dumps({"ok": True, "seed": options.seed, **figures}))


if __name__ == "__main__":
    main()
