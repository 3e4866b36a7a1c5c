"""A typed function becomes a tool: schema, docstring, arguments, and what cannot become one."""

from __future__ import annotations

import datetime
import sys
import typing
from dataclasses import dataclass
from functools import partial, wraps
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest

import millstream as ms
from millstream.tools._arguments import ArgumentsInvalid
from millstream.tools._docstring import read_docstring

CONTEXT = ms.ToolContext(call=ms.ToolCall("id", "x"))


class Place(msgspec.Struct):
    city: str
    near: list[Place] = []


class Model(pydantic.BaseModel):
    n: int = pydantic.Field(gt=0)


@dataclass
class Pair:
    left: int
    right: Model | None = None


def weather(place: Place, days: int = 1, unit: Literal["C", "F"] = "C", context: ms.ToolContext | None = None) -> str:
    """Tell the weather.

    Rain, mostly.

    Args:
        place: where, as
            exactly as known
        unit (str): of the temperature
        nonsense: of no parameter

    Returns:
        words
    """
    return f"{place.city} {days} {unit} {context and context.call_id}"


def test_r0104_a_tool_is_made_of_signature_and_docstring() -> None:
    [spec] = ms.tools.tool_specs([weather])
    place = {"$ref": "#/$defs/Place", "description": "where, as exactly as known"}
    assert (spec.name, spec.description) == ("weather", "Tell the weather.\n\nRain, mostly.")
    assert spec.parameters == {
        "type": "object",
        "properties": {
            "place": place,
            "days": {"type": "integer", "default": 1},
            "unit": {"enum": ["C", "F"], "default": "C", "description": "of the temperature"},
        },
        "required": ["place"],
        "additionalProperties": False,
        "$defs": {
            "Place": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "near": {"type": "array", "items": {"$ref": "#/$defs/Place"}, "default": []},
                },
                "required": ["city"],
            }
        },
    }


def test_a_strict_tool_has_a_strict_schema_and_still_takes_what_the_function_takes() -> None:
    made = ms.tool(strict=True)(weather)
    assert made.spec.strict is True
    assert made.spec.parameters["required"] == ["place", "days", "unit"]
    assert "default" not in str(made.spec.parameters)
    place = made.spec.parameters["$defs"]["Place"]
    assert (place["required"], place["additionalProperties"]) == (["city", "near"], False)
    assert made.bind(b'{"place":{"city":"Rome","near":[]},"days":2,"unit":"F"}', CONTEXT)() == "Rome 2 F id"
    assert ms.tool(weather).spec.parameters["required"] == ["place"], "only where it is wished for"


def test_what_cannot_be_strict_is_refused_where_the_tool_is_made() -> None:
    def tag(labels: dict[str, str]) -> None:
        """Tag it."""

    with pytest.raises(ms.errors.Inexpressible, match=r"cannot say an object with any keys \(#/properties/labels\)"):
        ms.tool(strict=True)(tag)


def test_a_schema_of_the_callers_own_is_strict_already_or_his_own_affair() -> None:
    own = {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}
    assert ms.tools.Tool(lambda a: a, name="f", parameters=own, strict=True).spec.parameters == own


Short = typing.NewType("Short", Annotated[str, pydantic.Field(max_length=3)])  # type: ignore[valid-newtype]


@pytest.mark.parametrize("hint", [Short, list[Short], Annotated[int, pydantic.Field(lt=9)], Pair])
def test_pydantic_is_found_behind_names_too(hint: Any) -> None:
    def take(it: Any) -> Any:
        """Take it."""
        return it

    take.__annotations__["it"] = hint
    with pytest.raises(ArgumentsInvalid, match="it"):
        ms.tool(take).bind(b'{"it":["too long"]}' if hint == list[Short] else b'{"it":"too long"}', CONTEXT)


def test_r0104_tools_are_registered_by_name_and_a_name_is_taken_once() -> None:
    tools = [weather, ms.tool(name="other")(weather), ms.ToolSpec("described")]
    assert list(ms.tools.ToolRunner(tools).tools) == ["weather", "other", "described"]
    with pytest.raises(ms.errors.InvalidMessage, match=r"tools\[1\] has a name that is taken: 'weather'") as caught:
        ms.tools.tool_specs([weather, weather])
    assert caught.value.field == "tools[1].name"


def test_arguments_become_what_the_annotations_say() -> None:
    made = ms.tool(weather)
    assert made.bind(b'{"place":{"city":"Rome","near":[{"city":"Ostia"}]},"unit":"F"}', CONTEXT)() == "Rome 1 F id"


def test_a_tool_can_still_be_called() -> None:
    @ms.tool(timeout=3.0)
    def double(n: int) -> int:
        """Double it."""
        return 2 * n

    assert (double(4), double.__name__, double.__doc__, double.timeout) == (8, "double", "Double it.", 3.0)
    assert repr(double) == "Tool('double')"


