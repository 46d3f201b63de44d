"""The engine: reads and changes the modules of this process. It knows no sockets and starts no lasting thread."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from modctl.agent import shielding, standby
from modctl.agent.beginning import Beginning
from modctl.agent.engine import collecting, courtesy, table
from modctl.agent.engine.journal import Asked
from modctl.agent.engine.memory import Memory
from modctl.agent.engine.patterns import matcher
from modctl.agent.engine.safe import clean
from modctl.agent.errors import RequestError
from modctl.agent.log import WARNING, log
from modctl.agent.primitives import allocate_lock, get_ident
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from modctl.agent.beginning import Starter
    from modctl.agent.engine.changes import Changes
    from modctl.agent.engine.operations import ChangeRequest
    from modctl.agent.engine.watching import Watch

#: How long a change waits for the one before it, on top of its own time limit.
_QUEUE_TIMEOUT_S: Final = 30.0


class Making(NamedTuple):
    """What a change needs of modules that are loaded with the first one."""

    parse: Callable[[dict[str, Any]], ChangeRequest]
    changes: type[Changes]
    lease_of: Callable[[dict[str, Any]], float]


class Engine:
    """Answers requests about sys.modules and makes changes to it.

    Reads (`answer`, `watch`) come from one thread, the agent's; changes from another, one at a time.
    """

    def __init__(self) -> None:
        self._memory = Memory()
        self._lock = allocate_lock()
        self._changing: int | None = None
        self._quiesced_by: int | None = None
        self._changes: Changes | None = None
        #: What the first change loads, at hand for the others: an import statement asks a lot each time.
        self._making: Making | None = None
        self._answers: dict[str, Callable[[dict[str, Any]], Iterator[bytes]]] = {
            "list_modules": self._list_modules,
            "get_module": self._get_module,
            "resolve": self._resolve,
            "list_revisions": self._list_revisions,
            "confirm": self._confirm,
            "evaluate": self._evaluate,
            "freeze": self._freeze,
            "thaw": self._thaw,
        }

    # ---- life
    def start(self, beginning: Beginning | None = None, starters: Sequence[Starter] | None = None) -> None:
        """Watches imports from here on. Called again it does nothing.

        Args:
            beginning: when the program asked for it, where that was before this.
            starters: its modules that did, where their files were read before this.
        """
        self._memory.recorder.attach()
        beginning = beginning or Beginning()
        self._memory.origins.begin_survey(beginning, beginning.starters() if starters is None else starters)

    def stop(self) -> None:
        """Puts back everything that was hooked. What was injected stays as long as the process."""
        self._memory.recorder.detach()

    def quiesce(self, timeout_s: float) -> bool:
        """Waits for a change in flight to end and keeps others from beginning, for a fork; whether that was had in
        time.

        A fork by the code that a change is executing must not wait for that change: it goes ahead at once.
        """
        if get_ident() in self._changing_threads() or (self._changing is not None and shielding.holds_here()):
            return False  # the second: a change waits for the very unit of work that forks
        if not self._lock.acquire(timeout=max(0.0, timeout_s)):
            return False
        self._quiesced_by = get_ident()
        return True

    def resume(self) -> None:
        """After the fork, in the parent: changes may begin again. Harmless where quiesce() was in vain."""
        if self._quiesced_by == get_ident():
            self._quiesced_by = None
            self._lock.release()

    def after_fork_in_child(self) -> None:
        """A fresh lock, and no trace of a change that the parent was making; what was committed is kept."""
        forked_by_staged_code = get_ident() in self._changing_threads()
        self._lock = allocate_lock()
        self._quiesced_by = None
        self._memory.recorder.after_fork_in_child()
        courtesy.after_fork_in_child()
        collecting.restore()
        self._memory.generations.after_fork_in_child()
        self._memory.holding.forget()
        shielding.after_fork_in_child()
        if forked_by_staged_code:
            return  # the staging thread goes on in the child until the module's code ends, and then ends the child
        self._changing = None
        if self._changes is not None:
            if self._changes.staging is not None:
                self._changes.staging.end()
                self._changes.staging.abandon()
            self._changes.worker = self._changes.staging = None

    def _changing_threads(self) -> tuple[int | None, int | None]:
        worker = None if self._changes is None else self._changes.worker
        return self._changing, None if worker is None else worker.ident

    # ---- facts
    @property
    def revision(self) -> int:
        """The newest committed revision; 0 before the first."""
        return self._memory.journal.newest

    @property
    def frozen(self) -> bool:
        """Whether changes are refused."""
        return self._memory.frozen

    @property
    def frozen_reason(self) -> str:
        """Why."""
        return self._memory.frozen_reason

    @property
    def entries(self) -> int:
        """How many entries sys.modules has."""
        return table.size()

    # ---- requests
    def answer(self, request: dict[str, Any]) -> Iterator[bytes]:
        """The JSON bodies of the answer frames of a request that only reads, or freezes; see PROTOCOL.md.

        Raises:
            RequestError: it cannot be served.
        """
        op = request.get("op")
        answer = self._answers.get(op) if type(op) is str else None
        if answer is None:
            raise RequestError("UNIMPLEMENTED", "UNKNOWN_OP", f"this agent knows no operation {op!r}; it may be older")
        return answer(request)

    def change(self, request: dict[str, Any]) -> bytes:
        """Makes a change, or one half of one; returns the JSON body of a ChangeResult. Blocks; call it on a thread of
        its own.

        The halves are the ops `prepare`, and `commit` or `abandon`; see PROTOCOL.md.

        Raises:
            RequestError: BAD_REQUEST, or BUSY where another change does not end.
        """
        making = self._making or self._load_making()
        began_ns = time.perf_counter_ns()
        op = request.get("op")
        if op in ("commit", "abandon"):
            return self._end_held(request, began_ns, commits=op == "commit")
        parsed = making.parse(request)
        lease_s = making.lease_of(request) if op == "prepare" else 0.0
        with self._one_at_a_time(parsed.timeout_s):
            memory, asked = self._memory, Asked(parsed.identity, parsed.contents)
            if (kept := memory.answers.get(parsed.request_id, asked)) is not None:
                return kept
            memory.holding.expire()
            if (held := memory.holding.asked(parsed.request_id)) is not None:
                asked.must_be(held, parsed.request_id)
            if self._changes is None:
                self._changes = making.changes(memory)
            names = [str(getattr(operation, "name", "")) for operation in parsed.operations]
            _audit_before(parsed.request_id, parsed.identity, names)
            if op == "prepare":
                result = self._changes.prepare(
                    parsed, lambda prepared: memory.holding.hold(parsed.request_id, prepared, asked, names, lease_s)
                )
            else:
                result = self._changes.run(parsed)
            keep = not parsed.dry_run and op != "prepare"
            return self._answered(result, parsed.request_id, asked, names, began_ns, keep=keep)

    def _load_making(self) -> Making:
        standby.before_waiting()  # thirty files are imported now
        from modctl.agent.engine import operations
        from modctl.agent.engine.changes import Changes
        from modctl.agent.engine.holding import lease_of

        making = self._making = Making(operations.parse, Changes, lease_of)
        return making

    def _end_held(self, request: dict[str, Any], began_ns: int, *, commits: bool) -> bytes:
        """Commits or drops what was prepared."""
        from modctl.agent.engine.outcomes import Refusal, refused

        request_id, identity = str(request.get("request_id") or ""), str(request.get("identity") or "")
        memory = self._memory
        with self._one_at_a_time(0.0):
            if not commits:
                return _encode({"dropped": memory.holding.drop(request_id, identity)})
            asked = Asked(identity, "")
            if (kept := memory.answers.get(request_id, asked)) is not None:
                return kept
            names = memory.holding.names_of(request_id)
            if memory.frozen:
                hint = f"the process is frozen ({memory.frozen_reason or 'no reason given'}); thaw it first"
                result = refused([Refusal("", "", "FROZEN", "frozen", hint)])
                return self._answered(result, request_id, asked, names, began_ns, keep=False)
            _audit_before(request_id, identity, names)
            asked = memory.holding.asked(request_id) or asked
            prepared = memory.holding.take(request_id, identity)
            if prepared is None:
                hint = "nothing is prepared under this id, or its lease is over; prepare it again"
                result = refused([Refusal("", "", "NOT_PREPARED", "lease", hint)])
                return self._answered(result, request_id, Asked(identity, ""), names, began_ns, keep=False)
            memory.holding.committing = True
            try:
                result = prepared.finish()
            finally:
                memory.holding.committing = False
            return self._answered(result, request_id, asked, names, began_ns, keep=True)

    def _answered(
        self, result: dict[str, Any], request_id: str, asked: Asked, names: list[str], began_ns: int, *, keep: bool
    ) -> bytes:
        result["request_id"] = request_id
        result["duration_ms"] = round((time.perf_counter_ns() - began_ns) / 1e6, 3)
        body = _encode(result)
        if keep:
            self._memory.answers.keep(request_id, asked, body)
        _audit_after(result["outcome"], request_id, asked.identity, names)
        return body

    @contextmanager
    def _one_at_a_time(self, timeout_s: float) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            standby.before_waiting()
            if not self._lock.acquire(timeout=timeout_s + _QUEUE_TIMEOUT_S):
                raise RequestError("RESOURCE_EXHAUSTED", "BUSY", "another change is still being made; try again later")
        lock, self._changing = self._lock, get_ident()
        try:
            yield
        finally:
            self._changing = None
            lock.release()

    def watch(self, patterns: list[str], since_revision: int | None) -> Watch:
        """Begins to watch the table; nothing that happens from here on is missed.

        Args:
            patterns: globs of names, OR-ed; none means all.
            since_revision: tell kept revisions after this one first.

        Raises:
            RequestError: REVISION_GONE: revisions after that one are no longer kept.
        """
        from modctl.agent.engine.watching import Watch

        missed = []
        if since_revision is not None:
            journal = self._memory.journal
            if since_revision > journal.newest or since_revision < journal.oldest_kept - 1:
                raise RequestError(
                    "NOT_FOUND",
                    "REVISION_GONE",
                    f"revisions after {since_revision} are not kept (kept: {journal.oldest_kept} to {journal.newest}); "
                    "list the modules and watch without a revision",
                    {"oldest": str(journal.oldest_kept), "newest": str(journal.newest)},
                )
            missed = journal.after(since_revision)
        return Watch(self._memory, matcher(_texts(patterns, "patterns")), missed)

    def next_expiry_s(self) -> float | None:
        """Seconds until expire() has something to do; None where nothing waits."""
        waits_s = [self._memory.origins.next_survey_s()]
        waits_s.append(self._memory.holding.next_due_s())
        if not self._memory.frozen:
            waits_s.append(self._memory.expiries.next_due_s())
            if (born := self._memory.born) is not None:
                waits_s.append(born.next_due_s())
        return min((wait_s for wait_s in waits_s if wait_s is not None), default=None)

    def expire(self) -> None:
        """Takes back what is due. While the process is frozen, nothing is: it is made up for when it thaws.

        In the first seconds after start() it also looks, some at a time, at the files of modules that were loaded
        before.
        """
        self._memory.origins.survey()
        if self._memory.holding.next_due_s() == 0.0 and self._lock.acquire(blocking=False):
            lock, self._changing = self._lock, get_ident()
            try:
                self._memory.holding.expire()
            finally:
                self._changing = None
                lock.release()
        memory = self._memory
        looks = memory.born is not None and memory.born.next_due_s() == 0.0
        ends = memory.expiries.next_due_s() == 0.0
        if memory.frozen or not (looks or ends):
            return
        if self._changes is None or not self._lock.acquire(blocking=False):
            return  # a change is being made; the caller asks again
        lock, self._changing = self._lock, get_ident()
        try:
            if looks and memory.born is not None:
                memory.born.look()
            if ends:
                from modctl.agent.engine.overdue import expire

                expire(self._changes)
        finally:
            self._changing = None
            lock.release()

    # ---- the answers
    def _list_modules(self, request: dict[str, Any]) -> Iterator[bytes]:
        kinds = frozenset(_texts(request.get("kinds") or [], "kinds"))
        size_of: Callable[[object], int] | None = None
        if request.get("with_size"):
            from modctl.agent.engine import sizes

            size_of = sizes.size_of
        matches = matcher(_texts(request.get("patterns") or [], "patterns"))
        known_walk = request.get("known_walk")
        if known_walk is not None and type(known_walk) is not int:
            raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", "known_walk must be a whole number")
        return self._memory.rows.batches(table.entries(), matches, kinds, size_of, known_walk)

    def _get_module(self, request: dict[str, Any]) -> Iterator[bytes]:
        from modctl.agent.engine.detail import detail_of

        yield _encode(detail_of(self._memory, request))

    def _resolve(self, request: dict[str, Any]) -> Iterator[bytes]:
        from modctl.agent.engine.resolve import resolve

        names = _texts(request.get("names") or [], "names")
        yield _encode({"modules": resolve(names, request.get("recursive") is True)})

    def _list_revisions(self, request: dict[str, Any]) -> Iterator[bytes]:
        limit = request.get("limit") or 0
        if type(limit) is not int or limit < 0:
            raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", "limit is no number of revisions")
        found = [revision.as_message() for revision in self._memory.journal.newest_first()]
        yield _encode({"revisions": found[:limit] if limit else found})

    def _evaluate(self, request: dict[str, Any]) -> Iterator[bytes]:
        from modctl.agent.engine.expressions import evaluate

        yield _encode(evaluate(request))

    def _confirm(self, request: dict[str, Any]) -> Iterator[bytes]:
        from modctl.agent.engine.outcomes import Refusal, refused

        number = request.get("revision") or 0
        if type(number) is not int or number < 0:
            raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", "confirm needs a revision's number, or 0")
        found = self._memory.expiries.confirm(number)
        if found:
            numbers = ", ".join(str(revision.number) for revision in found)
            message = f"revision {numbers} stands"
            told = {"outcome": "OUTCOME_APPLIED", "revision": found[-1].number, "undoable": True, "message": message}
            yield _encode(told)
            return
        what = f"revision {number} does not wait" if number else "no revision waits"
        hint = f"{what} for a confirmation, or no longer; `modctl history` tells what became of it"
        yield _encode(refused([Refusal("", "", "NOTHING_TO_CONFIRM", "confirm", hint)]))

    def _freeze(self, request: dict[str, Any]) -> Iterator[bytes]:
        self._memory.frozen = True
        self._memory.frozen_reason = clean(str(request.get("reason") or ""))[:1_000]
        yield self._state()

    def _thaw(self, request: dict[str, Any]) -> Iterator[bytes]:  # noqa: ARG002 - all answers have one shape
        self._memory.frozen, self._memory.frozen_reason = False, ""
        yield self._state()

    def _state(self) -> bytes:
        return _encode(
            {
                "process": {
                    "revision": self.revision,
                    "frozen": self.frozen,
                    "frozen_reason": self.frozen_reason,
                    "entries": self.entries,
                }
            }
        )


def _audit_before(request_id: str, identity: str, names: list[str]) -> None:
    try:
        sys.audit("modctl.change", "before", request_id, identity, names)
    except Exception as error:
        hint = f"an audit hook of the process forbids the change: {type(error).__name__}: {error}"
        raise RequestError("PERMISSION_DENIED", "AUDIT_HOOK", hint) from error


def _audit_after(outcome: str, request_id: str, identity: str, names: list[str]) -> None:
    try:
        sys.audit("modctl.change", outcome, request_id, identity, names)
    except Exception as error:  # noqa: BLE001 - the change is made
        log(WARNING, "an audit hook failed after a change", error=error)


def _encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _texts(values: Any, what: str) -> list[str]:
    if not isinstance(values, list) or not all(type(value) is str for value in values):
        raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", f"{what} is no list of texts")
    return values
