"""A service to measure: loads real modules, then runs with no agent, with modctl's, or with bare gRPC inside.

Says a line of JSON when ready. Commands on standard input: `rss`, `cpu`,
`loop SECONDS` (a busy service: latencies of its requests), end of input ends it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import threading
import time


def status_kib(field: str) -> int:
    with open("/proc/self/status") as lines:
        for line in lines:
            if line.startswith(field):
                return int(line.split()[1])
    raise KeyError(field)


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def serve_bare_grpc(address: str) -> object:
    """The floor: a grpc server inside the service that lists sys.modules in batches of 500."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from modctl.v1 import module_service_pb2, module_service_pb2_grpc, process_pb2

    class Bare(module_service_pb2_grpc.ModuleServiceServicer):  # type: ignore[misc]
        def ListModules(self, request: object, context: object) -> object:
            process = process_pb2.ProcessRef(id=f"bare/{os.getpid()}", service="bare", pid=os.getpid())
            rows = []
            for order, (name, module) in enumerate(list(sys.modules.items())):
                facts = getattr(module, "__dict__", {})
                rows.append(
                    {
                        "name": name,
                        "kind": "MODULE_KIND_SOURCE",
                        "origin": facts.get("__file__") or "",
                        "package": "__path__" in facts,
                        "generation": 1,
                        "digest": "sha256:" + "0" * 64,
                        "state": "MODULE_STATE_CLEAN",
                        "order": order,
                    }
                )
                if len(rows) == 500:
                    yield module_service_pb2.ListModulesResponse(process=process, modules=rows)
                    rows = []
            yield module_service_pb2.ListModulesResponse(process=process, modules=rows)

    server = grpc.server(ThreadPoolExecutor(4))
    module_service_pb2_grpc.add_ModuleServiceServicer_to_server(Bare(), server)
    server.add_insecure_port(address)
    server.start()
    return server


def request() -> int:
    """One request of the service: about 0.1 ms of plain Python."""
    total = 0
    for number in range(1500):
        total += number & 7
    return total


def loop(seconds: float) -> list[float]:
    """Latencies in ms of requests served one after the other."""
    latencies = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        request()
        latencies.append((time.perf_counter() - started) * 1000)
    return latencies


def busy(seconds: float) -> dict[str, float]:
    """Serves requests in a thread of its own, as servers do; tells what they took in ms."""
    found: list[float] = []
    worker = threading.Thread(target=lambda: found.extend(loop(seconds)))
    worker.start()
    worker.join()
    found.sort()

    def at(share: float) -> float:
        return found[min(len(found) - 1, int(len(found) * share))]

    return {"count": len(found), "p50": at(0.5), "p99": at(0.99), "p999": at(0.999), "worst": found[-1]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tree")
    parser.add_argument("--modules", type=int, default=0)
    parser.add_argument("--inside", choices=["nothing", "modctl", "grpc"], default="nothing")
    parser.add_argument("--address", default="")
    parser.add_argument("--service", default="bench")
    parser.add_argument("--typical", action="store_true", help="load first what a typical service has loaded anyway")
    options = parser.parse_args()
    if options.typical:
        for name in ("logging.handlers", "socketserver", "http.server", "subprocess", "ssl", "hashlib", "tempfile"):
            importlib.import_module(name)
    if options.tree:
        sys.path.insert(0, options.tree)
        with open(os.path.join(options.tree, "names.json")) as names:
            for name in json.load(names)[: options.modules]:
                importlib.import_module(name)
    before = {"rss_kib": status_kib("VmRSS"), "threads": status_kib("Threads"), "modules": set(sys.modules)}
    kept: object = None
    addresses: list[str] = []
    started = time.perf_counter()
    if options.inside == "modctl":
        from modctl import agent

        kept = handle = agent.start(service=options.service, required=True)
        addresses = list(handle.addresses)
    elif options.inside == "grpc":
        kept = serve_bare_grpc(options.address)
        addresses = [options.address]
    start_ms = (time.perf_counter() - started) * 1000
    third_party = sorted(
        name
        for name in set(sys.modules) - before["modules"]  # type: ignore[operator]
        if name.partition(".")[0] not in sys.stdlib_module_names and name.partition(".")[0] != "modctl"
    )
    say(
        pid=os.getpid(), addresses=addresses, entries=len(sys.modules), start_ms=start_ms, third_party=third_party,
        rss_kib_before=before["rss_kib"], threads_before=before["threads"],
    )  # fmt: skip
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "rss":
            say(rss_kib=status_kib("VmRSS"), threads=status_kib("Threads"), entries=len(sys.modules))
        elif word == "cpu":
            say(cpu_s=time.process_time())
        elif word == "loop":
            say(**busy(float(rest)))
    del kept


if __name__ == "__main__":
    main()
