"""Objects that are little more than registries."""

from __future__ import annotations

from typing import Final

from modctl.agent.engine.live.adapters.base import Adapter

ADAPTERS: Final = (
    Adapter(["jinja2.environment.Environment"], ["filters", "tests", "globals", "extensions", "policies"]),
    Adapter(["click.core.Group", "click.core.MultiCommand"], ["commands", "params"]),
)
