"""What it takes to bring one module from one source text to another: all that can be said from the text alone.

A `ModulePlan` is made by `plan_module`, by a gateway or, where there is none, by the agent. A module that is not to
be changed but may have to follow others has a plan too, with the same text on both sides.
"""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING

from .bases import Base, base_of
from .codes import (
    Pair,
    children,
    class_part,
    compile_module,
    compile_pieces,
    compile_value,
    identical,
    module_imports,
    pair_children,
    signature,
)
from .comparison import CHANGED, CODE, NEW, SAME, Comparison, bound, compare, providers
from .names import Import
from .statements import ASSIGN, CLASS, Statement, configures_logging, statements_of, text_of
from .tuples import NamedTuple

if TYPE_CHECKING:
    from types import CodeType

    from .plain import Plain

#: How deep a change goes.
TIER_NOOP, TIER_CODE, TIER_PATCH = "NOOP", "CODE", "PATCH"

#: What a CODE statement's functions do: the same, something else, or only their inner functions do something else.
SAME_BEHAVIOUR, OTHER_BEHAVIOUR, INNER_BEHAVIOUR = "same", "other", "inner"


class Text(NamedTuple):
    """One version of a module's source, read."""

    source: str
    filename: str
    tree: ast.Module
    statements: tuple[Statement, ...]
    code: CodeType


def read_text(source: str, filename: str, optimize: int = -1, like: Text | None = None) -> Text:
    """Reads a source.

    Args:
        source: the text.
        filename: what its code shall carry.
        optimize: as of compile().
        like: another version: statements whose lines are the same are not read again.

    Raises:
        SyntaxError: it is no Python. ValueError: it holds NUL bytes.
    """
    tree = ast.parse(source, filename)
    lazy = _annotations_are_lazy(tree)
    known: dict[str, Statement] = {}
    if like is not None and _annotations_are_lazy(like.tree) == lazy:
        old_lines = like.source.split("\n")
        known = {
            text_of(node, old_lines): statement for node, statement in zip(like.tree.body, like.statements, strict=True)
        }
    statements = statements_of(tree.body, lazy_annotations=lazy, lines=source.split("\n"), known=known)
    return Text(source, filename, tree, statements, compile_module(tree, filename, optimize))


def _annotations_are_lazy(tree: ast.Module) -> bool:
    return any(
        isinstance(n, ast.ImportFrom) and n.module == "__future__" and any(a.name == "annotations" for a in n.names)
        for n in tree.body
    )


