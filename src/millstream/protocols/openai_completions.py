"""OpenAI's legacy completions, as vLLM, llama.cpp and others still serve them: `choices[].text`, the rest as in chat.

Source: PROTOCOLS.md section 1.
"""

from __future__ import annotations

from typing import Any

from millstream.core import Shapes
from millstream.protocols._openai_rules import COMPLETIONS
from millstream.protocols.openai_chat import OpenAIChatDecoder

__all__ = ["OpenAICompletionsDecoder"]


class OpenAICompletionsDecoder(OpenAIChatDecoder):
    """`data: {"choices":[{"index","text","finish_reason"}],"usage"?}` ... `data: [DONE]`."""

    name = "openai-completions"
    shapes = Shapes(payload=("choices.0.text",), seldom=("id", "created"), latest=("usage.**",))
    rules = COMPLETIONS

    def _choice(self, choice: dict[str, Any], message: Any) -> None:
        said = choice.get("text")
        if said:
            choice = choice | {"delta": {"content": said}, "logprobs": {"content": choice.get("logprobs")}}
        super()._choice(choice, message)
