"""Where a new route goes among those that are there: where a process that starts with the new text would have it.

A router takes the first route that fits, so the order of routes is behaviour: `/users/me` has to stand before
`/users/{name}`. What a change registers is appended by the framework, whether it was changed or is new. So each new
route is moved before the first route that stands after it in the text of its module. Routes whose statement cannot be
told, of modules outside the change or made in loops, keep their places.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.calls import UNKNOWN, old_call
from modctl.source.statements import DEF, EXPRESSION
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modctl.agent.engine.live.adapters.calls import Call
    from modctl.agent.engine.live.world import StagedModule
    from modctl.source.statements import Statement

#: Methods that make a route of a path and something that is called there, by the name of the latter.
BY_PATH: Final = {
    "add_route": "route", "add_api_route": "endpoint", "add_websocket_route": "route",
    "add_api_websocket_route": "endpoint", "mount": "app",
}  # fmt: skip


class Place(NamedTuple):
    """A statement of the new text of a module.

    Attributes:
        module: its name.
        number: which of its statements.
    """

    module: str
    number: int


def put_in_order(routes: list[Any], new: dict[int, Place], old: dict[int, Place]) -> None:
    """Moves new routes, in a router's double, before the first that stands after them in the text.

    Args:
        routes: the list; changed.
        new: ids of routes that the change has made, to where.
        old: ids of those that were there, as far as it can be told.
    """
    for route in [each for each in routes if id(each) in new]:
        mine = new[id(route)]
        rest = [each for each in routes if each is not route]
        theirs = [old.get(id(each)) or (new.get(id(each)) if each is not route else None) for each in rest]
        # Those that this change made and that are still to be placed stand behind: they say nothing.
        later = [n for n, place in enumerate(theirs) if place is not None and _after(place, mine)]
        earlier = [n for n, place in enumerate(theirs) if place is not None and _after(mine, place)]
        if later:
            where = later[0]
        elif earlier:
            where = earlier[-1] + 1
        else:
            continue
        routes[:] = [*rest[:where], route, *rest[where:]]


def _after(one: Place, other: Place) -> bool:
    return one.module == other.module and one.number > other.number


def places_of(routes: list[Any], owners: list[Any], modules: Iterable[StagedModule]) -> dict[int, Place]:
    """Where the statements now stand that made these routes, by the routes' ids, as far as their texts tell.

    Args:
        routes: of a live router.
        owners: the router, and the application that it is the router of.
        modules: those of the change.
    """
    found: dict[int, Place] = {}
    for staged in modules:
        if staged.plan is None or staged.home is staged.namespace:
            continue
        comparison = staged.plan.comparison
        now = {partner: index for index, partner in enumerate(comparison.partners) if partner >= 0}
        for statement in comparison.old:
            if statement.index not in now or not _calls_one_of(staged, statement, owners):
                continue
            for route in _made_by(staged, statement, routes):
                found.setdefault(id(route), Place(staged.name, now[statement.index]))
    return found


def _calls_one_of(staged: StagedModule, statement: Statement, owners: list[Any]) -> bool:
    called = [staged.home.get(chain[0]) for chain in statement.calls if len(chain) > 1]
    return any(value is owner for value in called for owner in owners)


def _made_by(staged: StagedModule, statement: Statement, routes: list[Any]) -> list[Any]:
    """The routes that a statement of the old version has made."""
    if statement.kind == DEF and statement.decorated:
        return [route for route in routes if _is_of(getattr(route, "endpoint", None), staged, statement.label)]
    if statement.kind != EXPRESSION or (call := old_call(staged, statement)) is None:
        return []
    return [route for route in routes if came_of(route, call)]


def _is_of(endpoint: Any, staged: StagedModule, name: str) -> bool:
    for _ in range(20):
        if type(endpoint) is not FunctionType:
            return False
        if endpoint.__globals__ is staged.home and endpoint.__qualname__ == name:
            return True
        endpoint = endpoint.__dict__.get("__wrapped__")
    return False


def came_of(route: Any, call: Call) -> bool:
    """Whether a route was made by a call of a router's or application's method."""
    if call.method == "include_router":
        included = call.argument(0, "router")
        if included is UNKNOWN:
            return False
        if getattr(route, "original_router", None) is included:
            return True
        prefix, endpoint = call.kwargs.get("prefix", ""), getattr(route, "endpoint", None)
        at = prefix if type(prefix) is str else ""
        own = any(getattr(each, "endpoint", None) is endpoint for each in included.routes)
        return own and endpoint is not None and str(getattr(route, "path", "")).startswith(at)
    if call.method not in BY_PATH:
        return False
    path, endpoint = call.argument(0, "path"), call.argument(1, BY_PATH[call.method])
    if type(path) is not str:
        return False
    paths = {path, path.rstrip("/"), f"{getattr(call.receiver, 'prefix', '')}{path}"}
    there = getattr(route, "endpoint", getattr(route, "app", None))
    return getattr(route, "path", None) in paths and (endpoint is UNKNOWN or there is endpoint)
