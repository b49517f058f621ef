"""Fork a child that makes a segment, writes to it and ends; then attach it in the parent."""

import os

from blockpool.shared_memory import SharedMemory
from forking import await_child, in_child

SharedMemory(create=True, size=1).unlink()
receive, send = os.pipe()


def make():
    """Make a segment, and tell its name."""
    made = SharedMemory(create=True, size=10)
    made.buf[0] = 4
    os.write(send, made.name.encode())
    os._exit(0)  # with the segment


await_child(in_child(make))
attached = SharedMemory(os.read(receive, 100).decode())
assert attached.buf[0] == 4
attached.unlink()
