"""What all screens have in common, and those that show all about one thing or ask a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen

from blockpool.top import values
from blockpool.top.colours import style
from blockpool.top.picture import Piece
from blockpool.top.widgets import Lines, keys_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual import events
    from textual.app import ComposeResult
    from textual.widget import Widget

__all__ = ["SMALLEST", "Ask", "Details", "Framed"]

# Columns and rows below which nothing is shown but that.
SMALLEST = (60, 15)

_PLAIN = style("")
_BOLD = style("bold")


class Framed(Screen[bool]):
    """A screen with a line for messages and its keys at the bottom, which says so where there is no room for it."""

    DEFAULT_CSS = """
    Framed { background: ansi_default; color: ansi_default; }
    Framed #small { display: none; height: 100%; }
    Framed.small #small { display: block; }
    Framed.small #all { display: none; }
    Framed #all { height: 100%; }
    Framed #message { height: 1; }
    Framed #keys { height: auto; dock: bottom; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._small = Lines(id="small")
        self._message = Lines(id="message")
        self._keys_line = Lines(id="keys")

    def compose(self) -> ComposeResult:
        """Put what `content` gives between the other parts."""
        yield self._small
        with Vertical(id="all"):
            yield from self.content()
            yield self._message
            yield self._keys_line

    def content(self) -> Iterable[Widget]:
        """Return what is above the message and the keys."""
        raise NotImplementedError

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys that do something now, and what."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the keys."""
        self.say("")
        self.show_keys()

    def on_resize(self, event: events.Resize) -> None:
        """Say so if the terminal is too small."""
        width, height = event.size
        small = width < SMALLEST[0] or height < SMALLEST[1]
        self.set_class(small, "small")
        if small:
            sentence = f"{width} × {height} is too small: blockpool top needs {SMALLEST[0]} × {SMALLEST[1]}. q quits."
            self._small.put([[Piece(line, _PLAIN)] for line in _wrapped(sentence, width)])
        self.show_keys()

    def show_keys(self) -> None:
        """Bring the keys at the bottom up to date."""
        self._keys_line.put(keys_text(self.keys(), max(1, self.app.size.width)))

    def say(self, sentence: str) -> None:
        """Show a message; its text must be safe to show."""
        text = values.fit(sentence, max(1, self.app.size.width)) if sentence else ""
        self._message.put([[Piece(text, style("bold yellow"))]])


class Details(Framed):
    """All about one thing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace,left", "back", show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown,space", "move(10)", show=False),
        Binding("pageup", "move(-10)", show=False),
    ]
    DEFAULT_CSS = "Details #about { height: 1fr; }"

    def __init__(self, title: str, about: list[tuple[str, str]]) -> None:
        super().__init__()
        self._heading = title
        self._lines = Lines(id="about")
        self._about = about
        self._first = 0

    def content(self) -> Iterable[Widget]:
        """Return the lines."""
        return [self._lines]

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys."""
        return [("Esc", "back"), ("↑↓", "scroll"), ("q", "quit")]

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - as above
        """Break the lines for the new width."""
        self._show()

    def _show(self) -> None:
        width = max(20, self.app.size.width)
        margin = max((len(label) for label, _ in self._about), default=0) + 2
        lines = [[Piece(line, _BOLD)] for line in _wrapped(self._heading, width)] + [[]]
        for label, value in self._about:
            first, *others = _wrapped(value, width - margin) or [""]
            lines.append([Piece(f"{label:<{margin}}", style("cyan")), Piece(first, _PLAIN)])
            lines += [[Piece(" " * margin + other, _PLAIN)] for other in others]
        room = max(1, self.app.size.height - 2)
        self._first = max(0, min(self._first, len(lines) - room))
        self._lines.put(lines[self._first : self._first + room])

    def action_move(self, by: int) -> None:
        """Scroll."""
        self._first += by
        self._show()

    def action_back(self) -> None:
        """Go back."""
        self.dismiss(False)  # noqa: FBT003 - there was no question


class Ask(Framed):
    """A question that y answers with yes, and every other key with no."""

    DEFAULT_CSS = "Ask #question { height: 1fr; }"

    def __init__(self, question: list[str]) -> None:
        super().__init__()
        self._question = question
        self._lines = Lines(id="question")

    def content(self) -> Iterable[Widget]:
        """Return the lines."""
        return [self._lines]

    def keys(self) -> list[tuple[str, str]]:
        """Return the keys."""
        return [("y", "yes"), ("n", "no")]

    def on_resize(self, event: events.Resize) -> None:
        """Break the lines for the new width."""
        lines = [line for part in self._question for line in _wrapped(part, max(20, event.size.width))]
        self._lines.put([[Piece(line, _PLAIN)] for line in lines])

    def on_key(self, event: events.Key) -> None:
        """Answer."""
        event.stop()
        event.prevent_default()
        self.dismiss(event.character in {"y", "Y"})


def _wrapped(text: str, width: int) -> list[str]:
    """Break text between words, and words where they must be broken; it keeps its leading blanks."""
    from rich.cells import chop_cells

    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word or " "
        if len(chop_cells(longer, width)) <= 1:
            line = longer
            continue
        if line.strip():
            lines.append(line)
        *whole, line = chop_cells(word, width) or [""]
        lines += whole
    return [*lines, line] if line.strip() or not lines else lines
