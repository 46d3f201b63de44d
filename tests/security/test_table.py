"""Who may do what, through real channels to real services: transport, identity and role, verb, class of module.

The table of tests/gateway/policy/test_table.py holds the decision against what is written down there; this one holds
what really comes of a call, of processes that protect what they must by themselves. Each transport is one service with
one policy. Whatever is allowed is tried without being done, so that in the end nothing may have changed.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import pytest
from gateway.certificates import authority, credentials, issued
from gateway.world import Stubs, detail_of, stubs
from modctl.v1 import agent_service_pb2, change_pb2, module_service_pb2
from support import gateways
from support.services import Service
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("table")]

HOST = """
import sys, time
sys.path.insert(0, sys.argv[1])
import billing.tax, payments.cards, ledger, json.decoder, threading
import google._upb._message, google.protobuf.message
from modctl import agent
agent.start(service="shop", required=True, **eval(sys.argv[2]))
while True:
    time.sleep(0.05)
"""
POLICY = """
version = 1
[identities]
"uid:{uid}" = "{user}"
"token:ci" = "viewer"
"token:ops" = "operator"
"token:root" = "admin"
"token:old" = "none"
"uri:spiffe://corp/root" = "admin"
"dns:*.ops.example.com" = "operator"
[defaults]
own-token = "operator"
token = "viewer"
certificate = "none"
anonymous = "viewer"
[[rules]]
deny = ["all"]
names = ["payments.**"]
roles = ["viewer", "operator", "admin"]
because = "settles money"
[protected]
names = ["ledger"]
"""
SECRETS = {name: f"a-secret-of-{name}-0123456789" for name in ("ci", "ops", "root", "old", "else")}
ROLES = ("none", "viewer", "operator", "admin")

#                 none viewer operator admin
BY_ROLE = """
    agents          -    +      +       +
    list            -    +      +       +
    history         -    +      +       +
    get             -    +      +       +
    source          -    +      +       +
    attributes      -    -      -       +
    import          -    -      +       +
    evict           -    -      +       +
    reimport        -    -      +       +
    reload          -    -      +       +
    send            -    -      -       +
    inject          -    -      -       +
    undo            -    -      +       +
    commit          -    -      +       +
    confirm         -    -      +       +
    freeze          -    -      +       +
    thaw            -    -      +       +
    evaluate        -    -      -       +
    audit           -    -      -       +
