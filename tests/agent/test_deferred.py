"""The engine is loaded and attached on the agent's thread: what the service's own pays, and what may come amid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.host import Host

if TYPE_CHECKING:
    from pathlib import Path

#: Tells which thread loads which of our modules.
LOADED_BY = """
import _thread
loaded_by = {}
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("modctl."):
            loaded_by[name] = _thread.get_ident()
sys.meta_path.insert(0, Finder())
"""

#: Makes the engine's loading take half a second.
SLOWLY = """
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "modctl.agent.engine.rows":
            time.sleep(0.5)
sys.meta_path.insert(0, Slow())
"""

#: Whether nobody's wrapper is in the import system.
CLEAN = """
import importlib._bootstrap as bootstrap
originals = bootstrap._load_unlocked, bootstrap._exec
def clean():
    return (bootstrap._load_unlocked, bootstrap._exec) == originals
"""


def test_the_service_s_own_thread_loads_nothing_of_the_engine(state_dir: Path) -> None:
    code = f"""{LOADED_BY}
from modctl import agent
handle = agent.start(service="shop", required=True)
engine = {{name for name in loaded_by if name.startswith("modctl.agent.engine")}}
report(len(engine) > 10)
report(sorted(name for name in engine if loaded_by[name] == _thread.get_ident()))
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done() == [True, []]


def test_imports_and_edits_right_after_start_are_known(state_dir: Path) -> None:
    folder = state_dir.parent
    (folder / "later.py").write_text("X = 1\n")
    code = f"""
sys.path.insert(0, {str(folder)!r})
from modctl import agent
handle = agent.start(service="shop", required=True)
with open(__file__, "a") as file:
    file.write("# ed" + "ited\\n")
import later
engine = handle._runtime.engine
def rows(name):
    return [json.loads(body) for body in engine.answer({{"op": "list_modules", "patterns": [name]}})][0]["modules"]
report("import_ms" in rows("later")[0] and rows("later")[0]["_proven"])
def look():
    request = {{"op": "get_module", "name": "__main__", "with_source": True}}
    (detail,) = [json.loads(body) for body in engine.answer(request)]
    report(detail["source"].endswith("look()\\n"))
look()
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done() == [True, True]


def test_a_file_that_is_written_before_the_engine_is_there_shows_as_modified(state_dir: Path) -> None:
    folder = state_dir.parent
    (folder / "earlier.py").write_text("X = 1\n")
    code = f"""{SLOWLY}
sys.path.insert(0, {str(folder)!r})
import earlier
from modctl import agent
handle = agent.start(service="shop", wait=False)
time.sleep(0.2)
with open(earlier.__file__, "w") as file:
    file.write("X = 2\\n")
assert "modctl.agent.engine.rows" not in sys.modules
time.sleep(1.5)
report([json.loads(body) for body in handle._runtime.engine.answer({{"op": "list_modules", "patterns": ["earlier"]}})])
"""
    with Host(code, state_dir, engine="real") as host:
        ((body,),) = host.done()
        assert body["modules"][0]["_stat"] == [0, 0, 0]


def test_a_fork_waits_until_the_engine_is_loaded_and_parent_and_child_have_one(state_dir: Path) -> None:
    code = f"""{SLOWLY}
from modctl import agent
handle = agent.start(service="shop", wait=False)
time.sleep(0.1)
assert "modctl.agent.engine.rows" not in sys.modules
pid = os.fork()
import modctl.agent.engine.rows  # hangs where a half-done import was inherited
for _ in range(1000):
    if handle.addresses:
        break
    time.sleep(0.01)
report([pid == 0, handle.addresses != (), handle._runtime.engine.entries == len(sys.modules)])
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
"""
    with Host(code, state_dir, engine="real") as host:
        assert sorted(host.done()) == [[False, True, True], [True, True, True]]


def test_forks_at_any_moment_of_the_loading(state_dir: Path) -> None:
    code = """
from modctl import agent
for number in range(0, 20, 3):
    pid = os.fork()
    if pid == 0:
        handle = agent.start(service="shop", wait=False)
        time.sleep(number / 500)
        inner = os.fork()
        import modctl.agent.engine.engine
        for _ in range(2000):
            if handle.addresses:
                break
            time.sleep(0.005)
        report(handle.addresses != ())
        if inner:
            os.waitpid(inner, 0)
        handle.stop()
        os._exit(0)
    os.waitpid(pid, 0)
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done(within_s=120) == [True] * 14


def test_an_agent_that_is_stopped_while_its_engine_is_loaded_leaves_nothing_hooked(state_dir: Path) -> None:
    code = f"""{CLEAN}{SLOWLY}
from modctl import agent
for delay_s in (0.0, 0.1):
    handle = agent.start(service="shop", wait=False)
    time.sleep(delay_s)
    handle.stop()
report(clean())
import modctl.agent.engine
report(clean())
with agent.start(service="shop", required=True):
    report(clean())
report(clean())
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done() == [True, True, False, True]


def test_a_stop_that_does_not_wait_for_the_loading_hooks_nothing_in_the_end(state_dir: Path) -> None:
    code = f"""{CLEAN}{SLOWLY}
from modctl.agent.deferred import DeferredEngine
import _thread
def make():
    from modctl.agent.engine import Engine
    return Engine()
engine = DeferredEngine(make)
done = _thread.allocate_lock()
done.acquire()
def load():
    engine.start()
    done.release()
_thread.start_new_thread(load, ())
time.sleep(0.1)
engine.stop()
done.acquire()
report(clean())
engine.start()
report(clean())
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done() == [True, True]


def test_a_service_lives_without_an_engine_that_cannot_be_loaded(state_dir: Path) -> None:
    code = """
class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "modctl.agent.engine.rows":
            raise ImportError("half an installation")
sys.meta_path.insert(0, Broken())
from modctl import agent
handle = agent.start(service="shop")
report(handle.addresses)
pid = os.fork()
if pid == 0:
    os._exit(0)
report(os.waitpid(pid, 0)[1])
handle.stop()
try:
    agent.start(service="shop", required=True)
except agent.errors.GatewayUnavailableError as error:
    report("half an installation" in str(error))
"""
    with Host(code, state_dir, engine="real") as host:
        assert host.done() == [[], 0, True]
