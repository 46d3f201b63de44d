"""Running one statement in the staged world and deciding what its names are to be in the live one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.class_parts import Part, can_run_in_part, run_part
from modctl.agent.engine.live.failures import RefusedError, StagingError
from modctl.agent.engine.live.importing import absolute_name, staged_module
from modctl.agent.engine.live.mapped import check_part, is_mapped
from modctl.agent.engine.live.opaque import check_statement, receiver_of
from modctl.agent.engine.live.states import UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import ATOMS, MISSING, is_class
from modctl.source.bases import evaluate
from modctl.source.comparison import SAME
from modctl.source.statements import ALIAS, ASSIGN, CLASS, COMPOUND, DEF, EXPRESSION, IMPORT, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.live.evaluate import Evaluation
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.opaque import Policy
    from modctl.agent.engine.live.world import StagedModule, World
    from modctl.source.comparison import Comparison
    from modctl.source.names import Chain

_PLAIN: tuple[type, ...] = (*ATOMS, tuple, frozenset)


class Runner:
    """Runs statements; collects what each module's names shall be bound to."""

    def __init__(self, world: World, merger: Merger, policy: Policy) -> None:
        self.world = world
        self.merger = merger
        self.policy = policy
        self.evaluation: Evaluation
        #: (module, name) to the object to bind, or MISSING where the name goes.
        self.decisions: dict[tuple[str, str], Any] = {}
        self.reran: list[str] = []
        #: Takes the registrations of a live object out of the doubles of frameworks' objects.
        self.forget: Callable[[Any], None] = lambda _: None
        #: Takes back in the doubles what a call of the old version registered.
        self.retract: Callable[[StagedModule, Statement], None] = lambda *_: None
        #: Is told of each statement that has run.
        self.ran: Callable[[StagedModule, Statement], None] = lambda *_: None

    # -- what evaluation asks

    def attribute_changed(self, staged: StagedModule, chain: Chain) -> bool:
        """Whether `C.X` is an attribute of a class that has another value."""
        value = staged.namespace.get(chain[0])
        names = list(chain[1:])
        while names and (module := self.world.staged_for(value)) is not None:
            value = module.namespace.get(names.pop(0))
        if not names or not is_class(value):
            return False
        module_name = type.__dict__["__module__"].__get__(value)
        return f"{module_name}.{type.__dict__['__qualname__'].__get__(value)}.{names[0]}" in self.merger.attributes

    # -- running

    def run(self, staged: StagedModule, statement: Statement, *, changed: bool) -> None:
        """Runs a statement, unless a rule says that what it made must stay.

        Raises:
            StagingError: it raised. RefusedError: it must not run.
        """
        if not check_statement(self, staged, statement, changed=changed):
            return
        plan = staged.plan
        assert plan is not None
        place = (staged.name, statement.index)
        before = dict(staged.namespace) if _binds_unseen(statement) else None
        self.evaluation.executed[place] = None
        if plan.comparison.statuses[statement.index] == SAME and statement.kind != IMPORT:
            self.reran.append(f"{staged.name}:{statement.first_line}")
        if statement.kind in (DEF, CLASS, ASSIGN):
            for name in statement.writes:
                if (live := staged.home.get(name, MISSING)) is not MISSING:
                    self.forget(live)
        elif statement.kind == EXPRESSION and (old := self._old(staged, statement)) is not None:
            self.retract(staged, old)
        saved = self._force_providers(staged, statement)
        stars = self._drop_starred(staged, statement)
        replaced = self.merger.stand_ins.put(self._used(staged, statement))
        try:
            if not self._store_attribute(staged, statement) and not self._run_class(staged, statement):
                self._execute(staged, statement)
        except (StagingError, RefusedError):
            raise
        except BaseException as error:
            raise StagingError(staged.name, statement.first_line, error) from error
        finally:
            self.merger.stand_ins.put_back(replaced)
        self.ran(staged, statement)
        for name, value in saved.items():
            if name not in statement.touches:
                staged.namespace[name] = value
        self._settle_names(staged, statement)
        if before is not None:
            self._settle_unseen(staged, statement, before, stars)

    def _execute(self, staged: StagedModule, statement: Statement) -> None:
        if statement.kind == COMPOUND:
            for name in set(statement.writes) - set(statement.reads):
                first = self.evaluation_writers(staged, name)
                if first and first[0] == statement.index:
                    staged.namespace.pop(name, None)
        assert staged.plan is not None
        exec(staged.plan.piece(statement.index), staged.namespace)  # noqa: S102 - running sources is what we are asked to do

    def _used(self, staged: StagedModule, statement: Statement) -> list[tuple[StagedModule, str]]:
        """Where a statement, and functions that it calls, may find classes that they call or look into."""
        if statement.kind == CLASS or (statement.kind == DEF and not statement.decorated):
            return []
        own = {chain[0] for chain in (*statement.calls, *statement.chains)}
        found = [(staged, name) for name in own]
        found += [place for chain in statement.chains for place in self.evaluation.attribute_of_module(staged, chain)]
        return found + list(self.evaluation.reach(staged, statement))

    @staticmethod
    def evaluation_writers(staged: StagedModule, name: str) -> list[int]:
        """Statements that bind a name."""
        assert staged.plan is not None
        return staged.plan.writers.get(name, [])

    def _force_providers(self, staged: StagedModule, statement: Statement) -> dict[str, Any]:
        """Makes names that are bound several times be what they are at this point; returns what they were."""
        plan = staged.plan
        assert plan is not None
        saved: dict[str, Any] = {}
        names = set(plan.providers[statement.index]) | (statement.builds_on & set(plan.touchers))
        for name in names:
            earlier = [i for i in plan.touchers.get(name, ()) if i < statement.index]
            writers = [i for i in earlier if name in plan.statements[i].writes]
            if not writers or (staged.name, writers[-1]) in self.evaluation.executed:
                continue
            chain = self.evaluation.chain_start(staged, statement.index, name)
            later = [i for i in plan.writers.get(name, ()) if i > writers[-1]]
            if not later and (chain is None or name not in statement.touches):
                continue
            saved[name] = staged.namespace.get(name, MISSING)
            start = max((i for i in writers if name not in plan.statements[i].builds_on), default=writers[0])
            for index in earlier:
                if index >= start and (staged.name, index) not in self.evaluation.executed:
                    self.evaluation.executed[staged.name, index] = None
                    try:
                        self._execute(staged, plan.statements[index])
                    except BaseException as error:
                        raise StagingError(staged.name, plan.statements[index].first_line, error) from error
        return {name: value for name, value in saved.items() if value is not MISSING}

    def _store_attribute(self, staged: StagedModule, statement: Statement) -> bool:
        """`cfg.port = 2` on a live object is not run: the value is worked out, the assignment is part of the commit."""
        chain = statement.attribute_store
        if not chain or self.made_here(staged, statement, chain[0]):
            return False
        assert staged.plan is not None
        holder = receiver_of(self.world, staged, chain)
        if holder is MISSING:
            return False
        value = eval(staged.plan.value_piece(statement.index), staged.namespace)  # noqa: S307 - the source that we were asked to load
        live = self.merger.canonical(holder)
        what = f"{staged.name}: {'.'.join(chain)}"
        module = self.world.staged_for(live)
        if module is not None:
            module.namespace[chain[-1]] = value
            self.decisions[module.name, chain[-1]] = value
        elif is_class(live):
            self.merger.put("type", live, chain[-1], value, what)
        else:
            held = getattr(live, chain[-1], MISSING)
            if held is MISSING or not self.merger.same(held, value):
                self.merger.put("attribute", live, chain[-1], value, what)
        return True

    def made_here(self, staged: StagedModule, statement: Statement, name: str) -> bool:
        """Whether a name is bound to something that this staging made, so that anything may be done with it."""
        assert staged.plan is not None
        provider = staged.plan.providers[statement.index].get(name, -1)
        if provider < 0 or (staged.name, provider) not in self.evaluation.executed:
            return False
        value = staged.namespace.get(name, MISSING)
        return value is not staged.home.get(name, MISSING) and self.world.canon(value) is MISSING

    def _run_class(self, staged: StagedModule, statement: Statement) -> bool:
        """Runs a class statement in part where that can be; False where all of it has to run."""
        if statement.kind != CLASS or self.evaluation_writers(staged, statement.label) != [statement.index]:
            return False
        live: Any = staged.home.get(statement.label, MISSING)
        old = self._old(staged, statement)
        if not is_class(live) or self.merger.home_of(live) is not live:
            return False
        header_reads_other = any(
            self.evaluation.final_state(staged, base[0]) == VALUE
            or any(
                self.evaluation.final_state(m, n) == VALUE for m, n in self.evaluation.attribute_of_module(staged, base)
            )
            for base in statement.bases
            if base
        )
        if not can_run_in_part(live, statement, old, not header_reads_other):
            return False
        assert old is not None
        whole = self._comparison(staged)
        part = Part(whole, statement, old, lambda read: self._reads_other(staged, read))
        if is_mapped(live):
            check_part(staged.name, live, part)
        site = self._site(staged, statement.label, statement)._replace(follows=frozenset(part.follows))
        state = run_part(self.merger, staged, live, part, site)
        self.decisions[staged.name, statement.label] = live
        self.evaluation.set_state(staged, statement.index, statement.label, state)
        return True

    def _reads_other(self, staged: StagedModule, read: Chain | str) -> bool:
        """Whether a statement of a class's body reads something of the module that has another value."""
        if isinstance(read, str):
            return self.evaluation.final_state(staged, read) == VALUE
        if self.attribute_changed(staged, read):
            return True
        return any(
            self.evaluation.final_state(m, n) == VALUE for m, n in self.evaluation.attribute_of_module(staged, read)
        )

    # -- deciding

    def _settle_names(self, staged: StagedModule, statement: Statement) -> None:
        plan = staged.plan
        assert plan is not None
        for name in statement.touches:
            touchers = plan.touchers[name]
            if (
                (staged.name, name) in self.decisions
                and statement.kind == CLASS
                and self.decided_in_part(staged, statement)
            ):
                continue
            last = touchers[-1] == statement.index
            chained = self.evaluation.chain_start(staged, touchers[-1], name) is not None
            if not last and (
                chained or any(name in plan.statements[i].writes for i in touchers if i > statement.index)
            ):
                known = staged.initial.get(name, MISSING)
                state = UNTOUCHED if staged.namespace.get(name, MISSING) is known else VALUE
                self.evaluation.set_state(staged, statement.index, name, state)
                continue
            if name in statement.writes or name in statement.builds_on:
                self._settle_name(staged, statement, name)

    def decided_in_part(self, staged: StagedModule, statement: Statement) -> bool:
        """Whether the class statement ran in part: its merge is done."""
        return self.decisions.get((staged.name, statement.label)) is staged.home.get(statement.label, MISSING)

    def _settle_name(self, staged: StagedModule, statement: Statement, name: str) -> None:
        live = staged.home.get(name, MISSING)
        new = staged.namespace.get(name, MISSING)
        if new is MISSING:
            if live is not MISSING and name not in statement.deletes:
                self.merger.removed.append(f"{staged.name}.{name}")
            self.decisions[staged.name, name] = MISSING
            self.evaluation.set_state(staged, statement.index, name, UNTOUCHED if live is MISSING else VALUE)
            return
        if statement.kind == IMPORT and self._rebound(staged, statement, name, live):
            staged.namespace[name] = self.world.substitute(live, lambda function: function.__code__)
            return
        site = self._site(staged, name, statement)
        if statement.kind == CLASS and is_class(live) and site.old_statement is not None:
            # The whole body ran: an attribute whose statement stayed has another value where that reads what changed.
            whole = self._comparison(staged)
            part = Part(whole, statement, site.old_statement, lambda read: self._reads_other(staged, read))
            site = site._replace(follows=frozenset(part.follows))
        bound, state = self.merger.merge(live, new, site)
        self.decisions[staged.name, name] = bound
        self.evaluation.set_state(staged, statement.index, name, state)

    def _rebound(self, staged: StagedModule, statement: Statement, name: str, live: Any) -> bool:
        """Whether the program bound an imported name to something else meanwhile: that stays."""
        for item in statement.imports:
            if item.binds != name or not item.attribute or live is MISSING:
                continue
            target = staged_module(self.world, absolute_name(item.module, item.level, staged.home))
            if target is None or item.attribute not in target.home:
                continue
            held = target.home[item.attribute]
            if held is not live and self._old(staged, statement) is not None:
                self.merger.kept.append((f"{staged.name}.{name}", "the program bound it to something else"))
                return True
        return False

    def _settle_unseen(
        self, staged: StagedModule, statement: Statement, before: dict[str, Any], stars: set[str]
    ) -> None:
        """Names that the statement bound though its text does not say so: `globals()[…] = …`, `import *`."""
        for name in {**staged.namespace, **before, **dict.fromkeys(stars)}:
            if name in statement.touches or name in ("__builtins__", "__annotations__"):
                continue
            new = staged.namespace.get(name, MISSING)
            if new is before.get(name, MISSING) and name not in stars:
                continue
            live = staged.home.get(name, MISSING)
            if new is MISSING:
                self.decisions[staged.name, name] = MISSING
                self.evaluation.surprises[staged.name, name] = VALUE
                continue
            site = Site(staged, f"{staged.name}.{name}", owned=statement.kind != IMPORT, born=statement.kind != IMPORT)
            bound, state = self.merger.merge(live, new, site)
            self.decisions[staged.name, name] = bound
            self.evaluation.surprises[staged.name, name] = state

    def _drop_starred(self, staged: StagedModule, statement: Statement) -> set[str]:
        """Takes off what `import *` bound before, so that what is no longer offered does not stay."""
        dropped: set[str] = set()
        for item in statement.imports:
            target = staged_module(self.world, absolute_name(item.module, item.level, staged.home))
            if item.attribute != "*" or target is None:
                continue
            offered = target.home.get("__all__") or [name for name in target.home if not name.startswith("_")]
            for name in offered:
                if (
                    name in staged.home
                    and staged.home[name] is target.home.get(name)
                    and not self.evaluation_writers(staged, name)
                ):
                    staged.namespace.pop(name, None)
                    dropped.add(name)
        return dropped

    @staticmethod
    def _comparison(staged: StagedModule) -> Comparison:
        assert staged.plan is not None
        return staged.plan.comparison

    def _old(self, staged: StagedModule, statement: Statement) -> Statement | None:
        assert staged.plan is not None
        partner = staged.plan.comparison.partners[statement.index]
        return None if partner < 0 else staged.plan.comparison.old[partner]

    def _site(self, staged: StagedModule, name: str, statement: Statement) -> Site:
        plan = staged.plan
        assert plan is not None
        maker = plan.old_maker(name)
        owned = maker is not None and maker.kind != IMPORT and not (maker.kind == ASSIGN and maker.value_kind == ALIAS)
        born = statement.kind != IMPORT and not (statement.kind == ASSIGN and statement.value_kind == ALIAS)
        base = plan.base(name) if statement.kind == ASSIGN else None
        return Site(
            staged,
            f"{staged.name}.{name}",
            owned=owned,
            born=born,
            kept_defaults=self._kept_defaults(staged, statement) if statement.kind == DEF else frozenset(),
            base=evaluate(base, staged.home, _PLAIN) if base is not None else (False, None),
            run_time_state=name in plan.run_time_state,
            statement=statement if statement.kind == CLASS else plan.maker(name),
            old_statement=maker if statement.kind != CLASS else self._old(staged, statement) or maker,
        )

    def _kept_defaults(self, staged: StagedModule, statement: Statement) -> frozenset[str]:
        old = self._old(staged, statement)
        before = {name: text for name, text, _ in old.defaults} if old is not None else {}
        return frozenset(
            name
            for name, text, reads in statement.defaults
            if before.get(name) == text and all(self.evaluation.final_state(staged, read) != VALUE for read in reads)
        )


def _binds_unseen(statement: Statement) -> bool:
    return bool(statement.dynamic) or any(item.attribute == "*" for item in statement.imports)
