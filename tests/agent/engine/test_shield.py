"""The shield: no change lands inside a unit of work, and nobody waits for ever."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

FILES = {"app.py": "def one(): return 1\ndef two(): return 1\n"}
PRELUDE = """
import asyncio, contextvars
import app
from modctl import agent
from modctl.agent import shielding

def new(value, wait_s=2.0, mode="REIMPORT_MODE_PATCH", **options):
    source = f"def one(): return {value}\\ndef two(): return {value}\\n"
    sent = [{"name": "app", "source": source, "digest": "sha256:" + "0" * 64}]
    return change({"reimport": {"name": "app", "mode": mode, "modules": sent}}, shield_wait_s=wait_s, **options)

def later(work):
    results = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.results = results
    return thread

def gate_is_closed():
    until = time.monotonic() + 5
    while shielding._gate is None:
        assert time.monotonic() < until, "nobody asked for the gate"
        time.sleep(0.001)
"""


def _run(world: World, code: str) -> None:
    world.run(PRELUDE + textwrap.dedent(code), FILES)


def test_a_change_waits_for_the_unit_of_work_that_is_under_way(world: World) -> None:
    _run(
        world,
        """
        for mode in ("REIMPORT_MODE_PATCH", "REIMPORT_MODE_FRESH"):
            value = sys.modules["app"].one() + 1
            with agent.shield():
                first = sys.modules["app"].one()
                changing = later(lambda: new(value, mode=mode))
                gate_is_closed()
                time.sleep(0.05)
                assert sys.modules["app"].two() == first
            changing.join()
            assert changing.results[0]["outcome"] == "OUTCOME_APPLIED", changing.results
            assert changing.results[0]["shield_wait_ms"] >= 40
            assert sys.modules["app"].one() == value
        """,
    )


def test_work_that_does_not_end_refuses_the_change_and_is_named(world: World) -> None:
    _run(
        world,
        """
        release = threading.Event()
        def handle():
            with agent.shield("GET /slow"):
                release.wait(10)
        worker = threading.Thread(target=handle, name="web-7")
        worker.start()
        time.sleep(0.05)
        result = new(2, wait_s=0.2)
        assert result["outcome"] == "OUTCOME_REFUSED", result
        refusal = result["modules"][0]["refusal"]
        assert refusal["reason"] == "SHIELDED"
        assert all(part in refusal["hint"] for part in ("web-7", "GET /slow", "threading.py")), refusal
        assert app.one() == 1 and engine.revision == 0
        release.set()
        worker.join()
        assert new(2)["outcome"] == "OUTCOME_APPLIED" and app.one() == 2
        """,
    )


def test_a_change_is_latched_new_work_waits_and_then_sees_the_new_code(world: World) -> None:
    _run(
        world,
        """
        release, seen = threading.Event(), []
        def slow():
            with agent.shield():
                release.wait(10)
        def quick():
            with agent.shield():
                seen.append(app.one())
        worker = threading.Thread(target=slow)
        worker.start()
        time.sleep(0.05)
        changing = later(lambda: new(2))
        gate_is_closed()
        quicks = [threading.Thread(target=quick) for _ in range(8)]
        [each.start() for each in quicks]
        time.sleep(0.1)
        assert seen == [], "work began while a change was latched"
        release.set()
        [each.join() for each in (worker, changing, *quicks)]
        assert changing.results[0]["outcome"] == "OUTCOME_APPLIED"
        assert seen == [2] * 8, seen
        """,
    )


def test_the_gate_opens_with_the_commit_and_not_after_the_bookkeeping(world: World) -> None:
    # A process of a wave keeps still after its commit for the others' sake; its requests need not.
    _run(
        world,
        """
        from modctl.agent.engine import holding
        holding.SETTLE_MS = 1500
        value = 1
        for mode in ("REIMPORT_MODE_PATCH", "REIMPORT_MODE_FRESH"):
            for hook in ("", "def __modctl_after__(old): pass\\n"):
                value += 1
                source = f"{hook}def one(): return {value}\\ndef two(): return {value}\\n"
                sent = [{"name": "app", "source": source, "digest": "sha256:" + "0" * 64}]
                operations = [{"reimport": {"name": "app", "mode": mode, "modules": sent}}]
                asked = {"request_id": f"r{value}", "identity": "uid:1"}
                ready = json.loads(engine.change({"op": "prepare", "operations": operations, **asked}))
                assert ready["outcome"] == "OUTCOME_PREPARED", ready
                release, seen = threading.Event(), []
                def slow():
                    with agent.shield():
                        release.wait(10)
                def quick():
                    with agent.shield():
                        seen.append((sys.modules["app"].one(), time.monotonic()))
                worker = threading.Thread(target=slow)
                worker.start()
                time.sleep(0.05)
                changing = later(lambda: json.loads(engine.change({"op": "commit", **asked})))
                gate_is_closed()
                reader = threading.Thread(target=quick)
                reader.start()
                time.sleep(0.05)
                release.set()
                began = time.monotonic()
                [each.join() for each in (worker, reader, changing)]
                assert changing.results[0]["outcome"] == "OUTCOME_APPLIED", changing.results
                (found, at), = seen
                assert found == value
                # Where the program hands its state over, requests wait for that.
                assert (at - began > 1.4) if hook else (at - began < 1.0), (mode, hook, at - began)
        """,
    )


def test_the_gate_is_open_when_an_undo_writes_its_books(world: World) -> None:
    _run(
        world,
        """
        journal = engine._memory.journal
        add, gates = journal.add, []
        journal.add = lambda revision: (gates.append(shielding._gate), add(revision))[1]
        for mode in ("REIMPORT_MODE_PATCH", "REIMPORT_MODE_FRESH"):
            new(2, mode=mode)
            assert sys.modules["app"].one() == 2
            applied(undo())
            assert sys.modules["app"].one() == 1
        assert gates == [None] * 4, gates
        """,
    )


def test_units_of_work_without_end_do_not_starve_a_change(world: World) -> None:
    _run(
        world,
        """
        stop, mixed, worst_s = threading.Event(), [], [0.0]
        def load():
            while not stop.is_set():
                began = time.monotonic()
                with agent.shield():
                    a = app.one()
                    time.sleep(0.0005)
                    if app.two() != a:
                        mixed.append(a)
                worst_s[0] = max(worst_s[0], time.monotonic() - began)
        threads = [threading.Thread(target=load) for _ in range(8)]
        [each.start() for each in threads]
        for value in range(2, 42):
            result = new(value)
            assert result["outcome"] == "OUTCOME_APPLIED", result
        stop.set()
        [each.join() for each in threads]
        assert not mixed and app.one() == 41 and worst_s[0] < 2.5, (mixed, worst_s)
        """,
    )


def test_nested_shields_and_copied_contexts_pass_a_closed_gate(world: World) -> None:
    _run(
        world,
        """
        entered = []
        def inner():
            with agent.shield():
                entered.append(1)
        with agent.shield():
            changing = later(lambda: new(2))
            gate_is_closed()
            began = time.monotonic()
            inner()
            context = contextvars.copy_context()
            helper = threading.Thread(target=context.run, args=(inner,))
            helper.start()
            helper.join(1)
            assert entered == [1, 1] and time.monotonic() - began < 0.5, entered
        changing.join()
        assert changing.results[0]["outcome"] == "OUTCOME_APPLIED"
        # The context outlives the unit of work that it was copied from: now it is one of its own, and waits.
        release = threading.Event()
        holder = threading.Thread(target=lambda: hold(release))
        def hold(release):
            with agent.shield():
                release.wait(5)
        holder.start()
        time.sleep(0.05)
        changing = later(lambda: new(3))
        gate_is_closed()
        helper = threading.Thread(target=context.run, args=(inner,))
        helper.start()
        helper.join(0.1)
        assert helper.is_alive() and entered == [1, 1]
        release.set()
        helper.join(); holder.join(); changing.join()
        assert entered == [1, 1, 1] and app.one() == 3
        """,
    )


def test_coroutines_wait_without_blocking_those_that_they_wait_for(world: World) -> None:
    _run(
        world,
        """
        seen = []
        async def slow(gate):
            async with agent.shield("slow"):
                first = app.one()
                await gate.wait()
                seen.append((first, app.two()))
        async def quick():
            async with agent.shield():
                seen.append(app.one())
        async def main():
            gate = asyncio.Event()
            task = asyncio.create_task(slow(gate))
            await asyncio.sleep(0.02)
            changing = later(lambda: new(2))
            await asyncio.to_thread(gate_is_closed)
            waiting = [asyncio.create_task(quick()) for _ in range(5)]
            await asyncio.sleep(0.05)
            assert seen == []
            with agent.shield():  # blocks no loop whose tasks hold one
                pass
            gate.set()
            await asyncio.gather(task, *waiting)
            await asyncio.to_thread(changing.join)
            assert changing.results[0]["outcome"] == "OUTCOME_APPLIED", changing.results
        asyncio.run(main())
        assert seen == [(1, 1)] + [2] * 5, seen
        assert not shielding._held
        """,
    )


def test_coroutines_at_the_gate_are_told_when_it_opens(world: World) -> None:
    _run(
        world,
        """
        shielding._LOOK_S = 30  # they are not to find out by themselves
        async def request():
            async with agent.shield():
                return sys.modules["app"].one()
        async def main():
            release, entered = threading.Event(), threading.Event()
            def hold():
                with agent.shield():
                    entered.set()
                    release.wait(20)
            holding = later(hold)
            entered.wait(20)
            changing = later(lambda: new(2))
            while shielding._gate is None:
                await asyncio.sleep(0.001)
            waiting = [asyncio.create_task(request()) for _ in range(5)]
            gone = asyncio.create_task(request())
            await asyncio.sleep(0.05)
            assert not any(each.done() for each in waiting), "the gate is closed"
            gone.cancel()
            release.set()
            began_s = time.monotonic()
            assert await asyncio.gather(*waiting) == [2] * 5
            assert time.monotonic() - began_s < 5
            assert gone.cancelled()
            changing.join()
            holding.join()
        asyncio.run(main())
        assert not shielding._held, shielding._held
        # A loop that was closed meanwhile is nobody to be told.
        loop = asyncio.new_event_loop()
        gate = shielding.Gate(5)
        shielding._gate = gate
        task = loop.create_task(gate.opening(asyncio, 30))
        loop.run_until_complete(asyncio.sleep(0))
        shielding._gate = None
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()
        gate.open()
        """,
    )


def test_the_gate_is_closed_in_a_lull(world: World) -> None:
    """The clock and the count are given: what is looked at is when the waiting ends."""
    _run(
        world,
        """
        now_s = 0.0
        class Held(dict):
            def __init__(self, counts): self.counts = counts; self.looks = 0
            def __len__(self):
                self.looks += 1
                return self.counts(now_s)
        def glance(seconds):
            global now_s
            now_s += seconds
        shielding._real_sleep, shielding._monotonic = glance, lambda: now_s
        real = shielding._held
        def waited_ms(counts, timeout_s=2.0):
            global now_s
            now_s, shielding._held = 0.0, Held(counts)
            shielding._await_lull(timeout_s)
            return round(now_s * 1e3, 1)
        assert waited_ms(lambda at_s: 0) == 0, "nobody is inside"
        assert waited_ms(lambda at_s: 0 if at_s > 0.001 else 3) < 2, "nobody is inside any more"
        two = waited_ms(lambda at_s: 2 if 0.002 < at_s < 0.003 or 0.009 < at_s < 0.01 else 4)
        assert 9 < two < 10, ("as few as were seen before", two)
        assert 4 < waited_ms(lambda at_s: 5) < 5, "there are always as many"
        rising = waited_ms(lambda at_s: 1 + int(at_s * 1e4))
        assert 20 <= rising < 21, ("it waits no longer", rising)
        assert waited_ms(lambda at_s: 1 + int(at_s * 1e4), timeout_s=0.005) < 6, "nor longer than was said"
        shielding._held = real
        """,
    )


def test_a_cancelled_wait_leaves_nothing_behind(world: World) -> None:
    _run(
        world,
        """
        async def main():
            release = asyncio.Event()
            async def slow():
                async with agent.shield():
                    await release.wait()
            task = asyncio.create_task(slow())
            await asyncio.sleep(0.01)
            changing = later(lambda: new(2, wait_s=1.0))
            await asyncio.to_thread(gate_is_closed)
            async def waits():
                async with agent.shield():
                    raise AssertionError("went in")
            waiting = asyncio.create_task(waits())
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert len(shielding._held) == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(changing.join)
            assert changing.results[0]["outcome"] == "OUTCOME_APPLIED", changing.results
        asyncio.run(main())
        assert not shielding._held
        """,
    )


def test_decorators_shield_functions_coroutines_and_generators(world: World) -> None:
    _run(
        world,
        """
        @agent.shield
        def plain(a, b=1):
            "doc"
            assert shielding.holds_here()
            return a + b
        @agent.shield("named")
        async def coroutine():
            assert shielding.holds_here() and shielding.holders()[0].what == "named"
            return 3
        @agent.shield
        def generator():
            assert shielding.holds_here()
            got = yield 1
            assert shielding.holds_here()
            return got
        assert plain(1) == 2 and plain.__doc__ == "doc" and asyncio.run(coroutine()) == 3
        made = generator()
        assert not shielding._held
        assert next(made) == 1 and len(shielding._held) == 1
        try:
            made.send(5)
        except StopIteration as end:
            assert end.value == 5
        assert not shielding._held
        left = generator(); next(left); del left
        assert not shielding._held, "a generator that was given up holds"
        try:
            @agent.shield
            async def nobody():
                yield
        except TypeError as error:
            assert "async with" in str(error)
        else:
            raise AssertionError
        shared = agent.shield()
        with shared:
            with shared:
                assert len(shielding._held) == 2
        assert not shielding._held
        """,
    )


def test_threads_that_died_inside_hold_nothing(world: World) -> None:
    _run(
        world,
        """
        def dies():
            agent.shield().__enter__()
        thread = threading.Thread(target=dies)
        thread.start(); thread.join()
        kept = list(shielding._held)
        assert len(kept) == 1
        assert new(2)["outcome"] == "OUTCOME_APPLIED" and not shielding._held
        """,
    )


def test_a_unit_of_work_that_asks_for_a_change_itself_is_refused_in_time(world: World) -> None:
    _run(
        world,
        """
        with agent.shield("POST /admin/reload"):
            changing = later(lambda: new(2, wait_s=0.3))
            changing.join(5)
            assert not changing.is_alive()
        assert changing.results[0]["modules"][0]["refusal"]["reason"] == "SHIELDED"
        with agent.shield():  # in the very thread: it cannot be waited for, and is not
            assert new(3, wait_s=0.3)["outcome"] == "OUTCOME_APPLIED"
        """,
    )


def test_shields_inside_the_code_that_a_change_runs_do_not_wait_for_it(world: World) -> None:
    _run(
        world,
        '''
        source = """
        from modctl import agent
        with agent.shield():
            LOADED = 1
        def one(): return 7
        def two(): return 7
        def __modctl_after__(old):
            with agent.shield("hook"):
                global HANDED
                HANDED = old["one"]
        """
        import textwrap
        sent = [{"name": "app", "source": textwrap.dedent(source), "digest": "sha256:" + "0" * 64}]
        began = time.monotonic()
        result = change({"reimport": {"name": "app", "modules": sent}})
        assert result["outcome"] == "OUTCOME_APPLIED", result
        assert time.monotonic() - began < 1.5 and sys.modules["app"].HANDED is app.one
        ''',
    )


def test_a_fork_inside_a_unit_of_work_goes_ahead_and_the_child_is_free(world: World) -> None:
    _run(
        world,
        """
        release = threading.Event()
        def other():
            with agent.shield():
                release.wait(10)
        thread = threading.Thread(target=other); thread.start()
        time.sleep(0.05)
        with agent.shield():
            changing = later(lambda: new(2, wait_s=3.0))
            gate_is_closed()
            began = time.monotonic()
            quiesced = engine.quiesce(1.0)
            assert not quiesced and time.monotonic() - began < 0.5, "a fork waited for a change that waits for it"
            pid = os.fork()
            if pid == 0:
                try:
                    engine.after_fork_in_child()
                    assert shielding._gate is None and len(shielding._held) == 1
                    assert not [each for each in shielding.holders() if each.what == "x"]
                except BaseException:
                    import traceback; traceback.print_exc()
                    os._exit(1)
                finally:
                    pass
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        release.set()
        thread.join(); changing.join()
        assert changing.results[0]["outcome"] == "OUTCOME_APPLIED"
        """,
    )


def test_what_holds_a_change_up_is_told(world: World) -> None:
    _run(
        world,
        """
        with agent.shield("GET /here"):
            locks = get("app", with_locks=True)["locks"]
            assert [each["kind"] for each in locks] == ["SHIELD"], locks
            assert locks[0]["what"] == "GET /here" and locks[0]["thread"] == "MainThread" and locks[0]["place"]
        assert get("app", with_locks=True)["locks"] == [] and "locks" not in get("app")
        """,
    )


def test_wsgi_and_asgi_requests_are_units_of_work(world: World) -> None:
    _run(
        world,
        """
        from modctl.agent.asgi import ShieldMiddleware as Asgi
        from modctl.agent.wsgi import ShieldMiddleware as Wsgi
        inside = lambda: len(shielding._held)
        def streams(environ, start):
            assert inside() == 1
            def parts():
                yield b"a"
                assert inside() == 1
                yield b"b"
            return parts()
        response = Wsgi(streams)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, None)
        assert inside() == 1 and list(response) == [b"a", b"b"] and inside() == 1
        response.close()
        assert inside() == 0
        response = Wsgi(streams)({}, None)
        del response
        assert inside() == 0, "a server that forgets close()"
        whole = [b"whole"]
        assert Wsgi(lambda environ, start: whole)({}, None) is whole and inside() == 0
        def fails(environ, start):
            raise ValueError("no")
        try:
            Wsgi(fails)({}, None)
        except ValueError:
            assert inside() == 0
        assert Wsgi(lambda e, s: iter([bytes([inside()])]), exempt=lambda environ: True)({}, None).__next__() == b"\\0"
        seen = []
        async def application(scope, receive, send):
            await asyncio.sleep(0)
            seen.append((scope["type"], inside()))
        async def main():
            for kind in ("http", "websocket", "lifespan"):
                await Asgi(application)({"type": kind, "path": "/"}, None, None)
        asyncio.run(main())
        assert seen == [("http", 1), ("websocket", 0), ("lifespan", 0)] and inside() == 0, seen
        """,
    )
