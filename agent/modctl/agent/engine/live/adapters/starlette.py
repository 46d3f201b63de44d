"""Starlette and FastAPI: applications and routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter, same, stands_for
from modctl.agent.engine.live.adapters.order import BY_PATH, came_of, places_of, put_in_order

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.agent.engine.live.adapters.base import Put
    from modctl.agent.engine.live.adapters.calls import Call
    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.adapters.order import Place
    from modctl.agent.engine.live.rehome import Rehomer

_MAX_DEPTH: Final = 50
#: Of the double of a router: ids of routes that are accounted for, to the statement that made those that are new.
_SEEN: Final = "__modctl_seen__"


class ApplicationAdapter(Adapter):
    """A Starlette or FastAPI object."""

    def __init__(self) -> None:
        super().__init__(
            ["starlette.applications.Starlette"],
            ["exception_handlers", "user_middleware", "dependency_overrides"],
            ["router", "webhooks"],
            {"middleware_stack": None, "openapi_schema": None},
        )

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back a middleware, or what the router was given, by the old version."""
        if call.method == "add_middleware":
            kind = call.argument(0, "middleware_class")
            found = next((each for each in double.user_middleware if each.cls is kind), None)
            if found is not None:
                double.user_middleware.remove(found)
        elif not retract_routes(double.router, call):
            super().retract(double, call, doubles)

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """What the application has built of its registrations is built again, when it is next asked for."""
        super().assign(double, live, put, rehome, what)
        built = [key for key in ("exception_handlers", "user_middleware") if key in live.__dict__]
        if any(not same(live.__dict__[key], double.__dict__[key], rehome) for key in built):
            put("item", live.__dict__, "middleware_stack", None, f"{what}.middleware_stack")
        if live.__dict__.get("openapi_schema") is not None:
            put("item", live.__dict__, "openapi_schema", None, f"{what}.openapi_schema")


class RouterAdapter(Adapter):
    """A router; of FastAPI, too."""

    def __init__(self) -> None:
        super().__init__(
            ["starlette.routing.Router"],
            ["routes", "on_startup", "on_shutdown", "_low_priority_routes"],
            own={_SEEN: None},
        )

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:
        """A route goes with its endpoint."""
        super().forget(double, values, doubles)
        keep_routes(double, lambda route: not stands_for(getattr(route, "endpoint", None), values))

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back what a call of the old version registered."""
        if not retract_routes(double, call):
            super().retract(double, call, doubles)

    def ran(self, double: Any, live: Any, place: Place) -> None:
        """Routes are appended: those at the end that nobody has seen yet are the statement's."""
        known = double.__dict__.setdefault(_SEEN, {id(route): None for route in live.routes})
        for route in reversed(double.routes):
            if id(route) in known:
                break
            known[id(route)] = place

    def settle(self, double: Any, live: Any, doubles: Doubles) -> None:
        """Puts new routes where they stand in the text.

        FastAPI before 0.120 or so copies the routes of a router into those that include it: they follow.
        """
        new = {key: place for key, place in double.__dict__.get(_SEEN, {}).items() if place is not None}
        if new:
            owners = [live, *(each for each in doubles.owners(double))]
            put_in_order(double.routes, new, places_of(live.routes, owners, doubles.modules()))
        added = [route for route in double.routes if not any(route is other for other in live.routes)]
        removed = [route for route in live.routes if not any(route is other for other in double.routes)]
        if not (added or removed) or not hasattr(live, "include_router") or hasattr(live, "_contains_router"):
            return
        for including in doubles.alive(self.types):
            copies = [] if including is live or doubles.knows(including) else _copies(including, live)
            if copies:
                self._follow(including, copies, double, added, removed, doubles)

    def _follow(
        self,
        including: Any,
        copies: list[tuple[Any, Any]],
        double: Any,
        added: list[Any],
        removed: list[Any],
        doubles: Doubles,
    ) -> None:
        own, copy = copies[0]
        theirs = doubles.of(including)
        gone = {id(made) for original, made in copies if any(original is other for other in removed)}
        keep_routes(theirs, lambda route: id(route) not in gone)
        prefix = copy.path[: len(copy.path) - len(own.path)]
        present = {(route.path, id(getattr(route, "endpoint", None))) for route in theirs.routes}
        new = [route for route in added if (prefix + route.path, id(route.endpoint)) not in present]
        if new:
            before = len(theirs.routes)
            part = object.__new__(type(double))
            part.__dict__.update(double.__dict__, routes=new, on_startup=[], on_shutdown=[])
            lifespan = theirs.__dict__.get("lifespan_context")
            theirs.include_router(
                part,
                prefix=prefix,
                tags=_more(copy, own, "tags"),
                dependencies=_more(copy, own, "dependencies"),
                include_in_schema=copy.include_in_schema or not own.include_in_schema,
            )
            made = dict(zip(map(id, new), theirs.routes[before:], strict=False))
            _put_beside(theirs.routes, double.routes, made, {id(original): made for original, made in copies})
            theirs.__dict__["lifespan_context"] = lifespan
        self.settle(theirs, including, doubles)

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """New routes are led to live functions, with all that they depend on."""
        for route in double.routes:
            if not any(route is other for other in live.routes):
                _lead(getattr(route, "dependant", None), rehome, 0)
                rehome(route)
        super().assign(double, live, put, rehome, what)


def keep_routes(router: Any, kept: Callable[[Any], bool]) -> None:
    """Takes the other routes out of a router's double."""
    routes = [route for route in router.routes if kept(route)]
    if len(routes) != len(router.routes):
        router.routes[:] = routes
        mark = getattr(router, "_mark_routes_changed", None)
        if mark is not None:
            mark()


def retract_routes(router: Any, call: Call) -> bool:
    """Takes routes that a call of the old version made out of a router's double; whether it was such a call."""
    if call.method != "include_router" and call.method not in BY_PATH:
        return False
    keep_routes(router, lambda route: not came_of(route, call))
    return True


def _copies(including: Any, included: Any) -> list[tuple[Any, Any]]:
    """(route, copy of it) of each route of a router that another one has copied."""
    found: list[tuple[Any, Any]] = []
    for own in included.routes:
        endpoint = getattr(own, "endpoint", None)
        found += [
            (own, copy)
            for copy in including.routes
            if endpoint is not None and getattr(copy, "endpoint", None) is endpoint and copy.path.endswith(own.path)
        ]
    return found


def _put_beside(theirs: list[Any], own: list[Any], new: dict[int, Any], copies: dict[int, Any]) -> None:
    """Moves new copies, which stand at the end, to where their originals stand among the others."""
    for number, original in reversed(list(enumerate(own))):
        copy = new.get(id(original))
        beside = next((copies[id(each)] for each in own[number + 1 :] if id(each) in copies), None)
        if copy is None:
            continue
        copies[id(original)] = copy
        if beside is not None and any(beside is each for each in theirs):
            rest = [each for each in theirs if each is not copy]
            where = next(n for n, each in enumerate(rest) if each is beside)
            theirs[:] = [*rest[:where], copy, *rest[where:]]


def _more(copy: Any, own: Any, name: str) -> list[Any]:
    """What including has put before a route's own list."""
    given, had = getattr(copy, name, None) or [], getattr(own, name, None) or []
    return list(given[: len(given) - len(had)])


def _lead(dependant: Any, rehome: Rehomer, depth: int) -> None:
    if dependant is None or depth > _MAX_DEPTH:
        return
    for inner in getattr(dependant, "dependencies", None) or ():
        _lead(inner, rehome, depth + 1)
    rehome(dependant)


ADAPTERS: Final = (ApplicationAdapter(), RouterAdapter())
