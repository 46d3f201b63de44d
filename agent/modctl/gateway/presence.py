"""Who is connected. Presence is the connection: a process is here from its hello until its socket closes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

from modctl.gateway import wire
from modctl.gateway.errors import CallFailure
from modctl.gateway.messages import make
from modctl.v1 import process_pb2

if TYPE_CHECKING:
    import weakref
    from collections.abc import Iterator

    from modctl.gateway.connection import AgentConnection
    from modctl.gateway.rows import Batch

_log = logging.getLogger(__name__)


class Walk(NamedTuple):
    """A listing of everything, as it came over one connection.

    Attributes:
        number: the process's number of it; 0 before the first.
        batches: its frames' batches, as long as anybody keeps them.
    """

    number: int
    batches: tuple[weakref.ref[Batch], ...]

    def kept(self) -> list[Batch]:
        """The batches, or none where one of them is not kept any more."""
        batches = [batch for reference in self.batches if (batch := reference()) is not None]
        return batches if len(batches) == len(self.batches) else []


class ConnectedProcess:
    """A process that is here.

    Attributes:
        facts: what it says about itself; replaced as a whole but for its revision and its count of entries.
        ref: how answers name it.
        prefix: `ref` as the first field of an answer, serialized.
        listen: the addresses that it asks for.
        walk: the last listing of everything that it sent.
    """

    def __init__(self, connection: AgentConnection, facts: process_pb2.Process, hello: dict[str, Any]) -> None:
        self.connection = connection
        self.facts = facts
        self.id = facts.id
        self.pid = facts.pid
        self.ref = process_pb2.ProcessRef(id=facts.id, service=facts.service, pid=facts.pid)
        self.prefix = wire.field(1, self.ref.SerializeToString())
        self.hello = hello
        self.listen = strings(hello.get("listen"))
        self.walk = Walk(0, ())

    def __repr__(self) -> str:
        return f"<process {self.id}>"


class Presence:
    """The table of processes, by id. Lives on one event loop."""

    def __init__(self) -> None:
        self._by_id: dict[str, ConnectedProcess] = {}
        self._by_connection: dict[AgentConnection, ConnectedProcess] = {}
        self._listeners: set[asyncio.Queue[ConnectedProcess]] = set()
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[ConnectedProcess]:
        """Everybody, by pid."""
        return sorted(self._by_id.values(), key=lambda process: (process.pid, process.id))

    def of(self, connection: AgentConnection) -> ConnectedProcess | None:
        """Whose connection it is."""
        return self._by_connection.get(connection)

    def join(self, connection: AgentConnection, hello: dict[str, Any]) -> ConnectedProcess:
        """Takes a process in.

        A second connection of the same process takes the place of the first, whose end has not been seen yet.

        Raises:
            CallFailure: the hello does not say who it is, or says the name of another process that is here.
        """
        facts = _facts(hello.get("process"))
        if not facts.id or not facts.pid:
            raise CallFailure("INVALID_ARGUMENT", "BAD_HELLO", "a hello must say the process's id and pid")
        process = ConnectedProcess(connection, facts, hello)
        before = self._by_id.get(process.id)
        if before is not None:
            if before.connection.peer_pid != connection.peer_pid:
                raise CallFailure(
                    "ALREADY_EXISTS",
                    "DUPLICATE_PROCESS",
                    f"{process.id} is connected already, as pid {before.connection.peer_pid} of this machine",
                )
            self._by_connection.pop(before.connection, None)
            before.connection.close()
        self._by_id[process.id] = process
        self._by_connection[connection] = process
        _log.info("joined: %s", process.id)
        for listener in self._listeners:
            listener.put_nowait(process)
        self._tell()
        return process

    def update(self, connection: AgentConnection, update: dict[str, Any]) -> None:
        """Takes in what a process says has changed.

        Raises:
            CallFailure: it cannot be understood.
        """
        process = self._by_connection.get(connection)
        if process is None:
            return
        if isinstance(update.get("process"), dict):
            self.take_facts(process, update["process"])
        elif is_count(update.get("revision")) and is_count(update.get("entries")):
            # The most frequent one, after each change: nothing else has changed.
            process.facts.revision, process.facts.entries = update["revision"], update["entries"]
            self._tell()

    def take_facts(self, process: ConnectedProcess, told: dict[str, Any]) -> None:
        """Takes in a process's description of itself; its identity never changes."""
        facts = _facts(told)
        facts.id, facts.pid, facts.service = process.id, process.pid, process.ref.service
        process.facts = facts
        self._tell()

    def leave(self, connection: AgentConnection) -> ConnectedProcess | None:
        """Takes a process out; None where it never joined or has come again since."""
        process = self._by_connection.pop(connection, None)
        if process is None:
            return None
        del self._by_id[process.id]
        _log.info("left: %s", process.id)
        self._tell()
        return process

    @contextlib.contextmanager
    def joining(self) -> Iterator[asyncio.Queue[ConnectedProcess]]:
        """Everybody who joins inside the block."""
        queue: asyncio.Queue[ConnectedProcess] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    def _tell(self) -> None:
        """Wakes everybody who waits on `changed`; the next to wait takes a new one."""
        self.changed.set()
        self.changed = asyncio.Event()


def _facts(told: Any) -> process_pb2.Process:
    if not isinstance(told, dict):
        raise CallFailure("INVALID_ARGUMENT", "BAD_HELLO", "a process was expected")
    try:
        return make(process_pb2.Process, told)
    except CallFailure as failure:
        raise CallFailure("INVALID_ARGUMENT", "BAD_HELLO", failure.message) from failure


def is_count(value: Any) -> bool:
    """Whether a JSON value is a number that a message's field for one takes."""
    return type(value) is int and 0 <= value < 2**31


def strings(value: Any) -> list[str]:
    """The strings of a JSON list; nothing of anything else."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
