"""Messages, parts and requests: what they accept, what they refuse by name, and their way to JSON and back."""

from __future__ import annotations

import re
from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import millstream as ms
from millstream.protocols.requests import request_names

PNG = b"\x89PNG" + bytes(200)


def test_strings_are_what_the_user_says() -> None:
    said = ms.Message("user", "Hi")
    assert ms.messages.as_messages("Hi") == ms.messages.as_messages(said) == ms.messages.as_messages(["Hi"]) == [said]
    assert ms.messages.as_messages({"role": "user", "content": "Hi"}) == [said]
    assert ms.messages.as_messages([{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]) == [said]
    assert ms.Request(messages="Hi").messages == (said,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "there is no message"),
        ([5], r"messages\[0\] is a int"),
        (["a", {"role": "robot", "content": "b"}], r"messages\[1\]: role must be one of system, user"),
        ({"role": "user", "parts": [{"type": "smell"}]}, r"messages\[0\]: .*smell"),
        ({"role": "user", "parts": [{"type": "image"}]}, "needs one of data, url and file_id, got none"),
        ({"content": "x"}, "missing required field `role`"),
    ],
)
def test_what_is_no_message_is_refused_by_its_place(given: object, said: str) -> None:
    with pytest.raises(ms.errors.InvalidMessage, match=said) as caught:
        ms.messages.as_messages(given)
    assert caught.value.field.startswith("messages")


def test_texts_and_images_of_openai_are_read() -> None:
    inline = "data:image/png;base64," + b64encode(PNG).decode()
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": inline}},
    ]
    parts = ["What is it?", ms.ImagePart(url="https://x.test/a.png", detail="low"), ms.ImagePart(PNG)]
    assert ms.messages.as_messages({"role": "user", "content": content}) == [ms.Message("user", parts)]


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"role": "user"}, ".parts", "give content or parts"),
        ({"role": "user", "parts": []}, ".parts", "give content or parts"),
        ({"role": "user", "contents": "Hi"}, ".contents", "known are content, origin, parts, role"),
        ({"role": "user", "content": "Hi", "name": "Ann"}, ".name", "is not read"),
        ({"role": "user", "content": "Hi", "parts": []}, ".content", "give one of them"),
        ({"role": "user", "content": None}, ".content", "a string or a list"),
        ({"role": "user", "content": []}, ".content", "a string or a list"),
        ({"role": "user", "content": [{"type": "input_audio"}]}, ".content[0]", "'input_audio' is not read"),
        ({"role": "user", "content": ["a", {"type": "text", "txt": "b"}]}, ".content[1]", "is not read"),
        (
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]},
            ".content[0].cache_control",
            "is not read",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,?"}}]},
            ".content[0].image_url.url",
            "no data: URL",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/svg+xml,<svg/>"}}]},
            ".content[0].image_url.url",
            "it must say ;base64,",
        ),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, ".tool_calls", "ToolCallPart(id, name, input)"),
        ({"role": "assistant", "tool_calls": [CALL]}, ".tool_calls", "ToolCallPart(id, name, input)"),
        ({"role": "tool", "tool_call_id": "a", "content": "5"}, ".tool_call_id", "ToolResultPart(id, name, content)"),
        ({"role": "user", "parts": [{"type": "text", "text": "a", "x": 1}]}, ".parts[0].x", "is not read"),
    ],
)
def test_nothing_of_a_mapping_is_lost_silently(given: dict, field: str, said: str) -> None:
    with pytest.raises(ms.errors.InvalidMessage, match=re.escape(said)) as caught:
        ms.messages.as_messages(["Hi", given])
    assert caught.value.field == "messages[1]" + field


