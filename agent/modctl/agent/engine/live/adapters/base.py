"""What an adapter is, for objects that keep their registrations in attributes of their own."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.operations import cell_contents
from modctl.agent.engine.live.values import CONTAINERS, MAPPINGS, MISSING, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from modctl.agent.engine.live.adapters.calls import Call
    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.adapters.order import Place
    from modctl.agent.engine.live.rehome import Rehomer

    #: put(kind, holder, key, value, what): decides on an assignment; see Merger.put.
    Put = Callable[[str, Any, Any, Any, str], None]

#: Of the attributes of a double, so that it is never taken for a live object.
DOUBLE: Final = "__modctl_double__"


class Adapter:
    """How objects of some types are doubled.

    Args:
        types: module-qualified names of classes; of subclasses too.
        containers: attributes that hold registrations in builtin containers, however deep.
        parts: attributes that hold objects with adapters of their own.
        own: attributes of the double alone, that are never brought to the live object: flags that forbid changes.
    """

    #: A module without which, staged, there is no need of doubles: loggers are everywhere, and seldom configured.
    module = ""

    def __init__(
        self,
        types: Iterable[str],
        containers: Iterable[str] = (),
        parts: Iterable[str] = (),
        own: dict[str, Any] | None = None,
    ) -> None:
        self.types = tuple(types)
        self.containers = frozenset(containers)
        self.parts = frozenset(parts)
        self.own = dict(own or {})

    def double(self, live: Any, doubles: Doubles) -> Any:
        """An object of the same type with registries of its own."""
        made = object.__new__(type(live))
        attributes = made.__dict__
        for key, value in live.__dict__.items():
            if key in self.own:
                attributes[key] = self.own[key]
            elif key in self.containers:
                attributes[key] = copied(value)
            elif key in self.parts and (part := doubles.of(value)) is not None:
                attributes[key] = part
            else:
                attributes[key] = value
        return made

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:  # noqa: ARG002 - for subclasses
        """Takes the registrations of these live callables out of a double: they are about to be made anew, or go."""
        for key in self.containers:
            if key in double.__dict__:
                without(double.__dict__[key], values)

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """A statement of the old version that called a method of the live object is no more, or runs again: what it
        had registered goes. Here: the objects that it gave.
        """
        given = [value for value in call.values if not is_plain(value) and type(value) not in CONTAINERS]
        if given:
            self.forget(double, given, doubles)

    def unset(self, double: Any, name: str) -> None:
        """A statement of the old version that set an attribute of the live object is no more. Here: it stays set."""

    def ran(self, double: Any, live: Any, place: Place) -> None:
        """A statement has run: what it registered stands at that place of the new text."""

    def settle(self, double: Any, live: Any, doubles: Doubles) -> None:
        """After everything ran, still aside: what follows from the difference elsewhere."""

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """Decides on the assignments that bring the live object to what its double is."""
        for key, value in double.__dict__.items():
            held = live.__dict__.get(key, MISSING)
            if key in self.own or key in self.parts or held is value or key == DOUBLE:
                continue
            if key in self.containers and type(held) in CONTAINERS and type(held) is type(value):
                if not same(held, value, rehome):
                    put("refill", held, None, plain(value), f"{what}.{key}")
            elif rehome(value) is not held:
                put("item", live.__dict__, key, value, f"{what}.{key}")

    def afterwards(self, live: Any) -> None:
        """After the commit, and after its undo: forgets what was worked out of registrations. Must not fail."""


def copied(value: Any) -> Any:
    """Containers of containers, copied; what is in them is the same."""
    kind = type(value)
    if kind in MAPPINGS:
        made = value.copy()
        for key, item in value.items():
            made[key] = copied(item)
        return made
    if kind is list:
        return [copied(item) for item in value]
    if kind in CONTAINERS:
        return value.copy()
    return value


def plain(value: Any) -> Any:
    """The contents of a container for a refill."""
    return dict(value) if type(value) in MAPPINGS else value


def same(live: Any, double: Any, rehome: Rehomer) -> bool:
    """Whether a doubled container holds what the live one does. What was only registered again is no difference: its
    place in a list stays.
    """
    kind = type(live)
    if kind is not type(double) or kind not in CONTAINERS:
        return live is double or rehome(double) is live
    if len(live) != len(double):
        return False
    if kind in MAPPINGS:
        return all(key in double and same(item, double[key], rehome) for key, item in live.items())
    if kind is list and any(type(item) in CONTAINERS for item in live):
        return all(same(one, other, rehome) for one, other in zip(live, double, strict=True))
    if kind is bytearray:
        return bool(live == double)
    return sorted(map(id, live)) == sorted(id(rehome(item)) for item in double)


def without(container: Any, values: list[Any]) -> None:
    """Takes callables out of nested containers, also those that a closure made for them."""
    kind = type(container)
    if kind in MAPPINGS:
        for key, item in list(container.items()):
            if stands_for(item, values):
                del container[key]
            else:
                without(item, values)
    elif kind is list:
        container[:] = [item for item in container if not stands_for(item, values)]
        for item in container:
            without(item, values)
    elif kind is set:
        container -= {item for item in container if stands_for(item, values)}


def stands_for(item: Any, values: list[Any]) -> bool:
    """Whether something registered is, or calls, one of these."""
    if any(item is value for value in values):
        return True
    if type(item) is tuple:
        return any(stands_for(each, values) for each in item)
    if type(item) is not FunctionType or item.__closure__ is None:
        return False
    return any(cell_contents(cell) is value for cell in item.__closure__ for value in values)
