"""Choosing processes by their labels: zone=a, tier in (web, api), !canary.

The syntax of Kubernetes' set-based selectors. Gateways and clients both read it; each term must hold:

    k=v  k==v  k!=v  k in (a, b)  k notin (a, b)  k (has it)  !k (has it not)

A label that a process was not given is taken from what is known of it: service, host, role.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How the value of `modctl-process` begins where it is a selector.
PREFIX: Final = "labels:"
#: What is longer is no selector that somebody wrote.
MAX_CHARACTERS: Final = 4096

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?"
_VALUE = r"[^\s,()=!]*"
_TERM = re.compile(
    rf"\s*(?:(?P<absent>!)\s*(?P<gone>{_KEY})"
    rf"|(?P<key>{_KEY})(?:\s*(?P<sign>==|!=|=)\s*(?P<value>{_VALUE})"
    rf"|\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\))?)\s*(?:,|\Z)"
)


class SelectorError(ValueError):
    """A selector that is none.

    Args:
        text: what was written.
        at: where it stops making sense.
    """

    def __init__(self, text: str, at: int) -> None:
        super().__init__(f"selector {text!r}: {text[at:]!r} is no term; write zone=a, tier in (web,api), !canary")
        self.text = text


class Term(NamedTuple):
    """One condition.

    Attributes:
        key: the label.
        values: what it may be; None where any value will do.
        negated: whether the condition must not hold.
    """

    key: str
    values: frozenset[str] | None
    negated: bool

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels meet it. Who has no such label differs from every value, as in Kubernetes."""
        value = labels.get(self.key)
        met = value is not None and (self.values is None or value in self.values)
        return met != self.negated


def parse(text: str) -> tuple[Term, ...]:
    """The conditions of a selector.

    Raises:
        SelectorError: it is none.
    """
    if not text.strip() or len(text) > MAX_CHARACTERS:
        raise SelectorError(text[:200], 0)
    terms: list[Term] = []
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or (found.end() == len(text) and text.rstrip().endswith(",")):
            raise SelectorError(text, at)
        terms.append(_term(found))
        at = found.end()
    return tuple(terms)


def _term(found: re.Match[str]) -> Term:
    if found["absent"]:
        return Term(found["gone"], None, True)
    if found["set"]:
        values = frozenset(part.strip() for part in found["values"].split(","))
        return Term(found["key"], values, found["set"] == "notin")
    if found["sign"]:
        return Term(found["key"], frozenset([found["value"]]), found["sign"] == "!=")
    return Term(found["key"], None, False)


def matches(terms: tuple[Term, ...], labels: Mapping[str, str], service: str, host: str, role: str) -> bool:
    """Whether a process meets every condition.

    Args:
        terms: as parsed.
        labels: given at its start.
        service: its service's name.
        host: its host's name.
        role: main, master or worker.
    """
    known = {"service": service, "host": host, "role": role.lower(), **labels}
    return all(term.holds(known) for term in terms)
