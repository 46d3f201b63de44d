"""What a failed call means: an outcome, and a sentence that says the cure.

The left column are words of gRPC's own messages; they are gRPC's to change, so that a message that no line knows is
shown as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from modctl.client.results import Failure

if TYPE_CHECKING:
    from modctl.client.targets import Target

#: (words in gRPC's details, reason, sentence).
_CONNECTING: list[tuple[str, str, str]] = [
    (
        r"No such file or directory",
        "NO_SOCKET",
        "there is no such socket: the service has not started its agent, or has ended",
    ),
    (
        r"Permission denied",
        "SOCKET_DENIED",
        "the socket belongs to another user; run as the user that the service runs as",
    ),
    (
        r"Connection refused",
        "REFUSED",
        "connection refused: nobody listens there; is the service up, and is this its address?",
    ),
    (
        r"errors resolving|DNS resolution failed|lookup error|Name or service not known",
        "NAME_UNKNOWN",
        "the host name is unknown to DNS",
    ),
    (
        r"unable to get local issuer|self.signed certificate|unable to verify the first",
        "CA_UNKNOWN",
        "its certificate is not signed by an authority that is believed here; name the right one with --cacert",
    ),
    (
        r"certificate has expired|CERTIFICATE_EXPIRED|not yet valid",
        "CERTIFICATE_EXPIRED",
        "its certificate has expired or is not valid yet; issue a new one, and check the clocks",
    ),
    (
        # grpcio before 1.70 or so does not say which of the two.
        r"CERTIFICATE_VERIFY_FAILED",
        "CERTIFICATE_NOT_BELIEVED",
        (
            "its certificate is not believed here: another authority signed it (name the right one with --cacert), or "
            "it has expired or is not valid yet (issue a new one, and check the clocks)"
        ),
    ),
    (
        r"Hostname Verification|not in peer certificate|match.*target name",
        "NAME_DIFFERS",
        "its certificate is for another name; say that name with --server-name, or dial it by that name",
    ),
    (
        r"WRONG_VERSION_NUMBER|wrong version number",
        "NO_TLS",
        "it does not speak TLS; if the network is trusted, dial it with --plaintext",
    ),
    (
        r"BAD_CERTIFICATE|CERTIFICATE_REQUIRED|UNKNOWN_CA|certificate required|bad certificate",
        "CERTIFICATE_REFUSED",
        "it refused our certificate; give one that it believes with --cert and --key",
    ),
    (
        r"Failed to create security handshaker",
        "BAD_CREDENTIALS",
        "the certificates given cannot be used; check the files of --cacert, --cert and --key with openssl",
    ),
    (
        r"http1\.x server|Expected SETTINGS frame",
        "NO_GRPC",
        "something else than modctl answers there: it is not gRPC; check the port",
    ),
    (
        r"timed out|Timeout|timeout|Endpoint closing|deadline",
        "CONNECT_TIMEOUT",
        "no connection within --connect-timeout: the host is down, or a firewall drops the packets",
    ),
    (
        r"No route to host|Network is unreachable|Host is down",
        "NO_ROUTE",
        "there is no route to the host",
    ),
]

_CLOSED = re.compile(r"Socket closed|Connection reset|Broken pipe|EOF|Handshake read failed", re.IGNORECASE)


def connection_failure(details: str, target: Target, secure: bool, with_certificate: bool) -> Failure:
    """Why a connection could not be had.

    Args:
        details: gRPC's words.
        target: what was dialled.
        secure: whether TLS was spoken.
        with_certificate: whether the client showed a certificate.
    """
    for words, reason, sentence in _CONNECTING:
        if re.search(words, details):
            if reason == "SOCKET_DENIED" and not target.path:
                continue
            return Failure("UNAVAILABLE", reason, sentence)
    if _CLOSED.search(details):
        # All that gRPC tells a client whose certificate was refused.
        if not secure and not target.path:
            return Failure(
                "UNAVAILABLE", "CLOSED", "it hung up at once: it probably wants TLS; name its authority with --cacert"
            )
        if secure and not with_certificate:
            return Failure(
                "UNAVAILABLE",
                "CLOSED",
                "it hung up in the TLS handshake: it probably wants a client certificate; give --cert and --key",
            )
        if secure:
            return Failure(
                "UNAVAILABLE",
                "CLOSED",
                "it hung up in the TLS handshake: it probably does not believe our certificate (another authority, or "
                "expired); give another one with --cert and --key",
            )
        return Failure(
            "UNAVAILABLE", "CLOSED", "it hung up before it answered: the service is ending, or has just begun"
        )
    return Failure("UNAVAILABLE", "UNAVAILABLE", _last_error(details))


def _last_error(details: str) -> str:
    return details.rpartition("last error: ")[2] or "no answer"


def call_failure(code: str, details: str, secure: bool) -> Failure:
    """Why a call that reached the target failed, where the target gave no ErrorDetail."""
    if code == "DEADLINE_EXCEEDED":
        return Failure(code, "TIMED_OUT", "no answer within --timeout; the target may be busy, or stuck")
    if code == "UNAUTHENTICATED":
        return Failure(code, "UNAUTHENTICATED", f"it does not know us ({details}); give a token with --token-file")
    if code == "PERMISSION_DENIED":
        return Failure(code, "PERMISSION_DENIED", f"we may not do that: {details}")
    if code == "UNIMPLEMENTED":
        if "Method not found" in details or not details:
            return Failure(code, "UNSUPPORTED", "it does not know this command; its modctl is older than this one")
        return Failure(code, "NO_GRPC", f"it does not speak modctl's API: {details}")
    if code == "RESOURCE_EXHAUSTED" and "larger than max" in details:
        return Failure(code, "TOO_LARGE", f"the message is too large: {details}")
    if code in ("INTERNAL", "CANCELLED") and "RST_STREAM" in details:
        # gRPC's own words for a gateway that went while it was asked, not the gateway's for a mistake of its own.
        code = "UNAVAILABLE"
    if code == "UNAVAILABLE":
        wording = "the connection broke before the answer came"
        return Failure(code, "CONNECTION_LOST", wording if secure or details else f"{wording}: {details}")
    if code == "CANCELLED":
        return Failure(code, "CANCELLED", details or "the call was given up")
    return Failure(code, code, details or code)
