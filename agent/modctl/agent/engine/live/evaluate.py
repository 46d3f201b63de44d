"""Which statements run, in which order: by pull.

A statement is settled after what it reads is settled, wherever that is: an import pulls the statements that bind
the names it takes. The graph of statements is acyclic where that of modules is not, so cycles of modules need no
special case. What did not change and reads nothing that changed is not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modctl.agent.engine.live.importing import absolute_name, staged_module
from modctl.agent.engine.live.states import BEHAVIOUR, INNER, UNTOUCHED, VALUE
from modctl.agent.engine.live.values import CONTAINERS, MISSING, is_plain_data
from modctl.source.comparison import CHANGED, CODE, NEW
from modctl.source.plan import INNER_BEHAVIOUR, OTHER_BEHAVIOUR, SAME_BEHAVIOUR
from modctl.source.statements import AUGMENT, CLASS, COMPOUND, DEF, IMPORT, Statement

if TYPE_CHECKING:
    from modctl.agent.engine.live.running import Runner
    from modctl.agent.engine.live.world import StagedModule, World
    from modctl.source.names import Chain

Place = tuple[str, int]
_BEHAVIOURS = {SAME_BEHAVIOUR: UNTOUCHED, INNER_BEHAVIOUR: INNER, OTHER_BEHAVIOUR: BEHAVIOUR}


class Evaluation:
    """Settles every statement of the staged modules."""

    def __init__(self, world: World, runner: Runner) -> None:
        self.world = world
        self._runner = runner
        runner.evaluation = self
        self._settled: set[Place] = set()
        #: Statements that ran.
        self.executed: dict[Place, None] = {}
        #: What a statement's names are, after it: (module, statement, name) to state.
        self._states: dict[tuple[str, int, str], int] = {}
        #: Names bound in ways that no text tells, by module.
        self.surprises: dict[tuple[str, str], int] = {}

    def run(self) -> None:
        """Settles everything."""
        for staged in list(self.world.modules.values()):
            if staged.plan is not None:
                for statement in staged.plan.statements:
                    self.settle(staged, statement.index)

    def skip(self, staged: StagedModule) -> None:
        """Nothing of this module is to be settled: it is new and runs as a whole."""
        assert staged.plan is not None
        for statement in staged.plan.statements:
            self._settled.add((staged.name, statement.index))
            for name in statement.touches:
                self.set_state(staged, statement.index, name, VALUE)

    def bind(self, owner: StagedModule, name: str, module: object) -> None:
        """A new submodule becomes an attribute of its package."""
        self._runner.decisions[owner.name, name] = module
        self.surprises[owner.name, name] = VALUE

    # -- states

    def set_state(self, staged: StagedModule, index: int, name: str, state: int) -> None:
        """Says what became of a name by a statement."""
        self._states[staged.name, index, name] = state

    def state_after(self, staged: StagedModule, index: int, name: str) -> int:
        """What a name is after the statement that binds it."""
        return self._states.get((staged.name, index, name), UNTOUCHED)

    def final_state(self, staged: StagedModule, name: str) -> int:
        """What a name of a module is in the end, as far as it is settled."""
        plan = staged.plan
        if plan is None:
            return UNTOUCHED
        if name in plan.removed:
            return VALUE
        touched = [i for i in self._touchers(staged, name) if (staged.name, i, name) in self._states]
        state = self._states[staged.name, touched[-1], name] if touched else UNTOUCHED
        return max(state, self.surprises.get((staged.name, name), UNTOUCHED))

    def _touchers(self, staged: StagedModule, name: str) -> list[int]:
        assert staged.plan is not None
        return staged.plan.touchers.get(name, [])

    # -- pulling

    def settle(self, staged: StagedModule, index: int) -> None:
        """Settles a statement and what it needs first."""
        place = (staged.name, index)
        if place in self._settled:
            return
        self._settled.add(place)
        plan = staged.plan
        assert plan is not None
        statement = plan.statements[index]
        for provider in plan.providers[index].values():
            if provider >= 0:
                self.settle(staged, provider)
        for name in statement.touches:
            for earlier in self._touchers(staged, name):
                if earlier < index:
                    self.settle(staged, earlier)
        for module, name in self._foreign_reads(staged, statement):
            self.settle_name(module, name)
        reach = self.reach(staged, statement) if statement.calls else {}
        for module, name in reach:
            self.settle_name(module, name, before=index if module is staged else None)
        self._decide(staged, statement, reach)

    def settle_name(self, staged: StagedModule, name: str, before: int | None = None) -> None:
        """Settles every statement that binds or changes a name; `*` means all names, `before` only earlier
        statements.
        """
        if staged.plan is None:
            return
        if name == "*":
            for statement in staged.plan.statements:
                self.settle(staged, statement.index)
        for index in self._touchers(staged, name):
            if before is None or index < before:
                self.settle(staged, index)

    def _foreign_reads(self, staged: StagedModule, statement: Statement) -> list[tuple[StagedModule, str]]:
        """Names of other staged modules that a statement reads: by import, and as attributes of modules."""
        found: list[tuple[StagedModule, str]] = []
        for item in statement.imports:
            if item.attribute:
                target = staged_module(self.world, absolute_name(item.module, item.level, staged.home))
                if target is not None and target is not staged:
                    found.append((target, item.attribute))
        for chain in statement.chains:
            found += self.attribute_of_module(staged, chain)
        for name in statement.bare:
            target = self.world.staged_for(staged.namespace.get(name)) if statement.kind != IMPORT else None
            if target is not None and target is not staged and target.plan is not None:
                found.append((target, "*"))
        return found

    def attribute_of_module(self, staged: StagedModule, chain: Chain) -> list[tuple[StagedModule, str]]:
        """Of `a.b.C`: the staged module that `a.b` is, and the name read of it."""
        here = self.world.staged_for(staged.namespace.get(chain[0]))
        for attribute in chain[1:]:
            if here is None:
                return []
            deeper = self.world.staged_for(here.namespace.get(attribute))
            if deeper is None:
                return [(here, attribute)]
            here = deeper
        return []

    def reach(self, staged: StagedModule, statement: Statement) -> dict[tuple[StagedModule, str], bool]:
        """Names that functions called by a statement read, through any number of calls; True where the name is
        called.
        """
        found: dict[tuple[StagedModule, str], bool] = {}
        todo: list[tuple[StagedModule, Chain, bool]] = [(staged, chain, True) for chain in statement.calls]
        while todo:
            module, chain, called = todo.pop()
            plan = module.plan
            if plan is None:
                continue
            place = (module, chain[0])
            for other, name in self.attribute_of_module(module, chain):
                if (other, name) not in found:
                    found[other, name] = called
                    todo.append((other, (name,), called))
            if place in found:
                continue
            touchers = self._touchers(module, chain[0])
            if not touchers and chain[0] not in plan.removed:
                continue
            if module is not staged or chain not in statement.calls:
                found[place] = called
            else:
                found.setdefault(place, called)
            for index in touchers:
                maker = plan.statements[index]
                if maker.kind == IMPORT:
                    for item in maker.imports:
                        if item.binds == chain[0] and item.attribute:
                            target = staged_module(self.world, absolute_name(item.module, item.level, module.home))
                            if target is not None:
                                todo.append((target, (item.attribute,), called))
                elif maker.kind in (DEF, CLASS) or maker.lazy:
                    todo += [(module, lazy, True) for lazy in maker.lazy]
        return found

    # -- deciding

    def _decide(self, staged: StagedModule, statement: Statement, reach: dict[tuple[StagedModule, str], bool]) -> None:
        plan = staged.plan
        assert plan is not None
        status = plan.comparison.statuses[statement.index]
        changed = status in (CHANGED, NEW) or statement.index in plan.comparison.displaced
        if changed or self._chain_rebuilt(staged, statement) or self.follows(staged, statement, reach):
            self._runner.run(staged, statement, changed=changed)
            return
        if statement.kind == IMPORT:
            self._refresh(staged, statement)
        if status == CODE:
            for name in statement.writes:
                self.set_state(staged, statement.index, name, _BEHAVIOURS[plan.behaviours[statement.index]])
        for name in statement.writes:
            # An earlier statement ran and bound the name; this one did not change and has the last word.
            if name in staged.initial and any(
                (staged.name, i) in self.executed for i in self._touchers(staged, name) if i < statement.index
            ):
                staged.namespace[name] = staged.initial[name]

    def _refresh(self, staged: StagedModule, statement: Statement) -> None:
        """An import of the same objects: their new versions are what this module's statements are to see, too."""
        for item in statement.imports:
            if not item.attribute or item.attribute == "*":
                continue
            target = staged_module(self.world, absolute_name(item.module, item.level, staged.home))
            if target is None or target is staged:
                continue
            state = self.final_state(target, item.attribute)
            if state != UNTOUCHED and staged.home.get(item.binds) is target.home.get(item.attribute, MISSING):
                staged.namespace[item.binds] = target.namespace.get(item.attribute, staged.namespace.get(item.binds))
            self.set_state(staged, statement.index, item.binds, state)

    def _chain_rebuilt(self, staged: StagedModule, statement: Statement) -> bool:
        """`L = []; L.append(1)`: where one of them is another, all of them run, on a fresh object."""
        plan = staged.plan
        assert plan is not None
        for name in statement.touches:
            first = self.chain_start(staged, statement.index, name)
            rebuilt = name in plan.comparison.rebuilt
            if first is not None and (rebuilt or ((staged.name, first) in self.executed and first != statement.index)):
                return True
        return False

    def chain_start(self, staged: StagedModule, index: int, name: str) -> int | None:
        """The statement that makes the builtin container which this one changes; None where there is no such chain."""
        plan = staged.plan
        assert plan is not None
        touchers = self._touchers(staged, name)
        if len(touchers) < 2 or type(staged.home.get(name)) not in CONTAINERS:
            return None
        start = None
        for toucher in touchers:
            if toucher > index:
                break
            statement = plan.statements[toucher]
            if name in statement.writes and name not in statement.builds_on:
                start = toucher
        return start

    def follows(self, staged: StagedModule, statement: Statement, reach: dict[tuple[StagedModule, str], bool]) -> bool:
        """Whether an unchanged statement has to run because of what it reads."""
        plan = staged.plan
        assert plan is not None
        states: list[int] = []
        called: list[int] = []
        calls = {chain[0] for chain in statement.calls if len(chain) == 1}
        for name, provider in plan.providers[statement.index].items():
            state = self.state_after(staged, provider, name) if provider >= 0 else UNTOUCHED
            if provider < 0:
                unseen = self.surprises.get((staged.name, name), UNTOUCHED)
                state = VALUE if name in plan.removed else unseen
            states.append(state)
            if name in calls:
                called.append(state)
            ran = provider >= 0 and (staged.name, provider) in self.executed
            if (ran and name in statement.writes and statement.kind in (AUGMENT, COMPOUND)) or (
                ran and name in statement.builds_on and name in statement.writes
            ):
                return True
        if statement.deletes and any(
            (staged.name, i) in self.executed
            for n in statement.deletes
            for i in self._touchers(staged, n)
            if i < statement.index
        ):
            return True
        for module, name in self._foreign_reads(staged, statement):
            states.append(self._state_of(module, name))
        if any(self._runner.attribute_changed(staged, chain) for chain in statement.chains):
            return True
        if VALUE in states:
            return True
        for (module, name), is_called in reach.items():
            state = (
                self._state_before(module, name, statement.index) if module is staged else self._state_of(module, name)
            )
            if is_called or state == VALUE:
                called.append(state)
        return max(called, default=UNTOUCHED) >= BEHAVIOUR and self._result_is_data(staged, statement)

    def _state_of(self, staged: StagedModule, name: str) -> int:
        if name == "*":
            plan = staged.plan
            if plan is None:
                return UNTOUCHED
            states = [self.final_state(staged, each) for each in plan.touchers]
            return VALUE if plan.removed else max(states, default=UNTOUCHED)
        return self.final_state(staged, name)

    def _state_before(self, staged: StagedModule, name: str, index: int) -> int:
        """What a name of the same module is when a statement runs."""
        assert staged.plan is not None
        if name in staged.plan.removed:
            return VALUE
        earlier = [i for i in self._touchers(staged, name) if i < index]
        return self.state_after(staged, earlier[-1], name) if earlier else UNTOUCHED

    def _result_is_data(self, staged: StagedModule, statement: Statement) -> bool:
        """Whether all that a statement binds can be made again without harm: data and functions, never a live
        service.
        """
        if not statement.writes or statement.kind == CLASS:
            return False
        values = [staged.home.get(name, MISSING) for name in statement.writes]
        return all(is_plain_data(value) or (callable(value) and not isinstance(value, type)) for value in values)
