# ruff: noqa: E501 - sources as they stand, a case a line
"""Reloads through the engine's own door: requests in, answers out, revisions kept."""

from __future__ import annotations

import subprocess
import sys
import textwrap

PRELUDE = """
import json, os, sys, tempfile, itertools
folder = tempfile.mkdtemp(); sys.path.insert(0, folder); sys.dont_write_bytecode = True
from modctl.agent.engine import Engine
engine = Engine(); engine.start()
ids = itertools.count()
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
    if source is not None: op["modules"] = [{"name": name, "source": source, "digest": "sha256:sent", "filename": "/x.py"}]
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


def run(body: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(body)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_an_edited_file_is_reloaded_with_its_dependents_and_undone() -> None:
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


def test_a_dry_run_says_the_same_and_touches_nothing() -> None:
    run("""
        write("tax.py", "RATE = 19\\ndef tax(x): return x * RATE + 1\\n")
        before = dict(tax.__dict__), dict(shop.__dict__)
        planned = change(patch("tax"), dry_run=True)
        assert planned["outcome"] == "OUTCOME_PLANNED" and (dict(tax.__dict__), dict(shop.__dict__)) == before
        applied = change(patch("tax"))
        assert [m.get("symbols") for m in planned["modules"]] == [m.get("symbols") for m in applied["modules"]]
        assert change(patch("tax"))["outcome"] == "OUTCOME_UNCHANGED"
    """)


def test_sent_sources_are_patched_and_said_to_be() -> None:
    run("""
        answer = change(patch("tax", "RATE = 5\\ndef tax(x): return x * RATE\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 5 and row("tax")["digest"] == "sha256:sent"
        detail = json.loads(next(iter(engine.answer({"op": "get_module", "name": "tax", "with_source": True}))))
        assert detail["source"].startswith("RATE = 5")
        assert change(patch("*ax"))["outcome"] == "OUTCOME_APPLIED" and held(1) == 7, "the file is another than what runs"
        assert change(patch("*ax"))["outcome"] == "OUTCOME_UNCHANGED"
    """)


def test_patterns_take_what_changed_and_leave_what_is_protected() -> None:
    run("""
        write("tax.py", "RATE = 8\\ndef tax(x): return x * RATE\\n")
        answer = change(patch("*"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and shop.TEXT == "8 %", answer
        assert {m["name"] for m in answer["modules"]} == {"tax", "shop"}
        assert reason(change(patch("nothing_like_it*"))) == {"nothing_like_it*": "NOT_LOADED"}
    """)


def test_refusals_come_together_with_reasons() -> None:
    run("""
        assert reason(change(patch("json"), patch("nope"), patch("__main__"))) == {"json": "PROTECTED", "nope": "NOT_LOADED", "__main__": "PROTECTED"}
        answer = change(patch("tax", "def (:"))
        assert reason(answer) == {"tax": "BAD_SOURCE"} and answer["modules"][0]["error"]["line"] == 1
        assert reason(change(patch("tax", "RATE = 1\\n", base_digest="sha256:other"))) == {"tax": "BASE_DIFFERS"}
        assert reason(change(patch("tax"), {"evict": {"name": "shop"}})) == {"shop": "UNSUPPORTED"}
        assert held(1) == 7 and engine.revision == 0
    """)


def test_a_statement_that_raises_fails_the_change_with_its_traceback() -> None:
    run("""
        answer = change(patch("tax", "RATE = 1\\nX = 1 / 0\\n"))
        assert answer["outcome"] == "OUTCOME_FAILED" and answer["modules"][0]["error"]["type"] == "ZeroDivisionError"
        assert held(1) == 7 and not hasattr(tax, "X") and engine.revision == 0
        answer = change(patch("tax", "RATE = 1\\nwhile True: pass\\n"), timeout_s=0.3)
        assert answer["outcome"] == "OUTCOME_FAILED" and answer["modules"][0]["error"]["type"] == "TimeoutError", answer
        assert held(1) == 7
    """)


def test_a_revision_that_was_built_upon_is_not_undone_first() -> None:
    run("""
        change(patch("tax", "RATE = 1\\ndef tax(x): return x * RATE\\n"))
        change(patch("tax", "RATE = 2\\ndef tax(x): return x * RATE\\n"))
        assert list(reason(undo(1)).values()) == ["NOT_UNDOABLE"] and held(1) == 2
        assert undo(2)["outcome"] == "OUTCOME_APPLIED" and undo(1)["outcome"] == "OUTCOME_APPLIED" and held(1) == 7
    """)


def test_injected_modules_are_reloaded_too() -> None:
    run("""
        change({"inject": {"name": "made", "modules": [{"name": "made", "source": "def f(): return 1\\n", "digest": "sha256:a"}]}})
        import made
        f = made.f
        answer = change(patch("made", "def f(): return 2\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED" and f() == 2, answer
        assert undo()["outcome"] == "OUTCOME_APPLIED" and f() == 1
    """)


def test_new_modules_come_with_the_change_and_go_with_its_undo() -> None:
    run("""
        sent = [{"name": "tax", "source": "import util\\nRATE = util.rate()\\ndef tax(x): return x * RATE\\n", "digest": "sha256:a"},
                {"name": "util", "source": "def rate(): return 3\\n", "digest": "sha256:b"}]
        answer = change({"reimport": {"name": "tax", "mode": "REIMPORT_MODE_PATCH", "modules": sent}})
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 3 and "util" in sys.modules, answer
        undo()
        assert held(1) == 7 and "util" not in sys.modules
    """)


def test_a_prepared_reload_changes_nothing_before_its_commit() -> None:
    run("""
        request = {"op": "prepare", "request_id": "p", "identity": "me", "reason": "", "dry_run": False, "timeout_s": 5, "lease_s": 30,
                   "override_protected": [], "operations": [patch("tax", "RATE = 4\\ndef tax(x): return x * RATE\\n")]}
        answer = json.loads(engine.change(request))
        assert answer["outcome"] == "OUTCOME_PREPARED" and held(1) == 7, answer
        answer = json.loads(engine.change({"op": "commit", "request_id": "p", "identity": "me"}))
        assert answer["outcome"] == "OUTCOME_APPLIED" and held(1) == 4, answer
    """)
