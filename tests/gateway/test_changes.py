"""Changes: checked, compiled once, sent to each process, and nothing sent where something is wrong."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import marshal
import os
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from modctl.gateway.sources import Sources
from modctl.local import frames
from modctl.v1 import change_pb2, module_pb2, module_service_pb2

from gateway.fake_agent import FakeAgent, applied, error, last, silent
from gateway.test_archives import zipped
from gateway.world import EVERYBODY, Stubs, detail_of, injection, package, tree

MAGIC = importlib.util.MAGIC_NUMBER.hex()
Operation = change_pb2.Operation
Options = change_pb2.ChangeOptions


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def code_in(module: dict[str, Any]) -> Any:
    return marshal.loads(base64.b64decode(module["code"]))


def changes(agent: FakeAgent) -> list[dict[str, Any]]:
    return [request for request in agent.seen if request["op"] == "change"]


def test_code_is_attached_for_agents_that_take_it_so_and_base64_for_others(agent: Any, api: Stubs) -> None:
    first, second, older = agent(attached_code=True, pid=11), agent(attached_code=True, pid=12), agent(pid=13)
    files = package({"__init__.py": b"", "a.py": b"X = 1\n", "b.py": b"Y = 2\n", "x.bin": b"\0\xff"})
    assert len(list(api.modules.InjectModule(injection("app", package=files), metadata=EVERYBODY))) == 3
    [plain] = older.seen
    expected = [code_in(module) for module in plain["operations"][0]["inject"]["modules"]]
    assert [code.co_filename for code in expected] == [f"/modctl/app/{name}.py" for name in ("__init__", "a", "b")]
    for one in (first, second):
        [sent] = one.seen
        attached = sent.pop(frames.ATTACHMENTS)
        operation = sent["operations"][0]["inject"]
        assert operation["data"] == {"x.bin": base64.b64encode(b"\0\xff").decode()}
        end = 0
        for module, code in zip(operation["modules"], expected, strict=True):
            offset, length = module["code"]
            assert offset == end
            end = offset + length
            assert marshal.loads(attached[offset:end]) == code
        assert end == len(attached)


def test_source_is_sent_as_text_and_code(agent: Any, api: Stubs) -> None:
    one = agent()
    source = "# coding: utf-8\nX = 'é'\r\n".encode()
    request = injection("billing.tax", source=source, replace=True, ttl_s=60, base_digest=digest(b"old"))
    request.options.CopyFrom(Options(reason="INC-1", timeout_s=5, dry_run=True, expect_revision=0, request_id="r-1"))
    request.options.override_protected.append("billing")
    [answer] = api.modules.InjectModule(request)
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED
    assert answer.process.pid == one.pid
    [sent] = one.seen
    operation = sent.pop("operations")[0]["inject"]
    [module] = operation.pop("modules")
    assert sent.pop("contents").startswith("sha256:")
    assert sent == {
        "op": "change", "request_id": "r-1", "identity": f"uid:{os.getuid()}", "reason": "INC-1", "dry_run": True,
        "timeout_s": 5.0, "expect_revision": 0, "override_protected": ["billing"],
    }  # fmt: skip
    assert operation == {
        "name": "billing.tax", "replace": True, "ttl_s": 60.0, "base_digest": digest(b"old"), "filename": "", "data": {},  # noqa: E501
    }  # fmt: skip
    code = code_in(module)
    assert code.co_filename == module["filename"] == "/modctl/billing/tax.py"
    assert (module["name"], module["package"], module["source"]) == (
        "billing.tax", False, "# coding: utf-8\nX = 'é'\n",
    )  # fmt: skip
    assert (module["digest"], module["magic"], module["optimize"]) == (digest(source), MAGIC, sys.flags.optimize)


def test_what_was_not_said_is_not_sent(agent: Any, api: Stubs) -> None:
    one = agent()
    list(api.modules.InjectModule(injection(source=b"X = 1\n")))
    assert "expect_revision" not in one.seen[0]
    assert len(one.seen[0]["request_id"]) == 32, "an id is made where the caller has none"


def test_the_same_request_has_the_same_contents_and_no_other_has(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"prepare": applied})

    def contents(call: Any, request: Any) -> str:
        list(call(request))
        found: str = one.seen[-1]["contents"]
        return found

    def evicting(*names: str, **options: Any) -> module_service_pb2.EvictModulesRequest:
        operations = [change_pb2.EvictOperation(name=name) for name in names]
        return module_service_pb2.EvictModulesRequest(operations=operations, options=Options(request_id="r", **options))

    def stub(attributes: dict[str, str]) -> module_service_pb2.InjectModuleRequest:
        request = injection("stub")
        request.operation.attributes.json.update(attributes)
        request.options.request_id = "r"
        return request

    modules = api.modules
    first = contents(modules.EvictModules, evicting("a", "b"))
    assert contents(modules.EvictModules, evicting("a", "b")) == first
    as_change_set = module_service_pb2.ApplyChangesRequest(options=Options(request_id="r"))
    as_change_set.operations.extend(change_pb2.Operation(evict=each) for each in evicting("a", "b").operations)
    assert contents(modules.ApplyChanges, as_change_set) == first, "each verb is a change set"
    prepared = module_service_pb2.PrepareChangesRequest(
        operations=as_change_set.operations, options=as_change_set.options, lease_s=7
    )
    assert contents(modules.PrepareChanges, prepared) == first, "a half is of the whole, however long it is held"
    evict, undo, inject = modules.EvictModules, modules.Undo, modules.InjectModule
    others = [
        contents(evict, evicting("b", "a")),
        contents(evict, evicting("a")),
        contents(evict, evicting("a", "b", dry_run=True)),
        contents(evict, evicting("a", "b", reason="INC-1")),
        contents(evict, evicting("a", "b", override_protected=["a"])),
        contents(undo, module_service_pb2.UndoRequest(options=Options(request_id="r"))),
        contents(undo, module_service_pb2.UndoRequest(revision=1, options=Options(request_id="r"))),
        contents(inject, stub({"a": "1", "b": "2"})),
        contents(inject, stub({"a": "1", "b": "3"})),
    ]
    assert len({first, *others}) == 1 + len(others)
    assert contents(inject, stub({"b": "2", "a": "1"})) == others[-2], "a map has no order"


def test_what_the_gateway_finds_is_no_part_of_the_contents(agent: Any, api: Stubs, tmp_path: Path) -> None:
    file = tmp_path / "shop.py"
    one = agent(handlers={"resolve": resolving({"shop": file})})
    request = reimport(change_pb2.ReimportOperation(name="shop"))
    request.options.request_id = "r"
    for source in ("X = 1\n", "X = 22\n"):
        file.write_text(source)
        list(api.modules.ReimportModules(request))
    first, second = changes(one)
    assert first["operations"] != second["operations"]
    assert first["contents"] == second["contents"]


def test_the_file_name_that_is_given_is_the_code_s(agent: Any, api: Stubs) -> None:
    one = agent()
    list(api.modules.InjectModule(injection(source=b"X = 1\n", filename="/srv/fix.py")))
    [module] = one.seen[0]["operations"][0]["inject"]["modules"]
    assert code_in(module).co_filename == "/srv/fix.py"


@pytest.mark.parametrize("archive", [False, True])
def test_a_package_is_sent_module_by_module(agent: Any, api: Stubs, archive: bool) -> None:
    one = agent()
    files = {"__init__.py": "A = 1\n", "sub/m.py": "B = 2\n", "data/x.bin": b"\0\xff"}
    content: dict[str, Any] = {"archive": zipped(files)} if archive else {"package": package(files)}
    [answer] = api.modules.InjectModule(injection("pkg", **content))
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED
    sent = one.seen[0]["operations"][0]["inject"]
    assert [(module["name"], module["package"], module["filename"]) for module in sent["modules"]] == [
        ("pkg", True, "/modctl/pkg/__init__.py"),
        ("pkg.sub", True, "/modctl/pkg/sub/__init__.py"),
        ("pkg.sub.m", False, "/modctl/pkg/sub/m.py"),
    ]
    assert sent["data"] == {"data/x.bin": base64.b64encode(b"\0\xff").decode()}


def test_stubs_aliases_and_blocks_are_passed_on(agent: Any, api: Stubs) -> None:
    one = agent()
    for content in ({"attributes": change_pb2.Attributes(json={"A": "[1]"})}, {"alias_of": "json"}, {"block": True}):
        list(api.modules.InjectModule(injection("x", **content)))
    sent = [request["operations"][0]["inject"] for request in one.seen]
    assert sent[0]["attributes"] == {"A": "[1]"}
    assert sent[1]["alias_of"] == "json"
    assert sent[2]["block"] is True
    assert not any("modules" in one for one in sent)


def test_many_processes_share_one_compilation(agent: Any, api: Stubs, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    real = Sources.compiled
    monkeypatch.setattr(Sources, "compiled", lambda self, c, f: compiled.append(f) or real(self, c, f))
    many = [agent(pid=70 + number) for number in range(10)]
    answers = list(api.modules.InjectModule(injection(source=b"X = 1\n"), metadata=EVERYBODY))
    assert len(answers) == 10
    assert compiled == ["/modctl/billing/tax.py"]
    assert len({str(one.seen) for one in many}) == 1, "the same request, byte by byte"


def test_bad_source_is_refused_for_each_and_sent_to_none(agent: Any, api: Stubs) -> None:
    many = [agent(pid=70 + number) for number in range(3)]
    request = injection(
        "pkg", package=package({"__init__.py": "X = (\n", "a.py": "ok = 1\n", "b.py": "y = 1\n z = 2\n"})
    )
    request.options.request_id = "r-2"
    answers = list(api.modules.InjectModule(request, metadata=EVERYBODY))
    assert sorted(answer.process.pid for answer in answers) == [70, 71, 72]
    assert all(not one.seen for one in many)
    for answer in answers:
        assert answer.result.outcome == change_pb2.OUTCOME_REFUSED
        assert answer.result.request_id == "r-2"
        assert not answer.HasField("error")
        assert [(module.name, module.refusal.reason) for module in answer.result.modules] == [
            ("pkg", "BAD_SOURCE"),
            ("pkg.b", "BAD_SOURCE"),
        ], "all faults together"
        first, second = (module.error for module in answer.result.modules)
        assert (first.type, first.file, first.line, first.column) == ("SyntaxError", "/modctl/pkg/__init__.py", 1, 5)
        assert (second.type, second.line) == ("IndentationError", 2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"source": b"X = '\xff'\n"}, "BAD_SOURCE"),
        ({"source": b"X = 1\0\n"}, "BAD_SOURCE"),
        ({"source": b"(" * 100_000}, "BAD_SOURCE"),
        ({"source": b"#" * (4 * 1024 * 1024 + 1)}, "LIMIT"),
        ({"archive": b"no zip"}, "BAD_ARCHIVE"),
        ({"archive": zipped({"../x.py": ""})}, "BAD_ARCHIVE"),
        ({"archive": zipped({"pkg/__init__.py": "", "pkg/z": b"\0" * (17 << 20)})}, "LIMIT"),
        ({"package": package({"/etc/x.py": ""})}, "BAD_ARCHIVE"),
        ({"package": package({"__init__.py": "", "native.so": b""})}, "UNSUPPORTED"),
        ({"package": package({f"m{number}.py": "" for number in range(1001)})}, "LIMIT"),
        ({"package": change_pb2.PackageFiles(files=[change_pb2.PackageFile(path="a.py")] * 2)}, "BAD_ARCHIVE"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_content_that_cannot_be_used_is_refused_and_the_gateway_lives(
    agent: Any, api: Stubs, content: dict[str, Any], reason: str
) -> None:
    one = agent()
    [answer] = api.modules.InjectModule(injection("pkg", **content))
    assert answer.result.outcome == change_pb2.OUTCOME_REFUSED
    assert {module.refusal.reason for module in answer.result.modules} == {reason}
    assert answer.result.modules[0].refusal.hint
    assert one.seen == []


# -- bringing in anew


def resolving(files: dict[str, Path], loader: str = "SourceFileLoader") -> Any:
    def resolve(agent: FakeAgent, request: dict[str, Any]) -> Any:
        found = [
            {"name": name, "origin": str(file), "package": False, "kind": "MODULE_KIND_SOURCE", "loader": loader,
             "loaded": True}
            for name, file in files.items()
            if any(name == asked or (request["recursive"] and name.startswith(f"{asked}.")) for asked in request["names"])  # noqa: E501
        ]  # fmt: skip
        return last({"modules": found})

    return resolve


def reimport(*operations: change_pb2.ReimportOperation) -> module_service_pb2.ReimportModulesRequest:
    return module_service_pb2.ReimportModulesRequest(operations=operations)


def test_a_reimport_brings_the_file_s_code_along(agent: Any, api: Stubs, tmp_path: Path) -> None:
    files = tree(tmp_path, {"a/__init__.py": "A = 1\n", "a/b.py": "B = 2\n", "c.py": "C = 3\n"})
    named = {"a": files["a/__init__.py"], "a.b": files["a/b.py"], "c": files["c.py"]}
    one = agent(handlers={"resolve": resolving(named)})
    ReimportOperation = change_pb2.ReimportOperation
    [answer] = api.modules.ReimportModules(
        reimport(ReimportOperation(name="a", recursive=True), ReimportOperation(name="c", base_digest=digest(b"x")))
    )
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED
    [sent] = changes(one)
    first, second = (operation["reimport"] for operation in sent["operations"])
    assert (first["mode"], first["recursive"], second["base_digest"]) == ("REIMPORT_MODE_FRESH", True, digest(b"x"))
    assert [module["name"] for module in first["modules"]] == ["a", "a.b"]
    assert [module["name"] for module in second["modules"]] == ["c"]
    module = first["modules"][1]
    found = files["a/b.py"].stat()
    assert module["stat"] == [found.st_mtime_ns, found.st_size, found.st_ino]
    assert module["origin"] == code_in(module).co_filename == str(files["a/b.py"])
    assert (module["digest"], "source" in module) == (digest(b"B = 2\n"), False)


def test_processes_that_find_other_files_get_other_code(agent: Any, api: Stubs, tmp_path: Path) -> None:
    files = tree(tmp_path, {"one/a.py": "A = 1\n", "two/a.py": "A = 2\n"})
    first = [agent(pid=80 + n, handlers={"resolve": resolving({"a": files["one/a.py"]})}) for n in range(3)]
    second = agent(pid=90, handlers={"resolve": resolving({"a": files["two/a.py"]})})
    answers = list(api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a")), metadata=EVERYBODY))
    assert len(answers) == 4
    origins = [changes(one)[0]["operations"][0]["reimport"]["modules"][0]["origin"] for one in (*first, second)]
    assert origins == [str(files["one/a.py"])] * 3 + [str(files["two/a.py"])]
    assert len({changes(one)[0]["request_id"] for one in (*first, second)}) == 1


def test_a_syntax_error_in_the_file_is_refused_where_it_is_found(agent: Any, api: Stubs, tmp_path: Path) -> None:
    files = tree(tmp_path, {"bad.py": "def f(:\n", "good.py": "X = 1\n"})
    bad = agent(pid=81, handlers={"resolve": resolving({"a": files["bad.py"]})})
    good = agent(pid=82, handlers={"resolve": resolving({"a": files["good.py"]})})
    answers = {
        answer.process.pid: answer.result
        for answer in api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a")), metadata=EVERYBODY)
    }
    assert answers[81].outcome == change_pb2.OUTCOME_REFUSED
    assert answers[81].modules[0].error.file == str(files["bad.py"])
    assert answers[82].outcome == change_pb2.OUTCOME_APPLIED
    assert (len(changes(bad)), len(changes(good))) == (0, 1)


@pytest.mark.parametrize(
    "told",
    [
        {"origin": "/does/not/exist.py", "loader": "SourceFileLoader"},
        {"origin": "relative.py", "loader": "SourceFileLoader"},
        {"origin": "/dev/zero", "loader": "SourceFileLoader"},
        {"origin": "/", "loader": "SourceFileLoader"},
        {"origin": __file__, "loader": "TheirOwnLoader"},
        {"origin": None, "loader": "SourceFileLoader"},
        {},
    ],
)
def test_what_the_gateway_cannot_read_the_process_loads_itself(agent: Any, api: Stubs, told: dict[str, Any]) -> None:
    one = agent(handlers={"resolve": lambda a, r: last({"modules": [{"name": "a", **told}]})})
    [answer] = api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a")))
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED
    assert "modules" not in changes(one)[0]["operations"][0]["reimport"]


def test_a_process_that_does_not_resolve_decides_itself(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"resolve": lambda a, r: error("NOT_FOUND", "MODULE_NOT_FOUND")})
    list(api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a"))))
    assert len(changes(one)) == 1


def test_a_reimport_from_sent_source_is_compiled_under_the_module_s_own_file(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"resolve": resolving({"a": Path("/srv/app/a.py")})})
    list(api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a", source=b"A = 9\n"))))
    [module] = changes(one)[0]["operations"][0]["reimport"]["modules"]
    assert (module["origin"], module["source"]) == ("/srv/app/a.py", "A = 9\n")
    assert code_in(module).co_filename == "/srv/app/a.py"


def test_patch_goes_to_the_process_like_any_other(agent: Any, api: Stubs) -> None:
    refused = {"outcome": "OUTCOME_REFUSED", "modules": [{"name": "a", "refusal": {"reason": "UNSUPPORTED"}}]}
    one = agent(handlers={"change": lambda a, r: last(refused)})
    [answer] = api.modules.ReimportModules(reimport(change_pb2.ReimportOperation(name="a", mode="REIMPORT_MODE_PATCH")))
    assert one.ops() == ["change"]
    assert one.seen[0]["operations"][0]["reimport"]["mode"] == "REIMPORT_MODE_PATCH"
    assert answer.result.modules[0].refusal.reason == "UNSUPPORTED"


# -- change sets


def test_a_change_set_keeps_its_order(agent: Any, api: Stubs) -> None:
    one = agent(handlers={"resolve": resolving({})})
    request = module_service_pb2.ApplyChangesRequest(
        operations=[
            Operation(evict=change_pb2.EvictOperation(name="a", recursive=True)),
            Operation(inject=change_pb2.InjectOperation(name="b", source=b"")),
            Operation(import_module=change_pb2.ImportOperation(name="c")),
            Operation(reimport=change_pb2.ReimportOperation(name="d", ttl_s=3)),
        ]
    )
    [answer] = api.modules.ApplyChanges(request)
    assert answer.result.revision == 1
    operations = changes(one)[0]["operations"]
    assert [next(iter(operation)) for operation in operations] == ["evict", "inject", "import", "reimport"]
    assert operations[0] == {"evict": {"name": "a", "recursive": True, "base_digest": ""}}
    assert operations[2] == {"import": {"name": "c"}}
    assert operations[3]["reimport"]["ttl_s"] == 3


def test_verbs_are_change_sets_of_one_kind(agent: Any, api: Stubs) -> None:
    one = agent()
    list(api.modules.ImportModules(module_service_pb2.ImportModulesRequest(names=["a", "b.c"])))
    list(
        api.modules.EvictModules(
            module_service_pb2.EvictModulesRequest(operations=[change_pb2.EvictOperation(name="a-b")])
        )
    )
    list(api.modules.Undo(module_service_pb2.UndoRequest(revision=4, options=Options(reason="oops", dry_run=True))))
    assert [request["operations"] for request in one.seen] == [
        [{"import": {"name": "a"}}, {"import": {"name": "b.c"}}],
        [{"evict": {"name": "a-b", "recursive": False, "base_digest": ""}}],
        [{"undo": {"revision": 4}}],
    ]
    assert (one.seen[2]["reason"], one.seen[2]["dry_run"], bool(one.seen[2]["request_id"])) == ("oops", True, True)


def test_a_result_comes_through_whole(agent: Any, api: Stubs) -> None:
    told = {
        "outcome": "OUTCOME_FAILED", "revision": 0, "undoable": False, "duration_ms": 12.5, "paused_ms": 0.5,
        "message": "it raised", "side_effects": ["thread started: x"], "request_id": "r",
        "modules": [{
            "name": "a", "action": "ACTION_REIMPORT", "tier": "TIER_FRESH", "before": {"generation": 1, "digest": "d"},
            "after": {"generation": 1}, "symbols": {"changed": ["f"]}, "stale": [{"holder": "b", "name": "f", "kind": "module"}],  # noqa: E501
            "error": {"type": "ValueError", "message": "no", "traceback": "Traceback…"}, "import_ms": 3.5, "cached": False,  # noqa: E501
        }],
    }  # fmt: skip
    agent(handlers={"change": lambda a, r: last(told)})
    [answer] = api.modules.ImportModules(module_service_pb2.ImportModulesRequest(names=["a"]))
    result = answer.result
    assert (result.outcome, result.duration_ms, list(result.side_effects)) == (6, 12.5, ["thread started: x"])
    [module] = result.modules
    assert (module.error.type, module.stale[0].holder, module.symbols.changed[0]) == ("ValueError", "b", "f")


def test_a_change_without_an_answer_says_that_it_does_not_know(agent: Any, api: Stubs) -> None:
    agent(handlers={"change": silent})
    [answer] = api.modules.InjectModule(injection(source=b""), timeout=0.8)
    assert answer.error.reason == "DEADLINE"
    assert "not known" in answer.error.message
    assert not answer.HasField("result")


# -- requests that nobody could serve

Inject = change_pb2.InjectOperation
BAD: list[tuple[str, Any, str]] = [
    *(("InjectModule", injection(name, source=b""), "operations[0].inject.name") for name in
      ["", "a..b", ".a", "a.", "../x", "a b", "a\0b", "a/b", "a-b", "1a", "x" * 600, "a\nb"]),
    ("InjectModule", injection("a"), "operations[0].inject"),
    ("InjectModule", injection("a", source=b"", ttl_s=-1), "operations[0].inject.ttl_s"),
    ("InjectModule", injection("a", source=b"", ttl_s=float("nan")), "operations[0].inject.ttl_s"),
    ("InjectModule", injection("a", source=b"", ttl_s=float("inf")), "operations[0].inject.ttl_s"),
    ("InjectModule", injection("a", source=b"", base_digest="md5:1"), "operations[0].inject.base_digest"),
    ("InjectModule", injection("a", source=b"", filename="a\0"), "operations[0].inject.filename"),
    ("InjectModule", injection("a", block=False), "operations[0].inject.block"),
    ("InjectModule", injection("a", alias_of="b..c"), "operations[0].inject.alias_of"),
    ("InjectModule", injection("a", attributes=change_pb2.Attributes(json={"x": "{"})), "operations[0].inject.attributes.x"),  # noqa: E501
    ("InjectModule", injection("a", attributes=change_pb2.Attributes(json={"x-y": "1"})), "operations[0].inject.attributes"),  # noqa: E501
    ("InjectModule", injection("a", attributes=change_pb2.Attributes(json={"x": "[" * 99_999})), "operations[0].inject.attributes.x"),  # noqa: E501
    ("InjectModule", module_service_pb2.InjectModuleRequest(), "operations[0].inject.name"),
    ("ImportModules", module_service_pb2.ImportModulesRequest(), "operations"),
    ("ImportModules", module_service_pb2.ImportModulesRequest(names=["ok", "not ok"]), "operations[1].import_module.name"),  # noqa: E501
    ("ImportModules", module_service_pb2.ImportModulesRequest(names=["a"] * 1001), "names"),
    ("EvictModules", module_service_pb2.EvictModulesRequest(), "operations"),
    ("ReimportModules", module_service_pb2.ReimportModulesRequest(), "operations"),
    ("ReimportModules", reimport(change_pb2.ReimportOperation(name="a", mode=77)), "operations[0].reimport.mode"),  # type: ignore[arg-type]
    ("ReimportModules", reimport(change_pb2.ReimportOperation(name="a", source=b"", recursive=True)), "operations[0].reimport"),  # noqa: E501
    ("ApplyChanges", module_service_pb2.ApplyChangesRequest(), "operations"),
    ("ApplyChanges", module_service_pb2.ApplyChangesRequest(operations=[Operation()]), "operations[0]"),
    ("Undo", module_service_pb2.UndoRequest(options=Options(timeout_s=-1)), "options.timeout_s"),
    ("Undo", module_service_pb2.UndoRequest(options=Options(reason="x" * 5000)), "options.reason"),
    ("Undo", module_service_pb2.UndoRequest(options=Options(request_id="x" * 200)), "options.request_id"),
    ("Undo", module_service_pb2.UndoRequest(options=Options(override_protected=[""])), "options.override_protected[0]"),
    ("ListModules", module_service_pb2.ListModulesRequest(kinds=[99]), "kinds[0]"),  # type: ignore[list-item]
    ("ListModules", module_service_pb2.ListModulesRequest(kinds=[0]), "kinds[0]"),  # type: ignore[list-item]
    ("ListModules", module_service_pb2.ListModulesRequest(states=[1, 99]), "states[1]"),  # type: ignore[list-item]
    ("ListModules", module_service_pb2.ListModulesRequest(view=9), "view"),  # type: ignore[arg-type]
    ("ListModules", module_service_pb2.ListModulesRequest(patterns=[""]), "patterns[0]"),
    ("ListModules", module_service_pb2.ListModulesRequest(patterns=["a"] * 1001), "patterns"),
    ("GetModule", module_service_pb2.GetModuleRequest(), "name"),
    ("GetModule", module_service_pb2.GetModuleRequest(name="a..b"), "name"),
    ("GetModule", module_service_pb2.GetModuleRequest(name="a", attributes=[""]), "attributes[0]"),
    ("WatchModules", module_service_pb2.WatchModulesRequest(patterns=["\0"]), "patterns[0]"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "request_", "field"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_request_is_an_invalid_argument_that_names_the_field(
    agent: Any, api: Stubs, method: str, request_: Any, field: str
) -> None:
    one = agent()
    with pytest.raises(grpc.RpcError) as failed:
        list(getattr(api.modules, method)(request_))
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    detail = detail_of(failed.value)
    assert (detail.reason, detail.code, detail.domain) == ("BAD_REQUEST", "INVALID_ARGUMENT", "modctl.v1")
    told = detail.metadata["field"]
    assert told == field or (told == "name" and field.endswith(".name")), "the guard knows names, not where they stand"
    assert one.seen == []


def test_bytes_that_are_no_request_are_an_invalid_argument(agent: Any, api: Stubs) -> None:
    agent()
    for method in ("ListModules", "InjectModule", "Undo"):
        call = api.channel.unary_stream(f"/modctl.v1.ModuleService/{method}")
        with pytest.raises(grpc.RpcError) as failed:
            list(call(b"\xff\xff\xff"))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_the_kinds_of_the_api_are_all_known() -> None:
    assert len(module_pb2.ModuleKind.keys()) == 10, "a new kind needs a look at rows.py"
