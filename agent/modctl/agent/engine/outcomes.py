"""The fields of ChangeResult for changes that were refused, failed or only planned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.safe import clean
from modctl.source.tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: What taking a change back is called in an answer.
ACTION_RESTORE: Final = "ACTION_RESTORE"


class Refusal(NamedTuple):
    """Why one entry is left as it is.

    Attributes:
        name: the entry.
        action: what was asked for: a name of the enum Action, or empty where it is about the whole change.
        reason: a constant of PROTOCOL.md.
        rule: which rule says so.
        hint: one sentence that says what to do about it.
    """

    name: str
    action: str
    reason: str
    rule: str
    hint: str


def refused(refusals: Iterable[Refusal], errors: dict[str, dict[str, Any]] | None = None) -> dict[str, Any]:
    """A change that is not made, with every refusal.

    Args:
        refusals: at least one.
        errors: PythonErrors by name, of sources that do not compile.
    """
    modules = []
    for refusal in refusals:
        change: dict[str, Any] = {
            "name": clean(refusal.name),
            "refusal": {"reason": refusal.reason, "rule": refusal.rule, "hint": clean(refusal.hint)},
        }
        if refusal.action:
            change["action"] = refusal.action
        if errors and refusal.name in errors:
            change["error"] = errors[refusal.name]
        modules.append(change)
    message = modules[0]["refusal"]["hint"] if len(modules) == 1 else f"{len(modules)} refusals; nothing was touched"
    return {"outcome": "OUTCOME_REFUSED", "modules": modules, "message": message}


def failed(
    changes: Sequence[dict[str, Any]],
    culprit: str,
    error: dict[str, Any],
    kept: Sequence[str],
    effects: Sequence[str],
) -> dict[str, Any]:
    """A change that was tried and taken back.

    Args:
        changes: ModuleChanges of all that it was about, without what came after.
        culprit: the module whose code failed.
        error: the PythonError.
        kept: modules that were loaded on the way and cannot be unloaded.
        effects: what the code did besides.
    """
    for change in changes:
        change["after"] = change["before"]
    told = next((change for change in changes if change["name"] == culprit), changes[0] if changes else None)
    if told is not None:
        told["error"] = error
    what = ": ".join(part for part in (culprit, error.get("type", ""), error.get("message", "")) if part)
    return {
        "outcome": "OUTCOME_FAILED",
        "modules": list(changes),
        "message": f"{what}; everything is as it was{stays(kept)}",
        "side_effects": list(effects),
    }


def stays(kept: Sequence[str]) -> str:
    """The end of a sentence about modules that stay loaded; empty where there are none."""
    if not kept:
        return ""
    return f"; {', '.join(kept[:5])}{', …' if kept[5:] else ''} had been loaded on the way and cannot be unloaded"


def summary(modules: Sequence[dict[str, Any]], more: int) -> str:
    """One sentence about a change that was made."""
    count = len(modules)
    text = f"{count} {'entry' if count == 1 else 'entries'} changed"
    return f"{text}, {more} more loaded along with them" if more else text
