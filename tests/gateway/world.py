"""What tests of the gateway ask for: an instance, a gateway on it, stubs to it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from modctl.v1 import (
    agent_service_pb2_grpc,
    change_pb2,
    error_pb2,
    module_service_pb2,
    module_service_pb2_grpc,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FAKE_AGENT = Path(__file__).with_name("fake_agent.py")
EVERYBODY = (("modctl-process", "all"),)


def until(what: Callable[[], Any], timeout_s: float = 10, step_s: float = 0.01) -> Any:
    """Waits until something is so; returns it."""
    give_up = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > give_up:
            raise TimeoutError("it did not come to be")
        time.sleep(step_s)


class Stubs:
    """Both services at one address."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel
        self.modules = module_service_pb2_grpc.ModuleServiceStub(channel)
        self.agents = agent_service_pb2_grpc.AgentServiceStub(channel)


@contextlib.contextmanager
def stubs(address: str, credentials: grpc.ChannelCredentials | None = None, **options: Any) -> Iterator[Stubs]:
    target = address.replace("unix://", "unix:")
    given = [("grpc.use_local_subchannel_pool", 1), *options.items()]
    channel = (
        grpc.insecure_channel(target, given) if credentials is None else grpc.secure_channel(target, credentials, given)
    )
    with channel:
        yield Stubs(channel)


def detail_of(error: grpc.RpcError) -> error_pb2.ErrorDetail:
    """The ErrorDetail in a failed call's trailer."""
    trailers = dict(error.trailing_metadata() or ())
    return error_pb2.ErrorDetail.FromString(trailers["modctl-error-bin"])


def injection(name: str = "billing.tax", **content: Any) -> module_service_pb2.InjectModuleRequest:
    return module_service_pb2.InjectModuleRequest(operation=change_pb2.InjectOperation(name=name, **content))


def package(files: dict[str, bytes | str]) -> change_pb2.PackageFiles:
    return change_pb2.PackageFiles(
        files=[
            change_pb2.PackageFile(path=path, content=content.encode() if isinstance(content, str) else content)
            for path, content in files.items()
        ]
    )


def gateway_process(
    instance_dir: Path, *arguments: str, grace_s: float = 1.0, **options: Any
) -> subprocess.Popen[bytes]:
    """A gateway in a process of its own, which stays our child."""
    return subprocess.Popen(
        [
            sys.executable, "-I", "-m", "modctl.gateway", "--foreground",
            "--instance-dir", str(instance_dir), "--service", "shop", "--grace", str(grace_s), *arguments,
        ],
        **options,
    )  # fmt: skip


def fake_process(instance_dir: Path, **options: Any) -> subprocess.Popen[str]:
    """A fake agent in a process of its own; it has its welcome when this returns."""
    process = subprocess.Popen(
        [sys.executable, str(FAKE_AGENT), str(instance_dir), json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FAKE_AGENT.parents[1])},
    )
    assert process.stdout is not None
    if not process.stdout.readline():
        raise RuntimeError(f"the fake agent ended with {process.wait()}")
    return process


def gone(pid: int) -> bool:
    """Whether a process is no more; a zombie still is one."""
    return not os.path.exists(f"/proc/{pid}")


def row(name: str, origin: Path | str = "", kind: str = "SOURCE", **more: Any) -> dict[str, Any]:
    """A row as agents send it, with the file's stat where there is a file."""
    told: dict[str, Any] = {"name": name, "kind": f"MODULE_KIND_{kind}", "origin": str(origin), "generation": 1, **more}
    if isinstance(origin, Path) and origin.exists() and "_stat" not in more:
        found = origin.stat()
        told["_stat"] = [found.st_mtime_ns, found.st_size, found.st_ino]
    return told


def tree(root: Path, files: dict[str, str | bytes], age_s: float = 3600) -> dict[str, Path]:
    """Writes files, old enough that nobody doubts their stamps; path to file."""
    made: dict[str, Path] = {}
    for place, content in files.items():
        file = made[place] = root / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        aged(file, age_s)
    return made


def aged(file: Path, age_s: float = 3600) -> None:
    """Sets a file's times back."""
    then = time.time() - age_s
    os.utime(file, (then, then))


def by_name(answers: Iterable[module_service_pb2.ListModulesResponse]) -> dict[str, Any]:
    """The modules of a listing."""
    found = {}
    for answer in answers:
        assert not answer.HasField("error"), answer.error
        found.update({module.name: module for module in answer.modules})
    return found
