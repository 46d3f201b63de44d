"""Keeping the text of the program's own modules, so that it is known what a file was before it was edited.

Files of the standard library and of installed packages are not edited in place as a rule, and are many: of them the
stat is kept alone, and the file is the text for as long as the stat is the same.
"""

from __future__ import annotations

import os
from typing import Final

#: Larger sources are not kept: they are generated.
MAX_BYTES: Final = 1 << 20
#: All kept texts of a process, compressed.
MAX_TOTAL_BYTES: Final = 16 << 20

_kept_bytes = 0


_STDLIB: Final = os.path.join(os.path.dirname(os.__file__), "")


def take(path: str, stat: tuple[int, int, int] | None, packed: bytes) -> bytes | None:
    """A file's text that somebody else has read at that stat and compressed, where it is one to keep."""
    global _kept_bytes
    wanted = stat is not None and path.endswith(".py") and not _is_installed(path) and stat[1] <= MAX_BYTES
    if not wanted or _kept_bytes + len(packed) > MAX_TOTAL_BYTES:
        return None
    _kept_bytes += len(packed)
    return packed


def keep(path: str, stat: tuple[int, int, int] | None) -> bytes | None:
    """A file's text, compressed; None where it is not one to keep or has changed since the stat was taken."""
    global _kept_bytes
    if stat is None or not path.endswith(".py") or _is_installed(path) or stat[1] > MAX_BYTES:
        return None
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
            found = os.fstat(file.fileno())
    except OSError:
        return None
    if (found.st_mtime_ns, found.st_size, found.st_ino) != tuple(stat):
        return None
    try:
        import zlib
    except ImportError:  # an interpreter built without it: nothing is kept, and no import of the host's fails for it
        return None
    packed = zlib.compress(data, 1)
    if _kept_bytes + len(packed) > MAX_TOTAL_BYTES:
        return None
    _kept_bytes += len(packed)
    return packed


def unpack(packed: bytes) -> bytes:
    """The bytes that keep() packed."""
    import zlib

    return zlib.decompress(packed)


def _is_installed(path: str) -> bool:
    return path.startswith(_STDLIB) or "/site-packages/" in path or "/dist-packages/" in path


def decode(data: bytes) -> str:
    """Source bytes as text, by their coding cookie; newlines made plain."""
    import io
    import tokenize

    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.IncrementalNewlineDecoder(None, translate=True).decode(data.decode(encoding))
