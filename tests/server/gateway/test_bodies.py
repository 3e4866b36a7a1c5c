"""What bodies mean, and what is said of those that cannot be read: the path of the fault, and status 400."""

import time

import orjson
import pytest

import millstream as ms
from millstream.errors import IncompleteStream, InvalidMessage
from millstream.events import Finish, FinishReason, Start, ToolCall, ToolCallDelta
from millstream.messages import FilePart, ImagePart, ReasoningPart, RefusalPart, TextPart, ToolCallPart, ToolResultPart
from millstream.protocols.encoders.openai_chat import OpenAIChatEncoder
from millstream.protocols.requests import request_body
from millstream.server.gateway._chat_body import ChatBody, read_messages
from millstream.server.gateway._chats import read_chat, read_ui
from millstream.server.gateway._completion import Completion
from millstream.server.gateway._http import Refused
from millstream.server.gateway._settings import MAX_DEPTH, MAX_VALUES, typed
from millstream.server.gateway._ui_body import UIBody, chat_stream_id, read_ui_messages

PNG = "data:image/png;base64,iVBORw0KGgo="
CONTENT = "messages[0].content[0]"
USER = {"role": "user", "content": "Hi"}


def part(kind, value):
    """A message of the user with one part."""
    return [{"role": "user", "content": [{"type": kind, kind: value}]}]


class Named:
    def __init__(self, protocol):
        self.protocol = protocol


MODELS = {"m": Named("openai-compatible"), "claude": Named("anthropic-messages"), "bare": object()}


def read(**members):
    return read_chat(orjson.dumps({"model": "m", "messages": [USER], **members}), MODELS, expose=False)


def read_all(*messages):
    return read_messages(typed({"messages": list(messages)}, ChatBody)[0].messages)


def test_every_kind_of_message_is_read():
    messages = read_all(
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hm.",
            "refusal": None,
            "audio": None,
            "function_call": None,
            "annotations": [],
            "tool_calls": [
                {"id": "c1", "type": "function", "index": 0, "function": {"name": "add", "arguments": '{"a":1}'}},
                {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "So."}, {"type": "refusal", "refusal": "No."}]},
    )
    assert [message.role for message in messages] == ["system", "user", "assistant", "tool", "tool", "assistant"]
    assert messages[1].parts == (
        TextPart(text="What?"),
        ImagePart(data=b"\x89PNG\r\n\x1a\n", media_type="image/png", detail="low"),
        ImagePart(url="https://a.example/b.png"),
        FilePart(data=b"RIFF", media_type="audio/wav"),
        FilePart(file_id="file-1"),
        FilePart(data=b"%PDF-", media_type="application/pdf", name="a.pdf"),
    )
    assert messages[2].parts == (
        ReasoningPart(text="Hm."),
        ToolCallPart("c1", "add", '{"a":1}'),
        ToolCallPart("c2", "sql", "select 1", custom=True),
    )
    assert messages[3].parts == (ToolResultPart("c1", "add", "2"),)
    assert messages[4].parts == (ToolResultPart("c2", "sql", "ab"),)
    assert messages[5].parts == (TextPart(text="So."), RefusalPart(text="No."))


