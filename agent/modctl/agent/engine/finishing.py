"""The end of every change: hooks may veto, shielded units of work end, the commit, hooks again, and what is due later.

    before hooks → the gate closes → commit → after hooks → the gate opens → wait for old code

Where no hook is to run after the commit the gate opens at once: requests need not wait for our bookkeeping, nor for the
other processes of a wave.

The program's own code runs outside of all import locks, on a thread of its own, with a time limit.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from modctl.agent import hooks, shielding
from modctl.agent.engine import table
from modctl.agent.engine.holding import nothing
from modctl.agent.engine.outcomes import Refusal, refused
from modctl.agent.engine.raised import python_error
from modctl.agent.engine.safe import module_dict
from modctl.agent.engine.threads import Worker
from modctl.agent.log import WARNING, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.journal import Revision
    from modctl.agent.engine.operations import ChangeRequest

#: How long a change waits for shielded units of work where nothing is said, and at most, in seconds.
SHIELD_WAIT_S: Final = 2.0
MAX_SHIELD_WAIT_S: Final = 60.0
MAX_DRAIN_S: Final = 300.0
_TOLD_HOLDERS: Final = 5


class _Raised(Exception):  # noqa: N818 - it carries what somebody else raised
    def __init__(self, name: str, hook: str, error: BaseException) -> None:
        super().__init__(hook)
        self.name, self.hook, self.error = name, hook, error


class Ending:
    """How one change ends.

    Args:
        changes: who makes it.
        request: what was asked for.
        modules: what will be done, as ModuleChange objects.
        takes_back: whether it takes an earlier one back.
        unstoppable: what hooks raise is logged and changes nothing: what runs out must go.
    """

    def __init__(
        self,
        changes: Changes,
        request: ChangeRequest,
        modules: list[dict[str, Any]],
        *,
        takes_back: bool = False,
        unstoppable: bool = False,
    ) -> None:
        self._changes = changes
        self._request = request
        self._modules = [each for each in modules if each.get("name")]
        self._takes_back = takes_back
        self._unstoppable = unstoppable
        self._old: dict[str, dict[str, Any]] = {}
        self._objects: dict[str, Any] = {}

    def make(self, commit: Callable[[], dict[str, Any]], drop: Callable[[], object] = lambda: None) -> dict[str, Any]:
        """Makes it; returns the fields of ChangeResult.

        Args:
            commit: the commit itself.
            drop: gives up what is staged, where the commit is not to be.
        """
        try:
            self._before()
        except _Raised as raised:
            drop()
            return self._vetoed(raised)
        self._objects = {each["name"]: table.get(each["name"]) for each in self._modules}
        namespaces = ((name, module_dict(candidate)) for name, candidate in self._objects.items())
        self._old = {name: dict(namespace) for name, namespace in namespaces if namespace is not None}
        del namespaces
        self._changes.own = [self._objects, *self._old.values()]
        try:
            return self._make(commit, drop)
        finally:
            self._changes.own = []

    def _make(self, commit: Callable[[], dict[str, Any]], drop: Callable[[], object]) -> dict[str, Any]:
        began_ns = time.perf_counter_ns()
        gate, holders = shielding.close(_seconds(self._request, "shield_wait_s", SHIELD_WAIT_S, MAX_SHIELD_WAIT_S))
        waited_ms = round((time.perf_counter_ns() - began_ns) / 1e6, 3)
        if gate is None:
            drop()
            return {**self._shielded(holders), "shield_wait_ms": waited_ms}
        holding = self._changes.memory.holding
        holding.at_switch = lambda: self._switched(gate)
        try:
            result = commit()
            if result["outcome"] == "OUTCOME_APPLIED":
                try:
                    self._after(gate)
                except _Raised as raised:
                    result = self._taken_back(result, raised)
        finally:
            holding.at_switch = nothing
            shielding.open_gate(gate)
        result["shield_wait_ms"] = waited_ms
        if result["outcome"] == "OUTCOME_APPLIED":
            self._later(result)
            self._wait_drained(result)
        return result

    def _switched(self, gate: shielding.Gate) -> None:
        """The new code is there: units of work may go on, unless the program has to hand its state over first."""
        if not hooks.callbacks() and not self._hooks(hooks.AFTER):
            shielding.open_gate(gate)

    # ---- hooks
    def _plan(self, phase: str) -> hooks.Plan:
        request = self._request
        names = tuple(each["name"] for each in self._modules)
        modules = tuple(dict(each) for each in self._modules)
        return hooks.Plan(phase, names, modules, request.identity, request.reason, request.request_id, self._takes_back)

    def _hooks(self, attribute: str) -> list[tuple[str, Any]]:
        found = ((each["name"], _hook_of(each["name"], attribute)) for each in self._modules)
        return [(name, hook) for name, hook in found if hook is not None]

    def _before(self) -> None:
        found, callbacks = self._hooks(hooks.BEFORE), hooks.callbacks()
        if not found and not callbacks:
            return
        plan = self._plan("before")
        for name, hook in found:
            self._run(name, hooks.BEFORE, partial(hook, plan))
        for callback in callbacks:
            self._run("", _name_of(callback), partial(callback, plan))

    def _after(self, gate: shielding.Gate) -> None:
        found, callbacks = self._hooks(hooks.AFTER), hooks.callbacks()
        if not found and not callbacks:
            return
        plan = self._plan("after")
        for name, hook in found:
            self._run(name, hooks.AFTER, partial(hook, self._old.get(name, {})), gate)
        for callback in callbacks:
            self._run("", _name_of(callback), partial(callback, plan), gate)

    def _run(self, name: str, what: str, call: Callable[[], object], gate: shielding.Gate | None = None) -> None:
        def work() -> None:
            if gate is not None:
                gate.work_here()
            call()

        worker = Worker(work)
        self._changes.worker = worker
        try:
            if not worker.run(hooks.HOOK_TIMEOUT_S):
                worker.stop()
                error: BaseException | None = TimeoutError(f"took longer than {hooks.HOOK_TIMEOUT_S:g} s")
            else:
                error = worker.error
        finally:
            self._changes.worker = None
        if error is None:
            return
        if self._unstoppable:
            log(WARNING, "%s of %s failed", what, name or "the program", error=error)
            return
        raise _Raised(name, what, error)

    def _vetoed(self, raised: _Raised) -> dict[str, Any]:
        first = raised.name or next((each["name"] for each in self._modules), "")
        action = next((each.get("action", "") for each in self._modules if each["name"] == first), "")
        hint = f"the program's own {raised.hook} says no: {type(raised.error).__name__}: {raised.error}"
        error = python_error(raised.error)
        return refused([Refusal(first, action, "VETOED", raised.hook, hint)], {first: error})

    def _taken_back(self, result: dict[str, Any], raised: _Raised) -> dict[str, Any]:
        """The answer to a change that is taken back because a hook after it failed."""
        error = python_error(raised.error)
        why = f"{raised.hook} of {raised.name or 'the program'} raised {error.get('type')}: {error.get('message')}"
        back = self._changes.take_back_at_once(int(result["revision"]), self._request, why)
        told = next((each for each in result["modules"] if each["name"] == raised.name), result["modules"][0])
        told["error"] = error
        if back["outcome"] != "OUTCOME_APPLIED":
            result["message"] = f"{why}; it could not be taken back: {back.get('message', '')}"
            return result
        for each in result["modules"]:
            each["after"] = each.get("before", {})
        return {
            "outcome": "OUTCOME_FAILED",
            "modules": result["modules"],
            "side_effects": result.get("side_effects", []),
            "paused_ms": result.get("paused_ms", 0.0),
            "message": f"{why}; everything is as it was",
        }

    # ---- the shield
    def _shielded(self, holders: list[shielding.Holder]) -> dict[str, Any]:
        told = "; ".join(map(str, holders[:_TOLD_HOLDERS]))
        more = f"; and {len(holders) - _TOLD_HOLDERS} more" if len(holders) > _TOLD_HOLDERS else ""
        hint = f"shielded units of work did not end in time: {told}{more}. Try again, or wait longer with --shield-wait"
        name = next((each["name"] for each in self._modules), "")
        action = next((each.get("action", "") for each in self._modules), "")
        return refused([Refusal(name, action, "SHIELDED", "shield", hint)])

    # ---- afterwards
    def _later(self, result: dict[str, Any]) -> None:
        memory, request = self._changes.memory, self._request
        revision = memory.journal.find(int(result.get("revision") or 0))
        if revision is None:
            return
        confirm_s = _seconds(request, "confirm_within_s", 0.0, float("inf"))
        ttl_s = _seconds(request, "ttl_s", 0.0, float("inf")) or _ttl_of_patch(revision, request)
        if confirm_s:
            memory.expiries.expect_confirmation(revision, confirm_s)
            result["confirm_by_unix_s"] = revision.confirm_by_s
        if ttl_s:
            memory.expiries.schedule_whole(revision, ttl_s)

    def _wait_drained(self, result: dict[str, Any]) -> None:
        timeout_s = _seconds(self._request, "wait_drained_s", 0.0, MAX_DRAIN_S)
        if not timeout_s:
            return
        from modctl.agent.engine import drained

        revision = self._changes.memory.journal.find(int(result.get("revision") or 0))
        entries = getattr(getattr(revision, "patch", None), "entries", ())
        replaced = [
            (name, self._old[name])
            for name, module in self._objects.items()
            if name in self._old and table.get(name) is not module
        ]
        codes = drained.old_codes(entries, replaced)
        result["old_code"] = drained.wait(codes, timeout_s)
        if self._changes.memory.born is not None:
            self._changes.memory.born.look()  # what they have made meanwhile is not to be old either


def _hook_of(name: str, attribute: str) -> Any:
    namespace = module_dict(table.get(name))
    found = None if namespace is None else namespace.get(attribute)
    return found if callable(found) else None


def _name_of(callback: object) -> str:
    return f"on_change callback {getattr(callback, '__qualname__', type(callback).__name__)}"


def _seconds(request: ChangeRequest, key: str, default_s: float, most_s: float) -> float:
    value: Any = request.raw.get(key)
    if type(value) not in (int, float) or not value > 0:
        return default_s
    return min(float(value), most_s)


def _ttl_of_patch(revision: Revision, request: ChangeRequest) -> float:
    """Of a change in place, which is one and cannot be taken back in parts: the shortest time that an operation has."""
    if revision.patch is None:
        return 0.0
    return min((ttl_s for each in request.operations if (ttl_s := getattr(each, "ttl_s", 0.0))), default=0.0)
