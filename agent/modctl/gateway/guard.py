"""Between a parsed request and whatever would do it: may this be, is there room for it, and is it on record.

For every call: who asks, under which policies (those of the processes that the call is about), how large. For every
change also: frozen or not, how often, signed or not, and the audit log's two lines around it. Nothing that a process
does starts before the first of them is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import signatures, validation
from modctl.gateway.attempts import Attempt
from modctl.gateway.changes import encoded
from modctl.gateway.errors import CallFailure, bad_request
from modctl.gateway.policy import decide, requests, verbs
from modctl.gateway.policy.decide import Asked, Decision, Request
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.policy.rate import Buckets
from modctl.v1 import agent_service_pb2, module_service_pb2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from concurrent.futures import Executor

    from google.protobuf.message import Message
    from modctl.gateway.freezer import Freezer
    from modctl.gateway.policy.callers import Caller
    from modctl.gateway.policy.files import Policies
    from modctl.gateway.policy.model import Limits, Policy
    from modctl.gateway.presence import ConnectedProcess, Presence
    from modctl.gateway.rpc import Call
    from modctl.gateway.trails import Trails

#: Refusals of one identity that are written down, a minute: whoever may nothing must not push the log's past out of it.
REFUSALS_PER_MINUTE: Final = 60.0
REFUSALS_BURST: Final = 100
#: Calls that name no process: they are about all of them.
_ABOUT_ALL: Final = (
    agent_service_pb2.GetAgentRequest,
    agent_service_pb2.ListProcessesRequest,
    agent_service_pb2.ListAuditRequest,
)
_FREEZING: Final = frozenset({"freeze", "thaw"})
_CODES: Final = {
    "POLICY_BROKEN": "PERMISSION_DENIED",
    "DENIED": "PERMISSION_DENIED",
    "SIGNATURE_REQUIRED": "PERMISSION_DENIED",
    "PROTECTED": "FAILED_PRECONDITION",
    "REASON_REQUIRED": "FAILED_PRECONDITION",
}
#: Refusals that one message spells out; the metadata has more of them.
_SPELLED: Final = 5


class Guard:
    """Lives on the gateway's event loop.

    Args:
        presence: who is connected.
        policies: the policy files in force.
        trails: the audit logs.
        freezer: the files that freeze.
        working: the threads that check signatures.
    """

    def __init__(
        self, presence: Presence, policies: Policies, trails: Trails, freezer: Freezer, working: Executor
    ) -> None:
        self._presence = presence
        self._policies = policies
        self._trails = trails
        self._freezer = freezer
        self._working = working
        self._changes = Buckets(time.monotonic)
        self._refusals = Buckets(time.monotonic)
        self._suppressed = 0
        self._running = 0

    @contextlib.asynccontextmanager
    async def admitted(
        self, call: Call, caller: Caller, method: str, request: Message, size_bytes: int
    ) -> AsyncIterator[None]:
        """Lets a call in, and records what comes of it where it is a change.

        Raises:
            CallFailure: it is not let in.
        """
        _check_counts(request)
        asked = requests.asked_by(request)
        for one in asked:
            if one.name:
                validation.name("name", one.name)
        about = self._presence.all()
        no_target: CallFailure | None = None
        if not isinstance(request, _ABOUT_ALL):
            try:
                about = call.chosen().processes
            except CallFailure as failure:
                no_target = failure  # told after the decision: who may nothing learns nothing of who is here
        policies = self._policies.of(policy_of(one) for one in (about or self._presence.all()))
        call.limits = strictest(policy.limits for policy in policies)
        changing = any(one.verb in verbs.CHANGES for one in asked)
        attempt = Attempt(self._trails, caller, method, asked, request, about, policies) if changing else None
        try:
            lifted = await self._decide(attempt, caller, asked, request, about, policies, size_bytes, call)
            self._check_room(call)
            if no_target is not None:
                raise no_target
        except CallFailure as failure:
            if attempt is not None:
                await self._record_refusal(attempt, caller, failure)
            raise
        self._running += not call.watches
        try:
            async with self._recorded(attempt, call, request, lifted):
                yield
        finally:
            self._running -= not call.watches

    @contextlib.asynccontextmanager
    async def _recorded(
        self, attempt: Attempt | None, call: Call, request: Message, lifted: frozenset[str]
    ) -> AsyncIterator[None]:
        """Puts the two lines of a change around it."""
        if attempt is None:
            yield
            return
        if lifted:
            _lift(request, lifted)
        await attempt.begin(self._take_suppressed())
        call.on_answer = attempt.heard
        try:
            yield
        except CallFailure as failure:
            await attempt.end(failure)
            raise
        except BaseException as error:
            attempt.end_aside(type(error).__name__)
            raise
        await attempt.end(None)

    # -- inside

    async def _decide(
        self,
        attempt: Attempt | None,
        caller: Caller,
        asked: Sequence[Asked],
        request: Message,
        about: Sequence[ConnectedProcess],
        policies: Sequence[Policy],
        size_bytes: int,
        call: Call,
    ) -> frozenset[str]:
        """Everything that may speak against it; the names whose protection a policy lifts.

        Raises:
            CallFailure: something does.
        """
        _check_size(call.limits, size_bytes)
        checked = signatures.Checked({}, {})
        if attempt is not None and any(policy.keys for policy in policies) and requests.options_of(request) is not None:
            keys = list(dict.fromkeys(key for policy in policies for key in policy.keys))
            checked = await asyncio.get_running_loop().run_in_executor(
                self._working, signatures.check, request, keys, time.time()
            )
            attempt.signed_by = checked.signed_by
        if isinstance(request, module_service_pb2.UndoRequest) and any(_about_undo(policy) for policy in policies):
            asked = [*asked, *await self._undone(call, request, about)]
        options = requests.options_of(request)
        made = Request(
            tuple(asked),
            reason=(options.reason if options is not None else getattr(request, "reason", "")),
            overrides=frozenset(options.override_protected) if options is not None else frozenset(),
            unsigned=checked.unsigned,
            labels=tuple(process.facts.labels for process in about),
        )
        decisions = [decide.decide(policy, caller, made) for policy in policies]
        if decisions:
            call.role = decisions[0].role
            if attempt is not None:
                attempt.role = call.role
        refused = decide.first_refusal(decisions)
        if refused is not None:
            raise _failure(refused, decisions)
        if attempt is not None and not (options is not None and options.dry_run):
            self._check_rate(caller, policies)
        if attempt is not None and not all(one.verb in _FREEZING for one in asked):
            self._check_frost()
        if any(one.verb == "thaw" for one in asked):
            self._check_frost()
        return frozenset().union(*(decision.lifted for decision in decisions))

    def _check_room(self, call: Call) -> None:
        if self._running >= call.limits.concurrent_calls and not call.watches:
            raise CallFailure(
                "RESOURCE_EXHAUSTED",
                "TOO_MANY_CALLS",
                f"{self._running} calls run already, the policy's limit; try again in a moment",
                {"limit": str(call.limits.concurrent_calls)},
            )

    def _check_rate(self, caller: Caller, policies: Sequence[Policy]) -> None:
        for policy in policies:
            limits = policy.limits
            wait_s = self._changes.pour(
                f"{caller.identity}\n{policy.origin}", limits.changes_per_minute, limits.change_burst
            )
            if wait_s > 0:
                raise CallFailure(
                    "RESOURCE_EXHAUSTED",
                    "TOO_MANY_CHANGES",
                    f"{caller.identity} changes too often: {limits.changes_per_minute:g} a minute are allowed, "
                    f"{limits.change_burst} at once; try again in {wait_s:.1f} s",
                    {"retry_after_s": f"{wait_s:.3f}"},
                )

    def _check_frost(self) -> None:
        frost = self._freezer.look()
        if frost is not None:
            raise CallFailure(
                "FAILED_PRECONDITION", "FROZEN", f"frozen: {frost}; remove the file to thaw", {"file": frost.place}
            )

    async def _undone(
        self, call: Call, request: module_service_pb2.UndoRequest, about: Sequence[ConnectedProcess]
    ) -> list[Asked]:
        """The names that an undo is about, as the processes' histories say."""
        body = encoded({"op": "list_revisions", "limit": 0})
        names: dict[str, None] = {}
        for process in about:
            try:
                with process.connection.call(body, call.deadline_s) as answers:
                    told = (await answers.only()).get("revisions") or []
            except CallFailure:
                continue  # whatever it is, the undo itself will meet it and say so
            names.update(dict.fromkeys(_names_of(told, request.revision)))
        return [Asked("undo", name) for name in names]

    async def _record_refusal(self, attempt: Attempt, caller: Caller, failure: CallFailure) -> None:
        if self._refusals.pour(caller.identity, REFUSALS_PER_MINUTE, REFUSALS_BURST) > 0:
            self._suppressed += 1
            return
        await attempt.refuse(failure, self._take_suppressed())

    def _take_suppressed(self) -> int:
        count, self._suppressed = self._suppressed, 0
        return count


