"""Signed sources: files, packages and archives of them, through the command line to a service that wants signatures."""

from __future__ import annotations

import time
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from modctl.client import signing as signer
from support.cli import document, modctl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from support.services import Service

pytestmark = [pytest.mark.timeout(180)]

#: Exit codes: the gateway says who may not, the process refuses.
REFUSED = {"policy": 7, "process": 3}


def public_half(shown: str) -> str:
    return shown.split('public = "')[1].partition('"')[0]


def wanted(where: str, short_dir: Path, state_dir: Path) -> tuple[Path, str, str]:
    """A key, its public half, and the arguments of an agent that wants its signatures."""
    key = short_dir / "release.key"
    made = modctl("sign", "--new-key", key, state_dir=state_dir).stdout
    assert key.stat().st_mode & 0o777 == 0o600
    public = public_half(made)
    if where == "process":
        return key, public, f"policy=agent.Policy(trusted_keys=({public!r},))"
    policy = short_dir / "policy.toml"
    policy.write_text(f"version = 1\n[require]\nsignature = true\n{made}")
    return key, public, f"policy={str(policy)!r}"


def packed(folder: Path, form: str, files: Mapping[str, str]) -> Path:
    """The package `extra` of these files as a directory, a zip or a wheel."""
    folder.mkdir()
    if form == "directory":
        for place, text in files.items():
            file = folder / "extra" / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return folder / "extra"
    place = folder / ("extra-1.0-py3-none-any.whl" if form == "wheel" else "extra.zip")
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"extra/{name}", text)
        if form == "wheel":
            archive.writestr("extra-1.0.dist-info/METADATA", f"Name: extra\nSummary: {folder.name}\n")
    return place


@pytest.mark.parametrize("where", ["policy", "process"])
def test_a_service_that_wants_signatures_takes_signed_source_only(
    start: Callable[..., Service], state_dir: Path, short_dir: Path, where: str
) -> None:
    key, public, arguments = wanted(where, short_dir, state_dir)
    start(arguments)
    source = short_dir / "tax.py"
    source.write_bytes(b"# -*- coding: latin-1 -*-\r\nRATE = '\xe4'\r\n")
    inject = ("inject", "billing.tax", "--file", source, "--replace", "--all")
    code = REFUSED[where]
    ran = modctl(*inject, state_dir=state_dir, expect=code)
    assert "signature" in ran.stdout + ran.stderr

    modctl("sign", source, "--name", "billing.tax", "--signing-key", key, state_dir=state_dir)
    signature = short_dir / "tax.py.sig"
    assert "signed by" in modctl("verify", source, "--public", public, state_dir=state_dir).stdout
    modctl(*inject, "--signature", signature, state_dir=state_dir)
    assert "RATE" in modctl("get", "billing.tax", "--source", state_dir=state_dir).stdout
    modctl("reimport", "billing.tax", "--all", state_dir=state_dir)  # from the host's own disk: needs no signature

    source.write_text("RATE = 0\n")
    modctl(*inject, "--signature", signature, state_dir=state_dir, expect=code)
    modctl("verify", source, "--public", public, state_dir=state_dir, expect=1)
    elsewhere = ("inject", "billing.other", "--file", source, "--signature", signature, "--all")
    modctl(*elsewhere, state_dir=state_dir, expect=code)

    local = short_dir / "local" / "billing" / "tax.py"
    local.parent.mkdir(parents=True)
    (local.parent / "__init__.py").touch()
    local.write_text("RATE = 8\n")
    reload = ("reload", "billing.tax", "--from", short_dir / "local", "--all")
    modctl(*reload, state_dir=state_dir, expect=code)
    modctl("sign", local, "--name", "billing.tax", "--signing-key", key, state_dir=state_dir)
    modctl(*reload, "--signature", f"{local}.sig", state_dir=state_dir)


@pytest.mark.parametrize(("form", "where"), [("directory", "process"), ("zip", "policy"), ("wheel", "process")])
def test_a_signed_package_is_taken_and_none_in_which_anything_differs(
    start: Callable[..., Service], state_dir: Path, short_dir: Path, where: str, form: str
) -> None:
    key, public, arguments = wanted(where, short_dir, state_dir)
    start(arguments)
    code = REFUSED[where]
    files = {
        "__init__.py": "",
        "sub/deep.py": "D = 1\n",
        "sub/__init__.py": "# -*- coding: utf-8 -*-\n",
        "d.json": "{}",
    }
    package = packed(short_dir / "good", form, files)
    inject = ("inject", "extra", "--replace", "--all", "--package")
    modctl(*inject, package, state_dir=state_dir, expect=code)
    modctl("sign", package, "--name", "extra", "--signing-key", key, state_dir=state_dir)
    signature = f"{package}.sig"
    told = modctl("verify", package, "--public", public, state_dir=state_dir).stdout
    assert told.startswith("extra: signed by")
    modctl(*inject, package, "--signature", signature, state_dir=state_dir)
    modctl("inject", "other", "--all", "--package", package, "--signature", signature, state_dir=state_dir, expect=code)

    good = signer.digest_of("extra", str(package))
    changed = [{**files, place: f"{text} "} for place, text in files.items()]
    removed = [{place: text for place, text in files.items() if place != gone} for gone in ("sub/deep.py", "d.json")]
    added = [{**files, "more.py": ""}, {**files, "sub/x.txt": ""}]
    moved = [{**{place: text for place, text in files.items() if place != "d.json"}, "e.json": "{}"}]
    for number, other in enumerate([*changed, *removed, *added, *moved]):
        bad = packed(short_dir / f"bad{number}", form, other)
        assert signer.digest_of("extra", str(bad)) != good, other
        # A command costs half a second: one of each kind.
        if number in (1, 3, len(changed), len(changed) + len(removed)):
            ran = modctl(*inject, bad, "--signature", signature, state_dir=state_dir, expect=code)
            assert "another text" in ran.stdout + ran.stderr
    history = document("history", state_dir=state_dir)["results"][0]["revisions"]
    assert len(history) == 1


