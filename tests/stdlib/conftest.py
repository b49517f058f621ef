"""What the tests of blockpool.shared_memory share: names, segments, and another process that attaches them."""

import itertools
import os

import pytest

from blockpool.shared_memory import SharedMemory
from segments import IMPORT, file_of_segment


@pytest.fixture
def names():
    """Give a function that returns names that no segment has; segments that have one of them afterwards are removed."""
    given, numbers = [], itertools.count()

    def new(length=0):
        some = (f"test-{os.getpid()}-{number}".ljust(length, "_") for number in numbers)
        given.append(next(name for name in some if not file_of_segment(name).exists()))  # of a process that had this id
        return given[-1]

    yield new
    for name in given:
        file_of_segment(name).unlink(missing_ok=True)


@pytest.fixture(params=["automatic", "given"])
def new_name(request, names):
    """Give a function that returns the name to make a segment with: None, then a new one."""
    return names if request.param == "given" else lambda: None


@pytest.fixture
def segment(new_name):
    """Make a segment of 100 bytes."""
    made = SharedMemory(new_name(), create=True, size=100)
    yield made
    made.close()


@pytest.fixture
def attacher(peer):
    """Start another process that has the names of blockpool.shared_memory."""
    peer(IMPORT)
    return peer
