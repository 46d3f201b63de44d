"""Adapters: what makes calls into live objects of frameworks transactional.

A changed `@app.route("/b")` calls a method of the live `app`. Nobody may see the half of it, and a failure must leave
nothing behind. So while a change is staged, a *double* stands for the live object: an object of the same type with the
same attributes, but with registries of its own. What the statements register goes there; afterwards the difference is
part of the commit, in terms of live objects, and of its undo.

An adapter says how to make the double of objects of some types, how to take the registrations of an old function out,
and what the difference comes to. For most objects `Adapter` with some names of attributes is enough. Packages may bring
adapters of their own under the entry point group `modctl.adapters`: each loads to an instance of Adapter. They are
looked up when a change first needs one, on the change's own thread.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.adapters.base import Adapter
from modctl.agent.engine.live.values import class_dict, mro
from modctl.agent.log import WARNING, log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from modctl.source.plan import ModulePlan

__all__ = ["GROUP", "Adapter", "adapter_for"]

GROUP: Final = "modctl.adapters"
#: Of each of ours: the top-level package whose presence makes it worth loading.
_OWN: Final = (
    ("flask", "modctl.agent.engine.live.adapters.flask"),
    ("werkzeug", "modctl.agent.engine.live.adapters.flask"),
    ("starlette", "modctl.agent.engine.live.adapters.starlette"),
    ("celery", "modctl.agent.engine.live.adapters.celery"),
    ("jinja2", "modctl.agent.engine.live.adapters.registries"),
    ("click", "modctl.agent.engine.live.adapters.registries"),
    ("logging", "modctl.agent.engine.live.adapters.logs"),
)
#: Modules of the standard library that are staged, too, where the change's texts configure them.
LOGGING: Final = ("logging", "logging.config")
_by_type: dict[str, Adapter] = {}
_loaded: set[str] = set()


def adapter_for(value: object) -> Adapter | None:
    """The adapter of an object's type, or of the nearest base that has one; nothing of the object is run."""
    kind = type(value)
    if kind.__module__ == "builtins":
        return None
    for adapter in _not_loaded():
        for name in adapter.types:
            _by_type.setdefault(name, adapter)
    for cls in mro(kind):
        own = class_dict(cls)
        found = _by_type.get(f"{own.get('__module__')}.{cls.__qualname__}")
        if found is not None:
            return found
    return None


def staged_too(plans: Iterable[ModulePlan]) -> list[str]:
    """Modules that are to be staged with these, because their statements may configure them."""
    if "logging" not in sys.modules:
        return []
    wanted = {name for plan in plans for name in plan.configures_logging}
    if "logging.config" in wanted:
        __import__("logging.config")
    elif wanted and "logging.config" in sys.modules:
        wanted.add("logging.config")
    return [name for name in LOGGING if name in wanted]


def _not_loaded() -> Iterator[Adapter]:
    if GROUP not in _loaded:
        _loaded.add(GROUP)
        yield from _installed()
    for package, module in _OWN:
        if package in sys.modules and module not in _loaded:
            _loaded.add(module)
            yield from __import__(module, fromlist=["ADAPTERS"]).ADAPTERS


def _installed() -> Iterator[Adapter]:
    """Adapters of other packages. One that cannot be loaded is reported, and the others go on."""
    from modctl.agent.engine.live.adapters.installed import values_of

    for value in values_of(GROUP):
        module, _, attribute = value.partition(":")
        try:
            adapter: Any = importlib.import_module(module)
            for name in filter(None, attribute.split(".")):
                adapter = getattr(adapter, name)
        except Exception as error:  # noqa: BLE001 - foreign code
            log(WARNING, "the adapter %s cannot be loaded", value, error=error)
            continue
        if isinstance(adapter, Adapter):
            yield adapter
        else:
            log(WARNING, "%s is no modctl adapter", value)
