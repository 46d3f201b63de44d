"""How a quote is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quotes.feed import Quote

CURRENCY = "EUR"


def line(quote: Quote) -> str:
    """One line of text."""
    return f"{quote.number:>5}  {quote.paper}  {quote.cents / 100:.2f} {CURRENCY}"
