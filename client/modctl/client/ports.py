"""What dispatching needs of others: who watches it, and who makes rows of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.results import Failure, Row
    from modctl.client.targets import Target


class Observer(Protocol):
    """Who wants to know how far a command is."""

    def begin(self, targets: int) -> None:
        """So many targets will be asked."""

    def answered(self, rows: Sequence[Row[Any]]) -> None:
        """One more target is done, with these rows."""

    def end(self) -> None:
        """All are done, or given up."""


class Gatherer(Protocol):
    """Makes rows of the answers of one target."""

    def add(self, body: bytes, again: bool = False) -> None:
        """One more answer.

        Args:
            body: it.
            again: whether it was asked for before, and that answer was lost.
        """

    def processes(self) -> set[str]:
        """The ids of those that were heard."""

    def rows(self, target: Target, lost: tuple[str, Failure] | None) -> list[Row[Any]]:
        """What the processes said.

        Args:
            target: who was asked.
            lost: the outcome and reason of everybody whose answer is not complete; None where the call ended well.
        """
