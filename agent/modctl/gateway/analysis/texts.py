"""Sources by digest, and what was read of them: bounded, and read at most once while they are kept."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from modctl.gateway.sources import decoded
from modctl.gateway.states import digest_of
from modctl.source.plan import Text, read_text

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

#: Compressed sources.
SOURCE_BYTES: Final = 32 * 1024 * 1024
#: Texts with their trees.
TEXT_BYTES: Final = 128 * 1024 * 1024
#: What a character of source takes as a tree, statements and code; measured on the standard library.
TREE_FACTOR: Final = 50

Kept = TypeVar("Kept")


class Bounded(Generic[Kept]):
    """What was used last, up to a size."""

    def __init__(self, most_bytes: int, size_of: Callable[[Kept], int]) -> None:
        self._most_bytes = most_bytes
        self._size_of = size_of
        self._bytes = 0
        self._kept: OrderedDict[Hashable, Kept] = OrderedDict()

    def get(self, key: Hashable) -> Kept | None:
        """What was kept under a key."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        return found

    def put(self, key: Hashable, value: Kept) -> Kept:
        """Keeps it, and lets go of what was not used for longest."""
        if key not in self._kept:
            self._kept[key] = value
            self._bytes += self._size_of(value)
            while self._bytes > self._most_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= self._size_of(oldest)
        return value

    def drop(self, key: Hashable) -> None:
        """Lets go of one."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._bytes -= self._size_of(found)


class UnknownSourceError(LookupError):
    """No source of that digest is kept."""

    def __init__(self, digest: str) -> None:
        super().__init__(f"no source with the digest {digest} is known")


class Texts:
    """Used by one thread at a time."""

    def __init__(self) -> None:
        self._packed: Bounded[bytes] = Bounded(SOURCE_BYTES, len)
        self._texts: Bounded[Text] = Bounded(TEXT_BYTES, lambda text: len(text.source) * TREE_FACTOR)

    def knows(self, digest: str) -> bool:
        """Whether the source of a digest is kept."""
        return self._packed.get(digest) is not None

    def add(self, content: bytes) -> str:
        """Keeps a source; returns its digest."""
        digest = digest_of(content)
        if self._packed.get(digest) is None:
            self._packed.put(digest, zlib.compress(content, 1))
        return digest

    def add_packed(self, digest: str, packed: bytes) -> None:
        """Keeps a source that a process has sent under the digest that it goes by there."""
        self._packed.put(digest, packed)

    def packed(self, digest: str) -> bytes:
        """A source, compressed.

        Raises:
            UnknownSourceError: it is not kept.
        """
        found = self._packed.get(digest)
        if found is None:
            raise UnknownSourceError(digest)
        return found

    def forget_text(self, digest: str, filename: str) -> None:
        """Lets go of what was read of a source that is of the past now; the source itself stays."""
        self._texts.drop((digest, filename))

    def read(self, digest: str, filename: str, like: Text | None = None) -> Text:
        """A source, read as it would be compiled from that file.

        Raises:
            UnknownSourceError: it is not kept. SourceError, SyntaxError, ValueError: it is no Python.
        """
        key = digest, filename
        found = self._texts.get(key)
        if found is not None:
            return found
        content = zlib.decompress(self.packed(digest))
        is_text = digest.startswith("text:")
        source = content.decode("utf-8", "surrogatepass") if is_text else decoded(content, filename)
        return self._texts.put(key, read_text(source, filename, like=like))
