"""modctl.agent: what lives inside your process. Standard library only; importing it costs next to nothing.

    from modctl import agent
    agent.start()

starts one daemon thread and, where none serves yet, a gateway process beside this one. From then on `modctl list` sees
this process. See README.md for what can be done with it and when not to use it.
"""

from __future__ import annotations

from modctl.agent import errors

TYPE_CHECKING = False  # as typing has it, without the 5 ms that its import takes
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from modctl.agent.hooks import Plan, off_change, on_change
    from modctl.agent.lifecycle import Handle
    from modctl.agent.settings import TLS, Policy
    from modctl.agent.shielding import Shield

__all__ = ["TLS", "Handle", "Plan", "Policy", "errors", "off_change", "on_change", "shield", "start"]


def start(
    listen: str | Iterable[str] | None = None,
    tls: TLS | None = None,
    service: str | None = None,
    labels: Mapping[str, str] | None = None,
    policy: Policy | str | None = None,
    token_file: str | os.PathLike[str] | None = None,
    insecure: bool | None = None,
    state_dir: str | os.PathLike[str] | None = None,
    nats: str | None = None,
    gateway: str | None = None,
    wait: bool | None = None,
    required: bool | None = None,
) -> Handle:
    """Starts this process's agent, and in every process that it forks.

    What is left out comes from the environment variable of the same name (`MODCTL_LISTEN`, `MODCTL_SERVICE`, …,
    `MODCTL_TLS_CERT/KEY/CLIENT_CA`); with `MODCTL_DISABLE=1` nothing is started and the handle does nothing.

    Args:
        listen: addresses, HOST:PORT each, besides the private unix socket; port 0 for a free one. Loopback needs no
            TLS, a token is made; any other needs `tls` with a client CA or with `token_file`.
        tls: certificates of these addresses.
        service: what this program is called; default: from its command line.
        labels: for selecting processes.
        policy: the policy file.
        token_file: a file with the bearer token that clients must send.
        insecure: open an address without protection, and say so to everybody who lists it.
        state_dir: where sockets live, a directory of this user's alone.
        nats: URL of a NATS server to be reached through.
        gateway: "process" (the default), or "thread" for tests and for places that may not exec: that brings grpc into
            this process, which must not fork then; a forked child has no agent.
        wait: wait until the gateway serves, 3 s at most (the default). Without a gateway the service starts anyway, and
            the agent goes on trying.
        required: raise where there is no gateway within 15 s.

    Returns:
        The handle. Called again with the same arguments: the same one.

    Raises:
        errors.ConfigurationError: an argument or variable cannot work; says the cure.
        errors.AlreadyStartedError: it runs with other arguments.
        errors.GatewayUnavailableError: required=True, and no gateway could be had.
    """
    from modctl.agent import lifecycle

    return lifecycle.start(
        listen, tls, service, labels, policy, token_file, insecure, state_dir, nats, gateway, wait, required
    )


def shield(what: str | Callable[..., object] = "") -> Shield:
    """One unit of work, into which no change lands: a context manager (`with`, `async with`) or a decorator.

    A change waits, bounded, until the units of work under way have ended, and those that begin meanwhile wait for it.
    Without any shield a change is atomic all the same, but a unit of work may begin with the old code and end with the
    new. modctl.agent.wsgi, .asgi and .integrations have this for requests, calls and tasks of common frameworks.

    Args:
        what: what to call it where it is in the way of a change.
    """
    from modctl.agent.shielding import Shield

    if callable(what):
        return Shield()(what)  # type: ignore[return-value]  # @agent.shield without parentheses: the function itself
    return Shield(what)


def __getattr__(name: str) -> object:
    # Loaded when asked for, so that the import of this package stays cheap.
    if name in {"TLS", "Policy"}:
        from modctl.agent import settings

        return getattr(settings, name)
    if name in {"Plan", "off_change", "on_change"}:
        from modctl.agent import hooks

        return getattr(hooks, name)
    if name == "Handle":
        from modctl.agent.lifecycle import Handle

        return Handle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
