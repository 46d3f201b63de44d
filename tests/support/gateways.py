"""Gateways as a test sees them: their files, their pids, and bare calls to them that owe nothing to the client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import grpc
from modctl.v1 import agent_service_pb2, agent_service_pb2_grpc, module_service_pb2, module_service_pb2_grpc

if TYPE_CHECKING:
    from pathlib import Path

    from modctl.v1 import process_pb2


def infos(state_dir: Path) -> list[dict[str, Any]]:
    """gateway.json of every gateway that serves in a state directory."""
    found = []
    for file in state_dir.glob("*/gateway.json"):
        try:
            found.append(json.loads(file.read_text()) | {"folder": str(file.parent)})
        except (FileNotFoundError, json.JSONDecodeError):
            continue  # it is just being taken away or replaced
    return found


def pids(state_dir: Path) -> list[int]:
    """Their pids."""
    return [int(info["pid"]) for info in infos(state_dir)]


def are_served(state_dir: Path) -> bool:
    """Whether processes are listed, each with an address beside the private socket or a word why it has none.

    A gateway lists who has joined, and opens the listeners that it asked for right after that.

    Raises:
        grpc.RpcError: one of the gateways does not answer.
    """
    listed = []
    for info in infos(state_dir):
        with Gateway(info["folder"]) as gateway:
            listed += gateway.processes()
    return bool(listed) and all(len(process.addresses) > 1 or process.warnings for process in listed)


class Gateway:
    """Bare gRPC to one gateway's private socket; a context manager."""

    def __init__(self, folder: Path | str) -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
        self._channel = grpc.insecure_channel(f"unix:{folder}/gateway.sock", options=options)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(self._channel)
        self.modules = module_service_pb2_grpc.ModuleServiceStub(self._channel)

    def __enter__(self) -> Gateway:  # noqa: PYI034 - typing.Self is of 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def process_pids(self, timeout_s: float = 5.0) -> set[int]:
        """Pids of the processes behind it.

        Raises:
            grpc.RpcError: it does not answer.
        """
        return {process.pid for process in self.processes(timeout_s)}

    def processes(self, timeout_s: float = 5.0) -> list[process_pb2.Process]:
        """The processes behind it.

        Raises:
            grpc.RpcError: it does not answer.
        """
        answer = self.agents.ListProcesses(agent_service_pb2.ListProcessesRequest(), timeout=timeout_s)
        return list(answer.processes)

    def rows(self, process: str = "all", timeout_s: float = 10.0) -> dict[int, int]:
        """How many entries each process lists.

        Raises:
            grpc.RpcError: it does not answer.
        """
        counts: dict[int, int] = {}
        call = self.modules.ListModules(
            module_service_pb2.ListModulesRequest(), timeout=timeout_s, metadata=[("modctl-process", process)]
        )
        for answer in call:
            counts[answer.process.pid] = counts.get(answer.process.pid, 0) + len(answer.modules)
        return counts
