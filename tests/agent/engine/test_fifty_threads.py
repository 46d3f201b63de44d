"""Fifty threads that call, import, evict, inject, reload and undo at once.

For some seconds in every run of the suite; `MODCTL_TEST_THREADS_S=60` makes it the whole minute. With `-s` it says what
was done.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

SECONDS = float(os.environ.get("MODCTL_TEST_THREADS_S", "6"))

FILES = {
    "pk/__init__.py": "",
    # All that a reload changes of it reads as the same number, at any one moment.
    "pk/pair.py": """
        KEPT = [0]
        VERSION = 0
        def a(): return 0
        def b(x=0): return 0
        class C:
            mark = 0
            def g(self): return 0
            def h(self, x=0): return 0
        PAIR = (a(), b())
    """,
    "pk/user.py": """
        from .pair import VERSION, a, C
        SAME = VERSION * 1
        class D(C):
            same = VERSION
    """,
    "counted.py": "import sys, time\nwith sys.counting('counted'):\n    time.sleep(0.001)\nDONE = True\n",
    # It does not import its child: where one thread imports `tree` and another `tree.leaf`, that is a _DeadlockError in
    # any CPython, when each has taken its lock and neither is in sys.modules yet.
    "tree/__init__.py": "import sys, time\nwith sys.counting('tree'):\n    time.sleep(0.001)\nDONE = True\n",
    "tree/leaf.py": "import sys, time\nwith sys.counting('tree.leaf'):\n    time.sleep(0.001)\nDONE = True\n",
    "fresh.py": "import sys, time\nwith sys.counting('fresh'):\n    FIRST = 1\n    time.sleep(0.001)\nDONE = True\n",
}

CASE = """
import collections, random, textwrap, traceback
sys.setswitchinterval(1e-4)
SECONDS = {seconds}
counts, errors, guard = collections.Counter(), [], threading.Lock()
running = collections.Counter()

class counting:
    '''Around a module's code: nobody else may be in it.'''
    def __init__(self, name):
        self.name = name
    def __enter__(self):
        with guard:
            running[self.name] += 1
            counts["ran " + self.name] += 1
            if running[self.name] > 1:
                errors.append(f"{{self.name}} is executed by two at once")
    def __exit__(self, *raised):
        with guard:
            running[self.name] -= 1

sys.counting = counting
import pk.pair, pk.user, counted, tree.leaf, fresh
pair, user = pk.pair, pk.user
kept, held_a, held = pair.KEPT, pair.a, pair.C()
source = open("pk/pair.py").read()

def version(number):
    return (source.replace("return 0", f"return {{number}}").replace("x=0", f"x={{number}}")
            .replace("VERSION = 0", f"VERSION = {{number}}").replace("mark = 0", f"mark = {{number}}"))

# One call in C reads them all, with nobody in between.
LOOK = (
    (pair, "VERSION"), (pair, "PAIR"), (user, "VERSION"), (user, "SAME"), (pair.C, "mark"), (user.D, "mark"),
    (user.D, "same"), (pair.a, "__code__"), (pair.b, "__code__"), (pair.b, "__defaults__"), (pair.C.g, "__code__"),
    (pair.C.h, "__code__"), (pair.C.h, "__defaults__"), (user.a, "__code__"),
)
OBJECTS, NAMES = zip(*LOOK)

def number_of(value):
    if type(value) is int:
        return value
    if type(value) is tuple:
        return value[0] if len(set(value)) == 1 else value
    return value.co_consts[1]

def call():
    seen = set(map(number_of, list(map(getattr, OBJECTS, NAMES))))
    if len(seen) != 1:
        raise AssertionError(f"torn: {{[(each, number_of(getattr(*each))) for each in LOOK]}} {{seen}}")
    assert pair.C().g() >= 0 and held.h() >= 0 and pair.b() >= 0
    assert pair.a is held_a and type(held) is pair.C and pair.KEPT is kept

def use():
    try:
        use_one()
    except ImportError as error:
        # `import tree.leaf as x` and `from tree import leaf` look twice, and what the first look found may be evicted
        # before the second: nobody can keep another thread's statement from that. Nothing else may be raised.
        if "cannot import name 'leaf' from 'tree'" not in str(error):
            raise
        with guard:
            counts["a statement looked before and after an eviction"] += 1

