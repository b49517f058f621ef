"""Fork while another thread holds the lock of blockpool.dask or blockpool.ray; the child can take it.

The argument is which of the two.
"""

import importlib
import signal
import sys
import threading

import blockpool as bp
from forking import await_child, in_child

holding, forked = threading.Event(), threading.Event()


def wait_for_the_fork(*_, **__):
    """Wait in a call that is made with the lock held, in the thread that the child does not have."""
    holding.set()
    forked.wait()


def dask(pool):
    """Fork while a worker joins, which may take seconds."""
    member = importlib.import_module("blockpool.dask._member")

    def attach():
        wait_for_the_fork()
        return pool

    def work():
        assert member.current is None
        member.join("child", lambda: pool, "64KiB", readonly=True)
        member.leave("child")
        assert member.current is None

    fork_during(lambda: member.join("worker", attach, "64KiB", readonly=True), work)
    member.leave("worker")


def ray(pool):
    """Fork while a pool is installed; the child has nothing to keep for its parent's messages."""
    carrier = importlib.import_module("blockpool.ray")
    register = carrier.register_serializer
    carrier._kept[b"token"] = kept = object()

    def work():
        assert not carrier._kept
        carrier.register_serializer = register
        carrier.install(pool)
        carrier.uninstall()

    carrier.register_serializer = wait_for_the_fork
    fork_during(lambda: carrier.install(pool), work)
    assert carrier._kept.pop(b"token") is kept
    carrier.register_serializer = register
    carrier.uninstall()


def fork_during(call, work):
    """Fork while a thread is in a call; the child does the work."""
    thread = threading.Thread(target=call)
    thread.start()
    holding.wait()
    child = in_child(lambda: (signal.alarm(50), work()))  # a child that waits for ever would outlive this program
    forked.set()
    await_child(child)
    thread.join()


with bp.Pool.create("64KiB", 8, on_fork="share") as made:
    {"dask": dask, "ray": ray}[sys.argv[1]](made)
