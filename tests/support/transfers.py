"""What the tests of transfers have in common: messages, and how they are sent."""

import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np

import blockpool as bp


def packed(message):
    """Pickle a message as queues and pipes do; return the bytes."""
    return bytes(ForkingPickler.dumps(message))


def carry(message):
    """Send a message to this process itself as a queue or pipe would; return what arrives."""
    return ForkingPickler.loads(ForkingPickler.dumps(message))


def send(data, pool, way):
    """Send data to this process itself: in a queue of the pool, under a ticket ("put"), or as a pipe would."""
    if way == "queue":
        queue = pool.queue()
        queue.put(data)
        got = queue.get()
        queue.close()
        return got
    return bp.get(bp.put(data, pool)) if way == "put" else carry(data)


def is_right(message):
    """Say whether a message, which is an array or a buffer or a list of these, is all ones of eight bytes."""
    return all((np.frombuffer(each, "f8") == 1).all() for each in (message if isinstance(message, list) else [message]))


class Unsendable:
    """An object that cannot be pickled, and that may do something before it raises."""

    def __init__(self, act=lambda: None):
        self.act = act

    def __reduce__(self):
        self.act()
        raise ZeroDivisionError


class Buffered(bytearray):
    """Bytes that go out of band where the pickle protocol allows it."""

    def __reduce_ex__(self, protocol):
        return bytearray, (pickle.PickleBuffer(self) if protocol >= 5 else bytes(self),)
