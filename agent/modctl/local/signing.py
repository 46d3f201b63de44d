"""What a signature of a source says, and whether it says so: the same for who signs, the gateway and the agent.

Signed are the entry's name, a digest of what becomes that entry, and two times:

    modctl signature v1
    billing.tax
    sha256:<hex>
    1763900000
    1766492000

each line ended by a newline. The digest of a module is that of its text (decoded as Python does, newlines as `\\n`), so
that it is the same before and after the gateway has decoded it; that of a package is the digest of a manifest, one line
for each module and each data file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from modctl.local import ed25519
from modctl.local.places import _sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HEAD: Final = "modctl signature v1"
#: How far clocks may differ: a signature from the future beyond this does not count.
CLOCK_SKEW_S: Final = 300


class Signature(NamedTuple):
    """A signature as it travels; the fields of modctl.v1.Signature."""

    key: str
    name: str
    digest: str
    signed_at_unix_s: int
    expires_at_unix_s: int
    signature: bytes


class Key(NamedTuple):
    """A public key whose signatures count.

    Attributes:
        name: how it is called.
        public: its 32 bytes.
        not_after_unix_s: signatures that say a later time do not count; None is for ever.
    """

    name: str
    public: bytes
    not_after_unix_s: float | None = None


class Module(NamedTuple):
    """One module of what is signed.

    Attributes:
        name: its full name.
        package: whether it is a package.
        text: its source.
    """

    name: str
    package: bool
    text: str


def statement(name: str, digest: str, signed_at_unix_s: int, expires_at_unix_s: int) -> bytes:
    """The bytes that are signed."""
    return f"{_HEAD}\n{name}\n{digest}\n{signed_at_unix_s}\n{expires_at_unix_s}\n".encode("utf-8", "surrogatepass")


def text_digest(text: str) -> str:
    """The digest of one module's source."""
    return _digest(text.encode("utf-8", "surrogatepass"))


def package_digest(modules: Iterable[Module], data: Mapping[str, bytes]) -> str:
    """The digest of a package's manifest."""
    lines = [
        f"module {module.name} {'package' if module.package else 'plain'} {text_digest(module.text)}\n"
        for module in sorted(modules)
    ]
    lines += [f"data {len(place)} {place} {_digest(data[place])}\n" for place in sorted(data)]
    return _digest("".join(lines).encode("utf-8", "surrogatepass"))


def content_digest(name: str, modules: Sequence[Module], data: Mapping[str, bytes]) -> str:
    """The digest of what becomes an entry: of its text where it is one plain module, else of the manifest."""
    if len(modules) == 1 and not data and modules[0].name == name and not modules[0].package:
        return text_digest(modules[0].text)
    return package_digest(modules, data)


def problem_with(
    name: str, digest: str, signatures: Iterable[Signature], keys: Iterable[Key], now_unix_s: float
) -> tuple[str, str]:
    """Looks for a signature that counts.

    Returns:
        (the key's name, "") where there is one, else ("", why none of them counts).
    """
    if "\n" in name:  # it would end a line of the statement
        return "", "its name has a line end in it"
    known = list(keys)
    why = "it has no signature"
    for one in signatures:
        if one.name != name:
            continue
        if one.digest != digest:
            why = "its signature is for another text than the one that was sent"
            continue
        if one.signed_at_unix_s > now_unix_s + CLOCK_SKEW_S:
            why = "its signature is from the future; see to the clocks"
            continue
        if one.expires_at_unix_s and one.expires_at_unix_s < now_unix_s:
            why = "its signature has expired; sign it again"
            continue
        message = statement(name, digest, one.signed_at_unix_s, one.expires_at_unix_s)
        why = "its signature is by no key that is listed"
        # The key that it names first: a check costs milliseconds.
        for key in sorted(known, key=lambda key: key.name != one.key):
            if not ed25519.verify(key.public, message, one.signature):
                continue
            if key.not_after_unix_s is not None and one.signed_at_unix_s > key.not_after_unix_s:
                why = f"the key {key.name} no longer counted when it was signed"
                break
            return key.name, ""
    return "", why


def _digest(data: bytes) -> str:
    return f"sha256:{_sha256(data).hexdigest()}"
