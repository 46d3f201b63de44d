"""Which country is how far away."""

from __future__ import annotations

ZONES = {"home": {"DE"}, "near": {"AT", "CH", "DK", "NL", "PL"}, "far": {"IS", "JP", "NO", "US"}}


def zone_of(country: str) -> str | None:
    """The zone of a country by its two letters; None where nothing is sent."""
    return next((zone for zone, countries in ZONES.items() if country.upper() in countries), None)