"""
MAY = {
    (line.split()[0], role): mark == "+"
    for line in BY_ROLE.strip().splitlines()
    for role, mark in zip(ROLES, line.split()[1:], strict=True)
}
VERBS = list(dict.fromkeys(verb for verb, _ in MAY))
NAMED = ("get", "source", "attributes", "import", "evict", "reimport", "reload", "send", "inject")
CHANGING = ("evict", "reimport", "reload", "send", "inject")


class Class(NamedTuple):
    """A class of module.

    Attributes:
        name: one of it.
        by: who keeps it from being changed: "", "rule" (everything of it is denied), "policy", or "process".
        patched: whether a reload in place may change it all the same.
        lifted: whether an admin may override the protection.
    """

    name: str
    by: str = ""
    patched: bool = False
    lifted: bool = True


CLASSES = {
    "plain": Class("billing.tax"),
    "not there": Class("nosuch.module"),
    "denied by a rule": Class("payments.cards", "rule"),
    "denied with its package": Class("payments", "rule"),
    "protected by the policy": Class("ledger", "policy"),
    "builtin": Class("_thread", "process"),
    "frozen": Class("zipimport", "process"),
    "extension": Class("google._upb._message", "process"),
    "beside an extension": Class("google.protobuf.message", "process", patched=True),
    "the library's core": Class("threading", "process"),
    "used by modctl": Class("json.decoder", "process"),
    "the program": Class("__main__", "process", lifted=False),
    "modctl": Class("modctl.agent.errors", "process", lifted=False),
}


class Caller(NamedTuple):
    """Who calls, and how; all of it is written down here, nothing is asked of the product.

    Attributes:
        service: which of the services.
        way: "unix" or "tcp".
        role: what the caller is under the policy; "stranger" where it is not even let in.
        identity: as the audit log has it.
        token: shown, where one is.
        certificate: shown, where one is; its name.
    """

    service: str
    way: str
    role: str
    identity: str
    token: str = ""
    certificate: str = ""


UID = f"uid:{os.getuid()}"
CALLERS = {
    "socket, admin": Caller("own token", "unix", "admin", UID),
    "socket, operator": Caller("token file", "unix", "operator", UID),
    "socket, viewer": Caller("mutual tls", "unix", "viewer", UID),
    "socket, nobody": Caller("tls and token", "unix", "none", UID),
    "own token": Caller("own token", "tcp", "operator", "token:automatic", token="own"),
    "no token": Caller("own token", "tcp", "stranger", "", token=""),
    "token of a viewer": Caller("token file", "tcp", "viewer", "token:ci", token="ci"),
    "token of an operator": Caller("token file", "tcp", "operator", "token:ops", token="ops"),
    "token of an admin": Caller("token file", "tcp", "admin", "token:root", token="root"),
    "token of nobody": Caller("token file", "tcp", "none", "token:old", token="old"),
    "token that is none": Caller("token file", "tcp", "stranger", "", token="else"),
    "tls, token of an admin": Caller("tls and token", "tcp", "admin", "token:root", token="root"),
    "tls, token of a viewer": Caller("tls and token", "tcp", "viewer", "token:ci", token="ci"),
    "tls, no token": Caller("tls and token", "tcp", "stranger", ""),
    "certificate of a viewer": Caller("mutual tls", "tcp", "viewer", "uri:modctl://viewer/v", certificate="v"),
    "certificate of an operator": Caller("mutual tls", "tcp", "operator", "dns:a.ops.example.com", certificate="o"),
    "certificate of an admin": Caller("mutual tls", "tcp", "admin", "uri:modctl://admin/a", certificate="a"),
    "certificate in the policy": Caller("mutual tls", "tcp", "admin", "uri:spiffe://corp/root", certificate="r"),
    "certificate of nobody": Caller("mutual tls", "tcp", "none", "dns:a.dev.example.com", certificate="n"),
    "certificate of another authority": Caller("mutual tls", "tcp", "stranger", "", certificate="x"),
    "no certificate": Caller("mutual tls", "tcp", "stranger", ""),
    "open door": Caller("insecure", "tcp", "viewer", "anonymous"),
}
NAMES_OF = {
    "v": "URI:modctl://viewer/v", "o": "DNS:a.ops.example.com", "a": "URI:modctl://admin/a",
    "r": "URI:spiffe://corp/root", "n": "DNS:a.dev.example.com",
}  # fmt: skip
SERVICES = {"own token": "admin", "token file": "operator", "mutual tls": "viewer", "tls and token": "none",
            "insecure": "admin"}  # fmt: skip
#: Of a verb about names: each class, without and with an override of its name; of any other, once.
CELLS = [
    (caller, verb, kind, override)
    for caller, verb in itertools.product(CALLERS, VERBS)
    for kind, override in (itertools.product(CLASSES, (False, True)) if verb in NAMED else (("", False),))
    if not override or verb in CHANGING
]


def expected(caller: Caller, verb: str, kind: str, *, override: bool) -> str:
    """What must come of it: "stranger", "DENIED", "PROTECTED", or "" where it is let through to be tried."""
    if caller.role == "stranger":
        return "stranger"
    if not MAY[verb, caller.role]:
        return "DENIED"
    if not kind:
        return ""
    if override and caller.role != "admin":
        return "DENIED"
    what = CLASSES[kind]
    if what.by == "rule":
        return "DENIED"
    if what.by == "policy" and verb in (*CHANGING, "import") and not override:
        return "PROTECTED"
    if what.by == "process" and verb in CHANGING and not (override and what.lifted):
        return "" if what.patched and verb == "reload" else "PROTECTED"
    return ""


def calls(verb: str, name: str, *, override: bool) -> tuple[str, Any]:
    """The RPC that a verb is, and its request: a trial of all that changes anything."""
    api, agents = module_service_pb2, agent_service_pb2
    options = change_pb2.ChangeOptions(dry_run=True, override_protected=[name] if override else [])
    patch = change_pb2.REIMPORT_MODE_PATCH
    found: dict[str, Callable[[], tuple[str, Any]]] = {
        "agents": lambda: ("ListProcesses", agents.ListProcessesRequest()),
        "list": lambda: ("ListModules", api.ListModulesRequest(patterns=["billing.*"])),
        "history": lambda: ("ListRevisions", api.ListRevisionsRequest()),
        "get": lambda: ("GetModule", api.GetModuleRequest(name=name)),
        "source": lambda: ("GetModule", api.GetModuleRequest(name=name, with_source=True)),
        "attributes": lambda: ("GetModule", api.GetModuleRequest(name=name, attributes=["__name__"])),
        "import": lambda: ("ImportModules", api.ImportModulesRequest(names=[name], options=options)),
        "evict": lambda: (
            "EvictModules",
            api.EvictModulesRequest(operations=[change_pb2.EvictOperation(name=name)], options=options),
        ),
        "reimport": lambda: ("ReimportModules", reimport(name)),
        "reload": lambda: ("ReimportModules", reimport(name, mode=patch)),
        "send": lambda: ("ReimportModules", reimport(name, source=b"X = 1\n")),
        "inject": lambda: (
            "InjectModule",
            api.InjectModuleRequest(
                operation=change_pb2.InjectOperation(name=name, source=b"X = 1\n", replace=True), options=options
            ),
        ),
        "undo": lambda: ("Undo", api.UndoRequest(options=options)),
        "commit": lambda: ("CommitChanges", api.CommitChangesRequest(request_id="nothing of that name")),
        "confirm": lambda: ("ConfirmChanges", api.ConfirmChangesRequest()),
        "freeze": lambda: ("Freeze", agents.FreezeRequest(reason="a test")),
        "thaw": lambda: ("Thaw", agents.ThawRequest()),
        "evaluate": lambda: ("EvaluateExpression", api.EvaluateExpressionRequest(expression="1 + 1")),
        "audit": lambda: ("ListAudit", agents.ListAuditRequest()),
    }

    def reimport(name: str, **what: Any) -> Any:
        operation = change_pb2.ReimportOperation(name=name, **what)
        return api.ReimportModulesRequest(operations=[operation], options=options)

    return found[verb]()


def came_of(call: Callable[[], Any]) -> str:
    """ "stranger", the reason of a refusal, or the outcome."""
    try:
        answer = call()
        answers = [answer] if hasattr(answer, "DESCRIPTOR") else list(answer)
    except grpc.RpcError as error:
        if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE):
            return "stranger"
        return str(detail_of(error).reason)
    assert len(answers) == 1 or not hasattr(answers[0], "result")
    for one in answers:
        if getattr(one, "error", None) is not None and one.HasField("error"):
            return str(one.error.reason)
        if hasattr(one, "result"):
            for module in one.result.modules:
                if module.HasField("refusal"):
                    assert module.refusal.rule
                    assert module.refusal.hint
                    return str(module.refusal.reason)
            return change_pb2.Outcome.Name(one.result.outcome).removeprefix("OUTCOME_")
    return "OK"


#: What a trial that is let through may come to: the call's own subject decides.
LET_THROUGH = {
    "undo": {"NOTHING_TO_UNDO"}, "commit": {"NOT_PREPARED"}, "confirm": {"NOTHING_TO_CONFIRM"},
    "freeze": {"OK"}, "thaw": {"OK"}, "evaluate": {"OK"}, "audit": {"OK"}, "agents": {"OK"}, "list": {"OK"},
    "history": {"OK"},
}  # fmt: skip
LET_THROUGH_BY_NAME = {
    "plain": {"OK", "PLANNED", "UNCHANGED"},
    "not there": {"OK", "PLANNED", "UNCHANGED", "MODULE_NOT_FOUND", "NOT_LOADED", "NO_SOURCE"},
}
#: What is protected and overridden, or only read: there are reasons of its kind not to do it, none of them a right.
OF_ITS_KIND = {"OK", "PLANNED", "UNCHANGED", "UNSUPPORTED", "NO_SOURCE", "HAS_SUBMODULES", "OPAQUE_CALL", "IN_FLIGHT"}


class World:
    """The services, and a channel for each caller."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = contextlib.ExitStack()
        self._channels: dict[str, Stubs] = {}
        self.services: dict[str, Service] = {}
        self.own_token = ""

    def begin(self) -> None:
        app = self._folder / "app"
        for name in ("billing/__init__", "billing/tax", "payments/__init__", "payments/cards", "ledger"):
            file = app / f"{name}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("X = 0\n")
        (self._folder / "host.py").write_text(HOST)
        tokens = self._folder / "tokens"
        tokens.write_text("".join(f"{name} {secret}\n" for name, secret in SECRETS.items() if name != "else"))
        tokens.chmod(0o600)
        self._ca, other = authority(self._folder, "ca"), authority(self._folder, "other")
        server = issued(self._folder, "server", self._ca, "DNS:localhost", "IP:127.0.0.1")
        self._certificates = {name: issued(self._folder, name, self._ca, own) for name, own in NAMES_OF.items()}
        self._certificates["x"] = issued(self._folder, "x", other, NAMES_OF["a"])
        tls = f"agent.TLS(cert={str(server.cert)!r}, key={str(server.key)!r}"
        mutual = f"{tls}, client_ca={str(self._ca.cert)!r})"
        arguments = {
            "own token": "", "token file": f"token_file={str(tokens)!r}", "mutual tls": f"tls={mutual}",
            "tls and token": f"tls={tls}), token_file={str(tokens)!r}", "insecure": "insecure=True",
        }  # fmt: skip
        for name, user in SERVICES.items():
            slug = name.replace(" ", "-")
            state = self._folder / slug
            state.mkdir(mode=0o700)
            policy = self._folder / f"{slug}.toml"
            policy.write_text(POLICY.format(uid=os.getuid(), user=user))
            given = f"dict(listen='127.0.0.1:0', policy={str(policy)!r}, {arguments[name]})"
            command = [sys.executable, self._folder / "host.py", app, given]
            self.services[name] = Service(command, state_dir=state)
        for name, service in self.services.items():
            until(lambda service=service: self._serves(service), 60, what=f"the service with {name}")

    @staticmethod
    def _serves(service: Service) -> bool:
        assert not service.has_ended(), service.output
        # Its files tell: not everybody here may ask it.
        return any(len(info["addresses"]) > 1 for info in gateways.infos(service.state_dir))

    def api(self, name: str) -> tuple[Stubs, tuple[tuple[str, str], ...]]:
        """A channel as the caller has it, and what it sends along."""
        caller = CALLERS[name]
        [info] = gateways.infos(self.services[caller.service].state_dir)
        if name not in self._channels:
            secure = None
            if caller.way == "tcp" and "tls" in caller.service:
                secure = credentials(self._ca, self._certificates.get(caller.certificate))
            self._channels[name] = self._open.enter_context(stubs(self.address(info, caller.way), secure))
        token = SECRETS.get(caller.token, "")
        if caller.token == "own":
            token = (Path(info["folder"]).parent / "token").read_text().strip()
        return self._channels[name], (("authorization", f"Bearer {token}"),) if token else ()

    @staticmethod
    def address(info: dict[str, Any], way: str) -> str:
        """Where a service is, by its private socket or by TCP."""
        if way == "unix":
            return f"unix://{info['folder']}/gateway.sock"
        [found] = [one for one in info["addresses"] if not one.startswith("unix:")]
        return str(found)

    def end(self) -> None:
        self._open.close()
        for service in self.services.values():
            service.end()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="mc-") as name:
        made = World(Path(name))
        try:
            made.begin()
            yield made
        finally:
            made.end()


