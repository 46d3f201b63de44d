"""What the fleet answers: a row for each process, and all rows together. What is in them is in facts.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

ValueT = TypeVar("ValueT")
ValueT_co = TypeVar("ValueT_co", covariant=True)

#: Outcomes of which nothing needs to be said.
GOOD_OUTCOMES = frozenset({"OK", "APPLIED", "UNCHANGED", "PLANNED"})


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
        return str(getattr(self.value, "why", self.outcome))


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

    def fold(self, key: Callable[[Row[ValueT]], Hashable]) -> dict[Hashable, FleetResult[ValueT]]:
        """Rows with the same key together, the largest group first: who answered the same.

        Args:
            key: of a row; leave out of it what always differs, as pids and times.
        """
        groups: dict[Hashable, list[Row[ValueT]]] = {}
        for row in self.rows:
            groups.setdefault(key(row), []).append(row)
        ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
        return {each: FleetResult(rows, len({row.target for row in rows})) for each, rows in ordered}

    def only(self, keep: Callable[[Row[ValueT]], bool]) -> FleetResult[ValueT]:
        """The same with fewer rows."""
        return FleetResult([row for row in self.rows if keep(row)], self.targets, self.skipped)
