"""From a change request to what agents are sent: what comes along is compiled, once for all processes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import uuid
from typing import TYPE_CHECKING, Any, Final

from modctl.gateway.errors import ContentRefusedError, Fault, SourceError
from modctl.gateway.policy.model import DEFAULT
from modctl.gateway.sources import MAGIC, MAX_SOURCE_BYTES, OPTIMIZE, Sources
from modctl.local import packages
from modctl.local.archives import ArchiveError, unpacked
from modctl.local.frames import ATTACHED
from modctl.v1 import change_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from google.protobuf.message import Message
    from modctl.gateway.policy.model import Limits
    from modctl.v1 import module_service_pb2

_SYNTAX_RULE: Final = "source must be Python of the version that compiles it"
_SYNTAX_HINT: Final = "correct the line that the error names and send it again"


class Change:
    """One change request, on its way to processes.

    Construct it in a worker thread: it decodes, unpacks and compiles.

    Args:
        operations: what is asked for, validated.
        options: what every change can carry.
        identity: who asks.
        sources: the compiler and what it has compiled before.
        lease_s: above zero, the change is only prepared, and held for so many seconds.
        limits: how many modules and how large a source may be.

    Raises:
        ContentRefusedError: something that is sent along cannot be used. All such faults together.
    """

    def __init__(
        self,
        operations: Sequence[change_pb2.Operation],
        options: change_pb2.ChangeOptions,
        identity: str,
        sources: Sources,
        lease_s: float = 0.0,
        limits: Limits = DEFAULT.limits,
    ) -> None:
        self._limits = limits
        self._sources = sources
        self._faults: list[Fault] = []
        self._modules = 0
        self.request_id = options.request_id or uuid.uuid4().hex
        self._head = _head(options, self.request_id, identity, operations)
        if lease_s:
            self._head |= {"op": "prepare", "lease_s": lease_s}
        self._operations = [self._operation(one) for one in operations]
        self._asked = [one.reimport for one in operations if one.WhichOneof("operation") == "reimport"]
        self._raise_faults()

    def resolutions(self) -> list[tuple[str, bool]]:
        """Names, and whether with their submodules, of which a process must say where their source is."""
        return [(one.name, one.recursive) for one in self._asked if one.mode != change_pb2.REIMPORT_MODE_PATCH]

    def in_place(self) -> tuple[list[str], dict[str, bytes]] | None:
        """Of a change in place: the names that it is about, and the sources that it brings; None of any other."""
        if not self._asked or len(self._asked) != len(self._operations):
            return None
        if any(one.mode != change_pb2.REIMPORT_MODE_PATCH for one in self._asked):
            return None
        names = [one.name for one in self._asked]
        return names, {one.name: one.source for one in self._asked if one.HasField("source")}

    def body(self, resolved: Sequence[Sequence[dict[str, Any]]] = (), *, attached: bool = False) -> bytes:
        """The body of the request to an agent. Reads and compiles files: call it in a worker thread.

        Args:
            resolved: for each of resolutions() what the process answered.
            attached: whether the agent takes code behind the JSON; in base64 within it it costs both sides more.

        Raises:
            ContentRefusedError: a file of a module cannot be compiled.
        """
        operations: list[dict[str, Any]] = []
        answers = iter(resolved)
        self._faults = []
        self._modules = 0
        reimports = iter(self._asked)
        for operation in self._operations:
            if "reimport" in operation:
                asked = next(reimports)
                found = next(answers, ()) if asked.mode != change_pb2.REIMPORT_MODE_PATCH else ()
                modules = self._reimported(asked, found)
                if modules:
                    operation = {"reimport": {**operation["reimport"], "modules": modules}}
            operations.append(operation)
        self._raise_faults()
        body = {**self._head, "operations": operations}
        return _with_attachments(body) if attached else encoded(body)

    # -- one operation

    def _operation(self, given: change_pb2.Operation) -> dict[str, Any]:
        which = given.WhichOneof("operation")
        if which == "import_module":
            return {"import": {"name": given.import_module.name}}
        if which == "evict":
            evict = given.evict
            return {"evict": {"name": evict.name, "recursive": evict.recursive, "base_digest": evict.base_digest}}
        if which == "inject":
            return {"inject": self._inject(given.inject)}
        reimport = given.reimport
        mode = reimport.mode or change_pb2.REIMPORT_MODE_FRESH
        return {
            "reimport": {
                "name": reimport.name,
                "mode": change_pb2.ReimportMode.Name(mode),
                "recursive": reimport.recursive,
                "base_digest": reimport.base_digest,
                "ttl_s": reimport.ttl_s,
            }
        }

    def _inject(self, given: change_pb2.InjectOperation) -> dict[str, Any]:
        told: dict[str, Any] = {
            "name": given.name,
            "replace": given.replace,
            "ttl_s": given.ttl_s,
            "base_digest": given.base_digest,
            "filename": given.filename,
        }
        content = given.WhichOneof("content")
        if content == "attributes":
            return {**told, "attributes": dict(given.attributes.json)}
        if content == "alias_of":
            return {**told, "alias_of": given.alias_of}
        if content == "block":
            return {**told, "block": True}
        if content == "source":
            last = given.name.rpartition(".")[2]
            layout = packages.Layout(
                [packages.ModuleFile(given.name, False, f"{last}.py", given.source)],
                {},
            )
        else:
            try:
                layout = self._layout(given)
            except ArchiveError as error:
                rule = f"what is sent as {given.name} must be a package that can be injected: {error}"
                hint = "send a directory, zip file or wheel of plain Python within the limits"
                self._faults.append(Fault(given.name, "ACTION_INJECT", error.reason, rule, hint))
                return told
        told["modules"] = [
            module
            for module in (self._sent(given, file, "ACTION_INJECT") for file in layout.modules)
            if module is not None
        ]
        told["data"] = {place: base64.b64encode(data).decode("ascii") for place, data in layout.data.items()}
        return told

    def _layout(self, given: change_pb2.InjectOperation) -> packages.Layout:
        if given.WhichOneof("content") == "archive":
            return packages.of_archive(given.name, unpacked(given.archive))
        files: dict[str, bytes] = {}
        for file in given.package.files:
            if file.path in files:
                raise ArchiveError(f"{file.path!r} is in it twice")
            files[file.path] = file.content
        return packages.laid_out(given.name, files)

    def _sent(self, given: change_pb2.InjectOperation, file: packages.ModuleFile, action: str) -> dict[str, Any] | None:
        if given.filename and given.WhichOneof("content") == "source":
            filename = given.filename
        elif given.WhichOneof("content") == "source":
            filename = made_up(given.name)
        else:
            filename = f"{made_up(given.name).removesuffix('.py')}/{file.place}"
        compiled = self._compiled(file.name, action, file.content, filename)
        return None if compiled is None else {"name": file.name, "package": file.package, **compiled}

    def _reimported(self, asked: change_pb2.ReimportOperation, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The modules of a reimport: the source that came along, or the files that the process would read itself."""
        if asked.HasField("source"):
            origin = next((str(one.get("origin") or "") for one in found if one.get("name") == asked.name), "")
            filename = origin if os.path.isabs(origin) else made_up(asked.name)
            compiled = self._compiled(asked.name, "ACTION_REIMPORT", asked.source, filename)
            if compiled is not None and asked.mode == change_pb2.REIMPORT_MODE_PATCH:
                del compiled["code"]  # a plan has what is needed of it
            return [] if compiled is None else [{"name": asked.name, "origin": filename, **compiled}]
        modules: list[dict[str, Any]] = []
        for one in found:
            name, origin = str(one.get("name") or ""), str(one.get("origin") or "")
            if one.get("loader") != "SourceFileLoader" or not name:
                continue  # the agent loads it itself
            read = read_file(origin)
            if read is None:
                continue
            content, stamp = read
            compiled = self._compiled(name, "ACTION_REIMPORT", content, origin)
            if compiled is not None:
                del compiled["source"]  # it is on the process's disk
                modules.append({"name": name, "origin": origin, "stat": stamp, **compiled})
        return modules

    def _compiled(self, name: str, action: str, content: bytes, filename: str) -> dict[str, Any] | None:
        self._modules += 1
        if self._modules > self._limits.modules:
            if self._modules == self._limits.modules + 1:
                rule = f"a change set may bring {self._limits.modules} modules"
                self._faults.append(Fault(name, action, "LIMIT", rule, "send it in parts"))
            return None
        if len(content) > self._limits.source_bytes:
            rule = f"one source may have {self._limits.source_bytes} bytes; this one has {len(content)}"
            self._faults.append(Fault(name, action, "LIMIT", rule, "move data out of the module"))
            return None
        try:
            compiled = self._sources.compiled(content, filename)
        except SourceError as error:
            self._faults.append(Fault(name, action, "BAD_SOURCE", _SYNTAX_RULE, _SYNTAX_HINT, error))
            return None
        told: dict[str, Any] = {
            "source": compiled.text,
            "digest": compiled.digest,
            "filename": compiled.filename,
            "code": compiled.code,
            "magic": MAGIC,
            "optimize": OPTIMIZE,
        }
        return {**told, "straight": True} if compiled.straight else told

    def _raise_faults(self) -> None:
        if self._faults:
            raise ContentRefusedError(self._faults)


