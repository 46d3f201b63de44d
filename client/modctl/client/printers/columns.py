"""Tables of text, aligned and cut to the terminal. Small on purpose: a library costs more to import than a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.client.printers.terminal import display_width, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modctl.client.printers.terminal import Output

_GAP = "  "


class Column:
    """One column.

    Args:
        title: its header.
        right: whether it is aligned to the right.
        shrink: which part gives way where the table is too wide: "" none, "end", "start" or "middle".
        styles: a cell's text to its style.
    """

    __slots__ = ("right", "shrink", "styles", "title")

    def __init__(
        self, title: str, right: bool = False, shrink: str = "", styles: Mapping[str, str] | None = None
    ) -> None:
        self.title = title
        self.right = right
        self.shrink = shrink
        self.styles = styles or {}


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
    by_column: list[list[str]] = []
    shown: list[Column] = []
    for column, cells in zip(columns, zip(*rows, strict=True) if rows else ((),) * len(columns), strict=True):
        if output.width is not None and not any(cells):
            continue
        shown.append(column)
        by_column.append(_safe([cell or empty for cell in cells] if "" in cells else list(cells)))
    if not shown:
        return ""
    plain = [_is_plain(cells) for cells in by_column]
    widths = [
        max(
            [max(map(len if plain[index] else display_width, cells), default=0)]
            + ([len(column.title)] if output.headers else [])
        )
        for index, (column, cells) in enumerate(zip(shown, by_column, strict=True))
    ]
    wanted = list(widths)
    if output.width is not None:
        _shrink(shown, widths, output.width)
    lines: list[str] = []
    if output.headers:
        titles = [_fit(column.title, width, column) for column, width in zip(shown, widths, strict=True)]
        lines.append(output.style(_GAP.join(titles).rstrip(), "bold"))
    # str.format pads a thousand rows in the time that _fit takes for fifty; it is wrong only for wide characters.
    parts = []
    for index, (column, width) in enumerate(zip(shown, widths, strict=True)):
        if not plain[index] or width < wanted[index] or (output.colour and column.styles):
            by_column[index] = [_styled(_fit(cell, width, column), cell, column, output) for cell in by_column[index]]
            parts.append("{}")
        else:
            parts.append(f"{{:>{width}}}" if column.right else f"{{:<{width}}}")
    form = _GAP.join(parts).format
    lines += [form(*cells).rstrip() for cells in zip(*by_column, strict=True)]
    if styles:
        first = len(lines) - len(styles)
        lines[first:] = [output.style(line, style) for line, style in zip(lines[first:], styles, strict=True)]
    return "\n".join(lines) + "\n" if lines else ""


def _safe(cells: list[str]) -> list[str]:
    """Nothing that would speak to the terminal."""
    return cells if "".join(cells).isprintable() else [printable(cell) for cell in cells]


def _is_plain(cells: Sequence[str]) -> bool:
    return "".join(cells).isascii()


def _styled(fitted: str, cell: str, column: Column, output: Output) -> str:
    style = column.styles.get(cell, "")
    return output.style(fitted, style) if style else fitted


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
        plain = text.isascii()
        text = cut(text, width, column.shrink or "end")
        have = width if plain else display_width(text)
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
    if text.isascii():
        return text[:width]
    taken = 0
    for index, character in enumerate(text):
        taken += display_width(character)
        if taken > width:
            return text[:index]
    return text


def _tail(text: str, width: int) -> str:
    if text.isascii():
        return text[max(0, len(text) - width) :]
    taken = 0
    for index in range(len(text) - 1, -1, -1):
        taken += display_width(text[index])
        if taken > width:
            return text[index + 1 :]
    return text
