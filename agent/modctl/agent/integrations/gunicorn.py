"""gunicorn: every request of every kind of worker as one unit of work. In gunicorn.conf.py:

from modctl.agent.integrations.gunicorn import post_worker_init
"""

from __future__ import annotations

from typing import Any

from modctl.agent import asgi, wsgi

_CO_COROUTINE = 0x80


def post_worker_init(worker: Any) -> None:
    """Wraps what a worker serves; gunicorn calls it when the worker has loaded its application."""
    application = worker.wsgi
    if isinstance(application, wsgi.ShieldMiddleware | asgi.ShieldMiddleware):
        return
    worker.wsgi = (asgi if _speaks_asgi(worker, application) else wsgi).ShieldMiddleware(application)


def _speaks_asgi(worker: Any, application: Any) -> bool:
    if any("uvicorn" in base.__module__ for base in type(worker).__mro__):
        return getattr(getattr(worker, "config", None), "interface", "auto") != "wsgi"
    call = application if hasattr(application, "__code__") else type(application).__dict__.get("__call__")
    return bool(getattr(getattr(call, "__code__", None), "co_flags", 0) & _CO_COROUTINE)
