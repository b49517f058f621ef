"""What goes between two workers: references to memory of the pool that both are in, in place of the memory.

Dask serializes an object for each receiver, by *families* of functions: each makes a header and frames. Ours stand
before those of the families ``dask`` and ``pickle``. If the receiver is a member of the pool that this process is in,
large frames stay in the pool and the header has references to them; NumPy arrays are not made into frames at all.
Everything else is as Dask made it.

Whether the receiver is a member cannot be told by addresses: containers may have the same ones, and one machine has
several. It is told by the receiver: in the handshake of a connection each side gives the id of the pool that it has
attached. An id is 128 random bits, so a process that gives it has that very pool. Between hosts, ids differ or are
missing. The scheduler passes on what it receives without loading it, and so gives none.

A reference that cannot be redeemed (it was taken back, or its lifetime is over) ends like a message that was cut off:
Dask closes the connection, and fetches the data again.

Rejected: a communication backend of our own (``blockpool://``), because users would have to change every address, and
TLS would have to be made again; a family of our own, because the lists of families in Dask's settings, and in the
calls of other libraries, name those that there are.
"""

from __future__ import annotations

import pickle
from contextvars import ContextVar

from distributed.comm.core import Comm
from distributed.comm.tcp import TCP
from distributed.protocol import register_serialization_family
from distributed.protocol.serialize import families

from blockpool._core import _receive_array, _receive_buffer, take_back
from blockpool.dask import _member
from blockpool.errors import BlockPoolError

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Header = dict[str, Any]
    Sent = list[tuple[Any, ...]]

# The name of our fact in a handshake, and of our references in a header.
_OURS = "blockpool"

# What the messages that are being written have put in flight, by the id of the connection's `remote_info`; None where a
# message is to go as Dask makes it.
_writing: dict[int, Sent | None] = {}

# Messages of P2P rechunking and shuffling. Their receiver writes the data to a file and forgets it, so memory of a pool
# would be one more copy, in pages that are seldom used twice.
_P2P = "shuffle_receive"

# Where an object's copy in the pool is noted, by the object's id, for the worker that has stored the object.
copies: ContextVar[dict[int, tuple[Any, Any]] | None] = ContextVar("blockpool.dask.copies", default=None)


def _member_with(context: Any) -> _member.Member | None:
    """Return this process's member, if the receiver is in the same pool."""
    member = _member.current
    if member is None or not context:
        return None
    recipient = context.get("recipient")
    return member if recipient and recipient.get(_OURS) == member.id else None


def _note_copy(x: Any, copy: Callable[[], Any]) -> None:
    noted = copies.get()
    if noted is not None:
        noted[id(x)] = x, copy()


# --- serializing ---


def _dumps_over(before: Callable[..., Any], loads: Callable[..., Any]) -> Callable[..., Any]:
    """Make the function that stands before a family's."""

    def dumps(x: Any, context: Any = None) -> tuple[Header, list[Any]]:
        member = _member_with(context)
        if member is None:
            return before(x, context=context)  # type: ignore[no-any-return]
        sent = _writing.get(id(context["recipient"]), [])
        if sent is None:
            return before(x, context=context)  # type: ignore[no-any-return]
        if _member.is_array(x):
            found = member.array(x, sent)
            if found is not None:
                parts, copied = found
                if copied is not None:
                    _note_copy(x, lambda: copied)
                return {_OURS: pickle.dumps(parts)}, []
        header, frames = before(x, context=context)
        return _refer_to_frames(x, (header, list(frames)), member, sent, loads)

    return dumps


# Copies of these stand in for the originals that a worker has stored; what else may be unpickled to has an identity.
_VALUES = ("numpy", "pandas", "pyarrow")


