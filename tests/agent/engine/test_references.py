"""Whether somebody holds what was replaced, told by counting: never a holder overlooked, mostly no walk needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

SOURCE = """
import functools

class Plain:
    def method(self):
        return 1

class Slotted:
    __slots__ = ("a", "b")

class Base:
    def method(self):
        return 1

class Derived(Base):
    def method(self):
        return super().method()

def function():
    return 1

@functools.wraps(function)
def wrapped():
    return function()
"""

COUNTED = f"""
from modctl.agent.engine import answered
real, said = answered.held_elsewhere, []
def counting(candidates, ours):
    said.append(real(candidates, list(ours)))
    return said[-1]
answered.held_elsewhere = counting
SOURCE = {SOURCE!r}

def stale_of(result):
    return [holder["holder"] for each in result["modules"] for holder in each.get("stale", ())]
"""


def test_what_nobody_holds_needs_no_walk(world: World) -> None:
    world.run(
        COUNTED
        + """
import gc
gc.disable()
plain = "class Plain:\\n    def method(self):\\n        return super().__repr__()\\nclass S:\\n    __slots__ = 'a',\\n"
for _ in range(5):
    applied(inject("bare", plain + "def function():\\n    return 1\\n", replace=True))
assert said == [False] * 4, said
for _ in range(2):
    applied(reimport("bare"))
    applied(undo())
assert not any(said), said
"""
    )


@pytest.mark.parametrize(
    "holding",
    [
        "held.module",
        "held.module.function",
        "held.module.wrapped",
        "[held.module.function]",
        "{'key': held.module.Plain}",
        "(held.module.Slotted,)",
        "held.module.Plain",
        "held.module.Derived",
        "frozenset([held.module.function])",
    ],
)
def test_a_holder_is_never_overlooked(world: World, holding: str) -> None:
    world.run(
        COUNTED
        + f"""
applied(inject("subject", SOURCE))
write("holder.py", "import subject\\nclass held:\\n    module = subject\\nHELD = {holding}\\ndel subject, held\\n")
import holder
result = applied(inject("subject", SOURCE + "X = 2\\n", replace=True))
assert said[-1] is True, said
assert any(name.startswith("holder.HELD") for name in stale_of(result)), result
del holder.HELD
"""
    )


@pytest.mark.parametrize(
    "holding",
    [
        "subject.Plain()",
        "subject.Plain().method",
        "type('Below', (subject.Base,), {})",
        "(lambda function: lambda: function)(subject.function)",
        "__import__('functools').partial(subject.function)",
        "next(frames)",
    ],
)
def test_what_only_the_heap_holds_is_looked_for_too(world: World, holding: str) -> None:
    world.run(
        COUNTED
        + f"""
applied(inject("subject", SOURCE + "def running():\\n    yield running\\n    yield 1\\n"))
write("holder.py", "import subject\\nframes = subject.running()\\nHELD = {holding}\\ndel subject\\n")
import holder
applied(inject("subject", SOURCE, replace=True))
assert said[-1] is True, said
"""
    )
