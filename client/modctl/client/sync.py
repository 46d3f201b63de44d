"""The same for programs without an event loop. The methods are made from AsyncFleet's: there is one list of them.

They work in a thread of their own, so that they can be used in notebooks and in servers that run a loop already.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from modctl.client import background
from modctl.client.errors import NoTargetError, ProcessFailedError, UsageError
from modctl.client.fleet import AsyncFleet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
    from types import TracebackType

    from modctl.client.credentials import TLS, Token
    from modctl.client.facts import ModuleEvent
    from modctl.client.results import FleetResult, Row
    from modctl.client.settings import Selection, Survey
    from typing_extensions import Self

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class _Facade:
    """An AsyncFleet in the background."""

    def __init__(self, core: AsyncFleet) -> None:
        self._core = core
        self._loop = background.enter()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hangs up; the last of a program ends the thread. May be called twice."""
        if self._closed:
            return
        if background.can_wait_for(self._loop):
            self._run(self._core.close())
        self._closed = True
        background.leave(self._loop)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise UsageError("this fleet is closed; connect again")
        if not background.can_wait_for(self._loop):
            work.close()
            raise UsageError(
                "this fleet cannot be used here: it was made before a fork, or the caller is a callback of a fleet; "
                "connect again, here"
            )
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the caller's thread ends the work too
            raise


