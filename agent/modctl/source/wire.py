"""A plan as it travels: made where the texts are, used where the live objects are.

`pack` writes what an engine needs of a `ModulePlan`, compiled: the code of functions that change, of statements that
may run, and what is known of every statement. It is marshalled, so both ends must be the same version of Python.
What is rarely needed is written as a part of its own and read only when it is asked for; what was left out is worked
out from the texts, which whoever unpacks can get.
"""

from __future__ import annotations

import ast
import marshal
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .bases import Base
from .codes import Pair, identical, moved
from .comparison import CHANGED, NEW, SAME, Comparison, compare
from .following import is_quiet, read_when_run
from .names import Chain, Import
from .plain import Plain, PlainClass, PlainName, plain_of
from .plan import TIER_NOOP, ModulePlan, read_text
from .statements import ASSIGN, CLASS, DEF, FIELDS, IMPORT, Statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from .plan import Text

#: Bases whose classes are never changed in part.
_OTHER_METACLASSES: Final = frozenset({"Enum", "IntEnum", "StrEnum", "Flag", "IntFlag", "NamedTuple", "TypedDict"})
_Same = tuple[int, int, int]
#: Of the format: what another version packed is not understood.
VERSION: Final = 7
_DEFAULTS: Final = {name: getattr(Statement, name, None) for name in FIELDS if name != "body"}


def pack(plan: ModulePlan, names: Iterable[str], *, independent: bool = False) -> bytes:
    """A plan as bytes.

    Args:
        plan: of a module that changes, or follows others.
        names: names that may get another value: the code of statements that touch them goes along.
        independent: whether nothing of what its statements do when they run is from other modules that change.
    """
    names = set(names)
    comparison = plan.comparison
    rest = (
        _old_fields(comparison) if plan.changed else None,
        tuple(map(_fields, comparison.new)),
        _comparison(comparison),
        _bases(plan, names),
    )
    quiet = is_quiet(plan, names)
    plain = None if quiet else plain_of(plan, names)
    packed_rest = marshal.dumps(rest)
    if plain is not None:  # it will hardly be asked for, and is half of what would be sent to each process
        packed_rest = zlib.compress(packed_rest, 1)
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
            None if plain is None else marshal.dumps(_untyped(plain)),
            tuple(plan.configures_logging),
            independent,
            tuple(plan.removed),
            list(map(_pair_fields, plan.pairs)),
            plan.behaviours,
            packed_rest,
            pieces,
        )
    )


def _pair_fields(pair: Pair) -> tuple[Any, ...]:
    """A pair; of code that only moved the new one, and by how many lines that lies below the old."""
    lines = pair.new.co_firstlineno - pair.old.co_firstlineno
    if not pair.differs and pair.old.co_firstlineno > 0 and identical(moved(pair.new, -lines), pair.old):
        return lines, pair.new, pair.route
    return tuple(pair)


def _pair(told: tuple[Any, ...]) -> Pair:
    """What _pair_fields took apart."""
    if type(told[0]) is not int:
        return Pair._make(told)
    lines, new, route = told
    return Pair(moved(new, -lines), new, route, False)


def _untyped(plain: Plain) -> tuple[Any, ...]:
    """In terms of what marshal knows."""
    return tuple(map(tuple, plain.names)), tuple(map(tuple, plain.classes)), plain.behaving, plain.lines


def _plain(told: tuple[Any, ...]) -> Plain:
    """From what _untyped made."""
    names, classes, *others = told
    return Plain(tuple(PlainName(*each) for each in names), tuple(PlainClass(*each) for each in classes), *others)


def _fields(statement: Statement) -> dict[str, Any]:
    """Its attributes that are not at their default."""
    found = {
        name: value for name, value in statement.__dict__.items() if name in _DEFAULTS and value != _DEFAULTS[name]
    }
    if "imports" in found:
        found["imports"] = tuple(map(tuple, found["imports"]))
    if found.pop("lazy_imports", None):
        found["_lazy_imports"] = marshal.dumps(tuple(map(tuple, statement.lazy_imports)))
    if found.pop("lazy", None):
        found["_lazy"] = " ".join(map(".".join, statement.lazy))
    if statement.body:
        found["_body"] = marshal.dumps(tuple(map(_fields, statement.body)))
    return found


def _old_fields(comparison: Comparison) -> tuple[dict[str, Any] | _Same, ...]:
    """The old version's statements; of one that says the same as a new one, which that is, and its own lines."""
    new = {
        old: index
        for index, old in enumerate(comparison.partners)
        if comparison.statuses[index] == SAME and _are_alike(comparison.old[old], comparison.new[index])
    }
    return tuple(
        (new[old.index], old.first_line, old.last_line) if old.index in new else _fields(old) for old in comparison.old
    )


def _are_alike(one: Statement, other: Statement) -> bool:
    """Whether two statements of one text differ in nothing but their places. They may: a text is the docstring only
    where it stands first, and annotations are read only where they are not lazy.
    """
    names = (name for name in FIELDS if name not in ("index", "first_line", "last_line", "body"))
    return all(getattr(one, name) == getattr(other, name) for name in names) and all(
        map(_are_alike, one.body, other.body)
    )


