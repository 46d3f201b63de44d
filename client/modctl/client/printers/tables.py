"""Tables: one for everything where the output is piped, one block for each different answer on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.printers import fold
from modctl.client.printers.columns import Column, render
from modctl.client.printers.sheets import OUTCOME_STYLES
from modctl.client.printers.terminal import display_width, printable

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from modctl.client.printers.sheets import Cells, Sheet
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult, Row

#: A minority's table that is longer than this shows only what differs.
WHOLE_TABLE_ROWS = 20


def show_table(result: FleetResult[Any], sheet: Sheet, output: Output) -> None:
    """Every answer; failures are the business of `show_failures`."""
    rows = [row for row in result.rows if row.value is not None]
    if not rows:
        return
    if not sheet.folds:
        _one_line_each(rows, sheet, output)
    elif output.folding:
        _blocks(group_rows(rows, sheet), sheet, output)
    elif output.width is not None:
        _blocks([[row] for row in rows], sheet, output)
    else:
        _flat(rows, sheet, output)


def group_rows(rows: Sequence[Row[Any]], sheet: Sheet) -> list[list[Row[Any]]]:
    """Rows with the same answer of the same service together; within a service the largest group first."""
    groups: dict[tuple[str, Hashable], list[Row[Any]]] = {}
    for row in rows:
        groups.setdefault((row.service, sheet.key(row)), []).append(row)
    services = list(dict.fromkeys(row.service for row in rows))
    return sorted(groups.values(), key=lambda group: (services.index(group[0].service), -len(group)))


def _one_line_each(rows: Sequence[Row[Any]], sheet: Sheet, output: Output) -> None:
    output.write(render(sheet.columns, [cells for row in rows for cells in sheet.rows(row)], output))
    notes: dict[str, list[Row[Any]]] = {}
    for row in rows:
        for note in sheet.notes(row, output.verbose):
            notes.setdefault(note, []).append(row)
    for note, those in notes.items():
        output.note(f"modctl: {printable(heading(those, output))}: {printable(note)}")


def _flat(rows: Sequence[Row[Any]], sheet: Sheet, output: Output) -> None:
    """Each line says whose it is, so that grep and awk have what they need."""
    columns = [Column("PROCESS"), *sheet.columns]
    if output.wide:
        columns.insert(0, Column("TARGET"))
    with_outcome = any(row.outcome != "OK" for row in rows)
    if with_outcome:
        columns.insert(len(columns) - len(sheet.columns), Column("OUTCOME", styles=OUTCOME_STYLES))
    cells: list[Cells] = []
    for row in rows:
        head = (row.target, row.process) if output.wide else (row.process,)
        if with_outcome:
            head = (*head, row.outcome)
        lines = sheet.rows(row)
        if not lines and with_outcome:
            lines = [("",) * len(sheet.columns)]  # what came of it is said even where nothing was touched
        cells += [(*head, *line) for line in lines]
    output.write(render(columns, cells, output))
    for row in rows:
        for note in sheet.notes(row, output.verbose):
            output.note(f"{row.where}: {printable(note)}")


def _blocks(groups: Sequence[Sequence[Row[Any]]], sheet: Sheet, output: Output) -> None:
    largest: dict[str, Sequence[Row[Any]]] = {}
    for position, group in enumerate(groups):
        first = group[0]
        base = largest.setdefault(first.service, group)
        differs = base is not group and output.folding
        title = sheet.title(group)
        who = printable(heading(group, output, len(title) + (len("DIFFERS  ") if differs else 0) + 2))
        outcome, _, rest = title.partition("  ")
        title = f"{output.style(outcome, OUTCOME_STYLES.get(outcome, ''))}{'  ' + rest if rest else ''}"
        mark = output.style("DIFFERS", "yellow") + "  " if differs else ""
        output.write(("\n" if position else "") + f"{output.style(who, 'bold')}  {mark}{title}".rstrip() + "\n")
        cells = sheet.rows(first)
        if differs and len(cells) > WHOLE_TABLE_ROWS:
            output.write(_difference(sheet.rows(base[0]), cells, sheet, output))
        elif cells:
            output.write(render(sheet.columns, cells, output))
        for note in sheet.notes(first, output.verbose):
            output.write(output.prose(note))


def heading(rows: Sequence[Row[Any]], output: Output, beside: int = 0) -> str:
    """Who a block is about: named where the line has room for it, else counted.

    Args:
        rows: of the processes.
        output: how wide.
        beside: how many columns the rest of the line takes.
    """
    places = [(row.target, row.service, row.pid) for row in rows]
    who = fold.heading(places)
    if output.width is not None and display_width(who) + beside > output.width:
        return fold.heading(places, limit=0)
    return who


def _difference(base: Sequence[Cells], other: Sequence[Cells], sheet: Sheet, output: Output) -> str:
    """Only the lines in which a minority differs from most: + only here, - not here, ~ another."""
    before = {cells[0]: cells for cells in base}
    after = {cells[0]: cells for cells in other}
    lines: list[Cells] = []
    styles: list[str] = []
    for name in sorted({*before, *after}):
        first, second = before.get(name), after.get(name)
        if first == second:
            continue
        if second is None:
            assert first is not None
            lines.append(("-", *first))
            styles.append("red")
        else:
            lines.append(("+" if first is None else "~", *second))
            styles.append("green" if first is None else "yellow")
    if not lines:
        return "  the same entries, with other import times or sizes\n"
    return render([Column(""), *sheet.columns], lines, output, styles)