def use_one():
    choice = random.randrange(6)
    if choice == 0:
        import counted as found
    elif choice == 1:
        from tree import leaf as found
    elif choice == 2:
        found = importlib.import_module("tree.leaf")
    elif choice == 3:
        import fresh as found
    elif choice == 4:
        from counted import DONE
        found = importlib.import_module("tree")
    else:
        import tree.leaf as found
        from pk.user import SAME, a
        from pk import pair as again
        assert again is pair
    assert found.DONE

def use_ghost():
    try:
        import ghost
    except ModuleNotFoundError:
        time.sleep(0.001)
    else:
        assert ghost.LAST == ghost.FIRST

def made(what, result, *reasons):
    outcome = result["outcome"].removeprefix("OUTCOME_")
    told = sorted({{each["refusal"]["reason"] for each in result["modules"] if "refusal" in each}})
    with guard:
        counts[" ".join([what, outcome, *told])] += 1
    if outcome == "REFUSED" and not set(told) <= set(reasons) or outcome not in ("APPLIED", "UNCHANGED", "REFUSED"):
        raise AssertionError(f"{{what}}: {{result}}")
    return outcome == "APPLIED"

def evict_some():
    name = random.choice(["counted", "tree"])
    # Counted before, for an importer may be there before the answer is: too many allow too much, never too little.
    with guard:
        counts["evictions of " + name] += 1
    if not made("evict", change(evict(name, recursive=True), timeout_s=30), "NOT_LOADED", "IN_FLIGHT"):
        with guard:
            counts["evictions of " + name] -= 1
    time.sleep(0.01)

def reload_some():
    number = random.randrange(1, 1_000_000)
    operation = reimport("pk.pair", mode="REIMPORT_MODE_PATCH",
                         modules=[{{"name": "pk.pair", "source": version(number), "digest": "sha256:" + "0" * 64}}])
    result = change(operation, timeout_s=30)
    if made("reload", result) and random.random() < 0.3:
        made("undo", change(undo(result["revision"]), timeout_s=30), "NOT_UNDOABLE", "NOTHING_TO_UNDO")

def reimport_some():
    made("reimport", change(reimport("fresh"), timeout_s=30), "IN_FLIGHT", "NOT_LOADED")
    time.sleep(0.01)

def inject_some():
    number = random.random()
    text = f"FIRST = {{number}}\\nimport time\\ntime.sleep(0.001)\\nLAST = {{number}}\\n"
    result = change(inject("ghost", text), timeout_s=30)
    if made("inject", result, "ALREADY_LOADED", "IN_FLIGHT"):
        time.sleep(0.01)
        made("evict ghost", change(evict("ghost"), timeout_s=30), "IN_FLIGHT", "NOT_LOADED")

ends = time.monotonic() + SECONDS
def loop(work, what, hot):
    while time.monotonic() < ends and not errors:
        try:
            work()
            if not hot:  # fifty that never wait leave changes so little of the time that few are made
                time.sleep(0.002)
        except BaseException:
            errors.append(traceback.format_exc())
            return
        with guard:
            counts[what] += 1

kinds = [(call, "called", 16), (use, "imported", 14), (use_ghost, "imported what comes and goes", 4),
         (evict_some, "evicted", 6), (reload_some, "reloaded", 6), (reimport_some, "reimported", 2),
         (inject_some, "injected", 2)]
threads = [threading.Thread(target=loop, args=(work, what, number < 1), daemon=True)
           for work, what, count in kinds for number in range(count)]
assert len(threads) == 50
[thread.start() for thread in threads]
for thread in threads:
    thread.join(max(0.0, ends - time.monotonic()) + 60)
if any(thread.is_alive() for thread in threads):
    import faulthandler
    faulthandler.dump_traceback()
    raise AssertionError("threads hang")
assert not errors, errors[0]
for name in ("counted", "tree"):
    assert counts["ran " + name] <= counts["evictions of " + name] + 1, counts
assert counts["ran tree.leaf"] <= counts["evictions of tree"] + 1, counts
assert counts["ran fresh"] <= counts["reimport APPLIED"] + 1, counts
for _, what, _ in kinds:
    assert counts[what] > 0, counts
call()
use()
print(json.dumps(counts, sort_keys=True))
"""


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 300)
def test_fifty_threads_at_once(world: World) -> None:
    told = world.run(CASE.format(seconds=SECONDS), FILES, timeout_s=SECONDS + 240)
    counts = json.loads(told.splitlines()[-1])
    print(world.python, counts)
    assert counts["reload APPLIED"] > SECONDS / 6
    assert counts["evict APPLIED"] > SECONDS / 6
