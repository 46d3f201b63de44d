"""start() and the handle that it returns: one agent per process."""

from __future__ import annotations

import atexit
import os
import sys
from binascii import a2b_base64
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.deferred import DeferredEngine
from modctl.agent.errors import AlreadyStartedError, GatewayUnavailableError
from modctl.agent.forks import FORKS
from modctl.agent.identity import Identity
from modctl.agent.log import INFO, WARNING, log
from modctl.agent.primitives import allocate_lock
from modctl.agent.settings import disabled, flag, resolve
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from modctl.agent.engine import Engine
    from modctl.agent.ports import EnginePort
    from modctl.agent.runtime import Runtime
    from modctl.agent.settings import TLS, Policy, Settings

#: How long start() waits for the gateway: it takes 0.1 s, more where the machine is busy.
WAIT_S: Final = 3.0
#: The same where the service would rather not run without.
REQUIRED_WAIT_S: Final = 15.0
#: Where hundreds of services start at once each waits for its turn to start a gateway. That is no failure, so long.
QUEUED_WAIT_S: Final = 120.0
_EXIT_S: Final = 0.25


class Hooked(NamedTuple):
    """What modctl.agent.hooked knows of a process that it starts an agent in."""

    #: Who forked it after the hook was armed; 0: nobody.
    forker_pid: int
    #: Whether it has forked others meanwhile.
    has_forked: bool


class Handle:
    """The running agent. As a context manager it stops the agent at the end.

    In a forked child the same handle speaks of the child's own agent.
    """

    def __init__(self, settings: Settings, runtime: Runtime | None, *, by_hook: bool = False) -> None:
        self._settings = settings
        self._runtime = runtime
        #: Started by `modctl-agent run` and not by the program, whose own start() then takes precedence.
        self.by_hook = by_hook
        self._gateway_thread: Any = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """What clients can dial: `unix:///…/gateway.sock`, `127.0.0.1:41234`; empty while there is no gateway."""
        return self._runtime.addresses if self._runtime is not None else ()

    @property
    def revision(self) -> int:
        """The number of the newest change that was committed in this process; 0 before the first."""
        return self._runtime.engine.revision if self._runtime is not None else 0

    @property
    def process(self) -> str:
        """This process's id: service/host/pid@start."""
        if self._runtime is not None and self._runtime.pid == os.getpid():
            return self._runtime.identity.id
        return Identity(self._settings).id

    @property
    def running(self) -> bool:
        """Whether this handle's agent is there: not disabled and not stopped."""
        return self._runtime is not None

    def stop(self) -> None:
        """Ends the agent and restores everything that it hooked; what was changed stays changed. Again: nothing."""
        global _current
        runtime, self._runtime = self._runtime, None
        if runtime is None:
            return
        with _lock:
            if _current is self:
                _current = None
                FORKS.follow(None)
        runtime.stop()
        runtime.engine.stop()
        if self._gateway_thread is not None:
            self._gateway_thread.stop()

    def __enter__(self) -> Handle:  # noqa: PYI034 - Self needs Python 3.11 or a dependency
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "disabled or stopped" if self._runtime is None else ", ".join(self.addresses) or "no gateway yet"
        return f"<modctl agent {self.process}: {state}>"


_lock = allocate_lock()
_current: Handle | None = None
_at_exit_registered = False


def start(
    listen: str | Iterable[str] | None = None,
    tls: TLS | None = None,
    service: str | None = None,
    labels: Mapping[str, str] | None = None,
    policy: Policy | str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    nats: str | None = None,
    gateway: str | None = None,
    wait: bool | None = None,
    required: bool | None = None,
    *,
    hooked: Hooked | None = None,
) -> Handle:
    """Starts this process's agent; see modctl.agent.start."""
    must = flag("MODCTL_REQUIRED", required, default=False)
    waits = flag("MODCTL_WAIT", wait, default=True)
    settings = resolve(
        listen=listen,
        tls=tls,
        service=service,
        labels=labels,
        policy=policy,
        token_file=token_file,
        insecure=insecure,
        state_dir=state_dir,
        nats=nats,
        gateway=gateway,
    )
    if disabled():
        log(INFO, "MODCTL_DISABLE is set: no agent in this process (pid %d)", os.getpid())
        return Handle(settings, None)
    handle = _take_over(settings, hooked)
    if waits or must:
        _wait(handle, required=must)
    return handle


