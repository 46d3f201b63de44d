"""inotify, through the C library: the kernel says which files of a folder somebody has touched."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final, NamedTuple

MODIFY: Final = 0x2
ATTRIB: Final = 0x4
CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
DELETE_SELF: Final = 0x400
MOVE_SELF: Final = 0x800
UNMOUNT: Final = 0x2000
Q_OVERFLOW: Final = 0x4000
IGNORED: Final = 0x8000
ONLYDIR: Final = 0x1000000
DONT_FOLLOW: Final = 0x2000000
TOUCHED: Final = (
    MODIFY | ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | ONLYDIR
)
#: What may make a file another one, whatever name it is reached by.
TOUCHED_FILE: Final = MODIFY | ATTRIB | CLOSE_WRITE | DELETE_SELF | MOVE_SELF | DONT_FOLLOW
_EVENT: Final = struct.Struct("iIII")
_READ_BYTES: Final = 256 * 1024


class Event(NamedTuple):
    """Something happened; name says to what in a watched folder, and is empty where it happened to itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One queue of events.

    Raises:
        OSError: the kernel gives none, or the C library does not know it.
    """

    def __init__(self) -> None:
        try:
            library = ctypes.CDLL(None, use_errno=True)
            self._add = library.inotify_add_watch
            self._remove = library.inotify_rm_watch
            begin = library.inotify_init1
        except AttributeError as error:
            raise OSError(f"the C library has no inotify: {error}") from error
        self._add.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
        self._remove.argtypes = (ctypes.c_int, ctypes.c_int)
        begin.argtypes = (ctypes.c_int,)
        self._fd: int = begin(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise _failure()

    def watch(self, folder_fd: int) -> int:
        """Watches an open folder: the very one, wherever its name leads later. Returns the watch's number.

        Raises:
            OSError: there are too many watches, or it is no folder.
        """
        watch: int = self._add(self._fd, b"/proc/self/fd/%d" % folder_fd, TOUCHED)
        if watch < 0:
            raise _failure()
        return watch

    def watch_file(self, place: str) -> int:
        """Watches a file, or a link itself, by whatever name it is changed. Returns the watch's number.

        Raises:
            OSError: there are too many watches, or no such file.
            ValueError: it is no name of a file.
        """
        watch: int = self._add(self._fd, os.fsencode(place), TOUCHED_FILE)
        if watch < 0:
            raise _failure()
        return watch

    def unwatch(self, watch: int) -> None:
        """Ends a watch; one that the kernel has ended already is no error."""
        self._remove(self._fd, watch)

    def events(self) -> list[Event]:
        """Everything that has happened until now; never waits."""
        found: list[Event] = []
        while True:
            try:
                data = os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                return found
            offset = 0
            while offset < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, offset)
                offset += _EVENT.size
                found.append(Event(watch, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))))
                offset += length

    def close(self) -> None:
        """Ends all watches."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _failure() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
