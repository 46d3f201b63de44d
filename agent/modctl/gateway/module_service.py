"""modctl.v1.ModuleService, reading: lists, details, history, watches. Changes are in change_service."""

from __future__ import annotations

import asyncio
import os
import weakref
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway import validation
from modctl.gateway.changes import encoded
from modctl.gateway.disk import Disk
from modctl.gateway.errors import CallFailure, SourceError
from modctl.gateway.listing import Batches, Listing, walk_of
from modctl.gateway.messages import bad_answer, make, parse
from modctl.gateway.presence import Walk
from modctl.gateway.rows import Row
from modctl.gateway.rpc import Call, Method
from modctl.gateway.sources import MAX_SOURCE_BYTES, decoded
from modctl.gateway.states import Digests, digest_of, stamp_of
from modctl.v1 import change_pb2, module_pb2, module_service_pb2

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from modctl.gateway.presence import ConnectedProcess, Presence
    from modctl.gateway.rows import Batch

SERVICE: Final = "modctl.v1.ModuleService"
#: Batches that are at hand are sent together up to about this: each message costs both ends a turn of their loops.
MESSAGE_BYTES: Final = 256 * 1024


class ModuleService:
    """Implements the reading part of ModuleService.

    Args:
        presence: who is connected.
        files: the threads that may wait for a disk.
    """

    def __init__(self, presence: Presence, files: Executor) -> None:
        self._presence = presence
        self._files = files
        self._batches = Batches()
        self._digests = Digests()
        self._disk = Disk()

    def close(self) -> None:
        """Lets go of what is watched."""
        self._disk.close()

    def methods(self) -> dict[str, Method]:
        """The service's RPCs that change nothing."""
        api = module_service_pb2
        return {
            "ListModules": Method(api.ListModulesRequest, api.ListModulesResponse, self.list_modules),
            "GetModule": Method(api.GetModuleRequest, api.GetModuleResponse, self.get_module),
            "ListRevisions": Method(api.ListRevisionsRequest, api.ListRevisionsResponse, self.list_revisions),
            "WatchModules": Method(api.WatchModulesRequest, api.WatchModulesResponse, self.watch_modules, watches=True),
        }

    async def list_modules(self, call: Call, request: module_service_pb2.ListModulesRequest) -> None:
        """Entries, in the batches that the processes send."""
        validation.list_modules(request)
        chosen = call.chosen()
        asked: dict[str, Any] = {
            "op": "list_modules",
            "patterns": list(request.patterns),
            "kinds": [module_pb2.ModuleKind.Name(kind) for kind in request.kinds],
            "with_size": request.with_size,
        }
        everything = not request.patterns and not request.kinds and not request.with_size
        listing = Listing(
            request.view, frozenset(request.states), self._batches, self._digests, self._disk, self._files
        )

        async def each(process: ConnectedProcess) -> None:
            answered = False
            kept = process.walk.kept() if everything else []
            walk = {"known_walk": process.walk.number if kept else 0} if everything else {}
            came: list[Batch] = []
            with process.connection.call(encoded(asked | walk), call.deadline_s) as answers:
                async for body in answers:
                    number, same = walk_of(body) if everything else (0, False)
                    if number and not same:
                        process.walk = Walk(number, tuple(map(weakref.ref, came)))
                        continue
                    if same and not kept:
                        raise bad_answer("a listing that was not kept cannot be the same")
                    waiting: list[bytes] = []
                    for batch in kept if same else [await listing.batch(body)]:
                        came.append(batch)
                        waiting.append(await listing.render(batch))
                        if sum(map(len, waiting)) >= MESSAGE_BYTES:
                            await call.write(process.prefix + b"".join(waiting))
                            answered = True
                            waiting.clear()
                    if any(waiting):
                        await call.write(process.prefix + b"".join(waiting))
                        answered = True
            if not answered:  # nothing matches: that is an answer too
                await call.write(process.prefix)

        await call.ask(chosen, each)

    async def get_module(self, call: Call, request: module_service_pb2.GetModuleRequest) -> None:
        """Everything about one entry."""
        validation.get_module(request)
        body = encoded(
            {
                "op": "get_module",
                "name": request.name,
                "with_source": request.with_source,
                "attributes": list(request.attributes),
                "deep": request.deep,
                "with_locks": request.with_locks,
            }
        )

        async def each(process: ConnectedProcess) -> None:
            with process.connection.call(body, call.deadline_s) as answers:
                told = await answers.only()
            told = await self._in_thread(
                lambda: self._with_disk(
                    told, with_source=request.with_source, with_disk_source=request.with_disk_source
                )
            )
            answer = make(module_service_pb2.GetModuleResponse, told)
            await call.write(process.prefix + answer.SerializeToString())

        await call.ask(call.chosen(), each)

    async def list_revisions(self, call: Call, request: module_service_pb2.ListRevisionsRequest) -> None:
        """The history."""
        body = encoded({"op": "list_revisions", "limit": request.limit})

        async def each(process: ConnectedProcess) -> None:
            with process.connection.call(body, call.deadline_s) as answers:
                told = (await answers.only()).get("revisions") or []
            if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
                raise bad_answer("revisions were expected")
            await call.write(call.result(process, revisions=[make(change_pb2.Revision, one) for one in told]))

        await call.ask(call.chosen(), each)

    async def watch_modules(self, call: Call, request: module_service_pb2.WatchModulesRequest) -> None:
        """Changes as they happen. Who watches `all` also watches whoever comes later."""
        asked: dict[str, Any] = {"op": "watch", "patterns": validation.patterns("patterns", request.patterns)}
        if request.HasField("since_revision"):
            asked["since_revision"] = request.since_revision
        body = encoded(asked)
        later = encoded({"op": "watch", "patterns": asked["patterns"]})

        async def each(process: ConnectedProcess, body: bytes = body) -> None:
            with process.connection.call(body) as answers:
                async for told in answers:
                    await call.write(await self._events(process, told))

        with self._presence.joining() as joined:
            chosen = call.chosen()
            if not chosen.everybody:
                await call.ask(chosen, each)
                return
            here = chosen._replace(processes=self._presence.all())  # and who has come since the call began
            tasks = {asyncio.ensure_future(call.ask(here, each))}
            try:
                while True:
                    coming = asyncio.ensure_future(joined.get())
                    done, _ = await asyncio.wait({coming, *tasks}, return_when=asyncio.FIRST_COMPLETED)
                    for task in done & tasks:
                        await task  # raises where the caller is gone
                        tasks.discard(task)
                    if coming in done:
                        process = coming.result()
                        tasks.add(asyncio.ensure_future(call.ask_one(process, lambda one: each(one, later))))
                    else:
                        coming.cancel()
            finally:
                coming.cancel()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _events(self, process: ConnectedProcess, body: bytes) -> bytes:
        told = parse(body).get("events") or []
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise bad_answer("events were expected")
        if not told:
            return process.prefix
        answer = module_service_pb2.WatchModulesResponse()
        for event, module in await self._in_thread(lambda: [self._event(one) for one in told]):
            event.module.MergeFromString(module)
            answer.events.append(event)
        return process.prefix + answer.SerializeToString()

    def _event(self, told: dict[str, Any]) -> tuple[module_service_pb2.ModuleEvent, bytes]:
        row = told.get("module")
        event = make(module_service_pb2.ModuleEvent, {key: value for key, value in told.items() if key != "module"})
        return event, self._judged(row).full if isinstance(row, dict) else b""

    def _judged(self, told: dict[str, Any]) -> Row:
        row = Row(told)
        if row.has_file:
            row.judge(stamp_of(row.origin), self._digests)
        return row

    def _with_disk(self, told: dict[str, Any], *, with_source: bool, with_disk_source: bool = False) -> dict[str, Any]:
        """An answer of get_module with what only a look at the disk can say. In a worker thread."""
        row = told.get("module")
        if not isinstance(row, dict):
            raise bad_answer("a module was expected")
        judged = self._judged(row)
        told = {**told, "module": module_pb2.Module.FromString(judged.full)}
        place = told.pop("_source_path", None)
        if with_source and isinstance(place, str) and "source" not in told:
            try:
                told["source"] = _running_source(place, judged)
            except CallFailure as failure:
                told["source_error"] = failure.message
        if with_disk_source and (found := _disk_source(judged.origin)) is not None:
            told["disk_source"] = found
        return told

    async def _in_thread(self, work: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._files, work)


