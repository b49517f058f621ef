"""A process that holds something of a pool until it is told to end: python -m holder POOL ARGUMENT."""

import sys

import blockpool as bp

if __name__ == "__main__":
    pool = bp.Pool.attach(sys.argv[1])
    kept = [pool.allocate(blocks=blocks) for blocks in (8, 3)]
    queue = pool.queue("frames")
    received = queue.receive()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
