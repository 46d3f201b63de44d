"""How a fleet is spoken to, and who in it would be changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from modctl.client.errors import UsageError
from modctl.local import selectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.credentials import TLS, Token
    from modctl.client.facts import Process
    from modctl.client.results import Row

    Selection = str | int | Sequence[str | int]


@dataclass(frozen=True)
class Settings:
    """How a fleet is spoken to.

    Args:
        tls: TLS to the targets; None uses plain text for unix sockets and loopback, and TLS with the system's
            authorities for everything else.
        token: the bearer token; None takes this user's own for loopback, and none for everything else.
        plaintext: no TLS anywhere.
        process: which processes: "all", "any", an id, a pid, or several of them.
        labels: a selector that they must match: "zone=a, tier in (web, api)"; "" for none.
        fanout: how many targets are in flight.
        connect_timeout_s: bound on connecting to a target, in seconds.
        timeout_s: bound on a process's answer, in seconds.
        deadline_s: bound on each call to the whole fleet, in seconds; None is none.
    """

    tls: TLS | None = None
    token: Token | None = None
    plaintext: bool = False
    process: Selection = "all"
    fanout: int = 64
    connect_timeout_s: float = 2.0
    timeout_s: float = 10.0
    deadline_s: float | None = None
    labels: str = ""

    def __post_init__(self) -> None:
        if self.labels:
            _terms(self.labels)
            if self.process != "all":
                raise UsageError("labels and a choice of processes exclude each other")
        if self.fanout < 1:
            raise UsageError(f"fanout={self.fanout}: at least one target has to be in flight")
        for name in ("connect_timeout_s", "timeout_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name}={getattr(self, name)}: a time above zero is needed")
        if self.tls is not None and self.plaintext:
            raise UsageError("plaintext and TLS files exclude each other")

    @property
    def selector(self) -> str:
        """The processes, as the value of `modctl-process`."""
        if self.labels:
            from urllib.parse import quote

            # Metadata is ASCII, and not every proxy leaves blanks alone.
            return selectors.PREFIX + quote(self.labels, safe="=!,()./-_")
        if isinstance(self.process, (str, int)):
            return str(self.process)
        return ",".join(str(each) for each in self.process)

    def selects(self, process: Process) -> bool:
        """Whether the process is one of those meant."""
        if self.labels:
            return selectors.matches(_terms(self.labels), process.labels, process.service, process.host, process.role)
        return self.selector in ("all", "any") or bool({process.id, str(process.pid)} & set(self.selector.split(",")))


def _terms(labels: str) -> tuple[selectors.Term, ...]:
    try:
        return selectors.parse(labels)
    except selectors.SelectorError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class Survey:
    """Who would be changed.

    Args:
        processes: target's label to the processes behind it, as they were just now.
        failed: rows of the targets that could not be asked.
        dry_run: whether nothing will be changed.
    """

    processes: dict[str, tuple[Process, ...]]
    failed: tuple[Row[Any], ...]
    dry_run: bool

    @property
    def count(self) -> int:
        """How many processes."""
        return sum(len(each) for each in self.processes.values())
