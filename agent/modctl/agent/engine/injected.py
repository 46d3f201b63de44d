"""Modules made by modctl: what they are loaded from, and how the import system finds them again.

An injected module has a real spec and a loader with get_source, so that importlib.reload, pickle, inspect.getsource,
tracebacks and pkgutil.get_data work. File names look like absolute paths that no file has: linecache then asks the
loader and keeps what it got through checkcache(), which it does not for `<bracketed>` names (measured on 3.10 to 3.13).
"""

from __future__ import annotations

import importlib.machinery
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import CodeType, ModuleType

    from modctl.agent.engine.commit import Write
    from modctl.agent.engine.resources import ResourceReader

#: Below this "directory" are the files of injected modules.
ROOT: Final = "/modctl"


class Bundle:
    """What one operation brought in together: a module, or a package with its modules and data.

    Args:
        root: the operation's name.
        data: files that are no modules, by their path below the package's folder.
        folder: the package's folder, which no disk has.
    """

    __slots__ = ("data", "folder", "root")

    def __init__(self, root: str, folder: str, data: Mapping[str, bytes]) -> None:
        self.root = root
        self.folder = folder
        self.data = dict(data)


class InjectedModule:
    """What one injected module is made from.

    Args:
        name: its full name.
        package: whether it is a package.
        filename: shown in tracebacks.
        source: its text; None of a stub that has only attributes.
        code: what that compiles to; None of a stub.
        digest: sha256:<hex> of the source bytes; empty of a stub.
        attributes: what a stub offers.
        bundle: what came along.
        straight: whether executing it can neither wait nor run anybody's code.
    """

    __slots__ = ("attributes", "bundle", "code", "digest", "filename", "name", "package", "source", "straight")

    def __init__(
        self,
        name: str,
        package: bool,
        filename: str,
        source: str | None,
        code: CodeType | None,
        digest: str,
        attributes: Mapping[str, Any],
        bundle: Bundle,
        straight: bool = False,
    ) -> None:
        self.straight = straight or code is None
        self.name = name
        self.package = package
        self.filename = filename
        self.source = source
        self.code = code
        self.digest = digest
        self.attributes = dict(attributes)
        self.bundle = bundle


class InjectedLoader:
    """Loads a module from what a request carried."""

    def __init__(self, injected: InjectedModule) -> None:
        self.injected = injected

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:  # noqa: ARG002 - the protocol
        """The import system's default module is right."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Executes the source, or sets the stub's attributes."""
        if self.injected.code is None:
            module.__dict__.update(self.injected.attributes)
        else:
            exec(self.injected.code, module.__dict__)  # noqa: S102 - that is what a loader does

    def get_code(self, fullname: str) -> CodeType | None:
        """The compiled source; None of a stub."""
        self._check(fullname)
        return self.injected.code

    def get_source(self, fullname: str) -> str | None:
        """The source text; None of a stub."""
        self._check(fullname)
        return self.injected.source

    def get_filename(self, fullname: str) -> str:
        """The name shown in tracebacks."""
        self._check(fullname)
        return self.injected.filename

    def is_package(self, fullname: str) -> bool:
        """Whether it has submodules."""
        self._check(fullname)
        return self.injected.package

    def get_data(self, path: str) -> bytes:
        """A data file that came along, or the source itself.

        Raises:
            OSError: nothing of that name came along.
        """
        if path == self.injected.filename and self.injected.source is not None:
            return self.injected.source.encode("utf-8")
        bundle = self.injected.bundle
        relative = path[len(bundle.folder) + 1 :] if path.startswith(bundle.folder + "/") else path
        try:
            return bundle.data[relative]
        except KeyError:
            raise FileNotFoundError(2, "modctl injected no such file", path) from None

    def get_resource_reader(self, fullname: str) -> ResourceReader:
        """Lets importlib.resources read the data files."""
        from modctl.agent.engine.resources import ResourceReader

        self._check(fullname)
        folder = self.injected.filename.rpartition("/")[0]
        return ResourceReader(self.injected.bundle.data, folder[len(self.injected.bundle.folder) + 1 :])

    def _check(self, fullname: str) -> None:
        if fullname != self.injected.name:
            raise ImportError(f"this loader is for {self.injected.name}, not for {fullname}", name=fullname)


def spec_for(injected: InjectedModule) -> importlib.machinery.ModuleSpec:
    """A new spec with a new loader: as the import system makes one for each load."""
    loader: Any = InjectedLoader(injected)
    spec = importlib.machinery.ModuleSpec(injected.name, loader, origin=injected.filename, is_package=injected.package)
    spec.has_location = True
    spec.cached = None
    if injected.package:
        spec.submodule_search_locations = [injected.filename.rpartition("/")[0]]
    return spec


class InjectedFinder:
    """Finds injected modules before any other finder does, while there are some."""

    def __init__(self) -> None:
        #: Written by commit.py only.
        self.modules: dict[str, InjectedModule] = {}

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> Any:  # noqa: ARG002
        """The spec of an injected module, else None."""
        injected = self.modules.get(fullname)
        return None if injected is None else spec_for(injected)

    def attach_for(self, writes: Sequence[Write]) -> None:
        """Takes its place before the commit of writes that give it something to find."""
        if any(write.mapping is self.modules for write in writes) and not any(f is self for f in sys.meta_path):
            sys.meta_path.insert(0, self)

    def attach(self) -> None:
        """Takes its place on sys.meta_path exactly while there is something to find."""
        present = any(finder is self for finder in sys.meta_path)
        if self.modules and not present:
            sys.meta_path.insert(0, self)
        elif not self.modules and present:
            self.detach()

    def detach(self) -> None:
        """Leaves sys.meta_path.

        By a new list: whoever looks for a module at this moment goes through the old one by index, and would miss the
        finder behind what is taken out of it.
        """
        sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
