"""--discover: dns:///svc:50051, srv:///_modctl._tcp.svc, exec:CMD."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from modctl.client.errors import NoTargetError, UsageError
from modctl.client.finding import srv
from modctl.client.targets import Target, parse_targets, read_hosts_file

#: Bound on one look-up or command, in seconds.
PATIENCE_S = 10.0
#: A command that prints more does not print targets.
MAX_OUTPUT_BYTES = 4 * 1024 * 1024


def check_source(source: str) -> None:
    """Refuses what is no source, without asking it.

    Raises:
        UsageError: it is none.
    """
    if not source.startswith(("exec:", "dns://", "srv://")):
        raise UsageError(
            f"--discover {source!r} is not known; write dns:///svc:50051, srv:///_modctl._tcp.svc or exec:CMD"
        )


async def find(source: str) -> list[Target]:
    """The targets that a source names now; addresses of names are looked up by the fleet, as for --host.

    Args:
        source: dns:///HOST:PORT, srv:///NAME or exec:COMMAND.

    Raises:
        UsageError: a source that is none, or what it gives are no targets.
        NoTargetError: it gives nothing.
    """
    check_source(source)
    if source.startswith("exec:"):
        found = await _run(source[len("exec:") :])
    elif source.startswith("dns://"):
        found = parse_targets([_rest(source, "dns://")])
    else:
        name = _rest(source, "srv://")
        try:
            records = await asyncio.to_thread(srv.look_up, name, PATIENCE_S)
        except srv.SrvError as error:
            raise NoTargetError(f"--discover {source}: {error}") from error
        found = parse_targets(f"{record.host}:{record.port}" for record in records)
    if not found:
        raise NoTargetError(f"--discover {source}: no target was found")
    return found


def _rest(source: str, scheme: str) -> str:
    # dns:///svc has an empty authority; dns://svc is what people write.
    name = source[len(scheme) :].lstrip("/")
    if not name:
        raise UsageError(f"--discover {source!r}: no name after {scheme}/")
    return name


async def _all_of(stream: asyncio.StreamReader) -> bytes:
    """What comes until the end, or until it is too much: one read gives only what is there already."""
    text = b""
    while len(text) <= MAX_OUTPUT_BYTES and (part := await stream.read(65_536)):
        text += part
    return text


async def _ended(child: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> None:
    """Waits until a killed command is gone; what it has printed is read, or asyncio would not see its end."""
    while await stream.read(65_536):
        pass
    await child.wait()


async def _run(command: str) -> list[Target]:
    if not command.strip():
        raise UsageError("--discover exec: no command after exec:")
    child = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=None,
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        text = await asyncio.wait_for(_all_of(child.stdout), PATIENCE_S)
        status = 0 if len(text) > MAX_OUTPUT_BYTES else await asyncio.wait_for(child.wait(), PATIENCE_S)
    except asyncio.TimeoutError:
        raise NoTargetError(f"--discover exec:{command}: did not end within {PATIENCE_S:g} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            with contextlib.suppress(asyncio.TimeoutError):  # somebody of another group has its output
                await asyncio.wait_for(_ended(child, child.stdout), 2.0)
    if status != 0:
        raise NoTargetError(f"--discover exec:{command}: ended with status {status}")
    if len(text) > MAX_OUTPUT_BYTES:
        raise UsageError(f"--discover exec:{command}: printed more than {MAX_OUTPUT_BYTES >> 20} MiB")
    return parse_targets(read_hosts_file(text.decode("utf-8", "replace")))
