"""`modctl demo`."""

from __future__ import annotations

from modctl.client.options import command, flag


@command("demo", "Start a small fleet here and walk through the verbs.")
@flag("--keep", is_flag=True, help="Leave the services running at the end, and say how to stop them.")
@flag("--fast", is_flag=True, help="Short pauses, no questions.")
def demo_command(keep: bool, fast: bool) -> int:
    """Start some small real services on this machine and walk through the main verbs on them."""
    from modctl.client.demo import run

    return run(keep=keep, fast=fast)
