"""Bringing a live value to what a staged one is, in place wherever that can be.

`Merger.merge(live, new, site)` gives the object that the name shall be bound to and how far that is from what was
there. What is to be assigned is collected in `pending`, in terms of staged objects; `Merger.finish` turns it into a
batch of the live world.
"""

from __future__ import annotations

import functools
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.classes import merge_classes
from modctl.agent.engine.live.data import merge_container, merge_data
from modctl.agent.engine.live.functions import merge_functions
from modctl.agent.engine.live.operations import Batch
from modctl.agent.engine.live.standins import StandIns
from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import (
    CONTAINERS,
    LRU_WRAPPER,
    MISSING,
    home_of,
    is_class,
    is_plain,
    is_plain_data,
    same_data,
)
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from modctl.agent.engine.live.rehome import Rehomer
    from modctl.agent.engine.live.world import World


class Pending(NamedTuple):
    """An assignment, in terms of staged objects."""

    kind: str
    holder: Any
    key: Any
    value: Any
    what: str


class Merger:
    """All merges of one change."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.pending: list[Pending] = []
        self.stand_ins = StandIns(world)
        #: Live functions led to new callables: (live, staged callable, what).
        self.forwards: list[tuple[FunctionType, Any, str]] = []
        #: ids of live functions that have their new code already: the sweep leaves them alone.
        self.transplanted: set[int] = set()
        #: Of functions that only get other code, by id: whether it does something else.
        self.differs: dict[int, bool] = {}
        self.notes: list[str] = []
        #: Names that kept their live value though the source has another, and classes that could not be changed in
        #: place.
        self.kept: list[tuple[str, str]] = []
        self.replaced: list[tuple[str, str]] = []
        #: lru_cache wrappers whose function changed.
        self.caches: list[Any] = []
        self.abstract: list[type] = []
        #: Attributes of classes that have another value: `m.C.RATE`.
        self.attributes: set[str] = set()
        self.removed: list[str] = []
        #: Live objects that could not be brought up to date: (what, why).
        self.stale: list[tuple[str, str]] = []
        #: Classes made while staging that are not to outlive it.
        self.leftover_classes: list[type] = []
        self.replaced_classes: list[tuple[type, type]] = []

    def put(self, kind: str, holder: Any, key: Any, value: Any, what: str) -> None:
        """Decides on one assignment."""
        self.pending.append(Pending._make((kind, holder, key, value, what)))

    def forward(self, live: FunctionType, target: Any, site: Site) -> None:
        """Leads a live function to a new callable, which may wrap what stood for the live one until now."""
        self.world.unmap(live)
        self.forwards.append((live, target, site.what))
        self.transplanted.add(id(live))

    @staticmethod
    def home_of(value: Any) -> object:
        """See values.home_of."""
        return home_of(value)

    def canonical(self, value: Any) -> Any:
        """What a staged object stands for; itself where it stands for itself."""
        canon = self.world.canon(value)
        return value if canon is MISSING else canon

    def keeps(self, held: Any, value: Any, site: Site, name: str) -> bool:
        """Whether a data attribute of a class whose statement stayed keeps its live value: it may be a counter."""
        if name in site.follows:
            return False
        return is_plain_data(held) or is_plain_data(value) or not callable(value)

    def same(self, live: Any, new: Any) -> bool:
        """Whether a staged value is equal data to a live one, staged objects counting as what they stand for."""
        canon = self.world.canon(new)
        if canon is not MISSING:
            return canon is live
        kind = type(new)
        if kind is type(live) and kind in (tuple, list):
            return len(live) == len(new) and all(map(self.same, live, new))
        if kind is type(live) and kind is dict:
            return live.keys() == new.keys() and all(self.same(live[key], value) for key, value in new.items())
        return same_data(live, new)

    def merge(self, live: Any, new: Any, site: Site) -> tuple[Any, int]:
        """The object to bind, and the state."""
        if new is live:
            return live, UNTOUCHED
        canon = self.world.canon(new)
        if canon is not MISSING:
            return (live, UNTOUCHED) if canon is live else (new, VALUE)
        if live is MISSING:
            return new, VALUE
        kind = type(new)
        if is_plain(new) or is_plain(live):
            return merge_data(self, live, new, site)
        if kind in CONTAINERS and kind is type(live):
            return merge_container(self, live, new, site)
        if not site.owned or not site.born or self._elsewhere(live, site) or self._existing(new):
            return (live, UNTOUCHED) if self.same(live, new) else (new, VALUE)
        if is_class(new) and is_class(live):
            return merge_classes(self, live, new, site)
        if kind is type(live):
            return self._alike(live, new, kind, site)
        if type(live) is FunctionType and callable(new) and not site.inner:
            self.forward(live, new, site)
        return new, VALUE

    def _alike(self, live: Any, new: Any, kind: type, site: Site) -> tuple[Any, int]:
        """Two wrappers or functions of one type."""
        if kind is FunctionType:
            return merge_functions(self, live, new, site)
        if kind is property:
            names = ("fget", "fset", "fdel")
            return self._parts(
                live, new, [(getattr(live, n), getattr(new, n), n) for n in names], site, live.__doc__ == new.__doc__
            )
        if kind is staticmethod or kind is classmethod:
            return self._parts(live, new, [(live.__func__, new.__func__, "__func__")], site)
        if kind is functools.cached_property:
            return self._parts(live, new, [(live.func, new.func, "func")], site)
        if kind is MethodType:
            return self._parts(
                live, new, [(live.__func__, new.__func__, "__func__")], site, live.__self__ is new.__self__
            )
        if kind is LRU_WRAPPER:
            settled, state = self._parts(
                live, new, [(live.__wrapped__, new.__wrapped__, "__wrapped__")], site,
                live.cache_parameters() == new.cache_parameters(),
            )  # fmt: skip
            if settled is live and state != UNTOUCHED:
                self.caches.append(live)
            return settled, state
        if kind is functools.partial:
            return self._partial(live, new, site)
        if issubclass(kind, ModuleType):
            return new, VALUE
        return (live, UNTOUCHED) if self.same(live, new) else (new, VALUE)

    def _parts(
        self, live: Any, new: Any, parts: list[tuple[Any, Any, str]], site: Site, alike: bool = True
    ) -> tuple[Any, int]:
        """A wrapper stays where all that it wraps could be changed in place."""
        state = UNTOUCHED
        for held, fresh, name in parts:
            settled, part_state = self.merge(held, fresh, site.inside(f".{name}"))
            alike &= settled is held
            state = max(state, part_state)
        if not alike:
            return new, VALUE
        self.world.stands_for(new, live)
        return live, min(state, BEHAVIOUR)

    def _partial(self, live: Any, new: Any, site: Site) -> tuple[Any, int]:
        """A partial takes a new state in place: who holds it in a registry calls the new one."""
        function, state = self.merge(live.func, new.func, site.inside(".func"))
        if function is live.func and self.same(live.args, new.args) and self.same(live.keywords, new.keywords):
            self.world.stands_for(new, live)
            return live, min(state, BEHAVIOUR)
        self.world.stands_for(new, live)
        self.put(
            "partial", live, None, (function, new.args, dict(new.keywords), dict(live.__dict__) or None), site.what
        )
        return live, BEHAVIOUR

    def _elsewhere(self, live: Any, site: Site) -> bool:
        """Whether the live object belongs to another place, so that this name is but an alias of it."""
        if site.inner or not (type(live) is FunctionType or is_class(live)):
            return False
        home = home_of(live)
        return home is live and not self._here(live, site)

    def _here(self, live: Any, site: Site) -> bool:
        module = type.__dict__["__module__"].__get__(live) if is_class(live) else live.__module__
        qualname = type.__dict__["__qualname__"].__get__(live) if is_class(live) else live.__qualname__
        return f"{module}.{qualname}" == site.what

    def _existing(self, new: Any) -> bool:
        """Whether a new value is some live function or class of another place: an alias, not a new version."""
        if not (type(new) is FunctionType or is_class(new)):
            return False
        if type(new) is FunctionType and self.world.is_staged_globals(new.__globals__) is not None:
            return False
        return home_of(new) is new

    def finish(self, rehome: Rehomer) -> Batch:
        """The batch of the live world. Later decisions for the same place win."""
        batch = Batch()
        for kind, holder, key, value, what in self.pending:
            live: Any = value if type(value) is CodeType else rehome(value)
            if kind == "function":
                batch.set_function(holder, key, live, what)
            elif kind == "item":
                batch.set_item(holder, key, live, what)
            elif kind == "type":
                batch.set_type(holder, key, live, what)
            elif kind == "type slot":
                batch.set_type_slot(holder, key, live, what)
            elif kind == "cell":
                batch.set_cell(holder, live, what)
            elif kind == "refill":
                batch.refill(holder, live, what)
            elif kind == "config":
                batch.set_item(holder, key, live, what)
            elif kind == "partial":
                batch.set_partial(holder, live, what)
            else:
                batch.set_attribute(holder, key, live, what)
        return batch
