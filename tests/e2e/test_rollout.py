"""Rollouts to real processes: what is killed, cut or slow, and what every process runs in the end."""

from __future__ import annotations

import itertools
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
from modctl.client import AsyncFleet, Reimport
from modctl.client.channel import CallFailed, Channel
from modctl.client.rollout import Limit, RolloutSpec, RolloutStore
from modctl.client.rollout.begin import roll_out
from support.crew import NEW, Crew, killed_at, state_of
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timeout(240)]


@pytest.fixture
def crew(short_dir: Path, state_dir: Path) -> Iterator[Crew]:
    with Crew(short_dir, state_dir) as crew:
        yield crew


def test_a_rollout_goes_through_its_waves_and_drift_sees_nothing(crew: Crew) -> None:
    ran = crew.start("--waves", "50%", "--check", "expr:pricing.rate() == 2", "--check", "health", "--reason", "INC-7")
    assert set(crew.rates().values()) == {"2"}
    assert "canary" in ran.stdout
    assert "4 of 4 have it" in ran.stdout
    document = crew.status()
    assert [(wave["name"], wave["processes"], wave["state"]) for wave in document["rollout"]["waves"]] == [
        ("canary", 1, "done"),
        ("wave 1", 1, "done"),
        ("wave 2", 2, "done"),
    ]
    assert document["summary"] == {
        "targets": 1,
        "processes": 4,
        "ok": 4,
        "failed": 0,
        "refused": 0,
        "unreachable": 0,
    }
    crew.modctl("drift", "pricing", expect=0)
    reasons = {row["revisions"][0]["reason"] for row in crew.modctl("history", "-o", "json").document["results"]}
    assert reasons == {"INC-7"}
    crew.modctl("rollout", "undo", expect=0)
    assert set(crew.rates().values()) == {"1"}


def test_a_check_that_fails_in_the_processes_takes_the_canary_back(crew: Crew) -> None:
    ran = crew.start("--check", "expr:pricing.rate() == 3", expect=5)
    assert "it is False" in ran.stdout
    assert set(crew.rates().values()) == {"1"}


def test_a_command_that_fails_at_the_second_wave_takes_both_back(crew: Crew, short_dir: Path) -> None:
    counter = short_dir / "count"
    check = f"echo x >> {counter}; echo checked $MODCTL_ROLLOUT_WAVE; test $(wc -l < {counter}) -lt 2"
    ran = crew.start("--check", check, expect=5)
    assert "checked wave 1" in ran.stdout
    assert set(crew.rates().values()) == {"1"}


def test_a_check_that_hangs_is_killed_and_counts_as_failed(crew: Crew) -> None:
    ran = crew.start("--check", "sleep 1000", "--check-timeout", "300ms", expect=5)
    assert "did not end within 0.3 s" in ran.stdout
    assert set(crew.rates().values()) == {"1"}


def test_a_process_with_another_version_stops_it_before_anything_has_changed(crew: Crew) -> None:
    odd = crew.children()[0]
    (crew.folder / "pricing.py").write_text("RATE = 9\n")
    crew.modctl("reimport", "pricing", "--process", str(odd))
    ran = crew.start(expect=3)
    assert "runs in 2 versions" in ran.stdout
    assert sorted(crew.rates().values()) == ["1", "1", "1", "9"]
    drift = crew.modctl("drift", "pricing", "-o", "json", expect=1).document["results"][0]
    assert [(group["count"], group["differs"]) for group in drift["groups"]] == [(3, False), (1, True)]


def test_a_frozen_process_within_the_limit_is_left_out_and_named(crew: Crew) -> None:
    frozen = crew.children()[1]
    crew.modctl("freeze", "--process", str(frozen), "--reason", "deploy")
    crew.start(expect=3)
    assert set(crew.rates().values()) == {"1"}
    ran = crew.start("--max-failures", "1", expect=3)
    assert "deploy" in ran.stdout
    assert sorted(crew.rates().values()) == ["1", "2", "2", "2"]


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5, 6, 8, 10, 13, 16])
def test_a_rollout_killed_at_any_step_is_taken_up_and_ends_with_one_version(crew: Crew, moment: int) -> None:
    arguments = crew.start_arguments("--waves", "50%", "--soak", "100ms", "--check", "health")
    killed = killed_at(crew, moment, arguments)
    before = crew.rates()
    assert set(before.values()) <= {"1", "2"}
    if not killed:
        assert set(before.values()) == {"2"}
        return
    told = crew.modctl("rollout", "status", expect=None)
    assert "nobody runs it" in told.stdout
    crew.modctl("rollout", "resume", expect=0)
    assert set(crew.rates().values()) == {"2"}
    assert all(row["phase"] in ("CHANGED", "UNCHANGED") for row in crew.status()["results"])


@pytest.mark.parametrize("moment", [3, 6, 9])
def test_a_rollout_killed_at_any_step_can_be_aborted(crew: Crew, moment: int) -> None:
    arguments = crew.start_arguments("--waves", "50%", "--check", "expr:pricing.rate() == 2")
    assert killed_at(crew, moment, arguments)
    if state_of(crew).get("status") in (None, "PREFLIGHT"):
        crew.modctl("rollout", "abort", expect=3)
    else:
        crew.modctl("rollout", "abort", expect=0)
    assert set(crew.rates().values()) == {"1"}


