"""How old a process's code may be: a fork has its parent's modules, a program that was started has none of them."""

from __future__ import annotations

import json
import subprocess
import sys

ASK = """
import json, os, sys, time
from modctl.agent.engine.generations import Generations
from modctl.agent.engine.origins import Origins
def started_s(): return Origins(Generations()).interpreter_started_s()
"""
PARENT = (
    ASK
    + """
import subprocess
time.sleep(0.5)
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(write, str(started_s()).encode())
    else:
        os.wait()
    os._exit(0)
os.wait()
forked = float(os.read(read, 100))
started = float(subprocess.run([sys.executable, "-c", sys.argv[1]], capture_output=True, check=True).stdout)
print(json.dumps({"own": started_s(), "forked": forked, "started": started}))
"""
)


def test_a_forked_process_is_as_old_as_its_parent_and_a_started_one_is_not() -> None:
    """All of them run the same interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", PARENT, ASK + "print(started_s())"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = json.loads(done.stdout)
    assert abs(told["forked"] - told["own"]) < 0.1, told
    assert told["started"] - told["own"] > 0.3, told