@pytest.mark.parametrize("given", [None, 3, b"Hi"])
def test_what_is_no_conversation_is_refused(given: object) -> None:
    with pytest.raises(ms.errors.InvalidMessage, match="give a string, a Message"):
        ms.messages.as_messages(given)


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("system", ms.ImagePart(PNG)),
        ("user", ms.messages.ToolCallPart("a", "f")),
        ("user", ms.messages.ReasoningPart("hm")),
        ("assistant", ms.messages.ToolResultPart("a", "f")),
        ("tool", "text"),
        ("user", 5),
    ],
)
def test_each_role_takes_its_own_parts(role: str, part: object) -> None:
    with pytest.raises(ms.errors.InvalidMessage, match=rf"parts\[1\] of a {role} message") as caught:
        ms.Message(role, [ms.messages.ToolResultPart("a", "f") if role == "tool" else "x", part])
    assert caught.value.field == "parts[1]"


def test_text_and_calls_of_a_message() -> None:
    call = ms.messages.ToolCallPart("a", "f", {"x": 1})
    message = ms.Message("assistant", ["a", ms.messages.ReasoningPart("hm"), "b", call])
    assert (message.text, message.tool_calls) == ("ab", (call,))
    assert (call.input, call.arguments) == ('{"x":1}', {"x": 1})
    assert ms.messages.ToolCallPart("a", "f").arguments == {}
    assert ms.messages.ToolCallPart("a", "f", "+1 -2", custom=True).arguments == "+1 -2"
    with pytest.raises(ValueError, match="truncated"):
        _ = ms.messages.ToolCallPart("a", "f", '{"x"', "incomplete").arguments


def test_results_take_any_value() -> None:
    assert ms.messages.ToolResultPart("a", "f", "words").content == "words"
    assert ms.messages.ToolResultPart("a", "f", {"x": [1]}).content == '{"x":[1]}'
    assert ms.messages.ToolResultPart("a", "f", None).content == "null"
    assert ms.messages.ToolResultPart("a", "f", ["a", "b"]).content == '["a","b"]'
    assert ms.messages.ToolResultPart("a", "f", ms.ImagePart(PNG)).content == (ms.ImagePart(PNG),)
    assert ms.messages.ToolResultPart("a", "f", ["a", ms.ImagePart(PNG)]).content == (
        ms.TextPart("a"),
        ms.ImagePart(PNG),
    )
    with pytest.raises(ms.errors.InvalidMessage, match="one JSON value"):
        ms.messages.ToolResultPart("a", "f", [1, ms.ImagePart(PNG)])


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"?", ""),
    ],
)
def test_bytes_tell_their_media_type(data: bytes, media_type: str) -> None:
    assert ms.FilePart(data).media_type == media_type
    assert ms.FilePart(data, media_type="x/y").media_type == "x/y"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": 1.5}, "seed"),
        ({"stop": ["a", ""]}, "stop"),
        ({"tools": [ms.ToolSpec("f"), ms.ToolSpec("f")]}, "tools[1].name"),
        ({"tools": [ms.ToolSpec("")]}, "tools[0].name"),
        ({"tools": [ms.ToolSpec("auto")]}, "tools[0].name"),
        ({"tool_choice": "f"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"messages": []}, "messages"),
    ],
)
def test_values_that_no_provider_takes(settings: dict, field: str) -> None:
    with pytest.raises(ms.errors.InvalidMessage) as caught:
        ms.Request(**{"messages": "Hi"} | settings)
    assert caught.value.field == field
    assert field.split("[")[0].removesuffix("s") in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_settings_at_their_bounds() -> None:
    request = ms.Request(messages="Hi", max_tokens=1, temperature=0, top_p=1, stop="x", seed=-1, tool_choice="none")
    assert request.stop == ("x",)


def test_a_repr_shows_no_payload() -> None:
    key = "k" * 500
    parts = [ms.ImagePart(PNG), ms.TextPart("t" * 500), ms.FilePart(PNG, media_type="x/y")]
    opaque = [
        ms.messages.ReasoningPart("r", key, key),
        ms.messages.ProviderPart({"data": key}),
        ms.TextPart("x", opaque={"s": key}),
    ]
    request = ms.Request(messages=[ms.Message("user", parts), ms.Message("assistant", opaque)], extra={"x": key})
    assert len(repr(request)) < 1500
    assert "k" * 70 not in repr(request)
    assert repr(ms.Message("user", "Hi")) == "Message(role='user', parts=(TextPart(text='Hi'),))"
    assert repr(ms.Request(messages="Hi")).endswith("(TextPart(text='Hi'),)),))")


