"""Rollouts on a simulated fleet: what happens when one thing goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from modctl.client.rollout import Limit, RolloutSpec, RolloutState, RolloutStateError, Runner
from modctl.client.rollout.spec import parse_waves
from support.simulated_fleet import NEW, OLD, FakeClock, FakeKeeper, SimFleet

if TYPE_CHECKING:
    from collections.abc import Callable


def world(
    spec: RolloutSpec,
    fault: Callable[[str, str], str] | None = None,
    shape: dict[str, int] | None = None,
    two_phase: bool = True,
) -> tuple[SimFleet, FakeKeeper, Runner]:
    fleet = SimFleet(shape or {"a": 4, "b": 4, "c": 4}, fault, two_phase)
    keeper = FakeKeeper()
    return fleet, keeper, Runner(RolloutState("r1"), spec, fleet, keeper, FakeClock())


def again(fleet: SimFleet, keeper: FakeKeeper, spec: RolloutSpec) -> Runner:
    return Runner(RolloutState.from_json(keeper.kept), spec, fleet, keeper, FakeClock())


def once(what: str, fault: str, number: int = 1) -> Callable[[str, str], str]:
    """The fault at the n-th time of something."""
    seen = 0

    def decide(kind: str, _whom: str) -> str:
        nonlocal seen
        seen += kind == what
        return fault if kind == what and seen == number else ""

    return decide


async def test_a_rollout_without_faults_brings_everybody_to_the_new_version_wave_by_wave() -> None:
    spec = RolloutSpec(canary=Limit(1), waves=parse_waves("50%"), soak_s=30)
    fleet, _, runner = world(spec)
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 0)
    assert [len(members) for kind, members in fleet.trace if kind == "commit"] == [1, 5, 6]
    assert fleet.versions() == {NEW}
    assert runner.clock.now_unix_s() >= 1_800_000_000 + 90


async def test_where_the_agents_know_no_two_phases_a_wave_is_sent_so_that_only_one_can_fail_beyond_the_allowed() -> (
    None
):
    fleet, _, runner = world(RolloutSpec(canary=Limit(0), max_failures=Limit(2)), two_phase=False)
    state = await runner.run()
    assert state.status == "DONE"
    assert [len(members) for kind, members in fleet.trace if kind == "change"] == [3, 3, 3, 3]


async def test_max_failures_zero_aborts_at_the_first_failure_and_undoes() -> None:
    fleet, _, runner = world(RolloutSpec(canary=Limit(1), two_phase=False), once("change", "fail", 3))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("UNDONE", 5)
    assert fleet.versions() == {OLD}
    assert "ValueError" in state.message
    assert len(state.in_phase("UNDONE")) == 2
    assert len(state.in_phase("WAITING")) == 9


async def test_failures_up_to_the_limit_do_not_abort() -> None:
    fleet, _, runner = world(RolloutSpec(max_failures=Limit(1), two_phase=False), once("change", "refuse", 3))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 3)
    assert [each.version for each in fleet.processes].count(OLD) == 1


async def test_who_cannot_prepare_stops_the_wave_before_anything_has_changed() -> None:
    fleet, _, runner = world(RolloutSpec(canary=Limit(0)), once("prepare", "refuse", 12))
    state = await runner.run()
    assert state.status == "UNDONE"
    assert not [kind for kind, _ in fleet.trace if kind in ("commit", "change", "undo")]
    assert [len(members) for kind, members in fleet.trace if kind == "abandon"] == [11]


async def test_a_lost_answer_is_looked_up_in_the_history() -> None:
    fleet, _, runner = world(RolloutSpec(), once("commit", "lost_after", 5))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 0)
    assert fleet.versions() == {NEW}
    assert all(len(each.revisions) == 1 for each in fleet.processes)


async def test_a_lost_request_is_sent_again_once() -> None:
    fleet, _, runner = world(RolloutSpec(two_phase=False), once("change", "lost_before", 5))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 0)
    assert fleet.versions() == {NEW}


async def test_mixed_versions_stop_before_anything_has_changed() -> None:
    fleet, _, runner = world(RolloutSpec(max_failures=Limit(100, True)))
    fleet.processes[3].version = "sha256:third"
    state = await runner.run()
    assert (state.status, state.exit_code) == ("REJECTED", 3)
    assert "app runs in 2 versions" in state.message
    assert {kind for kind, _ in fleet.trace} == {"survey", "plan"}


async def test_mixed_versions_can_be_allowed() -> None:
    fleet, _, runner = world(RolloutSpec(allow_mixed=True))
    fleet.processes[3].version = "sha256:third"
    assert (await runner.run()).status == "DONE"
    assert fleet.versions() == {NEW}


async def test_a_target_that_is_down_counts_as_a_failure_at_the_preflight() -> None:
    fleet, _, runner = world(RolloutSpec(), lambda what, whom: "silent" if (what, whom) == ("survey", "b") else "")
    state = await runner.run()
    assert state.status == "REJECTED"
    assert "connection refused" in state.message
    assert fleet.versions() == {OLD}


async def test_a_target_that_is_down_within_the_limit_is_left_out_and_named() -> None:
    spec = RolloutSpec(max_failures=Limit(1))
    fleet, _, runner = world(spec, lambda what, whom: "silent" if (what, whom) == ("survey", "b") else "")
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 3)
    assert state.entries["b"].failure == "connection refused"
    assert {each.version for each in fleet.processes if each.target != "b"} == {NEW}


async def test_a_check_that_fails_at_wave_two_undoes_both_waves_newest_first() -> None:
    calls = 0

    def fault(what: str, _whom: str) -> str:
        nonlocal calls
        calls += what == "check"
        return "no" if what == "check" and calls > 1 else ""

    spec = RolloutSpec(canary=Limit(1), checks=("expr:app.ok",))
    fleet, _, runner = world(spec, fault)
    state = await runner.run()
    assert (state.status, state.exit_code) == ("UNDONE", 5)
    undone = [members for kind, members in fleet.trace if kind == "undo"]
    assert [len(members) for members in undone] == [11, 1]
    assert undone[1][0] == fleet.processes[0].id
    assert "expr:app.ok" in state.message


async def test_on_failure_pause_waits_and_resume_tries_again() -> None:
    spec = RolloutSpec(on_failure="pause")
    fleet, keeper, runner = world(spec, once("commit", "fail", 3))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("PAUSED", 6)
    runner = again(fleet, keeper, spec)
    runner.take_up()
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 0)
    assert fleet.versions() == {NEW}


async def test_on_failure_stop_leaves_everything_and_undo_takes_it_back_later() -> None:
    spec = RolloutSpec(on_failure="stop")
    fleet, keeper, runner = world(spec, once("commit", "fail", 3))
    state = await runner.run()
    assert (state.status, state.exit_code) == ("STOPPED", 6)
    assert fleet.versions() == {NEW, OLD}
    runner = again(fleet, keeper, spec)
    runner.undo("asked for")
    state = await runner.run()
    assert state.status == "UNDONE"
    assert fleet.versions() == {OLD}


async def test_promote_goes_on_though_the_check_failed() -> None:
    spec = RolloutSpec(on_failure="pause", checks=("expr:app.ok",))
    fleet, keeper, runner = world(spec, once("check", "no"))
    assert (await runner.run()).status == "PAUSED"
    runner = again(fleet, keeper, spec)
    runner.promote()
    assert (await runner.run()).status == "DONE"
    assert fleet.versions() == {NEW}


async def test_a_pause_in_the_soak_keeps_the_soak_for_later() -> None:
    spec = RolloutSpec(soak_s=30)
    fleet, keeper, runner = world(spec)
    fleet.after_call = lambda kind: keeper.requests.append("pause") if kind == "commit" else None
    state = await runner.run()
    assert state.status == "PAUSED"
    assert [each.version for each in fleet.processes].count(NEW) == 1


async def test_an_abort_by_the_operator_undoes_whatever_on_failure_says() -> None:
    spec = RolloutSpec(on_failure="stop", soak_s=30)
    fleet, keeper, runner = world(spec)
    fleet.after_call = lambda kind: keeper.requests.append("abort") if kind == "commit" else None
    state = await runner.run()
    assert (state.status, state.exit_code) == ("UNDONE", 5)
    assert fleet.versions() == {OLD}


async def test_promote_ends_the_soak_of_one_wave_only() -> None:
    spec = RolloutSpec(soak_s=1000, waves=parse_waves("50%"))
    _, keeper, runner = world(spec)
    keeper.requests.append("promote")
    assert (await runner.run()).status == "DONE"
    assert 2000 <= runner.clock.now_unix_s() - 1_800_000_000 < 2100


async def test_a_process_that_restarts_after_it_was_changed_is_changed_again_before_the_end() -> None:
    fleet, _, runner = world(RolloutSpec(canary=Limit(1), soak_s=10))
    done = False

    def restart(kind: str) -> None:
        nonlocal done
        if kind == "commit" and not done:
            done = True
            fleet.restart(fleet.processes[0])

    fleet.after_call = restart
    state = await runner.run()
    assert (state.status, state.exit_code) == ("DONE", 0)
    assert fleet.versions() == {NEW}
    assert state.waves[-1].name == "joined"
    assert len(state.in_phase("LEFT")) == 1


async def test_a_process_that_dies_of_the_change_counts_as_a_failure() -> None:
    fleet, _, runner = world(RolloutSpec(canary=Limit(1), soak_s=10), once("commit", "crash"))
    state = await runner.run()
    assert state.status == "UNDONE"
    assert "nothing took its place" in state.message
    assert fleet.versions() == {OLD}


async def test_undo_that_is_refused_leaves_a_mixed_state_that_is_named_and_can_be_tried_again() -> None:
    broken = True

    def fault(what: str, whom: str) -> str:
        if what == "undo" and broken and whom.startswith("shop/a/100"):
            return "refuse"
        return "no" if what == "check" and broken else ""

    spec = RolloutSpec(canary=Limit(0), checks=("health",))
    fleet, keeper, runner = world(spec, fault)
    state = await runner.run()
    assert (state.status, state.exit_code) == ("MIXED", 6)
    assert [entry.process for entry in state.in_phase("STUCK")] == ["shop/a/100@1"]
    assert "FROZEN" in state.entries["shop/a/100@1"].failure or "frozen" in state.entries["shop/a/100@1"].failure
    broken = False
    runner = again(fleet, keeper, spec)
    runner.undo("again")
    assert (await runner.run()).status == "UNDONE"
    assert fleet.versions() == {OLD}


async def test_what_has_it_already_is_not_touched_and_not_undone() -> None:
    fleet, _, runner = world(RolloutSpec(two_phase=False), once("change", "fail", 3))
    fleet.processes[0].version = NEW
    state = await runner.run()
    assert state.status == "UNDONE"
    assert fleet.processes[0].version == NEW
    assert state.entries[fleet.processes[0].id].phase == "UNCHANGED"


async def test_a_rollout_that_has_ended_cannot_be_resumed() -> None:
    spec = RolloutSpec()
    fleet, keeper, runner = world(spec)
    await runner.run()
    with pytest.raises(RolloutStateError, match="is DONE"):
        again(fleet, keeper, spec).take_up()


async def test_no_process_at_all_is_a_rejection() -> None:
    _, _, runner = world(RolloutSpec(), shape={"a": 0})
    state = await runner.run()
    assert (state.status, state.message) == ("REJECTED", "no process was found")


async def test_masters_come_after_their_workers() -> None:
    fleet, _, runner = world(RolloutSpec(canary=Limit(1)))
    fleet.processes[0].role = "MASTER"
    state = await runner.run()
    assert state.waves[0].processes == [fleet.processes[1].id]
