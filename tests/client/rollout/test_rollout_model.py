"""Random faults, and kill -9 of the command line at any moment: what holds whatever happens.

* Nothing is sent once more have failed than may; what is sent unprepared is never more than may fail, and one.
* Every process that was ever seen is accounted for, and none runs the new version without the state saying that it
  may.
* After UNDONE nobody runs the new version.
* When the faults are over, `resume` or `undo` leads to one version everywhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modctl.client.rollout import Limit, RolloutSpec, RolloutState, Runner
from modctl.client.rollout.decide import allowed_failures
from modctl.client.rollout.spec import ON_FAILURE, parse_waves
from modctl.client.rollout.state import MAY_HAVE_IT
from support.simulated_fleet import NEW, OLD, FakeClock, FakeKeeper, Killed, SimFleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.client.rollout.port import Where

FAULTS = ("", "", "", "", "refuse", "fail", "lost_before", "lost_after", "restart", "crash", "silent", "fork")

specs = st.builds(
    RolloutSpec,
    canary=st.sampled_from([Limit(0), Limit(1), Limit(2)]),
    waves=st.sampled_from([(), parse_waves("50%"), parse_waves("20%,60%")]),
    soak_s=st.sampled_from([0.0, 10.0]),
    checks=st.sampled_from([(), ("health",)]),
    max_failures=st.sampled_from([Limit(0), Limit(1), Limit(3), Limit(30, True)]),
    on_failure=st.sampled_from(ON_FAILURE),
    allow_mixed=st.booleans(),
    two_phase=st.booleans(),
)


class World:
    """A fleet, a state file, and an operator who starts a runner again whenever one was killed."""

    def __init__(self, spec: RolloutSpec, shape: dict[str, int], faults: list[str], kills: list[int]) -> None:
        self.spec = spec
        self.faults = iter(faults)
        self.kills = sorted(set(kills))
        self.moment = 0
        self.fleet = SimFleet(shape, lambda _what, _whom: next(self.faults, ""))
        self.fleet.before_change = self._no_more_than_may_fail
        self.fleet.after_call = lambda _kind: self._maybe_kill()
        self.keeper = FakeKeeper()
        self.keeper.on_save = lambda _number: self._maybe_kill()
        self.clock = FakeClock()
        self.runner = self._runner(RolloutState("r1"))

    def _runner(self, state: RolloutState) -> Runner:
        return Runner(state, self.spec, self.fleet, self.keeper, self.clock)

    def _maybe_kill(self) -> None:
        self.moment += 1
        if self.kills and self.moment >= self.kills[0]:
            self.kills.pop(0)
            raise Killed

    def _no_more_than_may_fail(self, kind: str, processes: Sequence[Where]) -> None:
        state = self.runner.state
        allowed = allowed_failures(state, self.spec)
        assert len(state.failures) <= allowed, "sent though too many had failed"
        if kind == "change":
            assert len(processes) <= allowed - len(state.failures) + 1, "more in flight than may fail"
        for _, process in processes:
            kept = RolloutState.from_json(self.keeper.kept)
            assert kept.entries[process].phase == "SENDING", "sent before it was written down"

    def load(self) -> RolloutState:
        return RolloutState.from_json(self.keeper.kept) if self.keeper.kept else RolloutState("r1")

    async def run(self) -> RolloutState:
        """Runs to the end; whoever is killed is started again."""
        for _ in range(50):
            try:
                return await self.runner.run()
            except Killed:
                self.runner = self._runner(self.load())
                while True:
                    try:
                        if not self.runner.state.ended and self.runner.state.status != "PAUSED":
                            self.runner.take_up()
                        break
                    except Killed:
                        self.runner = self._runner(self.load())
        raise AssertionError("does not end")

    def check_accounts(self) -> None:
        state = self.load()
        assert state.ended or state.status == "PAUSED"
        for process in self.fleet.living():
            entry = state.entries.get(process.id)
            touched = any(revision.standing for revision in process.revisions)
            if touched and (process.id in self.fleet.seen or state.status == "UNDONE"):
                assert entry is not None, f"{process.id} was changed and is not accounted for"
                unasked = entry.joined and process.id in self.fleet.unasked  # it would not say what it has
                assert entry.phase in MAY_HAVE_IT or unasked, (process, entry, state.status)
        if state.status == "UNDONE":
            assert self.fleet.versions() <= {OLD}
        if state.status == "DONE":
            assert len(state.failures) <= allowed_failures(state, self.spec)
            for entry in state.entries.values():
                assert entry.failure or entry.joined or entry.phase in ("CHANGED", "UNCHANGED", "LEFT", "UNDONE")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    spec=specs,
    shape=st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1),
    faults=st.lists(st.sampled_from(FAULTS), max_size=80),
    kills=st.lists(st.integers(1, 80), max_size=3),
    way=st.sampled_from(["undo", "resume"]),
)
def test_whatever_goes_wrong_everybody_is_accounted_for_and_there_is_a_way_to_one_version(
    spec: RolloutSpec, shape: dict[str, int], faults: list[str], kills: list[int], way: str
) -> None:
    async def scenario() -> None:
        world = World(spec, shape, faults, kills)
        state = await world.run()
        world.check_accounts()
        # The faults are over.
        world.faults = iter(())
        world.kills = []
        if way == "resume" and state.status in ("PAUSED", "STOPPED"):
            world.runner = world._runner(world.load())
            world.runner.take_up()
            state = await world.run()
            world.check_accounts()
            if state.status == "DONE" and not state.failures:
                assert world.fleet.versions() <= {NEW}
        if state.status in ("DONE", "STOPPED", "MIXED", "PAUSED") and state.waves:
            world.runner = world._runner(world.load())
            world.runner.undo("back")
            state = await world.run()
            world.check_accounts()
            assert state.status == "UNDONE", state.message
            assert world.fleet.versions() <= {OLD}

    asyncio.run(scenario())