def test_pydantic_validates_what_has_anything_of_pydantic_in_it() -> None:
    def paint(pair: Pair, n: Annotated[int, pydantic.Field(lt=9)] = 3, json: str = "", _u: int = 0) -> Any:
        """Paint.

        :param pair: what
        :returns: nothing
        """
        return pair, n

    made = ms.tool(paint)
    assert made.parameters["properties"]["n"] == {"type": "integer", "default": 3, "exclusiveMaximum": 9}
    assert made.parameters["properties"]["pair"]["description"] == "what"
    assert made.parameters["additionalProperties"] is False
    assert "title" not in repr(made.parameters)
    assert made.bind(b'{"pair":{"left":1,"right":{"n":2}}}', CONTEXT)() == (Pair(1, Model(n=2)), 3)
    with pytest.raises(ArgumentsInvalid) as caught:
        made.bind(b'{"pair":{"left":1,"right":{"n":0}},"n":9,"more":1}', CONTEXT)
    assert str(caught.value) == (
        "pair.right.n: Input should be greater than 0; n: Input should be less than 9; "
        "more: Unexpected keyword argument"
    )


def test_a_property_named_title_stays_in_the_schema() -> None:
    def add(title: str, model: Model | None = None) -> None: ...

    def plain(title: str) -> None: ...

    assert ms.tool(add).parameters["properties"]["title"] == {"type": "string"}
    assert ms.tool(plain).parameters["properties"]["title"] == {"type": "string"}


