"""Requests that nobody could serve are refused here, before a process hears of them."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final

from modctl.gateway.errors import bad_request
from modctl.v1 import change_pb2, module_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
    from modctl.v1 import module_service_pb2

MAX_NAME_CHARACTERS: Final = 512
MAX_PATTERNS: Final = 1_000
MAX_NAMES: Final = 1_000
MAX_REASON_CHARACTERS: Final = 4_096
MAX_ID_CHARACTERS: Final = 128
MAX_FILENAME_CHARACTERS: Final = 1_024
MAX_ATTRIBUTES: Final = 10_000
MAX_SECONDS: Final = 10 * 365 * 86_400.0
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_UNPLAIN: Final = re.compile(r"[\x00-\x20\x7f/\\]")


def name(field: str, value: str) -> str:
    """A dotted name that can be a key of sys.modules, though no import statement may be able to say it.

    Raises:
        CallFailure: INVALID_ARGUMENT, BAD_REQUEST; as all functions here.
    """
    if not value:
        raise bad_request(field, "a module's name is needed")
    if len(value) > MAX_NAME_CHARACTERS:
        raise bad_request(field, f"a name of {len(value)} characters; {MAX_NAME_CHARACTERS} are allowed")
    if _UNPLAIN.search(value) or "" in value.split("."):
        raise bad_request(field, f"{value[:80]!r} is no module's name; names are dotted: billing.tax")
    return value


def importable_name(field: str, value: str) -> str:
    """A dotted name whose every part is a Python identifier."""
    name(field, value)
    if not all(part.isidentifier() for part in value.split(".")):
        raise bad_request(field, f"{value[:80]!r} is no name that can be imported: every part must be an identifier")
    return value


def names(field: str, values: Iterable[str]) -> list[str]:
    """At least one name."""
    found = [name(f"{field}[{number}]", value) for number, value in enumerate(values)]
    some(field, len(found))
    return found


def some(field: str, count: int) -> None:
    """At least one, and not more than a change set may have."""
    if count == 0:
        raise bad_request(field, "at least one is needed")
    if count > MAX_NAMES:
        raise bad_request(field, f"{count} at once; {MAX_NAMES} are allowed")


def patterns(field: str, values: Iterable[str]) -> list[str]:
    """Glob patterns of names."""
    found = list(values)
    if len(found) > MAX_PATTERNS:
        raise bad_request(field, f"{len(found)} patterns; {MAX_PATTERNS} are allowed")
    for number, pattern in enumerate(found):
        if not pattern or len(pattern) > MAX_NAME_CHARACTERS or "\0" in pattern:
            raise bad_request(f"{field}[{number}]", f"{pattern[:80]!r} is no pattern; one looks like billing.*")
    return found


def enum(field: str, wrapper: EnumTypeWrapper, value: int, *, unspecified: bool = True) -> str:
    """The name of an enum's value."""
    if value not in wrapper.values() or (value == 0 and not unspecified):
        raise bad_request(field, f"{value} is no {wrapper.DESCRIPTOR.name}")
    return wrapper.Name(value)


def seconds(field: str, value: float) -> float:
    """A time span; 0 means that there is none."""
    if not math.isfinite(value) or value < 0 or value > MAX_SECONDS:
        raise bad_request(field, f"{value} is no number of seconds")
    return value


def digest(field: str, value: str) -> str:
    """A digest as modctl writes it, or none."""
    if value and not _DIGEST.fullmatch(value):
        raise bad_request(field, f"{value[:80]!r} is no digest; one looks like sha256:<64 hexadecimal digits>")
    return value


def text(field: str, value: str, most: int = MAX_REASON_CHARACTERS) -> str:
    """Free text within bounds."""
    if len(value) > most:
        raise bad_request(field, f"{len(value)} characters; {most} are allowed")
    return value


