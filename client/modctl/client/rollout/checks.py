"""Whether a wave is well: a command on the operator's machine, an expression in each process, or health."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modctl.client.rollout.port import Answer, FleetPort, Where

#: Of what a failing command said, so much is told.
_SHOWN_CHARACTERS = 400


async def run_check(
    check: str, port: FleetPort, processes: Sequence[Where], timeout_s: float, environ: Mapping[str, str]
) -> str:
    """Runs one check; returns "" where it holds, else one sentence.

    Args:
        check: "health", "expr:EXPRESSION"; anything else, also behind "cmd:", is a command for the shell.
        port: the fleet.
        processes: (target, process) of whom it is about.
        timeout_s: bound on it, in seconds.
        environ: what a command sees besides this process's environment.
    """
    try:
        if check == "health":
            return _worst(check, await asyncio.wait_for(port.health(processes), timeout_s))
        if check.startswith("expr:"):
            expression = check[len("expr:") :].strip()
            return _worst(check, await asyncio.wait_for(port.evaluate(processes, expression, timeout_s), timeout_s + 5))
    except asyncio.TimeoutError:
        return f"check {check!r} did not end within {timeout_s:g} s"
    return await _run_command(check.removeprefix("cmd:").strip(), timeout_s, environ)


def _worst(check: str, answers: Sequence[Answer]) -> str:
    failed = [answer for answer in answers if answer.outcome != "OK"]
    if not failed:
        return ""
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"check {check!r} does not hold in {failed[0].process}: {failed[0].why or failed[0].outcome}{more}"


async def _run_command(command: str, timeout_s: float, environ: Mapping[str, str]) -> str:
    try:
        # A session of its own: what it starts can be ended with it, and the operator's Ctrl-C is ours to handle.
        child = await asyncio.create_subprocess_shell(
            command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **environ},
            start_new_session=True,
        )
    except OSError as error:
        return f"check {command!r} cannot be run: {error.strerror}"
    said = b""
    try:
        said, _ = await asyncio.wait_for(child.communicate(), timeout_s)
    except asyncio.TimeoutError:
        return f"check {command!r} did not end within {timeout_s:g} s and was killed"
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await child.wait()
    if child.returncode == 0:
        return ""
    text = " ".join(said.decode("utf-8", "replace").split())
    status = child.returncode or 0
    ending = f"signal {-status}" if status < 0 else f"status {status}"
    return f"check {command!r} ended with {ending}" + (f": {text[-_SHOWN_CHARACTERS:]}" if text else "")
