"""A replacement for `multiprocessing.shared_memory`: the same names, arguments and errors, on top of pools.

>>> from blockpool.shared_memory import SharedMemory
>>> made = SharedMemory(create=True, size=100)
>>> made.buf[:5] = b"hello"
>>> attached = SharedMemory(made.name)  # here, or in any process of this user
>>> bytes(attached.buf[:5])
b'hello'
>>> made.close()
>>> attached.unlink()

Differences from the standard library:

- There is no resource tracker. Attaching a segment never destroys it, and a killed program leaves no segment with an
  automatic name behind.
- A view, including `buf` itself, may outlive `close`: memory is unmapped when the last view is gone. `close` never
  raises BufferError, and an array of a closed segment never crashes.
- `unlink` removes the object's own segment, never another one that has taken its name since.
- A segment that the machine cannot hold is refused when it is created (`PoolExhausted`, a MemoryError), instead of
  ending in SIGBUS later.
- A segment with an automatic name ends at the latest when no process is left that created or attached it, or was forked
  from one that did. A segment with a given name stays until it is unlinked.
- Given names are 1 to 176 letters, digits, '_', '-' and '.'.
- At most 256 processes can have a segment at a time. The small segments with automatic names that one process creates
  share a pool, so this limit applies to all of them together.
- If another process unlinks a large segment (more than 4 MiB) with an automatic name, its creator drops the memory when
  it next creates, closes or unlinks a segment.
"""

from __future__ import annotations

import operator
import struct
from contextlib import suppress
from itertools import accumulate
from multiprocessing import managers
from multiprocessing import shared_memory as _standard
from typing import TYPE_CHECKING, Any, cast

from blockpool import _segments
from blockpool.errors import BlockPoolError, PoolNotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blockpool import Block

__all__ = ["ShareableList", "SharedMemory", "SharedMemoryManager"]


# A list in a segment: how it stores an item that is not a str or bytes, and the code for an item's kind.
_WORD = 8
_FORMATS = {int: "q", float: "d", bool: "xxxxxxx?", type(None): "xxxxxx?x"}
_KINDS: list[tuple[int, type]] = [(1, str), (2, bytes), (3, type(None))]  # any other type is 0


