"""Ray soak: actors that send and have arrays of a pool are killed at random; nothing is lost, wrong or left behind.

    python tests/stress/ray_soak.py --kills 1000 --seed 1

Actors get arrays from this process, keep some, make others, and pass them on. While they are at it, one after the
other is killed, half of them by SIGKILL and half by `ray.kill`, and another one is started in its place. Whatever
arrives has the numbers that were put into it; a call fails only because its actor was killed. After every ten kills,
when all objects are gone, `recover` leaves in the pool what the living actors keep, and after the end nothing. The seed
repeats the choices, not the timing. Exit status 0: all of this held.
"""

import argparse
import contextlib
import gc
import os
import random
import signal
import sys
import time
from pathlib import Path

import ray

sys.path.insert(0, str(Path(__file__).parent.with_name("support")))
os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], *filter(None, [os.environ.get("PYTHONPATH")])])

import blockpool as bp
import blockpool.ray as carrier
from ray_actors import Actor

ACTORS, EPOCH, CALLS = 3, 10, 6
DIED = (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError)


def await_true(condition, what, seconds=60):
    """Wait until the condition holds; the soak has failed if it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(what())
        time.sleep(0.01)


class Soak:
    """The pool, the actors, and what was seen."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pool = bp.Pool.create("64KiB", 256)
        carrier.install(self.pool)
        self.actors = [Actor.remote(self.pool) for _ in range(ACTORS)]
        self.loaded = self.died = 0

    def call(self):
        """Start a call of one actor or two; return its result, and what that must be."""
        number = float(self.random.randrange(1000))
        one, other = self.random.sample(self.actors, 2)
        count = self.random.choice([1, 1000, 30_000])
        made = [
            lambda: (one.total.remote(self.pool.full(count, number)), number * count),
            lambda: (other.total.remote(one.make.remote((count,), number)), number * count),
            lambda: (one.make.remote((count,), number), number * count),
            lambda: (one.keep.remote(self.pool.full(count, number)), None),
            lambda: (one.keep.remote(other.make.remote((count,), number)), None),
            lambda: (one.add.remote(self.pool.full(count, number), 1), (number + 1) * count),
        ]
        return self.random.choice(made)()

    def verify(self, results):
        """Load every result that there is."""
        for result, expected in results:
            try:
                got = ray.get(result)
            except DIED:
                self.died += 1
                continue
            except ray.exceptions.RayTaskError as error:
                if not isinstance(error.cause, DIED):  # an argument's maker was killed
                    raise
                self.died += 1
                continue
            self.loaded += 1
            total = got if got is None or isinstance(got, float) else float(got.sum())
            if total != expected:
                raise AssertionError(f"a result is {total}, not {expected}")

    def kill(self):
        """Kill an actor in the middle of calls, and start another one."""
        place = self.random.randrange(ACTORS)
        pid = ray.get(self.actors[place].pid.remote())
        results = [self.call() for _ in range(CALLS)]
        time.sleep(self.random.random() * 0.01)
        if self.random.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        else:
            ray.kill(self.actors[place])
        self.verify(results)
        self.actors[place] = Actor.remote(self.pool)

    def audit(self):
        """See that nothing is left but what the actors keep: at most one array each."""
        gc.collect()
        await_true(lambda: not carrier._kept, lambda: f"{len(carrier._kept)} messages are kept")
        for actor in self.actors:
            await_true(lambda actor=actor: ray.get(actor.sends.remote())[1] == 0, lambda: "an actor keeps messages")
        self.pool.recover(tickets_older_than=0)

        def is_clean():
            self.pool.recover()
            stats = self.pool.stats()
            runs = self.pool.runs()
            return stats.tickets == 0 and len(runs) <= ACTORS and all(run.holders for run in runs)

        await_true(is_clean, lambda: f"the pool has {self.pool.runs()}")
        self.pool.check()


def main():
    """Run the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long, and say so")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 << 20,
        log_to_driver=False,
        logging_level="CRITICAL",
    )
    soak = Soak(options.seed)
    began = time.monotonic()
    killed = 0
    while killed < options.kills and time.monotonic() - began < options.seconds:
        soak.kill()
        killed += 1
        if killed % EPOCH == 0:
            soak.audit()
            print(f"{killed} killed, {soak.loaded} loaded, {soak.died} died with an actor", flush=True)
    soak.audit()
    for actor in soak.actors:
        ray.kill(actor)
    await_true(
        lambda: soak.pool.recover() and soak.pool.stats().allocated == 0,
        lambda: f"the pool has {soak.pool.runs()}",
    )
    ray.shutdown()
    seconds = time.monotonic() - began
    print(f"all held: {killed} of {options.kills} killed in {seconds:.0f} s, {soak.loaded} results loaded, none wrong")


if __name__ == "__main__":
    main()
