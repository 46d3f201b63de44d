"""The asyncio core of the SDK: every verb, for any number of targets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from modctl.client import dispatch, requests, returning
from modctl.client.asking import ReadVerbs
from modctl.client.changing import ChangeVerbs
from modctl.client.channel import CallFailed
from modctl.client.dialer import Dialer
from modctl.client.outcomes import outcome_of
from modctl.client.results import Failure, FleetResult, Row
from modctl.client.settings import Settings, Survey
from modctl.client.targets import Target, parse_targets
from modctl.client.whom import Whom

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from types import TracebackType
    from typing import TypeVar

    from modctl.client.credentials import TLS, Token
    from modctl.client.facts import ModuleEvent, Process
    from modctl.client.operations import ChangeOptions, Operation
    from modctl.client.ports import Gatherer, Observer
    from modctl.client.requests import Request
    from modctl.client.rollout import RolloutSpec, RolloutState
    from modctl.client.settings import Selection

    StreamedT = TypeVar("StreamedT")

    # In the class below `list` is a verb.
    Rows = list[Row[Any]]
    Targets = list[Target]

#: Beyond so many targets a connection is closed after each call: an open one costs about 0.1 MiB.
KEPT_CHANNELS = 128


class AsyncFleet(ReadVerbs, ChangeVerbs):
    """Any number of targets, each with any number of processes behind it.

    Made by `connect`; an asynchronous context manager. The targets are looked up at the first call and stay the same.
    One target down never raises: it is a row of the result.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        settings: Settings,
        exclude: Sequence[Target] = (),
        discover: Sequence[str] = (),
        pick: int = 0,
    ) -> None:
        self.settings = settings
        #: Called before a change is sent, with who would be changed; what it raises stops the change.
        self.before_change: Callable[[Survey], None] | None = None
        #: Told of progress.
        self.observer: Observer | None = None
        #: Hears the rows of each target as it answers; see stream().
        self.on_rows: Callable[[Sequence[Row[Any]]], None] | None = None
        #: Once set, no further target is asked.
        self.stop = asyncio.Event()
        self._whom = Whom(targets, exclude, discover, pick)
        self._looks_again = True
        #: The connections, for those who stream over them.
        self.dialer = Dialer(settings)

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
    ) -> AsyncFleet:
        """A fleet of the hosts named; without any, of every agent of this user on this machine. Dials nobody yet.

        Args:
            hosts: addresses, lists and ranges: "svc[01-20]:50051", "a:1,b:2", "unix:///run/x.sock".
            exclude: the same, to leave out.
            tls: see Settings, as for all others.
            token: the bearer token.
            plaintext: no TLS anywhere.
            process: which processes.
            fanout: how many targets are in flight.
            connect_timeout_s: bound on connecting to a target, in seconds.
            timeout_s: bound on a process's answer, in seconds.
            deadline_s: bound on each call to the whole fleet, in seconds.
            labels: a selector that the processes must match: "zone=a, tier in (web, api)".
            discover: where further targets are found: "dns:///svc:50051", "srv:///_modctl._tcp.svc", "exec:CMD".
            pick: only so many of the targets, by chance; 0 is all.

        Raises:
            UsageError: something of it cannot be; TargetSyntaxError for a bad address.
        """
        settings = Settings(tls, token, plaintext, process, fanout, connect_timeout_s, timeout_s, deadline_s, labels)
        return cls(parse_targets(hosts), settings, parse_targets(exclude), tuple(discover), pick)

    async def __aenter__(self) -> AsyncFleet:  # noqa: PYI034 - there are no subclasses
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hangs up."""
        await self.dialer.close()

    async def resolve(self) -> Targets:
        """The targets, looked up once."""
        return await self._whom.targets()

    async def look_again(self) -> Targets:
        """Forgets what was looked up, and looks again: where a service may have come back at another place."""
        self._whom.forget()
        await self.close()
        return await self.resolve()

    def only(self, targets: Sequence[Target]) -> AsyncFleet:
        """A fleet of these targets over the same connections, which stay this one's to close.

        Args:
            targets: some of those that `resolve` gave.
        """
        part = AsyncFleet(targets, self.settings)
        part._whom = Whom(targets, found=True)
        part.dialer, part.stop, part.observer = self.dialer, self.stop, self.observer
        part._looks_again = False
        return part

    # Reading

    async def agents(self) -> FleetResult[Process]:
        """The processes behind the targets, and who the caller is to each."""

        async def ask(target: Target) -> Rows:
            return self._heard(await self._processes(target))

        return await self._fan_out(ask, changes=False)

    async def watch(self, *patterns: str, since_revision: int | None = None) -> AsyncIterator[ModuleEvent | Row[Any]]:
        """Changes of the module table as they happen, for ever; a target that is lost is a Row, and dialled again.

        Args:
            patterns: globs of names, OR-ed; none means all.
            since_revision: kept revisions after it are told first.
        """
        from modctl.client.watch import watch

        async for each in watch(self, await self.resolve(), patterns, since_revision):
            yield each

    # Changing

    async def survey(self, dry_run: bool = False) -> Survey:
        """Who a change would touch."""

        async def ask(target: Target) -> Rows:
            return await self._processes(target, as_known=True)

        result: FleetResult[Process] = await self._fan_out(ask, changes=False)
        processes: dict[str, tuple[Process, ...]] = {}
        for row in result.rows:
            if row.value is not None:
                processes[row.target] = (*processes.get(row.target, ()), row.value)
        if self.settings.process == "any":
            processes = {target: each[:1] for target, each in processes.items()}
        return Survey(processes, result.failed, dry_run)

    def stream(self, call: Callable[[AsyncFleet], Awaitable[FleetResult[StreamedT]]]) -> AsyncIterator[Row[StreamedT]]:
        """The rows of one call as they come: `async for row in fleet.stream(lambda fleet: fleet.list("billing.*"))`.

        Args:
            call: any verb of the fleet that it is given.
        """
        from modctl.client.streaming import rows_as_they_come

        return rows_as_they_come(self, call)

    async def roll_out(
        self, operations: Sequence[Operation], spec: RolloutSpec | None = None, *, options: ChangeOptions | None = None
    ) -> RolloutState:
        """Brings a change set to the fleet in waves; returns where that ended. See modctl.client.rollout.

        Args:
            operations: what.
            spec: how; the default is one canary, then everybody, and undo at the first failure.
            options: protected names that the change may touch, and signatures of its sources.
        """
        from modctl.client.rollout import roll_out

        return await roll_out(self, operations, spec, options=options)

    # Below: how

    @contextlib.asynccontextmanager
    async def speaking_to(self, target: Target) -> AsyncIterator[None]:
        """For the time of a call; then hangs up where there are too many targets to stay connected to all."""
        async with self.dialer.held(target, keep=len(await self.resolve()) <= KEPT_CHANNELS):
            yield

    def _heard(self, rows: Rows) -> Rows:
        if self.on_rows is not None:
            self.on_rows(rows)
        return rows

    async def _read(self, method: str, body: bytes, make: Callable[[], Gatherer]) -> FleetResult[Any]:
        timeout_s = self.settings.timeout_s

        async def ask(target: Target) -> Rows:
            call = dispatch.Call(
                self.dialer.channel(target),
                target,
                method,
                body,
                self.settings.selector,
                timeout_s,
                False,
                self.dialer.failure,
            )
            return self._heard(await call.run(make))

        return await self._fan_out(ask, changes=False)

    async def _change(
        self, make: Callable[[ChangeOptions], Request], options: ChangeOptions | None
    ) -> FleetResult[Any]:
        import uuid
        from dataclasses import replace

        from modctl.client.operations import ChangeOptions

        options = options or ChangeOptions()
        filled = replace(
            options,
            request_id=options.request_id or uuid.uuid4().hex,
            execution_timeout_s=options.execution_timeout_s or self.settings.timeout_s,
        )
        request = make(filled)
        survey = await self.survey(filled.dry_run)
        if self.before_change is not None:
            self.before_change(survey)
        timeout_s = filled.execution_timeout_s + filled.shield_wait_s + filled.wait_drained_s + dispatch.CHANGE_MARGIN_S
        compare = self.settings.process == "all"

        async def ask(target: Target) -> Rows:
            if target.label not in survey.processes:
                return [row for row in survey.failed if row.target == target.label]
            call = dispatch.Call(
                self.dialer.channel(target),
                target,
                request.method,
                request.body,
                self.settings.selector,
                timeout_s,
                not filled.dry_run,
                self.dialer.failure,
                frozenset(process.id for process in survey.processes[target.label]) if compare else frozenset(),
            )
            rows = await call.run(lambda: dispatch.OneAnswerEach(request, filled.dry_run))
            if compare:
                rows = dispatch.name_the_silent(rows, target, survey.processes[target.label])
            return self._heard(rows)

        return await self._fan_out(ask, changes=not filled.dry_run, surveyed=True)

    async def _processes(self, target: Target, as_known: bool = False) -> Rows:
        """Who is behind a target.

        Args:
            target: whom to ask.
            as_known: take the gateway's word, and wake no process; nor ask who the caller is.
        """
        from modctl.client import convert

        channel = self.dialer.channel(target)
        timeout_s = self.settings.timeout_s
        try:
            identity = "" if as_known else convert.identity(await channel.ask(requests.GET_AGENT, b"", timeout_s))
            request = convert.AS_KNOWN if as_known else b""
            found = convert.processes(await channel.ask(requests.LIST_PROCESSES, request, timeout_s), identity)
        except CallFailed as failed:
            failure = self.dialer.failure(failed, target)
            outcome = outcome_of(failure, changing=False, sent=failed.sent)
            return [Row(target.label, "", "", 0, outcome, error=failure)]
        return [
            Row(target.label, process.id, process.service, process.pid, "OK", process)
            for process in found
            if self.settings.selects(process)
        ]

    async def _fan_out(
        self,
        ask: Callable[[Target], Awaitable[Rows]],
        changes: bool,
        surveyed: bool = False,
        first_s: float | None = None,
    ) -> FleetResult[Any]:
        """Asks every target at once.

        Args:
            ask: makes the rows of one.
            changes: whether it asks for a change: then those asked are waited for, whatever happens.
            surveyed: whether it is known who is there: who was away has been looked for then.
            first_s: when it was first asked, of a second look because nobody was there at all.
        """
        targets = await self.resolve()
        settings = self.settings
        began_s = time.monotonic() if first_s is None else first_s
        deadline_s = None if settings.deadline_s is None else began_s + settings.deadline_s

        def too_late() -> bool:
            return deadline_s is not None and time.monotonic() + returning.BACK_S > deadline_s

        async def ask_and_close(target: Target) -> Rows:
            async with self.speaking_to(target):
                return await ask(target)

        async def ask_all(whom: Sequence[Target]) -> tuple[Rows, list[Target], list[Target], list[Target]]:
            return await dispatch.fan_out(
                whom, ask_and_close, settings.fanout, self.stop, changes, self.observer, deadline_s
            )

        rows, skipped, cut, unasked = await ask_all(targets)
        for look in range(0 if surveyed or not self._looks_again else returning.LOOKS):
            lost = returning.lost(targets, rows, look, everybody=settings.process == "all" and not settings.labels)
            if not lost or len(lost) == len(targets) or too_late() or self.stop.is_set():
                break
            await asyncio.sleep(returning.BACK_S)
            again = await ask_all(lost)
            labels = {target.label for target in lost}
            rows = [row for row in rows if row.target not in labels] + again[0]
            skipped, cut, unasked = [*skipped, *again[1]], [*cut, *again[2]], [*unasked, *again[3]]
        failure = Failure("DEADLINE_EXCEEDED", "DEADLINE", "no answer before --deadline")
        rows += [Row(target.label, "", "", 0, "UNKNOWN" if changes else "TIMED_OUT", error=failure) for target in cut]
        never = Failure("DEADLINE_EXCEEDED", "DEADLINE", "--deadline was over before it was asked; nothing was done")
        rows += [Row(target.label, "", "", 0, "TIMED_OUT", error=never) for target in unasked]
        reached = self._reached(targets, rows)
        if rows and not reached and self._looks_again and any(target.discovered for target in targets):
            # Sockets and nobody behind them: old ones, or a gateway that died this moment and is about to be back.
            self._whom.forget()
            await self.dialer.close_unheld()
            if first_s is None and not too_late() and not self.stop.is_set():
                await asyncio.sleep(returning.BACK_S)
                return await self._fan_out(ask, changes, surveyed, began_s)
        return FleetResult(reached, len(targets), [target.label for target in skipped])

    def _reached(self, targets: Sequence[Target], rows: Sequence[Row[Any]]) -> Rows:
        """Without the silence of who was only looked for, and of hosts that have none of the processes named."""
        looked_for = {target.label for target in targets if target.discovered}
        named = self.settings.selector not in ("all", "any")
        kept: Rows = []
        for row in rows:
            reason = row.error.reason if row.error is not None else ""
            if row.target in looked_for and reason in ("NO_SOCKET", "REFUSED", "SOCKET_DENIED") and not row.process:
                continue
            if named and reason == "PROCESS_NOT_FOUND":
                continue
            kept.append(row)
        return kept
