"""A private certificate authority in a folder: `modctl tls init` and `modctl tls issue`, for trying mutual TLS.

    <folder>/ca.pem, ca.key          the authority; who has the key can become anybody
    <folder>/NAME.pem, NAME.key      what it has issued

P-256 keys, since every TLS library speaks it. An operator's certificate says who it is as a URI, modctl://ROLE/NAME,
which gateways without a policy for that identity take as its role.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from modctl.client.errors import CredentialsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

CA_CERT: Final = "ca.pem"
CA_KEY: Final = "ca.key"
ROLES: Final = ("viewer", "operator", "admin")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,62}")
_INSTALL: Final = "certificates need the cryptography package; run: pip install 'modctl[tls]'"
#: Clocks differ: a certificate that begins now is not yet valid on a host that is behind.
_BACKDATED: Final = dt.timedelta(hours=1)


class Issued(NamedTuple):
    """Where a certificate and its key are."""

    cert: str
    key: str


def make_authority(folder: str, name: str, valid_days: int) -> Issued:
    """Makes an authority. Never over one that is there.

    Raises:
        CredentialsError: it cannot be written, or cryptography is not installed.
    """
    x509, hashes, serialization, ec = _cryptography()
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise CredentialsError("tls init", f"{folder}: {error.strerror}") from error
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = _builder(x509, subject, subject, key.public_key(), valid_days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(x509, signs_certificates=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _write(folder, "ca", key, builder.sign(key, hashes.SHA256()), serialization)


def issue(
    folder: str, name: str, valid_days: int, *, servers: Sequence[str] = (), role: str = "", uris: Sequence[str] = ()
) -> Issued:
    """Issues a certificate. Never over one that is there.

    Args:
        folder: the authority's.
        name: what the files are called, and who an operator is.
        valid_days: how long it counts.
        servers: the names and addresses that a server is dialled by; then it is a server's certificate.
        role: of an operator: viewer, operator or admin.
        uris: further identities of an operator.

    Raises:
        UsageError: a name or role that is none.
        CredentialsError: the authority is not there, or the files cannot be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"tls issue: {name!r} is no name; take letters, digits and ._@-")
    if name == "ca":
        raise UsageError("tls issue: the authority itself is called ca; take another name")
    if bool(servers) == bool(role):
        raise UsageError("tls issue: give --server NAME for a service, or --role for an operator")
    if role and role not in ROLES:
        raise UsageError(f"tls issue: role {role!r} is none of {', '.join(ROLES)}")
    x509, hashes, serialization, ec = _cryptography()
    ca_cert, ca_key = _load(folder, x509, serialization)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = _builder(x509, subject, ca_cert.subject, key.public_key(), valid_days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(x509, signs_certificates=False), critical=True)
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_cert.public_key()), critical=False
    )
    if servers:
        names = [_server_name(x509, one) for one in servers]
        purpose = x509.ExtendedKeyUsageOID.SERVER_AUTH
    else:
        identities = [f"modctl://{role}/{name}", *uris]
        names = [x509.UniformResourceIdentifier(one) for one in identities]
        purpose = x509.ExtendedKeyUsageOID.CLIENT_AUTH
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return _write(folder, name, key, builder.sign(ca_key, hashes.SHA256()), serialization)


def _builder(x509: Any, subject: Any, issuer: Any, public: Any, valid_days: int) -> Any:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + dt.timedelta(days=valid_days))
    )


def _usage(x509: Any, *, signs_certificates: bool) -> Any:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _server_name(x509: Any, text: str) -> Any:
    try:
        return x509.IPAddress(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    try:
        return x509.DNSName(text)
    except ValueError as error:
        raise UsageError(f"tls issue: --server {text!r} is neither a host name nor an address") from error


def _load(folder: str, x509: Any, serialization: Any) -> tuple[Any, Any]:
    try:
        with open(os.path.join(folder, CA_CERT), "rb") as file:
            cert = x509.load_pem_x509_certificate(file.read())
        with open(os.path.join(folder, CA_KEY), "rb") as file:
            key = serialization.load_pem_private_key(file.read(), password=None)
    except OSError as error:
        raise CredentialsError(
            "tls issue", f"{folder} holds no authority ({error.strerror}); run: modctl tls init --dir {folder}"
        ) from error
    except (ValueError, TypeError) as error:
        raise CredentialsError("tls issue", f"the authority in {folder} cannot be read: {error}") from error
    return cert, key


def _write(folder: str, name: str, key: Any, cert: Any, serialization: Any) -> Issued:
    made = Issued(os.path.join(folder, f"{name}.pem"), os.path.join(folder, f"{name}.key"))
    if taken := [place for place in made if os.path.lexists(place)]:
        raise CredentialsError("tls", f"{' and '.join(taken)} already there; remove them, or take another name")
    pem = serialization.Encoding.PEM
    contents = (
        (made.key, 0o600, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())),
        (made.cert, 0o644, cert.public_bytes(pem)),
    )
    try:
        for place, mode, content in contents:
            with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise CredentialsError("tls", f"{error.filename or folder}: {error.strerror}") from error
    return made


def _cryptography() -> tuple[Any, Any, Any, Any]:
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise CredentialsError("tls", _INSTALL) from error
    return x509, hashes, serialization, ec
