# ruff: noqa: E501 - sources as they stand, a case a line
"""What two versions of a source differ in, statement by statement; nothing is loaded here."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING

import pytest
from modctl.source.codes import deep_signature, identical, shape
from modctl.source.comparison import compare
from modctl.source.plan import ModulePlan, plan_module, read_text
from modctl.source.wire import SentPlan, pack

if TYPE_CHECKING:
    from modctl.source.statements import Statement


def plan(before: str, after: str) -> ModulePlan:
    return plan_module("m", read_text(before, "m.py"), read_text(after, "m.py"), package=False)


@pytest.mark.parametrize(
    ("before", "after", "tier"),
    [
        ("X = 1\n", "# hi\nX = 1  # there\n", "NOOP"),
        ("def f(): return 1\n", "def f():\n    return 1\n", "NOOP"),
        ("def f(): return 1\n", "def f(): return 2\n", "CODE"),
        ("f = lambda: 1\n", "f = lambda: 2\n", "CODE"),
        ("class C:\n    def f(self): return 1\n", "class C:\n    def f(self): return 2\n", "CODE"),
        ("def f(a): return a\n", "def f(a, b=1): return a\n", "PATCH"),
        ("X = 1\n", "X = 1.0\n", "PATCH"),
        ("X = True\n", "X = 1\n", "PATCH"),
        ("X = 0.0\n", "X = -0.0\n", "PATCH"),
        ("def f(): pass\n", "async def f(): pass\n", "PATCH"),
        ("X = 1\nY = 2\n", "Y = 2\nX = 1\n", "NOOP"),
        ("X = 1\nY = X\nX = 2\n", "X = 1\nX = 2\nY = X\n", "PATCH"),
        ("@d\ndef f(): pass\n", "def f(): pass\n", "PATCH"),
        ("if __name__ == '__main__':\n    a()\n", "if __name__ == '__main__':\n    b()\n", "NOOP"),
        ("L = []\nL.append(1)\n", "L = []\nL.append(2)\n", "PATCH"),
        ("X = 1\nX += 1\n", "X = 1\n", "PATCH"),
    ],
)
def test_the_lowest_tier_that_suffices(before: str, after: str, tier: str) -> None:
    assert plan(before, after).tier == tier


def names(source: str) -> Statement:
    return read_text(source, "m.py").statements[-1]


@pytest.mark.parametrize(
    ("source", "reads", "writes"),
    [
        ("Y = X + a.b", {"X", "a"}, {"Y"}),
        ("def f(a=D, *, b: T = E) -> R: return G", {"D", "E", "T", "R"}, {"f"}),
        (
            "@d(Q)\nclass C(B, metaclass=M):\n    x = Z\n    y = x\n    def f(self): return G",
            {"d", "Q", "B", "M", "Z"},
            {"C"},
        ),
        ("L = [i for i in N if i > K]", {"N", "K"}, {"L"}),
        ("if (n := f()) > 1: X = n", {"f", "n"}, {"n", "X"}),
        ("for a, (b, *c) in X: pass", {"X"}, {"a", "b", "c"}),
        ("with open(p) as q: r = q", {"open", "p", "q"}, {"q", "r"}),
        ("try: x\nexcept E as e: y = e", {"x", "E", "e"}, {"e", "y"}),
        ("X += Y", {"X", "Y"}, {"X"}),
        ("from a import b as c, d", set(), {"c", "d"}),
        ("import a.b, c.d as e", set(), {"a", "e"}),
        ("del X", set(), {"X"}),
        (
            "match v:\n    case {'a': A(b), **rest}: z = 1\n    case [1, *more]: pass",
            {"v", "A"},
            {"b", "rest", "z", "more"},
        ),
    ],
)
def test_names_that_a_statement_reads_and_binds(source: str, reads: set[str], writes: set[str]) -> None:
    found = names(source)
    assert set(found.reads) == reads
    assert set(found.writes) == writes


def test_what_functions_read_later_is_kept_apart() -> None:
    found = names(
        "def f(a):\n    global n\n    n = a + G.attr\n    import j\n    return [x for x in H] + [lambda: K, j, a]\n"
    )
    assert {("G", "attr"), ("H",), ("K",)} <= set(found.lazy)
    assert ("a",) not in found.lazy
    assert ("j",) not in found.lazy
    assert found.global_writes == ("n",)
    assert [item.module for item in found.lazy_imports] == ["j"]


def test_private_names_of_a_class_are_mangled() -> None:
    [body] = names("class _C:\n    def __p(self): pass\n").body
    assert body.writes == ("_C__p",)


def test_a_statement_with_another_value_is_another_one() -> None:
    one = names("X = a\n")
    other = one.replaced(writes=("Y",))
    assert (one.touches, other.touches) == ({"X"}, {"Y"})
    assert one != other
    assert {one, one.replaced(), names("X = a\n")} == {one}


def test_statements_travel_and_only_what_is_not_as_ever_is_told() -> None:
    source = "import a.b as c\nclass C(B):\n    'doc'\n    x: int = 1\n    @property\n    def p(self, d=K): return c.z\nfor i in C.x: app.go(i)\n"
    statements = read_text(source, "m.py").statements
    text = read_text(source, "m.py")
    plan = plan_module("m", read_text("", "m.py"), text, package=False)
    sent = SentPlan("m", pack(plan, {"*"}), lambda: "", lambda: source)
    assert sent.comparison.new == statements
    assert sent.comparison.statuses == plan.comparison.statuses
    assert "dynamic" not in sent.comparison.new[0].__dict__


def test_an_added_import_moves_nobody_else() -> None:
    found = compare(
        read_text("from a import x\n@x\ndef f(): pass\n", "m.py").statements,
        read_text("from a import x, y\n@x\ndef f(): pass\n", "m.py").statements,
    )
    assert not found.displaced
    assert found.statuses[1] == "same"


def test_functions_are_paired_where_they_moved_and_told_apart_on_one_line() -> None:
    before = "def a(): return 1\nf, g = lambda: 1, lambda: 2\n"
    after = "f, g = lambda: 1, lambda: 3\ndef a(): return 1\n"
    pairs = {(pair.old.co_name, pair.old.co_consts[-1], pair.new.co_consts[-1]) for pair in plan(before, after).pairs}
    assert ("a", 1, 1) in pairs
    assert ("<lambda>", 2, 3) in pairs


def test_a_statement_compiled_alone_is_as_in_its_module() -> None:
    source = (
        "import warnings, os.path\nfrom a import b\ndef f(x):\n    warnings.warn(x)\n    return b.c(os.path.join(x))\n"
    )
    made = plan(source, source + "# x\n")
    alone = next(const for const in made.piece(2).co_consts if hasattr(const, "co_code"))
    whole = next(const for const in made.new.code.co_consts if hasattr(const, "co_code"))
    assert identical(alone, whole)
    assert shape(alone) == shape(whole)
    assert deep_signature(alone) == deep_signature(whole)


def test_reading_again_what_stayed_gives_the_same_statements() -> None:
    before = "import a\n'x'\nX = 1\ndef f(): return X\nclass C:\n    def g(self): return f()\n"
    after = "# moved\n" + before.replace("X = 1", "X = 2")
    old = read_text(before, "m.py")
    assert read_text(after, "m.py", like=old).statements == read_text(after, "m.py").statements


def test_the_old_version_travels_whole_though_what_stayed_is_told_once() -> None:
    old = "'doc'\nfrom a import x\nclass C(x):\n    def __f(self): return 1\n\n    y = x\nZ = C.y\ndef f(): pass\n"
    new = "import b\n'doc'\nfrom a import x\ndef g(): pass\n\nclass C(x):\n    def __f(self): return 1\n    y = x\nZ = C.y\n"
    before = read_text(old, "m.py")
    made = plan_module("m", before, read_text(new, "m.py", like=before), package=False)
    sent = SentPlan("m", pack(made, {"*"}), lambda: old, lambda: new)
    same = {
        partner for index, partner in enumerate(made.comparison.partners) if made.comparison.statuses[index] == "same"
    }
    assert same
    for mine, theirs in zip(sent.comparison.old, made.comparison.old, strict=True):
        if mine.index not in same:
            assert mine == theirs
        assert all(
            getattr(mine, name) == getattr(theirs, name)
            for name in ("index", "kind", "label", "first_line", "last_line", "text", "reads", "writes", "defaults")
        ), theirs.label
        assert [inner.text for inner in mine.body] == [inner.text for inner in theirs.body]
        assert mine.replaced(index=9).body == mine.body
    assert sent.comparison.new == made.comparison.new


def test_code_that_only_moved_is_told_once() -> None:
    body = "def f(a):\n    def g(): return a, 1\n    return [lambda: g() for _ in a]\nclass C:\n    def m(self): return __class__\n"
    old, new = "X = 1\n" + body + "def h(): return 1\n", "X = 1\n\n\n" + body + "def h(): return 2\n"
    made = plan_module("m", read_text(old, "m.py"), read_text(new, "m.py"), package=False)
    packed = pack(made, {"*"})
    sent = SentPlan("m", packed, lambda: old, lambda: new)
    assert len(sent.pairs) == len(made.pairs) > 4
    for mine, theirs in zip(sent.pairs, made.pairs, strict=True):
        assert identical(mine.old, theirs.old)
        assert identical(mine.new, theirs.new)
        assert (mine.route, mine.differs, mine.old.co_filename) == (theirs.route, theirs.differs, "m.py")
        assert [*mine.old.co_lines()] == [*theirs.old.co_lines()]
    assert {pair.new.co_name for pair in made.pairs if pair.differs} == {"h"}
    told = next(each for each in marshal.loads(packed) if isinstance(each, list))
    assert [each[0] for each in told if isinstance(each[0], int)], told
