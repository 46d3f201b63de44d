"""Which code is loaded under a name: generation and digest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modctl.agent.engine import inventory, table
from modctl.agent.engine.recipes import digest_of_file
from modctl.agent.engine.recorder import stat_of_file
from modctl.agent.engine.safe import MISSING, is_module, module_dict

if TYPE_CHECKING:
    from modctl.agent.engine.memory import Memory


def digest_of(memory: Memory, name: str) -> str:
    """The digest of what is loaded under a name; empty where it is not known.

    A file's is taken only where its stat is still the one that was recorded when it was loaded; of one that was edited
    since, what was kept of it tells.
    """
    candidate = table.get(name)
    if not is_module(candidate):
        return ""
    loaded = memory.generations.loaded(candidate)
    if loaded is not None and loaded.digest:
        return loaded.digest
    if (injected := inventory.injected_of(candidate)) is not None:
        return injected.digest
    facts = inventory.facts_of(name, candidate)
    if not facts.file or facts.kind != inventory.SOURCE:
        return ""
    memory.origins.note(name, candidate, facts.origin)
    loaded = memory.generations.loaded(candidate)
    if loaded is None or loaded.stat is None:
        return ""
    if loaded.stat == stat_of_file(facts.origin):
        return digest_of_file(facts.origin)
    packed = loaded.kept  # once: another thread may let go of it
    return "" if packed is None else loaded.digest_of(packed)


def version_of(memory: Memory, name: str) -> dict[str, Any]:
    """The fields of modctl.v1.Version of what stands under a name now."""
    candidate = table.get(name)
    if candidate is MISSING:
        return {"generation": 0}
    namespace = module_dict(candidate)
    spec = None if namespace is None else inventory.spec_of(namespace)
    version: dict[str, Any] = {"generation": memory.generations.see(name, candidate, spec).generation}
    if digest := digest_of(memory, name):
        version["digest"] = digest
    return version
