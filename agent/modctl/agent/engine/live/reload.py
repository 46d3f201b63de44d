"""The pipeline: sources in, a committed change and its report out, or a refusal that touched nothing."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from modctl.agent.engine import commit
from modctl.agent.engine.live.baselines import Baselines
from modctl.agent.engine.live.dependents import add_dependents
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.opaque import Policy
from modctl.agent.engine.live.transaction import Transaction
from modctl.source.plan import ModulePlan, plan_module, read_text
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from modctl.agent.engine.live.journal import Journal
    from modctl.agent.engine.live.report import Report


class Reloaded(NamedTuple):
    """A committed change."""

    report: Report
    journal: Journal | None
    plans: dict[str, ModulePlan]


class Reloader:
    """Reloads modules of this process. One change at a time: the caller holds the engine's lock."""

    def __init__(self, baselines: Baselines | None = None, journals: Callable[[], Iterable[Journal]] = tuple) -> None:
        self.baselines = baselines or Baselines()
        self._journals = journals

    def plans(self, sources: Mapping[str, str], notes: list[str], *, dependents: bool = True) -> dict[str, ModulePlan]:
        """Plans of the modules that are loaded, and of those that may have to follow.

        Raises:
            RefusedError: a module cannot be changed this way. SyntaxError: a new source is no Python.
        """
        plans: dict[str, ModulePlan] = {}
        for name, source in sources.items():
            module = sys.modules.get(name)
            if module is None:
                continue
            check(name, module)
            old = self.baselines.of(name, module)
            new = old if old.source == source else read_text(source, old.filename, like=old)
            plans[name] = plan_module(name, old, new, package="__path__" in module.__dict__)
        if dependents and any(plan.runs or "other" in plan.behaviours.values() for plan in plans.values()):
            add_dependents(plans, self.baselines, notes)
        return plans

    def prepare(
        self, sources: Mapping[str, str], policy: Policy, new: Mapping[str, tuple[str, str, bool]] | None = None
    ) -> Transaction:
        """Plans and stages; nothing live is touched. Its `batch()` is what would be assigned: a dry run ends here.

        Raises:
            RefusedError, SyntaxError: as plans(). StagingError: a statement raised.
        """
        notes: list[str] = []
        return self.staged(self.plans(sources, notes), policy, new, notes)

    def staged(
        self,
        plans: Mapping[str, ModulePlan],
        policy: Policy,
        new: Mapping[str, tuple[str, str, bool]] | None = None,
        notes: list[str] | None = None,
    ) -> Transaction:
        """Stages what is planned; see prepare()."""
        transaction = Transaction(dict(plans), policy, dict(new or {}), self._journals)
        transaction.report.notes += notes or []
        transaction.stage()
        return transaction

    def reload(
        self,
        sources: Mapping[str, str],
        policy: Policy | None = None,
        new: Mapping[str, tuple[str, str, bool]] | None = None,
        *,
        dry_run: bool = False,
    ) -> Reloaded:
        """Makes the live modules what these sources say, all of them or none.

        Raises:
            RefusedError, SyntaxError, StagingError, ConflictError: nothing was changed.
        """
        transaction = self.prepare(sources, policy or Policy(), new)
        if dry_run:
            transaction.batch()
            transaction.withdraw()
            return Reloaded(transaction.report, None, transaction.plans)
        journal = transaction.commit()
        self.settle(transaction, journal)
        return Reloaded(transaction.report, journal, transaction.plans)

    def settle(self, transaction: Transaction, journal: Journal) -> None:
        """After the commit: the new texts are what is loaded; undoing brings the old ones back."""
        texts = {name: (plan.old, plan.new) for name, plan in transaction.plans.items() if plan.changed}

        def forth() -> None:
            for name, (_, new) in texts.items():
                if type(module := sys.modules.get(name)) is ModuleType:
                    self.baselines.remember(module, new)

        def back() -> None:
            for name, (old, _) in texts.items():
                if type(module := sys.modules.get(name)) is ModuleType:
                    self.baselines.remember(module, old)

        forth()
        for name, text in transaction.new_texts.items():
            self.baselines.remember(sys.modules[name], text)
        journal.afterwards.append(back)
        journal.backwards.append(forth)


def check(name: str, module: object) -> None:
    """Whether an entry is a module that can be changed in place.

    Raises:
        RefusedError: it is none.
    """
    if name == "__main__":
        raise RefusedError(name, "MAIN", "the main program cannot be changed while it runs", "Restart it")
    if type(module) is not ModuleType:
        raise RefusedError(name, "NOT_A_MODULE", "its entry is no plain module", "Use inject --replace")
    if commit.is_initializing(module):
        raise RefusedError(name, "IN_FLIGHT", "its first import still runs", "Try again")
