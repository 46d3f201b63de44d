"""Files and servers of TLS: do they belong together, how long do they count, for which names."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.client.doctor.findings import bad, good, odd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modctl.client.credentials import TLS
    from modctl.client.doctor.findings import Finding
    from modctl.client.targets import Target

#: A certificate that ends sooner is worth a word.
SOON_S: Final = 14 * 86_400
_CONNECT_S: Final = 3.0


def files(tls: TLS) -> Iterator[Finding]:
    """The files that the flags name."""
    if tls.ca is not None:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(tls.ca)
            found = context.get_ca_certs()
            if not found:
                yield bad(tls.ca, "holds no certificate of an authority (CA:TRUE)", "give the CA's file to --cacert")
            for one in found:
                yield _lifetime(tls.ca, dict(one), "the authority")
        except OSError as error:
            yield bad(tls.ca, f"cannot be read as PEM: {error}", "give the CA's PEM file to --cacert")
    if tls.cert is None or tls.key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tls.cert, tls.key)
    except OSError as error:
        cure = "give the certificate and the very key that it was issued for"
        yield bad(tls.cert, f"does not go with {tls.key}: {error}", cure)
        return
    try:
        if os.stat(tls.key).st_mode & 0o077:
            yield odd(tls.key, "other users can read this private key", f"chmod 0600 {tls.key}")
    except OSError:
        pass  # it was there a moment ago
    yield _lifetime(tls.cert, _decoded(tls.cert), "our certificate")


def server(target: Target, tls: TLS) -> Iterator[Finding]:
    """What a target's server shows; a handshake of our own, since gRPC says too little."""
    if not target.host:
        return
    context = ssl.create_default_context(cafile=tls.ca)
    context.check_hostname = False
    context.set_alpn_protocols(["h2"])
    if tls.cert is not None and tls.key is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key)
        except OSError:
            return  # told above
    name = tls.server_name or target.server_name or target.host
    try:
        with (
            socket.create_connection((target.host, target.port), _CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            shown: dict[str, Any] = dict(secure.getpeercert() or {})
    except ssl.SSLCertVerificationError as error:
        yield bad(target.label, f"its certificate is not believed: {error.verify_message}", _cure_of(error, tls))
        return
    except ssl.SSLError as error:
        yield bad(target.label, f"no TLS handshake: {error.reason or error}", "is this port TLS? else --plaintext")
        return
    except OSError:
        return  # not reachable: the fleet's own call says it better
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not any(_fits(pattern, name) for pattern in names):
        cure = f"say --server-name {names[0]}, or issue one for {name}" if names else f"issue one for {name}"
        yield bad(target.label, f"its certificate is for {', '.join(names) or 'nobody'}, not for {name}", cure)
    yield _lifetime(target.label, shown, "its certificate")


def _cure_of(error: ssl.SSLCertVerificationError, tls: TLS) -> str:
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        return "issue a new one for the service (it is taken without a restart), and check both clocks"
    return f"{'another CA than ' + tls.ca if tls.ca else 'the system does not know its CA'}: name its CA with --cacert"


def _lifetime(where: str, shown: dict[str, Any], what: str) -> Finding:
    try:
        ends_s = ssl.cert_time_to_seconds(shown["notAfter"])
        begins_s = ssl.cert_time_to_seconds(shown["notBefore"])
    except (KeyError, ValueError):
        return good(where, f"{what} can be read")
    now_s = time.time()
    day = time.strftime("%Y-%m-%d", time.gmtime(ends_s))
    if now_s < begins_s:
        return bad(where, f"{what} is not valid yet", "check this machine's clock")
    if now_s > ends_s:
        return bad(where, f"{what} expired on {day}", "issue a new one; gateways take it without a restart")
    if ends_s - now_s < SOON_S:
        return odd(where, f"{what} expires on {day}", "issue a new one; gateways take it without a restart")
    return good(where, f"{what} counts until {day}")


def _decoded(path: str) -> dict[str, Any]:
    # The standard library shows the certificates of authorities and of peers, and has this for everything else.
    decode: Any = getattr(getattr(ssl, "_ssl", None), "_test_decode_cert", None)
    try:
        return dict(decode(path)) if decode is not None else {}
    except (OSError, ValueError):
        return {}


def _fits(pattern: str, name: str) -> bool:
    pattern, name = pattern.lower(), name.lower().strip("[]")
    return pattern == name or (pattern.startswith("*.") and name.partition(".")[2] == pattern[2:])
