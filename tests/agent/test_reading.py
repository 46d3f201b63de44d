"""Reading a file whole, with the stat that its bytes belong to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from modctl.agent.reading import read_whole

if TYPE_CHECKING:
    from pathlib import Path


def test_the_bytes_and_their_stat(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for data in (b"", b"x = 1\n", os.urandom(100_000)):
        file.write_bytes(data)
        found, read = read_whole(str(file), 100_000)
        assert read == data
        assert (found.st_mtime_ns, found.st_ino, found.st_size) == (
            file.stat().st_mtime_ns, file.stat().st_ino, len(data),
        )  # fmt: skip
    assert read_whole(str(file), 99_999)[1] is None


def test_what_is_no_file_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.py")
    assert read_whole(str(tmp_path / "fifo.py"), 100)[1] is None
    assert read_whole(str(tmp_path), 10_000_000)[1] is None
    with pytest.raises(FileNotFoundError):
        read_whole(str(tmp_path / "no.py"), 100)
    with pytest.raises(ValueError, match="null"):
        read_whole("\0", 100)
    before = os.listdir("/proc/self/fd")
    assert len(os.listdir("/proc/self/fd")) == len(before)


@pytest.mark.parametrize("amid", ["written", "grown", "cut"])
def test_a_file_that_is_written_while_it_is_read_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, amid: str
) -> None:
    file = tmp_path / "a.py"
    file.write_bytes(b"x = 1\n" * 100)
    os.utime(file, (1, 1))
    read = os.read

    def reading(handle: int, size: int) -> bytes:
        if amid == "written":
            file.write_bytes(b"x = 2\n" * 100)
        else:
            os.truncate(file, 700 if amid == "grown" else 5)
        return read(handle, size)

    monkeypatch.setattr(os, "read", reading)
    found, data = read_whole(str(file), 10_000)
    assert data is None
    assert found.st_mtime == 1
