"""What the shop answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import billing.prices
from flask import Blueprint, jsonify, request

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

shop = Blueprint("shop", __name__)


@shop.get("/price")
def price() -> ResponseReturnValue:
    """/price?sku=tea: what it costs, and which worker said so."""
    sku = request.args.get("sku", "")
    try:
        quote = billing.prices.quote(sku)
    except billing.prices.UnknownArticleError as error:
        return jsonify(error=str(error), pid=os.getpid()), 404
    return jsonify(sku=sku, net_cents=quote.net_cents, gross_cents=quote.gross_cents, pid=os.getpid())


@shop.get("/health")
def health() -> ResponseReturnValue:
    """/health: this worker serves."""
    return jsonify(status="ok", pid=os.getpid())