def undo_body(request: module_service_pb2.UndoRequest, request_id: str, identity: str) -> bytes:
    """The body of a request to take a revision back."""
    operations = [{"undo": {"revision": request.revision}}]
    return encoded({**_head(request.options, request_id, identity, [request]), "operations": operations})


def made_up(name: str) -> str:
    """The file name of source that came without one: no such file is there, but tracebacks and inspect take it."""
    return f"/modctl/{name.replace('.', '/')}.py"


def encoded(body: dict[str, Any]) -> bytes:
    """A request's body. Code in it becomes base64."""
    return _json(body, lambda data: base64.b64encode(data).decode("ascii"))


def _with_attachments(body: dict[str, Any]) -> bytes:
    """A request's body; code is behind the JSON, which says where: [offset, length]."""
    pieces: list[bytes] = []
    length = 0

    def attach(data: bytes) -> list[int]:
        nonlocal length
        pieces.append(data)
        length += len(data)
        return [length - len(data), len(data)]

    told = _json(body, attach)
    return b"".join([told, ATTACHED, *pieces]) if pieces else told


def _json(body: dict[str, Any], of_bytes: Callable[[bytes], object]) -> bytes:
    return json.dumps(body, separators=(",", ":"), default=of_bytes).encode()


def contents_of(options: change_pb2.ChangeOptions, operations: Iterable[Message]) -> str:
    """A digest of what a caller sent, by which a process knows the same request when it comes again.

    Of the request alone: what the gateway finds out and adds differs from one time to the next.
    """
    found = hashlib.sha256()
    for part in (options, *operations):
        data = part.SerializeToString(deterministic=True)
        found.update(f"{part.DESCRIPTOR.full_name} {len(data)}\n".encode())
        found.update(data)
    return f"sha256:{found.hexdigest()}"


