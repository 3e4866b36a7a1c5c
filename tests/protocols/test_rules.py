"""Rules say of a message what the protocol's own code says of it: nothing else comes of it, whatever is in it.

The same bytes are read with rules and without by all tests of shapes too (`check_twins`): captures, damaged messages,
pairs and triples of edge messages.
"""

from __future__ import annotations

import copy
import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest
from orjson import JSONDecodeError, loads

import millstream as ms
from millstream.core import Rule, Rules, SSEMessage
from millstream.protocols import DECODERS
from protocols.captures import INDEX, body_of
from protocols.decoding import lines, sse
from protocols.shaped import check_twins

RULED = sorted(name for name, cls in DECODERS.items() if cls.rules is not None)
LINES = {name for name in RULED if issubclass(DECODERS[name], ms.protocols.NDJSONDecoder)}
JUNK = [None, True, False, 0, 1, 7, -1, 1.5, 2**40, "", "x", "error", "a\\b", "é", [], {}, [1], {"a": 1}, [None, {}]]

# Looked for among all keys; those that are looked for are declared.
AMONG = {"gemini": {"candidates.0.*"}}

protocols = pytest.mark.parametrize("api", RULED)


class Watched(dict):  # type: ignore[type-arg]
    """A dict that notes which of its keys are looked at: "*" for all of them."""

    def __init__(self, value: dict[str, Any], path: str, seen: set[str]) -> None:
        super().__init__({key: watch(it, f"{path}{key}.", seen) for key, it in value.items()})
        self._path, self._seen = path, seen

    def get(self, key: str, default: Any = None) -> Any:
        self._seen.add(self._path + key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self._seen.add(self._path + key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._seen.add(f"{self._path}{key}")
        return super().__contains__(key)

    def __iter__(self) -> Iterator[str]:
        self._seen.add(self._path + "*")
        return super().__iter__()

    def __or__(self, other: dict[str, Any]) -> Any:
        made = Watched({}, self._path, self._seen)
        dict.update(made, dict(super().items()) | other)  # what the code itself puts in is not watched
        return made

    def items(self) -> Any:
        self._seen.add(self._path + "*")
        return super().items()


def watch(value: Any, path: str, seen: set[str]) -> Any:
    if isinstance(value, dict) and not isinstance(value, Watched):
        return Watched(value, path, seen)
    if isinstance(value, list):
        return [watch(it, f"{path}{at}.", seen) for at, it in enumerate(value)]
    return value


def frame_of(api: str, value: Any) -> bytes:
    return lines(value) if api in LINES else sse(value)


def messages(api: str) -> Iterator[tuple[list[bytes], ms.protocols.Decoder, Any, dict[str, Any]]]:
    """Of each capture: the frames before a message, a decoder that has read them, the message and its JSON."""
    for entry in INDEX:
        if entry["api"] != api:
            continue
        decoder = ms.decoder(api, shapes=False, rules=False)
        before: list[bytes] = []
        for message in [*(parser := decoder._make_parser()).feed(body_of(entry["file"])), *parser.close()]:
            value = message
            if isinstance(message, SSEMessage):
                try:
                    value = loads(message.data)
                except JSONDecodeError:
                    break
            if not isinstance(value, dict):
                break
            yield before, decoder, message, value
            before.append(frame_of(api, value))
            decoder.feed(before[-1])
            if decoder.ended:
                break


@protocols
def test_a_rule_knows_all_that_the_code_looks_at(api: str) -> None:
    rules = DECODERS[api].rules
    declared = {path for rule in rules.rules for path in rule.paths()}
    above = {path.rsplit(".", n)[0] for path in declared for n in range(1, path.count(".") + 1)} | declared
    n = 0
    for _, decoder, message, value in messages(api):
        rule = rules.find(frame_of(api, value), api in LINES)
        if rule is None or not decoder._usual:
            continue
        seen: set[str] = set()
        there = copy.deepcopy(decoder._usage), copy.deepcopy(vars(decoder)), copy.deepcopy(decoder._tools)
        decoder._out = []
        watched = watch(value, "", seen)
        decoder._object(*((watched, message) if isinstance(message, SSEMessage) else (watched,)))
        decoder._usage, _, decoder._tools = there
        vars(decoder).clear()
        vars(decoder).update(there[1])
        assert {
            path for path in seen if path not in above | AMONG.get(api, set()) and not inside(path, rule, declared)
        } == set(), value
        n += 1
    assert n > 1


def inside(path: str, rule: Rule, declared: set[str]) -> bool:
    """Whether a path leads into what a rule hands on as it is, or to what no message with this rule can hold."""
    return any(path.startswith(latest + ".") for latest in rule.latest) or any(
        "*" in known
        and len(known.split(".")) == len(path.split("."))
        and all(a in ("*", b) for a, b in zip(known.split("."), path.split("."), strict=True))
        for known in declared
    )


def put(value: dict[str, Any], path: str, it: Any) -> None:
    """Set what is at a path, and make what leads there."""
    steps = [int(step) if step == "0" else step for step in path.replace(".*", "").split(".")]
    holder: Any = value
    for step, below in itertools.pairwise(steps):
        missing: Any = [] if below == 0 else {}
        there = holder[0] if step == 0 and holder else None if step == 0 else holder.get(step)
        if not isinstance(there, type(missing)):
            there = missing
        holder[slice(0, 1) if step == 0 else step] = [there] if step == 0 else there
        holder = there
    holder[slice(0, 1) if steps[-1] == 0 else steps[-1]] = [it] if steps[-1] == 0 else it


@protocols
def test_whatever_stands_at_a_declared_place_the_events_are_the_same(api: str) -> None:
    rules = DECODERS[api].rules
    paths = sorted({path for rule in rules.rules for path in rule.paths()})
    first: dict[int, tuple[list[bytes], dict[str, Any]]] = {}
    for before, _, _, value in messages(api):
        rule = rules.find(frame_of(api, value), api in LINES)
        if rule is not None:
            first.setdefault(id(rule), (list(before), value))
    assert first
    rng = random.Random(api)
    for before, value in first.values():
        changed = []
        for _ in range(40):
            other = copy.deepcopy(value)
            for _ in range(rng.choice((1, 1, 2))):
                put(other, rng.choice(paths), rng.choice(JUNK))
            changed.append(frame_of(api, other))
        head = before[-12:] if len(before) > 12 else before
        for one in changed:
            check_twins(api, [*head, one])
            check_twins(api, [*head, one, one, frame_of(api, value)])


@protocols
def test_rules_take_most_messages(api: str) -> None:
    found = [DECODERS[api].rules.find(frame_of(api, value), api in LINES) for *_, value in messages(api)]
    assert sum(rule is not None for rule in found) > 0.6 * len(found)


CHAT = DECODERS["openai-chat"]
SAYS = {"model": "m", "id": "i", "choices": [{"index": 0, "delta": {"content": "x"}}]}
ODD = [
    sse(SAYS),
    sse(SAYS).replace(b"\n", b"\r\n"),
    sse(SAYS).replace(b"\n", b"\r"),
    sse(SAYS)[:-1] + b"\r\n",
    b"\xef\xbb\xbf" + sse(SAYS),
    b": comment\n" + sse(SAYS),
    b"id: 7\n" + sse(SAYS),
    b"event: x\n" + sse(SAYS),
    b"event:\n" + sse(SAYS),
    b"event: error\n" + sse(SAYS),
    b"event:error\n" + sse(SAYS),
    b"event: error \n" + sse(SAYS),
    sse(SAYS)[:-1] + b"event: error\n\n",
    sse(SAYS)[:-1] + b"data: \n\n",
    sse(SAYS).replace(b"data: ", b"data:  \t"),
    sse(SAYS).replace(b"data: ", b"data:"),
    sse(SAYS)[:-2] + b"  \n\n",
    sse(SAYS).replace(b'"x"', b'"x" , "content" : "y"'),
    sse(SAYS).replace(b'"content"', b'"\\u0063ontent"'),
    sse(SAYS).replace(b'"x"', b'"x","\\u0063ontent":"y"'),
    sse(SAYS).replace(b'"x"', b'"x","tool_\\u0063alls":[1]'),
    sse(SAYS).replace(b'"x"', b'"\\ud800"'),
    sse(SAYS).replace(b'"x"', b'"\xff"'),
    sse(SAYS).replace(b'"x"', b'"\x01"'),
    sse(SAYS).replace(b'"x"', b'"x","a":1e999'),
    sse(SAYS).replace(b'"x"', b'"x","a":01'),
    sse(SAYS).replace(b'"x"', b'"x","a":' + b"[" * 40 + b"]" * 40),
    sse(SAYS).replace(b'"x"', b'"x",'),
    sse(SAYS).replace(b'"x"', b'"x"]'),
    sse(SAYS).replace(b'"index":0', b'"index":00'),
    sse(SAYS).replace(b'"index":0', b'"index":-0'),
    sse(SAYS).replace(b'"index":0', b'"index":1.0'),
    sse(SAYS).replace(b'"index":0', b'"index":1'),
    sse(SAYS).replace(b'"index":0', b'"index":12345678901'),
    sse(SAYS).replace(b"}}]", b"}},{}]"),
    sse(SAYS).replace(b"}}]", b'}},{"index":1,"delta":{"content":"z"}}]'),
    sse(SAYS | {"model": 5}),
    sse(SAYS | {"id": "a\\u00e9\\n"}),
    sse(SAYS | {"usage": {"prompt_tokens": 1}}),
    sse(SAYS | {"usage": {"prompt_tokens": 2}}).replace(b"\n\n", b"\r\n\r\n"),
    sse(SAYS | {"usage": {"prompt_tokens": 3}})[:-1] + b"\r\n",
    sse({"choices": [], "usage": {"prompt_tokens": 4}}),
    sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}),
    sse({"choices": [{"index": 3, "message": {"content": "whole"}}]}),
    sse({"choices": [{"index": 1, "delta": {"content": ""}}]}),
    b"data: [DONE]\n\n",
]


