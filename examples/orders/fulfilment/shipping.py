"""What it costs to send a parcel."""

from __future__ import annotations

import fulfilment.zones

CENTS_PER_STARTED_KG = {"home": 300, "near": 650, "far": 1400}


class NotServedError(LookupError):
    """Nothing is sent there."""


def cost_cents(weight_g: int, country: str) -> int:
    """The price of a parcel.

    Raises:
        NotServedError: nothing is sent to that country.
    """
    zone = fulfilment.zones.zone_of(country)
    if zone is None:
        raise NotServedError(f"nothing is sent to {country!r}")
    started_kg = max(1, -(-weight_g // 1000))
    cents = started_kg * CENTS_PER_STARTED_KG[zone]
    if zone != "home":
        from fulfilment import customs  # most parcels stay at home: loaded when the first one does not

        cents += customs.declaration_cents(country)
    return cents
