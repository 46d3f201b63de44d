"""The gateway's requests on one connection: who answers, and in which order the answers go out.

What is quick and runs nobody else's code is answered on the agent's thread, piece by piece as the socket takes it; so
are small changes, one a turn (see standby.py), the rest on threads of jobs.py. One of these objects lives as long as
its connection, so that an answer that comes too late has nowhere to go.
"""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.errors import RequestError
from modctl.agent.log import ERROR, log
from modctl.agent.wire import CANCEL, ERR, LAST, error_body, json_body, parse_body
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from modctl.agent.jobs import Jobs
    from modctl.agent.ports import EnginePort, WatchPort
    from modctl.agent.wire import Wire
    from modctl.local.frames import Frame

#: While more than this waits to be sent nothing further is made: a gateway that does not read costs no memory.
HIGH_WATER_BYTES: Final = 256 * 1024
WATCH_POLL_S: Final = 0.25
#: Finding a source asks the host's own finders, details walk the heap: both may take long.
_ON_JOBS: Final = frozenset({"change", "prepare", "commit", "abandon", "evaluate", "get_module", "resolve"})
#: One of these is done on the agent's thread where its request is no larger: it takes no time, or else see standby.py.
_SMALL_VERBS: Final = frozenset({"inject", "evict"})
_SMALL_BYTES: Final = 128 * 1024
#: Changes, whole or by halves.
_CHANGES: Final = frozenset({"change", "prepare", "commit", "abandon"})


class _Answer(NamedTuple):
    """What a job has made: frames to send, flags and body each."""

    request_id: int
    frames: list[tuple[int, bytes]]


