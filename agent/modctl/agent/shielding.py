"""The shield: no change lands inside one unit of work.

Readers are units of work: a request, a task, a message. The writer is the commit of a change. A reader notes itself in
a dict and then looks whether a gate is closed; the writer closes the gate and then looks whether a reader is noted.
Both are single operations of C, so one of the two always sees the other, and nobody takes a lock while no change is
under way.

A change that wants in is latched: from then on units of work that begin wait at the gate, those under way go on, and
the commit is made when the last of them has ended. Nobody waits without a bound, in either direction:

* before it closes the gate the writer waits, very briefly, for a moment in which few are inside: everybody who comes
  while it waits for them has to wait, too;
* the writer gives up at its deadline, opens the gate, and says who was still inside;
* a reader waits until the gate opens or that deadline is over, and then goes in whatever the writer does;
* who is inside already (a nested shield, in the same thread, task or a context copied from it) never waits;
* a thread that has another unit of work inside never blocks at the gate: what it would wait for could be itself. A
  coroutine waits by `await`, a greenlet by its patched sleep, so their neighbours go on.

Entries of threads that died are dropped, and a forked child keeps the entries of the code that forked it alone.
Rails' interlock of reloads is where latching comes from, and the need for bounds.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from modctl.agent import standby
from modctl.agent.primitives import allocate_lock, get_ident, original

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_Function = TypeVar("_Function", bound="Callable[..., Any]")

#: How long one unit of work waits for changes at most, however many follow each other.
LONGEST_WAIT_S: Final = 5.0
#: A coroutine that says `with` and not `async with` blocks its loop while it waits: only so long.
_BLOCKED_LOOP_S: Final = 0.05
_POLL_S: Final = 0.001
#: How long a writer watches how many are inside, and how long it then waits for as few as it has seen.
_WATCH_S: Final = 0.004
_PATIENCE_S: Final = 0.02
_GLANCE_S: Final = 0.0003
#: A coroutine that waits at the gate is told when it opens; it looks by itself so often.
_LOOK_S: Final = 0.02
#: How often a waiting writer looks for entries of threads that are no more.
_SWEEP_S: Final = 0.1
_CO_COROUTINE: Final = 0x80
_CO_GENERATOR: Final = 0x20
_CO_ASYNC_GENERATOR: Final = 0x200
_real_sleep: Final[Callable[[float], None]] = original(time, "sleep")
_monotonic: Final[Callable[[], float]] = time.monotonic

#: The units of work under way.
_held: dict[Shield, None] = {}
_gate: Gate | None = None
_writer: Any = allocate_lock()
_current: ContextVar[Shield | None] = ContextVar("modctl_shield", default=None)


class Holder(NamedTuple):
    """A unit of work under way, for people.

    Attributes:
        what: what it calls itself; may be empty.
        thread: the name of its thread, or its number.
        task: the name of its asyncio task; empty where it has none.
        held_s: how long it has been under way, in seconds.
        place: where its thread is now, `file:line function`; empty for a task, which may be on no stack.
    """

    what: str
    thread: str
    task: str
    held_s: float
    place: str

    def __str__(self) -> str:
        who = f"task {self.task}" if self.task else f"thread {self.thread}"
        what = f" ({self.what})" if self.what else ""
        return f"{who}{what} for {self.held_s:.2g} s{f' at {self.place}' if self.place else ''}"


class Shield:
    """One unit of work, as a context manager (`with`, `async with`) or as a decorator.

    Args:
        what: what to call it where it is in the way of a change.

    As a decorator of a function, coroutine function or generator function every call is a unit of work of its own.
    """

    __slots__ = ("_again", "_began_s", "_ident", "_outer", "_task", "what")

    def __init__(self, what: str = "") -> None:
        self.what = what
        self._ident = 0
        self._began_s = 0.0
        self._outer: Shield | None = None
        self._task: Any = None
        self._again: list[Shield] | None = None

    def __enter__(self) -> Shield:  # noqa: PYI034 - Self came with 3.11, and a shield is final
        if self in _held:
            return self._enter_again().__enter__()
        outer = _current.get()
        self._ident = get_ident()
        self._began_s = _monotonic()
        try:
            _held[self] = None
            if outer is not None and outer not in _held:
                outer = None  # of a context that was copied from a unit of work that has ended
            if _gate is not None and outer is None:
                self._wait_at_the_gate()
            self._outer = outer
            _current.set(self)
        except BaseException:  # a signal's handler may raise anywhere
            _held.pop(self, None)
            raise
        return self

    def __exit__(self, *raised: object) -> None:
        if self._again:
            self._again.pop().__exit__()
            return
        _held.pop(self, None)
        if _current.get() is self:
            _current.set(self._outer)
        self._outer = self._task = None
        gate = _gate
        if gate is not None:
            gate.look()

    async def __aenter__(self) -> Shield:  # noqa: PYI034 - as above
        if self in _held:
            return await self._enter_again().__aenter__()
        outer = _current.get()
        self._ident = get_ident()
        self._began_s = _monotonic()
        try:
            _held[self] = None
            if outer is not None and outer not in _held:
                outer = None
            asyncio = _asyncio_here()
            if asyncio is not None:
                self._task = asyncio.current_task()
                if _gate is not None and outer is None:
                    await self._await_the_gate(asyncio)
            self._outer = outer
            _current.set(self)
        except BaseException:  # a cancellation while it waits
            _held.pop(self, None)
            raise
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.__exit__()

    def __call__(self, function: _Function) -> _Function:
        """Makes every call of a function a unit of work.

        Raises:
            TypeError: an async generator function, which no decorator can stand in for whole.
        """
        what = self.what or str(getattr(function, "__qualname__", ""))
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        made: Any
        if flags & _CO_ASYNC_GENERATOR:
            raise TypeError(f"{what} is an async generator function; write `async with agent.shield():` inside it")
        if flags & _CO_COROUTINE:

            @wraps(function)
            async def made(*args: Any, **keywords: Any) -> Any:
                async with Shield(what):
                    return await function(*args, **keywords)

        elif flags & _CO_GENERATOR:

            @wraps(function)
            def made(*args: Any, **keywords: Any) -> Generator[Any, Any, Any]:
                with Shield(what):
                    return (yield from function(*args, **keywords))

        else:

            @wraps(function)
            def made(*args: Any, **keywords: Any) -> Any:
                with Shield(what):
                    return function(*args, **keywords)

        return made  # type: ignore[no-any-return]  # wraps() makes an Any of it

    # ---- inside
    def _enter_again(self) -> Shield:
        """One object for several units of work: each gets one of its own. Which of them an exit ends does not matter,
        because all of them are counted.
        """
        if self._again is None:
            self._again = []
        more = Shield(self.what)
        self._again.append(more)
        return more

    def _wait_at_the_gate(self) -> None:
        until_s = _monotonic() + LONGEST_WAIT_S
        while (gate := _gate) is not None and not gate.lets_in(self._ident):
            until_s = min(until_s, gate.until_s)
            green = time.sleep is not _real_sleep
            if not green and any(each is not self and each._ident == self._ident for each in list(_held)):
                return
            if (left_s := until_s - _monotonic()) <= 0:
                return
            _held.pop(self, None)
            gate.look()
            if green:
                time.sleep(_POLL_S)  # the thread's other greenlets go on
            elif _asyncio_here() is not None:
                gate.wait(min(left_s, _BLOCKED_LOOP_S))
                until_s = 0.0
            else:
                gate.wait(left_s)
            _held[self] = None

    async def _await_the_gate(self, asyncio: Any) -> None:
        until_s = _monotonic() + LONGEST_WAIT_S
        while (gate := _gate) is not None and not gate.lets_in(self._ident):
            until_s = min(until_s, gate.until_s)
            if _monotonic() >= until_s:
                return
            _held.pop(self, None)
            gate.look()
            await gate.opening(asyncio, min(_LOOK_S, until_s - _monotonic()))
            _held[self] = None

    def holder(self, frames: dict[int, Any]) -> Holder:
        """What can be told about it."""
        place = ""
        if self._task is None and (frame := frames.get(self._ident)) is not None:
            code = frame.f_code
            place = f"{code.co_filename}:{frame.f_lineno} {code.co_name}"
        return Holder(self.what, _thread_name(self._ident), _task_name(self._task), self.held_s, place)

    @property
    def held_s(self) -> float:
        """How long it has been under way, in seconds."""
        return _monotonic() - self._began_s

    @property
    def ident(self) -> int:
        """Its thread's."""
        return self._ident


