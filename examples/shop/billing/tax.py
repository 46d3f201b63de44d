"""Value added tax."""

from __future__ import annotations

RATE_PERCENT = 20


def with_tax(net_cents: int) -> int:
    """The price with tax, rounded half up to whole cents."""
    return (net_cents * (100 + RATE_PERCENT) + 50) // 100
