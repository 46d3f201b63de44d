"""Changes that need no staging: nothing differs but bodies of functions, and names that are bound to constants.

Most edits are of this kind. What each name shall be bound to is known from the text, nothing reads it while the module
is loaded, and so there is no statement to run: a process only decides name by name what its live value becomes.
"""

from __future__ import annotations

import ast
import sys
from opcode import opmap
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .bases import evaluate
from .codes import compile_value
from .comparison import CHANGED, CODE, SAME
from .following import imported_names, read_when_run
from .statements import ALIAS, ASSIGN, CLASS, DOC, IMPORT

if TYPE_CHECKING:
    from types import CodeType

    from .comparison import Comparison
    from .plan import ModulePlan
    from .statements import Statement

#: Code that only returns a constant.
_CONSTANT: Final = frozenset(opmap[n] for n in ("RESUME", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST") if n in opmap)
_ATOMS: Final = frozenset({int, float, complex, str, bytes, bool, type(None), type(...)})
#: Names that say to modctl itself what to do.
_OURS: Final = "__modctl_"


class PlainName(NamedTuple):
    """A name of the module that is bound to another constant.

    Attributes:
        name: it.
        value: what the new version binds it to.
        known: whether it is known what the old version bound it to.
        base: that.
        owned: whether the old version's statement made what it bound.
        run_time_state: whether functions rebind it.
    """

    name: str
    value: Any
    known: bool
    base: Any
    owned: bool
    run_time_state: bool


class PlainClass(NamedTuple):
    """A class whose body binds names to other constants.

    Attributes:
        name: of the class.
        values: attribute to constant.
    """

    name: str
    values: tuple[tuple[str, Any], ...]


class Plain(NamedTuple):
    """What a module becomes, beside the code of functions.

    Attributes:
        names: names of the module.
        classes: classes of the module.
        behaving: names of functions and classes that do something else.
        lines: of the statements that this stands for.
    """

    names: tuple[PlainName, ...]
    classes: tuple[PlainClass, ...]
    behaving: tuple[str, ...]
    lines: tuple[int, ...]


def plain_of(plan: ModulePlan, names: set[str]) -> Plain | None:
    """What a plan comes to, where that needs no staging; None where it does, or may.

    Args:
        plan: of a module that changes; its texts are at hand.
        names: names that may get another value or behave otherwise: see following.potential_names.
    """
    comparison = plan.comparison
    if not plan.runs or not plan.changed or "*" in names or not _is_in_place(comparison) or plan.configures_logging:
        return None
    changed = [s for s, status in zip(comparison.new, comparison.statuses, strict=True) if status == CHANGED]
    if any(plan.touchers[name] != [statement.index] for statement in changed for name in statement.touches):
        return None
    if imported_names(comparison.new, plan.name, plan.package, plan.name, names):
        return None  # it has itself under another name
    values = {name for statement in changed for name in statement.writes}
    if any(_may_follow(s, values, names) for s in comparison.new if comparison.statuses[s.index] != CHANGED):
        return None
    found_names: list[PlainName] = []
    found_classes: list[PlainClass] = []
    for statement in changed:
        old = comparison.old[comparison.partners[statement.index]]
        made = _class(plan, statement, old, values) if statement.kind == CLASS else _name(plan, statement, old)
        if made is None:
            return None
        if isinstance(made, PlainName):
            found_names.append(made)
        else:
            found_classes.append(made)
    lines = tuple(statement.first_line for statement in changed)
    return Plain(tuple(found_names), tuple(found_classes), _behaving(plan), lines)


def _may_follow(statement: Statement, values: set[str], names: set[str]) -> bool:
    """Whether an unchanged statement may have to run: it reads what has another value, or calls what does something
    else.
    """
    if values.intersection(_read(statement)):
        return True
    return bool(statement.calls or statement.dynamic) and not names.isdisjoint(read_when_run(statement))


def _read(statement: Statement) -> set[str]:
    return {*statement.reads, *statement.bare, *(chain[0] for chain in statement.chains)}


def _is_in_place(comparison: Comparison) -> bool:
    """Whether every statement is where it was, and none is new or gone."""
    unmoved = not (comparison.gone or comparison.displaced or comparison.rebuilt or comparison.removed)
    return unmoved and {SAME, CODE, CHANGED}.issuperset(comparison.statuses)


def _name(plan: ModulePlan, statement: Statement, old: Statement) -> PlainName | None:
    node: ast.stmt = plan.new_tree.body[statement.index]
    if statement.kind == DOC:
        if sys.flags.optimize > 1 or not isinstance(node, ast.Expr):
            return None  # there are no docstrings
        name, found = "__doc__", _constant(plan, node.value)
    else:
        name, found = statement.label, _bound_constant(plan, statement, old, node)
    base = plan.base(name) if statement.kind == ASSIGN else None
    if found is None or (base is not None and base.names) or name.startswith(_OURS):
        return None
    known, was = (False, None) if base is None else evaluate(base, {}, ())
    if not _is_constant(was):
        return None
    maker = plan.old_maker(name)
    owned = maker is not None and maker.kind != IMPORT and not (maker.kind == ASSIGN and maker.value_kind == ALIAS)
    return PlainName(name, found[0], known, was, owned, name in plan.run_time_state)


def _class(plan: ModulePlan, statement: Statement, old: Statement, other: set[str]) -> PlainClass | None:
    node, body = plan.new_tree.body[statement.index], plan.comparison.bodies[statement.index]
    if statement.header != old.header or statement.decorated or statement.generic or not _is_in_place(body):
        return None
    if other.intersection(base[0] for base in statement.bases if base) or not isinstance(node, ast.ClassDef):
        return None
    touched = [name for inner in (*statement.body, *old.body) for name in inner.touches]
    values: dict[str, Any] = {}
    for inner, status in zip(statement.body, body.statuses, strict=True):
        if status != CHANGED:
            continue
        found = _bound_constant(plan, inner, body.old[body.partners[inner.index]], node.body[inner.index])
        name = inner.writes[0] if inner.writes else "__"
        if found is None or name.startswith("__") or touched.count(name) != 2:  # once in each version
            return None
        values[name] = found[0]
    concerned = other | values.keys()
    for inner, status in zip(statement.body, body.statuses, strict=True):
        if status != CHANGED and concerned.intersection(_read(inner)):
            return None
    return PlainClass(statement.label, tuple(values.items()))


def _bound_constant(plan: ModulePlan, statement: Statement, old: Statement, node: ast.stmt) -> tuple[Any] | None:
    """The constant that a statement binds to one name, which its old version bound too; None where it is none."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.targets[0], ast.Name):
        return None
    if old.kind != ASSIGN or old.annotates or old.writes != statement.writes:
        return None
    return _constant(plan, node.value)


def _constant(plan: ModulePlan, node: ast.expr) -> tuple[Any] | None:
    """The value of an expression that the compiler makes a constant of."""
    code = compile_value(plan.new_tree, node, plan.filename)
    if not _returns_constant(code):
        return None
    value = eval(code, {"__builtins__": {}})  # noqa: S307 - it only loads a constant
    return (value,) if _is_constant(value) else None


def _returns_constant(code: CodeType) -> bool:
    return _CONSTANT.issuperset(code.co_code[::2])


def _is_constant(value: object) -> bool:
    if type(value) is tuple:
        return all(map(_is_constant, value))
    return type(value) in _ATOMS


def _behaving(plan: ModulePlan) -> tuple[str, ...]:
    """Names whose last word is a statement of which the functions do something else."""
    found: dict[str, bool] = {}
    for index in sorted(plan.behaviours):
        for name in plan.comparison.new[index].writes:
            found[name] = plan.behaviours[index] == "other"
    return tuple(name for name, other in found.items() if other)
