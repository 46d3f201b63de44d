"""What the agent's life asks of an engine; modctl.agent.engine.Engine is one, and tests bring their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class WatchPort(Protocol):
    """A watcher of the module table."""

    def poll(self) -> list[bytes]:
        """Bodies with the events since the last poll."""

    def close(self) -> None:
        """Ends it."""


class EnginePort(Protocol):
    """Who looks at sys.modules and changes it."""

    @property
    def revision(self) -> int:
        """The newest committed revision."""

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""

    @property
    def frozen_reason(self) -> str:
        """Why."""

    @property
    def entries(self) -> int:
        """How many entries sys.modules has."""

    def start(self) -> None:
        """Begins to look on. Called on the agent's thread, before anything else; called again it does nothing."""

    def stop(self) -> None:
        """Restores everything that start() hooked."""

    def quiesce(self, timeout_s: float) -> bool:
        """Waits for a change in flight and keeps others from starting; False when it took too long."""

    def resume(self) -> None:
        """Ends what quiesce() began."""

    def after_fork_in_child(self) -> None:
        """Fresh locks; what was done stays known."""

    def answer(self, request: dict[str, Any]) -> Iterator[bytes]:
        """The bodies of the answer to a request that reads."""

    def change(self, request: dict[str, Any]) -> bytes:
        """Makes a change; the body of its result."""

    def watch(self, patterns: list[str], since_revision: int | None) -> WatchPort:
        """Begins to watch."""

    def next_expiry_s(self) -> float | None:
        """Seconds until something is to be taken back."""

    def expire(self) -> None:
        """Takes back what is due."""