@pytest.mark.parametrize("cut", [1, 5, 10_000])
def test_odd_frames_in_pairs(cut: int) -> None:
    for first, second in itertools.product(ODD, ODD):
        body = first + second
        check_twins("openai-chat", [body[at : at + cut] for at in range(0, len(body), cut)])


def test_a_subclass_that_overrides_anything_declares_anew() -> None:
    class Same(CHAT):
        name = "same"

    class Other(CHAT):
        def _object(self, obj: dict[str, Any], message: Any) -> None:
            super()._object(obj, message)

    assert Same.rules is CHAT.rules
    assert Other.rules is None


def test_a_frame_above_the_limit_is_left_to_the_parser() -> None:
    long = sse({"choices": [{"index": 0, "delta": {"content": "x" * 400}}]})
    events = ms.decoder("openai-chat", limits=ms.Limits(max_event_bytes=300)).feed(long)
    assert [type(event) for event in events][-2:] == [ms.Error, ms.Finish]


# --- negative controls: each rule is wrong in one way, and what is above notices --------------------------------------


class ToolsUnread(CHAT):
    rules = Rules(
        Rule(needs=("choices.0.delta",), text={"choices.0.delta.content": ms.TextDelta}, begins=True, heard=True)
    )


class IndexUnread(CHAT):
    rules = Rules(Rule(when={"choices.0.delta.tool_calls": None}, text={"choices.0.delta.content": ms.TextDelta}))


