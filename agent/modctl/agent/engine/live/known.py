"""What source modules run, as the agent has it on record: by digest, so that nobody need read it to compare."""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from modctl.agent import standby
from modctl.agent.engine.live import keeping
from modctl.agent.engine.live.baselines import Baselines, source_of
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.keeping import decode
from modctl.agent.engine.recorder import stat_of_file
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    import weakref
    from types import ModuleType

    from modctl.agent.engine.generations import Loaded
    from modctl.agent.engine.memory import Memory
    from modctl.source.plan import Text
    from modctl.source.proofs import Proof


class Record(NamedTuple):
    """One module's source.

    Attributes:
        reference: to the module.
        digest: `sha256:` of its bytes, or `text:` of its text in UTF-8 where the bytes are not known.
        packed: the bytes, compressed.
        spec: the module's at that time: a program that reloads it gives it another.
    """

    reference: weakref.ref[ModuleType]
    digest: str
    packed: bytes
    spec: object


class KnownBaselines(Baselines):
    """Baselines that know what the agent has recorded of files, of what was sent and of what a gateway has planned."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self._memory = memory
        self._records: dict[int, Record] = {}
        #: Of modules whose source is yet to be proven: what is kept of their file, and its digest.
        self._candidates: dict[int, tuple[bytes, str]] = {}
        #: Of modules whose source cannot be proven: with which spec and which file that was found out.
        self._unproven: dict[int, tuple[weakref.ref[ModuleType], object, object, RefusedError]] = {}

    def of(self, name: str, module: ModuleType) -> Text:
        """As of Baselines. What cannot be proven is not tried again until its file changes."""
        about = self._about(module)
        self._raise_if_it_failed(module, about)
        if self.known(module) is None:
            standby.before_waiting()  # it is read, and may be compiled to be compared with what is loaded
        try:
            return super().of(name, module)
        except RefusedError as error:
            self._unproven[id(module)] = (self._reference(module), *about, error.with_traceback(None))
            raise

    def _raise_if_it_failed(self, module: ModuleType, about: tuple[object, object]) -> None:
        failed = self._unproven.get(id(module))
        if failed is not None and failed[0]() is module and failed[1:3] == about:
            raise failed[3]
        self._unproven.pop(id(module), None)

    def _about(self, module: ModuleType) -> tuple[object, object]:
        """With which spec and which file something is found out of a module."""
        path = module.__dict__.get("__file__")
        return module.__dict__.get("__spec__"), stat_of_file(path) if type(path) is str else None

    # -- by text

    def recorded(self, name: str, module: ModuleType) -> str | None:
        """The text that a reload brought, that was kept, or of a file that is proven not to have changed."""
        record = self._record(module)
        if record is not None:
            return _unpacked(record)
        found = super().recorded(name, module)
        loaded = self._memory.generations.loaded(module)
        if found is not None or loaded is None:
            return found
        if loaded.source is not None:
            return loaded.source
        path = module.__dict__.get("__file__")
        if loaded.proven and (kept := loaded.kept) is not None:
            return decode(keeping.unpack(kept))
        if loaded.proven and type(path) is str and loaded.stat is not None and stat_of_file(path) == loaded.stat:
            return source_of(name, module, path)
        return None

    def source(self, name: str, module: ModuleType) -> str:
        """The text that is loaded.

        Raises:
            RefusedError: as of().
        """
        known = self.known(module)
        found = known.source if known is not None else self.recorded(name, module)
        return self.of(name, module).source if found is None else found

    def unproven(self, name: str, module: ModuleType, filename: str) -> str:
        """The text as it was first seen, to be compared with what is loaded."""
        loaded = self._memory.generations.loaded(module)
        if loaded is not None and (kept := loaded.kept) is not None:
            return decode(keeping.unpack(kept))
        return super().unproven(name, module, filename)

    def written_s(self, module: ModuleType, filename: str) -> float:
        """As of Baselines: of the file as it was first seen, where that is what is kept."""
        loaded = self._memory.generations.loaded(module)
        if loaded is not None and loaded.kept is not None and loaded.stat is not None:
            return loaded.stat.mtime_ns / 1e9
        return super().written_s(module, filename)

    def remember(self, module: ModuleType, text: Text) -> None:
        """As of Baselines: the text is the newer knowledge."""
        self._records.pop(id(module), None)
        super().remember(module, text)

    def forget(self, module: ModuleType) -> None:
        """As of Baselines."""
        self._records.pop(id(module), None)
        super().forget(module)

    # -- by digest

    def identity(self, name: str, module: ModuleType) -> dict[str, Any]:
        """What tells which source is loaded: `{"digest": …}`, or `{"stat": …}` of a file that is it.

        With `"unproven": True` where that is yet to be held against what is loaded: see prove().

        Raises:
            RefusedError: it cannot be proven.
        """
        record = self._record(module)
        if record is not None:
            return {"digest": record.digest}
        known = self.known(module)
        loaded = self._memory.generations.loaded(module)
        if known is None and loaded is not None and loaded.source is None and loaded.proven:
            path = module.__dict__.get("__file__")
            if type(path) is str and loaded.stat is not None and stat_of_file(path) == loaded.stat:
                return {"stat": list(loaded.stat)}
            if (kept := loaded.kept) is not None:
                digest = loaded.digest_of(kept)
                self._put(module, digest, kept)
                return {"digest": digest}
        if known is None and loaded is not None and loaded.source is not None:
            return {"digest": digest_of_text(loaded.source)}
        if known is None:
            self._raise_if_it_failed(module, self._about(module))
            if (candidate := self._candidate(module, loaded)) is not None:
                return candidate
        return {"digest": digest_of_text(self.of(name, module).source)}

    def _candidate(self, module: ModuleType, loaded: Loaded | None) -> dict[str, Any] | None:
        """A source that may be what is loaded, where somebody else can read it; None where that is for us to do."""
        if loaded is not None and (kept := loaded.kept) is not None:
            found = self._candidates.get(id(module))
            if found is None or found[0] is not kept:
                found = self._candidates[id(module)] = (kept, loaded.digest_of(kept))
            return {"digest": found[1], "unproven": True}
        path = module.__dict__.get("__file__")
        if super().recorded("", module) is None and type(path) is str and path.endswith(".py"):
            stat = stat_of_file(path)
            return None if stat is None else {"stat": list(stat), "unproven": True}
        return None

    def prove(self, name: str, module: ModuleType, digest: str, proof: Proof, packed: bytes) -> bool:
        """Holds what the candidate of identity() says against what is loaded, and puts it on record. Where it is
        not what is loaded, identity() says so from now on.

        Returns:
            whether it is what is loaded.

        Args:
            name: the module's.
            module: what is loaded.
            digest: the candidate's.
            proof: what it says.
            packed: it, compressed, where it is a file.
        """
        standby.before_waiting()
        about = self._about(module)
        kept, _ = self._candidates.pop(id(module), (b"", ""))
        try:
            self.hold(name, module, proof)
        except RefusedError as error:
            self._unproven[id(module)] = (self._reference(module), *about, error.with_traceback(None))
            return False
        self.put_on_record(module, digest, packed or kept)
        return True

    def packed(self, name: str, module: ModuleType) -> tuple[bytes, bool]:
        """The source that is loaded, compressed, and whether as bytes of a file; else as UTF-8.

        Raises:
            RefusedError: it cannot be proven.
        """
        record = self._record(module)
        if record is not None:
            return record.packed, not record.digest.startswith("text:")
        known = self.known(module)
        loaded = self._memory.generations.loaded(module)
        kept = loaded.kept if known is None and loaded is not None and loaded.source is None else None
        if kept is not None:
            return kept, True
        source = self.source(name, module)
        return zlib.compress(source.encode("utf-8", "surrogatepass"), 1), False

    def record_of(self, module: ModuleType) -> Record | Text | None:
        """What is on record of a module, for restore()."""
        return self._record(module) or self.known(module)

    def put_on_record(self, module: ModuleType, digest: str, packed: bytes) -> None:
        """From now on the module is this source."""
        super().forget(module)
        self._put(module, digest, packed)

    def restore(self, module: ModuleType, found: Record | Text | None) -> None:
        """Puts back what record_of() gave."""
        self.forget(module)
        if isinstance(found, Record):
            self._records[id(module)] = found
        elif found is not None:
            self.remember(module, found)

    def _record(self, module: ModuleType) -> Record | None:
        found = self._records.get(id(module))
        if found is None or (found.reference() is module and found.spec is module.__dict__.get("__spec__")):
            return found
        del self._records[id(module)]
        return None

    def _put(self, module: ModuleType, digest: str, packed: bytes) -> None:
        self._records[id(module)] = Record(self._reference(module), digest, packed, module.__dict__.get("__spec__"))


def digest_of_text(text: str) -> str:
    """What stands for a source of which only the text is known."""
    return f"text:{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _unpacked(record: Record) -> str:
    data = keeping.unpack(record.packed)
    return data.decode("utf-8", "surrogatepass") if record.digest.startswith("text:") else decode(data)
