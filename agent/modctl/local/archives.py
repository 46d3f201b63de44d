"""Unpacks zip files and wheels, in memory, believing nothing that they say about themselves.

Here because whoever signs an archive and whoever checks the signature must read it alike.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from typing import Final

#: Everything unpacked, in bytes.
MAX_TOTAL_BYTES: Final = 32 * 1024 * 1024
MAX_MEMBER_BYTES: Final = 16 * 1024 * 1024
MAX_MEMBERS: Final = 5_000
MAX_NAME_CHARACTERS: Final = 512
_READ_BYTES: Final = 64 * 1024
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA})


class ArchiveError(ValueError):
    """An archive is not safe to unpack, or is none.

    Args:
        reason: BAD_ARCHIVE, or LIMIT where it is only too much.
        problem: one sentence.
    """

    def __init__(self, problem: str, reason: str = "BAD_ARCHIVE") -> None:
        super().__init__(problem)
        self.reason = reason


def unpacked(content: bytes) -> dict[str, bytes]:
    """The files of an archive by their paths in it.

    Raises:
        ArchiveError: it is no zip file, is encrypted or broken, has links or paths that lead out of it, or is too large
            when unpacked (counted as it is unpacked: what the headers say is not believed).
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, RecursionError) as error:
        raise ArchiveError(f"it is no zip file that can be read: {error}") from error
    with archive:
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ArchiveError(f"it has {len(members)} members, {MAX_MEMBERS} are allowed", "LIMIT")
        files: dict[str, bytes] = {}
        left = MAX_TOTAL_BYTES
        for member in members:
            check_path(member.orig_filename.rstrip("/"))
            _check_member(member)
            if member.is_dir():
                continue
            if member.filename in files:
                raise ArchiveError(f"{member.filename!r} is in it twice")
            files[member.filename] = _read(archive, member, min(left, MAX_MEMBER_BYTES))
            left -= len(files[member.filename])
        return files


def check_path(path: str) -> None:
    """Refuses a path that is not plainly inside its archive or package.

    Raises:
        ArchiveError: it is absolute, leads out, or is not written plainly.
    """
    shown = repr(path[:80])
    if not path or len(path) > MAX_NAME_CHARACTERS:
        raise ArchiveError(f"the path {shown} is empty or longer than {MAX_NAME_CHARACTERS} characters")
    if "\\" in path or any(ord(character) < 0x20 or character == "\x7f" for character in path):
        raise ArchiveError(f"the path {shown} has a backslash or a control character")
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise ArchiveError(f"the path {shown} is no text")
    if path.startswith("/") or path[1:2] == ":" or any(part in ("", ".", "..") for part in path.split("/")):
        raise ArchiveError(f"the path {shown} leads out of it, or is not plain")


def _check_member(member: zipfile.ZipInfo) -> None:
    shown = repr(member.filename[:80])
    if member.flag_bits & 0x1:
        raise ArchiveError(f"{shown} is encrypted")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind and kind not in (stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{shown} is a link or a special file")
    if member.compress_type not in _METHODS:
        raise ArchiveError(f"{shown} is compressed in a way that Python does not know ({member.compress_type})")


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> bytes:
    shown = repr(member.filename[:80])
    pieces: list[bytes] = []
    size = 0
    try:
        with archive.open(member) as file:
            while piece := file.read(_READ_BYTES):
                size += len(piece)
                if size > most:
                    raise ArchiveError(f"{shown} unpacks to more than is allowed ({most} bytes are left)", "LIMIT")
                pieces.append(piece)
    except ArchiveError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, NotImplementedError) as error:
        raise ArchiveError(f"{shown} is broken: {error}") from error
    except Exception as error:  # lzma.LZMAError: the module may be missing, so it is not named
        raise ArchiveError(f"{shown} is broken: {error!r}") from error
    return b"".join(pieces)
