"""Servers soak: workers of a web server are killed at random; what is stored stays whole, and nothing leaks.

    PYTHONPATH=tests/support python tests/stress/servers_soak.py --server gunicorn --kills 1000 --seed 1

The server is one of those of docs/how-to. Clients store and load all the time, while this process kills a random
worker at random moments. A request may fail with its worker. But

- what a client loads is whole, and never older than what it has stored there itself before;
- with all workers alive again, every name can be stored and loaded;
- then the pool passes its audit, it has one run for each name, and no ticket is in flight;
- when the server has ended, no process of it is left, and the pool is gone.

The seed repeats the choices, not the timing. The exit code is 1 if any of this does not hold.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import blockpool as bp
from waits import await_true
from web_servers import STARTS, pool_of, start

CLIENTS = 3
MOST_BYTES = 600_000


class Client(threading.Thread):
    """Stores a number under a name of its own, over and over, and loads it."""

    def __init__(self, server, name, seed):
        """Choose sizes by the seed."""
        super().__init__()
        self.server, self.slot, self.random = server, name, random.Random(seed)
        self.going_on = True
        self.stored = 0
        self.figures = Counter()
        self.fault = None

    def run(self):
        """Go on until told otherwise, or until something is wrong."""
        number = 0
        while self.going_on and self.fault is None:
            number += 1
            size = self.random.randrange(8, MOST_BYTES) // 8 * 8
            if self.answer("PUT", number.to_bytes(8, "little") * (size // 8), 204) is not None:
                self.stored = number
            body = self.answer("GET", None, 200)
            if body is not None:
                got = int.from_bytes(body[:8], "little")
                if body != body[:8] * (len(body) // 8):
                    self.fault = f"{self.slot} is torn"
                elif not self.stored <= got <= number:
                    self.fault = f"{self.slot} has {got}, but {self.stored} was stored and {number} sent"

    def answer(self, method, body, expected):
        """Return what is answered, or None if the request was lost with its worker, or there is nothing yet."""
        connection = self.server.connect()
        with contextlib.closing(connection):
            try:
                connection.request(method, f"/{self.slot}", body)
                answer = connection.getresponse()
                got = answer.read()
            except (OSError, http.client.HTTPException):
                self.figures["lost"] += 1
                return None
        self.figures[method] += 1
        if answer.status == expected:
            return got
        if not (answer.status == 404 and not self.stored):
            self.fault = f"{method} {self.slot}: {answer.status} {got!r}"
        return None


def require(holds, what):
    """Fail with these words unless it holds."""
    if not holds:
        raise AssertionError(what)


def run(options, folder, name):
    """Run the soak in a folder, with this name for the pool; return its figures."""
    chance = random.Random(options.seed)
    with start(options.server, folder, name) as server:
        worker = server.ask("GET", "nothing")[2]
        clients = [Client(server, f"slot-{number}", chance.random()) for number in range(CLIENTS)]
        with pool_of([worker]) as pool:
            alive = lambda: {each.pid for each in pool.processes() if each.alive} - {server.process.pid}  # noqa: E731
            server.await_true(lambda: len(alive() & set(server.processes())) >= 2)
            for client in clients:
                client.start()
            try:
                for _ in range(options.kills):
                    if any(client.fault for client in clients):
                        break
                    server.await_true(lambda: len(alive()) >= options.alive)
                    time.sleep(chance.random() * 0.05)
                    # Uvicorn ends workers that are slow to answer it, so there may be none for a moment.
                    while not (living := sorted(alive() & set(server.processes()))):
                        server.await_true(lambda: alive() & set(server.processes()))
                    server.kill([chance.choice(living)])
            finally:
                for client in clients:
                    client.going_on = False
                for client in clients:
                    client.join()
            faults = [client.fault for client in clients if client.fault]
            require(not faults, f"{faults}\n{server.said()}")
            for client in clients:
                server.await_true(lambda client=client: client.answer("PUT", bytes(8), 204) is not None)
                require(server.ask("GET", client.slot)[1] == bytes(8), f"{client.slot} was not stored")
            # A worker that finds no room takes back what the dead held.
            with contextlib.closing(server.begin("all", b"", pool.nbytes)):
                names = sorted((client.slot,) for client in clients)
                server.await_true(lambda: sorted(run.names for run in pool.runs()) == names)
            require(pool.stats().tickets == 0, "tickets are in flight")
            pool.check()
            pool_id = pool.pool_id
        server.await_rest()  # as in tests/engines/servers/test_web_servers.py
        server.stop()
    await_true(lambda: pool_id not in {each.pool_id for each in bp.pools()})
    return {"kills": options.kills, **sum((client.figures for client in clients), Counter())}


def main():
    """Parse the arguments, run the soak, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--server", choices=STARTS, default="gunicorn")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--alive", type=int, default=2, help="how many workers must live before one is killed")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            figures = run(options, Path(folder), f"servers-soak-{os.getpid()}")
    except AssertionError as fault:
        print(json.dumps({"ok": False, "seed": options.seed, "fault": str(fault)}))
        sys.exit(1)
    print(json.dumps({"ok": True, "seed": options.seed, "seconds": round(time.monotonic() - began, 1), **figures}))


if __name__ == "__main__":
    main()
