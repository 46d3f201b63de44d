"""Plans, made once for all processes that have the same sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.gateway.analysis.texts import TREE_FACTOR, Bounded, Texts
from modctl.source.comparison import CHANGED, CODE, SAME
from modctl.source.following import imported_names, is_idle, potential_names
from modctl.source.plan import OTHER_BEHAVIOUR, plan_module
from modctl.source.proofs import pack as pack_proof
from modctl.source.proofs import proof_of
from modctl.source.statements import CLASS
from modctl.source.wire import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modctl.source.plan import ModulePlan

PLAN_BYTES: Final = 32 * 1024 * 1024
PROOF_BYTES: Final = 16 * 1024 * 1024
#: Plans that are thought about, with the trees of both their texts.
OPEN_BYTES: Final = 96 * 1024 * 1024
_MANY: Final = 8_192


class Made(NamedTuple):
    """What a plan comes to.

    Attributes:
        names: what may get another value.
        concerns_others: whether anything differs that other modules could have from it.
        bound: names that changed statements bind to another object; a class or function that changes in place stays.
    """

    names: frozenset[str]
    concerns_others: bool
    bound: frozenset[str]


class Wanted(NamedTuple):
    """Which plan: everything that it depends on.

    Attributes:
        name: the module's.
        filename: what its code shall carry.
        package: whether it is one.
        old: the digest of what is loaded.
        new: of what it shall be; the same where it only follows others.
        seeds: names that it has from modules that change.
        independent: whether these have no part in what its statements do when they run; see is_independent().
    """

    name: str
    filename: str
    package: bool
    old: str
    new: str
    seeds: frozenset[str]
    independent: bool = False


class Plans:
    """Makes and keeps them. Used by one thread at a time."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._made: Bounded[Made] = Bounded(_MANY, lambda _: 1)
        #: Those yet to be packed, by what they depend on but their seeds, which grow while followers are found.
        self._open: Bounded[ModulePlan] = Bounded(OPEN_BYTES, _size_of_trees)
        self._packed: Bounded[bytes] = Bounded(PLAN_BYTES, len)
        self._proofs: Bounded[bytes] = Bounded(PROOF_BYTES, len)
        self._imports: Bounded[frozenset[str]] = Bounded(4096, lambda _: 1)
        self._idle: Bounded[bool] = Bounded(4096, lambda _: 1)
        #: How many were really made.
        self.count = 0

    def make(self, wanted: Wanted) -> Made:
        """What the plan comes to.

        Raises:
            UnknownSourceError: a source is not kept. SourceError, SyntaxError, ValueError: one is no Python.
        """
        found = self._made.get(wanted)
        if found is not None:
            return found
        plan = self._plan(wanted)
        names = frozenset(potential_names(plan, set(wanted.seeds)))
        concerns = plan.runs or OTHER_BEHAVIOUR in plan.behaviours.values()
        return self._made.put(wanted, Made(names, concerns, _bound(plan)))

    def is_independent(self, wanted: Wanted, made: Mapping[str, Made]) -> bool:
        """Whether no statement of a module would have to run for what it has from others that change.

        Args:
            wanted: it.
            made: of all modules of the change, by name.

        Raises:
            as make().
        """
        if not wanted.seeds:
            return True
        others = tuple(sorted((name, each.bound) for name, each in made.items() if each.bound and name != wanted.name))
        key = wanted, others
        found = self._idle.get(key)
        if found is None:
            anew = any(self.imported(wanted, *other) - self.imported(wanted, other[0], _NONE) for other in others)
            statements = self._texts.read(wanted.new, wanted.filename).statements
            found = self._idle.put(key, not anew and is_idle(statements, set(made[wanted.name].names)))
        return found

    def packed(self, wanted: Wanted) -> bytes:
        """The plan itself, as pack() makes it.

        Raises:
            as make().
        """
        found = self._packed.get(wanted)
        if found is None:
            self.count += 1
            found = self._packed.put(wanted, self._pack(wanted))
            self._open.drop(wanted._replace(seeds=_NONE, independent=False))
        return found

    def _pack(self, wanted: Wanted) -> bytes:
        names = self.make(wanted._replace(independent=False)).names
        return pack(self._plan(wanted), names, independent=wanted.independent)

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

    def proof(self, digest: str, filename: str) -> bytes:
        """What must be there where a source is what is loaded, as modctl.source.proofs packs it.

        Raises:
            as make().
        """
        found = self._proofs.get((digest, filename))
        if found is None:
            made = pack_proof(proof_of(self._texts.read(digest, filename)))
            found = self._proofs.put((digest, filename), made)
        return found

    def _plan(self, wanted: Wanted) -> ModulePlan:
        key = wanted._replace(seeds=_NONE, independent=False)
        found = self._open.get(key)
        if found is not None:
            return found
        old = self._texts.read(wanted.old, wanted.filename)
        new = old
        if wanted.new != wanted.old:
            new = self._texts.read(wanted.new, wanted.filename, like=old)
            self._texts.forget_text(wanted.old, wanted.filename)  # a tree is fifty times its source; the next is new
        return self._open.put(key, plan_module(wanted.name, old, new, package=wanted.package))


_NONE: Final[frozenset[str]] = frozenset()


def _bound(plan: ModulePlan) -> frozenset[str]:
    comparison = plan.comparison
    found = {name for index in comparison.gone for name in comparison.old[index].touches} | set(comparison.removed)
    for statement, status in zip(comparison.new, comparison.statuses, strict=True):
        if status not in (SAME, CODE) and not (status == CHANGED and statement.kind == CLASS):
            found |= statement.touches
    return frozenset(found)


def _size_of_trees(plan: ModulePlan) -> int:
    return TREE_FACTOR * (len(plan.old.source) + (len(plan.new.source) if plan.changed else 0))
