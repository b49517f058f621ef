"""The form of a trace in memory: columns of allocations and frees, in the order in which they happened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ALLOCATE", "FREE", "Frame", "Trace"]

ALLOCATE = 0
FREE = 1


class Frame(NamedTuple):
    """A call in a stack.

    Attributes
    ----------
    function : str
        The function's name; of a method perhaps with that of its class.
    file : str
        The file that it is in.
    line : int
        The line that it was at.
    """

    function: str
    file: str
    line: int


Frame.function.__doc__ = "The function's name."
Frame.file.__doc__ = "The file that it is in."
Frame.line.__doc__ = "The line that it was at."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Allocations and frees of a program, in order.

    Each of the arrays has one element an event and cannot be written to. Every free belongs to an allocation before it,
    and no allocation is freed twice; an allocation without a free lived on when the trace ended.

    Attributes
    ----------
    time : ndarray of int64
        Nanoseconds since the trace began; never negative, never decreasing.
    kind : ndarray of uint8
        `ALLOCATE` (0) or `FREE` (1).
    size : ndarray of int64
        How many bytes were asked for; of a free, the size of its allocation.
    id : ndarray of int32
        The number of the allocation: 0, 1, 2, … in order of allocation.
    thread : ndarray of int32
        Which of `threads` made the call.
    stack : ndarray of int32
        Which of `stacks` called for the allocation, of a free too; -1 if that is not known.
    threads : tuple of str
        What each thread is called.
    stacks : tuple of tuple of Frame
        The calls that led to allocations, the innermost first.
    source : str
        What the trace was made from, for people.
    timed : bool
        Whether the times were measured, of each event or every few events with the others evenly between; otherwise
        events are numbered.
    unmatched : int
        How many frees were left out because nothing is known of their allocation.
    lost : int
        How many events were lost while they were recorded.
    """

    time: NDArray[np.int64]
    kind: NDArray[np.uint8]
    size: NDArray[np.int64]
    id: NDArray[np.int32]
    thread: NDArray[np.int32]
    stack: NDArray[np.int32]
    threads: tuple[str, ...]
    stacks: tuple[tuple[Frame, ...], ...] = ()
    source: str = ""
    timed: bool = True
    unmatched: int = 0
    lost: int = 0

    def __len__(self) -> int:
        """Return how many events there are."""
        return len(self.time)
