"""What source is really loaded, with the proof.

The first proof that holds is taken:

1. we put it there: a reload remembers the text that it brought;
2. the loader keeps it (injected modules);
3. the file's text, where the code of live functions is the code that it compiles to. A file that was edited since
the import
   differs from what is loaded in some function, or in nothing that a plan could be wrong about but constants; where
   the module
   has no function to compare, the file must not be younger than the process.
"""

from __future__ import annotations

import os
import time
import weakref
from types import CodeType, FunctionType, ModuleType
from typing import Any

from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.keeping import decode
from modctl.agent.engine.live.values import class_dict, is_class, same_data
from modctl.source.bases import evaluate
from modctl.source.codes import children, deep_signature
from modctl.source.plan import Text, read_text
from modctl.source.proofs import Proof, proof_of

_STARTED_S = time.time()


class Baselines:
    """Texts of loaded modules, read at most once each."""

    def __init__(self, started_s: float = _STARTED_S) -> None:
        #: With the module's spec: a program that reloads a module gives it another, and what was known is void.
        self._texts: dict[int, tuple[weakref.ref[ModuleType], Text, object]] = {}
        self._sources: dict[int, tuple[weakref.ref[ModuleType], str]] = {}
        self._started_s = started_s

    def remember(self, module: ModuleType, text: Text) -> None:
        """From now on the module is this text."""
        self._texts[id(module)] = (self._reference(module), text, module.__dict__.get("__spec__"))

    def forget(self, module: ModuleType) -> None:
        """What is known of the module does not hold any more."""
        self._texts.pop(id(module), None)
        self._sources.pop(id(module), None)

    def record(self, module: ModuleType, source: str) -> None:
        """The module was loaded from this source: it needs no other proof."""
        self._sources[id(module)] = (self._reference(module), source)

    def recorded(self, name: str, module: ModuleType) -> str | None:  # noqa: ARG002 - the signature is given
        """A source that needs no other proof, where there is one."""
        found = self._sources.get(id(module))
        return found[1] if found is not None and found[0]() is module else None

    def unproven(self, name: str, module: ModuleType, filename: str) -> str:
        """A source that may be what is loaded: it is compared with it."""
        return source_of(name, module, filename)

    def _reference(self, module: ModuleType) -> weakref.ref[ModuleType]:
        identity = id(module)

        def gone(_: object) -> None:
            self._texts.pop(identity, None)
            self._sources.pop(identity, None)

        return weakref.ref(module, gone)

    def known(self, module: ModuleType) -> Text | None:
        """The text, where it was read before."""
        found = self._texts.get(id(module))
        if found is None or found[0]() is not module or found[2] is not module.__dict__.get("__spec__"):
            return None
        return found[1]

    def of(self, name: str, module: ModuleType) -> Text:
        """The text that is loaded.

        Raises:
            RefusedError: there is no source, or no proof that it is what is loaded.
        """
        known = self.known(module)
        if known is not None:
            return known
        filename = filename_of(name, module)
        recorded = self.recorded(name, module)
        if recorded is not None:
            text = _read(name, recorded, filename)
        else:
            text = _read(name, self.unproven(name, module, filename), filename)
            self.hold(name, module, proof_of(text))
        self.remember(module, text)
        return text

    def written_s(self, module: ModuleType, filename: str) -> float:  # noqa: ARG002 - the signature is given
        """When the text was written, in seconds since the epoch; 0.0 where there is no file."""
        return os.stat(filename).st_mtime if os.path.isfile(filename) else 0.0

    def hold(self, name: str, module: ModuleType, proof: Proof) -> None:
        """Holds what a text says against what is loaded.

        Raises:
            RefusedError: the text is not what is loaded, or nothing tells whether it is.
        """
        differing, compared = _compare(module, proof)
        if differing:
            raise RefusedError(
                name,
                "BASE_DIFFERS",
                f"its file is not what is loaded ({', '.join(differing[:3])} differ), and what was loaded is not known",
                "Start the agent before the file changes, or use reimport",
            )
        if not compared and self.written_s(module, proof.filename) > self._started_s:
            raise RefusedError(
                name,
                "BASE_DIFFERS",
                "its file is younger than the process and it has no function to compare with",
                "Start the agent before the file changes, or use reimport",
            )


