"""Two-phase: staged and held, then committed or dropped; and expressions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

ONE = {"app.py": "VALUE = 1\n", "helper.py": "LOADED = True\n"}

PRELUDE = """
import app
def prepare(*operations, request_id="r1", **options):
    return json.loads(engine.change(
        {"op": "prepare", "request_id": request_id, "identity": "uid:1", "operations": list(operations), **options}))
def commit(request_id="r1", identity="uid:1"):
    return json.loads(engine.change({"op": "commit", "request_id": request_id, "identity": identity}))
def abandon(request_id="r1", identity="uid:1"):
    return json.loads(engine.change({"op": "abandon", "request_id": request_id, "identity": identity}))["dropped"]
def reason(result):
    assert result["outcome"] == "OUTCOME_REFUSED", result
    return result["modules"][0]["refusal"]["reason"]
def sent(source):
    return reimport("app", modules=[{"name": "app", "source": source, "digest": "sha256:" + "0" * 64}])
"""


def _run(world: World, code: str, files: dict[str, str]) -> None:
    world.run(PRELUDE + textwrap.dedent(code), files)


def test_what_is_prepared_changes_nothing_until_its_commit(world: World) -> None:
    _run(
        world,
        """
        result = prepare(sent("VALUE = 2"))
        assert result["outcome"] == "OUTCOME_PREPARED", result
        assert result["modules"][0]["name"] == "app" and engine.revision == 0
        assert sys.modules["app"] is app and app.VALUE == 1
        before = time.time()
        result = commit()
        assert result["outcome"] == "OUTCOME_APPLIED" and result["revision"] == 1, result
        assert before <= result["committed_at_unix_s"] <= time.time()
        assert sys.modules["app"].VALUE == 2
        assert commit() == result, "a commit that is repeated is answered the same"
        assert prepare(sent("VALUE = 3"))["outcome"] == "OUTCOME_APPLIED", "so is a prepare of what was committed"
        assert sys.modules["app"].VALUE == 2
        applied(undo())
        assert sys.modules["app"] is app
        """,
        ONE,
    )


def test_what_is_prepared_under_an_id_is_neither_renewed_nor_done_with_other_contents(world: World) -> None:
    _run(
        world,
        """
        from modctl.agent.errors import RequestError
        def reused(ask):
            before = engine.revision, sys.modules["app"].VALUE
            try:
                ask()
            except RequestError as error:
                assert (error.code, error.reason) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED"), error
                assert before == (engine.revision, sys.modules["app"].VALUE)
                return True
            return False
        two, three = sent("VALUE = 2"), sent("VALUE = 3")
        def as_change(operation, contents, identity="uid:1"):
            return change(operation, request_id="r1", identity=identity, contents=contents)
        prepare(two, contents="sha256:2")
        assert reused(lambda: prepare(three, contents="sha256:3"))
        assert reused(lambda: as_change(three, "sha256:3"))
        assert reused(lambda: prepare(two, contents="sha256:2", identity="uid:2")), "nobody drops another's"
        assert reused(lambda: as_change(two, "sha256:2", identity="uid:2"))
        assert prepare(two, contents="sha256:2")["outcome"] == "OUTCOME_PREPARED", "the same again renews it"
        first = commit()
        assert first["outcome"] == "OUTCOME_APPLIED" and sys.modules["app"].VALUE == 2
        assert commit() == prepare(two, contents="sha256:2") == as_change(two, "sha256:2") == first
        assert reused(lambda: prepare(three, contents="sha256:3"))
        assert reused(lambda: as_change(three, "sha256:3"))
        assert reused(lambda: commit(identity="uid:2")), "nobody hears another's answer"
        # What was dropped, or whose lease is over, has left nothing behind.
        prepare(three, request_id="r2", contents="sha256:3")
        assert abandon("r2")
        assert prepare(two, request_id="r2", contents="sha256:2", lease_s=0.05)["outcome"] == "OUTCOME_PREPARED"
        time.sleep(0.1)
        assert change(three, request_id="r2", identity="uid:1", contents="sha256:3")["outcome"] == "OUTCOME_APPLIED"
        """,
        ONE,
    )


def test_what_is_abandoned_or_over_is_not_prepared(world: World) -> None:
    _run(
        world,
        """
        assert reason(commit()) == "NOT_PREPARED"
        prepare(sent("VALUE = 2"))
        assert abandon() is True and abandon() is False
        assert reason(commit()) == "NOT_PREPARED"
        prepare(sent("VALUE = 2"), lease_s=0.05)
        assert engine.next_expiry_s() <= 0.05
        time.sleep(0.1)
        assert reason(commit()) == "NOT_PREPARED"
        prepare(sent("VALUE = 2"), lease_s=0.05)
        time.sleep(0.1)
        engine.expire()
        assert not engine._memory.holding._held, "the agent's own timer ends leases"
        prepare(sent("VALUE = 2"))
        prepare(sent("VALUE = 4"))
        commit()
        assert sys.modules["app"].VALUE == 4, "the newer one under an id is meant"
        """,
        ONE,
    )


def test_nobody_commits_what_somebody_else_has_prepared(world: World) -> None:
    _run(
        world,
        """
        prepare(sent("VALUE = 2"))
        assert reason(commit(identity="uid:2")) == "NOT_PREPARED"
        assert abandon(identity="uid:2") is False
        assert commit()["outcome"] == "OUTCOME_APPLIED"
        """,
        ONE,
    )


def test_a_change_in_between_makes_the_commit_fail_and_leaves_that_change(world: World) -> None:
    _run(
        world,
        """
        prepare(sent("VALUE = 2"))
        applied(sent("VALUE = 3"))
        result = commit()
        assert result["outcome"] in ("OUTCOME_FAILED", "OUTCOME_REFUSED"), result
        assert sys.modules["app"].VALUE == 3 and engine.revision == 1
        """,
        ONE,
    )


def test_a_frozen_process_commits_nothing_and_goes_on_when_thawed(world: World) -> None:
    _run(
        world,
        """
        prepare(sent("VALUE = 2"))
        answer("freeze", reason="deploy")
        assert reason(commit()) == "FROZEN"
        answer("thaw")
        assert commit()["outcome"] == "OUTCOME_APPLIED"
        """,
        ONE,
    )


def test_what_cannot_be_staged_is_not_held(world: World) -> None:
    _run(
        world,
        """
        assert prepare(sent("1 / 0"))["outcome"] == "OUTCOME_FAILED"
        assert prepare(evict("nobody"))["outcome"] == "OUTCOME_REFUSED"
        assert reason(commit()) == "NOT_PREPARED"
        for lease_s in (-1, "x", 301, True):
            try:
                prepare(sent("VALUE = 2"), lease_s=lease_s)
            except RequestError as error:
                assert error.reason == "BAD_REQUEST"
            else:
                raise AssertionError(lease_s)
        assert prepare(undo())["outcome"] == "OUTCOME_REFUSED"
        """,
        ONE,
    )


def test_what_staging_loaded_goes_with_what_is_abandoned(world: World) -> None:
    _run(
        world,
        """
        prepare(sent("import helper\\nVALUE = 2"))
        assert abandon()
        assert "helper" not in sys.modules and app.VALUE == 1
        """,
        ONE,
    )


def test_only_so_many_changes_wait_at_once(world: World) -> None:
    _run(
        world,
        """
        for number in range(16):
            assert prepare(sent("VALUE = 2"), request_id=f"r{number}")["outcome"] == "OUTCOME_PREPARED"
        try:
            prepare(sent("VALUE = 2"), request_id="one-more")
        except RequestError as error:
            assert error.reason == "BUSY"
        else:
            raise AssertionError
        assert commit("r3")["outcome"] == "OUTCOME_APPLIED"
        """,
        ONE,
    )


def test_an_expression_sees_loaded_modules_and_nothing_else(world: World) -> None:
    world.run(
        """
        import app, app.part
        def evaluate(expression, **fields):
            return answer("evaluate", expression=expression, **fields)[0]
        assert evaluate("app.part.VALUE * 2 == 4") == {
            "truth": True, "value": {"type": "bool", "value": "True", "truncated": False}}
        assert evaluate("[name for name in ('x', 'y') if len(name) == app.ONE]")["value"]["value"] == "['x', 'y']"
        assert evaluate("not app")["truth"] is False
        assert evaluate("zlib_is_not_here")["raised"]["type"] == "NameError"
        assert evaluate("1 +")["raised"]["type"] == "SyntaxError"
        assert evaluate("app.boom()")["raised"] ["message"] == "boom"
        assert evaluate("app.leave()")["raised"]["type"] == "SystemExit"
        for bad in ("", " ", None, 3, "a\\0b", "x" * 30_000):
            try:
                evaluate(bad)
            except RequestError as error:
                assert error.reason == "BAD_REQUEST"
            else:
                raise AssertionError(bad)
        try:
            evaluate("app.forever()", timeout_s=0.2)
        except RequestError as error:
            assert (error.code, error.reason) == ("DEADLINE_EXCEEDED", "TIMED_OUT")
        else:
            raise AssertionError
        assert evaluate("app.ONE")["truth"], "the next one is answered"
        """,
        {
            "app/__init__.py": """
                ONE = 1
                def boom(): raise ValueError("boom")
                def leave(): raise SystemExit(3)
                def forever():
                    while True: pass
                """,
            "app/part.py": "VALUE = 2\n",
        },
    )
