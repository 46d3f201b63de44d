"""Starlette and FastAPI: applications and routers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter, same, stands_for

if TYPE_CHECKING:
    from modctl.agent.engine.live.adapters.base import Put
    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.rehome import Rehomer

_MAX_DEPTH: Final = 50


class ApplicationAdapter(Adapter):
    """A Starlette or FastAPI object."""

    def __init__(self) -> None:
        super().__init__(
            ["starlette.applications.Starlette"],
            ["exception_handlers", "user_middleware", "dependency_overrides"],
            ["router", "webhooks"],
            {"middleware_stack": None, "openapi_schema": None},
        )

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
        )

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:
        """A route goes with its endpoint."""
        super().forget(double, values, doubles)
        kept = [route for route in double.routes if not stands_for(getattr(route, "endpoint", None), values)]
        if len(kept) != len(double.routes):
            double.routes[:] = kept
            mark = getattr(double, "_mark_routes_changed", None)
            if mark is not None:
                mark()

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """New routes are led to live functions, with all that they depend on."""
        for route in double.routes:
            if not any(route is other for other in live.routes):
                _lead(getattr(route, "dependant", None), rehome, 0)
                rehome(route)
        super().assign(double, live, put, rehome, what)


def _lead(dependant: Any, rehome: Rehomer, depth: int) -> None:
    if dependant is None or depth > _MAX_DEPTH:
        return
    for inner in getattr(dependant, "dependencies", None) or ():
        _lead(inner, rehome, depth + 1)
    rehome(dependant)


ADAPTERS: Final = (ApplicationAdapter(), RouterAdapter())
