"""Who asks, and how that is known.

An identity is text whose prefix says where it comes from: `uid:1000`, `token:NAME`, `uri:spiffe://corp/anna`,
`dns:ci.example.com`, `cn:anna`, `anonymous`. No certificate can be made out to `uid:0`: it would be `dns:uid:0`.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

#: A certificate that says its own role, as `modctl tls issue --role` writes it.
_ROLE_URI: Final = re.compile(r"uri:modctl://(?P<role>viewer|operator|admin)/[^/\s]+")


class Kind(enum.Enum):
    """How a caller is known."""

    #: The private unix socket: the directory lets nobody else in.
    USER = "user"
    #: The token that the gateway made for this user alone.
    OWN_TOKEN = "own-token"  # noqa: S105 - a kind, not a secret
    #: A token of a file that the service's owner named.
    TOKEN = "token"  # noqa: S105 - a kind, not a secret
    #: A client certificate that the named authority signed.
    CERTIFICATE = "certificate"
    #: Not at all: the owner said insecure=True.
    ANONYMOUS = "anonymous"


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        identity: see above.
        kind: how it is known.
        address: where the call came from, in gRPC's words: ipv4:10.0.0.7:40022; for the audit log.
    """

    identity: str
    kind: Kind
    address: str = ""


def role_in_certificate(identity: str) -> str:
    """The role that a certificate's URI says by itself; empty where it says none."""
    found = _ROLE_URI.fullmatch(identity)
    return found["role"] if found else ""
