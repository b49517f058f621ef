"""How far it is: a bar for each phase on a terminal, plain lines elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.console import Console

__all__ = ["progress"]

_STEPS = 4


@contextmanager
def progress(
    console: Console, phases: Sequence[str], total: int
) -> Iterator[Callable[[str, int], None]]:
    """Give a function to call with a phase and what is done of its total."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(binary_units=True),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=console) as bars:
            tasks = {
                phase: bars.add_task(phase, total=total, start=False, visible=False)
                for phase in phases
            }

            def advance(phase: str, done: int) -> None:
                if not bars.tasks[tasks[phase]].started:
                    bars.start_task(tasks[phase])
                bars.update(tasks[phase], completed=done, visible=True)

            yield advance
    else:
        yield _lines(console, phases, total)


def _lines(console: Console, phases: Sequence[str], total: int) -> Callable[[str, int], None]:
    """Print a line whenever a further quarter of a phase is done."""
    told = dict.fromkeys(phases, 0)

    def advance(phase: str, done: int) -> None:
        step = done * _STEPS // total if total else _STEPS
        if step > told[phase]:
            told[phase] = step
            console.print(f"{phase}: {100 * step // _STEPS} %", highlight=False)

    return advance
