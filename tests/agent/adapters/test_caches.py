"""functools' caches above what changed: old results are not served, after the change and after its undo."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from support.engine_world import World

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "shop/__init__.py": "",
    "shop/rates.py": """
RATE = 10
TABLE = {"a": 1}
OTHER = 5

def rate(country):
    return RATE

def other():
    return OTHER

class Money:
    FACTOR = 1
    def __init__(self, amount):
        self.amount = amount * 1
    def text(self):
        return f"{self.amount} EUR"
""",
    "shop/totals.py": """
import functools
from functools import cache, lru_cache
import shop.rates
from shop import rates as r
from shop.rates import Money, TABLE, rate

CALLS = []

def middle(net):
    return net + net * rate("de") // 100

@lru_cache
def total(net):
    CALLS.append(net)
    return middle(net)

@cache
def by_module(net):
    return net + shop.rates.rate("de")

@cache
def constant():
    return r.RATE

@cache
def table():
    return TABLE["a"]

@cache
def price():
    return Money(5).text()

@cache
def untouched():
    CALLS.append("untouched")
    return shop.rates.other()

class Basket:
    def __init__(self, net):
        self.net = net
        self.opened = []

    @functools.cached_property
    def total(self):
        return middle(self.net)

    @functools.cached_property
    def connection(self):
        self.opened.append(middle(self.net))
        return Connection()

    @staticmethod
    @lru_cache(maxsize=None)
    def static(net):
        return middle(net)

class Connection:
    pass

class Kept:
    pass

@cache
def kept():
    return middle(100)

__modctl_keep__ = ("kept",)
""",
}
CASE = """
import shop.totals as t
basket = t.Basket(200)
text = open("shop/rates.py").read()

def see():
    return {"total": t.total(100), "by_module": t.by_module(100), "constant": t.constant(), "table": t.table(),
            "price": t.price(), "untouched": t.untouched(), "property": basket.total, "static": t.Basket.static(100)}

def to(*edits):
    source = text
    for old, new in edits:
        assert old in source
        source = source.replace(old, new, 1)
    module = {"name": "shop.rates", "source": source, "digest": "sha256:" + "0" * 64}
    return change({"reimport": {"name": "shop.rates", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}})

old, connection = see(), basket.connection
assert old == {"total": 110, "by_module": 110, "constant": 10, "table": 1, "price": "5 EUR", "untouched": 5,
               "property": 220, "static": 110}, old
t.kept()
t.CALLS.clear()
"""


def case(tmp_path: Path, code: str) -> None:
    World(tmp_path, sys.executable).run(CASE + code, FILES)


def test_results_of_a_changed_callee_are_forgotten_and_those_of_others_stay(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
result = to(("return RATE", "return 2 * RATE"))
assert result["outcome"] == "OUTCOME_APPLIED", result
new = {**old, "total": 120, "by_module": 120, "static": 120}
assert see() == new, see()  # what an instance has worked out stays: it might have been set by the program
assert t.Basket(200).total == 240
assert t.CALLS == [100], t.CALLS  # nothing else was worked out again
told = [each for each in result["side_effects"] if each.startswith("cleared")]
for name in ("totals.total", "totals.by_module", "Basket.static"):
    assert any(name in each for each in told), told
stays = [each for each in result["side_effects"] if each.startswith("what instances have worked out")]
assert stays and "Basket.total" in stays[0], result["side_effects"]
assert not any("untouched" in each or "constant" in each for each in told), told
assert basket.connection is connection and basket.opened == [220]
assert t.kept() == 110 and any("keeps what it has" in each for each in result["side_effects"])
back = applied(undo())
assert see() == old, see()
applied(undo(back["revision"]))
assert see() == new, see()
""",
    )


def test_results_that_read_a_constant_a_table_or_a_class_are_forgotten(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
assert to(("RATE = 10", "RATE = 30"), ('"a": 1', '"a": 2'), ("{self.amount} EUR", "EUR {self.amount}"))[
    "outcome"] == "OUTCOME_APPLIED"
new = {**old, "total": 130, "by_module": 130, "constant": 30, "table": 2, "price": "EUR 5",
       "static": 130}
assert see() == new, see()
assert "untouched" not in t.CALLS
applied(undo())
assert see() == old, see()
assert to(("amount * 1", "amount * 2"))["outcome"] == "OUTCOME_APPLIED"
assert see() == {**old, "price": "10 EUR"}
applied(undo())
assert see() == old
""",
    )


def test_a_change_that_fails_or_is_only_planned_leaves_results_alone(tmp_path: Path) -> None:
    case(
        tmp_path,
        """
assert to(("return RATE", "return 2 * RATE"), ("TABLE = ", "raise KeyError\\nTABLE = "))["outcome"] == "OUTCOME_FAILED"
module = {"name": "shop.rates", "source": text.replace("return RATE", "return 2")}
planned = change({"reimport": {"name": "shop.rates", "mode": "REIMPORT_MODE_PATCH", "modules": [module]}}, dry_run=True)
assert planned["outcome"] == "OUTCOME_PLANNED" and any("totals.total" in each for each in planned["side_effects"])
assert see() == old and t.CALLS == [], t.CALLS
assert to(("RATE = 10", "\\n\\nRATE = 10"))["outcome"] in ("OUTCOME_APPLIED", "OUTCOME_UNCHANGED")  # lines have moved
assert see() == old and t.CALLS == [], t.CALLS
""",
    )