def _refer_to_frames(
    x: Any, serialized: tuple[Header, list[Any]], member: _member.Member, sent: Sent, loads: Callable[..., Any]
) -> tuple[Header, list[Any]]:
    """Replace large frames of an object that was serialized by references."""
    header, frames = serialized
    references: dict[int, tuple[Any, ...]] = {}
    views: dict[int, memoryview] = {}
    for i, frame in enumerate(frames):
        found = member.frame(frame, sent)
        if found is not None:
            references[i], views[i] = found
    if not references:
        return header, frames
    if type(x).__module__.partition(".")[0] in _VALUES:
        all_frames = [views.get(i, frame) for i, frame in enumerate(frames)]
        _note_copy(x, lambda: loads(_readonly(header, references), all_frames))
    kept = [frame for i, frame in enumerate(frames) if i not in references]
    return {**header, _OURS: pickle.dumps(references)}, kept


# --- deserializing ---


def _loads_over(before: Callable[..., Any]) -> Callable[..., Any]:
    """Make the function that stands before a family's."""

    def loads(header: Header, frames: list[Any]) -> Any:
        if _OURS not in header:
            return before(header, frames)
        member = _member.current
        readonly = member is None or member.readonly
        references = pickle.loads(header[_OURS])  # noqa: S301 - as everything that Dask sends
        if type(references) is tuple:
            array = _redeemed(_receive_array, references)
            return array if readonly else array.copy(order="K")
        kept = iter(frames)
        all_frames = [
            _redeemed(_receive_buffer, references[i]) if i in references else next(kept)
            for i in range(len(frames) + len(references))
        ]
        return before(_readonly(header, references) if readonly else header, all_frames)

    return loads


def _redeemed(receive: Callable[..., Any], parts: tuple[Any, ...]) -> Any:
    try:
        return receive(*parts)
    except (BlockPoolError, OSError) as error:
        # the error for which Dask closes the connection and fetches the data again
        raise EOFError(f"memory of a pool that this message refers to is no longer there: {error}") from error


def _readonly(header: Header, references: Any) -> Header:
    """Return a header that says of the frames in the pool that they are read-only; Dask would copy them otherwise."""
    header = dict(header)
    if header.get("serializer") == "pickle" or "writeable" in header:
        # the first frame is the pickle, and has no flag
        flags = header.get("writeable", ())
        header["writeable"] = tuple(flag and i + 1 not in references for i, flag in enumerate(flags))
    inner = header.get("sub-header")
    if isinstance(inner, dict) and len(inner.get("writeable", ())) == 1:
        header["sub-header"] = {**inner, "writeable": [False]}
    return header


# --- connections ---


def _handshake_over(before: Callable[[Comm], dict[str, Any]]) -> Callable[[Comm], dict[str, Any]]:
    def handshake_info(self: Comm) -> dict[str, Any]:
        info = before(self)
        member = _member.current
        if member is not None and self.deserialize:
            info[_OURS] = member.id
        return info

    return handshake_info


def _write_over(before: Callable[..., Any]) -> Callable[..., Any]:
    async def write(self: Comm, msg: Any, *args: Any, **kwargs: Any) -> Any:
        if _member.current is None or _OURS not in self.remote_info:
            return await before(self, msg, *args, **kwargs)
        key = id(self.remote_info)
        sent: Sent = []
        _writing[key] = None if type(msg) is dict and msg.get("op") == _P2P else sent
        try:
            return await before(self, msg, *args, **kwargs)
        except BaseException:
            # The message counts as not sent, and its connection as closed.
            take_back(sent)
            raise
        finally:
            _writing.pop(key, None)

    return write


def _patch() -> None:
    for owner, name in ((Comm, "handshake_info"), (TCP, "write")):
        if not callable(getattr(owner, name, None)):
            raise ImportError(  # noqa: TRY004 - the library is another one than is needed
                f"blockpool.dask needs {owner.__module__}.{owner.__name__}.{name}, which the installed distributed "
                "does not have; install a version that the extra `dask` of blockpool names"
            )
    for name in ("dask", "pickle"):
        before, loads, _ = families[name]
        register_serialization_family(name, _dumps_over(before, loads), _loads_over(loads))
    # There is no public way to add a fact to the handshake of connections that come in.
    Comm.handshake_info = _handshake_over(Comm.handshake_info)
    TCP.write = _write_over(TCP.write)


_patch()
