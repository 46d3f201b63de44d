"""The table of `list`. Rows are made from what came, without facts in between: a listing has thousands."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from modctl.client import wire
from modctl.client.listing import Modules
from modctl.client.printers import order
from modctl.client.printers.columns import Column
from modctl.client.printers.sheets import STATE_STYLES, Sheet, human_bytes, human_seconds, milliseconds, short_digest

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from modctl.client.printers.sheets import Cells
    from modctl.client.results import Row
    from modctl.v1 import module_pb2


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
        columns += [Column("ORDER", right=True), Column("PACKAGE")]
    columns += [Column("EXPIRES", right=True), Column("DIGEST"), Column("ORIGIN", shrink="start")]

    def cells(entry: module_pb2.Module) -> Cells:
        parts = [
            entry.name,
            wire.KINDS.get(entry.kind, "?"),
            str(entry.generation),
            wire.STATES.get(entry.state, "?"),
        ]
        if with_size:
            size = entry.size_bytes if entry.HasField("size_bytes") else None
            parts.append("" if size is None else str(size) if wide else human_bytes(size))
        if sort == "import-time" or wide:
            parts.append(milliseconds(entry.import_ms) if entry.HasField("import_ms") else "")
            parts.append(milliseconds(entry.import_self_ms) if entry.HasField("import_self_ms") else "")
        if wide:
            parts += [str(entry.order), "yes" if entry.package else "no"]
        expires = entry.HasField("expires_at_unix_s")
        parts.append(human_seconds(entry.expires_at_unix_s - time.time()) if expires else "")
        origin = f"→ {entry.alias_of}" if entry.alias_of else entry.origin
        if entry.initializing:
            origin = f"(importing) {origin}"
        parts += [entry.digest if wide else short_digest(entry.digest), origin]
        return tuple(parts)

    def rows(row: Row[Any]) -> list[Cells]:
        return [cells(message) for message in order.ordered(_modules(row), sort)]

    # Most of a fleet sent the same batches, which are kept once: what they hold is looked at once, and told by a
    # number, since the hash of a set of thousands is counted anew whenever it is asked for.
    by_batches: dict[tuple[int, ...], int] = {}
    by_content: dict[Hashable, int] = {}

    def key(row: Row[Any]) -> Hashable:
        modules = _modules(row)
        batches = tuple(map(id, modules.batches))
        number = by_batches.get(batches)
        if number is None:
            content = frozenset(
                (each.name, each.kind, each.origin, each.generation, each.digest, each.state, each.alias_of)
                for each in modules.messages()
            )
            number = by_batches[batches] = by_content.setdefault(content, len(by_content))
        return number

    def title(group: Sequence[Row[Any]]) -> str:
        number = len(_modules(group[0]))
        return f"{number} {'entry' if number == 1 else 'entries'}"

    return Sheet(columns, rows, key, title)


def _modules(row: Row[Any]) -> Modules:
    value = row.value
    return value if isinstance(value, Modules) else Modules([])
