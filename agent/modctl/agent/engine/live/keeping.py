"""Keeping the text of the program's own modules, so that it is known what a file was before it was edited.

Files of the standard library and of installed packages are not edited in place as a rule, and are many: of them the
stat is kept alone, and the file is the text for as long as the stat is the same. How much is kept in all is bounded by
Generations.keep().
"""

from __future__ import annotations

import os
from typing import Final

from modctl.agent.reading import read_whole

#: Larger sources are not kept: they are generated.
MAX_BYTES: Final = 1 << 20
#: Making a compressor ready takes longer than all else for texts of so many bytes, and saves next to nothing.
SHORT_BYTES: Final = 512

_STDLIB: Final = os.path.join(os.path.dirname(os.__file__), "")


def take(path: str, stat: tuple[int, int, int] | None, packed: bytes) -> bytes | None:
    """A file's text that somebody else has read at that stat and compressed, where it is one to keep."""
    wanted = stat is not None and _is_wanted(path) and stat[1] <= MAX_BYTES
    return packed if wanted else None


def keep(path: str, stat: tuple[int, int, int] | None) -> bytes | None:
    """A file's text, compressed; None where it is not one to keep or has changed since the stat was taken."""
    if stat is None or not _is_wanted(path) or stat[1] > MAX_BYTES:
        return None
    try:
        found, data = read_whole(path, MAX_BYTES)
    except (OSError, ValueError):
        return None
    if (found.st_mtime_ns, found.st_size, found.st_ino) != tuple(stat):
        return None
    return _packed(data)


def look(path: str) -> tuple[os.stat_result, bytes | None]:
    """A file's stat, and its text as of keep(), in one go.

    Raises:
        OSError, ValueError: there is no such file.
    """
    if _is_wanted(path):
        try:
            found, data = read_whole(path, MAX_BYTES)
            return found, _packed(data)
        except OSError:
            pass  # it is not there, or is not to be read: the stat says which
    return os.stat(path), None


def pack(path: str, data: bytes | None) -> bytes | None:
    """As keep(), of a file that somebody else has read; None where there was nothing to be read."""
    return _packed(data) if _is_wanted(path) else None


def unpack(packed: bytes) -> bytes:
    """The bytes that keep() packed."""
    import zlib

    return zlib.decompress(packed)


def _is_wanted(path: str) -> bool:
    installed = path.startswith(_STDLIB) or "/site-packages/" in path or "/dist-packages/" in path
    return path.endswith(".py") and not installed


def _packed(data: bytes | None) -> bytes | None:
    if data is None:
        return None
    try:
        import zlib
    except ImportError:  # an interpreter built without it: nothing is kept, and no import of the host's fails for it
        return None
    if len(data) <= SHORT_BYTES:
        return _stored(data, zlib.adler32(data))
    # A window of 8 KiB instead of 32: half the time for a hundredth more, most of it for memory that is cleared first.
    packer = zlib.compressobj(1, zlib.DEFLATED, 13, 6)
    return packer.compress(data) + packer.flush()


def _stored(data: bytes, checksum: int) -> bytes:
    """What zlib makes of a short text where it does not compress it: a header, one stored block, a checksum."""
    length = len(data)
    block = length.to_bytes(2, "little") + (length ^ 0xFFFF).to_bytes(2, "little") + data
    return b"\x78\x01\x01" + block + checksum.to_bytes(4, "big")


def decode(data: bytes) -> str:
    """Source bytes as text, by their coding cookie; newlines made plain."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode(encoding))
