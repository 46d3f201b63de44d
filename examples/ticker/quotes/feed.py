"""Where quotes come from."""

from __future__ import annotations

from typing import NamedTuple


class Quote(NamedTuple):
    """One price of one paper."""

    number: int
    paper: str
    cents: int


def quote(number: int) -> Quote:
    """The quote of that number: a price that goes up and down by a rule."""
    return Quote(number, "ACME", 10_000 + (number * 37) % 100)
