"""The doubles of one change."""

from __future__ import annotations

import gc
from types import FunctionType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.adapters import adapter_for
from modctl.agent.engine.live.values import MISSING, class_dict, is_class, is_opaque, mro, type_name

if TYPE_CHECKING:
    from modctl.agent.engine.live.adapters.base import Adapter
    from modctl.agent.engine.live.merge import Merger
    from modctl.agent.engine.live.rehome import Rehomer
    from modctl.agent.engine.live.world import StagedModule, World


class Doubles:
    """Makes doubles, each once, and in the end decides what becomes of the live objects."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: id of the live object → (live, double, adapter), in the order in which they were made.
        self._made: dict[int, tuple[Any, Any, Adapter]] = {}
        self._doubles: set[int] = set()
        self._forgotten: list[Any] = []

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

    def of(self, live: Any) -> Any:
        """The double of a live object; None where no adapter knows its type."""
        known = self._made.get(id(live))
        if known is not None:
            return known[1]
        if self.knows(live):
            return live
        adapter = adapter_for(live)
        if adapter is None:
            return None
        double = adapter.double(live, self)
        self._made[id(live)] = (live, double, adapter)
        self._doubles.add(id(double))
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

    def settle(self) -> None:
        """Everything has run: adapters work out what follows elsewhere. May make more doubles."""
        done: set[int] = set()
        while todo := [each for key, each in self._made.items() if key not in done]:
            done |= {id(live) for live, _, _ in todo}
            for live, double, adapter in todo:
                adapter.settle(double, live, self)

    def decide(self, merger: Merger, rehome: Rehomer) -> None:
        """Decides on the assignments to live objects."""
        for live, double, adapter in self._made.values():
            adapter.assign(double, live, merger.put, rehome, type_name(live))

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
            if wanted:
                found.append(each)
        return found
