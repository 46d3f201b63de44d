"""Changes in place whose thinking a gateway has done: from what it sent to plans, or to what it still has to know.

The gateway has the texts, the time, and many processes with the same sources; the process has the live objects. So a
request carries plans, made from digests of what the gateway believes to be loaded. Where it believes wrongly, or a
module that holds something of a changed one was not looked at, the request is answered with what is missing
(`NEEDS`) and nothing has happened. PROTOCOL.md has the format.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import inventory
from modctl.agent.engine.live import keeping
from modctl.agent.engine.live.baselines import filename_of
from modctl.agent.engine.live.dependents import holders_of, modules_beside
from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.errors import RequestError
from modctl.local.frames import ATTACHMENTS
from modctl.source.proofs import unpack as unpack_proof
from modctl.source.wire import VERSION, SentPlan

if TYPE_CHECKING:
    from collections.abc import Container

    from modctl.agent.engine.live.known import KnownBaselines

#: More than these are asked for in turns.
MAX_TEXT_BYTES: Final = 8 * 1024 * 1024
_MAGIC: Final = importlib.util.MAGIC_NUMBER.hex()


class Entry:
    """One module's plan, as it came: unpacked once all that is to be known is known. A large one only comes then."""

    __slots__ = ("_attached", "_packed", "digest", "fields", "filename", "name", "names", "plan")

    def __init__(self, fields: dict[str, Any], attached: memoryview) -> None:
        self.fields = fields
        self._attached = attached
        self._packed: bytes | None = None
        self.name: str = fields["name"]
        self.names: list[str] = fields.get("names") or []
        self.digest: str = fields.get("new") or ""
        self.filename: str = fields["filename"]
        self.plan: SentPlan

    @property
    def stat(self) -> Any:
        """Of the file that is the new source, where it is one."""
        return self.fields.get("stat")

    @property
    def is_whole(self) -> bool:
        """Whether the plan itself has come, and not only what it comes to."""
        return "plan" in self.fields

    @property
    def packed(self) -> bytes:
        """The new source, compressed."""
        if self._packed is None:
            self._packed = bytes(part_of(self._attached, self.fields.get("packed")))
        return self._packed

    @property
    def old_packed(self) -> bytes:
        """The old source, where it is a file's."""
        return bytes(part_of(self._attached, self.fields.get("old_packed")))

    @property
    def concerns_others(self) -> bool:
        """Whether it changes anything that others could have, beyond code of functions that they call."""
        return bool(self.fields.get("concerns_others"))

    def fits(self, identity: dict[str, Any]) -> bool:
        """Whether it was made for what is loaded."""
        return _fits(self.fields, identity)

    def unpack(self, baselines: KnownBaselines, module: ModuleType) -> SentPlan:
        """Makes the plan of it.

        Raises:
            RequestError: BAD_PLAN: it cannot be read.
        """

        def old() -> str:
            return baselines.source(self.name, module)

        def new() -> str:
            return keeping.decode(keeping.unpack(self.packed))

        try:
            packed = part_of(self._attached, self.fields["plan"])
            self.plan = SentPlan(self.name, packed, old, old if self.fields.get("follows") else new)
        except (KeyError, ValueError, EOFError, TypeError) as error:
            raise _bad_plan(f"the plan of {self.name} cannot be read: {error!r}") from error
        return self.plan


class Offer:
    """What a gateway sent with a change.

    Attributes:
        entries: plans by name.
        settled: of each changed module, which others were looked at.
        looked: what was taken to be loaded of those that have no plan.
        unsure: modules whose texts were looked at.
        unprovable: modules of which this process has said that it cannot tell what is loaded.
        texts: names of which the source is asked for.
        baselines: names of which it is asked what is loaded.
        proofs: what must be there where what is loaded is yet to be proven.
        attached: what the entries and proofs refer to.
    """

    def __init__(self, told: dict[str, Any], attached: memoryview) -> None:
        self.entries = {each["name"]: Entry(each, attached) for each in told.get("plans") or ()}
        self.attached = attached
        self.settled: dict[str, list[str]] = told.get("settled") or {}
        self.looked: dict[str, dict[str, Any]] = told.get("looked") or {}
        self.unsure = frozenset(told.get("unsure") or ())
        self.unprovable: list[str] = told.get("unprovable") or []
        self.texts: list[str] = told.get("texts") or []
        self.baselines: list[str] = told.get("baselines") or []
        self.proofs: list[dict[str, Any]] = told.get("proofs") or []

    @property
    def asks(self) -> bool:
        """Whether there are no plans in it yet: the gateway wants to know something first."""
        return bool(self.texts or self.baselines)


