"""Puts the batches of a listing together, process by process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.client.listing import Batch, BatchStore, Modules
from modctl.client.outcomes import outcome_of
from modctl.client.results import Failure, Row

if TYPE_CHECKING:
    from modctl.client.targets import Target


class ListGatherer:
    """The answers of one target to ListModules.

    Args:
        store: where batches lie; one for the whole fleet.
    """

    def __init__(self, store: BatchStore) -> None:
        self._store = store
        self._batches: dict[tuple[str, str, int], list[Batch]] = {}
        self._failures: dict[tuple[str, str, int], Failure] = {}

    def add(self, body: bytes, again: bool = False) -> None:  # noqa: ARG002 - a listing is gathered anew then
        """One batch of one process."""
        process, batch, failure = self._store.read(body)
        batches = self._batches.setdefault(process, [])
        if batch is not None:
            batches.append(batch)
        if failure is not None:
            self._failures[process] = failure

    def processes(self) -> set[str]:
        """The ids of those that were heard."""
        return {process[0] for process in self._batches}

    def rows(self, target: Target, lost: tuple[str, Failure] | None) -> list[Row[Any]]:
        """One row a process. Half a listing is none: it would look like modules that are not there."""
        rows: list[Row[Any]] = []
        for process, batches in sorted(self._batches.items(), key=lambda item: (item[0][1], item[0][2])):
            name, service, pid = process
            failure = self._failures.get(process)
            if failure is not None:
                outcome = outcome_of(failure, changing=False, sent=True)
                rows.append(Row(target.label, name, service, pid, outcome, error=failure))
            elif lost is not None:
                rows.append(Row(target.label, name, service, pid, lost[0], error=lost[1]))
            else:
                rows.append(Row(target.label, name, service, pid, "OK", Modules(batches)))
        if lost is not None and not rows:
            rows.append(Row(target.label, "", "", 0, lost[0], error=lost[1]))
        return rows
