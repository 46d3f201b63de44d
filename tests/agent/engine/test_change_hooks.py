"""What a program has to say about changes of its own modules."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

PRELUDE = """
import app
from modctl import agent

def new(source, mode=MODE, **options):
    sent = [{"name": "app", "source": source, "digest": "sha256:" + "0" * 64}]
    return change({"reimport": {"name": "app", "mode": mode, "modules": sent}}, **options)
"""
MODES = ("REIMPORT_MODE_PATCH", "REIMPORT_MODE_FRESH")


def _run(world: World, code: str, app: str, mode: str = MODES[0]) -> None:
    world.run(f"MODE = {mode!r}\n{PRELUDE}" + textwrap.dedent(code), {"app.py": app})


@pytest.mark.parametrize("mode", MODES)
def test_a_hook_before_the_change_sees_the_plan_and_may_veto(world: World, mode: str) -> None:
    _run(
        world,
        """
        result = new("X = 2", identity="uid:7", reason="why")
        assert result["outcome"] == "OUTCOME_REFUSED", result
        told = result["modules"][0]
        assert told["name"] == "app" and told["refusal"]["reason"] == "VETOED" and "not now" in told["refusal"]["hint"]
        assert told["error"]["type"] == "RuntimeError" and "__modctl_before__" in told["error"]["traceback"]
        assert app.X == 1 and engine.revision == 0
        plan = app.SEEN[0]
        assert plan.names == ("app",) and plan.identity == "uid:7" and plan.reason == "why" and plan.phase == "before"
        app.SEEN.append(1)
        assert new("X = 2")["outcome"] == "OUTCOME_APPLIED" and sys.modules["app"].X == 2
        """,
        "X = 1\nSEEN = []\ndef __modctl_before__(plan):\n    SEEN.append(plan)\n"
        "    if len(SEEN) < 2: raise RuntimeError('not now')\n",
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_hook_after_the_change_hands_state_over(world: World, mode: str) -> None:
    _run(
        world,
        """
        app.CACHE["k"] = 1
        source = "X = 2\\nCACHE_2 = {}\\ndef __modctl_after__(old):\\n    CACHE_2.update(old['CACHE'], was=old['X'])\\n"
        result = new(source)
        assert result["outcome"] == "OUTCOME_APPLIED", result
        assert sys.modules["app"].CACHE_2 == {"k": 1, "was": 1} and sys.modules["app"].X == 2
        """,
        "X = 1\nCACHE = {}\n",
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_hook_after_the_change_that_fails_takes_it_back(world: World, mode: str) -> None:
    _run(
        world,
        """
        held = app.f
        result = new("X = 2\\ndef f(): return 2\\ndef __modctl_after__(old):\\n    1 / 0\\n")
        assert result["outcome"] == "OUTCOME_FAILED", result
        assert result["modules"][0]["error"]["type"] == "ZeroDivisionError"
        assert sys.modules["app"] is app and app.X == 1 and app.f is held and held() == 1
        assert not hasattr(app, "__modctl_after__")
        history = answer("list_revisions")[0]["revisions"]
        assert [each["undoes"] for each in history] == [1, 0], history
        assert new("X = 3\\ndef f(): return 3\\n")["outcome"] == "OUTCOME_APPLIED"
        assert sys.modules["app"].f() == 3
        """,
        "X = 1\ndef f(): return 1\n",
        mode,
    )


def test_callbacks_of_the_program_hear_of_every_change_and_may_stop_it(world: World) -> None:
    _run(
        world,
        """
        heard = []
        @agent.on_change
        def listen(plan):
            heard.append((plan.phase, plan.names, plan.takes_back))
            if plan.phase == bad:
                raise ValueError(bad)
        bad = ""
        assert new("X = 2")["outcome"] == "OUTCOME_APPLIED"
        assert applied(undo()) and app.X == 1
        assert heard == [(p, ("app",), t) for t in (False, True) for p in ("before", "after")], heard
        bad = "before"
        assert new("X = 3")["modules"][0]["refusal"]["rule"] == "on_change callback listen" and app.X == 1
        bad = "after"
        result = new("X = 4")
        assert result["outcome"] == "OUTCOME_FAILED" and app.X == 1, result
        agent.off_change(listen)
        assert new("X = 5")["outcome"] == "OUTCOME_APPLIED" and app.X == 5
        heard.clear()
        assert new("X = 6", dry_run=True)["outcome"] == "OUTCOME_PLANNED" and heard == []
        """,
        "X = 1\n",
    )


def test_a_hook_that_does_not_end_is_stopped(world: World) -> None:
    _run(
        world,
        """
        from modctl.agent import hooks
        hooks.HOOK_TIMEOUT_S = 0.3
        began = time.monotonic()
        result = new("X = 2\\ndef __modctl_after__(old):\\n    while True: pass\\n")
        assert result["outcome"] == "OUTCOME_FAILED" and time.monotonic() - began < 5, result
        assert result["modules"][0]["error"]["type"] == "TimeoutError" and app.X == 1
        assert new("X = 3")["outcome"] == "OUTCOME_APPLIED"
        """,
        "X = 1\n",
    )


def test_names_that_a_module_wants_kept_are_not_made_again(world: World) -> None:
    _run(
        world,
        """
        pool = app.POOL
        result = new('''__modctl_keep__ = ("POOL",)\\nSIZE = 9\\nMADE = []\\nPOOL = object() if SIZE else None\\n''')
        assert result["outcome"] == "OUTCOME_APPLIED", result
        assert app.POOL is pool and app.SIZE == 9
        assert "POOL" in result["modules"][0]["symbols"]["kept"], result
        """,
        '__modctl_keep__ = ("POOL",)\nSIZE = 1\nMADE = []\nPOOL = object()\n',
    )


def test_old_code_that_still_runs_is_waited_for_and_named(world: World) -> None:
    _run(
        world,
        """
        generator = app.items()
        next(generator)
        release = threading.Event()
        worker = threading.Thread(target=app.work, args=(release,), name="busy")
        worker.start()
        source = "def items():\\n    yield 3\\ndef work(release):\\n    pass\\n"
        result = new(source, wait_drained_s=0.2)
        assert result["outcome"] == "OUTCOME_APPLIED", result
        told = sorted(result["old_code"])
        assert len(told) == 2 and "suspended generator: items at" in told[0] and "thread busy: work at" in told[1], told
        release.set()
        worker.join()
        generator.close()
        again = "def items():\\n    yield 4\\ndef work(release):\\n    return 1\\n"
        began = time.monotonic()
        assert new(again, wait_drained_s=5.0)["old_code"] == [] and time.monotonic() - began < 4
        """,
        "def items():\n    yield 1\n    yield 2\ndef work(release):\n    release.wait(10)\n",
    )
