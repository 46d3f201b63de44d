"""The gateway as an object: the same in a process of its own and in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import platform
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import agent_service, health, module_service
from modctl.gateway.agent_service import AgentService
from modctl.gateway.audit_service import AuditService
from modctl.gateway.change_service import ChangeService
from modctl.gateway.claim import BACKLOG
from modctl.gateway.connection import AgentConnection, read_buffer
from modctl.gateway.health import HealthService
from modctl.gateway.life import Life
from modctl.gateway.listener import LocalListener
from modctl.gateway.listeners import Listeners
from modctl.gateway.module_service import ModuleService
from modctl.gateway.phase_service import PhaseService
from modctl.gateway.presence import ConnectedProcess, Presence
from modctl.gateway.rpc import Endpoint
from modctl.gateway.security import Security
from modctl.gateway.strangers import Strangers
from modctl.gateway.telemetry import Telemetry
from modctl.local import places
from modctl.v1 import process_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.gateway.claim import Claim
    from modctl.gateway.freezer import Freezer

_log = logging.getLogger(__name__)

DEFAULT_GRACE_S: Final = 5.0
#: How often to look whether somebody has removed the sockets under us.
LOOK_S: Final = 5.0
FILE_THREADS: Final = 4
#: The compiler recurses in C; where threads have small stacks (musl) deeply nested source would end the process.
COMPILING_STACK_BYTES: Final = 64 * 1024 * 1024


class Gateway:
    """Serves one service instance until its life is over.

    Args:
        claim: the instance, held; run() releases it.
        service: the service's name.
        grace_s: how long to stay without any process.
    """

    def __init__(self, claim: Claim, service: str, grace_s: float = DEFAULT_GRACE_S) -> None:
        self._claim = claim
        self._service = service
        self._grace_s = grace_s
        self._version = importlib.metadata.version("modctl")
        self._started_at_unix_s = time.time()
        self._presence = Presence()
        self._files = ThreadPoolExecutor(FILE_THREADS, "modctl-files")
        self._compiling = compiling_thread()
        self._security = Security(claim.instance_dir, service, self._presence, self._files)
        self._agents = AgentService(
            service, self._version, self._presence, self._warnings, self.addresses, self._complete
        )
        self._modules = ModuleService(self._presence, self._files)
        services = {
            module_service.SERVICE: {
                **self._modules.methods(),
                **ChangeService(self._compiling).methods(),
                **PhaseService().methods(),
            },
            agent_service.SERVICE: {
                **self._agents.methods(),
                **AuditService(self._presence, self._security.policies, self._security.trails).methods(),
            },
        }
        services[health.SERVICE] = HealthService(self._presence, services).methods()
        self._telemetry = Telemetry(service, self._version, self._presence.all)
        self.strangers = Strangers(lambda: self._listeners.ports(), self._addresses_changed)
        self._endpoint = Endpoint(services, self._presence, self._security.guard, self._telemetry, self.strangers)
        self._local = LocalListener(
            claim.place(places.GATEWAY_SOCKET), claim.bindable(places.GATEWAY_SOCKET), self._endpoint
        )
        self._listeners = Listeners(
            self._local, self._endpoint, os.path.dirname(claim.instance_dir), self._addresses_changed
        )
        self._own_warnings: dict[ConnectedProcess, list[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._life: Life | None = None

    # -- its life

    async def run(self, ready: Callable[[], None] | None = None) -> None:
        """Serves; returns when its life is over and everything of it is gone.

        Args:
            ready: called once it serves.

        Raises:
            ListenError: the private socket cannot be bound.
        """
        loop = asyncio.get_running_loop()
        self._life = life = Life(self._grace_s)
        accepting: asyncio.Server | None = None
        try:
            self._claim.remove(places.GATEWAY_SOCKET, ours_only=False)
            await self._local.start()
            os.chmod(self._claim.place(places.GATEWAY_SOCKET), 0o600)
            self._claim.own(places.GATEWAY_SOCKET)
            self._write_info()
            # From 3.13 on asyncio would take the socket's file away by itself, going by the number of its inode alone,
            # which is free for the next gateway's file by then. The claim does it, and looks closer.
            left: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
            buffer = read_buffer()
            accepting = await loop.create_unix_server(
                lambda: AgentConnection(self, buffer), sock=self._claim.agent_socket, backlog=BACKLOG, **left
            )
            self._spawn(self._look_after_claim())
            self._spawn(self._security.keep_frost())
            self._spawn(self._telemetry.serve())
            _log.info("serving %s as pid %d, modctl %s", self._service, os.getpid(), self._version)
            if ready is not None:
                ready()
            await life.over.wait()
        finally:
            if accepting is not None:
                accepting.close()
            await self._end()

    def drain(self, why: str) -> None:
        """Leaves with the last process. Call it on the gateway's loop."""
        if self._life is not None:
            self._life.drain(why)

    def end(self, why: str) -> None:
        """Leaves now. Call it on the gateway's loop."""
        if self._life is not None:
            self._life.end(why)

    @property
    def freezer(self) -> Freezer:
        """What freezes and thaws without the network: signals and files."""
        return self._security.freezer

    async def _end(self) -> None:
        # The agents' socket goes first: who dials now shall start the next gateway, not wait for this one.
        with contextlib.suppress(OSError):
            self._claim.remove(places.AGENT_SOCKET)
        for process in self._presence.all():
            process.connection.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listeners.stop()
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: what was begun is written all the same
            await asyncio.get_running_loop().run_in_executor(None, self._security.stop)
        for pool in (self._files, self._compiling):
            pool.shutdown(wait=False, cancel_futures=True)
        self._modules.close()
        self._telemetry.close()
        self._claim.release()

    async def _look_after_claim(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if self._claim.gone() and self._life is not None:
                self._life.end("the sockets were removed; nobody could find this gateway any more")

    # -- what connections tell

    def connection_opened(self, connection: AgentConnection) -> None:  # noqa: ARG002 - Owner's signature
        """Somebody is there: the gateway stays."""
        assert self._life is not None
        self._life.connected()

    def heard(self) -> None:
        """Somebody known is served."""
        self.strangers.heard()

    def hello_received(self, connection: AgentConnection, hello: dict[str, Any]) -> None:
        """Takes a process in, serves what it asks for, then welcomes it."""
        process = self._presence.join(connection, hello)
        self._security.joined(process)
        self._spawn(self._welcome(process))

    def update_received(self, connection: AgentConnection, update: dict[str, Any]) -> None:
        """Takes in what has changed."""
        self._presence.update(connection, update)

    def connection_closed(self, connection: AgentConnection) -> None:
        """Somebody is gone: perhaps it was the last."""
        process = self._presence.leave(connection)
        if process is not None:
            self._own_warnings.pop(process, None)
        assert self._life is not None
        self._life.disconnected()

    async def _welcome(self, process: ConnectedProcess) -> None:
        before = self.addresses()
        own = await self._listeners.want(process)
        if own:
            self._own_warnings[process] = own
        if self.addresses() == before:
            self._tell(process)
        else:
            self._addresses_changed()

    def _tell(self, process: ConnectedProcess) -> None:
        process.connection.welcome(
            {
                "gateway_pid": os.getpid(),
                "addresses": self._listeners.addresses(process.listen),
                "warnings": self._warnings_of(process, self._security.warnings()),
                "short_updates": True,
            }
        )

    # -- what it says about itself

    def addresses(self) -> list[str]:
        """Where it is served."""
        return self._listeners.addresses()

    def _addresses_changed(self) -> None:
        self._write_info()
        for process in self._presence.all():
            self._tell(process)

    def _complete(self, processes: Sequence[ConnectedProcess]) -> list[process_pb2.Process]:
        """Processes' facts, with what only the gateway knows."""
        shared = self._security.warnings()  # which looks at files
        completed = []
        for process in processes:
            facts = process_pb2.Process()
            facts.CopyFrom(process.facts)
            facts.ClearField("warnings")
            facts.ClearField("addresses")
            facts.addresses.extend(self._listeners.addresses(process.listen))
            facts.warnings.extend(self._warnings_of(process, shared))
            facts.insecure = self._listeners.insecure(process.listen)
            completed.append(facts)
        return completed

    def _warnings_of(self, process: ConnectedProcess, shared: list[str]) -> list[str]:
        own = self._own_warnings.get(process, ())
        return [*shared, *self._listeners.warnings(process.listen), *self.strangers.warnings, *own]

    def _warnings(self) -> list[str]:
        own = (warning for warnings in self._own_warnings.values() for warning in warnings)
        listeners = self._listeners.warnings()
        return [*self._security.warnings(), *listeners, *self.strangers.warnings, *dict.fromkeys(own)]

    def _write_info(self) -> None:
        try:
            self._claim.write_info(
                {
                    "pid": os.getpid(),
                    "service": self._service,
                    "addresses": self.addresses(),
                    "modctl_version": self._version,
                    "python": platform.python_version(),
                    "started_at_unix_s": self._started_at_unix_s,
                }
            )
        except OSError as error:  # a full disk: clients of this machine still find the socket
            _log.warning("gateway.json cannot be written: %s", error)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a task failed", exc_info=error)


def compiling_thread() -> ThreadPoolExecutor:
    """One thread with a large stack: more would only fight for the interpreter."""
    pool = ThreadPoolExecutor(1, "modctl-compiling")
    before = threading.stack_size()
    try:
        threading.stack_size(COMPILING_STACK_BYTES)
        pool.submit(_started).result()
    except (ValueError, RuntimeError):  # the platform takes no such size: then its own
        _log.warning("the compiling thread has a small stack")
    finally:
        threading.stack_size(before)
    return pool


def _started() -> None:
    return None
