"""`modctl drift`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from modctl.client import exits
from modctl.client.errors import NoTargetError, UsageError
from modctl.client.options import Duration, command, flag, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.drift import Desired, ModuleDrift, Reference
    from modctl.client.fleet import AsyncFleet
    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult

#: What can be replaced at run time: others have no source to compare.
_KINDS = ("SOURCE", "INJECTED", "BLOCKED")
#: What ends so is a change set, and no tree and no target.
_CHANGE_SETS = (".toml", ".json", ".yaml", ".yml")


@command("drift", "Show which processes run which version.")
@click.argument("patterns", nargs=-1, metavar="[NAME|GLOB]...")
@flag(
    "--against",
    default="majority",
    show_default=True,
    metavar="majority|disk|desired|DIR|FILE|TARGET",
    help="What most processes of the service run, each process's own disk, the context's desired state, a local tree, "
    "a change set (.toml, .json, .yaml), or what a target runs.",
)
@flag("--watch", "-w", is_flag=True, help="Look again and again, and show what has changed.")
@flag("--interval", type=Duration(), default="2s", show_default=True, help="How often --watch looks.")
@reading
def drift_command(patterns: tuple[str, ...], against: str, watch: bool, interval: float, **flags: Any) -> int:
    """Show which processes run which version of modules: did it take effect everywhere?

    Versions are digests of what is really running, compared within each service. Without --verbose, and unless asked
    for by name, modules without differences are left out. Exits with 1 where there are differences.

    Against a change set, it is what the set wants to be there: who lacks it, still has what it evicts, or runs another
    build than it was written against (SUPERSEDED). `desired = "fixes.toml"` in a context, or a tree, is what
    --against desired means.
    """
    session = Session(flags)
    looker = _Looker(session, patterns, against)
    if watch:
        return session.stream(lambda fleet: _watch(fleet, session, looker, interval))
    return session.run(looker.once)


@dataclass(frozen=True)
class _Look:
    """What one look has found."""

    found: Sequence[ModuleDrift]
    result: FleetResult[Modules]

    @property
    def code(self) -> int:
        """What to exit with."""
        return exits.DIFFERENCES if any(each.differs for each in self.found) else exits.of_result(self.result)

    def same_as(self, other: _Look | None) -> bool:
        """Whether nothing new is to be told. That everybody is older by now is nothing new."""
        return other is not None and (self.found, self._silent) == (other.found, other._silent)

    @property
    def _silent(self) -> list[tuple[str, str, str]]:
        return [(row.where, row.outcome, row.why) for row in self.result.failed]


class _Looker:
    """Compares, and shows what it has found.

    Args:
        session: of the command.
        patterns: which modules; where there are none, all, or those that a change set names.
        against: as it was given.
    """

    def __init__(self, session: Session, patterns: tuple[str, ...], against: str) -> None:
        self._session = session
        self._patterns = patterns
        self._against = against
        self._desired = _desired(session, against)

    async def once(self, fleet: AsyncFleet) -> int:
        """Looks and tells."""
        look = await self.look(fleet)
        self.tell(look)
        return look.code

    async def look(self, fleet: AsyncFleet) -> _Look:
        """Asks everybody."""
        from modctl.client.drift import compare

        if self._desired is None:
            reference = await _reference(self._session, fleet, self._against, self._patterns)
            result = await fleet.list(*self._patterns, kinds=_KINDS)
            return _Look(compare(result, reference, self._patterns), result)
        # Whether an extension is loaded can be wanted, too; which version of it cannot.
        patterns = self._patterns or tuple(self._desired.patterns)
        result = await fleet.list(*patterns)
        named = patterns if self._patterns else tuple(self._desired.names)
        return _Look(compare(result, self._desired, named, every=True), result)

    def tell(self, look: _Look) -> None:
        """Shows it."""
        from modctl.client.drift import asked_by_name
        from modctl.client.printers import drifts

        output = self._session.output
        shown = [
            each for each in look.found if each.differs or output.verbose or asked_by_name(each.name, self._patterns)
        ]
        if look.result.rows or look.result.skipped:
            drifts.show(shown, look.result, self._against, output, everything=True)
        else:
            output.warn("modctl: no process was found")


async def _watch(fleet: AsyncFleet, session: Session, looker: _Looker, interval_s: float) -> int:
    import time

    before: _Look | None = None
    code = exits.OK
    while not fleet.stop.is_set():
        look = await looker.look(fleet)
        if fleet.stop.is_set():
            break  # what was not asked any more is no news
        if not look.same_as(before):
            if session.output.format in ("table", "wide"):
                session.output.write(f"{time.strftime('%H:%M:%S')}\n")
            looker.tell(look)
            before, code = look, look.code
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(fleet.stop.wait(), interval_s)
    return code


def _desired(session: Session, against: str) -> Desired | None:
    """The change set to compare with; None where it is something else."""
    path = against
    if against == "desired":
        path = session.desired
        if not path:
            raise UsageError(
                '--against desired: no context in force says what is desired; write desired = "FILE" into it, or give '
                "the change set itself: --against FILE"
            )
    if not path.lower().endswith(_CHANGE_SETS) or _is_folder(path):
        return None
    from modctl.client.changeset import read_change_set
    from modctl.client.drift import Desired, wanted_by

    return Desired(wanted_by(read_change_set(path).operations))


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)


async def _reference(session: Session, fleet: AsyncFleet, against: str, patterns: tuple[str, ...]) -> Reference:
    from modctl.client import drift

    if against == "majority":
        return drift.Majority()
    if against == "disk":
        return drift.Disk()
    if against == "desired":
        against = session.desired
    if _is_folder(against):
        return drift.of_directory(against)
    from modctl.client.fleet import AsyncFleet
    from modctl.client.targets import parse_targets

    other = AsyncFleet(parse_targets([against]), fleet.settings)
    try:
        result = await other.list(*patterns, kinds=_KINDS)
    finally:
        await other.close()
    if not result.ok:
        why = result.failed[0].why if result.failed else "no process was found there"
        raise NoTargetError(f"--against {against}: {why}")
    return drift.of_listing(result)
