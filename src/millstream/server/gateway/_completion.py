"""The events of an answer as one `chat.completion`, for clients that do not stream.

What the encoder of the stream says is added up as its clients do it, so that the two forms cannot differ; runs of plain
text, which are nearly all of an answer, go past it.
"""

from __future__ import annotations

from typing import Any

import orjson

from millstream.core import SSEParser
from millstream.errors import IncompleteStream
from millstream.events import Event, TextDelta, ToolCallDelta
from millstream.protocols.encoders.openai_chat import OpenAIChatEncoder

__all__ = ["Completion"]

JOINED = ("arguments", "content", "data", "input", "reasoning_content", "refusal", "transcript")
"""Members of deltas whose pieces follow one another."""
PIECE_BYTES = 64
"""What a piece takes besides its text."""


class Completion:
    """Adds up one answer.

    Args: wire: an encoder that nobody else uses; it gives id, model and time.
    Attributes: n_bytes: about what it takes so far.
    """

    def __init__(self, wire: OpenAIChatEncoder) -> None:
        self._wire = wire
        self._parser = SSEParser()
        self._texts: dict[int, list[str]] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._head: dict[str, Any] = {}
        self.n_bytes = 0

    def add(self, event: Event) -> int:
        """Take the next event; return about how many bytes it takes. Raises: EncodeError: JSON cannot carry it."""
        if type(event) is TextDelta and not event._meta and event.choice in self._texts:
            self._texts[event.choice].append(event.text)
            n_bytes = len(event.text) + PIECE_BYTES
        else:
            data = self._wire.encode(event)
            kept = len(data) or (len(event.arguments) if type(event) is ToolCallDelta else 0)
            n_bytes = kept + PIECE_BYTES if kept else 0
            for message in self._parser.feed(data):
                chunk = orjson.loads(message.data)
                for entry in chunk.pop("choices", ()):
                    self._add(entry)
                self._head |= chunk
        self.n_bytes += n_bytes
        return n_bytes

    def _add(self, entry: dict[str, Any]) -> None:
        at = entry["index"]
        choice = self._choices.setdefault(at, {"index": at, "message": {"role": "assistant"}, "finish_reason": None})
        delta = entry["delta"]
        text = delta.pop("content", None)
        if text is not None:
            self._texts.setdefault(at, []).append(text)
        _merge(choice["message"], delta)
        if entry.get("finish_reason"):
            choice["finish_reason"] = entry["finish_reason"]
        for name in ("logprobs", "content_filter_results"):
            if entry.get(name):
                _merge(choice.setdefault(name, {}), entry[name])

    def result(self) -> dict[str, Any]:
        """Return the completion. Raises: IncompleteStream: some choice has no end."""
        choices = [self._choices[at] for at in sorted(self._choices)]
        if not choices or any(choice["finish_reason"] is None for choice in choices):
            raise IncompleteStream("the answer broke off before its end")
        choices = [_whole(choice) for choice in choices]
        for choice in choices:
            message = choice["message"]
            said = "".join(self._texts.get(choice["index"], ()))
            others = message.keys() - {"role"}
            message["content"] = said if said or not others else None
            message.setdefault("refusal", None)
            for call in message.get("tool_calls", ()):
                call.pop("index", None)
            choice.setdefault("logprobs", None)
        return {**self._head, "object": "chat.completion", "choices": choices}


class _Pieces(list[str]):
    """A text that comes in pieces, joined once: an upstream may send any number of them."""


def _merge(into: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        old = into.get(name)
        if isinstance(value, str) and name in JOINED and (old is None or isinstance(old, _Pieces)):
            if old is None:
                old = into[name] = _Pieces()
            old.append(value)
        elif name == "tool_calls":
            calls: dict[int, dict[str, Any]] = into.setdefault(name, {})  # by index, until `_whole`
            pieces: Any = value
            for call in pieces:
                _merge(calls.setdefault(call["index"], {}), call)
        elif isinstance(value, dict) and (old is None or isinstance(old, dict)):
            if old is None:
                old = into[name] = {}
            _merge(old, value)
        elif isinstance(value, list) and isinstance(old, list):
            old += value
        else:
            into[name] = value


def _whole(given: Any) -> Any:
    if isinstance(given, _Pieces):
        return "".join(given)
    if not isinstance(given, dict):
        return given
    whole = {name: _whole(value) for name, value in given.items()}
    if "tool_calls" in whole:
        whole["tool_calls"] = list(whole["tool_calls"].values())
    return whole
