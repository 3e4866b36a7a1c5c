"""What a type says about the places inside it: from an annotation and a step to the annotation there.

Reads type hints only, of Structs, dataclasses, TypedDicts, pydantic models, containers and unions of them; validates
nothing. Names are those on the wire. A place of which the type says nothing is `Any`.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET

__all__ = ["NOTHING", "Path", "Record", "at", "is_array", "literals", "members", "record", "root_starts", "step"]

Step = str | int | types.EllipsisType
Path = tuple[Step, ...]

NOTHING: Any = type("NOTHING", (), {"__repr__": lambda self: "NOTHING"})()
"""There is no such place: the type has no containers of that kind."""

MAPPINGS = (dict, Mapping, typing.MutableMapping)
QUALIFIERS = {"Required", "NotRequired", "ReadOnly"}


def members(annotation: Any) -> list[Any]:
    """The alternatives of an annotation, without aliases, qualifiers and metadata."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return [member for arg in get_args(annotation) for member in members(arg)]
    if origin is Annotated:
        return members(get_args(annotation)[0])
    if hasattr(annotation, "__supertype__"):  # NewType
        return members(annotation.__supertype__)
    if isinstance(annotation, TypeVar):
        return members(annotation.__bound__ or Any)
    if type(annotation).__name__ == "TypeAliasType":  # `type X = ...`, Python 3.12 and typing_extensions
        return members(annotation.__value__)
    return [annotation]


def step(annotation: Any, key: Step) -> Any:
    """The annotation of an item or a field; `NOTHING` if there can be none. `...` is any item."""
    found: list[Any] = []
    for member in members(annotation):
        child = _child(member, key)
        if child is not NOTHING and child not in found:
            found.append(child)
    if len(found) < 2:  # also because a Union does not take metadata that cannot be hashed
        return found[0] if found else NOTHING
    return Any if Any in found else Union[tuple(found)]  # noqa: UP007  (made at run time)


def at(annotation: Any, path: Path) -> Any:
    """The annotation at a path, `NOTHING` if there can be no such place."""
    for key in path:
        annotation = step(annotation, key)
    return annotation


def is_array(member: Any) -> bool:
    """Whether a single alternative is written as a JSON array."""
    origin = get_origin(member) or member
    if not isinstance(origin, type) or issubclass(origin, (str, bytes, *MAPPINGS)) or record(member) is not None:
        return False
    return issubclass(origin, (list, tuple, set, frozenset)) or origin in (
        Sequence, Collection, Iterable, typing.MutableSequence, typing.AbstractSet, typing.MutableSet,
    )  # fmt: skip


def root_starts(annotation: Any) -> str:
    """What a value of this type may start with on the wire: of "{" and "[", or "" if it is neither."""
    starts = ""
    for member in members(annotation):
        if member in (Any, object):
            return "{["
        if (inner := root_model(member)) is not None:
            starts += root_starts(inner)
        elif is_array(member):
            starts += "["
        elif is_mapping(member) or record(member) is not None:
            starts += "{"
    return "".join(sorted(set(starts), reverse=True))


def is_mapping(member: Any) -> bool:
    """Whether a single alternative is an object with any keys."""
    return (get_origin(member) or member) in MAPPINGS


def root_model(member: Any) -> Any:
    """The annotation inside a pydantic RootModel, None for anything else."""
    return member.model_fields["root"].annotation if getattr(member, "__pydantic_root_model__", False) else None


def literals(annotation: Any) -> set[Any] | None:
    """The values of a Literal, None for anything else."""
    if all(get_origin(member) is Literal for member in members(annotation)):
        return {value for member in members(annotation) for value in get_args(member)}
    return None


def _child(member: Any, key: Step) -> Any:
    if member in (Any, object):
        return Any
    if (inner := root_model(member)) is not None:
        return step(inner, key)
    args = get_args(member)
    if is_mapping(member):
        return NOTHING if isinstance(key, int) else args[1] if len(args) == 2 else Any
    if is_array(member):
        return NOTHING if isinstance(key, str) else _item(get_origin(member), args, key)
    fields = record(member)
    if fields is None or isinstance(key, int):
        return NOTHING
    if key is ...:
        return Any
    return fields.types.get(fields.names.get(key, ""), Any)


def _item(origin: Any, args: tuple[Any, ...], key: Step) -> Any:
    if not args:
        return Any
    if origin is not tuple or (len(args) == 2 and args[1] is ...):
        return args[0]
    if isinstance(key, int):
        return args[key] if key < len(args) else Any
    return Union[args]  # noqa: UP007  (made at run time)


