"""The table of `history`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client.printers.columns import Column
from modctl.client.printers.sheets import Sheet, clock

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from modctl.client.facts import Revision
    from modctl.client.printers.sheets import Cells
    from modctl.client.results import Row


def revision_sheet(wide: bool) -> Sheet:
    """Of `history`."""
    columns = [
        Column("REV", right=True),
        Column("TIME"),
        Column("WHO", shrink="end"),
        Column("STATE"),
        Column("WHAT", shrink="end"),
        Column("REASON", shrink="end"),
    ]

    def what(revision: Revision) -> str:
        if revision.undoes:
            return f"undo of {revision.undoes}"
        shown = revision.modules if wide else revision.modules[:3]
        text = ", ".join(f"{each.action.lower()} {each.name}" for each in shown)
        return text + (f" and {len(revision.modules) - len(shown)} more" if len(revision.modules) > len(shown) else "")

    def when(unix_s: float) -> str:
        text = clock(unix_s)
        return text[11:] if text[:10] == clock(time.time())[:10] else text

    def state(revision: Revision) -> str:
        if revision.undone_by:
            return f"undone by {revision.undone_by}"
        if revision.confirm_by_unix_s is not None:
            return f"confirm by {when(revision.confirm_by_unix_s)}"
        if revision.expires_at_unix_s is not None:
            return f"until {when(revision.expires_at_unix_s)}"
        return "" if revision.undoable else "not undoable"

    def rows(row: Row[Any]) -> list[Cells]:
        return [
            (
                str(each.number),
                clock(each.committed_at_unix_s),
                each.identity,
                state(each),
                what(each),
                each.reason,
            )
            for each in row.value or ()
        ]

    def key(row: Row[Any]) -> Hashable:
        return tuple(
            (each.number, each.identity, what(each), each.reason, each.undoable, each.undone_by)
            for each in row.value or ()
        )

    def title(group: Sequence[Row[Any]]) -> str:
        return "" if group[0].value else "nothing was changed yet"

    return Sheet(columns, rows, key, title)
