"""This machine: packages, directories, sockets, tokens, and processes that ought to have an agent and have none."""

from __future__ import annotations

import os
import re
import socket
from importlib import metadata
from typing import TYPE_CHECKING, Final

from modctl.client.doctor.findings import bad, good, odd, unseen
from modctl.local import places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from modctl.client.doctor.findings import Finding

HERE: Final = "this machine"
_WANTED: Final = {"grpcio": (1, 60), "protobuf": (4, 25)}
_CONNECT_S: Final = 2.0


def packages() -> Iterator[Finding]:
    """Versions of what modctl stands on."""
    for name, least in _WANTED.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield bad(HERE, f"{name} is not installed", "pip install modctl")
            continue
        numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
        if numbers < least:
            wanted = ".".join(map(str, least))
            yield bad(HERE, f"{name} {found} is older than {wanted}", f"pip install '{name}>={wanted}'")
        else:
            yield good(HERE, f"{name} {found}")


def directories(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Where sockets are looked for; whether somebody else has made one of them."""
    found = False
    for place in places.base_candidates(environ):
        try:
            places.check_private(place)
        except FileNotFoundError:
            continue
        except places.PlaceError as error:
            yield bad(place, str(error), "nothing in it is believed; remove it, or set MODCTL_STATE_DIR elsewhere")
            continue
        except OSError as error:
            yield unseen(place, error.strerror or str(error))
            continue
        found = True
        yield good(place, "private to this user")
        yield from _token(place)
        for instance in sorted(os.listdir(place)):
            yield from _instance(os.path.join(place, instance))
    if not found:
        yield odd(HERE, "no agent of this user has ever run here", "start one: python -m modctl.agent app.py")
    if environ.get("MODCTL_DISABLE"):
        yield odd(HERE, "MODCTL_DISABLE is set: no agent starts from this environment", "unset MODCTL_DISABLE")


def _token(base: str) -> Iterator[Finding]:
    place = os.path.join(base, places.TOKEN)
    try:
        found = os.lstat(place)
    except OSError:
        return
    if found.st_mode & 0o077 or found.st_uid != os.getuid():
        yield bad(place, "other users can read the token", f"rm {place}: the next gateway makes another")


def _instance(folder: str) -> Iterator[Finding]:
    place = os.path.join(folder, places.GATEWAY_SOCKET)
    if not os.path.exists(place):
        return
    with socket.socket(socket.AF_UNIX) as dialled:
        dialled.settimeout(_CONNECT_S)
        try:
            folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                dialled.connect(f"/proc/self/fd/{folder_fd}/{places.GATEWAY_SOCKET}")
            finally:
                os.close(folder_fd)
        except OSError:
            yield odd(place, "nobody listens: its service was killed", f"rm -r {folder}")
            return
    frozen = os.path.join(folder, "freeze")
    if os.path.lexists(frozen):
        yield odd(frozen, "this file freezes the service", f"rm {frozen}")


def without_agent(with_agent: Iterable[int]) -> Iterator[Finding]:
    """Forked workers of a process with an agent that have none themselves.

    uWSGI forks without calling Python's fork hooks unless it is told to; this is how that shows.

    Args:
        with_agent: pids of processes on this machine that have one.
    """
    known = set(with_agent)
    for pid in sorted(known):
        silent = [child for child in _children(pid) if child not in known and _same_program(pid, child)]
        if silent:
            yield bad(
                f"process {pid}",
                f"its forked workers {', '.join(map(str, silent))} have no agent",
                "uWSGI: add --enable-threads --py-call-osafterfork; others: call agent.start() in the worker too",
            )


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        pass  # it ended, or belongs to somebody else
    return found


def _same_program(one: int, other: int) -> bool:
    """Whether one is a plain fork of the other: the same program with the same command line."""
    try:
        for part in ("cmdline", "exe"):
            if _read(one, part) != _read(other, part):
                return False
    except OSError:
        return False
    return True


def _read(pid: int, part: str) -> bytes:
    place = f"/proc/{pid}/{part}"
    if part == "exe":
        return os.fsencode(os.readlink(place))
    with open(place, "rb") as file:
        return file.read()