class SharedMemory:
    """A segment of memory that processes share by its name.

    Parameters
    ----------
    name : str, optional
        Name of the segment. Without one, a new segment gets an automatic name.
    create : bool
        Create a new segment, of zeros, instead of attaching one.
    size : int
        Length of a new segment in bytes; ignored when attaching.
    track : bool
        Accepted and ignored: nothing is tracked.

    Raises
    ------
    FileExistsError
        If the segment to be created exists already (`PoolExists`).
    FileNotFoundError
        If there is no segment with that name (`PoolNotFound`).
    MemoryError
        If the machine does not have enough memory left (`PoolExhausted`).
    PermissionError
        If the segment belongs to another user (`PoolForbidden`).
    TimeoutError
        If another process kept this one waiting too long; it may be stopped (`PoolBusy`).
    TooManyProcesses, PoolCorrupt, PoolVersion
        If the segment cannot be attached, as for `blockpool.Pool.attach`.
    ValueError, TypeError
        If an argument has the wrong type or is out of range.
    OSError
        If there is no free file descriptor, no ``/proc`` or, for a given name, no ``/dev/shm``.

    Notes
    -----
    May be used from any thread. A forked child has the segments of its parent.
    """

    _block: Block | None = None
    _buf: memoryview | None = None

    def __init__(
        self,
        name: str | None = None,
        create: bool = False,  # noqa: FBT001, FBT002 - as in the standard library
        size: int = 0,
        *,
        track: bool = True,  # noqa: ARG002 - as in the standard library
    ) -> None:
        size = operator.index(size)
        if size < 0 or (create and size == 0):
            raise ValueError(f"size must be a positive number of bytes, not {size}")
        if create:
            made, block = _segments.make(name, size)
        elif name is None:
            raise ValueError("name must be given to attach a segment; or create=True makes one")
        else:
            made, block = name, _segments.take(name)
        try:
            self._name = made
            self._handle = block.handle
            self._size = block.nbytes
            self._buf = block.buf
            self._block = block
        except BaseException:
            if create:  # nobody knows its name
                _segments.discard(block)
            raise

    @property
    def name(self) -> str:
        """The name with which any process of this user can attach the segment."""
        return self._name

    @property
    def size(self) -> int:
        """Length in bytes, as requested."""
        return self._size

    @property
    def buf(self) -> memoryview | None:
        """A writable memoryview of the segment, the same one each time; None after `close`.

        The view, and whatever is made from it (slices, arrays), keeps the memory, even after `close` and `unlink`.

        Raises
        ------
        PoolClosed, TooManyProcesses, PoolBusy
            If this process is a forked child without a part in the segment's pool.
        """
        if self._block is not None:
            self._block.buf  # noqa: B018 - raises in a forked process that has no part in the segment
        return self._buf

    def close(self) -> None:
        """Finish using this object. The segment stays, and so does the memory of existing views."""
        self._block = self._buf = None
        _segments.tidy()

    def unlink(self) -> None:
        """Remove the segment's name. Call it once, in any process; the memory is freed with its last user.

        Raises
        ------
        FileNotFoundError
            If the name was removed before (`PoolNotFound`).
        TimeoutError
            If another process kept this one waiting too long; it may be stopped (`PoolBusy`).
        """
        _segments.remove(self._handle, self._block)

    def __reduce__(self) -> tuple[type[SharedMemory], tuple[str, bool, int]]:
        return type(self), (self._name, False, self._size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name!r}, size={self._size})"


class ShareableList(_standard.ShareableList[Any]):
    """A list of fixed length in a segment; its items are int, float, bool, str, bytes or None.

    It is the standard library's class, with the same bytes, on a segment of this module. Two things differ: a str whose
    encoding needs more room than the standard library gives it is not cut off, and nothing is created if an item cannot
    be stored. Zero bytes at the end of a bytes or str are lost, as in the standard library.

    Parameters
    ----------
    sequence : iterable, optional
        Items of a new list.
    name : str, optional
        Name of the segment. Without `sequence`, the list in that segment is attached.

    Raises
    ------
    FileExistsError, FileNotFoundError, MemoryError, PermissionError, TimeoutError, OSError
        As for `SharedMemory`.
    KeyError, struct.error
        If an item has another type, or is an int of more than 64 bits.
    ValueError
        If the segment does not hold a list.
    """

    shm: SharedMemory  # type: ignore[assignment]

    def __init__(self, sequence: Iterable[Any] | None = None, *, name: str | None = None) -> None:
        if sequence is None and name is not None:
            self.shm = SharedMemory(name)
        else:
            image = _image(sequence)
            self.shm = SharedMemory(name, create=True, size=len(image))
            _fill(self.shm, image)
        # what the methods of the standard library's class use
        view = cast("memoryview", self.shm.buf)
        self._list_len = struct.unpack_from("q", view)[0] if len(view) >= _WORD else -1
        if not 0 <= self._list_len <= len(view) // _WORD - 2:
            raise ValueError(f"segment {self.shm.name!r} holds no ShareableList; pass the name of one, or a sequence")
        self._allocated_offsets = list(struct.unpack_from(f"{self._list_len + 1}q", view, _WORD))


