"""Change-set files: what is understood, and what is refused with file and key."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
import yaml
from modctl.client.changeset import read_change_set
from modctl.client.durations import parse_duration
from modctl.client.errors import ChangeSetError, SourceError
from modctl.client.operations import Evict, Import, Inject, Reimport
from modctl.client.packages import read_package, read_source

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
reason = "INC-1432"

[[operations]]
inject = { name = "billing.tax", file = "src/tax.py", replace = true, ttl = "2h", base_digest = "sha256:aa" }
[[operations]]
inject = { name = "billing.mock", attributes = { RATE = 0.19, DRY = true } }
[[operations]]
inject = { name = "plugins", package = "plugins" }
[[operations]]
evict = { name = "billing.cache", recursive = true }
[[operations]]
reimport = "billing.rates"
[[operations]]
reimport = { name = "billing.fees", mode = "patch", file = "src/tax.py", ttl = 90 }
[[operations]]
import = "billing.audit"
"""
OPERATIONS = (
    Inject("billing.tax", source=b"RATE = 7\n", replace=True, ttl_s=7200.0, base_digest="sha256:aa"),
    Inject("billing.mock", attributes={"RATE": 0.19, "DRY": True}),
    Inject("plugins", package={"__init__.py": b"", "a/b.txt": b"x"}),
    Evict("billing.cache", recursive=True),
    Reimport("billing.rates"),
    Reimport("billing.fees", "patch", source=b"RATE = 7\n", ttl_s=90.0),
    Import("billing.audit"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "tax.py").write_bytes(b"RATE = 7\n")
    (tmp_path / "plugins" / "a").mkdir(parents=True)
    (tmp_path / "plugins" / "__init__.py").touch()
    (tmp_path / "plugins" / "a" / "b.txt").write_text("x")
    (tmp_path / "plugins" / "__pycache__").mkdir()
    (tmp_path / "plugins" / "__pycache__" / "x.pyc").touch()
    return tmp_path


@pytest.mark.parametrize("form", ["toml", "json", "yaml", "yml"])
def test_the_same_change_set_in_every_format(folder: Path, form: str) -> None:
    if form == "toml":
        text = TOML
    else:
        (folder / "all.toml").write_text(TOML)
        document = _toml(TOML)
        text = json.dumps(document) if form == "json" else yaml.safe_dump(document)
    file = folder / f"fix.{form}"
    file.write_text(text)
    change_set = read_change_set(str(file))
    assert change_set.reason == "INC-1432"
    assert change_set.operations == OPERATIONS


def _toml(text: str) -> object:
    import sys

    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(text)


def test_stdin_may_be_json_or_yaml() -> None:
    assert read_change_set("-", '{"operations": [{"evict": "a"}]}').operations == (Evict("a"),)
    assert read_change_set("-", "operations:\n- import: b\n").operations == (Import("b"),)


REFUSED = {
    "": "is not a table with `operations`",
    "[]": "is not a table with `operations`",
    "{": "is no YAML",
    "operations: []": "operations: there are none",
    "operations: x": "operations: is 'x', and should be a list of tables",
    "operation: []": "operation: is not known; did you mean operations?",
    "operations: [a]": "operations[0]: is not a table with one of inject",
    "operations: [{}]": "operations[0]: has nothing",
    "operations: [{evict: a, import: b}]": "operations[0]: has evict and import",
    "operations: [{evct: a}]": "operations[0].evct: is no operation; did you mean evict?",
    "operations: [{evict: 7}]": "operations[0].evict: is neither a name nor a table",
    "operations: [{evict: {}}]": "operations[0].evict.name: is missing",
    "operations: [{evict: ''}]": "operations[0].evict.name: is missing",
    "operations: [{import: b}, {evict: {name: a, recursiv: true}}]": (
        "operations[1].evict.recursiv: is not known; did you mean recursive?"
    ),
    "operations: [{evict: {name: a, recursive: 1}}]": "recursive: is 1, and should be true or false",
    "operations: [{reimport: {name: a, ttl: true}}]": "ttl: is True, and should be text or a number",
    "operations: [{reimport: {name: a, ttl: soon}}]": "ttl: 'soon' is no time above zero",
    "operations: [{reimport: {name: a, mode: hot}}]": "mode 'hot' is not known; it is fresh or patch",
    "operations: [{inject: a}]": "nothing to inject",
    "operations: [{inject: {name: a, block: true, alias_of: b}}]": "several things to inject",
    "operations: [{inject: {name: a, file: f.py, source: x}}]": "file and source exclude each other",
    "operations: [{inject: {name: a, file: nosuch.py}}]": "nosuch.py: No such file",
    "operations: [{inject: {name: a, package: nosuch}}]": "nosuch: No such file",
}


@pytest.mark.parametrize(("text", "why"), REFUSED.items(), ids=[text[:40] for text in REFUSED])
def test_what_is_wrong_is_refused_with_file_and_key(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "fix.yaml"
    file.write_text(text)
    with pytest.raises(ChangeSetError) as error:
        read_change_set(str(file))
    assert str(error.value).startswith(f"{file}: ")
    assert why in str(error.value)


@pytest.mark.parametrize(("ending", "why"), [("toml", "is no TOML"), ("json", "is no JSON"), ("ini", "not known")])
def test_files_that_are_not_what_their_ending_says(tmp_path: Path, ending: str, why: str) -> None:
    file = tmp_path / f"fix.{ending}"
    file.write_text("= ]")
    with pytest.raises(ChangeSetError, match=why):
        read_change_set(str(file))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "fix.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ChangeSetError, match="is not UTF-8"):
        read_change_set(str(file))


# Packages and sources


def test_a_zip_and_a_wheel_are_sent_as_they_are(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("pkg/__init__.py", "")
    for name in ("p.zip", "p-1-py3-none-any.whl"):
        (tmp_path / name).write_bytes(content.getvalue())
        assert read_package(str(tmp_path / name)) == (None, content.getvalue())


def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(SourceError, match=r"no __init__\.py"):
        read_package(str(tmp_path / "empty"))
    with pytest.raises(SourceError, match="neither a directory nor a zip"):
        read_package(str(tmp_path / "text.zip"))


def test_what_targets_do_not_take_is_not_read_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "huge.py").write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(SourceError, match="larger than the 4 MiB"):
        read_source(str(tmp_path / "huge.py"))
    package = tmp_path / "pkg"
    package.mkdir()
    for number in range(5):
        (package / f"m{number}.py").write_bytes(b"#" * (4 * 2**20))
    with pytest.raises(SourceError, match="more than 16 MiB"):
        read_package(str(package))


def test_links_of_folders_do_not_lead_in_circles(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert read_package(str(tmp_path)) == ({"__init__.py": b""}, None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5), ("10s", 10), ("2m", 120), ("1h30m", 5400), ("1d", 86400), ("7", 7), ("0.25", 0.25), (" 3s ", 3),
        ("0", None), ("0s", None), ("-1s", None), ("", None), ("s", None), ("1w", None), ("1h 30m", None),
        ("nan", None), ("inf", None), ("1e9", None), ("99999999999", None), ("\u0661s", None),
    ],
)  # fmt: skip
def test_a_time_has_a_unit(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds
