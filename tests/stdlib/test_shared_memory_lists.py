"""`ShareableList` and `SharedMemoryManager` of `blockpool.shared_memory`."""

import os
import pickle
import signal
import struct
from importlib import import_module
from multiprocessing import get_context

import pytest

import blockpool as bp
from blockpool.shared_memory import ShareableList, SharedMemory, SharedMemoryManager
from segments import IMPORT, ITEMS, LARGE, await_gone, is_anywhere

# --- lists ---


def test_a_list_across_processes(attacher):
    """Two processes read and write one list, which the other attaches by its name or by a pickle."""
    made = ShareableList(ITEMS)
    attacher(f"there = ShareableList(name={made.shm.name!r})")
    attacher(f"also = pickle.loads({pickle.dumps(made)!r})")
    assert attacher("list(there)") == attacher("list(also)") == list(made) == ITEMS
    attacher("there[0] = 'new'")
    assert (made[0], attacher("also[0]")) == ("new", "new")
    made[2] = 3.5
    assert attacher("there[2], len(there), there.index(3.5), there.count(None)") == (3.5, 12, 2, 1)
    attacher("there.shm.unlink()")
    with pytest.raises(FileNotFoundError):
        ShareableList(name=made.shm.name)


def test_the_bytes_are_those_of_the_standard_library(run_program):
    """A list has the same bytes as one of the standard library with the same items."""
    run_program("stdlib/bytes_of_lists.py")


@pytest.mark.parametrize("text", ["é" * 5, "é" * 9, "é" * 16, "𝄞" * 7, "日本語" * 100])
def test_no_text_is_cut_off(text):
    """Text whose encoding is much longer than itself is stored whole, unlike in the standard library."""
    made = ShareableList([text, "after"])
    assert list(made) == [text, "after"]
    made.shm.unlink()


@pytest.mark.parametrize("module", ["blockpool.shared_memory", "multiprocessing.shared_memory"])
def test_zeros_at_the_end_are_lost(module):
    """Zeros at the end of text and bytes are lost, as in the standard library, whose format this is."""
    made = import_module(module).ShareableList([b"a\0", b"\0", "a\0", b"\0a", 7])
    assert list(made) == [b"a", b"", "a", b"\0a", 7]
    made.shm.close()
    made.shm.unlink()


@pytest.mark.parametrize(("item", "error"), [([], KeyError), (2**63, struct.error), ("\ud800", UnicodeEncodeError)])
def test_what_cannot_be_stored(pool_name, item, error):
    """An item that cannot be stored raises an error before a segment is made, and the name stays free."""
    with pytest.raises(error):
        ShareableList([1, item], name=pool_name)
    with pytest.raises(FileNotFoundError):
        ShareableList(name=pool_name)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, struct.pack("q", 99), struct.pack("q", 2**62)])
@pytest.mark.parametrize("size", [3, 8, 100])
def test_a_segment_that_is_no_list(content, size):
    """Attaching a segment that holds no list as a ShareableList raises ValueError, whatever its content."""
    made = SharedMemory(create=True, size=size)
    made.buf[: len(content[:size])] = content[:size]
    if size == 100 and not content:
        assert len(ShareableList(name=made.name)) == 0  # zeros are a list of no items
    else:
        with pytest.raises(ValueError, match="no ShareableList"):
            ShareableList(name=made.name)
    made.unlink()


def test_a_list_is_the_standard_librarys():
    """A ShareableList is an instance of the standard library's class, and can be subscripted as a type."""
    from multiprocessing import shared_memory as standard

    made = ShareableList(iter([1, 2]))
    assert isinstance(made, standard.ShareableList)
    assert isinstance(made.shm, SharedMemory)
    assert str(ShareableList[int]).endswith("ShareableList[int]")
    assert (repr(made), made.format) == (f"ShareableList([1, 2], name={made.shm.name!r})", "qq")
    made.shm.unlink()