class UsageUnread(CHAT):
    rules = Rules(
        Rule(
            needs=("choices.0.delta",), text={"choices.0.delta.content": ms.TextDelta}, names=("model", "id"),
            begins=True, heard=True, choice="choices.0.index?", reads=("choices.0.finish_reason",),
        )
    )  # fmt: skip


BROKEN = [
    (ToolsUnread, SAYS | {"choices": [{"delta": {"content": "x", "refusal": "no"}}]}),
    (IndexUnread, SAYS | {"choices": [{"index": 2, "delta": {"content": "x"}}]}),
    (UsageUnread, SAYS | {"usage": {"prompt_tokens": 1}}),
]


@pytest.mark.parametrize(("cls", "said"), BROKEN, ids=lambda it: getattr(it, "__name__", ""))
def test_a_wrong_rule_is_noticed(cls: type[ms.protocols.Decoder], said: dict[str, Any], monkeypatch: Any) -> None:
    check_twins("openai-chat", [sse(said)])
    monkeypatch.setitem(DECODERS, "openai-chat", cls)
    with pytest.raises(AssertionError):
        check_twins("openai-chat", [sse(said)])


def test_a_wrong_rule_looks_at_too_little(monkeypatch: Any) -> None:
    monkeypatch.setitem(DECODERS, "openai-chat", ToolsUnread)
    with pytest.raises(AssertionError):
        test_a_rule_knows_all_that_the_code_looks_at("openai-chat")


def test_a_rule_can_be_used_in_several_protocols() -> None:
    usage = Rule(when={"choices": None, "usage": dict}, latest=("usage",))
    first, second = Rules(usage), Rules(Rule(when={"a": None, "b": None}, needs=("c",)), usage)
    frame = sse({"choices": [], "usage": {"n": 1}})
    assert first.find(frame) is first.rules[0]
    assert second.find(frame) is second.rules[1]


def test_find_reads_one_whole_frame() -> None:
    assert isinstance(CHAT.rules.find(sse(SAYS)), Rule)
    assert CHAT.rules.find(sse(SAYS) + b" ") is None
    assert CHAT.rules.find(sse(SAYS)[:-1]) is None