def test_portable_leaves_out_what_only_its_provider_reads() -> None:
    call = ms.messages.ToolCallPart("a", "f", opaque={"thoughtSignature": "s"})
    parts = [
        ms.messages.ReasoningPart("hm"),
        "So.",
        ms.messages.ProviderPart({"x": 1}),
        call,
        ms.TextPart("", opaque={"s": "t"}),
    ]
    message = ms.Message("assistant", parts, "gemini")
    assert message.portable() == ms.Message("assistant", ["So.", ms.messages.ToolCallPart("a", "f")])
    assert message.parts[3].opaque, "the message itself stays as it was"
    request = ms.Request(messages=["Hi", message], model="m")
    assert request.portable().messages == (ms.Message("user", "Hi"), message.portable())


text = st.text(max_size=8)
opaque = st.none() | st.dictionaries(text, text, max_size=2)
blob = st.one_of(
    st.builds(dict, data=st.binary(min_size=1, max_size=8)),
    st.builds(dict, url=text.filter(bool)),
    st.builds(dict, file_id=text.filter(bool)),
)
images = st.builds(
    lambda source, detail, extra: ms.ImagePart(**source, detail=detail, opaque=extra), blob, text, opaque
)
files = st.builds(lambda source, name, kind: ms.FilePart(**source, name=name, media_type=kind), blob, text, text)
words = st.builds(ms.TextPart, text, opaque=opaque)
validity = st.sampled_from(["valid", "incomplete", "invalid"])
calls = st.builds(ms.messages.ToolCallPart, text, text, text, validity, st.booleans(), opaque=opaque)
content = text | st.lists(words | images | files, min_size=1, max_size=2)
results = st.builds(ms.messages.ToolResultPart, text, text, content, st.booleans())
reasoning = st.builds(ms.messages.ReasoningPart, text, st.none() | text, st.none() | text, opaque=opaque)
provider = st.builds(ms.messages.ProviderPart, st.dictionaries(text, text, max_size=2))
refusals = st.builds(ms.messages.RefusalPart, text)
assistant = st.lists(words | refusals | reasoning | calls | images | files | provider, max_size=4)
messages = st.one_of(
    st.builds(ms.Message, st.just("system"), st.lists(words, max_size=2)),
    st.builds(ms.Message, st.just("user"), st.lists(words | images | files, max_size=3)),
    st.builds(ms.Message, st.just("assistant"), assistant, text),
    st.builds(ms.Message, st.just("tool"), st.lists(results, max_size=3)),
)


@given(messages)
def test_a_message_comes_back_from_json_as_it_was(message: ms.Message) -> None:
    data = msgspec.json.encode(message)
    assert msgspec.json.decode(data, type=ms.Message) == message
    if message.parts or message.role == "assistant":
        assert ms.messages.as_messages(msgspec.json.decode(data)) == [message]


@given(st.lists(messages, min_size=1, max_size=3))
def test_a_request_comes_back_from_json_as_it_was(talk: list[ms.Message]) -> None:
    request = ms.Request(messages=talk, model="m", tools=[ms.ToolSpec("f")], response_format=ms.ResponseFormat({}))
    assert msgspec.json.decode(msgspec.json.encode(request), type=ms.Request) == request


@given(st.lists(messages, min_size=1, max_size=4), st.sampled_from(request_names()))
def test_every_conversation_is_written_or_refused_by_name(talk: list[ms.Message], wire: str) -> None:
    request = ms.Request(messages=talk, model="m")
    try:
        body = ms.request_body(wire, request)
    except (ms.errors.Inexpressible, ms.errors.InvalidMessage) as error:
        body = {"refused": error.field.index("messages")}
    msgspec.json.encode(body)
