"""Rows of a listing: an agent's JSON made into protobuf's bytes once, and judged against the disk each time it is told.

An agent says what an entry is; what its file is now, only a look at the file says. So a row is kept serialized, and
what changes from call to call (state, digest) is appended: protobuf takes fields in any order.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import wire
from modctl.gateway.messages import bad_answer, make, parse
from modctl.gateway.states import GONE, HIDDEN, Digests, Stamp, is_fresh, stamp_from
from modctl.v1 import module_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from modctl.gateway.disk import Look

MODULES_FIELD: Final = 2
_DIGEST_FIELD: Final = module_pb2.Module.DESCRIPTOR.fields_by_name["digest"].number
_STATE_FIELD: Final = module_pb2.Module.DESCRIPTOR.fields_by_name["state"].number
_FILE_KINDS: Final = frozenset(
    {
        module_pb2.MODULE_KIND_SOURCE,
        module_pb2.MODULE_KIND_BYTECODE,
        module_pb2.MODULE_KIND_EXTENSION,
    }
)
_STATES_OF_KINDS: Final[dict[int, int]] = {
    module_pb2.MODULE_KIND_BLOCKED: module_pb2.MODULE_STATE_BLOCKED,
    module_pb2.MODULE_KIND_INJECTED: module_pb2.MODULE_STATE_INJECTED,
}
_TAG: Final = wire.varint(MODULES_FIELD << 3 | 2)


class Row:
    """One entry.

    Attributes:
        basic: the serialized Module without digest and state.
        suffix: its digest and state as they were judged last, serialized.
        state: the number of ModuleState that was judged last.
        has_file: whether there is a file to look at.
    """

    __slots__ = (
        "_patched",
        "_seen",
        "_told_digest",
        "_was",
        "basic",
        "digest",
        "has_file",
        "is_source",
        "origin",
        "state",
        "suffix",
    )

    state: int
    digest: str
    suffix: bytes

    def __init__(self, told: dict[str, Any]) -> None:
        module = make(module_pb2.Module, told)
        self._told_digest = module.digest
        self.origin = module.origin
        self._was = stamp_from(told.get("_stat"))
        self._patched = told.get("_patched") is True
        self._seen: Stamp | None = None
        self.is_source = module.kind == module_pb2.MODULE_KIND_SOURCE
        state = module.state or _STATES_OF_KINDS.get(module.kind, 0)
        self.has_file = (
            not state and os.path.isabs(self.origin) and (module.kind in _FILE_KINDS or self._was is not None)
        )
        module.ClearField("digest")
        module.ClearField("state")
        self.basic = module.SerializeToString()
        if not self.has_file:
            self._say(state or module_pb2.MODULE_STATE_UNKNOWN, self._told_digest)
        else:
            self._say(module_pb2.MODULE_STATE_UNSPECIFIED, self._told_digest)

    @property
    def full(self) -> bytes:
        """The serialized Module with digest and state."""
        return self.basic + self.suffix

    def judge(self, now: Stamp, digests: Digests) -> bool:
        """Brings state and digest up to date with the file's stamp; whether they may have changed."""
        if now == self._seen:
            return False
        for _ in range(3):  # a file that is being written: its stamp moves under us
            really, state, digest = self._judged(now, digests)
            if really == now:
                break
            now = really
        self._say(state, digest)
        self._seen = now if self._final(now) else None
        return True

    @property
    def final(self) -> bool:
        """Whether the judgement holds until the file changes."""
        return self._seen is not None

    def _final(self, now: Stamp) -> bool:
        """Whether the judgement holds until the stamp changes."""
        if not self.is_source or now in (GONE, HIDDEN):
            return True
        if is_fresh(now):  # it may be written once more within one tick of the clock
            return False
        return bool(self.digest) or self.state == module_pb2.MODULE_STATE_MODIFIED

    def _judged(self, now: Stamp, digests: Digests) -> tuple[Stamp, int, str]:
        loaded = self._told_digest or (digests.known(self.origin, self._was) if self.is_source else "")
        if now == GONE:
            return now, module_pb2.MODULE_STATE_MISSING, loaded
        if now == HIDDEN:
            return now, module_pb2.MODULE_STATE_UNKNOWN, loaded
        if not self.is_source:
            if self._was is None:
                return now, module_pb2.MODULE_STATE_UNKNOWN, loaded
            same = now == self._was
            return now, module_pb2.MODULE_STATE_CLEAN if same else module_pb2.MODULE_STATE_MODIFIED, loaded
        if not loaded and now != self._was:
            unknown = self._was is None
            return now, module_pb2.MODULE_STATE_UNKNOWN if unknown else module_pb2.MODULE_STATE_MODIFIED, ""
        really, on_disk = digests.of(self.origin, now)
        if not loaded:  # unchanged since it was first seen: nothing speaks against it
            return really, module_pb2.MODULE_STATE_CLEAN, on_disk
        if on_disk == loaded or (not on_disk and really == self._was and not self._patched):
            return really, module_pb2.MODULE_STATE_CLEAN, loaded
        if not on_disk and really in (GONE, HIDDEN):
            return really, module_pb2.MODULE_STATE_UNKNOWN, loaded
        # The file is what it was when this was loaded, the code is not: modctl changed it.
        changed_by_us = self._patched or really == self._was
        return really, module_pb2.MODULE_STATE_PATCHED if changed_by_us else module_pb2.MODULE_STATE_MODIFIED, loaded

    def _say(self, state: int, digest: str) -> None:
        self.state = state
        self.digest = digest
        said = wire.number_field(_STATE_FIELD, state) if state else b""
        self.suffix = wire.field(_DIGEST_FIELD, digest.encode()) + said if digest else said


