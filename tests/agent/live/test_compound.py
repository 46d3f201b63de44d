"""Compound statements that change a container which another statement made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from world import Case, run

CASES = [
    Case(
        "a changed `if` takes a key out of a table that is made above it",
        {"m": "zstd = None\nT = {'a': 1, 'zstd': 2}\nif zstd is None:\n    T.pop('zstd')\n"},
        {"m": "zstandard = None\nT = {'a': 1, 'zstd': 2}\nif zstandard is None:\n    T.pop('zstd')\n"},
        use="held = m.T",
        check="assert m.T == {'a': 1} and m.T is held",
    ),
    Case(
        "the condition turns over",
        {"m": "FLAG = True\nL = [1]\nif FLAG:\n    L.append(2)\n"},
        {"m": "FLAG = False\nL = [1]\nif FLAG:\n    L.append(2)\n"},
        use="held = m.L",
        check="assert m.L == [1] and m.L is held",
    ),
    Case(
        "a loop fills a table",
        {"m": "T = {}\nfor n in 'ab':\n    T.update({n: 1})\n"},
        {"m": "T = {}\nfor n in 'ac':\n    T.update({n: 1})\n"},
        use="held = m.T",
        check="assert m.T == {'a': 1, 'c': 1} and m.T is held",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_container_that_a_compound_statement_changes(case: Case) -> None:
    run(case)