def offer_of(request: dict[str, Any]) -> Offer | None:
    """The offer in a request; None where there is none that this process can use: it plans by itself then.

    Raises:
        RequestError: BAD_PLAN.
    """
    told = request.get("planned")
    if not isinstance(told, dict):
        return None
    if told.get("v") != VERSION or told.get("magic") != _MAGIC or told.get("optimize") != sys.flags.optimize:
        return None
    try:
        return Offer(told, request.get(ATTACHMENTS) or memoryview(b""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad_plan(f"`planned` cannot be read: {error!r}") from error


def part_of(attached: memoryview, told: Any) -> memoryview:
    """What is attached at `[offset, length]`; nothing where that is not said.

    Raises:
        ValueError, TypeError: there is no such part.
    """
    if told is None:
        return attached[:0]
    offset, length = told
    if not 0 <= offset <= offset + length <= len(attached):
        raise ValueError(f"nothing is attached at {offset}, {length} bytes long")
    return attached[offset : offset + length]


def _bad_plan(message: str) -> RequestError:
    return RequestError("INVALID_ARGUMENT", "BAD_PLAN", message)


class Asking:
    """Finds out whether an offer is complete.

    Args:
        offer: what came.
        baselines: what is loaded.
        notes: for people; added to.
    """

    def __init__(self, offer: Offer, baselines: KnownBaselines, notes: list[str]) -> None:
        self._offer = offer
        self._baselines = baselines
        self._notes = notes
        self._needs: dict[str, Any] = {}
        self._identities: dict[str, dict[str, Any] | None] = {}
        #: Modules of which it is not known what is loaded.
        self._unprovable: set[str] = set()

    def plans(self, digests: dict[str, tuple[str, Any]]) -> dict[str, SentPlan]:
        """Plans of the modules that change, and of those that may follow.

        Args:
            digests: of each module that is to change, the digest and the stat of its new source; empty or None
                where it is not known.

        Raises:
            RequestError: NEEDS, with what is missing.
            RefusedError: what is loaded of a module that is to change cannot be proven.
        """
        self._prove(digests)
        found: dict[str, Entry] = {}
        for name, (digest, stat) in digests.items():
            module = sys.modules[name]
            entry = self._offer.entries.get(name)
            identity = self._identity(name, module)
            fits = entry is not None and entry.fits(identity) and entry.filename == filename_of(name, module)
            if entry is None or not fits or not _is_of(entry, digest, stat):
                self._need("modules", self._facts(name, module, identity))
            else:
                found[name] = entry
        self._raise_needs()
        for name, entry in self._offer.entries.items():
            if name not in found and entry.fits(self._identity_or_none(name)):
                found[name] = entry
        self._look_for_holders(found)
        self._raise_needs()
        self._notes += [
            f"whether {name} has to follow cannot be told: it is not known what is loaded"
            for name in self._offer.unprovable
            if name not in self._unprovable
        ]
        for name, entry in found.items():
            if entry.filename != filename_of(name, sys.modules[name]):
                self._need("modules", self._facts(name, sys.modules[name], self._identity(name, sys.modules[name])))
        self._raise_needs()
        for name, entry in found.items():
            if not entry.is_whole:
                self._need("plans", {"name": name})
        self._raise_needs()
        return {name: entry.unpack(self._baselines, sys.modules[name]) for name, entry in found.items()}

    def answer(self) -> None:
        """Tells what the gateway wants to know before it plans.

        Raises:
            RequestError: NEEDS, with that, if there is any.
        """
        self._ask_for_texts()
        for name in self._offer.baselines:
            self._follower(name)
        self._raise_needs()

    def _prove(self, own: Container[str]) -> None:
        """Holds against what is loaded what was not proven to be it.

        Args:
            own: modules that are to change.

        Raises:
            RequestError: BAD_PLAN.
        """
        for told in self._offer.proofs:
            try:
                name, digest = told["name"], told["old"]
                module = sys.modules.get(name)
                identity = self._identity_or_none(name)
                if type(module) is not ModuleType or not identity.get("unproven") or not _is_same(told, identity):
                    continue
                proof = unpack_proof(part_of(self._offer.attached, told["proof"]))
                packed = bytes(part_of(self._offer.attached, told.get("packed")))
            except (KeyError, ValueError, EOFError, TypeError) as error:
                raise _bad_plan(f"a proof cannot be read: {error!r}") from error
            del self._identities[name]
            if not self._baselines.prove(name, module, digest, proof, packed) and name not in own:
                self._need("unprovable", {"name": name})

    def _look_for_holders(self, found: dict[str, Entry]) -> None:
        if not any(entry.concerns_others for entry in found.values()):
            return
        holders = holders_of({name: entry.names for name, entry in found.items() if entry.names})
        settled = {name: set(others) for name, others in self._offer.settled.items()}
        for other, of in holders.sure.items():
            new = {name for name in of if other not in settled.get(name, ())}
            looked = other in found or _fits(self._offer.looked.get(other, {}), self._identity_or_none(other))
            if new or not looked:
                self._follower(other, sorted(of))
        if not holders.unsure.keys() <= self._offer.unsure:
            # All of them at once: the next change has other values, and others hold those.
            for other, module in modules_beside(found):
                if type(other) is str and other not in self._offer.unsure:
                    self._need("unsure", {"name": other, "file": _file_of(module)})

    def _follower(self, name: str, of: list[str] | None = None) -> None:
        """Says what is loaded of a module that may have to follow."""
        module = sys.modules.get(name)
        if type(module) is not ModuleType:
            return
        try:
            identity = self._identity(name, module)
        except RefusedError as error:
            if name not in self._unprovable:
                self._unprovable.add(name)
                self._notes.append(f"whether {name} has to follow cannot be told: {error}")
            if name in self._offer.baselines:
                self._need("unprovable", {"name": name})
            return
        self._need("followers", {**self._facts(name, module, identity), "of": of or []})

    def _identity(self, name: str, module: ModuleType) -> dict[str, Any]:
        found = self._identities.get(name)
        if found is None:
            found = self._identities[name] = self._baselines.identity(name, module)
        return found

    def _identity_or_none(self, name: str) -> dict[str, Any]:
        module = sys.modules.get(name)
        try:
            return self._identity(name, module) if type(module) is ModuleType else {"digest": None}
        except RefusedError:
            return {"digest": None}

    def _facts(self, name: str, module: ModuleType, identity: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            "origin": inventory.facts_of(name, module).origin,
            "file": _file_of(module),
            "filename": filename_of(name, module),
            "package": "__path__" in module.__dict__,
            **identity,
        }

    def _ask_for_texts(self) -> None:
        told = 0
        for name in self._offer.texts:
            module = sys.modules.get(name)
            if type(module) is not ModuleType or told > MAX_TEXT_BYTES:
                continue
            packed, is_bytes = self._baselines.packed(name, module)
            told += len(packed)
            content = base64.b64encode(packed).decode("ascii")
            self._need("texts", {"name": name, "packed": content, "is_bytes": is_bytes, **self._identity(name, module)})

    def _need(self, kind: str, told: dict[str, Any]) -> None:
        self._needs.setdefault(kind, []).append(told)

    def _raise_needs(self) -> None:
        if self._needs:
            told = json.dumps(self._needs, separators=(",", ":"))
            message = "more is to be known before this can be planned; nothing has happened"
            raise RequestError("FAILED_PRECONDITION", "NEEDS", message, {"needs": told})


def _fits(told: dict[str, Any], identity: dict[str, Any]) -> bool:
    """Whether what the gateway took to be loaded is."""
    return not identity.get("unproven") and _is_same(told, identity)


def _is_same(told: dict[str, Any], identity: dict[str, Any]) -> bool:
    if "digest" in identity:
        return identity["digest"] is not None and told.get("old") == identity["digest"]
    return bool(told.get("old_stat") == identity["stat"])


def _is_of(entry: Entry, digest: str, stat: Any) -> bool:
    """Whether a plan leads to that source."""
    if entry.fields.get("follows"):
        return False
    if stat is not None:
        return bool(entry.stat == list(stat))
    return bool(digest) and entry.digest == digest


def _file_of(module: object) -> str:
    found = module.__dict__.get("__file__") if type(module) is ModuleType else None
    return found if type(found) is str else ""
