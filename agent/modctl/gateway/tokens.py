"""Bearer tokens: the automatic one of loopback TCP, and files of tokens that an operator gives."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import stat
from typing import TYPE_CHECKING, Final

from modctl.gateway.errors import ListenError
from modctl.local import places

if TYPE_CHECKING:
    from collections.abc import Sequence

AUTOMATIC: Final = "automatic"
UNNAMED: Final = "token"
MIN_CHARACTERS: Final = 16
MAX_FILE_BYTES: Final = 1024 * 1024
_SCHEME: Final = "bearer"


class TokenFile:
    """Tokens by name, read anew whenever the file changes.

    A line is a token, or a name, white space and a token; `#` starts a comment.

    Args:
        place: the file.
        name: what an unnamed token is called.
        private: whether the file must be ours and closed to others.
    """

    def __init__(self, place: str, name: str = UNNAMED, *, private: bool = False) -> None:
        self.place = place
        self._name = name
        self.private = private
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: list[tuple[str, bytes]] = []

    def load(self) -> None:
        """Reads the file if it has changed.

        Raises:
            OSError: it cannot be read, or is open to others and must not be.
            ValueError: there is no token in it, or one that is too short to be secret.
        """
        fd = os.open(self.place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (os.O_NOFOLLOW if self.private else 0))
        with open(fd, encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{self.place} is no plain file")
            if self.private and (found.st_uid != os.getuid() or found.st_mode & 0o077):
                raise places.PlaceError(f"{self.place} belongs to another user or is open to others; remove it")
            self._tokens = parsed(file.read(MAX_FILE_BYTES), self._name, self.place)
            self._stamp = stamp

    def name_of(self, token: str) -> str | None:
        """Whose token it is. Takes the same time for every wrong one."""
        with contextlib.suppress(OSError, ValueError):  # while it is being replaced the old ones go on
            self.load()
        given = token.encode("utf-8", "replace")
        found: str | None = None
        for name, expected in self._tokens:
            if hmac.compare_digest(given, expected):
                found = name
        return found


def parsed(text: str, name: str, place: str) -> list[tuple[str, bytes]]:
    """The tokens of a file's text.

    Raises:
        ValueError: there are none, or one is no secret.
    """
    tokens: list[tuple[str, bytes]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) > 2:
            raise ValueError(f"{place}, line {number}: a line is a token, or a name and a token")
        if len(words[-1]) < MIN_CHARACTERS:
            raise ValueError(f"{place}, line {number}: a token needs {MIN_CHARACTERS} characters")
        tokens.append((words[0] if len(words) == 2 else name, words[-1].encode()))
    if not tokens:
        raise ValueError(f"{place} has no token in it")
    return tokens


def automatic(base: str) -> TokenFile:
    """The user's own token, made at the first need: two gateways that start at once agree on one.

    Raises:
        ListenError: it cannot be made, or somebody else has made it.
    """
    place = os.path.join(base, places.TOKEN)
    tokens = TokenFile(place, AUTOMATIC, private=True)
    try:
        try:
            tokens.load()
        except FileNotFoundError:
            _make(base, place)
            tokens.load()
    except (OSError, ValueError) as error:
        raise ListenError("loopback TCP", f"its token cannot be used ({error})", f"see to {place}") from error
    return tokens


def _make(base: str, place: str) -> None:
    draft = os.path.join(base, f".token.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(fd)
        with contextlib.suppress(FileExistsError):
            os.link(draft, place)  # whole or not at all, and never over another's
    finally:
        os.unlink(draft)


def bearer(values: Sequence[str]) -> str | None:
    """The token of `authorization` metadata; None where there is none."""
    for value in values:
        scheme, _, token = value.partition(" ")
        if scheme.lower() == _SCHEME and token.strip():
            return token.strip()
    return None
