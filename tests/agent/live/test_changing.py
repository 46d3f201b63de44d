# ruff: noqa: E501 - sources as they stand, a case a line
"""Reloads through the engine's own door: requests in, answers out, revisions kept.

Each runs twice: the process plans by itself, and a gateway plans for it.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PRELUDE = """
import hashlib, json, os, sys, tempfile, itertools
folder = tempfile.mkdtemp(); sys.path.insert(0, folder); sys.dont_write_bytecode = True
from modctl.agent.engine import Engine
engine = Engine(); engine.start()
ids = itertools.count()
def sha(source): return "sha256:" + hashlib.sha256(source.encode()).hexdigest()
def write(name, source):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file: file.write(source)
def change(*operations, **more):
    request = {"op": "change", "request_id": f"r{next(ids)}", "identity": "me", "reason": "", "dry_run": False, "timeout_s": 5,
               "override_protected": [], "operations": list(operations), **more}
    return json.loads(engine.change(request))
def patch(name, source=None, **more):
    op = {"name": name, "mode": "REIMPORT_MODE_PATCH", **more}
    if source is not None: op["modules"] = [{"name": name, "source": source, "digest": sha(source), "filename": "/x.py"}]
    return {"reimport": op}
def undo(revision=0): return change({"undo": {"revision": revision}})
def reason(answer): return {each["name"]: each["refusal"]["reason"] for each in answer["modules"]}
def row(name):
    [batch] = [b for b in engine.answer({"op": "list_modules", "patterns": [name]})]
    return json.loads(batch)["modules"][0]
write("tax.py", "RATE = 7\\ndef tax(x): return x * RATE\\n")
write("shop.py", "from tax import tax, RATE\\nTEXT = f'{RATE} %'\\n")
import tax, shop
held = tax.tax
"""


#: A gateway's thinking stands between the test and the engine.
GATEWAY = """
import asyncio
from modctl.agent.errors import RequestError
from modctl.agent.wire import parse_body
from modctl.gateway.analysis.rounds import Analysis
from modctl.gateway.errors import CallFailure
asked = []  # of each request that was sent: whether it had plans, and what was missing
async def ask(body):
    request = parse_body(body)
    try:
        answer = json.loads(engine.change(request))
    except RequestError as error:
        asked.append((bool(request.get("planned", {}).get("plans")), error.reason, error.metadata.get("needs")))
        raise CallFailure(error.code, error.reason, str(error), error.metadata)
    asked.append((bool(request.get("planned", {}).get("plans")), "", None))
    return answer
async def in_thread(work): return work()
analysis = Analysis(in_thread)
def through_gateway(request):
    names = [op["reimport"]["name"] for op in request["operations"]]
    sent = {m["name"]: m["source"].encode() for op in request["operations"] for m in op["reimport"].get("modules", ())}
    asked.clear()
    return asyncio.run(analysis.change("p", json.dumps(request).encode(), names, sent, ask))
plain = change
def change(*operations, **more):
    if not all(op.get("reimport", {}).get("mode") == "REIMPORT_MODE_PATCH" for op in operations):
        return plain(*operations, **more)
    request = {"op": "change", "request_id": f"r{next(ids)}", "identity": "me", "reason": "", "dry_run": False, "timeout_s": 5,
               "override_protected": [], "operations": list(operations), **more}
    return through_gateway(request)
"""


@pytest.fixture(params=["planned here", "planned by a gateway"])
def run(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Runs a test's body in a process of its own."""
    return lambda body: in_process(body, gateway=request.param != "planned here")


def in_process(body: str, *, gateway: bool, prelude: str = PRELUDE) -> None:
    script = prelude + (GATEWAY if gateway else "") + textwrap.dedent(body)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_an_edited_file_is_reloaded_with_its_dependents_and_undone(run: Callable[[str], None]) -> None:
    run("""
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        answer = change(patch("tax"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and answer["revision"] == 1 and answer["undoable"], answer
        assert {m["name"]: m["tier"] for m in answer["modules"]} == {"tax": "TIER_PATCH", "shop": "TIER_PATCH"}
        assert answer["modules"][0]["symbols"] == {"changed": ["RATE", "tax"]}
        assert held(1) == 20 and shop.TEXT == "19 %"
        assert row("tax")["generation"] == 2
        answer = undo()
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 7 and shop.TEXT == "7 %", answer
        assert undo(2)["outcome"] == "OUTCOME_APPLIED" and held(1) == 20
        assert undo(3)["outcome"] == "OUTCOME_APPLIED" and held(1) == 7
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20
    """)


