"""What can neither wait nor run anybody's code is executed where the change is made; everything else on a thread."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

PRELUDE = '''
import base64, importlib.util, marshal
from modctl.agent.engine import threads

workers = []
real = threads.Worker.run

def counted(self, timeout_s):
    workers.append(self)
    return real(self, timeout_s)

threads.Worker.run = counted

def sent(name, source, straight=True, **fields):
    """As the gateway sends it, compiled."""
    filename = "/modctl/" + name.replace(".", "/") + ".py"
    code = base64.b64encode(marshal.dumps(compile(source, filename, "exec", dont_inherit=True))).decode()
    module = {"name": name, "source": source, "filename": filename, "code": code, "straight": straight,
              "magic": importlib.util.MAGIC_NUMBER.hex(), "optimize": sys.flags.optimize}
    return {"inject": {"name": name, "modules": [module], "replace": True, **fields}}
'''


def run(world: World, code: str, files: dict[str, str] | None = None) -> None:
    world.run(PRELUDE + textwrap.dedent(code), files)


def test_straight_code_needs_no_thread_and_behaves_the_same(world: World) -> None:
    run(
        world,
        """
        result = applied(sent("plain", "X = 1\\ndef f():\\n    return X\\nclass C:\\n    y = 2\\n"))
        import plain
        assert (plain.X, plain.f(), plain.C.y, plain.__name__) == (1, 1, 2, "plain")
        assert not workers
        applied(sent("plain", "X = 2\\n"))
        assert sys.modules["plain"].X == 2 and plain.X == 1 and not hasattr(sys.modules["plain"], "f")
        applied(evict("plain"))
        applied({"inject": {"name": "stub", "attributes": {"A": "1"}}})
        applied({"inject": {"name": "blocked", "block": True}})
        assert not workers
        for _ in range(5):
            applied(undo())
        assert not {"plain", "stub", "blocked"} & set(sys.modules)
        """,
    )


def test_a_name_that_is_not_there_fails_and_leaves_no_trace(world: World) -> None:
    run(
        world,
        """
        error = failed(sent("broken", "X = 1\\nY = Nothing\\n"))
        assert error["type"] == "NameError" and "/modctl/broken.py" in error["traceback"], error
        assert "broken" not in sys.modules and not workers
        """,
    )


def test_code_that_only_claims_nothing_gets_a_thread_and_a_time_limit(world: World) -> None:
    run(
        world,
        """
        error = failed(sent("endless", "while True: pass\\n", straight=False), timeout_s=0.3)
        assert error["type"] == "TimeoutError" and len(workers) == 1
        source_alone = {"inject": {"name": "endless", "modules": [
            {"name": "endless", "source": "while True: pass\\n", "straight": True}]}}
        assert failed(source_alone, timeout_s=0.3)["type"] == "TimeoutError", "without the code it says nothing"
        assert len(workers) == 2
        """,
    )


def test_a_parent_that_has_to_be_imported_is_imported_on_a_thread(world: World) -> None:
    run(
        world,
        """
        applied(sent("shop.mock", "X = 1\\n"))
        assert len(workers) == 1 and sys.modules["shop"].mock.X == 1
        applied(sent("shop.mock2", "X = 1\\n"))
        assert len(workers) == 1 and sys.modules["shop"].mock2.X == 1
        """,
        {"shop/__init__.py": "import time\n"},
    )


def test_a_name_that_is_being_imported_is_waited_for_on_a_thread(world: World) -> None:
    run(
        world,
        """
        def slow():
            import slow_one
        importer = threading.Thread(target=slow)
        importer.start()
        while "slow_one" not in sys.modules:
            time.sleep(0.001)
        assert refused(sent("slow_one", "X = 1\\n")) == {"slow_one": "IN_FLIGHT"}
        importer.join()
        applied(sent("slow_one", "X = 1\\n"))
        assert sys.modules["slow_one"].X == 1
        """,
        {"slow_one.py": "import time\ntime.sleep(0.5)\n"},
    )