def _statement(fields: dict[str, Any]) -> Statement:
    """What _fields took apart. There are thousands, so this one does not go through its constructor."""
    made = Statement.__new__(_Sent)
    if "imports" in fields:
        fields["imports"] = tuple(Import(*item) for item in fields["imports"])
    made.__dict__ = fields
    return made


def _old_statement(told: dict[str, Any] | _Same, index: int, new: tuple[Statement, ...]) -> Statement:
    """A statement of the old version, from what _old_fields tells."""
    if isinstance(told, dict):
        return _statement(told)
    same, first_line, last_line = new[told[0]], told[1], told[2]
    if (same.index, same.first_line, same.last_line) == (index, first_line, last_line):
        return same
    return same.replaced(index=index, first_line=first_line, last_line=last_line)


class _Sent(Statement):
    """What few ask a statement for is read then: thousands of tuples less for the collector to go through."""

    _body: bytes = b""
    _lazy: str = ""
    _lazy_imports: bytes = b""

    @cached_property
    def body(self) -> tuple[Statement, ...]:  # type: ignore[override]  # it is read late
        """As of Statement."""
        return tuple(map(_statement, marshal.loads(self._body))) if self._body else ()  # noqa: S302 - from the gateway

    @cached_property
    def lazy(self) -> tuple[Chain, ...]:  # type: ignore[override]  # as above
        """As of Statement."""
        return tuple(tuple(chain.split(".")) for chain in self._lazy.split())

    @cached_property
    def lazy_imports(self) -> tuple[Import, ...]:  # type: ignore[override]  # as above
        """As of Statement."""
        return tuple(Import(*item) for item in marshal.loads(self._lazy_imports)) if self._lazy_imports else ()  # noqa: S302 - from the gateway


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
        touched = statement.touches & names
        if statement.kind == DEF and len(plan.touchers[statement.label]) == 1:
            touched = frozenset()  # its code alone is other: it is not run for that
        if not (changed or statement.kind == IMPORT or touched or read_when_run(statement) & names):
            continue
        old = comparison.old[comparison.partners[index]] if comparison.partners[index] >= 0 else None
        if not _runs_in_part(statement, old, names):
            found[index, ()] = plan.piece(index)
        if statement.attribute_store:
            found[index, (-1,)] = plan.value_piece(index)
        if statement.kind != CLASS or statement.decorated or old is None:
            continue
        if statement.header == old.header:
            body = comparison.bodies.get(index) or compare(old.body, statement.body)
            reading = {inner.index for inner in statement.body if read_when_run(inner) & names}
            # Most of these names keep their value in the end; what methods name in annotations nearly always.
            data = {inner.index for inner in statement.body if inner.kind != DEF and inner.index in reading}
            for others in ((), data, reading):
                if chosen := changed_in_body(statement, body, others):
                    found[index, tuple(chosen)] = plan.piece(index, tuple(chosen))
    return found


def _runs_in_part(statement: Statement, old: Statement | None, names: set[str]) -> bool:
    """Whether a class statement will hardly ever run as a whole, as far as its text tells; whoever has to run it so all
    the same compiles it.
    """
    return (
        statement.kind == CLASS
        and old is not None
        and statement.header == old.header
        and not (statement.decorated or statement.generic or statement.has_keywords)
        and names.isdisjoint(chain[0] for chain in statement.bases if chain)
        and all(chain and chain[-1] not in _OTHER_METACLASSES for chain in statement.bases)
        and not any("__slots__" in inner.writes for inner in (*old.body, *statement.body))
    )


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

    def __init__(
        self, name: str, packed: bytes | memoryview, old_text: Callable[[], str], new_text: Callable[[], str]
    ) -> None:
        told = marshal.loads(packed)  # noqa: S302 - it comes from the gateway, as compiled code does
        if told[0] != VERSION:
            raise ValueError(f"the plan of {name} has version {told[0]}, not {VERSION}")
        _, filename, package, changed, tier, runs, quiet, plain, logging, independent, *others = told
        removed, pairs, behaviours, rest, pieces = others
        self.name, self.filename, self.package = name, str(filename), bool(package)
        self._changed, self._tier, self._runs = bool(changed), str(tier), bool(runs)
        self.behaviours = behaviours
        self.quiet = bool(quiet)
        self.plain = None if plain is None else _plain(marshal.loads(plain))  # noqa: S302 - as above
        self._rest: bytes = rest
        self._is_rest_compressed = plain is not None
        self._packed_pieces: dict[tuple[int, tuple[int, ...]], bytes] = pieces
        self._pieces = {}
        self.names = frozenset()
        self.configures_logging = frozenset(logging)
        self.independent = bool(independent)
        self._removed = frozenset(removed)
        self.pairs = list(map(_pair, pairs))
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
        rest = zlib.decompress(self._rest) if self._is_rest_compressed else self._rest
        found: tuple[Any, ...] = marshal.loads(rest)  # noqa: S302 - as above
        return found

    @cached_property
    def comparison(self) -> Comparison:  # type: ignore[override]  # as old
        """As of ModulePlan."""
        new = tuple(map(_statement, self._facts[1]))
        told = self._facts[0]
        old = new if told is None else tuple(_old_statement(each, index, new) for index, each in enumerate(told))
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
