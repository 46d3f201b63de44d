"""What a change request asks for, taken apart and checked for shape.

Whether it can be done is the plan's question; here only what no well-meaning gateway sends is refused.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from modctl.agent.errors import RequestError
from modctl.local.frames import ATTACHMENTS
from modctl.source.tuples import NamedTuple

MODE_FRESH: Final = "REIMPORT_MODE_FRESH"
MODE_PATCH: Final = "REIMPORT_MODE_PATCH"
DEFAULT_TIMEOUT_S: Final = 10.0
MAX_TIMEOUT_S: Final = 3600.0


class SentModule(NamedTuple):
    """A module's code as the gateway sent it.

    Attributes:
        name: its full name.
        package: whether it is a package.
        source: its text, where it was sent along.
        digest: sha256:<hex> of the source bytes.
        filename: shown in tracebacks.
        origin: the file that the gateway read, of a reimport.
        stat: (mtime_ns, size, inode) of that file.
        code: marshalled code, empty where none was sent.
        magic: the bytecode version that made it, with the optimisation level.
        optimize: the optimisation level.
        straight: whether executing that code can neither wait nor run anybody's code.
    """

    name: str
    package: bool
    source: str | None
    digest: str
    filename: str
    origin: str
    stat: tuple[int, int, int] | None
    code: bytes
    magic: str
    optimize: int
    straight: bool = False


class Import(NamedTuple):
    """Make sure that a module is loaded."""

    name: str


class Inject(NamedTuple):
    """Put in what the request carries. Just one of modules, attributes, alias_of, block is given."""

    name: str
    replace: bool
    ttl_s: float
    base_digest: str
    filename: str
    modules: tuple[SentModule, ...]
    data: dict[str, bytes]
    attributes: dict[str, Any] | None
    alias_of: str
    block: bool


class Evict(NamedTuple):
    """Remove an entry."""

    name: str
    recursive: bool
    base_digest: str


class Reimport(NamedTuple):
    """Bring code in anew."""

    name: str
    mode: str
    recursive: bool
    base_digest: str
    ttl_s: float
    modules: tuple[SentModule, ...]


class Undo(NamedTuple):
    """Take a revision back; 0 is the newest that stands."""

    revision: int


Operation = Import | Inject | Evict | Reimport | Undo


class ChangeRequest(NamedTuple):
    """A change set and what it comes with. See PROTOCOL.md."""

    request_id: str
    identity: str
    reason: str
    dry_run: bool
    timeout_s: float
    expect_revision: int | None
    override_protected: frozenset[str]
    operations: tuple[Operation, ...]
    raw: dict[str, Any]
    contents: str = ""


def parse(request: dict[str, Any]) -> ChangeRequest:
    """Takes a request apart.

    Raises:
        RequestError: BAD_REQUEST, saying what is wrong.
    """
    timeout_s = _number(request, "timeout_s")
    if timeout_s > MAX_TIMEOUT_S:
        raise bad(f"timeout_s is {timeout_s:g}, the limit is {MAX_TIMEOUT_S:g}")
    expected = request.get("expect_revision")
    if expected is not None and type(expected) is not int:
        raise bad("expect_revision is not a whole number")
    raw = _list(request, "operations")
    if not raw:
        raise bad("the change has no operations")
    attached = request.get(ATTACHMENTS) or memoryview(b"")
    operations = tuple(_operation(item, attached) for item in raw)
    if len(operations) > 1 and any(type(operation) is Undo for operation in operations):
        raise bad("undo stands alone in a change")
    return ChangeRequest(
        request_id=_text(request, "request_id"),
        identity=_text(request, "identity"),
        reason=_text(request, "reason"),
        dry_run=_flag(request, "dry_run"),
        timeout_s=timeout_s or DEFAULT_TIMEOUT_S,
        expect_revision=expected,
        override_protected=frozenset(name for name in _list(request, "override_protected") if type(name) is str),
        operations=operations,
        raw=request,
        contents=_text(request, "contents"),
    )


def bad(problem: str) -> RequestError:
    """The error of a request that makes no sense."""
    return RequestError("INVALID_ARGUMENT", "BAD_REQUEST", problem)


def _operation(item: Any, attached: memoryview) -> Operation:
    if not isinstance(item, dict) or len(item) != 1:
        raise bad("an operation is an object with one key, its verb")
    verb, fields = next(iter(item.items()))
    if not isinstance(fields, dict):
        raise bad(f"the operation {verb!r} has no fields")
    if verb == "undo":
        revision = fields.get("revision", 0)
        if type(revision) is not int or revision < 0:
            raise bad("undo needs a revision's number, or 0")
        return Undo(revision)
    name = fields.get("name", "")
    if type(name) is not str:
        raise bad(f"the operation {verb!r} has a name that is no text")
    if verb == "import":
        return Import(name)
    if verb == "evict":
        return Evict(name, _flag(fields, "recursive"), _text(fields, "base_digest"))
    if verb == "inject":
        return _inject(name, fields, attached)
    if verb == "reimport":
        mode = _text(fields, "mode") or MODE_FRESH
        if mode == "REIMPORT_MODE_UNSPECIFIED":
            mode = MODE_FRESH
        if mode not in (MODE_FRESH, MODE_PATCH):
            raise bad(f"there is no reimport mode {mode!r}")
        return Reimport(
            name,
            mode,
            _flag(fields, "recursive"),
            _text(fields, "base_digest"),
            _number(fields, "ttl_s"),
            _sent_modules(fields, attached),
        )
    raise bad(f"there is no operation {verb!r}")


def _inject(name: str, fields: dict[str, Any], attached: memoryview) -> Inject:
    given = [key for key in ("modules", "attributes", "alias_of", "block") if fields.get(key) not in (None, "", False)]
    if len(given) != 1:
        raise bad(
            f"inject {name!r} needs just one of modules, attributes, alias_of and block; it has {given or 'none'}"
        )
    modules = _sent_modules(fields, attached)
    if given == ["modules"]:
        if not modules or modules[0].name != name:
            raise bad(f"the first module of inject {name!r} must be {name!r} itself")
        for module in modules:
            if module.source is None:
                raise bad(f"inject {name!r}: {module.name!r} comes without its source")
            if module.name != name and not module.name.startswith(name + "."):
                raise bad(f"inject {name!r}: {module.name!r} is not below it")
    attributes: dict[str, Any] | None = None
    if given == ["attributes"]:
        attributes = {}
        for attribute, encoded in _object(fields, "attributes").items():
            try:
                attributes[attribute] = json.loads(encoded)
            except (TypeError, ValueError) as error:  # noqa: PERF203 - each value has its own error
                raise bad(f"inject {name!r}: the value of {attribute!r} is not JSON: {error}") from None
    data: dict[str, bytes] = {}
    for path, encoded in _object(fields, "data").items():
        try:
            data[path] = base64.b64decode(encoded, validate=True)
        except (TypeError, ValueError):  # noqa: PERF203 - as above
            raise bad(f"inject {name!r}: the data file {path!r} is not base64") from None
    return Inject(
        name=name,
        replace=_flag(fields, "replace"),
        ttl_s=_number(fields, "ttl_s"),
        base_digest=_text(fields, "base_digest"),
        filename=_text(fields, "filename"),
        modules=modules,
        data=data,
        attributes=attributes,
        alias_of=_text(fields, "alias_of"),
        block=_flag(fields, "block"),
    )


def _sent_modules(fields: dict[str, Any], attached: memoryview) -> tuple[SentModule, ...]:
    return tuple(_sent_module(item, attached) for item in _list(fields, "modules"))


def _sent_module(item: Any, attached: memoryview) -> SentModule:
    if not isinstance(item, dict):
        raise bad("a module that is sent along is an object")
    source = item.get("source")
    if source is not None and type(source) is not str:
        raise bad("a module's source is text")
    stat = item.get("stat")
    if stat is not None and not (
        isinstance(stat, list) and len(stat) == 3 and all(type(number) is int for number in stat)
    ):
        raise bad("a module's stat is three whole numbers")
    optimize = item.get("optimize", 0)
    return SentModule(
        name=_text(item, "name"),
        package=_flag(item, "package"),
        source=source,
        digest=_text(item, "digest"),
        filename=_text(item, "filename"),
        origin=_text(item, "origin"),
        stat=None if stat is None else (stat[0], stat[1], stat[2]),
        code=_code(item.get("code"), attached),
        magic=_text(item, "magic"),
        optimize=optimize if type(optimize) is int else -1,
        straight=_flag(item, "straight"),
    )


def _code(value: Any, attached: memoryview) -> bytes:
    """Marshalled code: in base64, or where it lies in what is attached, [offset, length]; b"" where there is none."""
    if type(value) is list and len(value) == 2:
        offset, length = value
        whole = type(offset) is int and type(length) is int
        if whole and offset >= 0 and 0 <= length <= len(attached) - offset:
            return bytes(attached[offset : offset + length])
        raise bad("a module's code is not within what is attached")
    try:
        return b"" if value is None else base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise bad("a module's code is not base64") from None


def _text(fields: dict[str, Any], key: str) -> str:
    value = fields.get(key)
    if value is None:
        return ""
    if type(value) is not str:
        raise bad(f"{key} is not text")
    return value


def _flag(fields: dict[str, Any], key: str) -> bool:
    value = fields.get(key, False)
    if type(value) is not bool:
        raise bad(f"{key} is neither true nor false")
    return value


def _number(fields: dict[str, Any], key: str) -> float:
    value = fields.get(key) or 0
    if type(value) not in (int, float) or not 0 <= value < float("inf"):
        raise bad(f"{key} is no time in seconds")
    return float(value)


def _list(fields: dict[str, Any], key: str) -> list[Any]:
    value = fields.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad(f"{key} is not a list")
    return value


def _object(fields: dict[str, Any], key: str) -> dict[str, Any]:
    value = fields.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"{key} is not an object")
    return value
