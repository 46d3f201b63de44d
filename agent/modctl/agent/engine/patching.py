"""The one place where reimports of mode PATCH, which change live objects in place, come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.engine.operations import MODE_PATCH, Reimport
from modctl.agent.engine.outcomes import Refusal, refused

if TYPE_CHECKING:
    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.operations import ChangeRequest


def is_asked_for(request: ChangeRequest) -> bool:
    """Whether a change has an operation of that mode."""
    return any(isinstance(each, Reimport) and each.mode == MODE_PATCH for each in request.operations)


def change(changes: Changes, request: ChangeRequest) -> dict[str, Any]:  # noqa: ARG001 - what will need it is not there yet
    """Makes such a change: not yet."""
    hint = "patching live objects is not there yet; use mode fresh (modctl reimport)"
    return refused(
        Refusal(each.name, "ACTION_RELOAD", "UNSUPPORTED", "mode", hint)
        for each in request.operations
        if isinstance(each, Reimport) and each.mode == MODE_PATCH
    )
