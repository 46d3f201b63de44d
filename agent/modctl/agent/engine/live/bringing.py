"""What a change in place is about: which modules, and the new source of each, or why one may not be changed."""

from __future__ import annotations

from hashlib import sha256
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import inventory, table
from modctl.agent.engine.live.baselines import source_of
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.keeping import decode
from modctl.agent.engine.live.known import digest_of_text
from modctl.agent.engine.operations import Reimport
from modctl.agent.engine.outcomes import Refusal
from modctl.agent.engine.patterns import matcher
from modctl.agent.engine.protect import Protector
from modctl.agent.engine.recorder import stat_of_file
from modctl.agent.engine.safe import MISSING
from modctl.agent.engine.versions import digest_of

if TYPE_CHECKING:
    from modctl.agent.engine.generations import Stat
    from modctl.agent.engine.memory import Memory
    from modctl.agent.engine.operations import ChangeRequest
    from modctl.agent.engine.protect import Distributions

ACTION = "ACTION_RELOAD"


class Brought:
    """One module's new source and where it came from.

    Args:
        source: its text; empty where a gateway has read it and nobody here need.
        digest: of its bytes, where it is known.
        stat: of the file that it is.
        sent: whether it came with the request.
    """

    def __init__(self, source: str, digest: str, stat: Stat | None, *, sent: bool) -> None:
        self.source = source
        self.digest = digest
        self.stat = stat
        self.sent = sent
        #: The bytes, compressed, where a gateway has read them.
        self.packed: bytes | None = None


class _Facts(dict[str, inventory.Facts]):
    """What entries are, each looked at once for a request."""

    def __init__(self, entries: dict[str, Any]) -> None:
        super().__init__()
        self.entries = entries

    def __missing__(self, name: str) -> inventory.Facts:
        found = self[name] = inventory.facts_of(name, self.entries[name])
        return found

    def is_source(self, name: str) -> bool:
        """Whether it is a module with source."""
        return type(self.entries.get(name)) is ModuleType and self[name].kind == inventory.SOURCE


class Bringing:
    """Finds it out, once for one request.

    Args:
        memory: what the engine remembers.
        distributions: which file belongs to which, kept between changes.
        request: the change.
        planned: whether a gateway reads the sources that are on disk.

    Attributes:
        brought: modules that are loaded, by name.
        new: modules that come along and are not: name → (source, file name, whether it is a package).
        refusals: why something of it may not be.
    """

    def __init__(self, memory: Memory, distributions: Distributions, request: ChangeRequest, *, planned: bool) -> None:
        self._memory = memory
        self._request = request
        self._planned = planned
        self._entries = table.named()
        self._facts = _Facts(self._entries)
        self._protector = Protector(self._entries, distributions)
        self.brought: dict[str, Brought] = {}
        self.new: dict[str, tuple[str, str, bool]] = {}
        self.refusals: list[Refusal] = []
        for operation in request.operations:
            if isinstance(operation, Reimport):
                self._bring(operation)
            else:
                hint = "send changes in place and other operations as two change sets"
                self.refusals.append(Refusal(getattr(operation, "name", ""), "", "UNSUPPORTED", "mode", hint))
        if not self.brought and not self.refusals:
            hint = "it is not loaded; `modctl inject` brings it in, `modctl import` loads it from the target's disk"
            self.refusals = [Refusal(name, ACTION, "NOT_LOADED", "loaded", hint) for name in self.new]
        names = {*self.new, *self._entries}
        self.new = {name: _as_package(name, each, names) for name, each in self.new.items()}

    def _bring(self, operation: Reimport) -> None:
        sent = {module.name: module for module in operation.modules if module.source is not None}
        for name, module in sent.items():
            if name not in self._entries and module.source is not None:
                self.new[name] = (module.source, module.filename or module.origin, module.package)
        pattern = is_pattern(operation.name)
        for name in self._names(operation):
            if name in self.new and name not in self._entries:
                continue
            refusal = self._refusal(name, operation)
            if refusal is not None:
                if not pattern:  # a pattern takes what it may
                    self.refusals.append(refusal)
                continue
            try:
                if name in sent:
                    source = sent[name].source
                    assert source is not None
                    self.brought[name] = Brought(source, sent[name].digest, None, sent=True)
                else:
                    self.brought[name] = self._from_disk(name)
            except RefusedError as error:
                self.refusals.append(Refusal(name, ACTION, error.reason, error.rule, error.hint))

    def _names(self, operation: Reimport) -> list[str]:
        """The modules that an operation is about; of a pattern, those whose file is not what is loaded."""
        if is_pattern(operation.name):
            fits = matcher([operation.name])
            found = [name for name in self._entries if (fits is None or fits(name)) and self._facts.is_source(name)]
            if found:
                return [name for name in found if self._differs(name)]
        else:
            found = [operation.name, *(module.name for module in operation.modules if module.name != operation.name)]
            if operation.recursive:
                found += [name for name in table.descendants(operation.name) if self._facts.is_source(name)]
        if not found:
            hint = "no loaded module with source has such a name; `modctl list` tells what is loaded"
            self.refusals.append(Refusal(operation.name, ACTION, "NOT_LOADED", "pattern", hint))
        return list(dict.fromkeys(found))

    def _differs(self, name: str) -> bool:
        """Whether a module's file may not be what is loaded: other code was put in, or the file was written since."""
        module, path = self._entries[name], self._facts[name].origin
        self._memory.origins.note(name, module, path)
        loaded = self._memory.generations.loaded(module)
        found = stat_of_file(path)
        return found is not None and loaded is not None and (loaded.patched or loaded.stat != found)

    def _refusal(self, name: str, operation: Reimport) -> Refusal | None:
        if table.get(name) is MISSING:
            return Refusal(name, ACTION, "NOT_LOADED", "loaded", f"{name} is not loaded; `modctl import` loads it")
        facts = self._facts[name] if name in self._entries else None
        protection = self._protector.protection_of(name, facts, in_place=True)
        if protection is not None and not (protection.lifts and name in self._request.override_protected):
            return Refusal(name, ACTION, "PROTECTED", protection.rule, protection.hint)
        if operation.base_digest and name == operation.name and digest_of(self._memory, name) != operation.base_digest:
            hint = "something else is loaded than the change was made for; look again"
            return Refusal(name, ACTION, "BASE_DIFFERS", "base_digest", hint)
        return None

    def _from_disk(self, name: str) -> Brought:
        module = self._entries[name]
        if type(module) is not ModuleType:
            raise RefusedError(name, "NOT_A_MODULE", "its entry is no plain module", "Use inject --replace")
        path = self._facts[name].origin
        stat = stat_of_file(path)
        if stat is None:
            source = source_of(name, module, path)
            return Brought(source, digest_of_text(source) if self._planned else "", None, sent=False)
        if self._planned:
            return Brought("", "", stat, sent=False)  # the gateway reads it
        try:
            with open(path, "rb") as file:
                data = file.read()
            return Brought(decode(data), f"sha256:{sha256(data).hexdigest()}", stat, sent=False)
        except (OSError, UnicodeError, SyntaxError) as error:
            raise RefusedError(
                name, "NO_SOURCE", f"its file cannot be read: {error}", "Send the source along"
            ) from error


def _as_package(name: str, sent: tuple[str, str, bool], names: set[str]) -> tuple[str, str, bool]:
    """A module that others lie below is a package."""
    source, filename, package = sent
    return source, filename, package or any(other.startswith(f"{name}.") for other in names)


def is_pattern(name: str) -> bool:
    """Whether a name stands for all names that match it."""
    return any(character in name for character in "*?[")
