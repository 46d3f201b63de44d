"""Listings: what agents say of their modules, against what the disk says now."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from modctl.gateway.disk import Disk
from modctl.gateway.errors import CallFailure
from modctl.gateway.inotify import Inotify
from modctl.gateway.listing import Batches
from modctl.gateway.rows import Batch
from modctl.gateway.states import GONE, HIDDEN, Digests
from modctl.local import frames
from modctl.v1 import module_pb2, module_service_pb2

from gateway.fake_agent import FakeAgent, in_batches, last
from gateway.world import EVERYBODY, Stubs, aged, by_name, row, tree

if TYPE_CHECKING:
    from collections.abc import Callable

FULL = module_service_pb2.ListModulesRequest()
BASIC = module_service_pb2.ListModulesRequest(view="MODULE_VIEW_BASIC")


def digest(text: str | bytes) -> str:
    return "sha256:" + hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def state(module: Any) -> str:
    return module_pb2.ModuleState.Name(module.state).removeprefix("MODULE_STATE_")


@pytest.fixture
def listing(agent: Callable[..., FakeAgent], api: Stubs) -> Callable[..., Any]:
    """Lists rows that a process tells."""
    told: list[dict[str, Any]] = []
    agent(handlers={"list_modules": lambda a, r: in_batches(told)})

    def find(*rows: dict[str, Any], request: Any = FULL) -> Any:
        told[:] = rows
        return by_name(api.modules.ListModules(request))

    return find


def test_a_file_that_is_as_it_was_loaded_is_clean(listing: Any, tmp_path: Path) -> None:
    files = tree(tmp_path, {"a.py": "A = 1\n"})
    found = listing(row("a", files["a.py"], order=4, package=False, import_ms=1.5))["a"]
    assert (state(found), found.digest) == ("CLEAN", digest("A = 1\n"))
    assert (found.order, found.import_ms, found.origin) == (4, 1.5, str(files["a.py"]))


def test_each_state_follows_from_row_and_disk(listing: Any, tmp_path: Path) -> None:
    files = tree(
        tmp_path,
        dict.fromkeys(["same.py", "edited.py", "gone.py", "touched.py", "sent.py", "both.py", "x.so"], "OLD\n"),
    )
    rows = [
        row("same", files["same.py"]),
        row("edited", files["edited.py"]),
        row("gone", files["gone.py"], digest=digest("OLD\n")),
        row("touched", files["touched.py"], digest=digest("OLD\n")),
        row("touched_unknown", files["touched.py"]),
        row("sent", files["sent.py"], digest=digest("SENT\n"), _patched=True),
        row("sent_unmarked", files["sent.py"], digest=digest("SENT\n")),
        row("both", files["both.py"], digest=digest("SENT\n")),
        row("ext", files["x.so"], kind="EXTENSION"),
        row("built", "built-in", kind="BUILTIN"),
        row("ice", "frozen", kind="FROZEN"),
        row("space", kind="NAMESPACE"),
        row("mine", "/modctl/mine.py", kind="INJECTED", digest=digest("MINE\n"), state="MODULE_STATE_INJECTED"),
        row("mine_untold", "/modctl/mine.py", kind="INJECTED", digest=digest("MINE\n")),
        row("none", kind="BLOCKED"),
        row("other", kind="OTHER"),
        row("zipped", f"{files['same.py']}/inside/z.py", _stat=[1, 2, 3]),
        row("relative", "some/where.py", _stat=[1, 2, 3]),
        row("nul", "/a\0b.py", _stat=[1, 2, 3]),
        row("unseen", files["same.py"], _stat=None),
        row("never", tmp_path / "never.py"),
    ]
    for name in ("edited.py", "both.py"):
        files[name].write_text("NEW\n")
        aged(files[name], 1800)
    files["gone.py"].unlink()
    aged(files["touched.py"], 900)
    found = listing(*rows)
    assert {name: (state(module), module.digest) for name, module in found.items()} == {
        "same": ("CLEAN", digest("OLD\n")),
        "edited": ("MODIFIED", ""),
        "gone": ("MISSING", digest("OLD\n")),
        "touched": ("CLEAN", digest("OLD\n")),
        "touched_unknown": ("MODIFIED", ""),  # nobody knows what was loaded, and the file is another
        "sent": ("PATCHED", digest("SENT\n")),
        "sent_unmarked": ("PATCHED", digest("SENT\n")),  # the file has not changed, the code has: that was modctl
        "both": ("MODIFIED", digest("SENT\n")),
        "ext": ("CLEAN", ""),
        "built": ("UNKNOWN", ""),
        "ice": ("UNKNOWN", ""),
        "space": ("UNKNOWN", ""),
        "mine": ("INJECTED", digest("MINE\n")),
        "mine_untold": ("INJECTED", digest("MINE\n")),
        "none": ("BLOCKED", ""),
        "other": ("UNKNOWN", ""),
        "zipped": ("UNKNOWN", ""),
        "relative": ("UNKNOWN", ""),
        "nul": ("UNKNOWN", ""),
        "unseen": ("UNKNOWN", ""),
        "never": ("MISSING", ""),
    }


def test_a_touched_file_is_clean_once_its_digest_was_known(listing: Any, tmp_path: Path) -> None:
    files = tree(tmp_path, {"a.py": "A = 1\n"})
    told = row("a", files["a.py"])
    assert state(listing(told)["a"]) == "CLEAN"
    aged(files["a.py"], 60)
    found = listing(told)["a"]
    assert (state(found), found.digest) == ("CLEAN", digest("A = 1\n"))


def edit(file: Path) -> None:
    file.write_text("B = 2\n")


def append(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("B = 2\n")


def replace(file: Path) -> None:
    draft = file.with_name("draft")
    draft.write_text("C = 3\n")
    draft.rename(file)


def same_size_same_time(file: Path) -> None:
    found = file.stat()
    draft = file.with_name("draft")
    draft.write_text("A = 2\n")
    os.utime(draft, ns=(found.st_mtime_ns, found.st_mtime_ns))
    draft.rename(file)


def through_another_name(file: Path) -> None:
    os.link(file, file.with_name("other_name"))
    file.with_name("other_name").write_text("D = 4\n")


def folder_renamed(file: Path) -> None:
    file.parent.rename(file.parent.with_name("old"))
    file.parent.mkdir()
    file.write_text("E = 5\n")


def folder_above_renamed(file: Path) -> None:
    above = file.parent.parent
    above.rename(above.with_name("old"))
    file.parent.mkdir(parents=True)
    file.write_text("F = 6\n")


@pytest.mark.parametrize(
    "change",
    [edit, append, replace, same_size_same_time, through_another_name, folder_renamed, folder_above_renamed],
    ids=lambda change: change.__name__,
)
def test_every_way_to_change_a_file_is_seen_by_the_next_listing(
    listing: Any, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    file = tree(tmp_path, {"top/pkg/a.py": "A = 1\n"})["top/pkg/a.py"]
    told = row("a", file)
    for _ in range(3):  # so that the answer is the kept one
        assert state(listing(told)["a"]) == "CLEAN"
    change(file)
    assert state(listing(told)["a"]) == "MODIFIED"


@pytest.mark.parametrize("above", [False, True])
def test_a_file_or_folder_that_goes_is_missing_and_comes_back(listing: Any, tmp_path: Path, above: bool) -> None:
    file = tree(tmp_path, {"top/pkg/a.py": "A = 1\n"})["top/pkg/a.py"]
    told = row("a", file)
    assert state(listing(told)["a"]) == "CLEAN"
    gone = tmp_path / "top" if above else file
    gone.rename(tmp_path / "aside")
    assert state(listing(told)["a"]) == "MISSING"
    assert state(listing(told)["a"]) == "MISSING"
    (tmp_path / "aside").rename(gone)
    assert state(listing(told)["a"]) == "CLEAN"


def test_a_link_to_the_release_that_moves_on_is_seen(listing: Any, tmp_path: Path) -> None:
    tree(tmp_path, {"release-1/pkg/a.py": "A = 1\n", "release-2/pkg/a.py": "A = 2\n"})
    current = tmp_path / "current"
    current.symlink_to("release-1")
    told = row("a", current / "pkg" / "a.py")
    assert state(listing(told)["a"]) == "CLEAN"
    (tmp_path / "next").symlink_to("release-2")
    (tmp_path / "next").rename(current)
    assert state(listing(told)["a"]) == "MODIFIED"


def test_a_file_that_is_a_link_is_followed(listing: Any, tmp_path: Path) -> None:
    files = tree(tmp_path, {"real/a.py": "A = 1\n", "pkg/b.py": ""})
    link = files["pkg/b.py"].with_name("a.py")
    link.symlink_to(files["real/a.py"])
    told = row("a", link)
    assert state(listing(told)["a"]) == "CLEAN"
    edit(files["real/a.py"])
    assert state(listing(told)["a"]) == "MODIFIED"


def test_one_changed_row_of_a_thousand_changes_alone(listing: Any, tmp_path: Path) -> None:
    files = tree(tmp_path, {f"p{number % 10}/m{number}.py": f"X = {number}\n" for number in range(1200)})
    rows = [row(place.replace("/", ".")[:-3], file) for place, file in files.items()]
    before = listing(*rows)
    assert len(before) == 1200
    assert {state(module) for module in before.values()} == {"CLEAN"}
    files["p7/m777.py"].write_text("X = 0\n")
    after = listing(*rows)
    assert {name for name, module in after.items() if state(module) != "CLEAN"} == {"p7.m777"}
    assert {name: module.digest for name, module in after.items() if name != "p7.m777"} == {
        name: module.digest for name, module in before.items() if name != "p7.m777"
    }


def test_the_basic_view_looks_at_no_file_and_says_no_state(listing: Any, tmp_path: Path) -> None:
    found = listing(
        row("gone", tmp_path / "nowhere.py", _stat=[1, 2, 3], digest=digest("x")),
        row("mine", kind="INJECTED", state="MODULE_STATE_INJECTED"),
        request=BASIC,
    )
    assert {(module.state, module.digest) for module in found.values()} == {(0, "")}


@pytest.mark.parametrize("view", ["MODULE_VIEW_FULL", "MODULE_VIEW_BASIC"])
def test_states_are_filtered_by_what_the_disk_says(listing: Any, tmp_path: Path, view: str) -> None:
    files = tree(tmp_path, {"a.py": "A\n", "b.py": "B\n", "c.py": "C\n"})
    rows = [row(place[0], file) for place, file in files.items()] + [row("sys", kind="BUILTIN")]
    files["b.py"].unlink()
    edit(files["c.py"])
    request = module_service_pb2.ListModulesRequest(view=view, states=["MODULE_STATE_MODIFIED", "MODULE_STATE_MISSING"])
    assert set(listing(*rows, request=request)) == {"b", "c"}
    edit(files["a.py"])
    assert set(listing(*rows, request=request)) == {"a", "b", "c"}


def test_a_filter_that_nothing_passes_still_has_an_answer(agent: Any, api: Stubs) -> None:
    agent(handlers={"list_modules": lambda a, r: in_batches([row("sys", kind="BUILTIN")])})
    request = module_service_pb2.ListModulesRequest(states=["MODULE_STATE_MODIFIED"])
    [answer] = api.modules.ListModules(request)
    assert answer.process.pid
    assert not answer.modules


def test_batches_have_at_most_500_rows_and_come_in_order(agent: Any, api: Stubs) -> None:
    rows = [row(f"m{number}", kind="BUILTIN", order=number) for number in range(1234)]
    agent(handlers={"list_modules": lambda a, r: in_batches(rows)})
    answers = list(api.modules.ListModules(FULL))
    assert [len(answer.modules) for answer in answers] == [500, 500, 234]
    assert [module.order for answer in answers for module in answer.modules] == list(range(1234))


def test_what_is_asked_for_reaches_the_process(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"list_modules": lambda a, r: in_batches([])})
    request = module_service_pb2.ListModulesRequest(
        patterns=["json.*", "re"], kinds=["MODULE_KIND_SOURCE"], with_size=True
    )
    list(api.modules.ListModules(request))
    assert one.seen == [
        {"op": "list_modules", "patterns": ["json.*", "re"], "kinds": ["MODULE_KIND_SOURCE"], "with_size": True}
    ]


def test_identical_rows_of_many_processes_are_told_as_each_process_s_own(
    agent: Any, api: Stubs, tmp_path: Path
) -> None:
    files = tree(tmp_path, {f"m{number}.py": "X\n" for number in range(50)})
    rows = [row(place[:-3], file) for place, file in files.items()]
    for pid in range(8):
        agent(pid=60 + pid, handlers={"list_modules": lambda a, r: in_batches(rows)})
    answers = list(api.modules.ListModules(FULL, metadata=EVERYBODY))
    assert sorted(answer.process.pid for answer in answers) == list(range(60, 68))
    assert {len(answer.modules) for answer in answers} == {50}
    assert {state(module) for answer in answers for module in answer.modules} == {"CLEAN"}


def test_a_field_that_protobuf_has_later_is_no_obstacle_to_state(listing: Any, tmp_path: Path) -> None:
    files = tree(tmp_path, {"a.py": "A\n"})
    found = listing(row("a", files["a.py"], invented=[1]))["a"]
    assert state(found) == "CLEAN"


# -- the parts


def body(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"modules": list(rows)}).encode()


def test_the_same_bytes_are_parsed_once_and_memory_is_bounded() -> None:
    batches = Batches(kept_bytes=10_000)
    first = batches.of(body(row("a", kind="BUILTIN")))
    assert batches.of(body(row("a", kind="BUILTIN"))) is first
    for number in range(500):
        batches.of(body(row(f"m{number}", kind="BUILTIN")))
    assert batches.of(body(row("a", kind="BUILTIN"))) is not first
    assert sum(len(kept) for kept in batches._known) <= 10_000


@pytest.mark.parametrize(
    "said", [b"", b"null", b'{"modules": {}}', b'{"modules": [[]]}', b'{"modules": [{"name": []}]}']
)
def test_a_batch_that_is_none_says_so(said: bytes) -> None:
    with pytest.raises(CallFailure, match="cannot be understood"):
        Batch(said)


def needs_inotify() -> None:
    """Skips where the user has no instance left: other programs of the machine may hold all of them."""
    try:
        Inotify().close()
    except OSError as error:
        pytest.skip(f"no inotify to be had: {error}")


def test_a_second_look_without_events_stats_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_inotify()
    files = tree(tmp_path, {f"p/m{number}.py": f"{number}\n" for number in range(100)})
    batch, disk, digests = Batch(body(*(row(place, file) for place, file in files.items()))), Disk(), Digests()
    first = batch.full(disk.look(), digests)
    asked: list[str] = []
    real = os.lstat
    monkeypatch.setattr(os, "lstat", lambda place: asked.append(str(place)) or real(place))
    assert batch.full(disk.look(), digests) is first
    assert asked == []
    files["p/m5.py"].write_text("other")
    assert batch.full(disk.look(), digests) != first
    assert asked == [str(files["p/m5.py"])]
    disk.close()


def test_without_inotify_every_look_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modctl.gateway import inotify

    def none(self: Any) -> None:
        raise OSError("no more instances")

    monkeypatch.setattr(inotify.Inotify, "__init__", none)
    file = tree(tmp_path, {"a.py": "A\n"})["a.py"]
    disk = Disk()
    before = disk.look().at(str(file))
    edit(file)
    assert disk.look().at(str(file)) != before


def test_too_many_events_make_it_ask_again(tmp_path: Path) -> None:
    file = tree(tmp_path, {"p/a.py": "A\n"})["p/a.py"]
    disk = Disk()
    before = disk.look().at(str(file))
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    others = [file.with_name(f"other{number % 2}") for number in range(most // 2 + 100)]
    for other in others:  # two names in turn: equal events in a row are one
        other.touch()
        other.unlink()
    edit(file)
    assert disk.look().at(str(file)) != before
    disk.close()


def test_a_folder_that_is_removed_and_made_again_is_watched_again(tmp_path: Path) -> None:
    disk = Disk()
    for content in ("one\n", "other\n", "the third\n"):
        file = tree(tmp_path, {"p/a.py": content})["p/a.py"]
        found = disk.look().at(str(file))
        assert found.size == len(content)
        assert disk.look().at(str(file)) == found
        shutil.rmtree(file.parent)
        assert disk.look().at(str(file)) == GONE
    disk.close()


def test_a_look_never_remembers_what_was_true_before_an_event_that_it_did_not_hear(tmp_path: Path) -> None:
    needs_inotify()
    # One call has taken the stamp, another hears of the change, then the first wants to keep its stamp.
    file = tree(tmp_path, {"p/a.py": "A\n"})["p/a.py"]
    disk = Disk()
    look = disk.look()
    folder = look.folder(str(file.parent))
    assert folder is not None
    version, old = folder.version, disk.look().at(str(file))
    edit(file)
    new = disk.look().at(str(file))
    assert new != old
    assert not disk.remember(folder, file.name, version, old)
    assert disk.look().at(str(file)) == new
    disk.close()


def test_digests_notice_a_file_that_is_no_file(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.py"
    os.mkfifo(fifo)
    digests = Digests()
    assert digests.of(str(fifo), HIDDEN) == (HIDDEN, "")  # and it does not wait for a writer
    assert digests.of(str(tmp_path), HIDDEN)[1] == ""
    assert digests.of(str(tmp_path / "none"), HIDDEN) == (GONE, "")


def test_a_file_written_this_very_moment_is_hashed_again(listing: Any, tmp_path: Path) -> None:
    # Its stamp may not tell the next write from this one.
    file = tree(tmp_path, {"a.py": "A = 1\n"}, age_s=0)["a.py"]
    told = row("a", file, digest=digest("A = 1\n"))
    assert state(listing(told)["a"]) == "CLEAN"
    found = file.stat()
    with file.open("r+") as opened:
        opened.write("A = 2\n")
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert state(listing(told)["a"]) == "PATCHED"


def test_a_listing_of_a_process_that_answers_nothing_is_an_answer(agent: Any, api: Stubs) -> None:
    agent(handlers={"list_modules": lambda a, r: last(b"")})
    [answer] = api.modules.ListModules(FULL)
    assert not answer.HasField("error")


def test_a_process_that_says_the_same_is_listed_from_what_it_said_before(
    agent: Callable[..., FakeAgent], api: Stubs, tmp_path: Path
) -> None:
    files = tree(tmp_path, {"a.py": "A = 1\n"})
    rows = [row("a", files["a.py"]), row("b", kind="BUILTIN")]

    def answer(fake: FakeAgent, request: dict[str, Any]) -> Any:
        if request.get("known_walk") == 7:
            return last({"same": 7})
        return iter([(0, {"modules": rows}), (frames.LAST, {"modules": [], "walk": 7})])

    one = agent(handlers={"list_modules": answer})
    first = by_name(api.modules.ListModules(FULL))
    again = by_name(api.modules.ListModules(FULL))
    assert [request["known_walk"] for request in one.seen] == [0, 7]
    assert first == again
    assert set(again) == {"a", "b"}
    files["a.py"].write_text("A = 2  # longer\n")
    assert state(by_name(api.modules.ListModules(FULL))["a"]) == "MODIFIED"
    chosen = module_service_pb2.ListModulesRequest(patterns=["a"])
    list(api.modules.ListModules(chosen))
    assert "known_walk" not in one.seen[-1]


def test_a_process_cannot_say_that_nothing_differs_from_nothing(agent: Callable[..., FakeAgent], api: Stubs) -> None:
    agent(handlers={"list_modules": lambda a, r: last({"same": 3})})
    (answer,) = api.modules.ListModules(FULL)
    assert answer.error.reason == "BAD_ANSWER"
