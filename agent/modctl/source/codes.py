"""Code objects: compiling whole modules and single statements, and pairing the code of two versions.

A statement compiled alone must give the same bytecode as in its module: calls on names that the compiler knows to
be imports compile otherwise (3.11 and later), so every piece is preceded by `if 0:` and the module's imports, which
emit nothing.
"""

from __future__ import annotations
import __future__

import ast
from collections import defaultdict
from hashlib import blake2b
from types import CodeType
from typing import Final

from .tuples import NamedTuple

#: The name under which a class part finds what collects its namespace.
CAPTURE: Final = "__modctl_capture__"
#: Bodies that no function is ever made from and that are run at once.
_TRANSIENT: Final = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>", "<module>"})
_CO_HAS_DOCSTRING: Final = 0x4000000  # 3.13 and later
_CO_OPTIMIZED: Final = 0x1
_KIND_FLAGS: Final = 0x20 | 0x80 | 0x200  # generator, coroutine, async generator
_FUTURES: Final = {name: getattr(__future__, name).compiler_flag for name in __future__.all_feature_names}


class Pair(NamedTuple):
    """One function's code in the old version and in the new."""

    old: CodeType
    new: CodeType
    #: Where the new one is: indexes into co_consts from the module's code down.
    route: tuple[int, ...]
    #: Whether it does something else, its own instructions only; a plan says so of all its pairs.
    differs: bool = True


def future_flags(tree: ast.Module) -> int:
    """Compiler flags of the `from __future__` imports."""
    flags = 0
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                flags |= _FUTURES.get(alias.name, 0)
    return flags


def compile_module(tree: ast.Module, filename: str, optimize: int = -1) -> CodeType:
    """The code of a whole module.

    Raises:
        SyntaxError: as compile() does.
    """
    code = compile(tree, filename, "exec", dont_inherit=True, optimize=optimize)
    assert isinstance(code, CodeType)
    return code


def compile_pieces(
    tree: ast.Module,
    pieces: list[ast.stmt],
    filename: str,
    optimize: int = -1,
    *,
    imports: list[ast.stmt] | None = None,
) -> CodeType:
    """The code of some statements of a module, as they would be compiled in it."""
    known = _used(module_imports(tree) if imports is None else imports, pieces)
    body: list[ast.stmt] = list(pieces)
    if known and not any(map(_stands_first, pieces)):
        nothing = ast.copy_location(ast.Constant(value=0), pieces[0])
        guard = ast.copy_location(ast.If(test=nothing, body=known, orelse=[]), pieces[0])
        body.insert(0, guard)
    flags = future_flags(tree)
    module = ast.Module(body=body, type_ignores=[])
    code = compile(module, filename, "exec", flags=flags, dont_inherit=True, optimize=optimize)
    assert isinstance(code, CodeType)
    return code


def _used(imports: list[ast.stmt], pieces: list[ast.stmt]) -> list[ast.stmt]:
    """Of import statements, what binds a name that the pieces say: each name more is kept in their code."""
    if all(isinstance(piece, (ast.Import, ast.ImportFrom)) for piece in pieces):
        return []
    said = {node.id for piece in pieces for node in ast.walk(piece) if isinstance(node, ast.Name)}
    found: list[ast.stmt] = []
    for node in imports:
        assert isinstance(node, (ast.Import, ast.ImportFrom))
        names = [alias for alias in node.names if (alias.asname or alias.name.partition(".")[0]) in said]
        if not names:
            continue
        if isinstance(node, ast.Import):
            made: ast.stmt = ast.Import(names)
        else:
            made = ast.ImportFrom(node.module, names, node.level)
        found.append(ast.copy_location(made, node))
    return found


def _stands_first(piece: ast.stmt) -> bool:
    """Whether nothing may come before a statement, lest it mean something else: docstrings and `from __future__`."""
    if isinstance(piece, ast.ImportFrom):
        return piece.module == "__future__"
    return isinstance(piece, ast.Expr) and isinstance(piece.value, ast.Constant) and isinstance(piece.value.value, str)


def compile_value(tree: ast.Module, value: ast.expr, filename: str, optimize: int = -1) -> CodeType:
    """The code of one expression of a module."""
    code = compile(
        ast.Expression(value), filename, "eval", flags=future_flags(tree), dont_inherit=True, optimize=optimize
    )
    assert isinstance(code, CodeType)
    return code


def module_imports(tree: ast.Module) -> list[ast.stmt]:
    """Import statements at module level, inside compound statements too; `__future__` left out."""
    found: list[ast.stmt] = []
    todo: list[ast.AST] = list(reversed(tree.body))
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module != "__future__"):
            found.append(node)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        else:
            todo += ast.iter_child_nodes(node)
    return found


def class_part(node: ast.ClassDef, indexes: list[int]) -> ast.ClassDef:
    """A class statement of the same name without bases or decorators, with some statements of its body.

    Its namespace goes to CAPTURE, found by name. Name mangling, `__qualname__` and `super()` are as in the whole class.
    """
    part = ast.ClassDef(
        name=node.name,
        bases=[],
        keywords=[ast.keyword(arg="metaclass", value=ast.Name(id=CAPTURE, ctx=ast.Load()))],
        body=[node.body[index] for index in indexes],
        decorator_list=[],
    )
    if hasattr(node, "type_params"):
        setattr(part, "type_params", [])  # noqa: B010 - 3.12 and later have it
    return ast.fix_missing_locations(ast.copy_location(part, node))