def options(given: change_pb2.ChangeOptions) -> None:
    """What every change can carry."""
    text("options.request_id", given.request_id, MAX_ID_CHARACTERS)
    text("options.reason", given.reason)
    seconds("options.timeout_s", given.timeout_s)
    for field in ("confirm_within_s", "ttl_s", "shield_wait_s", "wait_drained_s"):
        seconds(f"options.{field}", getattr(given, field))
    enum("options.services", change_pb2.LiveServices, given.services)
    for number, protected in enumerate(given.override_protected):
        name(f"options.override_protected[{number}]", protected)


def inject(field: str, operation: change_pb2.InjectOperation) -> None:
    """An injection, but not what it injects."""
    importable_name(f"{field}.name", operation.name)
    seconds(f"{field}.ttl_s", operation.ttl_s)
    digest(f"{field}.base_digest", operation.base_digest)
    text(f"{field}.filename", operation.filename, MAX_FILENAME_CHARACTERS)
    if "\0" in operation.filename:
        raise bad_request(f"{field}.filename", "a file name has no NUL")
    content = operation.WhichOneof("content")
    if content is None:
        raise bad_request(field, "one of source, package, archive, attributes, alias_of or block is needed")
    if content == "alias_of":
        name(f"{field}.alias_of", operation.alias_of)
    elif content == "block" and not operation.block:
        raise bad_request(f"{field}.block", "must be true where it is given")
    elif content == "attributes":
        _attributes(f"{field}.attributes", operation.attributes)


def _attributes(field: str, given: change_pb2.Attributes) -> None:
    if len(given.json) > MAX_ATTRIBUTES:
        raise bad_request(field, f"{len(given.json)} attributes; {MAX_ATTRIBUTES} are allowed")
    for attribute, value in given.json.items():
        if not attribute.isidentifier():
            raise bad_request(field, f"{attribute[:80]!r} is no name of an attribute")
        try:
            json.loads(value)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"{field}.{attribute}", f"is no JSON: {error}") from error


def operation(field: str, given: change_pb2.Operation) -> None:
    """One operation of a change set."""
    which = given.WhichOneof("operation")
    if which == "import_module":
        importable_name(f"{field}.import_module.name", given.import_module.name)
    elif which == "inject":
        inject(f"{field}.inject", given.inject)
    elif which == "evict":
        name(f"{field}.evict.name", given.evict.name)
        digest(f"{field}.evict.base_digest", given.evict.base_digest)
    elif which == "reimport":
        name(f"{field}.reimport.name", given.reimport.name)
        digest(f"{field}.reimport.base_digest", given.reimport.base_digest)
        seconds(f"{field}.reimport.ttl_s", given.reimport.ttl_s)
        enum(f"{field}.reimport.mode", change_pb2.ReimportMode, given.reimport.mode)
        if given.reimport.HasField("source") and given.reimport.recursive:
            raise bad_request(f"{field}.reimport", "source is for one module; it cannot be recursive")
    else:
        raise bad_request(field, "an operation is needed: import_module, inject, evict or reimport")


def operations(given: list[change_pb2.Operation]) -> None:
    """A change set's operations."""
    some("operations", len(given))
    for number, one in enumerate(given):
        operation(f"operations[{number}]", one)


def list_modules(request: module_service_pb2.ListModulesRequest) -> None:
    """A listing."""
    patterns("patterns", request.patterns)
    for number, kind in enumerate(request.kinds):
        enum(f"kinds[{number}]", module_pb2.ModuleKind, kind, unspecified=False)
    for number, state in enumerate(request.states):
        enum(f"states[{number}]", module_pb2.ModuleState, state, unspecified=False)
    enum("view", module_pb2.ModuleView, request.view)


def get_module(request: module_service_pb2.GetModuleRequest) -> None:
    """Everything about one entry."""
    name("name", request.name)
    if len(request.attributes) > MAX_NAMES:
        raise bad_request("attributes", f"{len(request.attributes)} at once; {MAX_NAMES} are allowed")
    for number, attribute in enumerate(request.attributes):
        if not attribute or len(attribute) > MAX_NAME_CHARACTERS:
            raise bad_request(f"attributes[{number}]", f"{attribute[:80]!r} is no name of an attribute")
