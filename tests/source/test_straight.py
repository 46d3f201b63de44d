"""Which module code can neither wait nor loop nor run anybody's code, as the bytecode of this Python says."""

from __future__ import annotations

import pytest
from modctl.source.straight import is_straight

STRAIGHT = [
    "",
    "'''Only words.'''",
    "X = 1",
    "X = Y = 'a'",
    "X = (1, 2)\nY = [1, 2, 3, 4]\nZ = {'a': 1, 'b': (2,)}\nW = {}\nV = []",
    "X = -1\nY = None\nZ = X\nT = (X, Y)",
    "def f(a, b=1, *c, d=2, **e):\n    return g(a)",
    "N = 5\ndef f(a=N):\n    while True: pass",
    "async def f():\n    await g()",
    "def f():\n    yield 1",
    "f = lambda x=1: x()",
    "class C:\n    pass",
    "class C:\n    '''Words.'''\n    x = 1\n    def f(self, a=2):\n        return super().f(a)",
    "class C:\n    class D:\n        y = 'z'",
    "def outer():\n    class C(Base): pass\n    return C()",
    *["\n".join(f"x{n} = {n}.5" for n in range(700))],
]
CROOKED = [
    "f()",
    "X = f()",
    "X = int('1')",
    "f(1, 2)",
    "import os",
    "from os import path",
    "from __future__ import annotations",
    "X = a.b",
    "X = a[0]",
    "X = a + b",
    "X = 'a' * n",
    "X = not a",
    "X = a < b",
    "X = f'{a}'",
    "X = [*a]",
    "X = [*a, 1]",
    "X = (*a,)",
    "X = {**a}",
    "X = {a: 1}",
    "X = {a}",
    "X = [b for b in a]",
    "a.b = 1",
    "a[0] = 1",
    "X += 1",
    "X, Y = a",
    "del X",
    "X: int = 1",
    "if a: pass",
    "while a: pass",
    "for b in a: pass",
    "with a: pass",
    "try: X = 1\nexcept E: pass",
    "raise E",
    "assert a",
    "@d\ndef f(): pass",
    "@d(1, 2)\ndef f(): pass",
    "@d\nclass C: pass",
    "class C(B): pass",
    "class C(B, metaclass=M): pass",
    "class C(metaclass=M): pass",
    "class C(*bases): pass",
    "class C:\n    x = y",
    "class C:\n    x = f()",
    "class C:\n    import os",
    "class C:\n    class D(B): pass",
    "class C: pass\nf(1, 2)",
    "def f(a=g()): pass",
    "global X\nX = a",
]


@pytest.mark.parametrize("source", STRAIGHT)
def test_code_that_only_makes_and_binds_is_straight(source: str) -> None:
    assert is_straight(compile(source, "m.py", "exec", dont_inherit=True))


@pytest.mark.parametrize("source", CROOKED)
def test_whatever_could_run_somebody_s_code_is_not(source: str) -> None:
    assert not is_straight(compile(source, "m.py", "exec", dont_inherit=True))


def test_a_name_far_down_in_a_class_is_seen_for_what_it_is() -> None:
    many = "\n".join(f"    x{n} = '{n}.'" for n in range(600))
    assert not is_straight(compile(f"class C:\n{many}\n    y = Foreign\n", "m.py", "exec", dont_inherit=True))
