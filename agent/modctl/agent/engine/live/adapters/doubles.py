"""The doubles of one change."""

from __future__ import annotations

import ast
import gc
import sys
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.adapters import LOGGING, adapter_for
from modctl.agent.engine.live.adapters.base import DOUBLE
from modctl.agent.engine.live.adapters.calls import old_call, value_of
from modctl.agent.engine.live.adapters.order import Place
from modctl.agent.engine.live.values import MISSING, class_dict, instance_dict, is_class, is_opaque, mro, type_name
from modctl.source.statements import EXPRESSION

if TYPE_CHECKING:
    from modctl.agent.engine.live.adapters.base import Adapter
    from modctl.agent.engine.live.adapters.logs import StagedLogging
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.rehome import Rehomer
    from modctl.agent.engine.live.world import StagedModule, World
    from modctl.source.statements import Statement


class Doubles:
    """Makes doubles, each once, and in the end decides what becomes of the live objects."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: id of the live object → (live, double, adapter), in the order in which they were made.
        self._made: dict[int, tuple[Any, Any, Adapter]] = {}
        self._doubles: set[int] = set()
        self._forgotten: list[Any] = []
        self._logging: StagedLogging | None = None
        self.notes: list[str] = []

    def begin(self, builtins: dict[str, Any]) -> None:
        """Before anything runs: doubles are put into the staged namespaces of the modules that change."""
        modules = self._world.modules
        for staged in list(modules.values()):
            if staged.plan is not None and staged.home is not staged.namespace:
                self.stand_in(staged)
        if "logging" in sys.modules:
            from modctl.agent.engine.live.adapters.logs import StagedLogging

            ours: dict[str, dict[str, Any]] = {n: modules[n].namespace for n in LOGGING if n in modules}
            self._logging = StagedLogging(self, ours, builtins)

    def knows(self, value: object) -> bool:
        """Whether a value is a double, so that anything may be done with it."""
        return id(value) in self._doubles

    def stand_in(self, staged: StagedModule) -> None:
        """Puts doubles into a staged namespace."""
        for key, value in list(staged.home.items()):
            if key[:2] == "__" or is_class(value) or not is_opaque(value):
                continue
            if staged.namespace.get(key, MISSING) is value and (double := self.of(value)) is not None:
                staged.namespace[key] = staged.initial[key] = double

    def registrations_of(self, live: Any) -> Any:
        """The double of a value that is imported; None where it stands for itself."""
        return self.of(live) if not is_class(live) and is_opaque(live) else None

    def of(self, live: Any, *, forced: bool = False) -> Any:
        """The double of a live object; None where no adapter knows its type, or, unless forced, where its module takes
        no part in the change.
        """
        known = self._made.get(id(live))
        if known is not None:
            return known[1]
        if self.knows(live):
            return live
        adapter = adapter_for(live)
        if adapter is None or (adapter.module and not forced and adapter.module not in self._world.modules):
            return None
        double = adapter.double(live, self)
        if double is None:
            return None
        self._made[id(live)] = (live, double, adapter)
        self._doubles.add(id(double))
        if (own := instance_dict(double)) is not None:
            own[DOUBLE] = True
        self._world.stands_for(double, live)
        if self._forgotten:
            adapter.forget(double, self._forgotten, self)
        return double

    def forget(self, live: Any) -> None:
        """A live function or class is about to be defined anew, or goes: what it was registered as goes first."""
        values = [live]
        while type(values[-1]) is FunctionType and (inner := values[-1].__dict__.get("__wrapped__")) is not None:
            values.append(inner)
            if len(values) > 20:
                break
        if not (type(live) is FunctionType or is_class(live) or is_opaque(live)):
            return
        self._forgotten += values
        for _, double, adapter in list(self._made.values()):
            adapter.forget(double, values, self)

    def retract(self, staged: StagedModule, statement: Statement) -> None:
        """An expression statement of the old version is no more, or is about to run again: what the call registered
        goes first.
        """
        if chain := statement.attribute_store:
            holder = value_of(ast.parse(".".join(chain[:-1]), mode="eval").body, staged.home)
            if holder is not MISSING and is_opaque(holder) and (double := self.of(holder)) is not None:
                self._made[id(holder)][2].unset(double, chain[-1])
            return
        if statement.kind != EXPRESSION or not any(
            self._may_know(staged.home.get(chain[0])) for chain in statement.calls
        ):
            return
        call = old_call(staged, statement)
        if call is None:
            return
        receiver: Any = call.receiver
        if self._logging is not None and any(receiver is sys.modules.get(name) for name in LOGGING):
            self._logging.retract(call)
        elif is_opaque(receiver) and (double := self.of(receiver)) is not None:
            self._made[id(receiver)][2].retract(double, call, self)

    def ran(self, staged: StagedModule, statement: Statement) -> None:
        """A statement of the new version has run."""
        place = Place(staged.name, statement.index)
        for live, double, adapter in list(self._made.values()):
            adapter.ran(double, live, place)

    def modules(self) -> list[StagedModule]:
        """Those of the change."""
        return list(self._world.modules.values())

    def owners(self, part: Any) -> list[Any]:
        """The live objects of whose doubles this double is a part."""
        return [
            live
            for live, double, adapter in self._made.values()
            if any(double.__dict__.get(key) is part for key in adapter.parts)
        ]

    def _may_know(self, value: Any) -> bool:
        """Whether what is called at a name may be an adapter's business: only then is the old text looked at."""
        if type(value) is FunctionType:
            return value.__module__ in LOGGING
        if isinstance(value, ModuleType):
            return True
        return is_opaque(value) and adapter_for(value) is not None

    def settle(self) -> None:
        """Everything has run: adapters work out what follows elsewhere. May make more doubles."""
        if self._logging is not None:
            self._logging.settle()
        done: set[int] = set()
        while todo := [each for key, each in self._made.items() if key not in done]:
            done |= {id(live) for live, _, _ in todo}
            for live, double, adapter in todo:
                adapter.settle(double, live, self)

    def decide(self, merger: Merger, rehome: Rehomer) -> None:
        """Decides on the assignments to live objects."""
        for live, double, adapter in self._made.values():
            adapter.assign(double, live, merger.put, rehome, type_name(live))
        if self._logging is not None:
            self._logging.assign(merger.put)
        merger.notes += self.notes

    def afterwards(self) -> None:
        """After the commit, and after its undo: adapters forget what was worked out of registrations."""
        for live, _, adapter in self._made.values():
            adapter.afterwards(live)

    def close(self) -> None:
        """Staging is over, whatever became of it: live objects that adapters look after are as they were."""
        if self._logging is not None:
            self._logging.restore()

    def abandon(self) -> None:
        """The change failed: what was opened for it is closed."""
        if self._logging is not None:
            self._logging.abandon()

    def made(self, kind: type[Adapter]) -> list[Any]:
        """The doubles that adapters of a kind have made."""
        return [double for _, double, adapter in self._made.values() if type(adapter) is kind]

    def replace(self, old: Any, new: Any) -> None:
        """Puts something in the place of what a staged namespace holds, wherever it holds it."""
        self._world.stands_for(new, self.canonical(old))
        for staged in self._world.modules.values():
            if staged.home is staged.namespace:
                continue
            for key, value in list(staged.namespace.items()):
                if value is old:
                    staged.namespace[key] = staged.initial[key] = new

    def canonical(self, value: Any) -> Any:
        """What a staged object stands for; itself where it stands for itself."""
        canon = self._world.canon(value)
        return value if canon is MISSING else canon

    @staticmethod
    def alive(types: tuple[str, ...]) -> list[Any]:
        """The live objects of some types, given by their classes' module-qualified names, wherever they are."""
        kinds: dict[type, bool] = {}
        found = []
        for each in gc.get_objects():
            kind = type(each)
            wanted = kinds.get(kind)
            if wanted is None:
                wanted = kinds[kind] = any(
                    f"{class_dict(cls).get('__module__')}.{cls.__qualname__}" in types for cls in mro(kind)
                )
            if wanted and DOUBLE not in (instance_dict(each) or ()):  # those of earlier changes may still be there
                found.append(each)
        return found
