"""Who the client is and whom it believes."""

from __future__ import annotations

from dataclasses import dataclass

from modctl.client.errors import CredentialsError


@dataclass(frozen=True)
class TLS:
    """TLS to the targets.

    Args:
        ca: PEM file of the authorities to believe; None believes the system's.
        cert: PEM file of the client's certificate chain, for mTLS.
        key: PEM file of the client's key.
        server_name: the name that the target's certificate must have, where it is not the host.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """(ca, key, cert) as PEM bytes, checked as far as is possible without a connection.

        Raises:
            CredentialsError: a file cannot be read, or does not hold what it should.
        """
        if (self.cert is None) != (self.key is None):
            missing, given = ("--key", "--cert") if self.key is None else ("--cert", "--key")
            raise CredentialsError(missing, f"needed together with {given}")
        ca = _read_pem("--cacert", self.ca, "CERTIFICATE")
        cert = _read_pem("--cert", self.cert, "CERTIFICATE")
        key = _read_pem("--key", self.key, "PRIVATE KEY")
        return ca, key, cert


@dataclass(frozen=True, repr=False)
class Token:
    """A bearer token.

    Args:
        value: the token itself; never shown.
    """

    value: str

    def __post_init__(self) -> None:
        if not self.value or not all("!" <= character <= "~" for character in self.value):
            raise CredentialsError("token", "empty, or not one line of printable ASCII")

    def __repr__(self) -> str:
        return "Token(…)"

    @classmethod
    def from_file(cls, path: str) -> Token:
        """Reads the first token of the file that the gateway reads, too: a line is a token, or a name and a token.

        Raises:
            CredentialsError: the file cannot be read, or holds no token.
        """
        try:
            with open(path, encoding="ascii") as file:
                lines = [line.partition("#")[0].split() for line in file.read(65536).splitlines()]
        except OSError as error:
            raise CredentialsError("--token-file", f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise CredentialsError("--token-file", f"{path}: holds no token, it is not ASCII text") from error
        try:
            return cls(next((words[-1] for words in lines if words), ""))
        except CredentialsError as error:
            raise CredentialsError("--token-file", f"{path}: {error}") from None


def _read_pem(setting: str, path: str | None, what: str) -> bytes | None:
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise CredentialsError(setting, f"{path}: {error.strerror}") from error
    # gRPC says of a bad file only "Failed to create security handshaker", target by target.
    if b"-----BEGIN" not in content or what.encode() not in content:
        raise CredentialsError(setting, f"{path}: holds no PEM block of a {what}")
    return content