def test_a_dry_run_says_the_same_and_touches_nothing(run: Callable[[str], None]) -> None:
    run("""
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        before = dict(tax.__dict__), dict(shop.__dict__)
        planned = change(patch("tax"), dry_run=True)
        assert planned["outcome"] == "OUTCOME_PLANNED" and (dict(tax.__dict__), dict(shop.__dict__)) == before
        applied = change(patch("tax"))
        assert [m.get("symbols") for m in planned["modules"]] == [m.get("symbols") for m in applied["modules"]]
        assert change(patch("tax"))["outcome"] == "OUTCOME_UNCHANGED"
    """)


def test_an_audit_hook_in_python_is_told_of_before_and_after(run: Callable[[str], None]) -> None:
    run("""
from modctl.agent.engine.live.audited import NOTE
new = "RATE = 8\\ndef tax(x): return x * RATE + 0\\n"
for heard in (False, True):
    write("tax.py", new)
    for dry_run in (True, False):
        told = change(patch("tax"), dry_run=dry_run)
        assert told["outcome"] == ("OUTCOME_PLANNED" if dry_run else "OUTCOME_APPLIED"), told
        assert (NOTE in told.get("side_effects", ())) is heard, told
    assert undo()["outcome"] == "OUTCOME_APPLIED"
    assert held(1) == 7
    if not heard:
        sys.addaudithook(lambda event, arguments: None)
""")


def test_the_digest_of_what_ran_is_told_although_the_file_is_another_one_now(run: Callable[[str], None]) -> None:
    run("""
        old, new = "RATE = 7\\ndef tax(x): return x * RATE\\n", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n"
        for _ in range(3): engine.expire()
        write("tax.py", new)
        told = lambda answer: [(m["before"]["digest"], m["after"]["digest"]) for m in answer["modules"] if m["name"] == "tax"]
        assert change(patch("tax", base_digest=sha("x")))["outcome"] == "OUTCOME_REFUSED"
        answer = change(patch("tax", base_digest=sha(old)))
        assert told(answer) == [(sha(old), sha(new))], answer
        answer = undo()
        assert told(answer) == [(sha(new), sha(old))], answer
    """)


def test_sent_sources_are_patched_and_said_to_be(run: Callable[[str], None]) -> None:
    run("""
        answer = change(patch("tax", "RATE = 5\\ndef tax(x): return x * RATE\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 5 and row("tax")["digest"] == sha("RATE = 5\\ndef tax(x): return x * RATE\\n")
        detail = json.loads(next(iter(engine.answer({"op": "get_module", "name": "tax", "with_source": True}))))
        assert detail["source"].startswith("RATE = 5")
        assert change(patch("*ax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 7, "the file is another than what runs"
        assert change(patch("*ax"))["outcome"] == "OUTCOME_UNCHANGED"
    """)


def test_patterns_take_what_changed_and_leave_what_is_protected(run: Callable[[str], None]) -> None:
    run("""
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        answer = change(patch("*"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and shop.TEXT == "8 %", answer
        assert {m["name"] for m in answer["modules"]} == {"tax", "shop"}
        assert reason(change(patch("nothing_like_it*"))) == {"nothing_like_it*": "NOT_LOADED"}
    """)


def test_refusals_come_together_with_reasons(run: Callable[[str], None]) -> None:
    run("""
        assert reason(change(patch("json"), patch("nope"), patch("__main__"))) == {"json": "PROTECTED", "nope": "NOT_LOADED", "__main__": "PROTECTED"}
        answer = change(patch("tax", "def (:"))
        assert reason(answer) == {"tax": "BAD_SOURCE"} and answer["modules"][0]["error"]["line"] == 1
        assert reason(change(patch("tax", "RATE = 1\\n", base_digest="sha256:other"))) == {"tax": "BASE_DIFFERS"}
        assert reason(change(patch("tax"), {"evict": {"name": "shop"}})) == {"shop": "UNSUPPORTED"}
        assert held(1) == 7 and engine.revision == 0
    """)


