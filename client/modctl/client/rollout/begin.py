"""Begins rollouts and takes them up again: what ties a plan, a state file and a fleet together."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

from modctl.client.fleet import AsyncFleet
from modctl.client.operations import ChangeOptions
from modctl.client.rollout.errors import RolloutStateError
from modctl.client.rollout.fleet_port import LiveFleet
from modctl.client.rollout.operations_json import from_json, options_from_json, options_to_json, to_json
from modctl.client.rollout.runner import Runner
from modctl.client.rollout.spec import RolloutSpec
from modctl.client.rollout.state import spec_from_json, spec_to_json
from modctl.client.rollout.store import RolloutStore
from modctl.client.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from modctl.client.operations import Operation
    from modctl.client.rollout.state import RolloutState
    from modctl.client.settings import Settings


async def roll_out(
    fleet: AsyncFleet,
    operations: Sequence[Operation],
    spec: RolloutSpec | None = None,
    *,
    store: RolloutStore | None = None,
    observe: Callable[[object, RolloutState], None] | None = None,
    connection: Mapping[str, Any] | None = None,
    options: ChangeOptions | None = None,
) -> RolloutState:
    """Rolls a change set out to a fleet, and returns where it ended; see RolloutState.status.

    Args:
        fleet: whom to.
        operations: what.
        spec: how; the default is one canary, then everybody, and undo at the first failure.
        store: where its state is kept.
        observe: told of every step.
        connection: what whoever takes it up needs to know to dial, as plain data.
        options: protected names that the change may touch, and signatures of its sources.
    """
    store = store or RolloutStore()
    spec = spec or RolloutSpec()
    rollout = store.create(await plan_of(fleet, operations, spec, connection or {}, options))
    with store.running(rollout):
        port = LiveFleet(fleet, operations, spec, options)
        runner = Runner(store.load(rollout), spec, port, store, observe=observe)
        return await run_until_stopped(runner, fleet)


async def plan_of(
    fleet: AsyncFleet,
    operations: Sequence[Operation],
    spec: RolloutSpec,
    connection: Mapping[str, Any],
    options: ChangeOptions | None = None,
) -> dict[str, Any]:
    """What is written once: the change, how, and the frozen set of targets."""
    return {
        "created_at_unix_s": time.time(),
        "operations": to_json(operations),
        "options": options_to_json(options or ChangeOptions()),
        "spec": spec_to_json(spec),
        "targets": [dataclasses.asdict(target) for target in await fleet.resolve()],
        "process": fleet.settings.selector,
        "connection": dict(connection),
    }


async def run_until_stopped(runner: Runner, fleet: AsyncFleet) -> RolloutState:
    """Runs; when the fleet's stop is set (Ctrl-C), ends after the step that is under way, with the rollout paused."""
    import asyncio
    import contextlib

    async def pass_on() -> None:
        await fleet.stop.wait()
        runner.interrupted.set()

    listening = asyncio.ensure_future(pass_on())
    try:
        return await runner.run()
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


class Kept:
    """A rollout that has been begun, as its files tell it.

    Args:
        store: where it is kept.
        rollout: its id, or an unambiguous beginning of it; "" is the newest.

    Raises:
        RolloutNotFoundError: there is none.
        RolloutStateError: its plan cannot be read.
    """

    def __init__(self, store: RolloutStore, rollout: str = "") -> None:
        self.store = store
        self.rollout = store.find(rollout)
        self.plan = store.plan(self.rollout)
        try:
            self.spec: RolloutSpec = spec_from_json(self.plan["spec"])
            self.operations: list[Operation] = from_json(self.plan["operations"])
            self.options = options_from_json(self.plan.get("options", {}))
            self.targets = [Target(**each) for each in self.plan["targets"]]
            self.connection: dict[str, Any] = dict(self.plan["connection"])
        except (KeyError, TypeError, ValueError) as error:
            cure = "begin a new rollout; `modctl drift` shows who runs what"
            raise RolloutStateError(self.rollout, f"unreadable ({error})", "be taken up", cure) from error

    def state(self) -> RolloutState:
        """How far it is now."""
        return self.store.load(self.rollout)

    def fleet(self, settings: Settings) -> AsyncFleet:
        """The frozen set of targets."""
        return AsyncFleet(self.targets, dataclasses.replace(settings, process=self.plan.get("process", "all")))

    def runner(self, fleet: AsyncFleet, observe: Callable[[object, RolloutState], None] | None = None) -> Runner:
        """Who goes on with it. Hold `store.running(rollout)` meanwhile."""
        port = LiveFleet(fleet, self.operations, self.spec, self.options)
        return Runner(self.state(), self.spec, port, self.store, observe=observe)
