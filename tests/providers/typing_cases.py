"""What a type checker must infer. Read by mypy in `test_typing.py`, never run."""

from typing import Any, assert_type

import msgspec

import millstream as ms
from providers.test_requests import Parrot


class User(msgspec.Struct):
    name: str


def add(a: int, b: int) -> int:
    return a + b


async def cases(model: ms.Provider, http: ms.providers.OpenAIChat) -> None:
    assert_type(ms.provider("openai:m"), ms.Provider)
    assert_type(model.stream_text("hi"), ms.Stream[ms.Event])
    assert_type(
        await model.generate_text("hi", max_tokens=5, tools=[add], stop_when=ms.max_steps(2)), ms.providers.TextResult
    )
    assert_type(model.stream_object("hi", User), ms.ObjectStream[User])
    assert_type((await model.generate_object("hi", User)).object, User)
    assert_type((await http.generate_object("hi", list[User], mode="words")).object, list[User])
    assert_type((await http.generate_object("hi", {"type": "object"})).object, Any)
    assert_type(http.stream_object("hi", User, lenient=True), ms.ObjectStream[User])
    assert_type(ms.Conversation(model, system="s").say("hi"), ms.Stream[ms.Event])
    theirs: ms.Provider = Parrot("x")
    ours: ms.Provider = http
    ms.Conversation(theirs, tools=[add], handoffs={"other": ours})
    http.stream_text("hi", max_token=5)  # type: ignore[call-arg]
    http.stream_text("hi", temperature="hot")  # type: ignore[arg-type]