# --- records: objects with known fields ---


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A class with fields.

    Attributes:
        cls: the class.
        names: name of the field, by name on the wire.
        types: its annotation, by name of the field.
        tag: (name on the wire, value) of a tagged Struct.
        make: from fields that have arrived, by name, an instance; the others have their default, or are UNSET.
    """

    cls: Any
    names: dict[str, str]
    types: dict[str, Any]
    make: Callable[[dict[str, Any]], Any]
    tag: tuple[str, Any] | None = None


def record(member: Any) -> Record | None:
    """What is known of a class with fields, None if it is none."""
    cls = get_origin(member) or member
    if not isinstance(cls, type):
        return None
    try:
        return _record(member, cls)
    except TypeError:  # an argument or some metadata is not hashable
        return _record.__wrapped__(member, cls)


@lru_cache(256)  # classes may be made at run time: not for ever
def _record(member: Any, cls: Any) -> Record | None:
    if issubclass(cls, msgspec.Struct):
        return _struct(member, cls) if not cls.__struct_config__.array_like else None
    if hasattr(cls, "__pydantic_fields__"):
        return _pydantic(member, cls)
    if dataclasses.is_dataclass(cls):
        types = {name: hint for name, hint in _hints(member, cls).items() if name in cls.__dataclass_fields__}
        return Record(cls, {name: name for name in types}, types, lambda values: _dataclass(cls, values))
    if typing.is_typeddict(cls) or (hasattr(cls, "__required_keys__") and hasattr(cls, "__total__")):
        types = _hints(member, cls)
        return Record(cls, {name: name for name in types}, types, dict)
    return None


def _hints(member: Any, cls: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return _given(member, cls, {name: _bare(hint) for name, hint in hints.items()})


def _given(member: Any, cls: Any, hints: dict[str, Any]) -> dict[str, Any]:
    """Hints with the arguments of a generic class in the places of its variables."""
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(member), strict=False))
    return {name: _filled(hint, given) for name, hint in hints.items()} if given else hints


def _bare(hint: Any) -> Any:
    """A hint without the qualifiers of TypedDicts, which say nothing of the value."""
    while getattr(get_origin(hint), "_name", None) in QUALIFIERS:
        hint = get_args(hint)[0]
    return hint


def _filled(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    open_ = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(p, p) for p in open_)] if open_ else hint


def _struct(member: Any, cls: Any) -> Record:
    fields = msgspec.structs.fields(member)
    required = {field.name: UNSET for field in fields if field.required}
    config = cls.__struct_config__
    return Record(
        cls,
        {field.encode_name: field.name for field in fields},
        {field.name: field.type for field in fields},
        lambda values: cls(**(required | values)),
        (config.tag_field, config.tag) if config.tag_field else None,
    )


def _dataclass(cls: Any, values: dict[str, Any]) -> Any:
    """Neither `__init__` nor `__post_init__` runs: they expect a whole object."""
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        value = values.get(field.name, field.default)
        if value is dataclasses.MISSING:
            factory: Any = field.default_factory
            value = UNSET if factory is dataclasses.MISSING else factory()
        object.__setattr__(made, field.name, value)
    return made


def _pydantic(member: Any, cls: Any) -> Record:
    """A model, or a dataclass of pydantic: it knows names that hints alone do not, and aliases and defaults."""
    fields = cls.__pydantic_fields__
    is_model = hasattr(cls, "model_construct")
    config = cls.model_config if is_model else cls.__pydantic_config__
    by_name = config.get("populate_by_name") or config.get("validate_by_name")
    names: dict[str, str] = {}
    types: dict[str, Any] = {}
    for name, field in fields.items():
        types[name] = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
        keys = [*_alias_keys(field.validation_alias or field.alias)]
        names.update((key, name) for key in ([*keys, name] if by_name or not keys else keys))

    def model(values: dict[str, Any]) -> Any:
        required = {name: UNSET for name, field in fields.items() if field.is_required()}
        return cls.model_construct(set(values), **(required | values))

    def instance(values: dict[str, Any]) -> Any:
        made = object.__new__(cls)
        shown: dict[str, Any] = {}
        for name, field in fields.items():
            if name in values or field.is_required():
                shown[name] = values.get(name, UNSET)
            else:
                shown[name] = field.get_default(call_default_factory=True, validated_data=shown)
            object.__setattr__(made, name, shown[name])
        return made

    return Record(cls, names, _given(member, cls, types), model if is_model else instance)


def _alias_keys(alias: Any) -> Iterator[str]:
    """An alias of pydantic is a name, a path, or several of them; a path of one name is that name."""
    if isinstance(alias, str):
        yield alias
    elif hasattr(alias, "choices"):
        for choice in alias.choices:
            yield from _alias_keys(choice)
    elif alias is not None and len(alias.path) == 1:
        yield alias.path[0]
