# ruff: noqa: E501 - sources as they stand, a case a line
"""Which changes need no staging, as the texts say it, and what they come to."""

from __future__ import annotations

import sys

import pytest
from modctl.source.following import potential_names
from modctl.source.plain import Plain, PlainClass, PlainName, plain_of
from modctl.source.plan import plan_module, read_text
from modctl.source.wire import SentPlan, pack

F = "def f(a=1):\n    return {}\n"
C = "class C:\n    x = {}\n    def f(self):\n        return self.x\n"


def plain(old: str, new: str) -> Plain | None:
    before = read_text(old, "/m.py")
    plan = plan_module("m", before, read_text(new, "/m.py", like=before), package=False)
    names = potential_names(plan, set())
    found = plain_of(plan, names)
    sent = SentPlan("m", pack(plan, names), lambda: old, lambda: new)
    assert sent.plain == (None if sent.quiet else found)  # it travels as it is
    return found


PLAIN = [
    ("X = 1", "X = 2", {"X": 2}),
    ("X = 1\n" + F.format(1), "X = 2\n" + F.format("X"), {"X": 2}),
    ("'''A.'''\nX = 1", "'''B.'''\nX = 1", {"__doc__": "B."}),
    ("import os\nX = 1", "import os\nX = 60 * 60", {"X": 3600}),
    ("X = 1", "X = (1, ('a', b'c'), None, ..., 2.5, 1j, True)", {"X": (1, ("a", b"c"), None, ..., 2.5, 1j, True)}),
    ("X = make()", "X = 'a'", {"X": "a"}),
    ("X = 1\nY = 1", "X = -1\nY = 'b'", {"X": -1, "Y": "b"}),
    (C.format(1), C.format(2), {"C.x": 2}),
    ("import abc\nclass C(abc.ABC):\n    x = 1", "import abc\nclass C(abc.ABC):\n    x = 2", {"C.x": 2}),
    ("class C:\n    __x = 1\n    y = 1", "class C:\n    __x = 2\n    y = 1", {"C._C__x": 2}),
    ("X = 1\nclass C:\n    y = 1", "X = 2\nclass C:\n    y = 3", {"X": 2, "C.y": 3}),
    # It reads what changes only when it is called, and nobody calls it while the module is loaded.
    ("X = 1\n" + F.format("X") + "G = [f]", "X = 2\n" + F.format("X") + "G = [f]", {"X": 2}),
    ("X = 1\nY = g()", "X = 2\nY = g()", {"X": 2}),
]
STAGED = [
    ("X = 1\nY = X", "X = 2\nY = X"),  # read when it is loaded
    ("X = 1\ndef f(a=X): pass", "X = 2\ndef f(a=X): pass"),
    ("X = 1\nclass C:\n    y = X", "X = 2\nclass C:\n    y = X"),
    ("X = 1\nclass C(B[X]): pass", "X = 2\nclass C(B[X]): pass"),
    ("X = 1\n" + F.format("X") + "Y = f()", "X = 2\n" + F.format("X") + "Y = f()"),  # read by what is called
    (
        "X = 1\ndef f(): return g()\ndef g(): return X\nY = f()",
        "X = 2\ndef f(): return g()\ndef g(): return X\nY = f()",
    ),
    ("X = 1\n@d\ndef f(): return X", "X = 2\n@d\ndef f(): return X"),
    (C.format(1) + "Y = C.x", C.format(2) + "Y = C.x"),
    (C.format(1) + "Y = C()", C.format(2) + "Y = C()"),
    (C.format(1) + "class D(C): pass", C.format(2) + "class D(C): pass"),
    ("class C:\n    x = 1\n    y = x", "class C:\n    x = 2\n    y = x"),
    ("X = 1\nclass C(X):\n    y = 1", "X = 2\nclass C(X):\n    y = 2"),
    ("X = 1\nX = 2", "X = 1\nX = 3"),  # bound twice
    ("X = 1\nX += 1", "X = 2\nX += 1"),
    ("class C:\n    x = 1\n    x = 2", "class C:\n    x = 1\n    x = 3"),
    ("X = 1\ndel X", "X = 2\ndel X"),
    (C.format(1) + "C.z = 1", C.format(2) + "C.z = 1"),
    ("X = 1", "X = f()"),  # no constant
    ("X = 1", "X = [1]"),
    ("X = 1", "X = {1}"),
    ("X = 1", "X = Y"),
    ("X = [1]", "X = 1"),  # what it was is no constant either
    ("Y = 1\nX = Y", "Y = 1\nX = 1"),
    ("X = 1", "X = 1\nY = 2"),  # new, gone
    ("X = 1\nY = 2", "X = 1"),
    ("X = 1", "X, = (2,)"),  # shapes that bind something else than the value
    ("(X,) = (1,)", "(X,) = (2,)"),
    ("[X] = [1]", "[X] = [2]"),
    ("*X, = (1,)", "*X, = (2,)"),
    ("X = Y = 1", "X = Y = 2"),
    ("X: int = 1", "X: int = 2"),  # an annotation is bound too
    ("class C:\n    x: int = 1", "class C:\n    x: int = 2"),
    ("class C:\n    __slots__ = ('a',)", "class C:\n    __slots__ = ('b',)"),
    ("class C:\n    '''A.'''\n    x = 1", "class C:\n    '''B.'''\n    x = 1"),
    ("@d\nclass C:\n    x = 1", "@d\nclass C:\n    x = 2"),
    ("class C(A):\n    x = 1", "class C(B):\n    x = 2"),
    ("class C:\n    x = 1", "class C:\n    x = 1\n    y = 2"),
    ("__modctl_keep__ = 'X'", "__modctl_keep__ = 'Y'"),
    ("exec('Y = X')\nX = 1", "exec('Y = X')\nX = f()"),
    ("import m\nX = 1\nY = m.X", "import m\nX = 2\nY = m.X"),  # itself, under another name
    ("from m import X as Y\nX = 1", "from m import X as Y\nX = 2"),
    ("if a:\n    X = 1", "if a:\n    X = 2"),
    ("def f(a=1): pass", "def f(a=2): pass"),
    ("X = 1\nwith X: pass", "X = 2\nwith X: pass"),
    ("import logging\nX = 1\nlogging.disable()", "import logging\nX = 2\nlogging.disable()"),
    (F.format(1), F.format(2)),  # nothing but code: there is nothing to decide
]
if sys.version_info >= (3, 12):
    STAGED += [("type X = int", "type X = 3"), ("class C[T]:\n    x = 1", "class C[T]:\n    x = 2")]


