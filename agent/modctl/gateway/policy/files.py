"""The policy files in force. They are looked at again for every call; one that has become wrong changes nothing."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from modctl.gateway.policy.model import DEFAULT, Policy, broken
from modctl.gateway.policy.parse import MAX_BYTES, parse
from modctl.gateway.policy.reading import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable

_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int]


class PolicyFile:
    """One file: the policy that was right last, and what is wrong with it now.

    Args:
        place: its path.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._stamp: _Stamp | None = None
        self._looked = False
        self.policy = broken(place, "it has not been read")
        #: What is wrong with the file as it is now; empty where all is well.
        self.problem = ""

    def look(self) -> Policy:
        """The policy in force, read anew where the file has changed. Never raises."""
        try:
            found = os.stat(self._place)
            stamp: _Stamp | None = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError:
            stamp = None
        if self._looked and stamp == self._stamp:
            return self.policy
        first, self._looked, self._stamp = not self._looked, True, stamp
        try:
            policy = parse(self._read(), self._place)
        except (OSError, ValueError) as error:
            self._fail(error, first=first)
        else:
            self.policy, self.problem = policy, ""
            _log.info("policy %s: in force", self._place)
        return self.policy

    def _read(self) -> str:
        with open(self._place, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"{self._place}: larger than {MAX_BYTES} bytes")
        return content.decode("utf-8")

    def _fail(self, error: Exception, *, first: bool) -> None:
        told = str(error) if isinstance(error, (PolicyError, OSError)) else f"{self._place}: {error}"
        if first or self.policy.broken:
            self.policy = broken(self._place, told)
            self.problem = f"the policy file cannot be used, so nothing may be changed: {told}"
        else:  # somebody is editing it, or broke it: what held goes on
            self.problem = f"the policy file has become wrong; what it said before holds: {told}"
        _log.error("%s", self.problem)


class Policies:
    """Every policy file that some process names. Lives on one event loop; looking is a stat and rarely a small read."""

    def __init__(self) -> None:
        self._files: dict[str, PolicyFile] = {}

    def of(self, places: Iterable[str]) -> list[Policy]:
        """The policies in force for processes that name these files ("" for none): each once."""
        return [self._file(place).look() if place else DEFAULT for place in dict.fromkeys(places)]

    def problems(self) -> list[str]:
        """What is wrong with the files, in words."""
        for file in self._files.values():
            file.look()
        return [file.problem for file in self._files.values() if file.problem]

    def _file(self, place: str) -> PolicyFile:
        file = self._files.get(place)
        if file is None:
            file = self._files[place] = PolicyFile(place)
        return file
