"""The `modctl` command as a shell sees it: arguments, streams, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import yaml
from modctl.client import cli
from modctl.v1 import change_pb2, error_pb2, module_service_pb2

from client.fake_server import FakeServer, Refuse, module, process

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., FakeServer]

UNWANTED = {"grpc", "google", "rich", "yaml", "asyncio", "ssl", "logging"}
MODCTL = [sys.executable, "-m", "modctl.client"]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: (exit code, stdout, stderr)."""

    def call(*args: str) -> tuple[int, str, str]:
        code = cli.run(args)
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


Run = Any


# Exit codes


def test_all_well_is_0(run: Run, shop: FakeServer) -> None:
    code, out, err = run("list", "-H", shop.address)
    assert (code, err) == (0, "")
    titles = ["PROCESS", "NAME", "KIND", "GEN", "STATE", "EXPIRES", "DIGEST", "ORIGIN"]
    assert out.splitlines()[0].split() == titles
    assert len(out.splitlines()) == 10


def test_some_failed_is_3(run: Run, shop: FakeServer) -> None:
    code, out, err = run("list", "json", "-H", shop.address, "-H", "127.0.0.1:1")
    assert code == 3
    assert len(out.splitlines()) == 4
    assert err == (
        "modctl: 127.0.0.1:1: UNREACHABLE: connection refused: nobody listens there; is the service up, and is this "
        "its address?\n"
    )


def test_the_unreachable_are_told_of_last_and_those_with_the_same_trouble_together(run: Run, shop: FakeServer) -> None:
    shop.results[4128] = error_pb2.ErrorDetail(code="RESOURCE_EXHAUSTED", reason="BUSY", message="try again")
    code, _, err = run("evict", "a", "-H", f"127.0.0.1:[1-3],{shop.address}", "--yes")
    assert code == 3
    told = err.splitlines()[-2:]
    assert told[0].startswith(f"modctl: shop  {shop.address}  pid 4128: REFUSED")
    assert told[1].startswith("modctl: 127.0.0.1:[1-3]: UNREACHABLE")


def test_no_target_reachable_is_4(run: Run) -> None:
    assert run("list", "-H", "127.0.0.1:[1-3]")[0] == 4


def test_refused_is_3(run: Run, shop: FakeServer) -> None:
    refusal = change_pb2.Refusal(reason="UNSUPPORTED", hint="use reimport")
    change = change_pb2.ModuleChange(name="a", action="ACTION_RELOAD", refusal=refusal)
    for pid in (4127, 4128, 4129):
        shop.results[pid] = change_pb2.ChangeResult(outcome="OUTCOME_REFUSED", modules=[change])
    code, out, _ = run("reload", "a", "-H", shop.address)
    assert code == 3
    assert "UNSUPPORTED: use reimport" in out
    assert shop.asked[-1][1].operations[0].mode == change_pb2.REIMPORT_MODE_PATCH


def test_denied_is_7(run: Run, shop: FakeServer) -> None:
    def deny(_: Any) -> None:
        raise Refuse(grpc.StatusCode.PERMISSION_DENIED, "viewers may not evict", reason="ROLE")

    shop.before["EvictModules"] = deny
    code, _, err = run("evict", "a", "-H", shop.address)
    assert code == 7
    assert "DENIED: viewers may not evict" in err


def test_the_deadline_is_8(run: Run, shop: FakeServer) -> None:
    shop.before["ListModules"] = lambda _: asyncio.sleep(30)
    assert run("list", "-H", shop.address, "--deadline", "300ms")[0] == 8
    assert run("list", "-H", shop.address, "--timeout", "300ms")[0] == 8


def test_no_target_is_9(run: Run, state_dir: Path, shop: FakeServer) -> None:
    code, out, err = run("list")
    assert (code, out) == (9, "")
    assert "no agent of yours runs on this machine" in err
    code, _, err = run("list", "-H", shop.address, "--process", "77")
    assert code == 9
    assert "no target has the process 77" in err


