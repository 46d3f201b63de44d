"""Changes while other threads import, run and fork."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

HAMMER = """
sys.setswitchinterval(1e-5)
stop, errors, runs = threading.Event(), [], [0]

def hammer(work):
    def loop():
        while not stop.is_set():
            try:
                work()
                runs[0] += 1
            except BaseException as error:
                import traceback
                errors.append("".join(traceback.format_exc()))
                return
    threads = [threading.Thread(target=loop, daemon=True) for _ in range(4)]
    [thread.start() for thread in threads]
    return threads

def done(threads):
    stop.set()
    [thread.join(20) for thread in threads]
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    assert not errors, errors[0]
    assert runs[0] > 100, runs
"""
FILES = {
    "pk/__init__.py": "from . import half\nDONE = True\n",
    "pk/half.py": "import time\nFIRST = 1\nfor _ in range(2000): pass\nLAST = 1\n",
    "pk/leaf.py": "import pk.half\nfrom .half import LAST\nDONE = True\n",
}


def test_importers_see_no_missing_and_no_half_module_while_it_is_reimported(world: World) -> None:
    world.run(
        HAMMER
        + """
import pk.leaf
def work():
    import pk.half, pk.leaf
    from pk import half
    from pk.half import LAST
    module = sys.modules["pk.half"]
    assert module.LAST == 1 and sys.modules["pk.leaf"].DONE and half.LAST == 1 and pk.half.LAST == 1
threads = hammer(work)
for number in range(60):
    applied(reimport("pk.half"))
    applied(reimport("pk", recursive=True))
done(threads)
""",
        FILES,
    )


def test_importers_get_no_key_error_and_nothing_is_executed_twice_while_it_is_evicted(world: World) -> None:
    world.run(
        HAMMER
        + """
import pk.leaf
active, twice, total = [0], [], [0]
sys.counting = lambda: (total.__setitem__(0, total[0] + 1))
write("counted.py", "import sys, time\\nsys.counting()\\ntime.sleep(0.001)\\nDONE = True\\n")
def work():
    import counted
    assert counted.DONE
    import pk.leaf
    from pk.leaf import LAST
    module = sys.modules.get("pk.leaf")
    assert module is None or "DONE" in vars(module) or module.__spec__._initializing
threads = hammer(work)
evictions = 0
deadline = time.monotonic() + 4
while time.monotonic() < deadline:
    for operation in (evict("counted"), evict("pk", recursive=True)):
        result = change(operation)
        if result["outcome"] == "OUTCOME_APPLIED":
            evictions += operation == evict("counted")
        else:
            assert {each["refusal"]["reason"] for each in result["modules"]} <= {"NOT_LOADED", "IN_FLIGHT"}, result
