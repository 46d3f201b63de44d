"""What makes this gateway the one of its instance: the lock, the agents' socket, the file that names it.

Standard library only: an agent is waiting in the socket's backlog while grpc is being imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway.errors import ClaimError, TakenError
from modctl.local import places

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKLOG: Final = 1024


class Claim:
    """The lock is held from construction until release(); the kernel drops it where we are killed.

    Args:
        instance_dir: the instance's directory; must be private (see places).

    Raises:
        TakenError: another gateway holds it.
        ClaimError: the directory is not safe, or the socket cannot be bound.
    """

    def __init__(self, instance_dir: str) -> None:
        self.instance_dir = os.path.abspath(instance_dir)
        try:
            places.check_private(self.instance_dir)
            self._dir_fd = os.open(self.instance_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ClaimError(str(error)) from error
        self._lock_fd = -1
        self._owned: dict[str, tuple[int, ...]] = {}
        try:
            self._lock_fd = self._take_lock()
            self.agent_socket = self._bind_agent_socket()
        except BaseException:
            self._close_fds()
            raise

    def _take_lock(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            lock_fd = os.open(places.GATEWAY_LOCK, flags, 0o600, dir_fd=self._dir_fd)
        except OSError as error:
            raise ClaimError(f"{self.instance_dir}: {error}") from error
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            raise TakenError(self.instance_dir) from None
        return lock_fd

    def _bind_agent_socket(self) -> socket.socket:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.remove(places.AGENT_SOCKET, ours_only=False)
            listening.bind(self.bindable(places.AGENT_SOCKET))
            os.chmod(places.AGENT_SOCKET, 0o600, dir_fd=self._dir_fd)
            listening.listen(BACKLOG)
            listening.setblocking(False)
        except OSError as error:
            listening.close()
            raise ClaimError(f"{self.place(places.AGENT_SOCKET)}: {error}") from error
        self.own(places.AGENT_SOCKET)
        return listening

    def place(self, name: str) -> str:
        """The absolute path of one of the instance's files."""
        return os.path.join(self.instance_dir, name)

    def bindable(self, name: str) -> str:
        """A path for bind() of that file, within the 107 bytes that a unix socket's may have."""
        plain = self.place(name)
        if len(os.fsencode(plain)) <= places.MAX_SOCKET_PATH_BYTES:
            return plain
        return f"/proc/self/fd/{self._dir_fd}/{name}"

    def own(self, name: str) -> None:
        """Remembers that the file of that name, as it is now, is this gateway's."""
        with contextlib.suppress(OSError):
            found = os.stat(name, dir_fd=self._dir_fd, follow_symlinks=False)
            self._owned[name] = _identity(found)

    def remove(self, name: str, *, ours_only: bool = True) -> None:
        """Removes one of the instance's files; with ours_only only the very file that own() saw."""
        with contextlib.suppress(FileNotFoundError):
            if ours_only:
                found = os.stat(name, dir_fd=self._dir_fd, follow_symlinks=False)
                if self._owned.get(name) != _identity(found):
                    return
            os.unlink(name, dir_fd=self._dir_fd)

    def write_info(self, info: Mapping[str, Any]) -> None:
        """Writes gateway.json, whole or not at all.

        Raises:
            OSError: the disk is full, or the directory is gone.
        """
        draft = f".{places.GATEWAY_INFO}.{os.getpid()}"
        draft_fd = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self._dir_fd
        )
        try:
            with os.fdopen(draft_fd, "w", encoding="utf-8") as file:
                json.dump(info, file)
            os.rename(draft, places.GATEWAY_INFO, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=self._dir_fd)
            raise
        self.own(places.GATEWAY_INFO)

    def gone(self) -> bool:
        """Whether somebody removed the directory or the agents' socket: nobody can find this gateway any more."""
        try:
            found = os.lstat(self.place(places.AGENT_SOCKET))
        except OSError:
            return True
        return self._owned.get(places.AGENT_SOCKET) != _identity(found)

    def release(self) -> None:
        """Removes what is ours, then lets go of the lock: who takes it next finds nothing of us. Idempotent."""
        if self._lock_fd < 0:
            return
        self.agent_socket.close()
        for name in list(self._owned):
            with contextlib.suppress(OSError):
                self.remove(name)
        self._close_fds()

    def _close_fds(self) -> None:
        for attribute in ("_lock_fd", "_dir_fd"):
            fd = getattr(self, attribute)
            if fd >= 0:
                os.close(fd)
            setattr(self, attribute, -1)


def _identity(found: os.stat_result) -> tuple[int, ...]:
    """Which file it is: the number of one that was removed is given to the next, so the time counts too."""
    return found.st_dev, found.st_ino, found.st_mtime_ns
