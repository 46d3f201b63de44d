"""Which processes run which version of a module.

A version is the digest of what is really running. Modules are compared within a service: another service's module of
the same name is another module.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from modctl.client.drift.references import OFF_DISK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult, Row

#: The state of those who differ by not having loaded it.
NOT_LOADED: Final = "NOT_LOADED"


@dataclass(frozen=True)
class Place:
    """A process.

    Args:
        target: the label of its target.
        process: its id.
        service: its service's name.
        pid: its pid.
    """

    target: str
    process: str
    service: str
    pid: int

    @property
    def started_at_unix_s(self) -> float | None:
        """When it started, as its id says: service/host/pid@start."""
        start = self.process.rpartition("@")[2]
        return float(start) if start.isdigit() else None


@dataclass(frozen=True)
class VersionGroup:
    """Processes that run the same version.

    Args:
        digest: of it; "" where it is not known.
        states: how it compares with each process's own disk, each state once.
        places: who runs it.
        differs: whether it is another version than the one that is compared with.
        superseded: whether the version compared with is not made for processes that run this one.
    """

    digest: str
    states: tuple[str, ...]
    places: tuple[Place, ...]
    differs: bool
    superseded: bool = False

    @property
    def loaded(self) -> bool:
        """Whether they have it at all."""
        return self.states != (NOT_LOADED,)


@dataclass(frozen=True)
class ModuleDrift:
    """One module of one service.

    Args:
        service: the service.
        name: the module.
        reference: the digest that is compared with; "" where there is none.
        groups: the versions: the one compared with first, then the largest first.
        absent: who of the service has not loaded it: a difference only where it is wanted, for modules are loaded when
            they are needed.
    """

    service: str
    name: str
    reference: str
    groups: tuple[VersionGroup, ...]
    absent: tuple[Place, ...]

    @property
    def differs(self) -> bool:
        """Whether somebody runs another version."""
        return any(group.differs for group in self.groups)


class Reference(Protocol):
    """What versions are compared with."""

    def digest_of(self, name: str, counts: Mapping[str, int]) -> str:
        """The digest that a module should have; "" where nothing is said of it.

        Args:
            name: the module.
            counts: digest to how many processes of the service run it.
        """

    def differs(self, name: str, digest: str, state: str, reference: str) -> bool:
        """Whether a version is another one."""

    def must_be_loaded(self, name: str) -> bool:
        """Whether who has not loaded the module differs."""

    def is_superseded(self, name: str, digest: str) -> bool:
        """Whether a version that differs is one that the wanted one is not made for."""


def compare(
    result: FleetResult[Modules], reference: Reference, patterns: Sequence[str] = (), *, every: bool = False
) -> list[ModuleDrift]:
    """Every module with more than nothing to say, by service and name.

    Args:
        result: listings with digests and states.
        reference: what is compared with.
        patterns: as given by the operator; a name without wildcards is told of even where nobody has it.
        every: modules without source, too: extensions, built-in ones.
    """
    drifts: list[ModuleDrift] = []
    for service, rows in _by_service(result).items():
        places = [Place(row.target, row.process, row.service, row.pid) for row in rows]
        versions = _versions(rows, every)
        wanted = [pattern for pattern in patterns if not _is_glob(pattern)]
        names = sorted({*versions, *wanted})
        drifts += [_one(service, name, versions.get(name, {}), places, reference) for name in names]
    return drifts


def _is_glob(pattern: str) -> bool:
    return any(character in pattern for character in "*?[")


def asked_by_name(name: str, patterns: Iterable[str]) -> bool:
    """Whether the operator asked for just this module."""
    return any(not _is_glob(pattern) and fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _by_service(result: FleetResult[Modules]) -> dict[str, list[Row[Modules]]]:
    services: dict[str, list[Row[Modules]]] = {}
    for row in result.rows:
        if row.value is not None:
            services.setdefault(row.service, []).append(row)
    return services


def _versions(rows: Sequence[Row[Modules]], every: bool) -> dict[str, dict[tuple[str, str], list[int]]]:
    """Name to (digest, state) to the positions of the rows that have it.

    Batches that many processes share are looked at once: of a thousand workers of one build that is nearly all of them.
    """
    holders: dict[int, tuple[Any, list[int]]] = {}
    for position, row in enumerate(rows):
        for batch in row.value.batches if row.value is not None else ():
            holders.setdefault(id(batch), (batch, []))[1].append(position)
    from modctl.client.wire import STATES

    versions: dict[str, dict[tuple[str, str], list[int]]] = {}
    for batch, positions in holders.values():
        for message in batch.messages():
            state = STATES.get(message.state, "")
            if every or message.digest or state in OFF_DISK:
                found = versions.setdefault(message.name, {})
                found.setdefault((message.digest, state), []).extend(positions)
    return versions


def _one(
    service: str,
    name: str,
    versions: Mapping[tuple[str, str], Sequence[int]],
    places: Sequence[Place],
    reference: Reference,
) -> ModuleDrift:
    counts: dict[str, int] = {}
    for (found, _), positions in versions.items():
        counts[found] = counts.get(found, 0) + len(positions)
    wanted = reference.digest_of(name, counts)
    grouped: dict[tuple[str, bool], dict[str, list[int]]] = {}
    for (found, state), positions in versions.items():
        differs = reference.differs(name, found, state, wanted)
        grouped.setdefault((found, differs), {}).setdefault(state, []).extend(positions)
    groups = [
        VersionGroup(
            found,
            tuple(sorted(states)),
            tuple(places[position] for position in sorted(position for each in states.values() for position in each)),
            differs,
            differs and reference.is_superseded(name, found),
        )
        for (found, differs), states in grouped.items()
    ]
    groups.sort(key=lambda group: (group.differs, -len(group.places), group.digest))
    has_it = {position for positions in versions.values() for position in positions}
    absent = tuple(place for position, place in enumerate(places) if position not in has_it)
    if absent and reference.must_be_loaded(name):
        groups.append(VersionGroup("", (NOT_LOADED,), absent, differs=True))
    return ModuleDrift(service, name, wanted, tuple(groups), absent)
