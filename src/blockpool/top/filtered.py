"""A screen with a table that keys sort and filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.widgets import Input

from blockpool.top.screens import Framed
from blockpool.top.widgets import Table

if TYPE_CHECKING:
    from blockpool.top.tables import Kind

__all__ = ["Filtered"]


class Filtered(Framed):
    """A screen with a table that is sorted and filtered by keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "turn", show=False),
    ]
    DEFAULT_CSS = """
    Filtered Table { height: 1fr; background: ansi_default; color: ansi_default; }
    Filtered #filter { display: none; height: 1; border: none; padding: 0; background: ansi_default; }
    Filtered #filter.typing { display: block; }
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.table = Table(kind)
        self.containing = ""
        self.filter_line = Input(id="filter", placeholder="show rows with …", select_on_focus=False, compact=True)

    def rearrange(self) -> None:
        """Fill the table again."""
        raise NotImplementedError

    def action_filter(self) -> None:
        """Type a filter."""
        self.filter_line.add_class("typing")
        self.filter_line.focus()
        self.show_keys()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter by what was typed so far."""
        self.containing = event.value
        self.rearrange()

    def on_input_submitted(self) -> None:
        """Keep the filter, and give the table its keys back."""
        self._end_typing()

    def _end_typing(self) -> None:
        self.filter_line.set_class(bool(self.containing), "typing")
        self.table.focus()
        self.show_keys()

    @property
    def typing(self) -> bool:
        """Whether a filter is being typed."""
        return isinstance(self.focused, Input)

    def clear_filter(self) -> bool:
        """Show all rows again; return whether some were hidden, or a filter was being typed."""
        if not self.containing and not self.typing:
            return False
        self.containing = ""
        self.filter_line.value = ""
        self._end_typing()
        self.rearrange()
        return True

    def action_sort(self) -> None:
        """Sort by the next column that is shown."""
        shown = self.table.columns_shown
        self.sort_by(next((column for column in shown if column > self.table.by), shown[0] if shown else 0))

    def action_turn(self) -> None:
        """Sort the other way round."""
        self.table.down = not self.table.down
        self.rearrange()

    def sort_by(self, column: int) -> None:
        """Sort by a column: numbers downwards, text upwards."""
        table = self.table
        if column == table.by:
            table.down = not table.down
        else:
            table.by, table.down = column, table.kind.columns[column].right
        self.rearrange()

    def on_table_sort(self, event: Table.Sort) -> None:
        """Sort by the column whose heading was clicked."""
        self.sort_by(event.column)
