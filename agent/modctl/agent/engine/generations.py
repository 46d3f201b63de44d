"""Counting what each entry's code has been through, and remembering what each module object was loaded from.

Two kinds of memory, because names and objects live apart: a *name* has a generation and a place in the order of
appearance; a *module object* has a digest, a stat and import times, and takes them along when an undo brings it back.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Final

from modctl.agent.engine.safe import MISSING
from modctl.agent.primitives import allocate_lock
from modctl.source.tuples import NamedTuple

#: Names that left the table keep their generation so long.
MAX_GONE_NAMES: Final = 10_000
#: Texts kept of all files, compressed; beyond that so many bytes of them stay as were kept last.
MAX_KEPT_BYTES: Final = 16 << 20
_KEPT_AFTER_LETTING_GO_BYTES: Final = 12 << 20
#: Changes in place that a watcher can still be told of.
MAX_CHANGES_IN_PLACE: Final = 1_000


class Stat(NamedTuple):
    """What identifies a file's content without reading it."""

    mtime_ns: int
    size: int
    inode: int


class Loaded:
    """What is known of one module object.

    Attributes:
        digest: sha256:<hex> of the source bytes, where modctl has read them.
        stat: of the file when it was loaded, or when first seen loaded.
        proven: whether the file with that stat is what was loaded.
        patched: whether the code came with a request while a file is there.
        source: the text, of code that came with a request.
        import_ms: milliseconds of its import with all that it imported, None where nobody watched.
        import_self_ms: milliseconds of its own.
        state: a ModuleState that nothing else can tell, or empty.
        kept: the file's bytes as they were loaded, compressed, of the program's own modules. Read it once: it may go
            at any time, and is set by Generations alone.
        kept_at: the larger, the later it was kept.
    """

    __slots__ = (
        "_digested",
        "_ref",
        "digest",
        "import_ms",
        "import_self_ms",
        "kept",
        "kept_at",
        "patched",
        "proven",
        "source",
        "stat",
        "state",
    )

    def __init__(self, candidate: object) -> None:
        self._ref = reference_to(candidate)
        self.digest = ""
        self.stat: Stat | None = None
        self.proven = False
        self.patched = False
        self.source: str | None = None
        self.import_ms: float | None = None
        self.import_self_ms: float | None = None
        self.state = ""
        self.kept: bytes | None = None
        self.kept_at = 0
        self._digested: tuple[bytes, str] | None = None

    def digest_of(self, kept: bytes) -> str:
        """sha256:<hex> of what `kept` holds, found once for it."""
        found = self._digested  # once: another thread may have another text
        if found is None or found[0] is not kept:
            from hashlib import sha256

            from modctl.agent.engine.live.keeping import unpack

            found = self._digested = (kept, f"sha256:{sha256(unpack(kept)).hexdigest()}")
        return found[1]

    def let_go(self) -> None:
        """Nothing is kept of it from now on."""
        self.kept = self._digested = None

    def is_about(self, candidate: object) -> bool:
        """Whether it speaks of this very object: ids are used again."""
        return self._ref() is candidate

    @property
    def is_dead(self) -> bool:
        """Whether the object is gone."""
        return self._ref() is None


class Seen:
    """What is known of one name."""

    __slots__ = ("generation", "order", "ref", "revision", "spec")

    def __init__(self, candidate: object, spec: object, generation: int, order: int) -> None:
        self.ref = reference_to(candidate)
        self.spec = spec
        self.generation = generation
        self.order = order
        self.revision = 0


class _Strong:
    """Stands in for a weak reference to an object that takes none."""

    __slots__ = ("_object",)

    def __init__(self, candidate: object) -> None:
        self._object = candidate

    def __call__(self) -> object:
        return self._object


def reference_to(candidate: object) -> Any:
    """A callable that gives the object while it lives. What takes no weak reference (None, an int) is held."""
    try:
        return weakref.ref(candidate)
    except TypeError:
        return _Strong(candidate)


