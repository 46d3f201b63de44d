"""May these names be changed, and why not: a dry run of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.client.doctor.findings import bad, good, odd
from modctl.client.operations import ChangeOptions

if TYPE_CHECKING:
    from modctl.client.doctor.findings import Finding
    from modctl.client.fleet import AsyncFleet


async def of(fleet: AsyncFleet, name: str) -> list[Finding]:
    """What a reimport of a name would come to in each process; nothing is changed."""
    result = await fleet.reimport(name, options=ChangeOptions(dry_run=True, reason="modctl doctor"))
    told: dict[tuple[str, str], list[str]] = {}
    for row in result.rows:
        refusal = next((one.refusal for one in getattr(row.value, "modules", ()) if one.refusal is not None), None)
        if refusal is not None:
            key = (f"{refusal.reason}: {refusal.rule}", refusal.hint)
        else:
            key = ("" if row.good else f"{row.outcome}: {row.why}", "")
        told.setdefault(key, []).append(row.where)
    found: list[Finding] = []
    for (problem, hint), where in told.items():
        place = where[0] if len(where) == 1 else f"{len(where)} processes"
        if not problem:
            found.append(good(place, f"{name} can be reimported"))
        elif "PROTECTED" in problem:
            found.append(odd(place, f"{name} is protected: {problem}", hint or f"--override {name}"))
        else:
            found.append(bad(place, f"{name} cannot be changed: {problem}", hint or "see the sentence before"))
    return found