def test_who_signs_a_directory_has_signed_its_archives(short_dir: Path) -> None:
    files = {"__init__.py": "", "a.py": "A = 1\n", "d.json": "{}"}
    places = [packed(short_dir / form, form, files) for form in ("directory", "zip", "wheel")]
    key = short_dir / "release.key"
    public = public_half(modctl("sign", "--new-key", key, state_dir=short_dir).stdout)
    modctl("sign", places[0], "--name", "extra", "--signing-key", key, state_dir=short_dir)
    for place in places:
        check = ("verify", place, "--signature", f"{places[0]}.sig", "--public", public)
        modctl(*check, state_dir=short_dir)


def test_an_archive_that_is_not_safe_is_not_signed(short_dir: Path) -> None:
    key = short_dir / "release.key"
    modctl("sign", "--new-key", key, state_dir=short_dir)
    sign = ("--name", "extra", "--signing-key", key)
    for number, files in enumerate(
        [{"../x.py": ""}, {"extra/x.so": ""}, {"one/__init__.py": "", "two/__init__.py": ""}]
    ):
        place = short_dir / f"{number}.zip"
        with zipfile.ZipFile(place, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        ran = modctl("sign", place, *sign, state_dir=short_dir, expect=2)
        assert "cannot be signed as extra" in ran.stderr


def test_keys_are_rotated_while_the_service_runs(
    start: Callable[..., Service], state_dir: Path, short_dir: Path
) -> None:
    made: dict[str, str] = {}
    for name in ("2025", "2026"):
        made[name] = modctl("sign", "--new-key", short_dir / f"{name}.key", state_dir=state_dir).stdout
    policy = short_dir / "policy.toml"

    def lists(*keys: str) -> None:
        policy.write_text("\n".join(["version = 1", "[require]", "signature = true", *keys]))

    def signed(by: str, number: int) -> tuple[str | Path, ...]:
        source = short_dir / f"v{number}.py"
        source.write_text(f"RATE = {number}\n")
        modctl("sign", source, "--name", "billing.tax", "--signing-key", short_dir / f"{by}.key", state_dir=state_dir)
        return ("inject", "billing.tax", "--file", source, "--signature", f"{source}.sig", "--replace", "--all")

    lists(made["2025"])
    start(f"policy={str(policy)!r}")
    before = signed("2025", 1)
    modctl(*before, state_dir=state_dir)
    modctl(*signed("2026", 2), state_dir=state_dir, expect=7)

    time.sleep(1.1)  # signatures have whole seconds
    ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))
    lists(f"{made['2025']}not_after = {ended}", made["2026"])
    modctl(*signed("2026", 3), state_dir=state_dir)
    modctl(*before, state_dir=state_dir)  # signed while its key counted
    ran = modctl(*signed("2025", 4), state_dir=state_dir, expect=7)
    assert "2025 no longer counted" in ran.stderr
    signers = [one["signed_by"] for one in records(state_dir) if one["event"] == "attempt" and one["signed_by"]]
    assert [one["billing.tax"] for one in reversed(signers)] == ["2025", "2026", "2025"]

    lists(made["2026"])  # it was stolen
    modctl(*before, state_dir=state_dir, expect=7)


def records(state_dir: Path) -> list[dict[str, Any]]:
    """The audit log, newest first."""
    found: list[dict[str, Any]] = document("history", "--audit", state_dir=state_dir)["results"][0]["records"]
    return found


def test_signing_refuses_keys_that_others_can_read_and_files_that_are_none(short_dir: Path) -> None:
    key = short_dir / "k.key"
    modctl("sign", "--new-key", key, state_dir=short_dir)
    modctl("sign", "--new-key", key, state_dir=short_dir, expect=2)  # never over one that is there
    source = short_dir / "a.py"
    source.write_text("")
    sign = ("sign", source, "--name", "a", "--signing-key", key)
    key.chmod(0o644)
    assert "chmod 0600" in modctl(*sign, state_dir=short_dir, expect=2).stderr
    key.chmod(0o600)
    key.write_text("nonsense")
    assert "no private key" in modctl(*sign, state_dir=short_dir, expect=2).stderr
    (short_dir / "a.py.sig").write_text('{"v": 2}')
    assert "version 2" in modctl("verify", source, "--public", "A" * 43 + "=", state_dir=short_dir, expect=2).stderr
