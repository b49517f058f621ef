"""Redeem a ticket from the command line and one from stdin, and write into both blocks.

Argument: the first ticket. Prints the name of the pool and the bytes of each block.
"""

import sys

import blockpool as bp

for text in (sys.argv[1], sys.stdin.read().strip()):
    with bp.redeem(text) as block:
        block.buf[:3] = bytes(block.buf[:3]).upper()
        print(block.pool.name, block.nbytes)
