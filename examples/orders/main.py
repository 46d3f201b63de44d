"""The application that uvicorn serves: `main:app`."""

from __future__ import annotations

import os

import fulfilment.shipping
from fastapi import FastAPI, HTTPException
from modctl import agent

agent.start(service="orders")

app = FastAPI(title="orders")


@app.get("/quote")
async def quote(weight_g: int, country: str) -> dict[str, object]:
    """What it costs to send a parcel there, and which worker said so."""
    try:
        cost_cents = fulfilment.shipping.cost_cents(weight_g, country)
    except fulfilment.shipping.NotServedError as error:
        raise HTTPException(status_code=404, detail=str(error)) from error
    return {"country": country, "weight_g": weight_g, "cost_cents": cost_cents, "pid": os.getpid()}


@app.get("/health")
async def health() -> dict[str, object]:
    """This worker serves."""
    return {"status": "ok", "pid": os.getpid()}
