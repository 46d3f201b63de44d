"""What a Python expression gives in this process: on a thread of its own, with a time limit.

A name in it is a loaded module, or a builtin. Nothing is imported and nothing is assigned; what the expression calls is
the host's own code, and does what it does.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, Final

from modctl.agent.engine.raised import python_error
from modctl.agent.engine.safe import clean, type_name
from modctl.agent.engine.threads import Worker
from modctl.agent.engine.values import Writer
from modctl.agent.errors import RequestError

DEFAULT_TIMEOUT_S: Final = 5.0
MAX_TIMEOUT_S: Final = 60.0
MAX_CHARACTERS: Final = 20_000
_FILE: Final = "<modctl expression>"


class _Names(dict[str, Any]):
    """A namespace whose names are the entries of sys.modules, then the builtins."""

    def __missing__(self, name: str) -> Any:
        module = sys.modules.get(name)
        if module is not None:
            return module
        try:
            return getattr(builtins, name)
        except AttributeError:
            raise NameError(f"name {name!r} is no loaded module and no builtin") from None


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    """The fields of EvaluateExpressionResponse.

    Raises:
        RequestError: BAD_REQUEST, or TIMED_OUT where it does not end in time.
    """
    expression, timeout_s = _parsed(request)

    def call() -> tuple[bool, dict[str, Any]]:
        code = compile(expression, _FILE, "eval", dont_inherit=True)
        # Globals must be a plain dict for their builtins to be found in generator expressions and lambdas, too.
        value = eval(code, {"__builtins__": _Names()}, {})  # noqa: S307 - what this is for; a right of its own
        writer = Writer()
        shown = writer.write(value)
        told = {"type": clean(type_name(type(value))), "value": shown, "truncated": writer.truncated}
        return bool(value), told

    worker = Worker(call)
    if not worker.run(timeout_s):
        worker.stop()
        message = f"the expression did not end within {timeout_s:g} s"
        raise RequestError("DEADLINE_EXCEEDED", "TIMED_OUT", message)
    if worker.error is not None:
        return {"raised": python_error(worker.error)}
    truth, value = worker.value
    return {"truth": truth, "value": value}


def _parsed(request: dict[str, Any]) -> tuple[str, float]:
    expression = request.get("expression")
    if type(expression) is not str or not expression.strip() or len(expression) > MAX_CHARACTERS or "\0" in expression:
        message = f"expression is no text of 1 to {MAX_CHARACTERS} characters"
        raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", message)
    timeout_s = request.get("timeout_s") or DEFAULT_TIMEOUT_S
    if type(timeout_s) not in (int, float) or not 0 < timeout_s <= MAX_TIMEOUT_S:
        message = f"timeout_s is {timeout_s!r}; it is a time above zero and at most {MAX_TIMEOUT_S:g}"
        raise RequestError("INVALID_ARGUMENT", "BAD_REQUEST", message)
    return expression.strip(), float(timeout_s)