def _whole(
    method: Callable[Concatenate[AsyncFleet, Arguments], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Fleet, Arguments], Result]:
    """The method, waited for."""

    @functools.wraps(method)
    def wait(self: Fleet, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return self._run(method(self._core, *args, **kwargs))

    return wait


def _single(
    method: Callable[Concatenate[AsyncFleet, Arguments], Coroutine[Any, Any, FleetResult[Result]]],
) -> Callable[Concatenate[Client, Arguments], Result]:
    """The method, waited for, and its one value."""

    @functools.wraps(method)
    def wait(self: Client, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return _only(self._run(method(self._core, *args, **kwargs)))

    return wait


def _only(result: FleetResult[Result]) -> Result:
    result.raise_for_failures()
    if len(result.rows) > 1:
        from dataclasses import replace

        from modctl.client.errors import AmbiguousProcessError
        from modctl.client.results import Failure

        error = Failure(
            "FAILED_PRECONDITION", "PROCESS_AMBIGUOUS", "several processes are there; name one with process="
        )
        raise AmbiguousProcessError([replace(row, outcome="REFUSED", error=error) for row in result.rows])
    value = result.rows[0].value
    if value is None:
        raise ProcessFailedError(result.rows)
    return value


class Fleet(_Facade):
    """Any number of targets, each with any number of processes behind it. See AsyncFleet.

    Made by `connect`; a context manager.
    """

    @classmethod
    def connect(
        cls,
        *hosts: str,
        exclude: Iterable[str] = (),
        tls: TLS | None = None,
        token: Token | None = None,
        plaintext: bool = False,
        process: Selection = "all",
        fanout: int = 64,
        connect_timeout_s: float = 2.0,
        timeout_s: float = 10.0,
        deadline_s: float | None = None,
        labels: str = "",
        discover: Iterable[str] = (),
        pick: int = 0,
    ) -> Fleet:
        """See AsyncFleet.connect."""
        return cls(
            AsyncFleet.connect(
                *hosts,
                exclude=exclude,
                tls=tls,
                token=token,
                plaintext=plaintext,
                process=process,
                fanout=fanout,
                connect_timeout_s=connect_timeout_s,
                timeout_s=timeout_s,
                deadline_s=deadline_s,
                labels=labels,
                discover=discover,
                pick=pick,
            )
        )

    resolve = _whole(AsyncFleet.resolve)
    look_again = _whole(AsyncFleet.look_again)
    survey = _whole(AsyncFleet.survey)
    list = _whole(AsyncFleet.list)
    get = _whole(AsyncFleet.get)
    history = _whole(AsyncFleet.history)
    agents = _whole(AsyncFleet.agents)
    import_modules = _whole(AsyncFleet.import_modules)
    inject = _whole(AsyncFleet.inject)
    evict = _whole(AsyncFleet.evict)
    reimport = _whole(AsyncFleet.reimport)
    reload = _whole(AsyncFleet.reload)
    apply = _whole(AsyncFleet.apply)
    undo = _whole(AsyncFleet.undo)
    confirm = _whole(AsyncFleet.confirm)
    freeze = _whole(AsyncFleet.freeze)
    thaw = _whole(AsyncFleet.thaw)

    roll_out = _whole(AsyncFleet.roll_out)

    def stream(self, call: Callable[[AsyncFleet], Awaitable[FleetResult[Result]]]) -> Iterator[Row[Result]]:
        """See AsyncFleet.stream; the call is made on the asynchronous fleet inside."""
        rows = self._core.stream(call)

        async def following() -> Row[Result] | None:
            try:
                return await rows.__anext__()
            except StopAsyncIteration:
                return None

        async def end() -> None:
            await rows.aclose()  # type: ignore[attr-defined]  # it is a generator

        try:
            while (row := self._run(following())) is not None:
                yield row
        finally:
            self._run(end())

    def watch(self, *patterns: str, since_revision: int | None = None) -> Iterator[ModuleEvent | Row[Any]]:
        """See AsyncFleet.watch."""
        events = self._core.watch(*patterns, since_revision=since_revision)

        async def following() -> ModuleEvent | Row[Any] | None:
            try:
                return await events.__anext__()
            except StopAsyncIteration:
                return None

        async def end() -> None:
            await events.aclose()  # type: ignore[attr-defined]  # it is a generator

        try:
            while (event := self._run(following())) is not None:
                yield event
        finally:
            self._run(end())


class Client(_Facade):
    """One process. Each method gives its one answer, and raises where there is none: see errors.py.

    Made by `connect`; a context manager.
    """

    @classmethod
    def connect(
        cls,
        target: str | None = None,
        *,
        process: int | str | None = None,
        tls: TLS | None = None,
        token: Token | None = None,
        plaintext: bool = False,
        connect_timeout_s: float = 2.0,
        timeout_s: float = 10.0,
    ) -> Client:
        """The process behind a target; without one, the only one of this user on this machine.

        Args:
            target: an address.
            process: an id or pid, where several are behind it; "any" takes one of them.
            tls: see Settings, as for all others.
            token: the bearer token.
            plaintext: no TLS.
            connect_timeout_s: bound on connecting, in seconds.
            timeout_s: bound on each answer, in seconds.
        """
        return cls(
            AsyncFleet.connect(
                *([] if target is None else [target]),
                process="all" if process is None else process,
                tls=tls,
                token=token,
                plaintext=plaintext,
                connect_timeout_s=connect_timeout_s,
                timeout_s=timeout_s,
            )
        )

    def __init__(self, core: AsyncFleet) -> None:
        super().__init__(core)
        core.before_change = _one_process

    list = _single(AsyncFleet.list)
    get = _single(AsyncFleet.get)
    history = _single(AsyncFleet.history)
    agent = _single(AsyncFleet.agents)
    import_modules = _single(AsyncFleet.import_modules)
    inject = _single(AsyncFleet.inject)
    evict = _single(AsyncFleet.evict)
    reimport = _single(AsyncFleet.reimport)
    reload = _single(AsyncFleet.reload)
    apply = _single(AsyncFleet.apply)
    undo = _single(AsyncFleet.undo)
    confirm = _single(AsyncFleet.confirm)
    freeze = _single(AsyncFleet.freeze)
    thaw = _single(AsyncFleet.thaw)


def _one_process(survey: Survey) -> None:
    """Nothing is changed in several processes where one was meant."""
    if survey.count > 1:
        names = ", ".join(process.id for each in survey.processes.values() for process in each[:5])
        raise UsageError(f"{survey.count} processes are there and a Client changes one; name it with process=: {names}")
    if not survey.count and not survey.failed:
        raise NoTargetError("no process was found; is a service with modctl.agent running?")
