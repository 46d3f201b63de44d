"""Every before/after of the engine, each in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import world

FILES = sorted(path.stem for path in Path(__file__).parent.glob("cases_*.py"))
ALL = [pytest.param(case, id=f"{name[6:]}: {case.title}") for name in FILES for case in __import__(name).CASES]


@pytest.mark.parametrize("sent", [False, True], ids=["planned here", "sent"])
@pytest.mark.parametrize("case", ALL)
def test_case(case: world.Case, sent: bool) -> None:
    low, high = case.pythons
    if not low <= sys.version_info.minor <= high:
        pytest.skip(f"about Python 3.{low} to 3.{high}")
    world.run(case, sent=sent)
