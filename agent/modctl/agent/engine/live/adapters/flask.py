"""Flask: applications, blueprints, and the map of their rules."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter, copied, stands_for
from modctl.agent.engine.live.adapters.calls import UNKNOWN
from modctl.agent.engine.live.operations import cell_contents

if TYPE_CHECKING:
    from modctl.agent.engine.live.adapters.base import Put
    from modctl.agent.engine.live.adapters.calls import Call
    from modctl.agent.engine.live.adapters.doubles import Doubles
    from modctl.agent.engine.live.rehome import Rehomer

_APPLICATIONS: Final = ("flask.app.Flask", "flask.sansio.app.App")
#: Functions by scope: None, or a blueprint's name.
_SCOPED: Final = (
    "before_request_funcs", "after_request_funcs", "teardown_request_funcs", "template_context_processors",
    "url_value_preprocessors", "url_default_functions",
)  # fmt: skip
_SCAFFOLD: Final = ("view_functions", "error_handler_spec", *_SCOPED)


class ApplicationAdapter(Adapter):
    """A Flask object."""

    def __init__(self) -> None:
        super().__init__(
            _APPLICATIONS,
            [
                *_SCAFFOLD, "url_build_error_handlers", "teardown_appcontext_funcs", "shell_context_processors",
                "blueprints", "extensions", "template_context_processors",
            ],
            ["url_map", "config", "cli", "jinja_env"],
            {"_got_first_request": False},
        )  # fmt: skip

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:
        """Its rules go with a view function."""
        gone = [name for name, view in double.view_functions.items() if stands_for(view, values)]
        super().forget(double, values, doubles)
        remove_endpoints(double, gone)

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back a rule or a blueprint that the old version registered."""
        if call.method == "add_url_rule":
            rule, endpoint = call.argument(0, "rule"), _endpoint_of(call)
            known = double.url_map._rules_by_endpoint
            found = [name for name, rules in known.items() if any(each.rule == rule for each in rules)]
            if endpoint is not None or len(found) == 1:
                remove_rule(double, endpoint if endpoint is not None else found[0], rule)
            else:
                doubles.notes.append(f"which rule of {double.name!r} add_url_rule() had made cannot be told: it stays")
        elif call.method == "register_blueprint":
            remove_blueprint(double, call)
        else:
            super().retract(double, call, doubles)


class MapAdapter(Adapter):
    """werkzeug's Map. Its matcher is a tree that nothing can be taken out of, so the double has a tree of its own."""

    def __init__(self) -> None:
        super().__init__(["werkzeug.routing.map.Map"], ["_rules", "_rules_by_endpoint", "converters"])

    def double(self, live: Any, doubles: Doubles) -> Any:
        """A map with the same rules."""
        made = super().double(live, doubles)
        plant(made)
        return made

    def settle(self, double: Any, live: Any, doubles: Doubles) -> None:  # noqa: ARG002 - as the base has it
        """Sorts aside, so that no request has to."""
        double.update()

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """The tree and the tables change hands together, where there is a rule more or less."""
        if _rules(double) == _rules(live) and double.converters == live.converters:
            return
        for key in ("_rules", "_rules_by_endpoint", "converters", "_matcher", "_remap"):
            if key in double.__dict__:
                rehome(double.__dict__[key])
                put("item", live.__dict__, key, double.__dict__[key], f"{what}.{key}")


class ConfigAdapter(Adapter):
    """flask.Config, a dict with a few methods."""

    def __init__(self) -> None:
        super().__init__(["flask.config.Config"])

    def double(self, live: Any, doubles: Doubles) -> Any:  # noqa: ARG002 - as the base has it
        """A config of its own."""
        made = dict.__new__(type(live))
        made.__dict__.update(live.__dict__)
        dict.update(made, {key: copied(value) for key, value in dict.items(live)})
        return made

    def forget(self, double: Any, values: list[Any], doubles: Doubles) -> None:
        """It holds no registrations."""

    def assign(self, double: Any, live: Any, put: Put, rehome: Rehomer, what: str) -> None:
        """Entry by entry: other entries may change meanwhile."""
        for key, value in dict.items(double):
            held = dict.get(live, key, _NOTHING)
            if held is not value and (held is _NOTHING or type(held) is not type(value) or held != value):
                put("config", live, key, rehome(value), f"{what}[{key!r}]")


