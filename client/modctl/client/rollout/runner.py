"""Takes the steps of a rollout, writing the state before and after each of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

from modctl.client.rollout import changing, looking
from modctl.client.rollout.checks import run_check
from modctl.client.rollout.decide import (
    Abort,
    Advance,
    Check,
    End,
    Look,
    Plan,
    Preflight,
    Reconcile,
    Send,
    Soak,
    Sweep,
    Undo,
    decide,
)
from modctl.client.rollout.errors import RolloutStateError
from modctl.client.rollout.state import ENDED, MAY_HAVE_IT, Wave

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from modctl.client.rollout.port import FleetPort, Where
    from modctl.client.rollout.spec import RolloutSpec
    from modctl.client.rollout.state import RolloutState

#: How often a waiting runner looks for requests of its operator, in seconds.
LISTEN_EVERY_S = 0.2


class Keeper(Protocol):
    """Where the state goes, and where the operator's requests come from."""

    def save(self, state: RolloutState) -> None:
        """Keeps it for good."""

    def take_requests(self, rollout: str) -> list[str]:
        """pause, abort, promote, promote-all."""


class Clock(Protocol):
    """Time, so that tests need none."""

    def now_unix_s(self) -> float:
        """Seconds since the epoch."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class WallClock:
    """The machine's own."""

    def now_unix_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        await asyncio.sleep(seconds)


