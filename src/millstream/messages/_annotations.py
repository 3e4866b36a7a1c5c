"""Whether pydantic must read a type: what objects and the arguments of tools have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints, is_typeddict

from msgspec import Struct

__all__ = ["is_of_pydantic", "needs_pydantic"]


def needs_pydantic(annotation: Any) -> bool:
    """Whether anything of pydantic is in an annotation or in the fields of its classes; types may be recursive."""
    return any(map(is_of_pydantic, _parts(annotation, [])))


def is_of_pydantic(part: Any) -> bool:
    """Its models and dataclasses, its `Field` and the constraints of `annotated_types`, which msgspec would ignore."""
    cls = part if isinstance(part, type) else type(part)
    return hasattr(cls, "__pydantic_validator__") or cls.__module__.split(".")[0] in ("pydantic", "annotated_types")


def _parts(annotation: Any, seen: list[Any]) -> Iterator[Any]:
    """All types, all metadata and all defaults of dataclasses."""
    if any(annotation is other for other in seen):
        return
    seen.append(annotation)
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for inner in _inside(annotation):
        yield from _parts(inner, seen)
    if is_dataclass(annotation):
        yield from (one.default for one in fields(annotation) if one.default is not MISSING)


def _inside(annotation: Any) -> Iterator[Any]:
    yield from get_args(annotation)
    of = get_origin(annotation) or annotation
    if isinstance(of, type) and (is_dataclass(of) or is_typeddict(of) or issubclass(of, Struct)):
        try:
            yield from get_type_hints(of, include_extras=True).values()
        except NameError:  # who validates will say so
            return
    for name in ("__supertype__", "__value__", "__bound__"):  # of NewType, of `type X = ...`, of a TypeVar
        if not isinstance(of, type) and getattr(of, name, None) is not None:
            yield getattr(of, name)
