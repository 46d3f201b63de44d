"""Which entries must not be removed or replaced, computed from what is loaded, with the rule that says so.

* builtin, frozen and extension modules: there is nothing to bring back, or C code holds on to the old objects;
* the core of the standard library, whose objects the interpreter and every other module have in their hands;
* modctl itself and what it stands on;
* `__main__`;
* every distribution of which an extension module is loaded: evicting half of numpy, protobuf, cryptography or
  SQLAlchemy breaks or crashes the process (measured on 31 packages).
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import inventory
from modctl.agent.engine.safe import class_dict, is_kind, module_dict, text
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Tops of the standard library whose state is the process's own.
CORE: Final = frozenset(
    """
    abc asyncio atexit builtins codecs collections concurrent contextlib contextvars copyreg ctypes encodings enum
    faulthandler functools gc genericpath heapq importlib inspect io itertools keyword linecache locale logging
    marshal multiprocessing operator os pathlib pickle posix posixpath queue re reprlib runpy select selectors
    signal site socket ssl stat string struct subprocess sys sysconfig tempfile threading time token tokenize
    traceback tracemalloc types typing warnings weakref zipimport
    """.split()  # noqa: SIM905 - a list of eighty quoted words is no easier to read
)


_BUILTIN: Final = frozenset(sys.builtin_module_names)


class Protection(NamedTuple):
    """Why an entry is protected.

    Attributes:
        rule: a short constant.
        hint: one sentence.
        lifts: whether it is taken away by naming the entry in an override.
    """

    rule: str
    hint: str
    lifts: bool = True


_OVERRIDE: Final = "name it in --override-protected to do it all the same"


class Protector:
    """Answers for one look at the table.

    Args:
        table: the entries by name at one moment.
        owners: what is known of distributions, kept between changes.
    """

    def __init__(self, table: Mapping[str, Any], owners: Distributions) -> None:
        self._table = table
        self._owners = owners
        self._own: set[str] | None = None
        self._extensions: dict[str, str] | None = None

    def protection_of(
        self, name: str, facts: inventory.Facts | None = None, *, in_place: bool = False
    ) -> Protection | None:
        """The rule that protects a name, whether it is loaded or not; None where none does.

        Args:
            name: the entry's.
            facts: what it is, where that has been looked at.
            in_place: whether its objects stay: C code may keep hold of them then.
        """
        top = name.partition(".")[0]
        if name == "__main__":
            hint = "__main__ is the running program itself; change the modules that it imports"
            return Protection("main", hint, lifts=False)
        if name == "modctl" or name.startswith("modctl."):
            hint = "modctl does not change the agent that makes the change; restart with another version of it"
            return Protection("modctl", hint, lifts=False)
        candidate = self._table.get(name)
        if facts is None and name in self._table:
            facts = inventory.facts_of(name, candidate)
        if facts is not None and facts.kind in (inventory.BUILTIN, inventory.FROZEN, inventory.EXTENSION):
            kind = facts.kind.rpartition("_")[2].lower()
            return Protection(kind, f"{name} is a {kind} module, C code keeps hold of it; {_OVERRIDE}")
        if top in CORE or name in _BUILTIN:
            return Protection("stdlib-core", f"{top} is part of the core of the standard library; {_OVERRIDE}")
        if top in sys.stdlib_module_names and facts is not None and name in self._imported_by_modctl():
            return Protection("used-by-modctl", f"the agent itself stands on {name}; {_OVERRIDE}")
        if in_place or top in sys.stdlib_module_names:
            return None
        if extension := self._extension_beside(name, facts):
            return Protection(
                "extension-distribution",
                f"{name} belongs with the extension module {extension}, which keeps hold of its objects; {_OVERRIDE}",
            )
        return None

    def _imported_by_modctl(self) -> set[str]:
        """What the loaded modules of modctl.agent and modctl.local refer to, through the standard library."""
        if self._own is None:
            waiting = [name for name in self._table if name.startswith("modctl.")]
            found: set[str] = set()
            while waiting:
                namespace = module_dict(self._table.get(waiting.pop()))
                for referred in () if namespace is None else referred_modules(namespace):
                    if referred.partition(".")[0] in sys.stdlib_module_names and referred not in found:
                        found.add(referred)
                        if referred in self._table:
                            waiting.append(referred)
            for name in list(found):
                while "." in name:
                    name = name.rpartition(".")[0]
                    found.add(name)
            self._own = found
        return self._own

    def _extension_beside(self, name: str, facts: inventory.Facts | None) -> str:
        """The loaded extension module that is in the same regular package or distribution; empty where none is."""
        top = name.partition(".")[0]
        top_candidate = self._table.get(top)
        top_facts = facts
        if name != top:
            top_facts = None if top_candidate is None else inventory.facts_of(top, top_candidate)
        if top_facts is not None and _is_extension(top_facts):
            return top
        # A PEP 420 top is shared by distributions that have nothing to do with each other.
        if top_facts is None or not (top_facts.kind == inventory.NAMESPACE or _is_single(top_facts)):
            within = f"{top}."
            for key in [key for key in self._table if key.startswith(within)]:
                if _is_extension(inventory.facts_of(key, self._table[key])):
                    return key
        if facts is None or not facts.file:
            return ""
        owner = self._owners.owner_of(facts.origin)
        if owner:
            for extension, origin in self._loaded_extensions().items():
                if self._owners.owner_of(origin) == owner:
                    return extension
        return ""

    def _loaded_extensions(self) -> dict[str, str]:
        """Name to file of every loaded extension module that is not the standard library's."""
        if self._extensions is None:
            self._extensions = {
                key: inventory.facts_of(key, candidate).origin
                for key, candidate in self._table.items()
                if key.partition(".")[0] not in sys.stdlib_module_names
                and _is_extension(inventory.facts_of(key, candidate))
            }
        return self._extensions


