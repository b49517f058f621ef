"""The screen of one pool: how full it is, its picture, and its runs, processes, queues and names."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

import blockpool
from blockpool.report.text import count, printable, shown_pid
from blockpool.stats import BY_CATALOG, BY_MESSAGE, BY_NOBODY, BY_TICKETS
from blockpool.top import lines, values
from blockpool.top.colours import style
from blockpool.top.feed import LISTED, SEARCHED, Feed
from blockpool.top.filtered import Filtered
from blockpool.top.picture import COLOURINGS, DRAWINGS, Colouring, Drawing, Frame, Piece, legend
from blockpool.top.screens import Ask, Details
from blockpool.top.tables import KINDS, NAMES, PROCESSES, QUEUES, RUNS, Kind, arranged, rows_of
from blockpool.top.widgets import Lines, Picture, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events
    from textual.widget import Widget

    from blockpool._core import Inspector
    from blockpool.top.feed import View

__all__ = ["PoolScreen"]

# Looks begin so many seconds apart, less than a tenth, and take at most one part in so many of a processor.
EVERY = 0.085
_REST = 3
# How many looks it may be behind, to make up for.
_BEHIND = 3
# A table that changes more often than this cannot be read.
_TABLE_EVERY = 0.5

# How many dead processes a question names.
_NAMED = 5

_PLAIN = style("")
_GREY = style("bright_black")
_GAP = "  "


class PoolScreen(Filtered):
    """One pool."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", show=False),
        Binding("tab,right", "tab(1)", show=False, priority=True),
        Binding("shift+tab,left", "tab(-1)", show=False, priority=True),
        Binding("1", "go(0)", show=False),
        Binding("2", "go(1)", show=False),
        Binding("3", "go(2)", show=False),
        Binding("4", "go(3)", show=False),
        Binding("c", "colour", show=False),
        Binding("d", "draw", show=False),
        Binding("space", "hold", show=False),
        Binding("r", "recover", show=False),
    ]
    DEFAULT_CSS = """
    PoolScreen #header { height: 3; }
    PoolScreen #legend { height: 1; }
    PoolScreen #tabs { height: 1; }
    PoolScreen.low #legend { display: none; }
    """

    class Left(Message):
        """The pool can be shown no longer."""

        def __init__(self, sentence: str) -> None:
            super().__init__()
            self.sentence = sentence

    def __init__(self, inspector: Inspector) -> None:
        super().__init__(RUNS)
        self.header, self.legend, self.tabs = Lines(id="header"), Lines(id="legend"), Lines(id="tabs")
        self.picture = Picture(id="picture")
        self.inspector = inspector
        self.feed = Feed(inspector)
        self.view: View | None = None
        self.looks = 0
        self.kind: Kind = RUNS
        self._sorting = {kind.name: (kind.by, kind.down) for kind in KINDS}
        self._drawing: Drawing = DRAWINGS[0]
        self._colouring: Colouring = COLOURINGS[0]
        self._held = False
        self._table_at = 0.0
        self._keys: list[tuple[str, str]] = []

    # --- parts ---

    def content(self) -> Iterable[Widget]:
        """Return the parts from the top down."""
        return [self.header, self.picture, self.legend, self.tabs, self.table, self.filter_line]

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys that do something now."""
        if self.typing:
            return [("Enter", "keep the filter"), ("Esc", "all rows")]
        other = COLOURINGS[(COLOURINGS.index(self._colouring) + 1) % len(COLOURINGS)]
        drawing = DRAWINGS[(DRAWINGS.index(self._drawing) + 1) % len(DRAWINGS)]
        opens = {RUNS: "about it", PROCESSES: "its runs", QUEUES: "about it", NAMES: "its run"}[self.kind]
        back = "all rows" if self.containing else "all runs" if self.feed.only is not None else "pools"
        return [
            ("Tab", "next table"),
            ("Enter", opens),
            *([("i", "about it")] if self.kind is PROCESSES else []),
            ("/", "filter"),
            ("s", "sort"),
            ("S", "reverse"),
            ("c", f"by {other}"),
            ("d", drawing),
            ("Space", "go on" if self._held else "hold"),
            *([("r", "recover")] if self.view is not None and lines.recoverable(self.view) else []),
            ("Esc", back),
            ("q", "quit"),
        ]

    def on_mount(self) -> None:
        """Begin to look."""
        if self.app.no_color:
            self._drawing = "letters"
        elif os.environ.get("TERM") == "linux":  # the console's fonts have no dots
            self._drawing = "shades"
        self.table.focus()
        self._show_tabs()
        self.run_worker(self._watch(), exclusive=True)

    def on_unmount(self) -> None:
        """End the looks."""
        self.inspector.close()

    def on_resize(self, event: events.Resize) -> None:
        """Share the room: the tables have about half."""
        height = event.size.height
        low = height < 20  # noqa: PLR2004
        self.set_class(low, "low")
        most = max(2, (height - 9) * 2 // 5)
        columns = Frame(event.size.width, most, self.inspector.blocks).columns
        rows = min(most, -(-self.inspector.blocks // columns))
        self.picture.styles.height = rows
        self._arrange(event.size.width, rows)
        self._show_tabs()
        self._show_header()

    def _arrange(self, width: int, rows: int) -> None:
        frame = Frame(width, rows, self.inspector.blocks, self._drawing, self._colouring)
        self.feed.cells = frame.cells
        self.picture.draw_like(frame)
        if self.view is not None and self.view.snapshot.map is not None:
            self.picture.put(self.view.snapshot.map)
        self._show_legend()

    def _rearrange_picture(self) -> None:
        frame = self.picture.frame
        if frame is not None:
            self._arrange(frame.width, frame.height)
        self.show_keys()

    # --- looking ---

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if not self._held:
                try:
                    view, took = await asyncio.to_thread(self._look)
                except (blockpool.BlockPoolError, OSError) as error:
                    self._leave(f"can no longer be read: {printable(str(error))}")
                    return
                if not view.snapshot.exists:
                    self._leave("is gone: nobody has it any more")
                    return
                self._show(view)
                due = max(due, clock() + _REST * took - EVERY)
            # On a busy machine a look that comes late is followed by one sooner, but there is always some rest.
            due = max(due + EVERY, clock() - _BEHIND * EVERY)
            await asyncio.sleep(max(due - clock(), EVERY / 4))

    def _look(self) -> tuple[View, float]:
        """Look, in a thread; return what is seen, and the processor time that it took."""
        start = time.thread_time()
        return self.feed.look(), time.thread_time() - start

    def _leave(self, why: str) -> None:
        name = lines.name_of(self.inspector.name, self.inspector.pool_id)
        self.post_message(self.Left(f"{name} {why}"))

    def _show(self, view: View) -> None:
        before, self.view = self.view, view
        self.looks += 1
        self._show_header()
        if view.snapshot.map is not None:
            self.picture.put(view.snapshot.map)
        now = asyncio.get_running_loop().time()
        if before is None or now >= self._table_at:
            self._table_at = now + _TABLE_EVERY
            self.rearrange()
            self._show_legend()
        if self._keys != (keys := self.keys()):
            self._keys = keys
            self.show_keys()

    def _show_header(self) -> None:
        view = self.view
        if view is None:
            self.header.put([[Piece("looking …", _GREY)]])
            return
        first, second, third = lines.header(view, max(20, self.app.size.width))
        counts = view.snapshot.counts
        full = counts.allocated / counts.blocks
        colour = "red" if full > 0.95 else "yellow" if full > 0.8 else "green"  # noqa: PLR2004
        filled = len(second) - len(second.lstrip("━"))
        self.header.put(
            [
                [Piece(first, style("bold"))],
                [Piece(second[:filled], style(colour)), Piece(second[filled:], _PLAIN)],
                [Piece(third, _PLAIN)],
            ]
        )

    def _show_legend(self) -> None:
        found: list[tuple[int, str]] = []
        if self.view is not None:
            held = self.view.snapshot.survey.held
            processes = sorted(self.view.snapshot.processes, key=lambda process: -held.get(process.slot, 0))
            found = [(process.slot, shown_pid(process.pid)) for process in processes if held.get(process.slot)][:12]
        pieces: list[Piece] = []
        room = self.app.size.width
        letters = self._drawing == "letters" or self.app.no_color
        others = self._others()
        for sign, meaning in legend(self._colouring, found, others, letters=letters):
            room -= len(sign.text) + 1 + len(meaning) + len(_GAP)
            if room < 0:
                break
            pieces += [sign, Piece(f" {meaning}{_GAP}", _PLAIN)]
        self.legend.put([pieces])

    def _others(self) -> list[int]:
        """Return the holders that are no processes and that hold something."""
        if self.view is None:
            return []
        survey = self.view.snapshot.survey
        held = {
            BY_CATALOG: survey.only_kept,
            BY_MESSAGE: survey.only_messages,
            BY_TICKETS: survey.only_tickets,
            BY_NOBODY: survey.nobody,
        }
        return [holder for holder, blocks in held.items() if blocks]

    def _show_tabs(self) -> None:
        pieces = []
        for at, kind in enumerate(KINDS):
            look = style("reverse" if kind is self.kind else "")
            pieces.append(Piece(f" {at + 1} {kind.name} ", look))
        view = self.view
        note = ""
        if self.kind is RUNS and view is not None:
            order = "oldest" if view.order == "age" else "largest"
            if view.only is not None:
                note = f"of process {view.only}, among the {SEARCHED:,} {order}"
            elif view.snapshot.survey.runs > LISTED:
                note = f"the {LISTED} {order} of {values.short(view.snapshot.survey.runs)}"
        if self.containing:
            note = f"with {printable(self.containing)!r}"
        pieces.append(Piece(f"{_GAP}{note}", _GREY))
        self.tabs.put([pieces])

    def rearrange(self) -> None:
        """Fill the table again."""
        view, table = self.view, self.table
        self._sorting[table.kind.name] = table.by, table.down
        by, down = self._sorting[self.kind.name]
        self._show_tabs()
        if self.kind is RUNS:
            heading = RUNS.columns[by].heading
            if heading in {"blocks", "bytes"}:
                self.feed.order = "size"
            elif heading == "age":
                self.feed.order = "age"
        if view is None:
            table.put(self.kind, [], by=by, down=down, empty="looking …")
            return
        rows = rows_of(self.kind, view)
        shown = arranged(rows, by=by, down=down, containing=self.containing)
        empty = "no row has that" if rows else f"there are no {self.kind.name}"
        if self.kind is RUNS and view.only is not None and not rows:
            empty = f"process {view.only} holds none of these"
        table.put(self.kind, shown, by=by, down=down, empty=empty)

    # --- keys ---

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Let a line that is typed into have its own keys."""
        return not (action == "tab" and self.typing)

    def action_tab(self, by: int) -> None:
        """Show the next table."""
        self.action_go((KINDS.index(self.kind) + by) % len(KINDS))

    def action_go(self, to: int) -> None:
        """Show a table."""
        self.kind = KINDS[to]
        self.rearrange()
        self.show_keys()

    def action_colour(self) -> None:
        """Colour by the other thing."""
        self._colouring = COLOURINGS[(COLOURINGS.index(self._colouring) + 1) % len(COLOURINGS)]
        self._rearrange_picture()

    def action_draw(self) -> None:
        """Draw the picture another way."""
        self._drawing = DRAWINGS[(DRAWINGS.index(self._drawing) + 1) % len(DRAWINGS)]
        self._rearrange_picture()

    def action_hold(self) -> None:
        """Stop looking, or go on."""
        self._held = not self._held
        self.say("held; Space goes on" if self._held else "")
        self.show_keys()

    def action_back(self) -> None:
        """Undo the last thing that hides rows, or go back to the list."""
        if self.clear_filter():
            return
        if self.feed.only is not None:
            self.feed.only = None
            self.action_go(KINDS.index(PROCESSES))
            return
        self.app.pop_screen()

    def key_i(self) -> None:
        """Show all about the selected process."""
        row = self.table.selected
        if self.kind is PROCESSES and row is not None and self.view is not None:
            held = self.view.snapshot.survey.held.get(row.about.slot, 0)
            self.app.push_screen(Details(f"Process {shown_pid(row.about.pid)}", lines.about_process(row.about, held)))

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go on to what a row is about."""
        view, about = self.view, event.row.about
        if view is None:
            return
        if self.kind is RUNS:
            self.app.push_screen(Details(f"Run of block {about.index}", lines.about_run(about, view)))
        elif self.kind is QUEUES:
            self.app.push_screen(Details(f"Queue {about.number}", lines.about_queue(about)))
        elif self.kind is PROCESSES and about.pid is None:
            self.say("this process is still attaching, and has no id yet")
        elif self.kind is PROCESSES:
            self.feed.only = about.pid
            self.action_go(KINDS.index(RUNS))
        else:
            run = next((run for run in self._all_runs() if about in run.names), None)
            if run is None:
                self.say(f"{printable(about)} is not among the {SEARCHED:,} oldest and largest runs")
            else:
                self.app.push_screen(Details(f"Run of block {run.index}", lines.about_run(run, view)))

    def _all_runs(self) -> Iterable[blockpool.Run]:
        for order in ("age", "size"):
            yield from self.inspector.survey(SEARCHED, order=order).top

    def action_recover(self) -> None:
        """Ask, and bring back what dead processes hold."""
        dead = lines.recoverable(self.view) if self.view is not None else []
        if not dead or self.view is None:
            self.say("there is nothing to recover: no process of this pool is dead")
            return
        held = self.view.snapshot.survey.held
        left = [
            f"  {shown_pid(process.pid)}  {count(held.get(process.slot, 0), 'block')}  {values.command_of(process)}"
            for process in dead[:_NAMED]
        ]
        question = [
            f"Recover what {count(len(dead), 'dead process', 'dead processes')} left behind?",
            "",
            *(values.fit(line, self.app.size.width) for line in left),
            *(["  …"] if len(dead) > _NAMED else []),
            "",
            "Their blocks become free. Other processes are not disturbed.",
        ]
        self.app.push_screen(Ask(question), self._answered)

    def _answered(self, yes: bool | None) -> None:  # noqa: FBT001 - Textual calls it
        if yes:
            self.run_worker(self._recover(), group="recover")

    async def _recover(self) -> None:
        try:
            found = await asyncio.to_thread(self._recover_now)
        except (blockpool.BlockPoolError, OSError, ValueError) as error:
            self.say(f"not recovered: {printable(str(error))}")
            return
        self.say(f"recovered {count(found.processes, 'process', 'processes')}")

    def _recover_now(self) -> blockpool.Recovered:
        name = self.inspector.name
        if name is None:
            raise ValueError("the pool has no name, so no other process can attach it; it recovers when it is full")
        with blockpool.Pool.attach(name) as pool:
            return pool.recover()
