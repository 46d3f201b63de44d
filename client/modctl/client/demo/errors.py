"""What can go wrong in the demo."""

from __future__ import annotations


class DemoError(Exception):
    """A step did not do what it says, or a service did not start; the message says which and shows what was seen."""
