"""What a change did, or would do: see surface.md, `ChangeResult`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

TIERS = ("NOOP", "CODE", "PATCH", "FRESH")


@dataclass
class ModuleReport:
    """One module's part. Names are top-level symbols."""

    name: str
    tier: str = "NOOP"
    changed: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    #: Statements that ran: their first lines.
    executed: list[int] = field(default_factory=list)
    #: Whether its own text changed; False of one that followed others.
    own: bool = True

    def to_dict(self) -> dict[str, Any]:
        """As the protocol's ModuleChange has it, without name and versions."""
        symbols = {
            key: sorted(getattr(self, key))
            for key in ("changed", "added", "removed", "replaced", "kept")
            if getattr(self, key)
        }
        return {"tier": f"TIER_{self.tier}", "symbols": symbols}


@dataclass
class Report:
    """The whole change."""

    modules: dict[str, ModuleReport] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    side_effects: list[str] = field(default_factory=list)
    #: (holder, name, kind): who still holds old objects.
    stale: list[tuple[str, str, str]] = field(default_factory=list)
    operations: int = 0
    executed: int = 0
    paused_ms: float = 0.0
    staged_ms: float = 0.0

    def module(self, name: str) -> ModuleReport:
        """The part of a module, made where there is none."""
        return self.modules.setdefault(name, ModuleReport(name))

    @property
    def tier(self) -> str:
        """The deepest tier of all."""
        return max((m.tier for m in self.modules.values()), key=TIERS.index, default="NOOP")
