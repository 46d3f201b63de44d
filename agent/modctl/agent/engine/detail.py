"""Everything about one entry. Nothing is imported and no foreign code runs."""

from __future__ import annotations

import importlib.machinery
import json
import types
import zipimport
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import inventory, table
from modctl.agent.engine.holders import defined_in, holders_of, importers_of
from modctl.agent.engine.injected import InjectedLoader
from modctl.agent.engine.live import keeping
from modctl.agent.engine.live.keeping import decode
from modctl.agent.engine.recorder import stat_of_file
from modctl.agent.engine.safe import MISSING, class_dict, clean, is_exactly, is_kind, module_dict, text, type_name
from modctl.agent.engine.values import attribute_value
from modctl.agent.errors import RequestError

if TYPE_CHECKING:
    from modctl.agent.engine.memory import Memory

MAX_EXPORTS: Final = 2_000
MAX_ATTRIBUTES: Final = 200


def detail_of(memory: Memory, request: dict[str, Any]) -> dict[str, Any]:
    """The fields of GetModuleResponse but `process`.

    Raises:
        RequestError: MODULE_NOT_FOUND, BAD_REQUEST.
    """
    name = request.get("name")
    attributes = request.get("attributes") or []
    if type(name) is not str or not isinstance(attributes, list) or not all(type(each) is str for each in attributes):
        raise RequestError(
            "INVALID_ARGUMENT", "BAD_REQUEST", "get_module needs a name, and attributes as a list of texts"
        )
    candidate = table.get(name)
    if candidate is MISSING:
        raise RequestError(
            "NOT_FOUND",
            "MODULE_NOT_FOUND",
            f"{clean(name)} is not in sys.modules; `modctl list` tells what is, `modctl import` loads it",
            {"name": clean(name)},
        )
    history = [
        revision
        for revision in memory.journal.newest_first()
        if any(write.is_entry() and write.key == name for write in revision.writes)
    ]
    detail: dict[str, Any] = {
        "module": json.loads(memory.rows.row(name, candidate).text),
        "importers": importers_of(candidate),
        "exports": exports_of(candidate),
        "history": [revision.as_message() for revision in history],
        "attributes": [attribute_value(candidate, each) for each in attributes[:MAX_ATTRIBUTES]],
    }
    if spec := spec_of(candidate):
        detail["spec"] = spec
    replaced = {
        id(old): old
        for revision in history
        for write in revision.writes
        if write.is_entry() and write.key == name
        for old in (write.before, write.after)
        if old is not candidate and module_dict(old) is not None
    }
    detail["holders"] = holders_of(replaced.values())
    if request.get("with_locks") is True:
        from modctl.agent.engine.locks import locks

        detail["locks"] = locks(memory.usable["locks"])
    if request.get("with_source"):
        detail.update(_source(memory, name, candidate))
    return detail


def spec_of(candidate: object) -> dict[str, Any]:
    """The fields of modctl.v1.ModuleSpec; nothing where the entry has no ordinary spec."""
    namespace = module_dict(candidate)
    if namespace is None:
        return {}
    fields = inventory.spec_fields(inventory.spec_of(namespace))
    loader = inventory.loader_of(namespace)
    spec: dict[str, Any] = {
        "name": clean(text(fields.get("name"))),
        "origin": clean(text(fields.get("origin"))),
        "cached": clean(text(fields.get("_cached")) or text(namespace.get("__cached__"))),
        "parent": clean(text(namespace.get("__package__"))),
        "submodule_search_locations": _locations(namespace.get("__path__")),
        "has_location": fields.get("_set_fileattr") is True,
    }
    if loader is not None:
        # BuiltinImporter and FrozenImporter are classes that are used as loaders themselves.
        spec["loader"] = clean(type_name(loader if is_kind(loader, type) else type(loader)))
    return {key: value for key, value in spec.items() if value not in ("", [], False)}


