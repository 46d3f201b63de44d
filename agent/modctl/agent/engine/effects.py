"""What running modules' code did besides making modules: seen by looking before and after. Never undone by us."""

from __future__ import annotations

import atexit
import gc
import sys
from typing import Any


class Effects:
    """A look at what module code typically registers itself with."""

    def __init__(self) -> None:
        self._before = _look()

    def seen(self) -> list[str]:
        """What has come or gone since, in words. Other threads may have done it: a look cannot tell."""
        found = []
        after = _look()
        for what, count in after.items():
            before = self._before.get(what, 0)
            if count != before:
                found.append(f"{what}: {before} before, {count} after")
        return found


def _look() -> dict[str, int]:
    look: dict[str, int] = {
        "threads": len(sys._current_frames()),
        "atexit callbacks": atexit._ncallbacks(),
        "sys.meta_path finders": len(sys.meta_path),
        "sys.path_hooks": len(sys.path_hooks),
        "sys.path entries": len(sys.path),
        "gc callbacks": len(gc.callbacks),
    }
    logging: Any = sys.modules.get("logging")
    if logging is not None:
        look["handlers of the root logger"] = len(getattr(getattr(logging, "root", None), "handlers", ()))
    warnings: Any = sys.modules.get("warnings")
    if warnings is not None:
        look["warning filters"] = len(getattr(warnings, "filters", ()))
    os: Any = sys.modules.get("os")
    if os is not None:
        look["environment variables"] = len(os.environ)
    return look