def policy_of(process: ConnectedProcess) -> str:
    """The policy file that a process names; empty where it names none."""
    place = process.hello.get("policy")
    return place if isinstance(place, str) else ""


def _about_undo(policy: Policy) -> bool:
    return any("undo" in rule.verbs for rule in policy.rules)


def _names_of(revisions: Any, number: int) -> list[str]:
    """The names that one revision of a history touched; with number 0 of the newest that stands."""
    if not isinstance(revisions, list):
        return []
    for one in revisions:
        if not isinstance(one, dict):
            continue
        stands = not one.get("undone_by") and one.get("undoable", True)
        if one.get("number") == number or (number == 0 and stands):
            modules = one.get("modules") or []
            return [str(module.get("name")) for module in modules if isinstance(module, dict)]
    return []


def strictest(limits: Iterable[Limits]) -> Limits:
    """The limits that hold for processes under several policies."""
    found = list(limits) or [DEFAULT.limits]
    return replace(
        found[0],
        request_bytes=min(one.request_bytes for one in found),
        source_bytes=min(one.source_bytes for one in found),
        modules=min(one.modules for one in found),
        concurrent_calls=min(one.concurrent_calls for one in found),
    )


def _check_counts(request: Message) -> None:
    """Refuses what has more parts than a change set may have, before anything goes through them one by one."""
    options = requests.options_of(request)
    for holder, fields in ((request, ("operations", "names")), (options, ("override_protected", "signatures"))):
        for field in fields:
            count = len(getattr(holder, field, ()))
            if count > validation.MAX_NAMES:
                raise bad_request(field, f"{count} at once; {validation.MAX_NAMES} are allowed")


def _check_size(limits: Limits, size_bytes: int) -> None:
    most = limits.request_bytes
    if size_bytes > most:
        raise CallFailure(
            "RESOURCE_EXHAUSTED",
            "REQUEST_TOO_LARGE",
            f"the request has {size_bytes} bytes, {most} are allowed here; send less at once",
            {"limit": str(most)},
        )


def _lift(request: Message, lifted: frozenset[str]) -> None:
    """Tells the processes that the policy takes away the protection that they compute."""
    options = requests.options_of(request)
    if options is not None:
        there = set(options.override_protected)
        options.override_protected.extend(sorted(lifted - there))


def _failure(refused: Decision, decisions: Sequence[Decision]) -> CallFailure:
    refusals = list(dict.fromkeys(one for decision in decisions for one in decision.refusals))
    first = sorted(refusals, key=lambda one: decide.REASONS.index(one.reason))
    told = "; ".join(str(one) for one in first[:_SPELLED])
    more = f"; and {len(first) - _SPELLED} more" if len(first) > _SPELLED else ""
    metadata = {one.name or one.verb: f"{one.reason}: {one.rule}" for one in reversed(first)}
    return CallFailure(_CODES[refused.reason], refused.reason, told + more, metadata)