def test_the_table_has_every_cell() -> None:
    assert len(MAY) == len(VERBS) * len(ROLES) == 19 * 4
    named = len(CLASSES) * (len(NAMED) + len(CHANGING))
    assert len(CELLS) == len(CALLERS) * (named + len(VERBS) - len(NAMED)) > 4000
    assert {CALLERS[caller].role for caller, *_ in CELLS} == {"stranger", *ROLES}
    assert {CALLERS[caller].service for caller, *_ in CELLS} == set(SERVICES)
    came = {expected(CALLERS[caller], verb, kind, override=override) for caller, verb, kind, override in CELLS}
    assert came == {"", "stranger", "DENIED", "PROTECTED"}


@pytest.mark.parametrize("name", CALLERS)
@pytest.mark.parametrize("verb", VERBS)
def test_what_comes_of_a_cell_is_what_is_written_down(world: World, name: str, verb: str) -> None:
    caller = CALLERS[name]
    api, metadata = world.api(name)
    looked_at, wrong = 0, []
    for of_caller, of_verb, kind, override in CELLS:
        if (of_caller, of_verb) != (name, verb):
            continue
        looked_at += 1
        method, request = calls(verb, CLASSES[kind].name if kind else "", override=override)
        stub = api.agents if hasattr(api.agents, method) else api.modules
        came = came_of(lambda: getattr(stub, method)(request, metadata=metadata, timeout=60))  # noqa: B023 - at once
        wanted = expected(caller, verb, kind, override=override)
        if wanted == "PROTECTED" and kind == "the program":
            right = came in ("MAIN", "PROTECTED")  # the reason of a refusal that there is no way around
        elif wanted:
            right = came == wanted
        elif not kind:
            right = came in LET_THROUGH[verb]
        else:
            right = came in LET_THROUGH_BY_NAME.get(kind, OF_ITS_KIND)
        if not right:
            what = f"{name}, {verb} {kind or '-'}{' overridden' * override}"
            wrong.append(f"{what}: {came}, not {wanted or 'let through'}")
        if verb == "freeze" and came == "OK":
            assert came_of(lambda: api.agents.Thaw(agent_service_pb2.ThawRequest(), metadata=metadata)) == "OK"
    assert looked_at == (len(CLASSES) * (2 if verb in CHANGING else 1) if verb in NAMED else 1)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name, caller in CALLERS.items() if caller.role != "stranger"])
def test_a_caller_is_who_is_written_down(world: World, name: str) -> None:
    api, metadata = world.api(name)
    caller = CALLERS[name]
    request = agent_service_pb2.GetAgentRequest()
    if caller.role == "none":
        assert came_of(lambda: api.agents.GetAgent(request, metadata=metadata)) == "DENIED"
        return
    answer = api.agents.GetAgent(request, metadata=metadata, timeout=30)
    assert (answer.identity, answer.role) == (caller.identity, caller.role)


@pytest.mark.parametrize("service", SERVICES)
def test_nothing_has_changed_after_all_of_it(world: World, service: str) -> None:
    one = world.services[service]
    assert not one.has_ended()
    assert one.output == ""
    api, metadata = world.api("socket, admin") if service == "own token" else (None, ())
    if api is None:
        return
    [told] = list(api.modules.ListRevisions(module_service_pb2.ListRevisionsRequest(), metadata=metadata))
    assert not told.revisions
    [process] = api.agents.ListProcesses(agent_service_pb2.ListProcessesRequest()).processes
    assert (process.revision, process.frozen) == (0, False)
