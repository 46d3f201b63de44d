"""A change request of mode PATCH from the request to its answer and its revision."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent import standby
from modctl.agent.engine.holding import Prepared
from modctl.agent.engine.journal import Revision
from modctl.agent.engine.live.bringing import ACTION, Bringing
from modctl.agent.engine.live.failures import RefusedError, StagingError
from modctl.agent.engine.live.journal import Journal as PatchJournal
from modctl.agent.engine.live.known import KnownBaselines
from modctl.agent.engine.live.opaque import Policy
from modctl.agent.engine.live.operations import ConflictError
from modctl.agent.engine.live.planned import Asking, Offer, offer_of
from modctl.agent.engine.live.records import Records
from modctl.agent.engine.live.reload import Reloader, check
from modctl.agent.engine.outcomes import Refusal, failed, refused
from modctl.agent.engine.raised import python_error
from modctl.agent.engine.versions import version_of

if TYPE_CHECKING:
    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.live.bringing import Brought
    from modctl.agent.engine.live.report import Report
    from modctl.agent.engine.live.transaction import Transaction
    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.operations import ChangeRequest


class Patching:
    """Changes in place, for one engine."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.baselines = KnownBaselines(memory)
        self._records = Records(memory, self.baselines)
        self.reloader = Reloader(self.baselines, self._journals)

    def _journals(self) -> list[PatchJournal]:
        return _journals(self._memory)

    def change(self, changes: Changes, request: ChangeRequest) -> dict[str, Any]:
        """Makes the change; returns the fields of ChangeResult but the request's id and duration."""
        offer = offer_of(request.raw)
        if offer is None:
            standby.before_waiting()  # sources are read and compared here
        if offer is not None and offer.asks:
            Asking(offer, self.baselines, []).answer()
        bringing = Bringing(self._memory, changes.distributions, request, planned=offer is not None)
        if bringing.refusals:
            return refused(bringing.refusals)
        brought, new = bringing.brought, bringing.new
        policy = Policy(timeout_s=request.timeout_s, **policy_of(request))
        try:
            if offer is None:
                transaction = self.reloader.prepare({name: each.source for name, each in brought.items()}, policy, new)
            else:
                transaction = self._planned(offer, brought, policy, new)
            batch = transaction.batch()
            before = self._versions([*brought, *new])
        except RefusedError as error:
            return refused([Refusal(error.name, ACTION, error.reason, error.rule, error.hint)])
        except SyntaxError as error:
            name = next((n for n, each in brought.items() if each.source == error.text), next(iter(brought), ""))
            hint = "correct the line that the error names and send it again"
            refusal = Refusal(name, ACTION, "BAD_SOURCE", "source must be Python", hint)
            return refused([refusal], {name: python_error(error)})
        except StagingError as error:
            before = self._versions([*brought])
            told = [{"name": name, "action": ACTION, "before": before[name]} for name in brought]
            return failed(told, error.name, python_error(error.raised), [], [])
        modules = self._modules(transaction.report, before, brought)
        if request.dry_run:
            transaction.withdraw()
            message = f"{len(batch)} assignments would be made; nothing has changed"
            return {"outcome": "OUTCOME_PLANNED", "modules": modules, "message": message, **_told(transaction.report)}
        if not len(batch) and not transaction.new_texts:
            self._records.note_unchanged(transaction, brought, offer)
            message = "what is loaded does this already"
            return {"outcome": "OUTCOME_UNCHANGED", "modules": modules, "message": message, **_told(transaction.report)}

        def finish() -> dict[str, Any]:
            return self._commit(request, transaction, brought, modules, offer)

        return changes.conclude(Prepared(finish, transaction.withdraw, modules))

    def _versions(self, names: list[str]) -> dict[str, dict[str, Any]]:
        return {name: version_of(self._memory, name) for name in names}

    def _planned(
        self, offer: Offer, brought: dict[str, Brought], policy: Policy, new: dict[str, tuple[str, str, bool]]
    ) -> Transaction:
        """Stages what a gateway has planned."""
        for name in brought:
            check(name, sys.modules.get(name))
        notes: list[str] = []
        asking = Asking(offer, self.baselines, notes)
        plans = asking.plans({name: (each.digest, each.stat) for name, each in brought.items()})
        for name, each in brought.items():
            each.digest, each.packed = offer.entries[name].digest, offer.entries[name].packed
        return self.reloader.staged(plans, policy, new, notes)

    def _settle(self, transaction: Transaction, journal: PatchJournal, offer: Offer | None) -> None:
        """What is loaded now is what was brought; undoing makes it what it was."""
        if offer is None:
            self.reloader.settle(transaction, journal)
            return
        baselines, records = self.baselines, {}
        for name, plan in transaction.plans.items():
            module = sys.modules[name]
            if not plan.changed:
                continue
            entry, before = offer.entries[name], baselines.record_of(module)
            if before is None and entry.old_packed:
                baselines.put_on_record(module, entry.fields["old"], entry.old_packed)
                before = baselines.record_of(module)
            baselines.put_on_record(module, entry.digest, entry.packed)
            records[name] = (before, baselines.record_of(module))
        for name, text in transaction.new_texts.items():
            baselines.remember(sys.modules[name], text)

        def put(which: int) -> None:
            for name, found in records.items():
                if type(module := sys.modules.get(name)) is ModuleType:
                    baselines.restore(module, found[which])

        journal.afterwards.append(lambda: put(0))
        journal.backwards.append(lambda: put(1))

    def _commit(
        self,
        request: ChangeRequest,
        transaction: Transaction,
        brought: dict[str, Brought],
        modules: list[dict[str, Any]],
        offer: Offer | None,
    ) -> dict[str, Any]:
        memory = self._memory
        try:
            journal = transaction.commit()
        except RefusedError as error:
            return refused([Refusal(error.name, ACTION, error.reason, error.rule, error.hint)])
        except ConflictError as error:
            return refused(
                [Refusal(next(iter(brought), ""), ACTION, "CONFLICT", "compare-and-set", f"{error}; try again")]
            )
        except Exception as error:  # noqa: BLE001 - foreign code may raise anything
            return failed([{**each, "before": each["before"]} for each in modules], "", python_error(error), [], [])
        committed_at_unix_s = memory.holding.switched()
        self._settle(transaction, journal, offer)
        number = memory.journal.newest + 1
        states = {name: self._records.state(name) for name in transaction.plans}
        self._records.note(transaction, brought, number)
        for module in modules:
            module["after"] = version_of(memory, module["name"])

        def back() -> None:
            for name, state in states.items():
                self._records.restore(name, state)

        after = {name: self._records.state(name) for name in transaction.plans}
        journal.afterwards.append(back)

        def forth() -> None:
            for name, state in after.items():
                self._records.restore(name, state)

        journal.backwards.append(forth)
        revision = Revision(number, request.identity, request.reason, modules, [], request.request_id)
        revision.patch = journal
        memory.journal.add(revision)
        report = transaction.report
        transaction.release()
        look_later(memory, journal)
        return {
            "outcome": "OUTCOME_APPLIED",
            "revision": number,
            "undoable": True,
            "paused_ms": round(report.paused_ms, 3),
            "committed_at_unix_s": committed_at_unix_s,
            "modules": modules,
            "message": _sentence(report),
            **_told(report),
        }

    def _modules(
        self, report: Report, before: dict[str, dict[str, Any]], brought: dict[str, Brought]
    ) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        for name in brought:
            if name not in report.modules:
                report.module(name).own = False
        for name, part in report.modules.items():
            earlier = before.get(name) or version_of(self._memory, name)
            change: dict[str, Any] = {"name": name, "action": ACTION, "before": earlier, **part.to_dict()}
            stale = [{"holder": h, "name": n, "kind": k} for h, n, k in report.stale if h.startswith(f"{name}.")]
            if stale:
                change["stale"] = stale
            if name in brought and brought[name].digest and part.own:
                change["after"] = {"generation": earlier["generation"] + 1, "digest": brought[name].digest}
            told.append(change)
        return told


