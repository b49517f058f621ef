"""A program that reads a capture with memray, and writes what it finds to its standard output.

    python _memray_child.py records|text CAPTURE

memray reads captures in C++, which may crash on a damaged one: so that is done in a process of its own.
"""

from __future__ import annotations

import json
import sys
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LAYOUT"]

# What is written of each record.
LAYOUT = [("address", "<u8"), ("size", "<u8"), ("allocator", "<u1"), ("thread", "<i4"), ("stack", "<i4")]

_FIELDS = [("address", "<u8"), ("size", "<u8"), ("allocator", "<u1"), ("tid", "<u8"), ("stack_id", "<u8")]
_PART = 1 << 16  # records


class _Numbers:
    """Numbers what memray gives large numbers: 0, 1, 2, … in the order in which they are seen first."""

    def __init__(self, see: Callable[[Any], int]) -> None:
        self._see = see  # gives the number, from the first record that has it
        self._known: dict[int, int] = {}

    def of(self, column: Any, part: list[Any]) -> Any:
        """Return the numbers of a column, which is of the records in `part`."""
        import numpy as np

        values, first, which = np.unique(column, return_index=True, return_inverse=True)
        for value, at in zip(values.tolist(), first.tolist(), strict=True):
            if value not in self._known:
                self._known[value] = self._see(part[at])
        return np.array([self._known[value] for value in values.tolist()], np.int32)[which]


def _write_records(path: str) -> None:
    """Write parts of the records, each with its number of bytes before it; then 0, and the names as JSON."""
    import numpy as np
    from memray import FileReader

    frames: dict[Any, int] = {}
    stacks: dict[tuple[int, ...], int] = {}
    threads: list[Any] = []

    def stack(record: Any) -> int:
        """Return the number of a stack; frees, and calls without Python functions, have none."""
        calls = record.stack_trace() if record.stack_id else ()
        numbers = tuple(frames.setdefault(frame, len(frames)) for frame in calls)
        return stacks.setdefault(numbers, len(stacks)) if numbers else -1

    def thread(record: Any) -> int:
        """Return the number of a thread."""
        threads.append(record)
        return len(threads) - 1

    fields = attrgetter(*(name for name, _ in _FIELDS))
    stack_of, thread_of = _Numbers(stack), _Numbers(thread)
    out = sys.stdout.buffer
    with FileReader(path) as reader:
        records: Iterable[Any] = iter(reader.get_allocation_records())
        while part := list(islice(records, _PART)):
            given = np.fromiter(map(fields, part), _FIELDS, len(part))
            rows = np.empty(len(part), LAYOUT)
            for name in ("address", "size", "allocator"):
                rows[name] = given[name]
            rows["thread"] = thread_of.of(given["tid"], part)
            rows["stack"] = stack_of.of(given["stack_id"], part)
            out.write(rows.nbytes.to_bytes(8, "little") + rows.tobytes())
        main = reader.metadata.main_thread_id
        named = [each.thread_name or ("main" if each.tid == main else f"thread {each.tid}") for each in threads]
        names = {
            "command": reader.metadata.command_line,
            "threads": named,
            "frames": list(frames),
            "stacks": list(stacks),
        }
        out.write(bytes(8) + json.dumps(names).encode("ascii"))


def _write_text(path: str) -> None:
    """Write what memray prints of a capture."""
    from memray import dump_all_records

    dump_all_records(path)


def _main(what: str, path: str) -> int:
    """Do what the command line says; an error of memray is told in one line."""
    try:
        {"text": _write_text, "records": _write_records}[what](path)
    except Exception as error:  # noqa: BLE001 whatever it is, the caller says that the capture cannot be read, and why
        sys.stderr.write(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
