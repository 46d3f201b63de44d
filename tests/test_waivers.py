"""Where the type checker is told to look away, the line says why."""

from __future__ import annotations

import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WAIVER = re.compile(r"#\s*type:\s*ignore")
REASONED = re.compile(r"#\s*type: ignore\[[a-z, -]+\]  # \S")


def without_reason(comment: str) -> bool:
    return WAIVER.search(comment) is not None and REASONED.search(comment) is None


@pytest.mark.parametrize("folder", ["agent", "client", "scripts"])
def test_every_waiver_gives_its_reason(folder: str) -> None:
    found = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        if WAIVER.search(file.read_text()) is None:
            continue
        with open(file, "rb") as lines:
            for token in tokenize.tokenize(lines.readline):
                if token.type == tokenize.COMMENT and without_reason(token.string):
                    found.append(f"{file.relative_to(ROOT)}:{token.start[0]}: {token.string}")
    assert found == []


@pytest.mark.parametrize(
    "comment", ["# type: ignore", "# type: ignore[misc]", "#type:ignore[misc]", "# type: ignore # x"]
)
def test_one_without_is_seen(comment: str) -> None:
    assert without_reason(comment)


@pytest.mark.parametrize(
    "comment", ["# type: ignore[misc]  # lambdas", "# a type", "# type: ignore[a,b-c]  # as above"]
)
def test_one_with_is_not(comment: str) -> None:
    assert not without_reason(comment)