def test_a_process_that_some_targets_do_not_have_is_no_failure_of_theirs(run: Run, serve: Serve) -> None:
    one, other = serve(process(1)), serve(process(2))

    def not_here(_: Any) -> None:
        raise Refuse(grpc.StatusCode.NOT_FOUND, "no process 1", reason="PROCESS_NOT_FOUND")

    other.before["ListModules"] = not_here
    assert run("list", "-H", one.address, "-H", other.address, "--process", "1")[0] == 0


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["list", "-H", "svc["], "brackets do not match"),
        (["list", "--nosuch"], "No such option"),
        (["lst"], "did you mean 'list'?"),
        (["evict"], "Missing argument"),
        (["list", "--timeout", "0s"], "no time above zero"),
        (["list", "--timeout", "soon"], "no time above zero"),
        (["list", "--fanout", "0"], "not in the range"),
        (["list", "-o", "xml"], "not one of"),
        (["list", "-H", "a:1", "--cert", "x.pem"], "--key: needed together with --cert"),
        (["list", "-H", "a:1", "--cacert", "/nosuch"], "--cacert: /nosuch: No such file"),
        (["list", "-H", "a:1", "--cacert", __file__], "holds no PEM block of a CERTIFICATE"),
        (["list", "-H", "a:1", "--plaintext", "--cacert", "x"], "exclude each other"),
        (["list", "-H", "a:1", "--token-file", "/dev/null"], "empty"),
        (["inject", "x", "-H", "a:1"], "nothing to inject"),
        (["inject", "x", "-H", "a:1", "--block", "--file", "f"], "--file and --block exclude each other"),
        (["inject", "x", "-H", "a:1", "--attr", "novalue"], "write NAME=JSON"),
        (["inject", "x", "-H", "a:1", "--attr", "A=text"], "text needs quotes: A='\"text\"'"),
        (["inject", "x", "-H", "a:1", "--file", "/nosuch.py"], "/nosuch.py: No such file"),
        (["apply", "-f", "/nosuch.toml", "-H", "a:1"], "/nosuch.toml: No such file"),
        (["undo", "0", "-H", "a:1"], "not in the range"),
        (["watch", "-o", "yaml", "-H", "a:1"], "no YAML document"),
        (["list", "--hosts-file", "/dev/null"], "no target in it"),
        (["list", "--kind", "sorce"], "not one of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_2_and_says_the_cure(run: Run, args: list[str], why: str) -> None:
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert why in err


@pytest.mark.parametrize(
    "args",
    [
        ["import", "a"],
        ["inject", "a", "--block"],
        ["evict", "a"],
        ["reimport", "a"],
        ["reload", "a"],
        ["undo"],
        ["freeze"],
        ["thaw"],
        ["evict", "a", "--process", "any"],
    ],
    ids=" ".join,
)
def test_a_change_without_a_target_is_refused_and_nobody_is_asked(
    run: Run, state_dir: Path, serve: Serve, args: list[str]
) -> None:
    (state_dir / "shop-1").mkdir()
    server = serve(process(1), address=f"unix:{state_dir}/shop-1/gateway.sock")
    code, _, err = run(*args)
    assert code == 2
    assert "--host, or say --all" in err
    assert server.asked == []
    assert run(*args[: 2 if "any" in args else None], "--all")[0] == 0
    assert server.asked


def test_without_a_target_every_agent_of_this_machine_is_read_and_the_gone_are_passed_over(
    run: Run, state_dir: Path, serve: Serve
) -> None:
    for name in ("orders-1", "shop-1", "gone-1", "empty-1"):
        (state_dir / name).mkdir()
    serve(process(1), address=f"unix:{state_dir}/shop-1/gateway.sock")
    serve(process(2, "orders"), address=f"unix:{state_dir}/orders-1/gateway.sock")
    import socket

    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(f"{state_dir}/gone-1/gateway.sock")
    code, out, err = run("agents", "-o", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [row["service"] for row in rows[:-1]] == ["orders", "shop"]
    assert rows[-1]["summary"] == {
        "targets": 3, "processes": 2, "ok": 2, "failed": 0, "refused": 0, "unreachable": 0,
    }  # fmt: skip


def test_a_gateway_that_is_just_being_replaced_is_waited_for(run: Run, state_dir: Path, serve: Serve) -> None:
    (state_dir / "shop-1").mkdir()
    address = f"unix:{state_dir}/shop-1/gateway.sock"
    server = serve(process(1), address=address)
    import socket

    server.stop()
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(address.removeprefix("unix:"))
    back = threading.Timer(0.3, server.start, (address,))
    back.start()
    assert run("list", "-o", "name")[:2] == (0, "billing\nbilling.tax\njson\n")
    back.join()


def test_a_state_directory_that_is_open_to_others_is_named(run: Run, state_dir: Path) -> None:
    state_dir.chmod(0o755)
    code, _, err = run("list")
    assert code == 9
    assert "is open to other users; run: chmod 0700" in err


# Flags, environment, defaults


def test_every_flag_has_an_environment_variable(run: Run, shop: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODCTL_HOST", f"{shop.address} 127.0.0.1:1")
    monkeypatch.setenv("MODCTL_OUTPUT", "json")
    monkeypatch.setenv("MODCTL_PROCESS", "4127")
    code, out, _ = run("list")
    assert code == 3
    assert [row["outcome"] for row in json.loads(out)["results"]] == ["OK", "UNREACHABLE"]
    code, out, _ = run("list", "-H", shop.address, "--process", "all", "-o", "name")
    assert (code, out.split()) == (0, ["billing", "billing.tax", "json"])


def test_the_names_of_environment_variables_follow_from_the_flags() -> None:
    import click
    from modctl.client.options import Flag

    for name in cli.COMMANDS:
        command = cli.group().get_command(click.Context(cli.group()), name)
        assert command is not None
        for parameter in command.params:
            if isinstance(parameter, Flag):
                names = {"MODCTL_" + text[2:].replace("-", "_").upper() for text in parameter.opts if text[:2] == "--"}
                assert parameter.envvar in names


def test_the_help_lines_of_the_group_are_the_commands_own() -> None:
    import click

    for name, (_, _, line) in cli.COMMANDS.items():
        command = cli.group().get_command(click.Context(cli.group()), name)
        assert command is not None
        assert (command.name, command.get_short_help_str(limit=200)) == (name, line)
        assert command.help


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: modctl {command}")


@pytest.mark.parametrize("command", ["get", "inject", "evict", "reload", "undo", "diff", "import"])
def test_help_lists_flags_alone_below_their_headings(run: Run, command: str) -> None:
    lines = run(command, "--help")[1].splitlines()
    after = [lines[number + 1].split()[0] for number, line in enumerate(lines) if re.fullmatch(r"[A-Z][a-z]+:", line)]
    assert after
    assert all(first.startswith("-") for first in after), after


def test_help_and_completion_import_no_grpc() -> None:
    for line in (["--help"], ["list", "--help"], ["completion", "bash"]):
        told = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "modctl.client", *line],
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = {row.rpartition("|")[2].strip() for row in told.stderr.splitlines()}
        assert "click" in loaded
        assert not {name for name in loaded if name.partition(".")[0] in UNWANTED}


def test_hosts_come_from_a_file_and_from_stdin(run: Run, shop: FakeServer, tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(f"# all\n{shop.address}\n127.0.0.1:1 # gone\n")
    assert run("list", "--hosts-file", str(file), "--exclude", "127.0.0.1:[1-9]")[0] == 0
    told = subprocess.run(
        [*MODCTL, "list", "--hosts-file", "-", "-o", "name"], input=shop.address, capture_output=True, text=True
    )
    assert (told.returncode, told.stdout.split()) == (0, ["billing", "billing.tax", "json"])


# Verbs


def test_flags_of_list_become_filters(run: Run, shop: FakeServer) -> None:
    run("list", "a*", "--kind", "source", "--kind", "Extension", "-H", shop.address)
    run("list", "--changed", "-H", shop.address)
    run("list", "--injected", "--sort", "size", "-H", shop.address)
    first, second, third = (request for _, request, _ in shop.asked)
    assert (list(first.patterns), list(first.kinds)) == (["a*"], [1, 3])
    assert (list(second.states), second.with_size) == ([2, 3, 4, 5, 6], False)
    assert (list(third.kinds), third.with_size) == ([7, 8], True)


def test_sources_are_read_from_files_stdin_and_packages(run: Run, shop: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("A = 1\n")
    (tmp_path / "f.py").write_text("B = 2\n")
    assert run("inject", "m", "--file", str(tmp_path / "f.py"), "--ttl", "10m", "-H", shop.address)[0] == 0
    assert run("inject", "p", "--package", str(tmp_path / "pkg"), "-H", shop.address)[0] == 0
    told = subprocess.run([*MODCTL, "inject", "s", "--file", "-", "-H", shop.address], input=b"C = 3\n")
    assert told.returncode == 0
    sent = [request.operation for name, request, _ in shop.asked if name == "InjectModule"]
    assert [operation.source for operation in sent] == [b"B = 2\n", b"", b"C = 3\n"]
    assert (sent[0].ttl_s, sent[1].package.files[0].path) == (600.0, "__init__.py")


def test_source_is_printed_once_where_all_have_the_same(run: Run, shop: FakeServer) -> None:
    code, out, err = run("get", "billing.tax", "--source", "-H", shop.address)
    assert (code, out, err) == (0, "# billing.tax\nRATE = 19\n", "")


def test_options_of_changes_are_sent(run: Run, shop: FakeServer) -> None:
    run("evict", "a", "-H", shop.address, "--dry-run", "--reason", "why", "--override", "a", "--timeout", "3s")
    options = shop.asked[-1][1].options
    assert (options.dry_run, options.reason, list(options.override_protected), options.timeout_s) == (
        True,
        "why",
        ["a"],
        3.0,
    )


def test_a_change_of_several_processes_says_so_first_unless_quiet_or_dry(run: Run, shop: FakeServer) -> None:
    said = f"modctl: 1 target, 3 processes of shop at {shop.address}\n"
    assert run("evict", "a", "-H", shop.address)[2] == said
    assert run("evict", "a", "-H", shop.address, "-q")[2] == ""
    assert run("evict", "a", "-H", shop.address, "--dry-run")[2] == ""
    assert run("evict", "a", "-H", shop.address, "--process", "4127")[2] == ""


def test_a_change_set_is_applied_with_its_reason(run: Run, shop: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "tax.py").write_text("RATE = 7\n")
    file = tmp_path / "fix.toml"
    file.write_text(
        'reason = "INC-1"\n[[operations]]\ninject = { name = "billing.tax", file = "tax.py", replace = true }\n'
        '[[operations]]\nimport = "billing.audit"\n'
    )
    assert run("apply", "-f", str(file), "-H", shop.address)[0] == 0
    request = shop.asked[-1][1]
    assert [operation.WhichOneof("operation") for operation in request.operations] == ["inject", "import_module"]
    assert (request.operations[0].inject.source, request.options.reason) == (b"RATE = 7\n", "INC-1")
    run("apply", "-f", str(file), "-H", shop.address, "--reason", "INC-2")
    assert shop.asked[-1][1].options.reason == "INC-2"


def test_watch_prints_a_line_an_event_and_ends_with_130(shop: FakeServer) -> None:
    event = module_service_pb2.ModuleEvent(
        type="MODULE_EVENT_TYPE_ADDED", module=module("billing.audit"), seen_at_unix_s=1763800000.0
    )
    with subprocess.Popen(
        [*MODCTL, "watch", "-o", "jsonl", "-v", "-H", shop.address],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert [watching.stderr.readline().rpartition(": ")[2] for _ in range(3)] == ["watching\n"] * 3
        shop.call(shop.events.put(event))
        told = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        assert watching.wait(60) == 130
    assert (told["type"], told["module"]["name"], told["seen_at"]) == (
        "ADDED",
        "billing.audit",
        "2025-11-22T08:26:40.000Z",
    )


# Formats


def test_json_has_the_shape_of_the_contract(run: Run, shop: FakeServer) -> None:
    document = json.loads(run("list", "json", "-o", "json", "-H", shop.address, "-H", "127.0.0.1:1")[1])
    assert list(document) == ["apiVersion", "kind", "results", "summary"]
    assert (document["apiVersion"], document["kind"]) == ("modctl/v1", "ModuleList")
    first, last = document["results"][0], document["results"][-1]
    assert {key: first[key] for key in ("target", "process", "service", "pid", "outcome")} == {
        "target": shop.address,
        "process": "shop/web-1/4127@1763800000",
        "service": "shop",
        "pid": 4127,
        "outcome": "OK",
    }
    assert first["modules"][0].items() >= {
        "name": "json", "kind": "SOURCE", "origin": "/srv/json.py", "package": False, "generation": 1, "state": "CLEAN",
    }.items()  # fmt: skip
    assert (last["outcome"], last["error"]["reason"]) == ("UNREACHABLE", "REFUSED")
    assert document["summary"] == {
        "targets": 2, "processes": 3, "ok": 3, "failed": 0, "refused": 0, "unreachable": 1,
    }  # fmt: skip


def test_yaml_and_jsonl_say_the_same_as_json(run: Run, shop: FakeServer) -> None:
    args = ("evict", "a", "-q", "-H", shop.address, "-o")
    document = json.loads(run(*args, "json")[1])
    assert yaml.safe_load(run(*args, "yaml")[1]) == document
    lines = [json.loads(line) for line in run(*args, "jsonl")[1].splitlines()]
    assert lines[:-1] == document["results"]
    assert lines[-1] == {"apiVersion": "modctl/v1", "kind": "ChangeResult", "summary": document["summary"]}


@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["list"], "ModuleList"),
        (["get", "json"], "ModuleDetail"),
        (["evict", "a"], "ChangeResult"),
        (["agents"], "AgentList"),
        (["freeze"], "AgentList"),
        (["history"], "RevisionList"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_answer_has_its_kind(run: Run, shop: FakeServer, args: list[str], kind: str) -> None:
    code, out, _ = run(*args, "-o", "json", "-H", shop.address)
    assert (code, json.loads(out)["kind"]) == (0, kind)


def test_names_are_one_a_line(run: Run, shop: FakeServer) -> None:
    assert run("agents", "-o", "name", "-H", shop.address, "--process", "4128")[1] == "shop/web-1/4128@1763800000\n"


def test_control_characters_of_others_never_reach_the_terminal(run: Run, shop: FakeServer) -> None:
    shop.modules[4127] = [module("evil\x1b[2J\nname", origin="/a\tb\x07")]
    out = run("list", "-H", shop.address, "--process", "4127")[1]
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "evil\\x1b[2J\\nname" in out
    assert len(out.splitlines()) == 2


# Terminals, pipes and signals


def in_terminal(*args: str, width: int = 100, keys: bytes = b"", interrupt: bool = False) -> tuple[int, str]:
    """Runs the command with a terminal; (exit code, all that it showed).

    Args:
        args: of modctl.
        width: of the terminal.
        keys: typed when it asks.
        interrupt: whether it is sent SIGINT when it asks.
    """
    ours, its = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen([*MODCTL, *args], stdin=its, stdout=its, stderr=its, env=environment) as command:
        os.close(its)
        shown = b""
        asked = not (keys or interrupt)
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            shown += piece
            if not asked and b"go on?" in shown:
                asked = True
                os.write(ours, keys)
                if interrupt:
                    time.sleep(0.2)
                    command.send_signal(signal.SIGINT)
        code = command.wait(60)
    os.close(ours)
    return code, shown.decode().replace("\r\n", "\n")


def test_identical_answers_fold_on_a_terminal(shop: FakeServer) -> None:
    shop.modules[4129] = [*shop.modules[4127][:1], module("billing.tax", generation=2, state="MODULE_STATE_PATCHED")]
    code, shown = in_terminal("list", "billing*", "-H", shop.address)
    assert code == 0
    assert shown.splitlines() == [
        f"shop  {shop.address}  2 processes (pids 4127,4128)  2 entries",
        "NAME         KIND    GEN  STATE  DIGEST        ORIGIN",
        "billing      SOURCE    1  CLEAN  62696c6c696e  /srv/billing.py",
        "billing.tax  SOURCE    1  CLEAN  62696c6c696e  /srv/billing/tax.py",
        "",
        f"shop  {shop.address}  pid 4129  DIFFERS  2 entries",
        "NAME         KIND    GEN  STATE    DIGEST        ORIGIN",
        "billing      SOURCE    1  CLEAN    62696c6c696e  /srv/billing.py",
        "billing.tax  SOURCE    2  PATCHED  62696c6c696e  /srv/billing/tax.py",
    ]


def test_no_folding_where_not_wanted(shop: FakeServer) -> None:
    shown = in_terminal("list", "json", "--by-host", "-H", shop.address)[1]
    assert [line.split("pid ")[1][:4] for line in shown.splitlines() if "pid " in line] == ["4127", "4128", "4129"]


@pytest.mark.parametrize(("keys", "code", "changed"), [(b"y\n", 0, True), (b"\n", 0, True), (b"n\n", 130, False)])
def test_somebody_at_a_terminal_is_asked_before_several_processes_change(
    shop: FakeServer, keys: bytes, code: int, changed: bool
) -> None:
    told, shown = in_terminal("evict", "a", "-H", shop.address, keys=keys)
    assert told == code
    assert "1 target, 3 processes of shop" in shown
    assert ("EvictModules" in [name for name, _, _ in shop.asked]) == changed


def test_ctrl_c_at_the_question_changes_nothing(shop: FakeServer) -> None:
    code, _ = in_terminal("evict", "a", "-H", shop.address, interrupt=True)
    assert code == 130
    assert "EvictModules" not in [name for name, _, _ in shop.asked]


def test_yes_is_not_asked(shop: FakeServer) -> None:
    assert in_terminal("evict", "a", "--yes", "-H", shop.address)[0] == 0


def test_ctrl_c_stops_asking_waits_for_changes_in_flight_and_says_who_was_left_out(serve: Serve) -> None:
    servers = [serve(process(number)) for number in (1, 2, 3)]
    arrived = threading.Event()

    async def slow(_: Any) -> None:
        arrived.set()
        await asyncio.sleep(1.0)

    servers[0].before["EvictModules"] = slow
    with subprocess.Popen(
        [*MODCTL, "evict", "a", "--fanout", "1", "-o", "json", "-H", ",".join(each.address for each in servers)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as changing:
        assert arrived.wait(60)
        changing.send_signal(signal.SIGINT)
        out, err = changing.communicate(timeout=60)
    assert changing.returncode == 130
    assert [row["outcome"] for row in json.loads(out)["results"]] == ["APPLIED"]
    assert "interrupted" in err
    assert [sum(name == "EvictModules" for name, _, _ in each.asked) for each in servers] == [1, 0, 0]


def test_ctrl_c_twice_quits_at_once(shop: FakeServer) -> None:
    arrived = threading.Event()

    async def slow(_: Any) -> None:
        arrived.set()
        await asyncio.sleep(60)

    shop.before["EvictModules"] = slow
    with subprocess.Popen([*MODCTL, "evict", "a", "-H", shop.address], stderr=subprocess.PIPE) as changing:
        assert arrived.wait(60)
        changing.send_signal(signal.SIGINT)
        time.sleep(0.3)
        began_s = time.monotonic()
        changing.send_signal(signal.SIGINT)
        assert changing.wait(60) == 130
    assert time.monotonic() - began_s < 5


def test_ctrl_c_while_reading_does_not_wait(shop: FakeServer) -> None:
    arrived = threading.Event()

    async def slow(_: Any) -> None:
        arrived.set()
        await asyncio.sleep(60)

    shop.before["ListModules"] = slow
    with subprocess.Popen([*MODCTL, "list", "-H", shop.address], stderr=subprocess.PIPE, text=True) as reading:
        assert arrived.wait(60)
        reading.send_signal(signal.SIGINT)
        _, err = reading.communicate(timeout=60)
    assert reading.returncode == 130
    assert f"without an answer: 1 target: {shop.address}" in err


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "yaml", "name"])
def test_a_closed_pipe_is_quiet(shop: FakeServer, form: str) -> None:
    with subprocess.Popen(
        [*MODCTL, "list", "-o", form, "-H", shop.address], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as listing:
        assert listing.stdout is not None
        listing.stdout.close()
        assert listing.stderr is not None
        assert listing.stderr.read() == b""
        assert listing.wait(60) == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("verb", ["version", "--help"])
def test_a_full_disk_is_said_in_a_line_and_not_passed_over(verb: str) -> None:
    with open("/dev/full", "wb") as full:
        told = subprocess.run([*MODCTL, verb], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert told.returncode == 120
    [line] = told.stderr.splitlines()
    assert "No space left" in line
    assert "free some room" in line


def test_without_any_output_it_works_all_the_same(shop: FakeServer) -> None:
    closed = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *MODCTL, "evict", "a", "-H", shop.address], check=False)
    assert closed.returncode == 0
    assert [name for name, *_ in shop.asked].count("EvictModules") == 1


def test_a_mistake_of_ours_is_70_and_shows_itself(run: Run, shop: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modctl.client.requests.list_modules", lambda *_: 1 / 0)
    code, _, err = run("list", "-H", shop.address)
    assert code == 70
    assert "ZeroDivisionError" in err


# Around it


def test_without_click_it_says_how_to_get_it() -> None:
    code = "import sys; sys.modules['click'] = None; from modctl.client.cli import main; main(['list'])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.returncode == 2
    assert "pip install 'modctl[cli]'" in told.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    code, out, _ = run("completion", shell)
    assert code == 0
    assert "_MODCTL_COMPLETE" in out


@pytest.mark.parametrize(
    ("words", "offered"), [("modctl re", {"reimport", "reload"}), ("modctl list --ki", {"--kind"})]
)
def test_the_shell_is_offered_commands_and_flags(words: str, offered: set[str]) -> None:
    script = Path(sysconfig.get_path("scripts")) / "modctl"
    environment = {
        **os.environ, "_MODCTL_COMPLETE": "bash_complete", "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }  # fmt: skip
    command = [str(script)] if script.exists() else [sys.executable, "-c", "from modctl.client.cli import main; main()"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert offered <= {line.partition(",")[2] for line in told.stdout.splitlines()}


def test_version_says_what_it_is(run: Run) -> None:
    assert json.loads(run("version", "-o", "json")[1]).keys() >= {"modctl", "python", "grpcio", "protobuf"}
    assert run("version", "-o", "name")[1].count("\n") == 1


def test_an_error_detail_is_shown_in_its_own_words(run: Run, shop: FakeServer) -> None:
    shop.results[4127] = error_pb2.ErrorDetail(
        code="RESOURCE_EXHAUSTED", reason="BUSY", message="8 requests run already; try again"
    )
    code, _, err = run("evict", "a", "-H", shop.address, "--process", "4127")
    assert code == 3
    assert err == f"modctl: shop  {shop.address}  pid 4127: REFUSED: 8 requests run already; try again\n"
