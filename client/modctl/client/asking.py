"""The verbs of the SDK that ask what is there: one read of all processes each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from modctl.client import dispatch, requests
from modctl.client.gather import ListGatherer
from modctl.client.listing import BatchStore, Modules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.client.facts import ModuleDetail, Revision
    from modctl.client.ports import Gatherer
    from modctl.client.results import FleetResult


class ReadVerbs(ABC):
    """What a fleet can tell of modules, on top of one way to read."""

    @abstractmethod
    async def _read(self, method: str, body: bytes, make: Callable[[], Gatherer]) -> FleetResult[Any]:
        """Asks every process, and asks again where a connection was lost."""

    async def list(
        self,
        *patterns: str,
        kinds: Sequence[str] = (),
        states: Sequence[str] = (),
        basic: bool = False,
        with_size: bool = False,
    ) -> FleetResult[Modules]:
        """The entries of sys.modules.

        Args:
            patterns: globs of names, OR-ed; none means all.
            kinds: SOURCE, EXTENSION, …, OR-ed; none means all.
            states: MODIFIED, INJECTED, …, OR-ed; none means all.
            basic: leave out digest and state: no file of the target is looked at.
            with_size: measure memory; slow, approximate.

        Raises:
            UsageError: a kind or state that is none.
        """
        body = requests.list_modules(patterns, kinds, states, basic, with_size)
        store = BatchStore()
        return await self._read(requests.LIST_MODULES, body, lambda: ListGatherer(store))

    async def get(
        self,
        name: str,
        *,
        with_source: bool = False,
        attributes: Sequence[str] = (),
        deep: bool = False,
        with_locks: bool = False,
        with_disk_source: bool = False,
    ) -> FleetResult[ModuleDetail]:
        """Everything about one entry. Nothing is imported.

        Args:
            name: the entry's.
            with_source: send the source that is really running.
            attributes: whose values to send.
            deep: look for holders of old objects through the whole heap; bounded, slow.
            with_locks: say what a change of the process would have to wait for.
            with_disk_source: send what the module's file has now, too.
        """
        request = requests.get_module(name, with_source, attributes, deep, with_locks, with_disk_source)
        return await self._read(request.method, request.body, lambda: dispatch.OneAnswerEach(request))

    async def history(self, *, limit: int = 0) -> FleetResult[tuple[Revision, ...]]:
        """Committed change sets, newest first; `limit` 0 is all that are kept."""
        request = requests.list_revisions(limit)
        return await self._read(request.method, request.body, lambda: dispatch.OneAnswerEach(request))
