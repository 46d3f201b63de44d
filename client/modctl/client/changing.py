"""The verbs of the SDK that change something. Each comes down to a change set, or to an undo, of all processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modctl.client.facts import ChangeResult, Process
    from modctl.client.operations import ChangeKeywords, ChangeOptions, Inject, Operation
    from modctl.client.requests import Request
    from modctl.client.results import FleetResult
    from typing_extensions import Unpack


class ChangeVerbs(ABC):
    """What a fleet can do to modules, on top of one way to send a change.

    The files of operations and requests are imported when the first change is made: a listing starts sooner.
    """

    @abstractmethod
    async def _change(
        self, make: Callable[[ChangeOptions], Request], options: ChangeOptions | None
    ) -> FleetResult[Any]:
        """Sends a change to every process."""

    async def import_modules(
        self, *names: str, options: ChangeOptions | None = None, **keywords: Unpack[ChangeKeywords]
    ) -> FleetResult[ChangeResult]:
        """Makes sure that modules are loaded. Any field of ChangeOptions can be given by its name, here and below."""
        from modctl.client.operations import Import

        return await self.apply([Import(name) for name in names], options=options, **keywords)

    async def inject(
        self,
        what: str | Inject,
        *,
        source: str | bytes | None = None,
        package: Mapping[str, bytes] | None = None,
        archive: bytes | None = None,
        attributes: Mapping[str, Any] | None = None,
        alias_of: str | None = None,
        block: bool = False,
        replace: bool = False,
        ttl_s: float = 0.0,
        base_digest: str = "",
        filename: str = "",
        options: ChangeOptions | None = None,
        **keywords: Unpack[ChangeKeywords],
    ) -> FleetResult[ChangeResult]:
        """Puts a made module into sys.modules.

        Args:
            what: the entry's name; or the whole operation, and nothing of the following.
            source: this and what follows up to `filename`: as in Inject.

        Raises:
            UsageError: not just one content.
        """
        from modctl.client.operations import Inject

        operation = what
        if isinstance(operation, str):
            operation = Inject(
                operation, source, package, archive, attributes, alias_of, block, replace, ttl_s, base_digest, filename
            )
        return await self.apply([operation], options=options, **keywords)

    async def evict(
        self,
        *names: str,
        recursive: bool = False,
        base_digest: str = "",
        options: ChangeOptions | None = None,
        **keywords: Unpack[ChangeKeywords],
    ) -> FleetResult[ChangeResult]:
        """Removes entries, their loaded submodules too where `recursive`."""
        from modctl.client.operations import Evict

        return await self.apply([Evict(name, recursive, base_digest) for name in names], options=options, **keywords)

    async def reimport(
        self,
        *names: str,
        mode: str = "fresh",
        recursive: bool = False,
        base_digest: str = "",
        ttl_s: float = 0.0,
        options: ChangeOptions | None = None,
        **keywords: Unpack[ChangeKeywords],
    ) -> FleetResult[ChangeResult]:
        """Fresh module objects from their sources; the old entries stay until the new ones have executed."""
        from modctl.client.operations import Reimport

        operations = [Reimport(name, mode, recursive, base_digest, ttl_s=ttl_s) for name in names]
        return await self.apply(operations, options=options, **keywords)

    async def reload(
        self, *names: str, options: ChangeOptions | None = None, **keywords: Unpack[ChangeKeywords]
    ) -> FleetResult[ChangeResult]:
        """The running program uses the new code: the live objects take it."""
        from modctl.client.operations import Reimport

        return await self.apply([Reimport(name, "patch") for name in names], options=options, **keywords)

    async def apply(
        self,
        operations: Sequence[Operation],
        *,
        options: ChangeOptions | None = None,
        **keywords: Unpack[ChangeKeywords],
    ) -> FleetResult[ChangeResult]:
        """Many operations as one: in each process all or nothing.

        Raises:
            UsageError: there is nothing in it, or too much.
        """
        from modctl.client import change_requests
        from modctl.client.operations import options_of

        filled_in = options_of(options, keywords)
        return await self._change(lambda filled: change_requests.change(operations, filled), filled_in)

    async def undo(
        self, revision: int = 0, *, options: ChangeOptions | None = None, **keywords: Unpack[ChangeKeywords]
    ) -> FleetResult[ChangeResult]:
        """Takes a revision back, 0 the newest that stands; that makes a new one."""
        from modctl.client import change_requests
        from modctl.client.operations import options_of

        filled_in = options_of(options, keywords)
        return await self._change(lambda filled: change_requests.undo(revision, filled), filled_in)

    async def confirm(self, revision: int = 0, *, reason: str = "") -> FleetResult[ChangeResult]:
        """Lets a change stand that takes itself back unless it is confirmed; 0 is every one that waits."""
        from modctl.client import change_requests

        return await self._change(lambda _: change_requests.confirm(revision, reason), None)

    async def freeze(self, reason: str = "") -> FleetResult[Process]:
        """Makes the processes refuse every change."""
        from modctl.client import change_requests

        return await self._change(lambda _: change_requests.freeze(reason), None)

    async def thaw(self) -> FleetResult[Process]:
        """Allows changes again."""
        from modctl.client import change_requests

        return await self._change(lambda _: change_requests.thaw(), None)
