"""Which saves are changes of which modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from modctl.client.dev.saves import Saves, interesting, root_of
from modctl.client.errors import UsageError
from modctl.client.local_sources import file_of, modules_of, name_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in (
        "pkg/__init__.py",
        "pkg/sub/mod.py",
        "top.py",
        "pkg/not-a-name.py",
        ".git/hook.py",
        "x/__pycache__/y.py",
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("A = 1\n")
    return tmp_path


def test_files_are_modules_by_their_place(tree: Path) -> None:
    assert [name for name, _ in modules_of(str(tree))] == ["pkg", "pkg.sub.mod", "top"]
    assert name_of(str(tree), str(tree / "pkg" / "sub" / "mod.py")) == "pkg.sub.mod"
    assert name_of(str(tree / "pkg"), str(tree / "top.py")) is None
    assert file_of(str(tree), "pkg") == str(tree / "pkg" / "__init__.py")
    assert file_of(str(tree), "pkg.sub.nothing") is None


def test_a_package_given_as_folder_stands_for_what_is_above_it(tree: Path) -> None:
    assert root_of(str(tree / "pkg")) == str(tree)
    assert root_of(str(tree)) == str(tree)
    with pytest.raises(UsageError):
        root_of(str(tree / "nowhere"))


def test_only_another_content_is_a_save(tree: Path) -> None:
    saves = Saves(str(tree))
    top = tree / "top.py"
    assert saves.of([str(top)]) == []
    top.write_text("A = 2\n")
    (found,) = saves.of([str(top), str(top)])
    assert (found.name, found.source) == ("top", b"A = 2\n")
    assert saves.of([str(top)]) == []
    top.unlink()
    (found,) = saves.of([str(top)])
    assert found.source is None
    assert saves.of([str(top)]) == []
    top.write_text("A = 3\n")
    assert [each.name for each in saves.of([str(top)])] == ["top"]


def test_what_editors_leave_beside_is_no_module(tree: Path) -> None:
    for name in (".top.py.swp", "top.py~", "4913", "__pycache__/top.py", ".#top.py", "notes.txt"):
        assert not interesting(str(tree / name)), name
    new = tree / "pkg" / "not-a-name.py"
    new.write_text("B = 1\n")
    assert Saves(str(tree)).of([str(new)]) == []
