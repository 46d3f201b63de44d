# ruff: noqa: E501 - sources as they stand, a case a line
"""Changes of constants and of bodies of functions: nothing is staged for them, and nothing of the outcome is otherwise.

Each case is made twice, once with the way that everything else goes, and both must come to the same.
"""

from __future__ import annotations

import os
import pickle
import textwrap
from typing import Any

import pytest

from .world import packed_and_unpacked

OLD = """
    '''Old.'''
    import abc, dataclasses, enum
    N = 0
    RATE = 1
    NAME = 'a'
    SHAPE = (1, 2)
    def bump():
        global N
        N += 1
        return RATE
    class Plain:
        limit = 1
        count = 0
        def twice(self):
            return self.limit * 2
    class Abstract(abc.ABC):
        limit = 1
        @abc.abstractmethod
        def go(self): ...
    class Slots:
        __slots__ = ('a',)
        limit = 1
    class Other:
        pass
    class Sub(Other):
        size = 1
    class Color(enum.Enum):
        RED = 1
        def say(self): return 'one'
    class Row(tuple):
        limit = 1
"""
#: What is replaced in OLD, and what the program does before; the last says whether it is made without staging.
CASES: dict[str, tuple[list[tuple[str, str]], str, bool]] = {
    "a constant": ([("RATE = 1", "RATE = 2")], "", True),
    "a tuple": ([("SHAPE = (1, 2)", "SHAPE = (1, 3)")], "", True),
    "the docstring": ([("'''Old.'''", "'''New.'''")], "", True),
    "a class attribute": ([("    limit = 1\n        count", "    limit = 2\n        count")], "", True),
    "all at once": (
        [("limit = 1", "limit = 2"), ("RATE = 1", "RATE = 2"), ("* 2", "* 3"), ("'''Old", "'''New"), ("'one'", "'ein'")],
        "",
        False,  # a class derived from tuple
    ),
    "all at once but the tuple": (
        [
            ("limit = 1\n        count", "limit = 2\n        count"),
            ("limit = 1\n        @abc", "limit = 3\n        @abc"),
            ("size = 1", "size = 7"),
            ("RATE = 1", "RATE = 2"),
            ("* 2", "* 3"),
            ("'''Old", "'''New"),
        ],
        "",
        True,
    ),
    "an attribute of an abstract class": ([("limit = 1\n        @abc", "limit = 3\n        @abc")], "", True),
    "an attribute beside slots": ([("('a',)\n        limit = 1", "('a',)\n        limit = 2")], "", True),
    "an attribute of a subclass": ([("size = 1", "size = 2")], "", True),
    "an attribute of a class derived from tuple": ([("(tuple):\n        limit = 1", "(tuple):\n        limit = 2")], "", False),
    "a member of an enum": ([("RED = 1", "RED = 2")], "", False),
    "state that functions rebind": ([("N = 0", "N = 9")], "m.bump()", True),
    "a constant that the program has changed": ([("RATE = 1", "RATE = 2")], "m.RATE = 5", True),
    "a constant that the program has taken away": ([("RATE = 1", "RATE = 2")], "del m.RATE", True),
    "a constant that is that already": ([("RATE = 1", "RATE = 2"), ("NAME = 'a'", "NAME = 'b'")], "m.RATE = 2", True),
    "a constant that is a list now": ([("RATE = 1", "RATE = 2")], "m.RATE = [1]", False),
    "a constant that is a function now": ([("RATE = 1", "RATE = 2")], "m.RATE = m.bump", False),
    "a constant that is kept": ([("RATE = 1", "RATE = 2")], "m.__modctl_keep__ = ('RATE',)", False),
    "an attribute that the program has changed": ([("limit = 1\n        count", "limit = 2\n        count")], "m.Plain.limit = 5", True),
    "an attribute that is a function now": ([("limit = 1\n        count", "limit = 2\n        count")], "m.Plain.limit = m.bump", False),
    "an attribute that is gone": ([("limit = 1\n        count", "limit = 2\n        count")], "del m.Plain.limit", True),
    "a counter beside an attribute": ([("limit = 1\n        count", "limit = 2\n        count")], "m.Plain.count = 8", True),
    "a class that is another one now": ([("limit = 1\n        count", "limit = 2\n        count")], "m.Plain = type('Plain', (), {})", False),
    "a class that is a dataclass now": (
        [("limit = 1\n        count", "limit = 2\n        count")], "m.dataclasses.dataclass(m.Plain)", False,
    ),
    "a class that is gone": ([("limit = 1\n        count", "limit = 2\n        count")], "del m.Plain", False),
    "held elsewhere": ([("RATE = 1", "RATE = 2"), ("return RATE", "return -RATE")], "held.append(m.bump)", True),
}  # fmt: skip


