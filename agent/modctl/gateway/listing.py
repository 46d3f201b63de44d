"""ListModules: an agent's frames turned into protobuf's bytes, once for each distinct frame.

Workers of one service have mostly the same modules, and the same ones as a second ago: a frame whose bytes were seen
before is not parsed again. What its files are now is looked up for each call, once for all processes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, TypeVar

from modctl.gateway.messages import parse
from modctl.gateway.rows import Batch
from modctl.v1 import module_pb2

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from modctl.gateway.disk import Disk, Look
    from modctl.gateway.states import Digests

ResultT = TypeVar("ResultT")

#: Bytes of JSON whose parsed rows are kept; the rows weigh about three times as much.
KEPT_BYTES: Final = 16 * 1024 * 1024
#: A frame that speaks of a walk has no rows.
LONGEST_WALK_BYTES: Final = 64


class Batches:
    """Parsed frames by their bytes, the most recently used of them. Any thread."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._known: OrderedDict[bytes, Batch] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, body: bytes) -> Batch | None:
        """The batch of these bytes, if it is kept."""
        with self._lock:
            found = self._known.get(body)
            if found is not None:
                self._known.move_to_end(body)
            return found

    def of(self, body: bytes) -> Batch:
        """The batch of these bytes.

        Raises:
            CallFailure: they are no batch.
        """
        found = self.known(body)
        if found is not None:
            return found
        made = Batch(body)
        with self._lock:
            if body not in self._known:
                self._known[body] = made
                self._bytes += len(body)
                while self._bytes > self._kept_bytes and len(self._known) > 1:
                    oldest, _ = self._known.popitem(last=False)
                    self._bytes -= len(oldest)
        return made


class Listing:
    """One ListModules call.

    Args:
        view: a ModuleView.
        states: numbers of ModuleState to keep; none means all.
        batches: frames seen before.
        digests: digests taken before.
        disk: what is known of files.
        files: the threads that may wait for a disk.
    """

    def __init__(
        self, view: int, states: frozenset[int], batches: Batches, digests: Digests, disk: Disk, files: Executor
    ) -> None:
        self._full = view != module_pb2.MODULE_VIEW_BASIC
        self._states = states
        self._batches = batches
        self._digests = digests
        self._files = files
        self._disk = disk
        self._look: Look | None = None
        #: By the batch's id, which is its own as long as it is kept here.
        self._said: dict[int, tuple[Batch, bytes]] = {}
        self._done: dict[int, tuple[Batch, asyncio.Future[bytes]]] = {}

    async def batch(self, body: bytes) -> Batch:
        """The batch of a frame.

        Raises:
            CallFailure: the frame is no batch.
        """
        known = self._batches.known(body)
        return known if known is not None else await self._in_thread(lambda: self._batches.of(body))

    async def render(self, batch: Batch) -> bytes:
        """The batch as the `modules` of a serialized ListModulesResponse."""
        if not self._full and not self._states:
            return batch.basic()
        # The same rows of another process in this call: the disk was looked at a moment ago, by this very call.
        said = self._said.get(id(batch))
        if said is not None:
            return said[1]
        if not self._states:
            if self._look is None:
                self._look = self._disk.look()
            same = batch.as_before(self._look)
            if same is not None:
                self._said[id(batch)] = (batch, same)
                return same
        found = self._done.get(id(batch))
        if found is None:
            found = self._done[id(batch)] = (batch, asyncio.ensure_future(self._judge(batch)))
        return await asyncio.shield(found[1])

    async def _judge(self, batch: Batch) -> bytes:
        look = self._look = self._look or self._disk.look()
        if self._states:
            return await self._in_thread(lambda: batch.only(self._states, look, self._digests, full=self._full))
        return await self._in_thread(lambda: batch.full(look, self._digests))

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)


def walk_of(body: bytes) -> tuple[int, bool]:
    """The number of the walk that a frame speaks of, and whether it is the one that is kept; 0 of a frame of rows.

    Raises:
        CallFailure: the frame is not JSON.
    """
    if len(body) > LONGEST_WALK_BYTES:
        return 0, False
    told = parse(body)
    for key in ("same", "walk"):
        number = told.get(key)
        if type(number) is int and number > 0:
            return number, key == "same"
    return 0, False
