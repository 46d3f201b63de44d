"""The files of rollouts: who holds one, and who only asks."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest
from modctl.client.rollout import RolloutStore, store
from modctl.client.rollout.errors import RolloutBusyError

if TYPE_CHECKING:
    from pathlib import Path


def test_one_at_a_time_runs_it_and_is_named(tmp_path: Path) -> None:
    kept = RolloutStore(str(tmp_path))
    rollout = kept.create({})
    assert not kept.is_running(rollout)
    with kept.running(rollout):
        assert kept.is_running(rollout)
        with pytest.raises(RolloutBusyError) as busy, kept.running(rollout):
            pass
    assert busy.value.pid == os.getpid()
    assert not kept.is_running(rollout)


def test_who_asks_whether_it_runs_does_not_write_itself_down(tmp_path: Path) -> None:
    kept = RolloutStore(str(tmp_path))
    rollout = kept.create({})
    (tmp_path / rollout / "lock").write_text("4711")
    assert not kept.is_running(rollout)
    assert kept.runner_pid(rollout) == 4711


def test_who_asks_whether_it_runs_does_not_stop_who_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = RolloutStore(str(tmp_path))
    rollout = kept.create({})
    asking = os.open(tmp_path / rollout / "lock", os.O_RDONLY | os.O_CREAT, 0o600)
    fcntl.flock(asking, fcntl.LOCK_SH)
    monkeypatch.setattr(store.time, "sleep", lambda _: fcntl.flock(asking, fcntl.LOCK_UN))
    with kept.running(rollout):
        assert kept.runner_pid(rollout) == os.getpid()
    os.close(asking)
