"""Who runs which version: grouped, compared, told."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from modctl.client import drift
from modctl.client.listing import BatchStore, Modules
from modctl.client.printers import drifts
from modctl.client.printers.terminal import Output
from modctl.client.results import Failure, FleetResult, Row
from modctl.v1 import module_service_pb2, process_pb2

from client.fake_server import module

if TYPE_CHECKING:
    from pathlib import Path


def fleet(*processes: tuple[str, dict[str, str]], service: str = "shop", failed: int = 0) -> FleetResult[Modules]:
    """Listings of processes: (target, {module: digest or digest:STATE})."""
    store = BatchStore()
    rows: list[Row[Modules]] = []
    for pid, (target, versions) in enumerate(processes, start=100):
        name = f"{service}/h/{pid}@1763800000"
        modules = []
        for key, version in versions.items():
            digest, _, state = version.partition(":")
            full = f"sha256:{digest * 16}" if digest else ""
            modules.append(module(key, digest=full, state=f"MODULE_STATE_{state or 'CLEAN'}"))
        ref = process_pb2.ProcessRef(id=name, service=service, pid=pid)
        _, batch, _ = store.read(
            module_service_pb2.ListModulesResponse(process=ref, modules=modules).SerializeToString()
        )
        rows.append(Row(target, name, service, pid, "OK", Modules([batch] if batch else [])))
    for number in range(failed):
        error = Failure("UNAVAILABLE", "REFUSED", "connection refused: nobody listens there")
        rows.append(Row(f"down{number}:1", "", "", 0, "UNREACHABLE", error=error))
    return FleetResult(rows, len(processes) + failed)


def groups(found: list[drift.ModuleDrift]) -> dict[str, list[tuple[str, int, bool]]]:
    return {
        each.name: [(group.digest[7:11], len(group.places), group.differs) for group in each.groups] for each in found
    }


def test_the_majority_is_what_most_run_and_the_others_differ() -> None:
    result = fleet(*[(f"svc{n:02}:1", {"a": "aaaa", "b": "bbbb" if n else "cccc"}) for n in range(5)])
    assert groups(drift.compare(result, drift.Majority())) == {
        "a": [("aaaa", 5, False)],
        "b": [("bbbb", 4, False), ("cccc", 1, True)],
    }


def test_services_are_compared_by_themselves() -> None:
    one, two = fleet(("x:1", {"a": "aaaa"})), fleet(("y:1", {"a": "bbbb"}), service="other")
    found = drift.compare(FleetResult([*one.rows, *two.rows], 2), drift.Majority())
    assert [(each.service, each.differs) for each in found] == [("shop", False), ("other", False)]


def test_a_version_that_nobody_knows_differs_from_those_that_are_known() -> None:
    found = drift.compare(fleet(("x:1", {"a": "aaaa"}), ("y:1", {"a": ":MODIFIED"})), drift.Majority())
    assert groups(found) == {"a": [("aaaa", 1, False), ("", 1, True)]}


def test_who_has_not_loaded_it_is_absent_and_no_difference() -> None:
    (found,) = drift.compare(fleet(("x:1", {"a": "aaaa"}), ("y:1", {})), drift.Majority())
    assert not found.differs
    assert [place.target for place in found.absent] == ["y:1"]


def test_a_name_asked_for_is_told_of_though_nobody_has_it() -> None:
    found = drift.compare(fleet(("x:1", {})), drift.Majority(), ["lost", "glob.*"])
    assert [(each.name, each.groups, len(each.absent)) for each in found] == [("lost", (), 1)]


def test_against_disk_every_process_is_compared_with_its_own() -> None:
    result = fleet(("x:1", {"a": "aaaa:PATCHED"}), ("y:1", {"a": "bbbb"}), ("z:1", {"a": "aaaa:PATCHED"}))
    assert groups(drift.compare(result, drift.Disk())) == {"a": [("bbbb", 1, False), ("aaaa", 2, True)]}


def test_against_a_directory_only_what_it_has_is_compared(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_bytes(b"X = 1\n")
    (tmp_path / "a.py").write_bytes(b"A = 1\n")
    known = drift.of_directory(str(tmp_path))
    assert known.digest_of("pkg", {}) == drift.digest(b"X = 1\n")
    found = drift.compare(fleet(("x:1", {"a": "aaaa", "b": "bbbb"})), known)
    assert {each.name: each.differs for each in found} == {"a": True, "b": False}


def test_against_a_target_what_it_runs_is_right() -> None:
    known = drift.of_listing(fleet(("ref:1", {"a": "cccc"})))
    found = drift.compare(fleet(("x:1", {"a": "aaaa"}), ("y:1", {"a": "cccc"})), known)
    assert groups(found) == {"a": [("cccc", 1, False), ("aaaa", 1, True)]}


def test_a_thousand_processes_of_one_build_are_looked_at_as_one() -> None:
    result = fleet(*[("x:1", {f"m{n}": "aaaa" for n in range(50)}) for _ in range(1000)])
    batch = result.rows[0].value.batches[0]  # type: ignore[union-attr]
    assert all(row.value.batches[0] is batch for row in result.rows)  # type: ignore[union-attr]
    assert len(drift.compare(result, drift.Majority())) == 50


def shown(result: FleetResult[Modules], output: Output) -> str:
    output.out, output.err = io.StringIO(), io.StringIO()
    drifts.show(drift.compare(result, drift.Majority()), result, "majority", output)
    return output.out.getvalue() + output.err.getvalue()


def test_a_terminal_sees_blocks_with_the_minority_marked_and_targets_folded() -> None:
    result = fleet(*[(f"svc{n:02}:1", {"a": "cccc" if n == 3 else "bbbb"}) for n in range(1, 9)], failed=1)
    text = shown(result, Output(width=100, folding=True))
    lines = text.splitlines()
    assert lines[0] == "a  shop  2 versions in 8 processes"
    assert "svc[01,02,04-08]:1" in lines[2]
    assert "DIFFERS" in lines[3]
    assert "svc03:1" in lines[3]
    assert lines[-1] == "modctl: down0:1: UNREACHABLE: connection refused: nobody listens there"


def test_a_pipe_sees_a_line_for_each_module_and_process() -> None:
    text = shown(fleet(("x:1", {"a": "aaaa"}), ("y:1", {"a": "bbbb"})), Output())
    assert [line.split()[:4] for line in text.splitlines()] == [
        ["MODULE", "VERSION", "STATE", "DIFFERS"],
        ["a", "aaaaaaaaaaaa", "clean", "no"],
        ["a", "bbbbbbbbbbbb", "clean", "yes"],
    ]


def test_the_document_names_everybody() -> None:
    result = fleet(("x:1", {"a": "aaaa"}), ("y:1", {"a": "bbbb"}), failed=1)
    document = json.loads(shown(result, Output(format="json")))
    assert document["kind"] == "Drift"
    assert document["summary"]["differing"] == 1
    assert document["summary"]["unreachable"] == 1
    assert [group["targets"] for group in document["results"][0]["groups"]] == [["x:1"], ["y:1"]]
    assert [failure["target"] for failure in document["failures"]] == ["down0:1"]


def test_no_difference_is_said_on_stderr_only() -> None:
    output = Output()
    text = shown(fleet(("x:1", {"a": "aaaa"})), output)
    assert text == "modctl: 1 module of 1 process: no differences (majority)\n"
