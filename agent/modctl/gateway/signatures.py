"""Which of the sources that a request carries are signed by a key that counts: pure, and milliseconds for each key."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from modctl.gateway.errors import SourceError
from modctl.gateway.policy.requests import operations_of
from modctl.gateway.sources import decoded
from modctl.local import packages, signing
from modctl.local.archives import ArchiveError, unpacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from modctl.gateway.policy.model import SigningKey
    from modctl.v1 import change_pb2


class Checked(NamedTuple):
    """What came of it.

    Attributes:
        signed_by: name to the key that signed it.
        unsigned: name to why no signature counts.
    """

    signed_by: dict[str, str]
    unsigned: dict[str, str]


def check(request: Message, keys: Sequence[SigningKey], now_unix_s: float) -> Checked:
    """Checks everything that a request carries. Call it in a worker thread.

    Stubs of plain JSON, aliases and blocked names carry no source and need no signature.
    """
    checked = Checked({}, {})
    options = getattr(request, "options", None)
    if options is None:
        return checked
    known = [signing.Key(key.name, key.public, key.not_after_unix_s) for key in keys]
    given = [
        signing.Signature(one.key, one.name, one.digest, one.signed_at_unix_s, one.expires_at_unix_s, one.signature)
        for one in options.signatures
    ]
    for operation in operations_of(request):
        sent = _sent(operation)
        if sent is None:
            continue
        name, digest, problem = sent
        signer = ""
        if not problem:
            signer, problem = signing.problem_with(name, digest, given, known, now_unix_s)
        if problem:
            checked.unsigned[name] = problem
        else:
            checked.signed_by[name] = signer
    for name in checked.unsigned:  # sent twice under one name: the bad one counts
        checked.signed_by.pop(name, None)
    return checked


def _sent(operation: change_pb2.Operation) -> tuple[str, str, str] | None:
    """(name, digest, problem) of what an operation carries; None where it carries no source."""
    which = operation.WhichOneof("operation")
    if which == "reimport" and operation.reimport.HasField("source"):
        return _module(operation.reimport.name, operation.reimport.source)
    if which != "inject":
        return None
    inject = operation.inject
    content = inject.WhichOneof("content")
    if content == "source":
        return _module(inject.name, inject.source)
    if content not in ("package", "archive"):
        return None
    try:
        if content == "archive":
            layout = packages.of_archive(inject.name, unpacked(inject.archive))
        else:
            layout = packages.laid_out(inject.name, {file.path: file.content for file in inject.package.files})
        modules = [signing.Module(one.name, one.package, decoded(one.content, one.place)) for one in layout.modules]
    except (ArchiveError, SourceError) as error:
        return inject.name, "", f"it cannot be read: {error}"
    return inject.name, signing.content_digest(inject.name, modules, layout.data), ""


def _module(name: str, source: bytes) -> tuple[str, str, str]:
    try:
        return name, signing.text_digest(decoded(source, name)), ""
    except SourceError as error:
        return name, "", f"it cannot be read: {error}"
