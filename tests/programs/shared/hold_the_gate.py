"""Hold the gate of a pool until the input ends, and print "held".

Argument: the file of the pool.
"""

import os
import sys

from gates import shut_gate

file = shut_gate(sys.argv[1])
os.pwrite(file, os.getpid().to_bytes(8, "little"), 704)  # the holder, for the message
print("held", flush=True)
sys.stdin.read()
