"""Where a rollout stands: data that is written to its state file, and read back by whoever goes on with it.

Status: PREFLIGHT → RUNNING → DONE; aborted, RUNNING → UNDOING → UNDONE or MIXED, or → PAUSED, or → STOPPED; REJECTED
where the preflight said no and nothing was touched.

Phase of a process:

    WAITING ─▶ SENDING ─▶ CHANGED ─▶ UNDOING ─▶ UNDONE
       │          ├─────▶ UNCHANGED               (had it already)
       │          ├─────▶ FAILED                  (it has the old code)
       │          └─────▶ UNKNOWN                 (sent, and it cannot be asked)
       └──▶ EXCLUDED  the preflight said no        LEFT  it has ended        STUCK  undoing it failed

SENDING and UNDOING are written before anything is sent.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

from modctl.client.rollout.spec import Limit, RolloutSpec

FORMAT: Final = 1
#: Nothing more will happen by itself.
ENDED: Final = frozenset({"DONE", "UNDONE", "MIXED", "STOPPED", "REJECTED"})
#: May have the new code.
MAY_HAVE_IT: Final = frozenset({"SENDING", "CHANGED", "UNKNOWN", "UNDOING", "STUCK"})


@dataclass
class Entry:
    """One process, or a target of which no process is known.

    Args:
        target: the target's label.
        process: the process's id; the target's label where no process is known.
        service: the service's name.
        pid: 0 where no process is known.
        phase: see above.
        planned: whether the preflight has been asked.
        revision: the revision that brought the change; 0 where none did.
        attempt: how often it was sent anew, after a definite failure.
        failure: why this counts as a failure; "" where it does not.
        joined: whether it came after the rollout had begun.
        before: module to the digest that ran before, as the preflight said.
        sent_at_unix_s: when it was sent last; 0 where never.
        undo_attempt: how often undoing it was sent anew.
    """

    target: str
    process: str
    service: str = ""
    pid: int = 0
    phase: str = "WAITING"
    planned: bool = False
    revision: int = 0
    attempt: int = 0
    failure: str = ""
    joined: bool = False
    before: dict[str, str] = field(default_factory=dict)
    sent_at_unix_s: float = 0.0
    undo_attempt: int = 0


@dataclass
class Wave:
    """Processes that are changed together.

    Args:
        name: canary, wave 1, …
        processes: their ids.
        soak_until_unix_s: when the soak ends; 0 before it has begun.
        looked: whether it was looked, after the soak, who is still there.
        checked: whether every check has held.
        check_failure: which check did not, and what it said.
        began_at_unix_s: when it was first sent.
        ended_at_unix_s: when it was through.
        spread_ms: between the first and the last process switched, where the processes said when.
    """

    name: str
    processes: list[str]
    soak_until_unix_s: float = 0.0
    looked: bool = False
    checked: bool = False
    check_failure: str = ""
    began_at_unix_s: float = 0.0
    ended_at_unix_s: float = 0.0
    spread_ms: float | None = None


@dataclass
class RolloutState:
    """All that changes while a rollout runs.

    Args:
        rollout: its id.
        status: see above.
        entries: process id to entry.
        waves: in order.
        wave: the index of the one that is under way.
        frozen_total: how many processes there were at the preflight: of this `max_failures` takes its share.
        message: one sentence on why it stands where it stands.
        want_undo: whether aborting ends in undoing.
        reconcile: whether the processes must be asked what they have before anything else.
        undo_rounds: how often everybody was asked to undo.
        sweeps: how many waves were added for processes that joined.
        promoted: "wave" or "all": whose soak and checks are passed over.
        began_at_unix_s: when it began.
        changed_at_unix_s: when this was written.
    """

    rollout: str
    status: str = "PREFLIGHT"
    entries: dict[str, Entry] = field(default_factory=dict)
    waves: list[Wave] = field(default_factory=list)
    wave: int = 0
    frozen_total: int = 0
    message: str = ""
    want_undo: bool = False
    reconcile: bool = False
    undo_rounds: int = 0
    sweeps: int = 0
    promoted: str = ""
    began_at_unix_s: float = 0.0
    changed_at_unix_s: float = 0.0

    @property
    def failures(self) -> list[Entry]:
        """Who counts as a failure."""
        return [entry for entry in self.entries.values() if entry.failure]

    def in_phase(self, *phases: str) -> list[Entry]:
        """The entries in one of the phases."""
        return [entry for entry in self.entries.values() if entry.phase in phases]

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in ENDED

    @property
    def exit_code(self) -> int:
        """What the command line exits with when the runner stops here; see surface.md, "Exit codes"."""
        failed = bool(self.failures)
        if self.status == "DONE":
            return 3 if failed else 0
        if self.status == "UNDONE":
            return 5
        if self.status == "REJECTED":
            return 3
        return 6 if self.in_phase(*MAY_HAVE_IT) else 5 if self.status == "MIXED" else 3

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> RolloutState:
        """Of plain data.

        Raises:
            ValueError: it is of another format, or broken.
        """
        if data.get("format") != FORMAT:
            raise ValueError(f"state of format {data.get('format')!r}; this modctl reads {FORMAT}")
        fields = {key: value for key, value in data.items() if key != "format"}
        try:
            fields["entries"] = {key: Entry(**entry) for key, entry in fields["entries"].items()}
            fields["waves"] = [Wave(**wave) for wave in fields["waves"]]
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"broken state: {error}") from error


def spec_to_json(spec: RolloutSpec) -> dict[str, Any]:
    """A spec as plain data."""
    return {each.name: _plain(getattr(spec, each.name)) for each in dataclasses.fields(spec)}


def spec_from_json(data: dict[str, Any]) -> RolloutSpec:
    """A spec of plain data.

    Raises:
        UsageError: something of it cannot be.
    """
    fields = dict(data)
    fields["canary"] = Limit.parse(fields["canary"], "canary")
    fields["max_failures"] = Limit.parse(fields["max_failures"], "max-failures")
    fields["waves"] = tuple(Limit.parse(each, "waves") for each in fields["waves"])
    fields["checks"] = tuple(fields["checks"])
    return RolloutSpec(**fields)


def _plain(value: object) -> object:
    if isinstance(value, Limit):
        return str(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
