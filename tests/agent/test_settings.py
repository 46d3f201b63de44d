from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from modctl.agent.errors import ConfigurationError
from modctl.agent.settings import TLS, Policy, disabled, flag, resolve

if TYPE_CHECKING:
    from pathlib import Path

CERT = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in {"cert": CERT, "key": KEY, "ca": CERT, "token": "s3cret", "policy": "", "empty": " \n"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def settings(environ: dict[str, str] | None = None, **arguments: Any) -> Any:
    return resolve(environ=environ or {}, **{"service": "shop", **arguments})


def test_without_a_word_nothing_listens_on_a_network() -> None:
    found = resolve(environ={})
    assert found.listen == ()
    assert (found.tls, found.policy, found.token_file, found.insecure, found.nats) == (None, None, None, False, None)
    assert found.gateway == "process"
    assert found.service


def test_every_argument_has_its_variable(files: Path) -> None:
    by_variable = resolve(
        environ={
            "MODCTL_LISTEN": "0.0.0.0:1,127.0.0.1:2",
            "MODCTL_SERVICE": "shop",
            "MODCTL_LABELS": "zone=a, tier=web",
            "MODCTL_TLS_CERT": str(files / "cert"),
            "MODCTL_TLS_KEY": str(files / "key"),
            "MODCTL_TLS_CLIENT_CA": str(files / "ca"),
            "MODCTL_TOKEN_FILE": str(files / "token"),
            "MODCTL_POLICY": str(files / "policy"),
            "MODCTL_STATE_DIR": str(files),
            "MODCTL_NATS": "nats://localhost:4222",
            "MODCTL_INSECURE": "yes",
            "MODCTL_GATEWAY": "thread",
        }
    )
    by_argument = resolve(
        listen=["0.0.0.0:1", "127.0.0.1:2"],
        service="shop",
        labels={"tier": "web", "zone": "a"},
        tls=TLS(str(files / "cert"), str(files / "key"), str(files / "ca")),
        token_file=files / "token",
        policy=Policy(str(files / "policy")),
        state_dir=files,
        nats="nats://localhost:4222",
        insecure=True,
        gateway="thread",
        environ={},
    )
    assert by_variable == by_argument
    assert by_variable.differing(by_argument) == []


def test_an_argument_wins_over_its_variable() -> None:
    found = resolve(service="shop", insecure=False, environ={"MODCTL_SERVICE": "other", "MODCTL_INSECURE": "1"})
    assert (found.service, found.insecure) == ("shop", False)
    assert found.differing(settings(service="mall", labels={"a": "b"})) == ["service", "labels"]


def test_an_empty_variable_counts_as_unset() -> None:
    names = [
        "LISTEN",
        "SERVICE",
        "LABELS",
        "TLS_CERT",
        "TOKEN_FILE",
        "POLICY",
        "STATE_DIR",
        "NATS",
        "GATEWAY",
        "INSECURE",
    ]
    assert resolve(environ={f"MODCTL_{name}": "" for name in names}) == resolve(environ={})


def test_files_are_made_absolute_because_the_gateway_stands_elsewhere(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    found = settings(tls=TLS("cert", "key"), token_file="token", policy="policy", state_dir="state")
    assert found.tls == TLS(str(files / "cert"), str(files / "key"), None)
    assert found.token_file == str(files / "token")
    assert found.policy == Policy(str(files / "policy"))
    assert found.state_dir == str(files / "state")


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "svc.example.org:1"])
def test_an_address_that_others_reach_needs_tls_and_a_client_s_proof(files: Path, listen: str) -> None:
    cert, key, ca = (str(files / name) for name in ("cert", "key", "ca"))
    with pytest.raises(ConfigurationError, match=r"needs TLS\. Pass tls=agent\.TLS"):
        settings(listen=listen)
    with pytest.raises(ConfigurationError, match="needs TLS"):
        settings(listen=f"127.0.0.1:1,{listen}", token_file=files / "token")
    with pytest.raises(ConfigurationError, match=r"everybody who can reach it.*Add client_ca"):
        settings(listen=listen, tls=TLS(cert, key))
    assert settings(listen=listen, tls=TLS(cert, key, ca)).tls.client_ca == ca
    assert settings(listen=listen, tls=TLS(cert, key), token_file=files / "token").listen
    assert settings(listen=listen, insecure=True).insecure


