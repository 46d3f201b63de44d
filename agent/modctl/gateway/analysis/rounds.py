"""Asking a process and answering what it still has to know, until the change is made."""

from __future__ import annotations

import asyncio
import binascii
import json
import logging
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway.analysis.plans import Plans
from modctl.gateway.analysis.session import GivenUpError, Known, Session
from modctl.gateway.analysis.texts import Bounded, Texts, UnknownSourceError
from modctl.gateway.errors import CallFailure, SourceError
from modctl.local.frames import ATTACHED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from modctl.source.following import Words

    Ask = Callable[[bytes], Awaitable[dict[str, Any]]]
    InThread = Callable[[Callable[[], Any]], Awaitable[Any]]
    #: A session, its first request, and the session as it was then where others may be offered the same.
    Begun = tuple[Session, bytes, Session | None]

_log = logging.getLogger(__name__)

#: Each takes one ring of modules that hold something of the last; what needs more is left to the process.
MAX_ROUNDS: Final = 24
MAX_PROCESSES: Final = 1_024
_MAX_FILES: Final = 4_096


class Analysis:
    """What the gateway has thought about, for all processes.

    Args:
        in_thread: runs something on the one thread that reads and compiles.
    """

    def __init__(self, in_thread: InThread) -> None:
        self._in_thread = in_thread
        self._texts = Texts()
        self._plans = Plans(self._texts)
        self._words: Bounded[Words] = Bounded(_MAX_FILES, lambda _: 1)
        self._known: OrderedDict[str, Known] = OrderedDict()

    @property
    def plans_made(self) -> int:
        """How often a plan was really made."""
        return self._plans.count

    async def change(
        self,
        process_id: str,
        body: bytes,
        expected: Sequence[str],
        sent: dict[str, bytes],
        ask: Ask,
        offers: Offers | None = None,
    ) -> dict[str, Any]:
        """Has a process make a change in place; returns its answer.

        Args:
            process_id: whose.
            body: the request, without plans.
            expected: names that it is about, as far as the request says them.
            sent: sources that it brings, by name.
            ask: sends a body and returns the answer.
            offers: of this change; the same for all its processes.

        Raises:
            CallFailure: as `ask` does.
        """
        try:
            session, request = await self._first(process_id, body, expected, sent, offers or Offers())
            for _ in range(MAX_ROUNDS):
                try:
                    told = await ask(request)
                except CallFailure as failure:  # noqa: PERF203 - the error is the process's next question
                    if failure.reason == "BAD_PLAN":
                        _log.error("%s; process %s plans by itself", failure.message, process_id)
                        break
                    if failure.reason != "NEEDS":
                        raise
                    offer = await self._in_thread(partial(_next, session, json.loads(failure.metadata["needs"])))
                    request = _with_plans(body, offer)
                else:
                    if told.get("outcome") in ("OUTCOME_APPLIED", "OUTCOME_UNCHANGED"):
                        session.done()
                    return told
            else:
                _log.info("process %s asked %d times for more; it plans by itself", process_id, MAX_ROUNDS)
        except (GivenUpError, UnknownSourceError) as why:
            _log.info("process %s plans by itself: %s", process_id, why)
        except (SyntaxError, SourceError):
            pass  # the process says so as it says it of every source
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError, binascii.Error):
            _log.exception("a plan for process %s could not be made; it plans by itself", process_id)
        return await ask(body)

    async def _first(
        self, process_id: str, body: bytes, expected: Sequence[str], sent: dict[str, bytes], offers: Offers
    ) -> tuple[Session, bytes]:
        """A session and the first request: that of another process of which the same is known, where there is one."""
        known = self._known.get(process_id)
        key = (body, known.digest()) if known is not None else None
        made = None if key is None else offers.made.get(key)
        if made is not None and known is not None:
            _, request, shared = await asyncio.shield(made)
            if shared is not None:
                return shared.twin(known), request
        making = asyncio.ensure_future(self._in_thread(lambda: self._begin(process_id, body, sent, list(expected))))
        if key is not None and made is None:
            offers.made[key] = making
        session, request, _ = await asyncio.shield(making)
        return session, request

    def _begin(self, process_id: str, body: bytes, sent: dict[str, bytes], expected: list[str]) -> Begun:
        """A session and its first request: one trip to the thread that reads."""
        session = self._session(process_id, sent, expected)
        request = _with_plans(body, session.offer())
        return session, request, session.twin(Known()) if session.is_shared else None

    def _session(self, process_id: str, sent: dict[str, bytes], expected: list[str]) -> Session:
        known = self._known.setdefault(process_id, Known())
        self._known.move_to_end(process_id)
        while len(self._known) > MAX_PROCESSES:
            self._known.popitem(last=False)
        return Session(known, self._texts, self._plans, sent, self._words, expected)


class Offers:
    """What was offered to processes in one change, to be offered to others of which the same is known.

    Attributes:
        made: by the request without plans, and what is known.
    """

    def __init__(self) -> None:
        self.made: dict[tuple[bytes, tuple[object, ...]], asyncio.Future[Begun]] = {}


def _with_plans(body: bytes, offer: bytes) -> bytes:
    planned, _, attached = offer.partition(ATTACHED)
    return b"".join([body[:-1], b',"planned":', planned, b"}", ATTACHED, attached])


def _next(session: Session, needs: dict[str, Any]) -> bytes:
    """The offer that follows from what a process has told."""
    session.take(needs)
    return session.offer()
