"""How the module objects of a change are made: found anew, or from what a request carried."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import marshal
import sys
from types import CodeType
from typing import TYPE_CHECKING, Any

from modctl.agent.engine import bootstrap
from modctl.agent.engine.injected import ROOT, Bundle, InjectedModule, spec_for
from modctl.agent.engine.recorder import stat_of_file
from modctl.agent.engine.safe import module_dict

if TYPE_CHECKING:
    from types import ModuleType

    from modctl.agent.engine.generations import Stat
    from modctl.agent.engine.operations import Inject, SentModule


class NoSourceError(Exception):
    """A module cannot be brought in anew, because there is nothing to execute.

    Args:
        name: the module.
        message: why.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Recipe:
    """Makes one module object.

    Attributes:
        name: the entry's name.
        operation: the index of the operation that wants it.
        digest: sha256:<hex> of the source bytes; known after prepare() where there is source.
        stat: the file's, taken before it was read.
        patched: whether the code came with the request while a file is there.
        source: the text, where the code came with the request.
        injected: what an injected module is made from.
    """

    def __init__(self, name: str, operation: int) -> None:
        self.name = name
        self.operation = operation
        self.digest = ""
        self.stat: Stat | None = None
        self.patched = False
        self.source: str | None = None
        self.injected: InjectedModule | None = None

    def prepare(self, search: Any) -> None:
        """Finds, reads and compiles; executes nothing of the module."""
        raise NotImplementedError

    def make(self) -> ModuleType:
        """A new module object that has not been executed."""
        raise NotImplementedError

    def execute(self, module: ModuleType) -> None:
        """Runs the module's code in it."""
        raise NotImplementedError

    def is_straight(self) -> bool:
        """Whether making and executing it can neither wait nor run code of the program."""
        return False

    def names_modules(self) -> bool:
        """Whether the code speaks of something called `modules`: it may look into sys.modules, or write there."""
        return False


def code_names(code: CodeType, name: str) -> bool:
    """Whether code, or code nested in it, uses a global or attribute of that name."""
    if name in code.co_names:
        return True
    return any(type(constant) is type(code) and code_names(constant, name) for constant in code.co_consts)


def may_say(source: str | None, name: str) -> bool:
    """Whether a source could use a name, at a glance: other spellings of it are not ASCII."""
    return source is None or name in source or not source.isascii()


class FoundRecipe(Recipe):
    """A module found through the real finders: reimport, and import of a name that the same change set evicts.

    Args:
        name: the entry's name.
        operation: the index of the operation that wants it.
        sent: what the gateway read and compiled, where it did.
    """

    def __init__(self, name: str, operation: int, sent: SentModule | None = None) -> None:
        super().__init__(name, operation)
        self._sent = sent
        self._spec: importlib.machinery.ModuleSpec | None = None
        self._code: CodeType | None = None

    def prepare(self, search: Any) -> None:
        """Finds the module as an import would, and compiles its source from bytes that are read once.

        Raises:
            ModuleNotFoundError: no finder knows it.
            NoSourceError: it is an extension or builtin module.
            SyntaxError, UnicodeDecodeError, OSError: its source.
        """
        if self._spec is not None:
            return
        spec = bootstrap.find_spec(self.name, search)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {self.name!r}", name=self.name)
        loader: Any = spec.loader
        if loader in (importlib.machinery.BuiltinImporter, importlib.machinery.FrozenImporter) or isinstance(
            loader, importlib.machinery.ExtensionFileLoader
        ):
            raise NoSourceError(self.name, f"{self.name} is found as {spec.origin}, which has no source to execute")
        injected = getattr(loader, "injected", None)
        if type(injected) is InjectedModule and self._sent is None:
            self.digest, self.injected = injected.digest, injected
        elif loader is not None and bootstrap.loads_source_itself(loader):
            self._compile(loader)
        elif self._sent is not None and self._sent.source is not None:
            raise NoSourceError(
                self.name, f"{self.name} is loaded by {type(loader).__name__}, which takes no other source; inject it"
            )
        elif isinstance(origin := spec.origin, str):
            self.stat = stat_of_file(origin)
        self._spec = spec

    def _compile(self, loader: Any) -> None:
        filename = loader.get_filename(self.name)
        sent = self._sent
        plain = type(loader) is importlib.machinery.SourceFileLoader
        self.stat = stat_of_file(filename)
        if sent is not None and sent.source is not None:
            self.digest, self.source, self.patched = sent.digest, sent.source, True
            self._code = sent_code(sent, filename) or compiled(sent.source, filename)
            self.digest = self.digest or digest_of(sent.source.encode("utf-8"))
            self.patched = self.digest != digest_of_file(filename)
            return
        if sent is not None and plain and sent.origin == filename and self.stat is not None and sent.stat == self.stat:
            self._code, self.digest = sent_code(sent, filename), sent.digest
            if self._code is not None:
                return
        data = loader.get_data(filename)
        self.digest = digest_of(data)
        try:
            self._code = loader.source_to_code(data, filename)
        except ValueError as error:
            raise _as_syntax_error(error, filename) from error

    def make(self) -> ModuleType:
        """A module with all that the import system sets."""
        assert self._spec is not None
        module: ModuleType = bootstrap.module_from_spec(self._spec)
        return module

    def execute(self, module: ModuleType) -> None:
        """Runs the compiled code, or lets the loader do it."""
        assert self._spec is not None
        if self._code is not None:
            exec(self._code, module.__dict__)  # noqa: S102 - that is what is asked for
        elif self._spec.loader is not None:
            self._spec.loader.exec_module(module)

    def names_modules(self) -> bool:
        """Of a loader that keeps its code to itself, it is assumed."""
        if self._code is None:
            return True
        return may_say(self.source, "modules") and code_names(self._code, "modules")


