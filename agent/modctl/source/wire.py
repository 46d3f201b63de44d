"""A plan as it travels: made where the texts are, used where the live objects are.

`pack` writes what an engine needs of a `ModulePlan`, compiled: the code of functions that change, of statements that
may run, and what is known of every statement. It is marshalled, so both ends must be the same version of Python.
What is rarely needed is written as a part of its own and read only when it is asked for; what was left out is worked
out from the texts, which whoever unpacks can get.
"""

from __future__ import annotations

import ast
import marshal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .bases import Base
from .codes import Pair
from .comparison import CHANGED, NEW, Comparison, compare
from .following import is_quiet
from .names import Import
from .plan import TIER_NOOP, ModulePlan, read_text
from .statements import ASSIGN, CLASS, DEF, FIELDS, IMPORT, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from .plan import Text

#: Of the format: what another version packed is not understood.
VERSION: Final = 2
_DEFAULTS: Final = {name: getattr(Statement, name, None) for name in FIELDS if name != "body"}


def pack(plan: ModulePlan, names: Iterable[str]) -> bytes:
    """A plan as bytes.

    Args:
        plan: of a module that changes, or follows others.
        names: names that may get another value: the code of statements that touch them goes along.
    """
    names = set(names)
    comparison = plan.comparison
    rest = (
        tuple(map(_fields, comparison.old)) if plan.changed else None,
        tuple(map(_fields, comparison.new)),
        _comparison(comparison),
        _bases(plan, names),
    )
    quiet = is_quiet(plan, names)
    pieces = {key: marshal.dumps(code) for key, code in _pieces(plan, set() if quiet else names).items()}
    return marshal.dumps(
        (
            VERSION,
            plan.filename,
            plan.package,
            plan.changed,
            plan.tier if plan.changed else TIER_NOOP,
            comparison.runs,
            quiet,
            plan.configures_logging,
            tuple(plan.removed),
            [(pair.old, pair.new, pair.route, pair.differs) for pair in plan.pairs],
            plan.behaviours,
            marshal.dumps(rest),
            pieces,
        )
    )


def _fields(statement: Statement) -> dict[str, Any]:
    """Its attributes that are not at their default."""
    found = {
        name: value for name, value in statement.__dict__.items() if name in _DEFAULTS and value != _DEFAULTS[name]
    }
    for name in ("imports", "lazy_imports"):
        if name in found:
            found[name] = tuple(map(tuple, found[name]))
    if statement.body:
        found["body"] = tuple(map(_fields, statement.body))
    return found


def _statement(fields: dict[str, Any]) -> Statement:
    """What _fields took apart. There are thousands, so this one does not go through its constructor."""
    made = Statement.__new__(Statement)
    for name in ("imports", "lazy_imports"):
        if name in fields:
            fields[name] = tuple(Import(*item) for item in fields[name])
    if "body" in fields:
        fields["body"] = tuple(map(_statement, fields["body"]))
    made.__dict__ = fields
    return made


def _comparison(comparison: Comparison) -> tuple[Any, ...]:
    return (
        comparison.statuses,
        comparison.partners,
        comparison.gone,
        comparison.displaced,
        comparison.rebuilt,
        {index: _comparison(inner) for index, inner in comparison.bodies.items()},
    )


def _compared(old: tuple[Statement, ...], new: tuple[Statement, ...], told: tuple[Any, ...]) -> Comparison:
    statuses, partners, gone, displaced, rebuilt, bodies = told
    inside = {index: _compared(old[partners[index]].body, new[index].body, body) for index, body in bodies.items()}
    return Comparison(old, new, statuses, partners, gone, displaced, rebuilt, inside)


def _bases(plan: ModulePlan, names: set[str]) -> dict[str, Any]:
    """What names were bound to when the module was loaded."""
    statements = [each for each in plan.comparison.new if each.kind == ASSIGN and each.touches & names]
    return {name: _told(plan.base(name)) for each in statements for name in each.writes}


def _told(base: Base | None) -> Any:
    return None if base is None else tuple(base)


def _base(told: Any) -> Base | None:
    return None if told is None else Base(*told)


def _pieces(plan: ModulePlan, names: set[str]) -> dict[tuple[int, tuple[int, ...]], CodeType]:
    """The code of statements that may run. Of a class whose header stayed, also of what of its body changed, and
    of that with what of it reads one of the names.
    """
    found: dict[tuple[int, tuple[int, ...]], CodeType] = {}
    comparison = plan.comparison
    for statement, status in zip(comparison.new, comparison.statuses, strict=True):
        index = statement.index
        changed = status in (CHANGED, NEW) or index in comparison.displaced
        if not (changed or statement.kind == IMPORT or statement.touches & names or _reads(statement) & names):
            continue
        found[index, ()] = plan.piece(index)
        if statement.attribute_store:
            found[index, (-1,)] = plan.value_piece(index)
        if statement.kind != CLASS or statement.decorated or comparison.partners[index] < 0:
            continue
        old = comparison.old[comparison.partners[index]]
        if statement.header == old.header:
            body = comparison.bodies.get(index) or compare(old.body, statement.body)
            reading = {inner.index for inner in statement.body if _reads(inner) & names}
            # Most of these names keep their value in the end; what methods name in annotations nearly always.
            data = {inner.index for inner in statement.body if inner.kind != DEF and inner.index in reading}
            for others in ((), data, reading):
                if chosen := changed_in_body(statement, body, others):
                    found[index, tuple(chosen)] = plan.piece(index, tuple(chosen))
    return found


