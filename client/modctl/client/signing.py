"""Making and checking signatures of sources on the operator's side: `modctl sign`, `modctl verify`, `--signature`.

Making one uses the `cryptography` package (`modctl[sign]`); checking one uses nothing.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib.util
import json
import os
import time
import zipfile
from typing import TYPE_CHECKING, Any, Final

from modctl.client import packages
from modctl.client.errors import CredentialsError, SourceError
from modctl.local import signing
from modctl.local.archives import ArchiveError, unpacked
from modctl.local.packages import laid_out, of_archive
from modctl.local.signing import Signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ENDING: Final = ".sig"
DEFAULT_VALID_S: Final = 30 * 86_400.0
_INSTALL: Final = "signing needs the cryptography package; run: pip install 'modctl[sign]'"


def new_key(path: str) -> str:
    """Makes a key pair; returns the public half in base64.

    Args:
        path: where the private half goes, in PEM form and closed to others. Never over a file that is there.

    Raises:
        CredentialsError: it cannot be written, or cryptography is not installed.
    """
    ed25519, serialization = _cryptography()
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(pem)
    except OSError as error:
        raise CredentialsError("--new-key", f"{path}: {error.strerror}") from error
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def load_key(path: str) -> Ed25519PrivateKey:
    """A private key.

    Raises:
        CredentialsError: it cannot be read, is none, or others can read it.
    """
    ed25519, serialization = _cryptography()
    try:
        if os.stat(path).st_mode & 0o077:
            raise CredentialsError("--signing-key", f"{path} is open to other users; run: chmod 0600 {path}")
        with open(path, "rb") as file:
            loaded = serialization.load_pem_private_key(file.read(64 * 1024), password=None)
    except OSError as error:
        raise CredentialsError("--signing-key", f"{path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise CredentialsError("--signing-key", f"{path}: holds no private key without a password ({error})") from error
    if not isinstance(loaded, ed25519.Ed25519PrivateKey):
        raise CredentialsError("--signing-key", f"{path}: holds another kind of key; make one with --new-key")
    key: Ed25519PrivateKey = loaded
    return key


def sign(key: Ed25519PrivateKey, key_name: str, name: str, digest: str, valid_s: float) -> Signature:
    """A signature.

    Args:
        key: the private key.
        key_name: as the policy calls it.
        name: the entry that the source is for.
        digest: what becomes that entry: see digest_of.
        valid_s: how long it counts, in seconds; 0 for ever.
    """
    now = int(time.time())
    until = now + int(valid_s) if valid_s else 0
    return Signature(key_name, name, digest, now, until, key.sign(signing.statement(name, digest, now, until)))


def digest_of(name: str, path: str) -> str:
    """The digest that is signed of a source file, or of a package: its directory, a zip or a wheel.

    Of a package the digest is that of its modules and data files, however they are packed: who signs a directory has
    signed the zip of it. Compiled files, and a wheel's records about itself, are not part of it, and do not travel.

    Raises:
        SourceError: it cannot be read or decoded, or no such package is in it.
    """
    if not os.path.isdir(path) and not zipfile.is_zipfile(path):
        return signing.text_digest(_decoded(path, packages.read_source(path)))
    files, archive = packages.read_package(path)
    try:
        layout = laid_out(name, files) if files is not None else of_archive(name, unpacked(archive or b""))
    except ArchiveError as error:
        raise SourceError(path, f"cannot be signed as {name}: {error}") from error
    modules = [
        signing.Module(one.name, one.package, _decoded(os.path.join(path, one.place), one.content))
        for one in layout.modules
    ]
    return signing.content_digest(name, modules, layout.data)


def write(path: str, signatures: Iterable[Signature]) -> None:
    """Writes a file of signatures.

    Raises:
        SourceError: it cannot be written.
    """
    told = [{**one._asdict(), "signature": base64.b64encode(one.signature).decode()} for one in signatures]
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"v": 1, "signatures": told}, file, indent=1)
            file.write("\n")
    except OSError as error:
        raise SourceError(path, error.strerror or str(error)) from error


def read(path: str) -> tuple[Signature, ...]:
    """The signatures of a file.

    Raises:
        SourceError: it cannot be read, or is no such file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            told = json.loads(file.read(16 * 1024 * 1024))
        if told["v"] != 1:
            raise SourceError(path, f"version {told['v']!r} of signatures; this modctl knows version 1")
        return tuple(_signature(one) for one in told["signatures"])
    except OSError as error:
        raise SourceError(path, error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SourceError(path, f"no file of signatures, as `modctl sign` writes them ({error!r})") from error


def public_key(text: str) -> bytes:
    """A public key from its base64.

    Raises:
        CredentialsError: it is none.
    """
    with contextlib.suppress(binascii.Error, ValueError):
        found = base64.b64decode(text, validate=True)
        if len(found) == 32:
            return found
    raise CredentialsError("--public", f"{text[:60]!r} is no Ed25519 public key in base64")


def _signature(told: Mapping[str, Any]) -> Signature:
    return Signature(
        str(told["key"]),
        str(told["name"]),
        str(told["digest"]),
        int(told["signed_at_unix_s"]),
        int(told["expires_at_unix_s"]),
        base64.b64decode(told["signature"], validate=True),
    )


def _decoded(path: str, content: bytes) -> str:
    try:
        return importlib.util.decode_source(content)
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise SourceError(path, f"cannot be decoded: {error}") from error


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise CredentialsError("sign", _INSTALL) from error
    return ed25519, serialization
