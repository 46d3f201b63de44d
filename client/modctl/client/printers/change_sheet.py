"""The table of every change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.facts import ChangeResult
from modctl.client.printers.columns import Column
from modctl.client.printers.sheets import Sheet, clock, milliseconds, short_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from modctl.client.facts import ModuleChange, Version
    from modctl.client.printers.sheets import Cells
    from modctl.client.results import Row


def change_sheet(wide: bool, brief: bool) -> Sheet:
    """Of every change.

    Args:
        wide: digests in full.
        brief: the table has only the reason, the lines below it have the whole sentence: a terminal would cut it.
    """
    columns = [
        Column("MODULE", shrink="middle"),
        Column("ACTION"),
        Column("TIER"),
        Column("GEN", right=True),
        Column("DIGEST"),
        Column("NOTE", shrink="end"),
    ]

    def rows(row: Row[Any]) -> list[Cells]:
        if row.value is None:
            return []
        return [
            (
                each.name,
                each.action,
                each.tier,
                _arrow(each.before, each.after, lambda version: str(version.generation or "-")),
                _arrow(
                    each.before, each.after, lambda version: version.digest if wide else short_digest(version.digest)
                ),
                _note(each, brief),
            )
            for each in row.value.modules
        ]

    def key(row: Row[Any]) -> Hashable:
        value = _change(row)
        return (
            row.outcome,
            value.message,
            value.undoable,
            tuple(value.side_effects),
            value.old_code,
            tuple(map(_change_key, value.modules)),
        )

    def title(group: Sequence[Row[Any]]) -> str:
        values = [_change(row) for row in group]
        parts = [group[0].outcome]
        revisions = sorted({value.revision for value in values if value.revision})
        if revisions:
            span = f"{revisions[0]}" if len(revisions) == 1 else f"{revisions[0]}…{revisions[-1]}"
            parts.append(f"revision {span}")
            parts += [] if all(value.undoable for value in values) else ["cannot be undone"]
        confirm_by_s = min((value.confirm_by_unix_s for value in values if value.confirm_by_unix_s), default=0.0)
        parts += [f"confirm by {clock(confirm_by_s)[11:]}"] if confirm_by_s else []
        slowest_ms = max(value.duration_ms for value in values)
        parts.append(f"{milliseconds(slowest_ms)} ms")
        return "  ".join(parts)

    return Sheet(columns, rows, key, title, lambda row, verbose: _change_notes(row, verbose, brief))


def _change(row: Row[Any]) -> ChangeResult:
    value = row.value
    assert isinstance(value, ChangeResult)
    return value


def _change_key(change: ModuleChange) -> Hashable:
    error = change.error
    return (
        change.name,
        change.action,
        change.tier,
        change.before,
        change.after,
        change.symbols,
        change.stale,
        change.refusal,
        None if error is None else (error.type, error.message),
        change.cached,
    )


def _arrow(before: Version | None, after: Version | None, text: Callable[[Version], str]) -> str:
    first = text(before) if before is not None else ""
    second = text(after) if after is not None else ""
    if first == second:
        return first
    if not second:
        return f"{first}→?" if after is not None and after.generation else first
    return f"{first}→{second}" if first else second


def _note(change: ModuleChange, brief: bool) -> str:
    if change.refusal is not None:
        return change.refusal.reason if brief else f"{change.refusal.reason}: {_sentence(change)}"
    if change.error is not None:
        return change.error.type if brief else _sentence(change)
    if change.action == "IMPORT":
        return "cached" if change.cached else f"imported in {milliseconds(change.import_ms)} ms"
    notes = []
    if change.symbols is not None:
        for word in ("changed", "added", "removed", "replaced", "kept"):
            names = getattr(change.symbols, word)
            notes += [f"{word} {', '.join(names)}"] if names else []
    if change.stale:
        notes.append(f"{len(change.stale)} still hold old objects")
    return "; ".join(notes)


def _sentence(change: ModuleChange) -> str:
    """What stands in the way, in full."""
    if change.refusal is not None:
        return change.refusal.hint or change.refusal.rule or change.refusal.reason
    if change.error is None:
        return ""
    where = f" ({change.error.file}:{change.error.line})" if change.error.file else ""
    return f"{change.error.type}: {change.error.message}{where}"


def _change_notes(row: Row[Any], verbose: bool, brief: bool) -> list[str]:
    value: ChangeResult | None = row.value
    if value is None:
        return []
    # The table says it already, unless it has no lines.
    lines = [value.message] if value.message and not value.modules else []
    for change in value.modules:
        if brief and (sentence := _sentence(change)):
            lines.append(f"{change.name}: {sentence}" if change.name else sentence)
        if change.refusal is not None and change.refusal.rule and verbose:
            lines.append(f"{change.name}: rule: {change.refusal.rule}")
        shown = change.stale if verbose else change.stale[:5]
        lines += [f"{change.name}: {each.holder} still holds the old {each.name} ({each.kind})" for each in shown]
        if len(change.stale) > len(shown):
            lines.append(f"{change.name}: and {len(change.stale) - len(shown)} more (-v shows all)")
        if change.error is not None and change.error.traceback:
            trace = change.error.traceback.rstrip().splitlines()
            hidden = 0 if verbose else max(0, len(trace) - 12)
            lines += [f"(the first {hidden} lines: -v)"] if hidden else []
            lines += trace[hidden:]
    lines += [f"side effect: {effect}" for effect in value.side_effects]
    return lines + [f"still runs old code: {each}" for each in value.old_code]
