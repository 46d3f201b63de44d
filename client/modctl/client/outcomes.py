"""The outcome that a failure stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modctl.client.results import Failure

_DENIED_CODES = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED"})
#: A call that ended so has touched nothing.
_REFUSED_CODES = frozenset(
    {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "RESOURCE_EXHAUSTED",
        "UNIMPLEMENTED",
    }
)
#: Only a change, or the trial of one, is refused for these.
_CHANGES_REASONS = frozenset(
    {"PROTECTED", "REASON_REQUIRED", "SIGNATURE_REQUIRED", "FROZEN", "AUDIT_UNAVAILABLE", "TOO_MANY_CHANGES"}
)
#: The process went while it was asked; whether a change came into being died with it.
_LEFT_REASONS = frozenset({"PROCESS_LEFT"})
#: Another moment may have been better: one who refuses for these, when asked again, says nothing of the first time.
_MOMENTARY_CODES = frozenset({"RESOURCE_EXHAUSTED", "NOT_FOUND"})
_MOMENTARY_REASONS = frozenset({"AUDIT_UNAVAILABLE", "FROZEN"})


def outcome_of(failure: Failure, changing: bool, sent: bool, again: bool = False) -> str:
    """The outcome that a failure stands for.

    Args:
        failure: why there is no answer.
        changing: whether a change was asked for.
        sent: whether it may have reached the target.
        again: whether it was asked for before, and that answer was lost: what was done then stands.
    """
    not_asked = failure.metadata.get("asked") == "no" and not again
    if failure.code in _DENIED_CODES or failure.reason == "SOCKET_DENIED":
        return "DENIED"
    momentary = failure.code in _MOMENTARY_CODES or failure.reason in _MOMENTARY_REASONS
    if failure.code in _REFUSED_CODES and not (changing and again and momentary):
        return "REFUSED" if changing or failure.reason in _CHANGES_REASONS else "FAILED"
    if changing and sent and not not_asked:
        # Neither done nor not done is known: a deadline, a lost connection, an internal error.
        return "UNKNOWN"
    if failure.reason in _LEFT_REASONS:
        return "UNREACHABLE"
    if failure.code == "DEADLINE_EXCEEDED":
        return "TIMED_OUT"
    return "UNREACHABLE" if failure.code == "UNAVAILABLE" else "FAILED"