class Batch:
    """The rows of one frame, and what has been made of them. Any thread."""

    def __init__(self, body: bytes) -> None:
        rows = parse(body).get("modules")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise bad_answer("a listing must have `modules`")
        self.rows = [Row(row) for row in rows]
        self._with_files = [row for row in self.rows if row.has_file]
        self._folders = sorted({os.path.dirname(row.origin) for row in self._with_files})
        #: The folders' versions when all rows were judged, and the rows that are judged again even so.
        self._versions: list[int] | None = None
        self._unsure: list[Row] = []
        self._basic: bytes | None = None
        self._full: bytes | None = None
        self._lock = threading.Lock()

    def basic(self) -> bytes:
        """The batch without digests and states."""
        if self._basic is None:
            self._basic = b"".join(_TAG + wire.varint(len(row.basic)) + row.basic for row in self.rows)
        return self._basic

    def as_before(self, look: Look) -> bytes | None:
        """What full() said last, if it can be seen without waiting for a disk that it still holds."""
        if not look.all_watched(self._folders) or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._full is None or self._unsure or self._versions_in(look) != self._versions:
                return None
            return self._full
        finally:
            self._lock.release()

    def full(self, look: Look, digests: Digests) -> bytes:
        """The batch as the disk is now."""
        with self._lock:
            if self._judge(look, digests) or self._full is None:
                self._full = _joined(self.rows, lambda row: row.basic + row.suffix)
            return self._full

    def only(self, states: AbstractSet[int], look: Look, digests: Digests, *, full: bool) -> bytes:
        """The rows of the batch whose state is one of these."""
        with self._lock:
            if self._judge(look, digests):
                self._full = None
            wanted = [row for row in self.rows if row.state in states]
            return _joined(wanted, (lambda row: row.basic + row.suffix) if full else (lambda row: row.basic))

    def _judge(self, look: Look, digests: Digests) -> bool:
        """Brings all rows up to date; whether one may have changed."""
        versions = self._versions_in(look)
        same = versions == self._versions
        changed = False
        at = look.at
        for row in self._unsure if same else self._with_files:
            if row.judge(at(row.origin), digests):
                changed = True
        if not same:
            self._versions = versions
            self._unsure = [row for row in self._with_files if not (row.final and look.kept(row.origin))]
        return changed

    def _versions_in(self, look: Look) -> list[int]:
        """The versions of all folders that can be watched: taken before their files are looked at."""
        versions: list[int] = []
        for place in self._folders:
            folder = look.folder(place)
            versions.append(-1 if folder is None else folder.version)
        return versions


def _joined(rows: list[Row], content: Callable[[Row], bytes]) -> bytes:
    pieces: list[bytes] = []
    for row in rows:
        said = content(row)
        pieces += (_TAG, wire.varint(len(said)), said)
    return b"".join(pieces)
