# ruff: noqa: E501 - sources as they stand, a case a line
"""Functions that calls under way make from replaced code, and what was made since when a change is taken back.

Each runs twice: the process plans by itself, and a gateway plans for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from agent.live.test_changing import in_process

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = '''
import gc, threading, time
TEXT = """
import asyncio
KEPT = []
def make(n):
    def inner(): return "{0}", n
    return inner
def generate():
    while True:
        def inner(): return "{0}"
        yield inner
def serve(go_on, told):
    while go_on.acquire():
        def inner(): return "{0}"
        KEPT.append(inner)
        told.release()
class Box:
    def opener(self, n):
        class Lid:
            def lift(self): return "{0}", n
        return Lid
async def later(go_on):
    await go_on.wait()
    return lambda: "{0}"
"""
def text(word): return TEXT.replace("{0}", word)
write("born.py", text("old"))
import born
number = 0
def reload(word):
    answer = change(patch("born", text(word)))
    assert answer["outcome"] == "OUTCOME_APPLIED", answer
def look():
    due_s = engine._memory.born.next_due_s()
    assert due_s is not None and engine.next_expiry_s() <= due_s <= 1, due_s
    time.sleep(due_s + 0.01)
    assert engine.next_expiry_s() == 0
    engine.expire()
def watched(): return engine._memory.born.next_due_s() is not None
'''


@pytest.fixture(params=["planned here", "planned by a gateway"])
def run(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Runs a test's body in a process of its own."""

    def does(body: str) -> None:
        import textwrap

        in_process(BODY + textwrap.dedent(body), gateway=request.param != "planned here")

    return does


def test_what_a_suspended_generator_makes_gets_the_new_code(run: Callable[[str], None]) -> None:
    run("""
        old = born.generate(); next(old)
        reload("new")
        made = next(old)
        assert made() == "old", "the generator began with the old code"
        look()
        assert made() == "new" and watched(), "it may make more"
        another = next(old)
        look()
        assert another() == "new"
        old.close(); del old
        engine._memory.born.look()
        assert not watched()
    """)


def test_what_a_thread_in_an_old_loop_makes_gets_the_new_code(run: Callable[[str], None]) -> None:
    run("""
        go_on, told = threading.Semaphore(0), threading.Semaphore(0)
        thread = threading.Thread(target=born.serve, args=(go_on, told), daemon=True); thread.start()
        go_on.release(); told.acquire()
        reload("new")
        go_on.release(); told.acquire()
        assert [each() for each in born.KEPT] == ["new", "old"]
        look()
        assert [each() for each in born.KEPT] == ["new", "new"] and watched()
        reload("newer")
        go_on.release(); told.acquire()
        assert born.KEPT[-1]() == "old", "two versions ago"
        look()
        assert [each() for each in born.KEPT] == ["newer"] * 3, "it is led through both"
        assert undo()["outcome"] == "OUTCOME_APPLIED"
        assert [each() for each in born.KEPT] == ["new"] * 3
        go_on.release(); told.acquire()
        look()
        assert [each() for each in born.KEPT] == ["new"] * 4
    """)


def test_what_a_coroutine_makes_gets_the_new_code(run: Callable[[str], None]) -> None:
    run("""
        import asyncio
        async def main():
            go_on = asyncio.Event()
            task = asyncio.ensure_future(born.later(go_on))
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, reload, "new")
            engine._memory.born.look()
            assert watched(), "the coroutine waits in the old code"
            go_on.set()
            made = await task
            assert made() == "old"
            look()
            assert made() == "new" and not watched()
        asyncio.run(main())
    """)


def test_what_was_made_since_goes_back_with_the_change(run: Callable[[str], None]) -> None:
    run("""
        a, lid = born.make(1), born.Box().opener(1)
        reload("new")
        b, lid2 = born.make(2), born.Box().opener(2)
        new = born.generate(); kept = next(new)
        assert (a(), b(), lid().lift(), lid2().lift(), kept()) == (("new", 1), ("new", 2), ("new", 1), ("new", 2), "new")
        assert undo()["outcome"] == "OUTCOME_APPLIED"
        assert (a(), b(), lid().lift(), lid2().lift(), kept()) == (("old", 1), ("old", 2), ("old", 1), ("old", 2), "old")
        made = next(new)
        assert made() == "new", "its generator began with the new code"
        look()
        assert made() == "old"
        c = born.make(3)
        assert undo(2)["outcome"] == "OUTCOME_APPLIED", "the undo is undone"
        assert (a(), b(), c(), kept(), made()) == (("new", 1), ("new", 2), ("new", 3), "new", "new")
        assert undo(3)["outcome"] == "OUTCOME_APPLIED"
        assert (a(), b(), c(), kept(), made()) == (("old", 1), ("old", 2), ("old", 3), "old", "old")
    """)


def test_a_closure_that_does_not_fit_is_told_and_left(run: Callable[[str], None]) -> None:
    run("""
        other = text("new").replace('def inner(): return "new", n', 'extra = n\\n    def inner(): return "new", n, extra')
        answer = change(patch("born", other))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        b = born.make(2)
        assert b() == ("new", 2, 2)
        answer = undo()
        assert answer["outcome"] == "OUTCOME_APPLIED" and "inner made since" in answer["message"], answer
        assert b() == ("new", 2, 2) and born.make(3)() == ("old", 3)
    """)


def test_nobody_is_watched_for_nothing(run: Callable[[str], None]) -> None:
    run("""
        walks = []
        objects, referrers = gc.get_objects, gc.get_referrers
        a = born.make(1)
        reload("new")
        gc.get_objects = lambda *a: walks.append("objects") or objects(*a)
        gc.get_referrers = lambda *a: walks.append("referrers") or referrers(*a)
        look()
        assert not walks, "the counts tell that nobody has old code; nobody is suspended in it"
        assert not watched() and a() == ("new", 1)
        write("plain.py", "def f(): return 1\\n")
        import plain
        assert change(patch("plain", "def f(): return 2\\n"))["outcome"] == "OUTCOME_APPLIED"
        assert not watched(), "nothing is made inside of it"
    """)


def test_a_watch_ends_with_its_time_and_holds_nothing(run: Callable[[str], None]) -> None:
    run("""
        import weakref
        from modctl.agent.engine.live import born as watching
        old = born.generate(); next(old)
        reload("new")
        made = next(old)
        gone = weakref.ref(made)
        look()
        del made
        next(old)  # it lets go of the one before
        assert gone() is None, "what was found is not kept"
        watching.time.monotonic, now = (lambda: now() + watching.LAST_LOOK_S), watching.time.monotonic
        engine._memory.born.look()
        watching.time.monotonic = now
        assert not watched(), "the time is over although the generator is still there"
        assert next(old)() == "old"
    """)


def test_frozen_processes_are_left_alone_until_they_thaw(run: Callable[[str], None]) -> None:
    run("""
        old = born.generate(); next(old)
        reload("new")
        made = next(old)
        list(engine.answer({"op": "freeze", "reason": "incident"}))
        time.sleep(0.3)
        engine.expire()
        assert made() == "old"
        list(engine.answer({"op": "thaw"}))
        look()
        assert made() == "new"
    """)