class InjectedRecipe(Recipe):
    """A module made from what the request carried.

    Args:
        injected: what it is made from.
        operation: the index of the operation that wants it.
    """

    def __init__(self, injected: InjectedModule, operation: int) -> None:
        super().__init__(injected.name, operation)
        self.injected: InjectedModule
        self.injected = injected
        self.digest = injected.digest

    def prepare(self, search: Any) -> None:
        """It was compiled when it was made."""

    def make(self) -> ModuleType:
        """A module with a spec, a loader and a file name of its own."""
        module: ModuleType = bootstrap.module_from_spec(spec_for(self.injected))
        return module

    def execute(self, module: ModuleType) -> None:
        """Lets its loader do it."""
        module.__spec__.loader.exec_module(module)  # type: ignore[union-attr]  # make() gave it one

    def is_straight(self) -> bool:
        """The gateway says so of its code; of a stub, always."""
        return self.injected.straight

    def names_modules(self) -> bool:
        """Of a stub, and of straight code, never."""
        injected = self.injected
        if injected.straight or injected.code is None:
            return False
        return may_say(injected.source, "modules") and code_names(injected.code, "modules")


def injected_modules(operation: Inject) -> tuple[list[InjectedModule], dict[str, BaseException]]:
    """What an operation with source or attributes brings, compiled.

    Returns:
        the modules that compile; for each that does not, by name, what the compiler raised.
    """
    if operation.attributes is not None:
        filename = operation.filename or default_filename(operation.name, False)
        bundle = Bundle(operation.name, filename.rpartition("/")[0], {})
        return [InjectedModule(operation.name, False, filename, None, None, "", operation.attributes, bundle)], {}
    root = operation.modules[0]
    root_file = root.filename or (operation.filename or default_filename(root.name, root.package))
    bundle = Bundle(operation.name, root_file.rpartition("/")[0], operation.data)
    made: list[InjectedModule] = []
    failures: dict[str, BaseException] = {}
    for sent in operation.modules:
        assert sent.source is not None
        filename = root_file if sent is root else sent.filename or default_filename(sent.name, sent.package)
        try:
            code = sent_code(sent, filename)
            straight = sent.straight and code is not None
            code = code or compiled(sent.source, filename)
            digest = sent.digest or digest_of(sent.source.encode("utf-8"))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            failures[sent.name] = error
            continue
        package, source = sent.package, sent.source
        made.append(InjectedModule(sent.name, package, filename, source, code, digest, {}, bundle, straight))
    return made, failures


def compiled(source: str, filename: str) -> CodeType:
    """The code of a module's source.

    Raises:
        SyntaxError: it does not compile; also of a NUL byte, of which Pythons before 3.12 make a ValueError.
        RecursionError, MemoryError: it is too deep for the compiler.
    """
    try:
        return compile(source, filename, "exec", dont_inherit=True)
    except ValueError as error:
        raise _as_syntax_error(error, filename) from error


def _as_syntax_error(error: ValueError, filename: str) -> SyntaxError:
    return SyntaxError(str(error), (filename, 1, 1, None))


def default_filename(name: str, package: bool) -> str:
    """A path that no disk has."""
    below = name.replace(".", "/")
    return f"{ROOT}/{below}/__init__.py" if package else f"{ROOT}/{below}.py"


def sent_code(sent: SentModule, filename: str) -> CodeType | None:
    """The code that the gateway compiled, where this interpreter can run it and it is of that file name."""
    if not sent.code or sent.magic != importlib.util.MAGIC_NUMBER.hex() or sent.optimize != sys.flags.optimize:
        return None
    code: CodeType = marshal.loads(sent.code)  # noqa: S302 - from our own gateway, of our own uid
    return code if type(code) is CodeType and code.co_filename == filename else None


def digest_of(data: bytes) -> str:
    """sha256:<hex> of source bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: str) -> str:
    """The same of a file; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return digest_of(file.read())
    except (OSError, ValueError):
        return ""


def search_path(package: object) -> Any:
    """`__path__` as it stands in a package's namespace; None where there is none."""
    return None if (namespace := module_dict(package)) is None else namespace.get("__path__")
