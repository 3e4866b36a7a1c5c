"""`json_schema`: what the provider is told, and its strict form."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from openai.lib._pydantic import to_strict_json_schema

import millstream as ms
from millstream.messages._strict import strict_schema
from objects.kinds import Class, Dict, Model, Struct


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]


class Zoo(pydantic.BaseModel):
    pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
    first: Cat = pydantic.Field(description="the first one")
    note: str | None = None
    count: int = 3


class Tree(pydantic.BaseModel):
    children: list[Tree]


class StructTree(msgspec.Struct):
    children: list[StructTree]


class Line(msgspec.Struct):
    a: int
    default: Literal["items"] = "items"
    properties: str | None = None


@dataclasses.dataclass
class Book:
    lines: list[Line]


@pytest.mark.parametrize("kind", [Model, Struct, Class, Dict])
def test_the_schema_says_what_is_required(kind: Any) -> None:
    schema = ms.objects.json_schema(kind)
    there = schema["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    assert set(there["required"]) == {"name", "born", "pos"}
    assert set(there["properties"]) == {"name", "born", "pos", "tags", "more"}
    schema.clear()
    assert ms.objects.json_schema(kind)


def test_plain_types() -> None:
    assert ms.objects.json_schema(dict) == {"type": "object"}
    assert ms.objects.json_schema(list[int]) == {"type": "array", "items": {"type": "integer"}}
    assert ms.objects.json_schema(Class, backend="pydantic")["title"] == "Class"
    with pytest.raises(TypeError, match="no JSON schema"):
        ms.objects.json_schema(complex)


def objects(node: Any) -> Iterator[dict[str, Any]]:
    """All schemas of objects, found by somebody who knows where schemas stand."""
    if not isinstance(node, dict):
        return
    if node.get("type") == "object":
        yield node
    for key in ("properties", "$defs"):
        for inner in node.get(key, {}).values():
            yield from objects(inner)
    for inner in [node.get("items"), *node.get("anyOf", [])]:
        yield from objects(inner)


@pytest.mark.parametrize("kind", [Zoo, Tree, StructTree, Book, Line])
def test_strict_closes_every_object_and_requires_every_property(kind: Any) -> None:
    strict = ms.objects.json_schema(kind, strict=True)
    assert strict["type"] == "object"
    found = list(objects(strict))
    assert found
    for node in found:
        assert node["additionalProperties"] is False
        assert node["required"] == list(node["properties"])
    text = json.dumps(strict)
    assert '"oneOf"' not in text
    assert '"discriminator"' not in text
    for ref in (part.split('"')[0] for part in text.split('"$ref": "#/$defs/')[1:]):
        assert ref in strict["$defs"]


def test_a_property_may_have_the_name_of_a_keyword() -> None:
    strict = ms.objects.json_schema(Line, strict=True)
    assert set(strict["properties"]) == {"a", "default", "properties"}
    assert "$defs" not in strict


def test_strict_agrees_with_the_sdk_of_openai() -> None:
    class Address(pydantic.BaseModel):
        street: str
        number: int | None = None

    class Person(pydantic.BaseModel):
        name: str
        home: Address
        work: Address = pydantic.Field(description="where")
        friends: list[Address] = []

    ours = ms.objects.json_schema(Person, strict=True)
    theirs = to_strict_json_schema(Person)
    for node in objects(theirs):
        for inner in node["properties"].values():
            inner.pop("default", None)  # the SDK drops only those that are null
    assert ours == theirs


def test_the_given_schema_is_not_changed() -> None:
    schema = ms.objects.json_schema(Zoo)
    before = copy.deepcopy(schema)
    strict_schema(schema)
    assert schema == before


def test_a_reference_with_an_annotation_of_its_own_is_written_out() -> None:
    node = {"$ref": "#/$defs/Node", "description": "the first"}
    defs = {"Node": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    strict = strict_schema({"type": "object", "properties": {"node": node}, "$defs": defs})
    assert strict["properties"]["node"] == {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
        "description": "the first",
    }


def test_one_that_is_recursive_cannot_be_written_out() -> None:
    class Branch(pydantic.BaseModel):
        left: Branch | None = pydantic.Field(description="the left one")

    Branch.model_rebuild()
    schema = Branch.model_json_schema()
    there = schema["$defs"]["Branch"]["properties"]["left"] = {"$ref": "#/$defs/Branch", "description": "the left one"}
    with pytest.raises(ms.errors.Inexpressible, match="a recursive reference with its own annotations") as caught:
        strict_schema(schema)
    assert caught.value.field.endswith("properties/left")
    assert there["description"] == "the left one"


def test_all_of_one_is_that_one_with_what_stands_beside_it() -> None:
    """As pydantic up to 2.8 wrote a field of a class with a description."""
    pet = {"allOf": [{"$ref": "#/$defs/Cat"}], "description": "the pet"}
    defs = {"Cat": {"type": "object", "properties": {"lives": {"type": "integer"}}}}
    strict = strict_schema({"type": "object", "properties": {"pet": pet}, "$defs": defs})
    assert strict["properties"]["pet"]["description"] == "the pet"
    assert strict["properties"]["pet"]["required"] == ["lives"]
    assert "allOf" not in strict["properties"]["pet"]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (dict, "#"),
        (list[int], "#"),
        (Cat | Dog, "#"),
        (Struct, "#/$defs/Struct/properties/more/anyOf/1"),
    ],
    ids=str,
)
def test_what_strict_cannot_say_is_named(kind: Any, field: str) -> None:
    with pytest.raises(ms.errors.Inexpressible) as caught:
        ms.objects.json_schema(kind, strict=True)
    assert caught.value.field.startswith(field[:22])
