"""What the files of thousands of modules are now, without asking for each of them in each call.

A stat costs microseconds, a listing asks for thousands. So files and their folders are watched (inotify), and a file of
which nothing was heard since its last stat is what it was: the file's own watch hears of its content, by whatever name
it is written, the folder's hears of the name that comes to stand for another file. The events of all that happened
before a call are there when it begins: what it says is true. Where that is not sure, the file is asked for: it is a
link, is mounted by itself, or its file system is one whose files others change behind the kernel's back. A folder's own
name is looked up in each call: it may lead elsewhere by now (`current -> release-5`).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import stat
import threading
from typing import Final

from modctl.gateway import inotify
from modctl.gateway.states import GONE, HIDDEN, Stamp, stamp_of

_log = logging.getLogger(__name__)

#: Folders and files together; the kernel has a limit for each user besides.
MAX_WATCHES: Final = 60_000
#: File systems on which nobody but this machine's kernel changes files.
_LOCAL: Final = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "tmpfs", "overlay", "squashfs", "erofs"})


class Folder:
    """A folder that is watched.

    Attributes:
        version: another number whenever something may have happened in it.
        stamps: of its files by name, true at that version.
        watches: the files' own, by name.
    """

    __slots__ = ("device", "inode", "seen_in", "stamps", "trusted", "version", "watch", "watches")

    def __init__(self, device: int, inode: int, watch: int) -> None:
        self.device = device
        self.inode = inode
        self.watch = watch
        self.trusted = watch >= 0
        self.version = 0
        self.stamps: dict[str, Stamp] = {}
        self.watches: dict[str, int] = {}
        self.seen_in = -1


class Disk:
    """All watched folders. Any thread; everything here may block on a disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folders: dict[str, Folder] = {}
        #: Watch to whom it concerns: a folder and a name in it, no name where it is the folder's own.
        self._concerned: dict[int, set[tuple[Folder, str]]] = {}
        self._numbers = itertools.count(1)
        self._mounts = b""
        self._mount_points: frozenset[str] = frozenset()
        self._local_devices: frozenset[int] = frozenset()
        self._inotify: inotify.Inotify | None = None
        self._tried = False

    def look(self) -> Look:
        """Begins a look at the disk: what it says is true from now on."""
        with self._lock:
            if not self._tried:
                self._tried = True
                try:
                    self._inotify = inotify.Inotify()
                except OSError as error:
                    _log.info("no inotify (%s): each file is asked for in each call", error)
            self._hear()
            return Look(self, next(self._numbers))

    def close(self) -> None:
        """Ends all watches."""
        with self._lock:
            if self._inotify is not None:
                self._inotify.close()
                self._inotify = None
            self._forget_all()

    def folder(self, place: str, look_number: int) -> Folder | None:
        """The watched folder that this name leads to now; None where it cannot be watched, or not be believed."""
        folder = self._folders.get(place)
        if folder is not None and folder.seen_in == look_number:
            return folder if folder.trusted else None
        if self._inotify is None:
            return None
        try:  # outside the lock: a file system that hangs may hold this thread, and no other
            found = os.stat(place)
            if folder is None or (found.st_dev, found.st_ino) != (folder.device, folder.inode):
                folder = self._watched(place)
        except (OSError, ValueError):
            return None
        if folder is None:
            return None
        folder.seen_in = look_number
        return folder if folder.trusted else None

    def all_watched(self, places: list[str]) -> bool:
        """Whether all these folders were watched when they were last seen: then looking at them again never waits."""
        known = self._folders
        return all((folder := known.get(place)) is not None and folder.trusted for place in places)

    def watch(self, folder: Folder, name: str, origin: str) -> bool:
        """Watches a file of the folder; whether it could be."""
        with self._lock:
            if self._inotify is None or not folder.trusted or len(self._concerned) >= MAX_WATCHES:
                return False
            try:
                watch = self._inotify.watch_file(origin)
            except (OSError, ValueError):
                return False
            before = folder.watches.get(name)
            if before is not None and before != watch:
                self._unwatch(before, folder, name)
            folder.watches[name] = watch
            self._concerned.setdefault(watch, set()).add((folder, name))
            return True

    def remember(self, folder: Folder, name: str, version: int, stamp: Stamp) -> bool:
        """Keeps a stamp that was taken while the folder had that version; whether it could be kept."""
        with self._lock:
            if folder.version != version or not folder.trusted:
                return False  # something happened meanwhile, and its event is not to come again
            folder.stamps[name] = stamp
            return True

    def is_mount_point(self, place: str) -> bool:
        """Whether something is mounted at that very place."""
        return place in self._mount_points

    def _watched(self, place: str) -> Folder | None:
        """Watches a folder.

        Raises:
            OSError: it is gone, or no folder.
        """
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            with self._lock:
                before = self._folders.pop(place, None)
                if before is not None:
                    self._forget(before)
                if self._inotify is None or len(self._concerned) >= MAX_WATCHES:
                    return None
                watch = -1
                if found.st_dev in self._local_devices:
                    with contextlib.suppress(OSError):  # the user's watches are used up
                        watch = self._inotify.watch(fd)
                folder = self._folders[place] = Folder(found.st_dev, found.st_ino, watch)
                folder.version = next(self._numbers)
                if watch >= 0:
                    self._concerned.setdefault(watch, set()).add((folder, ""))
                return folder
        finally:
            os.close(fd)

    def _hear(self) -> None:
        """Takes in what has happened."""
        if self._inotify is None:
            return
        for event in self._inotify.events():
            if event.mask & inotify.Q_OVERFLOW:
                self._forget_all()
                break
            for folder, name in self._concerned.get(event.watch, ()):
                folder.version = next(self._numbers)
                if name or event.name:
                    folder.stamps.pop(name or event.name, None)
                else:
                    folder.stamps.clear()
            if event.mask & inotify.IGNORED:
                for folder, name in self._concerned.pop(event.watch, ()):
                    if not name:
                        folder.trusted = False
                        folder.device = folder.inode = -1  # the next who asks watches it anew
                    elif folder.watches.get(name) == event.watch:  # and not yet another file's
                        del folder.watches[name]
        self._read_mounts()

    def _read_mounts(self) -> None:
        try:
            with open("/proc/self/mountinfo", "rb") as file:
                mounts = file.read()
        except OSError:
            mounts = b""
        if mounts == self._mounts:
            return
        self._mounts = mounts
        self._forget_all()
        points: set[str] = set()
        local: set[int] = set()
        for line in mounts.splitlines():
            words = line.split()
            if b"-" not in words or len(words) < 10:
                continue
            points.add(os.fsdecode(words[4].replace(b"\\040", b" ")))
            major, _, minor = words[2].partition(b":")
            if words[words.index(b"-") + 1].decode("ascii", "replace") in _LOCAL:
                local.add(os.makedev(int(major), int(minor)))
        self._mount_points = frozenset(points)
        self._local_devices = frozenset(local)

    def _forget(self, folder: Folder) -> None:
        folder.trusted = False
        folder.version = next(self._numbers)
        folder.stamps.clear()
        self._unwatch(folder.watch, folder, "")
        for name, watch in folder.watches.items():
            self._unwatch(watch, folder, name)
        folder.watches.clear()

    def _unwatch(self, watch: int, folder: Folder, name: str) -> None:
        concerned = self._concerned.get(watch)
        if concerned is None:
            return
        concerned.discard((folder, name))
        if not concerned:
            del self._concerned[watch]
            if self._inotify is not None:
                self._inotify.unwatch(watch)

    def _forget_all(self) -> None:
        for folder in self._folders.values():
            self._forget(folder)
        self._folders.clear()


