"""What is remembered of modules whose code was changed in place: where it is from, and how it goes back on an undo."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import lines
from modctl.agent.engine.live import keeping

if TYPE_CHECKING:
    from modctl.agent.engine.live.bringing import Brought
    from modctl.agent.engine.live.known import KnownBaselines
    from modctl.agent.engine.live.planned import Offer
    from modctl.agent.engine.live.transaction import Transaction
    from modctl.agent.engine.memory import Memory


class Records:
    """Keeps them, for one engine.

    Args:
        memory: what the engine remembers.
        baselines: which source is loaded.
    """

    def __init__(self, memory: Memory, baselines: KnownBaselines) -> None:
        self._memory = memory
        self._baselines = baselines

    def note(self, transaction: Transaction, brought: dict[str, Brought], number: int) -> None:
        """What was changed is what was brought, since the revision of that number."""
        memory = self._memory
        for name, plan in transaction.plans.items():
            module = sys.modules.get(name)
            if type(module) is not ModuleType:
                continue
            each = brought.get(name)
            if each is not None and plan.changed:
                self._loaded_from(module, each)
            if plan.changed:
                memory.generations.changed(name, module, module.__dict__.get("__spec__"), number)
                lines.refresh(module, memory.generations)
            memory.rows.forget(name)

    def _loaded_from(self, module: ModuleType, each: Brought) -> None:
        generations = self._memory.generations
        loaded = generations.remember(module)
        loaded.digest, loaded.patched = each.digest, each.sent
        loaded.source = each.source if each.sent else None
        if not each.sent:
            loaded.stat, loaded.proven, loaded.state = each.stat, each.stat is not None, ""
            path = module.__dict__.get("__file__") or ""
            packed = each.packed
            packed = keeping.keep(path, each.stat) if packed is None else keeping.take(path, each.stat, packed)
            generations.keep(loaded, packed)

    def note_unchanged(self, transaction: Transaction, brought: dict[str, Brought], offer: Offer | None) -> None:
        """Nothing that runs differs: what is loaded is the new text all the same."""
        for name, plan in transaction.plans.items():
            module = sys.modules.get(name)
            if type(module) is ModuleType and name in brought and plan.changed:
                if offer is None:
                    self._baselines.remember(module, plan.new)
                else:
                    self._baselines.put_on_record(module, offer.entries[name].digest, offer.entries[name].packed)
                self._loaded_from(module, brought[name])
                self._memory.rows.forget(name)

    def state(self, name: str) -> tuple[Any, ...]:
        """What is remembered of a module, to be given to restore(); empty where nothing is."""
        loaded = self._memory.generations.loaded(sys.modules.get(name))
        if loaded is None:
            return ()
        return loaded.digest, loaded.patched, loaded.source, loaded.stat, loaded.proven, loaded.state, loaded.kept

    def restore(self, name: str, state: tuple[Any, ...]) -> None:
        """Makes that what is remembered: its code is what it was then."""
        module = sys.modules.get(name)
        if state and type(module) is ModuleType:
            loaded = self._memory.generations.remember(module)
            loaded.digest, loaded.patched, loaded.source, loaded.stat, loaded.proven, loaded.state, kept = state
            self._memory.generations.keep(loaded, kept)
            number = self._memory.journal.newest + 1
            self._memory.generations.changed(name, module, module.__dict__.get("__spec__"), number)
            self._memory.rows.forget(name)
            lines.refresh(module, self._memory.generations)