def test_a_statement_that_raises_fails_the_change_with_its_traceback(run: Callable[[str], None]) -> None:
    run("""
        answer = change(patch("tax", "RATE = 1\\nX = 1 / 0\\n"))
        assert answer["outcome"] == "OUTCOME_FAILED" and answer["modules"][0]["error"]["type"] == "ZeroDivisionError"
        assert held(1) == 7 and not hasattr(tax, "X") and engine.revision == 0
        answer = change(patch("tax", "RATE = 1\\nwhile True: pass\\n"), timeout_s=0.3)
        assert answer["outcome"] == "OUTCOME_FAILED" and answer["modules"][0]["error"]["type"] == "TimeoutError", answer
        assert held(1) == 7
    """)


def test_a_revision_that_was_built_upon_is_not_undone_first(run: Callable[[str], None]) -> None:
    run("""
        change(patch("tax", "RATE = 1\\ndef tax(x): return x * RATE\\n"))
        change(patch("tax", "RATE = 2\\ndef tax(x): return x * RATE\\n"))
        assert list(reason(undo(1)).values()) == ["NOT_UNDOABLE"] and held(1) == 2
        assert undo(2)["outcome"] == "OUTCOME_APPLIED" and undo(1)["outcome"] == "OUTCOME_APPLIED" and held(1) == 7
    """)


def test_injected_modules_are_reloaded_too(run: Callable[[str], None]) -> None:
    run("""
        change({"inject": {"name": "made", "modules": [{"name": "made", "source": "def f(): return 1\\n", "digest": "sha256:a"}]}})
        import made
        f = made.f
        answer = change(patch("made", "def f(): return 2\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and f() == 2, answer
        assert undo()["outcome"] == "OUTCOME_APPLIED" and f() == 1
    """)


def test_new_modules_come_with_the_change_and_go_with_its_undo(run: Callable[[str], None]) -> None:
    run("""
        sent = [{"name": "tax", "source": "import util\\nRATE = util.rate()\\ndef tax(x): return x * RATE\\n"},
                {"name": "util", "source": "def rate(): return 3\\n"}]
        for module in sent: module["digest"] = sha(module["source"])
        answer = change({"reimport": {"name": "tax", "mode": "REIMPORT_MODE_PATCH", "modules": sent}})
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 3 and "util" in sys.modules, answer
        undo()
        assert held(1) == 7 and "util" not in sys.modules
    """)


def test_a_reload_that_comes_again_is_answered_the_same_whatever_its_plans_say(run: Callable[[str], None]) -> None:
    run("""
        from modctl.agent.errors import RequestError
        def reload(contents, **more): return change(patch("tax"), request_id="again", contents=contents, **more)
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        first = reload("sha256:1")
        assert first["outcome"] == "OUTCOME_APPLIED" and held(1) == 20, first
        write("tax.py", "RATE = 21\\ndef tax(x): return x * RATE + 2\\n")  # other plans for the same request
        assert reload("sha256:1") == first and held(1) == 20
        for more in ({}, {"identity": "you"}):
            try: reload("sha256:1" if more else "sha256:2", **more)
            except Exception as error: assert getattr(error, "reason", "") == "REQUEST_ID_REUSED", error
            else: raise AssertionError("it was answered")
        assert held(1) == 20 and engine.revision == 1
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 23
    """)


def test_a_prepared_reload_changes_nothing_before_its_commit(run: Callable[[str], None]) -> None:
    run("""
        request = {"op": "prepare", "request_id": "p", "identity": "me", "reason": "", "dry_run": False, "timeout_s": 5, "lease_s": 30,
                   "override_protected": [], "operations": [patch("tax", "RATE = 4\\ndef tax(x): return x * RATE\\n")]}
        answer = json.loads(engine.change(request))
        assert answer["outcome"] == "OUTCOME_PREPARED" and held(1) == 7, answer
        answer = json.loads(engine.change({"op": "commit", "request_id": "p", "identity": "me"}))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 4, answer
    """)


