"""Our named tuples are typing's, where users of them look."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import pytest
from modctl.source.tuples import NamedTuple


class Ours(NamedTuple):
    """One."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


class Theirs(typing.NamedTuple):
    """The same."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}),
        ((1, "x"), {}),
        ((1, "x", (2,)), {}),
        ((), {"a": 1}),
        ((), {"c": (3,), "a": 1, "b": "y"}),
        ((1,), {"c": (3,)}),
        ((1, "x"), {"c": (3,)}),
    ],
)
def test_they_are_made_in_the_same_ways(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    ours, theirs = Ours(*values, **named), Theirs(*values, **named)
    assert tuple(ours) == tuple(theirs)
    assert (ours.a, ours.b, ours.c) == (theirs.a, theirs.b, theirs.c)
    assert ours._asdict() == theirs._asdict()
    assert tuple(ours._replace(b="z")) == tuple(theirs._replace(b="z"))
    assert copy.copy(ours) == ours == pickle.loads(pickle.dumps(ours))
    assert type(pickle.loads(pickle.dumps(ours))) is Ours
    assert type(Ours._make(theirs)) is Ours
    assert Ours._make(theirs) == ours


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), {}),
        ((), {"b": "x"}),
        ((1, "x", (), 4), {}),
        ((1,), {"a": 2}),
        ((1,), {"d": 2}),
        ((1, "x", ()), {"d": 2}),
        ((), {"a": 1, "d": 2}),
    ],
)
def test_they_are_refused_in_the_same_ways(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    for kind in (Ours, Theirs):
        with pytest.raises(TypeError):
            kind(*values, **named)
