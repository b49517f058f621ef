"""What a worker of `blockpool.Executor` does, and how calls and what comes of them are packed.

A call is pickled on its own, and the message to the worker has its bytes. So neither the executor's process nor a
queue runs code of the program when it passes a message on, and an error in unpickling belongs to one call.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
import threading
import traceback
from multiprocessing import process
from queue import Full

from blockpool import _sending
from blockpool._core import Block, pool_of
from blockpool.errors import PoolExhausted

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    # a pickle, its parts, and where those are that were spilled: a process and its descriptor
    Parcel = tuple[Any, list[Any], tuple[int, int] | None]

# What a message to the executor is about; then comes the worker's number.
READY, FAILED, RESULT, ERROR = range(4)

# How long room for an answer may be waited for, before the call fails for want of it.
ROOM_SECONDS = 10.0

# The exit code of a worker that found no room for the error either: EX_TEMPFAIL of sysexits.h.
NO_ROOM = 75

_LARGE = 1 << 16

# What a buffer is when it arrives.
_BUFFERS = frozenset({memoryview, bytes, bytearray})


# --- packing ---


class _Parts(threading.local):
    """The parts of what this thread is unpacking."""

    parts: list[Any]


_unpacking = _Parts()


def _part(index: int) -> Any:
    """Return a part of what is being unpacked; a pickle calls this."""
    return _unpacking.parts[index]


class _Pickler(pickle.Pickler):
    """A pickler that notes what is passed on in another way: blocks, arrays of a pool, and buffers."""

    def __init__(self, file: io.BytesIO, parts: list[Any]) -> None:
        super().__init__(file, 5, buffer_callback=parts.append)
        self.parts = parts
        self.array = getattr(sys.modules.get("numpy"), "ndarray", None)

    def reducer_override(self, what: Any) -> Any:
        kind = type(what)
        if kind is Block or (kind is self.array and pool_of(what) is not None):
            self.parts.append(what)
            return _part, (len(self.parts) - 1,)
        if kind is memoryview:
            return memoryview, (pickle.PickleBuffer(what),)
        reducer = _sending.registered.get(kind)
        return NotImplemented if reducer is None or kind is self.array else reducer(what)


def pack(what: object) -> Parcel:
    """Pickle an object; return the bytes, and its parts: buffers and what queues carry in their own way.

    It takes no references, so there is nothing to undo if it fails, or if the parcel is dropped.
    """
    parts: list[Any] = []
    file = io.BytesIO()
    _Pickler(file, parts).dump(what)
    pickled = file.getvalue()
    return (pickled if len(pickled) < _LARGE else pickle.PickleBuffer(pickled)), parts, None


def spill(parcel: Parcel) -> tuple[Parcel, int]:
    """Write what takes room in the pool to a file in memory; return the parcel without it, and the file.

    The receiver finds it by `fetch`, until the file is closed.
    """
    pickled, parts, _ = parcel
    file = os.memfd_create("blockpool-parcel")
    size = 0

    def write(buffer: pickle.PickleBuffer) -> tuple[int, int]:
        nonlocal size
        view = buffer.raw()
        begin = size
        while size < begin + view.nbytes:
            size += os.write(file, view[size - begin :])
        return begin, size

    try:
        if type(pickled) is pickle.PickleBuffer:
            pickled = write(pickled)
        parts = [
            write(part) if type(part) is pickle.PickleBuffer and pool_of(part.raw()) is None else part for part in parts
        ]
    except BaseException:
        os.close(file)
        raise
    return (pickled, parts, (os.getpid(), file)), file


def fetch(parcel: Parcel) -> Parcel:
    """Read what was spilled; raise FileNotFoundError if its sender is gone."""
    pickled, parts, place = parcel
    if place is None:
        return parcel
    process, number = place
    with open(f"/proc/{process}/fd/{number}", "rb", buffering=0) as file:  # noqa: PTH123 - no path of the program's
        whole = memoryview(bytearray(os.fstat(file.fileno()).st_size))
        done = 0
        while done < len(whole):
            done += file.readinto(whole[done:])
    if type(pickled) is tuple:
        pickled = whole[slice(*pickled)]
    return pickled, [whole[slice(*part)] if type(part) is tuple else part for part in parts], None


def unpack(pickled: Any, parts: list[Any], _place: tuple[int, int] | None = None) -> Any:
    """Return the object that was packed."""
    outer = getattr(_unpacking, "parts", None)
    _unpacking.parts = parts
    try:
        return pickle.loads(pickled, buffers=[part for part in parts if type(part) in _BUFFERS])  # noqa: S301 - ours
    finally:
        if outer is None:
            del _unpacking.parts
        else:
            _unpacking.parts = outer


class RemoteTraceback(Exception):
    """The traceback of an error in a worker, as text; it is the cause of the error here."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