def test_a_gateway_is_told_what_it_lacks_once_and_knows_it_the_next_time() -> None:
    in_process(
        """
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20 and shop.TEXT == "19 %"
        assert asked[-1] == (True, "", None) and all(reason == "NEEDS" for _, reason, _ in asked[:-1]), asked
        write("tax.py", "RATE = 21\\ndef tax(x): return x * RATE + 2\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 23 and shop.TEXT == "21 %"
        assert asked == [(True, "", None)], asked
        assert analysis.plans_made == 3, analysis.plans_made  # tax twice, shop once
        undo()
        assert held(1) == 20 and shop.TEXT == "19 %"
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 23, asked
        """,
        gateway=True,
    )


def test_who_has_but_a_number_from_a_changed_module_follows_the_first_time_and_later() -> None:
    in_process(
        """
        write("rate.py", "RATE = 7\\nMORE = 8\\n")
        write("third.py", "from rate import RATE\\nTEXT = f'{RATE} only'\\n")
        write("fourth.py", "from rate import MORE\\nTEXT = f'{MORE} more'\\n")
        import rate, third, fourth
        write("rate.py", "RATE = 19\\nMORE = 8\\n")
        assert change(patch("rate"))["outcome"] == "OUTCOME_APPLIED" and third.TEXT == "19 only", [(plans, reason, list(json.loads(n or '{}'))) for plans, reason, n in asked]
        assert not any(reason == "BAD_PLAN" for _, reason, _ in asked) and asked[-1] == (True, "", None), asked
        write("rate.py", "RATE = 19\\nMORE = 20\\n")
        assert change(patch("rate"))["outcome"] == "OUTCOME_APPLIED" and fourth.TEXT == "20 more", asked
        write("rate.py", "RATE = 21\\nMORE = 22\\n")
        assert change(patch("rate"))["outcome"] == "OUTCOME_APPLIED", asked
        assert (third.TEXT, fourth.TEXT) == ("21 only", "22 more") and asked == [(True, "", None)], asked
        """,
        gateway=True,
    )


def test_a_text_that_a_process_does_not_tell_is_not_asked_for_for_ever() -> None:
    in_process(
        """
        from modctl.agent.engine.live import planned
        write("rate.py", "RATE = 7\\n")
        write("third.py", "from rate import RATE\\nTEXT = f'{RATE} only'\\n")
        import rate, third
        real = planned.Asking._ask_for_texts
        planned.Asking._ask_for_texts = lambda self: self._offer.texts == ["rate"] and real(self)
        write("rate.py", "RATE = 19\\n")
        write("third.py", "from rate import RATE  # not what is loaded\\n")
        assert change(patch("rate"))["outcome"] == "OUTCOME_APPLIED" and third.TEXT == "19 only", [(plans, reason, list(json.loads(n or '{}'))) for plans, reason, n in asked]
        assert len(asked) < 12 and asked[-1] == (False, "", None), [(plans, reason) for plans, reason, _ in asked]
        """,
        gateway=True,
    )


@pytest.mark.parametrize("part", ["[0, 10**9]", "[-1, 5]", "[5, -1]", "'ab'", "[1]", "7", "[0.5, 2]"])
def test_a_plan_that_refers_to_what_is_not_attached_is_refused_and_the_process_plans_by_itself(part: str) -> None:
    in_process(
        f"""
        from modctl.gateway.analysis import session
        real = session.Session._entry
        session.Session._entry = lambda *a, **k: {{**real(*a, **k), "plan": {part}}}
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 8 and shop.TEXT == "8 %"
        assert [reason for _, reason, _ in asked][-2:] == ["BAD_PLAN", ""], asked
        """,
        gateway=True,
    )