class BlueprintAdapter(Adapter):
    """A blueprint. What is registered with one that applications have already goes to these applications, too."""

    def __init__(self) -> None:
        super().__init__(
            ["flask.blueprints.Blueprint", "flask.sansio.blueprints.Blueprint"],
            [*_SCAFFOLD, "deferred_functions", "url_values_defaults", "_blueprints"],
            ["cli"],
            {"_got_registered_once": False},
        )

    def retract(self, double: Any, call: Call, doubles: Doubles) -> None:
        """Takes back a rule or a blueprint that the old version registered."""
        if call.method == "add_url_rule":
            rule, endpoint = call.argument(0, "rule"), _endpoint_of(call)
            double.deferred_functions[:] = [
                each
                for each in double.deferred_functions
                if _cells(each).get("rule") != rule or (endpoint is not None and _endpoint(each) != endpoint)
            ]
        elif call.method == "register_blueprint":
            blueprint = call.argument(0, "blueprint")
            double._blueprints[:] = [each for each in double._blueprints if each[0] is not blueprint]
        else:
            super().retract(double, call, doubles)

    def settle(self, double: Any, live: Any, doubles: Doubles) -> None:
        """Registers what is new where the blueprint is registered."""
        old = live.deferred_functions
        kept = {id(each) for each in double.deferred_functions}
        added = [each for each in double.deferred_functions if not any(each is other for other in old)]
        removed = [each for each in old if id(each) not in kept]
        if not (added or removed) and all(getattr(double, key) == getattr(live, key) for key in _SCAFFOLD):
            return
        for application in doubles.alive(_APPLICATIONS):
            if doubles.knows(application):
                continue
            for name, blueprint in list(application.blueprints.items()):
                if blueprint is live:
                    self._follow(doubles.of(application), name, double, live, added, removed)

    def _follow(
        self, application: Any, name: str, double: Any, live: Any, added: list[Any], removed: list[Any]
    ) -> None:
        prefix = _prefix(application, name, live)
        remove_endpoints(application, [f"{name}.{endpoint}" for each in removed if (endpoint := _endpoint(each))])
        parent, _, own = name.rpartition(".")
        options = {"url_prefix": prefix, "name": own, "name_prefix": parent}
        state = double.make_setup_state(application, options, first_registration=False)
        for deferred in added:
            deferred(state)
        for key in _SCOPED:
            table, was = getattr(double, key), getattr(live, key)
            for scope, functions in table.items():
                there = getattr(application, key)[name if scope is None else f"{name}.{scope}"]
                there += [each for each in functions if each not in was.get(scope, ()) and each not in there]
        for scope, by_code in double.error_handler_spec.items():
            there = application.error_handler_spec[name if scope is None else f"{name}.{scope}"]
            for code, handlers in by_code.items():
                there[code].update(handlers)


def plant(rules: Any) -> None:
    """Gives a map a tree of its own, of the rules that it has."""
    matcher = type(rules._matcher)(rules._matcher.merge_slashes)
    for rule in _rules(rules):
        if not rule.build_only:
            matcher.add(rule)
    rules._matcher = matcher
    rules._remap = True


def remove_endpoints(application: Any, endpoints: list[str]) -> None:
    """Takes views and their rules out of an application's double."""
    if not endpoints:
        return
    rules = application.url_map
    for endpoint in endpoints:
        application.view_functions.pop(endpoint, None)
        rules._rules_by_endpoint.pop(endpoint, None)
    if "_rules" in rules.__dict__:
        rules._rules[:] = [rule for rule in rules._rules if rule.endpoint not in endpoints]
    plant(rules)


def remove_rule(application: Any, endpoint: str, rule: Any) -> None:
    """Takes one rule out of an application's double, and the view where it was the view's last."""
    rules = application.url_map
    known = rules._rules_by_endpoint.get(endpoint, [])
    gone = [each for each in known if rule is UNKNOWN or each.rule == rule]
    if len(gone) == len(known):
        remove_endpoints(application, [endpoint])
    elif gone:
        known[:] = [each for each in known if not any(each is other for other in gone)]
        if "_rules" in rules.__dict__:
            rules._rules[:] = [each for each in rules._rules if not any(each is other for other in gone)]
        plant(rules)


def remove_blueprint(application: Any, call: Call) -> None:
    """Takes a blueprint, and all that came with it, out of an application's double."""
    blueprint = call.argument(0, "blueprint")
    own = call.kwargs.get("name", UNKNOWN)
    names = [
        name
        for name, each in application.blueprints.items()
        if each is blueprint and (own is UNKNOWN or name.rpartition(".")[2] == own)
    ]
    for name in names:
        remove_endpoints(application, [each for each in application.view_functions if each.startswith(f"{name}.")])
        for table in (application.blueprints, application.error_handler_spec, *_scoped(application)):
            for scope in [each for each in table if each == name or str(each).startswith(f"{name}.")]:
                del table[scope]


def _scoped(application: Any) -> list[Any]:
    return [getattr(application, key) for key in _SCOPED]


def _endpoint_of(call: Call) -> str | None:
    """The endpoint that a call of add_url_rule() means; None where it cannot be told."""
    given, view = call.argument(1, "endpoint"), call.argument(2, "view_func")
    if type(given) is str:
        return given
    made = call.names.get(2) or call.names.get("view_func")
    return made or (view.__name__ if type(view) is FunctionType else None)


def _rules(rules: Any) -> list[Any]:
    return [rule for found in rules._rules_by_endpoint.values() for rule in found]


def _endpoint(deferred: Any) -> str:
    """The endpoint that a deferred add_url_rule() of a blueprint is for; empty of another deferred function."""
    found = _cells(deferred)
    view = found.get("view_func")
    if "rule" not in found or "endpoint" not in found:
        return ""
    return str(found["endpoint"] or getattr(view, "__name__", ""))


def _prefix(application: Any, name: str, blueprint: Any) -> str | None:
    """The prefix under which an application has a blueprint: of a rule that both know, else the blueprint's own."""
    for deferred in blueprint.deferred_functions:
        endpoint, rule = _endpoint(deferred), _cells(deferred).get("rule")
        for known in application.url_map._rules_by_endpoint.get(f"{name}.{endpoint}", ()) if endpoint else ():
            if type(rule) is str and known.rule.endswith(rule):
                prefix: str = known.rule[: len(known.rule) - len(rule)]
                return prefix or None
    own: str | None = blueprint.url_prefix
    return own


def _cells(function: Any) -> dict[str, Any]:
    if type(function) is not FunctionType:
        return {}
    return dict(zip(function.__code__.co_freevars, map(cell_contents, function.__closure__ or ()), strict=True))


_NOTHING: Final = object()
ADAPTERS: Final = (ApplicationAdapter(), MapAdapter(), ConfigAdapter(), BlueprintAdapter())
