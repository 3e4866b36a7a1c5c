"""What a type checker must infer. Read by mypy in `test_typing.py`, never run."""

from dataclasses import dataclass
from typing import Any, assert_type

import msgspec
import pydantic

import millstream as ms


class User(msgspec.Struct):
    name: str


class Model(pydantic.BaseModel):
    name: str


@dataclass
class Plain:
    name: str


async def source() -> Any: ...


async def cases(events: ms.Stream[ms.Event]) -> None:
    user = ms.ObjectStream(events, User)
    assert_type(user, ms.ObjectStream[User])
    assert_type(await user.final(), User)
    assert_type(await ms.ObjectStream(events, Model).final(), Model)
    assert_type(await ms.ObjectStream(events, Plain, call="weather", lenient=True).final(), Plain)
    assert_type(await ms.ObjectStream(events, list[User]).final(), list[User])
    assert_type(await ms.ObjectStream(events, dict[str, int]).final(), dict[str, int])
    either: ms.ObjectStream[User | Model] = ms.ObjectStream(events, User | Model)  # no checker infers a union here
    assert_type(await either.final(), User | Model)
    async with ms.ObjectStream(events, User) as objects:
        assert_type(objects, ms.ObjectStream[User])
        async for partial in objects.partials(typed=True):
            assert_type(partial, User)
        async for live in objects.partials():
            assert_type(live, Any)
        async for delta in objects.deltas():
            assert_type(delta, ms.ObjectDelta)
        async for event in objects.events():
            assert_type(event, ms.Event)
        async for name, _ in objects.fields():
            assert_type(name, str)
    assert_type(ms.objects.json_schema(User), dict[str, Any])
