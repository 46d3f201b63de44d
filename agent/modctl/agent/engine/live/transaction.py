"""One change of live code, from plans to a commit: stage, diff, commit, verify.

    Transaction(plans) ─▶ stage() ─▶ batch() ─▶ commit() ─▶ Journal

Nothing live is touched before commit(), and commit() is one call into C.
"""

from __future__ import annotations

import abc
import linecache
import sys
import time
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent import standby
from modctl.agent.engine import commit, quiet
from modctl.agent.engine.live import audited, plain
from modctl.agent.engine.live.adapters import staged_too
from modctl.agent.engine.live.adapters.caches import StaleCaches
from modctl.agent.engine.live.codesweep import LiveCodes, find_elsewhere, swap
from modctl.agent.engine.live.evaluate import Evaluation
from modctl.agent.engine.live.failures import RefusedError, StagingError
from modctl.agent.engine.live.forwarders import CannotForwardError, forwarding_code
from modctl.agent.engine.live.importing import Importer, ancestors
from modctl.agent.engine.live.journal import Entry, Journal
from modctl.agent.engine.live.ledger import Ledger
from modctl.agent.engine.live.merge import Merger
from modctl.agent.engine.live.newmodules import NewModules
from modctl.agent.engine.live.rehome import Rehomer
from modctl.agent.engine.live.report import Report
from modctl.agent.engine.live.running import Runner
from modctl.agent.engine.live.states import BEHAVIOUR, VALUE
from modctl.agent.engine.live.values import MISSING, is_class
from modctl.agent.engine.live.world import World
from modctl.agent.engine.threads import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.opaque import Policy
    from modctl.agent.engine.live.operations import Batch
    from modctl.source.plain import Plain
    from modctl.source.plan import ModulePlan

LOCK_TIMEOUT_S = 5.0