def _reads(statement: Statement) -> set[str]:
    """Names that a statement reads when it runs, itself or in what it calls."""
    lazy = {chain[0] for chain in statement.lazy} if statement.calls else set()
    return {*statement.reads, *statement.bare, *(chain[0] for chain in statement.chains), *lazy}


def changed_in_body(statement: Statement, body: Comparison, others: Iterable[int] = ()) -> list[int]:
    """What of a class's body has to run where nothing outside of it has another value, but for what `others` read."""
    chosen = {i for i, status in enumerate(body.statuses) if status in (CHANGED, NEW)} | set(body.displaced)
    chosen.update(others)
    last: dict[str, int] = {}
    writers: dict[str, list[int]] = {}
    for inner in statement.body:
        if any(last.get(name, -1) in chosen for name in inner.reads):
            chosen.add(inner.index)
        for name in inner.writes:
            last[name] = inner.index
            writers.setdefault(name, []).append(inner.index)
    for indexes in writers.values():
        if len(indexes) > 1 and chosen.intersection(indexes):
            chosen.update(indexes)
    for name in body.rebuilt:
        chosen.update(inner.index for inner in statement.body if name in inner.touches)
    return sorted(chosen)


class SentPlan(ModulePlan):
    """A plan that came packed.

    Args:
        name: the module's.
        packed: what pack() made.
        old_text, new_text: give the two versions; called only where the packed plan does not know. They are read
            where more than the text itself is asked for.

    Raises:
        ValueError, EOFError, TypeError: it is none, or of another version.
    """

    def __init__(self, name: str, packed: bytes, old_text: Callable[[], str], new_text: Callable[[], str]) -> None:
        told = marshal.loads(packed)  # noqa: S302 - it comes from the gateway, as compiled code does
        if told[0] != VERSION:
            raise ValueError(f"the plan of {name} has version {told[0]}, not {VERSION}")
        _, filename, package, changed, tier, runs, quiet, logging, removed, pairs, behaviours, rest, pieces = told
        self.name, self.filename, self.package = name, str(filename), bool(package)
        self._changed, self._tier, self._runs = bool(changed), str(tier), bool(runs)
        self.behaviours = behaviours
        self.quiet = bool(quiet)
        self._rest: bytes = rest
        self._packed_pieces: dict[tuple[int, tuple[int, ...]], bytes] = pieces
        self._pieces = {}
        self.names = frozenset()
        self.configures_logging = bool(logging)
        self._removed = frozenset(removed)
        self.pairs = [Pair(*pair) for pair in pairs]
        self._old_text, self._new_text = old_text, new_text

    @property
    def changed(self) -> bool:
        """Whether the text differs at all."""
        return self._changed

    @property
    def tier(self) -> str:
        """As of ModulePlan."""
        return self._tier

    @property
    def runs(self) -> bool:
        """As of ModulePlan."""
        return self._runs

    @property
    def removed(self) -> frozenset[str]:
        """As of ModulePlan."""
        return self._removed

    @property
    def old_code(self) -> CodeType | None:
        """As of ModulePlan: what was packed holds no code but that of its pairs."""
        return None

    @property
    def old_source(self) -> str:
        """As of ModulePlan."""
        return self._old_text()

    @cached_property
    def new_tree(self) -> ast.Module:
        """As of ModulePlan."""
        return ast.parse(self._new_text(), self.filename)

    @cached_property
    def old(self) -> Text:  # type: ignore[override]  # read when it is asked for; nobody sets it
        """The old version, read."""
        return read_text(self._old_text(), self.filename)

    @cached_property
    def new(self) -> Text:  # type: ignore[override]  # as old
        """The new version, read."""
        return read_text(self._new_text(), self.filename) if self.changed else self.old

    @cached_property
    def _facts(self) -> tuple[Any, ...]:
        found: tuple[Any, ...] = marshal.loads(self._rest)  # noqa: S302 - as above
        return found

    @cached_property
    def comparison(self) -> Comparison:  # type: ignore[override]  # as old
        """As of ModulePlan."""
        new = tuple(map(_statement, self._facts[1]))
        old = new if self._facts[0] is None else tuple(map(_statement, self._facts[0]))
        return _compared(old, new, self._facts[2])

    def piece(self, index: int, body: tuple[int, ...] = ()) -> CodeType:
        """As of ModulePlan."""
        self._unpack_piece((index, body))
        return super().piece(index, body)

    def value_piece(self, index: int) -> CodeType:
        """As of ModulePlan."""
        self._unpack_piece((index, (-1,)))
        return super().value_piece(index)

    def _unpack_piece(self, key: tuple[int, tuple[int, ...]]) -> None:
        packed = self._packed_pieces.pop(key, None)
        if packed is not None:
            self._pieces[key] = marshal.loads(packed)  # noqa: S302 - as above

    def base(self, name: str) -> Base | None:
        """As of ModulePlan."""
        known: dict[str, Any] = self._facts[3]
        return _base(known[name]) if name in known else super().base(name)
