"""Drift: which processes run which version of a module, and whom that is against.

A version is the digest of what is really running. Modules are compared within a service: another service's module of
the same name is another module.
"""

from __future__ import annotations

import fnmatch
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult, Row

#: States in which what is running is not what the process's own disk has.
OFF_DISK = frozenset({"MODIFIED", "MISSING", "INJECTED", "PATCHED", "BLOCKED"})


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
    """

    digest: str
    states: tuple[str, ...]
    places: tuple[Place, ...]
    differs: bool


@dataclass(frozen=True)
class ModuleDrift:
    """One module of one service.

    Args:
        service: the service.
        name: the module.
        reference: the digest that is compared with; "" where there is none.
        groups: the versions: the one compared with first, then the largest first.
        absent: who of the service has not loaded it: no difference, since modules are loaded when they are needed.
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

    def digest_of(self, service: str, name: str, counts: Mapping[str, int]) -> str:
        """The digest that a module should have; "" where nothing is said of it.

        Args:
            service: the service.
            name: the module.
            counts: digest to how many processes run it.
        """

    def differs(self, digest: str, state: str, reference: str) -> bool:
        """Whether a version is another one."""


class Majority:
    """What most processes of the service run; of equals the first digest by its text.

    A version that is on nobody's disk and was loaded before anybody looked has no digest: it is another one than every
    version that has.
    """

    def digest_of(self, service: str, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """The digest that most have."""
        return min(counts, key=lambda digest: (-counts[digest], not digest, digest), default="")

    def differs(self, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether it has another one."""
        return digest != reference


class Disk:
    """What each process would load from its own disk."""

    def digest_of(self, service: str, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """There is no one digest: each process has its own disk."""
        return ""

    def differs(self, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether the process said so."""
        return state in OFF_DISK


class Known:
    """A version for each name: of a directory, or of one target.

    Args:
        digests: name to digest.
    """

    def __init__(self, digests: Mapping[str, str]) -> None:
        self._digests = digests

    def digest_of(self, service: str, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """The digest there; "" where it has no such module."""
        return self._digests.get(name, "")

    def differs(self, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether it is another one. What is not there cannot be compared with."""
        return bool(digest) and bool(reference) and digest != reference


def digest(content: bytes) -> str:
    """The digest of source bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_directory(folder: str) -> Known:
    """The versions in a local tree.

    Raises:
        SourceError: a file cannot be read.
    """
    from modctl.client.local_sources import modules_of
    from modctl.client.packages import read_source

    return Known({name: digest(read_source(file)) for name, file in modules_of(folder)})


def of_listing(result: FleetResult[Modules]) -> Known:
    """The versions that a target runs: of its processes the first that has the module."""
    digests: dict[str, str] = {}
    for _, modules in result:
        for module in modules:
            digests.setdefault(module.name, module.digest)
    return Known(digests)


def compare(result: FleetResult[Modules], reference: Reference, patterns: Sequence[str] = ()) -> list[ModuleDrift]:
    """Every module with more than nothing to say, by service and name.

    Args:
        result: listings with digests and states.
        reference: what is compared with.
        patterns: as given by the operator; a name without wildcards is told of even where nobody has it.
    """
    drifts: list[ModuleDrift] = []
    for service, rows in _by_service(result).items():
        places = [Place(row.target, row.process, row.service, row.pid) for row in rows]
        versions = _versions(rows)
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


def _versions(rows: Sequence[Row[Modules]]) -> dict[str, dict[tuple[str, str], list[int]]]:
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
            if message.digest or state in OFF_DISK:
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
    wanted = reference.digest_of(service, name, counts)
    grouped: dict[tuple[str, bool], dict[str, list[int]]] = {}
    for (found, state), positions in versions.items():
        differs = reference.differs(found, state, wanted)
        grouped.setdefault((found, differs), {}).setdefault(state, []).extend(positions)
    groups = [
        VersionGroup(
            found,
            tuple(sorted(states)),
            tuple(places[position] for position in sorted(position for each in states.values() for position in each)),
            differs,
        )
        for (found, differs), states in grouped.items()
    ]
    groups.sort(key=lambda group: (group.differs, -len(group.places), group.digest))
    has_it = {position for positions in versions.values() for position in positions}
    absent = tuple(place for position, place in enumerate(places) if position not in has_it)
    return ModuleDrift(service, name, wanted, tuple(groups), absent)
