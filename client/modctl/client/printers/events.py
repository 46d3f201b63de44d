"""One line for each change of a module table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from modctl.client.printers.sheets import short_digest
from modctl.client.printers.terminal import printable

if TYPE_CHECKING:
    from modctl.client.facts import ModuleEvent
    from modctl.client.printers.terminal import Output

_STYLES = {"ADDED": "green", "REMOVED": "red", "REPLACED": "yellow", "CHANGED": "cyan"}


def event_line(event: ModuleEvent, output: Output) -> str:
    """When, where, what; the revision where modctl did it."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.seen_at_unix_s))
    who = event.process if output.wide or output.width is None else f"{event.service} {event.pid}"
    digest = event.module.digest if output.wide else short_digest(event.module.digest)
    by = f"revision {event.revision}" if event.revision else "the program"
    what = output.style(event.type.ljust(8), _STYLES.get(event.type, ""))
    parts = [clock, printable(who), what, printable(event.module.name), f"gen {event.module.generation}", digest, by]
    return "  ".join(part for part in parts if part) + "\n"
