"""Data files of injected packages, for importlib.resources."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class ResourceReader:
    """Reads the data next to one package.

    Args:
        data: all data of the bundle, by path below its folder.
        folder: the package's folder below that; empty of the bundle's root.
    """

    def __init__(self, data: Mapping[str, bytes], folder: str) -> None:
        self._root = InjectedPath(data, folder)

    def files(self) -> InjectedPath:
        """The package's folder."""
        return self._root

    def open_resource(self, resource: str) -> io.BytesIO:
        """The bytes of one file.

        Raises:
            FileNotFoundError: it did not come along.
        """
        return io.BytesIO(self._root.joinpath(resource).read_bytes())

    def resource_path(self, resource: str) -> str:
        """Injected files are on no disk.

        Raises:
            FileNotFoundError: always.
        """
        raise FileNotFoundError(2, "an injected file is on no disk", resource)

    def is_resource(self, path: str) -> bool:
        """Whether such a file came along."""
        return self._root.joinpath(path).is_file()

    def contents(self) -> Iterator[str]:
        """The names of what is next to the package."""
        return (each.name for each in self._root.iterdir())


class InjectedPath:
    """A file or folder of an injected package: an importlib.resources.abc.Traversable.

    Args:
        data: all data of the bundle, by path below its folder.
        path: this one's; empty of the folder itself.
    """

    def __init__(self, data: Mapping[str, bytes], path: str) -> None:
        self._data = data
        self._path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    def is_file(self) -> bool:
        """Whether it came along as a file."""
        return self._path in self._data

    def is_dir(self) -> bool:
        """Whether files below it came along."""
        return not self._path or any(path.startswith(f"{self._path}/") for path in self._data)

    def iterdir(self) -> Iterator[InjectedPath]:
        """What is directly below it."""
        prefix = f"{self._path}/" if self._path else ""
        names = dict.fromkeys(path[len(prefix) :].partition("/")[0] for path in self._data if path.startswith(prefix))
        return (InjectedPath(self._data, prefix + name) for name in names)

    def joinpath(self, *descendants: str) -> InjectedPath:
        """What is below it under these names; each may have several parts."""
        parts = [self._path, *(str(descendant).strip("/") for descendant in descendants)]
        return InjectedPath(self._data, "/".join(part for part in parts if part))

    __truediv__ = joinpath

    def read_bytes(self) -> bytes:
        """Its content.

        Raises:
            FileNotFoundError: it did not come along.
        """
        try:
            return self._data[self._path]
        except KeyError:
            raise FileNotFoundError(2, "modctl injected no such file", self._path) from None

    def read_text(self, encoding: str | None = None, errors: str = "strict") -> str:
        """Its content as text, UTF-8 unless said otherwise."""
        return self.read_bytes().decode(encoding or "utf-8", errors)

    def open(self, mode: str = "r", **options: Any) -> io.BytesIO | io.TextIOWrapper:
        """A stream of its content; only for reading."""
        if mode not in ("r", "rt", "rb"):
            raise ValueError(f"an injected file can only be read, not opened with mode {mode!r}")
        stream = io.BytesIO(self.read_bytes())
        return stream if "b" in mode else io.TextIOWrapper(stream, **{"encoding": "utf-8", **options})
