"""An append-only file of JSON lines.

A line is one write() to a descriptor opened for appending, so that gateways of several services may share a file;
turning it over is done under a lock. A line that append() has returned from is on the disk.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

#: One line never has more: what is longer is cut by whoever makes records.
MAX_LINE_BYTES: Final = 1024 * 1024
_BLOCK_BYTES: Final = 256 * 1024
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class AuditLog:
    """One log. All calls block, and are for one thread at a time.

    Args:
        place: its absolute path; older parts are PLACE.1, PLACE.2, …
        max_bytes: it is turned over before it would grow beyond this.
        keep: how many older parts stay.
    """

    def __init__(self, place: str, max_bytes: int, keep: int) -> None:
        self.place = place
        self._max_bytes = max_bytes
        self._keep = keep
        self._fd = -1

    def append(self, records: list[dict[str, Any]]) -> None:
        """Writes lines and waits until they are on the disk.

        Raises:
            OSError: they are not: no room, no permission, no such directory. Nothing of them is left in the file then.
        """
        lines = b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)
        self._open()
        size = os.fstat(self._fd).st_size
        if size and size + len(lines) > self._max_bytes:
            self._turn_over()
            size = os.fstat(self._fd).st_size
        written = 0
        try:
            written = os.write(self._fd, lines)
            if written != len(lines):  # the disk became full in the middle of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.place)
            os.fsync(self._fd)
        except OSError:
            if 0 < written < len(lines):
                self._take_back(size, written)
            self.close()
            raise

    def lines(self) -> Iterator[bytes]:
        """All lines that are kept, the newest first. A half line, of a crash, is passed over.

        Raises:
            OSError: the log is there and cannot be read.
        """
        for place in (self.place, *(f"{self.place}.{number}" for number in range(1, self._keep + 1))):
            with contextlib.suppress(FileNotFoundError), open(place, "rb") as file:
                yield from _backwards(file)

    def close(self) -> None:
        """Lets go of the file; the next call opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        """The file that is at the place now: another gateway, or logrotate, may have moved the one that we had."""
        if self._fd >= 0:
            ours = os.fstat(self._fd)
            try:
                there = os.stat(self.place, follow_symlinks=False)
            except FileNotFoundError:
                there = None
            if there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
            self.close()
        fd = os.open(self.place, _FLAGS, 0o600)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "the audit log must be a plain file", self.place)
            if found.st_mode & 0o022:
                raise OSError(errno.EPERM, "other users may write to the audit log", self.place)
            if found.st_size == 0:
                self._sync_directory()
            elif os.pread(fd, 1, found.st_size - 1) != b"\n":
                os.write(fd, b"\n")  # a crash left half a line: it must not swallow ours
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd

    def _turn_over(self) -> None:
        with self._turning():
            self._open()  # somebody else may have done it while we waited
            if os.fstat(self._fd).st_size == 0:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.place}.{self._keep}")
            for number in range(self._keep - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(f"{self.place}.{number}", f"{self.place}.{number + 1}")
            os.rename(self.place, f"{self.place}.1")
            self.close()
            self._open()

    @contextlib.contextmanager
    def _turning(self) -> Iterator[None]:
        lock_fd = os.open(f"{self.place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock_fd)

    def _take_back(self, size: int, written: int) -> None:
        """Cuts off the half line that a full disk left, unless somebody has written behind it."""
        with contextlib.suppress(OSError):
            if os.fstat(self._fd).st_size == size + written:
                os.ftruncate(self._fd, size)

    def _sync_directory(self) -> None:
        directory_fd = os.open(os.path.dirname(self.place) or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory_fd)
        except OSError:  # some file systems cannot; the line itself is synced all the same
            pass
        finally:
            os.close(directory_fd)


def _backwards(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file from its last to its first, a block at a time."""
    at = file.seek(0, os.SEEK_END)
    rest = b""
    whole = False  # whether the last newline has been seen
    while at > 0:
        size = min(_BLOCK_BYTES, at)
        at -= size
        file.seek(at)
        found = (file.read(size) + rest).split(b"\n")
        rest = found.pop(0)
        if found:
            if not whole:
                found.pop()  # behind the last newline: nothing, or half a line
                whole = True
            yield from (line for line in reversed(found) if line)
    if rest and whole:
        yield rest