def take_back(memory: Memory, revision: Revision, request: ChangeRequest) -> dict[str, Any]:
    """Undoes a revision that changed live objects."""
    assert revision.patch is not None
    modules = [
        {"name": each["name"], "action": "ACTION_RESTORE", "before": version_of(memory, each["name"])}
        for each in revision.modules
    ]
    if request.dry_run:
        message = f"revision {revision.number} would be taken back"
        return {"outcome": "OUTCOME_PLANNED", "modules": modules, "message": message}
    later = _built_upon(memory, revision)
    if later is not None:
        hint = f"revision {later.number} changed the same modules after revision {revision.number}; undo that first"
        return refused([Refusal(modules[0]["name"], "ACTION_RESTORE", "NOT_UNDOABLE", "later-revision", hint)])
    try:
        took_s, kept, inverse = revision.patch.undo()
    except Exception as error:  # noqa: BLE001 - foreign code may raise anything
        return failed(modules, "", python_error(error), [], [])
    memory.holding.switched()
    number = memory.journal.newest + 1
    for module in modules:
        module["after"] = version_of(memory, module["name"])
    undone = Revision(number, request.identity, request.reason, modules, [], request.request_id, undoes=revision.number)
    undone.patch = inverse
    memory.journal.add(undone)
    if memory.born is not None:
        memory.born.drop(revision.patch)
    look_later(memory, inverse)
    message = f"revision {revision.number} is taken back"
    if kept:
        message += f"; {', '.join(kept[:5])} stay, because the program has changed them since"
    return {
        "outcome": "OUTCOME_APPLIED",
        "revision": number,
        "undoable": True,
        "paused_ms": round(took_s * 1e3, 3),
        "modules": modules,
        "message": message,
    }


def look_later(memory: Memory, journal: object) -> None:
    """Has functions that calls under way still make from replaced code looked for later; see born.py."""
    if not isinstance(journal, PatchJournal) or not journal.nests():
        return
    if memory.born is None:
        from modctl.agent.engine.live.born import Watch

        memory.born = Watch(lambda: _journals(memory))
    memory.born.add(journal)


def _journals(memory: Memory) -> list[PatchJournal]:
    kept = (revision.patch for revision in memory.journal.after(0))
    return [patch for patch in kept if isinstance(patch, PatchJournal)]


def _built_upon(memory: Memory, revision: Revision) -> Revision | None:
    names = {each["name"] for each in revision.modules}
    for later in memory.journal.after(revision.number):
        if not later.undone_by and not later.undoes and names & {each["name"] for each in later.modules}:
            return later
    return None


def policy_of(request: ChangeRequest) -> dict[str, Any]:
    """What the request says that this change may do beyond the default."""
    given = request.raw.get("patch")
    if not isinstance(given, dict):
        return {}
    allowed = {"not_transactional": bool, "keep_removed": bool, "side_effects": str, "services": str}
    return {key: given[key] for key, kind in allowed.items() if type(given.get(key)) is kind}


def _told(report: Report) -> dict[str, Any]:
    """Side effects and notes, in one list for people."""
    found = [*report.side_effects, *report.notes]
    return {"side_effects": found} if found else {}


def _sentence(report: Report) -> str:
    own = [part for part in report.modules.values() if part.own]
    followers = len(report.modules) - len(own)
    text = f"{len(own)} {'module' if len(own) == 1 else 'modules'} reloaded, {report.executed} statements executed"
    return f"{text}, {followers} more followed" if followers else text
