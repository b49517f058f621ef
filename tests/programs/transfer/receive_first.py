"""Receive the first arrays of a process in several threads at the same moment, and answer each with one that is more.

Arguments: the messages, in hexadecimal. Prints a line for each answer, how many changes of multiprocessing and its
imports there are, and how many arrays were copied into the pool.
"""

import pickle
import sys
import threading

import blockpool.multiprocessing as carrier
from blockpool import _patches
from transfers import packed

messages = [bytes.fromhex(message) for message in sys.argv[1:]]
barrier = threading.Barrier(len(messages))


def receive(message):
    """Receive an array when all other threads do, and print the answer."""
    barrier.wait()
    print(packed(pickle.loads(message) + 1).hex() + "\n", end="")


threads = [threading.Thread(target=receive, args=(message,)) for message in messages]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(_patches._undo), carrier.stats().copied)
