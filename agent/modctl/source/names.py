"""Which names a statement reads, writes, calls and changes when it runs, and which its functions will read later.

The rules are those of Python's own symbol tables, kept apart in two times: *eager* is what happens while the
statement runs (decorators, defaults, bases, class bodies), *lazy* is what bodies of functions do when they are
called.

A chain is a dotted access that starts at a name: `a.b.C` is ("a", "b", "C").
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from .tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

Chain = tuple[str, ...]

#: Calls that can bind or read names behind the back of any reading of the text.
DYNAMIC: Final = frozenset({"exec", "eval", "globals", "vars", "locals", "setattr", "delattr"})
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Import(NamedTuple):
    """One name of an import statement.

    `import a.b` is ("a.b", 0, "", "a"), `import a.b as c` ("a.b", 0, "", "c"),
    `from ..a import b as c` ("a", 2, "b", "c"), `from a import *` ("a", 0, "*", "*").
    """

    module: str
    level: int
    attribute: str
    binds: str


class Names:
    """What one statement does with names. All sets are of this scope: a class's own names are not the module's."""

    def __init__(self) -> None:
        self.reads: set[str] = set()
        #: Reads that are not the start of a longer chain: the object itself is used.
        self.bare: set[str] = set()
        self.chains: set[Chain] = set()
        #: What is called while it runs, decorators included.
        self.calls: set[Chain] = set()
        self.writes: set[str] = set()
        self.deletes: set[str] = set()
        #: Names whose object gets an attribute or item set or deleted.
        self.stores_into: set[str] = set()
        #: What bodies of functions read of the globals, when they are called.
        self.lazy: set[Chain] = set()
        #: Names that functions rebind through `global`: run-time state.
        self.global_writes: set[str] = set()
        self.imports: list[Import] = []
        self.lazy_imports: list[Import] = []
        self.dynamic: set[str] = set()


def names_of(node: ast.stmt, *, lazy_annotations: bool) -> Names:
    """What this statement does with names.

    Args:
        node: a statement of a module's or a class's body.
        lazy_annotations: whether `from __future__ import annotations` is in force.
    """
    reader = _Eager(lazy_annotations)
    reader.visit(node)
    return reader.names


def chain_of(node: ast.expr) -> Chain | None:
    """The chain that an expression is, or None where it is something else."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return (node.id, *reversed(attributes))


