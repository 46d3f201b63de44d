# ruff: noqa: E501 - sources as they stand, a case a line
"""Modules that are not loaded and come with a change: those that functions will import are there when they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .test_changing import in_process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(params=["planned here", "planned by a gateway"])
def run(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Runs a test's body in a process of its own."""
    return lambda body: in_process(body, gateway=request.param != "planned here")


@pytest.mark.parametrize("constant", ["RATE = 7", "RATE = 8"])
def test_what_a_function_will_import_is_loaded_and_goes_with_the_undo(
    run: Callable[[str], None], constant: str
) -> None:
    run(f"""
        new = "def tax(x):\\n    import extra\\n    return extra.of(x)\\n{constant}\\n"
        answer = change(patch("tax", new), patch("extra", "def of(x):\\n    from extra_more import TWO\\n    return x * TWO\\n"), patch("extra_more", "TWO = 2\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert "extra" in sys.modules and "extra_more" in sys.modules and held(4) == 8
        assert undo()["outcome"] == "OUTCOME_APPLIED"
        assert "extra" not in sys.modules and "extra_more" not in sys.modules and held(4) == 28
    """)


def test_a_submodule_by_a_relative_import(run: Callable[[str], None]) -> None:
    run("""
        write("pk/__init__.py", ""); write("pk/a.py", "def f(): return 1\\n")
        import pk.a
        answer = change(patch("pk.a", "def f():\\n    from .b import N\\n    from . import c\\n    return N, c.M\\n"), patch("pk.b", "N = 5\\n"), patch("pk.c", "M = 6\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert pk.a.f() == (5, 6) and pk.b.N == 5 and pk.c.M == 6
        assert undo()["outcome"] == "OUTCOME_APPLIED" and pk.a.f() == 1 and "pk.b" not in sys.modules
    """)


def test_what_nobody_imports_is_left_out_and_told(run: Callable[[str], None]) -> None:
    run("""
        answer = change(patch("tax", "RATE = 7\\ndef tax(x): return x\\n"), patch("extra", "raise SystemExit('executed')\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert "extra" not in sys.modules and held(4) == 4
        assert any("extra" in note and "left out" in note for note in answer["side_effects"]), answer
    """)


@pytest.mark.parametrize("wrong", ["1 / 0", "import nowhere", "import sys; sys.exit(3)"])
def test_one_that_cannot_be_executed_is_left_out_and_told(run: Callable[[str], None], wrong: str) -> None:
    run(f"""
        answer = change(patch("tax", "def tax(x):\\n    try: import extra\\n    except ImportError: return 1\\nRATE = 7\\n"), patch("extra", {wrong!r}))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert "extra" not in sys.modules and held(4) == 1
        assert any("extra is left out: " in note and ("Error" in note or "Exit" in note) for note in answer["side_effects"]), answer
    """)


def test_one_of_a_package_that_is_not_there_is_left_out_and_told(run: Callable[[str], None]) -> None:
    run("""
        answer = change(patch("tax", "def tax(x):\\n    import away.extra\\n    return 1\\nRATE = 7\\n"), patch("away.extra", "X = 1\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert "away.extra" not in sys.modules and "away" not in sys.modules
        assert any("away.extra is left out: ModuleNotFoundError" in note for note in answer["side_effects"]), answer
    """)


def test_what_only_functions_import_that_do_not_change_is_left_alone(run: Callable[[str], None]) -> None:
    run("""
        write("lazy.py", "def f():\\n    import extra\\ndef g(): return 1\\n"); import lazy
        answer = change(patch("lazy", "def f():\\n    import extra\\ndef g(): return 2\\n"), patch("extra", "raise SystemExit('executed')"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        assert lazy.g() == 2 and "extra" not in sys.modules
    """)


def test_who_has_none_of_what_is_sent_refuses_it(run: Callable[[str], None]) -> None:
    run("""
        answer = change(patch("extra", "X = 1\\n"), patch("extra_more", "X = 1\\n"))
        assert answer["outcome"] == "OUTCOME_REFUSED" and reason(answer) == {"extra": "NOT_LOADED", "extra_more": "NOT_LOADED"}, answer
        answer = change(patch("tax", "RATE = 7\\ndef tax(x): return x * RATE\\n"), patch("extra", "X = 1\\n"))
        assert answer["outcome"] == "OUTCOME_UNCHANGED" and "extra left out" in answer["side_effects"][0], answer
        assert "extra" not in sys.modules
    """)


def test_of_a_whole_tree_only_some_names_are_told(run: Callable[[str], None]) -> None:
    run("""
        tree = [patch(f"extra_{n:03}", "raise SystemExit('executed')") for n in range(300)]
        answer = change(patch("tax", "RATE = 7\\ndef tax(x): return x\\n"), *tree)
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(4) == 4, answer
        [note] = [note for note in answer["side_effects"] if "left out" in note]
        assert "extra_000, " in note and "and 295 more" in note and len(note) < 250, note
    """)
