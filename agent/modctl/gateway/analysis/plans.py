"""Plans, made once for all processes that have the same sources."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.gateway.analysis.texts import Bounded, Texts
from modctl.source.following import imported_names, potential_names
from modctl.source.plan import OTHER_BEHAVIOUR, plan_module
from modctl.source.proofs import pack as pack_proof
from modctl.source.proofs import proof_of
from modctl.source.wire import pack

if TYPE_CHECKING:
    from modctl.source.plan import ModulePlan

PLAN_BYTES: Final = 32 * 1024 * 1024
PROOF_BYTES: Final = 16 * 1024 * 1024


class Made(NamedTuple):
    """A plan, ready to be sent.

    Attributes:
        packed: base64 of what pack() made.
        names: what may get another value.
        concerns_others: whether anything differs that other modules could have from it.
    """

    packed: str
    names: frozenset[str]
    concerns_others: bool


class Wanted(NamedTuple):
    """Which plan: everything that it depends on.

    Attributes:
        name: the module's.
        filename: what its code shall carry.
        package: whether it is one.
        old: the digest of what is loaded.
        new: of what it shall be; the same where it only follows others.
        seeds: names that it has from modules that change.
    """

    name: str
    filename: str
    package: bool
    old: str
    new: str
    seeds: frozenset[str]


class Plans:
    """Makes and keeps them. Used by one thread at a time."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._made: Bounded[Made] = Bounded(PLAN_BYTES, lambda made: len(made.packed))
        self._proofs: Bounded[str] = Bounded(PROOF_BYTES, len)
        self._imports: Bounded[frozenset[str]] = Bounded(4096, lambda _: 1)
        #: How many were really made.
        self.count = 0

    def make(self, wanted: Wanted) -> Made:
        """The plan.

        Raises:
            UnknownSourceError: a source is not kept. SourceError, SyntaxError, ValueError: one is no Python.
        """
        found = self._made.get(wanted)
        if found is not None:
            return found
        self.count += 1
        plan = self._plan(wanted)
        names = frozenset(potential_names(plan, set(wanted.seeds)))
        concerns = plan.runs or OTHER_BEHAVIOUR in plan.behaviours.values()
        return self._made.put(wanted, Made(base64.b64encode(pack(plan, names)).decode("ascii"), names, concerns))

    def imported(self, wanted: Wanted, name: str, names: frozenset[str]) -> frozenset[str]:
        """What a module binds by importing some names of another one.

        Raises:
            as make().
        """
        key = wanted.name, wanted.filename, wanted.new, name, names
        found = self._imports.get(key)
        if found is None:
            text = self._texts.read(wanted.new, wanted.filename)
            seeds = imported_names(text.statements, wanted.name, wanted.package, name, set(names))
            found = self._imports.put(key, frozenset(seeds))
        return found

    def proof(self, digest: str, filename: str) -> str:
        """What must be there where a source is what is loaded; base64.

        Raises:
            as make().
        """
        found = self._proofs.get((digest, filename))
        if found is None:
            packed = pack_proof(proof_of(self._texts.read(digest, filename)))
            found = self._proofs.put((digest, filename), base64.b64encode(packed).decode("ascii"))
        return found

    def _plan(self, wanted: Wanted) -> ModulePlan:
        old = self._texts.read(wanted.old, wanted.filename)
        new = old
        if wanted.new != wanted.old:
            new = self._texts.read(wanted.new, wanted.filename, like=old)
            self._texts.forget_text(wanted.old, wanted.filename)  # a tree is fifty times its source; the next is new
        return plan_module(wanted.name, old, new, package=wanted.package)
