"""Where an import of a name would find its source, asked without executing any module."""

from __future__ import annotations

from typing import Any, Final

from modctl.agent.engine import bootstrap, inventory, table
from modctl.agent.engine.names import parent_of, problem_with
from modctl.agent.engine.recipes import search_path
from modctl.agent.engine.safe import MISSING, clean, text, type_name

_MAX_NAMES: Final = 1_000


def resolve(names: list[str], recursive: bool) -> list[dict[str, Any]]:
    """One object a name: name, origin, package, kind, loader, loaded; an origin of "" where nothing is found.

    Args:
        names: the names.
        recursive: their loaded submodules too.
    """
    wanted = dict.fromkeys(names)
    if recursive:
        for name in names:
            wanted.update(dict.fromkeys(table.descendants(name)))
    return [_resolved(name) for name in list(wanted)[:_MAX_NAMES]]


def _resolved(name: str) -> dict[str, Any]:
    candidate = table.get(name)
    loaded = candidate is not MISSING
    fields: dict[str, Any] = {"name": clean(name), "loaded": loaded, "origin": "", "package": False, "loader": ""}
    fields["kind"] = inventory.facts_of(name, candidate).kind if loaded else "MODULE_KIND_UNSPECIFIED"
    if problem_with(name):
        return fields
    parent = parent_of(name)
    package = table.get(parent) if parent else None
    if package is MISSING:
        return fields  # only importing the package would tell
    try:
        spec = bootstrap.find_spec(name, search_path(package) if parent else None)
    except Exception:  # noqa: BLE001 - finders are foreign code; one that fails finds nothing
        spec = None
    if spec is not None:
        found = inventory.spec_fields(spec)
        fields["origin"] = clean(text(found.get("origin")))
        fields["package"] = found.get("submodule_search_locations") is not None
        loader = found.get("loader")
        fields["loader"] = type_name(type(loader)).rpartition(".")[2] if loader is not None else ""
    return fields
