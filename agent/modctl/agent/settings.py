"""What start() was told: arguments, else environment variables, else defaults, checked before anything is done.

argument     variable                          default
listen       MODCTL_LISTEN (commas)            none: the private unix socket only
tls          MODCTL_TLS_CERT/_KEY/_CLIENT_CA   none
service      MODCTL_SERVICE                    from the command line, see naming.py
labels       MODCTL_LABELS (a=b,c=d)           none
policy       MODCTL_POLICY, MODCTL_TRUSTED_KEYS   none
token_file   MODCTL_TOKEN_FILE                 none
insecure     MODCTL_INSECURE                   no
state_dir    MODCTL_STATE_DIR                  see modctl.local.places
nats         MODCTL_NATS                       none
gateway      MODCTL_GATEWAY                    process
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.agent.errors import ConfigurationError
from modctl.agent.listening import Address, parse_listen
from modctl.agent.naming import service_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_SERVICE_CHARS: Final = 100
MAX_LABELS: Final = 64
MAX_LABEL_CHARS: Final = 200
_WORDS: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


class TLS(NamedTuple):
    """Certificates of a network address: paths of PEM files, read by the gateway and again when they change."""

    #: The server's certificate chain.
    cert: str
    #: Its private key.
    key: str
    #: With it every client must show a certificate that this CA signed.
    client_ca: str | None = None


class Policy(NamedTuple):
    """Who may do what."""

    #: Path of the policy file, read by the gateway and again when it changes; None has none.
    file: str | None = None
    #: Ed25519 public keys in base64. With them this process itself takes source only with a signature by one of them.
    trusted_keys: tuple[str, ...] = ()


class Settings(NamedTuple):
    """Everything that start() was told, checked; two agents with equal settings are the same agent."""

    listen: tuple[str, ...]
    tls: TLS | None
    service: str
    labels: tuple[tuple[str, str], ...]
    policy: Policy | None
    token_file: str | None
    insecure: bool
    state_dir: str | None
    nats: str | None
    gateway: str

    def differing(self, other: Settings) -> list[str]:
        """Names of the arguments in which they differ."""
        return [name for name in self._fields if getattr(self, name) != getattr(other, name)]


def resolve(
    *,
    listen: str | Iterable[str] | None = None,
    tls: TLS | None = None,
    service: str | None = None,
    labels: Mapping[str, str] | None = None,
    policy: Policy | str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    nats: str | None = None,
    gateway: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Arguments and environment, made one and checked.

    Raises:
        ConfigurationError: something of it cannot work; says the cure.
    """
    given = _Environment(environ)
    addresses = parse_listen(given.text("MODCTL_LISTEN") if listen is None else listen)
    certificates = _tls(tls, given)
    token = _optional_file("token_file", token_file, given.text("MODCTL_TOKEN_FILE"))
    if token is not None and not _head(token).strip():
        raise ConfigurationError(
            "token_file", token, "it is empty", "Write a secret of at least 32 characters into it."
        )
    unsafe = given.flag("MODCTL_INSECURE", default=False) if insecure is None else bool(insecure)
    _check_exposure(addresses, certificates, token, unsafe)
    directory = os.fspath(state_dir) if state_dir is not None else given.text("MODCTL_STATE_DIR")
    return Settings(
        listen=tuple(address.spec for address in addresses),
        tls=certificates,
        service=_service(service if service is not None else given.text("MODCTL_SERVICE")),
        labels=_labels(labels, given),
        policy=_policy(policy, given),
        token_file=token,
        insecure=unsafe,
        state_dir=os.path.abspath(directory) if directory else None,
        nats=_nats(nats if nats is not None else given.text("MODCTL_NATS")),
        gateway=_gateway(gateway if gateway is not None else given.text("MODCTL_GATEWAY") or "process"),
    )


def disabled(environ: Mapping[str, str] = os.environ) -> bool:
    """The kill switch. A word that says neither yes nor no counts as yes: who reached for it wants silence."""
    word = environ.get("MODCTL_DISABLE", "").strip().lower()
    return bool(word) and _WORDS.get(word, True)


def flag(name: str, value: bool | None, *, default: bool, environ: Mapping[str, str] = os.environ) -> bool:
    """An argument, else its variable, else the default.

    Raises:
        ConfigurationError: the variable says neither yes nor no.
    """
    return value if value is not None else _Environment(environ).flag(name, default=default)


