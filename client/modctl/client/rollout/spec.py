"""What an operator asks of a rollout, checked where it is made."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from modctl.client.errors import UsageError

ON_FAILURE: Final = ("undo", "pause", "stop")
UNITS: Final = ("process", "target")
_NUMBER = re.compile(r"(\d+)(%?)\Z")


@dataclass(frozen=True)
class Limit:
    """A number, or a share of the whole.

    Args:
        number: how many, or how many percent.
        percent: whether it is a share.
    """

    number: int
    percent: bool = False

    @classmethod
    def parse(cls, text: str, what: str) -> Limit:
        """Reads "3" or "10%".

        Raises:
            UsageError: it is neither.
        """
        found = _NUMBER.match(text.strip())
        if not found or (found.group(2) and int(found.group(1)) > 100):
            raise UsageError(f"{what} {text!r}: write a number (3) or a share of the whole (10%)")
        return cls(int(found.group(1)), bool(found.group(2)))

    def of(self, total: int, *, at_least_one: bool = False) -> int:
        """How many of `total` that is; a share is rounded down, and where `at_least_one` up to one."""
        count = math.floor(total * self.number / 100) if self.percent else self.number
        if at_least_one and self.number > 0:
            count = max(1, count)
        return min(count, total)

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)


@dataclass(frozen=True)
class RolloutSpec:
    """How a change set is brought to a fleet.

    Args:
        canary: how many come first, alone; 0 is no canary.
        waves: how many shall have it after each further wave, the earlier ones counted in; the last wave is always
            everybody.
        soak_s: how long to wait after each wave before it is checked, in seconds.
        checks: what has to hold after each wave: "health", "expr:EXPRESSION", and anything else is a command.
        check_timeout_s: bound on each check, in seconds.
        max_failures: the rollout is aborted when failures exceed this; with 0, the first failure aborts.
        on_failure: what aborting does: "undo" takes back everything, "pause" waits for the operator, "stop" leaves
            everything as it is.
        allow_mixed: whether processes may run different versions of what is changed before it begins.
        two_phase: whether a wave is prepared everywhere before it is committed anywhere.
        lease_s: how long a prepared process holds, in seconds.
        unit: what `canary` and `waves` count: processes, or whole targets.
        reason: why, for the history.
        execution_timeout_s: bound on the execution of modules' code in a process, in seconds.

    Raises:
        UsageError: something of it cannot be.
    """

    canary: Limit = Limit(1)
    waves: tuple[Limit, ...] = ()
    soak_s: float = 0.0
    checks: tuple[str, ...] = ()
    check_timeout_s: float = 30.0
    max_failures: Limit = Limit(0)
    on_failure: str = "undo"
    allow_mixed: bool = False
    two_phase: bool = True
    lease_s: float = 30.0
    unit: str = "process"
    reason: str = ""
    execution_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.on_failure not in ON_FAILURE:
            raise UsageError(f"on-failure {self.on_failure!r} is not known; it is one of {', '.join(ON_FAILURE)}")
        if self.unit not in UNITS:
            raise UsageError(f"unit {self.unit!r} is not known; it is one of {', '.join(UNITS)}")
        for name in ("soak_s",):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name}={getattr(self, name)}: a time of zero or more is needed")
        for name in ("check_timeout_s", "lease_s", "execution_timeout_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)}: a time above zero is needed")
        if any(limit.number == 0 for limit in self.waves):
            raise UsageError("waves: a wave of nobody; write 10%,50%")
        kinds = {limit.percent for limit in self.waves}
        if len(kinds) == 1 and any(a.number >= b.number for a, b in zip(self.waves, self.waves[1:], strict=False)):
            raise UsageError("waves count everybody who has it after the wave, so that they must grow: 10%,50%")


def parse_waves(text: str) -> tuple[Limit, ...]:
    """Reads "10%,50%".

    Raises:
        UsageError: it is no list of numbers and shares.
    """
    return tuple(Limit.parse(part, "waves") for part in text.split(",") if part.strip())
