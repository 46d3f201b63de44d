"""A reload walks the heap only where somebody holds code that the module's own names do not lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

COUNTED = """
import gc
walks = []
objects, referrers = gc.get_objects, gc.get_referrers
gc.get_objects = lambda *a: walks.append("objects") or objects(*a)
gc.get_referrers = lambda *a: walks.append("referrers") or referrers(*a)

def source(number):
    functions = [f"def f{n}(a):\\n    return a + {number}\\n" for n in range(20)]
    classes = [f"class C{n}:\\n    limit = {number}\\n    def m(self):\\n        return {number}\\n" for n in range(3)]
    return f"VERSION = {number}\\n" + "\\n".join(functions + classes)

def reload(number):
    operation = {"reimport": {"name": "shop", "mode": "REIMPORT_MODE_PATCH", "modules": [
        {"name": "shop", "source": source(number)}]}}
    applied(operation)
    import shop
    assert (shop.VERSION, shop.f7(1), shop.C1().m()) == (number, number + 1, number)
"""


@pytest.mark.parametrize("injected", [False, True])
def test_code_that_nobody_else_holds_is_looked_for_nowhere(world: World, injected: bool) -> None:
    first = "applied(inject('shop', source(0)))" if injected else "write('shop.py', source(0)); import shop"
    world.run(
        COUNTED
        + f"""
{first}
for number in range(1, 5):
    reload(number)
    walks.clear()  # the first change of a process loads and looks
reload(5)
assert not walks, walks
"""
    )


def test_code_that_somebody_holds_is_found_by_a_walk(world: World) -> None:
    world.run(
        COUNTED
        + """
write('shop.py', source(0)); import shop
for number in range(1, 4):
    reload(number)
    walks.clear()
import types
held = types.FunctionType(shop.f7.__code__, shop.__dict__, "another")
reload(4)
assert walks and held(1) == 5, (walks, held(1))
"""
    )