def test_large_plans_are_made_and_sent_once_nothing_else_is_missing() -> None:
    in_process(
        """
        from modctl.gateway.analysis import session
        session._LARGE_BYTES = 0
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20 and shop.TEXT == "19 %"
        needs = [json.loads(needs) for _, reason, needs in asked if reason == "NEEDS"]
        assert needs[-1] == {"plans": [{"name": "tax"}, {"name": "shop"}]}, needs
        assert not any("plans" in each for each in needs[:-1]) and len(needs) > 1, needs
        assert analysis.plans_made == 2, analysis.plans_made
        write("tax.py", "RATE = 21\\ndef tax(x): return x * RATE + 2\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 23 and shop.TEXT == "21 %"
        assert asked == [(True, "", None)], asked
        """,
        gateway=True,
    )


def test_a_follower_that_changed_unseen_is_looked_at_again() -> None:
    in_process(
        """
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        change(patch("tax"))
        assert shop.TEXT == "8 %"
        plain(patch("shop", "from tax import tax, RATE\\nTEXT = f'{RATE} of a hundred'\\n"))
        assert shop.TEXT == "8 of a hundred"
        write("tax.py", "RATE = 9\\ndef tax(x): return x * RATE\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED"
        assert shop.TEXT == "9 of a hundred", asked
        """,
        gateway=True,
    )


def test_a_plan_made_for_another_version_is_never_used() -> None:
    in_process(
        """
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        change(patch("tax"))
        plain(patch("tax", "RATE = 5\\nONLY = 1\\ndef tax(x): return x * RATE * 10\\n"))
        assert held(1) == 50 and tax.ONLY == 1
        write("tax.py", "RATE = 6\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED"
        assert asked[0][1] == "NEEDS" and held(1) == 7 and not hasattr(tax, "ONLY"), asked
        """,
        gateway=True,
    )


def test_a_plan_that_cannot_be_read_is_refused_and_the_process_plans_by_itself() -> None:
    in_process(
        """
        from modctl.gateway.analysis import session
        real = session.Session._entry
        session.Session._entry = lambda *a, **k: {**real(*a, **k), "plan": a[0]._attach(b"no plan")}
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 8 and shop.TEXT == "8 %"
        assert [reason for _, reason, _ in asked][-2:] == ["BAD_PLAN", ""], asked
        """,
        gateway=True,
    )


def test_a_module_that_the_program_reloaded_itself_is_looked_at_again() -> None:
    in_process(
        """
        import importlib
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        change(patch("tax"))
        write("tax.py", "RATE = 88\\ndef tax(x): return x * RATE\\ndef more(): return 1\\n")
        importlib.reload(tax)
        assert tax.more() == 1
        write("tax.py", "RATE = 9\\ndef tax(x): return x * RATE\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED"
        assert tax.tax(1) == 9 and not hasattr(tax, "more"), asked
        """,
        gateway=True,
    )


#: The modules were loaded before anybody watched, and their files written a moment before: nothing proves them yet.
EARLIER = (
    PRELUDE.replace("engine = Engine(); engine.start()\n", "")
    + """
import time
engine = Engine(); engine.start()
deadline_s = time.monotonic() + 10
while engine.next_expiry_s() is not None and time.monotonic() < deadline_s:
    time.sleep(engine.next_expiry_s()); engine.expire()  # looks at files, too
def sent(kind): return [each for _, _, needs in asked if needs for each in json.loads(needs).get(kind, ())]
"""
)


def test_what_was_loaded_before_is_proven_by_what_a_gateway_compiles() -> None:
    """The process reads no source for it."""
    in_process(
        """
        from modctl.agent.engine.live import baselines
        from modctl.source import plan
        def never(*_, **__): raise AssertionError("the process read a source")
        baselines.read_text = never
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20 and shop.TEXT == "19 %"
        assert [each["name"] for each in sent("modules")] == ["tax"] and sent("modules")[0]["unproven"], asked
        assert sent("followers")[0]["unproven"], asked
        write("tax.py", "RATE = 20\\ndef tax(x): return x * RATE + 2\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 22 and shop.TEXT == "20 %"
        assert asked == [(True, "", None)], asked
        undo()
        undo()
        assert held(1) == 7 and shop.TEXT == "7 %" and tax.RATE == 7
        write("tax.py", "RATE = 7\\ndef tax(x): return x * RATE\\n")
        assert change(patch("tax"))["outcome"] in ("OUTCOME_UNCHANGED", "OUTCOME_APPLIED") and held(1) == 7
        """,
        gateway=True,
        prelude=EARLIER,
    )


