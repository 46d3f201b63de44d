"""One change from request to answer: plan, stage, commit, remember."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent import standby
from modctl.agent.engine import collecting, inventory, lines, patching
from modctl.agent.engine.commit import CommitRefusedError, Write, commit
from modctl.agent.engine.finishing import Ending
from modctl.agent.engine.journal import Revision
from modctl.agent.engine.operations import ChangeRequest, Undo
from modctl.agent.engine.outcomes import ACTION_RESTORE, Refusal, refused
from modctl.agent.engine.protect import Distributions
from modctl.agent.engine.safe import module_dict
from modctl.agent.engine.undo import UndoPlan, plan_undo
from modctl.agent.engine.versions import version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.agent.engine.anew import Anew
    from modctl.agent.engine.holding import Prepared
    from modctl.agent.engine.live.changing import Patching
    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.staging import Staging
    from modctl.agent.engine.threads import Worker

#: How long a commit waits for imports in flight of the entries of concern.
COMMIT_TIMEOUT_S: Final = 5.0


class Changes:
    """Makes changes, one at a time: the engine holds its lock around each call.

    Args:
        memory: everything that the engine remembers.

    Attributes:
        worker: the staging thread, while there is one: a fork from inside it must not wait for itself.
        staging: what is staged, while something is.
        own: containers of ours that refer to what a change replaces, while one is being made.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.distributions = Distributions()
        self.own: list[Any] = []
        self.worker: Worker | None = None
        self.staging: Staging | None = None
        self._hold: Callable[[Prepared], None] | None = None
        self._request: ChangeRequest | None = None
        self.patching: Patching | None = None
        #: A process in which all is changed in place never loads it.
        self._anew: type[Anew] | None = None

    def run(self, request: ChangeRequest) -> dict[str, Any]:
        """Makes a change; returns the fields of ChangeResult but the request's id and duration."""
        with collecting.seldom():  # and when it ends, what only making the change needed is gone
            return self._run(request)

    def _run(self, request: ChangeRequest) -> dict[str, Any]:
        memory = self.memory
        self._request = request
        if memory.frozen:
            hint = f"the process is frozen ({memory.frozen_reason or 'no reason given'}); thaw it first"
            return refused([Refusal("", "", "FROZEN", "frozen", hint)])
        if request.expect_revision is not None and request.expect_revision != memory.journal.newest:
            hint = f"the process is at revision {memory.journal.newest}, not at {request.expect_revision}; look again"
            return refused([Refusal("", "", "REVISION_DIFFERS", "expect_revision", hint)])
        first = request.operations[0]
        if isinstance(first, Undo):
            if self._hold is not None:
                hint = "an undo is not prepared; it needs no staging and commits at once"
                return refused([Refusal("", ACTION_RESTORE, "UNSUPPORTED", "prepare", hint)])
            undo = plan_undo(memory.journal, first.revision, memory.finder)
            return self.undo(undo, request)
        if patching.is_asked_for(request):
            return patching.change(self, request)
        return (self._anew or self._load_anew())(self).run(request)

    def _load_anew(self) -> type[Anew]:
        standby.before_waiting()  # a dozen files are imported now
        from modctl.agent.engine.anew import Anew

        self._anew = Anew
        return Anew

    def prepare(self, request: ChangeRequest, hold: Callable[[Prepared], None]) -> dict[str, Any]:
        """Makes a change up to its commit, and hands what would commit it over; returns the fields of ChangeResult.

        Args:
            request: as for run().
            hold: takes what is prepared.
        """
        self._hold = hold
        try:
            return self.run(request)
        finally:
            self._hold = None

    def conclude(self, prepared: Prepared) -> dict[str, Any]:
        """The end of every change that is staged: commits it, or where it is only prepared has it held."""
        assert self._request is not None
        ending, staged = Ending(self, self._request, prepared.modules), prepared

        def finish() -> dict[str, Any]:
            with collecting.seldom():  # what is only prepared is committed long after run()
                return ending.make(staged.finish, staged.drop)

        prepared = prepared._replace(finish=finish)
        if self._hold is None:
            return prepared.finish()
        self._hold(prepared)
        message = "staged and held; nothing has changed yet"
        return {"outcome": "OUTCOME_PREPARED", "modules": prepared.modules, "message": message}

    def undo(self, undo: UndoPlan, request: ChangeRequest, *, unstoppable: bool = False) -> dict[str, Any]:
        """Takes a revision back as a whole."""
        if undo.revision is None or undo.refusals:
            return refused(undo.refusals)
        if request.dry_run:
            return self._taken_back(undo, request)
        modules = [{"name": each["name"], "action": ACTION_RESTORE} for each in undo.revision.modules]
        ending = Ending(self, request, modules, takes_back=True, unstoppable=unstoppable)
        return ending.make(lambda: self._taken_back(undo, request))

    def _taken_back(self, undo: UndoPlan, request: ChangeRequest) -> dict[str, Any]:
        revision = undo.revision
        if revision is None or revision.patch is None or undo.refusals:
            return self.take_back(undo, request.identity, request.reason, request.request_id, dry_run=request.dry_run)
        result = patching.take_back(self, revision, request)
        if result["outcome"] == "OUTCOME_APPLIED":
            self.memory.expiries.cancel(revision.number)
        return result

    def take_back_at_once(self, number: int, request: ChangeRequest, reason: str) -> dict[str, Any]:
        """Takes back what has just been committed, because a hook after it failed."""
        undo = plan_undo(self.memory.journal, number, self.memory.finder)
        return self._taken_back(undo, request._replace(request_id="", reason=reason, dry_run=False))

    def take_back(
        self,
        plan: UndoPlan,
        identity: str,
        reason: str,
        request_id: str,
        *,
        dry_run: bool = False,
        whole: bool = True,
        timeout_s: float = COMMIT_TIMEOUT_S,
    ) -> dict[str, Any]:
        """Commits what an undo has planned.

        Args:
            plan: the writes.
            identity: who asked.
            reason: why.
            request_id: the request's.
            dry_run: only say what would be done.
            whole: whether the revision is taken back as a whole, so that it no longer stands.
            timeout_s: how long to wait for imports in flight.
        """
        if plan.refusals or plan.revision is None:
            return refused(plan.refusals)
        memory = self.memory
        names = [write.key for write in plan.writes if write.is_entry()]
        changes: list[dict[str, Any]] = [
            {"name": name, "action": ACTION_RESTORE, "before": version_of(memory, name)} for name in names
        ]
        if dry_run:
            message = f"revision {plan.revision.number} would be taken back"
            return {"outcome": "OUTCOME_PLANNED", "modules": changes, "message": message}
        try:
            paused_ms = self.commit(plan.writes, timeout_s)
        except CommitRefusedError as error:
            reason_of = "IN_FLIGHT" if error.reason == "IN_FLIGHT" else "NOT_UNDOABLE"
            return refused([Refusal(error.name, ACTION_RESTORE, reason_of, "commit", str(error))])
        memory.holding.switched()
        number = self.note(plan.writes)
        for change in changes:
            change["after"] = version_of(memory, change["name"])
        undone = plan.revision.number if whole else 0
        revision = Revision(number, identity, reason, changes, plan.writes, request_id, undoes=undone)
        memory.journal.add(revision)
        if whole:
            memory.expiries.cancel(plan.revision.number)
        return {
            "outcome": "OUTCOME_APPLIED",
            "revision": number,
            "undoable": revision.undoable,
            "paused_ms": round(paused_ms, 3),
            "modules": changes,
            "message": f"revision {plan.revision.number} is taken back",
        }

    # ---- the commit and its memory
    def commit(self, writes: Sequence[Write], timeout_s: float = COMMIT_TIMEOUT_S) -> float:
        """Makes writes take effect; returns how long everybody was kept from importing, in milliseconds.

        Raises:
            CommitRefusedError: nothing was changed.
        """
        finder = self.memory.finder
        finder.attach_for(writes)
        try:
            return commit(writes, timeout_s, self.memory.usable["locks"])
        finally:
            finder.attach()

    def note(self, writes: Sequence[Write]) -> int:
        """Tells the memory of committed writes; returns the new revision's number."""
        memory = self.memory
        number = memory.journal.newest + 1
        for write in writes:
            if write.is_entry():
                namespace = module_dict(write.after)
                spec = None if namespace is None else inventory.spec_of(namespace)
                memory.generations.changed(write.key, write.after, spec, number)
                memory.rows.forget(write.key)
                for candidate in (write.before, write.after):
                    lines.refresh(candidate, memory.generations)
        return number
