"""Which file of a local tree is which module."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from modctl.client.errors import SourceError
from modctl.client.packages import read_source

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Folders in which no module of the service lies.
SKIPPED_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})


def file_of(folder: str, name: str) -> str | None:
    """The source file of a module in a tree, or None: billing.tax is billing/tax.py or billing/tax/__init__.py."""
    stem = os.path.join(folder, *name.split("."))
    for candidate in (f"{stem}.py", os.path.join(stem, "__init__.py")):
        if os.path.isfile(candidate):
            return candidate
    return None


def source_of(folder: str, name: str) -> bytes:
    """A module's source in a tree.

    Raises:
        SourceError: there is none, or it cannot be read.
    """
    file = file_of(folder, name)
    if file is None:
        raise SourceError(folder, f"has no {name.replace('.', '/')}.py and no {name.replace('.', '/')}/__init__.py")
    return read_source(file)


def name_of(folder: str, file: str) -> str | None:
    """The module that a file of a tree is; None where it is none.

    Args:
        folder: the tree's root, as on sys.path; below it every folder is a package.
        file: the file, below it.
    """
    relative = os.path.relpath(file, folder)
    stem, ending = os.path.splitext(relative)
    if ending != ".py" or relative.startswith(os.pardir):
        return None
    parts = stem.split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if not parts or not all(part.isidentifier() for part in parts):
        return None
    return ".".join(parts)


def modules_of(folder: str) -> Iterator[tuple[str, str]]:
    """(name, file) of every module in a tree, sorted by name; a package before its plain namesake."""
    found: dict[str, str] = {}
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(each for each in folders if each not in SKIPPED_FOLDERS and not each.startswith("."))
        for file in sorted(files):
            whole = os.path.join(place, file)
            name = name_of(folder, whole)
            if name is not None and (name not in found or file == "__init__.py"):
                found[name] = whole
    return iter(sorted(found.items()))
