"""A local service under `modctl dev`: says the moment at which each new version of a module runs in it."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

sys.path.insert(0, sys.argv[1])
import watched
from modctl import agent


def follow() -> None:
    """Calls into the module as a service would, and says when it answers otherwise."""
    last = watched.VERSION
    while True:
        version = sys.modules["watched"].VERSION
        if version != last:
            last = version
            sys.stdout.write(json.dumps({"version": version, "at_unix_s": time.time()}) + "\n")
            sys.stdout.flush()
        time.sleep(0.001)


agent.start(service="dev", required=True)
sys.stdout.write(json.dumps({"pid": os.getpid()}) + "\n")
sys.stdout.flush()
threading.Thread(target=follow, daemon=True).start()
sys.stdin.read()