def root_of(node: ast.expr) -> str | None:
    """The name at which accesses, subscripts and calls start: `a` of `a.b[0].c()`."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def imports_of(node: ast.Import | ast.ImportFrom) -> list[Import]:
    """The names that an import statement binds."""
    if isinstance(node, ast.Import):
        return [Import(a.name, 0, "", a.asname or a.name.partition(".")[0]) for a in node.names]
    return [Import(node.module or "", node.level, a.name, a.asname or a.name) for a in node.names]


class _Walker(ast.NodeVisitor):
    """As NodeVisitor, at half the cost: nobody asks for contexts, and constants lead nowhere."""

    def generic_visit(self, node: ast.AST) -> None:
        for child in children_of(node):
            self.visit(child)

    def visit_Constant(self, node: ast.Constant) -> None:
        """It reads nothing."""


def children_of(node: ast.AST) -> list[ast.AST]:
    """Nodes directly inside, contexts and constants left out."""
    found: list[ast.AST] = []
    for name in node._fields:
        if name == "ctx":
            continue
        child = getattr(node, name, None)
        if type(child) is list:
            found += [item for item in child if isinstance(item, ast.AST) and type(item) is not ast.Constant]
        elif isinstance(child, ast.AST) and type(child) is not ast.Constant:
            found.append(child)
    return found


class _Eager(_Walker):
    """Walks what runs when the statement runs; hands bodies of functions to _Lazy."""

    def __init__(self, lazy_annotations: bool) -> None:
        self.names = Names()
        self._lazy_annotations = lazy_annotations
        #: Names bound in the class bodies that we are in, innermost last.
        self._classes: list[set[str]] = []
        #: Targets of the comprehensions that we are in.
        self._targets: list[set[str]] = []

    # -- names

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if self._read(node.id):
                self.names.bare.add(node.id)
        else:
            self._write(node.id)
            if isinstance(node.ctx, ast.Del) and not self._classes:
                self.names.deletes.add(node.id)

    def _read(self, name: str) -> bool:
        """Notes a read of the scope's name; False where it is a name of something inside the statement."""
        if any(name in targets for targets in self._targets) or (self._classes and name in self._classes[-1]):
            return False
        self.names.reads.add(name)
        return True

    def _write(self, name: str) -> None:
        if self._targets and name in self._targets[-1]:
            return
        (self._classes[-1] if self._classes else self.names.writes).add(name)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._write(node.target.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if not isinstance(node.ctx, ast.Load):
            self._store_into(node)
        if chain is None:
            self.visit(node.value)
        elif self._read(chain[0]):
            self.names.chains.add(chain)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._store_into(node)
        self.generic_visit(node)

    def _store_into(self, node: ast.expr) -> None:
        root = root_of(node)
        if root is not None and not (self._classes and root in self._classes[-1]):
            self.names.stores_into.add(root)

    def visit_Call(self, node: ast.Call) -> None:
        self._called(node.func)
        self.generic_visit(node)

    def _called(self, function: ast.expr) -> None:
        chain = chain_of(function)
        if chain is None or (self._classes and chain[0] in self._classes[-1]):
            return
        self.names.calls.add(chain)
        if len(chain) == 1 and chain[0] in DYNAMIC:
            self.names.dynamic.add(chain[0])

    # -- statements

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)  # before the targets: the order in which a class body sees its names
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if not self._lazy_annotations:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)
        elif not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for child in [*node.body, *node.orelse]:
            self.visit(child)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._write(node.name)
            if not self._classes:
                self.names.deletes.add(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self._write(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self._write(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self._write(node.rest)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._imports(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._imports(node)

    def _imports(self, node: ast.Import | ast.ImportFrom) -> None:
        for item in imports_of(node):
            self.names.imports.append(item)
            if item.binds != "*":
                self._write(item.binds)

    def visit_TypeAlias(self, node: ast.AST) -> None:
        # `type X = ...` (3.12): the value is evaluated when it is asked for.
        name = getattr(node, "name", None)
        if isinstance(name, ast.Name):
            self._write(name.id)
        self._lazily(getattr(node, "value"))  # noqa: B009 - not in 3.10's ast

    # -- scopes inside

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
            self._called(decorator)
        self._arguments(node.args, node.returns)
        self._lazily(node)
        self._write(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._arguments(node.args, None)
        self._lazily(node)

    def _arguments(self, arguments: ast.arguments, returns: ast.expr | None) -> None:
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                self.visit(default)
        if self._lazy_annotations:
            return
        for argument in all_arguments(arguments):
            if argument.annotation is not None:
                self.visit(argument.annotation)
        if returns is not None:
            self.visit(returns)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
            self._called(decorator)
        for part in [*node.bases, *node.keywords]:
            self.visit(part)
        self._classes.append({parameter.name for parameter in getattr(node, "type_params", [])})
        for child in node.body:
            self.visit(child)
        self._classes.pop()
        self._write(node.name)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)  # in the scope around it
        self._targets.append({n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)})
        for number, generator in enumerate(node.generators):
            if number:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        self._targets.pop()

    def _lazily(self, node: ast.AST) -> None:
        lazy = _Lazy(self.names)
        lazy.visit(node)


def all_arguments(arguments: ast.arguments) -> list[ast.arg]:
    """Every parameter, in the order of `co_varnames` but for the stars."""
    found = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return found + [star for star in (arguments.vararg, arguments.kwarg) if star is not None]


class _Lazy(_Walker):
    """Walks a function's body and notes what it reads and rebinds of the globals."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._locals: list[set[str]] = []
        self._globals: list[set[str]] = []

    def _global(self, name: str) -> bool:
        if self._globals and name in self._globals[-1]:
            return True
        return not any(name in scope for scope in self._locals)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            if self._global(node.id):
                self._names.lazy.add((node.id,))
        elif self._globals and node.id in self._globals[-1]:
            self._names.global_writes.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is None:
            self.visit(node.value)
        elif self._global(chain[0]):
            self._names.lazy.add(chain)

    def visit_Import(self, node: ast.Import) -> None:
        self._names.lazy_imports.extend(imports_of(node))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._names.lazy_imports.extend(imports_of(node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node, node.body)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node, node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, [node.body])

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, body: Sequence[ast.AST]) -> None:
        if self._locals:  # an inner function: its decorators and defaults run in the outer body
            for part in [*getattr(node, "decorator_list", []), *node.args.defaults, *node.args.kw_defaults]:
                if part is not None:
                    self.visit(part)
        bound, declared = _bound(body)
        bound |= {argument.arg for argument in all_arguments(node.args)}
        bound |= {parameter.name for parameter in getattr(node, "type_params", [])}
        self._locals.append(bound - declared)
        self._globals.append(declared)
        for child in body:
            self.visit(child)
        self._locals.pop()
        self._globals.pop()


def _bound(body: Sequence[ast.AST]) -> tuple[set[str], set[str]]:
    """The names that a function's body binds, and those that it declares global."""
    bound: set[str] = set()
    declared: set[str] = set()
    todo: list[ast.AST] = list(body)
    while todo:
        node = todo.pop()
        kind = type(node)
        if kind not in _BINDING:
            # Targets of comprehensions count as bound: at worst a read of a global of the same name is not seen.
            todo += children_of(node)
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            bound.add(node.name)
            todo += node.decorator_list
        elif isinstance(node, ast.Global):
            declared.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            bound.update(node.names)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(item.binds for item in imports_of(node))
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            if node.name:
                bound.add(node.name)
            todo += children_of(node)
        elif isinstance(node, ast.MatchMapping):
            if node.rest:
                bound.add(node.rest)
            todo += children_of(node)
    return bound, declared


#: Nodes that _bound looks at; Lambda, because nothing in it binds a name of the function around it.
_BINDING: Final[frozenset[type]] = frozenset({
    *_FUNCTIONS, ast.ClassDef, ast.Lambda, ast.Global, ast.Nonlocal, ast.Import, ast.ImportFrom, ast.Name,
    ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping,
})  # fmt: skip
