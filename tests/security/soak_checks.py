"""What must hold of a soak when it is over: each change is on record twice, as its caller heard it; memory is flat."""

from __future__ import annotations

import collections
import json
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

#: Outcomes that are answers, whatever they say.
ANSWERED = frozenset({"OK", "APPLIED", "UNCHANGED", "PLANNED", "REFUSED", "FAILED"})


@dataclass(frozen=True)
class Change:
    """A change as its caller heard of it.

    Args:
        request_id: what the caller named it.
        near_kill: whether a gateway or a worker was killed so near to it that an answer may have got lost.
        results: process id to outcome and revision.
    """

    request_id: str
    near_kill: bool
    results: Mapping[str, tuple[str, int]]


@dataclass
class Record:
    """The audit log, read whole; of its lines that which is compared: an hour has 300,000 of them.

    Args:
        attempts: id to the request's id.
        outcomes: id to the outcome as a whole, and each process with its outcome and revision.
        not_twice: ids that have not exactly one line of each kind.
        unordered: ids whose outcome was written before the attempt.
        torn: lines of which a gateway that was killed in write() left a part. What had such a beginning was never
            begun, and whatever had such an end is ended as UNKNOWN by the next gateway.
    """

    attempts: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, tuple[str, tuple[tuple[str, str, int], ...]]] = field(default_factory=dict)
    not_twice: dict[str, str] = field(default_factory=dict)
    unordered: list[str] = field(default_factory=list)
    torn: int = 0

    @staticmethod
    def read(files: Iterable[Path]) -> Record:
        """Reads all parts of a log.

        Args:
            files: the newest part first.
        """
        record = Record()
        events: dict[str, list[str]] = collections.defaultdict(list)
        for file in reversed(list(files)):
            for line in file.read_text().splitlines():
                try:
                    told = json.loads(line)
                except ValueError:
                    record.torn += 1
                    continue
                events[told["id"]].append(told["event"])
                if told["event"] == "attempt":
                    record.attempts[told["id"]] = told["request_id"]
                else:
                    ends = ((one["process"], one["outcome"], one.get("revision", 0)) for one in told["results"])
                    record.outcomes[told["id"]] = (told["outcome"], tuple(ends))
        for one, found in events.items():
            if sorted(found) != ["attempt", "outcome"]:
                record.not_twice[one] = ",".join(found)
            elif found[0] != "attempt":
                record.unordered.append(one)
        return record

    def unheard(self) -> int:
        """How many attempts were ended by the next gateway, or cut."""
        return sum(outcome == "UNKNOWN" for outcome, _ in self.outcomes.values())

    def contradictions(self, changes: Iterable[Change]) -> list[str]:
        """Changes of which callers heard something that the log does not say.

        A log that says UNKNOWN is right where its gateway was killed before it could write what the caller heard.
        """
        by_request: dict[str, list[str]] = collections.defaultdict(list)
        for one, request_id in self.attempts.items():
            by_request[request_id].append(one)
        wrong = []
        for change in changes:
            ends = [self.outcomes[one] for one in by_request.get(change.request_id, []) if one in self.outcomes]
            lost = change.near_kill and any(outcome == "UNKNOWN" for outcome, _ in ends)
            for process, (outcome, revision) in change.results.items():
                told = {one for _, results in ends for one in results if one[0] == process}
                if outcome in ANSWERED and (process, outcome, revision) not in told and not lost:
                    wrong.append(f"{change.request_id} {process}: heard {outcome} {revision}, on record {sorted(told)}")
        return wrong

    def untold_revisions(self, process: str, newest: int) -> list[int]:
        """Revisions of a process that no line tells of.

        Args:
            process: its id.
            newest: its newest revision; they are counted from 1.
        """
        told = {
            revision
            for _, results in self.outcomes.values()
            for one, outcome, revision in results
            if one == process and outcome == "APPLIED"
        }
        return sorted(set(range(1, newest + 1)) - told)

    def requests(self) -> frozenset[str]:
        """Request ids of all attempts."""
        return frozenset(self.attempts.values())


@dataclass(frozen=True)
class Weight:
    """A process at one moment."""

    at_s: float
    rss_kib: int
    descriptors: int
    threads: int


def growth_of(weights: Sequence[Weight]) -> dict[str, float]:
    """How a process has grown from the second quarter of its weighings to the last; medians of both.

    Returns:
        {"over_s", "rss_kib": from the one to the other, "rss_at_end_kib", "descriptors", "threads"}; empty where it was
        weighed fewer than eight times.
    """
    quarter = len(weights) // 4
    if quarter < 2:
        return {}
    early, late = weights[quarter : 2 * quarter], weights[-quarter:]

    def grown(what: str) -> float:
        middle = statistics.median
        return middle(getattr(one, what) for one in late) - middle(getattr(one, what) for one in early)

    return {
        "over_s": round(late[-1].at_s - early[0].at_s, 1),
        "rss_kib": grown("rss_kib"),
        "rss_at_end_kib": statistics.median(one.rss_kib for one in late),
        "descriptors": grown("descriptors"),
        "threads": grown("threads"),
    }
