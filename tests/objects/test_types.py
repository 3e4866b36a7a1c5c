"""Every kind of type: final values, elements, fields, typed partials; who validates."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypeVar

import annotated_types
import msgspec
import pydantic
import pytest
from msgspec import UNSET
from typing_extensions import TypeAliasType, TypedDict  # TypedDict: pydantic wants this one before Python 3.12

import millstream as ms
from millstream.objects._backend import choose
from objects.kinds import DOCUMENT, KINDS, VALUE, Class, Dict, Model, ModelPos, Struct, StructPos, plain
from objects.replay import pieces
from streams.probe import drain

pytestmark = pytest.mark.anyio


async def arriving(text: str, n: int = 1) -> AsyncIterator[str]:
    for piece in pieces(text, n):
        yield piece


def instance(value: Any, kind: Any) -> bool:
    origin = getattr(kind, "__origin__", kind)
    return kind is Any or isinstance(value, dict if origin in (Dict, dict) else origin)


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_every_kind_of_type(kind: Any) -> None:
    objects = ms.ObjectStream(arriving(DOCUMENT), kind)
    final = await objects.final()
    assert instance(final, kind)
    assert plain(final) == VALUE
    assert await objects.final() is final


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_typed_partials_are_of_the_type_and_only_grow(kind: Any) -> None:
    async with ms.ObjectStream(arriving(DOCUMENT), kind) as objects:
        seen = []
        async for partial in objects.partials(typed=True):
            assert instance(partial, kind)
            seen.append(plain(partial))
        assert objects.last_error is None
        assert partial == await objects.final()
    names = [one.get("name") for one in seen]
    assert names[:4] in ([None, "", "A", "Ad"], [None, None, "", "A"])
    assert seen[-1] == VALUE
    pos = [one["pos"] for one in seen if "pos" in one]
    assert {"x": 1} in pos
    assert [one["tags"] for one in seen if one.get("tags")][:3] == [[""], ["a"], ["ab"]]


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_fields_come_in_order_each_when_it_is_complete(kind: Any) -> None:
    objects = ms.ObjectStream(arriving(DOCUMENT), kind)
    fields = []
    async for name, value in objects.fields():
        assert name in objects.current
        fields.append((name, plain(value), len(objects.raw)))
    assert [(name, value) for name, value, _ in fields] == list(VALUE.items())
    assert [at for _, _, at in fields] == [15, 35, 55, 74, 91] == sorted(at for _, _, at in fields)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("n", [1, 7, 1000])
async def test_elements(kind: Any, n: int) -> None:
    objects = ms.ObjectStream(arriving(DOCUMENT, n), kind)
    assert [item async for item in objects.elements("tags")] == ["ab", "cd"]
    assert plain(await objects.final()) == VALUE
    objects = ms.ObjectStream(arriving(DOCUMENT, n), kind)
    assert [item async for item in objects.elements(("more", "k"))] == [1]
    objects = ms.ObjectStream(arriving(DOCUMENT, n), kind)
    assert [item async for item in objects.elements(("more", ...))] == [1]
    objects = ms.ObjectStream(arriving(DOCUMENT, n), kind)
    assert [item async for item in objects.elements((...,))] == ["ab", "cd"]


@pytest.mark.parametrize("item", [ModelPos, StructPos, dict])
async def test_elements_at_the_root_are_given_before_the_next_one_arrives(item: Any) -> None:
    objects = ms.ObjectStream(arriving('[{"x":1,"y":2},{"x":3,"y":4}]'), list[item])
    elements = objects.elements()
    first = await anext(elements)
    assert objects.raw == b'[{"x":1,"y":2}'
    assert (plain(first), isinstance(first, item)) == ({"x": 1, "y": 2}, True)
    assert [plain(second) async for second in elements] == [{"x": 3, "y": 4}]
    assert [plain(each) for each in await objects.final()] == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]


async def test_each_element_is_validated_once_from_its_own_bytes() -> None:
    calls = []

    class Item(pydantic.BaseModel):
        a: decimal.Decimal

        @pydantic.model_validator(mode="before")
        @classmethod
        def seen(cls, data: Any) -> Any:
            calls.append(data)
            return data

    objects = ms.ObjectStream(arriving('{"items":[{"a":"1.10"}, {"a":"2"}]}'), dict[str, list[Item]])
    assert [item.a async for item in objects.elements("items")] == [decimal.Decimal("1.10"), decimal.Decimal(2)]
    assert len(calls) == 2


async def test_elements_of_elements() -> None:
    text = '{"parts":[{"items":[1,2],"b":[0]},{"items":["x"]}],"items":[9]}'
    objects = ms.ObjectStream(arriving(text), dict)
    assert [item async for item in objects.elements(("parts", ..., "items"))] == [1, 2, "x"]
    objects = ms.ObjectStream(arriving(text), dict)
    assert [item async for item in objects.elements(("parts", 1, "items"))] == ["x"]


@pytest.mark.parametrize("path", ["name", "pos", ("tags", 0), (), ("tags", "k"), ("pos", 0)])
async def test_a_path_without_an_array_is_refused_at_once(path: Any) -> None:
    objects = ms.ObjectStream(arriving(DOCUMENT), Struct)
    with pytest.raises(ValueError, match=r"Struct has no array at \$"):
        objects.elements(path)


# --- scalars, unions, dates ---


class Colour(enum.Enum):
    RED = "red"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


class Tagged1(msgspec.Struct, tag="one"):
    name: str


class Tagged2(msgspec.Struct, tag="two"):
    name: str


E = TypeVar("E")


class Page(msgspec.Struct, Generic[E]):
    items: list[E]


class ModelPage(pydantic.BaseModel, Generic[E]):
    items: list[E]


class Renamed(msgspec.Struct, rename="camel"):
    full_name: str


class Aliased(pydantic.BaseModel):
    full_name: str = pydantic.Field(alias="fullName")


Names = pydantic.RootModel[list[str]]
UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (int, " 12 ", 12),
        (str, '"a\\u00e9"', "aé"),
        (float, "1.5e3", 1500.0),
        (bool, "true", True),
        (int | None, "null", None),
        (UserId, "7", 7),
        (datetime.date, '"1815-12-10"', datetime.date(1815, 12, 10)),
        (Colour, '"red"', Colour.RED),
        (Literal["a", "b"], '"b"', "b"),
        (list[int], "[1,2]", [1, 2]),
        (tuple[int, str], '[1,"a"]', (1, "a")),
        (set[int], "[1,2,1]", {1, 2}),
        (int | list[str], '["a"]', ["a"]),
        (Annotated[int, pydantic.Field(gt=3)], "4", 4),
        (Cat | Dog, '{"kind":"dog","name":"Rex"}', Dog(kind="dog", name="Rex")),
        (Tagged1 | Tagged2, '{"type":"two","name":"b"}', Tagged2("b")),
        (list[Cat | Dog], '[{"kind":"cat","lives":9}]', [Cat(kind="cat", lives=9)]),
        (Page[Tagged1], '{"items":[{"type":"one","name":"n"}]}', Page([Tagged1("n")])),
        (ModelPage[int], '{"items":[1]}', ModelPage[int](items=[1])),
        (Names, '["a"]', Names(["a"])),
        (Renamed, '{"fullName":"A B"}', Renamed("A B")),
        (Aliased, '{"fullName":"A B"}', Aliased(fullName="A B")),
    ],
    ids=str,
)
async def test_scalars_unions_and_their_like(kind: Any, text: str, expected: Any) -> None:
    assert await ms.ObjectStream(arriving(text), kind).final() == expected
    objects = ms.ObjectStream(arriving(text), kind)
    shown = [partial async for partial in objects.partials(typed=True)]
    assert shown[-1] == expected
    assert objects.last_error is None


async def typed(kind: Any, text: str, **options: Any) -> list[Any]:
    objects = ms.ObjectStream(arriving(text), kind, **options)
    out = [partial async for partial in objects.partials(typed=True)]
    assert objects.last_error is None
    return out


async def test_what_cannot_be_of_its_type_yet_is_withheld() -> None:
    class Event(msgspec.Struct):
        day: datetime.date
        colour: Colour
        note: str | None

    shown = await typed(Event, '{"day":"1815-12-10","colour":"red","note":"ab"}')
    assert {one.day for one in shown} == {UNSET, datetime.date(1815, 12, 10)}
    assert {one.colour for one in shown} == {UNSET, Colour.RED}
    assert [one.note for one in shown if one.note is not UNSET] == ["", "a", "ab", "ab", "ab"]


async def test_arrays_are_of_their_class() -> None:
    class Pair(NamedTuple):
        a: int
        b: str

    assert await typed(list[Pair], '[[1,"a"]]') == [*[[]] * 6, [Pair(1, "a")], [Pair(1, "a")]]
    assert await typed(tuple[int, str], '[1,"a"]') == [(), (1,), (1, ""), (1, "a"), (1, "a"), (1, "a")]
    assert await typed(set[str], '["a","a"]') == [set(), set(), set(), {"a"}, {"a"}, {"a"}, {"a"}, {"a"}]
    assert (await typed(Names, '["a"]'))[2] == Names(["a"])


async def test_an_object_of_a_union_is_shown_once_its_class_is_certain() -> None:
    shown = await typed(list[Cat | Dog], '[{"kind":"dog","name":"Rex"}]')
    assert [len(one) for one in shown] == sorted(len(one) for one in shown)
    names = [one[0].name for one in shown if one]
    assert names == [UNSET, "", "R", "Re", "Rex", "Rex", "Rex", "Rex"]
    assert all(type(one[0]) is Dog for one in shown if one)
    shown = await typed(Tagged1 | Tagged2, '{"type":"two","name":"b"}')
    assert [type(one) for one in shown] == [Tagged2] * len(shown)
    assert [one.name for one in shown][:3] == [UNSET, "", "b"]


async def test_names_on_the_wire_become_the_names_of_fields() -> None:
    for kind in (Renamed, Aliased):
        assert [one.full_name for one in await typed(kind, '{"fullName":"ab"}')] == [UNSET, "", "a", "ab", "ab", "ab"]
        fields = ms.ObjectStream(arriving('{"fullName":"ab"}'), kind).fields()
        assert [each async for each in fields] == [("fullName", "ab")]


async def test_generic_classes_know_their_items() -> None:
    shown = await typed(Page[Tagged1], '{"items":[{"type":"one","name":"n"}]}')
    assert all(type(item) is Tagged1 for one in shown if one.items is not UNSET for item in one.items)
    shown = await typed(ModelPage[ModelPos], '{"items":[{"x":1,"y":2}]}')
    assert next(one.items[0] for one in shown if one.items) == ModelPos.model_construct(x=UNSET, y=UNSET)


B = TypeVar("B", bound=ModelPos)


@dataclasses.dataclass
class ClassPage(Generic[E]):
    first: E
    items: list[E]
    n: int = 0


@pydantic.dataclasses.dataclass
class PydanticPage(Generic[E]):
    first: E
    items: list[E]
    n: int = 0


class DictPage(TypedDict, Generic[E]):
    first: E
    items: list[E]
    n: NotRequired[int]


PAGES = [ClassPage[ModelPos], PydanticPage[ModelPos], DictPage[ModelPos]]


@pytest.mark.parametrize("kind", PAGES, ids=str)
async def test_generic_classes_of_every_kind_know_their_items(kind: Any) -> None:
    text = '{"first":{"x":1,"y":2},"items":[{"x":3,"y":4}],"n":1}'
    shown = [plain(one) for one in await typed(kind, text)]
    assert {"x": 1} in [one["first"] for one in shown if one.get("first")]
    assert [{"x": 3}] in [one["items"] for one in shown if one.get("items")]
    elements = ms.ObjectStream(arriving(text), kind).elements("items")
    assert [one async for one in elements] == [ModelPos(x=3, y=4)]


@pytest.mark.parametrize(
    "kind", [Page, list[B], list[TypeAliasType("Pos", ModelPos)], Page[Annotated[StructPos, {"no": "hash"}]]],
    ids=str,
)  # fmt: skip
async def test_variables_aliases_and_metadata_that_cannot_be_hashed_are_read(kind: Any) -> None:
    text = '[{"x":1,"y":2}]'
    is_list = getattr(kind, "__origin__", kind) is list
    objects = ms.ObjectStream(arriving(text if is_list else f'{{"items":{text}}}'), kind)
    assert [plain(one) async for one in objects.elements(() if is_list else "items")] == [{"x": 1, "y": 2}]
    whole = [{"x": 1, "y": 2}] if is_list else {"items": [{"x": 1, "y": 2}]}
    assert plain(await objects.final()) == whole
    shown = [plain(one) for one in await typed(kind, text if is_list else f'{{"items":{text}}}')]
    assert ([{"x": 1}] if is_list else {"items": [{"x": 1}]}) in shown
    assert shown[-1] == whole


@pytest.mark.parametrize("kind", [list, tuple, tuple[int, str], Names, list[Any]], ids=str)
async def test_arrays_of_every_kind_have_elements(kind: Any) -> None:
    elements = ms.ObjectStream(arriving('["1","a"]' if kind is Names else '[1,"a"]'), kind).elements()
    assert [one async for one in elements] == ["1" if kind is Names else 1, "a"]


class Choices(pydantic.BaseModel):
    full_name: str = pydantic.Field(validation_alias=pydantic.AliasChoices("fullName", pydantic.AliasPath("name")))
    deep: str = pydantic.Field("", validation_alias=pydantic.AliasPath("a", "b"))


@pytest.mark.parametrize("name", ["fullName", "name"])
async def test_each_of_several_aliases_becomes_the_field(name: str) -> None:
    shown = await typed(Choices, f'{{"{name}":"ab","a":{{"b":"c"}}}}')
    assert [one.full_name for one in shown if one.full_name is not UNSET][:3] == ["", "a", "ab"]
    assert (shown[-2].deep, shown[-1].deep) == ("", "c"), "a path into an object is known when the object is"


async def test_a_dataclass_of_pydantic_has_its_aliases_and_defaults_in_partials() -> None:
    @pydantic.dataclasses.dataclass
    class Person:
        full_name: str = pydantic.Field(alias="fullName")
        age: int = pydantic.Field(default=3, gt=2)
        tags: list[str] = pydantic.Field(default_factory=lambda: ["none"])

    shown = await typed(Person, '{"fullName":"ab","age":4,"tags":[]}')
    assert [(one.full_name, one.age, one.tags) for one in shown[:4]] == [
        (UNSET, 3, ["none"]), ("", 3, ["none"]), ("a", 3, ["none"]), ("ab", 3, ["none"]),
    ]  # fmt: skip
    assert shown[0].tags is not shown[1].tags
    assert shown[-1] == Person(fullName="ab", age=4, tags=[])


async def test_a_partial_can_be_dumped_as_what_has_arrived() -> None:
    cut = DOCUMENT[: DOCUMENT.index(',"y"') + 5]
    expected = {"name": "Ada L", "born": "1815-12-10", "pos": {"x": 1}}
    for kind in (Model, Struct):
        objects = ms.ObjectStream(arriving(cut), kind)
        shown: list[Any] = []
        with pytest.raises(ms.errors.IncompleteJSON):
            await drain(objects.partials(typed=True), shown)
        dumped = shown[-1].model_dump(exclude_unset=True) if kind is Model else msgspec.to_builtins(shown[-1])
        assert {name: dumped[name] for name in expected} == expected


async def test_a_closed_part_that_is_refused_stops_the_partials_and_says_why() -> None:
    objects = ms.ObjectStream(arriving('{"pos":{"x":1,"y":"no"},"name":"a"}'), Struct)
    shown = [plain(partial) async for partial in objects.partials(typed=True)]
    assert shown[-1] == {"pos": {"x": 1}, "tags": [], "more": None}
    assert "Expected `int`" in str(objects.last_error)
    with pytest.raises(ms.ObjectInvalid):
        await objects.final()


async def test_a_class_that_cannot_be_made_in_part_is_left_out() -> None:
    class Picky(msgspec.Struct):
        a: int
        b: int

        def __post_init__(self) -> None:
            if self.b < self.a:
                raise ValueError("b before a")

    objects = ms.ObjectStream(arriving('{"a":1,"b":2}'), Picky)
    assert [one async for one in objects.partials(typed=True)] == [Picky(1, 2)]
    assert isinstance(objects.last_error, TypeError)


# --- who validates ---


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Model, "pydantic"), (list[Model], "pydantic"), (dict[str, Model | None], "pydantic"), (Names, "pydantic"),
        (Annotated[int, pydantic.Field(gt=3)], "pydantic"), (Annotated[int, annotated_types.Gt(3)], "pydantic"),
        (Annotated[int, msgspec.Meta(gt=3)], "msgspec"), (Struct, "msgspec"), (Class, "msgspec"), (Dict, "msgspec"),
        (dict, "msgspec"), (int | None, "msgspec"), (Page[Tagged1], "msgspec"),
    ],
    ids=str,
)  # fmt: skip
async def test_the_type_decides_who_validates(kind: Any, name: str) -> None:
    assert choose(kind).name == name


async def test_backend_overrules() -> None:
    with pytest.raises(ms.ObjectInvalid):
        await ms.ObjectStream(arriving('["1"]'), list[int]).final()
    assert await ms.ObjectStream(arriving('["1"]'), list[int], backend="pydantic").final() == [1]
    with pytest.raises(ValueError, match="backend must be"):
        ms.ObjectStream(arriving("1"), int, backend="jsonschema")  # type: ignore[call-overload]


async def test_a_type_that_nobody_can_read_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="msgspec cannot read"):
        ms.ObjectStream(arriving("1"), list[Struct | StructPos])
    with pytest.raises(TypeError, match="pydantic cannot read"):
        ms.ObjectStream(arriving("1"), dict[str, Model | Struct])


@dataclasses.dataclass
class Unfinished:
    later: list[Later]  # noqa: F821  (that is the point)


@pydantic.dataclasses.dataclass
class PydanticUnfinished:
    later: list[Later]  # noqa: F821


class ModelUnfinished(pydantic.BaseModel):
    later: list[Later]  # noqa: F821


@pytest.mark.parametrize("kind", [Unfinished, PydanticUnfinished, ModelUnfinished, list[ModelUnfinished]], ids=str)
@pytest.mark.parametrize("lenient", [False, True])
async def test_a_type_with_a_name_that_is_not_defined_is_refused_at_once(kind: Any, lenient: bool) -> None:
    with pytest.raises(TypeError, match=r"cannot read .*: .*'Later'"):
        ms.ObjectStream(arriving("{}"), kind, lenient=lenient)


async def test_a_type_whose_names_are_defined_later_is_read() -> None:
    class Outer(pydantic.BaseModel):
        inner: DefinedLater  # noqa: F821

    class Inner(pydantic.BaseModel):
        n: int

    Outer.model_rebuild(_types_namespace={"DefinedLater": Inner})
    assert (await ms.ObjectStream(arriving('{"inner":{"n":1}}'), Outer).final()).inner == Inner(n=1)


@pytest.mark.parametrize(
    ("kind", "text"),
    [(Names, '["a"]'), (list[str], '["a"]'), (dict[str, int] | list[str], '["a"]'), (Any, '["a"]'), (dict, '{"a":1}'),
     (Any, '{"a":1}'), (Struct, DOCUMENT)],
    ids=str,
)  # fmt: skip
async def test_lenient_finds_in_prose_what_the_type_may_start_with(kind: Any, text: str) -> None:
    other = "{not}" if text.startswith("[") and kind in (Names, list[str]) else ""
    objects = ms.ObjectStream(arriving(f"Here {other} it is:\n```json\n{text}\n```\nDone."), kind, lenient=True)
    assert await objects.final() == await ms.ObjectStream(arriving(text), kind).final()
    assert objects.raw == text.encode()


async def test_constraints_of_either_library_are_kept() -> None:
    for meta in (msgspec.Meta(gt=3), annotated_types.Gt(3), pydantic.Field(gt=3)):
        with pytest.raises(ms.ObjectInvalid):
            await ms.ObjectStream(arriving("[3]"), list[Annotated[int, meta]]).final()


def test_without_pydantic_msgspec_does_and_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["pydantic"] = None
import anyio, millstream as ms
async def source():
    yield "[1]"
assert anyio.run(ms.ObjectStream(source(), list[int]).final) == [1]
try:
    ms.ObjectStream(source(), list[int], backend="pydantic")
except ms.errors.MissingExtra as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "pip install 'millstream[pydantic]'" in done.stdout, done.stderr