def _disk_source(place: str) -> str | None:
    """The text of a source file as it is now; None where there is none to be had."""
    if not os.path.isabs(place) or not place.endswith((".py", ".pyw")):
        return None
    try:
        with open(place, "rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
        return decoded(content, place) if len(content) <= MAX_SOURCE_BYTES else None
    except (OSError, ValueError, SourceError):
        return None


def _running_source(place: str, row: Row) -> str:
    """The text of a file, if it is what is really running.

    Raises:
        CallFailure: it is not, or cannot be read.
    """
    try:
        with open(place, "rb") as file:
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CallFailure("NOT_FOUND", "NO_SOURCE", f"{place} cannot be read: {error}") from error
    if len(content) > MAX_SOURCE_BYTES:
        raise CallFailure("RESOURCE_EXHAUSTED", "LIMIT", f"{place} is larger than {MAX_SOURCE_BYTES} bytes")
    if (row.digest and digest_of(content) != row.digest) or row.state == module_pb2.MODULE_STATE_MODIFIED:
        raise CallFailure("FAILED_PRECONDITION", "NO_SOURCE", f"{place} has changed since it was loaded")
    try:
        return decoded(content, place)
    except SourceError as error:
        raise CallFailure("FAILED_PRECONDITION", "NO_SOURCE", str(error)) from error
