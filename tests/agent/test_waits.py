"""Whoever may wait in code of the agent says so before: standby.before_waiting().

A small change is made on the agent's own thread, which answers everything else too. A wait there that nobody has
announced is a process that does not answer. So every call that can block stands in a function that has announced it on
the way there, or in the table below with the reason why it need not.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AGENT = Path(__file__).resolve().parents[2] / "agent" / "modctl"
#: What runs in the service. The gateway has a process of its own.
PACKAGES = ("agent", "source", "local")
#: Of locks, events, conditions, threads, processes, sockets, files and the processor.
BLOCKING = frozenset({
    "_sleep", "accept", "acquire", "acquire_lock", "communicate", "connect", "flock", "join", "lockf", "pause", "poll",
    "recv", "recv_into", "recvmsg", "result", "select", "sendall", "sendmsg", "sigtimedwait", "sigwait", "sleep",
    "wait", "wait3", "wait4", "wait_for", "waitid", "waitpid",
})  # fmt: skip

_OURS = "its lock is held for a few steps that wait for nothing"
_OWN_LOOP = "the loop itself: here is nobody else to go on with it"
_OTHERS = "another thread's, never the agent's"
_NEW = "of a lock that was just made"
#: File and function: calls, and why they need not be announced.
ALLOWED: dict[str, tuple[tuple[str, ...], str]] = {
    "agent/deferred.py DeferredEngine.quiesce": (("self._loading.acquire",), "who forks waits for the agent"),
    "agent/descriptors.py Waker.drain": (("self.read_end.sock.recv",), "the socket does not block"),
    "agent/wire.py _connect": (("sock.connect",), "the socket does not block"),
    "agent/engine/bootstrap.py try_hold_imports": (("_imp.acquire_lock",), "it is free, or not asked for"),
    "agent/engine/commit.py commit": (("held.acquire",), "ImportsHeld announces it where it does wait"),
    "agent/engine/courtesy.py _around_find_and_load": (("_sleep",), "on a thread that imports what a change waits for"),
    "agent/engine/courtesy.py awaiting": (("_lock",), _OURS),
    "agent/engine/engine.py Engine.quiesce": (("self._lock.acquire",), "who forks waits for a change"),
    "agent/engine/finishing.py Ending._wait_drained": (("drained.wait",), "it announces it itself"),
    "agent/engine/generations.py Generations": (("self._lock",), _OURS),
    "agent/engine/holding.py Holding.switched": (("poll().poll",), "of a wave's commit, which is always a job's"),
    "agent/engine/live/transaction.py Transaction.commit": (("held.acquire",), "as in commit.py"),
    "agent/engine/quiet.py ImportsHeld._wait": (("_sleep", "self._queued.wait"), "acquire() has announced it"),
    "agent/engine/quiet.py QueuedLock.__init__": (("self._over.acquire", "self._taken.acquire"), _NEW),
    "agent/engine/quiet.py QueuedLock._hold": (("bootstrap.import_lock_of", "self._over.acquire"), "a thread for it"),
    "agent/engine/quiet.py QueuedLock.wait": (("self._taken.acquire",), "ImportsHeld.acquire() has announced it"),
    "agent/engine/threads.py Worker.__init__": (("self._done.acquire",), _NEW),
    "agent/engine/threads.py Worker._wait": (
        ("self._done.acquire",),
        "run() announces what takes longer than a moment",
    ),
    "agent/engine/bootstrap.py self_test": (("_bootstrap._ModuleLockManager",), "of a name that nobody else knows"),
    "agent/forks.py Forks": (("self._lock",), _OURS),
    "agent/forks.py Forks._quiesce": (("runtime.pause",), "who forks waits for the agent"),
    "agent/hooked.py _Arming": (
        ("self._signal.acquire", "self._thread.acquire", "signal.acquire"),
        "no agent is there yet",
    ),
    "agent/jobs.py Jobs": (("self._lock",), _OURS),
    "agent/jobs.py Jobs.wait_idle": (("pause.poll",), "who forks waits for jobs"),
    "agent/integrations/celery.py shield_tasks": (
        ("signals.task_postrun.connect", "signals.task_prerun.connect"),
        "no socket's",
    ),
    "agent/lifecycle.py Handle.stop": (("_lock",), _OTHERS),
    "agent/lifecycle.py _take_over": (("_lock",), _OTHERS),
    "agent/runtime.py Runtime": (("self._lock",), _OURS),
    "agent/runtime.py Runtime._sleep": (("poller.poll",), _OWN_LOOP),
    "agent/runtime.py Runtime.pause": (("self._ended.acquire",), "who forks waits for the agent"),
    "agent/runtime.py Runtime.start": (("self._ended.acquire",), _NEW),
    "agent/runtime.py Runtime.stop": (("self._ended.acquire",), _OTHERS),
    "agent/runtime.py Runtime.wait_served": (("news.acquire",), _OTHERS),
    "agent/serving.py Requests._poll_watch": (("watch.poll",), "it looks what is new"),
    "agent/shielding.py Gate.__init__": (("self._news.acquire",), _NEW),
    "agent/shielding.py Gate.opening": (("asyncio.wait",), "a unit of work of the program's"),
    "agent/shielding.py Gate.wait": (("mine.acquire",), "a unit of work of the program's"),
    "agent/shielding.py Shield._wait_at_the_gate": (("gate.wait", "time.sleep"), "a unit of work of the program's"),
    "agent/wire.py Wire.receive": (("self._owned.sock.recv",), "the socket does not block"),
}


class Wait(NamedTuple):
    """A call that may block."""

    where: str
    call: str
    line: int

    def __str__(self) -> str:
        return f"{self.where}, line {self.line}: {self.call}"


def waits_of(source: str, file: str) -> Iterator[Wait]:
    """The calls that may block and were not announced on every way there."""
    yield from _of_block(ast.parse(source).body, file, (), announced=False)


def _of_block(block: Iterable[ast.stmt], file: str, place: tuple[str, ...], *, announced: bool) -> Iterator[Wait]:
    for statement in block:
        if _announces(statement):
            announced = True
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield from _of_block(statement.body, file, (*place, statement.name), announced=False)
        else:
            if not announced:
                yield from _of_expressions(statement, file, place)
            for inner in _blocks_of(statement):
                yield from _of_block(inner, file, place, announced=announced)


def _of_expressions(statement: ast.stmt, file: str, place: tuple[str, ...]) -> Iterator[Wait]:
    """Those of the statement itself, without the blocks in it."""
    where = f"{file} {'.'.join(place)}".rstrip()
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        for item in statement.items:
            told = ast.unparse(item.context_expr).partition("(")[0]
            if "lock" in told.rpartition(".")[2].lower():
                yield Wait(where, told, statement.lineno)
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Call) and _blocks(node):
            yield Wait(where, ast.unparse(node.func), node.lineno)
        pending += [each for each in ast.iter_child_nodes(node) if not isinstance(each, (ast.stmt, *_HANDLERS))]


_HANDLERS = (ast.ExceptHandler, ast.match_case)


def _blocks_of(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in ("body", "orelse", "finalbody"):
        yield getattr(statement, name, [])
    for inner in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
        yield inner.body


def _announces(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and ast.unparse(statement.value) == "standby.before_waiting()"


def _blocks(call: ast.Call) -> bool:
    function = call.func
    receiver, name = "", getattr(function, "id", "")
    if isinstance(function, ast.Attribute):
        receiver, name = ast.unparse(function.value), function.attr
    if name not in BLOCKING or receiver == "self":  # our own methods are looked at themselves
        return False
    if name == "poll" and not receiver:  # makes one
        return False
    if name == "join" and call.args and (receiver[:1] in "\"'b" or receiver in ("os.path", "os.pathsep")):  # text
        return False
    told = ast.unparse(call)
    return not any(word in told for word in ("blocking=False", "acquire(False", "LOCK_NB", "WNOHANG"))


def _allowed(wait: Wait) -> str | None:
    """The key of the table that allows it: of the function, or of the class around it."""
    for key in (wait.where, wait.where.rpartition(".")[0]):
        if key in ALLOWED and wait.call in ALLOWED[key][0]:
            return key
    return None


def _all() -> list[Wait]:
    found: list[Wait] = []
    for package in PACKAGES:
        for file in sorted((AGENT / package).rglob("*.py")):
            found += waits_of(file.read_text(), file.relative_to(AGENT).as_posix())
    return found


def test_every_wait_is_announced_or_has_a_reason_not_to_be() -> None:
    unknown = [str(wait) for wait in _all() if _allowed(wait) is None]
    assert not unknown, "call standby.before_waiting() before, or tell why not in ALLOWED:\n" + "\n".join(unknown)


def test_every_reason_is_of_a_wait_that_is_there() -> None:
    found = {(key, wait.call) for wait in _all() if (key := _allowed(wait)) is not None}
    told = {(key, call) for key, (calls, _) in ALLOWED.items() for call in calls}
    assert told - found == set()


@pytest.mark.parametrize(
    "body",
    [
        "lock.acquire()",
        "if lock.acquire(timeout=1): pass",
        "with self._lock: pass",
        "with import_lock_of(name): pass",
        "while True: time.sleep(1)",
        "_sleep(1)",
        "thread.join()",
        "thread.join(1)",
        "thread.join(timeout=1)",
        "event.wait(3)",
        "x = [future.result() for future in futures]",
        "poll().poll(5)",
        "def inner(): done.acquire()",
        "if x:\n  standby.before_waiting()\nlock.acquire()",
        "def inner(): standby.before_waiting()\nlock.acquire()",
        "standby.before_waiting()\ndef inner(): lock.acquire()",
        "lock.acquire()\nstandby.before_waiting()",
        "standby.before_waiting\nlock.acquire()",
        "try: pass\nexcept E: lock.acquire()",
        "match x:\n  case 1: lock.acquire()",
    ],
)
def test_such_a_wait_is_found(body: str) -> None:
    source = "def f():\n" + "\n".join(f"  {line}" for line in body.splitlines())
    assert [wait.where.split(".")[0] for wait in waits_of(source, "a b")] == ["a b f"]


@pytest.mark.parametrize(
    "body",
    [
        "standby.before_waiting()\nlock.acquire()",
        "standby.before_waiting()\nwhile True:\n  if not lock.acquire(timeout=1): time.sleep(1)",
        "if not lock.acquire(blocking=False):\n  standby.before_waiting()\n  lock.acquire()",
        "lock.acquire(False)",
        "','.join(names)",
        "os.path.join(a, b)",
        "fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "with open(name) as file: pass",
    ],
)
def test_such_a_one_need_not_be(body: str) -> None:
    source = "def f():\n" + "\n".join(f"  {line}" for line in body.splitlines())
    assert not list(waits_of(source, "a b"))