TOO_DEEP = "Stack overflow" if sys.version_info >= (3, 14) else "recursion depth"  # the interpreter's words


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"place":{"city":1}}', "Expected `str`, got `int` - at `$.place.city`"),
        (b'{"place":{"city":"x"},"more":1}', "unknown field `more`"),
        (b"{}", "missing required field `place`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"place', "truncated"),
        (b"\xff", "malformed"),
        (b'{"place":' + b'{"city":"x","near":[' * 20_000, TOO_DEEP),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_what_does_not_fit_is_told_with_its_path(data: bytes, said: str) -> None:
    with pytest.raises(ArgumentsInvalid) as caught:
        ms.tool(weather).bind(data, CONTEXT)
    assert said in str(caught.value)


def test_defaults_that_are_no_json_are_used_as_they_are() -> None:
    sentinel, many = object(), [1, 2]

    def keep(a: Any = sentinel, b: list[int] = many, c: datetime.date = datetime.date(2020, 1, 1)) -> Any:
        return a, b, c

    made = ms.tool(keep)
    assert made.bind(b"{}", CONTEXT)() == (sentinel, many, datetime.date(2020, 1, 1))
    assert made.parameters["required"] == []


def test_defaults_beside_a_type_of_pydantic_are_used_as_they_are() -> None:
    sentinel, many = object(), [1, 2]

    def keep(model: Model, a: Any = sentinel, b: list[int] = many) -> Any:
        return model, a, b

    made = ms.tool(keep)
    model, a, b = made.bind(b'{"model":{"n":1}}', CONTEXT)()
    assert (model, a is sentinel, b is many) == (Model(n=1), True, True)
    assert made.parameters["required"] == ["model"]


def test_every_kind_of_callable() -> None:
    class Desk:
        def __call__(self, n: int) -> int:
            """Called."""
            return n + 1

        def method(self, n: int, /, m: int) -> int:
            return n - m

        async def later(self, n: int) -> int:
            return n

    def add(a: int, b: int, *, c: int = 0) -> int:
        """Add."""
        return a + b + c

    desk = Desk()
    assert ms.tool(desk).name == "Desk"  # type: ignore[call-overload]
    assert ms.tool(desk).description == "Called."
    assert ms.tool(desk).bind(b'{"n":1}', CONTEXT)() == 2
    assert ms.tool(desk.method).bind(b'{"m":1,"n":5}', CONTEXT)() == 4
    assert ms.tool(desk.later).is_async
    bound = ms.tool(partial(add, c=5))
    assert (bound.name, bound.description, list(bound.parameters["properties"])) == ("add", "Add.", ["a", "b"])
    assert bound.bind(b'{"a":1,"b":2}', CONTEXT)() == 8
    assert list(ms.tool(partial(add, 1)).parameters["properties"]) == ["b", "c"]


def test_types_of_a_function_body_are_found_where_the_tool_is_made() -> None:
    class Local(msgspec.Struct):
        z: int

    def use(local: Local) -> int:
        return local.z

    assert ms.tool(use).bind(b'{"local":{"z":3}}', CONTEXT)() == 3
    assert "Local" in ms.tools.tool_specs([use])[0].parameters["$defs"]


def returns(x: int) -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    return x


def test_what_a_function_returns_need_not_be_known() -> None:
    assert ms.tool(returns).bind(b'{"x":1}', CONTEXT)() == 1


def test_a_wrapped_function_keeps_its_types() -> None:
    @wraps(weather)
    def timed(*args: Any, **kwargs: Any) -> str:
        return weather(*args, **kwargs) + "!"

    made = ms.tool(timed)
    assert made.parameters == ms.tool(weather).parameters
    assert made.bind(b'{"place":{"city":"Rome"}}', CONTEXT)() == "Rome 1 C id!"


def test_a_given_schema_is_not_looked_behind() -> None:
    def anything(context: ms.ToolContext, **named: Any) -> Any:
        """Any."""
        return named, context

    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    made: Any = ms.tools.Tool(anything, name="mcp.search", parameters=schema)
    assert made.spec == ms.ToolSpec("mcp.search", "Any.", schema)
    assert made.bind(b'{"q":1}', CONTEXT)() == ({"q": 1}, CONTEXT)
    with pytest.raises(ArgumentsInvalid):
        made.bind(b"[1]", CONTEXT)
    assert ms.tools.Tool(print, parameters=schema).spec.parameters == schema


def test_a_function_of_which_python_knows_no_signature_is_a_tool_with_a_schema_of_its_own() -> None:
    made: Any = ms.tools.Tool(dict, name="echo", parameters={"type": "object"})
    assert made.bind(b'{"context":1}', CONTEXT)() == {"context": 1}


def untyped(x):
    return x


def starred(*parts: int) -> None: ...


def unknown(x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


def impossible(x: type(NotImplemented)) -> None: ...  # type: ignore[valid-type]


def generator(n: int) -> Any:
    yield n


@pytest.mark.parametrize(
    ("fn", "error", "said"),
    [
        (untyped, TypeError, "parameter 'x' of untyped has no type"),
        (starred, TypeError, r"parameter \*parts.* of starred"),
        (unknown, TypeError, "the type 'Nowhere' is not known"),
        (impossible, TypeError, "no JSON schema can be made for impossible"),
        (generator, TypeError, "a tool returns its result"),
        (test_r0104_tools_are_registered_by_name_and_a_name_is_taken_once.__class__, TypeError, "."),
        (lambda: 1, ValueError, "'<lambda>' is no name"),
        ("weather", TypeError, "not of str"),
    ],
    ids=lambda value: getattr(value, "__name__", "-"),
)
def test_what_cannot_be_a_tool_says_why(fn: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        ms.tool(fn)


def test_a_method_of_a_class_says_what_to_do() -> None:
    with pytest.raises(TypeError, match="make a tool of the bound one"):

        class Desk:
            @ms.tool
            def method(self, n: int) -> int:
                return n


@pytest.mark.parametrize("timeout", [0, -1.0])
def test_a_timeout_lets_something_run(timeout: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ms.tool(timeout=timeout)(weather)


GOOGLE = """Say it. Note: twice.

Args:
    a: first
        note: words
    b (int, optional): second

    *c: third
Returns:
    a: not a parameter

Afterwards prose.
"""
NUMPY = """Say it. Note: twice.

Parameters
----------
a : int
    first
    note: words
b
    second
*c
    third

Returns
-------
a : int
    not a parameter
"""
SPHINX = """Say it. Note: twice.

:param a: first
    note: words
:param int b: second
:parameter c: third
:returns: a: not
    a parameter
:rtype: int
"""


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_three_styles_of_docstrings(text: str) -> None:
    words, said = read_docstring(text, "abc")
    assert words.removesuffix("Afterwards prose.").strip() == "Say it. Note: twice."
    assert said == {"a": "first note: words", "b": "second", "c": "third"}


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (None, "", {}),
        ("", "", {}),
        ("One line.", "One line.", {}),
        ("Args: a: on one line.", "", {"a": "on one line."}),
        ("Prose: with colons.\n\na: not an entry here", "Prose: with colons.\n\na: not an entry here", {}),
        ("X.\n\nExamples\n--------\nkept", "X.\n\nExamples\n--------\nkept", {}),
        ("X.\n\nArguments:\n    a: y\n\nNote that.", "X.\n\nNote that.", {"a": "y"}),
        ("Args:\n    z: unknown\n    a: known", "", {"a": "known"}),
        ("Args:\n    Both of them are optional.\n    a: known", "", {"a": "known"}),
    ],
)
def test_docstrings_that_are_odd(text: str | None, words: str, said: dict[str, str]) -> None:
    got, entries = read_docstring(text, "ab")
    assert (got.replace("\n\n\n", "\n\n"), entries) == (words, said)


def test_without_pydantic_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def take(model: Model) -> None: ...

    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(ms.errors.MissingExtra, match=r"pip install 'millstream\[pydantic\]'"):
        ms.tool(take)
    assert ms.tool(weather).name == "weather"


def test_a_class_is_a_tool_that_makes_one() -> None:
    assert ms.tool(Pair).bind(b'{"left":1}', CONTEXT)() == Pair(1)


def test_pydantic_names_so_many_errors_and_counts_the_rest() -> None:
    def take(many: list[Annotated[int, pydantic.Field(gt=0)]]) -> None: ...

    with pytest.raises(ArgumentsInvalid, match=r"many\.4: .* \(and 3 more\)$"):
        ms.tool(take).bind(b'{"many":[0,0,0,0,0,0,0,0]}', CONTEXT)


@pytest.mark.parametrize("given", ["weather", {"weather": print}, None, print, ms.ToolSpec("f", "", {})])
def test_tools_are_several(given: Any) -> None:
    with pytest.raises(TypeError, match="tools must be several"):
        ms.tools.tool_specs(given)