def filename_of(name: str, module: ModuleType) -> str:
    """The file name that the module's code carries."""
    namespace: dict[str, Any] = ModuleType.__getattribute__(module, "__dict__")
    for value in list(namespace.values()):
        if (
            type(value) is FunctionType
            and value.__globals__ is namespace
            and not value.__code__.co_filename.startswith("<str")
        ):
            return value.__code__.co_filename
    spec = namespace.get("__spec__")
    return getattr(spec, "origin", None) or namespace.get("__file__") or f"<modctl:{name}>"


def source_of(name: str, module: ModuleType, filename: str) -> str:
    """The module's source, from its loader or its file.

    Raises:
        RefusedError: there is none.
    """
    namespace: dict[str, Any] = ModuleType.__getattribute__(module, "__dict__")
    spec = namespace.get("__spec__")
    origin = getattr(spec, "origin", None) or namespace.get("__file__") or filename
    try:
        if isinstance(origin, str) and os.path.isfile(origin) and origin.endswith((".py", ".pyw")):
            with open(origin, "rb") as file:
                return decode(file.read())
        loader = getattr(spec, "loader", None) or namespace.get("__loader__")
        get_source = getattr(loader, "get_source", None)
        found = get_source(getattr(spec, "name", name)) if get_source is not None else None
    except (OSError, ImportError, SyntaxError, UnicodeError) as error:
        raise RefusedError(
            name, "NO_SOURCE", f"its source cannot be read: {error}", "Use reimport or inject"
        ) from error
    if not isinstance(found, str):
        raise RefusedError(name, "NO_SOURCE", "it has no source", "Use inject --replace")
    return found


def _read(name: str, source: str, filename: str) -> Text:
    try:
        return read_text(source, filename)
    except (SyntaxError, ValueError) as error:
        raise RefusedError(
            name, "BASE_DIFFERS", f"its file is not what is loaded: {error}", "Start the agent before the file changes"
        ) from error


def is_loaded(module: object, source: str) -> bool:
    """Whether the live functions of a module are what a text compiles to, and there is one at least."""
    if not isinstance(module, ModuleType):
        return False
    try:
        text = read_text(source, filename_of("", module))
    except (SyntaxError, ValueError):
        return False
    differing, compared = _compare(module, proof_of(text))
    return bool(compared) and not differing


def _compare(module: ModuleType, proof: Proof) -> tuple[list[str], int]:
    """Functions whose live code is not what the text compiles to, and how many were compared."""
    codes: dict[tuple[int, str], list[CodeType]] = {}
    todo = [proof.code]
    while todo:
        code = todo.pop()
        codes.setdefault((code.co_firstlineno, code.co_name), []).append(code)
        todo += [inner for _, inner in children(code)]
    namespace: dict[str, Any] = ModuleType.__getattribute__(module, "__dict__")
    differing: list[str] = []
    compared = 0
    for function in _functions(namespace):
        code = function.__code__
        if code.co_filename != proof.filename:
            continue
        compared += 1
        found = codes.get((code.co_firstlineno, code.co_name), [])
        if not any(code == other or deep_signature(code) == deep_signature(other) for other in found):
            differing.append(function.__qualname__)
    return differing + _names_that_differ(namespace, proof), compared


def _names_that_differ(namespace: dict[str, Any], proof: Proof) -> list[str]:
    """Names that the text binds and the module lacks, and constants that are not what the text says."""
    found = [name for name in proof.names if name not in namespace]
    for name, base in proof.constants.items():
        if name not in namespace:
            continue
        known, value = evaluate(base, namespace, ())
        if known and not same_data(value, namespace[name]):
            found.append(name)
    return found


def _functions(namespace: dict[str, Any]) -> list[FunctionType]:
    found: list[FunctionType] = []
    todo: list[Any] = list(namespace.values())
    seen: set[int] = set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) is FunctionType and value.__globals__ is namespace:
            found.append(value)
        elif type(value) in (staticmethod, classmethod):
            todo.append(value.__func__)
        elif type(value) is property:
            todo += [value.fget, value.fset, value.fdel]
        elif is_class(value) and class_dict(value).get("__module__") == namespace.get("__name__"):
            todo += class_dict(value).values()
    return found