def test_loopback_needs_neither() -> None:
    assert settings(listen="127.0.0.1:0,[::1]:0,localhost:5").listen == ("127.0.0.1:0", "[::1]:0", "localhost:5")


BROKEN = [
    ({"tls": TLS("/nowhere", "/nowhere")}, "tls.cert='/nowhere': there is no such file"),
    ({"tls": ("a", "b")}, "agent.TLS"),
    ({"token_file": "/nowhere"}, "token_file='/nowhere': there is no such file"),
    ({"token_file": "/"}, "no such file"),
    ({"policy": "/nowhere"}, "policy='/nowhere'"),
    ({"service": ""}, "it is no name"),
    ({"service": " "}, "it is no name"),
    ({"service": "a/b"}, "separates the parts"),
    ({"service": "a\nb"}, "it is no name"),
    ({"service": "x" * 101}, "it is no name"),
    ({"service": 5}, "it is no name"),
    ({"labels": {"a": 1}}, "short text"),
    ({"labels": {"": "a"}}, "short text"),
    ({"labels": {"a": "\0"}}, "short text"),
    ({"labels": {str(number): "" for number in range(65)}}, "too many"),
    ({"gateway": "fork"}, "'process' (the default) or 'thread'"),
    ({"nats": "localhost:4222"}, "nats://host:4222"),
    ({"listen": "50051"}, "HOST:PORT"),
    ({"environ": {"MODCTL_INSECURE": "perhaps"}}, "Use 1 or 0"),
    ({"environ": {"MODCTL_LABELS": "zone"}}, "key=value"),
    ({"environ": {"MODCTL_TLS_CERT": "/x"}}, "Set MODCTL_TLS_CERT and MODCTL_TLS_KEY"),
    ({"environ": {"MODCTL_TLS_CLIENT_CA": "/x"}}, "belong together"),
]


@pytest.mark.parametrize(("arguments", "message"), BROKEN)
def test_what_cannot_work_is_refused_with_the_cure(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(**arguments)
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_key_where_a_certificate_should_be_is_seen_at_once(files: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"tls\.cert=.*it holds no certificate in PEM form"):
        settings(tls=TLS(str(files / "key"), str(files / "key")))
    with pytest.raises(ConfigurationError, match=r"tls\.key=.*it holds no private key in PEM form"):
        settings(tls=TLS(str(files / "cert"), str(files / "cert")))
    with pytest.raises(ConfigurationError, match=r"tls\.client_ca"):
        settings(tls=TLS(str(files / "cert"), str(files / "key"), str(files / "empty")))


def test_an_empty_token_is_none(files: Path) -> None:
    with pytest.raises(ConfigurationError, match="it is empty"):
        settings(token_file=files / "empty")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(files: Path) -> None:
    (files / "token").chmod(0)
    with pytest.raises(ConfigurationError, match="this user may not read it"):
        settings(token_file=files / "token")


@pytest.mark.parametrize("word", ["1", "true", "YES", "on", "please"])
def test_the_kill_switch_takes_any_word_but_no(word: str) -> None:
    assert disabled({"MODCTL_DISABLE": word})


@pytest.mark.parametrize("environ", [{}, {"MODCTL_DISABLE": ""}, {"MODCTL_DISABLE": "0"}, {"MODCTL_DISABLE": "false"}])
def test_the_kill_switch_is_off_otherwise(environ: dict[str, str]) -> None:
    assert not disabled(environ)


def test_a_flag_is_the_argument_the_variable_or_the_default() -> None:
    assert flag("MODCTL_WAIT", None, default=True, environ={}) is True
    assert flag("MODCTL_WAIT", None, default=True, environ={"MODCTL_WAIT": "0"}) is False
    assert flag("MODCTL_WAIT", True, default=False, environ={"MODCTL_WAIT": "0"}) is True