def test_what_an_answer_holds_goes_back_as_it_was():
    """Clients copy the members of an answer, those that say nothing too."""
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": PNG}}
    messages = read_all(
        {"role": "assistant", "content": "", "refusal": "I will not.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "This:"}, image]},
    )
    assert messages[0].parts == (RefusalPart(text="I will not."), ToolCallPart("c", "look", "{}"))
    (result,) = messages[1].parts
    assert result.content == (TextPart(text="This:"), ImagePart(data=b"\x89PNG\r\n\x1a\n", media_type="image/png"))


def test_json_can_be_asked_for_without_a_schema():
    assert read(response_format={"type": "json_object"}).request.response_format == ms.messages.ResponseFormat()
    assert read(response_format={"type": "text"}).request.response_format is None


def test_a_chat_request_comes_out_as_it_went_in():
    """Through our messages and the writer of the same wire: nothing is lost and nothing is added."""
    given = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": PNG}}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "2"},
        ],
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["x"],
        "seed": 1,
        "tools": [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}, "strict": True}}],
        "tool_choice": {"type": "function", "function": {"name": "add"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": False}},
        "logit_bias": {"1": 2},
        "chat_template_kwargs": {"enable_thinking": False},
    }
    request = read_chat(orjson.dumps(given), MODELS, expose=False).request
    written = request_body("openai-compatible", request, stream=False)
    del given["model"]
    assert written == given


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{"role": "king", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [USER, {"role": "user", "content": [{"type": "text"}]}]}, "messages[1].content[0]"),
        ({"messages": part("video_url", 1)}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "x": 1}]}]}, CONTENT),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{**USER, "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{**USER, "tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "tool", "content": "2"}]}, "messages[0].tool_call_id"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}]},
            "messages[0].tool_calls[0].function",
        ),
        (
            {"messages": [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": PNG}}]}]},
            "messages[0].content",
        ),
        ({"messages": part("image_url", {"url": "file:///etc/passwd"})}, f"{CONTENT}.image_url.url"),
        ({"messages": part("image_url", {"url": "data:image/png;base64,%"})}, f"{CONTENT}.image_url.url"),
        ({"messages": part("image_url", {"url": "data:image/png;base64,"})}, f"{CONTENT}.image_url.url"),
        ({"messages": part("file", {"filename": "a"})}, CONTENT),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": -1}, "temperature"),
        ({"stop": [""]}, "stop"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].name"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "none_such"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"functions": []}, "functions"),
        ({"models": ["another"]}, "models"),
        ({"api_base": "http://elsewhere.example"}, "api_base"),
        ({"model": "claude", "n": 2}, "n"),
        ({"model": "claude", "logit_bias": {"1": 2}}, "logit_bias"),
        ({"model": "bare", "top_k": 2}, "top_k"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_its_path(members, field):
    with pytest.raises(InvalidMessage) as caught:
        read(**members)
    assert caught.value.field == field


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"a":1}x', b"\xff", b'{"a":"\xed\xa0\x80"}', b'{"a":' + b"[" * 2000]
)
def test_what_is_no_json_object_is_refused(data):
    with pytest.raises(InvalidMessage):
        read_chat(data, MODELS, expose=False)


@pytest.mark.parametrize(("n", "fits"), [(MAX_DEPTH - 2, True), (MAX_DEPTH, False), (900, False)])
def test_depth_is_bounded(n, fits):
    deep = "[" * n + "]" * n
    data = b'{"model":"m","messages":[{"role":"user","content":"Hi"}],"x":%b}' % deep.encode()
    if fits:
        request_body("openai-compatible", read_chat(data, MODELS, expose=False).request)
    else:
        with pytest.raises(InvalidMessage, match="nested"):
            read_chat(data, MODELS, expose=False)


def test_members_that_change_nothing_go_to_no_other_wire():
    asked = read(model="claude", n=1, user="u", metadata={"a": "b"}, frequency_penalty=0, store=False, logprobs=None)
    assert asked.request.extra == {}


def test_reasoning_goes_back_only_where_it_can_be_read():
    thought = {"role": "assistant", "content": "So.", "reasoning_content": "Hm."}
    parts = [read(model=model, messages=[USER, thought, USER]).request.messages[1].parts for model in ("m", "claude")]
    assert parts == [(ReasoningPart(text="Hm."), TextPart(text="So.")), (TextPart(text="So."),)]


def test_no_such_model_is_404():
    with pytest.raises(Refused) as caught:
        read(model="x" * 5000)
    assert (caught.value.status, caught.value.body["error"]["code"]) == (404, "model_not_found")
    assert len(caught.value.body["error"]["message"]) < 200


# --- useChat ---------------------------------------------------------------------------------------------------------


def ui(*messages, **more):
    return read_ui_messages(typed({"messages": list(messages), **more}, UIBody)[0].messages)


def test_the_steps_of_an_assistant_become_messages():
    tool = {
        "type": "tool-add",
        "toolCallId": "c1",
        "state": "output-available",
        "input": {"a": 1},
        "output": {"sum": 2},
    }
    failed = {"type": "dynamic-tool", "toolName": "sql", "toolCallId": "c2", "state": "output-error", "errorText": "no"}
    messages = ui(
        {"id": "1", "role": "user", "metadata": {}, "parts": [{"type": "text", "text": "Hi"}]},
        {
            "id": "2",
            "role": "assistant",
            "parts": [
                {"type": "step-start"},
                {"type": "reasoning", "text": "Hm."},
                {"type": "text", "text": "I look.", "state": "done"},
                tool,
                failed,
                {"type": "step-start"},
                {"type": "source-url", "url": "https://a.example", "sourceId": "s"},
                {"type": "data-weather", "data": 1},
                {"type": "text", "text": "It is 2."},
            ],
        },
    )
    assert messages == [
        ms.Message("user", "Hi"),
        ms.Message("assistant", ["I look.", ToolCallPart("c1", "add", {"a": 1}), ToolCallPart("c2", "sql", {})]),
        ms.Message("tool", [ToolResultPart("c1", "add", {"sum": 2}), ToolResultPart("c2", "sql", "no", is_error=True)]),
        ms.Message("assistant", "It is 2."),
    ]  # fmt: skip


def test_words_after_a_result_and_words_of_another_step_are_messages_of_their_own():
    tool = {"type": "tool-add", "toolCallId": "c1", "state": "output-available", "input": {}, "output": 2}
    told = [{"type": "text", "text": "a"}, {"type": "step-start"}, {"type": "text", "text": "b"}, tool]
    (*steps, last) = ui({"role": "assistant", "parts": [*told, {"type": "text", "text": "c"}]})
    assert [[getattr(part, "text", "call") for part in one.parts] for one in steps[:2]] == [["a"], ["b", "call"]]
    assert (steps[2].role, last) == ("tool", ms.Message("assistant", "c"))


@pytest.mark.parametrize("state", ["input-available", "approval-requested", "approval-responded"])
def test_a_call_without_a_result_yet_is_a_call(state):
    part = {"type": "tool-add", "toolCallId": "c1", "state": state, "input": {"a": 1}}
    assert ui({"role": "assistant", "parts": [part]}) == [
        ms.Message("assistant", [ToolCallPart("c1", "add", {"a": 1})])
    ]


def test_a_call_that_the_user_denied_has_a_result_that_says_so():
    part = {"type": "tool-add", "toolCallId": "c1", "state": "output-denied", "input": {}}
    _, told = ui({"role": "assistant", "parts": [part]})
    assert told.parts == (ToolResultPart("c1", "add", "The user did not allow this call.", is_error=True),)


@pytest.mark.parametrize(
    "more", [{"providerExecuted": True, "state": "output-available"}, {"state": "input-streaming"}]
)
def test_calls_that_are_not_ours_to_answer_are_left_out(more):
    part = {"type": "tool-search", "toolCallId": "c1", "input": {}, **more}
    told = ui({"role": "assistant", "parts": [part, {"type": "text", "text": "So."}]})
    assert told == [ms.Message("assistant", "So.")]


def test_files_of_a_page_are_read():
    (message,) = ui({"role": "user", "parts": [
        {"type": "file", "mediaType": "image/png", "url": PNG},
        {"type": "file", "mediaType": "application/pdf", "url": "https://a.example/b.pdf", "filename": "b.pdf"},
    ]})  # fmt: skip
    assert [type(part) for part in message.parts] == [ImagePart, FilePart]
    assert message.parts[1].name == "b.pdf"


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "hologram"}, "messages[0].parts[0]"),
        ({"text": "no type"}, "messages[0].parts[0]"),
        ({"type": "text", "text": 5}, "messages[0].parts[0]"),
        ({"type": "file", "mediaType": "image/png", "url": "blob:x"}, "messages[0].parts[0].url"),
        ({"type": "text", "text": ""}, "messages[0].parts"),
    ],
)
def test_a_part_that_cannot_be_read_is_named(part, field):
    with pytest.raises(InvalidMessage) as caught:
        ui({"role": "user", "parts": [part]})
    assert caught.value.field == field