# --- managers ---


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_segments_end_with_the_manager(method, attacher):
    """At the end of a manager's `with` its names are gone, while memory that is still attached stays."""
    with SharedMemoryManager(ctx=get_context(method)) as manager:
        made = [manager.SharedMemory(size) for size in (10, LARGE)]
        items = manager.ShareableList(range(5))
        names = [made[0].name, made[1].name, items.shm.name]
        made[0].buf[0] = 5
        assert attacher(f"SharedMemory({names[0]!r}).buf[0]") == 5
        assert list(ShareableList(name=names[2])) == list(items) == [0, 1, 2, 3, 4]
        assert (made[0].size, made[1].size) == (10, LARGE)
    for name in names:
        with pytest.raises(FileNotFoundError):
            SharedMemory(name)
    assert (made[0].buf[0], items[4]) == (5, 4)
    del made, items
    for name in names:
        await_gone(name)  # the manager's process may end a moment later than the `with`


def test_a_killed_manager_leaves_nothing_behind():
    """Of a killed manager's segments only those stay that a user has open, until the user closes them."""
    manager = SharedMemoryManager()
    manager.start()
    held, dropped, large = (manager.SharedMemory(size) for size in (10, LARGE, LARGE))
    names = [held.name, dropped.name, large.name]
    dropped.close()
    os.kill(manager._process.pid, signal.SIGKILL)
    manager._process.join()
    await_gone(names[1])
    assert [is_anywhere(name) for name in (names[0], names[2])] == [True, True]
    held.buf[0] = large.buf[0] = 1
    held.close()
    large.close()
    for name in names:
        await_gone(name)
    manager.shutdown()


def test_a_manager_has_pools_of_its_own():
    """The segments of a forked manager are not in the small pool of the process that started it."""
    made = SharedMemory(create=True, size=10)
    with SharedMemoryManager() as manager:
        other = manager.SharedMemory(10)
        assert bp.Handle.parse(other.name).pool_id != bp.Handle.parse(made.name).pool_id
    made.unlink()


def test_a_user_unlinks_a_managers_segment():
    """A manager's segment can be unlinked by a user; the others stay until the manager ends."""
    with SharedMemoryManager() as manager:
        made = [manager.SharedMemory(10) for _ in range(3)]
        made[1].unlink()
        with pytest.raises(FileNotFoundError):
            SharedMemory(made[1].name)
        SharedMemory(made[2].name).close()
    with pytest.raises(FileNotFoundError):
        SharedMemory(made[2].name)


def test_a_manager_says_what_is_wrong():
    """Errors in a manager reach its user with their usual type, and the manager goes on."""
    manager = SharedMemoryManager()
    with pytest.raises(ValueError):
        manager.SharedMemory(10)  # not started
    with manager:
        for size, error in (
            (0, ValueError),
            (-1, ValueError),
            ("1", TypeError),
            (1 << 45, MemoryError),
        ):
            with pytest.raises(error):
                manager.SharedMemory(size)
        with pytest.raises(KeyError):
            manager.ShareableList([[]])
        assert list(manager.ShareableList(None)) == []
        assert manager.SharedMemory(10).size == 10


def _note(path, text):
    """Write a text into a file."""
    path.write_text(text)


def test_a_managers_initializer(tmp_path):
    """A manager's initializer is called in its process; one that cannot be called raises TypeError."""
    note = tmp_path / "note"
    manager = SharedMemoryManager()
    with pytest.raises(TypeError):
        manager.start("no")
    manager.start(_note, (note, "called"))
    manager.SharedMemory(10)
    assert note.read_text() == "called"
    manager.shutdown()


def test_another_process_uses_the_manager(peers):
    """A segment that another process made through the manager stays when that process ends, until the manager does."""
    with SharedMemoryManager(authkey=b"key") as manager:
        attacher = peers()  # after the fork, or the manager would keep its standard input open
        attacher(IMPORT)
        attacher(f"other = SharedMemoryManager({manager.address!r}, b'key'); other.connect()")
        name = attacher("made = other.SharedMemory(10); made.buf[0] = 7; made.name")
        attacher.end()
        assert SharedMemory(name).buf[0] == 7
    await_gone(name)
    with pytest.raises(FileNotFoundError):
        SharedMemory(name)
