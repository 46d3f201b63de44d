"""What the fleet answers: frozen dataclasses, never protobuf.

Enum values are the short names of the API: SOURCE, CLEAN, APPLIED. A time is in the unit that its name says;
`…_unix_s` counts seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

ValueT = TypeVar("ValueT")
ValueT_co = TypeVar("ValueT_co", covariant=True)

#: Outcomes of which nothing needs to be said.
GOOD_OUTCOMES = frozenset({"OK", "APPLIED", "UNCHANGED", "PLANNED"})


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


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    Args:
        code: a gRPC status code's name.
        reason: a constant.
        message: one sentence; says the cure where there is one.
        metadata: facts that the reason has.
    """

    code: str
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row(Generic[ValueT_co]):
    """What one process answered; where not even that is known, what one target did.

    Args:
        target: the address as it was named.
        process: the process's id; "" where the target as a whole failed.
        service: the service's name, "" where it is not known.
        pid: 0 where it is not known.
        outcome: OK APPLIED UNCHANGED PLANNED REFUSED FAILED DENIED UNREACHABLE TIMED_OUT UNKNOWN.
        value: the answer.
        error: why there is none.
    """

    target: str
    process: str
    service: str
    pid: int
    outcome: str
    value: ValueT_co | None = None
    error: Failure | None = None

    @property
    def good(self) -> bool:
        """Whether what was asked for was done, or needed no doing."""
        return self.outcome in GOOD_OUTCOMES

    @property
    def where(self) -> str:
        """The process, or the target where no process is known."""
        return self.process or self.target

    @property
    def why(self) -> str:
        """One sentence on why the row is not good; "" where it is."""
        if self.error is not None:
            return self.error.message
        if self.good:
            return ""
        return _why_changed_nothing(self.value) if isinstance(self.value, ChangeResult) else self.outcome


def _why_changed_nothing(result: ChangeResult) -> str:
    reasons = [result.message] if result.message else []
    for change in result.modules:
        if change.refusal is not None:
            text = f"{change.name}: {change.refusal.reason}"
            reasons.append(f"{text}: {change.refusal.hint}" if change.refusal.hint else text)
        elif change.error is not None:
            reasons.append(f"{change.name}: {change.error.type}: {change.error.message}")
    return "; ".join(reasons) or result.outcome


class FleetResult(Generic[ValueT]):
    """What every process answered.

    Iterating gives (process, value) of those that have a value; `rows` has everybody. `result[key]` is the row of
    a process's id, or of a target with just one row.

    Args:
        rows: in the order of the targets.
        targets: how many targets were asked.
        skipped: targets that were never asked, because the operator stopped the command.
    """

    def __init__(self, rows: Sequence[Row[ValueT]], targets: int, skipped: Sequence[str] = ()) -> None:
        self.rows: tuple[Row[ValueT], ...] = tuple(rows)
        self.targets = targets
        self.skipped = tuple(skipped)

    @property
    def ok(self) -> tuple[Row[ValueT], ...]:
        """The rows in which what was asked for was done."""
        return tuple(row for row in self.rows if row.good)

    @property
    def failed(self) -> tuple[Row[ValueT], ...]:
        """All other rows."""
        return tuple(row for row in self.rows if not row.good)

    def raise_for_failures(self) -> FleetResult[ValueT]:
        """Returns itself where all is well.

        Raises:
            ProcessFailedError: or the one of its subclasses that fits every failed row.
            NoTargetError: nobody answered, and nobody failed.
        """
        from modctl.client.errors import NoTargetError, ProcessFailedError

        if self.failed:
            raise ProcessFailedError.of(self.failed)
        if not self.rows:
            raise NoTargetError("no process was found; is a service with modctl.agent running?")
        return self

    def keys(self) -> list[str]:
        """Of every row its process, or its target."""
        return [row.where for row in self.rows]

    def values(self) -> list[Row[ValueT]]:
        """Every row."""
        return list(self.rows)

    def items(self) -> list[tuple[str, Row[ValueT]]]:
        """Every row with its key."""
        return [(row.where, row) for row in self.rows]

    def __getitem__(self, key: str) -> Row[ValueT]:
        found = [row for row in self.rows if row.process == key] or [row for row in self.rows if row.target == key]
        if len(found) != 1:
            raise KeyError(f"{key}: {len(found)} rows have it; use a process id")
        return found[0]

    def __contains__(self, key: object) -> bool:
        return any(key in (row.process, row.target) for row in self.rows)

    def __iter__(self) -> Iterator[tuple[str, ValueT]]:
        return ((row.where, row.value) for row in self.rows if row.value is not None)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<FleetResult targets={self.targets} ok={len(self.ok)} failed={len(self.failed)}>"

    def only(self, keep: Callable[[Row[ValueT]], bool]) -> FleetResult[ValueT]:
        """The same with fewer rows."""
        return FleetResult([row for row in self.rows if keep(row)], self.targets, self.skipped)
