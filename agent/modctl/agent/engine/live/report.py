"""What a change did, or would do: see surface.md, `ChangeResult`."""

from __future__ import annotations

from typing import Any

TIERS = ("NOOP", "CODE", "PATCH", "FRESH")


class ModuleReport:
    """One module's part. Names are top-level symbols."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tier = "NOOP"
        self.changed: list[str] = []
        self.added: list[str] = []
        self.removed: list[str] = []
        self.replaced: list[str] = []
        self.kept: list[str] = []
        #: Statements that ran: their first lines.
        self.executed: list[int] = []
        #: Whether its own text changed; False of one that followed others.
        self.own = True

    def to_dict(self) -> dict[str, Any]:
        """As the protocol's ModuleChange has it, without name and versions."""
        symbols = {
            key: sorted(getattr(self, key))
            for key in ("changed", "added", "removed", "replaced", "kept")
            if getattr(self, key)
        }
        return {"tier": f"TIER_{self.tier}", "symbols": symbols}


class Report:
    """The whole change."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleReport] = {}
        self.notes: list[str] = []
        self.side_effects: list[str] = []
        #: (holder, name, kind): who still holds old objects.
        self.stale: list[tuple[str, str, str]] = []
        self.operations = 0
        self.executed = 0
        self.paused_ms = 0.0
        self.staged_ms = 0.0

    def module(self, name: str) -> ModuleReport:
        """The part of a module, made where there is none."""
        found = self.modules.get(name)
        if found is None:
            found = self.modules[name] = ModuleReport(name)
        return found

    @property
    def tier(self) -> str:
        """The deepest tier of all."""
        return max((m.tier for m in self.modules.values()), key=TIERS.index, default="NOOP")