@pytest.mark.parametrize(
    "meddle",
    [
        "tax.tax.__code__ = (lambda x: x).__code__.replace(co_filename=held.__code__.co_filename)",
        "tax.RATE = 8",
        "del tax.RATE",
    ],
    ids=["other code", "another constant", "a name less"],
)
@pytest.mark.parametrize("gateway", [False, True], ids=["planned here", "planned by a gateway"])
def test_what_is_loaded_differs_from_its_file_and_nothing_is_changed(meddle: str, gateway: bool) -> None:
    in_process(
        f"""
        {meddle}
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        code = tax.tax.__code__
        for _ in range(2):
            answer = change(patch("tax"))
            assert reason(answer) == {{"tax": "BASE_DIFFERS"}}, answer
        assert tax.tax.__code__ is code and shop.TEXT == "7 %"
        """,
        gateway=gateway,
        prelude=EARLIER,
    )


def test_a_follower_that_is_not_what_its_file_says_is_told_of_and_the_change_is_made() -> None:
    in_process(
        """
        shop.more = 1
        del shop.TEXT
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        answer = change(patch("tax"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 20, answer
        assert any("whether shop has to follow cannot be told" in note for note in answer["side_effects"]), answer
        assert len([each for each in sent("unprovable") if each["name"] == "shop"]) == 1, asked
        write("tax.py", "RATE = 20\\ndef tax(x): return x * RATE + 2\\n")
        answer = change(patch("tax"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 22, answer
        assert any("whether shop has to follow cannot be told" in note for note in answer["side_effects"]), answer
        """,
        gateway=True,
        prelude=EARLIER,
    )


def test_a_proof_of_something_else_is_not_taken() -> None:
    """What a gateway compiled from another text than the process has kept proves nothing."""
    in_process(
        """
        from modctl.gateway.analysis import session
        real = session.Session._proofs
        def wrong(self, names):
            return [{**each, "old": "sha256:" + "0" * 64} for each in real(self, names)]
        session.Session._proofs = wrong
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20
        assert not asked[-1][0], asked  # it gave up and planned by itself
        """,
        gateway=True,
        prelude=EARLIER,
    )


def test_a_proof_that_cannot_be_read_is_refused_and_the_process_plans_by_itself() -> None:
    in_process(
        """
        from modctl.gateway.analysis import session
        real = session.Session._proofs
        session.Session._proofs = lambda self, names: [
            {**each, "proof": self._attach(b"none")} for each in real(self, names)
        ]
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        assert change(patch("tax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 20 and shop.TEXT == "19 %"
        assert [reason for _, reason, _ in asked][-2:] == ["BAD_PLAN", ""], asked
        """,
        gateway=True,
        prelude=EARLIER,
    )


#: One engine stands for several processes that have the same loaded.
ALIKE = """
    from modctl.gateway.analysis.rounds import Offers
    trips, sent_bodies = [], []
    async def in_thread(work):
        trips.append(work)
        await asyncio.sleep(0)
        return work()
    analysis = Analysis(in_thread)
    async def asking(body):
        sent_bodies.append(body)
        return await ask(body)
    def all_of(source, *processes, names=("shop",)):
        operation = patch("shop", source)
        request = {"op": "change", "request_id": "", "identity": "me", "dry_run": True, "operations": [operation]}
        body, offers = json.dumps(request).encode(), Offers()
        async def each(process):
            return await analysis.change(process, body, list(names), {"shop": source.encode()}, asking, offers)
        async def together():
            return await asyncio.gather(*map(each, processes))
        trips.clear(); sent_bodies.clear(); asked.clear()
        return asyncio.run(together())
    first, second = (f"from tax import tax, RATE\\nTEXT = f'{{RATE}} {sign}'\\n" for sign in "$#")
"""


