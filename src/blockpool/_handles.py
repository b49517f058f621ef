"""Names of runs in shared pools, as they travel between processes; and how a pool without a name is found."""

from __future__ import annotations

import errno
import os
import re
import stat

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,180}")
_TEXT = re.compile(
    r"blockpool-(?P<kind>handle|ticket):(?P<id>[0-9a-f]{32}):(?P<index>[0-9]{1,8}):(?P<generation>[0-9]{1,13}):"
    r"(?P<process>[0-9]{1,10}):(?P<name>[A-Za-z0-9_.-]{0,180})"
)

_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


# What the search for a pool may find missing, and the remedy.
NO_DESCRIPTOR = (
    "no file descriptor is free; close files, or raise the limit of this process (ulimit -n) or of the system "
    "(fs.file-max)"
)
NO_PROC = "there is no /proc that shows this process, and the library needs it; mount it"


class Handle:
    """The name of a run in a shared pool, from `Block.handle`. It can be redeemed while some process holds the run.

    A handle does not keep the run allocated. It can be pickled, and turned into `str` or `bytes` and back (`parse`).
    Equal handles name the same run.

    Attributes
    ----------
    pool_id : str
        The pool's random id: 32 hexadecimal digits.
    index : int
        The block at which the run begins.
    generation : int
        How many runs have begun at that block so far, including this one.
    process : int
        Id of the process that made the handle; a pool without a name is looked for there first.
    name : str or None
        Name of the pool, if it has one.
    """

    __slots__ = ("generation", "index", "name", "pool_id", "process")
    _kind = "handle"

    def __init__(self, pool_id: str, index: int, generation: int, process: int, name: str | None) -> None:
        self.pool_id = pool_id
        self.index = index
        self.generation = generation
        self.process = process
        self.name = name

    @staticmethod
    def parse(text: str | bytes | Handle) -> Handle:
        """Return the handle or ticket that a text stands for.

        Parameters
        ----------
        text : str, bytes or Handle
            What `str` or `bytes` made of a handle or ticket. Of a Handle its text is parsed, so one that was made or
            changed by hand is checked too.

        Returns
        -------
        Handle or Ticket
            One equal to the handle or ticket that the text came from.

        Raises
        ------
        ValueError
            If the text does not stand for a handle or ticket.
        TypeError
            If it is something else.
        """
        if isinstance(text, Handle):
            try:
                text = str(text)
            except AttributeError as error:
                raise ValueError(
                    f"this {type(text).__name__} lacks a part ({error}); pass what Block.handle or Block.share() gave"
                ) from None
        if isinstance(text, (bytes, bytearray, memoryview)):
            text = bytes(text).decode("ascii", "replace")
        if not isinstance(text, str):
            raise TypeError(f"a handle or ticket must be one, or its str or bytes, not {type(text).__name__}")
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r:.80} is not a handle or ticket; pass what Block.handle or Block.share() gave")
        kind = Ticket if match["kind"] == "ticket" else Handle
        return kind(
            match["id"],
            int(match["index"]),
            int(match["generation"]),
            int(match["process"]),
            match["name"] or None,
        )

    def __str__(self) -> str:
        numbers = f"{self.index}:{self.generation}:{self.process}"
        return f"blockpool-{self._kind}:{self.pool_id}:{numbers}:{self.name or ''}"

    def __bytes__(self) -> bytes:
        return str(self).encode("ascii")

    def __repr__(self) -> str:
        return f"<{self}>"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Handle.parse, (str(self),)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Handle) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, str, int, int]:
        return self._kind, self.pool_id, self.index, self.generation


class Ticket(Handle):
    """The name of a run with references in flight, which were taken when the ticket was made; see `Block.share`.

    The tickets of one run are not distinguished: redeeming one too often uses up the references of another. When there
    are none left, a ticket behaves like a handle.

    Attributes
    ----------
    pool_id, index, generation, process, name
        As in `Handle`.
    """

    __slots__ = ()
    _kind = "ticket"

    @property
    def handle(self) -> Handle:
        """The name of the run alone, which can be redeemed while some process holds the run."""
        return Handle(self.pool_id, self.index, self.generation, self.process, self.name)


