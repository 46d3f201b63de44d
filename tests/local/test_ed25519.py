"""Our check of signatures against RFC 8032's vectors, against another implementation, and against forgeries."""

from __future__ import annotations

import subprocess
import sys

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from modctl.local import ed25519

ORDER = 2**252 + 27742317777372353535851937790883648493
#: RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


def theirs(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_rfc(public: str, message: str, signature: str) -> None:
    assert ed25519.verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))
    assert not ed25519.verify(bytes.fromhex(public), bytes.fromhex(message) + b"\0", bytes.fromhex(signature))


@settings(max_examples=150, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511), st.integers(0, 255))
def test_what_another_implementation_signs_is_accepted_and_one_bit_more_or_less_is_not(
    seed: bytes, message: bytes, bit: int, key_bit: int
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519.verify(public, message, signature)
    forged = bytearray(signature)
    forged[bit // 8] ^= 1 << bit % 8
    assert not ed25519.verify(public, message, bytes(forged))
    other = bytearray(public)
    other[key_bit // 8] ^= 1 << key_bit % 8
    assert not ed25519.verify(bytes(other), message, signature)
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    if scalar < 2**256:  # the same signature, written differently
        assert not ed25519.verify(public, message, signature[:32] + scalar.to_bytes(32, "little"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=8), st.binary(max_size=70))
def test_no_bytes_upset_the_check_and_none_are_accepted_that_others_refuse(
    public: bytes, message: bytes, signature: bytes
) -> None:
    if ed25519.verify(public, message, signature):
        assert theirs(public, message, signature)


@pytest.mark.parametrize("order_divides_8", [0, 1, 2**255 - 19 - 1])
def test_keys_under_which_anything_verifies_are_refused(order_divides_8: int) -> None:
    public = order_divides_8.to_bytes(32, "little")
    for sign in (public, bytes([*public[:31], public[31] | 0x80])):
        assert not ed25519.verify(sign, b"anything", (1).to_bytes(32, "little") + bytes(32))


def test_a_check_loads_no_openssl() -> None:
    code = (
        "import sys; from modctl.local import ed25519\n"
        f"assert not ed25519.verify(bytes.fromhex({VECTORS[0][0]!r}), b'', b'0' * 63 + b'\\0')\n"
        "print('_hashlib' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "False"
