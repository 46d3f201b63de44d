"""What is fuzzed: each target takes bytes and raises only where something is wrong with modctl.

The same targets are driven by hypothesis in the suite (test_fuzz.py) and, guided by coverage, by atheris (`make fuzz`).
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import shutil
import tempfile
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Bytes:
    """Takes decisions from bytes; zeros once they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, below: int) -> int:
        """From 0 to below - 1."""
        if self._at >= len(self._data):
            return 0
        found = self._data[self._at]
        self._at += 1
        if below > 256 and self._at < len(self._data):
            found = found << 8 | self._data[self._at]
            self._at += 1
        return found % below

    def rest(self) -> bytes:
        """All that is left."""
        found, self._at = self._data[self._at :], len(self._data)
        return found


def frames(data: bytes) -> None:
    """The frame parser: however a stream is cut, the same frames, or FrameError."""
    from modctl.local.frames import Decoder, Frame, FrameError, encode

    def fed(pieces: list[bytes]) -> tuple[list[Frame], bool]:
        decoder, found = Decoder(4096), []
        try:
            for piece in pieces:
                found += decoder.feed(piece)
        except FrameError:
            return found, False
        return found, True

    step = data[0] % 16 + 1 if data else 1
    whole, whole_ok = fed([data])
    cut, cut_ok = fed([data[at : at + step] for at in range(0, len(data), step)])
    assert whole_ok == cut_ok
    assert whole == cut[: len(whole)]
    if whole_ok:
        assert whole == cut
        assert data.startswith(b"".join(encode(frame.request_id, frame.flags, frame.body) for frame in whole))


def names(data: bytes) -> None:
    """Names: what is accepted is one, and neither globs nor decisions choke on any."""
    from modctl.agent.engine.names import problem_with
    from modctl.gateway import validation
    from modctl.gateway.errors import CallFailure
    from modctl.gateway.policy import globs
    from modctl.gateway.policy.callers import Caller, Kind
    from modctl.gateway.policy.decide import Asked, Request, decide
    from modctl.gateway.policy.model import DEFAULT

    text = data.decode("utf-8", "surrogateescape" if data[:1] == b"\xed" else "replace")
    problem_with(text)
    for check in (validation.name, validation.importable_name):
        try:
            check("name", text)
        except CallFailure as failure:
            failure.to_message()
        else:
            assert text
            assert not set(text) & set("/\\\0\n ")
    glob, _, name = text.partition("|")
    if globs.fits(glob, name):
        assert not globs.fits_all_below(glob, name) or globs.fits(glob, f"{name}.x")
    if globs.fits(glob, f"{name}.x"):
        assert globs.may_fit_below(glob, name)
    decide(DEFAULT, Caller(text, Kind.CERTIFICATE), Request((Asked("evict", text, below=True),)))


def policies(data: bytes) -> None:
    """Policy files: a policy, or every problem with its line; a decision under whatever is accepted."""
    from modctl.gateway.policy.callers import Caller, Kind
    from modctl.gateway.policy.decide import Asked, Request, decide
    from modctl.gateway.policy.parse import parse
    from modctl.gateway.policy.reading import PolicyError

    text = data.decode("utf-8", "replace")
    try:
        policy = parse(text, "p")
    except PolicyError as error:
        problems = error.problems
    else:
        problems = []
    if problems:
        assert all(0 <= problem.line <= text.count("\n") + 1 for problem in problems)
        return
    for kind in Kind:
        decision = decide(policy, Caller("uid:0", kind), Request((Asked("evict", "a.b", below=True), Asked("list"))))
        assert decision.role in policy.roles


def change_sets(data: bytes) -> None:
    """Change-set files in each format: operations, or a ClientError."""
    from modctl.client import changeset
    from modctl.client.errors import ClientError

    ending = (".toml", ".json", ".yaml")[data[0] % 3] if data else ".toml"
    text = data[1:].decode("utf-8", "replace")
    # Files that the change set names are the operator's own: only texts without any are looked into here.
    if "file" in text or "package" in text:
        return
    with contextlib.suppress(ClientError):
        changeset.read_change_set(f"f{ending}", text)


def hosts(data: bytes) -> None:
    """Targets as operators write them: targets, or a ClientError."""
    from modctl.client.errors import ClientError
    from modctl.client.targets import parse_targets

    with contextlib.suppress(ClientError):
        parse_targets([data.decode("utf-8", "replace")])


