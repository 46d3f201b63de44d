"""Giving a live function what a new version of it has: whoever holds it has the new one then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from modctl.agent.engine.live.operations import cell_contents
from modctl.agent.engine.live.states import BEHAVIOUR, UNTOUCHED, VALUE, Site
from modctl.agent.engine.live.values import MISSING
from modctl.source.codes import kind_flags, signature

if TYPE_CHECKING:
    from types import FunctionType

    from modctl.agent.engine.live.merge import Merger

_PLAIN_ATTRIBUTES = ("__doc__", "__name__", "__qualname__", "__module__")


def merge_functions(merger: Merger, live: FunctionType, new: FunctionType, site: Site) -> tuple[Any, int]:
    """Brings `live` to what `new` is. Returns the object to bind and the state.

    Where free variables or globals differ the name is bound to the new function, as a fresh import would have it, and
    holders of the old one are led there.
    """
    staged = merger.world.is_staged_globals(new.__globals__)
    globals_wanted = new.__globals__ if staged is None else staged.home
    if live.__globals__ is not globals_wanted or live.__code__.co_freevars != new.__code__.co_freevars:
        if not site.inner:
            merger.forward(live, new, site)
        return new, VALUE
    merger.world.stands_for(new, live)
    merger.transplanted.add(id(live))
    state = UNTOUCHED
    if signature(live.__code__) != signature(new.__code__):
        state = BEHAVIOUR
        if kind_flags(live.__code__) != kind_flags(new.__code__):
            merger.notes.append(f"{site.what} is another kind of function now (plain, generator or coroutine)")
    if live.__code__ is not new.__code__:
        merger.put("function", live, "__code__", new.__code__, site.what)
    state = max(state, _cells(merger, live, new, site), _defaults(merger, live, new, site))
    _attributes(merger, live, new, site)
    return live, state


def _cells(merger: Merger, live: FunctionType, new: FunctionType, site: Site) -> int:
    state = UNTOUCHED
    cells = zip(live.__code__.co_freevars, live.__closure__ or (), new.__closure__ or (), strict=False)
    for name, held, fresh in cells:
        if held is fresh or name == "__class__":
            continue
        old_value, new_value = cell_contents(held), cell_contents(fresh)
        if new_value is MISSING or old_value is MISSING or new_value is new:
            continue
        inside = site.inside(f".<{name}>")
        value, value_state = merger.merge(old_value, new_value, inside)
        if value is not old_value:
            merger.put("cell", held, None, value, inside.what)
        if value_state != UNTOUCHED:
            state = BEHAVIOUR
    return state


def _defaults(merger: Merger, live: FunctionType, new: FunctionType, site: Site) -> int:
    """Per parameter: where its text and what it reads stayed, the live default stays: it may be state."""
    held, fresh = _by_parameter(live), _by_parameter(new)
    positional = {name: _default(merger, held, name, value, site) for name, value in fresh.items()}
    changed = list(held) != list(positional) or any(positional[name] is not held[name] for name in positional)
    if changed:
        merger.put("function", live, "__defaults__", tuple(positional.values()) or None, site.what)
    held_keywords = live.__kwdefaults__ or {}
    keywords = {name: _default(merger, held_keywords, name, v, site) for name, v in (new.__kwdefaults__ or {}).items()}
    if set(keywords) != set(held_keywords) or any(keywords[name] is not held_keywords[name] for name in keywords):
        merger.put("function", live, "__kwdefaults__", keywords or None, site.what)
        changed = True
    return BEHAVIOUR if changed else UNTOUCHED


def _default(merger: Merger, held: dict[str, Any], name: str, value: Any, site: Site) -> Any:
    if name in held and (name in site.kept_defaults or merger.same(held[name], value)):
        return held[name]
    return value


def _by_parameter(function: FunctionType) -> dict[str, Any]:
    defaults = function.__defaults__ or ()
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    return dict(zip(names[len(names) - len(defaults) :], defaults, strict=False)) if len(defaults) <= len(names) else {}


def _attributes(merger: Merger, live: FunctionType, new: FunctionType, site: Site) -> None:
    for name in _PLAIN_ATTRIBUTES:
        if getattr(live, name) != getattr(new, name):
            merger.put("function", live, name, getattr(new, name), site.what)
    if not merger.same(live.__annotations__, new.__annotations__):
        merger.put("function", live, "__annotations__", dict(new.__annotations__), site.what)
    if sys.version_info >= (3, 12) and live.__type_params__ != new.__type_params__:
        merger.put("function", live, "__type_params__", new.__type_params__, site.what)
    for key, value in new.__dict__.items():
        held = live.__dict__.get(key, MISSING)
        wanted = value if held is MISSING else merger.merge(held, value, site.inside(f".{key}"))[0]
        if wanted is not held:
            merger.put("item", live.__dict__, key, wanted, f"{site.what}.{key}")
    if "__wrapped__" in live.__dict__ and "__wrapped__" not in new.__dict__:
        merger.put("item", live.__dict__, "__wrapped__", MISSING, f"{site.what}.__wrapped__")
