"""The audit log's file: whole lines, on the disk, turned over, shared, and what happens when the disk is full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modctl.gateway.audit import log as log_module
from modctl.gateway.audit.log import AuditLog
from modctl.gateway.audit.records import Place
from modctl.gateway.audit.trail import Trail

if TYPE_CHECKING:
    from pathlib import Path


def place() -> Place:
    return Place("/run/shop", "shop", "host", 1)


def attempt(where: Place, number: int = 0) -> dict[str, Any]:
    return {"event": "attempt", "id": where.fresh_id(), "instance": where.instance, "n": number}


def told(log: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.lines()]


def test_lines_are_read_back_newest_first_across_files_that_were_turned_over(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "a.jsonl"), 300, 3)
    for number in range(40):
        log.append([{"n": number, "pad": "x" * 40}])
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "a.jsonl.1", "a.jsonl.2", "a.jsonl.3", "a.jsonl.lock"]
    numbers = [one["n"] for one in told(log)]
    assert numbers == list(range(39, 39 - len(numbers), -1))
    assert 15 <= len(numbers) < 40
    for file in tmp_path.glob("a.jsonl*"):
        assert file.stat().st_size <= 300
        assert file.stat().st_mode & 0o777 == 0o600


def test_several_gateways_share_a_file_and_lose_no_line_when_it_is_turned_over(tmp_path: Path) -> None:
    file = str(tmp_path / "a.jsonl")

    def write(who: int) -> None:
        log = AuditLog(file, 2000, 500)
        for number in range(100):
            log.append([{"who": who, "n": number}])
        log.close()

    threads = [threading.Thread(target=write, args=(who,)) for who in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(one["who"], one["n"]) for one in told(AuditLog(file, 2000, 500))]
    assert sorted(found) == [(who, number) for who in range(5) for number in range(100)]


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    log = AuditLog(str(tmp_path / "a.jsonl"), 10_000, 3)
    log.append([{"n": 1}])
    (tmp_path / "a.jsonl").rename(tmp_path / "elsewhere")
    log.append([{"n": 2}])
    assert told(log) == [{"n": 2}]


def test_half_a_line_that_a_crash_left_is_passed_over_and_swallows_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"n": 1}\n{"n": 2')
    file.chmod(0o600)
    log = AuditLog(str(file), 10_000, 1)
    assert told(log) == [{"n": 1}]
    log.append([{"n": 3}])
    assert list(log.lines()) == [b'{"n":3}', b'{"n": 2', b'{"n": 1}']


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=9).map(lambda line: line.replace(b"\n", b""))), st.integers(1, 20), st.booleans())
def test_a_file_is_read_backwards_whatever_the_blocks(lines: list[bytes], block: int, half: bool) -> None:
    import io

    data = b"".join(line + b"\n" for line in lines) + (b"half" if half else b"")
    before, log_module._BLOCK_BYTES = log_module._BLOCK_BYTES, block  # type: ignore[misc]
    try:
        assert list(log_module._backwards(io.BytesIO(data))) == [line for line in reversed(lines) if line]
    finally:
        log_module._BLOCK_BYTES = before  # type: ignore[misc]


@pytest.mark.parametrize("make", ["symlink", "fifo", "directory", "open to others"])
def test_what_is_no_plain_file_of_ours_is_refused(tmp_path: Path, make: str) -> None:
    file = tmp_path / "a.jsonl"
    if make == "symlink":
        (tmp_path / "victim").touch(mode=0o600)
        file.symlink_to(tmp_path / "victim")
    elif make == "fifo":
        os.mkfifo(file)
    elif make == "directory":
        file.mkdir()
    else:
        file.touch()
        file.chmod(0o666)
    with pytest.raises(OSError, match=r"."):
        AuditLog(str(file), 1000, 1).append([{}])
    assert not (tmp_path / "victim").exists() or (tmp_path / "victim").stat().st_size == 0


def test_a_full_disk_leaves_no_half_line_and_refuses_until_there_is_room(tmp_path: Path) -> None:
    """In a process whose files may not grow beyond 4 KiB: what write() does then is what it does on a full disk."""
    code = f"""
import resource, signal, sys, json
from modctl.gateway.audit.log import AuditLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
log = AuditLog({str(tmp_path / "a.jsonl")!r}, 10**9, 1)
written = 0
try:
    while True:
        log.append([{{"n": written, "pad": "x" * 90}}])
        written += 1
except OSError as error:
    print(written, error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))
log.append([{{"n": written}}])
print([json.loads(line)["n"] for line in log.lines()] == list(range(written, -1, -1)))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    count, number, whole = found.stdout.split()
    assert int(count) > 30
    assert int(number) in (errno.ENOSPC, errno.EFBIG)
    assert whole == "True"


class FullDisk(AuditLog):
    """A log whose disk can be filled."""

    full = False

    def append(self, records: list[dict[str, Any]]) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.place)
        super().append(records)


def test_an_outcome_that_found_no_room_is_written_before_the_next_attempt(tmp_path: Path) -> None:
    where, log = place(), FullDisk(str(tmp_path / "a.jsonl"), 10_000, 1)
    trail = Trail(log, where)
    first = attempt(where)
    trail.begin(first)
    log.full = True
    trail.end({"event": "outcome", "id": first["id"], "instance": where.instance})
    assert "No space left" in trail.problem
    with pytest.raises(OSError, match="No space left"):
        trail.begin(attempt(where))
    log.full = False
    trail.begin(attempt(where))
    assert trail.problem == ""
    assert [one["event"] for one in told(log)] == ["attempt", "outcome", "attempt"]


def test_attempts_of_an_earlier_gateway_are_ended_and_those_of_this_and_others_are_not(tmp_path: Path) -> None:
    file = str(tmp_path / "a.jsonl")
    earlier, now = place(), place()
    other = Place("/run/orders", "orders", "host", 2)
    log = AuditLog(file, 100_000, 1)
    done = attempt(earlier)
    log.append(
        [attempt(other), done, attempt(earlier), {"event": "outcome", "id": done["id"], "instance": "/run/shop"}]
    )
    log.append([{"not": "ours"}, attempt(now)])
    Trail(log, now).begin(attempt(now))
    ended = [one for one in told(log) if one.get("outcome") == "UNKNOWN"]
    assert [one["id"] for one in ended] == [earlier._run + "-2"]
