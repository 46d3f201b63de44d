"""What a command ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modctl.client.results import FleetResult

OK = 0
DIFFERENCES = 1
USAGE = 2
SOME_FAILED = 3
NONE_REACHABLE = 4
ROLLED_BACK = 5
MIXED_STATE = 6
DENIED = 7
DEADLINE = 8
NO_TARGET = 9
INTERNAL = 70
#: What Python ends with where its output could not be written.
OUTPUT_LOST = 120
INTERRUPTED = 130
#: What a shell says of a program that wrote into a closed pipe.
BROKEN_PIPE = 141


def of_result(result: FleetResult[Any]) -> int:
    """Never 0 where anybody failed. The special codes are for when nobody at all succeeded."""
    if result.skipped:
        return INTERRUPTED
    if not result.rows:
        return NO_TARGET
    failed = {row.outcome for row in result.failed}
    if not failed:
        return OK
    # A process that did not answer its gateway in time is another thing: the command itself was not cut off.
    if any(row.error is not None and row.error.reason == "DEADLINE" and not row.process for row in result.failed):
        return DEADLINE
    if not result.ok and len(failed) == 1:
        return {"UNREACHABLE": NONE_REACHABLE, "DENIED": DENIED, "TIMED_OUT": DEADLINE}.get(failed.pop(), SOME_FAILED)
    return SOME_FAILED
