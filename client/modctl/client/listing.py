"""Answers of ListModules, kept as the bytes they came as.

A thousand processes with three thousand entries each are half a gigabyte of protobuf and several of Python objects;
most of them are the same. So a batch is stored once however many processes sent it, beyond a budget it lies in an
unnamed file, and rows become `Module`s only when somebody looks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from modctl.client import wire
from modctl.v1 import module_service_pb2 as service_pb
from modctl.v1 import process_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modctl.client.facts import Module
    from modctl.client.results import Failure
    from modctl.v1 import module_pb2

    _Modules = Sequence[Module]
else:
    _Modules = Sequence

#: Batches beyond so many bytes go into a file.
MEMORY_BUDGET_BYTES = 24 * 1024 * 1024
#: So much of a batch's end tells most that differ apart.
_END = 32
_PROCESS_TAG = 0x0A  # field 1, length-delimited


class _Spill:
    """A file without a name, gone with the last batch in it."""

    def __init__(self) -> None:
        import tempfile

        self._descriptor, path = tempfile.mkstemp(prefix="modctl-")
        os.unlink(path)
        self._end = 0

    def append(self, content: bytes) -> int:
        """Writes it; returns where it begins."""
        begin = self._end
        view = memoryview(content)
        while view:
            written = os.pwrite(self._descriptor, view, self._end)
            self._end += written
            view = view[written:]
        return begin

    def read(self, begin: int, size: int) -> bytes:
        """What lies there."""
        return os.pread(self._descriptor, size, begin)

    def __del__(self) -> None:
        os.close(self._descriptor)


class Batch:
    """At most 500 entries, shared by every process that sent just these."""

    __slots__ = ("_content", "_size", "_spill", "count", "shared")

    def __init__(self, content: bytes | int, size: int, spill: _Spill | None, count: int) -> None:
        self._content = content
        self._size = size
        self._spill = spill
        self.count = count
        #: Whether more than one process sent it.
        self.shared = False

    def messages(self) -> Sequence[module_pb2.Module]:
        """The entries."""
        return service_pb.ListModulesResponse.FromString(self.raw()).modules

    def raw(self) -> bytes:
        """The entries as they came."""
        if isinstance(self._content, bytes):
            return self._content
        assert self._spill is not None
        return self._spill.read(self._content, self._size)


class BatchStore:
    """Where the batches of one command lie.

    Args:
        budget_bytes: how many bytes of batches are held in memory.
    """

    def __init__(self, budget_bytes: int = MEMORY_BUDGET_BYTES) -> None:
        self._budget_bytes = budget_bytes
        self._held_bytes = 0
        self._by_content: dict[bytes, Batch] = {}
        #: The last one of that length and end: comparing with it costs less than a hash of what came.
        self._alike: dict[tuple[int, bytes], Batch] = {}
        # Of what lies in the file only the hash is remembered: two equal batches there are not folded, nor confused.
        self._spill: _Spill | None = None
        self._processes: dict[bytes, tuple[str, str, int]] = {}

    def read(self, body: bytes) -> tuple[tuple[str, str, int], Batch | None, Failure | None]:
        """The (id, service, pid), the entries and the failure of one ListModulesResponse."""
        head, rest = _split(body)
        process = self._processes.get(head)
        if process is None:
            ref = service_pb.ListModulesResponse.FromString(head).process
            process = self._processes[head] = (ref.id, ref.service, ref.pid)
        alike = len(rest), rest[-_END:]
        known = self._alike.get(alike)
        if known is None or known.raw() != rest:
            known = self._by_content.get(rest)
        if known is not None:
            self._alike[alike] = known
            known.shared = True
            return process, known, None
        message = service_pb.ListModulesResponse.FromString(rest)
        failure = wire.failure(message.error) if message.HasField("error") else None
        if failure is not None or not message.modules:
            return process, None, failure
        return process, self._keep(rest, len(message.modules)), None

    def _keep(self, content: bytes, count: int) -> Batch:
        if self._held_bytes + len(content) <= self._budget_bytes:
            self._held_bytes += len(content)
            batch = self._by_content[content] = Batch(content, len(content), None, count)
            return batch
        if self._spill is None:
            self._spill = _Spill()
        return Batch(self._spill.append(content), len(content), self._spill, count)


def _split(body: bytes) -> tuple[bytes, bytes]:
    """The process, as a message that has nothing else, and all the rest.

    Serialisers write fields in the order of their numbers; one that does not is read the long way.
    """
    if body and body[0] == _PROCESS_TAG:
        length = shift = 0
        for index in range(1, min(6, len(body))):
            length |= (body[index] & 0x7F) << shift
            shift += 7
            if body[index] < 0x80:
                end = index + 1 + length
                # A second `process` further on would be merged into the first: nobody sends that.
                if end <= len(body) and (end == len(body) or body[end] != _PROCESS_TAG):
                    return body[:end], body[end:]
                break
    message = service_pb.ListModulesResponse.FromString(body)
    head = service_pb.ListModulesResponse(
        process=process_pb2.ProcessRef.FromString(message.process.SerializeToString())
    )
    message.ClearField("process")
    return head.SerializeToString(), message.SerializeToString()


def _module(message: module_pb2.Module) -> Module:
    # Facts are imported when somebody looks: a table is printed without them.
    from modctl.client.convert import module

    return module(message)


class Modules(_Modules):
    """The entries of one process, in the order in which they appeared in its answer.

    Looking at it makes the objects anew each time: keep what you need.
    """

    __slots__ = ("batches",)

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = tuple(batches)

    def messages(self) -> Iterator[module_pb2.Module]:
        """The entries as they came, for printers in a hurry."""
        for batch in self.batches:
            yield from batch.messages()

    def names(self) -> list[str]:
        """The entries' names."""
        return [message.name for message in self.messages()]

    def find(self, name: str) -> Module | None:
        """The entry of that name."""
        return next((_module(message) for message in self.messages() if message.name == name), None)

    def __iter__(self) -> Iterator[Module]:
        return (_module(message) for message in self.messages())

    def __len__(self) -> int:
        return sum(batch.count for batch in self.batches)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> list[Module]: ...
    def __getitem__(self, index: int | slice) -> Module | list[Module]:
        if isinstance(index, slice):
            return list(self)[index]
        position = index + len(self) if index < 0 else index
        for batch in self.batches:
            if 0 <= position < batch.count:
                return _module(batch.messages()[position])
            position -= batch.count
        raise IndexError(index)

    def __repr__(self) -> str:
        return f"<Modules {len(self)}>"
