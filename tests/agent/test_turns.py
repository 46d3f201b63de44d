from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

import pytest
from modctl.agent.turns import Turn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [str(tmp_path / "0.lock"), str(tmp_path / "1.lock")]


def test_there_are_as_many_turns_as_files_and_each_comes_back(files: list[str]) -> None:
    turns = [Turn(10.0) for _ in range(3)]
    assert [turn.take(files) for turn in turns] == [True, True, False]
    assert [turn.held for turn in turns] == [True, True, False]
    turns[0].leave()
    assert turns[2].take(files)
    assert not turns[0].take(files)


def test_taking_what_is_held_changes_nothing(files: list[str]) -> None:
    turn, other = Turn(10.0), Turn(10.0)
    assert turn.take(files)
    assert turn.take(files)
    assert other.take(files), "one of the two is free"


def test_a_holder_that_says_nothing_is_passed_over_and_one_that_does_is_not(files: list[str]) -> None:
    holder, other = Turn(0.2), Turn(0.2)
    assert holder.take(files[:1])
    until_s = time.monotonic() + 1.0
    while time.monotonic() < until_s:
        holder._touched_s = 0.0
        holder.renew()
        assert not other.take(files[:1])
        time.sleep(0.02)
    time.sleep(0.25)
    assert not other.take(files[:1], more_s=60.0)
    assert other.take(files[:1])
    third = Turn(0.2)
    assert not third.take(files[:1]), "one passes it over, not all"


def test_one_that_is_touched_while_it_is_looked_at_is_respected(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks may lose the processor in the middle of it, with a hundred others that look too."""
    holder, other = Turn(10.0), Turn(10.0)
    assert holder.take(files[:1])
    look = os.fstat

    def touched(fd: int) -> os.stat_result:
        time.sleep(0.02)
        os.utime(fd)
        return look(fd)

    monkeypatch.setattr(os, "fstat", touched)
    assert not any(other.take(files[:1]) for _ in range(5))


def test_one_that_was_taken_and_not_touched_yet_is_respected(files: list[str]) -> None:
    """Between the two there is a moment in which the file says when somebody else was here, long ago."""
    other = Turn(10.0)
    with open(files[0], "w") as stranger:
        os.utime(files[0], (time.time() - 60, time.time() - 60))
        fcntl.flock(stranger, fcntl.LOCK_EX)
        assert not other.take(files[:1])
        os.utime(files[0])
        assert not other.take(files[:1])
        os.utime(files[0], (time.time() - 60, time.time() - 60))
        assert not other.take(files[:1])
        assert other.take(files[:1]), "one that stays silent is passed over"


def test_a_lock_of_a_time_to_come_is_no_holder_of_today(files: list[str]) -> None:
    with open(files[0], "w") as stranger:
        fcntl.flock(stranger, fcntl.LOCK_EX)
        assert not Turn(10.0).take(files[:1])
        os.utime(files[0], (time.time() + 3600, time.time() + 3600))
        assert Turn(10.0).take(files[:1])


def test_the_next_holder_reads_of_failures_and_a_success_takes_them_back(files: list[str]) -> None:
    turn = Turn(10.0)
    turn.leave_note(3)  # held by nobody: nowhere to write
    assert turn.take(files[:1])
    assert turn.note() == (0, 0.0)
    turn.leave_note(12)
    turn.leave_note(3)
    turn.leave()
    assert turn.take(files[:1])
    failures, at_s = turn.note()
    assert failures == 3
    assert abs(at_s - time.time()) < 5
    turn.leave_note(0)
    assert turn.note() == (0, 0.0)


def test_what_somebody_else_wrote_there_is_no_note(files: list[str]) -> None:
    with open(files[0], "wb") as file:
        file.write(b"\xff\x00 lorem ipsum" * 1000)
    turn = Turn(10.0)
    assert turn.take(files[:1])
    assert turn.note() == (0, 0.0)


def test_a_number_that_the_host_has_taken_is_left_alone(files: list[str], tmp_path: Path) -> None:
    turn = Turn(10.0)
    assert turn.take(files[:1])
    number = turn._fd
    assert number is not None
    os.close(number)
    theirs = tmp_path / "theirs"
    theirs.write_text("precious")
    taken = os.open(theirs, os.O_RDWR)
    if taken != number:
        os.dup2(taken, number)
        os.close(taken)
    os.utime(theirs, (1, 1))
    turn._touched_s = 0.0
    turn.renew()
    turn.leave_note(5)
    assert turn.note() == (0, 0.0)
    turn.leave()
    assert os.fstat(number).st_mtime == 1, "it was not touched, written or closed"
    assert theirs.read_text() == "precious"
    os.close(number)


def test_a_symlink_is_not_followed(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "0.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Turn(10.0).take(files)
    assert not (tmp_path / "elsewhere").exists()


def test_a_child_lets_go_without_taking_the_parents(files: list[str]) -> None:
    turn = Turn(10.0)
    assert turn.take(files[:1])
    pid = os.fork()
    if pid == 0:
        turn.leave()
        os._exit(0 if not Turn(10.0).take(files[:1]) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert not Turn(10.0).take(files[:1])