def referred_modules(namespace: Mapping[str, Any]) -> set[str]:
    """Names of the modules that a namespace holds, or holds functions and classes of."""
    found: set[str] = set()
    for value in list(namespace.values()):
        if (held := module_dict(value)) is not None:
            found.add(text(held.get("__name__")))
        elif is_kind(value, type):
            found.add(text(class_dict(value).get("__module__")))
        elif type(value).__module__ == "builtins" and type(value).__name__ == "function":
            found.add(text(value.__module__))
    found.discard("")
    return found


class Distributions:
    """Which installed distribution a file belongs to, by the RECORD files next to it.

    importlib.metadata would answer it too, in a hundred milliseconds and with the email package in the service's
    memory.
    """

    def __init__(self) -> None:
        self._records: dict[str, list[tuple[str, str]]] = {}
        self._owners: dict[str, str] = {}

    def owner_of(self, origin: str) -> str:
        """The dist-info folder of the distribution that installed a file; empty where none claims it."""
        owner = self._owners.get(origin)
        if owner is None:
            owner = self._owners[origin] = self._find(origin)
        return owner

    def _find(self, origin: str) -> str:
        folder = os.path.dirname(origin)
        while len(folder) > 1:
            for info, record in self._records_in(folder):
                if f"\n{origin[len(folder) + 1 :]}," in record:
                    return info
            folder = os.path.dirname(folder)
        return ""

    def _records_in(self, folder: str) -> list[tuple[str, str]]:
        records = self._records.get(folder)
        if records is None:
            records = []
            try:
                with os.scandir(folder) as found:
                    infos = [item.path for item in found if item.name.endswith(".dist-info")]
            except OSError:
                infos = []
            for info in infos:
                try:
                    with open(os.path.join(info, "RECORD"), encoding="utf-8", errors="replace") as file:
                        records.append((info, "\n" + file.read()))
                except OSError:  # noqa: PERF203 - one unreadable file says nothing of the next
                    continue  # an installer that keeps no record: the rule by package name is left
            self._records[folder] = records
        return records


def _is_single(facts: inventory.Facts) -> bool:
    """Whether it is a module of one file: there is nothing below it, and a walk over all names is spared."""
    return facts.kind in (inventory.SOURCE, inventory.INJECTED) and not facts.package


def _is_extension(facts: inventory.Facts) -> bool:
    return facts.kind == inventory.EXTENSION and not facts.alias_of