class Gate:
    """A change that wants in.

    Args:
        timeout_s: how long it waits at most.
    """

    def __init__(self, timeout_s: float) -> None:
        self.until_s = _monotonic() + timeout_s
        self._idents = {get_ident()}
        self._news = allocate_lock()
        self._news.acquire()
        self._waiting: list[Any] = []
        self._awaiting: list[tuple[Any, Any]] = []

    def lets_in(self, ident: int) -> bool:
        """Whether a thread works for the change itself."""
        return ident in self._idents

    def work_here(self) -> None:
        """The calling thread works for the change: it runs a hook."""
        self._idents.add(get_ident())

    def look(self) -> None:
        """A unit of work has ended: the writer looks again."""
        with suppress(RuntimeError):  # it is to look already
            self._news.release()

    def wait(self, timeout_s: float) -> None:
        """Blocks the calling thread until the gate opens, or the time is over."""
        mine = allocate_lock()
        mine.acquire()
        self._waiting.append(mine)
        if _gate is self:
            mine.acquire(timeout=timeout_s)

    async def opening(self, asyncio: Any, timeout_s: float) -> None:
        """Lets the calling coroutine wait until the gate opens, or the time is over."""
        loop = asyncio.get_running_loop()
        opened = loop.create_future()
        self._awaiting.append((loop, opened))
        if _gate is self:
            await asyncio.wait({opened}, timeout=max(0.0, timeout_s))

    def drain(self) -> list[Shield]:
        """Waits until nobody is inside; who still is when the time is over."""
        swept_s = _monotonic() - _SWEEP_S
        while True:
            inside = [each for each in list(_held) if each.ident not in self._idents]
            if not inside:
                return []
            now_s = _monotonic()
            if now_s - swept_s >= _SWEEP_S:
                swept_s = now_s
                inside = _without_dead(inside)
                if not inside:
                    return []
            left_s = self.until_s - now_s
            if left_s <= 0:
                return inside
            standby.before_waiting()
            self._news.acquire(timeout=min(left_s, _SWEEP_S))

    def open(self) -> None:
        """Lets everybody in who waits. Call it once it is no longer the gate; again changes nothing."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.release()
        awaiting, self._awaiting = self._awaiting, []
        for loop, opened in awaiting:
            with suppress(RuntimeError):  # its loop has been closed
                loop.call_soon_threadsafe(_tell, opened)


def close(timeout_s: float) -> tuple[Gate | None, list[Holder]]:
    """Keeps new units of work from beginning and waits for those under way; the gate that is now closed.

    Args:
        timeout_s: how long to wait for them.

    Returns:
        The gate, to be given to open_gate(); or None, and who was still under way when the time was over.
    """
    global _gate
    if not _writer.acquire(blocking=False):
        standby.before_waiting()
        if not _writer.acquire(timeout=max(0.0, timeout_s)):
            return None, [Holder("another change", "", "", 0.0, "")]
    try:
        _await_lull(timeout_s)
        gate = _gate = Gate(timeout_s)
    except BaseException:
        _writer.release()
        raise
    try:
        inside = gate.drain()
        if not inside:
            return gate, []
        frames = sys._current_frames()
        holders = [each.holder(frames) for each in inside]
    except BaseException:
        open_gate(gate)
        raise
    open_gate(gate)
    return None, holders


def _await_lull(timeout_s: float) -> None:
    """Waits for a moment in which as few are inside as there ever are, if it comes soon."""
    fewest = len(_held)
    if not fewest:
        return
    standby.before_waiting()
    began_s = _monotonic()
    while (passed_s := _monotonic() - began_s) < min(_PATIENCE_S, timeout_s):
        _real_sleep(_GLANCE_S)
        inside = len(_held)
        if not inside or (passed_s > _WATCH_S and inside <= fewest):
            return
        fewest = min(fewest, inside)


def _tell(opened: Any) -> None:
    if not opened.done():
        opened.set_result(None)


def open_gate(gate: Gate) -> None:
    """The change is over."""
    global _gate
    if _gate is gate:
        _gate = None
        _writer.release()
    gate.open()


def holders() -> list[Holder]:
    """The units of work under way, longest first."""
    frames = sys._current_frames()
    return sorted((each.holder(frames) for each in list(_held)), key=lambda holder: -holder.held_s)


def holds_here() -> bool:
    """Whether the calling code is inside a unit of work."""
    current = _current.get()
    return current is not None and current in _held


def after_fork_in_child() -> None:
    """What other threads and tasks held is gone with them; a change of the parent's is none of ours."""
    global _gate, _writer
    _gate = None
    _writer = allocate_lock()
    kept = []
    here = _current.get()
    while here is not None:
        kept.append(here)
        here = here._outer
    for each in list(_held):
        if each not in kept:
            _held.pop(each, None)


def _without_dead(inside: list[Shield]) -> list[Shield]:
    alive = sys._current_frames()
    for each in inside:
        if each.ident not in alive:
            _held.pop(each, None)
    return [each for each in inside if each.ident in alive]


def _asyncio_here() -> Any:
    """The asyncio module where its loop runs in this thread; else None."""
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or getattr(asyncio, "_get_running_loop", lambda: None)() is None:
        return None
    return asyncio


def _thread_name(ident: int) -> str:
    threading = sys.modules.get("threading")
    thread = getattr(threading, "_active", {}).get(ident) if threading is not None else None
    return str(getattr(thread, "_name", "")) or str(ident)


def _task_name(task: Any) -> str:
    if task is None:
        return ""
    try:
        return str(task.get_name())
    except Exception:  # noqa: BLE001 - a loop may have tasks of its own making
        return type(task).__name__
