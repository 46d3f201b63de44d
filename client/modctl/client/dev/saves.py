"""From changed files to modules that changed. No network, no clock."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modctl.client.errors import SourceError, UsageError
from modctl.client.local_sources import SKIPPED_FOLDERS, modules_of, name_of
from modctl.client.packages import read_source

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Save:
    """A module whose file was saved with another content.

    Args:
        name: the module's.
        file: its file, absolute.
        source: what is in it; None where it was removed, or cannot be read.
        problem: why there is no source.
    """

    name: str
    file: str
    source: bytes | None
    problem: str = ""


def root_of(folder: str) -> str:
    """The folder that is, or would be, on sys.path: that of a package is the one above it.

    Raises:
        UsageError: there is no such folder.
    """
    folder = os.path.abspath(folder)
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: there is no such folder")
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def interesting(file: str) -> bool:
    """Whether a change of that file can be one of a module: editors write many files beside it."""
    parts = file.split(os.sep)
    hidden = any(part.startswith(".") for part in parts[-3:])
    return file.endswith(".py") and not hidden and not SKIPPED_FOLDERS & set(parts)


class Saves:
    """What the files held when last looked at: a touch, or a save of the same text, is none.

    Args:
        root: the folder on sys.path.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._digests: dict[str, bytes] = {}
        for _, file in modules_of(root):
            source, _ = _read(file)
            if source is not None:
                self._digests[file] = hashlib.sha256(source).digest()

    def __len__(self) -> int:
        return len(self._digests)

    def of(self, files: Iterable[str]) -> list[Save]:
        """The modules whose content changed, by name."""
        saves: dict[str, Save] = {}
        for file in sorted(set(files)):
            name = name_of(self.root, file) if interesting(file) else None
            if name is None:
                continue
            source, problem = _read(file)
            if source is None:
                if self._digests.pop(file, None) is not None:
                    saves[name] = Save(name, file, None, problem)
                continue
            digest = hashlib.sha256(source).digest()
            if self._digests.get(file) != digest:
                self._digests[file] = digest
                saves[name] = Save(name, file, source)
        return [saves[name] for name in sorted(saves)]


def _read(file: str) -> tuple[bytes | None, str]:
    try:
        return read_source(file), ""
    except SourceError as error:
        return None, str(error)
