"""From the order to the parcel."""
