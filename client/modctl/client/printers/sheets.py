"""What each kind of answer looks like as a table: columns, one process's rows, and what makes two answers the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from modctl.client import convert
from modctl.client.listing import Modules
from modctl.client.printers import order
from modctl.client.printers.columns import Column
from modctl.client.results import ChangeResult

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from modctl.client.results import Module, ModuleChange, Process, Revision, Row, Version

    Cells = tuple[str, ...]

STATE_STYLES = {
    "MODIFIED": "yellow",
    "MISSING": "red",
    "INJECTED": "cyan",
    "PATCHED": "cyan",
    "BLOCKED": "red",
    "UNKNOWN": "dim",
}
OUTCOME_STYLES = {
    "OK": "green",
    "APPLIED": "green",
    "UNCHANGED": "dim",
    "PLANNED": "cyan",
    "REFUSED": "yellow",
    "FAILED": "red",
    "DENIED": "red",
    "UNREACHABLE": "red",
    "TIMED_OUT": "red",
    "UNKNOWN": "red",
}


class Sheet(NamedTuple):
    """How one kind of answer is tabulated.

    Args:
        columns: of the table.
        rows: one process's lines.
        key: equal for answers that fold into one block; leaves out pids, times and ages.
        title: what the heading of a block says besides who.
        notes: lines below the table.
        folds: whether identical answers become one block; otherwise every process is one line of one table.
    """

    columns: Sequence[Column]
    rows: Callable[[Row[Any]], list[Cells]]
    key: Callable[[Row[Any]], Hashable]
    title: Callable[[Sequence[Row[Any]]], str] = lambda _rows: ""
    notes: Callable[[Row[Any], bool], list[str]] = lambda _row, _verbose: []
    folds: bool = True


def short_digest(digest: str) -> str:
    """sha256:<64 hex> as its first twelve."""
    algorithm, colon, value = digest.partition(":")
    return value[:12] if colon and algorithm == "sha256" else digest[:12]


def module_sheet(wide: bool, sort: str, with_size: bool) -> Sheet:
    """Of `list`."""
    columns = [
        Column("NAME", shrink="middle"),
        Column("KIND"),
        Column("GEN", right=True),
        Column("STATE", styles=STATE_STYLES),
    ]
    if with_size:
        columns.append(Column("SIZE", right=True))
    if sort == "import-time" or wide:
        columns += [Column("IMPORT_MS", right=True), Column("SELF_MS", right=True)]
    if wide:
        columns += [Column("ORDER", right=True), Column("PACKAGE"), Column("EXPIRES")]
    columns += [Column("DIGEST"), Column("ORIGIN", shrink="start")]

    def cells(entry: Module) -> Cells:
        parts = [entry.name, entry.kind, str(entry.generation), entry.state]
        if with_size:
            size = entry.size_bytes
            parts.append("" if size is None else str(size) if wide else human_bytes(size))
        if sort == "import-time" or wide:
            parts += [_ms(entry.import_ms), _ms(entry.import_self_ms)]
        if wide:
            expires = entry.expires_at_unix_s
            parts += [
                str(entry.order),
                "yes" if entry.package else "no",
                "" if expires is None else "in " + human_seconds(expires - time.time()),
            ]
        origin = f"→ {entry.alias_of}" if entry.alias_of else entry.origin
        if entry.initializing:
            origin = f"(importing) {origin}"
        parts += [entry.digest if wide else short_digest(entry.digest), origin]
        return tuple(parts)

    def rows(row: Row[Any]) -> list[Cells]:
        return [cells(convert.module(message)) for message in order.ordered(_modules(row), sort)]

    def key(row: Row[Any]) -> Hashable:
        return frozenset(
            (each.name, each.kind, each.origin, each.generation, each.digest, each.state, each.alias_of)
            for each in _modules(row).messages()
        )

    def title(group: Sequence[Row[Any]]) -> str:
        number = len(_modules(group[0]))
        return f"{number} {'entry' if number == 1 else 'entries'}"

    return Sheet(columns, rows, key, title)


def _modules(row: Row[Any]) -> Modules:
    value = row.value
    return value if isinstance(value, Modules) else Modules([])


def change_sheet(wide: bool) -> Sheet:
    """Of every change."""
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
                _note(each),
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
        slowest_ms = max(value.duration_ms for value in values)
        parts.append(f"{_ms(slowest_ms)} ms")
        return "  ".join(parts)

    return Sheet(columns, rows, key, title, _change_notes)


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
    if first == second or not second:
        return first
    return f"{first}→{second}" if first else second


def _note(change: ModuleChange) -> str:
    if change.refusal is not None:
        return f"{change.refusal.reason}: {change.refusal.hint}" if change.refusal.hint else change.refusal.reason
    if change.error is not None:
        where = f" ({change.error.file}:{change.error.line})" if change.error.file else ""
        return f"{change.error.type}: {change.error.message}{where}"
    if change.action == "IMPORT":
        return "cached" if change.cached else f"imported in {_ms(change.import_ms)} ms"
    notes = []
    if change.symbols is not None:
        for word in ("changed", "added", "removed", "replaced", "kept"):
            names = getattr(change.symbols, word)
            notes += [f"{word} {', '.join(names)}"] if names else []
    if change.stale:
        notes.append(f"{len(change.stale)} still hold old objects")
    return "; ".join(notes)


def _change_notes(row: Row[Any], verbose: bool) -> list[str]:
    value: ChangeResult | None = row.value
    if value is None:
        return []
    lines = [value.message] if value.message else []
    for change in value.modules:
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
    return lines + [f"side effect: {effect}" for effect in value.side_effects]


def agent_sheet(wide: bool) -> Sheet:
    """Of `agents`, `freeze` and `thaw`: every process is a line."""
    columns = [
        Column("SERVICE"),
        Column("HOST", shrink="end"),
        Column("PID", right=True),
        Column("ROLE"),
        Column("PYTHON"),
        Column("UPTIME", right=True),
        Column("REV", right=True),
        Column("ENTRIES", right=True),
        Column("STATE", styles={"frozen": "cyan", "INSECURE": "red"}),
        Column("IDENTITY", shrink="end"),
    ]
    columns += [Column("LABELS"), Column("MODCTL"), Column("COMMAND")] if wide else []
    columns.append(Column("ADDRESS", shrink="start"))

    def rows(row: Row[Any]) -> list[Cells]:
        agent: Process | None = row.value
        if agent is None:
            return []
        state = "INSECURE" if agent.insecure else "frozen" if agent.frozen else ""
        if agent.frozen and agent.insecure:
            state = "INSECURE frozen"
        parts = [
            agent.service,
            agent.host,
            str(agent.pid),
            agent.role.lower(),
            agent.python,
            human_seconds(time.time() - agent.started_at_unix_s) if agent.started_at_unix_s else "",
            str(agent.revision),
            str(agent.entries),
            state,
            agent.identity,
        ]
        if wide:
            labels = ",".join(f"{key}={value}" for key, value in agent.labels.items())
            parts += [labels, agent.modctl_version, agent.command]
        addresses = [address for address in agent.addresses if not address.startswith("unix:")] or list(agent.addresses)
        parts.append(",".join(agent.addresses if wide else addresses) or row.target)
        return [tuple(parts)]

    def notes(row: Row[Any], _verbose: bool) -> list[str]:
        agent: Process | None = row.value
        if agent is None:
            return []
        reasons = [f"frozen: {agent.frozen_reason}"] if agent.frozen and agent.frozen_reason else []
        return [f"{agent.service} {agent.pid}: {text}" for text in [*reasons, *agent.warnings]]

    return Sheet(columns, rows, lambda row: row.process, notes=notes, folds=False)


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

    def state(revision: Revision) -> str:
        if revision.undone_by:
            return f"undone by {revision.undone_by}"
        if revision.expires_at_unix_s is not None:
            return f"until {_clock(revision.expires_at_unix_s)}"
        return "" if revision.undoable else "not undoable"

    def rows(row: Row[Any]) -> list[Cells]:
        return [
            (
                str(each.number),
                _clock(each.committed_at_unix_s),
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

    return Sheet(columns, rows, key)


def human_bytes(size_bytes: int) -> str:
    """1536 → 1.5K."""
    size = float(size_bytes)
    for unit in ("B", "K", "M", "G"):
        if size < 1000 or unit == "G":
            return f"{size:.0f}{unit}" if unit == "B" or size >= 100 else f"{size:.1f}{unit}"
        size /= 1024
    raise AssertionError("the last unit returns")


def human_seconds(seconds: float) -> str:
    """The two largest units: 3d4h, 5m2s."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number or (parts and len(parts) < 2) or (unit == "s" and not parts):
            parts.append(f"{number}{unit}" if number or not parts else "")
        if len(parts) == 2:
            break
    return "".join(parts)


def _clock(unix_s: float) -> str:
    """Local time: what the operator's own clock shows."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