def made(changes: list[tuple[str, str]], before: str, *, staged: bool, sent: bool) -> dict[str, Any]:
    """What became of it, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            told: Any = _made(changes, before, staged=staged, sent=sent)
        except BaseException as error:
            told = {"raised": f"{type(error).__name__}: {error}"}
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(told, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found: dict[str, Any] = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    return found


def _made(changes: list[tuple[str, str]], before: str, *, staged: bool, sent: bool) -> dict[str, Any]:
    import sys
    from types import ModuleType

    from modctl.agent.engine.live import plain, transaction
    from modctl.agent.engine.live.opaque import Policy
    from modctl.agent.engine.live.reload import Reloader

    old = textwrap.dedent(OLD).lstrip()
    new = old
    for this, that in changes:
        assert _dedented(this) in new, this
        new = new.replace(_dedented(this), _dedented(that))
    module = ModuleType("m")
    module.__file__ = "/nowhere/m.py"
    sys.modules["m"] = module
    exec(compile(old, module.__file__, "exec"), module.__dict__)
    held: list[Any] = []
    exec(before, {"m": module, "held": held})
    reloader = Reloader()
    reloader.baselines.record(module, old)
    threads: list[object] = []
    real = transaction.Worker

    def counted(work: Any) -> Any:
        threads.append(work)
        return real(work)

    transaction.Worker = counted  # type: ignore[assignment,misc]
    if staged:
        plain.applies = lambda *_: False  # type: ignore[assignment]
    objects = dict(module.__dict__)
    plans = reloader.plans({"m": new}, [])
    if sent:
        plans = {name: packed_and_unpacked(plan) for name, plan in plans.items()}
    change = reloader.staged(plans, Policy())
    assigned = sorted(operation.what for operation in change.batch())
    journal = change.commit()
    reloader.settle(change, journal)
    report = change.report
    after = _described(module)
    journal.undo()
    assert all(module.__dict__.get(key) is value for key, value in objects.items() if key != "__builtins__")
    return {
        "threads": len(threads),
        "assigned": assigned,
        "modules": {n: (p.to_dict(), sorted(p.executed), p.own) for n, p in report.modules.items()},
        "told": (sorted(n for n in report.notes if "audit" not in n), report.stale, report.executed, report.operations),
        "after": after,
        "called": [each() for each in held],
        "undone": _described(module),
        "effects": report.side_effects,
    }


def _dedented(part: str) -> str:
    return part.replace("        ", "    ")


def _described(module: Any) -> dict[str, str]:
    from types import FunctionType

    told: dict[str, str] = {}
    todo: list[tuple[str, Any]] = [(key, value) for key, value in module.__dict__.items() if key != "__builtins__"]
    while todo:
        what, value = todo.pop()
        if type(value) is FunctionType:
            told[what] = f"{value.__code__.co_consts} {value.__code__.co_firstlineno} {value.__doc__}"
        elif isinstance(value, type) and value.__module__ == "m":
            todo += [(f"{what}.{key}", inner) for key, inner in vars(value).items()]
        elif isinstance(value, (int, str, tuple)):
            told[what] = repr(value)
    return told


@pytest.mark.parametrize("sent", [False, True], ids=["planned here", "planned in the gateway"])
@pytest.mark.parametrize("case", CASES)
def test_it_comes_to_the_same_as_with_staging(case: str, sent: bool) -> None:
    changes, before, is_plain = CASES[case]
    ours = made(changes, before, staged=False, sent=sent)
    theirs = made(changes, before, staged=True, sent=sent)
    threads = ours.pop("threads", None), theirs.pop("threads", None)
    assert ours == theirs
    if "raised" not in ours:
        assert threads == (0 if is_plain else 1, 1)
    else:
        assert not is_plain, ours
