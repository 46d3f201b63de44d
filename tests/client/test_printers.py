"""Every printer against a file that a person has looked at.

MODCTL_TEST_UPDATE_GOLDEN=1 writes the files anew: read the difference before it is committed.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from modctl.client import convert, printers
from modctl.client.facts import AttributeValue, Export, Holder, ModuleDetail, ModuleSpec
from modctl.client.listing import BatchStore, Modules
from modctl.client.printers.cards import show_sources
from modctl.client.printers.columns import Column, cut, render
from modctl.client.printers.progress import ProgressLine
from modctl.client.printers.tables import heading
from modctl.client.printers.terminal import PALETTE, Output, display_width, make_output, printable
from modctl.client.results import Failure, FleetResult, Row
from modctl.v1 import change_pb2, error_pb2, module_pb2, module_service_pb2

from client.fake_server import module, process

if TYPE_CHECKING:
    from collections.abc import Callable

GOLDEN = Path(__file__).parent / "golden"
NOW_S = 1763800000.0


def listing(pid: int, *rows: module_pb2.Module, target: str = "svc01:50051", service: str = "shop") -> Row[Any]:
    batch = BatchStore().read(module_service_pb2.ListModulesResponse(modules=rows).SerializeToString())[1]
    name = f"{service}/{target.partition(':')[0]}/{pid}@1763790000"
    return Row(target, name, service, pid, "OK", Modules([batch] if batch else []))


def down(target: str, reason: str = "connection refused") -> Row[Any]:
    return Row(target, "", "", 0, "UNREACHABLE", error=Failure("UNAVAILABLE", "REFUSED", reason))


USUAL = [
    module("billing", package=True, origin="/srv/shop/billing/__init__.py", order=7),
    module("billing.tax", origin="/srv/shop/billing/tax.py", import_ms=12.5, import_self_ms=0.25, order=8),
    module("numpy.core", kind="MODULE_KIND_EXTENSION", state="MODULE_STATE_UNKNOWN", digest="", origin="/a/b.so"),
]
PATCHED = module(
    "billing.tax",
    origin="/srv/shop/billing/tax.py",
    generation=3,
    state="MODULE_STATE_PATCHED",
    expires_at_unix_s=NOW_S + 600,
)  # fmt: skip
MANY = [module(f"package.module_{n:02}") for n in range(25)]


def modules() -> FleetResult[Any]:
    rows = [listing(pid, *USUAL, target=f"svc{n:02}:50051") for n in (1, 2, 3, 5) for pid in (10, 11)]
    odd = listing(12, USUAL[0], PATCHED, USUAL[2], target="svc04:50051")
    worker = listing(70, module("tasks"), target="10.0.0.7:50051", service="mailer")
    return FleetResult([*rows, odd, worker, down("svc06:50051"), down("svc07:50051")], 8)


def many_modules() -> FleetResult[Any]:
    others = [each for each in MANY if each.name != "package.module_03"]
    odd = [*others, module("package.new"), module("package.module_04", generation=2)]
    odd = [each for each in odd if not (each.name == "package.module_04" and each.generation == 1)]
    return FleetResult([listing(1, *MANY), listing(2, *MANY), listing(3, *odd)], 1)


def change(*changes: change_pb2.ModuleChange, **fields: Any) -> Any:
    return convert.change(change_pb2.ChangeResult(modules=changes, duration_ms=1.234, paused_ms=0.056, **fields))


def changes() -> FleetResult[Any]:
    before, after = (
        change_pb2.Version(generation=n, digest="sha256:" + letter * 64) for n, letter in ((1, "a"), (2, "b"))
    )
    done = change_pb2.ModuleChange(
        name="billing.tax", action="ACTION_REIMPORT", tier="TIER_FRESH", before=before, after=after,
        symbols=change_pb2.Symbols(changed=["rate"], added=["VAT"]),
        stale=[module_pb2.Holder(holder="app.views.TABLE['tax']", name="rate", kind="container")],
    )  # fmt: skip
    loaded = change_pb2.ModuleChange(name="billing.audit", action="ACTION_IMPORT", after=before, import_ms=3.21)
    refused = change_pb2.ModuleChange(
        name="sys", action="ACTION_EVICT", before=change_pb2.Version(generation=1),
        refusal=change_pb2.Refusal(reason="PROTECTED", rule="builtin", hint="sys is a builtin module; leave it alone"),
    )  # fmt: skip
    failed = change_pb2.ModuleChange(
        name="billing.tax", action="ACTION_REIMPORT", before=before, after=before,
        error=error_pb2.PythonError(
            type="ValueError", message="no rate",
            traceback='Traceback (most recent call last):\n  File "tax.py", line 3\nValueError: no rate\n',
        ),
    )  # fmt: skip
    ok = change(done, loaded, outcome="OUTCOME_APPLIED", revision=4, undoable=True, side_effects=["started thread x"])
    rows: list[Row[Any]] = [
        Row("svc01:50051", f"shop/svc01/{pid}@1", "shop", pid, "APPLIED", ok) for pid in (10, 11, 12)
    ]
    rows.append(
        Row("svc02:50051", "shop/svc02/20@1", "shop", 20, "REFUSED", change(refused, outcome="OUTCOME_REFUSED"))
    )
    rows.append(Row("svc02:50051", "shop/svc02/21@1", "shop", 21, "FAILED", change(failed, outcome="OUTCOME_FAILED")))
    unknown = Failure("UNAVAILABLE", "CONNECTION_LOST", "the connection broke before the answer came")
    rows.append(Row("svc03:50051", "shop/svc03/30@1", "shop", 30, "UNKNOWN", error=unknown))
    return FleetResult([*rows, down("svc04:50051")], 4)


def agents() -> FleetResult[Any]:
    facts = [
        process(10, role="PROCESS_ROLE_MASTER", labels={"zone": "a", "tier": "web"}),
        process(11, role="PROCESS_ROLE_WORKER", revision=3, frozen=True, frozen_reason="a release"),
        process(70, "mailer", insecure=True, warnings=["port 50051 is taken"], addresses=["unix:///run/m.sock"]),
    ]
    rows: list[Row[Any]] = [
        Row("svc01:50051", each.id, each.service, each.pid, "OK", convert.process(each, "uid:1000")) for each in facts
    ]
    return FleetResult([*rows, down("svc04:50051")], 2)


def revisions() -> FleetResult[Any]:
    made = [
        change_pb2.Revision(number=3, committed_at_unix_s=NOW_S - 5, identity="modctl (ttl)", undoes=1, undoable=True),
        change_pb2.Revision(
            number=2, committed_at_unix_s=NOW_S - 60, identity="uid:1000", reason="INC-1432",
            expires_at_unix_s=NOW_S + 90100,
            modules=[change_pb2.ModuleChange(name=f"m{n}", action="ACTION_EVICT") for n in range(5)],
        ),
        change_pb2.Revision(
            number=1, committed_at_unix_s=NOW_S - 600, identity="spiffe://corp/anna", undone_by=3,
            modules=[change_pb2.ModuleChange(name="billing.tax", action="ACTION_INJECT")],
        ),
    ]  # fmt: skip
    history = tuple(convert.revision(each) for each in made)
    rows: list[Row[Any]] = [Row("svc01:50051", f"shop/svc01/{pid}@1", "shop", pid, "OK", history) for pid in (10, 11)]
    return FleetResult([*rows, Row("svc01:50051", "shop/svc01/12@1", "shop", 12, "OK", ())], 1)


def details() -> FleetResult[Any]:
    def detail(generation: int, source: str | None) -> ModuleDetail:
        return ModuleDetail(
            module=convert.module(module("billing.tax", generation=generation, import_ms=1.5, size_bytes=2048)),
            spec=ModuleSpec("billing.tax", "SourceFileLoader", "/srv/tax.py", "/srv/c.pyc", "billing", (), True),
            importers=tuple(f"app.views{n}" for n in range(14)),
            exports=(Export("rate", "function", 3, ""), Export("VAT", "float", 0, "")),
            holders=(Holder("app.TABLE['x']", "rate", "container"),) if generation > 1 else (),
            history=revisions().rows[0].value[2:],  # type: ignore[index]
            source=source,
            source_error="" if source else "the file is gone",
            attributes=(
                AttributeValue("VAT", "float", "0.19", False, ""),
                AttributeValue("X", "", "", False, "no such"),
            ),
        )

    values = [detail(1, "RATE = 1\n"), detail(1, "RATE = 1\n"), detail(2, "RATE = 2"), detail(1, None)]
    return FleetResult(
        [Row("svc01:50051", f"shop/svc01/{n}@1", "shop", n, "OK", value) for n, value in enumerate(values, 1)], 1
    )


CASES: dict[str, tuple[str, Callable[[], FleetResult[Any]]]] = {
    "modules": (printers.MODULE_LIST, modules),
    "many": (printers.MODULE_LIST, many_modules),
    "changes": (printers.CHANGE_RESULT, changes),
    "agents": (printers.AGENT_LIST, agents),
    "revisions": (printers.REVISION_LIST, revisions),
    "detail": (printers.MODULE_DETAIL, details),
}
VIEWS: dict[str, dict[str, Any]] = {
    "terminal-80": {"width": 80, "folding": True},
    "terminal-200": {"width": 200, "folding": True},
    "by-host": {"width": 120, "by_host": True},
    "colour": {"width": 120, "folding": True, "colour": True},
    "piped": {},
    "no-headers": {"headers": False},
    "wide": {"format": "wide"},
    "json": {"format": "json"},
    "jsonl": {"format": "jsonl"},
    "yaml": {"format": "yaml"},
    "name": {"format": "name"},
}


@pytest.fixture(autouse=True)
def _a_fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW_S + 90061)
    monkeypatch.setattr(time, "localtime", time.gmtime)


def compare(name: str, text: str) -> None:
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("MODCTL_TEST_UPDATE_GOLDEN") == "1":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("case", CASES)
def test_the_output_is_as_it_was_looked_at(case: str, view: str) -> None:
    kind, make = CASES[case]
    out, err = io.StringIO(), io.StringIO()
    printers.show(kind, make(), Output(**VIEWS[view], out=out, err=err), sort="name")
    compare(f"{case}-{view}", out.getvalue() + (f"--- stderr\n{err.getvalue()}" if err.getvalue() else ""))


@pytest.mark.parametrize("view", ["terminal-80", "piped", "by-host"])
def test_sources_are_as_they_were_looked_at(view: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    show_sources(details(), Output(**VIEWS[view], out=out, err=err))
    compare(f"sources-{view}", f"{out.getvalue()}--- stderr\n{err.getvalue()}")


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("case", ["modules", "changes", "revisions"])
def test_no_line_of_a_table_is_wider_than_the_terminal_where_something_can_give_way(case: str, width: int) -> None:
    kind, make = CASES[case]
    out = io.StringIO()
    printers.show(kind, make(), Output(width=width, folding=True, out=out, err=io.StringIO()), sort="name")
    tables = [line for line in out.getvalue().splitlines() if not line.startswith("  ")]
    assert all(display_width(line) <= width for line in tables if not line.startswith("shop"))


def test_wide_and_combining_characters_line_up() -> None:
    rows = [("漢字", "1"), ("e\u0301te\u0301", "2"), ("abc", "3")]
    lines = render([Column("N"), Column("V")], rows, Output(width=80)).splitlines()
    assert {display_width(line) for line in lines} == {7}
    assert [line[-1] for line in lines] == ["V", "1", "2", "3"]


@pytest.mark.parametrize(
    ("where", "result"), [("end", "abcdefg…"), ("start", "…jklmnop"), ("middle", "ab…lmnop"), ("", "abcdefgh")]
)
def test_text_is_cut_where_it_says_least(where: str, result: str) -> None:
    text = "abcdefghijklmnop"
    assert cut(text, 8, where or "end") == (result if where else "abcdefg…")


def test_what_does_not_print_is_shown_as_python_writes_it() -> None:
    assert printable("a\x1b[31m\n\tb\u202e\ud800é") == "a\\x1b[31m\\n b\\u202e\\ud800é"


def test_progress_is_shown_only_where_it_lasts_and_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 0.5, 0.55, 0.7])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    shown = io.StringIO()
    line = ProgressLine(shown)
    line.begin(5)
    for row in (listing(1), listing(2), down("a:1"), listing(4)):
        line.answered([row])
    line.end()
    assert shown.getvalue().split("\r\x1b[K") == [
        "", "2/5 targets, 2 processes, 0.5 s", "4/5 targets, 3 processes, 1 failed, 0.7 s", "",
    ]  # fmt: skip


# Colours


def _luminance(number: int) -> float:
    """Of an entry of the 256 colours' cube, as WCAG 2 has it: 0 is black, 1 is white."""
    steps = [0, 95, 135, 175, 215, 255]
    cube = number - 16
    levels = [steps[cube // 36] / 255, steps[cube // 6 % 6] / 255, steps[cube % 6] / 255]
    red, green, blue = (level / 12.92 if level <= 0.03928 else ((level + 0.055) / 1.055) ** 2.4 for level in levels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", PALETTE)
def test_every_colour_can_be_read_on_black_and_on_white(name: str) -> None:
    luminance = _luminance(PALETTE[name])
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    assert min(on_black, on_white) >= 3.5, (on_black, on_white)


def test_where_there_are_256_colours_those_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def styled(**environ: str) -> str:
        return make_output("table", False, False, "always", False, False, environ).style("x", "yellow")

    assert styled(TERM="xterm-256color") == "\x1b[38;5;130mx\x1b[0m"
    assert styled(TERM="xterm-kitty", COLORTERM="truecolor") == "\x1b[38;5;130mx\x1b[0m"
    assert styled(TERM="linux") == "\x1b[33mx\x1b[0m"


def test_sentences_end_their_lines_between_words_on_a_terminal_only() -> None:
    text = "the process is frozen until the deployment of this afternoon has gone through"
    assert Output(width=40).prose(text) == (
        "  the process is frozen until the\n  deployment of this afternoon has gone\n  through\n"
    )
    assert Output().prose(text) == f"  {text}\n"
    assert Output(width=20).prose("see /a/path/that/is/longer/than/the/terminal") == (
        "  see\n  /a/path/that/is/longer/than/the/terminal\n"
    )


def test_a_heading_that_has_no_room_for_pids_counts_them() -> None:
    rows = [Row("unix:///x", f"s/h/{pid}@1", "billing", pid, "OK") for pid in range(20001, 20012, 2)]
    assert heading(rows, Output(width=80)) == "billing  6 processes (pids 20001,20003,20005,20007,20009,20011)"
    assert heading(rows, Output(width=80), beside=30) == "billing  6 processes"
    assert heading(rows, Output(), beside=300).endswith("20011)")


def test_a_version_that_is_not_known_does_not_look_like_the_one_before() -> None:
    known, unknown = change_pb2.Version(generation=2, digest="sha256:" + "a" * 64), change_pb2.Version(generation=3)
    gone = change_pb2.Version(generation=0)
    for after, told in ((unknown, "2→3  aaaaaaaaaaaa→?"), (gone, "2→-  aaaaaaaaaaaa\n")):
        undone = change_pb2.ModuleChange(name="billing", action="ACTION_RESTORE", before=known, after=after)
        value = change(undone, outcome="OUTCOME_APPLIED", revision=2)
        row: Row[Any] = Row("svc01:50051", "shop/svc01/10@1", "shop", 10, "APPLIED", value)
        out = io.StringIO()
        printers.show(printers.CHANGE_RESULT, FleetResult([row], 1), Output(width=120, out=out, err=io.StringIO()))
        assert told in out.getvalue()