@pytest.mark.parametrize(("old", "new", "values"), PLAIN, ids=range(len(PLAIN)))
def test_constants_alone_need_no_staging(old: str, new: str, values: dict[str, object]) -> None:
    found = plain(old, new)
    assert found is not None
    told = {each.name: each.value for each in found.names}
    told |= {f"{each.name}.{name}": value for each in found.classes for name, value in each.values}
    assert told == values
    assert [type(value) for value in told.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(("old", "new"), STAGED, ids=range(len(STAGED)))
def test_everything_else_is_staged(old: str, new: str) -> None:
    assert plain(old, new) is None


def test_it_says_what_was_there_and_what_functions_do() -> None:
    old = "N = 0\nX = 1\ndef f():\n    global N\n    N += 1\n    return 1\nclass C:\n    y = 1\n    def g(self): return 1\n"
    found = plain(old, old.replace("N = 0", "N = 5").replace("return 1", "return 2").replace("y = 1", "y = 2"))
    assert found == Plain(
        names=(PlainName("N", 5, True, 0, True, True),),
        classes=(PlainClass("C", (("y", 2),)),),
        behaving=("f",),
        lines=(1, 7),
    )


def test_a_value_that_only_looks_the_same_is_another() -> None:
    found = plain("X = 0.0", "X = -0.0")
    assert found is not None
    assert repr(found.names[0].value) == "-0.0"
    found = plain("X = 1", "X = True")
    assert found is not None
    assert found.names[0].value is True
