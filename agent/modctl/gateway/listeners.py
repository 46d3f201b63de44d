"""All addresses of the gateway: each served once, however many processes ask for it, and tried again where it fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from modctl.gateway.errors import ListenError
from modctl.gateway.listener import Demand, Listener, NetworkListener, open_demand

if TYPE_CHECKING:
    from collections.abc import Callable

    from modctl.gateway.presence import ConnectedProcess
    from modctl.gateway.rpc import Endpoint

_log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 30.0
RELOAD_S: Final = 2.0


class Listeners:
    """Opens what processes ask for. An address stays until the gateway leaves: its port must not change under clients.

    Args:
        local: the private unix socket; it is started by the caller.
        endpoint: what is served.
        base: where the user's token lies.
        on_change: called when addresses or warnings have changed.
    """

    def __init__(self, local: Listener, endpoint: Endpoint, base: str, on_change: Callable[[], None]) -> None:
        self._local = local
        self._endpoint = endpoint
        self._base = base
        self._on_change = on_change
        self._open: dict[str, NetworkListener] = {}
        self._terms: dict[str, tuple[object, ...]] = {}
        self._problems: dict[str, str] = {}
        self._opening: dict[str, asyncio.Task[None]] = {}
        self._retries: set[asyncio.Task[None]] = set()
        self._upkeep: asyncio.Task[None] | None = None
        self._over = False

    async def want(self, process: ConnectedProcess) -> list[str]:
        """Serves what a process asks for, as far as it can be; returns what is particular to its own demand.

        A failure is a warning of the process and is tried again: the private socket serves all the same.
        """
        own: list[str] = []
        for spec in process.listen:
            try:
                demand = Demand(spec, process.hello)
            except ListenError as error:
                self._problems[spec] = str(error)
                _log.warning("%s", error)
                continue
            if self._terms.setdefault(spec, demand.terms) != demand.terms:
                own.append(
                    f"{spec} is served under the terms that another process asked for first, not under this one's"
                )
            if spec in self._open or self._over:
                continue
            task = self._opening.get(spec)
            if task is None:
                task = self._opening[spec] = asyncio.ensure_future(self._first_try(demand))
            await asyncio.shield(task)
        return own

    def addresses(self, specs: list[str] | None = None) -> list[str]:
        """Where the gateway can be reached; with specs, only the private socket and what became of these."""
        wanted = self._open if specs is None else [spec for spec in specs if spec in self._open]
        return [self._local.address, *(self._open[spec].address for spec in wanted)]

    def ports(self) -> list[int]:
        """The TCP ports that are served."""
        return [listener.port for listener in self._open.values()]

    def warnings(self, specs: list[str] | None = None) -> list[str]:
        """What is not well, in words; with specs, only with these."""
        found: list[str] = []
        for spec in {**self._problems, **self._open} if specs is None else specs:
            if spec in self._problems:
                found.append(self._problems[spec])
            if spec in self._open:
                found.extend(self._open[spec].warnings)
        return found

    def insecure(self, specs: list[str]) -> bool:
        """Whether one of these lets in anybody."""
        return any(self._open[spec].insecure for spec in specs if spec in self._open)

    async def stop(self) -> None:
        """Closes everything, the private socket too."""
        self._over = True
        tasks = [*self._opening.values(), *self._retries, *([self._upkeep] if self._upkeep else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(self._local.stop(), *(listener.stop() for listener in self._open.values()))

    async def _first_try(self, demand: Demand) -> None:
        try:
            if not await self._try(demand):
                retry = asyncio.ensure_future(self._try_again(demand))
                self._retries.add(retry)
                retry.add_done_callback(self._retries.discard)
        finally:
            self._opening.pop(demand.spec, None)

    async def _try(self, demand: Demand) -> bool:
        if demand.spec in self._open:
            return True
        try:
            listener = await open_demand(demand, self._endpoint, self._base)
        except ListenError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the gateway serves its other addresses
            _log.exception("%s", demand.spec)
            problem = f"{demand.spec} is not served: {error!r}"
        else:
            self._open[demand.spec] = listener
            self._problems.pop(demand.spec, None)
            _log.info("serving on %s", listener.address)
            for warning in listener.warnings:
                _log.warning("%s", warning)
            if self._upkeep is None:
                self._upkeep = asyncio.ensure_future(self._keep_up())
            return True
        if self._problems.get(demand.spec) != problem:
            _log.warning("%s", problem)
            self._problems[demand.spec] = problem
        return False

    async def _try_again(self, demand: Demand) -> None:
        wait_s = FIRST_RETRY_S
        while True:
            await asyncio.sleep(wait_s)
            if await self._try(demand):
                self._on_change()
                return
            wait_s = min(wait_s * 2, LAST_RETRY_S)

    async def _keep_up(self) -> None:
        """Looks for new certificates."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RELOAD_S)
            for listener in list(self._open.values()):
                await loop.run_in_executor(None, listener.reload)
