"""What the lines of the audit log say.

An attempt:  {"v": 1, "event": "attempt", "id", "at", "at_unix_s", "instance", "service", "host", "gateway_pid",
              "who", "how", "role", "from", "method", "request_id", "dry_run", "reason", "verbs", "names", "digests",
              "overrides", "signed_by", "processes", "suppressed"}
Its outcome: {"v": 1, "event": "outcome", "id", "at", "at_unix_s", "instance", "outcome", "duration_ms", "why",
              "results": [{"process", "outcome", "revision", "why",
                           "modules": [{"name", "action", "before", "after"}]}]}

`outcome` is the worst of the results, in the order of WORST_FIRST. `digests` are of what the request carries, by name.
No source, no attribute's value, no token is ever in a line.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway.errors import NOT_ASKED
from modctl.v1 import agent_service_pb2, change_pb2, module_service_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from google.protobuf.message import Message
    from modctl.gateway.errors import CallFailure
    from modctl.gateway.policy.callers import Caller
    from modctl.gateway.policy.decide import Asked
    from modctl.v1 import error_pb2

WORST_FIRST: Final = (
    "UNKNOWN",
    "FAILED",
    "DENIED",
    "REFUSED",
    "UNREACHABLE",
    "TIMED_OUT",
    "APPLIED",
    "UNCHANGED",
    "PLANNED",
    "PREPARED",
    "OK",
)
MAX_NAMES: Final = 1000
MAX_REFUSED_NAMES: Final = 20
MAX_CHARACTERS: Final = 512
#: Codes after which nobody knows whether a process did what was asked.
_UNCERTAIN: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "CANCELLED", "UNKNOWN"})
#: The same where the process was not even asked: nothing was done.
_OF_WHO_WAS_NOT_ASKED: Final = {"UNAVAILABLE": "UNREACHABLE", "DEADLINE_EXCEEDED": "TIMED_OUT"}
_DENIED: Final = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})


class Place:
    """Where lines come from; the same for all of one gateway.

    Args:
        instance: the instance's directory: two gateways that share a file tell their lines apart by it.
        service: the service's name.
        host: the host's name.
        gateway_pid: the gateway's process id.
    """

    def __init__(self, instance: str, service: str, host: str, gateway_pid: int) -> None:
        self.instance = instance
        self._facts = {"service": service, "host": host, "gateway_pid": gateway_pid}
        self._run = uuid.uuid4().hex[:12]
        self._count = 0

    def fresh_id(self) -> str:
        """An id for an attempt; it says which gateway made it."""
        self._count += 1
        return f"{self._run}-{self._count}"

    def is_ours(self, attempt_id: str) -> bool:
        """Whether this gateway, and no earlier one, made the id."""
        return attempt_id.startswith(f"{self._run}-")

    def attempt(
        self,
        attempt_id: str,
        caller: Caller,
        role: str,
        method: str,
        asked: Sequence[Asked],
        request: Message,
        processes: Iterable[str],
        signed_by: Mapping[str, str],
        suppressed: int,
    ) -> dict[str, Any]:
        """The line of an attempt that is about to be made, or to be refused."""
        options = getattr(request, "options", change_pb2.ChangeOptions())
        reason = options.reason or getattr(request, "reason", "")
        names = list(dict.fromkeys(cut(one.name) for one in asked if one.name))
        line = {
            **self._head("attempt", attempt_id),
            **self._facts,
            "who": cut(caller.identity),
            "how": caller.kind.value,
            "role": role,
            "from": cut(caller.address),
            "method": method,
            "request_id": cut(options.request_id or getattr(request, "request_id", "")),
            "dry_run": options.dry_run,
            "reason": cut(reason, 4096),
            "verbs": list(dict.fromkeys(one.verb for one in asked)),
            "names": names[:MAX_NAMES],
            "digests": digests_of(request),
            "overrides": [cut(name) for name in options.override_protected][:MAX_NAMES],
            "signed_by": dict(signed_by),
            "processes": [cut(one) for one in processes],
        }
        if isinstance(request, module_service_pb2.EvaluateExpressionRequest):
            line["expression"] = cut(request.expression, 4096)
        if len(names) > MAX_NAMES:
            line["more_names"] = len(names) - MAX_NAMES
        if suppressed:
            line["suppressed"] = suppressed
        return line

    def outcome(
        self,
        attempt_id: str,
        results: Sequence[Mapping[str, Any]],
        duration_ms: float,
        why: str = "",
        outcome: str = "",
    ) -> dict[str, Any]:
        """The line of what came of an attempt."""
        return {
            **self._head("outcome", attempt_id),
            "outcome": outcome or worst(one["outcome"] for one in results),
            "duration_ms": round(duration_ms, 3),
            "why": cut(why, 1024),
            "results": list(results),
        }

    def _head(self, event: str, attempt_id: str) -> dict[str, Any]:
        now_unix_s = time.time()
        moment = dt.datetime.fromtimestamp(now_unix_s, dt.timezone.utc)
        return {
            "v": 1,
            "event": event,
            "id": attempt_id,
            "at": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "at_unix_s": round(now_unix_s, 6),
            "instance": self.instance,
        }


def shortened(line: dict[str, Any]) -> dict[str, Any]:
    """The line of an attempt that is refused: whoever may nothing shall not fill the log with names."""
    names, digests = line["names"], line["digests"]
    if len(names) <= MAX_REFUSED_NAMES:
        return line
    kept = dict(list(digests.items())[:MAX_REFUSED_NAMES])
    more = line.get("more_names", 0) + len(names) - MAX_REFUSED_NAMES
    overrides = line["overrides"][:MAX_REFUSED_NAMES]
    return {**line, "names": names[:MAX_REFUSED_NAMES], "digests": kept, "overrides": overrides, "more_names": more}


def result_of(answer: Any) -> dict[str, Any]:
    """What one answer of a changing call says of its process.

    Args:
        answer: an ImportModulesResponse, FreezeResponse or another of their kind.
    """
    process = cut(answer.process.id or str(answer.process.pid))
    if answer.HasField("error"):
        return {
            "process": process,
            "outcome": outcome_of_error(answer.error),
            "why": cut(f"{answer.error.reason}: {answer.error.message}", 1024),
        }
    if isinstance(answer, (agent_service_pb2.FreezeResponse, agent_service_pb2.ThawResponse)):
        return {"process": process, "outcome": "APPLIED", "frozen": answer.state.frozen}
    if isinstance(answer, module_service_pb2.AbandonChangesResponse):
        return {"process": process, "outcome": "APPLIED" if answer.dropped else "UNCHANGED"}
    if isinstance(answer, module_service_pb2.EvaluateExpressionResponse):
        return {"process": process, "outcome": "OK", "truth": answer.truth}
    result = answer.result
    told: dict[str, Any] = {
        "process": process,
        "outcome": change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_"),
        "revision": result.revision,
        "modules": [_module(one) for one in result.modules[:MAX_NAMES]],
    }
    if result.outcome in (change_pb2.OUTCOME_REFUSED, change_pb2.OUTCOME_FAILED):
        told["why"] = cut(result.message, 1024)
    return told


def outcome_of_error(error: error_pb2.ErrorDetail) -> str:
    """The outcome of a process that has no answer."""
    if error.metadata.get("asked") == NOT_ASKED["asked"] and error.code in _OF_WHO_WAS_NOT_ASKED:
        return _OF_WHO_WAS_NOT_ASKED[error.code]
    return outcome_of_code(error.code)


def outcome_of_code(code: str) -> str:
    """The outcome that a status stands for."""
    if code in _DENIED:
        return "DENIED"
    return "UNKNOWN" if code in _UNCERTAIN else "REFUSED"


def outcome_of_failure(failure: CallFailure, *, sent: bool) -> str:
    """The outcome of a call that failed as a whole."""
    found = outcome_of_code(failure.code)
    return "REFUSED" if found == "UNKNOWN" and not sent else found


def worst(outcomes: Iterable[str]) -> str:
    """The outcome that says most about trouble; UNKNOWN where there is none."""
    found = set(outcomes)
    return next((one for one in WORST_FIRST if one in found), "UNKNOWN")


def digests_of(request: Any) -> dict[str, str]:
    """Name to digest of everything that a request carries into processes."""
    from modctl.gateway.policy.requests import operations_of

    found: dict[str, str] = {}
    for operation in operations_of(request)[:MAX_NAMES]:
        which = operation.WhichOneof("operation")
        if which == "reimport" and operation.reimport.HasField("source"):
            found[cut(operation.reimport.name)] = _digest(operation.reimport.source)
        elif which == "inject":
            content = operation.inject.WhichOneof("content")
            if content in ("source", "archive"):
                found[cut(operation.inject.name)] = _digest(getattr(operation.inject, content))
            elif content in ("package", "attributes"):
                data = getattr(operation.inject, content).SerializeToString(deterministic=True)
                found[cut(operation.inject.name)] = _digest(data)
    return found


def cut(text: str, most: int = MAX_CHARACTERS) -> str:
    """Text of a bounded length."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _module(change: change_pb2.ModuleChange) -> dict[str, Any]:
    return {
        "name": cut(change.name),
        "action": change_pb2.Action.Name(change.action).removeprefix("ACTION_"),
        "before": change.before.digest,
        "after": change.after.digest,
    }
