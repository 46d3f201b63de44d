"""What running code differs in from other code: each target's disk, a local tree, or what a change set wants.

The listing says who differs, by digest and state; sources are sent only of those modules.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modctl.client.drift.references import NO_SOURCE, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modctl.client.drift.desired import Wanted
    from modctl.client.facts import Module, ModuleDetail
    from modctl.client.fleet import AsyncFleet
    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult, Row

#: Kinds of entries that can have source.
_SOURCES = frozenset({"SOURCE", "INJECTED", "BLOCKED", "NAMESPACE"})


@dataclass(frozen=True)
class Diff:
    """One module of one process.

    Args:
        row: the process's row.
        name: the module.
        loaded: whether the process has it.
        differs: whether it is another version.
        text: the unified diff from what is running; "" where there is none to show.
        why: why it cannot be compared; "" where it can.
    """

    row: Row[Any]
    name: str
    loaded: bool = True
    differs: bool = False
    text: str = ""
    why: str = ""


@dataclass(frozen=True)
class Against:
    """What is compared with.

    Args:
        label: of it, in the head of each diff.
        wanted: name to what is wanted; None compares each process with its own disk.
    """

    label: str = ""
    wanted: Mapping[str, Wanted] | None = None

    def of(self, name: str) -> Wanted | None:
        """What is wanted of an entry; None where it is compared with its disk, or nothing is said."""
        if self.wanted is None:
            return None
        found = self.wanted.get(name)
        while found is None and "." in name:
            name = name.rpartition(".")[0]
            above = self.wanted.get(name)
            found = above if above is not None and above.recursive else None
        return found

    def may_differ(self, module: Module) -> bool:
        """Whether the source has to be looked at."""
        wanted = self.of(module.name)
        if wanted is None or wanted.disk:
            return module.state != "CLEAN"
        if wanted.source is not None:
            return module.digest != digest(wanted.source)
        if wanted.blocked:
            return module.state != "BLOCKED"
        return wanted.absent or wanted.stub is not None


async def diffs(
    fleet: AsyncFleet, patterns: Sequence[str], against: Against
) -> tuple[list[Diff], FleetResult[Modules]]:
    """Every module that is loaded and matches, or is wanted, of every process; and who did not answer.

    Args:
        fleet: whose.
        patterns: names and globs.
        against: what is compared with.
    """
    listing = await fleet.list(*patterns)
    named = frozenset(patterns)
    loaded = {row.process: {each.name: each for each in row.value or ()} for row in listing.ok}
    looked_at = {
        each.name
        for modules in loaded.values()
        for each in modules.values()
        if against.may_differ(each) and (each.kind in _SOURCES or each.name in named)
    }
    details: dict[tuple[str, str], ModuleDetail | str] = {}
    # Who did not answer is not waited for again.
    reached = {row.target for row in listing.ok}
    answering = fleet.only([target for target in await fleet.resolve() if target.label in reached])
    for name in sorted(looked_at):
        result = await answering.get(name, with_source=True, with_disk_source=True)
        details.update({(row.process, name): row.value if row.value is not None else row.why for row in result.rows})
    found: list[Diff] = []
    for row in listing.ok:
        modules = loaded[row.process]
        wanted = [name for name in against.wanted or () if name in named and name not in modules]
        found += [_absent(row, name, against) for name in wanted]
        for name, module in sorted(modules.items()):
            if name in looked_at and against.may_differ(module):
                found.append(_diff(row, module, details.get((row.process, name), "no answer"), against))
            elif module.kind in _SOURCES or name in named:
                found.append(Diff(row, name))
    return found, listing


def _absent(row: Row[Any], name: str, against: Against) -> Diff:
    wanted = against.of(name)
    if wanted is None or wanted.absent or not wanted.needed:
        return Diff(row, name, loaded=False)
    return Diff(row, name, False, True, _unified("", wanted.text or "", f"not loaded: {name}", against.label, name))


def _diff(row: Row[Any], module: Module, detail: ModuleDetail | str, against: Against) -> Diff:
    name = module.name
    if isinstance(detail, str):
        return Diff(row, name, why=detail)
    wanted = against.of(name)
    running = "" if module.state in NO_SOURCE and detail.source is None else detail.source
    if wanted is None or wanted.disk:
        other, label = detail.disk_source, detail.module.origin
    else:
        other, label = wanted.text, f"{against.label}: {name}"
        if wanted.stub is not None and module.state == "INJECTED" and detail.source is None:
            return Diff(row, name)  # a stub stands there; what became of its attributes is the program's affair
    if running is None:
        return Diff(row, name, why=detail.source_error or "no source")
    if other is None:
        return Diff(row, name, why="its file cannot be read")
    text = _unified(running, other, f"running: {name}", label, name)
    # Blocked or evicted, what has no source differs all the same.
    differs = bool(text) or (wanted is not None and (wanted.absent or wanted.blocked))
    return Diff(row, name, differs=differs, text=text)


def _unified(running: str, other: str, here: str, there: str, name: str) -> str:
    there = there if there.endswith(name) else there or name
    lines = difflib.unified_diff(running.splitlines(keepends=True), other.splitlines(keepends=True), here, there)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
