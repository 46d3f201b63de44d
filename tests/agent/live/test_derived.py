"""Classes and properties that are made by classes of the program: sympy's metaclass has a property `__doc__`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from world import Case, run

META = "class M(type):\n    @property\n    def __doc__(cls):\n        return 'of the metaclass'\n"


def test_the_docstring_of_a_class_whose_metaclass_has_a_property_of_that_name() -> None:
    before = META + "class C(metaclass=M):\n    'one'\n    def f(self): return 1\n"
    run(
        Case(
            "docstring",
            {"m": before},
            {"m": before.replace("'one'", "'two'").replace("return 1", "return 2")},
            use="c = m.C()",
            check=(
                "assert c.f() == 2 and m.C.__doc__ == 'of the metaclass'\n"
                "assert type.__dict__['__doc__'].__get__(m.C) == 'two'\n"
            ),
        )
    )


PROPERTY = """
import os
class cached(property):
    def __init__(self, function):
        super().__init__(function)
        self.name = function.__name__
    def __get__(self, held, owner=None):
        return self if held is None else super().__get__(held, owner)
class C:
    @cached
    def f(self) -> {0}:
        return os.sep + helper()
def helper():
    return "{0}"
"""


def test_a_property_of_a_derived_class_reads_the_live_module() -> None:
    run(
        Case(
            "derived property",
            {"m": PROPERTY.replace("{0}", "int")},
            {"m": PROPERTY.replace("{0}", "str")},
            use="c = m.C()",
            check=(
                "assert c.f == '/str'\n"
                "assert type.__dict__['__dict__'].__get__(m.C)['f'].fget.__globals__ is m.__dict__\n"
            ),
        )
    )
