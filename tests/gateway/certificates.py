"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """PEM files."""

    cert: Path
    key: Path


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=60)


def authority(place: Path, name: str) -> Certificate:
    """A CA of one's own."""
    made = Certificate(place / f"{name}.pem", place / f"{name}.key")
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", f"/CN={name}", "-keyout", made.key, "-out", made.cert)  # fmt: skip
    return made


def issued(place: Path, name: str, ca: Certificate, *alternatives: str) -> Certificate:
    """A certificate by that CA, with subject alternative names as openssl writes them: DNS:x, URI:y, IP:z."""
    made = Certificate(place / f"{name}.pem", place / f"{name}.key")
    request = place / f"{name}.csr"
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
             "-keyout", made.key, "-out", request)  # fmt: skip
    extensions = place / f"{name}.ext"
    extensions.write_text(
        f"subjectAltName={','.join(alternatives)}\n" if alternatives else "basicConstraints=CA:FALSE\n"
    )
    _openssl("x509", "-req", "-in", request, "-CA", ca.cert, "-CAkey", ca.key, "-CAcreateserial", "-days", "2",
             "-extfile", extensions, "-out", made.cert)  # fmt: skip
    return made


def credentials(ca: Certificate, client: Certificate | None = None) -> grpc.ChannelCredentials:
    """What a client shows and believes."""
    return grpc.ssl_channel_credentials(
        ca.cert.read_bytes(),
        client.key.read_bytes() if client else None,
        client.cert.read_bytes() if client else None,
    )
