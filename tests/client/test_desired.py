"""What a change set wants to be there, and who of a fleet has it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest
from modctl.client import Evict, Import, Inject, Reimport, SourceError, drift
from modctl.client.drift import Desired, Wanted, wanted_by

from client.test_drift import fleet

if TYPE_CHECKING:
    from modctl.client.drift import ModuleDrift

WANTED = b"RATE = 2\n"
BASE = b"RATE = 1\n"


def found(desired: Desired, *processes: dict[str, str]) -> dict[str, list[tuple[str, int, str]]]:
    """Module to (states, how many, verdict) of its groups."""
    listed = fleet(*[(f"svc{number}:1", versions) for number, versions in enumerate(processes)])
    return {each.name: groups(each) for each in drift.compare(listed, desired, desired.names, every=True)}


def groups(each: ModuleDrift) -> list[tuple[str, int, str]]:
    return [
        (
            ",".join(group.states),
            len(group.places),
            "superseded" if group.superseded else "differs" if group.differs else "",
        )
        for group in each.groups
    ]


def digest(letter: str) -> str:
    return f"sha256:{letter * 16}"


def desired(**wanted: Wanted) -> Desired:
    return Desired(wanted)


def test_each_verb_wants_what_is_there_when_it_is_done() -> None:
    wanted = wanted_by(
        [
            Import("a"),
            Inject("b", source="RATE = 2\n", base_digest="sha256:b"),
            Inject("c", attributes={"RATE": 0.19, "DRY": True, "NOTE": None}),
            Inject("d", block=True),
            Inject("e", alias_of="a"),
            Inject("f", package={"__init__.py": b"", "sub/rates.py": WANTED, "data.txt": b"x"}),
            Evict("g", recursive=True),
            Reimport("h"),
            Reimport("i", source=WANTED),
        ]
    )
    assert wanted == {
        "a": Wanted(),
        "b": Wanted(WANTED, base_digest="sha256:b"),
        "c": Wanted(stub="RATE = 0.19\nDRY = True\nNOTE = None\n"),
        "d": Wanted(blocked=True),
        "e": Wanted(),
        "f": Wanted(b""),
        "f.sub.rates": Wanted(WANTED, needed=False),
        "g": Wanted(absent=True, recursive=True),
        "h": Wanted(disk=True, needed=False),
        "i": Wanted(WANTED, needed=False),
    }


def test_the_last_word_on_a_name_counts() -> None:
    assert wanted_by([Inject("a", source="1"), Evict("a")]) == {"a": Wanted(absent=True)}


@pytest.mark.parametrize("inside", ["", "pkg/"])
def test_an_archive_is_looked_into(inside: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(f"{inside}__init__.py", "A = 1\n")
        file.writestr(f"{inside}sub.py", "B = 1\n")
    wanted = wanted_by([Inject("pkg", archive=packed.getvalue())])
    assert wanted == {"pkg": Wanted(b"A = 1\n"), "pkg.sub": Wanted(b"B = 1\n", needed=False)}


def test_an_archive_that_is_none_is_said() -> None:
    with pytest.raises(SourceError, match="no zip or wheel"):
        wanted_by([Inject("pkg", archive=b"PK no")])


def test_who_runs_another_source_or_none_differs() -> None:
    wanted = desired(tax=Wanted(WANTED))
    right = drift.digest(WANTED).removeprefix("sha256:")
    assert right
    result = fleet(("a:1", {"tax": "aaaa"}), ("b:1", {"tax": ":BLOCKED"}), ("c:1", {"tax": ":INJECTED"}), ("d:1", {}))
    (only,) = drift.compare(result, wanted, wanted.names, every=True)
    assert only.reference == drift.digest(WANTED)
    assert {group.places[0].target: (group.differs, group.loaded) for group in only.groups if group.loaded} == {
        "a:1": (True, True),
        "b:1": (True, True),
    }
    assert [place.target for group in only.groups if not group.loaded for place in group.places] == ["d:1"]
    assert all(group.differs for group in only.groups)


def test_source_that_nobody_saw_loaded_is_not_called_another() -> None:
    assert found(desired(tax=Wanted(WANTED)), {"tax": ":MODIFIED"}) == {"tax": [("MODIFIED", 1, "")]}


def test_a_build_that_the_fix_was_not_written_against_is_superseded() -> None:
    wanted = desired(tax=Wanted(WANTED, base_digest=digest("aaaa")))
    assert found(wanted, {"tax": "aaaa"}, {"tax": "cccc"}, {"tax": "cccc"}) == {
        "tax": [("CLEAN", 2, "superseded"), ("CLEAN", 1, "differs")]
    }


def test_what_was_evicted_differs_where_it_is_loaded_and_nowhere_else() -> None:
    wanted = desired(tax=Wanted(absent=True))
    assert found(wanted, {"tax": "aaaa"}, {}) == {"tax": [("CLEAN", 1, "differs")]}
    assert found(wanted, {}) == {"tax": []}


def test_eviction_with_submodules_is_of_the_submodules_too() -> None:
    wanted = Desired({"pkg": Wanted(absent=True, recursive=True), "pkg.kept": Wanted()})
    assert wanted.patterns == ["pkg", "pkg.*", "pkg.kept"]
    assert found(wanted, {"pkg.sub": "aaaa", "pkg.kept": "bbbb"}) == {
        "pkg": [],
        "pkg.kept": [("CLEAN", 1, "")],
        "pkg.sub": [("CLEAN", 1, "differs")],
    }


def test_a_blocked_name_differs_where_it_is_not_blocked() -> None:
    assert found(desired(tax=Wanted(blocked=True)), {"tax": "aaaa"}, {"tax": ":BLOCKED"}, {}) == {
        "tax": [("BLOCKED", 1, ""), ("CLEAN", 1, "differs"), ("NOT_LOADED", 1, "differs")]
    }


def test_a_stub_is_injected_and_has_no_source() -> None:
    wanted = desired(tax=Wanted(stub="RATE = 2\n"))
    assert found(wanted, {"tax": ":INJECTED"}, {"tax": "aaaa:INJECTED"}, {"tax": "aaaa"}) == {
        "tax": [("INJECTED", 1, ""), ("CLEAN,INJECTED", 2, "differs")]
    }


def test_what_has_to_be_loaded_may_be_an_extension() -> None:
    assert found(desired(ext=Wanted()), {"ext": ":UNKNOWN"}, {}) == {
        "ext": [("UNKNOWN", 1, ""), ("NOT_LOADED", 1, "differs")]
    }


def test_a_reimport_from_the_disk_wants_what_the_disk_has() -> None:
    assert found(desired(tax=Wanted(disk=True, needed=False)), {"tax": "aaaa:PATCHED"}, {"tax": "aaaa"}, {}) == {
        "tax": [("CLEAN", 1, ""), ("PATCHED", 1, "differs")]
    }


def test_against_a_tree_a_mock_differs_though_it_has_no_digest(tmp_path: object) -> None:
    known = drift.Known({"tax": drift.digest(WANTED)})
    (only,) = drift.compare(fleet(("a:1", {"tax": ":INJECTED"})), known)
    assert only.differs