def file_name(name: object) -> str:
    """Return the file name of the pool that has a name; raise TypeError or ValueError if no pool can have it."""
    return f"blockpool.{name_of(name)}"


def name_of(name: object) -> str:
    """Return the name of a pool or block as it was given; raise TypeError or ValueError if none can have it."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"name must be 1 to 180 letters, digits, '_', '-' and '.', not {name!r:.60}")
    return name


def foreign(name: str | None) -> str:
    """Describe a file that has a pool's name but is not a pool, and what to do about it."""
    if name is None:
        return "the file holds something else"
    path = f"/dev/shm/{file_name(name)}"  # noqa: S108 - where pools are
    try:
        found = os.lstat(path)
    except OSError:
        return "something else had the name, and is gone now; try again"
    if stat.S_ISDIR(found.st_mode):
        return f"a directory has the name; choose another name, or remove {path}"
    if stat.S_ISREG(found.st_mode):
        what = f"a file of {found.st_size} bytes that holds something else"
    else:
        what = _KINDS.get(stat.S_IFMT(found.st_mode), "a special file")
    return f"{what} has the name; choose another name, or remove it with blockpool.unlink({name!r})"


# Where pools were found: which descriptor of which process has the pool of an id. A process that receives block after
# block and keeps none attaches for each, and the kernel takes long to list processes, and the descriptors of a server.
_found: dict[tuple[str, int], int] = {}
_MOST_FOUND = 100


def find_descriptor(pool_id: str, process: int) -> Iterator[tuple[int, int]]:
    """Yield (process, descriptor) wherever the memory of a pool without a name is open, the given process first.

    If it was found in that process before, it is looked for at that place first, and may come twice.
    """
    target = f"/memfd:blockpool-{pool_id} (deleted)"
    before = _found.get((pool_id, process))
    if before is not None and _read_link(f"/proc/{process}/fd/{before}") == target:
        yield process, before
    own = os.geteuid()
    for candidate in _processes(process):
        folder = f"/proc/{candidate}/fd"
        try:
            if os.stat(folder).st_uid != own:
                continue
            for entry in os.listdir(folder):
                if _read_link(f"{folder}/{entry}") == target:
                    if len(_found) >= _MOST_FOUND:
                        _found.clear()
                    _found[pool_id, candidate] = int(entry)
                    yield candidate, int(entry)
                    break
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise OSError(error.errno, f"the pool: {error.strerror}: {NO_DESCRIPTOR}") from None
            # otherwise the process is gone, or we may not look at it


def _processes(first: int) -> Iterator[int]:
    """Yield the first process, which usually has what is looked for, and then all others."""
    yield first
    if not os.path.isdir("/proc/self/fd"):
        raise OSError(errno.ENOSYS, f"the pool: {NO_PROC}")
    try:
        others = [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
    except OSError as error:
        raise OSError(error.errno, f"the pool: {error.strerror}: {NO_DESCRIPTOR}") from None
    yield from (other for other in others if other != first)


def why_not_found(process: int) -> str:
    """Return why a pool without a name, of something that the process sent, is not found, as far as can be told."""
    gone = "its last process ended, or dropped its Pool, before this was received"
    remedy = (
        "keep the Pool open, for example in the parent, until all is received, or create it with a name and "
        "permanent=True"
    )
    try:
        owner, own = os.stat(f"/proc/{process}").st_uid, os.geteuid()
        if owner == own:
            os.listdir(f"/proc/{process}/fd")
            return f"the pool is gone: {gone}; {remedy}"
        hidden = f"is a process of user {owner}, and only processes of the same user (here {own}) can share a pool"
    except FileNotFoundError:
        hidden = "runs in another PID namespace (a container), into which this process cannot look"
    except OSError as error:
        hidden = f"cannot be looked into: {error.strerror}"
    return (
        f"no process that can be looked into has the pool: {gone}; or process {process}, which sent it, {hidden}; "
        f"{remedy}"
    )


def _read_link(path: str) -> str | None:
    """Return what the link points to; None if it is gone, as the process may close the file at any time."""
    try:
        return os.readlink(path)
    except OSError:
        return None
