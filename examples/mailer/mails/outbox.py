"""Where mail goes: a file, one JSON object a line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def deliver(outbox: Path, address: str, text: str) -> None:
    """Appends one mail; a line is written in one piece, so that children do not mix theirs."""
    line = json.dumps({"to": address, "text": text, "pid": os.getpid()}) + "\n"
    with outbox.open("a", encoding="utf-8") as file:
        file.write(line)
