"""A program that a pool does not help: it parses a log into millions of small Python objects.

    python examples/advice/log_entries.py

Each line becomes a dictionary of strings and numbers, and most are dropped once they are counted. Python keeps
such small objects in pages of its own, for each size, at a few nanoseconds an object. `blockpool advise` says so: see
docs/how-to/which-pool.md. Hence this program has no `--pool`.
"""

import argparse
import json
import random
import time
from collections import Counter, deque
from collections.abc import Iterator

PATHS = ("/", "/login", "/search", "/basket", "/pictures/{}", "/users/{}/settings")


def lines(count: int, seed: int) -> Iterator[str]:
    """Make the lines of a log up."""
    chance = random.Random(seed)
    for number in range(count):
        entry = {
            "at": 1_700_000_000 + number // 50,
            "path": chance.choice(PATHS).format(chance.randrange(10_000)),
            "status": chance.choices((200, 304, 404, 500), (90, 5, 4, 1))[0],
            "took": round(chance.expovariate(20), 4),
            "agent": "agent/" + "x" * chance.randrange(10, 120),
        }
        yield json.dumps(entry)


def main() -> None:
    """Count what went wrong, and keep the latest entries."""
    options = argparse.ArgumentParser(description="Parse a log.")
    options.add_argument("--lines", type=int, default=200_000, help="how many lines the log has (200000)")
    options.add_argument("--seed", type=int, default=1, help="for the log (1)")
    chosen = options.parse_args()

    start = time.perf_counter()
    wrong: Counter[str] = Counter()
    latest: deque[dict[str, object]] = deque(maxlen=1000)
    slowest = 0.0
    for line in lines(chosen.lines, chosen.seed):
        entry = json.loads(line)
        latest.append(entry)
        slowest = max(slowest, entry["took"])
        if entry["status"] >= 400:  # noqa: PLR2004 - what HTTP calls an error
            wrong[entry["path"]] += 1
    seconds = time.perf_counter() - start
    print(f"entries: {chosen.lines}, {wrong.total()} of them errors, of {len(wrong)} paths; the slowest: {slowest} s")
    print(f"rate: {chosen.lines / seconds:.0f} entries/s")


if __name__ == "__main__":
    main()
