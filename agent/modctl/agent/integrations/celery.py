"""Celery: every task as one unit of work. Where the application is made:

from modctl.agent.integrations import celery as modctl_celery
modctl_celery.shield_tasks()
"""

from __future__ import annotations

from typing import Any

from modctl.agent.shielding import Shield

_running: dict[str, Shield] = {}


def shield_tasks() -> None:
    """Makes every task that this process runs a unit of work. Harmless when called again.

    Raises:
        ImportError: there is no Celery.
    """
    signals = __import__("celery.signals", fromlist=["task_prerun"])
    signals.task_prerun.connect(_begin, weak=False, dispatch_uid="modctl.begin")
    signals.task_postrun.connect(_end, weak=False, dispatch_uid="modctl.end")


def _begin(task_id: str = "", task: Any = None, **_: Any) -> None:
    shield = Shield(f"task {getattr(task, 'name', '')}")
    _running[task_id] = shield
    shield.__enter__()


def _end(task_id: str = "", **_: Any) -> None:
    shield = _running.pop(task_id, None)
    if shield is not None:
        shield.__exit__()
