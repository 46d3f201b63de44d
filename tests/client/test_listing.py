"""Listings are kept as bytes: once however many sent them, on disk beyond a budget, right in every case."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modctl.client.listing import BatchStore, Modules
from modctl.client.printers.order import ordered
from modctl.v1 import error_pb2, module_service_pb2, process_pb2

from client.fake_server import FakeServer, module

if TYPE_CHECKING:
    from collections.abc import Callable


def answer(pid: int, *names: str, **fields: object) -> bytes:
    ref = process_pb2.ProcessRef(id=f"shop/web-1/{pid}@1", service="shop", pid=pid)
    message = module_service_pb2.ListModulesResponse(process=ref, modules=[module(name) for name in names], **fields)  # type: ignore[arg-type]
    return message.SerializeToString()


def test_the_same_batch_of_two_processes_is_kept_once() -> None:
    store = BatchStore()
    (first, one, _), (second, two, _) = store.read(answer(1, "a", "b")), store.read(answer(2, "a", "b"))
    assert (first, second) == (("shop/web-1/1@1", "shop", 1), ("shop/web-1/2@1", "shop", 2))
    assert one is two
    assert one is not None
    assert one.shared
    assert store.read(answer(3, "a"))[1] is not one


def test_batches_that_differ_only_at_their_beginning_are_told_apart_however_they_alternate() -> None:
    store, tail = BatchStore(), ["x" * 100, "y" * 100]
    kept: dict[str, set[int]] = {}
    for pid in range(12):
        name = f"m{pid % 3}"
        batch = store.read(answer(pid, name, *tail))[1]
        assert batch is not None
        assert Modules([batch]).names() == [name, *tail]
        kept.setdefault(name, set()).add(id(batch))
    assert {name: len(found) for name, found in kept.items()} == {"m0": 1, "m1": 1, "m2": 1}


def test_batches_beyond_the_budget_lie_in_a_file_and_read_the_same() -> None:
    store = BatchStore(budget_bytes=200)
    batches = [store.read(answer(1, f"m{n}", f"n{n}"))[1] for n in range(50)]
    assert all(isinstance(batch._content, int) for batch in batches[3:] if batch is not None)
    modules = Modules([batch for batch in batches if batch is not None])
    assert modules.names() == [name for n in range(50) for name in (f"m{n}", f"n{n}")]
    assert modules[97].name == "n48"


def test_an_error_is_told_and_no_batch() -> None:
    detail = error_pb2.ErrorDetail(code="NOT_FOUND", reason="GONE", message="it ended")
    process, batch, failure = BatchStore().read(answer(1, error=detail))
    assert (process[2], batch) == (1, None)
    assert failure is not None
    assert (failure.reason, failure.message) == ("GONE", "it ended")


@given(
    st.lists(st.text(alphabet="abc", max_size=4), max_size=5),
    st.text(max_size=200).filter(lambda text: text.isprintable()),
    st.booleans(),
)
def test_a_batch_is_split_right_whatever_is_in_it(names: list[str], identifier: str, backwards: bool) -> None:
    ref = process_pb2.ProcessRef(id=identifier, service="s" * 200, pid=7)
    body = module_service_pb2.ListModulesResponse(modules=[module(name) for name in names]).SerializeToString()
    head = module_service_pb2.ListModulesResponse(process=ref).SerializeToString()
    process, batch, _ = BatchStore().read(body + head if backwards else head + body)
    assert process == (identifier, "s" * 200, 7)
    assert [message.name for message in batch.messages()] == names if batch is not None else not names


def test_an_answer_that_names_no_process_is_read_all_the_same() -> None:
    body = module_service_pb2.ListModulesResponse(modules=[module("a")]).SerializeToString()
    process, batch, _ = BatchStore().read(body)
    assert process == ("", "", 0)
    assert batch is not None
    assert batch.count == 1


@pytest.mark.parametrize(
    ("sort", "names"),
    [("name", "a b c d"), ("size", "b a c d"), ("import-time", "c a b d"), ("order", "d c b a"), ("", "d b c a")],
)
def test_entries_are_sorted_with_the_unknown_last(sort: str, names: str) -> None:
    rows = [
        module("d", order=1),
        module("b", order=3, size_bytes=9),
        module("c", order=2, import_ms=5.0, size_bytes=0),
        module("a", order=4, size_bytes=1, import_ms=0.0),
    ]
    batch = BatchStore().read(module_service_pb2.ListModulesResponse(modules=rows).SerializeToString())[1]
    assert batch is not None
    assert " ".join(message.name for message in ordered(Modules([batch]), sort)) == names


def test_the_text_of_a_shared_listing_is_the_one_of_its_own(
    serve: Callable[..., FakeServer], capfd: pytest.CaptureFixture[str]
) -> None:
    from modctl.client import cli

    from client.fake_server import process

    server = serve(process(1), process(2), process(3))
    server.modules[2] = [module("other")]
    assert cli.run(["list", "-o", "json", "-H", server.address]) == 0
    results = json.loads(capfd.readouterr().out)["results"]
    assert [[entry["name"] for entry in row["modules"]] for row in results] == [
        ["billing", "billing.tax", "json"],
        ["other"],
        ["billing", "billing.tax", "json"],
    ]


MEASURE = """
import sys
from modctl.client import Fleet
with Fleet.connect(sys.argv[1], timeout_s=60) as fleet:
    result = fleet.list()
    # Not ru_maxrss: a child inherits its parent's.
    resident_kib = int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0])
    print(sum(len(modules) for _, modules in result), resident_kib // 1024)
"""


def test_a_hundred_megabytes_of_different_answers_are_not_held_in_memory(serve: Callable[..., FakeServer]) -> None:
    from client.fake_server import process

    server = serve(*(process(pid) for pid in range(1, 201)))
    for pid in range(1, 201):
        server.modules[pid] = [module(f"m{n}", origin="/x" * 250, order=pid * 1000 + n) for n in range(1000)]
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, server.address], capture_output=True, text=True, check=True
    ).stdout.split()
    assert int(told[0]) == 200_000
    assert int(told[1]) < 100, f"{told[1]} MiB resident with 113 MiB of answers"