class Requests:
    """The requests of one connection.

    Args:
        engine: who answers.
        jobs: where long work runs.
        describe: makes the body of this process's own description.
    """

    def __init__(self, engine: EnginePort, jobs: Jobs, describe: Callable[[], dict[str, Any]]) -> None:
        self._engine = engine
        self._jobs = jobs
        self._describe = describe
        self._answers: dict[int, Iterator[bytes]] = {}
        #: The piece that waits for the next one, to know whether it is the last.
        self._held: dict[int, bytes] = {}
        self._watches: dict[int, WatchPort] = {}
        self._running: set[int] = set()
        self._small: deque[tuple[int, dict[str, Any]]] = deque()
        self._watch_due_s = 0.0

    def begin(self, frame: Frame, wire: Wire) -> None:
        """Takes one frame of the gateway's."""
        request_id = frame.request_id
        if frame.flags & CANCEL:
            self._forget(request_id)
            return
        try:
            request = parse_body(frame.body)
            operation = request.get("op")
            if not isinstance(operation, str):
                raise ValueError("the request names no op")
            if _is_small(operation, request, len(frame.body)):
                self._running.add(request_id)
                self._small.append((request_id, request))
                return
            self._dispatch(request_id, operation, request, wire)
        except ValueError as error:
            wire.queue(request_id, *_refusal(RequestError("INVALID_ARGUMENT", "BAD_REQUEST", str(error))))
        except Exception as error:  # noqa: BLE001 - the engine reads foreign objects: whatever that raises is its answer
            wire.queue(request_id, *_refusal(error))

    def _dispatch(self, request_id: int, operation: str, request: dict[str, Any], wire: Wire) -> None:
        if operation == "describe":
            wire.queue(request_id, LAST, json_body({"process": self._describe()}))
        elif operation == "watch":
            patterns, since = request.get("patterns") or [], request.get("since_revision")
            self._watches[request_id] = self._engine.watch(patterns, since)
            self._watch_due_s = monotonic() + WATCH_POLL_S
            wire.queue(request_id, 0, json_body({"events": []}))
        elif operation in _ON_JOBS or request.get("with_size"):
            self._running.add(request_id)
            if not self._jobs.start(self, lambda: self._work(request_id, operation, request)):
                self._running.discard(request_id)
                raise RequestError("RESOURCE_EXHAUSTED", "BUSY", "this process has too many requests; try again later")
        else:
            self._answers[request_id] = iter(self._engine.answer(request))

    @property
    def has_small(self) -> bool:
        """Whether there is a small change to be made."""
        return bool(self._small)

    def make_small(self) -> object:
        """Makes the next small change, on the thread that calls; the answer, to be delivered."""
        request_id, request = self._small.popleft()
        return self._work(request_id, "change", request)

    def _work(self, request_id: int, operation: str, request: dict[str, Any]) -> _Answer:
        """On a thread of its own: the whole answer."""
        try:
            changes = operation in _CHANGES
            bodies = [self._engine.change(request)] if changes else list(self._engine.answer(request))
            frames = [(0, body) for body in bodies[:-1]] + [(LAST, bodies[-1] if bodies else b"{}")]
        except BaseException as error:  # noqa: BLE001 - user code ran: its SystemExit must not end this thread unanswered
            frames = [_refusal(error)]
        return _Answer(request_id, frames)

    def deliver(self, answer: object, wire: Wire) -> None:
        """Sends what a job has made, unless it was given up."""
        assert isinstance(answer, _Answer)
        if answer.request_id in self._running:
            self._running.discard(answer.request_id)
            for flags, body in answer.frames:
                wire.queue(answer.request_id, flags, body)

    def pump(self, wire: Wire) -> None:
        """Makes more of the answers that are under way, each in its turn, while the socket keeps up."""
        while self._answers and wire.pending_bytes < HIGH_WATER_BYTES:
            for request_id, answer in list(self._answers.items()):
                self._advance(request_id, answer, wire)
                if wire.pending_bytes >= HIGH_WATER_BYTES:
                    break

    @property
    def unfinished(self) -> bool:
        """Whether there is more to be made of some answer."""
        return bool(self._answers)

    def _advance(self, request_id: int, answer: Iterator[bytes], wire: Wire) -> None:
        held = self._held.pop(request_id, None)
        try:
            self._held[request_id] = next(answer)
            if held is not None:
                wire.queue(request_id, 0, held)
        except StopIteration:
            del self._answers[request_id]
            wire.queue(request_id, LAST, held if held is not None else b"{}")
        except Exception as error:  # noqa: BLE001 - see begin()
            del self._answers[request_id]
            wire.queue(request_id, *_refusal(error))

    def poll_watches(self, wire: Wire) -> None:
        """Asks the watches for news when it is time."""
        if not self._watches or monotonic() < self._watch_due_s or wire.pending_bytes >= HIGH_WATER_BYTES:
            return
        self._watch_due_s = monotonic() + WATCH_POLL_S
        for request_id, watch in list(self._watches.items()):
            self._poll_watch(request_id, watch, wire)

    def _poll_watch(self, request_id: int, watch: WatchPort, wire: Wire) -> None:
        try:
            for body in watch.poll():
                wire.queue(request_id, 0, body)
        except Exception as error:  # noqa: BLE001 - see begin()
            self._forget(request_id)
            wire.queue(request_id, *_refusal(error))

    def next_poll_s(self) -> float | None:
        """Seconds until the watches are to be asked; None where there are none."""
        return max(0.0, self._watch_due_s - monotonic()) if self._watches else None

    def close(self) -> None:
        """The connection is over: ends what can be ended. A change that runs goes on to its end."""
        for request_id in [*self._answers, *self._watches]:
            self._forget(request_id)
        self._running.clear()
        self._small.clear()

    def _forget(self, request_id: int) -> None:
        self._running.discard(request_id)
        self._held.pop(request_id, None)
        answer = self._answers.pop(request_id, None)
        watch = self._watches.pop(request_id, None)
        try:
            if answer is not None and hasattr(answer, "close"):
                answer.close()
            if watch is not None:
                watch.close()
        except Exception as error:  # noqa: BLE001 - nobody is left to be told but the log
            log(ERROR, "a request that was given up could not be ended", error=error)


def _is_small(operation: str, request: dict[str, Any], size: int) -> bool:
    operations = request.get("operations")
    if operation != "change" or not isinstance(operations, list) or len(operations) != 1:
        return False
    if not isinstance(operations[0], dict) or size > _SMALL_BYTES:
        return False
    # Where a gateway has thought and the source is at hand, a change in place seldom runs anything.
    return _SMALL_VERBS.issuperset(operations[0]) or ("planned" in request and _brings_source(operations[0]))


def _brings_source(operation: dict[str, Any]) -> bool:
    fields = operation.get("reimport")
    return isinstance(fields, dict) and bool(fields.get("modules"))


def _refusal(error: BaseException) -> tuple[int, bytes]:
    if isinstance(error, RequestError):
        return ERR | LAST, error_body(error.code, error.reason, str(error), error.metadata)
    log(ERROR, "a request of the gateway failed inside the agent", error=error)
    return ERR | LAST, error_body("INTERNAL", "INTERNAL", f"{type(error).__name__}: {error}"[:2000], {})