@pytest.mark.parametrize("moment", [2, 5, 7])
def test_an_undo_killed_at_any_step_is_finished_by_the_next(crew: Crew, moment: int) -> None:
    crew.start("--canary", "0")
    killed_at(crew, moment, ["rollout", "undo"])
    assert set(crew.rates().values()) <= {"1", "2"}
    if state_of(crew)["status"] != "UNDONE":
        crew.modctl("rollout", "resume" if state_of(crew)["status"] == "UNDOING" else "undo", expect=None)
    assert set(crew.rates().values()) == {"1"}
    assert state_of(crew)["status"] == "UNDONE"


def test_a_process_killed_in_mid_wave_is_replaced_and_its_replacement_is_changed_too(crew: Crew) -> None:
    running = crew.background(crew.start_arguments("--soak", "1s"))
    try:
        changed = until(lambda: _changed(crew), 20, what="the canary is changed")
        os.kill(changed, signal.SIGKILL)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0, (out, err)
    assert len(crew.rates()) == 4
    assert set(crew.rates().values()) == {"2"}
    assert changed not in crew.rates()


def _changed(crew: Crew) -> int | None:
    entries = state_of(crew).get("entries", {})
    return next((entry["pid"] for entry in entries.values() if entry["phase"] == "CHANGED"), None)


def test_pause_promote_and_abort_reach_a_runner_at_work(crew: Crew) -> None:
    running = crew.background(crew.start_arguments("--soak", "100s", "--waves", "50%"))
    try:
        until(lambda: _changed(crew), 20, what="the canary is changed")
        crew.modctl("rollout", "resume", expect=3)  # somebody runs it
        crew.modctl("rollout", "promote")
        until(lambda: state_of(crew).get("wave") == 1 or None, 20, what="the second wave")
        crew.modctl("rollout", "pause")
        out, _ = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 6
    assert "PAUSED" in out
    assert set(crew.rates().values()) == {"1", "2"}
    crew.modctl("rollout", "abort", expect=0)
    assert set(crew.rates().values()) == {"1"}


def test_ctrl_c_ends_the_step_and_leaves_the_rollout_paused(crew: Crew) -> None:
    running = crew.background(crew.start_arguments("--soak", "100s"))
    try:
        until(lambda: _changed(crew), 20, what="the canary is changed")
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert state_of(crew)["status"] == "PAUSED"
    crew.modctl("rollout", "promote", "--full", expect=0)
    assert set(crew.rates().values()) == {"2"}


async def test_a_network_that_is_cut_between_commit_and_answer_is_no_reason_to_guess(
    crew: Crew, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Channel.stream
    cut = 0

    async def cutting(
        self: Channel, method: str, request: bytes, process: str | None, timeout_s: float | None
    ) -> AsyncIterator[bytes]:
        nonlocal cut
        async for answer in stream(self, method, request, process, timeout_s):
            if method.endswith("CommitChanges"):
                cut += 1
                raise CallFailed("UNAVAILABLE", "Socket closed")
            yield answer

    monkeypatch.setattr(Channel, "stream", cutting)
    monkeypatch.setenv("MODCTL_STATE_DIR", str(crew.state_dir))
    spec = RolloutSpec(canary=Limit(1), execution_timeout_s=1.0)
    async with AsyncFleet.connect() as fleet:
        state = await roll_out(
            fleet, [Reimport("pricing", source=NEW)], spec, store=RolloutStore(str(crew.state_dir / "rollouts"))
        )
    assert cut > 1
    assert (state.status, state.exit_code) == ("DONE", 0), state.message
    assert set(crew.rates().values()) == {"2"}
    assert all(entry.revision == 1 for entry in state.entries.values()), "each changed once"


def test_a_dry_run_shows_the_waves_and_changes_nothing(crew: Crew) -> None:
    document = crew.start("--dry-run", "-o", "json").document
    assert document["rollout"]["status"] == "PLANNED"
    assert {row["outcome"] for row in document["results"]} == {"PLANNED"}
    assert set(crew.rates().values()) == {"1"}
    assert crew.modctl("rollout", "history", "-o", "name").stdout == ""


def test_a_rollout_without_a_target_or_a_change_is_refused(crew: Crew) -> None:
    crew.modctl("rollout", "start", "pricing", expect=2)
    crew.modctl("rollout", "start", "--all", expect=2)
    crew.modctl("rollout", "start", "pricing", "--all", "--waves", "50%,10%", expect=2)
    crew.modctl("rollout", "start", "pricing", "--all", "--max-failures", "some", expect=2)
    crew.modctl("rollout", "status", "nothing-of-that-name", expect=3)


def test_status_watched_tells_each_change_once_and_ends_with_the_rollout(crew: Crew) -> None:
    running = crew.background(crew.start_arguments("--soak", "1500ms", "--reason", "INC-7"))
    try:
        until(lambda: _changed(crew), 20, what="the canary is changed")
        watched = crew.modctl("rollout", "status", "--watch", "-o", "jsonl", expect=0)
        piped = crew.modctl("rollout", "status", "--watch", expect=0)
        running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 0
    documents = [each for each in map(json.loads, watched.stdout.splitlines()) if each.get("kind") == "Rollout"]
    assert len(documents) >= 2
    assert documents[0]["rollout"]["status"] == "RUNNING"
    assert documents[-1]["rollout"]["status"] == "DONE"
    bare = [{**each, "rollout": {**each["rollout"], "changed_at": ""}} for each in documents]
    assert not any(one == other for one, other in itertools.pairwise(bare))
    assert piped.stdout.count("INC-7") == 1, "it had ended: there was one thing to tell"