done(threads)
assert evictions > 10, evictions
assert total[0] <= evictions + 1, (total, evictions)
""",
        FILES,
    )


def test_an_import_in_flight_is_waited_for_or_refused_and_runs_once(world: World) -> None:
    world.run(
        """
        sys.runs = []
        write("pk/slow.py", "import sys, time\\nsys.runs.append(1)\\ntime.sleep(0.6)\\nX = 1\\n")
        import pk
        problems = []
        def importer():
            try:
                import pk.slow
                assert pk.slow.X == 1
            except BaseException as error:
                problems.append(repr(error))
        thread = threading.Thread(target=importer)
        thread.start()
        while not sys.runs:
            time.sleep(0.001)
        began = time.monotonic()
        result = change(evict("pk", recursive=True))  # a child is in flight: its importer needs the parent
        assert result["outcome"] == "OUTCOME_REFUSED", result
        assert {each["refusal"]["reason"] for each in result["modules"]} == {"IN_FLIGHT"}
        thread.join()
        assert not problems and sys.runs == [1], problems
        applied(evict("pk", recursive=True))
        """,
        FILES,
    )


def test_a_child_that_begins_to_import_after_the_plan_is_waited_for(world: World) -> None:
    world.run(
        """
        sys.runs = []
        write("pk/slow.py", "import sys, time\\nsys.runs.append(1)\\ntime.sleep(0.6)\\nX = 1\\n")
        write("wait.py", "import sys, threading\\nsys.go.set()\\nwhile not sys.runs: pass\\n")
        import pk
        sys.go = threading.Event()
        problems = []
        def importer():
            sys.go.wait()
            try:
                import pk.slow
                assert pk.slow.X == 1
            except BaseException as error:
                problems.append(repr(error))
        thread = threading.Thread(target=importer)
        thread.start()
        result = change(evict("pk", recursive=True), load("wait"))  # executing `wait` lets the importer begin
        thread.join()
        assert not problems and sys.runs == [1], problems
        assert result["outcome"] in ("OUTCOME_APPLIED", "OUTCOME_REFUSED"), result
        """,
        FILES,
    )


def test_an_importer_of_a_module_that_is_being_injected_waits_for_it_or_does_not_find_it(world: World) -> None:
    world.run(
        """
        seen = []
        def importer():
            while not seen:
                try:
                    import fresh
                except ModuleNotFoundError:
                    continue
                except BaseException as error:
                    seen.append(repr(error))
                    return
                seen.append(getattr(fresh, "LAST", "half"))
        threads = [threading.Thread(target=importer) for _ in range(4)]
        [thread.start() for thread in threads]
        applied(inject("fresh", "import time\\nFIRST = 1\\ntime.sleep(0.3)\\nLAST = 1\\n"))
        [thread.join() for thread in threads]
        assert set(seen) == {1}, seen
        """
    )


def test_importers_that_never_pause_do_not_keep_a_change_out(world: World) -> None:
    # Without modctl they starve whoever else wants the name's import lock: 3.10 always, 3.11 mostly.
    world.run(
        """
        seen, ended = [], []
        def importer():
            while not ended:
                try:
                    import fresh
                except ModuleNotFoundError:
                    continue
                seen.append(getattr(fresh, "LAST", "half"))
                return
        threads = [threading.Thread(target=importer) for _ in range(4)]
        [thread.start() for thread in threads]
        began = time.monotonic()
        result = change(inject("fresh", "FIRST = 1\\nLAST = 1\\n"), timeout_s=8)
        took = time.monotonic() - began
        ended.append(True)
        [thread.join() for thread in threads]
        assert result["outcome"] == "OUTCOME_APPLIED", result
        assert took < 8, took
        assert set(seen) == {1}, seen
        import importlib._bootstrap
        assert importlib._bootstrap._find_and_load.__code__.co_varnames[:2] == ("name", "import_")
        assert importlib._bootstrap._find_and_load.__closure__ is None, "the hook is still there"
        """
    )


def test_other_threads_never_see_the_change_before_it_is_made(world: World) -> None:
    world.run(
        """
        import pk.half, builtins
        real = builtins.__import__
        before = pk.half
        write("pk/half.py", "import time\\ntime.sleep(0.5)\\nLAST = 2\\n")
        results = []
        thread = threading.Thread(target=lambda: results.append(applied(reimport("pk.half"))))
        thread.start()
        time.sleep(0.2)
        import importlib
        from pk import half
        assert half is before and importlib.import_module("pk.half") is before and sys.modules["pk.half"] is before
        import colorsys  # a first import by another thread meanwhile
        thread.join()
        assert results and pk.half.LAST == 2 and builtins.__import__ is real
        assert importlib._bootstrap._gcd_import.__code__.co_name == "_gcd_import"
        applied(undo())
        assert "colorsys" in sys.modules, "what others imported meanwhile is not the change's"
        """,
        FILES,
    )


def test_somebody_who_changes_the_entry_meanwhile_wins(world: World) -> None:
    world.run(
        """
        import pk.half
        mine = type(sys)("pk.half")
        write("pk/half.py", "import time\\ntime.sleep(0.4)\\nLAST = 2\\n")
        results = []
        thread = threading.Thread(target=lambda: results.append(change(reimport("pk.half"))))
        thread.start()
        time.sleep(0.15)
        sys.modules["pk.half"] = mine
        thread.join()
        assert results[0]["outcome"] == "OUTCOME_FAILED" and "meanwhile" in results[0]["message"], results
        assert sys.modules["pk.half"] is mine and engine.revision == 0
        """,
        FILES,
    )


def test_reads_go_on_while_a_change_takes_its_time(world: World) -> None:
    world.run(
        """
        thread = threading.Thread(target=lambda: applied(inject("slow", "import time\\ntime.sleep(0.8)\\n")))
        thread.start()
        time.sleep(0.1)
        began = time.monotonic()
        rows(); get("json"); answer("list_revisions"); engine.watch([], None).poll()
        assert time.monotonic() - began < 0.5
        thread.join()
        """
    )


def test_many_changes_at_once_queue_up(world: World) -> None:
    world.run(
        """
        results = []
        def work(number):
            results.append(applied(inject(f"made{number}", f"X = {number}")))
        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(each["revision"] for each in results) == list(range(1, 21))
        assert all(sys.modules[f"made{number}"].X == number for number in range(20))
        """
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_during_a_change_gives_a_child_that_imports_and_changes(world: World) -> None:
    world.run(
        """
        import warnings
        warnings.simplefilter("ignore")
        import builtins
        real = builtins.__import__
        os.register_at_fork(before=lambda: engine.quiesce(0.05), after_in_parent=engine.resume,
                            after_in_child=engine.after_fork_in_child)
        applied(inject("early", "X = 1"))
        thread = threading.Thread(target=lambda: applied(inject("slow", "import time\\ntime.sleep(1)\\n")))
        thread.start()
        time.sleep(0.2)
        assert "slow" in sys.modules
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                assert builtins.__import__ is real and "slow" not in sys.modules
                assert engine.revision == 1 and rows("early")
                applied(inject("slow", "Y = 2"))
                import slow, colorsys
                assert slow.Y == 2
                applied(undo(1))
                status = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        thread.join()
        assert sys.modules["slow"].time and engine.revision == 2
        """
    )


def test_quiescing_holds_changes_back_until_resumed(world: World) -> None:
    world.run(
        """
        assert engine.quiesce(1.0)
        done = []
        thread = threading.Thread(target=lambda: done.append(applied(inject("x", ""))))
        thread.start()
        time.sleep(0.2)
        assert not done
        engine.resume()
        thread.join()
        assert done
        engine.resume()  # in vain, and harmless
        slow = threading.Thread(target=lambda: applied(inject("slow", "import time\\ntime.sleep(0.5)\\n")))
        slow.start()
        time.sleep(0.1)
        assert engine.quiesce(0.05) is False
        engine.resume()
        slow.join()
        """
    )