def children(code: CodeType) -> list[tuple[int, CodeType]]:
    """Code objects directly inside, with their places in co_consts, in the order of the text."""
    return [(place, const) for place, const in enumerate(code.co_consts) if isinstance(const, CodeType)]


def has_inner(code: CodeType) -> bool:
    """Whether there are codes directly inside."""
    return CodeType in map(type, code.co_consts)


def doc_of(code: CodeType) -> str | None:
    """The docstring of a function made from this code."""
    first = code.co_consts[0] if code.co_consts else None
    if not isinstance(first, str) or code.co_name == "<lambda>":
        return None
    return first if code.co_flags & _CO_HAS_DOCSTRING or not _HAS_FLAG else None


def qualified_name(code: CodeType) -> str:
    """Its qualified name; its name alone before 3.11."""
    found: str = getattr(code, "co_qualname", code.co_name)
    return found


def kind_flags(code: CodeType) -> int:
    """Whether calling makes a generator, coroutine or async generator."""
    return code.co_flags & _KIND_FLAGS


_HAS_FLAG: Final = bool(compile("def f():\n 'doc'", "", "exec").co_consts[0].co_flags & _CO_HAS_DOCSTRING)


def signature(code: CodeType) -> tuple[object, ...]:
    """What it does, its own instructions only: positions and the insides of nested functions left out."""
    return _signature(code, deep=False)


def deep_signature(code: CodeType) -> tuple[object, ...]:
    """What it does, nested functions included; positions left out."""
    return _signature(code, deep=True)


def _signature(code: CodeType, *, deep: bool) -> tuple[object, ...]:
    return (
        code.co_name,
        code.co_code,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_flags,
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount),
        getattr(code, "co_exceptiontable", b""),
        tuple(_constant(const, code, deep) for const in code.co_consts),
    )


def _constant(const: object, owner: CodeType, deep: bool) -> object:
    if isinstance(const, CodeType):
        return _signature(const, deep=True) if deep else ("code", const.co_name)
    if type(const) is int and const == owner.co_firstlineno and not owner.co_flags & _CO_OPTIMIZED:
        return "first line"  # 3.13: class bodies store __firstlineno__
    if isinstance(const, tuple):
        return tuple(_constant(item, owner, deep) for item in const)
    if isinstance(const, frozenset):
        return frozenset(_constant(item, owner, deep) for item in const)
    return (type(const), repr(const)) if isinstance(const, (float, complex)) else (type(const), const)


def shape(code: CodeType) -> str:
    """deep_signature as a short text that is the same in every process."""
    return blake2b(_spelled(deep_signature(code)).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _spelled(value: object) -> str:
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(map(_spelled, value))) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(map(_spelled, value)) + ")"
    return value.__name__ if isinstance(value, type) else repr(value)


def identical(old: CodeType, new: CodeType) -> bool:
    """Whether nothing differs, positions included: there is no need to swap."""
    return (
        old == new
        and _lines(old) == _lines(new)
        and all(identical(a, b) for (_, a), (_, b) in zip(children(old), children(new), strict=False))
    )


def moved(code: CodeType, lines: int) -> CodeType:
    """The same so many lines further down: its table of lines counts from its first one."""
    consts = code.co_consts
    if any(type(const) is CodeType for const in consts):
        consts = tuple(moved(const, lines) if type(const) is CodeType else const for const in consts)
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=consts)


def _lines(code: CodeType) -> bytes:
    return code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab


def pair_children(old: list[CodeType], new: list[tuple[tuple[int, ...], CodeType]]) -> list[Pair]:
    """Pairs the functions of two versions of the same text, and those inside them.

    Same name first; among several of one name, those that do the same; then by ordinal where as many are left on
    both sides.
    What cannot be told stays unpaired and its live functions stay as they are.
    """
    found: list[Pair] = []
    by_name: dict[str, list[tuple[tuple[int, ...], CodeType]]] = defaultdict(list)
    for route, code in new:
        by_name[code.co_name].append((route, code))
    old_by_name: dict[str, list[CodeType]] = defaultdict(list)
    for code in old:
        old_by_name[code.co_name].append(code)
    for name, olds in old_by_name.items():
        for before, (route, after) in _match(olds, by_name.get(name, [])):
            if name not in _TRANSIENT:
                found.append(Pair(before, after, route))
            inner = [((*route, place), code) for place, code in children(after)]
            found += pair_children([code for _, code in children(before)], inner)
    return found


def _match(
    olds: list[CodeType], news: list[tuple[tuple[int, ...], CodeType]]
) -> list[tuple[CodeType, tuple[tuple[int, ...], CodeType]]]:
    if len(olds) == len(news):
        return list(zip(olds, news, strict=False))
    matched = []
    left = list(news)
    unmatched: list[CodeType] = []
    for before in olds:
        what = deep_signature(before)
        same = next((item for item in left if deep_signature(item[1]) == what), None)
        if same is None:
            unmatched.append(before)
        else:
            left.remove(same)
            matched.append((before, same))
    if len(unmatched) == len(left) == 1:
        matched.append((unmatched[0], left[0]))
    return matched
