"""What a change set is made of: plain data, checked where it is made.

`Inject` takes just one of source, package, archive, attributes, alias_of and block.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

from modctl.client.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modctl.local.signing import Signature


@dataclass(frozen=True)
class Import:
    """Makes sure that a module is loaded."""

    name: str


@dataclass(frozen=True)
class Inject:
    """Puts a made module into sys.modules.

    Args:
        name: the entry's name.
        source: Python source; text is sent as UTF-8.
        package: path within the package, with forward slashes, to content: {"__init__.py": b""}.
        archive: a package as a zip or wheel.
        attributes: a stub module with these attributes; the values must be JSON.
        alias_of: the entry of that name, under this name too.
        block: nothing: importing the name fails.
        replace: whether an entry that is there may be replaced.
        ttl_s: take it back by itself after so many seconds; 0 never.
        base_digest: the digest that the entry must have now.
        filename: shown in tracebacks; modctl makes one where it is empty.

    Raises:
        UsageError: not just one content.
    """

    name: str
    source: str | bytes | None = None
    package: Mapping[str, bytes] | None = None
    archive: bytes | None = None
    attributes: Mapping[str, Any] | None = None
    alias_of: str | None = None
    block: bool = False
    replace: bool = False
    ttl_s: float = 0.0
    base_digest: str = ""
    filename: str = ""

    def __post_init__(self) -> None:
        contents = [self.source, self.package, self.archive, self.attributes, self.alias_of, self.block or None]
        given = sum(content is not None for content in contents)
        if given != 1:
            raise UsageError(
                f"inject {self.name}: {'nothing to inject' if not given else 'several things to inject'}; "
                "give just one of source, package, archive, attributes, alias_of and block"
            )


@dataclass(frozen=True)
class Evict:
    """Removes an entry, its loaded submodules too where `recursive`."""

    name: str
    recursive: bool = False
    base_digest: str = ""


@dataclass(frozen=True)
class Reimport:
    """Brings in a module's code anew.

    Args:
        name: the entry's name.
        mode: "fresh": a fresh module object, executed before it is published; "patch": the live objects take the new
            code.
        recursive: its loaded submodules too.
        base_digest: the digest that the entry must have now.
        source: source to use instead of what the process finds on its disk.
        ttl_s: take it back by itself after so many seconds; 0 never.

    Raises:
        UsageError: a mode that is none.
    """

    name: str
    mode: str = "fresh"
    recursive: bool = False
    base_digest: str = ""
    source: str | bytes | None = None
    ttl_s: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("fresh", "patch"):
            raise UsageError(f"reimport {self.name}: mode {self.mode!r} is not known; it is fresh or patch")


Operation = Import | Inject | Evict | Reimport
#: What may become of live services that would be made again.
SERVICES = ("refuse", "keep", "rerun")


@dataclass(frozen=True)
class ChangeOptions:
    """What every change can carry.

    Args:
        dry_run: plan and check only.
        reason: why, for the history.
        execution_timeout_s: bound on the execution of modules' code, in seconds; 0 is the agent's default.
        expect_revision: the newest revision that the process must have; otherwise nothing is done.
        override_protected: protected names that this one request may touch all the same.
        request_id: makes a repeated request harmless; made where it is empty.
        signatures: of the sources that are sent: modctl.client.signing reads them from files.
        confirm_within_s: take the whole change back by itself unless it is confirmed within so many seconds.
        ttl_s: take the whole change back by itself after so many seconds; 0 never.
        shield_wait_s: bound on the wait for shielded units of work, in seconds; 0 is the agent's default.
        not_transactional: changed statements may call into live objects of which nothing can be put back.
        services: what becomes of live services that would be made again: "refuse", "keep" or "rerun".
        wait_drained_s: wait so many seconds at most until nothing runs old code; 0 does not look.

    Raises:
        UsageError: services is none of these.
    """

    dry_run: bool = False
    reason: str = ""
    execution_timeout_s: float = 0.0
    expect_revision: int | None = None
    override_protected: tuple[str, ...] = ()
    request_id: str = ""
    signatures: tuple[Signature, ...] = ()
    confirm_within_s: float = 0.0
    ttl_s: float = 0.0
    shield_wait_s: float = 0.0
    not_transactional: bool = False
    services: str = "refuse"
    wait_drained_s: float = 0.0

    def __post_init__(self) -> None:
        if self.services not in SERVICES:
            raise UsageError(f"services={self.services!r} is not known; it is one of {', '.join(SERVICES)}")


class ChangeKeywords(TypedDict, total=False):
    """ChangeOptions field by field, for callers who give just one or two: `fleet.reload("billing.tax", reason="…")`."""

    dry_run: bool
    reason: str
    execution_timeout_s: float
    expect_revision: int | None
    override_protected: tuple[str, ...]
    request_id: str
    signatures: tuple[Signature, ...]
    confirm_within_s: float
    shield_wait_s: float
    not_transactional: bool
    services: str
    wait_drained_s: float


def options_of(options: ChangeOptions | None, keywords: ChangeKeywords) -> ChangeOptions | None:
    """The options with what is named beside them; None where there is nothing.

    Raises:
        UsageError: a keyword is none of ChangeOptions.
    """
    unknown = keywords.keys() - ChangeOptions.__dataclass_fields__.keys()
    if unknown:
        raise UsageError(f"unknown option {', '.join(sorted(unknown))}; known are the fields of ChangeOptions")
    return replace(options or ChangeOptions(), **keywords) if keywords else options