def archives(data: bytes) -> None:
    """Archives: files that lie inside and within the limits, or ArchiveError."""
    from modctl.local import archives as under_test
    from modctl.local import packages
    from modctl.local.archives import ArchiveError

    if data[:1] == b"\1":
        data = _zipped(Bytes(data[1:]))
    try:
        files = under_test.unpacked(data)
        assert sum(map(len, files.values())) <= under_test.MAX_TOTAL_BYTES
        assert not any(".." in place.split("/") or place.startswith("/") for place in files)
        layout = packages.of_archive("p", files)
    except ArchiveError:
        return
    assert layout.modules
    assert all(module.name == "p" or module.name.startswith("p.") for module in layout.modules)


def _zipped(choices: Bytes) -> bytes:
    """A zip file with odd members, then spoiled a little."""
    odd = ("p/__init__.py", "p/a.py", "../x.py", "/x.py", "p/a.py/b.py", "p\\a.py", "p/x\0.py", "", "p/", "P/é.py", ".")
    stream = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(stream, "w") as archive:
        warnings.simplefilter("ignore")  # that a name is in it twice
        for _ in range(choices.number(5)):
            info = zipfile.ZipInfo(odd[choices.number(len(odd))])
            info.external_attr = (0o644, 0o120777, 0o040755)[choices.number(3)] << 16
            info.flag_bits = choices.number(4)
            info.compress_type = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[choices.number(2)]
            archive.writestr(info, b"x" * choices.number(3000))
    made = bytearray(stream.getvalue())
    for _ in range(choices.number(6)):
        if made:
            made[choices.number(65536) % len(made)] = choices.number(256)
    return bytes(made)


def audit_lines(data: bytes) -> None:
    """An audit log that somebody has written nonsense into: the next gateway goes on all the same."""
    from modctl.gateway.audit.log import AuditLog
    from modctl.gateway.audit.records import Place
    from modctl.gateway.audit.trail import Trail

    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "a")
        with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as stream:
            stream.write(data)
        log = AuditLog(file, 1 << 20, 1)
        trail = Trail(log, Place("/i", "s", "h", 1))
        trail.begin({"id": "x", "instance": "/i"})
        assert json.loads(trail.newest(1, 1 << 20)[0])["id"] == "x"
        log.close()


class World:
    """A gateway in a thread and a process behind it that answers everything; made once."""

    _made: World | None = None

    def __init__(self) -> None:
        import grpc
        from gateway.fake_agent import FakeAgent, applied, in_batches, last
        from modctl.gateway.thread import serve_in_thread
        from modctl.v1 import agent_service_pb2, module_service_pb2

        self.folder = tempfile.mkdtemp(prefix="mc-", dir="/tmp")
        self.instance = os.path.join(self.folder, "shop")
        os.mkdir(self.instance, 0o700)
        self.gateway = serve_in_thread(self.instance, "shop", grace_s=3600)
        handlers: dict[str, Any] = {
            "list_modules": lambda *_: in_batches([{"name": "a", "kind": "MODULE_KIND_SOURCE"}]),
            "get_module": lambda *_: last({"module": {"name": "a"}}),
            "list_revisions": lambda *_: last({"revisions": [{"number": 1}]}),
            "resolve": lambda *_: last({"modules": []}),
            "change": applied,
            "watch": lambda *_: last({"events": []}),
            "freeze": lambda agent, _: last({"process": agent.facts}),
            "thaw": lambda agent, _: last({"process": agent.facts}),
        }
        place = pathlib.Path(self.instance)
        # One that plans by itself and one that is sent plans.
        self.agents = [
            FakeAgent(place, handlers=handlers),
            FakeAgent(place, pid=1, handlers=handlers, attachments=True),
        ]
        for agent in self.agents:
            agent.welcome()
        self.channel = grpc.insecure_channel(f"unix:{self.instance}/gateway.sock")
        self.methods: list[tuple[str, Any]] = []
        for module in (agent_service_pb2, module_service_pb2):
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    path = f"/{service.full_name}/{method.name}"
                    message = getattr(module, method.input_type.name)
                    self.methods.append((path, message))

    @classmethod
    def get(cls) -> World:
        """The one world."""
        if cls._made is None:
            cls._made = World()
        return cls._made

    @classmethod
    def end(cls) -> None:
        """Closes the one world, if there is one."""
        made, cls._made = cls._made, None
        if made is not None:
            made.close()

    def call(self, path: str, body: bytes, metadata: tuple[tuple[str, str], ...]) -> str:
        """The status's name that a call ends with."""
        import grpc

        try:
            for _ in self.channel.unary_stream(path)(body, metadata=metadata, timeout=60):
                if path.endswith("/WatchModules"):
                    break  # it would never end
        except grpc.RpcError as error:
            return str(error.code().name) + ": " + str(error.details())
        return "OK"

    def close(self) -> None:
        """Ends everything."""
        self.channel.close()
        for agent in self.agents:
            agent.close()
        self.gateway.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


