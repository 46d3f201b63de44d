"""What a name was bound to when its module was loaded, worked out again from its statement.

Three-way rules need it: a live value that equals it was not touched since; one that differs is the program's state.
Only expressions that can be evaluated without running anybody's code qualify: literals, displays of literals and
names, and arithmetic on plain data.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any, Final

from .tuples import NamedTuple

if TYPE_CHECKING:
    from types import CodeType

_ALLOWED: Final = (
    ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.UnaryOp, ast.BinOp, ast.Load, ast.operator,
    ast.unaryop, ast.expr_context,
)  # fmt: skip
#: Constructors that make an empty container, or one from a display.
_CONTAINERS: Final = frozenset({"dict", "list", "set", "frozenset", "tuple"})
#: Powers, products and shifts of literals can be as large as one likes.
_BOUNDED: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitOr, ast.BitAnd, ast.BitXor)


class Base(NamedTuple):
    """An expression that can be evaluated again."""

    code: CodeType
    names: tuple[str, ...]
    #: Whether its names must be bound to plain data: it does arithmetic with them.
    arithmetic: bool
    #: Whether evaluating it makes a new object: a display.
    display: bool


def base_of(node: ast.stmt) -> Base | None:
    """How to find out what an assignment bound; None where that would run code or cannot be told."""
    value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
    if value is None or not _allowed(value):
        return None
    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
    arithmetic = any(isinstance(n, (ast.BinOp, ast.UnaryOp)) for n in ast.walk(value))
    display = isinstance(value, (ast.List, ast.Dict, ast.Set, ast.Call))
    code = compile(ast.Expression(value), "<base>", "eval", dont_inherit=True)
    return Base(code, tuple(sorted(names)), arithmetic, display)


def _allowed(value: ast.expr) -> bool:
    todo: list[ast.AST] = [value]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            if not (isinstance(node.func, ast.Name) and node.func.id in _CONTAINERS):
                return False
            if node.keywords or any(not isinstance(a, (ast.List, ast.Tuple, ast.Set, ast.Dict)) for a in node.args):
                return False
            todo += node.args
            continue
        if not isinstance(node, _ALLOWED):
            return False
        if isinstance(node, ast.BinOp) and not isinstance(node.op, _BOUNDED):
            return False
        todo += ast.iter_child_nodes(node)
    return True


def evaluate(base: Base, namespace: dict[str, Any], plain: tuple[type, ...]) -> tuple[bool, Any]:
    """(True, what it was bound to), or (False, None) where it cannot be told."""
    values: dict[str, Any] = {"__builtins__": {c.__name__: c for c in (dict, list, set, frozenset, tuple)}}
    for name in base.names:
        if name in _CONTAINERS and name not in namespace:
            continue
        if name not in namespace or (base.arithmetic and type(namespace[name]) not in plain):
            return False, None
        values[name] = namespace[name]
    try:
        return True, eval(base.code, values)  # noqa: S307 - the source that we were asked to load
    except (ArithmeticError, TypeError, ValueError, MemoryError):
        return False, None
