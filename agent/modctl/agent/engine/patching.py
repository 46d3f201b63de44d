"""The one place where reimports of mode PATCH, which change live objects in place, come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.engine.operations import MODE_PATCH, Reimport

if TYPE_CHECKING:
    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.journal import Revision
    from modctl.agent.engine.operations import ChangeRequest


def is_asked_for(request: ChangeRequest) -> bool:
    """Whether a change has an operation of that mode."""
    return any(isinstance(each, Reimport) and each.mode == MODE_PATCH for each in request.operations)


def change(changes: Changes, request: ChangeRequest) -> dict[str, Any]:
    """Makes such a change."""
    if changes.patching is None:
        from modctl.agent.engine.live.changing import (
            Patching,
        )  # here: a service that is never patched never pays for it

        changes.patching = Patching(changes.memory)
    return changes.patching.change(changes, request)


def take_back(changes: Changes, revision: Revision, request: ChangeRequest) -> dict[str, Any]:
    """Undoes such a change."""
    from modctl.agent.engine.live.changing import take_back as undo

    return undo(changes.memory, revision, request)
