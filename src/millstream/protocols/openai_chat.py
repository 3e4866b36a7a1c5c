"""OpenAI chat completions, and the dialects of the many servers that imitate it.

Not known here: which dialect. What differs between servers without contradiction is all understood: reasoning under
three names, content as a list of parts, tool calls whole or in fragments, with or without an index, usage in any chunk,
citations repeated in every chunk, filters' verdicts before the model is known, a missing `[DONE]`. Log probabilities
are in the `meta` of their text or refusal. Source: PROTOCOLS.md sections 1 and 7.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from millstream.core import Shapes
from millstream.events import (
    Citation,
    Citations,
    Event,
    File,
    FinishReason,
    ProviderToolCall,
    ProviderToolResult,
    Raw,
    ReasoningDelta,
    Safety,
    TextDelta,
    Usage,
)
from millstream.protocols._base import ANSWER, Fresh, SSEDecoder
from millstream.protocols._errors import provider_error
from millstream.protocols._openai_rules import CHAT
from millstream.protocols._provider_tools import ProviderTools, as_json
from millstream.protocols._values import count, fields, file_of, label, members, number, text

__all__ = ["OpenAIChatDecoder"]


class OpenAIChatDecoder(SSEDecoder):
    """`data: {"choices":[{"index","delta","finish_reason"}],"usage"?}` ... `data: [DONE]`."""

    name = "openai-chat"
    gives = (*ANSWER, ProviderToolCall, ProviderToolResult, Citations, Safety, File)
    reasons = {
        "stop": FinishReason.STOP,
        "eos_token": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "end_turn": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "max_tokens": FinishReason.LENGTH,
        "model_length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
        "error": FinishReason.ERROR,
    }
    shapes = Shapes(
        payload=(
            "choices.0.delta.content",
            "choices.0.delta.reasoning_content",
            "choices.0.delta.reasoning",
            "choices.0.delta.reasoning_details.0.text",  # beside `reasoning`, the same text (OpenRouter)
            "choices.0.delta.tool_calls.0.function.arguments",
            "choices.0.delta.content.0.thinking.0.text",  # Mistral
            "choices.0.delta.content.0.text",
            "choices.0.delta.refusal",
            "choices.0.text",  # beside `delta.content`, the same text (Together, Hugging Face)
        ),
        ignored=("obfuscation", "p", "choices.0.delta.token_id", "choices.0.message.content"),
        seldom=("id", "created"),
        latest=("usage.**",),
    )
    rules = CHAT

    _last_key: Any = 0
    _n_unnumbered = 0
    _held: tuple[Event, ...] = ()
    _cited = Fresh(set[str])
    _provider_tools = Fresh(ProviderTools)
    _executing = Fresh(set[int])
    _heads = Fresh(dict[int, dict[str, Any]])
    _audio_id = ""

    def _object(self, obj: dict[str, Any], message: Any) -> None:
        if not self._begun:
            self._model = self._model or label(obj.get("model"))
            self._id = self._id or label(obj.get("id"))
        usage = self._latest(obj)
        if "prompt_filter_results" in obj:
            for prompt in obj["prompt_filter_results"] or ():
                self._verdicts(prompt.get("content_filter_results"))
        choices = obj.get("choices")
        for choice in choices or ():
            self._choice(choice, message)
        if obj.get("citations") or obj.get("search_results"):
            self._sources(obj.get("search_results") or (), obj.get("citations") or ())
        if obj.get("error") or obj.get("object") == "error" or message.event == "error":
            self._fail(provider_error(obj, provider=self.provider))
        elif choices is None and not usage:
            self._raw(message)

    def _latest(self, obj: dict[str, Any]) -> Any:
        usage = obj.get("usage") or (obj.get("x_groq") or {}).get("usage")
        if usage:
            self._usage = fields(usage)
        return usage

    def _total(self, raw: dict[str, Any]) -> Usage:
        return normal_usage(raw)

    def _begin(self) -> None:
        if not self._begun:
            super()._begin()
            self._out += self._held
            self._held = ()

    def _end(self, *, terminated: bool = False) -> None:
        if not self.ended and self._normal(self._reasons.get(0, "")) is FinishReason.ERROR:
            # Mistral: a finish reason is all that tells of the error.
            self._fail(provider_error("the answer ended with an error", provider=self.provider))
        super()._end(terminated=terminated)

    def _choice(self, choice: dict[str, Any], message: Any) -> None:
        index = number(choice.get("index"))
        delta = choice.get("delta")
        if delta is None and index not in self._heard:
            delta = choice.get("message")  # a server that does not stream; Perplexity repeats it beside each delta
        self._heard.add(index)
        if not self._begun:
            self._begin()
        if delta:
            self._delta(delta, index, choice.get("logprobs"))
            if delta.get("executed_tools"):
                self._raw(message)
                self._executed(delta["executed_tools"])
            if delta.get("audio"):
                self._audio(delta["audio"], index, message)
            for image in delta.get("images") or ():
                self._emit(file_of(text(image["image_url"]["url"]), number(image.get("index"))))
        if "content_filter_results" in choice:
            self._verdicts(choice["content_filter_results"], index)
        reason = choice.get("finish_reason")
        if reason:
            self._finish(str(reason), index)

    def _delta(self, delta: dict[str, Any], choice: int, logprobs: Any = None) -> None:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        details = delta.get("reasoning_details") or ()
        if reasoning:
            head = self._new_head(details, choice) if details else None
            self._emit(ReasoningDelta(text(reasoning), 0, choice, _meta={"reasoning_details": head} if head else None))
        for detail in details:
            self._opaque(detail, choice)
        content = delta.get("content")
        if isinstance(content, list):
            for part in content:
                self._part(part, choice)
        elif content:
            meta = _tokens(logprobs, "content") if logprobs else None
            self._emit(TextDelta(text(content), 0, choice, _meta=meta))
        if delta.get("refusal"):
            meta = _tokens(logprobs, "refusal")
            self._emit(Safety("refusal", "refuse", note=text(delta["refusal"]), choice=choice, _meta=meta))
        if delta.get("tool_calls"):
            for call in delta["tool_calls"]:
                self._tool_call(call, choice)
        elif delta.get("function_call"):
            # The form of 2023. llama-cpp-python sends it beside `tool_calls`, as the same call.
            call = delta["function_call"]
            self._emit(
                self._tools.fragment("function_call", "", label(call.get("name")), call.get("arguments"), choice=choice)
            )
        for annotation in delta.get("annotations") or ():
            self._annotation(annotation)

    def _part(self, part: dict[str, Any], choice: int) -> None:
        """One part of a content list (Mistral)."""
        if part.get("text"):
            self._emit(TextDelta(text(part["text"]), 0, choice))
        for thought in part.get("thinking") or ():
            if thought.get("text"):
                self._emit(ReasoningDelta(text(thought["text"]), 0, choice))
        if part.get("reference_ids"):
            self._emit(Citations(tuple(Citation(source=label(source)) for source in part["reference_ids"])))

    def _new_head(self, details: Any, choice: int) -> dict[str, Any] | None:
        """What the entry of this text says besides the text, where that changes: it goes back in the next turn."""
        words = ("text", "summary", "signature", "data")
        detail = next((one for one in details if isinstance(one, dict) and (one.get("text") or one.get("summary"))), {})
        head = {key: value for key, value in detail.items() if key not in words}
        if not head or self._heads.get(choice) == head:
            return None
        self._heads[choice] = head
        self._change()
        return head

    def _reasoned(self, index: int, choice: int, said: str | None, kind: str | None, form: str | None) -> bool:
        """A text with one entry of `reasoning_details`, whose head is that of the text before."""
        if not said or self._heads.get(choice) != {"type": kind, "format": form, "index": index}:
            return False
        self._emit(ReasoningDelta(said, 0, choice))
        return True

    def _opaque(self, detail: Any, choice: int) -> None:
        """An entry of `reasoning_details` (OpenRouter): its text came as `reasoning`, signature and data did not."""
        if not isinstance(detail, dict):
            return
        signature, hidden = label(detail.get("signature")), label(detail.get("data"))
        if signature or hidden:
            meta = {"reasoning_details": detail}
            self._emit(ReasoningDelta("", 0, choice, signature=signature or None, encrypted=hidden or None, _meta=meta))

    def _tool_call(self, call: dict[str, Any], choice: int) -> None:
        custom = call.get("type") == "custom" or isinstance(call.get("custom"), dict)
        function = call.get("custom") or call.get("function") or {}
        key = call.get("index")
        name = label(function.get("name"))
        call_id = label(call.get("id"))
        if call_id == "null":
            call_id = ""  # Mistral's way to say that there is none
        if key is None:
            # Mistral numbers nothing: whoever has an id or a name is a new call.
            if call_id:
                key = f"unnumbered {call_id}"
            elif name:
                self._n_unnumbered += 1
                key = f"nameless {self._n_unnumbered}"
            else:
                key = self._last_key
        if key != self._last_key:
            self._last_key = key
            self._change()
        arguments = function.get("arguments", function.get("input"))
        self._emit(self._tools.fragment(key, call_id, name, arguments, choice=choice, json=not custom))

    def _fragment(self, key: int, choice: int, arguments: str) -> bool:
        """More of the arguments of a call that has begun. Returns: whether it is one, of the first choice."""
        if choice or key not in self._tools:
            return False
        if key != self._last_key:
            self._last_key = key
            self._change()
        self._emit(self._tools.fragment(key, "", "", arguments, choice=choice))
        return True

    def _executed(self, tools: Any) -> None:
        """Groq's own tools: once when they begin, and again with their output."""
        for tool in tools:
            index, name = number(tool.get("index")), label(tool.get("name") or tool.get("type"))
            call_id = label(tool.get("id")) or str(index)
            if index not in self._executing:
                self._executing.add(index)
                self._emit(self._provider_tools.whole(index, call_id, name, as_json(tool.get("arguments"))))
            if tool.get("output") is not None:
                self._emit(self._provider_tools.result(index, call_id, name, tool["output"]))

    def _audio(self, audio: Any, choice: int, message: Any) -> None:
        """A piece of the spoken answer (streams are 16 bit PCM), or of its transcript: the answer's only text."""
        if not isinstance(audio, dict):
            self._raw(message)
            return
        self._audio_id = label(audio.get("id")) or self._audio_id
        said, data = audio.get("transcript"), b""
        try:
            data = b64decode(text(audio.get("data") or ""), validate=True)
        except ValueError:
            said = None  # whoever cuts base64 elsewhere is not known here
        if data:
            self._emit(File("audio/pcm", data, _meta={"audio": self._audio_id}))
        if said:
            self._emit(TextDelta(text(said), 0, choice, _meta={"audio": self._audio_id}))
        if not data and not said:
            self._raw(message)

    def _annotation(self, annotation: dict[str, Any]) -> None:
        cited = annotation.get("url_citation")
        if cited:
            source = Citation(
                url=label(cited.get("url")),
                title=label(cited.get("title")),
                start=count(cited.get("start_index")),
                end=count(cited.get("end_index")),
            )
            self._emit(Citations((source,)))

    def _sources(self, found: Any, urls: Any) -> None:
        """Top-level sources: Perplexity repeats them in every chunk, xAI sends them with the last one."""
        sources = [
            Citation(url=label(it.get("url")), title=label(it.get("title"))) for it in found if isinstance(it, dict)
        ]
        sources += [Citation(url=label(url)) for url in urls]
        new = []
        for source in sources:
            if source.url and source.url not in self._cited:
                self._cited.add(source.url)
                new.append(source)
        if new:
            self._emit(Citations(tuple(new)))

    def _verdicts(self, results: Any, choice: int = 0) -> None:
        """Azure's filters: what they blocked or detected. The first ones come before the model is known."""
        for category, verdict in (results or {}).items():
            if isinstance(verdict, dict) and (verdict.get("filtered") or verdict.get("detected")):
                action = "block" if verdict.get("filtered") else "warn"
                event = Safety(label(category), action, note=label(verdict.get("severity")), choice=choice)
                if self._begun:
                    self._emit(event)
                else:
                    self._held += (event,)

    def _raw(self, message: Any) -> None:
        self._emit(Raw(message.data, message.event if message.named else ""))


def _tokens(logprobs: Any, of: str) -> dict[str, Any] | None:
    """The meta of a text with log probabilities. Together's have the form of legacy completions."""
    tokens = (logprobs.get(of) or ("tokens" in logprobs and logprobs)) if isinstance(logprobs, dict) else None
    return {"logprobs": tokens} if tokens else None


def normal_usage(raw: dict[str, Any]) -> Usage:
    """Normalise OpenAI's usage object."""
    prompt, answer = members(raw.get("prompt_tokens_details")), members(raw.get("completion_tokens_details"))
    cached = _first(prompt.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("cached_tokens"))
    written = _first(prompt.get("cache_write_tokens"), raw.get("cache_creation_input_tokens"))
    reasoning = _first(answer.get("reasoning_tokens"), raw.get("reasoning_tokens"))
    given, made = count(raw.get("prompt_tokens")), count(raw.get("completion_tokens"))
    total = count(raw.get("total_tokens"))
    if total is None and given is not None and made is not None:
        total = given + made
    return Usage(given, made, total, cached, written, reasoning, raw)


def _first(*values: Any) -> int | None:
    for value in values:
        if value is not None and (found := count(value)) is not None:
            return found
    return None