class Runner:
    """One run over a rollout, from wherever it stands.

    Args:
        state: where it stands.
        spec: how it is done.
        port: the fleet.
        keeper: where the state is kept.
        clock: the time.
        observe: told of every step that was begun, and of the state after it.
    """

    def __init__(
        self,
        state: RolloutState,
        spec: RolloutSpec,
        port: FleetPort,
        keeper: Keeper,
        clock: Clock | None = None,
        observe: Callable[[object, RolloutState], None] | None = None,
    ) -> None:
        self.state = state
        self.spec = spec
        self.port = port
        self.clock = clock or WallClock()
        #: Set by Ctrl-C: the rollout is left paused after the step that is under way.
        self.interrupted = asyncio.Event()
        self._keeper = keeper
        self._observe = observe or (lambda _step, _state: None)

    def save(self) -> None:
        """Writes the state."""
        self.state.changed_at_unix_s = self.clock.now_unix_s()
        self._keeper.save(self.state)

    # What the operator can do

    def take_up(self) -> None:
        """Goes on with a rollout that was killed, paused or stopped: what failed is tried again.

        Raises:
            RolloutStateError: it has ended.
        """
        state = self.state
        if state.ended and state.status != "STOPPED":
            raise RolloutStateError(
                state.rollout, state.status, "go on", "`modctl rollout undo` takes back one that has changed something"
            )
        if state.status in ("PAUSED", "STOPPED"):
            _forgive(state)
            state.status = "UNDOING" if state.want_undo else "RUNNING" if state.waves else "PREFLIGHT"
        state.undo_rounds = 0
        state.reconcile = state.status != "PREFLIGHT"
        self.save()

    def promote(self, everything: bool = False) -> None:
        """Passes over the rest of this wave's soak, or of all soaks; a wave whose check failed counts as checked.

        Raises:
            RolloutStateError: it has ended.
        """
        state = self.state
        failed_check = state.status in ("PAUSED", "STOPPED") and bool(state.waves)
        wave = state.waves[state.wave] if state.waves else None
        accept = failed_check and wave is not None and bool(wave.check_failure)
        self.take_up()
        if accept and wave is not None:
            wave.looked = wave.checked = True
        state.promoted = "all" if everything else "wave"
        self.save()

    def undo(self, why: str) -> None:
        """Takes everything back from here on.

        Raises:
            RolloutStateError: there is nothing to take back.
        """
        state = self.state
        nobody_has_it = state.status == "UNDONE" and not state.in_phase(*MAY_HAVE_IT)
        if state.status in ("REJECTED", "PREFLIGHT") or nobody_has_it:
            raise RolloutStateError(state.rollout, state.status, "be undone", "there is nothing to take back")
        state.status, state.want_undo, state.message = "UNDOING", True, why
        state.reconcile, state.undo_rounds = True, 0
        self.save()

    # The steps

    async def run(self) -> RolloutState:
        """Takes steps until nothing is left to do, or the operator has to say how to go on."""
        while True:
            self._listen()
            step = decide(self.state, self.spec, self.clock.now_unix_s())
            if step is None:
                return self.state
            self._observe(step, self.state)
            await self._take(step)
            self.save()
            if isinstance(step, End):
                self._observe(None, self.state)

    async def preflight_only(self) -> RolloutState:
        """Asks everybody whether they could take the change, and divides them into waves. Changes nothing."""
        await looking.preflight(self)
        return self.state

    async def _take(self, step: object) -> None:
        state = self.state
        if isinstance(step, Preflight):
            await looking.preflight(self)
        elif isinstance(step, Plan):
            await looking.plan(self, [state.entries[each] for each in step.processes])
        elif isinstance(step, Reconcile):
            await looking.reconcile(self)
        elif isinstance(step, Send):
            await changing.send(self, [state.entries[each] for each in step.processes])
        elif isinstance(step, Undo):
            await changing.undo(self, [[state.entries[each] for each in wave] for wave in step.waves])
        elif isinstance(step, Soak):
            await self._soak(step.until_unix_s)
        elif isinstance(step, Look):
            await looking.look(self)
        elif isinstance(step, Check):
            await self._check()
        elif isinstance(step, Advance):
            state.wave += 1
            if state.promoted == "wave":
                state.promoted = ""
        elif isinstance(step, Sweep):
            state.sweeps += 1
            name = "joined" if state.sweeps == 1 else f"joined {state.sweeps}"
            state.waves.append(Wave(name, list(step.processes)))
            state.wave += 1
        elif isinstance(step, Abort):
            self._abort(step.why)
        elif isinstance(step, End):
            self._end(step)

    def _abort(self, why: str) -> None:
        state = self.state
        state.message = why
        if self.spec.on_failure == "undo":
            self.undo(why)
        elif self.spec.on_failure == "pause":
            state.status = "PAUSED"
        else:
            state.status = "STOPPED"

    def _end(self, step: End) -> None:
        state = self.state
        state.status = step.status
        state.message = f"{state.message}; {step.why}" if state.want_undo and state.message else step.why
        if step.status == "MIXED":
            for entry in state.in_phase("CHANGED"):
                entry.phase = "STUCK"

    async def _soak(self, until_unix_s: float) -> None:
        while (left_s := until_unix_s - self.clock.now_unix_s()) > 0:
            await self.clock.sleep(min(left_s, LISTEN_EVERY_S))
            self._listen()
            if self.state.status != "RUNNING" or self.state.promoted:
                return

    async def _check(self) -> None:
        state = self.state
        wave = state.waves[state.wave]
        members = [state.entries[each] for each in wave.processes]
        where = where_of([entry for entry in members if entry.phase in ("CHANGED", "UNCHANGED")])
        environ = {
            "MODCTL_ROLLOUT": state.rollout,
            "MODCTL_ROLLOUT_WAVE": wave.name,
            "MODCTL_ROLLOUT_TARGETS": ",".join(dict.fromkeys(target for target, _ in where)),
            "MODCTL_ROLLOUT_PROCESSES": ",".join(process for _, process in where),
        }
        for check in self.spec.checks if where else ():
            why = await run_check(check, self.port, where, self.spec.check_timeout_s, environ)
            if why:
                wave.check_failure = why
                return
        wave.checked = True
        wave.ended_at_unix_s = self.clock.now_unix_s()

    def _listen(self) -> None:
        state = self.state
        if state.status in ENDED:
            return
        requests = self._keeper.take_requests(state.rollout)
        if self.interrupted.is_set():
            requests.append("interrupt")
        for request in requests:
            if request == "abort" and state.status != "UNDOING":
                if state.status == "PREFLIGHT":
                    state.status, state.message = "REJECTED", "aborted by its operator; nothing was changed"
                else:
                    self.undo("aborted by its operator")
            elif request in ("pause", "interrupt"):
                state.status = "PAUSED"
                how = "paused by its operator" if request == "pause" else "interrupted"
                state.message = f"{how}; `modctl rollout resume {state.rollout}` goes on"
            elif request == "promote":
                state.promoted = "wave"
            elif request == "promote-all":
                state.promoted = "all"
        if requests:
            self.save()


def where_of(entries: Sequence[Any]) -> list[Where]:
    """(target, process) of entries."""
    return [(entry.target, entry.process) for entry in entries]


def _forgive(state: RolloutState) -> None:
    """What failed is tried again. Nothing is forgotten of who may have the change."""
    for entry in state.entries.values():
        if entry.process == entry.target:
            continue  # a target that never answered; it is taken in when it does
        entry.failure = ""
        if entry.phase == "FAILED":
            entry.phase, entry.attempt = "WAITING", entry.attempt + 1
        elif entry.phase == "EXCLUDED" and entry.process != entry.target:
            entry.phase, entry.planned, entry.joined = "WAITING", False, True
    if state.waves:
        wave = state.waves[state.wave]
        wave.check_failure, wave.looked, wave.checked = "", False, False
        wave.soak_until_unix_s = 0.0
