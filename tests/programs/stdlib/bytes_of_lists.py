"""Compare the bytes of some lists with those that the standard library's ShareableList has."""

from multiprocessing import shared_memory as standard

from blockpool.shared_memory import ShareableList
from segments import ITEMS

for items in ([], ITEMS, range(100), [b"x" * n for n in range(40)]):
    ours, theirs = ShareableList(items), standard.ShareableList(items)
    assert bytes(theirs.shm.buf[: ours.shm.size]) == bytes(ours.shm.buf), items
    ours.shm.unlink()
    theirs.shm.close()
    theirs.shm.unlink()
