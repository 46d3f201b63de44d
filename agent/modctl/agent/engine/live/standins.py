"""What stands for a class that changes in place, while a statement runs that uses what the class newly has.

A live class must not get its new methods before the commit, yet `DEFAULT = Rate.parse("7 %")` may need one now. A
stand-in is a subclass of the live class with the new attributes; it is made past `__init_subclass__` and metaclass,
by giving a blank class its bases afterwards. Instances made of it become instances of the live class with the
commit.
"""

from __future__ import annotations

import gc
from itertools import compress
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import collecting
from modctl.agent.engine.live.values import MISSING, class_dict, is_class, mro

if TYPE_CHECKING:
    from modctl.agent.engine.live.world import StagedModule, World

_HEAP_TYPE = 1 << 9
_set_bases = type.__dict__["__bases__"].__set__
_set_class = object.__dict__["__class__"].__set__


class StandIns:
    """Stand-ins of one change, made when first needed."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Live class's id to (class, attributes that it will have).
        self._changing: dict[int, tuple[type, dict[str, Any]]] = {}
        self._made: dict[int, type] = {}
        #: How often the collector had run when the first was made.
        self._collections = -1

    def changes(self, live: type, attributes: dict[str, Any]) -> None:
        """The class will have these attributes."""
        _, known = self._changing.setdefault(id(live), (live, {}))
        known.update(attributes)
        self._made.pop(id(live), None)

    def put(self, places: list[tuple[StagedModule, str]]) -> list[tuple[dict[str, Any], str, Any]]:
        """Puts stand-ins where changing classes are bound; returns what to put back."""
        replaced: list[tuple[dict[str, Any], str, Any]] = []
        for staged, name in places:
            value = staged.namespace.get(name, MISSING)
            if is_class(value) and id(value) in self._changing:
                stand_in = self._stand_in(value)
                if stand_in is not None:
                    replaced.append((staged.namespace, name, value))
                    staged.namespace[name] = stand_in
        return replaced

    @staticmethod
    def put_back(replaced: list[tuple[dict[str, Any], str, Any]]) -> None:
        """Takes the stand-ins out of namespaces again."""
        for namespace, name, value in replaced:
            if namespace.get(name, MISSING) is not MISSING and namespace[name].__name__ == value.__name__:
                namespace[name] = value

    def _stand_in(self, live: type) -> type | None:
        if id(live) in self._made:
            return self._made[id(live)]
        attributes = dict(self._changing[id(live)][1])
        attributes["__module__"] = class_dict(live).get("__module__")
        attributes["__qualname__"] = type.__dict__["__qualname__"].__get__(live)
        solid = next(base for base in mro(live) if not base.__flags__ & _HEAP_TYPE)
        try:
            # Not on the builtin base itself: CPython exchanges bases only between classes of the heap.
            blank = type.__new__(type, "_Blank", (solid,), {})
            made = type.__new__(type, live.__name__, (blank,), attributes)
            _set_bases(made, (live,))
        except TypeError:
            return None  # slots: the statement sees the class as it was
        if self._collections < 0:
            self._collections = collecting.count()
        self._made[id(live)] = made
        self._world.stands_for(made, live)
        return made

    def settle(self) -> None:
        """Instances of stand-ins become instances of the live classes."""
        if not self._made:
            return
        live = {id(made): self._changing[identity][0] for identity, made in self._made.items()}
        for found in self._instances(set(live)):
            _set_class(found, live[id(type(found))])

    def _instances(self, made: set[int]) -> list[object]:
        """The instances of classes with these identities."""
        # Where the collector has not run since, all that was made since is young: no walk over the heap is needed.
        found = gc.get_objects(0)
        if collecting.count() != self._collections:
            found = gc.get_referrers(*self._made.values())
        return list(compress(found, map(made.__contains__, map(id, map(type, found)))))

    def drop(self) -> None:
        """Takes the stand-ins off the live classes' lists of subclasses."""
        for made in self._made.values():
            try:
                _set_bases(made, (type("_Dropped", (), {}),))
            except TypeError:  # noqa: PERF203 - one failure says nothing of the next
                continue
