"""Damage the bookkeeping of a pool at random, many times, and ask an inspector everything after each time."""

import mmap
import random
import sys

import blockpool as bp
from pools import SHM
from segment_parts import LANES

ROUNDS = 400


def main(name, seed):
    """Ask; a crash, or any error but PoolCorrupt, ends the program."""
    numbers = random.Random(int(seed))
    pool = bp.Pool.create(64, 300, name=name, processes=70, permanent=True)  # or who sweeps may take it for left
    blocks = [pool.allocate(blocks=numbers.randint(1, 4)) for _ in range(40)]
    for number, block in enumerate(blocks[:10]):
        pool.keep(f"name{number}", block)
    inspector = bp.inspect(name)
    path = SHM / f"blockpool.{name}"
    size = path.stat().st_size
    damaged = 0
    with path.open("r+b") as file, mmap.mmap(file.fileno(), size) as memory:
        end = size - LANES - inspector.nbytes - 4096
        before = memory[:end]
        for round_ in range(ROUNDS):
            at = numbers.randrange(104, end)
            count = numbers.choice([1, 8, 64, end - at])
            memory[at : at + count] = numbers.randbytes(count)
            for call in ("stats", "runs", "check", "processes", "names", "exists"):
                try:
                    getattr(inspector, call)()
                except bp.PoolCorrupt:
                    damaged += 1
            if round_ % 20 == 19:
                assert [found.state for found in bp.pools() if found.name == name] == ["ok"]
                memory[:end] = before
        memory[:end] = before
    assert damaged > ROUNDS // 10
    assert pool.check().runs == 40
    assert inspector.check().runs == 40
    pool.unlink()


main(*sys.argv[1:3])
