"""Reads what `inject` sends: a package's files from a directory, or a zip or wheel as it is."""

from __future__ import annotations

import os
import stat
import zipfile

from modctl.client.errors import SourceError
from modctl.client.limits import MAX_REQUEST_BYTES, MAX_SOURCE_BYTES

#: Never part of a package's source.
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", ".git", ".hg", ".svn", ".mypy_cache", ".ruff_cache", ".pytest_cache"})
_LEFT_OUT_ENDINGS = (".pyc", ".pyo")
_MAX_FILES = 10_000


def read_source(path: str) -> bytes:
    """A Python source file.

    Raises:
        SourceError: it cannot be read, or is larger than targets take.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except OSError as error:
        raise SourceError(path, error.strerror or str(error)) from error
    check_source(path, content)
    return content


def check_source(path: str, content: bytes) -> None:
    """Raises SourceError where the source is larger than targets take. Whether it compiles is theirs to say."""
    if len(content) > MAX_SOURCE_BYTES:
        raise SourceError(path, f"larger than the {MAX_SOURCE_BYTES // 2**20} MiB that targets take as one source")


def read_package(path: str) -> tuple[dict[str, bytes] | None, bytes | None]:
    """A package's files, or the bytes of an archive; one of the two.

    Symbolic links are followed for files and not for folders, which could lead in circles.

    Raises:
        SourceError: it cannot be read, is no package or archive, or is larger than targets take.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise SourceError(path, error.strerror or str(error)) from error
    if stat.S_ISDIR(mode):
        return _read_directory(path), None
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_REQUEST_BYTES + 1)
        if not zipfile.is_zipfile(path):
            raise SourceError(path, "neither a directory nor a zip or wheel")
    except OSError as error:
        raise SourceError(path, error.strerror or str(error)) from error
    if len(content) > MAX_REQUEST_BYTES:
        raise SourceError(path, f"larger than the {MAX_REQUEST_BYTES // 2**20} MiB that targets take in one request")
    return None, content


def _read_directory(top: str) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    total = 0

    def failed(error: OSError) -> None:
        raise SourceError(error.filename or top, error.strerror or str(error)) from error

    for folder, folders, names in os.walk(top, onerror=failed):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT_FOLDERS)
        for name in sorted(names):
            file_path = os.path.join(folder, name)
            if name.endswith(_LEFT_OUT_ENDINGS) or not os.path.isfile(file_path):
                continue
            content = read_source(file_path)
            total += len(content)
            if total > MAX_REQUEST_BYTES or len(files) >= _MAX_FILES:
                raise SourceError(
                    top, f"more than {MAX_REQUEST_BYTES // 2**20} MiB or {_MAX_FILES} files; targets take less"
                )
            files[os.path.relpath(file_path, top).replace(os.sep, "/")] = content
    if "__init__.py" not in files:
        raise SourceError(top, "no package: there is no __init__.py in it")
    return files
