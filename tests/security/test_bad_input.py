"""Whatever is sent to a real service, through a real gateway: a named answer, nothing changed, the service goes on."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from gateway.world import EVERYBODY, Stubs, detail_of, injection, stubs
from modctl.v1 import change_pb2, module_service_pb2
from support import gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("bad_input")]

HOST = """
import sys, time
sys.path.insert(0, sys.argv[1])
import billing.tax
from modctl import agent
agent.start(service="shop", required=True)
while True:
    print(billing.tax.RATE, flush=True)
    time.sleep(0.02)
"""


class Shop:
    """A service and a way to ask it; what it has is held against what it had."""

    def __init__(self, service: Service, api: Stubs) -> None:
        self.service = service
        self.api = api
        self._before = self.state()

    def state(self) -> tuple[Any, ...]:
        """What no refused change may touch: generations and digests of ours, all names, the newest revision."""
        answers = list(self.api.modules.ListModules(module_service_pb2.ListModulesRequest(), timeout=30))
        entries = [one for answer in answers for one in answer.modules]
        ours = [(one.name, one.generation, one.digest) for one in entries if one.name.startswith("billing")]
        told = list(self.api.modules.ListRevisions(module_service_pb2.ListRevisionsRequest(limit=1), timeout=30))
        newest = [one.number for answer in told for one in answer.revisions]
        # What the agent or a source imports on its way may stay: of modctl and the standard library.
        others = sys.stdlib_module_names | {"modctl"}
        names = {one.name for one in entries if one.name.partition(".")[0] not in others}
        return ours, names, newest

    def is_as_before(self) -> None:
        """Nothing has changed, and the service goes on."""
        assert self.state() == self._before
        seen = len(self.service.output)
        until(lambda: len(self.service.output) > seen, 20, what="a sign of life")
        assert set(self.service.output.split()) == {"19"}, "the service was heard, or heard something else"
        assert not self.service.has_ended()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mc-") as name:
        folder = Path(name)
        state, app = folder / "state", folder / "app"
        state.mkdir(mode=0o700)
        (app / "billing").mkdir(parents=True)
        (app / "billing" / "__init__.py").touch()
        (app / "billing" / "tax.py").write_text("RATE = 19\n")
        program = folder / "host.py"
        program.write_text(HOST)
        service = Service([sys.executable, program, app], state_dir=state)
        try:
            service.wait_for_agents(1)
            [info] = gateways.infos(state)
            with stubs(f"unix://{info['folder']}/gateway.sock", **{"grpc.max_send_message_length": -1}) as api:
                yield Shop(service, api)
        finally:
            service.end()


def came_of(call: Callable[[], Any]) -> str:
    """The exception of a source; else the reason of a refusal, of the call or of the process; else the outcome."""
    try:
        answers = list(call())
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNKNOWN:  # what a server says of an exception that it did not expect
            raise
        with contextlib.suppress(KeyError, StopIteration):
            return str(detail_of(error).reason)
        return str(error.code().name)
    [answer] = answers
    if answer.HasField("error"):
        return str(answer.error.reason)
    result = answer.result
    for module in result.modules:
        if module.HasField("error"):
            return str(module.error.type)
        if module.HasField("refusal"):
            assert module.refusal.rule
            assert module.refusal.hint
            return str(module.refusal.reason)
    return change_pb2.Outcome.Name(result.outcome).removeprefix("OUTCOME_")


NAMES = {
    "empty": "",
    "an empty part": "a..b",
    "a path": "../x",
    "a NUL": "a\0b",
    "a mebibyte": "x" * (1 << 20),
    "a space": "a b",
    "a line end": "a\nb",
    "a slash": "a/b",
    "a dot before": ".a",
    "a dot behind": "a.",
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_malformed_name_is_refused_by_every_call_that_takes_one(shop: Shop, kind: str) -> None:
    name = NAMES[kind]
    api, service = shop.api.modules, module_service_pb2
    calls: dict[str, Callable[[], Any]] = {
        "import": lambda: api.ImportModules(service.ImportModulesRequest(names=[name]), timeout=30),
        "inject": lambda: api.InjectModule(injection(name, source=b"X = 1"), timeout=30),
        "alias": lambda: api.InjectModule(injection("fresh", alias_of=name or "."), timeout=30),
        "evict": lambda: api.EvictModules(
            service.EvictModulesRequest(operations=[change_pb2.EvictOperation(name=name)]), timeout=30
        ),
        "reimport": lambda: api.ReimportModules(
            service.ReimportModulesRequest(operations=[change_pb2.ReimportOperation(name=name)]), timeout=30
        ),
        "get": lambda: api.GetModule(service.GetModuleRequest(name=name), timeout=30),
    }
    for verb, call in calls.items():
        assert came_of(call) in {"BAD_REQUEST", "INVALID_NAME", "NOT_LOADED", "MODULE_NOT_FOUND"}, verb
    shop.is_as_before()


SOURCES = {
    "not UTF-8": (b"X = '\xff\xfe'\n", {"SyntaxError"}),
    "an encoding that is none": (b"# -*- coding: klingon -*-\nX = 1\n", {"SyntaxError"}),
    "another encoding than it has": (
        b"# -*- coding: ascii -*-\nX = '\xc3\xa4'\n",
        {"SyntaxError", "UnicodeDecodeError"},
    ),
    "a NUL": (b"X = 1\0\n", {"SyntaxError", "ValueError"}),
    "a syntax error": (b"def f(:\n", {"SyntaxError"}),
    "a bad indent": (b"if 1:\nX = 1\n", {"IndentationError"}),
    "brackets without end": (b"(" * 5000 + b")" * 5000, {"SyntaxError", "MemoryError", "RecursionError"}),
    "an operator without end": (b"X = " + b"-" * 200_000 + b"1", {"SyntaxError", "MemoryError", "RecursionError"}),
    "one that raises": (b"raise ValueError('no')\n", {"ValueError"}),
    "one that raises what is no Exception": (b"class E(BaseException): pass\nraise E\n", {"hurt.E", "E"}),
    "one that raises what cannot be shown": (
        b"class E(Exception):\n    def __str__(self): raise self\n    __repr__ = __str__\nraise E\n",
        {"hurt.E", "E"},
    ),
    "one that ends the program": (b"import sys\nsys.exit(3)\n", {"SystemExit"}),
    "one that interrupts it": (b"raise KeyboardInterrupt\n", {"KeyboardInterrupt"}),
    "one that ends its generator": (b"raise GeneratorExit\n", {"GeneratorExit"}),
    "one that recurses for ever": (b"def f(): f()\nf()\n", {"RecursionError"}),
    "one that imports what is not there": (b"import nowhere_at_all\n", {"ModuleNotFoundError"}),
    "one that takes itself away": (
        b"import sys\nsys.modules.pop(__name__, None)\nraise KeyError(__name__)\n",
        {"KeyError"},
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_source_that_cannot_become_a_module_is_named_and_leaves_nothing(shop: Shop, kind: str) -> None:
    source, wanted = SOURCES[kind]
    assert came_of(lambda: shop.api.modules.InjectModule(injection("hurt", source=source), timeout=60)) in wanted
    shop.is_as_before()


def test_a_syntax_error_is_told_with_file_line_and_column(shop: Shop) -> None:
    [answer] = shop.api.modules.InjectModule(injection("hurt", source=b"X = 1\nY = = 2\n"), timeout=30)
    [error] = [module.error for module in answer.result.modules]
    assert (error.type, error.line, error.column) == ("SyntaxError", 2, 5)
    assert error.file
    shop.is_as_before()


def test_a_source_that_never_ends_is_given_up_and_the_process_goes_on(shop: Shop) -> None:
    request = injection("hurt", source=b"while True:\n    pass\n")
    request.options.timeout_s = 0.5
    assert came_of(lambda: shop.api.modules.InjectModule(request, timeout=60)) == "TimeoutError"
    shop.is_as_before()

    def is_idle() -> bool:
        before_s = cpu_s(shop.service.pid)
        time.sleep(0.5)
        return cpu_s(shop.service.pid) - before_s < 0.2

    until(is_idle, 20, what="an end of the loop")


def cpu_s(pid: int) -> float:
    """What a process has used of processors so far, in seconds."""
    spent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


def zipped(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, content in files.items():
            archive.writestr(place, content)
    return written.getvalue()


ARCHIVES = {
    "a bomb": (lambda: zipped({"hurt/__init__.py": b"", "hurt/zeros": bytes(64 << 20)}), "LIMIT"),
    "a path that leads out": (lambda: zipped({"hurt/__init__.py": b"", "../evil.py": b""}), "BAD_ARCHIVE"),
    "a path from the root": (lambda: zipped({"hurt/__init__.py": b"", "/etc/evil.py": b""}), "BAD_ARCHIVE"),
    "none at all": (lambda: b"PK\3\4" + b"x" * 100, "BAD_ARCHIVE"),
    "half of one": (lambda: zipped({"hurt/__init__.py": b"X = 1"})[:-20], "BAD_ARCHIVE"),
    "native code": (lambda: zipped({"hurt/__init__.py": b"", "hurt/x.so": b"\x7fELF"}), "UNSUPPORTED"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_is_not_safe_is_refused(shop: Shop, kind: str) -> None:
    make, reason = ARCHIVES[kind]
    assert came_of(lambda: shop.api.modules.InjectModule(injection("hurt", archive=make()), timeout=60)) == reason
    shop.is_as_before()


def test_files_of_a_package_that_lead_out_of_it_are_refused(shop: Shop) -> None:
    for path in ("../x.py", "/x.py", "a/../../x.py", "a\\x.py", "C:/x.py", "a\0.py", ""):
        request = injection("hurt")
        request.operation.package.files.add(path="__init__.py", content=b"")
        request.operation.package.files.add(path=path, content=b"")
        assert came_of(lambda request=request: shop.api.modules.InjectModule(request, timeout=30)) in {
            "BAD_ARCHIVE",
            "BAD_REQUEST",
        }, path
    shop.is_as_before()


def test_a_deadline_that_has_passed_changes_nothing(shop: Shop) -> None:
    for timeout_s in (0.0, -1.0, 1e-9):
        request = injection("hurt", source=b"X = 1")
        call = shop.api.modules.InjectModule(request, timeout=timeout_s)
        # By gRPC on this side, or by the gateway, whichever is first.
        assert came_of(lambda call=call: call) in {"DEADLINE_EXCEEDED", "DEADLINE"}
    shop.is_as_before()


def test_fields_that_nobody_knows_are_passed_over(shop: Shop) -> None:
    unknown = bytes([0xFA, 0x7F, 3]) + b"abc" + bytes([0xF0, 0x7D, 7])
    plain = module_service_pb2.GetModuleRequest(name="billing.tax")
    ask = shop.api.channel.unary_stream(
        "/modctl.v1.ModuleService/GetModule",
        request_serializer=lambda message: message.SerializeToString() + unknown,
        response_deserializer=module_service_pb2.GetModuleResponse.FromString,
    )
    [answer] = ask(plain, timeout=30)
    assert answer.module.name == "billing.tax"
    shop.is_as_before()


@pytest.mark.parametrize("content", [b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05ab"])
def test_what_is_no_message_is_refused(shop: Shop, content: bytes) -> None:
    for method in ("InjectModule", "EvictModules", "GetModule", "Undo", "ListModules"):
        ask = shop.api.channel.unary_stream(f"/modctl.v1.ModuleService/{method}")
        with pytest.raises(grpc.RpcError) as refused:
            list(ask(content, timeout=30))
        assert refused.value.code() in {
            grpc.StatusCode.INTERNAL,
            grpc.StatusCode.INVALID_ARGUMENT,
            grpc.StatusCode.NOT_FOUND,
        }, method
    shop.is_as_before()


def test_a_call_that_there_is_not_is_unimplemented(shop: Shop) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        list(shop.api.channel.unary_stream("/modctl.v1.ModuleService/Nothing")(b"", timeout=30))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


# -- what is a change, and is taken back at the end of each test


def test_a_request_that_comes_twice_is_done_once(shop: Shop) -> None:
    request = injection("twice", source=b"X = 1")
    request.options.request_id = "a-request-that-comes-twice"
    [first] = shop.api.modules.InjectModule(request, timeout=30)
    [again] = shop.api.modules.InjectModule(request, timeout=30)
    assert first.result.outcome == again.result.outcome == change_pb2.OUTCOME_APPLIED
    assert first.result.revision == again.result.revision
    other = injection("twice", source=b"X = 2", replace=True)
    other.options.request_id = "a-request-that-comes-twice"
    before = shop.state()
    assert came_of(lambda: shop.api.modules.InjectModule(other, timeout=30)) == "REQUEST_ID_REUSED"
    assert shop.state() == before
    assert before[2] == [first.result.revision]
    [fourth] = shop.api.modules.InjectModule(request, timeout=30)
    assert fourth.result == first.result  # what was refused has not taken the place of what was done
    taken_back(shop, 1)


def test_code_that_prints_starts_threads_and_forks_hurts_nobody(shop: Shop) -> None:
    source = (
        b"import os, sys, threading\n"
        b"print('loud'); sys.stderr.write('louder')\n"
        b"threading.Thread(target=lambda: 1 / 0, name='hurt').start()\n"
        b"PID = os.fork()\n"
        b"if PID:\n    os.waitpid(PID, 0)\n"
    )
    [answer] = shop.api.modules.InjectModule(injection("hurt", source=source), timeout=60)
    assert answer.result.outcome == change_pb2.OUTCOME_APPLIED, answer
    assert len(list(shop.api.modules.ListModules(module_service_pb2.ListModulesRequest(), metadata=EVERYBODY))) >= 1
    assert shop.service.agent_pids() == {shop.service.pid}
    assert shop.service.family() == [shop.service.pid]
    taken_back(shop, 1)


def taken_back(shop: Shop, count: int) -> None:
    """Undoes so many changes; what was before is there again, under newer numbers."""
    for _ in range(count):
        assert came_of(lambda: shop.api.modules.Undo(module_service_pb2.UndoRequest(), timeout=30)) == "APPLIED"
    ours, names, _ = shop.state()
    assert (ours, names) == shop._before[:2]
    assert not shop.service.has_ended()
    shop._before = shop.state()
