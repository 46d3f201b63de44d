"""Sends saved modules to whoever has them loaded."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modctl.client.operations import ChangeOptions, Reimport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.dev.saves import Save
    from modctl.client.facts import ChangeResult
    from modctl.client.fleet import AsyncFleet
    from modctl.client.results import FleetResult, Row


@dataclass(frozen=True)
class Pushed:
    """What came of one save.

    Args:
        saves: the modules that were sent together.
        rows: what each process that has one of them said; also targets that could not be asked.
        skipped: names that nobody has loaded.
        took_ms: from the save being seen to the last answer.
        nobody: whether there was no process at all.
    """

    saves: tuple[Save, ...]
    rows: tuple[Row[ChangeResult], ...]
    skipped: tuple[str, ...]
    took_ms: float
    nobody: bool = False


class Pusher:
    """Pushes one save after the other to a fleet.

    Args:
        fleet: whom to.
        mode: "patch", or "fresh".
        reason: why, for the history.
    """

    def __init__(self, fleet: AsyncFleet, mode: str = "patch", reason: str = "modctl dev") -> None:
        self.fleet = fleet
        self.mode = mode
        self._options = ChangeOptions(reason=reason)

    async def push(self, saves: Sequence[Save], began_s: float | None = None) -> Pushed:
        """Sends the modules that are loaded somewhere, as one change set where everybody has the same of them.

        Args:
            saves: those with a source.
            began_s: when the save was seen, by time.monotonic().
        """
        began_s = time.monotonic() if began_s is None else began_s
        by_name = {save.name: save for save in saves}
        listed = await self.fleet.list(*by_name, basic=True)
        having = {row.process: frozenset(row.value.names()) for row in listed.rows if row.value is not None}
        loaded = sorted(set().union(*having.values()) & set(by_name))
        skipped = tuple(name for name in by_name if name not in loaded)
        unreached = tuple(row for row in listed.failed)
        rows: list[Row[ChangeResult]] = []
        together = len({names & set(loaded) for names in having.values() if names & set(loaded)}) == 1
        for names in [loaded] if together else [[name] for name in loaded]:
            if names:
                result = await self._send([by_name[name] for name in names])
                rows += [row for row in result.rows if not _is_not_loaded(row)]
        took_ms = (time.monotonic() - began_s) * 1000
        told = (*rows, *(unreached if not rows else ()))
        nobody = not listed.rows
        return Pushed(tuple(saves), told, skipped, took_ms, nobody)  # type: ignore[arg-type]  # what failed has no value

    async def _send(self, saves: Sequence[Save]) -> FleetResult[ChangeResult]:
        result = await self.fleet.apply([self._operation(save) for save in saves], options=self._options)
        if self.mode == "patch" and any(_is_unsupported(row) for row in result.rows):
            # An agent that cannot change live objects yet takes fresh modules, which is less, and says so.
            self.mode = "fresh"
            result = await self.fleet.apply([self._operation(save) for save in saves], options=self._options)
        return result

    def _operation(self, save: Save) -> Reimport:
        return Reimport(save.name, self.mode, source=save.source)


def _reasons(row: Row[ChangeResult]) -> set[str]:
    modules = row.value.modules if row.value is not None else ()
    return {change.refusal.reason for change in modules if change.refusal is not None}


def _is_not_loaded(row: Row[ChangeResult]) -> bool:
    return row.outcome == "REFUSED" and _reasons(row) == {"NOT_LOADED"}


def _is_unsupported(row: Row[ChangeResult]) -> bool:
    return row.outcome == "REFUSED" and "UNSUPPORTED" in _reasons(row)
