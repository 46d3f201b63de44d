"""Objects that own threads, sockets or locks, where a statement that did not change would make them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.engine_world import World

APP = """
import threading
PORT = 1
class Server:
    def __init__(self, port):
        self.port, self.lock = port, threading.Lock()
server = Server(PORT)
"""
CASE = """
import app
old = app.server
patch = {{"services": "{services}"}} if "{services}" else {{}}
source = open("app.py").read().replace("PORT = 1", "PORT = 2")
result = change({{"reimport": {{"name": "app", "mode": "REIMPORT_MODE_PATCH",
                 "modules": [{{"name": "app", "source": source, "digest": "sha256:" + "0" * 64}}]}}}}, patch=patch)
"""
ENDS = {
    "": """
assert result["outcome"] == "OUTCOME_REFUSED", result
refusal = result["modules"][0]["refusal"]
assert refusal["reason"] == "LIVE_SERVICE" and "server" in refusal["rule"] and "lock" in refusal["rule"], refusal
assert app.server is old and app.PORT == 1
""",
    "keep": """
assert result["outcome"] == "OUTCOME_APPLIED", result
assert app.server is old and app.PORT == 2 and "server" in result["modules"][0]["symbols"]["kept"], result
applied(undo())
assert app.server is old and app.PORT == 1
""",
    "rerun": """
assert result["outcome"] == "OUTCOME_APPLIED", result
assert app.server is not old and app.server.port == 2 and app.PORT == 2
applied(undo())
assert app.server is old and app.PORT == 1
""",
}


@pytest.mark.parametrize("services", ENDS)
def test_a_live_service_is_refused_kept_or_made_again(world: World, services: str) -> None:
    world.run(CASE.format(services=services) + ENDS[services], {"app.py": APP})
