"""The texts."""

from __future__ import annotations

GREETING = "Welcome"


def welcome(address: str) -> str:
    """The greeting for a new customer."""
    name = address.partition("@")[0].capitalize()
    return f"{GREETING}, {name}!"
