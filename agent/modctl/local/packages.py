"""From the files of a package, or an archive of one, to modules with full names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.local.archives import ArchiveError, check_path

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MODULES: Final = 1_000
INIT: Final = "__init__.py"
_NATIVE: Final = (".so", ".pyd", ".dylib", ".dll")
_WHEEL_PARTS: Final = (".dist-info", ".data", ".egg-info")


class ModuleFile(NamedTuple):
    """One module of a package.

    Attributes:
        name: its full dotted name.
        package: whether it is a package.
        place: its path in the package.
        content: its source.
    """

    name: str
    package: bool
    place: str
    content: bytes


class Layout(NamedTuple):
    """A package taken apart: its modules, parents first, and its other files by their paths."""

    modules: list[ModuleFile]
    data: dict[str, bytes]


def laid_out(name: str, files: Mapping[str, bytes]) -> Layout:
    """Takes a package's files apart.

    Args:
        name: the name that the package gets.
        files: content by path in the package: `__init__.py`, `data/x.json`.

    Raises:
        ArchiveError: a path is not safe, a part is native code, nothing is Python, or there is too much.
    """
    sources: dict[str, bytes] = {}
    data: dict[str, bytes] = {}
    for place, content in files.items():
        check_path(place)
        if place.endswith((".pyc", ".pyo")) or "__pycache__" in place.split("/"):
            continue
        if place.endswith(_NATIVE):
            raise ArchiveError(f"{place!r} is native code, which cannot be injected", "UNSUPPORTED")
        (sources if _is_module(place) else data)[place] = content
    if not sources:
        raise ArchiveError("there is no Python module in it")
    folders = {""}
    for place in sources:
        parts = place.split("/")[:-1]
        folders.update("/".join(parts[: depth + 1]) for depth in range(len(parts)))
    modules = [
        ModuleFile(_dotted(name, folder), True, _in(folder, INIT), sources.pop(_in(folder, INIT), b""))
        for folder in sorted(folders, key=lambda folder: (folder.count("/") + bool(folder), folder))
    ]
    packages = {module.name for module in modules}
    for place, content in sorted(sources.items()):
        dotted = _dotted(name, place.removesuffix(".py"))
        if dotted in packages:
            raise ArchiveError(f"{place!r} is both a module and a package")
        modules.append(ModuleFile(dotted, False, place, content))
    if len(modules) > MAX_MODULES:
        raise ArchiveError(f"it has {len(modules)} modules, {MAX_MODULES} are allowed", "LIMIT")
    return Layout(modules, data)


def of_archive(name: str, files: Mapping[str, bytes]) -> Layout:
    """Finds a package in an archive's files and takes it apart.

    It is the archive's root where that has an `__init__.py`; else the folder `a/b` of a.b, else the folder or the
    single file of the name's last part, else the only folder that has Python in it.

    Raises:
        ArchiveError: there is no such package, or more than one that it could be.
    """
    for place in files:
        check_path(place)
    kept = {place: content for place, content in files.items() if not place.split("/")[0].endswith(_WHEEL_PARTS)}
    if INIT in kept:
        return laid_out(name, kept)
    last = name.rpartition(".")[2]
    for root in dict.fromkeys((name.replace(".", "/"), last)):
        if any(place.startswith(f"{root}/") for place in kept):
            return laid_out(name, _under(root, kept))
    if f"{last}.py" in kept:
        return Layout([ModuleFile(name, False, f"{last}.py", kept[f"{last}.py"])], {})
    roots = sorted({place.split("/")[0] for place in kept if place.endswith(".py")})
    if len(roots) == 1 and not roots[0].endswith(".py"):
        return laid_out(name, _under(roots[0], kept))
    shown = ", ".join(roots[:8]) or "no Python"
    raise ArchiveError(f"there is no package {last!r} in it, only: {shown}")


def _under(root: str, files: Mapping[str, bytes]) -> dict[str, bytes]:
    start = f"{root}/"
    return {place[len(start) :]: content for place, content in files.items() if place.startswith(start)}


def _is_module(place: str) -> bool:
    """Whether an import can find it: every part of the path is a name."""
    return place.endswith(".py") and all(part.isidentifier() for part in place.removesuffix(".py").split("/"))


def _dotted(name: str, place: str) -> str:
    return f"{name}.{place.replace('/', '.')}" if place else name


def _in(folder: str, file: str) -> str:
    return f"{folder}/{file}" if folder else file