def pack_error(error: BaseException) -> Parcel:
    """Pack an error and its traceback, as text; if it cannot be pickled, the error in that instead."""
    text = "".join(traceback.format_exception(error))
    try:
        return pack((pack(error), text))
    except BaseException as second:  # noqa: BLE001 - whatever its __reduce__ raises
        return pack((pack(TypeError(f"the task's error cannot be pickled: {_describe(second)}")), text))


def unpack_error(pickled: Any, parts: list[Any], _place: tuple[int, int] | None = None) -> BaseException:
    """Return the error that was packed; its cause is its traceback."""
    packed, text = unpack(pickled, parts)
    try:
        error: BaseException = unpack(*packed)
        if not isinstance(error, BaseException):
            raise TypeError(f"it became an object of type {type(error).__name__}")  # noqa: TRY301 - one remedy for all
    except BaseException as second:  # noqa: BLE001 - whatever its class raises
        error = TypeError(f"the task's error cannot be unpickled: {_describe(second)}")
    error.__cause__ = RemoteTraceback(text)
    return error


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


# --- the worker ---


class _Interrupts:
    """Lets Ctrl-C end the call that is running, and nothing else."""

    __slots__ = ("running",)

    def __init__(self) -> None:
        self.running = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.running:
            self.running = False
            raise KeyboardInterrupt

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        self.running = True
        try:
            return function(*arguments, **keywords)
        finally:
            self.running = False


def work(
    channels: bytes,
    number: int,
    executor: int,
    initializer: Callable[..., object] | None,
    initargs: tuple[Any, ...],
) -> None:
    """Make calls until told to end.

    Parameters
    ----------
    channels : bytes
        The pickled queues: from the executor, and to it.
    number : int
        The worker's.
    executor : int
        The process of the executor. When it ends, this one does.
    initializer, initargs
        What to call first.
    """
    _end_with(executor)
    interrupts = _Interrupts()
    calls, answers = pickle.loads(channels)  # noqa: S301 - the executor made them
    pool = calls.pool  # noqa: F841 - while it exists, pool_of() knows what is in it
    spilled = -1
    if initializer is not None:
        try:
            interrupts.call(initializer, initargs, {})
        except BaseException as error:  # noqa: BLE001 - the executor has to know
            _answer(answers, FAILED, number, pack_error(error))
            return
    answers.put((READY, number))
    while (parcel := calls.get()) is not None:
        if spilled >= 0:
            os.close(spilled)  # the executor has read the last answer
        kind, parcel = _make_call(interrupts, parcel)
        spilled = _answer(answers, kind, number, parcel)
        del parcel


def _make_call(interrupts: _Interrupts, parcel: Parcel) -> tuple[int, Parcel]:
    """Make a call; return what came of it. No frame that outlives this one refers to the arguments or the result."""
    try:
        call = unpack(*fetch(parcel))
        del parcel
        return RESULT, pack(interrupts.call(*call))
    except BaseException as error:  # noqa: BLE001 - it is the task's, whatever it is
        if error.__traceback__ is not None:
            error.__traceback__ = error.__traceback__.tb_next  # without this function
        return ERROR, pack_error(error)


def _answer(answers: Any, kind: int, number: int, parcel: Parcel) -> int:
    """Send an answer, or the error that it cannot be sent; return the file that it spilled to, or -1."""
    spilled = -1
    try:
        try:
            answers.put((kind, number, *parcel), block=False)
        except (Full, PoolExhausted):
            parcel, spilled = spill(parcel)
            answers.put((kind, number, *parcel), timeout=ROOM_SECONDS)
    except BaseException as error:  # noqa: BLE001 - no room for anything, or a part that cannot be put
        try:
            answers.put((ERROR, number, *pack_error(error)), timeout=ROOM_SECONDS)
        except BaseException:  # noqa: BLE001 - the exit code tells the executor
            os._exit(NO_ROOM)
    return spilled


def _end_with(executor: int) -> None:
    """End this process when the executor's ends, also in the middle of a call: nobody waits for it."""
    ends = select.poll()
    try:
        ends.register(os.pidfd_open(executor), select.POLLIN)
    except ProcessLookupError:
        os._exit(1)
    except OSError:  # not in every sandbox
        parent = process.parent_process()
        if parent is None:
            return
        ends.register(parent.sentinel, select.POLLIN)

    def wait() -> None:
        ends.poll()
        os._exit(1)

    threading.Thread(target=wait, name="blockpool-executor-ends", daemon=True).start()
