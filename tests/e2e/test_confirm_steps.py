"""Whoever is killed, at whichever step of a change that waits for its confirmation: it stands where somebody confirmed
it, it goes where nobody did, and who asked is told nothing that is not so.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import cli, gateways, processes
from support.spoken import kill_gateway, revisions, said, speaking
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.services import Service

pytestmark = [pytest.mark.timeout(180)]

#: Its modules say which step they are at and take their time there, so that somebody can be killed meanwhile.
WORDS = """
import pathlib, time

def at(step):
    wanted = pathlib.Path("stop-at")
    if wanted.exists() and wanted.read_text() == step:
        wanted.rename("reached")
        time.sleep(0.8)

TEXT = "old"
def say(): return "old"
def lines():
    while True:
        yield "old"
def __modctl_before__(plan): at("before going back" if plan.takes_back else "before")
def __modctl_after__(old): at("after old")
"""
NEW = WORDS.replace('"old"', '"new"').replace("after old", "after new") + '\nat("executing")\n'
#: Of a change, in order; what runs old code is waited for at the end, before the answer.
FORTH = ["before", "executing", "after new", "draining"]
#: Of its going back.
BACK = ["before going back", "after old"]


@pytest.fixture
def service(state_dir: Path, short_dir: Path) -> Iterator[Service]:
    with speaking(short_dir, state_dir, WORDS, NEW) as started:
        yield started


def command(state_dir: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "MODCTL_STATE_DIR": str(state_dir)}
    return subprocess.Popen(
        [*cli.MODCTL, *arguments, "--all", "-o", "json"],
        env=environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def changed(state_dir: Path, *arguments: str) -> None:
    running = command(state_dir, *arguments)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, out[:3000] + err


def changed_and_said(folder: Path, state_dir: Path, *arguments: str) -> None:
    """The service says what it runs each 20 ms, and what it said last is still there when the change is answered."""
    changed(state_dir, *arguments)
    until(lambda: said(folder) == "new new", 30, what="the new code to run")


def kill(victim: str, running: subprocess.Popen[str], state_dir: Path) -> None:
    if victim == "gateway":
        kill_gateway(state_dir)
    else:
        running.kill()


def gone_back(service: Service, folder: Path) -> None:
    """The change has been taken back for good, by the process itself, and it says why."""
    until(lambda: said(folder) == "old old", 30, what="the old code to run again")
    service.wait_for_agents(1)
    until(lambda: len(revisions(service.state_dir)) == 2, 20, what="two revisions", every_s=0.2)
    back, forth = revisions(service.state_dir)
    assert back["undoes"] == forth["revision"] == 1
    assert back["identity"] == "modctl (not confirmed)"
    assert "confirm_by" not in forth
    assert said(folder) == "old old"


@pytest.mark.parametrize("victim", ["gateway", "command"])
@pytest.mark.parametrize("step", FORTH)
def test_who_is_killed_during_the_change_leaves_none_for_good(
    step: str, victim: str, service: Service, state_dir: Path, short_dir: Path
) -> None:
    (short_dir / "stop-at").write_text(step)
    running = command(state_dir, "reload", "words", "--confirm-within", "1.5s", "--wait-drained", "1s", "--yes")
    if step == "draining":
        until(lambda: said(short_dir) == "new new", 30, what="the new code to run")
    else:
        until((short_dir / "reached").exists, 30, what=step)
    kill(victim, running, state_dir)
    out, err = running.communicate(timeout=60)
    if victim == "gateway":
        # The client has asked again, and the process did not do it again.
        assert '"APPLIED"' in out or '"UNKNOWN"' in out, (out, err)
        assert (running.returncode == 0) == ('"APPLIED"' in out)
    gone_back(service, short_dir)


@pytest.mark.parametrize("victim", ["gateway", "command", "nobody"])
@pytest.mark.parametrize("step", BACK)
def test_what_goes_back_goes_whoever_is_killed_or_confirms_it_too_late(
    step: str, victim: str, service: Service, state_dir: Path, short_dir: Path
) -> None:
    (short_dir / "stop-at").write_text(step)
    changed(state_dir, "reload", "words", "--confirm-within", "1s", "--yes")
    until((short_dir / "reached").exists, 30, what=step)
    late = command(state_dir, "confirm")
    if victim == "command":
        time.sleep(0.3)
    if victim != "nobody":
        kill(victim, late, state_dir)
    out, err = late.communicate(timeout=60)
    assert late.returncode != 0, (out, err)
    if victim == "nobody":
        assert "NOTHING_TO_CONFIRM" in out
    gone_back(service, short_dir)


@pytest.mark.parametrize("victim", ["gateway", "command"])
@pytest.mark.parametrize("after_s", [0.0, 0.3, 0.6, 0.9])
def test_who_is_killed_during_the_confirmation_leaves_it_made_or_not_made(
    after_s: float, victim: str, service: Service, state_dir: Path, short_dir: Path
) -> None:
    changed(state_dir, "reload", "words", "--confirm-within", "8s", "--yes")
    over_s = time.monotonic() + 8.0
    confirming = command(state_dir, "confirm")
    time.sleep(after_s)
    kill(victim, confirming, state_dir)
    confirming.communicate(timeout=60)
    service.wait_for_agents(1)
    (change, *more) = revisions(state_dir)
    assert not more, "it was taken back before its time"
    made = "confirm_by" not in change
    if confirming.returncode == 0:
        assert made, "the command said that it was confirmed"
    if made:
        again = cli.modctl("confirm", "--all", state_dir=state_dir, expect=3)
        assert "NOTHING_TO_CONFIRM" in again.stdout + again.stderr
        time.sleep(max(0.0, over_s + 1.0 - time.monotonic()))
        assert said(short_dir) == "new new"
        assert len(revisions(state_dir)) == 1
    else:
        gone_back(service, short_dir)


def test_it_goes_though_no_gateway_can_be_had_any_more(service: Service, state_dir: Path, short_dir: Path) -> None:
    changed_and_said(short_dir, state_dir, "reload", "words", "--confirm-within", "2s", "--yes")
    state_dir.chmod(0o777)  # no agent uses a directory that others can write to
    try:
        kill_gateway(state_dir)
        until(lambda: said(short_dir) == "old old", 30, what="the old code to run again")
        assert not [pid for pid in gateways.pids(state_dir) if processes.alive(pid)]
    finally:
        state_dir.chmod(0o700)
    gone_back(service, short_dir)


def test_a_time_to_live_ends_though_gateway_and_command_are_gone(
    service: Service, state_dir: Path, short_dir: Path
) -> None:
    changed_and_said(short_dir, state_dir, "reload", "words", "--ttl", "8s", "--yes")
    (change,) = revisions(state_dir)
    assert change["expires_at"]
    kill_gateway(state_dir)
    until(lambda: said(short_dir) == "old old", 30, what="the old code to run again")
    service.wait_for_agents(1)
    assert revisions(state_dir)[0]["undoes"] == 1
