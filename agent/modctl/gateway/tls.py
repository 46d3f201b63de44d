"""Certificates of a TLS address, and who a client's certificate says it is."""

from __future__ import annotations

import logging
import os
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from modctl.gateway.errors import ListenError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)
_CURE: Final = "give PEM files that belong together and that the service's user can read"


class Files(NamedTuple):
    """Paths of PEM files; client_ca is empty where clients need no certificate."""

    cert: str
    key: str
    client_ca: str = ""


def files_from(told: Any) -> Files | None:
    """The files that a hello names; None where it asks for no TLS.

    Raises:
        ListenError: it asks for TLS and does not name certificate and key.
    """
    if not told:
        return None
    if not isinstance(told, dict) or not told.get("cert") or not told.get("key"):
        raise ListenError("TLS", "cert and key are needed", "name both")
    return Files(str(told["cert"]), str(told["key"]), str(told.get("client_ca") or ""))


class Certificates:
    """What is served: read at the start, read again when a file changes, kept where the new ones are no good.

    Args:
        files: the PEM files.
        address: for messages.

    Raises:
        ListenError: they cannot be used.
    """

    def __init__(self, files: Files, address: str) -> None:
        self._files = files
        self._address = address
        self._stamps = self._stamps_now()
        self._serving = self._configuration()
        #: What is wrong with the files now, though the old ones are served.
        self.problem = ""

    def credentials(self) -> grpc.ServerCredentials:
        """Credentials whose certificates are looked up for each handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._serving, self._fetch, require_client_authentication=bool(self._files.client_ca)
        )

    def reload(self) -> bool:
        """Reads changed files; whether others are served from now on. Never raises: the old ones go on."""
        stamps = self._stamps_now()
        if stamps == self._stamps:
            return False
        try:
            self._serving = self._configuration()
        except ListenError as error:  # half written perhaps: looked at again when it changes again
            self.problem = f"the new certificates are not used: {error}"
            _log.warning("%s", self.problem)
            self._stamps = stamps
            return False
        self._stamps = stamps
        self.problem = ""
        _log.info("%s: certificates reloaded", self._address)
        return True

    def _fetch(self) -> grpc.ServerCertificateConfiguration:
        """Called by grpc's threads for each handshake: only hands out what is ready."""
        return self._serving

    def _stamps_now(self) -> list[tuple[int, int, int] | None]:
        stamps: list[tuple[int, int, int] | None] = []
        for file in self._files:
            try:
                found = os.stat(file) if file else None
            except OSError:
                found = None
            stamps.append(found and (found.st_mtime_ns, found.st_size, found.st_ino))
        return stamps

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        try:
            checking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            checking.load_cert_chain(self._files.cert, self._files.key, password=_no_password)
            if self._files.client_ca:
                checking.load_verify_locations(self._files.client_ca)
            cert, key = _read(self._files.cert), _read(self._files.key)
            client_ca = _read(self._files.client_ca) if self._files.client_ca else None
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            named = getattr(error, "filename", None)
            problem = f"{named}: {error.strerror}" if named and isinstance(error, OSError) else str(error)
            raise ListenError(self._address, f"its certificates cannot be used ({problem})", _CURE) from error
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=client_ca)


def identity_of(auth_context: Mapping[str, Sequence[bytes]]) -> str | None:
    """Who a client's certificate says it is: its first URI, else DNS name, else common name; None without one."""
    for kind, properties in (
        ("uri", ("peer_spiffe_id", "peer_uri")),
        ("dns", ("peer_dns",)),
    ):
        for one in properties:
            for value in auth_context.get(one, ()):
                return f"{kind}:{value.decode('utf-8', 'replace')}"
    names = [name.decode("utf-8", "replace") for name in auth_context.get("x509_subject_alternative_name", ())]
    for name in names:  # an old grpcio does not say of which type a name is
        if "://" in name:
            return f"uri:{name}"
    if names:
        return f"dns:{names[0]}"
    for value in auth_context.get("x509_common_name", ()):
        return f"cn:{value.decode('utf-8', 'replace')}"
    return None


def _read(place: str) -> bytes:
    with open(place, "rb") as file:
        return file.read()


def _no_password() -> str:
    raise ValueError("the key is encrypted; modctl cannot ask for its password")