def _head(
    options: change_pb2.ChangeOptions, request_id: str, identity: str, operations: Iterable[Message]
) -> dict[str, Any]:
    head: dict[str, Any] = {
        "op": "change",
        "request_id": request_id,
        "contents": contents_of(options, operations),
        "identity": identity,
        "reason": options.reason,
        "dry_run": options.dry_run,
        "timeout_s": options.timeout_s,
        "override_protected": list(options.override_protected),
    }
    for field in ("confirm_within_s", "ttl_s", "shield_wait_s", "wait_drained_s"):
        if seconds := getattr(options, field):
            head[field] = seconds
    patch: dict[str, Any] = {}
    if options.not_transactional:
        patch["not_transactional"] = True
    if options.services:
        patch["services"] = change_pb2.LiveServices.Name(options.services).removeprefix("LIVE_SERVICES_").lower()
    if patch:
        head["patch"] = patch
    if options.signatures:
        head["signatures"] = [
            {
                "key": one.key,
                "name": one.name,
                "digest": one.digest,
                "signed_at_unix_s": one.signed_at_unix_s,
                "expires_at_unix_s": one.expires_at_unix_s,
                "signature": base64.b64encode(one.signature).decode("ascii"),
            }
            for one in options.signatures
        ]
    if options.HasField("expect_revision"):
        head["expect_revision"] = options.expect_revision
    return head


def read_file(origin: str) -> tuple[bytes, list[int]] | None:
    """A file's bytes and its stat as agents write it; None where the process had better read it itself."""
    if not os.path.isabs(origin):
        return None
    try:
        with open(os.open(origin, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_SOURCE_BYTES:
                return None
            content = file.read(MAX_SOURCE_BYTES + 1)
    except (OSError, ValueError):
        return None
    return content, [found.st_mtime_ns, found.st_size, found.st_ino]
