"""One type, said in every way that a user may say it."""

from __future__ import annotations

import dataclasses
from typing import Any, NotRequired, TypedDict

import msgspec
import pydantic

DOCUMENT = '{"name":"Ada L","born":"1815-12-10","pos":{"x":1,"y":2},"tags":["ab","cd"],"more":{"k":[1]}}'
VALUE: Any = {"name": "Ada L", "born": "1815-12-10", "pos": {"x": 1, "y": 2}, "tags": ["ab", "cd"], "more": {"k": [1]}}


class ModelPos(pydantic.BaseModel):
    x: int
    y: int


class Model(pydantic.BaseModel):
    name: str
    born: str
    pos: ModelPos
    tags: list[str] = []
    more: dict[str, list[int]] | None = None


class StructPos(msgspec.Struct, frozen=True):
    x: int
    y: int


class Struct(msgspec.Struct, frozen=True):
    name: str
    born: str
    pos: StructPos
    tags: list[str] = []
    more: dict[str, list[int]] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ClassPos:
    x: int
    y: int


@dataclasses.dataclass
class Class:
    name: str
    born: str
    pos: ClassPos
    tags: list[str] = dataclasses.field(default_factory=list)
    more: dict[str, list[int]] | None = None


@pydantic.dataclasses.dataclass
class PydanticClass:
    name: str
    born: str
    pos: ModelPos
    tags: list[str] = dataclasses.field(default_factory=list)
    more: dict[str, list[int]] | None = None


class DictPos(TypedDict):
    x: int
    y: int


class Dict(TypedDict):
    name: str
    born: str
    pos: DictPos
    tags: NotRequired[list[str]]
    more: NotRequired[dict[str, list[int]] | None]


KINDS = [Model, Struct, Class, PydanticClass, Dict, dict, dict[str, Any], Any]


def plain(value: Any) -> Any:
    """What a value says, without its classes and what has not arrived."""
    if isinstance(value, pydantic.BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    elif dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not msgspec.UNSET}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value
