"""Cases of the engine as data: what was loaded, what comes, what the program holds, and what must be true afterwards.

Each case runs in a process of its own, forked from this one, so that hundreds take seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import sys
import tempfile
import textwrap
import traceback
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Case:
    """One before/after.

    before, after: module name to source; `after` may name only what changes, and modules that are new.
    use: runs in a namespace with all modules of `before`, before the change: takes references, makes instances.
    check: runs in the same namespace afterwards; `report`, `undo` and `error` are there.
    """

    title: str
    before: dict[str, str]
    after: dict[str, str]
    use: str = ""
    check: str = ""
    #: A constant of a refusal, or the name of an exception's class, that the change must end with.
    fails: str = ""
    policy: dict[str, Any] = field(default_factory=dict)
    #: (from, to) inclusive minor versions of Python.
    pythons: tuple[int, int] = (10, 99)
    #: Whether undoing must bring every module's namespace back to the very same objects.
    undo: bool = True

    def __str__(self) -> str:
        return self.title


def run(case: Case, *, sent: bool = False) -> None:
    """Runs a case in a child; raises AssertionError with the child's traceback.

    Args:
        case: what to run.
        sent: whether the plans travel, as they do from a gateway.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        problem = ""
        try:
            _run(case, sent=sent)
        except BaseException:
            problem = traceback.format_exc()
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(problem, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise AssertionError(f"the child ended with status {status}")
    problem = pickle.loads(data)
    if problem:
        raise AssertionError(problem)


def _run(case: Case, *, sent: bool) -> None:
    from modctl.agent.engine.live.failures import RefusedError, StagingError
    from modctl.agent.engine.live.opaque import Policy
    from modctl.agent.engine.live.reload import Reloader

    class SentReloader(Reloader):
        """One whose plans were packed and unpacked."""

        def plans(self, sources: Any, notes: list[str], *, dependents: bool = True) -> dict[str, Any]:
            made = super().plans(sources, notes, dependents=dependents)
            return {name: packed_and_unpacked(plan) for name, plan in made.items()}

    with tempfile.TemporaryDirectory() as folder:
        for name, source in case.before.items():
            path = os.path.join(folder, *name.split("."))
            package = any(other.startswith(name + ".") for other in case.before | case.after)
            path = os.path.join(path, "__init__.py") if package else path + ".py"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(_text(source))
        sys.path.insert(0, folder)
        names: dict[str, Any] = {}
        for name in case.before:
            names[name.rpartition(".")[2]] = importlib.import_module(name)
        exec(_text(case.use), names)
        before = {name: dict(sys.modules[name].__dict__) for name in case.before}
        reloader = SentReloader() if sent else Reloader()
        for name, source in case.before.items():
            reloader.baselines.record(sys.modules[name], _text(source))
        sources = {name: _text(source) for name, source in case.after.items()}
        new = {
            name: (source, os.path.join(folder, name + ".py"), any(n.startswith(name + ".") for n in sources))
            for name, source in sources.items()
            if name not in case.before
        }
        names["reloader"] = reloader
        try:
            reloaded = reloader.reload(
                {n: s for n, s in sources.items() if n in case.before}, Policy(**case.policy), new
            )
        except RefusedError as error:
            if case.fails != error.reason:
                raise AssertionError(f"refused: {error.reason}: {error}") from error
            names["error"] = error
        except StagingError as error:
            if case.fails != type(error.raised).__name__:
                raise
            names["error"] = error
        except Exception as error:
            if case.fails != type(error).__name__:
                raise
            names["error"] = error
        else:
            assert not case.fails, f"was to fail with {case.fails}"
            names["report"] = reloaded.report
            names["notes"] = reloaded.report.notes
            names["journal"] = reloaded.journal
        if case.fails:
            assert {n: dict(sys.modules[n].__dict__) for n in case.before} == before, "something was touched"
        after = {name: dict(sys.modules[name].__dict__) for name in case.before}
        with contextlib.suppress(KeyError):
            del names["__builtins__"]
        exec(_text(case.check), names)
        if case.undo and not case.fails:
            assert names["journal"] is not None
            moved = {
                (m, k) for m, ns in after.items() for k, v in ns.items() if sys.modules[m].__dict__.get(k) is not v
            }
            names["journal"].undo()
            for name, namespace in before.items():
                now = sys.modules[name].__dict__
                assert set(now) == set(namespace), (name, set(now) ^ set(namespace))
                different = [
                    k
                    for k in namespace
                    if now[k] is not namespace[k] and k != "__builtins__" and (name, k) not in moved
                ]
                assert not different, f"undo left {name}.{different}"


def packed_and_unpacked(plan: Any) -> Any:
    """A plan as a gateway would have sent it."""
    from modctl.source.following import potential_names
    from modctl.source.wire import SentPlan, pack

    names = plan.names or potential_names(plan, set())
    return SentPlan(plan.name, pack(plan, names), lambda: plan.old.source, lambda: plan.new.source)


def _text(source: str) -> str:
    return textwrap.dedent(source).lstrip("\n")
