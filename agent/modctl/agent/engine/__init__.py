"""Reading and changing the modules of the process that this runs in.

    request ─▶ operations (shape) ─▶ plan (refusals) ─▶ staging (executes aside) ─▶ commit (one moment) ─▶ journal
    (undo)

`inventory` and `rows` read; only `commit` writes sys.modules; only `bootstrap` touches importlib._bootstrap.
"""

from __future__ import annotations

from modctl.agent.engine.engine import Engine

__all__ = ["Engine"]
