"""What source modules run, as the agent has it on record: by digest, so that nobody need read it to compare."""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from modctl.agent.engine.live import keeping
from modctl.agent.engine.live.baselines import Baselines, source_of
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.keeping import decode
from modctl.agent.engine.recorder import stat_of_file

if TYPE_CHECKING:
    import weakref
    from types import ModuleType

    from modctl.agent.engine.memory import Memory
    from modctl.source.plan import Text


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
        #: Of modules whose source cannot be proven: with which spec and which file that was found out.
        self._unproven: dict[int, tuple[weakref.ref[ModuleType], object, object, RefusedError]] = {}

    def of(self, name: str, module: ModuleType) -> Text:
        """As of Baselines. What cannot be proven is not tried again until its file changes."""
        path = module.__dict__.get("__file__")
        about = module.__dict__.get("__spec__"), stat_of_file(path) if type(path) is str else None
        failed = self._unproven.get(id(module))
        if failed is not None and failed[0]() is module and failed[1:3] == about:
            raise failed[3]
        self._unproven.pop(id(module), None)
        try:
            return super().of(name, module)
        except RefusedError as error:
            self._unproven[id(module)] = (self._reference(module), *about, error.with_traceback(None))
            raise

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
        if loaded.proven and loaded.kept is not None:
            return decode(keeping.unpack(loaded.kept))
        if loaded.proven and type(path) is str and loaded.stat is not None and stat_of_file(path) == loaded.stat:
            return source_of(name, module, path)
        return None

    def unproven(self, name: str, module: ModuleType, filename: str) -> str:
        """The text as it was first seen, to be compared with what is loaded."""
        loaded = self._memory.generations.loaded(module)
        if loaded is not None and loaded.kept is not None:
            return decode(keeping.unpack(loaded.kept))
        return super().unproven(name, module, filename)

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
            if loaded.kept is not None:
                digest = f"sha256:{sha256(keeping.unpack(loaded.kept)).hexdigest()}"
                self._put(module, digest, loaded.kept)
                return {"digest": digest}
        if known is None and loaded is not None and loaded.source is not None:
            return {"digest": digest_of_text(loaded.source)}
        return {"digest": digest_of_text(self.of(name, module).source)}

    def packed(self, name: str, module: ModuleType) -> tuple[bytes, bool]:
        """The source that is loaded, compressed, and whether as bytes of a file; else as UTF-8.

        Raises:
            RefusedError: it cannot be proven.
        """
        record = self._record(module)
        if record is not None:
            return record.packed, not record.digest.startswith("text:")
        known = self.known(module)
        source = known.source if known is not None else self.recorded(name, module)
        if source is None:
            source = self.of(name, module).source
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
