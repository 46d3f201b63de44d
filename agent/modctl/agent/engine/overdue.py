"""Taking back what has a time to live that is over, or was not confirmed in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.finishing import Ending
from modctl.agent.engine.operations import ChangeRequest, Undo
from modctl.agent.engine.outcomes import ACTION_RESTORE, refused
from modctl.agent.engine.undo import UndoPlan, plan_inverse
from modctl.agent.log import WARNING, log

if TYPE_CHECKING:
    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.expiry import Expiry

#: When a change whose time is over could not be taken back yet, it is tried again after this, and after ever longer.
RETRY_S: Final = 0.5
MAX_RETRY_S: Final = 60.0
#: What keeps a change from being taken back for now: an import in flight, shielded work, a change that was built on it.
_PASSING: Final = frozenset({"IN_FLIGHT", "SHIELDED", "import-lock", "later-revision"})
#: Who takes back what has a time to live.
TTL_IDENTITY: Final = "modctl (ttl)"
#: Who takes back what nobody has confirmed.
CONFIRM_IDENTITY: Final = "modctl (not confirmed)"


def expire(changes: Changes) -> None:
    """Takes back what has a time to live that is over, or was not confirmed in time."""
    memory = changes.memory
    for expiry in memory.expiries.due():
        revision = expiry.revision
        if revision.undone_by:
            continue
        why = "was not confirmed in time" if expiry.unconfirmed else "has had its time to live"
        result = _expired(changes, expiry, f"revision {revision.number} {why}")
        if result["outcome"] == "OUTCOME_APPLIED":
            continue
        refusals = [change["refusal"] for change in result["modules"] if "refusal" in change]
        if any(refusal["reason"] in _PASSING or refusal["rule"] in _PASSING for refusal in refusals):
            memory.expiries.postpone(expiry, min(RETRY_S * 2**expiry.tries, MAX_RETRY_S))
        else:
            hints = "; ".join(refusal["hint"] for refusal in refusals) or result.get("message", "")
            log(WARNING, "revision %d %s, but stays: %s", revision.number, why, hints)


def _expired(changes: Changes, expiry: Expiry, reason: str) -> dict[str, Any]:
    memory, revision = changes.memory, expiry.revision
    identity = CONFIRM_IDENTITY if expiry.unconfirmed else TTL_IDENTITY
    request = ChangeRequest("", identity, reason, False, 0.0, None, frozenset(), (Undo(revision.number),), {})
    if revision.patch is not None:
        return changes.undo(UndoPlan(revision, (), ()), request, unstoppable=True)
    taken = revision.writes
    if expiry.operations is not None:
        taken = [write for write in taken if write.operation in expiry.operations]
    plan = plan_inverse(revision, taken, memory.journal, memory.finder)
    if plan.refusals:
        return refused(plan.refusals)
    whole = len(taken) == len(revision.writes)
    modules = [{"name": name, "action": ACTION_RESTORE} for name in expiry.names]
    ending = Ending(changes, request, modules, takes_back=True, unstoppable=True)
    return ending.make(lambda: changes.take_back(plan, identity, reason, "", whole=whole, timeout_s=0.0))