def _image(sequence: Iterable[Any] | None) -> bytes:
    """Return the bytes of a list: length, offsets, items, their formats, and their kinds."""
    originals = [] if sequence is None else list(sequence)
    items = [item.encode() if isinstance(item, str) else item for item in originals]
    formats = [
        # at least one byte more than the original's length, and enough for its encoding
        f"{_WORD * max(len(original) // _WORD + 1, -(-len(item) // _WORD))}s"
        if isinstance(item, bytes)
        else _FORMATS[type(item)]
        for original, item in zip(originals, items, strict=True)
    ]
    offsets = accumulate(map(struct.calcsize, formats), initial=0)
    kinds = [next((kind for kind, of in _KINDS if isinstance(item, of)), 0) for item in originals]
    n = len(items)
    return struct.pack(
        f"{n + 2}q{''.join(formats)}{n * '8s'}{n}b",
        *(n, *offsets, *items, *map(str.encode, formats), *kinds),
    )


def _fill(shm: SharedMemory, image: bytes) -> None:
    cast("memoryview", shm.buf)[:] = image


class _Server(managers.Server):
    """What runs in the manager's process."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.public = [*self.public, "make_segment"]
        self._names: list[str] = []

    def make_segment(self, _connection: object, size: int) -> str | Exception:
        """Create a segment; return its name, or the error: if raised, it would not reach the caller as it is."""
        try:
            made = SharedMemory(create=True, size=size)
        except (BlockPoolError, OSError, TypeError, ValueError) as error:
            return error
        self._names.append(made.name)
        return made.name

    def shutdown(self, c: Any) -> None:
        for name in self._names:
            with suppress(PoolNotFound):  # a user may have unlinked it
                SharedMemory(name).unlink()
        super().shutdown(c)


def _begin_server(initializer: Callable[..., object] | None, initargs: Iterable[Any]) -> None:
    _segments.start_afresh()
    if initializer is not None:
        initializer(*initargs)


class SharedMemoryManager(managers.SharedMemoryManager):
    """Segments that end together: at the end of the ``with``, at `shutdown`, or with the manager's process.

    It is used like `multiprocessing.managers.SharedMemoryManager`. The manager's process creates the segments in pools
    of its own. If it is killed, memory that no process has attached is freed at once, and the rest with its last user.

    Parameters
    ----------
    *args, **options
        As for `multiprocessing.managers.BaseManager`.
    """

    _Server = _Server
    _Client: Any
    _address: Any
    _authkey: bytes

    def __init__(self, *args: Any, **options: Any) -> None:
        # not that of the standard library's class, which starts a resource tracker
        managers.BaseManager.__init__(self, *args, **options)

    def start(self, initializer: Callable[..., object] | None = None, initargs: Iterable[Any] = ()) -> None:
        """Start the manager's process.

        Parameters
        ----------
        initializer : callable, optional
            Called in the manager's process first.
        initargs : iterable
            The arguments of `initializer`.

        Raises
        ------
        TypeError
            If `initializer` is not callable.
        """
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        super().start(_begin_server, (initializer, initargs))

    def SharedMemory(self, size: int) -> SharedMemory:  # type: ignore[override]  # noqa: N802
        """Return a new segment with an automatic name.

        Parameters
        ----------
        size : int
            Length of the segment in bytes.

        Returns
        -------
        SharedMemory
            The segment, attached to this process.

        Raises
        ------
        MemoryError, TypeError, ValueError, OSError
            As for the class `SharedMemory`.
        """
        with self._Client(self._address, authkey=self._authkey) as connection:
            made = managers.dispatch(connection, None, "make_segment", (size,))  # type: ignore[attr-defined]
        if isinstance(made, Exception):
            raise made
        return SharedMemory(made)

    def ShareableList(self, sequence: Iterable[Any] | None) -> ShareableList:  # noqa: N802
        """Return a new list in a segment with an automatic name.

        Parameters
        ----------
        sequence : iterable, optional
            The items of the list.

        Returns
        -------
        ShareableList
            The list, attached to this process.

        Raises
        ------
        KeyError, struct.error, MemoryError, OSError
            As for the class `ShareableList`.
        """
        image = _image(sequence)
        segment = self.SharedMemory(len(image))
        _fill(segment, image)
        return ShareableList(name=segment.name)
