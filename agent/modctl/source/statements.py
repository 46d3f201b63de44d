"""A module or class body as a list of statements, each with what it does.

A `Statement` holds only strings, numbers and tuples of them, so that it can travel; see wire.py.
"""

from __future__ import annotations

import ast
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .fingerprints import fingerprint, fingerprint_and_mask
from .names import Chain, Import, chain_of, names_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Kinds. DEF and CLASS carry a name of their own; COMPOUND is if/for/while/with/try/match.
DEF, CLASS, IMPORT, ASSIGN, AUGMENT, ANNOTATION, DELETE, EXPRESSION, COMPOUND, DOC, MAIN = (
    "def", "class", "import", "assign", "augment", "annotation", "delete", "expression", "compound", "doc", "main",
)  # fmt: skip

#: What the right side of an assignment is. An alias never makes a new object.
ALIAS, CONSTANT, DISPLAY, LAMBDA, CALL, OTHER = "alias", "constant", "display", "lambda", "call", "other"

#: Methods of builtin containers that change them.
_REFILLING = frozenset({
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "popleft", "remove",
    "reverse", "setdefault", "sort", "update",
})  # fmt: skip


#: Calls and attributes by which logging is configured.
_CONFIGURES_ALL: Final = frozenset({"dictConfig", "fileConfig"})
_CONFIGURES: Final = frozenset({
    "basicConfig", "addHandler", "removeHandler", "addFilter", "removeFilter", "setLevel",
    "setFormatter", "disable", "propagate", "disabled",
})  # fmt: skip
_WITHOUT_CONFIG: Final = frozenset({"logging"})
_WITH_CONFIG: Final = _WITHOUT_CONFIG | {"logging.config"}


class Statement:
    """One statement of a body. Never changed once it is made; attributes that are at their default are the class's.

    No dataclass: every process of a service loads this when it is first changed, and making the methods of one takes
    longer than all else in here.
    """

    index: int
    kind: str
    #: What two versions of it are recognised by: the name defined, the names bound, or the text of the target.
    label: str
    first_line: int
    last_line: int
    text: str
    mask: str
    reads: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    chains: tuple[Chain, ...] = ()
    calls: tuple[Chain, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    stores_into: tuple[str, ...] = ()
    lazy: tuple[Chain, ...] = ()
    global_writes: tuple[str, ...] = ()
    imports: tuple[Import, ...] = ()
    lazy_imports: tuple[Import, ...] = ()
    dynamic: tuple[str, ...] = ()
    #: Of an assignment: what its right side is.
    value_kind: str = ""
    #: Of an expression statement that is a method call: the chain called. It may change its object.
    method_call: Chain = ()
    #: Of `a.b.c = value`: the chain stored to, when the statement does nothing else.
    attribute_store: Chain = ()
    #: Of a def: (parameter, fingerprint of its default, names that the default reads).
    defaults: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    decorated: bool = False
    #: Of a class: the fingerprint of everything but its body, what its bases are, and its body.
    header: str = ""
    bases: tuple[Chain, ...] = ()
    has_keywords: bool = False
    generic: bool = False
    body: tuple[Statement, ...] = ()
    #: Annotated names that it adds to the scope's __annotations__.
    annotates: tuple[str, ...] = ()

    def __init__(
        self, index: int, kind: str, label: str, first_line: int, last_line: int, text: str, mask: str, **others: Any
    ) -> None:
        self.__dict__.update(others)
        self.index, self.kind, self.label = index, kind, label
        self.first_line, self.last_line = first_line, last_line
        self.text, self.mask = text, mask

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Statement) and all(getattr(self, n) == getattr(other, n) for n in FIELDS)

    def __hash__(self) -> int:
        return hash((self.index, self.text))

    def replaced(self, **changes: Any) -> Statement:
        """The same with other values."""
        made = Statement.__new__(type(self))
        made.__dict__.update(self.__dict__, **changes)
        made.__dict__.pop("touches", None)
        made.__dict__.pop("builds_on", None)
        return made

    @cached_property
    def touches(self) -> frozenset[str]:
        """Names whose binding or object it changes."""
        roots = set(self.writes) | set(self.stores_into)
        if self.method_call:
            roots.add(self.method_call[0])
        return frozenset(roots)

    @cached_property
    def builds_on(self) -> frozenset[str]:
        """Names that it changes starting from what they were: `X += 1`, `L.append(1)`, `f = d(f)`, `del t`."""
        found = {name for name in self.touches if name in self.reads or name not in self.writes or name in self.deletes}
        if self.kind == COMPOUND:
            found |= set(self.writes)
        if self.kind == IMPORT:
            found -= set(self.writes)
        return frozenset(found)


