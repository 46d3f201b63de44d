"""Classes that stand for tables: SQLAlchemy's declarative ones and Django's models.

Their metaclass tells a registry of every class that is made, once. Methods and plain constants are changed in place, as
in any class; a column or an option is part of a table and of mappings that were worked out from it, and is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modctl.agent.engine.live.failures import RefusedError
from modctl.agent.engine.live.values import class_dict, is_plain, mro
from modctl.source.statements import ANNOTATION, ASSIGN, CONSTANT, DEF, DOC

if TYPE_CHECKING:
    from modctl.agent.engine.live.class_parts import Part

_METACLASSES: Final = frozenset(
    {
        "sqlalchemy.orm.decl_api.DeclarativeMeta",
        "sqlalchemy.orm.decl_api.DeclarativeAttributeIntercept",
        "django.db.models.base.ModelBase",
    }
)


def is_mapped(live: Any) -> bool:
    """Whether a class stands for a table."""
    metaclass = type(live)
    if metaclass is type:
        return False
    names = (f"{class_dict(each).get('__module__')}.{each.__qualname__}" for each in mro(metaclass))
    return not _METACLASSES.isdisjoint(names)


def check_part(module: str, live: Any, part: Part) -> None:
    """Refuses to change what is mapped.

    Raises:
        RefusedError: MAPPED_COLUMN.
    """
    own = class_dict(live)
    touched = [part.statement.body[index] for index in part.indexes]
    touched += [part.old.body[index] for index in part.comparison.gone]
    for inner in touched:
        if inner.kind in (DEF, DOC):
            continue
        plain = inner.kind == ASSIGN and inner.value_kind == CONSTANT and not any(n[:2] == "__" for n in inner.writes)
        if plain and all(is_plain(own.get(name)) for name in inner.writes):
            continue
        what = ", ".join(inner.writes or inner.annotates) or f"line {inner.first_line}"
        noun = "annotation" if inner.kind == ANNOTATION else "column or option"
        raise RefusedError(
            module,
            "MAPPED_COLUMN",
            f"{live.__qualname__}.{what} is a {noun} of a mapped class, which is part of a table",
            "Change methods alone, migrate the table and restart",
        )
