"""Debug mode of a pool: patterns in its memory, the stacks of its callers, and a rest before reuse.

A `Guard` watches one pool. What it finds becomes `BlockOverrun` (a write past the requested `nbytes`) or
`WriteAfterFree`, with the stacks of the allocation and of the free.

The bytes of the pool are filled as by CPython's own debug allocator:

* ``0xCD`` allocated, not written yet
* ``0xFD`` canary: the slack between `nbytes` and the end of the run's last block
* ``0xDD`` freed

Freed runs rest in a quarantine (core/src/private/quarantine.h); the oldest leaves first. So a write through an old
address hits ``0xDD`` rather than the next owner's data. When the pool would be exhausted, the quarantine is emptied.

A signal handler may raise between any two steps here. No step can lose a run, because what is free, and when, is
decided in C.
"""

from __future__ import annotations

import sys
import traceback

from blockpool._forks import debug_lock
from blockpool._log import WARNING, tell
from blockpool.errors import BlockOverrun, WriteAfterFree
from blockpool.stats import Outstanding

TYPE_CHECKING = False  # as in blockpool/__init__.py
if TYPE_CHECKING:
    from types import FrameType

CLEAN, CANARY, DEAD = b"\xcd", b"\xfd", b"\xdd"

_FRAMES = 16  # how many frames of a stack are kept


class _Run:
    """A run that is or was allocated, with the stacks of its allocation and its free."""

    __slots__ = ("allocated_at", "blocks", "freed_at", "index", "nbytes")

    def __init__(self, index: int, blocks: int, nbytes: int, allocated_at: traceback.StackSummary) -> None:
        self.index = index
        self.blocks = blocks
        self.nbytes = nbytes
        self.allocated_at = allocated_at
        self.freed_at: traceback.StackSummary | None = None

    def __str__(self) -> str:
        return name_of(self.index, self.blocks)

    def stack(self) -> str:
        """Return where it was allocated."""
        return _text(self.allocated_at)

    def story(self) -> str:
        """Return the stacks, as far as they are known."""
        freed = "" if self.freed_at is None else f"freed at\n{_text(self.freed_at)}"
        return f"allocated at\n{_text(self.allocated_at)}{freed}"


class Guard:
    """Watch the runs of one pool. All methods may be called from any thread, and from destructors.

    Parameters
    ----------
    block_size : int
        Size of a block in bytes.
    """

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size
        self._lock = debug_lock  # of all guards
        self.live: dict[int, _Run] = {}  # what is allocated, by first block
        self._freed: dict[int, _Run] = {}  # by block: the run that it was part of when it was last freed

    def issue(self, memory: memoryview, index: int, blocks: int, nbytes: int) -> None:
        """Prepare a run for its new owner.

        Raises
        ------
        WriteAfterFree
            If something wrote to it after it was last freed. It is then filled as if it had just been freed.
        """
        with self._lock:
            for block in range(index, index + blocks):
                run = self._freed.get(block)
                if run is not None:
                    self._require_dead(memory, block, run)
            for block in range(index, index + blocks):
                self._freed.pop(block, None)
            start, end = index * self._block_size, (index + blocks) * self._block_size
            self._fill(memory, start, start + nbytes, CLEAN)
            self._fill(memory, start + nbytes, end, CANARY)
            self.live[index] = _Run(index, blocks, nbytes, _stack())

    def take_back(self, memory: memoryview, index: int) -> BlockOverrun | None:
        """Check the canary of a run that its owner gives back, and fill the run; return what is wrong, if anything is.

        The caller then removes the run from `live`, even if this raised.
        """
        with self._lock:
            run = self.live[index]
            run.freed_at = _stack()
            start, end = index * self._block_size, (index + run.blocks) * self._block_size
            wrong = self._first_other(memory, start + run.nbytes, end, CANARY)
            error = None
            if wrong is not None:
                error = overrun_error(str(run), run.nbytes, wrong - start, memory[wrong], run.story())
            self._fill(memory, start, end, DEAD)
            for block in range(index, index + run.blocks):
                self._freed[block] = run
            return error

    def outstanding(self) -> list[Outstanding]:
        """Return the runs that are allocated, in the order of addresses."""
        with self._lock:
            runs = sorted(self.live.values(), key=lambda run: run.index)
        return [Outstanding(run.index, run.blocks, run.nbytes, _text(run.allocated_at)) for run in runs]

    def close(self, memory: memoryview) -> None:
        """Log what is still allocated, and look for late writes.

        Raises
        ------
        WriteAfterFree
            If something wrote to a freed block.
        """
        log_leaks(self.outstanding())
        with self._lock:
            # a list, because a destructor or signal handler may free a run meanwhile, and so add to the dict
            for block in list(self._freed):
                run = self._freed.get(block)
                if run is not None:
                    self._require_dead(memory, block, run)

    def _require_dead(self, memory: memoryview, block: int, run: _Run) -> None:
        start = block * self._block_size
        wrong = self._first_other(memory, start, start + self._block_size, DEAD)
        if wrong is not None:
            found = memory[wrong]
            self._fill(memory, start, start + self._block_size, DEAD)
            raise written_error(str(run), run.nbytes, wrong - run.index * self._block_size, found, run.story())

    def _fill(self, memory: memoryview, start: int, end: int, pattern: bytes) -> None:
        memory[start:end] = pattern * (end - start)

    def _first_other(self, memory: memoryview, start: int, end: int, pattern: bytes) -> int | None:
        """Return the position of the first byte that differs from the pattern; None if there is none."""
        found = bytes(memory[start:end])
        same = len(found) - len(found.lstrip(pattern))
        return None if same == len(found) else start + same


def name_of(index: int, blocks: int) -> str:
    """Return what messages call a run."""
    return f"block {index}" if blocks == 1 else f"the run of {blocks} blocks at {index}"


def overrun_error(run: str, nbytes: int | None, at: int, found: int, story: str) -> BlockOverrun:
    """Return the error for a run whose slack was written to; `nbytes` is None if that is not known."""
    length = "the bytes" if nbytes is None else f"the {nbytes} bytes"
    return BlockOverrun(
        f"{run}: something wrote past {length} that were asked for, at byte {at} "
        f"(it is {found:#04x}, and was {CANARY[0]:#04x}); {story}"
    )


def written_error(run: str, _nbytes: int | None, at: int, found: int, story: str) -> WriteAfterFree:
    """Return the error for a run that was written to after it was freed."""
    return WriteAfterFree(
        f"{run}: something wrote to it after it was freed, at byte {at} "
        f"(it was {found:#04x}, and should be {DEAD[0]:#04x}); {story}"
    )


def log_leaks(held: list[Outstanding]) -> None:
    """Log what is still allocated when a pool is closed."""
    for leak in held:
        tell(
            WARNING,
            "leaked",
            f"pool closed with block {leak.index} still allocated (blocks={leak.blocks}, nbytes={leak.nbytes}); "
            f"allocated at\n{leak.stack}",
            index=leak.index,
            blocks=leak.blocks,
            nbytes=leak.nbytes,
            stack=leak.stack,
        )


def _stack() -> traceback.StackSummary:
    """Return the stack of the call into the pool."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - there is no public way
    for _ in range(2):  # skip this module's two frames; at shutdown there may be no others
        frame = frame and frame.f_back
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=_FRAMES, lookup_lines=False)
    stack.reverse()
    return stack


def _text(stack: traceback.StackSummary) -> str:
    """Return a stack as a traceback shows it; at the end of the interpreter, which imports nothing, without sources."""
    try:
        return "".join(stack.format())
    except ImportError:
        return "".join(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}\n' for frame in stack)
