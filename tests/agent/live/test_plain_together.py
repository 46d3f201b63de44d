# ruff: noqa: E501 - sources as they stand, a case a line
"""Several modules that change or follow at once: staged only where one's statements have something of another's."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from .test_changing import GATEWAY, PRELUDE

ONE = "VALUE = {0}\ndef get():\n    return {0}\nclass Rate:\n    limit = {0}\n    def ask(self): return {0}\n"
#: Another module of the program before and after, and whether all of it is decided without staging.
OTHERS: dict[str, tuple[str, str, bool]] = {
    "is used in functions": ("import one\ndef f(): return one.VALUE, one.get()\n", "", True),
    "a function by name": ("from one import get\ndef f(): return get()\n", "", True),
    "a class by name": ("from one import Rate\ndef f(): return Rate.limit, Rate().ask()\n", "", True),
    "imported in a function": ("def f():\n    from one import VALUE\n    return VALUE\n", "", True),
    "beside calls of others": ("import one, math\nROOT = math.sqrt(4)\ndef f(): return one.VALUE\n", "", True),
    "a constant by name": ("from one import VALUE\ndef f(): return VALUE\n", "", False),
    "a constant under another name": ("from one import VALUE as V\ndef f(): return V\n", "", False),
    "a constant, if it is there": ("try:\n    from one import VALUE\nexcept ImportError:\n    VALUE = 0\n", "", False),
    "all names": ("from one import *\ndef f(): return VALUE\n", "", False),
    "something made of a constant": ("import one\nTWICE = one.VALUE * 2\n", "", False),
    "a default": ("import one\ndef f(a=one.VALUE): return a\n", "", False),
    "a call": ("from one import get\nFOUND = get()\n", "", False),
    "a call of what calls": ("import one\ndef f(): return one.get()\nFOUND = f()\n", "", False),
    "a call through another name": ("import one\ng = one.get\nFOUND = g()\n", "", False),
    "a derived class": ("from one import Rate\nclass Mine(Rate):\n    size = Rate.limit + 1\n", "", False),
    "an instance": ("from one import Rate\nR = Rate()\nLIMIT = R.limit\n", "", False),
    "a decorator": (
        "import one\ndef _with_value(f):\n    f.value = one.VALUE\n    return f\n@_with_value\ndef g(): return 1\n",
        "",
        False,
    ),
    "both change, apart": ("X = 1\ndef f(): return 1\n", "X = 2\ndef f(): return 2\n", True),
    "both change, used in functions": (
        "import one\nX = 1\ndef f(): return one.VALUE, X\n",
        "import one\nX = 2\ndef f(): return one.VALUE, X, 2\n",
        True,
    ),
    "both change, only bodies here": (
        "import one\ndef f(): return one.VALUE, 1\n",
        "import one\ndef f(): return one.VALUE, 2\n",
        True,
    ),
    "both change, a constant by name": ("from one import VALUE\nX = 1\n", "from one import VALUE\nX = 2\n", False),
    "both change, something made of it": (
        "import one\nX = 1\nY = one.VALUE\n",
        "import one\nX = 2\nY = one.VALUE\n",
        False,
    ),
    "both change, one of them adds": ("X = 1\n", "X = 1\nY = X + 1\n", False),
}
BODY = """
from modctl.agent.engine.live import transaction
threads, real = [], transaction.Worker
transaction.Worker = lambda work: threads.append(work) or real(work)
if {staged}:
    transaction.Transaction._is_plain = lambda self: False
write("one.py", {old!r}); write("two.py", {two_old!r}); write("three.py", "import two\\ndef h(): return getattr(two, 'f', int)()\\n")
import one, two, three
held = one.get, one.Rate, one.Rate(), getattr(two, "f", None)
def described():
    told = {{}}
    for module in (one, two, three):
        for key, value in vars(module).items():
            if key[0] == "_" or type(value) is type(one): continue
            if callable(value) and not isinstance(value, type):
                value = value(), getattr(value, "value", None)
            elif isinstance(value, type):
                value = {{k: v() if callable(v) and k == "f" else repr(v) for k, v in vars(value).items() if isinstance(v, int)}}
            told[f"{{module.__name__}}.{{key}}"] = repr(value) if not isinstance(value, one.Rate) else value.ask()
    return {{**told, "held": repr((held[0](), held[1].limit, held[2].ask(), held[3] and held[3]()))}}
before = described()
changes = [patch("one", {new!r})] + ([patch("two", {two_new!r})] if {two_new!r} else [])
answer = change(*changes)
assert answer["outcome"] == "OUTCOME_APPLIED", answer
staged_in = len(threads)
after = described()
assert held[0] is one.get and held[1] is one.Rate
assert undo()["outcome"] == "OUTCOME_APPLIED" and described() == before, (before, described())
assert undo(2)["outcome"] == "OUTCOME_APPLIED" and described() == after, (after, described())
told = {{m["name"]: m.get("symbols") for m in answer["modules"]}}
print(json.dumps([after != before, staged_in, after, told, answer["message"]]))
"""


def outcome(old: str, new: str, *, staged: bool) -> list[Any]:
    given = {"old": ONE.format(1), "new": ONE.format(2), "two_old": old, "two_new": new, "staged": staged}
    script = PRELUDE + GATEWAY + textwrap.dedent(BODY).format(**given)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("case", OTHERS)
def test_it_comes_to_the_same_as_with_staging(case: str) -> None:
    old, new, is_plain = OTHERS[case]
    ours, theirs = outcome(old, new, staged=False), outcome(old, new, staged=True)
    assert ours[0], "something has changed"
    assert theirs[0], "something has changed"
    assert (ours[1] == 0, theirs[1]) == (is_plain, 1), "whether anything was staged"
    assert ours[2:4] == theirs[2:4]
    if is_plain:
        assert ours[4].split(",")[0] == theirs[4].split(",")[0]
    else:
        assert ours[4] == theirs[4]
