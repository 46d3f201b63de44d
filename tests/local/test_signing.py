"""What a signature says and when it counts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from modctl.local import signing
from modctl.local.signing import Key, Module, Signature

NOW = 1_800_000_000.0
OLD, NEW = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
TEXT = "X = 1\n"


def key(private: Ed25519PrivateKey, name: str = "k", not_after: float | None = None) -> Key:
    return Key(name, private.public_key().public_bytes_raw(), not_after)


def signed(
    private: Ed25519PrivateKey = NEW,
    *,
    key: str = "k",
    name: str = "a.b",
    text: str = TEXT,
    at: int = int(NOW) - 60,
    until: int = 0,
) -> Signature:
    digest = signing.text_digest(text)
    return Signature(key, name, digest, at, until, private.sign(signing.statement(name, digest, at, until)))


def problem(*signatures: Signature, keys: list[Key] | None = None, name: str = "a.b", text: str = TEXT) -> str:
    found, why = signing.problem_with(name, signing.text_digest(text), signatures, keys or [key(NEW)], NOW)
    assert bool(found) != bool(why)
    return why


def test_a_signature_of_this_text_under_this_name_by_a_listed_key_counts() -> None:
    assert problem(signed()) == ""


@pytest.mark.parametrize(
    ("signature", "why"),
    [
        (signed(name="a.c"), "no signature"),
        (signed(text="X = 2\n"), "another text"),
        (signed(OLD), "no key"),
        (signed(at=int(NOW) + 3600), "future"),
        (signed(until=int(NOW) - 1), "expired"),
        (signed()._replace(expires_at_unix_s=int(NOW) + 99), "no key"),
        (signed()._replace(signed_at_unix_s=int(NOW) - 61), "no key"),
        (signed()._replace(signature=b""), "no key"),
        (signed(name="a")._replace(name="a.b"), "no key"),
    ],
)
def test_one_that_differs_in_anything_does_not(signature: Signature, why: str) -> None:
    assert why in problem(signature)


def test_one_good_signature_among_bad_ones_is_enough() -> None:
    assert problem(signed(OLD), signed(text="other"), signed()) == ""


def test_a_key_is_rotated_out_for_what_is_signed_later_only() -> None:
    rotated = [key(OLD, "2025", NOW - 1000), key(NEW, "2026")]
    assert problem(signed(OLD, key="2025", at=int(NOW) - 2000), keys=rotated) == ""
    assert "2025 no longer counted" in problem(signed(OLD, key="2025", at=int(NOW) - 500), keys=rotated)
    assert problem(signed(NEW, key="2026"), keys=rotated) == ""
    assert problem(signed(NEW, key="a wrong hint"), keys=rotated) == ""


def test_no_name_can_end_one_line_of_the_statement_and_begin_the_next() -> None:
    one = signing.statement("a\nsha256:0", "sha256:1", 1, 2)
    two = signing.statement("a", "sha256:0\nsha256:1", 1, 2)
    assert one == two  # which is why no name with a newline is ever taken
    assert "line end" in problem(signed(name="a\nb"), name="a\nb")


def test_a_packages_digest_changes_with_every_name_kind_text_and_file() -> None:
    modules = [Module("p", True, ""), Module("p.a", False, "A = 1")]
    data = {"x.json": b"{}"}
    base = signing.package_digest(modules, data)
    assert base == signing.package_digest(reversed(modules), dict(data))
    others = [
        signing.package_digest(modules[:1], data),
        signing.package_digest([modules[0], Module("p.b", False, "A = 1")], data),
        signing.package_digest([modules[0], Module("p.a", True, "A = 1")], data),
        signing.package_digest([modules[0], Module("p.a", False, "A = 2")], data),
        signing.package_digest(modules, {}),
        signing.package_digest(modules, {"y.json": b"{}"}),
        signing.package_digest(modules, {"x.json": b"{ }"}),
    ]
    assert len({base, *others}) == len(others) + 1


def test_no_two_file_names_make_the_same_manifest() -> None:
    digest = signing.text_digest("")
    one = signing.package_digest([], {"a": b"", "b": b""})
    two = signing.package_digest([], {f"a {digest}\ndata 1 b": b""})
    assert one != two