class Look:
    """One look at the disk for one call: each file is asked for at most once, however many processes have loaded it."""

    def __init__(self, disk: Disk, number: int) -> None:
        self._disk = disk
        self._number = number
        #: Stamps of files that cannot be watched; those that can are kept with their folders, which know their age.
        self._asked: dict[str, Stamp] = {}

    def folder(self, place: str) -> Folder | None:
        """See Disk.folder."""
        return self._disk.folder(place, self._number)

    def all_watched(self, places: list[str]) -> bool:
        """See Disk.all_watched."""
        return self._disk.all_watched(places)

    def at(self, origin: str) -> Stamp:
        """The file's stamp as of this look, or later."""
        found = self._asked.get(origin)
        if found is not None:
            return found
        place, name = os.path.split(origin)
        folder = self.folder(place)
        if folder is None:
            return self._ask(origin)
        kept = folder.stamps.get(name)
        if kept is not None:
            return kept
        version = folder.version
        if self._disk.is_mount_point(origin) or not self._disk.watch(folder, name, origin):
            return self._ask(origin)
        try:
            found_file = os.lstat(origin)
        except FileNotFoundError:
            return GONE
        except (OSError, ValueError):
            return HIDDEN
        if not stat.S_ISREG(found_file.st_mode) or found_file.st_dev != folder.device:
            return self._ask(origin)
        stamp = Stamp(found_file.st_mtime_ns, found_file.st_size, found_file.st_ino)
        self._disk.remember(folder, name, version, stamp)
        return stamp

    def kept(self, origin: str) -> bool:
        """Whether the next call need not ask for the file unless its folder says that something happened."""
        place, name = os.path.split(origin)
        folder = self.folder(place)
        return folder is not None and name in folder.stamps

    def _ask(self, origin: str) -> Stamp:
        found = self._asked[origin] = stamp_of(origin)
        return found
