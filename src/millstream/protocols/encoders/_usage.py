"""Token counts in one sense: `Usage` keeps every provider's own, and a client of one wire must not meet another's.

OpenAI counts cached tokens as part of the input and reasoning as part of the output; Anthropic and Bedrock count cached
tokens apart, Google counts thoughts apart. A client that subtracts one from the other would compute negative costs.
"""

from __future__ import annotations

from typing import NamedTuple

from millstream.events import Usage

__all__ = ["Counts", "inclusive"]

# Keys of the raw objects of providers that count so.
CACHE_APART = {
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cacheReadInputTokens",
    "cacheWriteInputTokens",
    "cacheReadInputTokenCount",
    "cacheWriteInputTokenCount",
}
REASONING_APART = {"thoughtsTokenCount", "total_thought_tokens"}


class Counts(NamedTuple):
    """Tokens; None only where the provider said nothing of that detail."""

    input: int
    output: int
    total: int
    cache_read: int | None
    cache_write: int | None
    reasoning: int | None


def inclusive(usage: Usage) -> Counts:
    """Return the counts with cached tokens inside the input and reasoning inside the output, as OpenAI has them."""
    given, made = usage.input_tokens or 0, usage.output_tokens or 0
    cached = (usage.cache_read_tokens or 0) + (usage.cache_write_tokens or 0)
    keys = (usage.raw or {}).keys()
    if cached > given or ("prompt_tokens" not in keys and keys & CACHE_APART):
        given += cached
    if keys & REASONING_APART:
        made += usage.reasoning_tokens or 0
    total = max(usage.total_tokens or 0, given + made)
    return Counts(given, made, total, usage.cache_read_tokens, usage.cache_write_tokens, usage.reasoning_tokens)