FIELDS: Final = tuple(Statement.__annotations__)


def configures_logging(statement: Statement) -> frozenset[str]:
    """The modules by which a statement, or a function that it defines, may configure logging."""
    called = {chain[-1] for chain in (*statement.calls, *statement.lazy, statement.attribute_store) if chain}
    if not called.isdisjoint(_CONFIGURES_ALL):
        return _WITH_CONFIG
    # `logging.getLogger("a").setLevel(…)` tells only the first of its calls.
    configures = not called.isdisjoint(_CONFIGURES) or (statement.kind == EXPRESSION and "getLogger" in called)
    return _WITHOUT_CONFIG if configures else frozenset()


def statements_of(
    body: list[ast.stmt],
    *,
    lazy_annotations: bool,
    lines: list[str] | None = None,
    known: Mapping[str, Statement] | None = None,
) -> tuple[Statement, ...]:
    """The statements of a module's or class's body, in order.

    Args:
        body: the nodes.
        lazy_annotations: whether annotations are not evaluated.
        lines: the source's lines, with `known`.
        known: statements of another version by their text: one of the same text need not be read again.
    """
    found: list[Statement] = []
    for index, node in enumerate(body):
        is_doc = index == 0 and isinstance(node, ast.Expr) and _is_text(node.value)
        same = known.get(text_of(node, lines)) if known and lines is not None and not is_doc else None
        if same is not None and same.kind != DOC:
            found.append(_moved(same, lines_of(node)[0] - same.first_line).replaced(index=index))
        else:
            found.append(_read(index, node, lazy_annotations, is_doc))
    return tuple(found)


def _moved(statement: Statement, lines: int) -> Statement:
    """The statement so many lines further down."""
    if not lines:
        return statement
    return statement.replaced(
        first_line=statement.first_line + lines,
        last_line=statement.last_line + lines,
        body=tuple(_moved(inner, lines) for inner in statement.body),
    )


def lines_of(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement, decorators included; from 1."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)]), node.end_lineno or node.lineno


def text_of(node: ast.stmt, lines: list[str]) -> str:
    """The lines that a statement stands on: what stands beside it on them is part of it, which makes it another one."""
    first, last = lines_of(node)
    return "\n".join(lines[first - 1 : last]) + f"\0{node.col_offset}"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _read(index: int, node: ast.stmt, lazy_annotations: bool, is_doc: bool) -> Statement:
    if _is_main_guard(node):
        # Never runs in a module that is imported, and no other is ever changed.
        return Statement(index, MAIN, "__main__", node.lineno, node.end_lineno or node.lineno, "main", "main")
    names = names_of(node, lazy_annotations=lazy_annotations)
    if is_doc:
        names.writes.add("__doc__")
    if not is_doc and _kind(node) == COMPOUND:
        names.stores_into |= _refilled(node)
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    text, mask = fingerprint_and_mask(node)
    common = Statement(
        index=index,
        kind=DOC if is_doc else _kind(node),
        label="__doc__" if is_doc else _label(node, names.writes),
        first_line=lines_of(node)[0],
        last_line=lines_of(node)[1],
        text=text,
        mask=mask,
        reads=tuple(sorted(names.reads)),
        bare=tuple(sorted(names.bare)),
        chains=tuple(sorted(names.chains)),
        calls=tuple(sorted(names.calls)),
        writes=tuple(sorted(names.writes)),
        deletes=tuple(sorted(names.deletes)),
        stores_into=tuple(sorted(names.stores_into)),
        lazy=tuple(sorted(names.lazy)),
        global_writes=tuple(sorted(names.global_writes)),
        imports=tuple(names.imports),
        lazy_imports=tuple(names.lazy_imports),
        dynamic=tuple(sorted(names.dynamic)),
        decorated=bool(decorators),
        annotates=_annotated(node),
    )
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return common.replaced(defaults=_defaults(node, lazy_annotations))
    if isinstance(node, ast.ClassDef):
        return common.replaced(**_class_facts(node, lazy_annotations))
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        return common.replaced(value_kind=_value_kind(node.value), attribute_store=_attribute_store(node))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        chain = chain_of(node.value.func)
        if chain is not None and len(chain) > 1:
            return common.replaced(method_call=chain)
    return common


def _refilled(node: ast.stmt) -> set[str]:
    """Names whose container a compound statement changes: `if zstd is None: DECODERS.pop("zstd")`. Bodies of functions
    run at other times.
    """
    found: set[str] = set()
    todo: list[ast.AST] = [node]
    while todo:
        here = todo.pop()
        if isinstance(here, ast.Expr) and isinstance(here.value, ast.Call):
            chain = chain_of(here.value.func)
            if chain is not None and len(chain) == 2 and chain[1] in _REFILLING:
                found.add(chain[0])
        if not isinstance(here, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            todo += ast.iter_child_nodes(here)
    return found


def _is_main_guard(node: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":` without an else."""
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and node.test.left.id == "__name__"
        and isinstance(node.test.comparators[0], ast.Constant)
        and node.test.comparators[0].value == "__main__"
    )


def _kind(node: ast.stmt) -> str:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return DEF
    if isinstance(node, ast.ClassDef):
        return CLASS
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return IMPORT
    if isinstance(node, ast.Assign):
        return ASSIGN
    if isinstance(node, ast.AnnAssign):
        return ASSIGN if node.value is not None else ANNOTATION
    if isinstance(node, ast.AugAssign):
        return AUGMENT
    if isinstance(node, ast.Delete):
        return DELETE
    if type(node).__name__ == "TypeAlias":
        return ASSIGN
    return EXPRESSION if isinstance(node, (ast.Expr, ast.Pass, ast.Assert, ast.Global)) else COMPOUND


def _label(node: ast.stmt, writes: set[str]) -> str:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return " = ".join(ast.unparse(target) for target in targets)
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "import"
    return ", ".join(sorted(writes))


def _annotated(node: ast.stmt) -> tuple[str, ...]:
    """Names that an annotated assignment notes in __annotations__."""
    if isinstance(node, ast.AnnAssign) and node.simple and isinstance(node.target, ast.Name):
        return (node.target.id,)
    inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, (ast.stmt, ast.ExceptHandler))]
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return ()
    return tuple(sorted({name for child in inner if isinstance(child, ast.stmt) for name in _annotated(child)}))


