"""The desired state: what a change set wants to be there, whoever has been told of it and whoever has not.

A change set says what to do; read as a state, it says what is there when it has been done. A fix carries the digest of
what it was written against (`base_digest`): who runs neither of the two runs a build that the fix is not for.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modctl.client.drift.references import OFF_DISK, digest, is_another
from modctl.client.errors import SourceError
from modctl.client.operations import Evict, Import, Inject, Reimport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from modctl.client.operations import Operation


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one entry. Just one of the first five is said, or none: then it only has to be loaded.

    Args:
        source: this source.
        stub: a stub module with these attributes, as Python would write them.
        blocked: that importing it fails.
        absent: that it is not loaded.
        disk: what the process's own disk has.
        recursive: the same of its submodules.
        base_digest: what it may be changed from; "" from everything.
        needed: whether who has not loaded it differs.
    """

    source: bytes | None = None
    stub: str | None = None
    blocked: bool = False
    absent: bool = False
    disk: bool = False
    recursive: bool = False
    base_digest: str = ""
    needed: bool = True

    @property
    def text(self) -> str | None:
        """What its source would be; None where the change set does not say."""
        if self.source is not None:
            return self.source.decode("utf-8", "replace")
        if self.blocked or self.absent:
            return ""
        return self.stub


def wanted_by(operations: Iterable[Operation]) -> dict[str, Wanted]:
    """Name to what the operations, done one after the other, leave there.

    Raises:
        SourceError: an archive that is none.
    """
    wanted: dict[str, Wanted] = {}
    for operation in operations:
        for name, each in _of(operation):
            wanted.pop(name, None)  # the last word counts, and stands where it was said
            wanted[name] = each
    return wanted


def _of(operation: Operation) -> list[tuple[str, Wanted]]:
    name = operation.name
    if isinstance(operation, Import):
        return [(name, Wanted())]
    if isinstance(operation, Evict):
        return [(name, Wanted(absent=True, recursive=operation.recursive, base_digest=operation.base_digest))]
    if isinstance(operation, Reimport):
        # Reimporting says nothing of those who have not loaded it: they take it when they need it.
        if operation.source is None:
            return [(name, Wanted(disk=True, recursive=operation.recursive, needed=False))]
        source = _bytes(operation.source)
        return [(name, Wanted(source, base_digest=operation.base_digest, needed=False))]
    return _of_inject(operation)


def _of_inject(operation: Inject) -> list[tuple[str, Wanted]]:
    name, base = operation.name, operation.base_digest
    if operation.source is not None:
        return [(name, Wanted(_bytes(operation.source), base_digest=base))]
    if operation.attributes is not None:
        lines = [f"{key} = {_literal(value)}\n" for key, value in operation.attributes.items()]
        return [(name, Wanted(stub="".join(lines), base_digest=base))]
    if operation.block:
        return [(name, Wanted(blocked=True, base_digest=base))]
    if operation.alias_of is not None:
        return [(name, Wanted())]
    files = operation.package if operation.package is not None else _unpacked(name, operation.archive or b"")
    found = [(_module_of(name, file), content) for file, content in files.items() if file.endswith(".py")]
    # What is in a package is loaded when it is needed; the package itself is by being injected.
    return [
        (each, Wanted(content, base_digest=base if each == name else "", needed=each == name))
        for each, content in sorted(found)
    ]


def _literal(value: object) -> str:
    return repr(json.loads(json.dumps(value)))


def _bytes(source: str | bytes) -> bytes:
    return source.encode() if isinstance(source, str) else source


def _module_of(package: str, file: str) -> str:
    parts = file.removesuffix(".py").split("/")
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join([package, *parts])


def _unpacked(name: str, archive: bytes) -> dict[str, bytes]:
    """The package's own files in an archive, in which it is a folder of its name or the whole of it."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as packed:
            files = {each: packed.read(each) for each in packed.namelist() if each.endswith(".py")}
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(name, f"no zip or wheel: {error}") from error
    folder = name.replace(".", "/") + "/"
    inside = {each.removeprefix(folder): content for each, content in files.items() if each.startswith(folder)}
    return inside or files


class Desired:
    """A change set, to be compared with.

    Args:
        wanted: by name.
    """

    def __init__(self, wanted: Mapping[str, Wanted]) -> None:
        self._wanted = wanted

    @property
    def patterns(self) -> Sequence[str]:
        """Globs of all that it says something of."""
        return [
            pattern
            for name, each in self._wanted.items()
            for pattern in ([name, f"{name}.*"] if each.recursive else [name])
        ]

    @property
    def names(self) -> Sequence[str]:
        """The names that have to be loaded, or not to be."""
        return [name for name, each in self._wanted.items() if each.needed]

    def _of(self, name: str) -> Wanted | None:
        if name in self._wanted:
            return self._wanted[name]
        while "." in name:
            name = name.rpartition(".")[0]
            above = self._wanted.get(name)
            if above is not None:
                return above if above.recursive else None
        return None

    def digest_of(self, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """The digest that is wanted; "" where it is not about source."""
        wanted = self._of(name)
        return digest(wanted.source) if wanted is not None and wanted.source is not None else ""

    def differs(self, name: str, digest: str, state: str, reference: str) -> bool:
        """Whether it is not what is wanted."""
        wanted = self._of(name)
        if wanted is None:
            return False
        if wanted.absent:
            return True
        if wanted.blocked:
            return state != "BLOCKED"
        if wanted.stub is not None:
            # A stub has no source and so no digest; its attributes are the program's own by now.
            return state != "INJECTED" or bool(digest)
        if wanted.disk:
            return state in OFF_DISK
        return state == "BLOCKED" or is_another(digest, state, reference)

    def must_be_loaded(self, name: str) -> bool:
        """Whether who has not loaded it differs."""
        wanted = self._wanted.get(name)
        return wanted is not None and wanted.needed and not wanted.absent

    def is_superseded(self, name: str, digest: str) -> bool:
        """Whether it runs what the change set was not written against: there it would be refused."""
        wanted = self._of(name)
        return wanted is not None and bool(wanted.base_digest) and bool(digest) and digest != wanted.base_digest
