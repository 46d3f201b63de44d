# ruff: noqa: E501 - sources as they stand, a case a line
"""The collector runs more seldom while a change is made, and as the service wants it at every other moment."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from .test_changing import in_process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(params=["planned here", "planned by a gateway"])
def run(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Runs a test's body in a process of its own."""
    return lambda body: in_process("import gc\n" + textwrap.dedent(body), gateway=request.param != "planned here")


def test_the_threshold_is_raised_for_a_change_and_given_back(run: Callable[[str], None]) -> None:
    run("""
        usual = gc.get_threshold()
        assert change(patch("tax", "import gc\\nRATE = gc.get_threshold()\\ndef tax(x): return x\\n"))["outcome"] == "OUTCOME_APPLIED"
        assert tax.RATE[0] > usual[0] and tax.RATE[1:] == usual[1:], "one statement has seen it"
        assert gc.get_threshold() == usual and gc.isenabled()
        for source in ("RATE = 1 / 0\\n", "RATE = (\\n", "def tax(x): return 3\\nimport sys; sys.exit()\\n"):
            assert change(patch("tax", source))["outcome"] in ("OUTCOME_FAILED", "OUTCOME_REFUSED")
            assert gc.get_threshold() == usual and gc.isenabled()
    """)


def test_what_the_service_sets_meanwhile_stays(run: Callable[[str], None]) -> None:
    run("""
        assert change(patch("tax", "import gc\\nRATE = gc.set_threshold(123, 4, 5)\\ndef tax(x): return x\\n"))["outcome"] == "OUTCOME_APPLIED"
        assert gc.get_threshold() == (123, 4, 5)
    """)


@pytest.mark.parametrize("threshold", [0, 5_000_000])
def test_who_collects_still_more_seldom_is_left_alone(run: Callable[[str], None], threshold: int) -> None:
    run(f"""
        gc.disable(); gc.set_threshold({threshold}, 7, 8)
        assert change(patch("tax", "import gc\\nRATE = gc.get_threshold(), gc.isenabled()\\ndef tax(x): return x\\n"))["outcome"] == "OUTCOME_APPLIED"
        assert tax.RATE == (({threshold}, 7, 8), False)
        assert gc.get_threshold() == ({threshold}, 7, 8) and not gc.isenabled()
    """)


def test_a_child_forked_in_a_change_collects_as_usual() -> None:
    script = """
        import gc, os, threading
        from modctl.agent.engine import Engine, collecting
        engine = Engine(); engine.start()
        usual = gc.get_threshold()
        with collecting.seldom():
            if (child := os.fork()) == 0:
                raised = gc.get_threshold()
                engine.after_fork_in_child()
                os._exit(0 if raised != usual == gc.get_threshold() else 1)
            assert os.waitpid(child, 0)[1] == 0
            assert gc.get_threshold() != usual
        assert gc.get_threshold() == usual
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_large_upgrade_sets_off_no_collection_of_the_whole_heap() -> None:
    in_process(
        textwrap.dedent("""
        import gc
        def text(n): return "".join(f"class C{i}:\\n    X = [{n}, {i}]\\n    def a(self, k={n}): return {n}, k\\n    def b(self): return lambda: {n}\\ndef f{i}(x={n}): return [x, {n}]\\nD{i} = {{'a': {n}, 'b': (C{i}, f{i})}}\\n" for i in range(400))
        write("large.py", text(0)); import large
        assert change(patch("shop", "TEXT = 1\\n"))["outcome"] == "OUTCOME_APPLIED", "all that a first change loads"
        write("large.py", text(1))
        gc.collect()
        collected = []
        gc.callbacks.append(lambda phase, info: collected.append(info["generation"]) if phase == "start" else None)
        assert change(patch("large"))["outcome"] == "OUTCOME_APPLIED"
        assert large.f7() == [1, 1] and large.C7().b()() == 1
        assert 2 not in collected and len(collected) < 30, collected
        """),
        gateway=False,
    )


@pytest.mark.parametrize("collects", ["pass", "gc.collect()", "gc.collect(0)", "gc.set_threshold(5)"])
def test_instances_made_while_staging_are_of_the_live_class_however_often_is_collected(
    run: Callable[[str], None], collects: str
) -> None:
    run(f"""
        write("rates.py", "import gc\\nclass Rate:\\n    def __init__(self, n): self.n = n\\nONE = Rate(1)\\nMANY = [Rate(n) for n in range(3)]\\n")
        import rates
        live, held = rates.Rate, rates.ONE
        write("rates.py", "import gc\\nclass Rate:\\n    def __init__(self, n): self.n = n\\n    @classmethod\\n    def of(cls, n): return cls(n)\\nONE = Rate.of(2)\\nMANY = [Rate.of(n) for n in range(30)]\\n{collects}\\nLAST = Rate.of(7)\\n")
        assert change(patch("rates"))["outcome"] == "OUTCOME_APPLIED"
        assert rates.Rate is live and rates.LAST.n == 7 and held.of(1).n == 1
        assert {{type(each) for each in (rates.ONE, rates.LAST, *rates.MANY)}} == {{live}}, "and not of what stood for it"
    """)