def _value_kind(node: ast.expr) -> str:
    if chain_of(node) is not None:
        return ALIAS
    if isinstance(node, ast.Constant):
        return CONSTANT
    if isinstance(node, (ast.List, ast.Tuple, ast.Dict, ast.Set)):
        return DISPLAY
    if isinstance(node, ast.Lambda):
        return LAMBDA
    return CALL if isinstance(node, ast.Call) else OTHER


def _attribute_store(node: ast.Assign | ast.AnnAssign) -> Chain:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    if len(targets) != 1 or not isinstance(targets[0], ast.Attribute):
        return ()
    return chain_of(targets[0]) or ()


def _defaults(
    node: ast.FunctionDef | ast.AsyncFunctionDef, lazy_annotations: bool
) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    positional = [*node.args.posonlyargs, *node.args.args]
    pairs = [*zip(positional[len(positional) - len(node.args.defaults) :], node.args.defaults, strict=True)]
    pairs += [(a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d is not None]
    found = []
    for argument, default in pairs:
        reads = names_of(ast.Expr(default), lazy_annotations=lazy_annotations).reads
        found.append((argument.arg, fingerprint(default), tuple(sorted(reads))))
    return tuple(found)


def _class_facts(node: ast.ClassDef, lazy_annotations: bool) -> dict[str, Any]:
    type_parameters = getattr(node, "type_params", [])
    header = [fingerprint(part) for part in [*node.bases, *node.keywords, *node.decorator_list, *type_parameters]]
    return {
        "header": "/".join(header),
        "bases": tuple(chain_of(base) or () for base in node.bases),
        "has_keywords": bool(node.keywords),
        "generic": bool(type_parameters),
        "body": tuple(
            _mangled(inner, node.name) for inner in statements_of(node.body, lazy_annotations=lazy_annotations)
        ),
    }


def _mangled(statement: Statement, owner: str) -> Statement:
    """A class's private names as its namespace has them."""
    names = (*statement.writes, *statement.reads, *statement.annotates)
    if not any(name.startswith("__") and not name.endswith("__") for name in names):
        return statement
    prefix = f"_{owner.lstrip('_')}"

    def mangle(found: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(
            prefix + name if prefix != "_" and name.startswith("__") and not name.endswith("__") else name
            for name in found
        )

    return statement.replaced(
        reads=mangle(statement.reads),
        bare=mangle(statement.bare),
        writes=mangle(statement.writes),
        deletes=mangle(statement.deletes),
        annotates=mangle(statement.annotates),
        label=mangle((statement.label,))[0],
    )
