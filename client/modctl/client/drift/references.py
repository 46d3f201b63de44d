"""What versions are compared with: the majority, each process's disk, a local tree, another target."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modctl.client.listing import Modules
    from modctl.client.results import FleetResult

#: States in which what is running is not what the process's own disk has.
OFF_DISK: Final = frozenset({"MODIFIED", "MISSING", "INJECTED", "PATCHED", "BLOCKED"})
#: States in which there may be no digest because there is no source: a stub, or nothing at all.
NO_SOURCE: Final = frozenset({"INJECTED", "BLOCKED"})


class Present:
    """What all of these share: whoever has not loaded a module is no difference, and everybody is as good as new."""

    def must_be_loaded(self, name: str) -> bool:  # noqa: ARG002 - the protocol's
        """Modules are loaded when they are needed."""
        return False

    def is_superseded(self, name: str, digest: str) -> bool:  # noqa: ARG002 - the protocol's
        """Nothing here says what it was made for."""
        return False


class Majority(Present):
    """What most processes of the service run; of equals the first digest by its text.

    A version that is on nobody's disk and was loaded before anybody looked has no digest: it is another one than every
    version that has.
    """

    def digest_of(self, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """The digest that most have."""
        return min(counts, key=lambda digest: (-counts[digest], not digest, digest), default="")

    def differs(self, name: str, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether it has another one."""
        return digest != reference


class Disk(Present):
    """What each process would load from its own disk."""

    def digest_of(self, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """There is no one digest: each process has its own disk."""
        return ""

    def differs(self, name: str, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether the process said so."""
        return state in OFF_DISK


class Known(Present):
    """A version for each name: of a directory, or of one target.

    Args:
        digests: name to digest.
    """

    def __init__(self, digests: Mapping[str, str]) -> None:
        self._digests = digests

    def digest_of(self, name: str, counts: Mapping[str, int]) -> str:  # noqa: ARG002 - the protocol's
        """The digest there; "" where it has no such module."""
        return self._digests.get(name, "")

    def differs(self, name: str, digest: str, state: str, reference: str) -> bool:  # noqa: ARG002 - the protocol's
        """Whether it is another one. What is not there cannot be compared with."""
        return is_another(digest, state, reference)


def is_another(digest: str, state: str, reference: str) -> bool:
    """Whether what runs is surely not the source of that digest. Of source that nobody saw loaded that is not known."""
    return bool(reference) and digest != reference and (bool(digest) or state in NO_SOURCE)


def digest(content: bytes) -> str:
    """The digest of source bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_directory(folder: str) -> Known:
    """The versions in a local tree.

    Raises:
        SourceError: a file cannot be read.
    """
    from modctl.client.local_sources import modules_of
    from modctl.client.packages import read_source

    return Known({name: digest(read_source(file)) for name, file in modules_of(folder)})


def of_listing(result: FleetResult[Modules]) -> Known:
    """The versions that a target runs: of its processes the first that has the module."""
    digests: dict[str, str] = {}
    for _, modules in result:
        for module in modules:
            digests.setdefault(module.name, module.digest)
    return Known(digests)
