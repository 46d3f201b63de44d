"""A process with keys of its own takes no source that they have not signed, and no code that somebody else compiled."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from modctl.agent.errors import ConfigurationError, RequestError
from modctl.agent.settings import Policy, resolve
from modctl.agent.trusted import TrustingEngine, checked
from modctl.local import signing
from modctl.local.frames import ATTACHMENTS
from modctl.local.packages import laid_out

KEY, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()
TRUSTED = [signing.Key("k", PUBLIC)]
TEXT = "X = 1\n"


def signature(name: str, digest: str, key: Ed25519PrivateKey = KEY) -> dict[str, Any]:
    at = int(time.time())
    signed = base64.b64encode(key.sign(signing.statement(name, digest, at, 0))).decode()
    return {
        "key": "k",
        "name": name,
        "digest": digest,
        "signed_at_unix_s": at,
        "expires_at_unix_s": 0,
        "signature": signed,
    }


def inject(text: str = TEXT, **more: Any) -> dict[str, Any]:
    module = {"name": "a", "package": False, "source": text, "code": "AAAA", "magic": "x", "optimize": 0}
    return {"inject": {"name": "a", "modules": [module], "data": {}, **more}}


def reasons(*operations: dict[str, Any], signatures: Any = ()) -> list[str]:
    _, refusals = checked({"operations": list(operations), "signatures": signatures}, TRUSTED, time.time())
    return [refusal.rule.rpartition(": ")[2] for refusal in refusals]


def test_signed_source_passes_and_loses_what_was_compiled() -> None:
    request = {"operations": [inject()], "signatures": [signature("a", signing.text_digest(TEXT))], "reason": "r"}
    stripped, refusals = checked(request, TRUSTED, time.time())
    assert refusals == []
    module = {"name": "a", "package": False, "source": TEXT}
    assert stripped["operations"] == [{"inject": {"name": "a", "modules": [module], "data": {}}}]
    assert stripped["reason"] == "r"


def test_code_that_is_attached_is_lost_as_well() -> None:
    request = {"operations": [inject()], "signatures": [signature("a", signing.text_digest(TEXT))]}
    request["operations"][0]["inject"]["modules"][0]["code"] = [0, 3]
    request[ATTACHMENTS] = memoryview(b"abc")
    stripped, refusals = checked(request, TRUSTED, time.time())
    assert refusals == []
    assert not stripped[ATTACHMENTS]
    assert "code" not in stripped["operations"][0]["inject"]["modules"][0]


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        [None, 3, "x", {}],
        [signature("b", signing.text_digest(TEXT))],
        [signature("a", signing.text_digest("other"))],
        [signature("a", signing.text_digest(TEXT), OTHER)],
        [{**signature("a", signing.text_digest(TEXT)), "signature": "no base64"}],
        [{**signature("a", signing.text_digest(TEXT)), "signed_at_unix_s": "later"}],
        {"a": "b"},
    ],
)
def test_nothing_else_does(signatures: Any) -> None:
    assert len(reasons(inject(), signatures=signatures)) == 1


def test_every_refusal_of_a_change_set_is_told() -> None:
    reimport = {"reimport": {"name": "b", "modules": [{"name": "b", "source": TEXT, "code": "AAAA"}]}}
    assert len(reasons(inject(), reimport, {"evict": {"name": "c"}})) == 2


def test_code_of_files_that_the_gateway_compiled_is_dropped_and_the_reimport_goes_on() -> None:
    request = {"operations": [{"reimport": {"name": "b", "modules": [{"name": "b", "code": "AAAA", "stat": [1]}]}}]}
    stripped, refusals = checked(request, TRUSTED, time.time())
    assert refusals == []
    assert stripped["operations"] == [{"reimport": {"name": "b"}}]


def test_a_package_needs_one_signature_over_all_of_it() -> None:
    modules = [
        {"name": "p", "package": True, "source": ""},
        {"name": "p.a", "package": False, "source": TEXT},
    ]
    told = {"inject": {"name": "p", "modules": modules, "data": {"x.json": base64.b64encode(b"{}").decode()}}}
    layout = laid_out("p", {"__init__.py": b"", "a.py": TEXT.encode(), "x.json": b"{}"})
    signed = [signing.Module(one.name, one.package, one.content.decode()) for one in layout.modules]
    good = signature("p", signing.content_digest("p", signed, layout.data))
    assert reasons(told, signatures=[good]) == []
    told["inject"]["data"]["y"] = ""
    assert len(reasons(told, signatures=[good])) == 1
    assert len(reasons({"inject": {"name": "p", "data": {"x.py": ""}}}, signatures=[good])) == 1


def test_a_name_with_line_ends_cannot_stand_for_two_modules_of_a_signed_package() -> None:
    """A gateway that lies could leave out a module, and let the name of another tell of it."""
    first, second = signing.Module("p", True, ""), signing.Module("p.a", False, TEXT)
    good = signature("p", signing.content_digest("p", [first, second], {}))
    forged = f"p package {signing.text_digest('')}\nmodule p.a"
    assert signing.package_digest([signing.Module(forged, False, TEXT)], {}) == good["digest"]
    told = {"inject": {"name": "p", "modules": [{"name": forged, "package": False, "source": TEXT}]}}
    assert len(reasons(told, signatures=[good])) == 1


def test_the_engine_refuses_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    engine = TrustingEngine([PUBLIC])
    request = {"op": "change", "request_id": "r", "operations": [inject()]}
    told = json.loads(engine.change(request))
    assert told["outcome"] == "OUTCOME_REFUSED"
    assert told["modules"][0]["refusal"]["reason"] == "SIGNATURE_REQUIRED"
    assert told["request_id"] == "r"
    assert "a" not in sys.modules


def test_a_prepared_change_is_held_against_the_keys_too_and_no_expression_is_evaluated() -> None:
    engine = TrustingEngine([PUBLIC])
    told = json.loads(engine.change({"op": "prepare", "request_id": "r", "lease_s": 30, "operations": [inject()]}))
    assert told["modules"][0]["refusal"]["reason"] == "SIGNATURE_REQUIRED"
    with pytest.raises(RequestError, match="expressions"):
        engine.answer({"op": "evaluate", "expression": "1"})


def test_keys_come_from_the_argument_or_the_environment_and_must_be_keys() -> None:
    text = base64.b64encode(PUBLIC).decode()
    assert resolve(policy=Policy(trusted_keys=(text,)), environ={}).policy == Policy(None, (text,))
    assert resolve(environ={"MODCTL_TRUSTED_KEYS": f"{text}, {text}"}).policy == Policy(None, (text, text))
    assert resolve(environ={}).policy is None
    for bad in (("x",), (text[:-4],), ("\xe4",), text):
        with pytest.raises(ConfigurationError, match="modctl sign --new-key"):
            resolve(policy=Policy(trusted_keys=bad), environ={})  # type: ignore[arg-type]
