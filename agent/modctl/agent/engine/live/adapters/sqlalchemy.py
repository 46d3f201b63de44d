"""SQLAlchemy: what its classes have worked out of lists that a change replaces."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.values import MISSING, class_dict, is_class

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The module without which there are none.
TRAVERSALS: Final = "sqlalchemy.sql.traversals"
#: Lists of a construct's parts: which of them count for its cache key, are copied, and are walked through.
_LISTS: Final = ("_traverse_internals", "_cache_key_traversal")


def forget_traversals(changed: Iterable[str]) -> None:
    """Takes off the functions that SQLAlchemy generates of a class's lists when they are first needed.

    One that was made before the list changed would leave a new part out of cache keys and copies: statements that
    differ in it alone would get each other's SQL. The next use makes another.

    Args:
        changed: what was assigned, in words: sqlalchemy.sql.selectable.Select._traverse_internals.
    """
    if TRAVERSALS not in sys.modules:
        return
    for what in changed:
        owner, _, name = what.rpartition(".")
        cls = _class_of(owner) if name in _LISTS else None
        for each in _family(cls):
            for attribute in list(class_dict(each)):
                if attribute.startswith("_generated_") and attribute.endswith("_traversal"):
                    type.__delattr__(each, attribute)


def _class_of(path: str) -> Any:
    """The class at `package.module.Class.Inner`; None where there is none."""
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = sys.modules.get(".".join(parts[:split]))
        if module is None:
            continue
        found: Any = module.__dict__.get(parts[split], MISSING)
        for part in parts[split + 1 :]:
            found = class_dict(found).get(part, MISSING) if is_class(found) else MISSING
        return found if is_class(found) else None
    return None


def _family(cls: type | None) -> list[type]:
    """A class and all that are derived of it, each once."""
    found: dict[type, None] = {} if cls is None else {cls: None}
    todo = list(found)
    while todo:
        subclasses: list[type] = type.__subclasses__(todo.pop())
        new = [each for each in subclasses if each not in found]
        found.update(dict.fromkeys(new))
        todo += new
    return list(found)
