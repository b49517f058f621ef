"""What tests have the workers of an executor call; in a module that workers can import."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from blockpool import _worker
from waits import await_true

KEPT = {}


def double(number):
    """Return twice the number."""
    return 2 * number


def everything(*args, **kwargs):
    """Return the arguments."""
    return args, kwargs


def pid(*_ignored):
    """Return the process id of the worker."""
    return os.getpid()


def nap(seconds, result=None):
    """Return the result after so many seconds."""
    time.sleep(seconds)
    return result


def until(path, result=None):
    """Return the result once there is a file of that path."""
    await_true(Path(path).exists)
    return result


def tell_and_wait(begun, path):
    """Make one file, and return once there is another."""
    Path(begun).touch()
    until(path)


def divide(a, b):
    """Return a quotient, or raise ZeroDivisionError."""
    return a // b


def kill_self(number=signal.SIGKILL):
    """Kill the worker, by a signal."""
    os.kill(os.getpid(), number)
    time.sleep(60)


def exit_at_once(code):
    """End the worker, without any cleaning up."""
    os._exit(code)


def set_letter(letter):
    """Keep a letter for `get_letter`."""
    KEPT["letter"] = letter


def get_letter(_ignored):
    """Return the letter that was kept."""
    return KEPT["letter"]


def hurry(seconds):
    """Wait for room for an answer no longer than so many seconds."""
    _worker.ROOM_SECONDS = seconds


def times(path):
    """Count a call in a file; return how many there were."""
    with Path(path).open("a") as file:
        file.write("x")
    return Path(path).stat().st_size


def kill_the_first(path, deaths):
    """Kill the worker, except after so many deaths; then return how many calls there were."""
    count = times(path)
    if count <= deaths:
        kill_self()
    return count


def fail_the_first(path, failures):
    """Raise OSError in the first few calls."""
    if times(path) <= failures:
        raise OSError("not yet")


def stop_then_tell(path):
    """Write the process id to a file, and stop."""
    Path(path).write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)


def tell_and_sleep(path):
    """Write the process id to a file, and sleep for a minute."""
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def leave_child_and_die(path):
    """Fork a child that lives on, with whatever descriptors the worker has, and kill the worker."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    Path(path).write_text(str(child))
    kill_self()


def add_in_place(array, number):
    """Add to an array."""
    array += number


def add(array, number):
    """Return a new array."""
    return array + number


def ones(nbytes):
    """Return so many bytes as an array."""
    return np.ones(nbytes, np.uint8)


def total(array):
    """Return the sum of an array."""
    return int(np.sum(array))


def same(what):
    """Return the argument."""
    return what


def fill(block, letter):
    """Fill a block."""
    block.buf[:] = letter * block.nbytes


def a_lambda():
    """Return what cannot be pickled."""
    return lambda: None


class Here(set):
    """A set that weak references can refer to."""


class Strange(Exception):
    """An error that cannot be unpickled, as its class wants two arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raise_strange():
    """Raise an error that cannot be unpickled."""
    raise Strange(1, 2)


class Stubborn(Exception):
    """An error that cannot be pickled."""

    def __reduce__(self):
        raise TypeError("no")


def raise_stubborn():
    """Raise an error that cannot be pickled."""
    raise Stubborn("so")


class Unpicklable:
    """Raises OSError when it is pickled."""

    def __reduce__(self):
        raise OSError("not to be pickled")


class WhenUnpickled:
    """Calls a function with arguments when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def inner_sum(count):
    """Use an executor in a worker, and leave it to the exit of the worker."""
    import blockpool

    executor = blockpool.Executor(1)
    return sum(executor.map(double, range(count)))


# --- of tests of queues ---


def echo(there, back):
    """Put back what comes, up to a None."""
    while True:
        item = there.get()
        back.put(item)
        if item is None:
            return


def add_ones(there, back):
    """Add one to an array that comes."""
    array = there.get()
    array += 1
    back.put("added")


def put_many(queue, count, then=""):
    """Put so many numbers."""
    for number in range(count):
        queue.put(number)
    if then == "cancel":
        queue.cancel_join_thread()
    elif then == "sleep":
        time.sleep(60)
    elif then:
        then.get()  # tells that all was put


def put_for_ever(queue):
    """Put until killed."""
    while True:
        queue.put(np.ones(100))


def get_for_ever(queue):
    """Receive until killed."""
    while True:
        queue.get()


def get_and_sleep(queue, back):
    """Receive an item, tell, and sleep."""
    back.put(queue.get())
    time.sleep(60)


def use_a_queue(back):
    """Put the id of the pool that a queue made here has."""
    from blockpool import multiprocessing

    multiprocessing.Queue()
    back.put(multiprocessing.default_pool().allocate().handle.pool_id)
