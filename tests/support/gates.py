"""How a test shuts the gate of a shared pool: the lock on a byte far beyond the end of the pool's file."""

import fcntl
import os
import struct


def shut_gate(path):
    """Take the gate of the pool in that file as another process would, and return the descriptor that has it."""
    file = os.open(path, os.O_RDWR)
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, (1 << 60) + 63, 1, 0))
    return file