def exports_of(candidate: object) -> list[dict[str, Any]]:
    """The public names of a module: those of `__all__`, else those without an underscore that are no modules."""
    namespace = module_dict(candidate)
    if namespace is None:
        return []
    listed = namespace.get("__all__")
    if is_exactly(type(listed), list, tuple):
        names = [name for name in list(listed or ()) if type(name) is str]
    else:
        names = [
            name
            for name, value in list(namespace.items())
            if type(name) is str and not name.startswith("_") and module_dict(value) is None
        ]
    own_name = text(namespace.get("__name__"))
    found = []
    for name in names[:MAX_EXPORTS]:
        value = namespace.get(name, MISSING)
        if value is MISSING:
            continue  # listed, but not there, or made by __getattr__, which would have to be run
        found.append(_export(name, value, own_name))
    return found


def _export(name: str, value: Any, own_name: str) -> dict[str, Any]:
    export: dict[str, Any] = {"name": clean(name)}
    if type(value) is types.FunctionType:
        export["kind"] = "function"
        export["line"] = value.__code__.co_firstlineno
    elif is_kind(value, type):
        export["kind"] = "class"
        line = class_dict(value).get("__firstlineno__")  # from 3.13 on
        if type(line) is int and line > 0:
            export["line"] = line
    elif module_dict(value) is not None:
        export["kind"] = "module"
    else:
        export["kind"] = clean(type_name(type(value)))
    home = defined_in(value)
    if home and home != own_name:
        export["defined_in"] = clean(home)
    return export


def _source(memory: Memory, name: str, candidate: object) -> dict[str, Any]:
    """The source that is really running, or where the gateway finds it, or why there is none."""
    namespace = module_dict(candidate)
    if namespace is None:
        return {"source_error": "the entry is no module" if candidate is not None else "the name is blocked"}
    loaded = memory.generations.loaded(candidate)
    if loaded is not None and loaded.source is not None:
        return {"source": clean(loaded.source)}
    packed = loaded.kept if loaded is not None else None
    if loaded is not None and packed is not None and stat_of_file(text(namespace.get("__file__"))) != loaded.stat:
        kept = decode(keeping.unpack(packed))  # the file is another now
        if loaded.proven or _is_loaded(candidate, kept):
            return {"source": clean(kept)}
    loader = inventory.loader_of(namespace)
    if type(loader) is InjectedLoader:
        if loader.injected.source is not None:
            return {"source": clean(loader.injected.source)}
        return {"source_error": "a stub: it has attributes, and no source"}
    facts = inventory.facts_of(name, candidate)
    if facts.kind == inventory.SOURCE and facts.file:
        return {"_source_path": facts.origin}
    if type(loader) is zipimport.zipimporter:
        try:
            found = loader.get_source(text(namespace.get("__name__")))
        except (ImportError, OSError) as error:
            return {"source_error": clean(f"the archive cannot be read: {error}")}
        return {"source": clean(found)} if type(found) is str else {"source_error": "the archive has no source of it"}
    if loader is importlib.machinery.FrozenImporter:
        origin = text(namespace.get("__file__"))
        if origin.endswith(".py"):
            return {"_source_path": origin}
    return {"source_error": f"a module of this kind ({facts.kind}) has no source that can be shown"}


def _is_loaded(candidate: object, source: str) -> bool:
    """Whether a text that nobody saw being loaded compiles to the functions that are live."""
    from modctl.agent.engine.live.baselines import is_loaded

    return is_loaded(candidate, source)


def _locations(search: object) -> list[str]:
    if type(search) is list:
        found = search
    else:
        # A namespace package's path object computes itself anew when it is asked; what it had last is in `_path`.
        from modctl.agent.engine.safe import instance_dict

        kept = (instance_dict(search) or {}).get("_path")
        found = kept if type(kept) is list else []
    return [clean(place) for place in found if type(place) is str]
