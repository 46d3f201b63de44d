"""What a statement of the old version had called, with what: so that an adapter can take back what it registered.

`app.add_url_rule("/a", view_func=a)` binds no name, and nothing tells afterwards which rule is its work, but its text.
The text is read again, and its parts are looked up in the live namespace; nothing of the program is run for it.
"""

from __future__ import annotations

import ast
import textwrap
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.values import MISSING, class_dict, instance_dict, is_class, mro
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from modctl.agent.engine.live.world import StagedModule
    from modctl.source.statements import Statement

#: What cannot be told without running something.
UNKNOWN: Final[Any] = MISSING


class Call(NamedTuple):
    """One call of the old version.

    Attributes:
        receiver: what the method was called of: a live object, or a module.
        method: its name.
        args, kwargs: the arguments, live; UNKNOWN where they cannot be told.
        made: of arguments that are calls of a class: the class and the arguments, by position.
        names: of arguments that are calls `x.as_view("name")`: the name, by position or keyword.
    """

    receiver: Any
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: dict[int, Call]
    names: dict[int | str, str]

    def argument(self, position: int, name: str) -> Any:
        """An argument by place or name; UNKNOWN where it was not given or cannot be told."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name, UNKNOWN)

    @property
    def values(self) -> list[Any]:
        """All arguments that are known."""
        return [value for value in (*self.args, *self.kwargs.values()) if value is not UNKNOWN]


def old_call(staged: StagedModule, statement: Statement) -> Call | None:
    """The call that an expression statement of the old version is; None where it is no call or its receiver is not
    to be found.
    """
    plan = staged.plan
    assert plan is not None
    lines = plan.old_source.splitlines()[statement.first_line - 1 : statement.last_line]
    try:
        body = ast.parse(textwrap.dedent("\n".join(lines))).body
    except SyntaxError:
        return None
    found = [node.value for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    if len(found) != 1:
        return None  # several on one line: which is which cannot be told
    return _call(found[0], staged.home)


def _call(node: ast.Call, namespace: dict[str, Any]) -> Call | None:
    if isinstance(node.func, ast.Attribute):
        receiver, method = value_of(node.func.value, namespace), node.func.attr
    elif isinstance(node.func, ast.Name):
        function = value_of(node.func, namespace)
        module, name = getattr(function, "__module__", None), getattr(function, "__name__", node.func.id)
        receiver, method = (_module(module), name) if isinstance(module, str) else (UNKNOWN, "")
    else:
        return None
    if receiver is UNKNOWN:
        return None
    made: dict[int, Call] = {}
    names: dict[int | str, str] = {}
    given: list[tuple[int | str, ast.expr]] = [*enumerate(node.args)]
    given += [(each.arg, each.value) for each in node.keywords if each.arg is not None]
    for place, argument in given:
        if not isinstance(argument, ast.Call):
            continue
        kind = value_of(argument.func, namespace)
        if isinstance(place, int) and is_class(kind):
            args, kwargs = _arguments(argument, namespace)
            made[place] = Call(kind, "__init__", args, kwargs, {}, {})
        first = argument.args[0] if argument.args else None
        makes_view = isinstance(argument.func, ast.Attribute) and argument.func.attr == "as_view"
        if makes_view and isinstance(first, ast.Constant) and isinstance(first.value, str):
            names[place] = first.value
    args, kwargs = _arguments(node, namespace)
    return Call(receiver, method, args, kwargs, made, names)


def _arguments(node: ast.Call, namespace: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args = tuple(UNKNOWN if isinstance(each, ast.Starred) else value_of(each, namespace) for each in node.args)
    return args, {each.arg: value_of(each.value, namespace) for each in node.keywords if each.arg is not None}


def value_of(node: ast.expr, namespace: dict[str, Any]) -> Any:
    """What an expression of the old version stands for now; UNKNOWN where that would run code or cannot be told."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        builtin = namespace.get("__builtins__")
        builtins = builtin if isinstance(builtin, dict) else getattr(builtin, "__dict__", {})
        return namespace.get(node.id, builtins.get(node.id, UNKNOWN))
    if isinstance(node, ast.Attribute):
        return _attribute(value_of(node.value, namespace), node.attr)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        items = [value_of(each, namespace) for each in node.elts]
        if any(item is UNKNOWN for item in items):
            return UNKNOWN
        return tuple(items) if isinstance(node, ast.Tuple) else items
    if isinstance(node, ast.Dict):
        pairs = [(value_of(k, namespace) if k else UNKNOWN, value_of(v, namespace)) for k, v in zip(
            node.keys, node.values, strict=True)]  # fmt: skip
        # A dict of parts that are not all known is still known by its keys.
        return {key: value for key, value in pairs if type(key) is str}
    if isinstance(node, ast.Call):
        return _logger(node, namespace)
    return UNKNOWN


def _attribute(value: Any, name: str) -> Any:
    """An attribute that is simply there: of modules, of classes, and of instances' own dicts."""
    if value is UNKNOWN:
        return UNKNOWN
    if isinstance(value, ModuleType):
        return ModuleType.__getattribute__(value, "__dict__").get(name, UNKNOWN)
    if is_class(value):
        return next((class_dict(cls)[name] for cls in mro(value) if name in class_dict(cls)), UNKNOWN)
    return (instance_dict(value) or {}).get(name, UNKNOWN)


def _logger(node: ast.Call, namespace: dict[str, Any]) -> Any:
    """`logging.getLogger("a")`: the logger, where there is one."""
    logging = _module("logging")  # never loaded for this: see log.py
    if type(logging) is not ModuleType or node.keywords or len(node.args) > 1:
        return UNKNOWN
    if value_of(node.func, namespace) is not logging.getLogger:
        return UNKNOWN
    name = value_of(node.args[0], namespace) if node.args else None
    if name is None or name == "root":
        return logging.root
    found = logging.Logger.manager.loggerDict.get(name) if type(name) is str else None
    return found if isinstance(found, logging.Logger) else UNKNOWN


def _module(name: str) -> Any:
    import sys

    found = sys.modules.get(name)
    return UNKNOWN if found is None else found
