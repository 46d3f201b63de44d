"""From operations and a look at the table to what shall be done, with every refusal at once. Executes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import inventory, names
from modctl.agent.engine.commit import is_initializing
from modctl.agent.engine.operations import Evict, Import, Inject, Operation, Reimport, SentModule, Undo
from modctl.agent.engine.outcomes import ACTION_RESTORE, Refusal
from modctl.agent.engine.safe import is_module
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modctl.agent.engine.protect import Protector

MAX_MODULES: Final = 1_000
MAX_SOURCE_BYTES: Final = 4 * 1024 * 1024

ACTION_IMPORT: Final = "ACTION_IMPORT"
ACTION_INJECT: Final = "ACTION_INJECT"
ACTION_EVICT: Final = "ACTION_EVICT"
ACTION_REIMPORT: Final = "ACTION_REIMPORT"
_ACTIONS: Final[dict[type, str]] = {
    Import: ACTION_IMPORT,
    Inject: ACTION_INJECT,
    Evict: ACTION_EVICT,
    Reimport: ACTION_REIMPORT,
    Undo: ACTION_RESTORE,
}


class Step(NamedTuple):
    """What one operation does.

    Attributes:
        number: the position of the operation in the request.
        operation: the operation.
        names: the entries that it is about, in the order in which to do them; the operation's own name is among them.
        sent: what the gateway sent for some of them.
    """

    number: int
    operation: Operation
    names: tuple[str, ...]
    sent: dict[str, SentModule]

    @property
    def action(self) -> str:
        """The Action."""
        return _ACTIONS[type(self.operation)]

    @property
    def operation_name(self) -> str:
        """The name that the operation itself has."""
        return "" if isinstance(self.operation, Undo) else self.operation.name


class Plan(NamedTuple):
    """What a change set does, or why it does not."""

    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]


class Planner:
    """Plans against one look at the table.

    Args:
        table: the entries by name; only keys that are text.
        protector: says what must not be touched.
        override: protected names that this request may touch.
        digest_of: the digest of what is loaded under a name, empty where it is not known.
    """

    def __init__(
        self,
        table: Mapping[str, Any],
        protector: Protector,
        override: frozenset[str],
        digest_of: Callable[[str], str],
    ) -> None:
        self._table = table
        self._protector = protector
        self._override = override
        self._digest_of = digest_of
        self._refusals: list[Refusal] = []
        #: What the operations so far have made of entries: True is there, False is gone.
        self._changed: dict[str, bool] = {}

    def plan(self, operations: Sequence[Operation]) -> Plan:
        """Plans all of them; a later one sees what an earlier one does."""
        steps = []
        for index, operation in enumerate(operations):
            if (step := self._step(index, operation)) is not None:
                steps.append(step)
        count = len({name for step in steps for name in step.names})
        if count > MAX_MODULES:
            self._refuse("", "", "LIMIT", "modules", f"the change touches {count} modules, the limit is {MAX_MODULES}")
        return Plan(tuple(steps), tuple(self._refusals))

    def _step(self, index: int, operation: Operation) -> Step | None:
        action = _ACTIONS[type(operation)]
        assert not isinstance(operation, Undo)  # undo has a plan of its own
        name = operation.name
        if problem := names.problem_with(name):
            self._refuse(name, action, "BAD_NAME", "name", problem)
            return None
        before, changed = len(self._refusals), dict(self._changed)
        if isinstance(operation, Import):
            found: list[str] = [name]
            sent: dict[str, SentModule] = {}
            self._changed[name] = True
        elif isinstance(operation, Evict):
            found, sent = self._evict(operation), {}
        elif isinstance(operation, Reimport):
            found, sent = self._reimport(operation)
        else:
            found, sent = self._inject(operation), {}
        if len(self._refusals) > before:
            self._changed = changed  # what is refused changes nothing for later operations
            return None
        return Step(index, operation, tuple(found), sent)

    def _evict(self, operation: Evict) -> list[str]:
        name = operation.name
        if not self._must_be_there(name, ACTION_EVICT):
            return []
        below = self._descendants(name)
        if below and not operation.recursive:
            self._refuse(
                name,
                ACTION_EVICT,
                "HAS_SUBMODULES",
                "recursive",
                f"{len(below)} submodules of {name} are loaded ({', '.join(below[:3])}{', …' if below[3:] else ''}) "
                "and could not be reached through a package that is imported anew; evict them too with --recursive",
            )
            return []
        found = [name, *below]
        for each in found:
            self._may_go(each, ACTION_EVICT)
        self._base(name, ACTION_EVICT, operation.base_digest)
        self._take(found, ACTION_EVICT, present=False)
        return found

    def _reimport(self, operation: Reimport) -> tuple[list[str], dict[str, SentModule]]:
        name = operation.name
        if not self._must_be_there(name, ACTION_REIMPORT):
            return [], {}
        found = [name, *(self._descendants(name) if operation.recursive else ())]
        kept = []
        for each in found:
            candidate = self._table.get(each)
            if each != name and (candidate is None or not is_module(candidate)):
                continue  # a blocked name, or no module: there is nothing to execute
            if not is_module(candidate):
                what = "a blocked name" if candidate is None else "an object that is no module"
                hint = f"{each} is {what}; there is nothing to execute again"
                self._refuse(each, ACTION_REIMPORT, "NOT_A_MODULE", "kind", hint)
                continue
            facts = inventory.facts_of(each, candidate)
            if facts.alias_of and facts.alias_of != "__main__" and each == name:
                hint = f"{each} is another name of {facts.alias_of}; reimport that, its other names follow"
                self._refuse(each, ACTION_REIMPORT, "UNSUPPORTED", "alias", hint)
                continue
            if facts.alias_of:
                continue
            self._may_go(each, ACTION_REIMPORT)
            kept.append(each)
        self._base(name, ACTION_REIMPORT, operation.base_digest)
        sent = {module.name: module for module in operation.modules if module.name in kept}
        for module in sent.values():
            self._source_size(module, ACTION_REIMPORT)
        self._take(kept, ACTION_REIMPORT, present=True)
        return kept, sent

    def _inject(self, operation: Inject) -> list[str]:
        name = operation.name
        there = self._is_there(name)
        if there and not operation.replace:
            hint = f"{name} is in sys.modules already; give --replace to put this in its place"
            self._refuse(name, ACTION_INJECT, "ALREADY_LOADED", "replace", hint)
            return []
        for module in operation.modules:
            if problem := names.problem_with(module.name):
                self._refuse(module.name, ACTION_INJECT, "BAD_NAME", "name", problem)
            self._source_size(module, ACTION_INJECT)
        for attribute in operation.attributes or ():
            if not attribute.isidentifier():
                hint = f"{attribute!r} is no name that an attribute can have"
                self._refuse(name, ACTION_INJECT, "BAD_NAME", "attribute", hint)
        if operation.alias_of:
            if problem := names.problem_with(operation.alias_of):
                self._refuse(operation.alias_of, ACTION_INJECT, "BAD_NAME", "name", problem)
            elif operation.alias_of == name:
                self._refuse(name, ACTION_INJECT, "UNSUPPORTED", "alias", f"{name} cannot be an alias of itself")
            elif not self._is_there(operation.alias_of):
                hint = f"{operation.alias_of} is not loaded; import it first, in the same change set if need be"
                self._refuse(operation.alias_of, ACTION_INJECT, "NOT_LOADED", "alias", hint)
        if len(operation.modules) > MAX_MODULES:
            hint = f"the package has {len(operation.modules)} modules, the limit is {MAX_MODULES}"
            self._refuse(name, ACTION_INJECT, "LIMIT", "modules", hint)
        self._may_go(name, ACTION_INJECT)
        found = [name]
        if operation.modules and operation.modules[0].package and there:
            # What of the old package is loaded would belong to a package that is no more.
            below = self._descendants(name)
            for each in below:
                self._may_go(each, ACTION_INJECT)
            found += below
        if operation.base_digest:
            self._base(name, ACTION_INJECT, operation.base_digest)
        self._take(found, ACTION_INJECT, present=True)
        return found

    # ---- the checks
    def _must_be_there(self, name: str, action: str) -> bool:
        if self._is_there(name):
            return True
        hint = f"{name} is not in sys.modules; `modctl list` tells what is"
        self._refuse(name, action, "NOT_LOADED", "loaded", hint)
        return False

    def _may_go(self, name: str, action: str) -> None:
        if name == "__main__":
            hint = "__main__ is the running program itself; change the modules that it imports"
            self._refuse(name, action, "MAIN", "main", hint)
            return
        protection = self._protector.protection_of(name)
        if protection is not None and not (protection.lifts and name in self._override):
            self._refuse(name, action, "PROTECTED", protection.rule, protection.hint)
        elif is_initializing(self._table.get(name)):
            hint = f"the first import of {name} is still running; try again when it has ended"
            self._refuse(name, action, "IN_FLIGHT", "initializing", hint)

    def _base(self, name: str, action: str, expected: str) -> None:
        if not expected:
            return
        found = self._digest_of(name)
        if found != expected:
            hint = f"{name} is at {found or 'no known digest'}, not at {expected}; look at what runs and decide again"
            self._refuse(name, action, "BASE_DIFFERS", "base_digest", hint)

    def _source_size(self, module: SentModule, action: str) -> None:
        size = 0 if module.source is None else len(module.source.encode("utf-8", "surrogatepass"))
        if size > MAX_SOURCE_BYTES:
            hint = f"the source of {module.name} has {size} bytes, the limit is {MAX_SOURCE_BYTES}"
            self._refuse(module.name, action, "LIMIT", "source", hint)

    def _take(self, found: list[str], action: str, *, present: bool) -> None:
        for name in found:
            if self._changed.get(name) is True:
                hint = f"{name} is named by an earlier operation of the same change set; use two change sets"
                self._refuse(name, action, "UNSUPPORTED", "twice", hint)
            self._changed[name] = present

    def _is_there(self, name: str) -> bool:
        return self._changed.get(name, name in self._table)

    def _descendants(self, name: str) -> list[str]:
        prefix = name + "."
        return [key for key in self._table if key.startswith(prefix) and self._changed.get(key) is not False]

    def _refuse(self, name: str, action: str, reason: str, rule: str, hint: str) -> None:
        self._refusals.append(Refusal(name, action, reason, rule, hint))
