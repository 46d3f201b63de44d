"""Tables of text, aligned and cut to the terminal. Small on purpose: a library costs more to import than a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modctl.client.printers.terminal import display_width, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.printers.terminal import Output

_GAP = "  "


class Column(NamedTuple):
    """One column.

    Args:
        title: its header.
        right: whether it is aligned to the right.
        shrink: which part gives way where the table is too wide: "" none, "end", "start" or "middle".
        styles: a cell's text to its style.
    """

    title: str
    right: bool = False
    shrink: str = ""
    styles: dict[str, str] = {}  # noqa: RUF012 - a NamedTuple's default, never written to


def render(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], output: Output, styles: Sequence[str] | None = None
) -> str:
    """The table as text, one line a row.

    Columns that are empty in every row are left out of a table for people. Trailing blanks are left out.

    Args:
        columns: what there is.
        rows: one cell for each column.
        output: how wide, whether with headers and colours.
        styles: of each row as a whole, by position.
    """
    # Programs that read a pipe count columns: there, an empty cell is a dash.
    empty = "-" if output.width is None else ""
    cells = [[printable(cell) if cell else empty for cell in row] for row in rows]
    shown = list(range(len(columns)))
    if output.width is not None:
        shown = [index for index in shown if any(row[index] for row in cells)]
    if not shown:
        return ""
    widths = [
        max([display_width(row[index]) for row in cells] + [len(columns[index].title) if output.headers else 0])
        for index in shown
    ]
    if output.width is not None:
        _shrink([columns[index] for index in shown], widths, output.width)
    lines: list[str] = []
    if output.headers:
        titles = [_fit(columns[index].title, width, columns[index]) for index, width in zip(shown, widths, strict=True)]
        lines.append(output.style(_GAP.join(titles).rstrip(), "bold"))
    for position, row in enumerate(cells):
        parts = []
        for index, width in zip(shown, widths, strict=True):
            text = _fit(row[index], width, columns[index])
            style = columns[index].styles.get(row[index], "")
            parts.append(output.style(text, style) if style else text)
        line = _GAP.join(parts).rstrip()
        lines.append(output.style(line, styles[position]) if styles and styles[position] else line)
    return "".join(f"{line}\n" for line in lines)


def _shrink(columns: Sequence[Column], widths: list[int], available: int) -> None:
    """Takes from the columns that may give way, widest first, until all fits or each is at its least."""
    least = {"end": 12, "start": 12, "middle": 12}
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - available
    while excess > 0:
        candidates = [
            index for index, column in enumerate(columns) if column.shrink and widths[index] > least[column.shrink]
        ]
        if not candidates:
            return
        widest = max(candidates, key=lambda index: widths[index])
        others = [widths[index] for index in candidates if index != widest]
        floor = max([least[columns[widest].shrink], *others])
        step = max(1, min(excess, widths[widest] - floor))
        widths[widest] -= step
        excess -= step


def _fit(text: str, width: int, column: Column) -> str:
    have = display_width(text)
    if have > width:
        text = cut(text, width, column.shrink or "end")
        have = display_width(text)
    blanks = " " * (width - have)
    return blanks + text if column.right else text + blanks


def cut(text: str, width: int, where: str) -> str:
    """The text in so many columns, with … where something is missing: at its "end", "start" or "middle"."""
    if display_width(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    room = width - 1
    if where == "end":
        return _head(text, room) + "…"
    if where == "start":
        return "…" + _tail(text, room)
    return _head(text, room // 3) + "…" + _tail(text, room - room // 3)


def _head(text: str, width: int) -> str:
    taken = 0
    for index, character in enumerate(text):
        taken += display_width(character)
        if taken > width:
            return text[:index]
    return text


def _tail(text: str, width: int) -> str:
    taken = 0
    for index in range(len(text) - 1, -1, -1):
        taken += display_width(text[index])
        if taken > width:
            return text[index + 1 :]
    return text