def test_a_page_that_says_nothing_or_what_no_model_reads_is_refused():
    file = {"type": "file", "mediaType": "image/png", "url": PNG}
    for messages, field in (([], "messages"), ([{"role": "system", "parts": [file]}], "messages[0].parts")):
        with pytest.raises(InvalidMessage) as caught:
            ui(*messages)
        assert caught.value.field == field


def test_a_call_that_cannot_be_read_is_named():
    nameless = {"type": "dynamic-tool", "toolCallId": "c", "state": "input-available"}
    for part in ({"type": "tool-add"}, {"type": "tool-add", "toolCallId": "c", "state": "lost"}, nameless):
        with pytest.raises(InvalidMessage) as caught:
            ui({"role": "assistant", "parts": [part]})
        assert caught.value.field.startswith("messages[0].parts[0]")


def test_a_chat_has_one_stream_whatever_its_id():
    ids = [chat_stream_id(text) for text in ("a", "a", "b", "ü/../{x}\n", "")]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 4
    said = [{"role": "user", "parts": [{"type": "text", "text": "Hi"}]}]
    asked = read_ui(orjson.dumps({"id": "a", "messages": said}), MODELS, "ui-message", expose=False)
    assert (asked.stream_id, asked.model) == (ids[0], "m")


def test_an_answer_without_a_word_is_no_answer():
    with pytest.raises(IncompleteStream):
        Completion(OpenAIChatEncoder()).result()


def test_a_body_holds_a_bounded_number_of_values():
    read(metadata={"list": [{}] * (MAX_VALUES - 20)})
    with pytest.raises(InvalidMessage, match=f"more than {MAX_VALUES} values"):
        read(metadata={"list": [{}] * MAX_VALUES})


@pytest.mark.parametrize("n_calls", [40_000, 1])
def test_a_whole_answer_takes_time_in_proportion_to_its_deltas(n_calls):
    n_deltas = 40_000  # each its own call: it took a minute, when each was looked for among all others
    deltas = [ToolCallDelta(index=n % n_calls, id=f"c{n % n_calls}", name="f", arguments="11") for n in range(n_deltas)]
    said = "11" * (n_deltas // n_calls)
    calls = [ToolCall(index=n, id=f"c{n}", name="f", arguments=said) for n in range(n_calls)]
    whole = Completion(OpenAIChatEncoder())
    began = time.process_time()
    for event in (Start(), *deltas, *calls, Finish(FinishReason.TOOL_CALLS)):
        whole.add(event)
    found = whole.result()["choices"][0]["message"]["tool_calls"]
    assert time.process_time() - began < 10
    assert [call["function"]["arguments"] for call in found] == [said] * n_calls