def alike(body: str) -> None:
    in_process(textwrap.dedent(ALIKE) + textwrap.dedent(body), gateway=True)


def test_processes_of_which_the_same_is_known_are_offered_the_same_worked_out_once() -> None:
    alike("""
        all_of(first, "a", "b", "c")  # nothing is known of them yet
        answers = all_of(second, "a", "b", "c")
        assert [each["outcome"] for each in answers] == ["OUTCOME_PLANNED"] * 3, answers
        assert len(trips) == 1 and len(sent_bodies) == 3 and len(set(map(id, sent_bodies))) == 1
        assert [reason for _, reason, _ in asked] == [""] * 3
        assert answers[0]["modules"] == answers[1]["modules"] == answers[2]["modules"]
    """)


def test_one_of_which_something_else_is_known_or_nothing_gets_its_own_offer() -> None:
    alike("""
        all_of(first, "a", "b", "c")
        known = analysis._known["b"].facts
        known["shop"] = known["shop"]._replace(digest=analysis._texts.add(b"TEXT = ''"), proven_by=None)
        answers = all_of(second, "a", "b", "c", "d")
        assert [each["outcome"] for each in answers] == ["OUTCOME_PLANNED"] * 4, answers
        assert len({a["modules"][0]["after"]["digest"] for a in answers}) == 1, answers
        assert len(set(sent_bodies)) > 1, asked
        assert any(reason == "NEEDS" for _, reason, _ in asked), asked  # what was believed of b is not so
        assert known["shop"].digest == analysis._known["a"].facts["shop"].digest, (known["shop"], analysis._known["a"].facts["shop"])
    """)


def test_what_is_offered_to_one_is_no_part_of_what_another_is_asked() -> None:
    alike("""
        from modctl.gateway.analysis.session import Session
        all_of(first, "a", "b")
        real, taken = Session.take, []
        def take(self, needs):
            taken.append(self)
            real(self, needs)
        Session.take = take
        seen = []
        async def asking(body):
            seen.append(body)
            if len(seen) == 1:  # the first one says that it needs more, while the second has the same offer
                raise CallFailure("FAILED_PRECONDITION", "NEEDS", "", {"needs": json.dumps({"unsure": [{"name": "json", "file": ""}]})})
            return await ask(body)
        answers = all_of(second, "a", "b")
        assert [each["outcome"] for each in answers] == ["OUTCOME_PLANNED"] * 2, answers
        assert len(taken) == 1 and len(seen) == 3
        assert "json" in analysis._known["a"].unsure and "json" not in analysis._known["b"].unsure
    """)


def test_a_change_of_constants_lets_nobody_take_the_agent_s_place_and_one_that_runs_does() -> None:
    in_process(
        """
        from modctl.agent import standby
        def handed_over(*operations):
            told = []
            standby.stand_in(lambda: told.append("handed over"))
            answer = change(*operations)
            needed = standby.step_back()
            assert answer["outcome"] == "OUTCOME_APPLIED" and needed is not bool(told), answer
            return bool(told)
        write("lone.py", "RATE = 7\\ndef f(x): return x * RATE\\nclass C:\\n    limit = 1\\n")
        import lone
        new = "RATE = {0}\\ndef f(x): return x * RATE + {0}\\nclass C:\\n    limit = {0}\\n"
        handed_over(patch("lone", new.format(8)))  # what is loaded is proven first
        assert not handed_over(patch("lone", new.format(9)))
        assert (lone.RATE, lone.f(1), lone.C.limit) == (9, 18, 9)
        keep = [lone.f.__code__]  # somebody else has the code: the heap is walked
        assert handed_over(patch("lone", new.format(10)))
        assert lone.f(1) == 20
        del keep
        slow = "import time; time.sleep(0.3)\\n"
        assert handed_over(patch("lone", slow + new.format(11)))
        assert lone.RATE == 11
        assert handed_over(plain_patch := patch("lone", slow + new.format(12))) in (True, False) and lone.RATE == 12
        """,
        gateway=True,
    )
