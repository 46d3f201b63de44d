"""NamedTuple at a tenth of its price.

Every process of a service loads what changes it when it is first changed, and `typing.NamedTuple` compiles each
annotation and the constructor of each class: for forty of them a third of all that loading. For what users never see;
type checkers take it for typing's.
"""

from __future__ import annotations

from collections import _tuplegetter  # type: ignore[attr-defined]  # C, and Python where there is none
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    class _Row(tuple):
        """What they all are."""

        __slots__ = ()
        _fields: tuple[str, ...] = ()
        _field_defaults: dict[str, Any] = {}  # noqa: RUF012 - never changed
        _last_defaults: tuple[Any, ...] = ()

        def __new__(cls, *values: Any, **named: Any) -> Any:
            fields = cls._fields
            missing = len(fields) - len(values)
            if named:
                if not values and len(named) == missing and named.keys() == set(fields):
                    return tuple.__new__(cls, map(named.__getitem__, fields))
            elif not missing:
                return tuple.__new__(cls, values)
            elif 0 < missing <= len(cls._last_defaults):
                return tuple.__new__(cls, values + cls._last_defaults[-missing:])
            return tuple.__new__(cls, cls._completed(values, named))

        #: Where a hundred are made in a row: no Python code runs, and the number of values is not checked.
        _make = classmethod(tuple.__new__)

        @classmethod
        def _completed(cls, values: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
            fields = cls._fields
            known = dict(zip(fields, values, strict=False))
            if len(values) > len(fields) or not known.keys().isdisjoint(named) or not named.keys() <= set(fields):
                raise TypeError(f"{cls.__name__} has {fields}; given were {len(values)} values and {sorted(named)}")
            known = {**cls._field_defaults, **known, **named}
            missing = [name for name in fields if name not in known]
            if missing:
                raise TypeError(f"{cls.__name__} lacks {missing}")
            return [known[name] for name in fields]

        def _replace(self, **changes: Any) -> Any:
            cls = type(self)
            return cls(**{**dict(zip(cls._fields, self, strict=True)), **changes})

        def _asdict(self) -> dict[str, Any]:
            return dict(zip(self._fields, self, strict=True))

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def __repr__(self) -> str:
            told = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({told})"

    class _Maker(type):
        """Makes a class of rows of the body of a class statement."""

        def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
            if not bases:
                return type.__new__(cls, name, bases, namespace)
            fields = tuple(namespace.get("__annotations__", ()))
            defaults = {field: namespace[field] for field in fields if field in namespace}
            for place, field in enumerate(fields):
                namespace[field] = _tuplegetter(place, "")
            last = tuple(defaults[field] for field in fields[len(fields) - len(defaults) :] if field in defaults)
            facts = {"_fields": fields, "_field_defaults": defaults, "__match_args__": fields}
            facts["_last_defaults"] = last if len(last) == len(defaults) else ()
            return type(name, (_Row,), {**namespace, **facts, "__slots__": ()})

    class NamedTuple(metaclass=_Maker):
        """As typing's, but that `_make` does not count."""
