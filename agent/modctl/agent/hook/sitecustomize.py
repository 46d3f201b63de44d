"""Starts the agent in a program that does not know of it: on PYTHONPATH where `modctl-agent run` started the program.

Python imports `sitecustomize` in every process before the program, so nothing may be done here that a helper process of
a few milliseconds would feel: a thread waits for half a second, and only a process that is still there gets an agent.
"""

import os
import sys


def _chain() -> None:
    """Runs the sitecustomize that this one hides, under its own name."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if not (isinstance(entry, str) and os.path.abspath(entry) == here)]
    ours = sys.modules.pop("sitecustomize")
    try:
        __import__("sitecustomize")
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        sys.modules.setdefault("sitecustomize", ours)


def _arm() -> None:
    if os.environ.get("MODCTL_AUTOSTART") != "1":
        return
    try:
        hooked = __import__("modctl.agent.hooked", fromlist=["arm"])
    except ImportError:
        return  # an interpreter of another environment: there is no agent for it here
    hooked.arm()


try:
    _arm()
finally:
    _chain()
