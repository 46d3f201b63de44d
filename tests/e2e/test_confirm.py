"""`--confirm-within`: what nobody confirms goes, whoever was killed meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support import cli
from support.spoken import kill_gateway, revisions, said, speaking
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.services import Service

pytestmark = [pytest.mark.timeout(120)]

OLD = "TEXT = 'old'\ndef say(): return 'old'\n"
NEW = OLD.replace("old", "new")


@pytest.fixture
def service(state_dir: Path, short_dir: Path) -> Iterator[Service]:
    with speaking(short_dir, state_dir, OLD, NEW) as started:
        yield started


def changed(short_dir: Path, state_dir: Path, within: str, *flags: str) -> dict[str, object]:
    told = cli.document(
        "reload", "words", "--all", "--confirm-within", within, "--reason", "try it", *flags, state_dir=state_dir
    )
    result: dict[str, object] = told["results"][0]
    until(lambda: said(short_dir) == "new new", what="the new code to run")
    return result


def test_a_confirmed_change_stands_and_says_until_when_it_waited(
    service: Service, state_dir: Path, short_dir: Path
) -> None:
    result = changed(short_dir, state_dir, "60s")
    assert result["confirm_by"]
    assert revisions(state_dir)[0]["confirm_by"] == result["confirm_by"]
    assert "confirm by" in cli.modctl("history", state_dir=state_dir).stdout
    listed = cli.document("list", "words", state_dir=state_dir)["results"][0]["modules"][0]
    assert listed["expires_at"] == result["confirm_by"]
    cli.modctl("confirm", "--all", state_dir=state_dir)
    assert "confirm_by" not in revisions(state_dir)[0]
    again = cli.modctl("confirm", "--all", state_dir=state_dir, expect=3)
    assert "NOTHING_TO_CONFIRM" in again.stdout + again.stderr
    assert said(short_dir) == "new new"


def test_an_unconfirmed_change_goes_though_the_gateway_was_killed(
    service: Service, state_dir: Path, short_dir: Path
) -> None:
    changed(short_dir, state_dir, "1.5s")
    kill_gateway(state_dir)
    until(lambda: said(short_dir) == "old old", 20, what="the old code to run again")
    service.wait_for_agents(1)
    history = revisions(state_dir)
    assert history[0]["undoes"] == 1
    assert history[0]["identity"] == "modctl (not confirmed)"


def test_a_confirmation_reaches_the_process_through_the_next_gateway(
    service: Service, state_dir: Path, short_dir: Path
) -> None:
    changed(short_dir, state_dir, "20s")
    kill_gateway(state_dir)
    service.wait_for_agents(1)
    cli.modctl("confirm", "1", "--all", state_dir=state_dir)
    assert "confirm_by" not in revisions(state_dir)[0]
    assert said(short_dir) == "new new"


@pytest.mark.parametrize("after_s", [0.2, 0.5, 0.9, 1.4])
def test_a_command_killed_at_any_moment_leaves_no_change_for_good(
    after_s: float, service: Service, state_dir: Path, short_dir: Path
) -> None:
    environ = {**os.environ, "MODCTL_STATE_DIR": str(state_dir)}
    command = [*cli.MODCTL, "reload", "words", "--all", "--confirm-within", "1s", "--ttl", "1h"]
    killed = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after_s)
    killed.kill()
    killed.wait()
    time.sleep(3)
    until(lambda: said(short_dir) == "old old", 20, what="the old code to run")
