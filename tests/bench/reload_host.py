"""A service whose modules are reloaded, in place and by importlib, to compare what each costs it.

Loads what it is told, starts the agent, and says a line of JSON when ready. Commands on standard input:

    cpu                     processor seconds of the whole process until now
    importlib NAME…         importlib.reload of each, with compile: processor and wall seconds
    sweep                   objects on the heap
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
import time

#: What any service of hundreds of modules has loaded: where the agent needs it too, it is no cost of the agent's.
COMMON = ("contextlib", "http.server", "typing")


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class IdleEngine:
    """What an agent has where it has no engine: it can say that it is there."""

    revision = entries = 0
    frozen = False
    frozen_reason = ""

    def start(self) -> None:
        return None

    stop = next_expiry_s = start


def reload_all(names: list[str]) -> dict[str, object]:
    """Reloads each in turn; what raises is passed over, as its cost is spent."""
    failed: list[str] = []
    importlib.invalidate_caches()
    began_s, began_cpu_s = time.perf_counter(), time.thread_time()
    for name in names:
        try:
            importlib.reload(sys.modules[name])
        except Exception as error:
            failed.append(f"{name}: {type(error).__name__}")
    return {"cpu_s": time.thread_time() - began_cpu_s, "wall_s": time.perf_counter() - began_s, "failed": failed}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--path", action="append", default=[])
    parser.add_argument("--load", default="", help="a file with names of modules, one a line")
    parser.add_argument("--service", default="bench")
    parser.add_argument("--no-agent", action="store_true")
    parser.add_argument("--no-engine", action="store_true", help="an agent whose engine does nothing")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path[0:0] = options.path
    for name in COMMON:
        importlib.import_module(name)
    names: list[str] = []
    with open(options.load) as file:
        for name in file.read().split():
            try:
                importlib.import_module(name)
                names.append(name)
            except Exception:
                continue  # of another platform, or needs what is not there
    kept = None
    addresses: list[str] = []
    attached_ms = 0.0
    began_cpu_s = time.process_time()
    if not options.no_agent:
        from modctl import agent

        began_s = time.thread_time()
        from modctl.agent import lifecycle

        if options.no_engine:
            lifecycle.new_engine = lambda settings: IdleEngine()
        kept = agent.start(service=options.service, required=True)
        attached_ms = (time.thread_time() - began_s) * 1e3
        addresses = list(kept.addresses)
    wanted = set(names)
    order = [name for name in sys.modules if name in wanted]
    say(pid=os.getpid(), addresses=addresses, entries=len(sys.modules), loaded=order, attached_ms=attached_ms)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "cpu":
            say(cpu_s=time.process_time(), since_start_s=time.process_time() - began_cpu_s)
        elif word == "importlib":
            say(**reload_all(rest.split()))
        elif word == "sweep":
            say(objects=len(gc.get_objects()))
    del kept


if __name__ == "__main__":
    main()