class _Environment:
    """Variables as text and as yes or no; an empty one counts as unset."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str) -> str | None:
        return self._environ.get(name) or None

    def flag(self, name: str, *, default: bool) -> bool:
        word = self._environ.get(name, "").strip().lower()
        if not word:
            return default
        if word not in _WORDS:
            raise ConfigurationError(name, word, "it says neither yes nor no", "Use 1 or 0.")
        return _WORDS[word]


def _tls(tls: TLS | None, given: _Environment) -> TLS | None:
    if tls is None:
        cert, key = given.text("MODCTL_TLS_CERT"), given.text("MODCTL_TLS_KEY")
        client_ca = given.text("MODCTL_TLS_CLIENT_CA")
        if cert is None and key is None and client_ca is None:
            return None
        if cert is None or key is None:
            raise ConfigurationError(
                "tls", (cert, key, client_ca), "cert and key belong together", "Set MODCTL_TLS_CERT and MODCTL_TLS_KEY."
            )
        tls = TLS(cert, key, client_ca)
    if not isinstance(tls, TLS):
        raise ConfigurationError("tls", tls, "it is no agent.TLS", "Pass agent.TLS(cert=..., key=..., client_ca=...).")
    return TLS(
        cert=_pem("tls.cert", tls.cert, b"CERTIFICATE-----"),
        key=_pem("tls.key", tls.key, b"PRIVATE KEY-----"),
        client_ca=None if tls.client_ca is None else _pem("tls.client_ca", tls.client_ca, b"CERTIFICATE-----"),
    )


def _pem(setting: str, file: str | os.PathLike[str], label: bytes) -> str:
    found = _file(setting, file)
    content = _head(found)
    if b"-----BEGIN " not in content or label not in content:
        kind = label.decode().rstrip("-").lower()
        raise ConfigurationError(setting, found, f"it holds no {kind} in PEM form", "Point it at the PEM file.")
    return found


def _optional_file(setting: str, value: str | os.PathLike[str] | None, variable: str | None) -> str | None:
    chosen = value if value is not None else variable
    return None if chosen is None else _file(setting, chosen)


def _file(setting: str, value: str | os.PathLike[str]) -> str:
    # Absolute, for the gateway that reads it runs in another directory.
    found = os.path.abspath(os.fspath(value))
    if not os.path.isfile(found):
        raise ConfigurationError(setting, found, "there is no such file", "Check the path, or leave it out.")
    if not os.access(found, os.R_OK):
        raise ConfigurationError(
            setting, found, "this user may not read it", f"Make it readable for uid {os.getuid()}."
        )
    return found


def _head(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read(256 * 1024)
    except OSError as error:
        raise ConfigurationError("file", file, f"it cannot be read: {error.strerror}", "Check it.") from error


def _check_exposure(addresses: list[Address], tls: TLS | None, token_file: str | None, insecure: bool) -> None:
    for address in addresses:
        if address.loopback or insecure:
            continue
        if tls is None:
            raise ConfigurationError(
                "listen",
                address.spec,
                "an address that others can reach needs TLS",
                "Pass tls=agent.TLS(cert=..., key=..., client_ca=...), listen on 127.0.0.1, or say insecure=True.",
            )
        if tls.client_ca is None and token_file is None:
            raise ConfigurationError(
                "listen",
                address.spec,
                "with this TLS alone everybody who can reach it may change this process",
                "Add client_ca to agent.TLS (clients show certificates), or pass token_file, or say insecure=True.",
            )


def _policy(policy: Policy | str | None, given: _Environment) -> Policy | None:
    file = policy.file if isinstance(policy, Policy) else policy
    file = _optional_file("policy", file, given.text("MODCTL_POLICY"))
    keys = policy.trusted_keys if isinstance(policy, Policy) else ()
    if not keys:
        keys = tuple(one.strip() for one in (given.text("MODCTL_TRUSTED_KEYS") or "").split(",") if one.strip())
    if not isinstance(keys, (tuple, list)) or not all(isinstance(key, str) and _is_key(key) for key in keys):
        raise ConfigurationError(
            "trusted_keys", keys, "one of them is no Ed25519 public key in base64", "`modctl sign --new-key` shows it."
        )
    return Policy(file, tuple(keys)) if file is not None or keys else None


def _is_key(text: str) -> bool:
    from binascii import a2b_base64

    try:
        return len(a2b_base64(text.encode("ascii"))) == 32
    except ValueError:  # binascii.Error and UnicodeEncodeError are some
        return False


def _service(value: str | None) -> str:
    if value is None:
        return service_name(sys.argv, getattr(sys, "orig_argv", []))
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_SERVICE_CHARS or not _printable(value):
        raise ConfigurationError(
            "service", value, "it is no name", f"Use 1 to {MAX_SERVICE_CHARS} printable characters without '/'."
        )
    if "/" in value:
        raise ConfigurationError("service", value, "'/' separates the parts of a process's id", "Use '-' or '.'.")
    return value.strip()


def _labels(labels: Mapping[str, str] | None, given: _Environment) -> tuple[tuple[str, str], ...]:
    pairs: list[tuple[str, str]] = []
    if labels is not None:
        pairs.extend(labels.items())
    else:
        for item in (given.text("MODCTL_LABELS") or "").split(","):
            if item.strip():
                key, equals, value = item.partition("=")
                if not equals:
                    raise ConfigurationError("MODCTL_LABELS", item, "a label is key=value", "Write a=b,c=d.")
                pairs.append((key.strip(), value.strip()))
    if len(pairs) > MAX_LABELS:
        raise ConfigurationError("labels", len(pairs), "that is too many", f"Use at most {MAX_LABELS}.")
    for key, value in pairs:
        texts = isinstance(key, str) and isinstance(value, str)
        if not texts or not key or max(len(key), len(value)) > MAX_LABEL_CHARS or not _printable(key + value):
            raise ConfigurationError(
                "labels",
                {key: value},
                "keys and values are short text",
                f"Use at most {MAX_LABEL_CHARS} characters each.",
            )
    return tuple(sorted(pairs))


def _nats(value: str | None) -> str | None:
    if value is not None and not value.startswith(("nats://", "tls://", "ws://", "wss://")):
        raise ConfigurationError("nats", value, "it is no NATS URL", "Write nats://host:4222.")
    return value


def _gateway(value: str) -> str:
    if value not in {"process", "thread"}:
        raise ConfigurationError("gateway", value, "there is no such kind", "Use 'process' (the default) or 'thread'.")
    return value


def _printable(text: str) -> bool:
    return all(character.isprintable() for character in text)
