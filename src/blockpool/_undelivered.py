"""Messages that are not delivered: connections that nobody reads, and processes that cannot be started.

A message is taken back only if it is certain that nobody has it or ever will. A reference that is withdrawn although
its receiver comes is worse than one that stays until `recover`.
"""

from __future__ import annotations

import errno
from multiprocessing.connection import Connection

from blockpool import _sending, _starting
from blockpool._core import bytes_to_send, packed_behind, take_back, undelivered

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Errors that say that the reader's end is gone, in every process.
_NOBODY_READS = frozenset({errno.EPIPE, errno.ECONNRESET})
# The code that writes, of multiprocessing and of libraries made like it.
writing = {Connection._send.__code__}  # type: ignore[attr-defined]  # noqa: SLF001


def _was_cut_off(error: BaseException) -> bool:
    """Return whether the write itself failed because nobody reads: then no receiver has the message or ever will.

    The kernel did not take the last byte, or the write would not have failed. A receiver unpickles only a message that
    it has read completely, and the rest can never follow, as nobody has the other end any more. After other errors the
    message may still be received. So it may after an error that a signal handler raised, because that can come when
    everything was written.
    """
    if not isinstance(error, OSError) or error.errno not in _NOBODY_READS:
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_code in writing


def send_bytes_over(before: Any) -> Any:
    """Make the replacement of Connection._send_bytes, through which everything is sent."""

    def send_bytes(self: Connection, buf: Any) -> Any:
        packed = packed_behind(buf)
        if packed is None:
            return before(self, buf)
        try:
            return before(self, bytes_to_send(packed, buf))
        except OSError as error:
            if _was_cut_off(error):
                undelivered(packed)
            raise

    return send_bytes


def dump_over(spawning: Callable[[], Any], make: Callable[..., Any]) -> Callable[[Any], Any]:
    """Say how to replace ``reduction.dump``, which pickles what a process is started with; takes what is replaced.

    `spawning` returns the Popen object that is about to start a process, or None. `make` makes a pickler.
    """

    def over(before: Any) -> Any:
        def dump(obj: Any, file: Any, *arguments: Any, **options: Any) -> Any:
            route, process = _sending.current, spawning()
            if route is None or process is None:
                return before(obj, file, *arguments, **options)
            message = _sending.Message(route)
            pickler = make(file, *arguments, **options)
            message.reduce_in(pickler.dispatch_table)
            vars(process).setdefault("_sent", []).append(message.sent)  # for launch
            pickler.dump(_starting.with_route(obj, route))
            return None

        return dump

    return over


def launch_over(before: Any) -> Any:
    """Make the replacement of Popen._launch, which pickles a process, starts it, and then sends it the pickle."""

    def launch(self: Any, process: Any) -> Any:
        try:
            return before(self, process)
        except BaseException:
            # without these attributes there is no process, so the pickle was not sent
            if "pid" not in vars(self) and "sentinel" not in vars(self):
                for sent in vars(self).get("_sent", []):
                    take_back(sent)
            raise
        finally:
            vars(self).pop("_sent", None)

    return launch