_WORDS = (b"all", b"any", b"1000", b"1", b"", b"shop/host/1@2", b",,,", b"%00", b"a" * 300)


def calls(data: bytes) -> None:
    """Every RPC with any bytes through a real channel: an answer, or a status that is not our mistake."""
    world = World.get()
    choices = Bytes(data)
    path, message = world.methods[choices.number(len(world.methods))]
    process = _WORDS[choices.number(len(_WORDS))].decode()
    body = choices.rest()
    if choices_mutate := data[:1] and data[0] & 0x80:
        body = _message(message(), Bytes(body), 0).SerializeToString()
    metadata = (("modctl-process", process),) if process else ()
    if len(data) % 2:
        metadata += (("modctl-together", "1"),)
    status = world.call(path, body, metadata)
    code = status.partition(":")[0]
    assert code not in ("INTERNAL", "UNKNOWN", "UNAVAILABLE", "DEADLINE_EXCEEDED"), (path, bool(choices_mutate), status)
    assert world.gateway.running


def _message(message: Any, choices: Bytes, depth: int) -> Any:
    """A message with some of its fields set to odd values."""
    texts = ("", "a", "a.b", "a..b", "../x", "é", "\0", "x" * 600, "sys", "*", "sha256:" + "0" * 64)
    floats = (0.0, -1.0, float("nan"), float("inf"), 1e300, 0.5)
    for field in message.DESCRIPTOR.fields:
        if choices.number(3) == 0:
            continue
        repeated = getattr(field, "is_repeated", None)
        if repeated is None or callable(repeated):
            repeated = field.label == field.LABEL_REPEATED
        for _ in range(choices.number(4) if repeated else 1):
            if field.message_type is not None:
                if field.message_type.GetOptions().map_entry:
                    getattr(message, field.name)[texts[choices.number(len(texts))]] = texts[choices.number(len(texts))]
                elif depth < 4:
                    into = getattr(message, field.name)
                    _message(into.add() if repeated else into, choices, depth + 1)
                    if not repeated:
                        into.SetInParent()
                continue
            value: Any
            if field.type == field.TYPE_STRING:
                value = texts[choices.number(len(texts))]
            elif field.type == field.TYPE_BYTES:
                value = bytes(choices.number(256) for _ in range(choices.number(20)))
            elif field.type in (field.TYPE_DOUBLE, field.TYPE_FLOAT):
                value = floats[choices.number(len(floats))]
            elif field.type == field.TYPE_BOOL:
                value = bool(choices.number(2))
            elif field.type == field.TYPE_ENUM:
                value = choices.number(12)
            else:
                value = choices.number(65536)
            if repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
    return message


def agents(data: bytes) -> None:
    """A process that says anything to its gateway: it loses its connection and nobody else notices."""
    import socket

    world = World.get()
    choices = Bytes(data)
    hello = choices.number(2)
    dialled = socket.socket(socket.AF_UNIX)
    dialled.settimeout(5)
    try:
        dialled.connect(os.path.join(world.instance, "agent.sock"))
        if hello:
            from modctl.local.frames import encode

            body = {"hello": {"v": 1, "process": {"id": "shop/h/7@7", "pid": 7, "service": "shop"}, "listen": []}}
            dialled.sendall(encode(0, 0, json.dumps(body).encode()))
        dialled.sendall(choices.rest())
        dialled.shutdown(socket.SHUT_WR)
        while dialled.recv(65536):
            pass
    except OSError:
        pass  # it hung up on us
    finally:
        dialled.close()
    assert world.gateway.running
    status = world.call("/modctl.v1.AgentService/GetAgent", b"", ())
    assert status == "OK", status


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "names": names,
    "policies": policies,
    "change_sets": change_sets,
    "hosts": hosts,
    "archives": archives,
    "audit_lines": audit_lines,
    "calls": calls,
    "agents": agents,
}
