"""Debug mode of a shared pool: the words for what the pool's own bookkeeping finds, and the stacks that it keeps.

The memory is filled and checked in C, by whichever process allocates or frees (core/src/shared/sites.h). The segment
keeps who allocated and freed each run, with a short text of the stack, so every process can tell, also of a dead one.
The patterns and the words are those of `blockpool._debug`, but nothing rests in a quarantine: what is freed may be
allocated again at once, by any process, and a late write that comes after that goes to its next owner.
"""

from __future__ import annotations

import sys
from _thread import get_native_id

from blockpool._debug import log_leaks, name_of, overrun_error, written_error

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from types import FrameType
    from weakref import ref

    from blockpool.stats import Outstanding

    _Call = tuple[int, str]  # a process, and the text of its stack
    _Story = tuple[int, int, int, _Call, _Call | None]  # index, blocks, nbytes, allocation, free

_MOST = 448  # bytes of a stack, as in sites.h
_MOST_OF_A_NAME = 48  # characters of a file's or function's name
_MORE = b"...\n"


class SharedGuard:
    """Watch the runs of one shared pool. All methods may be called from any thread, and from destructors.

    Parameters
    ----------
    mapping : weakref.ref
        Leads to the mapping of the pool.
    """

    def __init__(self, mapping: ref[object]) -> None:
        self.mapping = mapping

    def caller(self) -> tuple[int, bytes]:
        """Return the calling thread, and the text of its stack."""
        return get_native_id(), short_stack(sys._getframe().f_back)  # noqa: SLF001 - there is no public way

    def error(self, kind: str, block: int, at: int, found: int, story: _Story | None) -> Exception:
        """Return the error for an "overrun" or a "late write" at a byte of a run, whose story is known or not."""
        make = overrun_error if kind == "overrun" else written_error
        if story is None:
            return make(name_of(block, 1), None, at, found, "who had it is not known")
        index, blocks, nbytes, allocated, freed = story
        told = f"allocated by {_told(allocated)}" + ("" if freed is None else f"freed by {_told(freed)}")
        return make(name_of(index, blocks), nbytes, at, found, told)

    def close(self, held: list[Outstanding]) -> None:
        """Log what this process still holds."""
        log_leaks(held)


def short_stack(frame: FrameType | None) -> bytes:
    """Return a stack as a short text: a line ``file:line function`` for each frame, the innermost last.

    If not all fit, the first line is ``...``, in place of the outermost.
    """
    lines: list[bytes] = []
    room = _MOST
    while frame is not None:
        line = _line(frame)
        if len(line) > room - len(_MORE):
            lines.append(_MORE)
            break
        lines.append(line)
        room -= len(line)
        frame = frame.f_back
    return b"".join(reversed(lines))


def _line(frame: FrameType) -> bytes:
    code = frame.f_code
    file, function = _short(code.co_filename), _short(code.co_qualname)
    return f"{file}:{frame.f_lineno} {function}\n".encode("utf-8", "backslashreplace")[-_MOST // 2 :]


def _short(name: str) -> str:
    """Return a name of one line that is not too long; what stands last tells most."""
    name = name.replace("\n", "\\n")
    return name if len(name) <= _MOST_OF_A_NAME else f"...{name[3 - _MOST_OF_A_NAME :]}"


def _told(call: _Call) -> str:
    process, stack = call
    if not stack:
        return f"process {process}, which left no stack\n"
    return f"process {process} at\n" + "".join(f"  {line}\n" for line in stack.splitlines())
