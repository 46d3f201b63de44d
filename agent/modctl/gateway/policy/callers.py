"""Who asks, and how that is known.

An identity is text and its kind says where the text comes from. What a certificate says can never look like what modctl
says itself: one that is made out to `uid:0` is quoted.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

#: Prefixes that modctl writes itself; a certificate that says one of them is quoted: `certificate:uid:0`.
RESERVED: Final = ("uid:", "token:", "certificate:", "anonymous")
#: A certificate that says its own role: modctl:ROLE/NAME, as `modctl tls issue --role` writes it.
_ROLE_URI: Final = re.compile(r"modctl:(?P<role>viewer|operator|admin)/(?P<name>[^/\s]+)")
_MAX_CHARACTERS: Final = 512


class Kind(enum.Enum):
    """How a caller is known."""

    #: The private unix socket: the directory lets nobody else in.
    USER = "user"
    #: The token that the gateway made for this user alone.
    OWN_TOKEN = "own-token"  # noqa: S105 - a kind, not a secret
    #: The token of a file that the service's owner named.
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    #: A client certificate that the named authority signed.
    CERTIFICATE = "certificate"
    #: Not at all: the owner said insecure=True.
    ANONYMOUS = "anonymous"


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        identity: uid:1000, token:NAME, a certificate's URI or DNS name, or anonymous.
        kind: how that is known.
        address: where the call came from, in gRPC's words: ipv4:10.0.0.7:40022; for the audit log.
    """

    identity: str
    kind: Kind
    address: str = ""


def certificate_identity(name: str) -> str:
    """The identity that a certificate's name stands for: the name, or a quoted one where it would look like ours."""
    shown = "".join(character if character.isprintable() else "?" for character in name)[:_MAX_CHARACTERS]
    if not shown or shown.lower().startswith(RESERVED):
        return f"certificate:{shown}"
    return shown


def role_in_certificate(identity: str) -> str:
    """The role that a certificate's URI says by itself; empty where it says none."""
    found = _ROLE_URI.fullmatch(identity)
    return found["role"] if found else ""
