"""`-o name`: one word a line, to be fed to the next command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.listing import Modules
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult


def write_names(kind: str, result: FleetResult[Any], output: Output) -> None:
    """Entries' names for listings and cards, revisions' numbers for a history, else the ids of processes; each once."""
    names: dict[str, None] = {}
    for row in result.rows:
        if row.value is None:
            continue
        if isinstance(row.value, Modules):
            names.update(dict.fromkeys(row.value.names()))
        elif kind == "ModuleDetail":
            names[row.value.module.name] = None
        elif kind == "RevisionList":
            names.update(dict.fromkeys(str(each.number) for each in row.value))
        elif row.good:
            names[row.process] = None
    ordered = sorted(names) if kind == "ModuleList" else list(names)
    for name in ordered:
        output.write(f"{printable(name)}\n")