class Transaction:
    """All that one change needs while it is made.

    Args:
        plans: of modules that change and of those that may follow them, by name.
        policy: what the change may do.
        new_sources: (source, filename, package) of modules that are not loaded yet, which come with the change.
        journals: gives those of earlier changes, which hold code too.
    """

    def __init__(
        self,
        plans: dict[str, ModulePlan],
        policy: Policy,
        new_sources: dict[str, tuple[str, str, bool]] | None = None,
        journals: Callable[[], Iterable[Journal]] = tuple,
    ) -> None:
        self._journals = journals
        self._filenames = [plan.filename for plan in plans.values()]
        self.plans = plans
        self.policy = policy
        self.doubles: Doubles | None = None
        self.report = Report()
        self.world = World()
        self.merger = Merger(self.world)
        self.runner = Runner(self.world, self.merger, policy)
        self.evaluation = Evaluation(self.world, self.runner)
        self._new = NewModules(self.world, new_sources or {})
        self._codes: dict[str, LiveCodes] = {}
        self._ledger: Ledger | None = None
        self._importer: Importer | None = None
        self._stale: StaleCaches | None = None
        #: What there is beside code of functions, where that needs no staging.
        self._plain: dict[str, Plain] | None = None
        self._batch: Batch | None = None

    # -- stage

    def stage(self) -> None:
        """Runs what has to run, aside, in a thread of its own with a time limit.

        Raises:
            StagingError: a statement raised, or the time was over. RefusedError: a rule forbids it.
        """
        began_s = time.perf_counter()
        for name, plan in self.plans.items():
            staged = self.world.add(name, sys.modules[name], plan)
            self._codes[name] = LiveCodes(staged)
            self._codes[name].collect()
        if not self._new.are_wanted(self.plans) and (self._nothing_runs() or self._is_plain()):
            self.report.notes += self._new.left_out()
            return
        for name in [*ancestors(list(self.plans)), *staged_too(self.plans.values())]:
            if name not in self.world.modules:
                self.world.add(name, sys.modules[name], None)
        importer = Importer(self.world, self._new.execute, self.evaluation, self._new.given)
        self._new.importer = importer
        self._importer = importer
        for staged in list(self.world.modules.values()):
            self.world.fill(staged, importer.builtins, self._code_of)
        self._ledger = Ledger(self.world)
        worker = Worker(self._evaluate)
        done = False
        try:
            done = worker.run(self.policy.timeout_s)
            if not done:
                worker.stop()
                raise StagingError("staging", 0, TimeoutError(f"took longer than {self.policy.timeout_s:g} s"))
            if worker.error is not None:
                raise worker.error
        except BaseException:
            self._ledger.close()
            self.withdraw()
            raise
        finally:
            importer.close()
            if self.doubles is not None:
                self.doubles.close()
        self._ledger.close()
        self.report.notes += self._new.left_out()
        self.report.side_effects = self._ledger.side_effects()
        self.report.staged_ms = (time.perf_counter() - began_s) * 1e3
        if self.report.side_effects and self.policy.side_effects == "refuse":
            self.withdraw()
            raise RefusedError(
                next(iter(self.plans)),
                "SIDE_EFFECTS",
                f"running the changed statements had effects that cannot be taken back: {self.report.side_effects[0]}",
                "Allow them, or restart",
            )

    def _evaluate(self) -> None:
        """On the staging thread: doubles stand for the objects of frameworks, statements run, doubles settle."""
        from modctl.agent.engine.live.adapters.doubles import Doubles

        self.doubles = doubles = Doubles(self.world)
        self.runner.policy = self.policy._replace(adapters=(*self.policy.adapters, doubles))
        self.runner.forget = doubles.forget
        self.runner.retract = doubles.retract
        self.runner.ran = doubles.ran
        assert self._importer is not None
        self._importer.double_of = doubles.registrations_of
        doubles.begin(self._importer.builtins)
        for name, plan in self.plans.items():
            home = self.world.modules[name].home
            for index in plan.comparison.gone:
                doubles.retract(self.world.modules[name], plan.comparison.old[index])
            for key in plan.removed:
                if key in home and not self.policy.keep_removed:
                    doubles.forget(home[key])
        self.evaluation.run()
        self._new.load_what_functions_import(self.plans)
        doubles.settle()

    def _nothing_runs(self) -> bool:
        """Whether code is all that differs, and no loaded statement has called any of it to make a value."""
        if all(plan.quiet for plan in self.plans.values()):
            return True
        return not any(p.runs for p in self.plans.values()) and not any(
            b == "other" for p in self.plans.values() for b in p.behaviours.values()
        )

    def _is_plain(self) -> bool:
        """Whether the texts of the modules that change say what everything becomes; that is decided then."""
        if len(self.plans) > 1 and not all(plan.independent for plan in self.plans.values()):
            return False
        found: dict[str, Plain] = {}
        for name, plan in self.plans.items():
            if not plan.changed or plan.quiet:
                continue
            if plan.plain is None or not plain.applies(self.world.modules[name], plan.plain):
                return False
            found[name] = plan.plain
        for name, each in found.items():
            plain.decide(self.world.modules[name], each, self.merger, self.report.module(name))
        self._plain = found
        return True

    def _code_of(self, function: FunctionType) -> Any:
        codes = self._codes.get(function.__module__)
        if codes is None or function.__globals__ is not codes.staged.home:
            for codes in self._codes.values():
                if codes.staged.home is function.__globals__:
                    break
            else:
                return function.__code__
        return codes.new_code(function)

    def withdraw(self) -> None:
        """Gives the change up: modules that are new to the process are taken out again, and what was opened is
        closed.
        """
        self._new.withdraw()
        if self.doubles is not None:
            self.doubles.abandon()

    @property
    def new_texts(self) -> dict[str, Any]:
        """Texts of the modules that are new to the process."""
        return self._new.texts

    # -- diff

    def batch(self) -> Batch:
        """Everything that is to be assigned."""
        if self._batch is not None:
            return self._batch
        rehome = Rehomer(self.world)
        self.merger.stand_ins.settle()
        replaced: dict[int, tuple[Any, Any]] = {}
        for (name, key), value in self.runner.decisions.items():
            staged = self.world.modules[name]
            if staged.home is not staged.namespace and value is not staged.home.get(key, MISSING):
                self.merger.put("item", staged.home, key, value, f"{name}.{key}")
                live = staged.home.get(key, MISSING)
                if self._is_replaced(live, value):
                    replaced[id(live)] = live, value
        self._rebind(replaced)
        for name, plan in self.plans.items():
            self._module_itself(name, plan)
        if self._ledger is not None:
            self.report.notes += [f"{what} gets other contents" for what in self._ledger.decide(self.merger)]
        if self.doubles is not None:
            self.doubles.decide(self.merger, rehome)
        self._swap_codes()
        self._forward(rehome)
        self._new.adopt(rehome)
        self._stale = StaleCaches(self.merger.pending, self.merger.caches, self.plans, self.merger.differs)
        self.report.notes += self._stale.notes
        self._batch = self.merger.finish(rehome)
        self._drop_leftovers()
        self._describe()
        return self._batch

    def _module_itself(self, name: str, plan: ModulePlan) -> None:
        if self._plain is not None or (self._ledger is None and not plan.runs):
            return  # nothing ran
        staged = self.world.modules[name]
        home = staged.home
        for key in plan.removed:
            if key not in home or (name, key) in self.runner.decisions or self.policy.keep_removed:
                continue
            if isinstance(home[key], ModuleType) and sys.modules.get(f"{name}.{key}") is home[key]:
                continue  # a submodule: the import system put it there
            value = None if key == "__doc__" else MISSING
            self.merger.put("item", home, key, value, f"{name}.{key}")
            self.merger.removed.append(f"{name}.{key}")
        notes = staged.namespace.get("__annotations__")
        gone = {n for s in plan.comparison.old for n in s.annotates} - {
            n for s in plan.comparison.new for n in s.annotates
        }
        if type(home.get("__annotations__")) is dict:
            wanted = {
                k: v for k, v in (notes if type(notes) is dict else home["__annotations__"]).items() if k not in gone
            }
            if not self.merger.same(home["__annotations__"], wanted):
                self.merger.put("refill", home["__annotations__"], None, wanted, f"{name}.__annotations__")
        elif type(notes) is dict and notes:
            self.merger.put("item", home, "__annotations__", dict(notes), f"{name}.__annotations__")

    def _is_replaced(self, old: Any, new: Any) -> bool:
        """Whether a class or function of the program has another object in its place now."""
        if not (is_class(old) or type(old) is FunctionType) or new is MISSING:
            return False
        return any(old is live for live, _ in self.merger.replaced_classes) or any(
            old is live for live, _, _ in self.merger.forwards
        )

    def _rebind(self, replaced: dict[int, tuple[Any, Any]]) -> None:
        """Names of other modules that are bound to replaced classes and functions are led to the new ones.

        Args:
            replaced: old and new, by id of the old.
        """
        if not replaced:
            return
        for name, module in list(sys.modules.items()):
            if type(module) is not ModuleType:
                continue
            held = list(module.__dict__.values())
            if replaced.keys().isdisjoint(map(id, held)):
                continue
            for key, value in list(module.__dict__.items()):
                found = replaced.get(id(value))
                if found is not None and found[0] is value and (name, key) not in self.runner.decisions:
                    self.merger.put("item", module.__dict__, key, found[1], f"{name}.{key}")

    def _swap_codes(self) -> None:
        changing = {name: codes for name, codes in self._codes.items() if self.plans[name].pairs}
        find_elsewhere(list(changing.values()), self.report.notes, self._journals())
        for name, codes in changing.items():
            changed = self.report.module(name).changed
            for qualname in swap(codes, self.merger):
                top = qualname.partition(".")[0]
                if top not in changed and top in codes.staged.home:
                    changed.append(top)

    def _forward(self, rehome: Rehomer) -> None:
        for live, target, what in self.merger.forwards:
            made = rehome(target)
            try:
                code = forwarding_code(live, made)
            except CannotForwardError as error:
                self.merger.stale.append((what, str(error)))
                continue
            self.merger.put("function", live, "__code__", code, what)
            self.merger.put("function", live, "__defaults__", None, what)
            self.merger.put("function", live, "__kwdefaults__", None, what)
            self.merger.put("item", live.__dict__, "__wrapped__", made, f"{what}.__wrapped__")

    def _drop_leftovers(self) -> None:
        """Classes made only to be compared would show up in `__subclasses__()` until they are collected."""
        self.merger.stand_ins.drop()
        for cls in self.merger.leftover_classes:
            try:
                type.__dict__["__bases__"].__set__(cls, (type("_Dropped", (), {}),))
            except TypeError:  # noqa: PERF203 - one failure says nothing of the next
                continue  # of another layout: the collector takes it

    def _describe(self) -> None:
        report, merger = self.report, self.merger
        for name, plan in self.plans.items():
            part = report.module(name)
            part.own = plan.changed
            part.tier = plan.tier if plan.changed else "NOOP"
            if self._plain is not None:
                part.executed = [*self._plain[name].lines] if name in self._plain else []
            else:
                executed = self.evaluation.executed
                part.executed = [plan.statements[i].first_line for module, i in executed if module == name]
            if part.executed or plan.removed:
                part.tier = "PATCH"
            home = self.world.modules[name].home
            if self._ledger is None:
                continue  # nothing ran
            for key in {n for s in plan.statements for n in s.writes}:
                state = self.evaluation.final_state(self.world.modules[name], key)
                if key not in home and (name, key) in self.runner.decisions:
                    part.added.append(key)
                elif state in (BEHAVIOUR, VALUE) and key not in part.changed:
                    part.changed.append(key)
        for what, bucket in (
            (merger.removed, "removed"),
            ([w for w, _ in merger.replaced], "replaced"),
            ([w for w, _ in merger.kept], "kept"),
        ):
            for place in what:
                owner = next(
                    (n for n in sorted(self.plans, key=len, reverse=True) if place.startswith((f"{n}.", f"{n}:"))), None
                )
                if owner is not None:
                    names = getattr(report.module(owner), bucket)
                    symbol = (
                        place[len(owner) + 1 :].partition(".")[0].partition("[")[0]
                        if bucket != "kept"
                        else place[len(owner) + 1 :]
                    )
                    if bucket == "removed" and "." in place[len(owner) + 1 :]:
                        continue
                    if symbol not in names:
                        names.append(symbol)
        for part in report.modules.values():
            part.changed = [n for n in part.changed if n not in part.replaced and n not in part.removed]
            if not part.own and not (part.executed or part.changed):
                continue
        report.modules = {n: p for n, p in report.modules.items() if p.own or p.executed}
        report.notes += merger.notes
        report.notes += [f"{what} is replaced: {why}; instances made before go on" for what, why in merger.replaced]
        report.notes += [f"{what} keeps its value: {why}" for what, why in merger.kept]
        report.stale += [(what, what.rpartition(".")[2], why) for what, why in merger.stale]
        report.executed = len(self.evaluation.executed)
        if self._plain is not None:
            report.executed = sum(len(each.lines) for each in self._plain.values())
        report.operations = len(self._batch or ())
        if report.operations > 1 and audited.is_heard():
            report.notes.append(audited.NOTE)

    # -- commit

    def commit(self) -> Journal:
        """Makes it so, in one step, under the import locks of the modules.

        Raises:
            RefusedError: a module is being imported. ConflictError: the program changed something meanwhile.
            Exception: what an assignment raised; everything is as before.
        """
        batch = self.batch()
        held = quiet.ImportsHeld(list(self.plans), [], usable=True)
        blocker = held.acquire(LOCK_TIMEOUT_S)
        if blocker:
            self.withdraw()
            raise RefusedError(blocker, "IN_FLIGHT", "it is being imported by another thread", "Try again")
        try:
            for name, staged in self.world.modules.items():
                if commit.is_initializing(staged.live) and name not in self._new.modules:
                    raise RefusedError(name, "IN_FLIGHT", "its first import still runs", "Try again")
                if sys.modules.get(name) is not staged.live:
                    raise RefusedError(name, "CONFLICT", "its entry was replaced meanwhile", "Look again and repeat")
            batch.check()
            entries, took_s = batch.commit()
        except BaseException:
            self.withdraw()
            raise
        finally:
            held.release()
        self.report.paused_ms = took_s * 1e3
        journal = Journal(list(map(Entry._make, entries)))
        self._afterwards()
        journal.afterwards += [self._afterwards, self._new.withdraw]
        journal.backwards.append(self._afterwards)
        return journal

    def release(self) -> None:
        """After the commit: lets go of what only making it needed. The journal holds on to this object."""
        for plan in self.plans.values():
            # Whoever still has the plan would hold the codes that run now, and the next change would look for their
            # holders in the whole heap.
            plan.pairs = []
        self.plans = {}
        self._codes.clear()
        self.merger.pending.clear()
        self.world.release()
        self._plain = None
        if self._batch is not None:
            self._batch.release()

    def _afterwards(self) -> None:
        """What is no assignment: caches of changed functions, abstract methods, lines shown in tracebacks."""
        if self.merger.caches or self.merger.abstract or self.doubles is not None or self._stale:
            standby.before_waiting()  # what caches let go of may have finalizers, a metaclass code of the program's
        for cache in self.merger.caches:
            cache.cache_clear()
        if self._stale is not None:
            self._stale.clear()
        for cls in self.merger.abstract:
            for each in [cls, *_subclasses(cls)]:
                if isinstance(each, abc.ABCMeta):
                    abc.update_abstractmethods(each)  # type: ignore[type-var,arg-type,unused-ignore]  # typeshed's versions differ
        for staged in self.world.modules.values():
            for value in list(staged.home.values()):
                if type(value) is FunctionType and "_clear_cache" in value.__dict__ and "registry" in value.__dict__:
                    value.__dict__["_clear_cache"]()  # functools.singledispatch
        for filename in self._filenames:
            linecache.cache.pop(filename, None)
        if self.doubles is not None:
            self.doubles.afterwards()
        if "django.urls.resolvers" in sys.modules:
            from modctl.agent.engine.live.adapters.django import forget_urls

            forget_urls([operation.what for operation in self.batch()])
        if "sqlalchemy.sql.traversals" in sys.modules:
            from modctl.agent.engine.live.adapters.sqlalchemy import forget_traversals

            forget_traversals([operation.what for operation in self.batch()])


def _subclasses(cls: type) -> list[type]:
    found: list[type] = []
    todo: list[type] = list(type.__subclasses__(cls))
    while todo:
        each = todo.pop()
        found.append(each)
        todo += type.__subclasses__(each)
    return found
