"""What processes, modules and changes are: frozen dataclasses, never protobuf.

Enum values are the short names of the API: SOURCE, CLEAN, APPLIED. A time is in the unit that its name says;
`…_unix_s` counts seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Process:
    """One operating-system process with an agent in it."""

    id: str
    service: str
    host: str
    pid: int
    parent_pid: int
    started_at_unix_s: float
    python: str
    implementation: str
    modctl_version: str
    role: str
    labels: Mapping[str, str]
    revision: int
    frozen: bool
    frozen_reason: str
    entries: int
    command: str
    addresses: tuple[str, ...]
    insecure: bool
    warnings: tuple[str, ...]
    #: Who the caller is to the gateway; only `agents` asks.
    identity: str = ""


@dataclass(frozen=True)
class Module:
    """One entry of a process's sys.modules. `None` and "" mean: not known, or not asked for."""

    name: str
    kind: str
    origin: str
    package: bool
    generation: int
    digest: str
    state: str
    order: int = 0
    import_ms: float | None = None
    import_self_ms: float | None = None
    size_bytes: int | None = None
    alias_of: str = ""
    initializing: bool = False
    expires_at_unix_s: float | None = None


@dataclass(frozen=True)
class ModuleSpec:
    """Where a module was found and how it was loaded."""

    name: str
    loader: str
    origin: str
    cached: str
    parent: str
    submodule_search_locations: tuple[str, ...]
    has_location: bool


@dataclass(frozen=True)
class Export:
    """A public name that a module offers. `line` is 0 where it has none."""

    name: str
    kind: str
    line: int
    defined_in: str


@dataclass(frozen=True)
class Holder:
    """Somebody who still holds an object of a module that was replaced or removed."""

    holder: str
    name: str
    kind: str


@dataclass(frozen=True)
class Lock:
    """What a change would have to wait for: SHIELD, a unit of work under way, or IMPORT, an import in flight."""

    kind: str
    what: str
    thread: str
    task: str
    held_s: float
    place: str


@dataclass(frozen=True)
class AttributeValue:
    """The value of one attribute, described within bounds."""

    name: str
    type: str
    value: str
    truncated: bool
    error: str


@dataclass(frozen=True)
class Version:
    """A module's code at one time. `generation` is 0 where there was no entry."""

    generation: int
    digest: str


@dataclass(frozen=True)
class Symbols:
    """What a change did to a module's top-level symbols."""

    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why an operation is refused: a constant, the rule that says so, and the cure."""

    reason: str
    rule: str
    hint: str


@dataclass(frozen=True)
class PythonError:
    """An exception that a module raised. `file`, `line` and `column` are those of a syntax error."""

    type: str
    message: str
    traceback: str
    file: str = ""
    line: int = 0
    column: int = 0


@dataclass(frozen=True)
class ModuleChange:
    """What a change did, or would do, to one entry."""

    name: str
    action: str
    tier: str
    before: Version | None
    after: Version | None
    symbols: Symbols | None
    stale: tuple[Holder, ...]
    refusal: Refusal | None
    error: PythonError | None
    import_ms: float
    cached: bool


@dataclass(frozen=True)
class ChangeResult:
    """What a change set did to one process."""

    outcome: str
    revision: int
    undoable: bool
    duration_ms: float
    paused_ms: float
    modules: tuple[ModuleChange, ...]
    message: str
    side_effects: tuple[str, ...]
    request_id: str
    confirm_by_unix_s: float = 0.0
    shield_wait_ms: float = 0.0
    old_code: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """What stands in the way, in one line; the outcome where nothing is said."""
        reasons = [self.message] if self.message else []
        for change in self.modules:
            if change.refusal is not None:
                text = f"{change.name}: {change.refusal.reason}"
                reasons.append(f"{text}: {change.refusal.hint}" if change.refusal.hint else text)
            elif change.error is not None:
                reasons.append(f"{change.name}: {change.error.type}: {change.error.message}")
        return "; ".join(reasons) or self.outcome


@dataclass(frozen=True)
class Revision:
    """A committed change set."""

    number: int
    committed_at_unix_s: float
    identity: str
    reason: str
    modules: tuple[ModuleChange, ...]
    undoable: bool
    undoes: int
    undone_by: int
    expires_at_unix_s: float | None
    request_id: str
    confirm_by_unix_s: float | None = None


@dataclass(frozen=True)
class ModuleDetail:
    """Everything about one entry."""

    module: Module
    spec: ModuleSpec | None
    importers: tuple[str, ...]
    exports: tuple[Export, ...]
    holders: tuple[Holder, ...]
    history: tuple[Revision, ...]
    source: str | None
    source_error: str
    attributes: tuple[AttributeValue, ...]
    locks: tuple[Lock, ...] = ()
    disk_source: str | None = None


@dataclass(frozen=True)
class ModuleEvent:
    """One change of a process's module table."""

    target: str
    process: str
    service: str
    pid: int
    type: str
    module: Module
    revision: int
    seen_at_unix_s: float
