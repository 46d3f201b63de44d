"""Changes that take themselves back: after a time, or because nobody confirmed them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

FILES = {"app.py": "X = 1\ndef f(): return 1\n"}
PRELUDE = """
import app
from modctl import agent
from modctl.agent import shielding

def new(value, mode=MODE, **options):
    source = f"X = {value}\\ndef f(): return {value}\\n"
    sent = [{"name": "app", "source": source, "digest": "sha256:" + str(value) * 64}]
    return change({"reimport": {"name": "app", "mode": mode, "modules": sent}}, **options)

def until(reached, limit_s=5.0):
    deadline = time.monotonic() + limit_s
    while not reached():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
        if engine.next_expiry_s() == 0:
            engine.expire()

def revisions():
    return answer("list_revisions")[0]["revisions"]

def is_as_before():
    return sys.modules["app"] is app and app.X == 1 and app.f is held and app.f() == 1

held = app.f
"""
MODES = ("REIMPORT_MODE_PATCH", "REIMPORT_MODE_FRESH")


def _run(world: World, code: str, mode: str) -> None:
    world.run(f"MODE = {mode!r}\n{PRELUDE}" + textwrap.dedent(code), FILES)


@pytest.mark.parametrize("mode", MODES)
def test_a_change_that_nobody_confirms_is_taken_back(world: World, mode: str) -> None:
    _run(
        world,
        """
        before = rows("app")["app"]
        result = new(2, confirm_within_s=0.3)
        assert result["outcome"] == "OUTCOME_APPLIED" and result["confirm_by_unix_s"] > time.time(), result
        assert sys.modules["app"].X == 2
        assert revisions()[0]["confirm_by_unix_s"] == result["confirm_by_unix_s"]
        assert rows("app")["app"]["expires_at_unix_s"] == result["confirm_by_unix_s"]
        until(is_as_before)
        undone, made = revisions()[:2]
        assert undone["undoes"] == 1 and undone["identity"] == "modctl (not confirmed)", undone
        assert "not confirmed in time" in undone["reason"] and "confirm_by_unix_s" not in made
        after = rows("app")["app"]
        assert "expires_at_unix_s" not in after and after.get("digest") == before.get("digest")
        refusal = answer("confirm", revision=1)[0]
        assert refusal["modules"][0]["refusal"]["reason"] == "NOTHING_TO_CONFIRM"
        """,
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_confirmed_change_stands(world: World, mode: str) -> None:
    _run(
        world,
        """
        new(2, confirm_within_s=0.3)
        assert answer("confirm")[0]["outcome"] == "OUTCOME_APPLIED"
        time.sleep(0.4)
        engine.expire()
        assert sys.modules["app"].X == 2 and "confirm_by_unix_s" not in revisions()[0]
        assert "expires_at_unix_s" not in rows("app")["app"]
        assert answer("confirm")[0]["outcome"] == "OUTCOME_REFUSED"
        applied(undo())
        assert is_as_before()
        """,
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_a_change_with_a_time_to_live_goes_as_a_whole(world: World, mode: str) -> None:
    _run(
        world,
        """
        new(2, ttl_s=0.2)
        assert revisions()[0]["expires_at_unix_s"] > time.time()
        until(is_as_before)
        assert revisions()[0]["identity"] == "modctl (ttl)"
        """,
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_an_undo_before_the_time_ends_the_waiting(world: World, mode: str) -> None:
    _run(
        world,
        """
        new(2, ttl_s=0.2, confirm_within_s=0.3)
        applied(undo())
        time.sleep(0.5)
        engine.expire()
        assert len(revisions()) == 2 and is_as_before()
        """,
        mode,
    )


@pytest.mark.parametrize("mode", MODES)
def test_no_change_lands_in_a_unit_of_work_when_it_runs_out_either(world: World, mode: str) -> None:
    _run(
        world,
        """
        from modctl.agent.engine import finishing
        finishing.SHIELD_WAIT_S = 0.1
        new(2, confirm_within_s=0.1)
        seen, release = [], threading.Event()
        def work():
            with agent.shield():
                first = sys.modules["app"].f()
                release.wait(10)
                seen.append((first, sys.modules["app"].f()))
        worker = threading.Thread(target=work)
        worker.start()
        time.sleep(0.2)
        engine.expire()
        assert sys.modules["app"].f() == 2, "it was taken back in the middle"
        assert rows("app")["app"]["expires_at_unix_s"] > time.time(), "it is tried again"
        release.set()
        worker.join()
        until(is_as_before)
        assert seen == [(2, 2)]
        """,
        mode,
    )


def test_what_was_built_upon_is_taken_back_once_that_is_gone(world: World) -> None:
    _run(
        world,
        """
        new(2, confirm_within_s=0.1)
        new(3)
        time.sleep(0.15)
        engine.expire()
        assert app.X == 3
        applied(undo())
        until(is_as_before)
        """,
        MODES[0],
    )
