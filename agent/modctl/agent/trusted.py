"""An engine that takes source only from who signed it, whatever the gateway says.

The keys stand in the service's own code or environment (`agent.Policy(trusted_keys=…)`), so that a gateway that has
been taken over cannot send code. What the gateway compiled is not used then: only text is signed, so text is what is
compiled.
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine import Engine
from modctl.agent.engine.outcomes import Refusal, refused
from modctl.agent.errors import RequestError
from modctl.agent.wire import json_body
from modctl.local import signing
from modctl.local.frames import ATTACHMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Made by the gateway of text or files; never looked at here.
_COMPILED: Final = frozenset({"code", "magic", "optimize"})
_RULE: Final = "this process takes source only with a signature by one of its trusted keys"
_HINT: Final = "; sign it with `modctl sign` and a key that the service trusts, and send it with --signature"


class TrustingEngine(Engine):
    """An engine with keys.

    Args:
        keys: the public keys, 32 bytes each.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        super().__init__()
        self._keys = [signing.Key(f"trusted-{number}", key) for number, key in enumerate(keys, start=1)]

    def answer(self, request: dict[str, Any]) -> Iterator[bytes]:
        """The answer to a request that reads. An expression is code that nobody has signed: it is not evaluated.

        Raises:
            RequestError: it is one.
        """
        if request.get("op") == "evaluate":
            raise RequestError("PERMISSION_DENIED", "SIGNATURE_REQUIRED", f"{_RULE}, and expressions have none")
        return super().answer(request)

    def change(self, request: dict[str, Any]) -> bytes:
        """Makes a change, if everything that it brings is signed; otherwise refuses it, all of it at once."""
        stripped, refusals = checked(request, self._keys, time.time())
        if refusals:
            return json_body({**refused(refusals), "request_id": request.get("request_id", "")})
        return super().change(stripped)


def checked(
    request: dict[str, Any], keys: Sequence[signing.Key], now_unix_s: float
) -> tuple[dict[str, Any], list[Refusal]]:
    """The request without anything that was compiled elsewhere, and why it is refused."""
    given = [found for one in _list(request.get("signatures")) if (found := _signature(one)) is not None]
    refusals: list[Refusal] = []
    operations: list[Any] = []
    for operation in _list(request.get("operations")):
        kept: dict[str, Any] = {}
        for verb, told in operation.items() if isinstance(operation, dict) else ():
            if not isinstance(told, dict):
                kept[verb] = told
                continue
            sources = [one for one in _list(told.get("modules")) if isinstance(one, dict) and "source" in one]
            if verb == "inject" and ("modules" in told or "data" in told):
                refusals += _refusals(told, "ACTION_INJECT", _digest_of(told, sources), given, keys, now_unix_s)
            elif sources:
                refusals += _refusals(told, "ACTION_REIMPORT", _digest_of(told, sources), given, keys, now_unix_s)
            kept[verb] = _stripped(told)
            if verb != "inject":  # code of files: this process reads its files itself
                kept[verb].pop("modules", None)
                if sources:
                    kept[verb]["modules"] = [_stripped(one) for one in sources]
        operations.append(kept)
    # Plans are compiled code too, and so is what is attached: this process plans by itself.
    return {**request, "operations": operations, "planned": None, ATTACHMENTS: None}, refusals


def _refusals(
    told: dict[str, Any],
    action: str,
    digest: str,
    given: Sequence[signing.Signature],
    keys: Sequence[signing.Key],
    now_unix_s: float,
) -> list[Refusal]:
    name = str(told.get("name"))
    _, problem = signing.problem_with(name, digest, given, keys, now_unix_s)
    return [Refusal(name, action, "SIGNATURE_REQUIRED", f"{_RULE}: {problem}", f"{problem}{_HINT}")] if problem else []


def _digest_of(told: dict[str, Any], sources: list[dict[str, Any]]) -> str:
    """What must be signed; "", which nobody signs, where a name could pass for other lines of the manifest."""
    if any("\n" in str(one.get("name")) for one in sources):
        return ""
    data = {str(place): _bytes(text) for place, text in (told.get("data") or {}).items()}
    modules = [signing.Module(str(one.get("name")), one.get("package") is True, str(one["source"])) for one in sources]
    return signing.content_digest(str(told.get("name")), modules, data)


def _stripped(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: _stripped(value) for key, value in told.items() if key not in _COMPILED}
    if isinstance(told, list):
        return [_stripped(one) for one in told]
    return told


def _signature(told: Any) -> signing.Signature | None:
    if not isinstance(told, dict):
        return None
    try:
        return signing.Signature(
            str(told["key"]),
            str(told["name"]),
            str(told["digest"]),
            int(told["signed_at_unix_s"]),
            int(told["expires_at_unix_s"]),
            _bytes(told["signature"]),
        )
    except (KeyError, TypeError, ValueError):
        return None  # what cannot be read signs nothing


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return b""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
