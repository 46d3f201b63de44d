"""What was committed: revisions with what takes them back, and answers to requests that may come again."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any, Final, Protocol

from modctl.agent import standby
from modctl.agent.errors import RequestError
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from modctl.agent.engine.commit import Write

#: Revisions that can be undone; old objects are released with what falls out.
MAX_REVISIONS: Final = 20
#: Answers that are kept for requests that are sent again.
MAX_ANSWERS: Final = 256


class Patch(Protocol):
    """Takes changes of live objects back; see live/journal.py."""

    def undo(self) -> tuple[float, list[str], Patch]:
        """Does it; returns the pause in s, what stays because the program changed it, and what takes the undo back."""


class Revision:
    """A committed change set.

    Attributes:
        number: from 1.
        committed_at_s: seconds since the epoch.
        identity: who asked.
        reason: why.
        modules: what it did, as ModuleChange objects.
        writes: what it wrote, to be taken back.
        fixed: why it cannot be undone; empty where it can.
        undoes: the revision that this one takes back, 0 where it is no undo.
        undone_by: the revision that took this one back, 0 where it stands.
        expires_at_s: when it takes itself back: seconds since the epoch.
        request_id: the request's.
    """

    def __init__(
        self,
        number: int,
        identity: str,
        reason: str,
        modules: Sequence[dict[str, Any]],
        writes: Sequence[Write],
        request_id: str,
        undoes: int = 0,
        fixed: str = "",
    ) -> None:
        self.number = number
        self.committed_at_s = time.time()
        self.identity = identity
        self.reason = reason
        self.modules = list(modules)
        self.writes = list(writes)
        self.request_id = request_id
        self.undoes = undoes
        self.undone_by = 0
        self.fixed = fixed
        self.expires_at_s: float | None = None
        #: When it takes itself back unless it is confirmed: seconds since the epoch.
        self.confirm_by_s: float | None = None
        #: What takes back changes of live objects, where the revision made any.
        self.patch: Patch | None = None

    @property
    def undoable(self) -> bool:
        """Whether it stands and could be taken back as far as it alone is concerned."""
        return not self.undone_by and not self.fixed

    def as_message(self) -> dict[str, Any]:
        """The fields of modctl.v1.Revision."""
        message: dict[str, Any] = {
            "number": self.number,
            "committed_at_unix_s": self.committed_at_s,
            "identity": self.identity,
            "reason": self.reason,
            "modules": self.modules,
            "undoable": self.undoable,
            "undoes": self.undoes,
            "undone_by": self.undone_by,
            "request_id": self.request_id,
        }
        if self.expires_at_s is not None:
            message["expires_at_unix_s"] = self.expires_at_s
        if self.confirm_by_s is not None:
            message["confirm_by_unix_s"] = self.confirm_by_s
        return message


class Journal:
    """The newest revisions, and the number of the newest ever."""

    def __init__(self) -> None:
        self.newest = 0
        self._kept: deque[Revision] = deque(maxlen=MAX_REVISIONS)

    def add(self, revision: Revision) -> None:
        """Keeps a committed revision; the oldest may fall out."""
        self.newest = revision.number
        if len(self._kept) == MAX_REVISIONS:
            standby.before_waiting()  # what falls out may have finalizers of the program's
        self._kept.append(revision)
        if revision.undoes and (undone := self.find(revision.undoes)) is not None:
            undone.undone_by = revision.number
            if undone.undoes and (restored := self.find(undone.undoes)) is not None:
                restored.undone_by = 0  # an undo was undone: what it took back stands again

    def find(self, number: int) -> Revision | None:
        """A kept revision."""
        return next((revision for revision in list(self._kept) if revision.number == number), None)

    def newest_standing(self) -> Revision | None:
        """The newest revision that is no undo and has not been undone."""
        return next(
            (revision for revision in self.newest_first() if not revision.undone_by and not revision.undoes), None
        )

    def newest_first(self) -> Iterator[Revision]:
        """All that are kept."""
        return iter(list(self._kept)[::-1])

    def writes_of(self, ids: Container[int]) -> list[Write]:
        """What the kept revisions wrote or overwrote, of objects with these identities."""
        written = (write for revision in list(self._kept) for write in revision.writes)
        return [write for write in written if id(write.before) in ids or id(write.after) in ids]

    def after(self, number: int) -> list[Revision]:
        """Kept revisions after that number, oldest first."""
        return [revision for revision in list(self._kept) if revision.number > number]

    @property
    def oldest_kept(self) -> int:
        """The number of the oldest; 0 where there is none."""
        return self._kept[0].number if self._kept else 0


class Asked(NamedTuple):
    """What a request id stands for: it is one caller's, and one request's.

    Attributes:
        identity: who asks.
        contents: the gateway's digest of what the caller sent; empty where it is not known, which is no difference.
    """

    identity: str
    contents: str

    def must_be(self, earlier: Asked, request_id: str) -> None:
        """Holds it against what was asked under the same id before.

        Raises:
            RequestError: REQUEST_ID_REUSED: it is another request, or somebody else's.
        """
        if self.identity != earlier.identity:
            what = "somebody else's request"
        elif self.contents and earlier.contents and self.contents != earlier.contents:
            what = "a request with other contents"
        else:
            return
        message = f"the request id {request_id!r} is that of {what}; nothing was done. Send this with an id of its own"
        raise RequestError("INVALID_ARGUMENT", "REQUEST_ID_REUSED", message)


class Answers:
    """Answers by request id: a request that was done is answered again, not done again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[Asked, bytes]] = OrderedDict()

    def get(self, request_id: str, asked: Asked) -> bytes | None:
        """The answer that was given to this request.

        Raises:
            RequestError: REQUEST_ID_REUSED: it was given to another.
        """
        found = self._kept.get(request_id) if request_id else None
        if found is None:
            return None
        earlier, answer = found
        asked.must_be(earlier, request_id)
        return answer

    def keep(self, request_id: str, asked: Asked, answer: bytes) -> None:
        """Keeps one; the oldest falls out."""
        if request_id:
            self._kept[request_id] = (asked, answer)
            while len(self._kept) > MAX_ANSWERS:
                self._kept.popitem(last=False)