class Generations:
    """The memory of names and module objects. Used by one thread at a time: the agent's, or the change's under its
    lock.

    Every method is short and leaves the tables whole between any two of its steps, because reads go on beside a change.
    """

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._gone: dict[str, int] = {}
        self._removed_by: dict[str, int] = {}
        self._loaded: dict[int, Loaded] = {}
        self._next_order = 0
        #: (number, name, revision): changes that no look at identities can see.
        self.in_place: deque[tuple[int, str, int]] = deque(maxlen=MAX_CHANGES_IN_PLACE)
        self._in_place_count = 0
        self._kept_count = 0
        #: Since it was counted last; what has gone since is counted still.
        self._kept_bytes = 0
        self._lock = allocate_lock()

    def after_fork_in_child(self) -> None:
        """The lock may have been held by a thread that is not here."""
        self._lock = allocate_lock()

    def see(self, name: str, candidate: object, spec: object) -> Seen:
        """The name's record, brought up to date with what stands there now."""
        with self._lock:
            return self._see(name, candidate, spec)

    def _see(self, name: str, candidate: object, spec: object) -> Seen:
        seen = self._seen.get(name)
        if seen is None:
            seen = Seen(candidate, spec, self._gone.pop(name, 0) + 1, self._next_order)
            self._next_order += 1
            self._seen[name] = seen
            self._removed_by.pop(name, None)
        elif seen.ref() is not candidate:
            seen.ref, seen.spec = reference_to(candidate), spec
            seen.generation += 1
            seen.revision = 0
        elif seen.spec is not spec:
            # The program reloaded it: the same object, executed again with a new spec.
            seen.spec = spec
            seen.generation += 1
            self._note_in_place(name, 0)
        return seen

    def reloaded(self, name: str, candidate: object, spec: object) -> None:
        """The program has executed a loaded module again."""
        with self._lock:
            if name in self._seen:
                self._see(name, candidate, spec)
            else:
                self._see(name, candidate, spec).generation += 1  # nobody had looked at it before
                self._note_in_place(name, 0)

    def generation(self, name: str) -> int:
        """The generation last seen of a name; 0 of one that is not in the table as far as is known."""
        seen = self._seen.get(name)
        return 0 if seen is None else seen.generation

    def last_generation(self, name: str) -> int:
        """The generation last seen, also of a name that has gone."""
        return self.generation(name) or self._gone.get(name, 0)

    def revision(self, name: str, candidate: object) -> int:
        """The revision that put this object there; 0 where the program did."""
        seen = self._seen.get(name)
        return seen.revision if seen is not None and seen.ref() is candidate else 0

    def removed_by(self, name: str) -> int:
        """The revision that removed a name which is gone; 0 where the program did."""
        return self._removed_by.get(name, 0)

    def changed(self, name: str, candidate: object, spec: object, revision: int) -> int:
        """A committed change put this there (MISSING: removed it); returns the new generation, 0 of a removal."""
        with self._lock:
            return self._changed(name, candidate, spec, revision)

    def _changed(self, name: str, candidate: object, spec: object, revision: int) -> int:
        seen = self._seen.get(name)
        if candidate is MISSING:
            self._went(name)
            self._removed_by[name] = revision
            return 0
        if seen is None:
            seen = self._see(name, candidate, spec)
        else:
            if seen.ref() is candidate:
                self._note_in_place(name, revision)
            seen.ref, seen.spec = reference_to(candidate), spec
            seen.generation += 1
        seen.revision = revision
        return seen.generation

    def went(self, name: str) -> None:
        """The name left the table."""
        with self._lock:
            self._went(name)

    def _went(self, name: str) -> None:
        seen = self._seen.pop(name, None)
        if seen is not None:
            self._gone[name] = seen.generation
            while len(self._gone) > MAX_GONE_NAMES:
                oldest = next(iter(self._gone))
                self._gone.pop(oldest)
                self._removed_by.pop(oldest, None)

    def sweep(self, present: set[str]) -> None:
        """Drops what is no longer there."""
        for name in [name for name in list(self._seen) if name not in present]:
            self.went(name)
        for identity in [identity for identity, loaded in list(self._loaded.items()) if loaded.is_dead]:
            self._loaded.pop(identity, None)

    def known_names(self) -> int:
        """How many names are thought to be in the table."""
        return len(self._seen)

    def loaded(self, candidate: object) -> Loaded | None:
        """What is known of a module object."""
        loaded = self._loaded.get(id(candidate))
        return loaded if loaded is not None and loaded.is_about(candidate) else None

    def remember(self, candidate: object) -> Loaded:
        """The record of a module object, made where there is none."""
        loaded = self.loaded(candidate)
        if loaded is None:
            loaded = self._loaded[id(candidate)] = Loaded(candidate)
        return loaded

    def keep(self, loaded: Loaded, packed: bytes | None) -> None:
        """Puts a file's text on a record, in place of the one that is there; None takes that away.

        Where all of them become more than MAX_KEPT_BYTES, those go that were kept longest ago. Their files are edited
        least, and as long as a file has not changed it is read instead.
        """
        loaded.let_go()
        loaded.kept = packed
        if packed is None:
            return
        self._kept_count += 1
        loaded.kept_at = self._kept_count
        self._kept_bytes += len(packed)
        if self._kept_bytes > MAX_KEPT_BYTES:
            self._let_go()

    def _let_go(self) -> None:
        """Counts what is kept really, which costs a walk over the records for each few MiB that are kept."""
        total = 0
        newest_first = sorted(self._loaded.values(), key=lambda each: each.kept_at, reverse=True)
        for each in newest_first:
            packed = each.kept
            if packed is None:
                continue
            if each.is_dead or total + len(packed) > _KEPT_AFTER_LETTING_GO_BYTES:
                each.let_go()
            else:
                total += len(packed)
        self._kept_bytes = total

    def in_place_since(self, number: int) -> tuple[int, list[tuple[str, int]]]:
        """Changes in place after that number, and the newest number."""
        return self._in_place_count, [(name, revision) for at, name, revision in list(self.in_place) if at > number]

    def _note_in_place(self, name: str, revision: int) -> None:
        self._in_place_count += 1
        self.in_place.append((self._in_place_count, name, revision))
