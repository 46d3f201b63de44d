"""What the agent raises, and what it answers when a request cannot be served.

AgentError
├── ConfigurationError (ValueError)   start() was given something that cannot work; says the cure
├── AlreadyStartedError (RuntimeError) start() again with other arguments
├── GatewayUnavailableError (RuntimeError) required=True and no gateway could be had
└── RequestError                      one request of the gateway cannot be served: becomes an ErrorDetail
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing has it, without importing typing into a process that has no use for it
if TYPE_CHECKING:
    from collections.abc import Mapping


class AgentError(Exception):
    """The root of everything that modctl.agent raises by itself."""


class ConfigurationError(AgentError, ValueError):
    """An argument or environment variable of start() cannot work.

    Args:
        setting: the argument's name.
        value: what it was.
        problem: what is wrong with it.
        cure: what to do instead.
    """

    def __init__(self, setting: str, value: object, problem: str, cure: str) -> None:
        super().__init__(f"{setting}={value!r}: {problem}. {cure}")
        self.setting = setting


class AlreadyStartedError(AgentError, RuntimeError):
    """start() was called again with arguments that differ from the running agent's.

    Args:
        differing: names of the arguments that differ.
    """

    def __init__(self, differing: list[str]) -> None:
        super().__init__(
            f"the agent runs already with other values of {', '.join(differing)}; "
            "call stop() on its handle first, or start() with the same arguments"
        )
        self.differing = differing


class GatewayUnavailableError(AgentError, RuntimeError):
    """No gateway could be had within the time, and start() was told required=True."""


class RequestError(AgentError):
    """A request of the gateway cannot be served; it is answered with an ErrorDetail.

    Args:
        code: a gRPC status code's name: NOT_FOUND.
        reason: a constant: MODULE_NOT_FOUND.
        message: one sentence for people that says the cure where there is one.
        metadata: facts that the reason has.
    """

    def __init__(self, code: str, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.metadata = dict(metadata or {})