def current() -> Handle | None:
    """The handle of the agent that runs in this process."""
    return _current


def _take_over(settings: Settings, hooked: Hooked | None) -> Handle:
    """The running handle where it is the same, a new one where there is none."""
    global _current
    while True:
        with _lock:
            running = _current
            if running is None:
                _current = handle = _launch(settings, hooked)
                return handle
        differing = running._settings.differing(settings)
        if not differing:
            return running
        if hooked is not None:
            return running  # the program's own start() was first
        if not running.by_hook:
            raise AlreadyStartedError(differing)
        running.stop()


def _launch(settings: Settings, hooked: Hooked | None) -> Handle:
    global _at_exit_registered
    from modctl.agent.runtime import Runtime

    engine = new_engine(settings)
    gateway_thread = None
    try:
        if settings.gateway == "thread":
            gateway_thread = _gateway_in_thread(settings)
        runtime = Runtime(settings, engine)
        if hooked is not None:
            runtime.adopt(hooked.forker_pid, has_forked=hooked.has_forked)
        runtime.start()
    except BaseException:
        engine.stop()
        raise
    handle = Handle(settings, runtime, by_hook=hooked is not None)
    handle._gateway_thread = gateway_thread
    FORKS.follow(runtime)
    if not _at_exit_registered:
        _at_exit_registered = True
        atexit.register(_at_exit)
        os.register_at_fork(after_in_child=_renew_lock)
    return handle


def new_engine(settings: Settings) -> EnginePort:
    """The engine of a new agent, which is loaded on the agent's thread."""
    keys = [a2b_base64(key) for key in settings.policy.trusted_keys] if settings.policy is not None else []

    def make() -> Engine:
        if keys:
            from modctl.agent.trusted import TrustingEngine

            return TrustingEngine(keys)
        from modctl.agent.engine import Engine

        return Engine()

    return DeferredEngine(make)


def _gateway_in_thread(settings: Settings) -> Any:
    """A gateway inside this process, for tests and places that may not exec. It brings grpc in; never fork it."""
    import importlib

    from modctl.agent.dialer import instance_dir

    # By name: the agent knows no gateway, and a service that does not ask for this must not load grpc.
    main = importlib.import_module("modctl.gateway.main")
    return main.serve_in_thread(instance_dir(settings), settings.service)


def _wait(handle: Handle, *, required: bool) -> None:
    runtime = handle._runtime
    if runtime is None or runtime.wait_served(REQUIRED_WAIT_S if required else WAIT_S):
        return
    queued_until_s = monotonic() + QUEUED_WAIT_S
    while required and (left_s := min(runtime.queued_at_s + REQUIRED_WAIT_S, queued_until_s) - monotonic()) > 0:
        if runtime.wait_served(left_s):
            return
    problem = runtime.problem or f"it did not say welcome within {REQUIRED_WAIT_S if required else WAIT_S:g} s"
    if required:
        handle.stop()
        raise GatewayUnavailableError(f"no gateway: {problem}")
    if runtime.problem is None:
        log(WARNING, "no gateway yet: %s; the service goes on, and so does the agent", problem)


def _renew_lock() -> None:
    """In a forked child: another thread of the parent's may have been in start() and held it."""
    global _lock
    _lock = allocate_lock()


def _at_exit() -> None:
    handle = _current
    # Daemon threads that run while the interpreter is torn down are how processes crash at exit.
    if handle is not None and handle._runtime is not None and not sys.is_finalizing():
        FORKS.follow(None)
        handle._runtime.stop(_EXIT_S)
        if handle._gateway_thread is not None:
            handle._gateway_thread.stop()
