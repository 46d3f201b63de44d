"""The catalogue and its prices."""

from __future__ import annotations

from typing import NamedTuple

import billing.tax

NET_CENTS = {"tea": 450, "coffee": 800, "cup": 1250}


class UnknownArticleError(LookupError):
    """The catalogue has no such article."""


class Quote(NamedTuple):
    """One article's price."""

    net_cents: int
    gross_cents: int


def quote(sku: str) -> Quote:
    """The price of an article.

    Raises:
        UnknownArticleError: there is none of that name.
    """
    if sku not in NET_CENTS:
        raise UnknownArticleError(f"there is no article {sku!r}; there are {', '.join(NET_CENTS)}")
    net_cents = NET_CENTS[sku]
    return Quote(net_cents, billing.tax.with_tax(net_cents))