class ModulePlan:
    """How one module comes from `old` to `new`."""

    def __init__(
        self,
        name: str,
        *,
        package: bool,
        comparison: Comparison,
        pairs: list[Pair],
        behaviours: dict[int, str],
        old: Text,
        new: Text,
    ) -> None:
        self.name = name
        self.filename = new.filename
        self.package = package
        self.comparison = comparison
        #: Functions' codes that differ in anything, positions included.
        self.pairs = pairs
        #: Of CODE statements, by index: what their functions do.
        self.behaviours = behaviours
        self.old = old
        self.new = new
        #: Whether it is known that no statement of it has to run; see following.is_quiet.
        self.quiet = False
        #: What it comes to where nothing has to be staged, as far as that is known; see plain.plain_of.
        self.plain: Plain | None = None
        #: Whether what other modules of the change become has no part in what its statements do when they run.
        self.independent = False
        #: Names that may get another value, as far as somebody has asked; see following.potential_names.
        self.names: frozenset[str] = frozenset()
        self._pieces: dict[tuple[int, tuple[int, ...]], CodeType] = {}

    @property
    def changed(self) -> bool:
        """Whether the text differs at all."""
        return self.old is not self.new

    @property
    def runs(self) -> bool:
        """Whether anything has to be executed or removed."""
        return self.comparison.runs

    @property
    def removed(self) -> frozenset[str]:
        """Names that the old version bound for good and the new one does not."""
        return self.comparison.removed

    @property
    def old_code(self) -> CodeType | None:
        """The old version's code, where the plan holds it."""
        return self.old.code

    @property
    def tier(self) -> str:
        """The lowest tier that suffices, as far as the text alone can say."""
        if self.runs:
            return TIER_PATCH
        return TIER_CODE if any(b != SAME_BEHAVIOUR for b in self.behaviours.values()) else TIER_NOOP

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The new version's statements."""
        return self.comparison.new

    @cached_property
    def providers(self) -> tuple[dict[str, int], ...]:
        """See comparison.providers, of the new version."""
        return providers(self.comparison.new)

    @cached_property
    def writers(self) -> dict[str, list[int]]:
        """Name to the statements that bind it, in order."""
        found: dict[str, list[int]] = {}
        for statement in self.comparison.new:
            for name in statement.writes:
                found.setdefault(name, []).append(statement.index)
        return found

    @cached_property
    def touchers(self) -> dict[str, list[int]]:
        """Name to the statements that bind it or change its object, in order."""
        found: dict[str, list[int]] = {}
        for statement in self.comparison.new:
            for name in statement.touches:
                found.setdefault(name, []).append(statement.index)
        return found

    @cached_property
    def bound(self) -> dict[str, int]:
        """Names that the new version binds for good, with the statement that does it last."""
        return bound(self.comparison.new)

    @cached_property
    def run_time_state(self) -> frozenset[str]:
        """Names that functions rebind through `global`."""
        return frozenset(name for statement in self.comparison.new for name in statement.global_writes)

    @property
    def old_source(self) -> str:
        """The old version's text."""
        return self.old.source

    @property
    def new_tree(self) -> ast.Module:
        """The new version's tree."""
        return self.new.tree

    @cached_property
    def configures_logging(self) -> frozenset[str]:
        """The modules by which a statement of either version may configure logging."""
        return frozenset().union(*map(configures_logging, (*self.comparison.old, *self.comparison.new)))

    @cached_property
    def _imports(self) -> list[ast.stmt]:
        return module_imports(self.new_tree)

    def piece(self, index: int, body: tuple[int, ...] = ()) -> CodeType:
        """The code of one statement; with `body`, of a class with only these statements of its body."""
        key = (index, body)
        if key not in self._pieces:
            node = self.new_tree.body[index]
            if body:
                assert isinstance(node, ast.ClassDef)
                node = class_part(node, list(body))
            self._pieces[key] = compile_pieces(self.new_tree, [node], self.filename, imports=self._imports)
        return self._pieces[key]

    def value_piece(self, index: int) -> CodeType:
        """The code of an assignment's right side, to be evaluated."""
        key = (index, (-1,))
        if key not in self._pieces:
            node = self.new_tree.body[index]
            assert isinstance(node, (ast.Assign, ast.AnnAssign))
            assert node.value is not None
            self._pieces[key] = compile_value(self.new_tree, node.value, self.filename)
        return self._pieces[key]

    @cached_property
    def _old_bound(self) -> dict[str, int]:
        return bound(self.comparison.old)

    @cached_property
    def _old_touches(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for statement in self.comparison.old:
            for name in statement.touches:
                counts[name] = counts.get(name, 0) + 1
        return counts

    def old_maker(self, name: str) -> Statement | None:
        """The old version's statement that bound a name last."""
        index = self._old_bound.get(name)
        return None if index is None else self.comparison.old[index]

    def maker(self, name: str) -> Statement | None:
        """The statement that binds a name last; of a decorated chain (`C = add(C)`), the class statement among them."""
        indexes = self.writers.get(name, [])
        classes = [index for index in indexes if self.comparison.new[index].kind == CLASS]
        chosen = classes or indexes
        return self.comparison.new[chosen[-1]] if chosen else None

    def base(self, name: str) -> Base | None:
        """How to work out what the old version bound the name to; None where it cannot be told."""
        index = self._old_bound.get(name)
        if index is None or self.comparison.old[index].kind != ASSIGN or self.comparison.old[index].label != name:
            return None
        found = base_of(self.old.tree.body[index])
        if found is None or any(self._old_touches.get(each, 0) > 1 for each in (name, *found.names)):
            return None
        return found

    def class_base(self, index: int, name: str) -> Base | None:
        """The same for an attribute that a class's body binds; `index` is the old class statement's."""
        node = self.old.tree.body[index]
        for statement in self.comparison.old[index].body:
            if statement.kind == ASSIGN and statement.label == name and isinstance(node, ast.ClassDef):
                return base_of(node.body[statement.index])
        return None


def plan_module(name: str, old: Text, new: Text, *, package: bool) -> ModulePlan:
    """How the module comes from one text to the other. Give the same object twice for one that only follows others."""
    comparison = compare(old.statements, new.statements)
    pairs, behaviours = ([], {}) if old is new else _pair(old, new, comparison)
    return ModulePlan(
        name, package=package, comparison=comparison, pairs=pairs, behaviours=behaviours, old=old, new=new
    )


def _pair(old: Text, new: Text, comparison: Comparison) -> tuple[list[Pair], dict[int, str]]:
    """Pairs functions' codes statement by statement, so that what moved past another thing is still itself."""
    old_codes = _by_statement(old.code, comparison.old)
    new_codes = _by_statement(new.code, comparison.new)
    pairs: list[Pair] = []
    behaviours: dict[int, str] = {}
    for index, partner in enumerate(comparison.partners):
        if partner == -1:
            continue
        before = [code for _, code in old_codes.get(partner, [])]
        after: list[tuple[tuple[int, ...], CodeType]] = [((place,), code) for place, code in new_codes.get(index, [])]
        found = pair_children(before, after)
        found = [pair._replace(differs=signature(pair.old) != signature(pair.new)) for pair in found]
        pairs += [pair for pair in found if not identical(pair.old, pair.new)]
        if comparison.statuses[index] == CODE:
            behaviours[index] = _behaviour(comparison.new[index], found)
    return pairs, behaviours


def _behaviour(statement: Statement, pairs: list[Pair]) -> str:
    outer = 2 if statement.kind == CLASS else 1
    differing = [pair for pair in pairs if pair.differs]
    if not differing:
        return SAME_BEHAVIOUR
    return OTHER_BEHAVIOUR if any(len(pair.route) <= outer for pair in differing) else INNER_BEHAVIOUR


def _by_statement(code: CodeType, statements: tuple[Statement, ...]) -> dict[int, list[tuple[int, CodeType]]]:
    """The module's inner codes by the statement that they stand in.

    Several statements on one line are told apart by the order of the constants, as the compiler meets them.
    """
    found: dict[int, list[tuple[int, CodeType]]] = {}
    position = 0
    for place, inner in children(code):
        line = inner.co_firstlineno
        while position < len(statements) and statements[position].last_line < line:
            position += 1
        if position == len(statements):
            break
        index = position
        if statements[index].first_line <= line:
            found.setdefault(index, []).append((place, inner))
    return found


__all__ = [
    "CHANGED", "CODE", "INNER_BEHAVIOUR", "NEW", "OTHER_BEHAVIOUR", "SAME", "SAME_BEHAVIOUR", "TIER_CODE",
    "TIER_NOOP", "TIER_PATCH", "Import", "ModulePlan", "Text", "plan_module", "read_text",
]  # fmt: skip
