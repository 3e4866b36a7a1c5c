"""Event streams as decoders give them, of more kinds than any one decoder gives."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st

import millstream as ms

text = st.text(st.sampled_from('aé\n\r\0\u2028😀"\\: '), min_size=1, max_size=6)
label = st.text(st.sampled_from('ab\n"é'), max_size=4)
choice = st.sampled_from([0, 0, 0, 1, 2])
counts = st.none() | st.integers(0, 1000)
arguments = st.dictionaries(text, st.integers() | text, max_size=2).filter(lambda value: _small(value))


def _small(value: dict[str, Any]) -> bool:
    return all(not isinstance(it, int) or abs(it) < 2**63 for it in value.values())


RAW = [
    ms.Raw(orjson.dumps(message).decode())
    for message in (
        {"type": "content_block_start", "index": 1, "content_block": {"type": "compaction", "content": None}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "compaction_delta", "content": "x"}},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "server_tool_use", "id": "p"}},
        {"type": "response.output_item.done", "item": {"type": "compaction", "encrypted_content": "x"}},
        {"type": "response.output_item.done", "item": {"type": "web_search_call", "id": "p"}},
    )
]

plain = st.one_of(
    st.builds(ms.TextDelta, text, st.integers(0, 2), choice),
    st.builds(ms.TextDelta, text),
    st.builds(ms.ReasoningDelta, text | st.just(""), st.integers(0, 2), choice,
              signature=st.none() | text, encrypted=st.none() | text),
    st.builds(ms.Safety, st.sampled_from(["refusal", "violence", ""]),
              st.sampled_from(["refuse", "block", "warn", "pass"]), st.none(), label, choice),
    st.builds(ms.Citations, st.lists(
        st.builds(ms.Citation, label, label, label, label, counts, counts), min_size=1, max_size=2
    ).map(tuple)),
    st.just(ms.Raw("{}")),
    st.just(ms.File("image/png", b"png", index=1)),
    st.just(ms.File("image/png", url="https://x/y.png")),
    st.just(ms.File("", url="https://x/y")),
    st.just(ms.File("audio/wav", b"w")),
    st.builds(lambda: ms.File("audio/pcm", b"pcm", _meta={"audio": "a1"})),
    st.builds(lambda: ms.TextDelta("said", _meta={"audio": "a1"})),
    st.builds(
        ms.ProviderToolCall,
        st.sampled_from(["", "p", "q"]),
        st.sampled_from(["web_search", "code"]),
        st.none() | st.just({"query": "x"}) | st.just({"code": 1}) | text,
    ),
    st.builds(
        ms.ProviderToolResult,
        st.sampled_from(["", "p", "q"]),
        st.sampled_from(["web_search", "code"]),
        st.none() | st.just([{"url": "u"}]) | text,
        st.none() | text,
    ),
    st.sampled_from(RAW),
    st.just(ms.Data({"x": 1})),
    st.just(ms.Handoff("b")),
    st.just(ms.ObjectDelta(("a",), "set", 1)),
    st.just(ms.Error(ms.StreamError("careful"), fatal=False)),
)  # fmt: skip


class _Call:
    def __init__(self, draw: st.DrawFn, n: int, choice: int, index: int) -> None:
        self.id, self.name, self.choice, self.index = f"id{n}", f"tool{n}", choice, index
        if draw(st.integers(0, 5)) == 0:
            self.id = ""
        whole = orjson.dumps(draw(arguments)).decode()
        self.validity = draw(st.sampled_from([*["valid"] * 6, "empty", "invalid", "incomplete"]))
        self.text = {"valid": whole, "empty": "", "invalid": whole + "}", "incomplete": whole[:-1]}[self.validity]
        self.sent = 0

    def fragment(self, upto: int) -> ms.ToolCallDelta:
        piece, self.sent = self.text[self.sent : upto], max(self.sent, upto)
        return ms.ToolCallDelta(self.id, self.name, piece, self.index, self.choice)

    def done(self) -> ms.ToolCall:
        validity = ms.events.Validity("valid" if self.validity == "empty" else self.validity)
        value = orjson.loads(self.text or "{}") if validity == "valid" else None
        return ms.ToolCall(self.id, self.name, self.text.encode(), value, validity, self.index, self.choice)


@st.composite
def event_streams(draw: st.DrawFn) -> list[ms.Event]:
    """Start, anything, calls in interleaved fragments or whole, then Error or not, Usage or not, Finish."""
    out: list[ms.Event] = [ms.Start(draw(label), draw(label))]
    under_way: list[_Call] = []
    n: dict[int, int] = {}
    for _ in range(draw(st.integers(0, 8))):
        what = draw(st.sampled_from(["plain", "plain", "call", "fragment", "done"]))
        if what == "call":
            at = draw(choice)
            n[at] = n.get(at, -1) + 1
            call = _Call(draw, sum(n.values()) + 10 * at, at, n[at])
            if draw(st.booleans()):
                under_way.append(call)
                out.append(call.fragment(0))
            else:
                out.append(call.done())
        elif what == "plain" or not under_way:
            out.append(draw(plain))
        elif what == "fragment":
            call = draw(st.sampled_from(under_way))
            out.append(call.fragment(draw(st.integers(call.sent, len(call.text)))))
        else:
            call = under_way.pop(draw(st.integers(0, len(under_way) - 1)))
            out += [call.fragment(len(call.text))] if call.sent else []
            out.append(call.done())
    for call in under_way:
        out += (
            [call.fragment(len(call.text))] if draw(st.booleans()) or call.sent else []
        )  # some wires send only ToolCall
        out.append(call.done())
    usage = draw(st.none() | st.builds(ms.Usage, counts, counts, counts, counts, counts, counts))
    reason = draw(st.sampled_from(ms.FinishReason))
    if reason == "error":
        out.append(ms.Error(draw(st.sampled_from(ERRORS))))
    out += [usage] if usage is not None else []
    seen = sorted({getattr(event, "choice", 0) for event in out} | {0})
    choices = dict.fromkeys(seen, "stop") if len(seen) > 1 and draw(st.booleans()) else None
    out.append(ms.Finish(reason, draw(st.sampled_from(["", "stop", "end_turn", "STOP"])), usage, 1, choices))
    return out


ERRORS = [
    ms.StreamError("odd\r\n\0"),
    ms.IncompleteStream("cut"),
    ms.ProviderError("no", code="weird"),
    ms.RateLimited("later", retry_after=3),
]
