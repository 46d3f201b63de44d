"""What is on disk now, against what is loaded: stat and digests of source files.

Everything here blocks and is called from worker threads; a file system that hangs never stops the gateway's loop.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections import OrderedDict
from typing import Final, NamedTuple

MAX_DIGESTS: Final = 100_000
#: Larger files are no source that anybody wrote; they are compared by stat alone.
MAX_FILE_BYTES: Final = 64 * 1024 * 1024
#: A file written so recently may be written again within the same tick of its file system's clock.
FRESH_NS: Final = 2_000_000_000
_READ_BYTES: Final = 1024 * 1024


class Stamp(NamedTuple):
    """What stat says of a file; two that are equal stand for the same content."""

    mtime_ns: int
    size: int
    inode: int


#: There is no file of that name.
GONE: Final = Stamp(-1, -1, -1)
#: Whether there is one cannot be known: inside an archive, no permission, no path at all.
HIDDEN: Final = Stamp(-2, -2, -2)


def stamp_of(origin: str) -> Stamp:
    """The file's stamp now; GONE or HIDDEN where there is none to be had."""
    try:
        found = os.stat(origin)
    except FileNotFoundError:
        return GONE
    except (OSError, ValueError):
        return HIDDEN
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino)


def stamp_from(told: object) -> Stamp | None:
    """The stamp that an agent sends as [mtime_ns, size, inode]."""
    if isinstance(told, list) and len(told) == 3 and all(type(number) is int for number in told):
        return Stamp(*told)
    return None


def is_fresh(stamp: Stamp) -> bool:
    """Whether the file was written so recently that the next write may leave the same stamp."""
    return time.time_ns() - stamp.mtime_ns < FRESH_NS


class Digests:
    """sha256 of files by name and stamp, the most recently used of them. Any thread."""

    def __init__(self, most: int = MAX_DIGESTS) -> None:
        self._most = most
        self._known: OrderedDict[tuple[str, Stamp], str] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, origin: str, stamp: Stamp | None) -> str:
        """The digest of the file as it was at that stamp, if it was ever taken; else nothing."""
        if stamp is None:
            return ""
        with self._lock:
            return self._known.get((origin, stamp), "")

    def of(self, origin: str, stamp: Stamp) -> tuple[Stamp, str]:
        """The digest of the file, and the stamp that it really has.

        The stamp differs from the one given where the file was written meanwhile. The digest is empty where the file
        cannot be read, is no plain file, or is over MAX_FILE_BYTES.
        """
        key = (origin, stamp)
        with self._lock:
            digest = self._known.get(key)
            if digest is not None:
                self._known.move_to_end(key)
                return stamp, digest
        stamp, digest = digest_of_file(origin)
        if digest and not is_fresh(stamp):
            self.learn(origin, stamp, digest)
        return stamp, digest

    def learn(self, origin: str, stamp: Stamp, digest: str) -> None:
        """Remembers a digest."""
        with self._lock:
            self._known[origin, stamp] = digest
            self._known.move_to_end((origin, stamp))
            while len(self._known) > self._most:
                self._known.popitem(last=False)


def digest_of_file(origin: str) -> tuple[Stamp, str]:
    """Stamp and digest of a file, taken from the same open file."""
    try:
        # O_NONBLOCK: a FIFO in a source's place must not hold a thread for ever.
        with open(os.open(origin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                return HIDDEN, ""
            stamp = Stamp(before.st_mtime_ns, before.st_size, before.st_ino)
            if before.st_size > MAX_FILE_BYTES:
                return stamp, ""
            hashing = hashlib.sha256()
            read = 0
            while piece := file.read(_READ_BYTES):
                hashing.update(piece)
                read += len(piece)
            after = os.fstat(file.fileno())
    except FileNotFoundError:
        return GONE, ""
    except (OSError, ValueError):
        return HIDDEN, ""
    if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size) or read != before.st_size:
        return Stamp(after.st_mtime_ns, after.st_size, after.st_ino), ""
    return stamp, f"sha256:{hashing.hexdigest()}"


def digest_of(content: bytes) -> str:
    """The digest of bytes, as modctl writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
