"""Which processes a call is about: the metadata key `modctl-process`."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import unquote

from modctl.gateway.errors import CallFailure
from modctl.local import selectors
from modctl.v1 import process_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modctl.gateway.presence import ConnectedProcess

KEY: Final = "modctl-process"
MAX_NAMED: Final = 10_000


class Chosen(NamedTuple):
    """What a call is about.

    Attributes:
        processes: who is to answer.
        missing: what was named beside them and is not here.
        everybody: `all` was said: who joins later is meant too.
    """

    processes: list[ConnectedProcess]
    missing: list[str]
    everybody: bool = False


def choose(asked: Sequence[str], here: Sequence[ConnectedProcess]) -> Chosen:
    """Finds the processes that a call names.

    Args:
        asked: every value of the metadata key.
        here: who is connected, by pid.

    Raises:
        CallFailure: NO_PROCESS, PROCESS_AMBIGUOUS, PROCESS_NOT_FOUND or BAD_REQUEST.
    """
    for value in asked:
        if value.startswith(selectors.PREFIX):
            return _labelled(unquote(value[len(selectors.PREFIX) :]), here)
    names = [name for value in asked for name in (part.strip() for part in value.split(",")) if name]
    if len(names) > MAX_NAMED:
        raise CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", f"{KEY} names {len(names)} processes; `all` is shorter")
    if "all" in names:
        return Chosen(list(_somebody(here)), [], everybody=True)
    if not names:
        if len(_somebody(here)) > 1:
            raise _ambiguous(here)
        return Chosen(list(here), [])
    if names == ["any"]:
        return Chosen([_any(_somebody(here))], [])
    found: dict[str, ConnectedProcess] = {}
    missing: list[str] = []
    for name in dict.fromkeys(names):
        matching = _named(name, here)
        found.update((process.id, process) for process in matching)
        if not matching:
            missing.append(name)
    if not found:
        _somebody(here)
        raise not_found(missing, here)
    return Chosen(list(found.values()), missing)


def _labelled(selector: str, here: Sequence[ConnectedProcess]) -> Chosen:
    try:
        terms = selectors.parse(selector)
    except selectors.SelectorError as error:
        raise CallFailure("INVALID_ARGUMENT", "BAD_REQUEST", f"{KEY}: {error}") from error
    found = [process for process in _somebody(here) if _matches(terms, process.facts)]
    if not found:
        message = f"no process here matches {selector[:200]}; `modctl agents` shows labels"
        raise CallFailure("NOT_FOUND", "PROCESS_NOT_FOUND", message, _listed(here))
    return Chosen(found, [])


def _matches(terms: tuple[selectors.Term, ...], facts: process_pb2.Process) -> bool:
    role = process_pb2.ProcessRole.Name(facts.role).removeprefix("PROCESS_ROLE_")
    return selectors.matches(terms, facts.labels, facts.service, facts.host, role)


def not_found(missing: Sequence[str], here: Sequence[ConnectedProcess]) -> CallFailure:
    """The failure of naming somebody who is not here."""
    return CallFailure(
        "NOT_FOUND",
        "PROCESS_NOT_FOUND",
        f"no process {', '.join(missing)[:200]} is here; it may have ended. `modctl agents` lists who is",
        _listed(here),
    )


def ref_of(name: str) -> process_pb2.ProcessRef:
    """How an answer names somebody who is not here: as the caller did."""
    pid = int(name) if _is_pid(name) else 0
    return process_pb2.ProcessRef(id="" if pid else name, pid=pid)


def _somebody(here: Sequence[ConnectedProcess]) -> Sequence[ConnectedProcess]:
    if not here:
        raise CallFailure("UNAVAILABLE", "NO_PROCESS", "no process is connected to this gateway; its service has ended")
    return here


def _any(here: Sequence[ConnectedProcess]) -> ConnectedProcess:
    """Somebody who serves, rather than a master that only forks."""
    serving = [process for process in here if process.facts.role != process_pb2.PROCESS_ROLE_MASTER]
    return random.choice(serving or list(here))  # noqa: S311 - spreads load, guards nothing


def _is_pid(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) <= 9


def _named(name: str, here: Sequence[ConnectedProcess]) -> list[ConnectedProcess]:
    if _is_pid(name):
        return [process for process in here if process.pid == int(name)]
    # Metadata is ASCII and commas separate: an id that has other characters comes percent-encoded.
    return [process for process in here if process.id in (name, unquote(name))]


def _ambiguous(here: Sequence[ConnectedProcess]) -> CallFailure:
    return CallFailure(
        "FAILED_PRECONDITION",
        "PROCESS_AMBIGUOUS",
        f"{len(here)} processes are behind this target; name one with the metadata key {KEY}, or say `all` or `any`",
        _listed(here),
    )


def _listed(here: Sequence[ConnectedProcess]) -> dict[str, str]:
    """id to role: enough to choose one."""
    prefix = "PROCESS_ROLE_"
    return {
        process.id: process_pb2.ProcessRole.Name(process.facts.role).removeprefix(prefix).lower()
        if process.facts.role in process_pb2.ProcessRole.values()
        else "unknown"
        for process in here
    }
