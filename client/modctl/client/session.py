"""One run of a command: from the common flags to a fleet, and from its result to the screen and the exit code."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click
from modctl.client import exits
from modctl.client.errors import DeclinedError, UsageError
from modctl.client.printers.terminal import Output, make_output
from modctl.client.targeting import WHOM, with_context, words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from modctl.client.credentials import TLS, Token
    from modctl.client.fleet import AsyncFleet
    from modctl.client.operations import ChangeOptions
    from modctl.client.results import FleetResult
    from modctl.client.settings import Settings, Survey
    from modctl.local.signing import Signature

ResultT = TypeVar("ResultT")


class Session:
    """The common flags of a command, and what they ask for.

    Args:
        flags: as the command got them from click.
    """

    def __init__(self, flags: Mapping[str, Any]) -> None:
        self._flags, self.context = with_context(flags)
        flags = self._flags
        self.output: Output = make_output(
            flags["output"], flags["by_host"], flags["no_headers"], flags["color"], flags["quiet"], flags["verbose"]
        )
        self._on_interrupt: Callable[[], None] = lambda: None
        self._endless = False

    @property
    def desired(self) -> str:
        """The file or folder that says what is wanted in the context in force; "" where nothing does."""
        return self.context.desired if self.context is not None else ""

    # What commands call

    def read(
        self,
        kind: str,
        work: Callable[[AsyncFleet], Awaitable[FleetResult[Any]]],
        show: Callable[[FleetResult[Any], Output], None] | None = None,
        **how: Any,
    ) -> int:
        """Asks, prints, and says what to exit with."""
        return self._finish(kind, self._run(work), show, how)

    def change(self, kind: str, work: Callable[[AsyncFleet, ChangeOptions], Awaitable[FleetResult[Any]]]) -> int:
        """The same for what changes processes; refuses without a target."""
        self._need_target()
        options = self.change_options()

        def prepared(fleet: AsyncFleet) -> Awaitable[FleetResult[Any]]:
            fleet.before_change = self.announce
            return work(fleet, options)

        return self._finish(kind, self._run(prepared), None, {})

    def change_options(self) -> ChangeOptions:
        """What the flags say of a change."""
        from modctl.client.operations import ChangeOptions

        flags = self._flags
        return ChangeOptions(
            dry_run=flags.get("dry_run", False),
            reason=flags.get("reason") or "",
            override_protected=tuple(flags.get("override") or ()),
            signatures=self._signatures(),
            confirm_within_s=flags.get("confirm_within") or 0.0,
            ttl_s=flags.get("ttl") or 0.0,
            shield_wait_s=flags.get("shield_wait") or 0.0,
            not_transactional=flags.get("not_transactional", False),
            services=flags.get("services") or "refuse",
            wait_drained_s=flags.get("wait_drained") or 0.0,
        )

    def run(self, work: Callable[[AsyncFleet], Coroutine[Any, Any, int]]) -> int:
        """For reads that print by themselves."""

        async def until_interrupted(fleet: AsyncFleet) -> int:
            code = await work(fleet)
            return exits.INTERRUPTED if fleet.stop.is_set() else code

        return self._run(until_interrupted)

    def begin_change(self, work: Callable[[AsyncFleet], Coroutine[Any, Any, int]]) -> int:
        """For changes that print by themselves; refuses without a target."""
        self._need_target()
        return self.stream(work)

    def _need_target(self) -> None:
        flags = self._flags
        whom = any(flags.get(name) for name in WHOM) and not flags["implied"]
        if whom or flags["all"] or self._process() not in ("all", "any"):
            return
        if flags["implied"] and self.context is not None:
            raise click.UsageError(
                f"a change needs a target: say --context {self.context.name} or --all for all of the current context, "
                "or name some with --host"
            )
        raise click.UsageError(
            "a change needs a target: name it with --host, or say --all for every agent of yours on this machine"
        )

    def stream(self, work: Callable[[AsyncFleet], Coroutine[Any, Any, int]]) -> int:
        """For what prints as it goes, until Ctrl-C."""

        async def until_interrupted(fleet: AsyncFleet) -> int:
            code = await work(fleet)
            return exits.INTERRUPTED if fleet.stop.is_set() else code

        self._endless = True
        return self._run(until_interrupted)

    def gather(self, work: Callable[[AsyncFleet], Awaitable[ResultT]]) -> ResultT:
        """Runs something with the fleet and hands back what it made; the command prints it itself."""
        return self._run(work)

    # How

    def fleet(self) -> AsyncFleet:
        """The fleet that the flags name."""
        from modctl.client.fleet import AsyncFleet
        from modctl.client.targets import parse_targets

        flags = self._flags
        named = words(flags)
        fleet = AsyncFleet(
            parse_targets(named),
            self.settings(),
            parse_targets(flags["exclude"]),
            flags.get("discover") or (),
            flags.get("pick") or 0,
        )
        self.show_progress(fleet)
        return fleet

    def show_progress(self, fleet: AsyncFleet) -> None:
        """Lets the fleet say how far it is, where somebody sees it."""
        if sys.stderr.isatty() and not self.output.quiet:
            from modctl.client.printers.progress import ProgressLine

            fleet.observer = ProgressLine(sys.stderr)

    def settings(self) -> Settings:
        """How the flags say that a fleet is spoken to."""
        from modctl.client.settings import Settings

        flags = self._flags
        return Settings(
            tls=self._tls(),
            token=self._token(),
            plaintext=flags["plaintext"],
            process=self._process(),
            fanout=flags["fanout"],
            connect_timeout_s=flags["connect_timeout"],
            timeout_s=flags["timeout"],
            deadline_s=flags["deadline"],
            labels=flags.get("selector") or "",
        )

    def _signatures(self) -> tuple[Signature, ...]:
        if not self._flags.get("signature"):
            return ()
        from modctl.client import signing

        return tuple(one for path in self._flags["signature"] for one in signing.read(path))

    def _tls(self) -> TLS | None:
        named = [self._flags[name] for name in ("cacert", "cert", "key", "server_name")]
        if not any(named):
            return None
        from modctl.client.credentials import TLS

        return TLS(*named)

    def _token(self) -> Token | None:
        if not self._flags["token_file"]:
            return None
        from modctl.client.credentials import Token

        return Token.from_file(self._flags["token_file"])

    def _process(self) -> str:
        text = ",".join(part.strip() for part in self._flags["process"].split(",") if part.strip())
        return text.lower() if text.lower() in ("all", "any") else text or "all"

    def _run(self, work: Callable[[AsyncFleet], Awaitable[ResultT]]) -> ResultT:
        # Imported here, so that --help of a command does without.
        import asyncio

        return asyncio.run(self._in_loop(work))

    async def _in_loop(self, work: Callable[[AsyncFleet], Awaitable[ResultT]]) -> ResultT:
        import asyncio
        import signal

        fleet = self.fleet()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work(fleet))
        presses = 0

        def interrupted() -> None:
            nonlocal presses
            presses += 1
            if presses > 1 or task.done():
                task.cancel()
                return
            if fleet.observer is not None:
                fleet.observer.end()
            if not self._endless:
                self.output.note("modctl: interrupted: nobody else is asked; Ctrl-C again quits at once")
            fleet.stop.set()

        self._on_interrupt = interrupted
        loop.add_signal_handler(signal.SIGINT, interrupted)
        try:
            return await task
        except asyncio.CancelledError as cancelled:
            if not presses:
                raise RuntimeError("a call was cancelled that nobody had interrupted") from cancelled
            raise KeyboardInterrupt from None
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await fleet.close()

    def _finish(
        self,
        kind: str,
        result: FleetResult[Any],
        show: Callable[[FleetResult[Any], Output], None] | None,
        how: Mapping[str, Any],
    ) -> int:
        if not result.rows and not result.skipped:
            self.output.warn(self._nobody())
        if show is not None:
            from modctl.client.printers.failures import show_failures

            show(result, self.output)
            self.output.out.flush()
            show_failures(result, self.output)
        else:
            from modctl.client import printers

            if kind == printers.MODULE_LIST and sys.stdout.isatty():
                from modctl.client.completing import remember

                remember(result)
            printers.show(kind, result, self.output, **how)
        return exits.of_result(result)

    def _nobody(self) -> str:
        if self._process() not in ("all", "any"):
            return f"modctl: no target has the process {self._process()}; `modctl agents` lists them"
        if any(self._flags.get(name) for name in WHOM):
            return "modctl: no process was found at the targets named"
        if problem := self._unsafe_state_dir():
            return f"modctl: {problem}"
        return (
            "modctl: no agent of yours runs on this machine; start a service with "
            "`python -m modctl.agent app.py`, or name a target with --host"
        )

    @staticmethod
    def _unsafe_state_dir() -> str:
        """Why MODCTL_STATE_DIR is not looked into; "" where it is, or is not set."""
        import os

        from modctl.local.places import PlaceError, check_private

        path = os.environ.get("MODCTL_STATE_DIR", "")
        try:
            if path:
                check_private(path)
        except PlaceError as error:
            return f"MODCTL_STATE_DIR: {error}"
        except OSError as error:
            return f"MODCTL_STATE_DIR={path}: {error.strerror}"
        return ""

    def announce(self, survey: Survey) -> None:
        """Says who will be changed before it happens; asks where somebody sits there who can answer."""
        protected = self.context.name if self.context is not None and self.context.protected else ""
        if survey.dry_run or survey.count < (1 if protected else 2):
            return
        from modctl.client.printers import fold

        services = sorted({process.service for each in survey.processes.values() for process in each})
        named = [target for target in survey.processes if not target.startswith("unix:")]
        where = f" at {fold.fold_names(named)}" if named else ""
        count = f"{fold.count(len(survey.processes), 'target')}, {fold.processes(survey.count)}"
        text = f"modctl: {count} of {', '.join(services)}{where}"
        if protected:
            text += f" in the protected context {protected}"
        answerable = sys.stdin.isatty() and sys.stderr.isatty()
        if protected and not self._flags["yes"] and not answerable:
            raise UsageError(f"{text.removeprefix('modctl: ')}: say --yes to change it; nothing was changed")
        if self._flags["yes"] or not answerable:
            self.output.note(text)
        elif not self._confirmed(f"{text}: go on?", default=not protected):
            raise DeclinedError("nothing was changed")

    def _confirmed(self, question: str, default: bool) -> bool:
        """Asks. The loop stands still meanwhile, so that Ctrl-C has to be Python's own again."""
        import asyncio
        import signal

        loop = asyncio.get_running_loop()
        loop.remove_signal_handler(signal.SIGINT)
        try:
            return click.confirm(question, default=default, err=True)
        finally:
            loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
