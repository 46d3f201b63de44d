"""Whose turn it is to start a gateway: one process of an instance, and few instances of a machine at a time.

A turn is a lock on a file. It is economy and no more: a gateway that is started in vain finds the instance taken and
leaves. So a lock is not waited for for ever: who holds one touches its file now and then, and one that nobody has
touched for long, whose holder is stopped or is a process that somebody forked behind our back, is passed over.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
#: How often a holder touches its file, in seconds.
_RENEWED_S: Final = 0.5
_MAX_NOTE_BYTES: Final = 64


class Turn:
    """At most one lock, held from take() until leave(); the kernel drops it where we are killed.

    Args:
        respected_s: how long after its last touch somebody else's lock is waited for, in seconds.
    """

    def __init__(self, respected_s: float) -> None:
        self._respected_s = respected_s
        self._fd: int | None = None
        self._file: tuple[int, int] = (0, 0)
        self._touched_s = 0.0
        #: When files that others hold had been touched, at the last look.
        self._seen_ns: dict[str, int] = {}

    @property
    def held(self) -> bool:
        """Whether it is ours, or was passed over for us."""
        return self._fd is not None

    def take(self, files: Sequence[str], more_s: float = 0.0) -> bool:
        """Takes the first of these that is free, or has been held in silence for too long.

        Args:
            files: absolute paths, made where they are not there.
            more_s: how much longer a silent holder is respected by this caller: not all are to lose patience at once.

        Raises:
            OSError: one of them cannot be opened.
        """
        for file in files:
            if self._fd is None:
                self._try(file, self._respected_s + more_s)
        return self.held

    def _try(self, file: str, respected_s: float) -> None:
        handle = os.open(file, _FLAGS, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            touched_ns = os.fstat(handle).st_mtime_ns  # before the clock is read: it may be touched in between
            silent_s = (time.time_ns() - touched_ns) / 1e9
            # Who has just taken it is about to touch it, so silence counts from the second look on.
            first = self._seen_ns.get(file) != touched_ns
            self._seen_ns[file] = touched_ns
            if silent_s >= 0 and (first or silent_s < respected_s):  # a time to come was touched by no holder of today
                os.close(handle)
                return
        except BaseException:
            os.close(handle)
            raise
        found = os.fstat(handle)
        self._fd, self._file, self._touched_s = handle, (found.st_dev, found.st_ino), 0.0
        self.renew()

    def _ours(self) -> int:
        """The descriptor; -1 where none is held, or a host that closes what it does not know has another by now."""
        if self._fd is None:
            return -1
        try:
            found = os.fstat(self._fd)
        except OSError:
            return -1
        return self._fd if (found.st_dev, found.st_ino) == self._file else -1

    def renew(self) -> None:
        """Says that the holder is alive; cheap where it has just been said."""
        now_s = time.monotonic()
        if 0 < now_s - self._touched_s < _RENEWED_S or (handle := self._ours()) < 0:
            return
        self._touched_s = now_s
        try:
            os.utime(handle)
        except OSError:
            return  # the disk is read-only by now: others lose patience

    def note(self) -> tuple[int, float]:
        """What holders before left: starts that failed in a row, and when the last did, in seconds since the epoch."""
        try:
            failures, at_s = os.pread(self._ours(), _MAX_NOTE_BYTES, 0).split()
            return int(failures), float(at_s)
        except (OSError, ValueError):
            return 0, 0.0

    def leave_note(self, failures: int) -> None:
        """Tells who holds it next of so many starts that failed in a row, the last of them now; 0 takes it back."""
        if (handle := self._ours()) < 0:
            return
        try:
            os.ftruncate(handle, 0)
            if failures:
                os.pwrite(handle, b"%d %.3f" % (failures, time.time()), 0)
        except OSError:
            return  # a disk that is full: each counts for itself

    def leave(self) -> None:
        """Lets go of it. In a forked child this leaves the parent's alone: it holds the same one."""
        handle, self._fd = self._ours(), None
        self._seen_ns.clear()
        if handle >= 0:
            os.close(handle)
