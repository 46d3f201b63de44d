"""What `modctl dev` says of each save: one line, and the traceback where there is one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from modctl.client.printers import fold
from modctl.client.printers.sheets import OUTCOME_STYLES
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modctl.client.dev.push import Pushed
    from modctl.client.dev.saves import Save
    from modctl.client.facts import ChangeResult, ModuleChange
    from modctl.client.printers.terminal import Output
    from modctl.client.results import Row


def show(pushed: Pushed, root: str, output: Output) -> None:
    """One line for each different answer to the save, and what went wrong below it."""
    who = ",".join(os.path.relpath(save.file, root) for save in pushed.saves if save.name not in pushed.skipped)
    for name in pushed.skipped:
        if pushed.rows or not pushed.nobody:
            _line(output, _file(pushed.saves, name, root), output.style("not loaded", "dim"), "", pushed.took_ms)
    if pushed.nobody:
        _line(output, who or _files(pushed, root), output.style("nobody is there", "yellow"), "", pushed.took_ms)
    groups: dict[tuple[str, str], list[Row[ChangeResult]]] = {}
    for row in pushed.rows:
        groups.setdefault((row.outcome, _what(row)), []).append(row)
    for (outcome, what), rows in groups.items():
        where = fold.processes(len(rows)) if rows[0].process else fold.count(len(rows), "target")
        _line(output, who, output.style(outcome, OUTCOME_STYLES.get(outcome, "")), f"{what}  {where}", pushed.took_ms)
        for text in _errors(rows[0], pushed.saves):
            output.write("".join(f"    {printable(line)}\n" for line in text.splitlines()))
    output.out.flush()


def removed(save: Save, root: str, output: Output) -> None:
    """A file that is gone changes nothing that runs."""
    _line(output, os.path.relpath(save.file, root), output.style("gone", "yellow"), f"{save.name} runs on", 0.0)
    output.out.flush()


def _line(output: Output, file: str, outcome: str, what: str, took_ms: float) -> None:
    took = f"  {took_ms:.0f} ms" if took_ms else ""
    output.write(f"{time.strftime('%H:%M:%S')}  {printable(file)}  {outcome}  {printable(what)}{took}\n")


def _file(saves: Sequence[Save], name: str, root: str) -> str:
    return next(os.path.relpath(save.file, root) for save in saves if save.name == name)


def _files(pushed: Pushed, root: str) -> str:
    return ",".join(os.path.relpath(save.file, root) for save in pushed.saves)


def _what(row: Row[ChangeResult]) -> str:
    if row.value is None:
        return row.why
    if not row.good:
        return next((each.refusal.hint for each in row.value.modules if each.refusal and not each.error), "") or (
            row.value.message if not any(each.error for each in row.value.modules) else ""
        )
    return "; ".join(_of_module(change) for change in row.value.modules)


def _of_module(change: ModuleChange) -> str:
    parts = [change.tier or change.action]
    symbols = change.symbols
    if symbols is not None:
        parts += [
            f"{sign}{name}"
            for sign, names in (
                ("~", symbols.changed),
                ("+", symbols.added),
                ("-", symbols.removed),
                ("!", symbols.replaced),
            )
            for name in names[:6]
        ]
    if change.stale:
        parts.append(f"{len(change.stale)} hold old objects")
    return " ".join(parts)


def _errors(row: Row[ChangeResult], saves: Sequence[Save]) -> Iterator[str]:
    for change in row.value.modules if row.value is not None else ():
        error = change.error
        if error is None:
            continue
        if error.line:
            # A syntax error has no traceback of interest: the place is all.
            file = next((save.file for save in saves if save.name == change.name), error.file)
            place = f"{file}:{error.line}" + (f":{error.column}" if error.column else "")
            yield f"{place}: {error.type}: {error.message}"
        else:
            yield error.traceback or f"{error.type}: {error.message}"
